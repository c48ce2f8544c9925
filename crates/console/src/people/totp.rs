//! One-time codes after RFC 6238, as every authenticator app reckons them: SHA-1, six digits, thirty seconds. Pure; the
//! time is an argument. Knows no accounts.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::fmt::Write as _;
use subtle::ConstantTimeEq;

pub const SECRET_BYTES: usize = 20;
const STEP_SECONDS: u64 = 30;
/// Steps before and after that are taken as well: clocks differ, and people type slowly.
const STEPS_AROUND: u64 = 1;

/// The step whose code this is, if it is later than `last`: a code works once, and none before it works any more.
pub(super) fn step_of(secret: &[u8], code: &str, now_ms: u64, last: u64) -> Option<u64> {
    let typed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if typed.len() != 6 || !typed.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let now = now_ms / 1000 / STEP_SECONDS;
    let mut found = None;
    // Every step is tried, whichever fits: time tells nothing.
    for step in now.saturating_sub(STEPS_AROUND)..=now + STEPS_AROUND {
        let fits: bool = code_at(secret, step).as_bytes().ct_eq(typed.as_bytes()).into();
        if fits && step > last {
            found = Some(step);
        }
    }
    found
}

pub(super) fn code_at(secret: &[u8], step: u64) -> String {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[19] & 15);
    let word = u32::from_be_bytes([hash[at], hash[at + 1], hash[at + 2], hash[at + 3]]) & 0x7fff_ffff;
    format!("{:06}", word % 1_000_000)
}

/// The code of this moment; for tests and the demo.
pub fn code_now(secret_base32: &str, now_ms: u64) -> Option<String> {
    Some(code_at(&from_base32(secret_base32)?, now_ms / 1000 / STEP_SECONDS))
}

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

pub(super) fn base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(5) {
        let mut five = [0u8; 5];
        five[..chunk.len()].copy_from_slice(chunk);
        let bits = five.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        let signs = (chunk.len() * 8).div_ceil(5);
        out.extend((0..signs).map(|at| ALPHABET[(bits >> (35 - 5 * at) & 31) as usize] as char));
    }
    out
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b' ') {
        let value = ALPHABET.iter().position(|sign| *sign == byte.to_ascii_uppercase())?;
        bits = (bits << 5 | value as u32) & 0xffff;
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

/// What the app scans.
pub(super) fn uri(name: &str, secret: &[u8]) -> String {
    let label = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("otpauth://totp/Guarita:{label}?secret={}&issuer=Guarita&algorithm=SHA1&digits=6&period=30", base32(secret))
}

/// A QR code as an SVG of our own: one path, black on white with its quiet zone, no script and no outside name.
pub(super) fn qr_svg(text: &str) -> Option<String> {
    let code = qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::M).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (at, colour) in code.to_colors().into_iter().enumerate() {
        if colour == qrcode::Color::Dark {
            let _ = write!(path, "M{} {}h1v1h-1z", at % width + 4, at / width + 4);
        }
    }
    let size = width + 8;
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" shape-rendering=\"crispEdges\" \
         aria-hidden=\"true\"><path fill=\"#fff\" d=\"M0 0h{size}v{size}H0z\"/><path fill=\"#000\" d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, its last six digits.
    #[test]
    fn codes_are_the_standards() {
        let secret = b"12345678901234567890";
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code_at(secret, seconds / 30), code, "{seconds}");
        }
    }

    #[test]
    fn a_code_works_once_and_for_a_while() {
        let secret = b"12345678901234567890";
        let now = 1_111_111_111_000;
        let step = now / 30_000;
        assert_eq!(step_of(secret, "050471", now, 0), Some(step));
        assert_eq!(step_of(secret, " 050 471 ", now + 30_000, 0), Some(step));
        assert_eq!(step_of(secret, "050471", now + 60_000, 0), None, "too late");
        assert_eq!(step_of(secret, "050471", now, step), None, "a second time");
        assert_eq!(step_of(secret, "081804", now, step), None, "an earlier code after a later one");
        for wrong in ["050472", "", "05047", "0504711", "abcdef", "٠٥٠٤٧١"] {
            assert_eq!(step_of(secret, wrong, now, 0), None, "{wrong}");
        }
    }

    #[test]
    fn base32_is_the_usual_one() {
        assert_eq!(base32(b"12345678901234567890"), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(base32(b"foobar"), "MZXW6YTBOI");
        assert_eq!(from_base32("gezd gnbvgy3tqojq").unwrap(), b"1234567890");
        assert_eq!(from_base32("not base32!"), None);
        let now = 1_111_111_111_000;
        assert_eq!(code_now("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", now).unwrap(), "050471");
    }

    #[test]
    fn the_qr_code_says_the_uri() {
        let uri = uri("ana@loja", b"12345678901234567890");
        assert_eq!(
            uri,
            "otpauth://totp/Guarita:ana%40loja?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Guarita&algorithm=SHA1&digits=6&period=30"
        );
        let svg = qr_svg(&uri).unwrap();
        assert!(svg.starts_with("<svg") && svg.len() < 60_000 && !svg.contains("href"));
    }
}
