//! Anything: the first byte chooses the name, the content decides what it is.

#![no_main]

use libfuzzer_sys::fuzz_target;

const NAMES: &[&str] = &["a", "a.pdf", "a.js", "a.inf", "a.zip", "a.jpg", "a.txt", "a.exe", "a.csv", "a.hta", "a.url", "a.xls"];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    guarita_fuzz::look_at(NAMES[usize::from(*first) % NAMES.len()], rest);
});
