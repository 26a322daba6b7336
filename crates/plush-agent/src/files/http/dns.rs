//! DNS messages: one question out, its addresses in.
//!
//! Not a resolver: no socket, no search list, no cache (see `resolve`).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The two kinds of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

/// What a server said to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These addresses; none when the name has none of that kind.
    Addresses(Vec<IpAddr>),
    /// The name does not exist.
    NoSuchName,
    /// It did not fit: ask again over TCP.
    Cut,
    /// The server failed or refused.
    Failed,
    /// Not an answer to this question, or malformed.
    NotOurs,
}

/// The message that asks for `name`; `None` when the name does not fit into one.
pub fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(18 + name.len());
    message.extend(id.to_be_bytes());
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        if label.is_empty() || label.len() > 63 {
            return None;
        }
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(kind.code().to_be_bytes());
    message.extend([0, 1]);
    (message.len() <= 12 + 255 + 4).then_some(message)
}

/// What `reply` says to the message `asked`.
pub fn answer(asked: &[u8], reply: &[u8]) -> Answer {
    read(asked, reply).unwrap_or(Answer::NotOurs)
}

impl Kind {
    fn code(self) -> u16 {
        match self {
            Kind::A => 1,
            Kind::Aaaa => 28,
        }
    }
}

fn read(asked: &[u8], reply: &[u8]) -> Option<Answer> {
    let is_reply = reply.get(..2)? == asked.get(..2)? && reply.get(2)? & 0xf8 == 0x80;
    let question = reply.get(12..asked.len())?;
    if !is_reply || number(reply, 4)? != 1 || !question.eq_ignore_ascii_case(asked.get(12..)?) {
        return None;
    }
    match reply[3] & 0x0f {
        0 => {}
        3 => return Some(Answer::NoSuchName),
        _ => return Some(Answer::Failed),
    }
    if reply[2] & 0x02 != 0 {
        return Some(Answer::Cut);
    }
    let kind = number(asked, asked.len() - 4)?;
    let (mut wanted, _) = name_at(reply, 12)?;
    let mut aliases = BTreeMap::new();
    let mut found: Vec<(String, IpAddr)> = Vec::new();
    let mut at = asked.len();
    for _ in 0..number(reply, 6)?.min(512) {
        let (owner, after) = name_at(reply, at)?;
        let (record, class) = (number(reply, after)?, number(reply, after + 2)?);
        let length = usize::from(number(reply, after + 8)?);
        let body = reply.get(after + 10..after + 10 + length)?;
        match (class, record) {
            (1, 5) => drop(aliases.insert(owner, name_at(reply, after + 10)?.0)),
            (1, record) if record == kind => found.push((owner, address(body)?)),
            _ => {}
        }
        at = after + 10 + length;
    }
    for _ in 0..16 {
        match aliases.remove(&wanted) {
            Some(target) => wanted = target,
            None => break,
        }
    }
    Some(Answer::Addresses(
        found
            .into_iter()
            .filter(|(owner, _)| *owner == wanted)
            .map(|(_, address)| address)
            .collect(),
    ))
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

fn address(body: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(body) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(body).ok().map(|bytes| Ipv6Addr::from(bytes).into())
}

/// The name that begins at `at`, in lower case, and where it ends. Pointers may only lead backwards, so the walk ends.
fn name_at(message: &[u8], at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let (mut at, mut end, mut lowest) = (at, None, at);
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(length))?;
                name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
                name.push('.');
                at += 1 + usize::from(length);
            }
            0xc0..=0xff => {
                let target = usize::from(number(message, at)? & 0x3fff);
                end = end.or(Some(at + 2));
                if target >= lowest {
                    return None;
                }
                (at, lowest) = (target, target);
            }
            _ => return None,
        }
        if name.len() > 1024 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reply(asked: &[u8], flags: [u8; 2], records: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
        let mut message = asked.to_vec();
        message[2..4].copy_from_slice(&flags);
        message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        for (owner, kind, body) in records {
            message.extend(*owner);
            message.extend(kind.to_be_bytes());
            message.extend([0, 1, 0, 0, 0, 9]);
            message.extend((body.len() as u16).to_be_bytes());
            message.extend(*body);
        }
        message
    }

    #[test]
    fn aliases_are_followed_and_strangers_ignored() {
        let asked = question(7, "a.b", Kind::A).unwrap();
        let records: [(&[u8], u16, &[u8]); 3] = [
            (&[0xc0, 12], 5, b"\x01c\x00"),
            (b"\x01C\x00", 1, &[1, 2, 3, 4]),
            (b"\x01x\x00", 1, &[9, 9, 9, 9]),
        ];
        let message = reply(&asked, [0x81, 0x80], &records);
        assert_eq!(answer(&asked, &message), Answer::Addresses(vec![IpAddr::from([1, 2, 3, 4])]));
    }

    #[test]
    fn only_the_answer_to_the_question_counts() {
        let asked = question(7, "a.b", Kind::Aaaa).unwrap();
        assert_eq!(answer(&asked, &reply(&asked, [0x81, 0x83], &[])), Answer::NoSuchName);
        assert_eq!(answer(&asked, &reply(&asked, [0x81, 0x82], &[])), Answer::Failed);
        assert_eq!(answer(&asked, &reply(&asked, [0x83, 0x80], &[])), Answer::Cut);
        assert_eq!(answer(&asked, &asked), Answer::NotOurs);
        let other = question(7, "a.c", Kind::Aaaa).unwrap();
        assert_eq!(answer(&asked, &reply(&other, [0x81, 0x80], &[])), Answer::NotOurs);
    }

    #[test]
    fn no_cut_or_twisted_message_panics_or_hangs() {
        let asked = question(7, "a.b", Kind::A).unwrap();
        let whole = reply(
            &asked,
            [0x81, 0x80],
            &[(&[0xc0, 12], 5, &[0xc0, 12]), (&[0xc0, 12], 1, &[1, 2, 3, 4])],
        );
        for length in 0..whole.len() {
            assert_eq!(answer(&asked, &whole[..length]), Answer::NotOurs);
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x3f, 0x40, 0xc0, 0xff] {
                let mut twisted = whole.clone();
                twisted[at] = byte;
                answer(&asked, &twisted);
            }
        }
        let loops = reply(&asked, [0x81, 0x80], &[(&[0xc0, 21], 1, &[1, 2, 3, 4])]);
        assert_eq!(answer(&asked, &loops), Answer::NotOurs);
    }
}
