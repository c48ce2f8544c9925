//! NTFS: every file that the master file table lists, its named streams included. What NTFS itself compressed or encrypted
//! is a gap.

use super::image::{Disk, Extents, Pieces, u16_le, u32_le, u64_le, utf16};
use crate::names;
use crate::walk::Context;
use guarita_message::{FileClass, GapReason};
use std::collections::HashMap;

/// Records that are read.
const RECORDS_MAX: u64 = 50_000;
/// The first records are the file system's own.
const OWN_RECORDS: u64 = 24;
const RUNS_MAX: usize = 10_000;
/// Folders above a file that its way shows.
const FOLDERS_SHOWN_MAX: usize = 16;
const RECORD_BYTES: std::ops::RangeInclusive<usize> = 512..=4096;

struct Volume<'d, 'a> {
    disk: &'d Disk<'a>,
    cluster_bytes: u64,
    sector_bytes: usize,
    record_bytes: usize,
}

enum Content {
    Resident(Vec<u8>),
    Runs(Extents, u64),
    /// Compressed or encrypted.
    Closed(&'static str),
}

#[derive(Default)]
struct File {
    name: Option<String>,
    parent: u64,
    is_folder: bool,
    /// Stream names (empty: the file itself) and contents.
    streams: Vec<(String, Content)>,
    /// Its content is described in other records.
    is_spread: bool,
}

/// Walks the volume; `false`: it is none.
pub(super) fn look(disk: &Disk<'_>, ctx: &mut Context<'_>) -> bool {
    let Some(boot) = disk.take::<512>(0).filter(|boot| boot[3..8] == *b"NTFS ") else { return false };
    let sector_bytes = usize::from(u16_le(&boot, 11));
    // Large clusters are written as a negative power of two.
    let per_cluster = if boot[13] > 128 { 1u64 << (256 - u32::from(boot[13])).min(16) } else { u64::from(boot[13]) };
    let cluster_bytes = sector_bytes as u64 * per_cluster;
    let record_bytes = match boot[64].cast_signed() {
        exponent @ -31..=-1 => 1usize << -exponent,
        clusters => usize::try_from(cluster_bytes).unwrap_or(0) * usize::try_from(clusters).unwrap_or(0),
    };
    if !matches!(sector_bytes, 512 | 1024 | 2048 | 4096) || cluster_bytes == 0 || !RECORD_BYTES.contains(&record_bytes)
    {
        return false;
    }
    let volume = Volume { disk, cluster_bytes, sector_bytes, record_bytes };
    let Some(table_at) = u64_le(&boot, 48).checked_mul(cluster_bytes) else { return false };
    let Some(table) = volume.record(table_at).and_then(|record| {
        let file = volume.file(&record);
        file.streams.into_iter().find_map(|(name, content)| match content {
            Content::Runs(extents, size) if name.is_empty() => Some((extents, size)),
            _ => None,
        })
    }) else {
        return false;
    };
    volume.walk(table, ctx);
    true
}

impl Volume<'_, '_> {
    fn walk(&self, (table, size): (Extents, u64), ctx: &mut Context<'_>) {
        let mut files: Vec<(u64, File)> = Vec::new();
        let mut number = 0;
        let last = (size / self.record_bytes as u64).min(RECORDS_MAX);
        'table: for (start, length) in table {
            for within in (0..length).step_by(self.record_bytes) {
                if number >= last || number.is_multiple_of(256) && ctx.stop() {
                    break 'table;
                }
                let place = start.and_then(|start| start.checked_add(within));
                if let Some(record) = place.filter(|_| number >= OWN_RECORDS).and_then(|at| self.record(at)) {
                    let in_use = u16_le(&record, 22) & 1 != 0;
                    let is_base = u64_le(&record, 32) == 0;
                    if in_use && is_base {
                        files.push((number, self.file(&record)));
                    }
                }
                number += 1;
            }
        }
        let places: HashMap<u64, (u64, String)> =
            files.iter().filter_map(|(number, file)| Some((*number, (file.parent, file.name.clone()?)))).collect();
        for (_, file) in files {
            let Some(name) = file.name.filter(|_| !file.is_folder) else { continue };
            let path = path_of(&places, file.parent, &name);
            names::state(ctx, &path);
            if file.is_spread && file.streams.is_empty() {
                closed(&path, "its content is described elsewhere", ctx);
            }
            for (stream, content) in file.streams {
                let path = if stream.is_empty() { path.clone() } else { format!("{path}:{stream}") };
                match content {
                    Content::Resident(bytes) => ctx.child(&path, &bytes),
                    Content::Runs(extents, size) => {
                        ctx.unpack(&path, self.disk.file_bytes(), &mut Pieces::new(self.disk, extents, size));
                    }
                    Content::Closed(how) => closed(&path, how, ctx),
                }
                if ctx.stop() {
                    return;
                }
            }
        }
    }

