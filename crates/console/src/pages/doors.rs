//! Log-in, second step, set-up by a link, log-out, and one's own account. Who may come in is decided by `people`; here
//! its answers become pages and cookies.

use super::{
    account,
    login::{self, Door},
    shell::{self, Theme},
    visit::{self, Visit, fields_of, page, see_other},
    words::Spoken,
};
use crate::{
    desk::{Desk, DeskError},
    people::{Link, LogInError, NewSession, Session, Stage},
    web::{self, Client, Fields, checked_next},
};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use guarita_message::Language;
use std::sync::Arc;

pub fn router() -> Router<Arc<Desk>> {
    Router::new()
        .route("/login", get(show_log_in).post(log_in))
        .route("/login/code", get(show_code).post(check_code))
        .route("/logout", post(log_out))
        .route("/logout-all", post(log_out_all))
        .route("/setup/{secret}", get(show_set_up).post(set_up))
        .route("/account", get(show_account))
        .route("/account/preferences", post(prefer))
        .route("/account/password", post(change_password))
        .route("/account/second-step", get(offer).post(confirm))
}

/// Who knocks: not logged in, half way, or in already.
struct Knock {
    desk: Arc<Desk>,
    door: Door,
    client: Client,
    session: Option<Session>,
    secret: String,
    fields: Fields,
    uri: Uri,
}

/// Largest form at a door.
const FORM_BYTES_MAX: usize = 8 * 1024;

async fn knock(desk: Arc<Desk>, request: Request) -> Knock {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, FORM_BYTES_MAX).await.unwrap_or_default();
    let client = Client::of(&parts);
    let found = web::session_of(&parts.headers, &client, &desk).await.ok().flatten();
    let (session, secret) = found.map_or((None, String::new()), |(session, secret)| (Some(session), secret));
    Knock {
        door: visit::door(&parts.headers, &parts.uri),
        fields: visit::read_fields(&body),
        uri: parts.uri,
        client,
        session,
        secret,
        desk,
    }
}

/// The way in for whoever holds this new session; never with a cookie that the visitor brought.
fn with_session(mut response: Response, session: &NewSession, client: &Client) -> Response {
    response.headers_mut().append(header::SET_COOKIE, web::session_cookie(session, client));
    response
}

impl Knock {
    /// Sent on with the new session's cookie; never with one that the visitor brought.
    fn let_in(&self, session: &NewSession, next: &str) -> Response {
        let to = match session.stage {
            Stage::In => next_page(next),
            Stage::SecondStep => {
                let next: String = form_urlencoded::byte_serialize(next_page(next).as_bytes()).collect();
                format!("/login/code?next={next}")
            }
            Stage::SetUpSecondStep => "/account/second-step".to_owned(),
        };
        with_session(see_other(&to), session, &self.client)
    }

    fn half_way(&self) -> Option<&Session> {
        self.session.as_ref().filter(|session| session.stage == Stage::SecondStep)
    }

    fn with_problem(mut self, error: &LogInError) -> (StatusCode, Knock) {
        let words = self.door.words;
        let (status, problem) = match error {
            LogInError::Refused => (StatusCode::FORBIDDEN, words.t("login.refused").to_owned()),
            LogInError::Wait(seconds) => {
                (StatusCode::TOO_MANY_REQUESTS, words.fill("login.wait", &[("span", &words.span(*seconds as f64))]))
            }
            LogInError::Busy => (StatusCode::SERVICE_UNAVAILABLE, words.t("login.busy").to_owned()),
            LogInError::Wrong(problem) => (StatusCode::UNPROCESSABLE_ENTITY, problem.clone()),
            LogInError::Failed(problem) => (StatusCode::INTERNAL_SERVER_ERROR, problem.clone()),
        };
        self.door.problem = Some(problem);
        (status, self)
    }
}

// ---- log-in ----

