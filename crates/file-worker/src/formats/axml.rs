//! Android's binary XML (the manifest) and its table of resources (the app's label). Reads chunks; unknown ones are stepped
//! over, as Android does.

use super::bytes::{index, take, u8_at, u16_le, u32_le};

const STRINGS_MAX: usize = 100_000;
const ELEMENTS_MAX: usize = 100_000;
const STRING_CHARS_MAX: usize = 4_000;
/// Strings of one pool, and texts of one document, together; hostile ones may share their bytes.
const TEXT_BYTES_MAX: usize = 32 << 20;

/// A start tag with its attributes.
#[derive(Debug, PartialEq)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, Value)>,
}

#[derive(Debug, PartialEq, Clone)]
pub enum Value {
    Text(String),
    Number(u32),
    /// A resource's id.
    Reference(u32),
}

impl Element {
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    fn bytes(&self) -> usize {
        let of = |value: &Value| if let Value::Text(text) = value { text.len() } else { 0 };
        self.name.len() + self.attributes.iter().map(|(key, value)| key.len() + of(value)).sum::<usize>()
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// Attribute names by resource id, for manifests whose names were emptied to confuse readers.
const KNOWN: &[(u32, &str)] = &[
    (0x0101_0001, "label"),
    (0x0101_0003, "name"),
    (0x0101_0006, "permission"),
    (0x0101_020c, "minSdkVersion"),
    (0x0101_0270, "targetSdkVersion"),
    (0x0101_021c, "versionName"),
];

/// Every start tag of a binary XML document.
pub fn elements(data: &[u8]) -> Option<Vec<Element>> {
    // Android checks the size of the header, not its type; some packers change the latter.
    let mut at = usize::from(u16_le(data, 2)?).max(8);
    let (mut strings, mut ids, mut out) = (Vec::new(), Vec::new(), Vec::new());
    let mut held = 0usize;
    while let (Some(kind), Some(size)) = (u16_le(data, at), u32_le(data, at + 4).map(index)) {
        let chunk = data.get(at..at.saturating_add(size).min(data.len())).unwrap_or_default();
        match kind {
            0x0001 if strings.is_empty() => strings = string_pool(chunk),
            0x0180 => {
                ids = chunk.get(8..).unwrap_or_default().chunks_exact(4).filter_map(|four| u32_le(four, 0)).collect()
            }
            0x0102 if out.len() < ELEMENTS_MAX && held < TEXT_BYTES_MAX => {
                if let Some(found) = element(chunk, &strings, &ids) {
                    held += found.bytes();
                    out.push(found);
                }
            }
            _ => {}
        }
        at = at.checked_add(size.max(8))?;
    }
    (!strings.is_empty()).then_some(out)
}

fn element(chunk: &[u8], strings: &[String], ids: &[u32]) -> Option<Element> {
    let name = strings.get(index(u32_le(chunk, 20)?))?.clone();
    let start = 16 + usize::from(u16_le(chunk, 24)?);
    let size = usize::from(u16_le(chunk, 26)?).max(20);
    let count = usize::from(u16_le(chunk, 28)?);
    let mut attributes = Vec::new();
    for i in 0..count.min(256) {
        let raw = take(chunk, start + i * size, 20)?;
        let name_at = index(u32_le(raw, 4)?);
        let known = ids
            .get(name_at)
            .and_then(|id| KNOWN.iter().find(|(known, _)| known == id))
            .map(|(_, name)| (*name).to_owned());
        let key = known.or_else(|| strings.get(name_at).cloned()).unwrap_or_default();
        let data = u32_le(raw, 16)?;
        let value = match u8_at(raw, 15)? {
            0x03 => Value::Text(strings.get(index(data)).cloned().unwrap_or_default()),
            0x01 => Value::Reference(data),
            _ => match strings.get(index(u32_le(raw, 8)?)) {
                Some(text) => Value::Text(text.clone()),
                None => Value::Number(data),
            },
        };
        attributes.push((key, value));
    }
    Some(Element { name, attributes })
}

/// Strings of a pool, UTF-8 or UTF-16; broken ones are empty, so that indexes stay.
pub fn string_pool(chunk: &[u8]) -> Vec<String> {
    let read = || -> Option<Vec<String>> {
        let count = index(u32_le(chunk, 8)?).min(STRINGS_MAX);
        let utf8 = u32_le(chunk, 16)? & 0x100 != 0;
        let start = index(u32_le(chunk, 20)?);
        let header = usize::from(u16_le(chunk, 2)?);
        let (mut out, mut held) = (Vec::new(), 0usize);
        for i in 0..count {
            if held > TEXT_BYTES_MAX {
                break;
            }
            let text = u32_le(chunk, header + 4 * i)
                .and_then(|offset| pool_string(chunk, start.checked_add(index(offset))?, utf8));
            let text = text.unwrap_or_default();
            held += text.len();
            out.push(text);
        }
        Some(out)
    };
    read().unwrap_or_default()
}

fn pool_string(chunk: &[u8], at: usize, utf8: bool) -> Option<String> {
    if utf8 {
        let wide = |at: usize| -> Option<(usize, usize)> {
            let first = usize::from(u8_at(chunk, at)?);
            if first & 0x80 == 0 {
                Some((first, 1))
            } else {
                Some(((first & 0x7f) << 8 | usize::from(u8_at(chunk, at + 1)?), 2))
            }
        };
        let (_, characters) = wide(at)?;
        let (bytes, length) = wide(at + characters)?;
        let body = take(chunk, at + characters + length, bytes.min(STRING_CHARS_MAX))?;
        return Some(String::from_utf8_lossy(body).into_owned());
    }
    let first = usize::from(u16_le(chunk, at)?);
    let (units, start) = if first & 0x8000 == 0 {
        (first, at + 2)
    } else {
        ((first & 0x7fff) << 16 | usize::from(u16_le(chunk, at + 2)?), at + 4)
    };
    let body = take(chunk, start, units.min(STRING_CHARS_MAX) * 2)?;
    let units: Vec<u16> = body.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
    Some(String::from_utf16_lossy(&units))
}

/// The text of resource `id` in a table (`resources.arsc`), following references a few steps.
pub fn resource_text(table: &[u8], id: u32) -> Option<String> {
    let strings = pool_of(table)?;
    let mut id = id;
    for _ in 0..4 {
        match resource_value(table, id)? {
            (0x03, data) => return strings.get(index(data)).cloned(),
            (0x01, data) => id = data,
            _ => return None,
        }
    }
    None
}

fn pool_of(table: &[u8]) -> Option<Vec<String>> {
    let at = usize::from(u16_le(table, 2)?);
    let size = index(u32_le(table, at + 4)?);
    Some(string_pool(table.get(at..at.checked_add(size)?.min(table.len()))?))
}

/// Kind and data of a simple entry, from the first configuration that has it.
fn resource_value(table: &[u8], id: u32) -> Option<(u8, u32)> {
    let (package, kind, entry) = (id >> 24, u8::try_from(id >> 16 & 0xff).ok()?, index(id & 0xffff));
    let mut at = usize::from(u16_le(table, 2)?);
    let mut steps = 0;
    while let (Some(chunk), Some(header), Some(size)) =
        (u16_le(table, at), u16_le(table, at + 2), u32_le(table, at + 4).map(index))
    {
        steps += 1;
        if steps > 100_000 {
            return None;
        }
        if chunk == 0x0200 && u32_le(table, at + 8) == Some(package) {
            // The package's own chunks follow its header.
            at += usize::from(header).max(8);
            continue;
        }
        if chunk == 0x0201
            && u8_at(table, at + 8) == Some(kind)
            && let Some(found) = type_entry(table, at, usize::from(header), entry)
        {
            return Some(found);
        }
        at = at.checked_add(size.max(8))?;
    }
    None
}

fn type_entry(table: &[u8], at: usize, header: usize, entry: usize) -> Option<(u8, u32)> {
    let count = index(u32_le(table, at + 12)?);
    let start = index(u32_le(table, at + 16)?);
    if entry >= count || u8_at(table, at + 9)? & 1 != 0 {
        return None;
    }
    let offset = u32_le(table, at + header + 4 * entry).filter(|offset| *offset != u32::MAX)?;
    let value = at.checked_add(start)?.checked_add(index(offset))?;
    if u16_le(table, value + 2)? & 1 != 0 {
        return None;
    }
    let size = usize::from(u16_le(table, value)?);
    Some((u8_at(table, value + size + 3)?, u32_le(table, value + size + 4)?))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn pool(strings: &[&str]) -> Vec<u8> {
        let (mut offsets, mut body) = (Vec::new(), Vec::new());
        for text in strings {
            offsets.extend((body.len() as u32).to_le_bytes());
            let units: Vec<u16> = text.encode_utf16().collect();
            body.extend((units.len() as u16).to_le_bytes());
            body.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
            body.extend([0, 0]);
        }
        let mut out = vec![1, 0, 28, 0];
        out.extend((28 + offsets.len() as u32 + body.len() as u32).to_le_bytes());
        out.extend((strings.len() as u32).to_le_bytes());
        out.extend([0; 8]);
        out.extend((28 + offsets.len() as u32).to_le_bytes());
        out.extend([0; 4]);
        out.extend(offsets);
        out.extend(body);
        out
    }

    /// A manifest of start tags with text attributes.
    pub fn manifest(tags: &[(&str, &[(&str, &str)])]) -> Vec<u8> {
        let mut strings: Vec<&str> = Vec::new();
        for (name, attributes) in tags {
            strings.push(name);
            strings.extend(attributes.iter().flat_map(|(key, value)| [*key, *value]));
        }
        let at = |text: &str| strings.iter().position(|known| *known == text).unwrap_or(0) as u32;
        let mut body = pool(&strings);
        for (name, attributes) in tags {
            let mut chunk = Vec::new();
            chunk.extend(0x0102u16.to_le_bytes());
            chunk.extend(16u16.to_le_bytes());
            chunk.extend((36 + 20 * attributes.len() as u32).to_le_bytes());
            chunk.extend([0; 8]);
            chunk.extend(u32::MAX.to_le_bytes());
            chunk.extend(at(name).to_le_bytes());
            chunk.extend([20, 0, 20, 0]);
            chunk.extend((attributes.len() as u16).to_le_bytes());
            chunk.extend([0; 6]);
            for (key, value) in *attributes {
                chunk.extend(u32::MAX.to_le_bytes());
                chunk.extend(at(key).to_le_bytes());
                chunk.extend(at(value).to_le_bytes());
                chunk.extend([8, 0, 0, 3]);
                chunk.extend(at(value).to_le_bytes());
            }
            body.extend(chunk);
        }
        let mut out = vec![3, 0, 8, 0];
        out.extend((8 + body.len() as u32).to_le_bytes());
        out.extend(body);
        out
    }

    #[test]
    fn tags_and_attributes() {
        let file = manifest(&[
            ("manifest", &[("package", "com.example")]),
            ("uses-permission", &[("name", "android.permission.READ_SMS")]),
        ]);
        let found = elements(&file).expect("well formed");
        assert_eq!(found[0].text("package"), Some("com.example"));
        assert_eq!(found[1].text("name"), Some("android.permission.READ_SMS"));
        for end in 0..file.len() {
            let _ = elements(&file[..end]);
            let _ = resource_text(&file[..end], 0x7f01_0000);
        }
    }
}
