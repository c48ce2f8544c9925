//! Lists and exceptions: what always passes or never does, whose idea that was, why, and until when.

use super::{evidence, message, shell::Look, show};
use crate::{
    actor::Scope,
    desk::{Exception, ExceptionKind, Side},
};
use maud::{Markup, html};

pub const KINDS: [ExceptionKind; 4] =
    [ExceptionKind::Hash, ExceptionKind::Domain, ExceptionKind::Sender, ExceptionKind::Rule];

pub fn kind_word(kind: ExceptionKind) -> &'static str {
    match kind {
        ExceptionKind::Hash => "hash",
        ExceptionKind::Domain => "domain",
        ExceptionKind::Sender => "sender",
        ExceptionKind::Rule => "rule",
    }
}

pub fn side_word(side: Side) -> &'static str {
    match side {
        Side::Allow => "allow",
        Side::Deny => "deny",
    }
}

pub fn lists(look: &Look, all: &[Exception]) -> Markup {
    let words = look.words;
    html! {
        div class="head" { div { h1 { (words.t("lists.title")) } p { (words.t("lists.says")) } } }
        @if look.may(Scope::Review) { (add(look)) }
        section class="card" aria-label=(words.t("lists.title")) {
            @if all.is_empty() { (show::empty("lists", words.t("lists.none"), words.t("lists.none_do"))) }
            @else {
                div class="scroll" { table class="cards" {
                    thead { tr {
                        th scope="col" { (words.t("lists.side")) } th scope="col" { (words.t("lists.value")) } th scope="col" { (words.t("lists.reason")) }
                        th scope="col" { (words.t("lists.owner")) } th scope="col" { (words.t("lists.ends")) }
                        @if look.may(Scope::Review) { th scope="col" { span class="hidden-visually" { (words.t("lists.remove")) } } }
                    } }
                    tbody data-rows="/lists" { @for exception in all { (line(look, exception)) } }
                } }
            }
        }
        p class="small muted" { (words.t("lists.files_too")) }
    }
}

fn line(look: &Look, exception: &Exception) -> Markup {
    let words = look.words;
    let id = format!("remove-{}", exception.id);
    html! {
        tr {
            td class="nowrap" { (show::mark(if exception.side == Side::Allow { "ok" } else { "bad" }, &words.of("side", side_word(exception.side)))) }
            td {
                div class="small muted" { (words.of("exception", kind_word(exception.kind))) @if exception.covers_malware { " · " (words.t("lists.covers_malware")) } }
                code { (evidence::visible(&exception.value)) }
            }
            td { (evidence::visible(&exception.reason)) }
            td { (evidence::visible(&exception.owner)) div class="small muted" { (show::time_short(exception.created_ms, look.now_ms)) } }
            td class="nowrap" { @match exception.expires_ms { Some(at) => (show::ago(words, at, look.now_ms)), None => span class="muted" { (words.t("lists.never")) } } }
            @if look.may(Scope::Review) { td class="right" {
                (show::opener(&id, "", "deleted", words.t("lists.remove")))
                (show::dialog(words, &id, words.t("lists.remove"), html! {
                    form class="stack" method="post" action={ "/lists/" (exception.id) "/remove" } {
                        (look.token())
                        p { code { (evidence::visible(&exception.value)) } }
                        (message::reason(look, &id))
                        div class="row" { button class="danger" { (words.t("lists.remove")) } }
                    }
                }))
            } }
        }
    }
}

fn add(look: &Look) -> Markup {
    let words = look.words;
    html! {
        section class="card" aria-labelledby="add" {
            div class="card-head" { h2 id="add" { (words.t("lists.add")) } }
            form method="post" action="/lists" {
                (look.token())
                div class="filters" {
                    div class="field" { label for="side" { (words.t("lists.side")) }
                        select id="side" name="side" { @for side in [Side::Allow, Side::Deny] { option value=(side_word(side)) { (words.of("side", side_word(side))) } } } }
                    div class="field wide" { label for="kind" { (words.t("lists.kind")) }
                        select id="kind" name="kind" { @for kind in KINDS { option value=(kind_word(kind)) { (words.of("exception", kind_word(kind))) } } } }
                    div class="field wide" { label for="value" { (words.t("lists.value")) }
                        input id="value" name="value" required maxlength="253" autocomplete="off" spellcheck="false" placeholder=(words.t("lists.value_hint")); }
                    div class="field" { label for="days" { (words.t("lists.days")) }
                        input id="days" name="days" type="number" min="1" max="3650" value="30" placeholder=(words.t("lists.days_hint")); }
                    div class="field wide" { label for="reason" { (words.t("do.reason")) }
                        input id="reason" name="reason" required minlength="3" maxlength="500" placeholder=(words.t("do.reason_hint")); }
                    @if look.may(Scope::Admin) {
                        div class="row wide" { label class="check" { input type="checkbox" name="covers_malware" value="1"; (words.t("lists.covers_malware_ask")) } }
                    }
                    div class="row" { button class="main" { (words.t("lists.add_do")) } }
                }
            }
        }
    }
}
