//! `X-Hub-Signature-256`: HMAC-SHA256 of the raw body, keyed with the app secret.
//!
//! The comparison takes the same time whatever differs. The secret and the body never reach an error text.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

const PREFIX: &str = "sha256=";
const HEX_DIGITS: usize = 64;

/// Why a delivery's signature was refused. The sender is at fault, or the configured secret is not this app's;
/// a retry of the same request cannot help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefused {
    #[error("the request has no X-Hub-Signature-256 header; only Meta's signed deliveries are taken")]
    Missing,
    #[error("the X-Hub-Signature-256 header is not `sha256=` and 64 hexadecimal digits")]
    Malformed,
    #[error("the signature does not match; if the sender is Meta, `app_secret` is not the secret of this app")]
    Mismatch,
    #[error("no app secret is configured, so no signature can be trusted; set `app_secret`")]
    NoSecret,
}

/// The header's value for `body`: `sha256=` and lower-case hex, as some clients compare strings.
pub fn sign(secret: &[u8], body: &[u8]) -> String {
    let digest = mac_of(secret, body).finalize().into_bytes();
    let mut header = String::with_capacity(PREFIX.len() + HEX_DIGITS);
    header.push_str(PREFIX);
    header.push_str(&hex::encode(digest));
    header
}

/// Value of the older `X-Hub-Signature`, which Meta still sends beside the other, and which many libraries for Messenger ask
/// for alone: `sha1=` and lower-case hex. Never taken as a proof here.
pub fn sign_legacy(secret: &[u8], body: &[u8]) -> String {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha1={}", hex::encode(mac.finalize().into_bytes()))
}

/// Checks the header against the bytes as they came over the wire. Both cases of hex digits are accepted.
pub fn verify_signature(secret: &[u8], raw: &[u8], header: Option<&str>) -> Result<(), SignatureRefused> {
    if secret.is_empty() {
        // Anybody can compute an HMAC under an empty key.
        return Err(SignatureRefused::NoSecret);
    }
    let header = header.ok_or(SignatureRefused::Missing)?.trim();
    let digits = header.strip_prefix(PREFIX).ok_or(SignatureRefused::Malformed)?;
    let mut claimed = [0u8; HEX_DIGITS / 2];
    hex::decode_to_slice(digits, &mut claimed).map_err(|_| SignatureRefused::Malformed)?;
    mac_of(secret, raw).verify_slice(&claimed).map_err(|_| SignatureRefused::Mismatch)
}

fn mac_of(secret: &[u8], body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_the_old_way_as_rfc_2202_case_2_says() {
        let expect = "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
        assert_eq!(sign_legacy(b"Jefe", b"what do ya want for nothing?"), expect);
    }

    #[test]
    fn signs_as_rfc_4231_case_2_says() {
        assert_eq!(
            sign(b"Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn takes_both_cases_and_refuses_the_rest() {
        let good = sign(b"secret", b"body");
        let upper = format!("sha256={}", good["sha256=".len()..].to_uppercase());
        assert_eq!(verify_signature(b"secret", b"body", Some(&good)), Ok(()));
        assert_eq!(verify_signature(b"secret", b"body", Some(&upper)), Ok(()));
        assert_eq!(verify_signature(b"secret", b"body", None), Err(SignatureRefused::Missing));
        assert_eq!(verify_signature(b"secret", b"bodY", Some(&good)), Err(SignatureRefused::Mismatch));
        assert_eq!(verify_signature(b"Secret", b"body", Some(&good)), Err(SignatureRefused::Mismatch));
        assert_eq!(verify_signature(b"", b"body", Some(&sign(b"", b"body"))), Err(SignatureRefused::NoSecret));
        for bad in ["", "sha256=", "sha1=00", &good[7..], &good[..70], &format!("{good}0"), "sha256=zz", "sha256=é"] {
            assert_eq!(verify_signature(b"secret", b"body", Some(bad)), Err(SignatureRefused::Malformed), "{bad}");
        }
    }
}
