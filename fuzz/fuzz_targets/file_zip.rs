//! zip directories, and all that is a zip.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| guarita_fuzz::look_at_kind("a.zip", b"PK\x03\x04", bytes));
