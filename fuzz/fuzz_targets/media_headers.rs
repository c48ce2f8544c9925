//! The media door's headers: `Range` as the backend sends it, `Content-Disposition` with a customer's file name in it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (size, rest) = bytes.split_at(bytes.len().min(8));
    let size = size.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    if let Some((start, end)) = guarita_media::fuzzing::range(rest, size) {
        assert!(start <= end && end < size, "a range lies within the file");
    }
    let text = String::from_utf8_lossy(rest);
    let (name, mime) = text.split_once('\n').unwrap_or((&text, "application/pdf"));
    let header = guarita_media::fuzzing::content_disposition(name, mime);
    assert!(header.starts_with("attachment; filename=\""), "always a download");
    assert!(header.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "one header line");
    assert_eq!(header.matches('"').count(), 2, "the name cannot end its quotes");
    assert!(header.len() < 2_000);
});
