//! A zip's headers: the central directory, the local headers it points at, and local headers it keeps silent about.

use std::collections::HashSet;
use std::ops::Range;

/// Headers read from one zip; more is an attack or a backup, not a message's attachment.
const ENTRIES_MAX: usize = 65_536;
/// The comment at the end has at most this many bytes, and the end record stands before it.
const END_SEARCH_BYTES: usize = 65_557;
/// Things odd about one zip that are kept.
const ODDITIES_MAX: usize = 64;

/// A zip by its headers.
pub struct Zip<'a> {
    bytes: &'a [u8],
    entries: Vec<Entry>,
    oddities: Vec<Oddity>,
    /// Bytes before the first local header: a self-extractor's program, or the file the zip hides behind.
    pub prefix_bytes: usize,
}

/// One entry as its header says; the name is decoded for reading, never used as a path.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub name: String,
    pub method: u16,
    pub flags: u16,
    pub crc: u32,
    pub packed: u64,
    pub unpacked: u64,
    /// Where its packed bytes lie; `None` where the local header is missing or the bytes end too early.
    pub data: Option<Range<usize>>,
    pub aes: Option<Aes>,
    /// Unpacked on Unix it becomes a symbolic link to where its content says.
    pub is_link: bool,
    /// What the old cipher's header must end in.
    pub(super) check_byte: u8,
}

/// WinZip's extra field.
#[derive(Clone, Copy, Debug)]
pub struct Aes {
    pub strength: u8,
    pub method: u16,
}

/// What an honest packer does not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// Several entries use the same packed bytes.
    Overlap,
    /// The local header names another file than the directory.
    HeadersDisagree(String),
    /// A local header that the directory does not list.
    Hidden(String),
    /// Part of a split archive.
    Split,
    TooMany,
    NoDirectory,
}

impl Entry {
    pub fn is_folder(&self) -> bool {
        self.name.ends_with('/') && self.unpacked == 0
    }

    pub fn is_encrypted(&self) -> bool {
        self.flags & 1 != 0
    }

    /// PKWARE's certificate encryption: nobody opens it with a password.
    pub fn is_strongly_encrypted(&self) -> bool {
        self.flags & 0x40 != 0
    }
}

