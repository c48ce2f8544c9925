//! Who visits a page: their session, the language and colours they chose, what went wrong in their words.
//!
//! A page is shown to whoever holds a session that is all the way in; everybody else is led to the door they need. That
//! a request comes from a page of ours is seen to by `web`, before anything here is asked.

use super::{
    login::{self, Door},
    shell::{Look, Theme},
    words::{Spoken, Words},
};
use crate::{
    actor::Actor,
    desk::{Desk, DeskError, now_ms},
    people::{Session, Stage},
    web::{self, Client, Fields},
};
use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    response::{Html, IntoResponse, Response},
};
use guarita_message::Language;
use maud::Markup;
use std::sync::Arc;

/// Everything a page needs; made only for a session that is all the way in, or that is about to set up its second step.
pub struct Visit {
    pub desk: Arc<Desk>,
    pub look: Look,
    pub session: Session,
    /// Of the session; for renewing it. Empty where a proxy speaks for the visitor.
    pub secret: String,
    pub client: Client,
}

impl Visit {
    pub fn words(&self) -> &'static Words {
        self.look.words
    }

    pub fn actor(&self) -> &Actor {
        &self.look.actor
    }

    /// The fields of a form, if it carries this session's token.
    #[allow(clippy::result_large_err)] // the error is the answer, made once
    pub fn form(&self, body: &[u8]) -> Result<Fields, Response> {
        let fields = read_fields(body);
        if self.session.fits(fields.get("csrf")) { Ok(fields) } else { Err(self.not_ours()) }
    }

    /// The form is older than the session, or somebody else's.
    pub fn not_ours(&self) -> Response {
        let words = self.words();
        refuse(self.look.theme, words, StatusCode::FORBIDDEN, words.t("refused.form"), words.t("refused.form_says"))
    }

    /// What the desk would not do, as a page.
    pub fn refused(&self, error: &DeskError) -> Response {
        let words = self.words();
        let title = match error {
            DeskError::Forbidden(_) => words.t("refused.forbidden"),
            DeskError::NotFound(_) => words.t("refused.not_found"),
            DeskError::Wrong { .. } => words.t("refused.wrong"),
            DeskError::Conflict(_) => words.t("refused.conflict"),
            DeskError::Busy(_) => words.t("refused.busy"),
            DeskError::Failed(_) => words.t("refused.failed"),
        };
        refuse(self.look.theme, words, web::status_of(error), title, &said(words, error))
    }

    /// The same as a line above the page that the form was on.
    pub fn with_problem(mut self, error: &DeskError) -> Visit {
        self.look.problem = Some(said(self.words(), error));
        self.look.done = None;
        self
    }
}

/// What went wrong, in the reader's language as far as it is ours.
pub fn said(words: &Words, error: &DeskError) -> String {
    match error {
        DeskError::Forbidden(scope) => words.fill("refused.needs", &[("scope", &words.of("scope", scope.as_str()))]),
        DeskError::NotFound(_) => words.t("refused.not_found_says").to_owned(),
        DeskError::Wrong { field: "reason", .. } => words.t("refused.reason").to_owned(),
        DeskError::Wrong { problem, .. } => words.sentence(problem),
        DeskError::Conflict(sentence) | DeskError::Busy(sentence) => words.sentence(sentence),
        DeskError::Failed(error) => {
            tracing::error!(error, "what a page asked for failed");
            words.t("refused.failed_says").to_owned()
        }
    }
}

impl FromRequestParts<Arc<Desk>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Visit, Response> {
        let client = Client::of(parts);
        let (words, theme) = taste(&parts.headers, &parts.uri);
        let found = web::session_of(&parts.headers, &client, desk).await.map_err(IntoResponse::into_response)?;
        let Some((session, secret)) = found else { return Err(to_log_in(parts)) };
        match session.stage {
            Stage::In => {}
            Stage::SecondStep => return Err(see_other("/login/code")),
            Stage::SetUpSecondStep if parts.uri.path() == "/account/second-step" => {}
            Stage::SetUpSecondStep => return Err(see_other("/account/second-step")),
        }
        let actor = session.actor(client.address);
        let wants = desk.wants(&actor).await.map_err(|error| failed(words, theme, &error))?;
        let done = fields_of(&parts.uri).get("done").to_owned();
        let look = Look {
            words,
            theme,
            actor,
            role: session.role,
            csrf: session.csrf.clone(),
            now_ms: now_ms(),
            held: wants.held,
            dead: wants.dead,
            done: Some(done).filter(|done| words.knows(&format!("done.{done}"))),
            problem: None,
        };
        Ok(Visit { desk: desk.clone(), look, session, secret, client })
    }
}

