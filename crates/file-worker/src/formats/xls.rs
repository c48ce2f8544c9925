//! Old Excel workbooks (BIFF 2 to 8): macro sheets of Excel 4, which run without a Visual Basic project, and passwords.
//! Reads records one after the other and stops where they stop making sense.

use super::bytes::{c_string, take, u16_le, utf16_le};

const RECORDS_MAX: usize = 2_000_000;

/// What a workbook stream says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Workbook {
    pub encrypted: bool,
    /// Names of Excel 4 macro sheets, and whether each is hidden.
    pub macro_sheets: Vec<(String, bool)>,
    /// A defined name that runs a macro when the workbook opens.
    pub auto_open: bool,
    /// Service and topic of DDE links.
    pub dde: Vec<String>,
}

pub fn read(stream: &[u8]) -> Workbook {
    let mut workbook = Workbook::default();
    let (mut at, mut first) = (0, true);
    for _ in 0..RECORDS_MAX {
        let (Some(id), Some(size)) = (u16_le(stream, at), u16_le(stream, at + 2)) else { break };
        let Some(body) = take(stream, at + 4, usize::from(size)) else { break };
        if first {
            // BOF of BIFF 2, 3, 4: a workbook of a single sheet, whose type stands here.
            if matches!(id, 0x0009 | 0x0209 | 0x0409) && u16_le(body, 2) == Some(0x0040) {
                workbook.macro_sheets.push((String::new(), false));
            }
            first = false;
        }
        match id {
            0x002f => workbook.encrypted = true,
            0x0085 => read_sheet(body, &mut workbook),
            0x0018 | 0x0218 => read_name(body, &mut workbook),
            0x01ae => read_book(body, &mut workbook),
            _ => {}
        }
        if workbook.encrypted {
            break;
        }
        at += 4 + usize::from(size);
    }
    workbook
}

fn read_sheet(body: &[u8], workbook: &mut Workbook) {
    let hidden = body.get(4).copied().unwrap_or(0) & 3 != 0;
    if body.get(5) == Some(&1) && workbook.macro_sheets.len() < 50 {
        let name = body.get(6..).unwrap_or_default();
        workbook.macro_sheets.push((short_string(name), hidden));
    }
}

/// A string with a length byte; in BIFF 8 a flag byte says whether it is UTF-16.
fn short_string(data: &[u8]) -> String {
    let Some((count, rest)) = data.split_first() else { return String::new() };
    let count = usize::from(*count);
    match rest.first() {
        Some(0) => c_string(rest.get(1..1 + count).unwrap_or_default()),
        Some(1) => utf16_le(rest.get(1..1 + 2 * count).unwrap_or_default()),
        _ => c_string(rest.get(..count).unwrap_or_default()),
    }
}

fn read_name(body: &[u8], workbook: &mut Workbook) {
    let flags = u16_le(body, 0).unwrap_or(0);
    // A built-in name is one character: 1 is Auto_Open, 2 Auto_Close.
    let built_in = flags & 0x20 != 0;
    let name = body.get(14..).unwrap_or_default();
    let code = if name.first() == Some(&0) { name.get(1) } else { name.first() };
    if built_in && matches!(code, Some(1 | 2)) {
        workbook.auto_open = true;
    }
    let spelt = c_string(if name.first() == Some(&0) { name.get(1..).unwrap_or_default() } else { name });
    if spelt.to_ascii_lowercase().starts_with("auto_open") || spelt.to_ascii_lowercase().starts_with("auto_close") {
        workbook.auto_open = true;
    }
}

/// SUPBOOK: a DDE link keeps service and topic in one string, apart by 0x03.
fn read_book(body: &[u8], workbook: &mut Workbook) {
    let Some(count) = u16_le(body, 2).map(usize::from).filter(|count| *count > 2 && *count < 512) else { return };
    let text = match body.get(4) {
        Some(0) => body.get(5..5 + count).unwrap_or_default().iter().map(|b| char::from(*b)).collect::<String>(),
        Some(1) => {
            let units = body.get(5..5 + 2 * count).unwrap_or_default();
            String::from_utf16_lossy(
                &units.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect::<Vec<_>>(),
            )
        }
        _ => return,
    };
    // 0x01 at the start is an encoded path to a file, which may hold 0x03 as a folder mark.
    if !text.starts_with('\u{1}') && text.contains('\u{3}') && workbook.dde.len() < 20 {
        workbook.dde.push(text.replace('\u{3}', "|"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u16, body: &[u8]) -> Vec<u8> {
        let mut out = id.to_le_bytes().to_vec();
        out.extend((body.len() as u16).to_le_bytes());
        out.extend(body);
        out
    }

    #[test]
    fn macro_sheets_passwords_and_links() {
        let bof = record(0x0809, &[0, 6, 5, 0]);
        let sheet = record(0x0085, &[0, 0, 0, 0, 1, 1, 2, 0, b'M', b'1']);
        let plain = record(0x0085, &[0, 0, 0, 0, 0, 0, 2, 0, b'S', b'1']);
        let check = |records: &[&[u8]], expect: Workbook| assert_eq!(read(&records.concat()), expect);
        check(&[&bof, &plain], Workbook::default());
        check(&[&bof, &sheet], Workbook { macro_sheets: vec![("M1".into(), true)], ..Workbook::default() });
        check(&[&bof, &record(0x2f, &[1, 0])], Workbook { encrypted: true, ..Workbook::default() });
        let mut link = vec![0, 0, 11, 0, 0];
        link.extend(b"cmd\x03/c calc");
        check(&[&bof, &record(0x01ae, &link)], Workbook { dde: vec!["cmd|/c calc".into()], ..Workbook::default() });
    }

    #[test]
    fn a_stream_that_ends_early_is_read_so_far() {
        assert_eq!(read(&[0x09, 0x08, 0xff, 0xff, 0]), Workbook::default());
    }
}
