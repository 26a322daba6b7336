//! A host's network device: a TUN device whose other end is the emulator.
//!
//! It carries IP packets and no Ethernet frames, so there are no addresses to resolve, no floods and no neighbour
//! table to overflow with many hosts. The device lives in the namespace in which it is opened and goes with it.

use crate::address::PREFIX;
use anyhow::{Context as _, Result};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// Bytes that come before each packet: what the kernel left undone of it (checksum, segmentation).
pub const HEADER_BYTES: usize = 10;

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
const TUNSETCARRIER: libc::c_ulong = 0x4004_54e2;
const OFFLOAD_CHECKSUM: libc::c_ulong = 0x01;
const OFFLOAD_TCP4: libc::c_ulong = 0x02;

/// Opens the device `eth0` in the network namespace of this thread, with this address, up.
pub fn open(address: Ipv4Addr) -> Result<OwnedFd> {
    let tun = open_device().context("cannot open /dev/net/tun")?;
    let mut request = named("eth0");
    request.ifr_ifru.ifru_flags =
        (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    control(tun.as_raw_fd(), TUNSETIFF, &mut request)
        .context("cannot create the TUN device eth0")?;
    let socket = configuring_socket()?;
    bring_up(&socket, "lo").context("cannot bring lo up")?;
    assign(&socket, address).with_context(|| format!("cannot give eth0 the address {address}"))?;
    bring_up(&socket, "eth0").context("cannot bring eth0 up")?;
    Ok(tun)
}

/// Lets packets of up to 64 KiB pass whole, their checksums undone, or has the kernel cut and finish them first.
pub fn set_offload(tun: BorrowedFd<'_>, allowed: bool) -> io::Result<()> {
    let flags = if allowed { OFFLOAD_CHECKSUM | OFFLOAD_TCP4 } else { 0 };
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    match unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETOFFLOAD, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Shows the host a plugged or an unplugged cable.
pub fn set_carrier(tun: BorrowedFd<'_>, present: bool) -> io::Result<()> {
    let mut value = libc::c_int::from(present);
    // SAFETY: TUNSETCARRIER reads one int behind the pointer.
    match unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETCARRIER, &raw mut value) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn open_device() -> io::Result<OwnedFd> {
    // SAFETY: the path is a string that ends with a zero byte; the descriptor is owned by nobody else.
    unsafe {
        let fd =
            libc::open(c"/dev/net/tun".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC | libc::O_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

fn configuring_socket() -> Result<OwnedFd> {
    // SAFETY: plain system call; the descriptor is owned by nobody else.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error())
            .context("cannot open a socket to configure the network");
    }
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bring_up(socket: &OwnedFd, name: &str) -> io::Result<()> {
    let mut request = named(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    control(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::c_ulong, &mut request)
}

fn assign(socket: &OwnedFd, address: Ipv4Addr) -> io::Result<()> {
    let mut request = named("eth0");
    request.ifr_ifru.ifru_addr = socket_address(address);
    control(socket.as_raw_fd(), libc::SIOCSIFADDR as libc::c_ulong, &mut request)?;
    let mask = Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(PREFIX)));
    request.ifr_ifru.ifru_addr = socket_address(mask);
    control(socket.as_raw_fd(), libc::SIOCSIFNETMASK as libc::c_ulong, &mut request)
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: both are plain bytes of the same size; zero is a valid value of each.
    unsafe {
        let mut inet: libc::sockaddr_in = std::mem::zeroed();
        inet.sin_family = libc::AF_INET as libc::sa_family_t;
        inet.sin_addr.s_addr = address.to_bits().to_be();
        std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(inet)
    }
}

fn named(name: &str) -> libc::ifreq {
    // SAFETY: zero is a valid value of this plain structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    request
}

fn control(fd: libc::c_int, operation: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: every operation that is used here reads or writes one ifreq.
    match unsafe { libc::ioctl(fd, operation as _, std::ptr::from_mut(request)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
