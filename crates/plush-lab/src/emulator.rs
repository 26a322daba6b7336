//! The lab's switch: one process that carries IP packets between the hosts' devices, late, slowly or never, as asked.
//!
//! Not the rules of a link (`link`), and not the one who decides what is broken (`supervisor`).

use crate::address;
use crate::link::{Channel, Fate, Passage};
use crate::protocol::{Cable, Order};
use crate::tun;
use anyhow::{Context as _, Result};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec,
};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

/// Packets that are read from one device before the next has its turn.
const TURN_PACKETS: usize = 64;

const ORDERS: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
const LARGEST_ORDER_BYTES: usize = 160 * 1024;

/// Sends an order, with a device where it needs one, and waits until the emulator has obeyed.
pub fn send(socket: &OwnedFd, order: &Order, device: Option<BorrowedFd<'_>>) -> Result<()> {
    let text = serde_json::to_vec(order).expect("an order is plain data");
    let devices: Vec<BorrowedFd<'_>> = device.into_iter().collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !devices.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&devices));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&text)], &mut ancillary, SendFlags::NOSIGNAL)
        .context("cannot send an order to the emulator")?;
    let mut answer = [0_u8; 1];
    let (got, _) = rustix::net::recv(socket, &mut answer[..], RecvFlags::empty())
        .context("cannot hear from the emulator")?;
    anyhow::ensure!(got == 1, "the emulator ended");
    Ok(())
}

/// Runs the switch until its supervisor is gone.
pub fn run(socket: OwnedFd, seed: u64) -> i32 {
    match Emulator::new(socket, seed).and_then(Emulator::work) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("emulator: {error:#}");
            1
        }
    }
}

struct Emulator {
    orders: OwnedFd,
    epoll: OwnedFd,
    timer: OwnedFd,
    timer_at_ns: u64,
    ports: Vec<Option<Port>>,
    blocked: HashSet<(u16, u16)>,
    under_way: BinaryHeap<Reverse<Leg>>,
    legs: u64,
    idle_buffers: Vec<Vec<u8>>,
    /// Whether large packets pass whole.
    offload: bool,
    seed: u64,
}

struct Port {
    device: OwnedFd,
    up: Channel,
    down: Channel,
    cable: Cable,
}

/// A packet on the way over one direction of one link.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Leg {
    out_ns: u64,
    number: u64,
    from: u16,
    to: u16,
    stage: Stage,
    packet: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Up,
    Down,
}

