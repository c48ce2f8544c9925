//! What a caller asks, read with bounds: JSON bodies, query strings, files. What does not fit is the caller's fault, and is
//! said so.

use super::Problem;
use crate::desk::{Desk, TRY_FILE_BYTES_MAX};
use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header, request::Parts},
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Largest JSON body; the longest member is a text to be tried.
const BODY_BYTES_MAX: usize = 256 * 1024;
const PARAMETERS_MAX: usize = 100;

/// A JSON body.
pub(super) struct Asked<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Desk>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Desk>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind != "application/json" {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
        }
        let bytes = read(body, BODY_BYTES_MAX).await?;
        // Read as a value first: what is no JSON and what does not fit are told apart.
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("not JSON: {error}")))?;
        fit(value).map(Asked)
    }
}

/// A query string. Lists are the same name several times, or one value with commas.
pub(super) struct Query<T>(pub T);

/// Parameters that are lists, numbers, yes or no; all others are texts.
const LISTS: [&str; 3] = ["states", "verdicts", "terms"];
const NUMBERS: [&str; 5] = ["hours", "received_from", "received_until", "most", "before"];
const SWITCHES: [&str; 2] = ["quarantine", "released"];

impl<T: DeserializeOwned> FromRequestParts<Arc<Desk>> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Desk>) -> Result<Self, Problem> {
        let mut object = Map::new();
        let wrong = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        for (count, (name, value)) in pairs.enumerate() {
            if count >= PARAMETERS_MAX {
                return Err(wrong(format!("at most {PARAMETERS_MAX} parameters")));
            }
            let name = name.as_ref();
            if LISTS.contains(&name) {
                let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    let items = value.split(',').filter(|item| !item.is_empty());
                    list.extend(items.map(|item| Value::String(item.to_owned())));
                }
                continue;
            }
            let value = if NUMBERS.contains(&name) {
                let number: u64 = value.parse().map_err(|_| wrong(format!("`{name}` is a whole number from 0 up")))?;
                Value::from(number)
            } else if SWITCHES.contains(&name) {
                let switch: bool = value.parse().map_err(|_| wrong(format!("`{name}` is true or false")))?;
                Value::from(switch)
            } else {
                Value::String(value.into_owned())
            };
            if object.insert(name.to_owned(), value).is_some() {
                return Err(wrong(format!("`{name}` stands twice")));
            }
        }
        fit(Value::Object(object)).map(Query)
    }
}

/// A file as it is.
pub(super) struct RawBytes(pub Bytes);

impl FromRequest<Arc<Desk>> for RawBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Desk>) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if kind != Some("application/octet-stream") {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/octet-stream"));
        }
        read(request.into_body(), TRY_FILE_BYTES_MAX).await.map(RawBytes)
    }
}

async fn read(body: axum::body::Body, bytes_max: usize) -> Result<Bytes, Problem> {
    to_bytes(body, bytes_max)
        .await
        .map_err(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {bytes_max} bytes")))
}

fn fit<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_json::from_value(value).map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
}
