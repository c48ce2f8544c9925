//! OLE2 compound files (old Word, Excel, PowerPoint, MSI, Outlook messages, embedded objects): a bounded, forgiving
//! reader of their folders and streams. Says what is inside, not what it means; broken files give what can be read.

use super::bytes::{index, take, u16_le, u32_le, u64_le, utf16_le};

const MAGIC: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
const END_OF_CHAIN: u32 = 0xffff_fffe;
const FREE: u32 = 0xffff_ffff;
/// Entries of a document are a few hundred; more is an attempt to make us walk.
const ENTRIES_MAX: usize = 20_000;
/// Folder depth below the root.
const DEPTH_MAX: usize = 32;
/// A stream is read up to here.
pub const STREAM_BYTES_MAX: usize = 64 << 20;

/// One stream or storage with its full path (`Macros/VBA/dir`).
#[derive(Debug, Clone)]
pub struct Entry {
    pub path: String,
    pub is_stream: bool,
    pub size: u64,
    pub clsid: [u8; 16],
    start: u32,
}

impl Entry {
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

#[derive(Debug)]
pub struct Ole<'a> {
    data: &'a [u8],
    sector: usize,
    mini_sector: usize,
    mini_cutoff: u64,
    fat: Vec<u32>,
    mini_fat: Vec<u32>,
    mini_stream: Vec<u8>,
    pub entries: Vec<Entry>,
    pub root_clsid: [u8; 16],
}

impl<'a> Ole<'a> {
    /// `None`: not a compound file, or so broken that no folder can be read.
    pub fn parse(data: &'a [u8]) -> Option<Ole<'a>> {
        if !data.starts_with(MAGIC) {
            return None;
        }
        let sector = 1usize << u16_le(data, 30).filter(|shift| (7..=16).contains(shift))?;
        let mini_sector = 1usize << u16_le(data, 32).filter(|shift| (4..=12).contains(shift))?;
        let mut ole = Ole {
            data,
            sector,
            mini_sector,
            mini_cutoff: u64::from(u32_le(data, 56)?),
            fat: Vec::new(),
            mini_fat: Vec::new(),
            mini_stream: Vec::new(),
            entries: Vec::new(),
            root_clsid: [0; 16],
        };
        ole.fat = ole.read_fat()?;
        let folder = ole.read_chain(u32_le(data, 48)?, ENTRIES_MAX * 128);
        let mini_fat = ole.read_chain(u32_le(data, 60)?, data.len());
        ole.mini_fat = mini_fat.chunks_exact(4).filter_map(|four| u32_le(four, 0)).collect();
        let root = folder.get(..128)?;
        ole.root_clsid = take(root, 80, 16)?.try_into().ok()?;
        let size = usize::try_from(u64_le(root, 120)?).unwrap_or(usize::MAX).min(data.len());
        ole.mini_stream = ole.read_chain(u32_le(root, 116)?, size);
        ole.walk_folder(&folder);
        Some(ole)
    }

    fn sector_at(&self, number: u32) -> Option<&'a [u8]> {
        let at = index(number).checked_add(1)?.checked_mul(self.sector)?;
        let end = at.checked_add(self.sector)?.min(self.data.len());
        self.data.get(at..end).filter(|bytes| !bytes.is_empty())
    }

    fn read_fat(&self) -> Option<Vec<u32>> {
        let sectors_max = self.data.len() / self.sector + 1;
        let mut numbers: Vec<u32> = (0..109).filter_map(|i| u32_le(self.data, 76 + 4 * i)).collect();
        let (mut next, mut steps) = (u32_le(self.data, 68)?, 0);
        while next < END_OF_CHAIN - 1 && steps < sectors_max {
            let Some(bytes) = self.sector_at(next) else { break };
            let links = bytes.len() / 4;
            numbers.extend((0..links.saturating_sub(1)).filter_map(|i| u32_le(bytes, 4 * i)));
            next = u32_le(bytes, 4 * links.saturating_sub(1)).unwrap_or(END_OF_CHAIN);
            steps += 1;
        }
        let mut fat = Vec::new();
        for number in numbers.into_iter().filter(|n| *n < END_OF_CHAIN - 1).take(sectors_max) {
            let Some(bytes) = self.sector_at(number) else { continue };
            fat.extend(bytes.chunks_exact(4).filter_map(|four| u32_le(four, 0)));
            if fat.len() > sectors_max.saturating_mul(2).saturating_add(self.sector) {
                break;
            }
        }
        Some(fat)
    }

