//! One GET and its answer: head, then a body of known, chunked or open length.
//!
//! Not a decision about what the answer means (see `fetch`).

use std::io::{self, BufRead, BufReader, Read, Write};

use super::Trouble;
use super::dial::Stream;
use super::url::Url;

/// The largest head of an answer.
const HEAD_BYTES: usize = 64 * 1024;
/// The longest line of a chunked body's own.
const CHUNK_LINE_BYTES: usize = 1024;
/// Interim answers (1xx) that are passed over.
const INTERIM: usize = 8;

/// What to ask for.
pub struct Get<'a> {
    /// What.
    pub url: &'a Url,
    /// The proxy that is asked in the server's stead (http only).
    pub proxy: Option<&'a Url>,
    /// Bytes from here on, if what we have is still current by this validator.
    pub resume: Option<(u64, Option<&'a str>)>,
}

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    fields: Vec<(String, String)>,
}

/// The body of an answer, read to its proper end: one that stops early is `UnexpectedEof`.
pub struct Body<'a> {
    stream: BufReader<Stream<'a>>,
    shape: Shape,
}

enum Shape {
    Length(u64),
    ChunkStart { first: bool },
    Chunk(u64),
    UntilClose,
    Done,
}

/// Sends the request and reads the head of the answer.
pub fn get<'a>(mut stream: Stream<'a>, get: &Get<'_>) -> Result<(Head, Body<'a>), Trouble> {
    stream
        .write_all(request(get).as_bytes())
        .and_then(|()| stream.flush())
        .map_err(Trouble::of_io)?;
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    for _ in 0..INTERIM {
        let head = read_head(&mut stream)?;
        if !(100..200).contains(&head.status) {
            let shape = head.shape()?;
            return Ok((head, Body { stream, shape }));
        }
    }
    Err(Trouble::NotHttp("too many interim answers"))
}

/// The base64 of HTTP's basic authentication.
pub fn basic(user: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in user.chunks(3) {
        let bits = group
            .iter()
            .enumerate()
            .fold(0u32, |bits, (index, byte)| bits | u32::from(*byte) << (16 - 8 * index));
        for index in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * index)) as usize & 63];
            text.push(if index <= group.len() { digit.into() } else { '=' });
        }
    }
    text
}

impl Head {
    /// The field's value, when it is there once or always the same.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The length that the answer announces for its body.
    pub fn length(&self) -> Option<u64> {
        match self.shape() {
            Ok(Shape::Length(length)) => Some(length),
            Ok(_) | Err(_) => None,
        }
    }

    /// First byte and whole length of a partial answer.
    pub fn range(&self) -> Option<(u64, Option<u64>)> {
        let (range, whole) =
            self.field("content-range")?.strip_prefix("bytes ")?.split_once('/')?;
        Some((range.split_once('-')?.0.trim().parse().ok()?, whole.trim().parse().ok()))
    }

    /// What identifies this version of the file: a strong ETag, else its date.
    pub fn validator(&self) -> Option<&str> {
        let strong = self
            .field("etag")
            .filter(|tag| tag.starts_with('"') && tag.ends_with('"') && tag.len() > 1);
        strong.or_else(|| self.field("last-modified"))
    }

    fn shape(&self) -> Result<Shape, Trouble> {
        if matches!(self.status, 204 | 304) {
            return Ok(Shape::Done);
        }
        let listed = |wanted: &str| -> Vec<&str> {
            let values = self.fields.iter().filter(|(name, _)| name == wanted);
            values.flat_map(|(_, value)| value.split(',')).map(str::trim).collect()
        };
        // `identity` is an obsolete name for no coding.
        let mut codings = listed("transfer-encoding");
        codings.retain(|c| !c.is_empty() && !c.eq_ignore_ascii_case("identity"));
        match codings.as_slice() {
            [] => {}
            [only] if only.eq_ignore_ascii_case("chunked") => {
                return Ok(Shape::ChunkStart { first: true });
            }
            _ => return Err(Trouble::NotHttp("an unknown transfer encoding")),
        }
        let lengths = listed("content-length");
        let Some(first) = lengths.first() else { return Ok(Shape::UntilClose) };
        let is_number = !first.is_empty() && first.bytes().all(|digit| digit.is_ascii_digit());
        match first.parse() {
            Ok(length) if is_number && lengths.iter().all(|other| other == first) => {
                Ok(Shape::Length(length))
            }
            _ => Err(Trouble::NotHttp("contradicting or malformed content lengths")),
        }
    }
}