impl Emulator {
    fn new(orders: OwnedFd, seed: u64) -> Result<Emulator> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot create an epoll")?;
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )
        .context("cannot create a timer")?;
        watch(&epoll, orders.as_fd(), ORDERS)?;
        watch(&epoll, timer.as_fd(), TIMER)?;
        Ok(Emulator {
            orders,
            epoll,
            timer,
            timer_at_ns: 0,
            ports: Vec::new(),
            blocked: HashSet::new(),
            under_way: BinaryHeap::new(),
            legs: 0,
            idle_buffers: Vec::new(),
            offload: true,
            seed,
        })
    }

    fn work(mut self) -> Result<()> {
        let mut events = Vec::with_capacity(256);
        let mut buffer = vec![0_u8; 1 << 17];
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).context("cannot wait for packets"),
            }
            for event in &events {
                match event.data.u64() {
                    ORDERS => match self.obey()? {
                        Heard::Order => {}
                        Heard::End => return Ok(()),
                    },
                    TIMER => {
                        let mut ticks = [0_u8; 8];
                        let _ = rustix::io::read(&self.timer, &mut ticks);
                        self.timer_at_ns = 0;
                    }
                    port => {
                        self.read_from(u16::try_from(port).expect("tokens are ports"), &mut buffer)
                    }
                }
            }
            self.move_on(now_ns());
            self.set_timer()?;
        }
    }

    fn obey(&mut self) -> Result<Heard> {
        let mut text = vec![0_u8; LARGEST_ORDER_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            &self.orders,
            &mut [IoSliceMut::new(&mut text)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )
        .context("cannot read an order")?;
        if received.bytes == 0 {
            return Ok(Heard::End);
        }
        let device = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
            _ => None,
        });
        let order = serde_json::from_slice(&text[..received.bytes])
            .context("cannot understand an order")?;
        self.carry_out(order, device)?;
        rustix::net::send(&self.orders, b"k", SendFlags::NOSIGNAL).context("cannot answer")?;
        Ok(Heard::Order)
    }

    fn carry_out(&mut self, order: Order, device: Option<OwnedFd>) -> Result<()> {
        match order {
            Order::Attach { port } => {
                let device = device.context("a port came without its device")?;
                self.attach(port, device)?;
            }
            Order::Detach { port } => self.detach(port),
            Order::Link { port, up, down, cable } => {
                if let Some(Some(port)) = self.ports.get_mut(usize::from(port)) {
                    port.up.reshape(up);
                    port.down.reshape(down);
                    if port.cable != cable {
                        port.cable = cable;
                        let _ = tun::set_carrier(port.device.as_fd(), cable == Cable::Plugged);
                    }
                }
            }
            Order::Block { from, to } => {
                for from in from {
                    self.blocked.extend(to.iter().map(|to| (from, *to)));
                }
            }
            Order::Heal => self.blocked.clear(),
        }
        self.choose_offload();
        Ok(())
    }

    fn attach(&mut self, number: u16, device: OwnedFd) -> Result<()> {
        watch(&self.epoll, device.as_fd(), u64::from(number))?;
        tun::set_offload(device.as_fd(), self.offload)
            .context("cannot set up the device of a port")?;
        let place = usize::from(number);
        if self.ports.len() <= place {
            self.ports.resize_with(place + 1, || None);
        }
        let seed = self.seed ^ (u64::from(number) << 40);
        self.ports[place] = Some(Port {
            device,
            up: Channel::new(Default::default(), seed ^ 1),
            down: Channel::new(Default::default(), seed ^ 2),
            cable: Cable::Plugged,
        });
        Ok(())
    }

    fn detach(&mut self, number: u16) {
        if let Some(place) = self.ports.get_mut(usize::from(number)) {
            *place = None;
        }
    }

    /// Large packets pass whole only while no link is shaped: their loss or delay would stand for forty packets'.
    fn choose_offload(&mut self) {
        let allowed =
            self.ports.iter().flatten().all(|port| port.up.is_plain() && port.down.is_plain());
        if allowed == self.offload {
            return;
        }
        self.offload = allowed;
        for port in self.ports.iter().flatten() {
            let _ = tun::set_offload(port.device.as_fd(), allowed);
        }
    }

    fn read_from(&mut self, number: u16, buffer: &mut [u8]) {
        for _ in 0..TURN_PACKETS {
            let Some(Some(port)) = self.ports.get(usize::from(number)) else { return };
            match rustix::io::read(&port.device, &mut *buffer) {
                Ok(bytes) => self.enter(number, &buffer[..bytes]),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // The device went with its namespace: the host is off.
                Err(_) => return self.detach(number),
            }
        }
    }

    /// A packet leaves a host: straight to its destination where both links are plain, else onto the first link.
    fn enter(&mut self, from: u16, packet: &[u8]) {
        let Some(to) = destination(packet) else { return };
        if self.is_cut(from, to) {
            return;
        }
        let Some(Some(receiver)) = self.ports.get(usize::from(to)) else { return };
        let Some(Some(sender)) = self.ports.get(usize::from(from)) else { return };
        if sender.up.is_plain() && receiver.down.is_plain() {
            let _ = rustix::io::write(&receiver.device, packet);
            return;
        }
        let mut owned = self.idle_buffers.pop().unwrap_or_default();
        owned.extend_from_slice(packet);
        self.onto_link(now_ns(), from, to, Stage::Up, owned);
    }

    /// Moves every packet whose time has come to its next link or to its host.
    fn move_on(&mut self, now_ns: u64) {
        while let Some(Reverse(first)) = self.under_way.peek()
            && first.out_ns <= now_ns
        {
            let Some(Reverse(leg)) = self.under_way.pop() else { return };
            match leg.stage {
                Stage::Up => self.onto_link(leg.out_ns, leg.from, leg.to, Stage::Down, leg.packet),
                Stage::Down => self.arrive(leg),
            }
        }
    }

    fn onto_link(&mut self, now_ns: u64, from: u16, to: u16, stage: Stage, mut packet: Vec<u8>) {
        let number = match stage {
            Stage::Up => from,
            Stage::Down => to,
        };
        let Some(Some(port)) = self.ports.get_mut(usize::from(number)) else {
            return self.put_back(packet);
        };
        let channel = match stage {
            Stage::Up => &mut port.up,
            Stage::Down => &mut port.down,
        };
        let bytes = packet.len() - tun::HEADER_BYTES;
        let passage = match channel.admit(now_ns, bytes as u64) {
            Fate::Lost => return self.put_back(packet),
            Fate::Passes(passage) => passage,
        };
        flip(&mut packet, passage);
        for _ in 1..passage.copies {
            self.push(Leg {
                out_ns: passage.out_ns,
                number: 0,
                from,
                to,
                stage,
                packet: packet.clone(),
            });
        }
        self.push(Leg { out_ns: passage.out_ns, number: 0, from, to, stage, packet });
    }

    fn push(&mut self, leg: Leg) {
        self.legs += 1;
        self.under_way.push(Reverse(Leg { number: self.legs, ..leg }));
    }

    fn arrive(&mut self, leg: Leg) {
        // What was on its way when its sender was switched off still arrives.
        if !self.blocked.contains(&(leg.from, leg.to))
            && let Some(Some(port)) = self.ports.get(usize::from(leg.to))
            && port.cable == Cable::Plugged
        {
            let _ = rustix::io::write(&port.device, &leg.packet);
        }
        self.put_back(leg.packet);
    }

    fn is_cut(&self, from: u16, to: u16) -> bool {
        let unplugged = |port: u16| !matches!(self.ports.get(usize::from(port)), Some(Some(port)) if port.cable == Cable::Plugged);
        unplugged(from) || unplugged(to) || self.blocked.contains(&(from, to))
    }

    fn put_back(&mut self, mut packet: Vec<u8>) {
        if self.idle_buffers.len() < 1024 {
            packet.clear();
            self.idle_buffers.push(packet);
        }
    }

    fn set_timer(&mut self) -> Result<()> {
        let next_ns = self.under_way.peek().map_or(0, |Reverse(leg)| leg.out_ns.max(1));
        if next_ns == self.timer_at_ns {
            return Ok(());
        }
        self.timer_at_ns = next_ns;
        let at = Timespec {
            tv_sec: (next_ns / 1_000_000_000) as i64,
            tv_nsec: (next_ns % 1_000_000_000) as _,
        };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::time::timerfd_settime(
            &self.timer,
            TimerfdTimerFlags::ABSTIME,
            &Itimerspec { it_interval: never, it_value: at },
        )
        .context("cannot set the timer")?;
        Ok(())
    }
}

enum Heard {
    Order,
    End,
}

/// The port that an IPv4 packet goes to.
fn destination(packet: &[u8]) -> Option<u16> {
    let ip = packet.get(tun::HEADER_BYTES..)?;
    if ip.first()? >> 4 != 4 {
        return None;
    }
    address::port(ip.get(16..20)?.try_into().ok()?)
}

fn flip(packet: &mut [u8], passage: Passage) {
    let Some(bit) = passage.flipped_bit else { return };
    if let Some(byte) = packet.get_mut(tun::HEADER_BYTES + (bit / 8) as usize) {
        *byte ^= 1 << (bit % 8);
    }
}

fn watch(epoll: &OwnedFd, what: BorrowedFd<'_>, token: u64) -> Result<()> {
    epoll::add(epoll, what, epoll::EventData::new_u64(token), epoll::EventFlags::IN)
        .context("cannot watch a descriptor")
}

fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
