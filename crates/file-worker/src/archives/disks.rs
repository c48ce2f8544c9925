//! Disk images: the file systems people mount by a double click (ISO 9660, UDF, FAT, NTFS), bare, in partitions, and in
//! the virtual disks of VHD and VHDX. What has another file system is searched, sector by sector, for beginnings of files
//! that run; what is carved so has no name, but what matters of it is what it is.

mod fat;
mod image;
mod iso;
mod ntfs;
mod udf;
mod virtual_disks;

use crate::kind::{Kind, Nature, detect};
use crate::walk::{Context, Thing};
use guarita_message::{FileClass, GapReason};
use image::Disk;

/// Files carved out of one image, and how far each is taken to reach.
const CARVED_MAX: usize = 64;
const CARVED_BYTES_MAX: usize = 32 << 20;
/// Partitions of one disk.
const PARTITIONS_MAX: usize = 16;

pub(super) fn wants(thing: &Thing<'_>) -> bool {
    thing.kind.nature() == Nature::DiskImage
}

pub(super) fn look(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let plain = Disk::plain(thing.bytes);
    let was_read = match thing.kind {
        // A disc may show one content to old readers and another to Windows: both are looked at.
        Kind::Iso | Kind::Udf => {
            let newer = udf::look(&plain, ctx);
            let older = thing.kind == Kind::Iso && iso::look(thing, ctx);
            newer || older
        }
        Kind::Vhd | Kind::Vhdx => virtual_disks::open(thing.bytes).is_some_and(|disk| look_at_volumes(&disk, ctx)),
        Kind::RawDisk => look_at_volumes(&plain, ctx),
        _ => false,
    };
    if was_read {
        return;
    }
    match thing.kind {
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

/// One file system over the whole disk, or one in each partition. `true`: every one of them was read.
fn look_at_volumes(disk: &Disk<'_>, ctx: &mut Context<'_>) -> bool {
    if look_at_volume(disk, ctx) {
        return true;
    }
    let parts = partitions(disk);
    let mut read = 0;
    for start in &parts {
        read += usize::from(look_at_volume(&disk.part(*start), ctx));
        if ctx.stop() {
            return true; // said so
        }
    }
    read > 0 && read == parts.len()
}

fn look_at_volume(volume: &Disk<'_>, ctx: &mut Context<'_>) -> bool {
    ntfs::look(volume, ctx) || fat::look(volume, ctx) || udf::look(volume, ctx)
}

/// Where the partitions begin, in bytes: by the old table, or by the one of GUIDs it may stand for.
fn partitions(disk: &Disk<'_>) -> Vec<u64> {
    const SECTOR: u64 = 512;
    const RESERVED: [u8; 16] =
        [0x16, 0xe3, 0xc9, 0xe3, 0x5c, 0x0b, 0xb8, 0x4d, 0x81, 0x7d, 0xf9, 0x2d, 0xf0, 0x02, 0x15, 0xae];
    let Some(first) = disk.take::<512>(0) else { return Vec::new() };
    let entries = first[446..510].chunks_exact(16).filter(|entry| entry[4] != 0);
    let mut starts: Vec<u64> = Vec::new();
    for entry in entries {
        if entry[4] != 0xee {
            starts.push(u64::from(u32::from_le_bytes([entry[8], entry[9], entry[10], entry[11]])) * SECTOR);
            continue;
        }
        let Some(header) = disk.take::<92>(SECTOR).filter(|header| header.starts_with(b"EFI PART")) else { continue };
        let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (table, count, size) = (u64::from(number(72)), number(80).min(128), u64::from(number(84)));
        for index in 0..u64::from(count) {
            let Some(at) = table.checked_mul(SECTOR).and_then(|at| at.checked_add(index * size)) else { break };
            let Some(entry) = disk.take::<48>(at) else { break };
            let kind = &entry[..16];
            if kind != [0; 16] && kind != RESERVED {
                let start = u64::from(u32::from_le_bytes([entry[32], entry[33], entry[34], entry[35]]));
                starts.push(start * SECTOR);
            }
        }
    }
    starts.truncate(PARTITIONS_MAX);
    starts
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
