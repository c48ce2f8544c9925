//! Who calls: a program with a bearer token, or a page's script with its session and the session's token.

use super::Problem;
use crate::{
    actor::Actor,
    desk::Desk,
    people::Stage,
    web::{self, Client, LocalUser},
};
use axum::{
    extract::FromRequestParts,
    http::{Method, StatusCode, header, request::Parts},
};
use std::sync::Arc;

pub(super) struct Caller(pub Actor);

impl FromRequestParts<Arc<Desk>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
        if let Some(user) = parts.extensions.get::<LocalUser>() {
            return Ok(Caller(Actor::local(&user.0)));
        }
        let client = Client::of(parts);
        let nobody = || Problem::new(StatusCode::UNAUTHORIZED, "send a token of this console: Authorization: Bearer …");
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            let value = value.to_str().map_err(|_| nobody())?;
            let (scheme, token) = value.split_once(' ').ok_or_else(nobody)?;
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(nobody());
            }
            let actor = desk.people().token_actor(token.trim(), client.address).await;
            return actor.map_err(|error| Problem::failed(&error))?.map(Caller).ok_or_else(nobody);
        }
        let session = web::session_of(&parts.headers, &client, desk).await;
        let session = session.map_err(|_| Problem::failed(&"the session could not be looked up"))?;
        let Some((session, _)) = session.filter(|(session, _)| session.stage == Stage::In) else {
            return Err(nobody());
        };
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        if !is_read && !web::bears_token(&session, &parts.headers) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "with a session, send its token as X-CSRF-Token"));
        }
        Ok(Caller(session.actor(client.address)))
    }
}
