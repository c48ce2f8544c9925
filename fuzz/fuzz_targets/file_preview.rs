//! A preview of anything: the first byte chooses the name, the content decides what it is.

#![no_main]

use libfuzzer_sys::fuzz_target;

const NAMES: &[&str] = &["a", "a.pdf", "a.zip", "a.docx", "a.xlsx", "a.odt", "a.jpg", "a.txt", "a.eml"];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    guarita_fuzz::preview_of(NAMES[usize::from(*first) % NAMES.len()], rest);
});
