//! Where a host is: the number of its port on the lab's switch, its name and its address.
//!
//! Not how packets get there: that is `emulator`.

use std::net::Ipv4Addr;

/// The port of the controller; hosts count from 1.
pub const CONTROLLER: u16 = 0;

/// Most hosts that the names `h001..` and the address plan hold.
pub const MAX_HOSTS: u16 = 2000;

/// Length of the network's prefix in bits.
pub const PREFIX: u8 = 16;

const HOSTS_PER_ROW: u16 = 250;

/// The address of a port: 10.80.0.1 is the controller, 10.80.1.1 the first host.
pub fn address(port: u16) -> Ipv4Addr {
    if port == CONTROLLER {
        return Ipv4Addr::new(10, 80, 0, 1);
    }
    let place = port - 1;
    let row = u8::try_from(1 + place / HOSTS_PER_ROW).expect("ports are at most MAX_HOSTS");
    let seat = u8::try_from(1 + place % HOSTS_PER_ROW).expect("a row is shorter than 255");
    Ipv4Addr::new(10, 80, row, seat)
}

/// The port that an address belongs to; none outside the plan.
pub fn port(octets: [u8; 4]) -> Option<u16> {
    match octets {
        [10, 80, 0, 1] => Some(CONTROLLER),
        [10, 80, row, seat] if row >= 1 && seat >= 1 && u16::from(seat) <= HOSTS_PER_ROW => {
            Some((u16::from(row) - 1) * HOSTS_PER_ROW + u16::from(seat))
        }
        _ => None,
    }
}

/// The name of a port: `controller`, `h001`, `h002`...
pub fn name(port: u16) -> String {
    if port == CONTROLLER {
        return "controller".to_owned();
    }
    format!("h{port:03}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_port_is_found_by_its_address() {
        for number in 0..=MAX_HOSTS {
            assert_eq!(port(address(number).octets()), Some(number));
        }
    }

    #[test]
    fn names_sort_like_numbers() {
        assert_eq!(name(0), "controller");
        assert_eq!(name(7), "h007");
        assert_eq!(name(1000), "h1000");
    }
}
