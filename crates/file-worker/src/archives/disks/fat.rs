//! FAT of 12, 16 and 32 bits, with long names. Deleted files are not looked for: nobody who mounts the disk sees them.

use super::image::{Disk, Extents, Pieces, u16_le, u32_le, utf16};
use crate::names;
use crate::walk::Context;
use std::collections::HashSet;

const FOLDERS_MAX: usize = 2_000;
/// Clusters of one file or folder that are followed.
const CLUSTERS_MAX: usize = 1 << 18;
const FOLDER_BYTES_MAX: usize = 1 << 20;

struct Volume<'d, 'a> {
    disk: &'d Disk<'a>,
    bits: u32,
    table: u64,
    data: u64,
    cluster_bytes: u64,
    clusters: u32,
}

/// Walks the volume; `false`: it is none.
pub(super) fn look(disk: &Disk<'_>, ctx: &mut Context<'_>) -> bool {
    let Some(boot) = disk.take::<512>(0) else { return false };
    let (sector, per_cluster) = (u64::from(u16_le(&boot, 11)), u64::from(boot[13]));
    let (reserved, tables) = (u64::from(u16_le(&boot, 14)), u64::from(boot[16]));
    let named = [54, 82].iter().any(|at| boot[*at..*at + 3] == *b"FAT");
    let sane = matches!(sector, 512 | 1024 | 2048 | 4096) && per_cluster.is_power_of_two() && (1..=2).contains(&tables);
    if boot[510..512] != [0x55, 0xaa] || !sane || reserved == 0 || !named && !matches!(boot[0], 0xeb | 0xe9) {
        return false;
    }
    let either = |short: usize, long: usize| match u64::from(u16_le(&boot, short)) {
        0 => u64::from(u32_le(&boot, long)),
        some => some,
    };
    let (table_sectors, sectors) = (either(22, 36), either(19, 32));
    let root_bytes = u64::from(u16_le(&boot, 17)) * 32;
    let table = reserved * sector;
    let root = table + tables * table_sectors * sector;
    let data = root + root_bytes.next_multiple_of(sector);
    let cluster_bytes = sector * per_cluster;
    let clusters = u32::try_from((sectors * sector).saturating_sub(data) / cluster_bytes).unwrap_or(u32::MAX);
    let bits = match clusters {
        0 => return false,
        1..4085 => 12,
        4085..65525 => 16,
        _ => 32,
    };
    let volume = Volume { disk, bits, table, data, cluster_bytes, clusters };
    let first = if bits == 32 { volume.chain(u32_le(&boot, 44)) } else { vec![(Some(root), root_bytes)] };
    volume.walk(first, ctx);
    true
}

impl Volume<'_, '_> {
    fn walk(&self, root: Extents, ctx: &mut Context<'_>) {
        let mut folders = vec![(String::new(), root)];
        let mut seen = HashSet::new();
        while let Some((path, extents)) = folders.pop() {
            if ctx.stop() || seen.len() >= FOLDERS_MAX {
                return;
            }
            if !seen.insert(extents.first().copied()) {
                continue;
            }
            let mut long: Vec<(u8, Vec<u8>)> = Vec::new();
            for entry in self.bytes(&extents).chunks_exact(32) {
                match (entry[0], entry[11]) {
                    (0, _) => break,
                    (0xe5, _) => long.clear(),
                    (order, 0x0f) => {
                        long.push((order & 0x3f, [&entry[1..11], &entry[14..26], &entry[28..32]].concat()))
                    }
                    (_, attributes) if attributes & 0x08 != 0 => long.clear(),
                    (_, attributes) => {
                        let name = long_name(&mut long).unwrap_or_else(|| short_name(entry));
                        if name == "." || name == ".." {
                            continue;
                        }
                        let whole = if path.is_empty() { name } else { format!("{path}/{name}") };
                        let high = if self.bits == 32 { u32::from(u16_le(entry, 20)) << 16 } else { 0 };
                        let extents = self.chain(high | u32::from(u16_le(entry, 26)));
                        if attributes & 0x10 != 0 {
                            folders.push((whole, extents));
                            continue;
                        }
                        names::state(ctx, &whole);
                        let size = u64::from(u32_le(entry, 28));
                        ctx.unpack(&whole, self.disk.file_bytes(), &mut Pieces::new(self.disk, extents, size));
                        if ctx.stop() {
                            return;
                        }
                    }
                }
            }
        }
    }

    fn bytes(&self, extents: &Extents) -> Vec<u8> {
        use std::io::Read;
        let size = extents.iter().map(|(_, length)| length).sum();
        let mut out = Vec::new();
        // This reader knows no errors.
        let _ = Pieces::new(self.disk, extents.clone(), size).take(FOLDER_BYTES_MAX as u64).read_to_end(&mut out);
        out
    }

    /// The clusters from `first` on, neighbours put together.
    fn chain(&self, first: u32) -> Extents {
        let mut extents: Extents = Vec::new();
        let mut cluster = first;
        for _ in 0..CLUSTERS_MAX {
            if cluster < 2 || cluster - 2 >= self.clusters {
                break;
            }
            let at = self.data + u64::from(cluster - 2) * self.cluster_bytes;
            match extents.last_mut() {
                Some((Some(start), length)) if *start + *length == at => *length += self.cluster_bytes,
                _ => extents.push((Some(at), self.cluster_bytes)),
            }
            let Some(next) = self.next(cluster) else { break };
            cluster = next;
        }
        extents
    }

    fn next(&self, cluster: u32) -> Option<u32> {
        let place = |bytes: u64| self.table + bytes;
        match self.bits {
            12 => {
                let pair = self.disk.take::<2>(place(u64::from(cluster) * 3 / 2))?;
                let both = u32::from(u16::from_le_bytes(pair));
                Some(if cluster.is_multiple_of(2) { both & 0xfff } else { both >> 4 })
            }
            16 => Some(u32::from(u16::from_le_bytes(self.disk.take::<2>(place(u64::from(cluster) * 2))?))),
            _ => Some(u32::from_le_bytes(self.disk.take::<4>(place(u64::from(cluster) * 4))?) & 0x0fff_ffff),
        }
    }
}

/// Parts of a long name stand before its short one, last part first.
fn long_name(parts: &mut Vec<(u8, Vec<u8>)>) -> Option<String> {
    parts.sort_by_key(|(order, _)| *order);
    let raw: Vec<u8> = parts.drain(..).flat_map(|(_, part)| part).collect();
    let name = utf16(&raw, true);
    let name = name.split('\0').next().unwrap_or_default();
    (!name.is_empty()).then(|| name.to_owned())
}

fn short_name(entry: &[u8]) -> String {
    let part = |raw: &[u8]| raw.iter().map(|byte| char::from(*byte)).collect::<String>().trim_end().to_lowercase();
    let (stem, extension) = (part(&entry[..8]), part(&entry[8..11]));
    if extension.is_empty() { stem } else { format!("{stem}.{extension}") }
}