impl<'a> Zip<'a> {
    /// Reads the headers of `bytes`; never fails, says what is odd instead.
    pub fn open(bytes: &'a [u8]) -> Zip<'a> {
        let mut zip = Zip { bytes, entries: Vec::new(), oddities: Vec::new(), prefix_bytes: 0 };
        match find_end(bytes) {
            Some(end) => zip.read_directory(&end),
            None => zip.odd(Oddity::NoDirectory),
        }
        zip.read_unlisted();
        zip.find_overlaps();
        zip
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn oddities(&self) -> &[Oddity] {
        &self.oddities
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Packed bytes of entry `index`.
    pub(super) fn packed_bytes(&self, index: usize) -> Option<&'a [u8]> {
        self.bytes.get(self.entries.get(index)?.data.clone()?)
    }

    /// Bytes of an entry that is neither compressed nor encrypted.
    pub fn stored_bytes(&self, index: usize) -> Option<&'a [u8]> {
        let entry = self.entries.get(index)?;
        if entry.method == 0 && !entry.is_encrypted() { self.packed_bytes(index) } else { None }
    }

    fn odd(&mut self, oddity: Oddity) {
        if self.oddities.len() < ODDITIES_MAX && !self.oddities.contains(&oddity) {
            self.oddities.push(oddity);
        }
    }

    fn read_directory(&mut self, end: &End) {
        if end.is_split {
            self.odd(Oddity::Split);
        }
        self.prefix_bytes = end.prefix;
        let mut at = end.directory;
        let mut first_header = usize::MAX;
        while let Some(header) = self.bytes.get(at..).filter(|b| b.len() >= 46 && b.starts_with(b"PK\x01\x02")) {
            if self.entries.len() >= ENTRIES_MAX {
                self.odd(Oddity::TooMany);
                break;
            }
            let (name_len, extra_len, comment_len) =
                (u16_at(header, 28) as usize, u16_at(header, 30) as usize, u16_at(header, 32) as usize);
            let raw_name = header.get(46..46 + name_len).unwrap_or_default();
            let extra = header.get(46 + name_len..46 + name_len + extra_len).unwrap_or_default();
            let flags = u16_at(header, 8);
            let mut entry = Entry {
                name: decode_name(raw_name, flags, extra),
                method: u16_at(header, 10),
                flags,
                crc: u32_at(header, 16),
                packed: u64::from(u32_at(header, 20)),
                unpacked: u64::from(u32_at(header, 24)),
                data: None,
                aes: None,
                // Made on Unix, and its mode says so.
                is_link: header[5] == 3 && u32_at(header, 38) >> 28 == 0o12,
                check_byte: 0,
            };
            let mut offset = u64::from(u32_at(header, 42));
            read_extra(&mut entry, extra, Some(&mut offset));
            entry.check_byte = check_byte(&entry, u16_at(header, 12));
            let local = usize::try_from(offset).ok().and_then(|offset| offset.checked_add(end.prefix));
            if let Some(local) = local {
                first_header = first_header.min(local);
                self.find_data(&mut entry, local, raw_name);
            }
            self.entries.push(entry);
            at += 46 + name_len + extra_len + comment_len;
        }
        if first_header != usize::MAX {
            self.prefix_bytes = first_header.min(self.bytes.len());
        }
    }

    /// Looks at the local header at `local`; notes where it disagrees with the directory.
    fn find_data(&mut self, entry: &mut Entry, local: usize, central_name: &[u8]) {
        let Some(header) = self.bytes.get(local..).filter(|b| b.len() >= 30 && b.starts_with(b"PK\x03\x04")) else {
            return;
        };
        let (name_len, extra_len) = (u16_at(header, 26) as usize, u16_at(header, 28) as usize);
        let local_name = header.get(30..30 + name_len).unwrap_or_default();
        let start = local + 30 + name_len + extra_len;
        if local_name != central_name && !same_but_for_slashes(local_name, central_name) {
            let name = decode_name(local_name, u16_at(header, 6), &[]);
            self.odd(Oddity::HeadersDisagree(format!("{} / {name}", entry.name)));
        }
        // A reader that trusts the local header would unpack more than the directory shows.
        let local_packed = u64::from(u32_at(header, 18));
        if u16_at(header, 6) & 8 == 0 && local_packed > entry.packed && local_packed != u64::from(u32::MAX) {
            self.odd(Oddity::HeadersDisagree(format!("{}: two lengths", entry.name)));
            entry.packed = local_packed;
        }
        let packed = usize::try_from(entry.packed).unwrap_or(usize::MAX);
        // Truncated data is still looked at as far as it goes.
        let end = start.saturating_add(packed).min(self.bytes.len());
        if start < self.bytes.len() || packed == 0 {
            entry.data = Some(start.min(end)..end);
        }
    }

    /// Local headers that no directory entry points at: all of them where there is no directory, hidden ones otherwise.
    fn read_unlisted(&mut self) {
        let listed: HashSet<usize> =
            self.entries.iter().filter_map(|e| e.data.as_ref().map(|data| data.start)).collect();
        let no_directory = self.entries.is_empty();
        let mut ranges: Vec<Range<usize>> = self.entries.iter().filter_map(|e| e.data.clone()).collect();
        ranges.sort_by_key(|range| range.start);
        let finder = memchr::memmem::Finder::new(b"PK\x03\x04");
        let mut at = 0;
        let mut found = 0;
        while let Some(next) = self.bytes.get(at..).and_then(|rest| finder.find(rest)) {
            let local = at + next;
            at = local + 4;
            // Inside the packed bytes of a listed entry there may be a stored zip, with local headers of its own.
            let place = ranges.partition_point(|range| range.start <= local);
            if place > 0 && ranges[place - 1].end > local {
                at = ranges[place - 1].end.max(at);
                continue;
            }
            let Some(entry) = self.local_entry(local) else { continue };
            let Some(data) = entry.data.clone() else { continue };
            if listed.contains(&data.start) {
                at = data.end.max(at);
                continue;
            }
            found += 1;
            if found > ENTRIES_MAX || self.entries.len() >= ENTRIES_MAX {
                self.odd(Oddity::TooMany);
                break;
            }
            if !no_directory {
                self.odd(Oddity::Hidden(entry.name.clone()));
            }
            at = data.end.max(at);
            self.entries.push(entry);
        }
    }

    /// An entry by its local header alone. With a trailing data descriptor its length is not known beforehand: it then
    /// reaches to the next header.
    fn local_entry(&self, local: usize) -> Option<Entry> {
        let header = self.bytes.get(local..).filter(|b| b.len() >= 30)?;
        let (name_len, extra_len) = (u16_at(header, 26) as usize, u16_at(header, 28) as usize);
        let raw_name = header.get(30..30 + name_len)?;
        let extra = header.get(30 + name_len..30 + name_len + extra_len).unwrap_or_default();
        let flags = u16_at(header, 6);
        let method = u16_at(header, 8);
        if name_len == 0 || name_len > 4096 || !matches!(method, 0..=20 | 93..=99) {
            return None;
        }
        let mut entry = Entry {
            name: decode_name(raw_name, flags, extra),
            method,
            flags,
            crc: u32_at(header, 14),
            packed: u64::from(u32_at(header, 18)),
            unpacked: u64::from(u32_at(header, 22)),
            ..Entry::default()
        };
        read_extra(&mut entry, extra, None);
        entry.check_byte = check_byte(&entry, u16_at(header, 10));
        let start = local + 30 + name_len + extra_len;
        let rest = self.bytes.get(start..)?;
        let length = match usize::try_from(entry.packed) {
            Ok(packed) if packed > 0 || flags & 8 == 0 => packed.min(rest.len()),
            _ => {
                let next = memchr::memmem::find_iter(rest, b"PK").find(|at| {
                    matches!(rest.get(at + 2..at + 4), Some(b"\x03\x04" | b"\x01\x02" | b"\x07\x08" | b"\x05\x06"))
                });
                next.unwrap_or(rest.len())
            }
        };
        entry.packed = length as u64;
        entry.data = Some(start..start + length);
        Some(entry)
    }

    fn find_overlaps(&mut self) {
        let mut ranges: Vec<Range<usize>> =
            self.entries.iter().filter_map(|e| e.data.clone()).filter(|data| !data.is_empty()).collect();
        ranges.sort_by_key(|range| range.start);
        if ranges.windows(2).any(|pair| pair[1].start < pair[0].end) {
            self.odd(Oddity::Overlap);
        }
    }
}

/// Where the directory is.
struct End {
    directory: usize,
    /// What must be added to every offset: bytes that stand before the zip.
    prefix: usize,
    is_split: bool,
}

/// The last end record that leads to a directory.
fn find_end(bytes: &[u8]) -> Option<End> {
    let from = bytes.len().saturating_sub(END_SEARCH_BYTES);
    let mut fallback = None;
    for at in memchr::memmem::rfind_iter(&bytes[from..], b"PK\x05\x06").take(64) {
        let at = from + at;
        let Some(end) = read_end(bytes, at) else { continue };
        if bytes.get(end.directory..).is_some_and(|b| b.starts_with(b"PK\x01\x02")) {
            return Some(end);
        }
        fallback = fallback.or(Some(end)); // an empty zip
    }
    fallback
}

fn read_end(bytes: &[u8], at: usize) -> Option<End> {
    let record = bytes.get(at..at + 22)?;
    let disk = u16_at(record, 4);
    let mut size = u64::from(u32_at(record, 12));
    let mut offset = u64::from(u32_at(record, 16));
    let mut before = at;
    let is_wide = offset == u64::from(u32::MAX) || size == u64::from(u32::MAX) || u16_at(record, 10) == u16::MAX;
    if is_wide && let Some((end64, size64, offset64)) = read_end64(bytes, at) {
        (before, size, offset) = (end64, size64, offset64);
    }
    let is_split = disk != 0 && disk != u16::MAX;
    let size = usize::try_from(size).ok()?;
    let offset = usize::try_from(offset).ok()?;
    // Offsets count from the zip's own start, which may lie behind a prefix.
    let by_size = before.checked_sub(size);
    let at_size = by_size.filter(|at| bytes.get(*at..).is_some_and(|b| b.starts_with(b"PK\x01\x02")));
    let (directory, prefix) = match at_size {
        Some(directory) if directory >= offset => (directory, directory - offset),
        _ => (offset.min(bytes.len()), 0),
    };
    Some(End { directory, prefix, is_split })
}

/// Zip64: the locator stands right before the end record and names the place of the wider record.
fn read_end64(bytes: &[u8], end: usize) -> Option<(usize, u64, u64)> {
    let locator = bytes.get(end.checked_sub(20)?..end)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return None;
    }
    let stated = usize::try_from(u64_at(locator, 8)).ok();
    let at = stated
        .filter(|at| bytes.get(*at..).is_some_and(|b| b.starts_with(b"PK\x06\x06")))
        .or_else(|| memchr::memmem::rfind(&bytes[..end], b"PK\x06\x06"))?;
    let record = bytes.get(at..at + 56)?;
    Some((at, u64_at(record, 40), u64_at(record, 48)))
}

