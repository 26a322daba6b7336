//! Archives written by hand, byte for byte, since no honest program would write these.

use std::io::Write;

/// The fields of one tar header that tests care about.
#[derive(Clone)]
pub struct Header {
    pub name: Vec<u8>,
    pub kind: u8,
    pub size: u64,
    pub link: Vec<u8>,
    pub mode: u32,
    pub prefix: Vec<u8>,
    pub magic: [u8; 8],
}

/// A tar archive under construction.
#[derive(Clone, Default)]
pub struct Tar {
    pub bytes: Vec<u8>,
}

pub fn header(name: &[u8], kind: u8) -> Header {
    Header {
        name: name.to_vec(),
        kind,
        size: 0,
        link: Vec::new(),
        mode: 0o644,
        prefix: Vec::new(),
        magic: *b"ustar\x0000",
    }
}

impl Header {
    pub fn block(&self) -> [u8; 512] {
        let mut block = [0; 512];
        block[..self.name.len().min(100)].copy_from_slice(&self.name[..self.name.len().min(100)]);
        block[100..108].copy_from_slice(format!("{:07o}\0", self.mode).as_bytes());
        block[108..116].copy_from_slice(b"0000000\0");
        block[116..124].copy_from_slice(b"0000000\0");
        block[124..136].copy_from_slice(format!("{:011o}\0", self.size).as_bytes());
        block[136..148].copy_from_slice(b"00000000000\0");
        block[156] = self.kind;
        block[157..157 + self.link.len().min(100)]
            .copy_from_slice(&self.link[..self.link.len().min(100)]);
        block[257..265].copy_from_slice(&self.magic);
        block[345..345 + self.prefix.len().min(155)]
            .copy_from_slice(&self.prefix[..self.prefix.len().min(155)]);
        seal(&mut block);
        block
    }
}

/// Puts the right checksum into a header.
pub fn seal(block: &mut [u8; 512]) {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

impl Tar {
    pub fn raw(mut self, bytes: &[u8]) -> Tar {
        self.bytes.extend(bytes);
        self
    }

    pub fn content(mut self, content: &[u8]) -> Tar {
        self.bytes.extend(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub fn entry(self, header: &Header, content: &[u8]) -> Tar {
        let header = Header { size: content.len() as u64, ..header.clone() };
        self.raw(&header.block()).content(content)
    }

    pub fn file(self, name: &[u8], content: &[u8]) -> Tar {
        self.entry(&header(name, b'0'), content)
    }

    pub fn dir(self, name: &[u8]) -> Tar {
        self.entry(&Header { mode: 0o755, ..header(name, b'5') }, b"")
    }

    pub fn link(self, kind: u8, name: &[u8], target: &[u8]) -> Tar {
        self.entry(&Header { link: target.to_vec(), ..header(name, kind) }, b"")
    }

    /// An extended header with these records before the next entry.
    pub fn pax(self, kind: u8, records: &[(&str, &[u8])]) -> Tar {
        let mut text = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (1..5)
                .map(|digits| rest + digits)
                .find(|length| length.to_string().len() + rest == *length)
                .unwrap();
            text.extend(format!("{length} {key}=").as_bytes());
            text.extend(*value);
            text.push(b'\n');
        }
        self.entry(&header(b"PaxHeader", kind), &text)
    }

    pub fn gnu(self, kind: u8, name: &[u8]) -> Tar {
        self.entry(&header(b"././@LongLink", kind), &[name, b"\0"].concat())
    }

    pub fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).bytes
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One entry of a zip archive, told twice: in its own header and in the directory.
#[derive(Clone)]
pub struct ZipEntry {
    pub name: Vec<u8>,
    pub directory_name: Vec<u8>,
    pub content: Vec<u8>,
    pub size: u32,
    pub crc: u32,
    pub mode: u32,
    pub method: u16,
    pub flags: u16,
    /// The place of its header, if the directory lies about it.
    pub at: Option<u32>,
}

pub fn zip_entry(name: &[u8], content: &[u8]) -> ZipEntry {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    ZipEntry {
        name: name.to_vec(),
        directory_name: name.to_vec(),
        content: content.to_vec(),
        size: content.len() as u32,
        crc: crc.sum(),
        mode: 0o100_644,
        method: 0,
        flags: 0,
        at: None,
    }
}

impl ZipEntry {
    pub fn mode(self, mode: u32) -> ZipEntry {
        ZipEntry { mode, ..self }
    }

    pub fn deflated(mut self) -> ZipEntry {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&self.content).unwrap();
        (self.content, self.method) = (encoder.finish().unwrap(), 8);
        self
    }
}

pub fn zip(entries: &[ZipEntry]) -> Vec<u8> {
    let (mut body, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let at = entry.at.unwrap_or(body.len() as u32);
        let mut common = Vec::new();
        common.extend(20u16.to_le_bytes());
        common.extend(entry.flags.to_le_bytes());
        common.extend(entry.method.to_le_bytes());
        common.extend([0; 4]);
        common.extend(entry.crc.to_le_bytes());
        common.extend((entry.content.len() as u32).to_le_bytes());
        common.extend(entry.size.to_le_bytes());
        body.extend(b"PK\x03\x04");
        body.extend(&common);
        body.extend((entry.name.len() as u16).to_le_bytes());
        body.extend([0; 2]);
        body.extend(&entry.name);
        body.extend(&entry.content);
        directory.extend(b"PK\x01\x02");
        directory.extend([20, 3]);
        directory.extend(&common);
        directory.extend((entry.directory_name.len() as u16).to_le_bytes());
        directory.extend([0; 8]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(at.to_le_bytes());
        directory.extend(&entry.directory_name);
    }
    let count = (entries.len() as u16).to_le_bytes();
    let (size, at) = ((directory.len() as u32).to_le_bytes(), (body.len() as u32).to_le_bytes());
    [&body[..], &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &size, &at, &[0, 0]].concat()
}
