//! Answers in Graph's own words, so that clients treat them as they treat Graph's. It must not know why one is given.

use crate::connect::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

/// Graph names every error so; ours can be told from Meta's by it.
const TRACE_ID: &str = "guarita";

pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = plain(status, value.to_string());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache, no-store, must-revalidate"));
    response
}

pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

pub(super) fn graph_error(
    status: StatusCode,
    code: u32,
    subcode: Option<u32>,
    kind: &str,
    message: &str,
) -> Response<Body> {
    let mut error = json!({"message": message, "type": kind, "code": code});
    if let Some(subcode) = subcode {
        error["error_subcode"] = subcode.into();
    }
    if code == 2 {
        error["is_transient"] = true.into();
    }
    error["fbtrace_id"] = TRACE_ID.into();
    json(status, &json!({"error": error}))
}

/// What Graph says of an id that does not exist or that the caller may not see.
pub(super) fn no_such_object(id: &str, method: &Method) -> Response<Body> {
    let message = format!(
        "Unsupported {} request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or \
         does not support this operation. Please read the Graph API documentation at \
         https://developers.facebook.com/docs/graph-api",
        method.as_str().to_ascii_lowercase()
    );
    graph_error(StatusCode::NOT_FOUND, 100, Some(33), "GraphMethodException", &message)
}

/// What Graph says of a token it does not know.
pub(super) fn not_authorized() -> Response<Body> {
    let message = "Invalid OAuth access token - Cannot parse access token";
    let mut response = graph_error(StatusCode::UNAUTHORIZED, 190, None, "OAuthException", message);
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(
            r#"OAuth "Facebook Platform" "invalid_token" "Invalid OAuth access token - Cannot parse access token""#,
        ),
    );
    response
}

pub(super) fn bad_request(message: &str) -> Response<Body> {
    graph_error(StatusCode::BAD_REQUEST, 100, None, "GraphMethodException", message)
}
