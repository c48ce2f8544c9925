//! Archives but zip: the first byte chooses the kind.

#![no_main]

use libfuzzer_sys::fuzz_target;

const KINDS: &[(&str, &[u8])] = &[
    ("a.7z", b"7z\xbc\xaf\x27\x1c\0\x04"),
    ("a.rar", b"Rar!\x1a\x07\x01\0"),
    ("a.rar", b"Rar!\x1a\x07\0"),
    ("a.cab", b"MSCF\0\0\0\0"),
    ("a.lzh", b"\x20\x00-lh5-"),
    ("a.arj", b"\x60\xea"),
    ("a.cpio", b"070701"),
    ("a.ar", b"!<arch>\n"),
    ("a.tar", b""),
    ("a.gz", b"\x1f\x8b\x08"),
    ("a.bz2", b"BZh9"),
    ("a.xz", b"\xfd7zXZ\0"),
    ("a.lzma", b"\x5d\0\0"),
    ("a.zst", b"\x28\xb5\x2f\xfd"),
    ("a.lz4", b"\x04\x22\x4d\x18"),
    ("a.rpm", b"\xed\xab\xee\xdb\x03\0"),
    ("a.dmg", b""),
];

fuzz_target!(|bytes: &[u8]| guarita_fuzz::look_at_one_of(KINDS, bytes));
