//! VHD and VHDX: which of the disk's blocks lie where in the file. Differencing disks, which are nothing without another
//! file, are not read.

use super::image::{Blocks, Disk, u32_le, u64_le};

/// Blocks of one disk; two terabytes in blocks of two megabytes.
const BLOCKS_MAX: usize = 1 << 20;
const BLOCK_BYTES_MAX: u64 = 256 << 20;

pub(super) fn open(bytes: &[u8]) -> Option<Disk<'_>> {
    if bytes.starts_with(b"vhdxfile") { vhdx(bytes) } else { vhd(bytes) }
}

fn vhd(bytes: &[u8]) -> Option<Disk<'_>> {
    const FOOTER_BYTES: usize = 512;
    let big = |at: usize, within: &[u8]| within.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let end = bytes.len().checked_sub(FOOTER_BYTES)?;
    let footer = [&bytes[end..], bytes].into_iter().find(|footer| footer.starts_with(b"conectix"))?;
    match big(60, footer)? {
        2 => Some(Disk::plain(&bytes[..end])),
        3 => {
            let header =
                bytes.get(usize::try_from(u64::from(big(16, footer)?) << 32 | u64::from(big(20, footer)?)).ok()?..)?;
            if !header.starts_with(b"cxsparse") {
                return None;
            }
            let table = usize::try_from(u64::from(big(16, header)?) << 32 | u64::from(big(20, header)?)).ok()?;
            let count = usize::try_from(big(28, header)?).ok()?.min(BLOCKS_MAX);
            let size = u64::from(big(32, header)?);
            if !size.is_power_of_two() || !(512..=BLOCK_BYTES_MAX).contains(&size) {
                return None;
            }
            // Before each block stands a map of its sectors that are in use.
            let map = (size / 512 / 8).next_multiple_of(512);
            let entries = bytes.get(table..)?.chunks_exact(4).take(count);
            let at = entries
                .map(|entry| u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]]))
                .map(|sector| (sector != u32::MAX).then(|| u64::from(sector) * 512 + map))
                .collect();
            Some(Disk::in_blocks(bytes, Blocks { size, at }))
        }
        _ => None,
    }
}

fn vhdx(bytes: &[u8]) -> Option<Disk<'_>> {
    const REGIONS: [usize; 2] = [192 << 10, 256 << 10];
    const TABLE: &str = "2dc27766-f623-4200-9d64-115e9bfd4a08";
    const METADATA: &str = "8b7ca206-4790-4b9a-b8fe-575f050f886e";
    const PARAMETERS: &str = "caa16737-fa36-4d43-b3b6-33f0aa44e76b";
    const DISK_SIZE: &str = "2fa54224-cd1b-4876-b211-5dbed83bf4b8";
    const SECTOR_SIZE: &str = "8141bf1d-a96f-4709-ba47-f233a8faab5f";
    let regions = REGIONS.iter().filter_map(|at| bytes.get(*at..)).find(|table| table.starts_with(b"regi"))?;
    let region = |id: &str| {
        let entry = regions.get(16..)?.chunks_exact(32).take(64).find(|entry| guid(entry) == id)?;
        bytes.get(usize::try_from(u64_le(entry, 16)).ok()?..)
    };
    let metadata = region(METADATA).filter(|table| table.starts_with(b"metadata"))?;
    let item = |id: &str| {
        let entry = metadata.get(32..)?.chunks_exact(32).take(64).find(|entry| guid(entry) == id)?;
        metadata.get(u32_le(entry, 16) as usize..)
    };
    let size = u64::from(u32_le(item(PARAMETERS)?, 0));
    let sector = u64::from(u32_le(item(SECTOR_SIZE)?, 0));
    let disk_bytes = u64_le(item(DISK_SIZE)?, 0);
    if !size.is_power_of_two() || !(512..=BLOCK_BYTES_MAX).contains(&size) || !matches!(sector, 512 | 4096) {
        return None;
    }
    let count = usize::try_from(disk_bytes.div_ceil(size)).ok()?.min(BLOCKS_MAX);
    // After so many blocks one entry of the table speaks of their sectors.
    let together = usize::try_from(((sector << 23) / size).max(1)).ok()?;
    let table = region(TABLE)?;
    let at = (0..count)
        .map_while(|index| table.get((index + index / together) * 8..)?.get(..8))
        .map(|entry| u64_le(entry, 0))
        .map(|entry| matches!(entry & 7, 6 | 7).then_some(entry & !0xf_ffff))
        .collect();
    Some(Disk::in_blocks(bytes, Blocks { size, at }))
}

/// A GUID as it is written: its first three numbers begin with their last byte.
fn guid(entry: &[u8]) -> String {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let digits = |(number, at): (usize, &usize)| {
        let mark = if matches!(number, 4 | 6 | 8 | 10) { "-" } else { "" };
        format!("{mark}{:02x}", entry.get(*at).copied().unwrap_or(0))
    };
    ORDER.iter().enumerate().map(digits).collect()
}
