//! UDF, as discs and images of them have it. Metadata partitions (of Blu-ray) and virtual ones (of discs written in many
//! sessions) are not read.

use super::image::{Disk, Extents, Pieces, u16_le, u32_le, u64_le, utf16};
use crate::names;
use crate::walk::Context;
use std::collections::HashSet;
use std::io::Read;

const BLOCK_SIZES: [u64; 4] = [2048, 512, 4096, 1024];
/// Descriptors of the volume that are read.
const DESCRIPTORS_MAX: u64 = 64;
const FOLDERS_MAX: usize = 2_000;
const FOLDER_BYTES_MAX: u64 = 1 << 20;
const EXTENTS_MAX: usize = 10_000;
const MAPS_MAX: usize = 8;

/// Tags of descriptors.
const ANCHOR: u16 = 2;
const PARTITION: u16 = 5;
const LOGICAL_VOLUME: u16 = 6;
const FILE_SET: u16 = 256;
const FILE_NAME: u16 = 257;
const FILE: u16 = 261;
const FILE_EXTENDED: u16 = 266;

struct Volume<'d, 'a> {
    disk: &'d Disk<'a>,
    block: u64,
    /// Where each partition that the volume names begins, in bytes.
    partitions: Vec<u64>,
}

struct File {
    is_folder: bool,
    size: u64,
    content: Content,
}

enum Content {
    Inline(Vec<u8>),
    Pieces(Extents),
}

/// Walks the volume; `false`: it is none, or one that cannot be read.
pub(super) fn look(disk: &Disk<'_>, ctx: &mut Context<'_>) -> bool {
    let found = BLOCK_SIZES.iter().find_map(|block| {
        let anchor = disk.take::<512>(256 * block).filter(|anchor| u16_le(anchor, 0) == ANCHOR)?;
        // Another size may have an anchor at the same place; it then says another block for itself.
        (u64::from(u32_le(&anchor, 12)) == 256).then(|| Volume::open(disk, *block, &anchor)).flatten()
    });
    match found {
        Some((volume, root)) => {
            volume.walk(root, ctx);
            true
        }
        None => false,
    }
}

impl<'d, 'a> Volume<'d, 'a> {
    /// The volume, and its outermost folder.
    fn open(disk: &'d Disk<'a>, block: u64, anchor: &[u8]) -> Option<(Self, File)> {
        let (length, start) = (u64::from(u32_le(anchor, 16)), u64::from(u32_le(anchor, 20)));
        let mut starts: Vec<(u16, u64)> = Vec::new();
        let mut logical = None;
        for number in 0..(length / block).min(DESCRIPTORS_MAX) {
            let descriptor = disk.take::<512>((start + number) * block)?;
            match u16_le(&descriptor, 0) {
                PARTITION => starts.push((u16_le(&descriptor, 22), u64::from(u32_le(&descriptor, 188)) * block)),
                LOGICAL_VOLUME => logical = Some(disk.read((start + number) * block, usize::try_from(block).ok()?)?),
                8 => break,
                _ => {}
            }
        }
        let logical = logical.filter(|descriptor| u64::from(u32_le(descriptor, 212)) == block)?;
        let mut volume = Volume { disk, block, partitions: Vec::new() };
        let mut maps = logical.get(440..)?;
        for _ in 0..u32_le(&logical, 268).min(MAPS_MAX as u32) {
            let (kind, length) = (*maps.first()?, usize::from(*maps.get(1)?));
            if kind != 1 {
                return None;
            }
            let number = u16_le(maps, 4);
            volume.partitions.push(starts.iter().find(|(known, _)| *known == number)?.1);
            maps = maps.get(length.max(1)..)?;
        }
        let set = volume.place(u16_le(&logical, 256), u32_le(&logical, 252))?;
        let set = disk.take::<512>(set).filter(|set| u16_le(set, 0) == FILE_SET)?;
        let root = volume.file(u16_le(&set, 408), u32_le(&set, 404)).filter(|root| root.is_folder)?;
        Some((volume, root))
    }

    /// Where block `number` of a partition begins on the disk.
    fn place(&self, partition: u16, number: u32) -> Option<u64> {
        self.partitions.get(usize::from(partition))?.checked_add(u64::from(number) * self.block)
    }

