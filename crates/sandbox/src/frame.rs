//! Frames between the gateway and a worker: one byte of kind, four of length (little-endian), the payload.
//!
//! The worker's side may be in an attacker's hands: the reader here takes nothing on trust, and never allocates more
//! than its bound.

use std::io::{self, Read, Write};

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// To the worker: what to lock and what to know.
    Setup = 1,
    /// From the worker: the locks in force.
    Ready = 2,
    /// From the worker: it could not be set up, and why.
    Failed = 3,
    /// To the worker: what is said of a file; the file's descriptor rides along.
    Job = 4,
    /// From the worker: its report.
    Answer = 5,
}

/// Bytes before the payload.
pub const HEAD_BYTES: usize = 5;

impl FrameKind {
    fn from_byte(byte: u8) -> Option<FrameKind> {
        use FrameKind::*;
        [Setup, Ready, Failed, Job, Answer].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The head of a frame.
pub fn encode_head(kind: FrameKind, length: usize) -> io::Result<[u8; HEAD_BYTES]> {
    let length = u32::try_from(length).map_err(|_| io::Error::other("the frame is too long"))?.to_le_bytes();
    Ok([kind as u8, length[0], length[1], length[2], length[3]])
}

/// Kind and length; an unknown kind or a length beyond `bytes_max` is an error.
pub fn decode_head(head: [u8; HEAD_BYTES], bytes_max: usize) -> io::Result<(FrameKind, usize)> {
    let kind = FrameKind::from_byte(head[0]).ok_or_else(|| nonsense("a frame of no known kind"))?;
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length > bytes_max {
        return Err(nonsense("a frame longer than allowed"));
    }
    Ok((kind, length))
}

pub fn write(to: &mut impl Write, kind: FrameKind, payload: &[u8]) -> io::Result<()> {
    to.write_all(&encode_head(kind, payload.len())?)?;
    to.write_all(payload)
}

/// Reads one frame. Memory grows with what arrives, not with what is promised.
pub fn read(from: &mut impl Read, bytes_max: usize) -> io::Result<(FrameKind, Vec<u8>)> {
    let mut head = [0; HEAD_BYTES];
    from.read_exact(&mut head)?;
    let (kind, length) = decode_head(head, bytes_max)?;
    let mut payload = Vec::new();
    from.take(length as u64).read_to_end(&mut payload)?;
    if payload.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((kind, payload))
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_as_it_went() {
        let mut wire = Vec::new();
        write(&mut wire, FrameKind::Answer, b"{}").unwrap();
        assert_eq!(read(&mut wire.as_slice(), 2).unwrap(), (FrameKind::Answer, b"{}".to_vec()));
    }

    #[test]
    fn nonsense_is_an_error_and_costs_no_memory() {
        let check = |wire: &[u8]| read(&mut &*wire, 1 << 20).unwrap_err().kind();
        assert_eq!(check(&[9, 0, 0, 0, 0]), io::ErrorKind::InvalidData);
        assert_eq!(check(&[5, 0xff, 0xff, 0xff, 0xff]), io::ErrorKind::InvalidData);
        assert_eq!(check(&[5, 8, 0, 0, 0, b'x']), io::ErrorKind::UnexpectedEof);
        assert_eq!(check(&[5, 8]), io::ErrorKind::UnexpectedEof);
    }
}