    /// A record, its sectors' ends put back in place.
    fn record(&self, at: u64) -> Option<Vec<u8>> {
        let mut record = self.disk.read(at, self.record_bytes).filter(|record| record.starts_with(b"FILE"))?;
        let (fixes, count) = (usize::from(u16_le(&record, 4)), usize::from(u16_le(&record, 6)));
        for index in 1..count.min(16) {
            let fix = [*record.get(fixes + 2 * index)?, *record.get(fixes + 2 * index + 1)?];
            let end = index * self.sector_bytes.min(512);
            record.get_mut(end - 2..end)?.copy_from_slice(&fix);
        }
        Some(record)
    }

    fn file(&self, record: &[u8]) -> File {
        let mut file = File { is_folder: u16_le(record, 22) & 2 != 0, ..File::default() };
        let mut at = usize::from(u16_le(record, 20));
        while let Some(attribute) = record.get(at..).filter(|rest| rest.len() >= 24) {
            let (kind, length) = (u32_le(attribute, 0), u32_le(attribute, 4) as usize);
            if kind == u32::MAX || length < 24 {
                break;
            }
            let attribute = &attribute[..length.min(attribute.len())];
            match kind {
                0x20 => file.is_spread = true,
                0x30 => {
                    let value = attribute.get(usize::from(u16_le(attribute, 20))..).unwrap_or_default();
                    // A name for DOS stands beside the one that people see.
                    if value.len() > 66 && (value[65] != 2 || file.name.is_none()) {
                        let raw = value.get(66..66 + 2 * usize::from(value[64])).unwrap_or_default();
                        file.name = Some(utf16(raw, true));
                        file.parent = u64_le(value, 0) & 0xffff_ffff_ffff;
                    }
                }
                0x80 => {
                    let (count, from) = (usize::from(attribute[9]), usize::from(u16_le(attribute, 10)));
                    let name = utf16(attribute.get(from..from + 2 * count).unwrap_or_default(), true);
                    file.streams.push((name, self.content(attribute)));
                }
                _ => {}
            }
            at += length;
        }
        file
    }

    fn content(&self, attribute: &[u8]) -> Content {
        let flags = u16_le(attribute, 12);
        if flags & 0x4000 != 0 {
            return Content::Closed("encrypted by NTFS");
        }
        if attribute[8] == 0 {
            let (length, from) = (u32_le(attribute, 16) as usize, usize::from(u16_le(attribute, 20)));
            let end = from.saturating_add(length).min(attribute.len());
            return Content::Resident(attribute.get(from..end).unwrap_or_default().to_vec());
        }
        if flags & 0x00ff != 0 {
            return Content::Closed("compressed by NTFS");
        }
        let runs = attribute.get(usize::from(u16_le(attribute, 32))..).unwrap_or_default();
        Content::Runs(self.runs(runs), u64_le(attribute, 48))
    }

    /// Lengths and distances of as many bytes as their first byte says.
    fn runs(&self, mut runs: &[u8]) -> Extents {
        let mut extents = Vec::new();
        let mut cluster = 0i64;
        while let Some((&sizes, rest)) = runs.split_first().filter(|(sizes, _)| **sizes != 0) {
            let (count, distance) = (usize::from(sizes & 15), usize::from(sizes >> 4));
            if extents.len() >= RUNS_MAX || count > 8 || distance > 8 || rest.len() < count + distance {
                break;
            }
            let length = little(&rest[..count], false);
            let bytes = u64::try_from(length).unwrap_or(0).saturating_mul(self.cluster_bytes);
            let place = (distance > 0).then(|| {
                cluster = cluster.wrapping_add(little(&rest[count..count + distance], true));
                u64::try_from(cluster).unwrap_or(u64::MAX / 2).saturating_mul(self.cluster_bytes)
            });
            extents.push((place, bytes));
            runs = &rest[count + distance..];
        }
        extents
    }
}

fn closed(path: &str, how: &str, ctx: &mut Context<'_>) {
    names::state_unseen(ctx, path);
    ctx.within(path, |ctx| ctx.gap_of(GapReason::Unsupported, how, FileClass::Other));
}

fn little(bytes: &[u8], signed: bool) -> i64 {
    let negative = signed && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1i64 } else { 0 };
    bytes.iter().rev().fold(start, |number, byte| number << 8 | i64::from(*byte))
}

fn path_of(places: &HashMap<u64, (u64, String)>, parent: u64, name: &str) -> String {
    let mut path = name.to_owned();
    let mut above = parent;
    for _ in 0..FOLDERS_SHOWN_MAX {
        let Some((next, folder)) = places.get(&above) else { break };
        path = format!("{folder}/{path}");
        above = *next;
    }
    path
}
