//! Pictures, sounds and films: where they end, how large they are, and QR codes. The first byte chooses the kind.

#![no_main]

use libfuzzer_sys::fuzz_target;

const KINDS: &[(&str, &[u8])] = &[
    ("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    ("a.jpg", b"\xff\xd8\xff"),
    ("a.gif", b"GIF89a"),
    ("a.webp", b"RIFF\x80\0\0\0WEBP"),
    ("a.bmp", b"BM"),
    ("a.ico", b"\0\0\x01\0"),
    ("a.mp3", b"\xff\xfb\x90"),
    ("a.mp3", b"ID3\x04\0\0"),
    ("a.aac", b"\xff\xf1\x50"),
    ("a.amr", b"#!AMR\n"),
    ("a.ogg", b"OggS\0\x02"),
    ("a.mp4", b"\0\0\0\x18ftypisom"),
    ("a.mid", b"MThd\0\0\0\x06"),
    ("a.wav", b"RIFF\x80\0\0\0WAVE"),
];

fuzz_target!(|bytes: &[u8]| guarita_fuzz::look_at_one_of(KINDS, bytes));
