//! compound files: old Office, Visual Basic, XLM, Outlook.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| guarita_fuzz::look_at_kind("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", bytes));
