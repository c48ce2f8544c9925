//! Reads what a call to Graph may be asking for: every word in its path, query or body that could be a media id, in any
//! spelling a lenient server would understand. It must not know which ids are known.

use super::answers::bad_request;
use crate::connect::Body;
use http::{HeaderMap, Method, Request, Response, header};
use percent_encoding::percent_decode;
use std::collections::BTreeSet;

/// Words looked at in one path or query; a call with more is refused.
const WORDS_MAX: usize = 256;
/// Words looked at in one body that is read whole.
const BODY_WORDS_MAX: usize = 20_000;
/// Longest word that may be an id.
const WORD_BYTES_MAX: usize = 256;
/// Digits inside a longer word that may be one of Graph's ids.
const DIGITS_MIN: usize = 5;
/// Layers of encoding taken off; what is still encoded then is refused.
const LAYERS_MAX: usize = 5;

/// A call, read.
#[derive(Debug)]
pub(super) struct Call {
    /// The path's segments but for a version in front, decoded, without empty ones.
    segments: Vec<String>,
    pub(super) path_words: Vec<String>,
    pub(super) query_words: Vec<String>,
    pub(super) access_token: Option<String>,
    /// A plain `DELETE`, not another method in disguise.
    pub(super) only_deletes: bool,
    pub(super) reading: BodyReading,
}

/// What must be seen of a body before it may pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum BodyReading {
    /// Streamed as it comes.
    Nothing,
    /// A form: only if it asks for a batch, for `ids` or for another method.
    Form,
    /// Everything: batch calls go to the root.
    All,
}

impl Call {
    /// `path` as the door understands it (without the prefix of its public url).
    #[allow(clippy::result_large_err)] // the refusal is the answer
    pub(super) fn read<B>(request: &Request<B>, path: &str) -> Result<Self, Response<Body>> {
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) || !path.starts_with('/') {
            return Err(bad_request("Unsupported request"));
        }
        let query = request.uri().query().unwrap_or("");
        let (segments, path_words) = segments_of(path).ok_or_else(|| bad_request("The path is not understood"))?;
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let value_of = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.to_string());
        // A token holds digits too, and is no id.
        let others = pairs.iter().filter(|(key, _)| key != "access_token");
        let text: String = others.flat_map(|(key, value)| [key, "\n", value, "\n"]).collect();
        // A batch may stand in the query too, wrapped like one in a body.
        let plain = undo(&text, unwrap_layer);
        let query_words = plain
            .and_then(|plain| words_of(&format!("{text}{plain}"), WORDS_MAX))
            .ok_or_else(|| bad_request("The query is not understood"))?;
        let headers = request.headers();
        let disguised = pairs.iter().any(|(key, _)| key.eq_ignore_ascii_case("method"))
            || headers.keys().any(|name| name.as_str().contains("method"))
            || has_body(headers);
        Ok(Call {
            reading: reading_of(&segments, headers),
            segments,
            path_words,
            query_words,
            access_token: value_of("access_token"),
            only_deletes: request.method() == Method::DELETE && !disguised,
        })
    }

    /// Whether the call is for this object itself, nothing around it.
    pub(super) fn names_only(&self, id: &str) -> bool {
        matches!(self.segments.as_slice(), [only] if only == id)
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}

