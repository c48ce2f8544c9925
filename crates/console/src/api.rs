//! The admin API, `/api/v1`: everything the console can do, as JSON. Handlers read the request, call the desk and write the
//! answer; what one may is the desk's affair.
//!
//! One table names each operation beside its handler; the router and the OpenAPI document are both made from it.

mod asked;
mod caller;
mod openapi;
mod problem;

pub use problem::Problem;

use crate::{
    actor::Role,
    desk::{Desk, NewException, Release, Replay, Search},
    people::NewToken,
    picture::png_base64,
};
use asked::{Asked, Query, RawBytes};
use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, patch, post},
};
use bytes::Bytes;
use caller::Caller;
use guarita_message::Shown;
use openapi::{Gives, Op};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::{Arc, LazyLock};

type Shared = State<Arc<Desk>>;
type Given<T> = Result<Answer<T>, Problem>;

/// A JSON answer.
struct Answer<T>(T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => Problem::failed(&error).into_response(),
        }
    }
}

/// Nothing to say but that it was done.
struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Each operation with its handler.
fn operations() -> Vec<(Op, MethodRouter<Arc<Desk>>)> {
    let read = |path, id, says, gives| Op::new("get", path, id, says, "read").gives(gives);
    let admin_read = |path, id, says, gives| Op::new("get", path, id, says, "admin").gives(gives);
    let act = |path, id, says, scope, body| Op::new("post", path, id, says, scope).takes(body);
    vec![
        (
            Op::new("get", "/openapi.json", "openapi", "This document", "").gives(Gives::Json("OpenApi")),
            get(openapi_document),
        ),
        (read("/me", "me", "Who asks, and what they may", Gives::Json("Me")), get(me)),
        (
            read("/overview", "overview", "The state of things", Gives::Json("Overview")).query("hours", "integer"),
            get(overview),
        ),
        (
            read(
                "/messages",
                "listMessages",
                "Find messages, newest first; each page of a search by sender is audited",
                Gives::Page("Listed"),
            )
            .query_list("states")
            .query_list("verdicts")
            .query("quarantine", "boolean")
            .query("released", "boolean")
            .query("channel", "string")
            .query("route", "string")
            .query("sender", "string")
            .query_list("terms")
            .query("received_from", "integer")
            .query("received_until", "integer")
            .query("cursor", "string")
            .query("most", "integer"),
            get(list_messages),
        ),
        (read("/messages/{id}", "message", "One message, without contents", Gives::Json("Message")), get(message)),
        (
            Op::new("get", "/messages/{id}/contents", "contents", "Its contents; each reading is audited", "content")
                .gives(Gives::Json("Contents")),
            get(contents),
        ),
        (
            Op::new(
                "get",
                "/messages/{id}/files/{sha256}/preview",
                "preview",
                "What one of its files looks like, made in the locked worker; each showing is audited",
                "content",
            )
            .gives(Gives::Json("Preview")),
            get(preview),
        ),
        (act("/messages/{id}/release", "release", "Let a held message go", "review", "Release"), post(release)),
        (
            act("/messages/{id}/delete", "deleteMessage", "Remove its contents for good", "review", "Reason"),
            post(remove),
        ),
        (act("/messages/{id}/retry", "retry", "Put it back in line now", "review", "Reason"), post(retry)),
        (
            act(
                "/messages/{id}/files/{sha256}",
                "download",
                "One of its files, as a zip with the password `infected`",
                "review",
                "Reason",
            )
            .gives(Gives::Bytes("application/zip")),
            post(download),
        ),
        (
            read("/deliveries", "deliveries", "What waits, fails, was given up", Gives::Json("Deliveries")),
            get(deliveries),
        ),
        (
            act("/deliveries/replay", "replay", "Put dead letters back in line", "review", "Replay")
                .gives(Gives::Json("Replayed")),
            post(replay),
        ),
        (read("/rules", "rules", "The rules in force, and how often each spoke", Gives::Json("Rules")), get(rules)),
        (
            act("/rules/try", "try", "Look at a text or a link", "review", "Try").gives(Gives::Json("Tried")),
            post(try_words),
        ),
        (
            act("/rules/try-file", "tryFile", "Look at a file", "review", "")
                .takes_bytes()
                .query("name", "string")
                .gives(Gives::Json("Tried")),
            post(try_file),
        ),
        (read("/exceptions", "exceptions", "Lists and exceptions in force", Gives::List("Exception")), get(exceptions)),
        (
            act("/exceptions", "addException", "Add one", "review", "NewException").gives(Gives::Json("Exception")),
            post(add_exception),
        ),
        (
            act("/exceptions/{number}/remove", "removeException", "Remove one", "review", "Reason"),
            post(remove_exception),
        ),
        (
            admin_read("/settings", "settings", "The configuration in force, without secrets", Gives::List("Setting")),
            get(settings),
        ),
        (read("/doctor", "doctor", "Try each outside thing", Gives::List("Check")), get(doctor)),
        (
            act("/reload", "reload", "Read rules, lists and routes anew", "admin", "").gives(Gives::Json("Said")),
            post(reload),
        ),
        (
            act("/rescan", "rescan", "Scan again what is kept", "admin", "Reason").gives(Gives::Json("Said")),
            post(rescan),
        ),
        (
            act("/alerts/test", "testAlert", "Send a test alert", "admin", "").gives(Gives::Json("Said")),
            post(test_alert),
        ),
        (
            admin_read("/audit", "audit", "Who did what, newest first", Gives::Page("AuditRow"))
                .query("before", "integer")
                .query("most", "integer"),
            get(audit),
        ),
        (
            admin_read("/audit/export", "exportAudit", "Every row as JSON lines", Gives::Bytes("application/x-ndjson")),
            get(export_audit),
        ),
        (admin_read("/audit/verify", "verifyAudit", "Check the chain", Gives::Json("Verified")), get(verify_audit)),
        (admin_read("/users", "users", "Accounts", Gives::List("User")), get(users)),
        (
            act("/users", "addUser", "A new account; gives a one-time link", "admin", "NewUser")
                .gives(Gives::Json("Link")),
            post(add_user),
        ),
        (
            Op::new("patch", "/users/{name}", "changeUser", "Role, and whether it may be used", "admin")
                .takes("ChangeUser"),
            patch(change_user),
        ),
        (
            act(
                "/users/{name}/reset",
                "resetUser",
                "Take password and second step away; gives a one-time link",
                "admin",
                "",
            )
            .gives(Gives::Json("Link")),
            post(reset_user),
        ),
        (admin_read("/tokens", "tokens", "Tokens of programs", Gives::List("Token")), get(tokens)),
        (
            act("/tokens", "addToken", "A new token, shown this once", "admin", "NewToken")
                .gives(Gives::Json("AddedToken")),
            post(add_token),
        ),
        (Op::new("delete", "/tokens/{number}", "removeToken", "Remove a token", "admin"), delete(remove_token)),
        (act("/erase", "eraseSender", "Forget a person", "admin", "Erase").gives(Gives::Json("Erased")), post(erase)),
    ]
}

