//! What a task of the storm writes: every line says whose it is, where in its stream it stands, and its own checksum.
//! Not how it is written: the program on a host and the judge of what came home both read this file.

/// One stream of one start of a task. Equal streams are equal byte for byte, however long they are.
pub struct Stream<'a> {
    pub host: &'a str,
    pub process: &'a str,
    pub incarnation: u32,
    /// `out` or `err`.
    pub name: &'a str,
}

impl Stream<'_> {
    /// Appends the line that stands at this offset, which is where the one before it ends.
    pub fn push_line(&self, offset: u64, text: &mut Vec<u8>) {
        let from = text.len();
        let Stream { host, process, incarnation, name } = self;
        let mixed = offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let filler = &FILLER[..(mixed % FILLER.len() as u64) as usize];
        text.extend_from_slice(
            format!("{host} {process}.{incarnation} {name} {offset:012} {filler} ").as_bytes(),
        );
        let sum = checksum(&text[from..]);
        text.extend_from_slice(format!("{sum:08x}\n").as_bytes());
    }
}

/// Lines differ in length, so that pieces of output end anywhere in them.
const FILLER: &str =
    "she sells sea shells on the sea shore; the shells that she sells are sea shells";

/// FNV-1a, 32 bits.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    bytes.iter().fold(0x811c_9dc5, step)
}
