//! Names of files as they may stand in a header: no path, no control or direction-changing characters, bounded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Most file systems take 255 bytes.
const NAME_BYTES_MAX: usize = 200;
/// What RFC 8187 allows bare.
const BARE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Value of `Content-Disposition`: always a download, under a name that is safe to save as.
pub(super) fn content_disposition(name: Option<&str>, mime_type: &str) -> String {
    let name = plain_name(name, mime_type);
    let fallback: String =
        name.chars().map(|c| if c.is_ascii() && !matches!(c, '"' | '\\' | '%' | ';') { c } else { '_' }).collect();
    let encoded = utf8_percent_encode(&name, BARE);
    format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}")
}

/// The name to show where there is no header for it: safe, and never empty.
pub(super) fn plain_name(name: Option<&str>, mime_type: &str) -> String {
    match name.map(safe_name) {
        Some(name) if !name.is_empty() => name,
        _ => format!("file.{}", extension(mime_type)),
    }
}

fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or("");
    let shown: String = last.chars().filter(|c| !is_hidden(*c)).collect();
    let shown = shown.trim_matches(|c: char| c == '.' || c.is_whitespace());
    let shown: String = shown.chars().map(|c| if "<>:\"|?*".contains(c) { '_' } else { c }).collect();
    if shown.len() <= NAME_BYTES_MAX {
        return shown;
    }
    // Cut in the middle: the extension says what it is.
    let (stem, end) = match shown.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= 16 => (stem, format!(".{extension}")),
        _ => (shown.as_str(), String::new()),
    };
    let mut cut = NAME_BYTES_MAX - end.len();
    while !stem.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{end}", &stem[..cut])
}

/// Control characters and those that are not seen or turn the direction of what is.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn extension(mime_type: &str) -> &'static str {
    match mime_type.split(';').next().unwrap_or("").trim() {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/webp" => "webp",
        "image/gif" => "gif",
        "audio/ogg" => "ogg",
        "audio/mpeg" => "mp3",
        "audio/mp4" => "m4a",
        "audio/aac" => "aac",
        "audio/amr" => "amr",
        "video/mp4" => "mp4",
        "video/3gpp" => "3gp",
        "application/pdf" => "pdf",
        "text/plain" => "txt",
        "application/zip" => "zip",
        "application/msword" => "doc",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.ms-powerpoint" => "ppt",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation" => "pptx",
        _ => "bin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_a_header_and_on_a_disk() {
        let check = |name: &str, fallback: &str, encoded: &str| {
            let expect = format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}");
            assert_eq!(content_disposition(Some(name), "application/pdf"), expect, "{name:?}");
        };
        check("fatura.pdf", "fatura.pdf", "fatura.pdf");
        check("conta de março.pdf", "conta de mar_o.pdf", "conta%20de%20mar%C3%A7o.pdf");
        check("../../etc/passwd", "passwd", "passwd");
        check("C:\\x\\a.exe", "a.exe", "a.exe");
        check("a\"; filename=\"b.exe", "a__ filename=_b.exe", "a_%3B%20filename%3D_b.exe");
        check("a\r\nSet-Cookie: x=y.pdf", "aSet-Cookie_ x=y.pdf", "aSet-Cookie_%20x%3Dy.pdf");
        check("fatura\u{202e}fdp.exe", "faturafdp.exe", "faturafdp.exe");
        check("a%0d%0ab.pdf", "a_0d_0ab.pdf", "a%250d%250ab.pdf");
        check("...", "file.pdf", "file.pdf");
        check(".bashrc", "bashrc", "bashrc");
        check("", "file.pdf", "file.pdf");
        check("\u{202e}\u{200b}", "file.pdf", "file.pdf");
        check(
            &format!("{}.pdf", "é".repeat(300)),
            &format!("{}.pdf", "_".repeat(98)),
            &format!("{}.pdf", "%C3%A9".repeat(98)),
        );
        assert!(content_disposition(None, "image/jpeg; x=y").contains("file.jpg"));
        assert!(content_disposition(None, "nonsense").contains("file.bin"));
    }
}
