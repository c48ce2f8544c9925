//! The addresses of the pages, and what each form does: ask the desk, then show or say what came of it.
//!
//! No handler decides who may do what; the desk does. After a change the browser is sent on (303), so that a reload never
//! does it twice.

use super::{
    assets, audit, deliveries, health, lists, message,
    messages::{self, Asked},
    overview, people as people_page,
    quarantine::{self, CHOSEN_MAX, Shown},
    rules::{self, Narrow, Trial},
    shell,
    visit::{self, Visit, fields_of, number, page, see_other},
};
use crate::{
    actor::{Role, Scope},
    desk::{Desk, DeskError, Done, NewException, Release, Replay, Search, Side, TRY_FILE_BYTES_MAX},
    people::NewToken,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Multipart, Path},
    http::{HeaderMap, Uri},
    response::Response,
    routing::{get, post},
};
use std::sync::Arc;

/// Largest form; a text that is tried may be long.
const FORM_BYTES_MAX: usize = 256 * 1024;
/// What a form around a file takes besides it.
const FORM_AROUND_FILE_BYTES: usize = 64 * 1024;
/// Held messages shown on the first page.
const HELD_SHOWN: usize = 6;
/// Rows of the audit on one page.
const AUDIT_ROWS: usize = 100;

/// Every page, its assets and its doors.
pub fn router() -> Router<Arc<Desk>> {
    Router::new()
        .route("/", get(show_overview))
        .route("/messages", get(show_messages))
        .route("/messages/{id}", get(show_message))
        .route("/messages/{id}/contents", get(open_message))
        .route("/messages/{id}/release", post(release))
        .route("/messages/{id}/delete", post(delete))
        .route("/messages/{id}/retry", post(retry))
        .route("/messages/{id}/files/{hash}/preview", get(show_preview))
        .route("/messages/{id}/files/{hash}/download", post(download))
        .route("/quarantine", get(show_quarantine).post(act_on_chosen))
        .route("/deliveries", get(show_deliveries))
        .route("/deliveries/replay", post(replay))
        .route("/rules", get(show_rules))
        .route("/rules/try", post(try_words))
        .route(
            "/rules/try-file",
            post(try_file).layer(DefaultBodyLimit::max(TRY_FILE_BYTES_MAX + FORM_AROUND_FILE_BYTES)),
        )
        .route("/lists", get(show_lists).post(add_exception))
        .route("/lists/{id}/remove", post(remove_exception))
        .route("/health", get(show_health))
        .route("/health/reload", post(reload))
        .route("/health/rescan", post(rescan))
        .route("/health/test-alert", post(test_alert))
        .route("/health/erase", post(erase))
        .route("/audit", get(show_audit))
        .route("/audit/export", get(export_audit))
        .route("/people", get(show_people).post(add_person))
        .route("/people/{name}/change", post(change_person))
        .route("/people/{name}/reset", post(reset_person))
        .route("/people/tokens", post(add_token))
        .route("/people/tokens/{id}/remove", post(remove_token))
        .route("/assets/{hash}/{name}", get(asset))
        .merge(super::doors::router())
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
}

