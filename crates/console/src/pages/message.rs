//! One message: what happened to it, what was found and where, what came and what was sent, its files, and what a person
//! can do about it. Nothing on it is a link that a customer wrote.

use super::{
    evidence::{self, Mark},
    messages,
    overview::state_word,
    preview,
    shell::Look,
    show,
};
use crate::{
    actor::Scope,
    archive,
    desk::{Contents, FileView, FindingView, MessageView, Moment, MomentKind, PartView, ReadMessage},
};
use guarita_message::Preview;
use guarita_spool::State;
use maud::{Markup, html};

/// What of an entry's contents the reader opened; each opening is in the audit.
#[derive(Default)]
pub struct Opened {
    pub contents: Option<Contents>,
    /// A file's hash and what it looks like.
    pub preview: Option<(String, Preview)>,
}

pub fn message(look: &Look, view: &MessageView, opened: &Opened) -> Markup {
    let contents = opened.contents.as_ref();
    let words = look.words;
    html! {
        p class="crumbs" { a href="/messages" data-up { "‹ " (words.t("messages.title")) } }
        div class="head" {
            div {
                h1 { (title(look, view)) }
                p class="row" {
                    @if let Some(verdict) = view.record.verdict { (show::verdict(words, verdict.as_str())) }
                    (standing(look, view))
                    @if let Some(by) = &view.record.released_by { (show::mark("warn", &words.fill("message.released_by", &[("who", by)]))) }
                    code class="small" { (view.record.id) }
                }
            }
            (actions(look, view, contents.is_some()))
        }
        section class="card" aria-label=(words.t("message.timeline")) { div class="card-body" { (timeline(look, &view.timeline)) } }
        div class="columns wide-first" {
            div class="stack" {
                @for (index, message) in view.messages.iter().enumerate() {
                    (findings(look, view, message, index))
                }
                @if view.messages.is_empty() {
                    section class="card" { (show::empty("waiting", words.t("message.not_judged"), words.t("message.not_judged_do"))) }
                }
                (letter(look, view, contents))
            }
            div class="stack" {
                (facts(look, view))
                @for message in &view.messages { @for file in &message.files { (file_card(look, view, file, opened)) } }
                (neighbours(look, view))
            }
        }
    }
}

/// Where it is now: delivered as a notice is not delivered.
fn standing(look: &Look, view: &MessageView) -> Markup {
    let words = look.words;
    let withheld =
        view.record.released_by.is_none() && view.messages.iter().any(|message| message.action == "withhold");
    html! {
        @if withheld { span class="badge warn" { (show::icon("quarantined")) (words.of("action", "withhold")) } }
        @if withheld && view.record.state == State::Delivered { (show::state(words, "notice")) }
        @else { (show::state(words, state_word(view.record.state))) }
    }
}

fn title(look: &Look, view: &MessageView) -> Markup {
    let worst = view.messages.iter().flat_map(|message| &message.findings).filter(|finding| !finding.shadow);
    let worst = worst.max_by_key(|finding| weight(&finding.severity));
    let gap = view.messages.iter().flat_map(|message| &message.gaps).next();
    html! {
        @match (worst, gap, view.messages.first()) {
            (Some(finding), _, _) => (evidence::visible(&finding.title)),
            (None, Some(gap), _) => { (look.words.t("message.not_looked_at")) ": " (look.words.of("gap", gap.reason.as_str())) },
            (None, None, Some(message)) => (look.words.of("kind", &message.kind)),
            _ => (look.words.of("lane", view.record.lane.as_str())),
        }
    }
}

fn weight(severity: &str) -> usize {
    ["info", "low", "medium", "high", "critical"].iter().position(|word| *word == severity).unwrap_or(0)
}

// ---- what a person can do ----