    fn file(&self, partition: u16, number: u32) -> Option<File> {
        let entry = self.disk.read(self.place(partition, number)?, usize::try_from(self.block).ok()?)?;
        let head = match u16_le(&entry, 0) {
            FILE => 168,
            FILE_EXTENDED => 208,
            _ => return None,
        };
        let (skipped, length) = (u32_le(&entry, head) as usize, u32_le(&entry, head + 4) as usize);
        let from = (head + 8).checked_add(skipped)?;
        let described = entry.get(from..from.checked_add(length)?.min(entry.len()))?;
        let content = match u16_le(&entry, 16 + 18) & 7 {
            3 => Content::Inline(described.to_vec()),
            0 => Content::Pieces(self.pieces(described, 8, |piece| self.place(partition, u32_le(piece, 4)))),
            1 => Content::Pieces(self.pieces(described, 16, |piece| self.place(u16_le(piece, 8), u32_le(piece, 4)))),
            _ => return None,
        };
        Some(File { is_folder: entry[16 + 11] == 4, size: u64_le(&entry, 56), content })
    }

    fn pieces(&self, described: &[u8], size: usize, place: impl Fn(&[u8]) -> Option<u64>) -> Extents {
        let mut extents = Vec::new();
        for piece in described.chunks_exact(size).take(EXTENTS_MAX) {
            let (length, kind) = (u64::from(u32_le(piece, 0) & 0x3fff_ffff), u32_le(piece, 0) >> 30);
            if length == 0 || kind == 3 {
                break;
            }
            extents.push((if kind == 0 { place(piece) } else { None }, length));
        }
        extents
    }

    fn walk(&self, root: File, ctx: &mut Context<'_>) {
        let mut folders = vec![(String::new(), root)];
        let mut seen = HashSet::new();
        while let Some((path, folder)) = folders.pop() {
            if ctx.stop() || seen.len() >= FOLDERS_MAX {
                return;
            }
            let listing = match folder.content {
                Content::Inline(bytes) => bytes,
                Content::Pieces(extents) => {
                    let mut bytes = Vec::new();
                    let pieces = Pieces::new(self.disk, extents, folder.size);
                    // This reader knows no errors.
                    let _ = pieces.take(FOLDER_BYTES_MAX).read_to_end(&mut bytes);
                    bytes
                }
            };
            let mut at = 0;
            while let Some(entry) = listing.get(at..).filter(|rest| rest.len() >= 38 && u16_le(rest, 0) == FILE_NAME) {
                let (flags, name_bytes, skipped) = (entry[18], usize::from(entry[19]), usize::from(u16_le(entry, 36)));
                let from = 38 + skipped;
                let name = name(entry.get(from..from + name_bytes).unwrap_or_default());
                at += (from + name_bytes).next_multiple_of(4);
                let (number, partition) = (u32_le(entry, 24), u16_le(entry, 28));
                // The folder above, and what was deleted.
                if flags & 0x0c != 0 {
                    continue;
                }
                let whole = if path.is_empty() { name } else { format!("{path}/{name}") };
                match self.file(partition, number) {
                    Some(file) if file.is_folder => {
                        if seen.insert((partition, number)) {
                            folders.push((whole, file));
                        }
                    }
                    Some(file) => {
                        names::state(ctx, &whole);
                        match file.content {
                            Content::Inline(bytes) => ctx.child(&whole, &bytes),
                            Content::Pieces(extents) => {
                                let mut pieces = Pieces::new(self.disk, extents, file.size);
                                ctx.unpack(&whole, self.disk.file_bytes(), &mut pieces);
                            }
                        }
                    }
                    None => {
                        names::state(ctx, &whole);
                        names::state_unseen(ctx, &whole);
                    }
                }
                if ctx.stop() {
                    return;
                }
            }
        }
    }
}

/// The first byte tells eight bits a letter from sixteen.
fn name(raw: &[u8]) -> String {
    match raw.split_first() {
        Some((16, wide)) => utf16(wide, false),
        Some((_, narrow)) => narrow.iter().map(|byte| char::from(*byte)).collect(),
        None => String::new(),
    }
}
