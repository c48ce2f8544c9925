//! ISO 9660, with Joliet's long names where there are any.

use crate::names;
use crate::walk::{Context, Thing};
use std::collections::HashSet;

const SECTOR: usize = 2048;
/// Folders of an ISO that are read.
const FOLDERS_MAX: usize = 2_000;

/// Walks the folders. `false`: there is no file system to be found.
pub(super) fn look(thing: &Thing<'_>, ctx: &mut Context<'_>) -> bool {
    let bytes = thing.bytes;
    let descriptor = |number: usize| bytes.get((16 + number) * SECTOR..(17 + number) * SECTOR);
    let mut root = None;
    let mut joliet = false;
    for number in 0..32 {
        let Some(volume) = descriptor(number).filter(|volume| &volume[1..6] == b"CD001") else { break };
        match volume[0] {
            1 if root.is_none() => root = Some(&volume[156..190]),
            // Joliet: long names in UTF-16, what Windows shows.
            2 if matches!(&volume[88..91], b"%/@" | b"%/C" | b"%/E") => {
                root = Some(&volume[156..190]);
                joliet = true;
            }
            255 => break,
            _ => {}
        }
    }
    let Some(root) = root else { return false };
    let mut folders = vec![(String::new(), extent_of(root))];
    let mut seen = HashSet::new();
    let mut files = 0;
    while let Some((path, (start, length))) = folders.pop() {
        if ctx.stop() || seen.len() >= FOLDERS_MAX {
            break;
        }
        let Some(records) = slice(bytes, start, length) else { continue };
        if !seen.insert(start) {
            continue;
        }
        let mut at = 0;
        while let Some(&size) = records.get(at) {
            let size = usize::from(size);
            if size == 0 {
                at = (at / SECTOR + 1) * SECTOR; // records do not cross sectors
                continue;
            }
            let Some(record) = records.get(at..at + size).filter(|record| record.len() >= 34) else { break };
            at += size;
            let raw = record.get(33..33 + usize::from(record[32])).unwrap_or_default();
            if matches!(raw, [0] | [1]) {
                continue;
            }
            let name = iso_name(raw, joliet);
            let whole = if path.is_empty() { name } else { format!("{path}/{name}") };
            let (start, length) = extent_of(record);
            if record[25] & 2 != 0 {
                folders.push((whole, (start, length)));
                continue;
            }
            files += 1;
            match slice(bytes, start, length) {
                Some(body) => ctx.child(&whole, body),
                None => names::state(ctx, &whole),
            }
            if ctx.stop() {
                return true;
            }
        }
    }
    files > 0
}

fn extent_of(record: &[u8]) -> (usize, usize) {
    let number =
        |at: usize| record.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])) as usize;
    (number(2), number(10))
}

fn slice(bytes: &[u8], sector: usize, length: usize) -> Option<&[u8]> {
    let start = sector.checked_mul(SECTOR)?;
    let rest = bytes.get(start..)?;
    Some(&rest[..length.min(rest.len())])
}

fn iso_name(raw: &[u8], joliet: bool) -> String {
    let name = if joliet {
        let units: Vec<u16> = raw.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    } else {
        raw.iter().map(|byte| char::from(*byte)).collect()
    };
    name.split(';').next().unwrap_or_default().to_owned()
}