/// Zip64 sizes and WinZip's AES field.
fn read_extra(entry: &mut Entry, mut extra: &[u8], offset: Option<&mut u64>) {
    let mut offset = offset;
    while extra.len() >= 4 {
        let (id, length) = (u16_at(extra, 0), u16_at(extra, 2) as usize);
        let Some(field) = extra.get(4..4 + length) else { return };
        match id {
            0x0001 => {
                let mut wide = field.chunks_exact(8).map(|c| u64_at(c, 0));
                let full = u64::from(u32::MAX);
                if entry.unpacked == full {
                    entry.unpacked = wide.next().unwrap_or(full);
                }
                if entry.packed == full {
                    entry.packed = wide.next().unwrap_or(full);
                }
                if let Some(offset) = offset.as_deref_mut().filter(|offset| **offset == full) {
                    *offset = wide.next().unwrap_or(full);
                }
            }
            0x9901 if length >= 7 => entry.aes = Some(Aes { strength: field[4], method: u16_at(field, 5) }),
            _ => {}
        }
        extra = &extra[4 + length..];
    }
}

fn check_byte(entry: &Entry, time: u16) -> u8 {
    if entry.flags & 8 != 0 { (time >> 8) as u8 } else { (entry.crc >> 24) as u8 }
}

/// UTF-8 where flagged or valid, else the code page of DOS in western countries, which Windows still writes.
fn decode_name(raw: &[u8], _flags: u16, extra: &[u8]) -> String {
    let unicode = unicode_path(extra);
    match std::str::from_utf8(unicode.unwrap_or(raw)) {
        Ok(name) => name.to_owned(),
        Err(_) => raw
            .iter()
            .map(|byte| if *byte < 0x80 { char::from(*byte) } else { DOS[usize::from(*byte - 0x80)] })
            .collect(),
    }
}

