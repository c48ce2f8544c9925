//! ActiveMime: how Word and Excel keep a macro project inside a web archive (`editdata.mso`). A header, then a zlib stream
//! of an OLE file, which the walk looks at like any other.

use super::bytes::find;
use super::pdf_filters::inflate;
use super::report::Report;

const MAGIC: &[u8] = b"ActiveMime";
/// The header is 50 bytes in every version seen; some leave a few more.
const HEADER_BYTES_MAX: usize = 128;

pub fn is_one(data: &[u8]) -> bool {
    data.starts_with(MAGIC)
}

pub fn inspect(data: &[u8], report: &mut dyn Report) {
    let head = data.get(..HEADER_BYTES_MAX.min(data.len())).unwrap_or_default();
    let starts = [&b"\x78\x9c"[..], b"\x78\xda", b"\x78\x01", b"\x78\x5e"];
    let Some(at) = starts.iter().filter_map(|start| find(head, start)).min() else { return };
    if let Some(bytes) = inflate(data.get(at..).unwrap_or_default(), report) {
        report.child("project", bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;
    use std::io::Write;

    #[test]
    fn the_project_is_handed_over() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"\xd0\xcf\x11\xe0project").expect("memory");
        let packed = encoder.finish().expect("memory");
        let file = [&b"ActiveMime\0\0\x01\xf0"[..], &[0; 36], &packed].concat();
        let mut seen = Seen::default();
        assert!(is_one(&file));
        inspect(&file, &mut seen);
        assert_eq!(seen.children, [("project".to_owned(), b"\xd0\xcf\x11\xe0project".to_vec())]);
    }
}
