//! Graph's answer to a media look-up, and its errors. None of it is trusted; what is not understood is left out.

use super::problem::{Failure, Kind};
use base64::{Engine, alphabet, engine::general_purpose::GeneralPurpose};
use guarita_message::ContentHash;
use http::StatusCode;
use serde_json::Value;

/// What a look-up told.
#[derive(Debug, PartialEq)]
pub(super) struct LookedUp {
    pub(super) url: String,
    pub(super) mime_type: Option<String>,
    pub(super) hash: Option<ContentHash>,
    pub(super) bytes: Option<u64>,
}

impl LookedUp {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Failure> {
        let answer: Value = serde_json::from_slice(body)
            .map_err(|_| Failure::new(Kind::Passing(None), "Graph's answer to the look-up is not JSON"))?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str);
        let url = text("url").filter(|url| !url.is_empty());
        Ok(LookedUp {
            url: url.ok_or_else(|| Failure::new(Kind::Final, "Graph's answer to the look-up has no url"))?.to_owned(),
            mime_type: text("mime_type").map(str::to_owned),
            hash: text("sha256").and_then(parse_hash),
            // A string in Meta's own sample, a number elsewhere.
            bytes: answer.get("file_size").and_then(|size| match size {
                Value::String(digits) => digits.trim().parse().ok(),
                other => other.as_u64(),
            }),
        })
    }
}

/// Hexadecimal as in look-ups, or base64 as in webhooks.
fn parse_hash(text: &str) -> Option<ContentHash> {
    let text = text.trim();
    if let Ok(hash) = text.parse() {
        return Some(hash);
    }
    let lenient = base64::engine::general_purpose::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    let standard = text.replace('-', "+").replace('_', "/");
    let bytes = GeneralPurpose::new(&alphabet::STANDARD, lenient).decode(standard).ok()?;
    Some(ContentHash(bytes.try_into().ok()?))
}

/// What an error of Graph's look-up means. `body` may be cut short.
pub(super) fn failure_of(status: StatusCode, body: &[u8]) -> Failure {
    let error: Value =
        serde_json::from_slice::<Value>(body).ok().and_then(|b| b.get("error").cloned()).unwrap_or_default();
    let number = |key: &str| error.get(key).and_then(Value::as_u64);
    let (code, subcode) = (number("code"), number("error_subcode"));
    let said = match code {
        Some(code) => format!("status {}, error {code}", status.as_u16()),
        None => format!("status {}", status.as_u16()),
    };
    match (status.as_u16(), code, subcode) {
        // Application, account, business and pair limits; "try again later".
        (429, ..) | (_, Some(4 | 80007 | 130429 | 131048 | 131056), _) | (500.., ..) | (_, Some(1 | 2), _) => {
            Failure::new(Kind::Passing(None), format!("Graph is busy or failing ({said})"))
        }
        (401 | 403, ..) | (_, Some(10 | 102 | 190 | 200), _) => Failure::new(
            Kind::Refused,
            format!("Graph refuses the token ({said}); check graph.access_token and its permissions"),
        ),
        (404 | 410, ..) | (_, Some(100), Some(33)) => {
            Failure::new(Kind::Gone, format!("Graph does not know this attachment any more ({said})"))
        }
        _ => Failure::new(Kind::Final, format!("Graph refuses the look-up ({said})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_in_each_spelling() {
        let check = |body: &str, hash: bool, bytes: Option<u64>| {
            let looked_up = LookedUp::parse(body.as_bytes()).unwrap();
            assert_eq!((looked_up.hash.is_some(), looked_up.bytes), (hash, bytes), "{body}");
        };
        let hex = "49f2276349062939099549 5bc310b593e1 40".replace(' ', "");
        check(r#"{"url":"https://a/b"}"#, false, None);
        check(r#"{"url":"https://a/b","file_size":"303833"}"#, false, Some(303_833));
        check(r#"{"url":"https://a/b","file_size":303833}"#, false, Some(303_833));
        check(r#"{"url":"https://a/b","file_size":-1,"sha256":null,"mime_type":7}"#, false, None);
        check(r#"{"url":"https://a/b","sha256":"<HASH>"}"#, false, None);
        check(&format!(r#"{{"url":"https://a/b","sha256":"{hex}"}}"#), false, None);
        check(r#"{"url":"https://a/b","sha256":"SfInY0gGKTsJlUWbwxC1k+FAD0FZHvzwfpvO0zX0GUI="}"#, true, None);
        check(r#"{"url":"https://a/b","sha256":"SfInY0gGKTsJlUWbwxC1k-FAD0FZHvzwfpvO0zX0GUI"}"#, true, None);
        check(&format!(r#"{{"url":"https://a/b","sha256":"{}"}}"#, "AB".repeat(32)), true, None);
        let base64 = parse_hash("SfInY0gGKTsJlUWbwxC1k+FAD0FZHvzwfpvO0zX0GUI=").unwrap();
        assert_eq!(parse_hash(&base64.to_string()), Some(base64));
    }

    #[test]
    fn nonsense_is_a_failure_not_a_panic() {
        for body in ["", "{", "[]", "null", "7", "{}", r#"{"url":""}"#, r#"{"url":5}"#] {
            assert!(LookedUp::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn errors_of_graph_mean_what_meta_says() {
        let check = |status: u16, body: &str, expect: Kind| {
            let failure = failure_of(StatusCode::from_u16(status).unwrap(), body.as_bytes());
            assert_eq!(failure.kind, expect, "{status} {body}");
        };
        check(404, "", Kind::Gone);
        check(400, r#"{"error":{"code":100,"error_subcode":33}}"#, Kind::Gone);
        check(400, r#"{"error":{"code":100}}"#, Kind::Final);
        check(400, r#"{"error":{"code":190}}"#, Kind::Refused);
        check(401, r#"{"error":{"code":190}}"#, Kind::Refused);
        check(403, "<html>", Kind::Refused);
        check(429, "", Kind::Passing(None));
        check(400, r#"{"error":{"code":4}}"#, Kind::Passing(None));
        check(400, r#"{"error":{"code":130429}}"#, Kind::Passing(None));
        check(500, r#"{"error":"text"}"#, Kind::Passing(None));
        check(503, "", Kind::Passing(None));
        check(302, "", Kind::Final);
    }
}
