//! Single parts of a zip by their name, without unpacking the rest: what an app's inspector needs. The archive walker sees
//! every entry; this only reads the few it is asked for.

use super::bytes::{index, take, u16_le, u32_le};
use super::pdf_filters::inflate_raw;
use super::report::Report;

const ENTRIES_MAX: usize = 70_000;

pub struct Parts<'a> {
    data: &'a [u8],
    /// Where the central directory starts; signature blocks stand in front of it.
    pub directory: usize,
    entries: Vec<Part<'a>>,
}

pub struct Part<'a> {
    pub name: &'a [u8],
    method: u16,
    packed: usize,
    offset: usize,
}

impl<'a> Parts<'a> {
    pub fn read(data: &'a [u8]) -> Option<Parts<'a>> {
        let tail = data.len().saturating_sub(66_000);
        let end = tail + memchr::memmem::rfind(data.get(tail..)?, b"PK\x05\x06")?;
        let directory = index(u32_le(data, end + 16)?);
        let mut entries = Vec::new();
        let mut at = directory;
        while take(data, at, 4) == Some(b"PK\x01\x02") && entries.len() < ENTRIES_MAX {
            let (name, extra, comment) = (u16_le(data, at + 28)?, u16_le(data, at + 30)?, u16_le(data, at + 32)?);
            let part = Part {
                name: take(data, at + 46, usize::from(name))?,
                method: u16_le(data, at + 10)?,
                packed: index(u32_le(data, at + 20)?),
                offset: index(u32_le(data, at + 42)?),
            };
            entries.push(part);
            at += 46 + usize::from(name) + usize::from(extra) + usize::from(comment);
        }
        Some(Parts { data, directory, entries })
    }

    pub fn names(&self) -> impl Iterator<Item = &'a [u8]> {
        self.entries.iter().map(|part| part.name)
    }

    /// The content of the part named so.
    pub fn get(&self, name: &[u8], report: &mut dyn Report) -> Option<Vec<u8>> {
        let part = self.entries.iter().find(|part| part.name == name)?;
        if take(self.data, part.offset, 4)? != b"PK\x03\x04" {
            return None;
        }
        let (name_bytes, extra) = (u16_le(self.data, part.offset + 26)?, u16_le(self.data, part.offset + 28)?);
        let start = part.offset.checked_add(30 + usize::from(name_bytes) + usize::from(extra))?;
        let packed = self.data.get(start..start.checked_add(part.packed)?.min(self.data.len()))?;
        match part.method {
            // Android itself treats every method but "stored" as deflate; malware counts on readers that do not.
            0 => Some(packed.to_vec()),
            _ => inflate_raw(packed, report),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    /// A zip of stored entries.
    pub fn build(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (name, body) in entries {
            let offset = out.len() as u32;
            let mut head = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            head.extend((body.len() as u32).to_le_bytes());
            head.extend((body.len() as u32).to_le_bytes());
            head.extend((name.len() as u16).to_le_bytes());
            head.extend([0, 0]);
            out.extend(b"PK\x03\x04");
            out.extend(&head);
            out.extend(name.as_bytes());
            out.extend(*body);
            directory.extend(b"PK\x01\x02\x14\0");
            directory.extend(&head);
            directory.extend([0; 10]);
            directory.extend(offset.to_le_bytes());
            directory.extend(name.as_bytes());
        }
        let start = out.len() as u32;
        out.extend(&directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend((entries.len() as u16).to_le_bytes());
        out.extend((entries.len() as u16).to_le_bytes());
        out.extend((directory.len() as u32).to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend([0, 0]);
        out
    }

    #[test]
    fn parts_by_name() {
        let file = build(&[("a.txt", b"one"), ("dir/b", b"two")]);
        let parts = Parts::read(&file).expect("well formed");
        assert_eq!(parts.get(b"dir/b", &mut Seen::default()).as_deref(), Some(&b"two"[..]));
        assert_eq!(parts.get(b"c", &mut Seen::default()), None);
        for end in 0..file.len() {
            if let Some(parts) = Parts::read(&file[..end]) {
                let _ = parts.get(b"a.txt", &mut Seen::default());
            }
        }
    }
}
