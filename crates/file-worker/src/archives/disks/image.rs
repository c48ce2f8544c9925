//! A disk's bytes by their place on it, wherever in the file they lie: virtual disks keep only the blocks that are in use.

use std::io::{self, Read};
use std::rc::Rc;

/// A disk, or a part of one.
#[derive(Clone)]
pub(super) struct Disk<'a> {
    bytes: &'a [u8],
    blocks: Option<Rc<Blocks>>,
    /// Where this part of the disk begins.
    start: u64,
}

/// Where the blocks of a virtual disk lie in its file; `None` is one that was never written.
pub(super) struct Blocks {
    pub size: u64,
    pub at: Vec<Option<u64>>,
}

/// What the disk has at a place.
enum Piece<'a> {
    Bytes(&'a [u8]),
    /// So many zeros.
    Hole(u64),
    End,
}

impl<'a> Disk<'a> {
    /// An image that is the disk, byte for byte.
    pub fn plain(bytes: &'a [u8]) -> Disk<'a> {
        Disk { bytes, blocks: None, start: 0 }
    }

    pub fn in_blocks(bytes: &'a [u8], blocks: Blocks) -> Disk<'a> {
        Disk { bytes, blocks: Some(Rc::new(blocks)), start: 0 }
    }

    /// The part that begins at byte `start` of this one.
    pub fn part(&self, start: u64) -> Disk<'a> {
        Disk { start: self.start.saturating_add(start), ..self.clone() }
    }

    /// Bytes of the image file.
    pub fn file_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn piece(&self, at: u64) -> Piece<'a> {
        let Some(at) = self.start.checked_add(at) else { return Piece::End };
        let file = |from: u64| {
            usize::try_from(from).ok().and_then(|from| self.bytes.get(from..)).filter(|rest| !rest.is_empty())
        };
        let Some(blocks) = &self.blocks else { return file(at).map_or(Piece::End, Piece::Bytes) };
        let (index, within) = (at / blocks.size, at % blocks.size);
        let left = blocks.size - within;
        match usize::try_from(index).ok().and_then(|index| blocks.at.get(index)) {
            None => Piece::End,
            Some(None) => Piece::Hole(left),
            Some(Some(start)) => match start.checked_add(within).and_then(file) {
                Some(rest) => Piece::Bytes(&rest[..rest.len().min(usize::try_from(left).unwrap_or(usize::MAX))]),
                None => Piece::End,
            },
        }
    }

    /// Fills `out` from `at` on; says how much there was.
    fn fill(&self, mut at: u64, out: &mut [u8]) -> usize {
        let mut done = 0;
        while done < out.len() {
            let count = match self.piece(at) {
                Piece::End => break,
                Piece::Hole(left) => {
                    let count = usize::try_from(left).unwrap_or(usize::MAX).min(out.len() - done);
                    out[done..done + count].fill(0);
                    count
                }
                Piece::Bytes(bytes) => {
                    let count = bytes.len().min(out.len() - done);
                    out[done..done + count].copy_from_slice(&bytes[..count]);
                    count
                }
            };
            done += count;
            at += count as u64;
        }
        done
    }

    /// `N` bytes at `at`; `None` where the disk ends before.
    pub fn take<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let mut out = [0; N];
        (self.fill(at, &mut out) == N).then_some(out)
    }

    /// `length` bytes at `at`, for structures that the caller bounds; `None` where the disk ends before.
    pub fn read(&self, at: u64, length: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; length];
        (self.fill(at, &mut out) == length).then_some(out)
    }
}

/// Places and lengths of a file's pieces on its disk; a piece without a place is zeros.
pub(super) type Extents = Vec<(Option<u64>, u64)>;

/// Reads a file whose pieces lie here and there, up to its size or to where the disk ends.
pub(super) struct Pieces<'d, 'a> {
    disk: &'d Disk<'a>,
    extents: std::vec::IntoIter<(Option<u64>, u64)>,
    current: (Option<u64>, u64),
    left: u64,
}

impl<'d, 'a> Pieces<'d, 'a> {
    pub fn new(disk: &'d Disk<'a>, extents: Extents, size: u64) -> Self {
        Pieces { disk, extents: extents.into_iter(), current: (None, 0), left: size }
    }
}

impl Read for Pieces<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.current.1 == 0 {
            match self.extents.next() {
                Some(next) => self.current = next,
                None => return Ok(0),
            }
        }
        let (at, length) = self.current;
        let most = usize::try_from(length.min(self.left)).unwrap_or(usize::MAX).min(out.len());
        let out = &mut out[..most];
        let count = match at {
            Some(at) => self.disk.fill(at, out),
            None => {
                out.fill(0);
                most
            }
        };
        self.left -= count as u64;
        self.current = (at.map(|at| at + count as u64), length - count as u64);
        Ok(count)
    }
}

/// Little-endian numbers of a structure that was read whole; zero beyond its end.
pub(super) fn u16_le(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

pub(super) fn u32_le(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_le(bytes, at)) | u32::from(u16_le(bytes, at + 2)) << 16
}

pub(super) fn u64_le(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_le(bytes, at)) | u64::from(u32_le(bytes, at + 4)) << 32
}

/// UTF-16 of either byte order.
pub(super) fn utf16(raw: &[u8], little: bool) -> String {
    let unit = |pair: &[u8]| {
        let pair = [pair[0], pair[1]];
        if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
    };
    String::from_utf16_lossy(&raw.chunks_exact(2).map(unit).collect::<Vec<_>>())
}
