//! Mail in every form, and what is uuencoded in it. The first byte chooses the kind.

#![no_main]

use libfuzzer_sys::fuzz_target;

const KINDS: &[(&str, &[u8])] = &[
    ("a.eml", b"From: a@b.example\nSubject: x\nMIME-Version: 1.0\n"),
    ("a.mbox", b"From a@b.example Thu Jan  1 00:00:00 2026\nFrom: a\nSubject: x\n"),
    ("a.mht", b"MIME-Version: 1.0\nContent-Type: multipart/related; boundary=b\n"),
    ("winmail.dat", b"\x78\x9f\x3e\x22"),
    ("a.uue", b"begin 644 a.exe\n"),
    ("a.vcf", b"BEGIN:VCARD\n"),
];

fuzz_target!(|bytes: &[u8]| guarita_fuzz::look_at_one_of(KINDS, bytes));