async fn show_log_in(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let knock = knock(desk, request).await;
    let next = fields_of(&knock.uri).get("next").to_owned();
    if knock.session.as_ref().is_some_and(|session| session.stage == Stage::In) {
        return see_other(&next_page(&next));
    }
    visit::remember_language(&knock.uri, page(login::log_in(&knock.door, "", &next_page(&next))))
}

async fn log_in(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let knock = knock(desk, request).await;
    let (name, password) = (knock.fields.get("name").trim().to_owned(), knock.fields.get("password").to_owned());
    let next = knock.fields.get("next").to_owned();
    match knock.desk.people().log_in(&name, &password, knock.client.address).await {
        Ok(session) => knock.let_in(&session, &next),
        Err(error) => {
            let (status, knock) = knock.with_problem(&error);
            (status, page(login::log_in(&knock.door, &name, &next_page(&next)))).into_response()
        }
    }
}

async fn show_code(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let mut knock = knock(desk, request).await;
    let next = fields_of(&knock.uri).get("next").to_owned();
    match knock.half_way() {
        Some(session) => {
            knock.door.csrf = session.csrf.clone();
            visit::remember_language(&knock.uri, page(login::second_step(&knock.door, &next_page(&next))))
        }
        None => see_other("/"),
    }
}

async fn check_code(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let knock = knock(desk, request).await;
    let next = knock.fields.get("next").to_owned();
    let Some(session) = knock.half_way().filter(|session| session.fits(knock.fields.get("csrf"))).cloned() else {
        return see_other("/login");
    };
    match knock.desk.people().second_step(&knock.secret, knock.fields.get("code"), knock.client.address).await {
        Ok(session) => knock.let_in(&session, &next),
        Err(error) => {
            let (status, mut knock) = knock.with_problem(&error);
            knock.door.csrf = session.csrf;
            (status, page(login::second_step(&knock.door, &next_page(&next)))).into_response()
        }
    }
}

async fn log_out(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let knock = knock(desk, request).await;
    if !knock.session.as_ref().is_some_and(|session| session.fits(knock.fields.get("csrf"))) {
        return see_other("/login");
    }
    if let Err(error) = knock.desk.people().log_out(&knock.secret, knock.client.address).await {
        tracing::warn!(%error, "a session could not be ended");
    }
    out(&knock.client)
}

fn out(client: &Client) -> Response {
    (
        StatusCode::SEE_OTHER,
        [(header::LOCATION, HeaderValue::from_static("/login")), (header::SET_COOKIE, web::no_cookie(client))],
    )
        .into_response()
}

/// Where to go on after the log-in; never back to a door.
fn next_page(next: &str) -> String {
    let next = checked_next(next);
    if next.starts_with("/log") { "/".to_owned() } else { next }
}

// ---- set-up ----

async fn show_set_up(State(desk): State<Arc<Desk>>, Path(secret): Path<String>, request: Request) -> Response {
    let knock = knock(desk, request).await;
    match knock.desk.people().link(&secret).await {
        Ok(Some(link)) => {
            visit::remember_language(&knock.uri, page(login::set_up(&knock.door, &secret, name_of(&link))))
        }
        _ => used_up(&knock),
    }
}

async fn set_up(State(desk): State<Arc<Desk>>, Path(secret): Path<String>, request: Request) -> Response {
    let knock = knock(desk, request).await;
    let Ok(Some(link)) = knock.desk.people().link(&secret).await else { return used_up(&knock) };
    let (name, password) = (knock.fields.get("name").trim().to_owned(), knock.fields.get("password").to_owned());
    match knock.desk.people().redeem(&secret, &name, &password, knock.client.address).await {
        Ok(session) => knock.let_in(&session, "/"),
        Err(error) => {
            let (status, knock) = knock.with_problem(&error);
            (status, page(login::set_up(&knock.door, &secret, name_of(&link)))).into_response()
        }
    }
}

fn name_of(link: &Link) -> Option<&str> {
    match link {
        Link::FirstAdmin => None,
        Link::Password { name } => Some(name),
    }
}

