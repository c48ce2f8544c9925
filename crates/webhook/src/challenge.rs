//! The handshake: Meta's GET that proves we own the address before it sends anything.
//!
//! The answer is the challenge as it came; the caller sends it as text/plain, since reflecting it as HTML would be a hole.

use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Meta's challenges are ten digits; anything longer is somebody trying to use us as a mirror.
const CHALLENGE_BYTES_MAX: usize = 1024;

/// Why the handshake was refused; each is answered with 403. The token itself is never named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeRefused {
    #[error("`hub.mode` is not `subscribe`; this address only answers Meta's handshake")]
    NotSubscribe,
    #[error("`hub.verify_token` is not the configured one; enter the same `verify_token` in Meta's dashboard")]
    WrongToken,
    #[error("`hub.challenge` is missing, too long or not text")]
    NoChallenge,
}

/// The challenge to send back, if the query asks for a subscription and knows the token.
pub fn answer_challenge(query: &str, verify_token: &str) -> Result<String, ChallengeRefused> {
    if parameter(query, "hub.mode").as_deref() != Some("subscribe") {
        return Err(ChallengeRefused::NotSubscribe);
    }
    let token = parameter(query, "hub.verify_token").ok_or(ChallengeRefused::WrongToken)?;
    if verify_token.is_empty() || !same(&token, verify_token) {
        return Err(ChallengeRefused::WrongToken);
    }
    match parameter(query, "hub.challenge") {
        Some(challenge) if !challenge.is_empty() && challenge.len() <= CHALLENGE_BYTES_MAX => Ok(challenge),
        _ => Err(ChallengeRefused::NoChallenge),
    }
}

/// The first parameter of that name, decoded; `None` where it is absent or not UTF-8.
fn parameter(query: &str, name: &str) -> Option<String> {
    query.trim_start_matches('?').split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key)? == name).then(|| decoded(value)).flatten()
    })
}

fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
}

/// Compares digests, so that neither content nor length shows in the time it takes.
fn same(a: &str, b: &str) -> bool {
    Sha256::digest(a.as_bytes()).ct_eq(&Sha256::digest(b.as_bytes())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, token: &str, expect: Result<&str, ChallengeRefused>) {
        assert_eq!(answer_challenge(query, token), expect.map(str::to_owned), "{query}");
    }

    #[test]
    fn answers_only_who_knows_the_token() {
        use ChallengeRefused::*;
        check("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=t", "t", Ok("1158201444"));
        check("hub.verify_token=a%20b%2Bc&hub.mode=subscribe&hub.challenge=1", "a b+c", Ok("1"));
        check("hub%2Emode=subscribe&hub%2Everify_token=a+b&hub.challenge=%3Cb%3E", "a b", Ok("<b>"));
        check("?hub.mode=subscribe&hub.challenge=1&hub.verify_token=t", "t", Ok("1"));
        check("hub.mode=subscribe&hub.challenge=1&hub.verify_token=T", "t", Err(WrongToken));
        check("hub.mode=subscribe&hub.challenge=1", "t", Err(WrongToken));
        check("hub.mode=subscribe&hub.challenge=1&hub.verify_token=", "", Err(WrongToken));
        check("hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=t", "t", Err(NotSubscribe));
        check("", "t", Err(NotSubscribe));
        check("hub.mode=subscribe&hub.verify_token=t", "t", Err(NoChallenge));
        check("hub.mode=subscribe&hub.verify_token=t&hub.challenge=%ff", "t", Err(NoChallenge));
        check(
            &format!("hub.mode=subscribe&hub.verify_token=t&hub.challenge={}", "1".repeat(1025)),
            "t",
            Err(NoChallenge),
        );
    }
}