fn actions(look: &Look, view: &MessageView, opened: bool) -> Markup {
    let words = look.words;
    html! {
        div class="actions" {
            @if view.may_open && !opened {
                a class="button" href={ "/messages/" (view.record.id) "/contents" } data-key="contents" rel="nofollow" { (show::icon("opened")) (words.t("message.open")) }
            }
            @if view.may_retry {
                (show::opener("retry", "", "retry", words.t("message.retry")))
                (reason_box(look, view, "retry", "retry", words.t("message.retry"), words.t("message.retry_says"), "main", html! {}))
            }
            @if view.may_delete {
                (show::opener("delete", "danger", "deleted", words.t("message.delete")))
                (reason_box(look, view, "delete", "delete", words.t("message.delete"), words.t("message.delete_says"), "danger", html! {}))
            }
            @if view.may_release {
                button type="button" class="main" popovertarget="release" data-key="release" { (show::icon("released")) (words.t("message.release")) }
                (reason_box(look, view, "release", "release", words.t("message.release"), words.t("message.release_says"), "main", exception_fields(look, view)))
            }
        }
    }
}

/// A box that asks why, and does it.
#[allow(clippy::too_many_arguments)] // a form's parts, each used once
fn reason_box(
    look: &Look,
    view: &MessageView,
    id: &str,
    act: &str,
    title: &str,
    says: &str,
    class: &str,
    more: Markup,
) -> Markup {
    show::dialog(
        look.words,
        id,
        title,
        html! {
            form class="stack" method="post" action={ "/messages/" (view.record.id) "/" (act) } {
                (look.token())
                p { (says) }
                (reason(look, id))
                (more)
                div class="row" { button class=(class) { (title) } }
            }
        },
    )
}

/// The field every action wants.
pub fn reason(look: &Look, form: &str) -> Markup {
    let words = look.words;
    html! {
        div class="field" {
            label for={ (form) "-reason" } { (words.t("do.reason")) }
            textarea id={ (form) "-reason" } name="reason" required autofocus[form != "chosen"] minlength="3" maxlength="500" rows="2" placeholder=(words.t("do.reason_hint")) {}
        }
    }
}

fn exception_fields(look: &Look, view: &MessageView) -> Markup {
    let words = look.words;
    let files = view.messages.iter().flat_map(|message| &message.files).any(|file| file.sha256.is_some());
    let malware =
        view.messages.iter().flat_map(|message| &message.findings).any(|finding| finding.category == "malware");
    html! {
        @if files && (!malware || look.may(Scope::Admin)) {
            fieldset class="stack" {
                label class="check" { input type="checkbox" name="exception" value="1"; (words.t("message.exception")) }
                div class="field" {
                    label for="exception-days" { (words.t("message.exception_days")) }
                    input id="exception-days" name="exception_days" type="number" min="1" max="3650" value="30";
                }
            }
        } @else if malware {
            p class="small muted" { (words.t("message.exception_admin")) }
        }
    }
}

// ---- what happened ----

fn timeline(look: &Look, moments: &[Moment]) -> Markup {
    let words = look.words;
    html! {
        ol class="timeline" {
            @for (moment, times) in gathered(moments) {
                @let name = moment_word(moment.kind);
                li class=(moment_class(moment)) {
                    (show::icon(name))
                    strong { (words.of("moment", name)) @if times > 1 { " " span class="muted small" { (words.fill("message.times", &[("n", &times)])) } } }
                    @if let Some(at) = moment.at_ms { div class="muted" { (show::time(at)) } }
                    @if moment.kind == MomentKind::Decided { div { (words.of("verdict", &moment.note)) } }
                    @else if !moment.note.is_empty() { div { (evidence::visible(&moment.note)) } }
                }
            }
            // What is still to come.
            @if let Some(next) = next_step(moments) {
                li class="todo" { (show::icon(next)) strong { (words.of("moment", next)) } div class="muted" { (words.t("message.not_yet")) } }
            }
        }
    }
}

/// The same thing done by the same person in a row is one moment, the last of them.
fn gathered(moments: &[Moment]) -> Vec<(&Moment, usize)> {
    let mut out: Vec<(&Moment, usize)> = Vec::new();
    for moment in moments {
        match out.last_mut() {
            Some((last, times))
                if last.kind == moment.kind
                    && last.note == moment.note
                    && matches!(last.kind, MomentKind::Opened | MomentKind::Previewed) =>
            {
                *last = moment;
                *times += 1;
            }
            _ => out.push((moment, 1)),
        }
    }
    out
}

