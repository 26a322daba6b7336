//! Which addresses are this machine's or its link's own.
//!
//! Not a firewall: only what a name or a redirect of somebody else's must not lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the address is reached only when it is itself asked for: loopback, link-local, unspecified,
/// broadcast, multicast, or where clouds answer about the machine; also inside IPv6 notations of IPv4.
pub fn is_inner(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_inner_v4(address),
        IpAddr::V6(address) => is_inner_v6(address),
    }
}

fn is_inner_v4(address: Ipv4Addr) -> bool {
    address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.octets()[0] == 0
        || address == Ipv4Addr::new(100, 100, 100, 200)
}

fn is_inner_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_inner_v4(Ipv4Addr::new(a, b, c, d))
    };
    let is_nat64 = parts[..2] == [0x64, 0xff9b];
    let is_mapped_or_compatible = parts[..5] == [0; 5] && (parts[5] == 0xffff || parts[5] == 0);
    let is_6to4 = parts[0] == 0x2002;
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || parts[0] & 0xff80 == 0xfe80
        || address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        || ((is_nat64 || is_mapped_or_compatible) && embedded(parts[6], parts[7]))
        || (is_6to4 && embedded(parts[1], parts[2]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn inner_addresses_are_known_in_every_notation() {
        for text in [
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "::1",
            "::",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "2002:7f00:1::",
            "fd00:ec2::254",
        ] {
            assert!(is_inner(text.parse().unwrap()), "{text}");
        }
        for text in [
            "10.0.0.1",
            "192.168.1.1",
            "8.8.8.8",
            "2001:db8::1",
            "fd00::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(!is_inner(text.parse().unwrap()), "{text}");
        }
    }
}
