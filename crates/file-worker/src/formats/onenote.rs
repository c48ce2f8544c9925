//! OneNote sections: files put into a page, which a double click runs. The blobs are found by their header, whatever the
//! revision store around them says.

use super::bytes::{take, u64_le, utf16_le};
use super::report::Report;

/// FileDataStoreObject's header, {BDE316E7-2665-4511-A4C4-8D4D0B7A9EAC}.
const HEADER: &[u8] = b"\xe7\x16\xe3\xbd\x65\x26\x11\x45\xa4\xc4\x8d\x4d\x0b\x7a\x9e\xac";
const FILES_MAX: usize = 200;
/// Kinds of pictures and sounds that a page may show; everything else is a file to be opened.
const SHOWN: &[&[u8]] =
    &[b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"\x01\0\0\0", b"II*\0", b"MM\0*", b"\xd7\xcd\xc6\x9a"];

pub fn inspect(data: &[u8], report: &mut dyn Report) {
    let (mut count, mut attached) = (0usize, 0usize);
    for at in memchr::memmem::find_iter(data, HEADER).take(FILES_MAX) {
        let Some(size) = u64_le(data, at + 16).and_then(|n| usize::try_from(n).ok()) else { continue };
        let start = at + 36;
        let body = data.get(start..start.saturating_add(size).min(data.len())).unwrap_or_default();
        if body.is_empty() || !report.spend(body.len()) {
            continue;
        }
        count += 1;
        attached += usize::from(!SHOWN.iter().any(|start| body.starts_with(start)));
        report.child(&format!("file-{count}"), body.to_vec());
    }
    if attached > 0 {
        report.fact("files/onenote-embedded-file", &names(data).unwrap_or_else(|| format!("{attached} files")));
    }
}

/// A file name as the page shows it: UTF-16 text that ends in an extension which runs.
fn names(data: &[u8]) -> Option<String> {
    const RUNS: &[&str] =
        &[".hta", ".wsf", ".cmd", ".bat", ".vbs", ".js", ".jse", ".lnk", ".exe", ".chm", ".ps1", ".html"];
    RUNS.iter().find_map(|extension| {
        let wide: Vec<u8> = extension.bytes().flat_map(|b| [b, 0]).collect();
        let at = memchr::memmem::find(data, &wide)?;
        let mut start = at;
        while start >= 2
            && at - start < 160
            && take(data, start - 2, 2).is_some_and(|two| two[1] == 0 && (0x20..0x7f).contains(&two[0]))
        {
            start -= 2;
        }
        Some(utf16_le(data.get(start..at + wide.len())?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    fn section(body: &[u8]) -> Vec<u8> {
        let mut out = b"\xe4\x52\x5c\x7b page".to_vec();
        out.extend("open me.hta".encode_utf16().flat_map(u16::to_le_bytes));
        out.extend(HEADER);
        out.extend((body.len() as u64).to_le_bytes());
        out.extend([0; 12]);
        out.extend(body);
        out
    }

    #[test]
    fn embedded_files_are_handed_over() {
        let mut seen = Seen::default();
        inspect(&section(b"<script>x</script>"), &mut seen);
        assert_eq!(seen.rules(), ["files/onenote-embedded-file"]);
        assert_eq!(seen.children[0].1, b"<script>x</script>");
        assert!(seen.facts[0].1.ends_with("open me.hta"), "{:?}", seen.facts);
    }

    #[test]
    fn pictures_are_no_attachments() {
        let mut seen = Seen::default();
        inspect(&section(b"\x89PNG\r\n\x1a\n"), &mut seen);
        assert!(seen.facts.is_empty());
        assert_eq!(seen.children.len(), 1);
    }

    #[test]
    fn a_length_that_lies_is_cut() {
        let mut file = section(b"MZ");
        let at = file.len() - 2 - 20;
        file[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        inspect(&file, &mut Seen::default());
    }
}