/// The step that an entry waits for; `None` once it has ended.
fn next_step(moments: &[Moment]) -> Option<&'static str> {
    let has = |kinds: &[MomentKind]| moments.iter().any(|moment| kinds.contains(&moment.kind));
    if has(&[MomentKind::Delivered, MomentKind::Quarantined, MomentKind::DeadLettered, MomentKind::Deleted]) {
        None
    } else if has(&[MomentKind::Decided]) {
        Some("delivered")
    } else {
        Some("decided")
    }
}

fn moment_class(moment: &Moment) -> &'static str {
    match moment.kind {
        MomentKind::DeadLettered | MomentKind::Revoked => "bad",
        MomentKind::Quarantined | MomentKind::Retry | MomentKind::Deleted => "warn",
        _ => "",
    }
}

fn moment_word(kind: MomentKind) -> &'static str {
    match kind {
        MomentKind::Received => "received",
        MomentKind::Fetched => "fetched",
        MomentKind::Scanned => "scanned",
        MomentKind::Decided => "decided",
        MomentKind::Delivered => "delivered",
        MomentKind::Retry => "retry",
        MomentKind::Quarantined => "quarantined",
        MomentKind::DeadLettered => "dead_lettered",
        MomentKind::Released => "released",
        MomentKind::Opened => "opened",
        MomentKind::Previewed => "previewed",
        MomentKind::Downloaded => "downloaded",
        MomentKind::Replayed => "replayed",
        MomentKind::Deleted => "deleted",
        MomentKind::Revoked => "revoked",
    }
}

// ---- what was seen ----

fn findings(look: &Look, view: &MessageView, message: &ReadMessage, index: usize) -> Markup {
    let words = look.words;
    let before: usize = view.messages[..index].iter().map(|message| message.findings.len()).sum();
    html! {
        section class="card" aria-label=(words.t("message.findings")) {
            div class="card-head" {
                h2 {
                    (words.t("message.findings"))
                    @if view.messages.len() > 1 { span class="muted" { " · " (words.of("kind", &message.kind)) " " (index + 1) "/" (view.messages.len()) } }
                }
                @if !message.findings.is_empty() { span class="small muted" { (words.count("message.found", message.findings.len() as u64)) } }
            }
            div class="card-body" {
                @for (offset, finding) in message.findings.iter().enumerate() { (finding_row(look, message, finding, before + offset + 1)) }
                @for gap in &message.gaps {
                    div class="finding row" {
                        (show::verdict(words, "unscanned"))
                        strong { (words.t("message.not_looked_at")) ": " (words.of("gap", gap.reason.as_str())) }
                        span class="muted" { (evidence::visible(&gap.scanner)) " · " (place_word(look, &gap.place)) @if !gap.inside.is_empty() { " › " (evidence::visible(&gap.inside)) } }
                        @if !gap.detail.is_empty() { span class="small" { (evidence::visible(&gap.detail)) } }
                    }
                }
                @if message.findings.is_empty() && message.gaps.is_empty() {
                    p class="row" { (show::verdict(words, "clean")) (words.t("message.nothing_found")) }
                }
                (decision(look, message))
            }
        }
    }
}

fn finding_row(look: &Look, message: &ReadMessage, finding: &FindingView, number: usize) -> Markup {
    let words = look.words;
    html! {
        article class="finding stack" id={ "finding-" (number) } {
            div class="row" {
                span class="n" { (number) }
                (show::severity(words, &finding.severity))
                strong class="grow" { (evidence::visible(&finding.title)) }
                @if finding.shadow { (show::mark("warn", words.t("message.shadow"))) }
            }
            @if !finding.why.is_empty() { p { (evidence::visible(&finding.why)) } }
            @if !finding.evidence.is_empty() { p { span class="evidence" { (evidence::defanged(&finding.evidence)) } } }
            p class="small muted" {
                (words.of("category", &finding.category)) " · "
                @if look.may(Scope::Read) { a href={ "/rules?q=" (encoded(&finding.rule)) } { code { (evidence::visible(&finding.rule)) } } }
                " · " (place_word(look, &finding.place))
                @if !finding.inside.is_empty() { " › " bdi { (evidence::visible(&finding.inside)) } }
                @for because in message.because.iter().filter(|because| because.cause == finding.rule && because.place == finding.place).take(1) {
                    " → " (words.of("action", because.action.as_str())) " (" code { (evidence::visible(&because.line)) } ")"
                }
            }
        }
    }
}