/// The document, as served.
pub static OPENAPI: LazyLock<String> =
    LazyLock::new(|| openapi::document(operations().into_iter().map(|(op, _)| op)).to_string());

pub(crate) fn router() -> Router<Arc<Desk>> {
    let mut router = Router::new();
    for (op, handler) in operations() {
        router = router.route(op.path, handler);
    }
    router
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this address takes other methods")
        })
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is no such address; see /api/v1/openapi.json"))
}

async fn openapi_document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI.as_str()).into_response()
}

async fn me(Caller(actor): Caller) -> Answer<serde_json::Value> {
    Answer(json!({"name": actor.name, "scopes": actor.scopes}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hours {
    hours: Option<u64>,
}

async fn overview(State(desk): Shared, Caller(actor): Caller, Query(asked): Query<Hours>) -> Given<crate::Overview> {
    Ok(Answer(desk.overview(&actor, asked.hours.unwrap_or(24)).await?))
}

async fn list_messages(
    State(desk): Shared,
    Caller(actor): Caller,
    Query(search): Query<Search>,
) -> Given<crate::Page<crate::Listed>> {
    Ok(Answer(desk.search(&actor, &search).await?))
}

async fn message(State(desk): Shared, Caller(actor): Caller, Path(id): Path<String>) -> Given<crate::MessageView> {
    Ok(Answer(desk.message(&actor, &id).await?))
}

async fn contents(State(desk): Shared, Caller(actor): Caller, Path(id): Path<String>) -> Given<crate::Contents> {
    Ok(Answer(desk.contents(&actor, &id).await?))
}

async fn preview(
    State(desk): Shared,
    Caller(actor): Caller,
    Path((id, hash)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let preview = desk.preview(&actor, &id, &hash.to_ascii_lowercase()).await?;
    let mut body = serde_json::to_value(&preview).map_err(|error| Problem::failed(&error))?;
    if let Shown::Picture { width, height, pixels } = &preview.shown {
        body["shown"]["png"] = json!(png_base64(*width, *height, pixels));
    }
    // Whoever opens this address in a browser gets letters: nothing in it is ever run, framed or guessed at.
    let policy = (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox; frame-ancestors 'none'");
    Ok(([policy], Answer(body)).into_response())
}

async fn release(
    State(desk): Shared,
    Caller(actor): Caller,
    Path(id): Path<String>,
    Asked(asked): Asked<Release>,
) -> Result<Done, Problem> {
    desk.release(&actor, &id, &asked).await?;
    Ok(Done)
}

/// A reason, and nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

async fn remove(
    State(desk): Shared,
    Caller(actor): Caller,
    Path(id): Path<String>,
    Asked(asked): Asked<Reason>,
) -> Result<Done, Problem> {
    desk.delete(&actor, &id, &asked.reason).await?;
    Ok(Done)
}

async fn retry(
    State(desk): Shared,
    Caller(actor): Caller,
    Path(id): Path<String>,
    Asked(asked): Asked<Reason>,
) -> Result<Done, Problem> {
    desk.retry(&actor, &id, &asked.reason).await?;
    Ok(Done)
}

async fn download(
    State(desk): Shared,
    Caller(actor): Caller,
    Path((id, hash)): Path<(String, String)>,
    Asked(asked): Asked<Reason>,
) -> Result<Response, Problem> {
    let archive = desk.download(&actor, &id, &hash.to_ascii_lowercase(), &asked.reason).await?;
    Ok(archive_response(archive))
}

/// A download: never shown in place, whatever it holds.
fn archive_response(archive: crate::Archive) -> Response {
    let name = format!("attachment; filename=\"{}\"", archive.name);
    let name = HeaderValue::from_str(&name).expect("an archive's name is made of an id and hexadecimal digits");
    let content = futures_util::stream::unfold(archive.content, |mut content| async move {
        content.recv().await.map(|piece| (piece, content))
    });
    let headers: [(HeaderName, HeaderValue); 3] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/zip")),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Body::from_stream(content)).into_response()
}

async fn deliveries(State(desk): Shared, Caller(actor): Caller) -> Given<crate::Deliveries> {
    Ok(Answer(desk.deliveries(&actor).await?))
}

async fn replay(State(desk): Shared, Caller(actor): Caller, Asked(asked): Asked<Replay>) -> Given<crate::Replayed> {
    Ok(Answer(desk.replay(&actor, &asked).await?))
}

async fn rules(State(desk): Shared, Caller(actor): Caller) -> Given<crate::Rules> {
    Ok(Answer(desk.rules(&actor, None)?))
}

/// One of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Try {
    #[serde(default, deserialize_with = "present")]
    text: Option<String>,
    #[serde(default, deserialize_with = "present")]
    url: Option<String>,
}

/// A member may be left out; if it is there it is a text.
fn present<'de, D: serde::Deserializer<'de>>(given: D) -> Result<Option<String>, D::Error> {
    String::deserialize(given).map(Some)
}

async fn try_words(State(desk): Shared, Caller(actor): Caller, Asked(asked): Asked<Try>) -> Given<crate::Tried> {
    match (asked.text, asked.url) {
        (Some(text), None) => Ok(Answer(desk.try_text(&actor, text).await?)),
        (None, Some(url)) => Ok(Answer(desk.try_url(&actor, url).await?)),
        _ => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "give either text or url")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileName {
    name: Option<String>,
}

async fn try_file(
    State(desk): Shared,
    Caller(actor): Caller,
    Query(asked): Query<FileName>,
    RawBytes(bytes): RawBytes,
) -> Given<crate::Tried> {
    Ok(Answer(desk.try_file(&actor, asked.name.unwrap_or_default(), bytes.to_vec()).await?))
}

async fn exceptions(State(desk): Shared, Caller(actor): Caller) -> Given<Vec<crate::Exception>> {
    Ok(Answer(desk.exceptions(&actor).await?))
}

async fn add_exception(
    State(desk): Shared,
    Caller(actor): Caller,
    Asked(asked): Asked<NewException>,
) -> Given<crate::Exception> {
    Ok(Answer(desk.add_exception(&actor, &asked).await?))
}

async fn remove_exception(
    State(desk): Shared,
    Caller(actor): Caller,
    Path(number): Path<String>,
    Asked(asked): Asked<Reason>,
) -> Result<Done, Problem> {
    let number = number.parse().map_err(|_| Problem::new(StatusCode::NOT_FOUND, "there is no such exception"))?;
    desk.remove_exception(&actor, number, &asked.reason).await?;
    Ok(Done)
}

async fn settings(State(desk): Shared, Caller(actor): Caller) -> Given<Vec<crate::Setting>> {
    Ok(Answer(desk.settings(&actor)?))
}

async fn doctor(State(desk): Shared, Caller(actor): Caller) -> Given<Vec<crate::Check>> {
    Ok(Answer(desk.doctor(&actor).await?))
}

/// What the gateway said to it.
#[derive(Serialize)]
struct Said {
    said: String,
}

async fn reload(State(desk): Shared, Caller(actor): Caller) -> Given<Said> {
    Ok(Answer(Said { said: desk.reload(&actor).await? }))
}

async fn rescan(State(desk): Shared, Caller(actor): Caller, Asked(asked): Asked<Reason>) -> Given<Said> {
    Ok(Answer(Said { said: desk.rescan(&actor, &asked.reason).await? }))
}

async fn test_alert(State(desk): Shared, Caller(actor): Caller) -> Given<Said> {
    Ok(Answer(Said { said: desk.test_alert(&actor).await? }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditPage {
    before: Option<u64>,
    most: Option<usize>,
}

async fn audit(
    State(desk): Shared,
    Caller(actor): Caller,
    Query(asked): Query<AuditPage>,
) -> Given<crate::Page<crate::Row>> {
    Ok(Answer(desk.audit(&actor, asked.before, asked.most.unwrap_or(50)).await?))
}

async fn export_audit(State(desk): Shared, Caller(actor): Caller) -> Result<Response, Problem> {
    Ok(audit_export_response(desk, actor).await?)
}

/// The whole audit as JSON lines, read from the store a stretch at a time while it is sent.
async fn audit_export_response(desk: Arc<Desk>, actor: crate::Actor) -> crate::Done<Response> {
    // The first stretch is read before anything is answered, so that a refusal is an answer.
    let first = desk.audit_lines(&actor, 0).await?;
    let lines = futures_util::stream::unfold(Some(first), move |rows| {
        let (desk, actor) = (desk.clone(), actor.clone());
        async move {
            let rows = rows.filter(|rows| !rows.is_empty())?;
            let mut text = String::new();
            for row in &rows {
                text.push_str(&serde_json::to_string(row).ok()?);
                text.push('\n');
            }
            let last = rows.last().map_or(0, |row| row.number);
            let (next, piece) = match desk.audit_lines(&actor, last).await {
                Ok(next) => (Some(next), Ok(Bytes::from(text))),
                Err(error) => (None, Err(std::io::Error::other(error.to_string()))),
            };
            Some((piece, next))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"guarita-audit.jsonl\""),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

async fn verify_audit(State(desk): Shared, Caller(actor): Caller) -> Given<serde_json::Value> {
    let (rows, broken) = desk.verify_audit(&actor).await?;
    Ok(Answer(json!({"rows": rows, "whole": broken.is_none(), "broken": broken})))
}

async fn users(State(desk): Shared, Caller(actor): Caller) -> Given<Vec<crate::people::Account>> {
    Ok(Answer(desk.users(&actor).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
    role: Role,
}

/// A one-time link, as a path of this door.
#[derive(Serialize)]
struct Link {
    link: String,
}

impl Link {
    fn of(secret: &str) -> Self {
        Link { link: format!("/setup/{secret}") }
    }
}

async fn add_user(State(desk): Shared, Caller(actor): Caller, Asked(asked): Asked<NewUser>) -> Given<Link> {
    Ok(Answer(Link::of(&desk.add_user(&actor, &asked.name, asked.role).await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeUser {
    role: Option<Role>,
    disabled: Option<bool>,
}

async fn change_user(
    State(desk): Shared,
    Caller(actor): Caller,
    Path(name): Path<String>,
    Asked(asked): Asked<ChangeUser>,
) -> Result<Done, Problem> {
    desk.change_user(&actor, &name, asked.role, asked.disabled).await?;
    Ok(Done)
}

async fn reset_user(State(desk): Shared, Caller(actor): Caller, Path(name): Path<String>) -> Given<Link> {
    Ok(Answer(Link::of(&desk.reset_user(&actor, &name).await?)))
}

async fn tokens(State(desk): Shared, Caller(actor): Caller) -> Given<Vec<crate::people::TokenInfo>> {
    Ok(Answer(desk.tokens(&actor).await?))
}

async fn add_token(
    State(desk): Shared,
    Caller(actor): Caller,
    Asked(asked): Asked<NewToken>,
) -> Given<serde_json::Value> {
    let (token, info) = desk.add_token(&actor, &asked).await?;
    Ok(Answer(json!({"token": token, "info": info})))
}

async fn remove_token(State(desk): Shared, Caller(actor): Caller, Path(number): Path<String>) -> Result<Done, Problem> {
    let number = number.parse().map_err(|_| Problem::new(StatusCode::NOT_FOUND, "there is no such token"))?;
    desk.remove_token(&actor, number).await?;
    Ok(Done)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Erase {
    sender: String,
    reason: String,
}

async fn erase(State(desk): Shared, Caller(actor): Caller, Asked(asked): Asked<Erase>) -> Given<crate::Erased> {
    Ok(Answer(desk.erase_sender(&actor, &asked.sender, &asked.reason).await?))
}