async fn asset(Path((hash, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    assets::serve(&hash, &name, &headers)
}

async fn nothing_here(visit: Visit) -> Response {
    visit.refused(&DeskError::NotFound("page"))
}

/// Shows what came of asking, or why it was refused.
fn show<T>(visit: &Visit, found: Done<T>, draw: impl FnOnce(T) -> Response) -> Response {
    match found {
        Ok(found) => draw(found),
        Err(error) => visit.refused(&error),
    }
}

fn draw(visit: &Visit, place: &str, title: &str, body: maud::Markup) -> Response {
    page(shell::page(&visit.look, place, title, body))
}

// ---- looking ----

async fn show_overview(visit: Visit, uri: Uri) -> Response {
    let hours = number(&fields_of(&uri), "hours").filter(|hours| overview::RANGES.contains(hours)).unwrap_or(24);
    let held = Search { quarantine: Some(true), most: Some(HELD_SHOWN * 4), ..Search::default() };
    let found = async {
        let data = visit.desk.overview(visit.actor(), hours).await?;
        let mut held = visit.desk.search(visit.actor(), &held).await?.items;
        held.retain(|row| row.record.released_by.is_none());
        held.truncate(HELD_SHOWN);
        Done::Ok((data, held))
    };
    show(&visit, found.await, |(data, held)| {
        draw(
            &visit,
            "overview",
            visit.words().t("overview.title"),
            overview::overview(&visit.look, &data, &held, hours),
        )
    })
}

async fn show_messages(visit: Visit, uri: Uri) -> Response {
    let fields = fields_of(&uri);
    let asked = Asked::read(&fields.0);
    let cursor = Some(fields.get("before").to_owned()).filter(|cursor| !cursor.is_empty());
    let search = Search { cursor, ..asked.search() };
    let found = visit.desk.search(visit.actor(), &search).await;
    show(&visit, found, |found| {
        let body = messages::messages(&visit.look, &asked, &found);
        draw(&visit, "messages", visit.words().t("messages.title"), body)
    })
}

async fn show_message(visit: Visit, Path(id): Path<String>) -> Response {
    message_page(&visit, &id, false, None).await
}

async fn open_message(visit: Visit, Path(id): Path<String>) -> Response {
    message_page(&visit, &id, true, None).await
}

/// With the preview of one file; `open=1` where the contents had been opened before.
async fn show_preview(visit: Visit, Path((id, hash)): Path<(String, String)>, uri: Uri) -> Response {
    let open = fields_of(&uri).get("open") == "1";
    message_page(&visit, &id, open, Some(hash)).await
}

async fn message_page(visit: &Visit, id: &str, open: bool, file: Option<String>) -> Response {
    let found = async {
        let mut opened = message::Opened::default();
        if open {
            opened.contents = Some(visit.desk.contents(visit.actor(), id).await?);
        }
        if let Some(hash) = file {
            let preview = visit.desk.preview(visit.actor(), id, &hash).await?;
            opened.preview = Some((hash, preview));
        }
        Done::Ok((visit.desk.message(visit.actor(), id).await?, opened))
    };
    show(visit, found.await, |(view, opened)| {
        let title = format!("{} {}", visit.words().t("lane.message"), view.record.id);
        let place = if view.record.quarantine && view.record.released_by.is_none() { "quarantine" } else { "messages" };
        draw(visit, place, &title, message::message(&visit.look, &view, &opened))
    })
}

async fn show_quarantine(visit: Visit, uri: Uri) -> Response {
    quarantine_page(&visit, &uri).await
}

async fn quarantine_page(visit: &Visit, uri: &Uri) -> Response {
    let fields = fields_of(uri);
    let shown = if fields.get("shown") == "released" { Shown::Released } else { Shown::Held };
    let cursor = Some(fields.get("before").to_owned()).filter(|cursor| !cursor.is_empty());
    // What was released is not in quarantine until it is judged again.
    let search = match shown {
        Shown::Held => Search { quarantine: Some(true), released: Some(false), cursor, ..Search::default() },
        Shown::Released => Search { released: Some(true), cursor, ..Search::default() },
    };
    let found = visit.desk.search(visit.actor(), &search).await;
    show(visit, found, |found| {
        let body = quarantine::quarantine(&visit.look, shown, &found);
        draw(visit, "quarantine", visit.words().t("quarantine.title"), body)
    })
}

async fn show_deliveries(visit: Visit) -> Response {
    deliveries_page(&visit).await
}

async fn deliveries_page(visit: &Visit) -> Response {
    show(visit, visit.desk.deliveries(visit.actor()).await, |data| {
        draw(visit, "deliveries", visit.words().t("deliveries.title"), deliveries::deliveries(&visit.look, &data))
    })
}

async fn show_rules(visit: Visit, uri: Uri) -> Response {
    rules_page(&visit, &Narrow::read(&fields_of(&uri).0), None)
}

fn rules_page(visit: &Visit, narrow: &Narrow, trial: Option<&Trial>) -> Response {
    show(visit, visit.desk.rules(visit.actor(), Some(visit.words().language)), |found| {
        draw(visit, "rules", visit.words().t("rules.title"), rules::rules(&visit.look, &found, narrow, trial))
    })
}

async fn show_lists(visit: Visit) -> Response {
    lists_page(&visit).await
}

async fn lists_page(visit: &Visit) -> Response {
    show(visit, visit.desk.exceptions(visit.actor()).await, |all| {
        draw(visit, "lists", visit.words().t("lists.title"), lists::lists(&visit.look, &all))
    })
}

async fn show_health(visit: Visit) -> Response {
    health_page(&visit, None).await
}

async fn health_page(visit: &Visit, answer: Option<&str>) -> Response {
    let settings = if visit.look.may(Scope::Admin) { visit.desk.settings(visit.actor()) } else { Ok(Vec::new()) };
    let found = async { Done::Ok((visit.desk.doctor(visit.actor()).await?, settings?)) };
    show(visit, found.await, |(checks, settings)| {
        let body = health::health(&visit.look, &checks, &settings, answer);
        draw(visit, "health", visit.words().t("health.title"), body)
    })
}

async fn show_audit(visit: Visit, uri: Uri) -> Response {
    let fields = fields_of(&uri);
    let found = async {
        let rows = visit.desk.audit(visit.actor(), number(&fields, "before"), AUDIT_ROWS).await?;
        let verified =
            if fields.get("verify") == "1" { Some(visit.desk.verify_audit(visit.actor()).await?) } else { None };
        Done::Ok((rows, verified))
    };
    show(&visit, found.await, |(rows, verified)| {
        draw(&visit, "audit", visit.words().t("audit.title"), audit::audit(&visit.look, &rows, verified.as_ref()))
    })
}

/// The whole audit as JSON lines, a stretch at a time, so that its size never matters.
async fn export_audit(visit: Visit) -> Response {
    let mut rows = match visit.desk.audit_lines(visit.actor(), 0).await {
        Ok(rows) => rows,
        Err(error) => return visit.refused(&error),
    };
    let (desk, actor) = (visit.desk.clone(), visit.actor().clone());
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(2);
    tokio::spawn(async move {
        while let Some(last) = rows.last() {
            let after = last.number;
            let lines: String = rows.iter().filter_map(|row| Some(serde_json::to_string(row).ok()? + "\n")).collect();
            if sender.send(Ok(lines.into())).await.is_err() {
                return;
            }
            rows = match desk.audit_lines(&actor, after).await {
                Ok(rows) => rows,
                // The reader gets a body that ends too soon, and says so.
                Err(error) => {
                    let _ = sender.send(Err(std::io::Error::other(error.to_string()))).await;
                    return;
                }
            };
        }
    });
    visit::download("application/x-ndjson", "guarita-audit.jsonl", channel_body(receiver))
}

fn channel_body(receiver: tokio::sync::mpsc::Receiver<std::io::Result<Bytes>>) -> Body {
    Body::from_stream(futures_util::stream::unfold(receiver, async |mut receiver| {
        let next = receiver.recv().await?;
        Some((next, receiver))
    }))
}

async fn show_people(visit: Visit) -> Response {
    people_page_of(&visit, None).await
}

async fn people_page_of(visit: &Visit, once: Option<&people_page::Once>) -> Response {
    let found = async { Done::Ok((visit.desk.users(visit.actor()).await?, visit.desk.tokens(visit.actor()).await?)) };
    show(visit, found.await, |(accounts, tokens)| {
        let body = people_page::people(&visit.look, &accounts, &tokens, once);
        draw(visit, "people", visit.words().t("people.title"), body)
    })
}

// ---- doing ----

/// The form's fields, or the answer that refuses it.
macro_rules! form {
    ($visit:ident, $body:ident) => {
        match $visit.form(&$body) {
            Ok(fields) => fields,
            Err(refused) => return refused,
        }
    };
}

async fn release(visit: Visit, Path(id): Path<String>, body: Bytes) -> Response {
    let fields = form!(visit, body);
    let release = Release {
        reason: fields.get("reason").to_owned(),
        exception: fields.get("exception") == "1",
        exception_days: number(&fields, "exception_days"),
    };
    let done = visit.desk.release(visit.actor(), &id, &release).await;
    after_message(visit, &id, done, "released").await
}

async fn delete(visit: Visit, Path(id): Path<String>, body: Bytes) -> Response {
    let fields = form!(visit, body);
    let done = visit.desk.delete(visit.actor(), &id, fields.get("reason")).await;
    after_message(visit, &id, done, "deleted").await
}

async fn retry(visit: Visit, Path(id): Path<String>, body: Bytes) -> Response {
    let fields = form!(visit, body);
    let done = visit.desk.retry(visit.actor(), &id, fields.get("reason")).await;
    after_message(visit, &id, done, "retried").await
}

async fn after_message(visit: Visit, id: &str, done: Done<()>, word: &str) -> Response {
    match done {
        Ok(()) => see_other(&format!("/messages/{}?done={word}", path_safe(id))),
        Err(error @ (DeskError::Forbidden(_) | DeskError::NotFound(_))) => visit.refused(&error),
        Err(error) => message_page(&visit.with_problem(&error), id, false, None).await,
    }
}

/// An id as it may stand in an address: it was found, so it is one of ours.
fn path_safe(id: &str) -> String {
    id.chars().filter(char::is_ascii_alphanumeric).collect()
}

async fn download(visit: Visit, Path((id, hash)): Path<(String, String)>, body: Bytes) -> Response {
    let fields = form!(visit, body);
    match visit.desk.download(visit.actor(), &id, &hash, fields.get("reason")).await {
        Ok(archive) => visit::download("application/zip", &archive.name, channel_body(archive.content)),
        Err(error @ (DeskError::Forbidden(_) | DeskError::NotFound(_))) => visit.refused(&error),
        Err(error) => message_page(&visit.with_problem(&error), &id, false, None).await,
    }
}

async fn act_on_chosen(visit: Visit, uri: Uri, body: Bytes) -> Response {
    let fields = form!(visit, body);
    let reason = fields.get("reason");
    let act = fields.get("act");
    let chosen: Vec<&str> = fields.all("id").into_iter().take(CHOSEN_MAX).collect();
    if chosen.is_empty() {
        let error = DeskError::Conflict(visit.words().t("quarantine.nothing_chosen").to_owned());
        return quarantine_page(&visit.with_problem(&error), &uri).await;
    }
    let mut problem = None;
    for id in chosen {
        let done = match act {
            "release" | "release_exception" => {
                let exception = act == "release_exception";
                let release = Release {
                    reason: reason.to_owned(),
                    exception,
                    exception_days: exception.then_some(EXCEPTION_DAYS),
                };
                visit.desk.release(visit.actor(), id, &release).await
            }
            "delete" => visit.desk.delete(visit.actor(), id, reason).await,
            _ => Err(DeskError::NotFound("action")),
        };
        // The rest is tried still: each is noted for itself, and the first problem is shown.
        if let Err(error) = done
            && problem.is_none()
        {
            problem = Some(error);
        }
    }
    match problem {
        None if act == "delete" => see_other("/quarantine?done=deleted_many"),
        None => see_other("/quarantine?done=released_many"),
        Some(error @ DeskError::Forbidden(_)) => visit.refused(&error),
        Some(error) => quarantine_page(&visit.with_problem(&error), &uri).await,
    }
}

/// How long an exception holds that is made for several messages at once.
const EXCEPTION_DAYS: u32 = 30;

async fn replay(visit: Visit, body: Bytes) -> Response {
    let fields = form!(visit, body);
    let day = |name: &str| super::show::parse_time(fields.get(name));
    let replay = Replay {
        route: Some(fields.get("route").trim().to_owned()).filter(|route| !route.is_empty()),
        received_from: day("from"),
        received_until: day("until").map(|ms| ms + 86_400_000),
        most: None,
        reason: fields.get("reason").to_owned(),
    };
    match visit.desk.replay(visit.actor(), &replay).await {
        Ok(_) => see_other("/deliveries?done=replayed"),
        Err(error @ DeskError::Forbidden(_)) => visit.refused(&error),
        Err(error) => deliveries_page(&visit.with_problem(&error)).await,
    }
}

async fn try_words(visit: Visit, body: Bytes) -> Response {
    let fields = form!(visit, body);
    let (kind, input) = match fields.get("link") {
        "" => ("text", fields.get("text").to_owned()),
        link => ("link", link.trim().to_owned()),
    };
    let tried = match kind {
        "link" => visit.desk.try_url(visit.actor(), input.clone()).await,
        _ => visit.desk.try_text(visit.actor(), input.clone()).await,
    };
    after_try(&visit, kind, input, tried)
}

fn after_try(visit: &Visit, kind: &'static str, input: String, tried: Done<crate::gateway::Tried>) -> Response {
    let outcome = match tried {
        Ok(tried) => Ok(tried),
        Err(error @ DeskError::Forbidden(_)) => return visit.refused(&error),
        Err(error) => Err(visit::said(visit.words(), &error)),
    };
    rules_page(visit, &Narrow::default(), Some(&Trial { kind, input, outcome }))
}

/// The token comes before the file; a form without it is not read further.
async fn try_file(visit: Visit, mut parts: Multipart) -> Response {
    let mut ours = false;
    while let Ok(Some(part)) = parts.next_field().await {
        match part.name() {
            Some("csrf") => ours = part.text().await.is_ok_and(|token| visit.session.fits(&token)),
            Some("file") if ours => {
                let name = part.file_name().unwrap_or_default().to_owned();
                let tried = match part.bytes().await {
                    Ok(bytes) => visit.desk.try_file(visit.actor(), name.clone(), bytes.to_vec()).await,
                    Err(error) => Err(DeskError::Wrong { field: "file", problem: error.body_text() }),
                };
                return after_try(&visit, "file", name, tried);
            }
            _ => {}
        }
    }
    visit.not_ours()
}

async fn add_exception(visit: Visit, body: Bytes) -> Response {
    let fields = form!(visit, body);
    let kind = lists::KINDS.into_iter().find(|kind| lists::kind_word(*kind) == fields.get("kind"));
    let Some(kind) = kind else { return visit.refused(&DeskError::NotFound("kind")) };
    let new = NewException {
        side: if fields.get("side") == "deny" { Side::Deny } else { Side::Allow },
        kind,
        value: fields.get("value").trim().to_owned(),
        covers_malware: fields.get("covers_malware") == "1",
        reason: fields.get("reason").to_owned(),
        days: number(&fields, "days"),
    };
    let done = visit.desk.add_exception(visit.actor(), &new).await.map(drop);
    after_lists(visit, done, "added").await
}

async fn remove_exception(visit: Visit, Path(id): Path<i64>, body: Bytes) -> Response {
    let fields = form!(visit, body);
    let done = visit.desk.remove_exception(visit.actor(), id, fields.get("reason")).await;
    after_lists(visit, done, "removed").await
}

async fn after_lists(visit: Visit, done: Done<()>, word: &str) -> Response {
    match done {
        Ok(()) => see_other(&format!("/lists?done={word}")),
        Err(error @ (DeskError::Forbidden(_) | DeskError::NotFound(_))) => visit.refused(&error),
        Err(error) => lists_page(&visit.with_problem(&error)).await,
    }
}

async fn reload(visit: Visit, body: Bytes) -> Response {
    let _ = form!(visit, body);
    let done = visit.desk.reload(visit.actor()).await;
    after_health(visit, done).await
}

async fn rescan(visit: Visit, body: Bytes) -> Response {
    let fields = form!(visit, body);
    let done = visit.desk.rescan(visit.actor(), fields.get("reason")).await;
    after_health(visit, done).await
}

async fn test_alert(visit: Visit, body: Bytes) -> Response {
    let _ = form!(visit, body);
    let done = visit.desk.test_alert(visit.actor()).await;
    after_health(visit, done).await
}

async fn erase(visit: Visit, body: Bytes) -> Response {
    let fields = form!(visit, body);
    let erased = visit.desk.erase_sender(visit.actor(), fields.get("sender"), fields.get("reason")).await;
    let words = visit.words();
    let done = erased.map(|erased| {
        words.fill("health.erased", &[("entries", &erased.entries), ("files", &erased.files), ("left", &erased.left)])
    });
    after_health(visit, done).await
}

/// What the gateway answered stands on the page; nothing of it would be worth a second address.
async fn after_health(visit: Visit, done: Done<String>) -> Response {
    match done {
        Ok(answer) => health_page(&visit, Some(&answer)).await,
        Err(error @ DeskError::Forbidden(_)) => visit.refused(&error),
        Err(error) => health_page(&visit.with_problem(&error), None).await,
    }
}

async fn add_person(visit: Visit, body: Bytes) -> Response {
    let fields = form!(visit, body);
    let name = fields.get("name").trim().to_owned();
    let Ok(role) = fields.get("role").parse::<Role>() else { return visit.refused(&DeskError::NotFound("role")) };
    let made = visit.desk.add_user(visit.actor(), &name, role).await;
    after_link(visit, name, made).await
}

async fn reset_person(visit: Visit, Path(name): Path<String>, body: Bytes) -> Response {
    let _ = form!(visit, body);
    let made = visit.desk.reset_user(visit.actor(), &name).await;
    after_link(visit, name, made).await
}

/// The link is shown on the answer itself: it must stand in no address and no cookie.
async fn after_link(visit: Visit, name: String, made: Done<String>) -> Response {
    match made {
        Ok(secret) => {
            let base = visit.desk.config().public_url.trim_end_matches('/').to_owned();
            let url = format!("{base}/setup/{secret}");
            people_page_of(&visit, Some(&people_page::Once::Link { name, url })).await
        }
        Err(error @ DeskError::Forbidden(_)) => visit.refused(&error),
        Err(error) => people_page_of(&visit.with_problem(&error), None).await,
    }
}

async fn change_person(visit: Visit, Path(name): Path<String>, body: Bytes) -> Response {
    let fields = form!(visit, body);
    let role = fields.get("role").parse::<Role>().ok();
    let done = visit.desk.change_user(visit.actor(), &name, role, Some(fields.get("disabled") == "1")).await;
    after_people(visit, done, "saved").await
}

async fn add_token(visit: Visit, body: Bytes) -> Response {
    let fields = form!(visit, body);
    let new = NewToken {
        name: fields.get("name").trim().to_owned(),
        scopes: fields.all("scope").into_iter().filter_map(|scope| scope.parse().ok()).collect(),
        days: number(&fields, "days").unwrap_or(0),
    };
    match visit.desk.add_token(visit.actor(), &new).await {
        Ok((token, _)) => people_page_of(&visit, Some(&people_page::Once::Token { name: new.name, token })).await,
        Err(error @ DeskError::Forbidden(_)) => visit.refused(&error),
        Err(error) => people_page_of(&visit.with_problem(&error), None).await,
    }
}

async fn remove_token(visit: Visit, Path(id): Path<i64>, body: Bytes) -> Response {
    let _ = form!(visit, body);
    let done = visit.desk.remove_token(visit.actor(), id).await;
    after_people(visit, done, "token_removed").await
}

async fn after_people(visit: Visit, done: Done<()>, word: &str) -> Response {
    match done {
        Ok(()) => see_other(&format!("/people?done={word}")),
        Err(error @ (DeskError::Forbidden(_) | DeskError::NotFound(_))) => visit.refused(&error),
        Err(error) => people_page_of(&visit.with_problem(&error), None).await,
    }
}