/// Which lines of the policy spoke, and what they asked for.
fn decision(look: &Look, message: &ReadMessage) -> Markup {
    let words = look.words;
    let mut lines: Vec<_> = message.because.iter().collect();
    lines.dedup_by(|a, b| a.line == b.line && a.action == b.action);
    html! {
        div class="finding row" {
            (show::icon_in("decided"))
            strong { (words.t("message.decision")) ": " (words.of("action", &message.action)) }
            span class="small muted" {
                @if lines.is_empty() { (words.t("message.no_line")) } @else { (words.t("message.by_lines")) " " }
                @for (index, because) in lines.iter().enumerate() { @if index > 0 { ", " } code { (evidence::visible(&because.line)) } }
            }
        }
    }
}

/// `/document` as a person says it: the name of the field.
fn place_word(look: &Look, place: &str) -> Markup {
    let name = place.rsplit('/').find(|piece| !piece.is_empty() && !piece.bytes().all(|byte| byte.is_ascii_digit()));
    html! { span title=(place) { (look.words.of("place", &evidence::visible(name.unwrap_or(place)))) } }
}

// ---- what came and what was sent ----

fn letter(look: &Look, view: &MessageView, contents: Option<&Contents>) -> Markup {
    let words = look.words;
    html! {
        section class="card" id="contents" aria-labelledby="letter" {
            div class="card-head" { h2 id="letter" { (words.t("message.contents")) } @if contents.is_some() { span class="small muted" { (words.t("message.opening_noted")) } } }
            div class="card-body" {
                @match contents {
                    Some(contents) => (opened(look, view, contents)),
                    None if view.may_open => {
                        p class="row" {
                            a class="button" href={ "/messages/" (view.record.id) "/contents#contents" } rel="nofollow" { (show::icon("opened")) (words.t("message.open")) }
                            span class="small muted" { (words.t("message.open_says")) }
                        }
                    }
                    None if !view.has_content => p class="muted" { (words.t("message.content_gone")) },
                    None => p class="muted" { (words.t("message.content_not_yours")) },
                }
            }
        }
    }
}

fn opened(look: &Look, view: &MessageView, contents: &Contents) -> Markup {
    let words = look.words;
    let after: Option<serde_json::Value> = contents.after.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let untouched = contents.after.is_some() && contents.after == contents.before;
    html! {
        div class="stack" {
            @if contents.after.is_none() { p class="row" { (show::mark("warn", words.t("message.not_sent"))) (words.t("message.not_sent_says")) } }
            @if untouched { p class="row" { (show::mark("ok", words.t("message.untouched"))) (words.t("message.untouched_says")) } }
            div class="pair" aria-hidden="true" { strong { (words.t("message.before")) } @if after.is_some() { strong { (words.t("message.after")) } } }
            @for part in contents.parts.iter().filter(|part| part.role != "file" && !part.text.is_empty()) {
                (part_pair(look, view, part, after.as_ref()))
            }
            @if contents.parts.iter().all(|part| part.role == "file" || part.text.is_empty()) { p class="muted" { (words.t("message.no_text")) } }
            (notices(look, view, after.as_ref()))
            @if let Some(raw) = &contents.before { (raw_json(look, words.t("message.raw_before"), raw)) }
            @if let Some(raw) = contents.after.as_ref().filter(|_| !untouched) { (raw_json(look, words.t("message.raw_after"), raw)) }
        }
    }
}