/// Reads one head.
pub fn read_head(stream: &mut dyn BufRead) -> Result<Head, Trouble> {
    let mut room = HEAD_BYTES;
    let first = head_line(stream, &mut room)?;
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .filter(|code| code.len() == 3)
        .and_then(|code| code.parse().ok())
        .filter(|code| (100..=599).contains(code))
        .ok_or(Trouble::NotHttp("no status line"))?;
    let mut fields: Vec<(String, String)> = Vec::new();
    loop {
        let line = head_line(stream, &mut room)?;
        if line.is_empty() {
            return Ok(Head { status, fields });
        }
        if line.starts_with([' ', '\t']) {
            // A folded line continues the one before it (RFC 9112, section 5.2).
            let before = fields.last_mut();
            let (_, value) = before.ok_or(Trouble::NotHttp("a head that begins folded"))?;
            value.push(' ');
            value.push_str(line.trim());
            continue;
        }
        let (name, value) =
            line.split_once(':').ok_or(Trouble::NotHttp("a header line without a colon"))?;
        // Space before the colon is dropped (RFC 9112, section 5.1).
        let name = name.trim_end();
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(Trouble::NotHttp("a malformed header line"));
        }
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.shape {
                Shape::Done => return Ok(0),
                Shape::UntilClose => return self.stream.read(buffer),
                Shape::Length(0) => self.shape = Shape::Done,
                Shape::Length(left) => {
                    let count = self.read_some(buffer, left)?;
                    self.shape = Shape::Length(left - count as u64);
                    return Ok(count);
                }
                Shape::Chunk(0) => self.shape = Shape::ChunkStart { first: false },
                Shape::Chunk(left) => {
                    let count = self.read_some(buffer, left)?;
                    self.shape = Shape::Chunk(left - count as u64);
                    return Ok(count);
                }
                Shape::ChunkStart { first } => self.shape = self.next_chunk(first)?,
            }
        }
    }
}

impl Body<'_> {
    fn read_some(&mut self, buffer: &mut [u8], left: u64) -> io::Result<usize> {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match self.stream.read(&mut buffer[..room])? {
            0 if room > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }

    fn next_chunk(&mut self, first: bool) -> io::Result<Shape> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "a malformed chunk");
        let mut room = CHUNK_LINE_BYTES;
        if !first && !line(&mut self.stream, &mut room)?.is_empty() {
            return Err(wrong());
        }
        let text = line(&mut self.stream, &mut room)?;
        let digits = text.split(';').next().unwrap_or("").trim();
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let length = u64::from_str_radix(digits, 16).map_err(|_| wrong())?;
        if length > 0 {
            return Ok(Shape::Chunk(length));
        }
        let mut room = HEAD_BYTES;
        while !line(&mut self.stream, &mut room)?.is_empty() {}
        Ok(Shape::Done)
    }
}

fn request(get: &Get<'_>) -> String {
    let url = get.url;
    let target = match get.proxy {
        None => url.target.clone(),
        Some(_) => format!("http://{}{}", url.host_header(), url.target),
    };
    let agent = concat!("plush-agent/", env!("CARGO_PKG_VERSION"));
    let mut text = format!(
        "GET {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {agent}\r\nAccept: */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n",
        url.host_header(),
    );
    if let Some(user) = &url.userinfo {
        text.push_str(&format!("Authorization: Basic {}\r\n", basic(user)));
    }
    if let Some(user) = get.proxy.and_then(|proxy| proxy.userinfo.as_ref()) {
        text.push_str(&format!("Proxy-Authorization: Basic {}\r\n", basic(user)));
    }
    if let Some((from, validator)) = get.resume {
        text.push_str(&format!("Range: bytes={from}-\r\n"));
        if let Some(validator) = validator {
            text.push_str(&format!("If-Range: {validator}\r\n"));
        }
    }
    text.push_str("\r\n");
    text
}

fn head_line(stream: &mut dyn BufRead, room: &mut usize) -> Result<String, Trouble> {
    line(stream, room).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => Trouble::NotHttp("an endless or unreadable head"),
        _ => Trouble::of_io(error),
    })
}

/// One line without its end, taking from `room` what it is long.
fn line(stream: &mut dyn BufRead, room: &mut usize) -> io::Result<String> {
    let mut bytes = Vec::new();
    let count = stream.take(*room as u64).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        let kind =
            if count == *room { io::ErrorKind::InvalidData } else { io::ErrorKind::UnexpectedEof };
        return Err(kind.into());
    }
    *room -= count;
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    if bytes.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn basic_is_base64() {
        for (user, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(basic(user.as_bytes()), expected);
        }
    }

    #[test]
    fn what_servers_may_write_is_read() {
        let check = |text: &str| {
            let head = read_head(&mut text.as_bytes()).unwrap();
            (head.status, head.length(), head.field("x-a").map(str::to_owned))
        };
        let none: Option<String> = None;
        assert_eq!(
            check("HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\n\tc\r\nContent-Length: 2\r\n\r\n"),
            (200, Some(2), Some("a b c".into()))
        );
        for two in [
            "HTTP/1.0 200\r\ncontent-LENGTH : 2\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length:2\n\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2, 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n",
        ] {
            assert_eq!(check(two), (200, Some(2), none.clone()), "{two:?}");
        }
        for open in [
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 2\r\n\r\n",
        ] {
            assert_eq!(check(open), (200, None, none.clone()), "{open:?}");
        }
    }

    #[test]
    fn malformed_heads_are_refused() {
        let check = |text: &str| {
            read_head(&mut text.as_bytes()).and_then(|head| head.shape().map(|_| head.status))
        };
        assert_eq!(check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").unwrap(), 200);
        for text in [
            "",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 99 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: \u{1}\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
        ] {
            assert!(check(text).is_err(), "{text:?}");
        }
        assert!(check(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(20_000))).is_err());
    }
}
