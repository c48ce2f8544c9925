//! What every request passes before a page or the API sees it: where it comes from, whose session it bears, whether it was
//! sent by a page of ours; and the headers every answer carries. Knows HTTP, cookies and sessions; must not know what the
//! desk does.

mod client;
mod control;
mod forms;
mod guard;
mod serve;

pub use client::Client;
pub(crate) use control::LocalUser;
pub use control::{CONTROL_SOCKET, bind_control, serve_control};
pub use forms::Fields;
pub(crate) use forms::bears_token;
pub(crate) use guard::guard;
pub(crate) use serve::Peer;
pub use serve::serve;

use crate::{
    desk::{Desk, DeskError},
    people::{NewSession, Session},
};
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// Our own store failed while a session was looked up: nobody is let in.
#[derive(Debug)]
pub struct Failed;

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, "something failed on our side; see the log\n").into_response()
    }
}

/// The session that a request bears: a proxy's word where one is believed, else the cookie's.
pub(crate) async fn session_of(
    headers: &HeaderMap,
    client: &Client,
    desk: &Desk,
) -> Result<Option<(Session, String)>, Failed> {
    let failed = |error: crate::store::StoreError| {
        tracing::error!(%error, "a session could not be looked up");
        Failed
    };
    if let Some(name) = &client.proxy_user {
        return Ok(desk.people().proxy_session(name).await.map_err(failed)?.map(|session| (session, String::new())));
    }
    let Some(secret) = cookie_of(headers, client.secure) else { return Ok(None) };
    Ok(desk.people().session(&secret).await.map_err(failed)?.map(|session| (session, secret)))
}

/// A path of ours that may follow a log-in. `//evil.example` and `/\evil.example` are other hosts to a browser.
pub fn checked_next(next: &str) -> String {
    let right = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && next.len() <= 1024
        && next.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    if right { next.to_owned() } else { "/".to_owned() }
}

/// With TLS the name binds the cookie to this host and to TLS; browsers refuse that name without.
fn cookie_name(secure: bool) -> &'static str {
    if secure { "__Host-guarita" } else { "guarita" }
}

fn cookie_of(headers: &HeaderMap, secure: bool) -> Option<String> {
    let name = cookie_name(secure);
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    found.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

/// `Set-Cookie` for a session that was just made.
pub fn session_cookie(session: &NewSession, client: &Client) -> HeaderValue {
    cookie(&session.secret, client.secure, "")
}

/// `Set-Cookie` that takes it away.
pub fn no_cookie(client: &Client) -> HeaderValue {
    cookie("", client.secure, "; Max-Age=0")
}

fn cookie(value: &str, secure: bool, more: &str) -> HeaderValue {
    let name = cookie_name(secure);
    let flag = if secure { "; Secure" } else { "" };
    // Lax, not Strict: the link in an alert opens the message without another log-in. Every form bears a token.
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{flag}{more}");
    HeaderValue::from_str(&text).expect("a secret of ours is hexadecimal")
}

/// The status a desk's refusal stands for; its words are the error's own.
pub fn status_of(error: &DeskError) -> StatusCode {
    match error {
        DeskError::Forbidden(_) => StatusCode::FORBIDDEN,
        DeskError::NotFound(_) => StatusCode::NOT_FOUND,
        DeskError::Wrong { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        DeskError::Conflict(_) => StatusCode::CONFLICT,
        DeskError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        DeskError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for (next, expect) in [
            ("/messages?q=a", "/messages?q=a"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("javascript:alert(1)", "/"),
            ("/a\r\nSet-Cookie: x=y", "/"),
            ("", "/"),
        ] {
            assert_eq!(checked_next(next), expect);
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; guarita=abc; c=d"));
        assert_eq!(cookie_of(&headers, false).as_deref(), Some("abc"));
        assert_eq!(cookie_of(&headers, true), None, "one set without TLS is none of ours with it");
    }
}