fn part_pair(look: &Look, view: &MessageView, part: &PartView, after: Option<&serde_json::Value>) -> Markup {
    let words = look.words;
    let message = view.messages.get(part.message);
    let first: usize = view.messages.iter().take(part.message).map(|message| message.findings.len()).sum();
    let marks: Vec<Mark<'_>> = part
        .marks
        .iter()
        .filter_map(|(start, end, finding)| {
            let found = message?.findings.get(*finding)?;
            let number = first + finding + 1;
            Some(Mark { start: *start, end: *end, number, severity: &found.severity, title: &found.title })
        })
        .collect();
    let sent = after.and_then(|after| text_at(after, message.map_or("", |message| &message.pointer), &part.place));
    html! {
        div class="pair" {
            p class="label-like" { (words.of("role_of_text", &part.role)) " " code class="small" { (part.place) } }
            div class="text" dir="auto" { (evidence::marked(words, &part.text, &marks)) }
            @if after.is_some() {
                @match sent {
                    Some(sent) if sent == part.text => p class="muted small" { (words.t("message.same")) },
                    Some(sent) => div class="text" dir="auto" { (evidence::compared(words, &part.text, sent).1) },
                    None => p class="muted small" { (words.t("message.left_out")) },
                }
            }
        }
    }
}

/// What stands in the place of what was withheld.
fn notices(look: &Look, view: &MessageView, after: Option<&serde_json::Value>) -> Markup {
    let words = look.words;
    let found = view
        .messages
        .iter()
        .filter(|message| !message.withheld.is_empty())
        .filter_map(|message| Some((message, text_at(after?, &message.pointer, "/text/body")?)));
    html! {
        @for (message, notice) in found {
            div class="pair" {
                p class="label-like" { (words.t("message.notice")) }
                p class="muted small" { (words.t("message.withheld")) ": " @for place in &message.withheld { code { (place) } " " } }
                div class="text" dir="auto" { (evidence::plain(words, notice)) }
            }
        }
    }
}

/// A place is relative to its message, or absolute where the part lies outside of it.
fn text_at<'a>(body: &'a serde_json::Value, pointer: &str, place: &str) -> Option<&'a str> {
    body.pointer(&format!("{pointer}{place}")).or_else(|| body.pointer(place))?.as_str()
}

fn raw_json(look: &Look, title: &str, raw: &str) -> Markup {
    html! { details class="raw" { summary { (title) } pre tabindex="0" role="region" aria-label=(title) { (evidence::plain(look.words, raw)) } } }
}

// ---- facts at the side ----

fn facts(look: &Look, view: &MessageView) -> Markup {
    let words = look.words;
    let record = &view.record;
    html! {
        section class="card" aria-labelledby="facts" {
            div class="card-head" { h2 id="facts" { (words.t("message.facts")) } }
            div class="card-body" {
                dl class="facts" {
                    @if let Some(message) = view.messages.first() {
                        @if !message.name.is_empty() || !message.senders.is_empty() {
                            dt { (words.t("messages.sender")) }
                            dd { bdi { (evidence::visible(&message.name)) } @for sender in &message.senders { div class="num" { bdi { (evidence::visible(sender)) } } } }
                        }
                        dt { (words.t("message.kind")) } dd { (words.of("kind", &message.kind)) @if view.messages.len() > 1 { " +" (view.messages.len() - 1) } }
                        @if !message.id.is_empty() { dt { (words.t("message.meta_id")) } dd { code { (evidence::visible(&message.id)) } } }
                    }
                    dt { (words.t("messages.channel")) } dd { (words.of("channel", record.channel.as_str())) }
                    @if !record.account.is_empty() { dt { (words.t("message.account")) } dd { code { (evidence::visible(&record.account)) } } }
                    @if !record.route.is_empty() { dt { (words.t("message.route")) } dd { code { (evidence::visible(&record.route)) } } }
                    dt { (words.t("message.received")) } dd { (show::time(record.received_ms)) }
                    @if record.attempts > 0 { dt { (words.t("message.attempts")) } dd { (record.attempts) } }
                    @if let Some(at) = record.next_ms { dt { (words.t("message.next")) } dd { (show::ago(words, at, look.now_ms)) } }
                    @if let Some(error) = &record.last_error { dt { (words.t("message.last_error")) } dd { (evidence::visible(error)) } }
                }
            }
        }
    }
}

