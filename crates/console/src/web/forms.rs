//! What pages send: forms and files, taken only from a page of the same session. The token stands in the form's `csrf`
//! field, or in the header `X-CSRF-Token` where a script sends.

use super::{HalfWay, Turned, Visitor};
use crate::{desk::Desk, people::Session};
use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use std::sync::Arc;

/// Largest form; the longest field is a text to be tried.
const FORM_BYTES_MAX: usize = 256 * 1024;
const FIELDS_MAX: usize = 500;

/// A form's fields, in order.
#[derive(Clone, Debug, Default)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The field's value; empty where it is missing.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// A form sent by someone who is logged in.
pub struct Posted {
    pub visitor: Visitor,
    pub fields: Fields,
}

/// A form sent by someone half way in.
pub struct PostedHalfWay {
    pub half_way: HalfWay,
    pub fields: Fields,
}

/// Bytes (a file to be tried) sent by a script of ours, at most [`crate::TRY_FILE_BYTES_MAX`].
pub struct PostedBytes {
    pub visitor: Visitor,
    pub bytes: Bytes,
}

/// A form of someone who is not logged in (the log-in, a one-time link): no session, so no token.
impl FromRequest<Arc<Desk>> for Fields {
    type Rejection = Turned;

    async fn from_request(request: Request, _: &Arc<Desk>) -> Result<Self, Turned> {
        let (parts, body) = request.into_parts();
        read_form(&parts.headers, body).await
    }
}

impl FromRequest<Arc<Desk>> for Posted {
    type Rejection = Turned;

    async fn from_request(request: Request, desk: &Arc<Desk>) -> Result<Self, Turned> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, desk).await?;
        let fields = read_form(&parts.headers, body).await?;
        check(&visitor.session, &parts.headers, Some(&fields))?;
        Ok(Posted { visitor, fields })
    }
}

impl FromRequest<Arc<Desk>> for PostedHalfWay {
    type Rejection = Turned;

    async fn from_request(request: Request, desk: &Arc<Desk>) -> Result<Self, Turned> {
        let (mut parts, body) = request.into_parts();
        let half_way = HalfWay::from_request_parts(&mut parts, desk).await?;
        let fields = read_form(&parts.headers, body).await?;
        check(&half_way.session, &parts.headers, Some(&fields))?;
        Ok(PostedHalfWay { half_way, fields })
    }
}

impl FromRequest<Arc<Desk>> for PostedBytes {
    type Rejection = Turned;

    async fn from_request(request: Request, desk: &Arc<Desk>) -> Result<Self, Turned> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, desk).await?;
        // Before the body is read: 20 MB from a stranger's page are not worth it.
        check(&visitor.session, &parts.headers, None)?;
        let bytes = to_bytes(body, crate::TRY_FILE_BYTES_MAX).await.map_err(|_| Turned::TooLarge)?;
        Ok(PostedBytes { visitor, bytes })
    }
}

pub(crate) fn check(session: &Session, headers: &HeaderMap, fields: Option<&Fields>) -> Result<(), Turned> {
    let sent = headers.get("x-csrf-token").and_then(|value| value.to_str().ok());
    let sent = sent.or_else(|| fields.map(|fields| fields.get("csrf")));
    if sent.is_some_and(|sent| session.fits(sent)) { Ok(()) } else { Err(Turned::Csrf) }
}

async fn read_form(headers: &HeaderMap, body: Body) -> Result<Fields, Turned> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/x-www-form-urlencoded") {
        return Err(Turned::Malformed);
    }
    let bytes = to_bytes(body, FORM_BYTES_MAX).await.map_err(|_| Turned::TooLarge)?;
    let fields: Vec<_> = form_urlencoded::parse(&bytes).take(FIELDS_MAX + 1).collect();
    if fields.len() > FIELDS_MAX {
        return Err(Turned::TooLarge);
    }
    Ok(Fields(fields.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
}
