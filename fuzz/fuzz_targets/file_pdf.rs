//! PDF.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| guarita_fuzz::look_at_kind("a.pdf", b"%PDF-1.7\n", bytes));
