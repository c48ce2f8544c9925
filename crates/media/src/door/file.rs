//! Downloads from this door: the bytes that were scanned, streamed, whole or one range of them. The state is asked for
//! anew: a url handed out before a revocation gives nothing afterwards.

use super::{Door, answers::plain, names::content_disposition, not_now, now_ms, streams::BlobBody};
use crate::{BlobReader, MediaState, connect::Body};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use std::io;

impl Door {
    pub(super) async fn answer_download<B>(&self, path: &str, request: &Request<B>) -> Response<Body> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let Some(id) = self.links.id_of(path, now_ms() / 1000) else { return not_found() };
        self.send_content(&id, request, not_found).await
    }

    /// The content of `id`, if it may be served at this moment.
    pub(super) async fn send_content<B>(
        &self,
        id: &str,
        request: &Request<B>,
        not_found: fn() -> Response<Body>,
    ) -> Response<Body> {
        let content = match self.index.lookup(self.index.key(id)).await {
            Ok(Some(MediaState::Served(content))) => content,
            Ok(_) => return not_found(),
            Err(e) => {
                tracing::error!(%e, "media index");
                return not_now();
            }
        };
        let (blobs, hash) = (self.blobs.clone(), content.hash);
        let opened = tokio::task::spawn_blocking(move || blobs.open(&hash)).await;
        let reader = match opened.unwrap_or_else(|e| Err(io::Error::other(e))) {
            Ok(reader) => reader,
            // Its retention is over.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return not_found(),
            Err(e) => {
                tracing::error!(%e, "a stored file cannot be read");
                return not_now();
            }
        };
        let e_tag = format!("\"{hash}\"");
        let mut response = send(reader, &e_tag, request);
        let headers = response.headers_mut();
        let text = |text: &str| HeaderValue::from_str(text).ok();
        let mime_type = text(&content.mime_type).filter(|_| content.mime_type.contains('/'));
        headers.insert(header::CONTENT_TYPE, mime_type.unwrap_or(HeaderValue::from_static("application/octet-stream")));
        if let Some(disposition) = text(&content_disposition(content.name.as_deref(), &content.mime_type)) {
            headers.insert(header::CONTENT_DISPOSITION, disposition);
        }
        if let Some(e_tag) = text(&e_tag) {
            headers.insert(header::ETAG, e_tag);
        }
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Should a browser open it after all, it runs nothing.
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
        response
    }
}

fn not_found() -> Response<Body> {
    plain(StatusCode::NOT_FOUND, "")
}

fn send<B>(mut reader: Box<dyn BlobReader>, e_tag: &str, request: &Request<B>) -> Response<Body> {
    let bytes = reader.length();
    let (status, start, length) = match range_of(request.headers(), e_tag, bytes) {
        Asked::All => (StatusCode::OK, 0, bytes),
        Asked::Range { start, end } => (StatusCode::PARTIAL_CONTENT, start, end - start + 1),
        Asked::Impossible => {
            let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE, "");
            insert_text(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{bytes}"));
            return response;
        }
    };
    if reader.seek_to(start).is_err() {
        return not_now();
    }
    let body = if request.method() == Method::HEAD {
        plain(StatusCode::OK, "").into_body()
    } else {
        BlobBody::new(reader, length).boxed_unsync()
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {start}-{}/{bytes}", start + length - 1);
        insert_text(response.headers_mut(), header::CONTENT_RANGE, &range);
    }
    response
}

fn insert_text(headers: &mut HeaderMap, name: header::HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

#[derive(Debug, PartialEq)]
enum Asked {
    All,
    Range { start: u64, end: u64 },
    Impossible,
}

/// For the fuzz targets.
pub(super) fn range_asked(headers: &HeaderMap, bytes: u64) -> Option<(u64, u64)> {
    match range_of(headers, "", bytes) {
        Asked::Range { start, end } => Some((start, end)),
        Asked::All | Asked::Impossible => None,
    }
}

/// One range as RFC 9110 has it; several, or nonsense, are answered with everything, as is allowed.
fn range_of(headers: &HeaderMap, e_tag: &str, bytes: u64) -> Asked {
    if headers.get(header::IF_RANGE).is_some_and(|tag| tag.as_bytes() != e_tag.as_bytes()) {
        return Asked::All;
    }
    let text = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
        return Asked::All;
    };
    let number = |digits: &str| -> Option<u64> {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().unwrap_or(u64::MAX))
    };
    match (first, number(first), last, number(last)) {
        (_, Some(start), "", _) if start < bytes => Asked::Range { start, end: bytes - 1 },
        (_, Some(start), _, Some(end)) if start <= end && start < bytes => {
            Asked::Range { start, end: end.min(bytes - 1) }
        }
        (_, Some(start), _, Some(end)) if start > end => Asked::All,
        (_, Some(_), "", _) | (_, Some(_), _, Some(_)) => Asked::Impossible,
        ("", _, _, Some(0)) => Asked::Impossible,
        ("", _, _, Some(_)) if bytes == 0 => Asked::Impossible,
        ("", _, _, Some(tail)) => Asked::Range { start: bytes.saturating_sub(tail), end: bytes - 1 },
        _ => Asked::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        let check = |range: &str, bytes: u64, expect: Asked| {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_str(range).unwrap())]);
            assert_eq!(range_of(&headers, "\"tag\"", bytes), expect, "{range} of {bytes}");
        };
        check("bytes=0-0", 10, Asked::Range { start: 0, end: 0 });
        check("bytes=2-5", 10, Asked::Range { start: 2, end: 5 });
        check("bytes=2-", 10, Asked::Range { start: 2, end: 9 });
        check("bytes=2-99999999999999999999999", 10, Asked::Range { start: 2, end: 9 });
        check("bytes=-3", 10, Asked::Range { start: 7, end: 9 });
        check("bytes=-99", 10, Asked::Range { start: 0, end: 9 });
        check("bytes=10-", 10, Asked::Impossible);
        check("bytes=10-20", 10, Asked::Impossible);
        check("bytes=-0", 10, Asked::Impossible);
        check("bytes=0-", 0, Asked::Impossible);
        check("bytes=-1", 0, Asked::Impossible);
        for nonsense in
            ["bytes=5-2", "bytes=", "bytes=-", "bytes=a-b", "bytes=+1-2", "bytes=0-1,3-4", "items=0-1", "0-1"]
        {
            check(nonsense, 10, Asked::All);
        }
        let headers = HeaderMap::from_iter([
            (header::RANGE, HeaderValue::from_static("bytes=0-0")),
            (header::IF_RANGE, HeaderValue::from_static("\"old\"")),
        ]);
        assert_eq!(range_of(&headers, "\"tag\"", 10), Asked::All);
        assert_eq!(range_of(&headers, "\"old\"", 10), Asked::Range { start: 0, end: 0 });
    }
}