    /// The sectors from `start` on, at most `bytes_max` bytes; a loop ends where the file's sector count is reached.
    fn read_chain(&self, start: u32, bytes_max: usize) -> Vec<u8> {
        let (mut out, mut next) = (Vec::new(), start);
        let steps_max = self.data.len() / self.sector + 1;
        for _ in 0..steps_max {
            if next >= END_OF_CHAIN - 1 || out.len() >= bytes_max {
                break;
            }
            let Some(bytes) = self.sector_at(next) else { break };
            out.extend_from_slice(bytes);
            next = self.fat.get(index(next)).copied().unwrap_or(END_OF_CHAIN);
        }
        out.truncate(bytes_max);
        out
    }

    fn walk_folder(&mut self, folder: &[u8]) {
        let count = folder.len() / 128;
        let mut seen = vec![false; count];
        let child_of_root = u32_le(folder, 76).unwrap_or(FREE);
        let mut waiting = vec![(child_of_root, String::new(), 0)];
        while let Some((number, parent, depth)) = waiting.pop() {
            let at = index(number);
            if at >= count || seen[at] || self.entries.len() >= ENTRIES_MAX {
                continue;
            }
            seen[at] = true;
            let Some(raw) = folder.get(at * 128..at * 128 + 128) else { continue };
            let name_bytes = usize::from(u16_le(raw, 64).unwrap_or(0)).min(64);
            let name = utf16_le(raw.get(..name_bytes).unwrap_or_default()).replace('/', "_");
            let path = if parent.is_empty() { name } else { format!("{parent}/{name}") };
            for sibling in [u32_le(raw, 68), u32_le(raw, 72)].into_iter().flatten() {
                waiting.push((sibling, parent.clone(), depth));
            }
            let kind = raw.get(66).copied().unwrap_or(0);
            if kind == 1 && depth < DEPTH_MAX && path.len() < 2048 {
                waiting.push((u32_le(raw, 76).unwrap_or(FREE), path.clone(), depth + 1));
            }
            if kind == 1 || kind == 2 {
                let size = u64_le(raw, 120).unwrap_or(0);
                let size = if self.sector == 512 { size & 0xffff_ffff } else { size };
                let clsid = take(raw, 80, 16).and_then(|b| b.try_into().ok()).unwrap_or_default();
                let start = u32_le(raw, 116).unwrap_or(END_OF_CHAIN);
                self.entries.push(Entry { path, is_stream: kind == 2, size, clsid, start });
            }
        }
    }

