//! clamd's answers: only the two exact forms mean that a file was looked at.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| match guarita_scanners::fuzzing::clamd_reply(bytes) {
    Some(true) => assert_eq!(bytes, b"stream: OK\0"),
    Some(false) => assert!(bytes.starts_with(b"stream: ") && bytes.ends_with(b" FOUND\0")),
    None => {}
});