fn reading_of(segments: &[String], headers: &HeaderMap) -> BodyReading {
    if !has_body(headers) {
        return BodyReading::Nothing;
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let is_form = kind == "application/x-www-form-urlencoded";
    match segments {
        [] => BodyReading::All,
        // One segment may be an edge over many objects (`/photos?ids=…`), or an upload session, whose body is a file.
        [only]
            if !only.starts_with("upload:")
                && (is_form || kind.is_empty() || kind.contains("json") || kind.starts_with("multipart/")) =>
        {
            BodyReading::All
        }
        _ if is_form => BodyReading::Form,
        _ => BodyReading::Nothing,
    }
}

/// Decoded segments without a version, and every word in them. `None`: not a path any client means.
fn segments_of(path: &str) -> Option<(Vec<String>, Vec<String>)> {
    let decoded = undo(path, percent_layer)?.replace('\\', "/");
    if decoded.chars().any(char::is_control) || decoded.split('/').any(|s| matches!(s.trim(), "." | "..")) {
        return None;
    }
    let mut segments: Vec<String> = decoded.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
    if segments.first().is_some_and(|first| is_version(first)) {
        segments.remove(0);
    }
    let words = words_of(&segments.join("/"), WORDS_MAX)?;
    Some((segments, words))
}

/// `v23.0`, `V23`.
fn is_version(segment: &str) -> bool {
    let digits = segment.strip_prefix(['v', 'V']).unwrap_or("");
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Every word of a body that is read whole. `None`: too many, or wrapped too deep.
pub(super) fn words_of_body(body: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(body).replace('+', " ");
    let mut words: BTreeSet<String> = words_of(&text, BODY_WORDS_MAX)?.into_iter().collect();
    // Batches are JSON in forms in multipart; each may be escaped once more.
    let plain = undo(&text, unwrap_layer)?;
    words.extend(words_of(&plain, BODY_WORDS_MAX)?);
    Some(words.into_iter().collect())
}

/// Whether a form asks for more than one object or hides another method.
pub(super) fn form_reaches_further(body: &[u8]) -> bool {
    url::form_urlencoded::parse(body).any(|(key, _)| {
        let key = key.trim().to_ascii_lowercase();
        ["batch", "ids", "id", "method"].iter().any(|word| key == *word || key.starts_with(&format!("{word}[")))
    })
}

/// Takes layers off until nothing changes.
fn undo(text: &str, layer: impl Fn(&str) -> String) -> Option<String> {
    let mut text = text.to_owned();
    for _ in 0..LAYERS_MAX {
        let next = layer(&text);
        if next == text {
            return Some(text);
        }
        text = next;
    }
    None
}

fn percent_layer(text: &str) -> String {
    percent_decode(text.as_bytes()).decode_utf8_lossy().into_owned()
}

fn unwrap_layer(text: &str) -> String {
    json_layer(&percent_layer(text))
}

/// Undoes `\/` and `\uxxxx`; other escapes stand for characters no id has.
fn json_layer(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let code =
            rest.strip_prefix('u').and_then(|hex| hex.get(..4)).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        match code {
            Some(code) => {
                out.push(char::from_u32(code).unwrap_or(' '));
                rest = &rest[5..];
            }
            None if rest.starts_with(['/', '\\', '"']) => {}
            None => out.push(' '),
        }
    }
    out.push_str(rest);
    out
}

/// Whatever could be an id: whole pieces between separators, words of letters and digits, long runs of digits. `None`:
/// more than `most`.
fn words_of(text: &str, most: usize) -> Option<Vec<String>> {
    let mut words = BTreeSet::new();
    let coarse = |c: char| {
        c.is_whitespace()
            || matches!(c, '/' | ',' | '&' | '?' | '=' | '"' | '\'' | '[' | ']' | '{' | '}' | '(' | ')' | ';' | '#')
    };
    let fine = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let pieces = text.split(coarse).map(|piece| piece.trim_matches(|c: char| !c.is_alphanumeric()));
    let finer = text.split(fine);
    let digits = text.split(|c: char| !c.is_ascii_digit()).filter(|run| run.len() >= DIGITS_MIN);
    for word in pieces.chain(finer).chain(digits) {
        if !word.is_empty() && word.len() <= WORD_BYTES_MAX && words.insert(word.to_owned()) && words.len() > most {
            return None;
        }
    }
    Some(words.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_mentions(path: &str, id: &str) -> bool {
        let request = Request::builder().uri("http://door/").body(()).unwrap();
        match Call::read(&request, path) {
            Ok(call) => call.path_words.iter().any(|w| w == id || w.trim_start_matches('0') == id),
            Err(_) => true, // refused, so nothing passes
        }
    }

    #[test]
    fn no_spelling_of_a_path_hides_an_id() {
        for path in [
            "/v23.0/1003383421387256",
            "/1003383421387256",
            "/v23.0//1003383421387256",
            "/v23.0/1003383421387256/",
            "/v23.0/1003383421387256.",
            "/v23.0/1003383421387256;x=y",
            "/v23.0/./1003383421387256",
            "/v23.0/x/../1003383421387256",
            "/v23.0/%2e%2e/v23.0/1003383421387256",
            "/v23.0/%31003383421387256",
            "/v23.0/%2531003383421387256",
            "/v23.0%2f1003383421387256",
            "/v23.0/%00",
            "/v23.0\\1003383421387256",
            "/v23.0/001003383421387256",
            "/v23.0/1003383421387256%20",
            "/v23.0/1003383421387256%0a",
            "/v23.0/+1003383421387256",
            "/v23.0/1003383421387256e0",
            "/v23.0/1003383421387256.json",
            "/v23.0/me:1003383421387256",
            "/V23.0/1003383421387256",
            "/v23.0/v23.0/1003383421387256",
            "/v23.0/1003383421387256/preview",
            "/v23.0/%25252525252525252531003383421387256",
        ] {
            assert!(path_mentions(path, "1003383421387256"), "{path}");
        }
        assert!(!path_mentions("/v23.0/106540352242922/messages", "1003383421387256"));
    }

    #[test]
    fn no_wrapping_of_a_body_hides_an_id() {
        for body in [
            r#"batch=[{"method":"GET","relative_url":"1003383421387256"}]"#,
            "batch=%5B%7B%22relative_url%22%3A%22v23.0%2F1003383421387256%22%7D%5D",
            r#"{"batch":[{"relative_url":"v23.0\/1003383421387256?x=y"}]}"#,
            r#"{"batch":[{"relative_url":"\u0031003383421387256"}]}"#,
            r#"{"batch":"[{\"relative_url\":\"\\u0031003383421387256\"}]"}"#,
            r#"{"batch":"[{\"relative_url\":\"%5Cu0031003383421387256\"}]"}"#,
            r#"batch=[{"relative_url":"?ids=5,1003383421387256"}]"#,
            "ids=1,+1003383421387256",
        ] {
            let words = words_of_body(body.as_bytes()).unwrap();
            assert!(words.iter().any(|w| w == "1003383421387256"), "{body}: {words:?}");
        }
    }

    #[test]
    fn too_many_words_are_refused_not_skipped() {
        let many: String = (0..BODY_WORDS_MAX + 2).map(|i| format!("w{i} ")).collect();
        assert_eq!(words_of_body(many.as_bytes()), None);
        let path: String = (0..WORDS_MAX + 2).map(|i| format!("/w{i}")).collect();
        let request = Request::builder().uri("http://door/").body(()).unwrap();
        assert!(Call::read(&request, &path).is_err());
    }

    #[test]
    fn bodies_are_read_only_where_they_may_ask_for_media() {
        let check = |path: &str, kind: &str, expect: BodyReading| {
            let request = Request::post("http://door/").header("content-length", "5").header("content-type", kind);
            let call = Call::read(&request.body(()).unwrap(), path).unwrap();
            assert_eq!(call.reading, expect, "{path} {kind}");
        };
        check("/", "application/json", BodyReading::All);
        check("/v23.0/", "application/octet-stream", BodyReading::All);
        check("/v23.0/106540352242922/messages", "application/json", BodyReading::Nothing);
        check("/v23.0/106540352242922/media", "multipart/form-data; boundary=x", BodyReading::Nothing);
        check("/v23.0/me/messages", "application/x-www-form-urlencoded", BodyReading::Form);
        check("/v23.0/106540352242922", "application/json", BodyReading::All);
        check("/v23.0/upload:MTphdHRhY2htZW50", "application/json", BodyReading::Nothing);
        check("/v23.0/106540352242922", "application/octet-stream", BodyReading::Nothing);
    }
}