    /// The entry at `path`, in any letter case.
    pub fn entry(&self, path: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.path.eq_ignore_ascii_case(path))
    }

    pub fn has(&self, path: &str) -> bool {
        self.entry(path).is_some()
    }

    pub fn stream(&self, path: &str) -> Option<Vec<u8>> {
        self.entry(path).filter(|entry| entry.is_stream).map(|entry| self.read(entry))
    }

    pub fn read(&self, entry: &Entry) -> Vec<u8> {
        let size = usize::try_from(entry.size).unwrap_or(usize::MAX).min(STREAM_BYTES_MAX);
        if entry.size >= self.mini_cutoff {
            return self.read_chain(entry.start, size);
        }
        let (mut out, mut next) = (Vec::new(), entry.start);
        for _ in 0..=self.mini_fat.len() {
            if next >= END_OF_CHAIN - 1 || out.len() >= size {
                break;
            }
            let Some(at) = index(next).checked_mul(self.mini_sector) else { break };
            let end = at.saturating_add(self.mini_sector).min(self.mini_stream.len());
            let Some(bytes) = self.mini_stream.get(at..end) else { break };
            out.extend_from_slice(bytes);
            next = self.mini_fat.get(index(next)).copied().unwrap_or(END_OF_CHAIN);
        }
        out.truncate(size);
        out
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A small compound file with the given streams, for tests of the formats above it: one sector each for FAT and
    /// folder, streams in sectors of their own (the cut-off for short streams is zero).
    pub fn build(streams: &[(&str, &[u8])]) -> Vec<u8> {
        let mut folders: Vec<(String, Option<usize>)> = vec![("Root Entry".into(), None)];
        let mut parents = vec![usize::MAX];
        for (number, (path, _)) in streams.iter().enumerate() {
            let mut parent = 0;
            let steps: Vec<&str> = path.split('/').collect();
            for (depth, step) in steps.iter().enumerate() {
                let last = depth + 1 == steps.len();
                let known = (0..folders.len()).find(|i| !last && parents[*i] == parent && folders[*i].0 == *step);
                parent = known.unwrap_or_else(|| {
                    folders.push(((*step).to_owned(), last.then_some(number)));
                    parents.push(parent);
                    folders.len() - 1
                });
            }
        }
        let folder_sectors = folders.len().div_ceil(4);
        let mut fat: Vec<u32> = vec![0xffff_fffd];
        for i in 0..folder_sectors {
            fat.push(if i + 1 == folder_sectors { END_OF_CHAIN } else { 2 + i as u32 });
        }
        let mut body = Vec::new();
        let mut starts = Vec::new();
        for (_, bytes) in streams {
            let count = bytes.len().div_ceil(512).max(1);
            starts.push(fat.len() as u32);
            for i in 0..count {
                fat.push(if i + 1 == count { END_OF_CHAIN } else { fat.len() as u32 + 1 });
            }
            let mut padded = bytes.to_vec();
            padded.resize(count * 512, 0);
            body.extend(padded);
        }
        assert!(fat.len() <= 128, "the test builder makes small files");
        fat.resize(128, FREE);
        let mut out = vec![0; 512];
        out[..8].copy_from_slice(MAGIC);
        out[30..32].copy_from_slice(&9u16.to_le_bytes());
        out[32..34].copy_from_slice(&6u16.to_le_bytes());
        out[48..52].copy_from_slice(&1u32.to_le_bytes());
        out[60..64].copy_from_slice(&END_OF_CHAIN.to_le_bytes());
        out[68..72].copy_from_slice(&END_OF_CHAIN.to_le_bytes());
        for i in 0..109 {
            let number = if i == 0 { 0 } else { FREE };
            out[76 + 4 * i..80 + 4 * i].copy_from_slice(&number.to_le_bytes());
        }
        out.extend(fat.iter().flat_map(|n| n.to_le_bytes()));
        let mut table = vec![0u8; folder_sectors * 512];
        for (i, (name, stream)) in folders.iter().enumerate() {
            let raw = &mut table[i * 128..i * 128 + 128];
            let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
            raw[..units.len()].copy_from_slice(&units);
            raw[64..66].copy_from_slice(&(units.len() as u16 + 2).to_le_bytes());
            raw[66] = if i == 0 { 5 } else { if stream.is_some() { 2 } else { 1 } };
            let next = (i + 1..folders.len()).find(|j| parents[*j] == parents[i]).map_or(FREE, |j| j as u32);
            let child = (0..folders.len()).find(|j| parents[*j] == i).map_or(FREE, |j| j as u32);
            raw[68..72].copy_from_slice(&FREE.to_le_bytes());
            raw[72..76].copy_from_slice(&(if i == 0 { FREE } else { next }).to_le_bytes());
            raw[76..80].copy_from_slice(&child.to_le_bytes());
            let (start, size) = stream.map_or((END_OF_CHAIN, 0), |n| (starts[n], streams[n].1.len() as u64));
            raw[116..120].copy_from_slice(&start.to_le_bytes());
            raw[120..128].copy_from_slice(&size.to_le_bytes());
        }
        out.extend(table);
        out.extend(body);
        out
    }

    #[test]
    fn reads_what_was_built() {
        let long = vec![7u8; 1300];
        let file = build(&[("A", b"one"), ("Dir/B", &long), ("Dir/Sub/C", b"three")]);
        let ole = Ole::parse(&file).expect("well formed");
        assert_eq!(ole.stream("a").as_deref(), Some(&b"one"[..]));
        assert_eq!(ole.stream("Dir/B").as_deref(), Some(&long[..]));
        assert_eq!(ole.stream("dir/sub/c").as_deref(), Some(&b"three"[..]));
        assert!(!ole.has("Dir/X"));
    }

    #[test]
    fn a_looping_chain_ends() {
        let mut file = build(&[("A", &[1u8; 600])]);
        // The first sector of A points to itself.
        let first = 2u32;
        let at = 512 + 4 * first as usize;
        file[at..at + 4].copy_from_slice(&first.to_le_bytes());
        let ole = Ole::parse(&file).expect("header is whole");
        assert!(ole.stream("A").expect("there").len() <= file.len());
    }

    #[test]
    fn every_cut_is_survived() {
        let file = build(&[("A", b"one"), ("Dir/B", &[5u8; 900])]);
        for end in (0..file.len()).step_by(7) {
            if let Some(ole) = Ole::parse(&file[..end]) {
                for entry in &ole.entries {
                    let _ = ole.read(entry);
                }
            }
        }
    }
}
