//! Disk images: ISO 9660 with Joliet names is read as a file system; every other image is searched, sector by sector, for
//! beginnings of files that run. What is carved so has no name, but what matters of it is what it is.

use crate::kind::{Kind, Nature, detect};
use crate::names;
use crate::walk::{Context, Thing};
use guarita_message::{FileClass, GapReason};
use std::collections::HashSet;

const SECTOR: usize = 2048;
/// Folders of an ISO that are read.
const FOLDERS_MAX: usize = 2_000;
/// Files carved out of one image, and how far each is taken to reach.
const CARVED_MAX: usize = 64;
const CARVED_BYTES_MAX: usize = 32 << 20;

pub(super) fn wants(thing: &Thing<'_>) -> bool {
    thing.kind.nature() == Nature::DiskImage
}

pub(super) fn look(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    match thing.kind {
        Kind::Iso if look_at_iso(thing, ctx) => {}
        Kind::Wim | Kind::SquashFs | Kind::Qcow => {
            ctx.gap_of(
                GapReason::Unsupported,
                "its files are compressed in a form nobody here reads",
                FileClass::Archive,
            );
        }
        Kind::Dmg if thing.bytes.get(1024..1026) != Some(b"H+") && thing.bytes.get(1024..1026) != Some(b"HX") => {
            ctx.gap_of(GapReason::Unsupported, "its blocks are compressed", FileClass::Archive);
        }
        _ => {
            carve(thing.bytes, ctx);
            // Scripts and texts in it have no beginning that shows.
            let detail = "its file system is not read; only files that begin at a sector's start were looked at";
            ctx.gap_of(GapReason::Unsupported, detail, FileClass::Archive);
        }
    }
}

/// Walks the folders. `false`: there is no file system to be found.
fn look_at_iso(thing: &Thing<'_>, ctx: &mut Context<'_>) -> bool {
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

/// Looks at each sector's first bytes.
fn carve(bytes: &[u8], ctx: &mut Context<'_>) {
    let mut carved = 0;
    for (number, start) in (0..bytes.len()).step_by(512).enumerate().skip(1) {
        if number % 4096 == 0 && ctx.stop() {
            return;
        }
        let rest = &bytes[start..];
        let known: &[&[u8]] = &[
            b"MZ",
            b"\x7fELF",
            b"L\0\0\0\x01\x14\x02\0",
            b"PK\x03\x04",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            b"%PDF-",
            b"Rar!\x1a\x07",
            b"7z\xbc\xaf\x27\x1c",
            b"dex\n",
            b"MSCF",
            b"\xcf\xfa\xed\xfe",
            b"\xca\xfe\xba\xbe",
            b"#!/",
            b"ITSF",
            b"<!DOCTYPE html",
            b"<html",
            b"<script",
            b"@echo off",
        ];
        if !known.iter().any(|beginning| rest.starts_with(beginning)) {
            continue;
        }
        let body = &rest[..rest.len().min(CARVED_BYTES_MAX)];
        let kind = detect(body, "");
        if matches!(kind, Kind::Unknown | Kind::Text | Kind::Dos) {
            continue;
        }
        ctx.child(&format!("sector {number}"), body);
        carved += 1;
        if carved == CARVED_MAX {
            return;
        }
    }
}