fn used_up(knock: &Knock) -> Response {
    let words = knock.door.words;
    visit::refuse(knock.door.theme, words, StatusCode::NOT_FOUND, words.t("setup.used"), words.t("setup.used_says"))
}

// ---- one's own account ----

async fn show_account(visit: Visit) -> Response {
    account_page(&visit).await
}

async fn account_page(visit: &Visit) -> Response {
    let accounts = match visit.desk.people().accounts().await {
        Ok(accounts) => accounts,
        Err(error) => return visit.refused(&DeskError::from(error)),
    };
    let mine = accounts.iter().find(|account| account.name == visit.session.name);
    page(shell::page(&visit.look, "account", visit.words().t("account.title"), account::account(&visit.look, mine)))
}

async fn log_out_all(visit: Visit, body: Bytes) -> Response {
    if let Err(refused) = visit.form(&body) {
        return refused;
    }
    match visit.desk.people().log_out_all(&visit.session, visit.client.address).await {
        Ok(()) => out(&visit.client),
        Err(error) => visit.refused(&DeskError::from(error)),
    }
}

async fn prefer(visit: Visit, body: Bytes) -> Response {
    let fields = match visit.form(&body) {
        Ok(fields) => fields,
        Err(refused) => return refused,
    };
    let language = Language::from_tag(fields.get("lang")).unwrap_or(visit.words().language);
    let theme = Theme::from_word(fields.get("theme"));
    let mut response = see_other("/account?done=saved");
    visit::prefer(&mut response, "guarita_lang", language.as_str());
    visit::prefer(&mut response, "guarita_theme", theme.as_str());
    response
}

async fn change_password(visit: Visit, body: Bytes) -> Response {
    let fields = match visit.form(&body) {
        Ok(fields) => fields,
        Err(refused) => return refused,
    };
    let people = visit.desk.people();
    match people.change_password(&visit.session, fields.get("old"), fields.get("new"), visit.client.address).await {
        Ok(session) => with_session(see_other("/account?done=password"), &session, &visit.client),
        Err(error) => {
            let error = said(&visit, &error);
            account_page(&visit.with_problem(&DeskError::Conflict(error))).await
        }
    }
}

async fn offer(visit: Visit) -> Response {
    offer_page(&visit, None).await
}

async fn offer_page(visit: &Visit, problem: Option<String>) -> Response {
    match visit.desk.people().offer_second_step(&visit.session).await {
        Ok(offer) => {
            let body = account::enrolment(&visit.look, &offer.qr, &offer.secret, problem.as_deref());
            page(shell::door(visit.words(), visit.look.theme, visit.words().t("account.set_up"), body))
        }
        Err(error) => visit.refused(&DeskError::from(error)),
    }
}

/// A wrong code shows the same page with a new secret: the old one was seen too often by then.
async fn confirm(visit: Visit, body: Bytes) -> Response {
    let fields = match visit.form(&body) {
        Ok(fields) => fields,
        Err(refused) => return refused,
    };
    match visit.desk.people().confirm_second_step(&visit.secret, fields.get("code"), visit.client.address).await {
        Ok((session, codes)) => {
            let body = account::recovery_codes(&visit.look, &codes);
            let title = visit.words().t("account.codes");
            with_session(page(shell::door(visit.words(), visit.look.theme, title, body)), &session, &visit.client)
        }
        Err(error) => {
            let problem = said(&visit, &error);
            offer_page(&visit, Some(problem)).await
        }
    }
}

fn said(visit: &Visit, error: &LogInError) -> String {
    match error {
        LogInError::Refused => visit.words().t("login.refused").to_owned(),
        LogInError::Wait(seconds) => {
            visit.words().fill("login.wait", &[("span", &visit.words().span(*seconds as f64))])
        }
        LogInError::Failed(error) => {
            tracing::error!(error, "a log-in failed on our side");
            visit.words().t("refused.failed_says").to_owned()
        }
        error => visit.words().sentence(&error.to_string()),
    }
}
