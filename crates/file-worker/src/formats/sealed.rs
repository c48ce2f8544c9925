//! Files that are nothing but something encrypted: OpenPGP and S/MIME messages, age, AES Crypt, `openssl enc`. Only whoever
//! has the key sees what is in them.

use super::bytes::{find, take};
use super::office_ole::say_encrypted;
use super::report::Report;

/// Beginnings, and what they say.
const BEGINNINGS: &[(&[u8], &str)] = &[
    (b"-----BEGIN PGP MESSAGE-----", "OpenPGP message"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "age file"),
    (b"age-encryption.org/v1\n", "age file"),
    (b"Salted__", "file encrypted by openssl"),
    (b"AES\x02\0", "AES Crypt file"),
    (b"AES\x03\0", "AES Crypt file"),
];
/// 1.2.840.113549.1.7.3, enveloped data.
const ENVELOPED: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";
/// Within so many bytes it stands in an S/MIME message.
const ENVELOPED_WITHIN: usize = 24;

pub fn is_one(data: &[u8]) -> bool {
    what(data).is_some()
}

pub fn inspect(data: &[u8], report: &mut dyn Report) {
    if let Some(what) = what(data) {
        say_encrypted(what, report);
    }
}

fn what(data: &[u8]) -> Option<&'static str> {
    let start = data.iter().take(64).take_while(|byte| byte.is_ascii_whitespace()).count();
    let known = BEGINNINGS.iter().find(|(magic, _)| data.get(start..).is_some_and(|rest| rest.starts_with(magic)));
    let enveloped = || {
        let head = data.get(..ENVELOPED_WITHIN.min(data.len())).unwrap_or_default();
        (head.first() == Some(&0x30) && find(head, ENVELOPED).is_some()).then_some("S/MIME message")
    };
    known.map(|(_, what)| *what).or_else(enveloped).or_else(|| is_open_pgp(data).then_some("OpenPGP message"))
}

/// A session key, encrypted to a key (tag 1, version 3) or a passphrase (tag 3, version 4 and later), comes first.
fn is_open_pgp(data: &[u8]) -> bool {
    let Some(&[tag, ..]) = take(data, 0, 16).and_then(|head| <&[u8; 16]>::try_from(head).ok()) else { return false };
    let (kind, length_bytes) = match tag {
        0x84 | 0x8c => ((tag >> 2) & 0x0f, 1),
        0x85 | 0x8d => ((tag >> 2) & 0x0f, 2),
        0xc1 | 0xc3 => (tag & 0x3f, 1),
        _ => return false,
    };
    let length = data.iter().skip(1).take(length_bytes).fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    let Some(body) = data.get(1 + length_bytes..) else { return false };
    // What follows is a packet again: another session key, or the encrypted data.
    let follows = body
        .get(length)
        .is_some_and(|next| matches!(next, 0x84 | 0x85 | 0x8c | 0x8d | 0xa4..=0xa7 | 0xc1 | 0xc3 | 0xc9 | 0xd2 | 0xd4));
    let plausible = match (kind, body.first(), body.get(1), body.get(2)) {
        (1, Some(3), ..) => (30..=1200).contains(&length),
        (3, Some(4..=6), Some(cipher), Some(_)) => (4..=64).contains(&length) && matches!(cipher, 1..=13 | 16..=64),
        _ => false,
    };
    plausible && follows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    #[test]
    fn sealed_files_are_gaps() {
        let symmetric = [&b"\x8c\x0d\x04\x09\x03\x02"[..], &[7; 9], b"\xd2\x3f\x01", &[9; 70]].concat();
        let to_key = [&b"\x85\x01\x0c\x03"[..], &[7; 267], b"\xd2\x3f\x01", &[9; 70]].concat();
        let smime = [&b"\x30\x80"[..], ENVELOPED, &[0xa0, 0x80, 0x30]].concat();
        for sealed in [
            &b"\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nhQE"[..],
            b"age-encryption.org/v1\n-> X25519",
            b"Salted__\x01\x02\x03\x04\x05\x06\x07\x08",
            &symmetric,
            &to_key,
            &smime,
        ] {
            let mut seen = Seen::default();
            inspect(sealed, &mut seen);
            assert_eq!(seen.rules(), ["files/encrypted-document"], "{sealed:?}");
            assert_eq!(seen.gaps.len(), 1);
        }
        for open in [
            &b"-----BEGIN PGP PUBLIC KEY BLOCK-----"[..],
            b"Salted peanuts",
            b"\x8c\x0d\x04",
            b"\x85\x01",
            &[0x85; 600],
        ] {
            assert!(!is_one(open), "{open:?}");
        }
    }
}