/// Code page 850 from 128 on.
const DOS: [char; 128] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å', 'É', 'æ', 'Æ', 'ô', 'ö', 'ò', 'û',
    'ù', 'ÿ', 'Ö', 'Ü', 'ø', '£', 'Ø', '×', 'ƒ', 'á', 'í', 'ó', 'ú', 'ñ', 'Ñ', 'ª', 'º', '¿', '®', '¬', '½', '¼', '¡',
    '«', '»', '░', '▒', '▓', '│', '┤', 'Á', 'Â', 'À', '©', '╣', '║', '╗', '╝', '¢', '¥', '┐', '└', '┴', '┬', '├', '─',
    '┼', 'ã', 'Ã', '╚', '╔', '╩', '╦', '╠', '═', '╬', '¤', 'ð', 'Ð', 'Ê', 'Ë', 'È', 'ı', 'Í', 'Î', 'Ï', '┘', '┌', '█',
    '▄', '¦', 'Ì', '▀', 'Ó', 'ß', 'Ô', 'Ò', 'õ', 'Õ', 'µ', 'þ', 'Þ', 'Ú', 'Û', 'Ù', 'ý', 'Ý', '¯', '´', '\u{ad}', '±',
    '‗', '¾', '¶', '§', '÷', '¸', '°', '¨', '·', '¹', '³', '²', '■', '\u{a0}',
];

/// Info-ZIP's Unicode path, which extractors show instead of the name.
fn unicode_path(mut extra: &[u8]) -> Option<&[u8]> {
    while extra.len() >= 4 {
        let (id, length) = (u16_at(extra, 0), u16_at(extra, 2) as usize);
        let field = extra.get(4..4 + length)?;
        if id == 0x7075 && length > 5 && field[0] == 1 {
            return Some(&field[5..]);
        }
        extra = &extra[4 + length..];
    }
    None
}

fn same_but_for_slashes(a: &[u8], b: &[u8]) -> bool {
    let plain = |byte: &u8| if *byte == b'\\' { b'/' } else { *byte };
    a.len() == b.len() && a.iter().map(plain).eq(b.iter().map(plain))
}

/// Little-endian numbers of a header whose length was checked; zero beyond its end.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