fn file_card(look: &Look, view: &MessageView, file: &FileView, opened: &Opened) -> Markup {
    let words = look.words;
    let differs = !file.declared_type.is_empty()
        && !file.true_type.is_empty()
        && file.true_type != "application/octet-stream"
        && !file.declared_type.starts_with(&file.true_type);
    html! {
        section class="card" id=[file.sha256.as_deref().map(anchor)] aria-label=(words.t("message.file")) {
            div class="card-head" {
                h2 class="row" { (show::icon_in("file")) bdi { @if file.name.is_empty() { (words.t("message.file")) } @else { (evidence::visible(&file.name)) } } }
                (media_state(look, &file.media))
            }
            div class="card-body stack" {
                dl class="facts" {
                    dt { (words.t("message.is")) }
                    dd { @if file.true_type.is_empty() { span class="muted" { (words.t("message.never_seen")) } } @else { code { (evidence::visible(&file.true_type)) } } }
                    @if differs { dt { (words.t("message.says")) } dd { code { (evidence::visible(&file.declared_type)) } " " (show::mark("warn", words.t("message.differs"))) } }
                    dt { (words.t("message.size")) } dd { (words.bytes(file.bytes)) }
                    @if let Some(hash) = &file.sha256 {
                        dt { "SHA-256" }
                        dd { a href={ "/messages?q=" (hash) } title=(words.t("message.same_file")) { (show::short_hash(hash)) } " "
                            button type="button" class="link small" data-copy=(hash) hidden { (words.t("do.copy")) } }
                    }
                    dt { (words.t("message.scanned_by")) }
                    dd { @if file.scanned_by.is_empty() { span class="muted" { (words.t("message.nobody")) } } @for scanner in &file.scanned_by { div { (evidence::visible(scanner)) } } }
                }
                (shown_or_offered(look, view, file, opened))
                @if let (Some(hash), true, true) = (&file.sha256, file.kept, look.may(Scope::Review) && look.may(Scope::Content)) {
                    @let id = format!("download-{}", &hash[..hash.len().min(12)]);
                    div { (show::opener(&id, "", "downloaded", words.t("message.download"))) }
                    (show::dialog(words, &id, words.t("message.download"), html! {
                        form class="stack" method="post" action={ "/messages/" (view.record.id) "/files/" (hash) "/download" } data-again {
                            (look.token())
                            p { (words.fill("message.download_says", &[("password", &archive::PASSWORD)])) }
                            (reason(look, &id))
                            div class="row" { button class="main" { (words.t("message.download")) } }
                        }
                    }))
                } @else if !file.kept { p class="small muted" { (words.t("message.file_gone")) } }
            }
        }
    }
}

/// The file's preview where it was asked for, else the way to it.
fn shown_or_offered(look: &Look, view: &MessageView, file: &FileView, opened: &Opened) -> Markup {
    let words = look.words;
    let Some(hash) = file.sha256.as_deref().filter(|_| file.kept) else { return html! {} };
    let shown = opened.preview.as_ref().filter(|(of, _)| of == hash);
    let open = if opened.contents.is_some() { "?open=1" } else { "" };
    html! {
        @if let Some((_, made)) = shown {
            (preview::preview(words, made))
        } @else if look.may(Scope::Content) {
            p class="row" {
                a class="button" href={ "/messages/" (view.record.id) "/files/" (hash) "/preview" (open) "#" (anchor(hash)) } rel="nofollow" { (show::icon("previewed")) (words.t("preview.show")) }
                span class="small muted" { (words.t("preview.show_says")) }
            }
        } @else {
            p class="small muted" { (words.t("message.content_not_yours")) }
        }
    }
}

fn anchor(hash: &str) -> String {
    format!("file-{}", &hash[..hash.len().min(12)])
}

fn media_state(look: &Look, state: &str) -> Markup {
    let kind = match state {
        "served" => "ok",
        "withheld" => "bad",
        _ => "warn",
    };
    show::mark(kind, &look.words.of("media", state))
}

fn neighbours(look: &Look, view: &MessageView) -> Markup {
    let words = look.words;
    html! {
        @if !view.neighbours.is_empty() {
            section class="card" aria-labelledby="near" {
                div class="card-head" { h2 id="near" { (words.t("message.neighbours")) } }
                (messages::short_list(look, &view.neighbours))
            }
        }
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