fn to_log_in(parts: &Parts) -> Response {
    // A fragment's fetch must see that it is out, not a log-in page in its place.
    if parts.headers.contains_key("x-guarita-fragment") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let here = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if parts.method != Method::GET || here == "/" {
        return see_other("/login");
    }
    let next: String = form_urlencoded::byte_serialize(here.as_bytes()).collect();
    see_other(&format!("/login?next={next}"))
}

fn failed(words: &'static Words, theme: Theme, error: &dyn std::fmt::Display) -> Response {
    refuse(theme, words, StatusCode::INTERNAL_SERVER_ERROR, words.t("refused.failed"), &error.to_string())
}

pub fn refuse(theme: Theme, words: &'static Words, status: StatusCode, title: &str, says: &str) -> Response {
    (status, Html(login::refused(words, theme, title, says).into_string())).into_response()
}

pub fn page(markup: Markup) -> Response {
    Html(markup.into_string()).into_response()
}

/// Only ever to a path of ours.
pub fn see_other(path: &str) -> Response {
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response()
}

// ---- doors ----

/// What a door is drawn with.
pub fn door(headers: &HeaderMap, uri: &Uri) -> Door {
    let (words, theme) = taste(headers, uri);
    Door { words, theme, problem: None, csrf: String::new() }
}

/// A language that was chosen on a door is remembered.
pub fn remember_language(uri: &Uri, mut response: Response) -> Response {
    if let Some(language) = Language::from_tag(fields_of(uri).get("lang")) {
        prefer(&mut response, "guarita_lang", language.as_str());
    }
    response
}

/// A choice of looks; nothing secret.
pub fn prefer(response: &mut Response, name: &str, word: &'static str) {
    let cookie = format!("{name}={word}; Path=/; Max-Age=31536000; SameSite=Lax");
    response.headers_mut().extend(HeaderValue::from_str(&cookie).ok().map(|cookie| (header::SET_COOKIE, cookie)));
}

fn taste(headers: &HeaderMap, uri: &Uri) -> (&'static Words, Theme) {
    let asked = Language::from_tag(fields_of(uri).get("lang"));
    let kept = cookie(headers, "guarita_lang").and_then(|tag| Language::from_tag(&tag));
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let language = asked.or(kept).unwrap_or_else(|| Language::negotiated(accepted));
    let theme = cookie(headers, "guarita_theme").map(|word| Theme::from_word(&word)).unwrap_or_default();
    (language.words(), theme)
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value.chars().take(20).collect())
}

// ---- fields ----

/// Fields that are read of one form.
const FIELDS_MAX: usize = 500;

pub fn read_fields(body: &[u8]) -> Fields {
    let fields = form_urlencoded::parse(body).take(FIELDS_MAX);
    Fields(fields.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
}

/// Those of the address.
pub fn fields_of(uri: &Uri) -> Fields {
    read_fields(uri.query().unwrap_or_default().as_bytes())
}

/// `None` if empty or no number.
pub fn number<N: std::str::FromStr>(fields: &Fields, name: &str) -> Option<N> {
    fields.get(name).trim().parse().ok()
}

/// A stream of bytes as a download; the name is plain ASCII.
pub fn download(mime: &'static str, name: &str, body: Body) -> Response {
    let clean: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')).collect();
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{clean}\""))
        .unwrap_or(HeaderValue::from_static("attachment"));
    ([(header::CONTENT_TYPE, HeaderValue::from_static(mime)), (header::CONTENT_DISPOSITION, disposition)], body)
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_s_name_cannot_add_headers() {
        let response = download("application/zip", "a\r\nx: y\".zip\u{202e}", Body::empty());
        assert_eq!(response.headers()[header::CONTENT_DISPOSITION], "attachment; filename=\"axy.zip\"");
    }
}
