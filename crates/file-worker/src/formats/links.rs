//! Links and texts that stand inside files: handed to the second round, where links and texts are judged. Namespaces and
//! schema addresses, which every Office file holds by the dozen, are left out: nobody clicks on them.

use super::bytes::lossy;
use super::report::Report;

/// Links taken from one thing; the walk has a bound of its own for the file.
const LINKS_MAX: usize = 100;
const LINK_BYTES_MAX: usize = 2_048;
/// Beginnings of addresses that are read, good or not.
const CANDIDATES_MAX: usize = 2_000;
const SEARCH_BYTES_MAX: usize = 8 << 20;
/// Hosts that name formats, not places.
const NAMESPACE_HOSTS: &[&str] = &[
    "schemas.openxmlformats.org",
    "schemas.microsoft.com",
    "www.w3.org",
    "purl.org",
    "purl.oclc.org",
    "ns.adobe.com",
    "www.iec.ch",
    "xml.org",
    "schemas.xmlsoap.org",
    "docs.oasis-open.org",
    "openoffice.org",
    "iptc.org",
    "www.aiim.org",
    "cipa.jp",
    "xmlns.com",
    "www.npes.org",
    "relaxng.org",
    "sodipodi.sourceforge.net",
    "www.inkscape.org",
    "creativecommons.org",
    "www.sitemaps.org",
    "www.portalfiscal.inf.br",
    "ns.useplus.org",
    "www.color.org",
    "java.sun.com",
    "ns.google.com",
    "schemas.android.com",
    "www.apple.com",
];

/// One link as it stands in a document; anything but a web address is left out.
pub fn say(url: &str, report: &mut dyn Report) {
    let url = url.trim();
    let lower = url.get(..8.min(url.len())).unwrap_or_default().to_ascii_lowercase();
    let web = lower.starts_with("http://") || lower.starts_with("https://");
    if web && url.len() <= LINK_BYTES_MAX && !is_namespace(url) {
        report.link(url);
    }
}

/// A web address on the computer of whoever opens it.
pub fn is_own_machine(url: &str) -> bool {
    let host = url.split("//").nth(1).unwrap_or_default().split(['/', ':', '?', '#']).next().unwrap_or_default();
    url.to_ascii_lowercase().starts_with("http") && (host.eq_ignore_ascii_case("localhost") || host.starts_with("127."))
}

fn is_namespace(url: &str) -> bool {
    let host = url.split("//").nth(1).unwrap_or_default().split(['/', ':', '?', '#']).next().unwrap_or_default();
    NAMESPACE_HOSTS.iter().any(|known| host.eq_ignore_ascii_case(known))
}

/// Web addresses in bytes of any format, in ASCII and in UTF-16.
pub fn in_bytes(data: &[u8], report: &mut dyn Report) {
    let data = data.get(..SEARCH_BYTES_MAX.min(data.len())).unwrap_or_default();
    let mut count = 0;
    for at in memchr::memmem::find_iter(data, b"http").filter(|at| is_scheme(data, *at, 1)).take(CANDIDATES_MAX) {
        if count >= LINKS_MAX {
            return;
        }
        let url: String =
            data.get(at..).unwrap_or_default().iter().take(LINK_BYTES_MAX).map_while(|b| url_char(*b)).collect();
        count += usize::from(say_raw(&url, report));
    }
    for at in memchr::memmem::find_iter(data, b"h\0t\0t\0p\0").filter(|at| is_scheme(data, *at, 2)).take(CANDIDATES_MAX)
    {
        if count >= LINKS_MAX {
            return;
        }
        let units = data.get(at..).unwrap_or_default().chunks_exact(2).take(LINK_BYTES_MAX);
        let url: String = units.map_while(|two| (two[1] == 0).then_some(two[0]).and_then(url_char)).collect();
        count += usize::from(say_raw(&url, report));
    }
}

/// `http://` or `https://` from `at` on, with `width` bytes a character.
fn is_scheme(data: &[u8], at: usize, width: usize) -> bool {
    let rest = data.get(at + 4 * width..data.len().min(at + 8 * width)).unwrap_or_default();
    let letters: Vec<u8> = rest.iter().step_by(width).copied().collect();
    letters.starts_with(b"://") || letters.starts_with(b"s://")
}

fn say_raw(url: &str, report: &mut dyn Report) -> bool {
    let url = url.trim_end_matches(['.', ',', ';', ':', ')', ']', '}']);
    let host = url.split("//").nth(1).unwrap_or_default();
    if !host.contains('.') {
        return false;
    }
    say(url, report);
    true
}

fn url_char(byte: u8) -> Option<char> {
    let ends = byte <= b' '
        || byte >= 0x7f
        || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
    (!ends).then_some(char::from(byte))
}

/// A plain text: its words go on as a text, which the second round searches for links, too.
pub fn text(data: &[u8], report: &mut dyn Report) {
    const TEXT_BYTES_MAX: usize = 16 << 10;
    let text = lossy(data.get(..TEXT_BYTES_MAX.min(data.len())).unwrap_or_default());
    if !text.trim().is_empty() {
        // `[words](link)` is shown as it stands: nobody is shown one place and led to another.
        report.text(&text.replace("](", "] ("));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    #[test]
    fn links_of_any_encoding() {
        let check = |data: &[u8], expect: &[&str]| {
            let mut seen = Seen::default();
            in_bytes(data, &mut seen);
            assert_eq!(seen.links, expect);
        };
        check(b"x http://a.example/b?c=d\"y", &["http://a.example/b?c=d"]);
        check(b"see (https://a.example/x).", &["https://a.example/x"]);
        check(
            &"zhttps://b.example/\u{1}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
            &["https://b.example/"],
        );
        check(b"http://www.w3.org/2000/svg http https://nodots", &[]);
    }
}
