//! What was held back, and what to do about it: open one, or choose several and say why.

use super::{evidence, message, messages, overview::gist, shell::Look, show};
use crate::{
    actor::Scope,
    desk::{Listed, Page},
};
use maud::{Markup, html};

/// Which of the two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Held,
    Released,
}

/// Messages that one form may act on.
pub const CHOSEN_MAX: usize = 200;

pub fn quarantine(look: &Look, shown: Shown, found: &Page<Listed>) -> Markup {
    let words = look.words;
    html! {
        div class="head" {
            div { h1 { (words.t("quarantine.title")) } p { (words.t("quarantine.says")) } }
            nav class="choice" aria-label=(words.t("quarantine.which")) {
                a href="/quarantine" aria-current=[(shown == Shown::Held).then_some("true")] { (words.t("quarantine.held")) }
                a href="/quarantine?shown=released" aria-current=[(shown == Shown::Released).then_some("true")] { (words.t("quarantine.released")) }
            }
        }
        section class="card" aria-label=(words.t("quarantine.title")) {
            @if found.items.is_empty() && found.next.is_none() {
                @if shown == Shown::Held { (show::empty("quarantine", words.t("quarantine.none"), words.t("quarantine.none_do"))) }
                @else { (show::empty("released", words.t("quarantine.none_released"), words.t("quarantine.none_released_do"))) }
            } @else {
                form method="post" action="/quarantine" {
                    (look.token())
                    (table(look, &found.items, shown))
                    @if let Some(next) = &found.next {
                        (messages::older(look, "/quarantine", if shown == Shown::Held { "" } else { "shown=released" }, next))
                    }
                    @if shown == Shown::Held && look.may(Scope::Review) { (act(look)) }
                }
            }
        }
        @if shown == Shown::Held && !look.may(Scope::Review) { p class="muted small" { (words.t("quarantine.not_yours")) } }
    }
}

fn table(look: &Look, rows: &[Listed], shown: Shown) -> Markup {
    let words = look.words;
    let choose = shown == Shown::Held && look.may(Scope::Review);
    html! {
        div class="scroll" { table class="cards messages" {
            thead { tr {
                @if choose { th scope="col" { span class="hidden-visually" { (words.t("quarantine.choose")) } } }
                th scope="col" { (words.t("messages.at")) }
                th scope="col" { (words.t("messages.verdict")) }
                th scope="col" { (words.t("quarantine.why")) }
                th scope="col" { (words.t("messages.sender")) }
                th scope="col" { (words.t("messages.state")) }
            } }
            tbody data-rows="/quarantine" { @for row in rows { (line(look, row, choose)) } }
        } }
    }
}

fn line(look: &Look, row: &Listed, choose: bool) -> Markup {
    let words = look.words;
    let record = &row.record;
    let seen = row.summary.clone().unwrap_or_default();
    html! {
        tr {
            @if choose { td class="choose" { input type="checkbox" name="id" value=(record.id) aria-label={ (words.t("quarantine.choose")) " " (record.id) }; } }
            td class="nowrap" { (show::time_short(record.received_ms, look.now_ms)) }
            td { @if let Some(verdict) = record.verdict { (show::verdict(words, verdict.as_str())) } }
            td class="gist" {
                a class="row-link" data-open href={ "/messages/" (record.id) } { (gist(look, row)) }
                div class="small muted" {
                    (words.of("kind", &seen.kind))
                    @if seen.findings > 1 { " · " (words.count("message.found", seen.findings)) }
                    @if !seen.file.is_empty() { " · " bdi { (evidence::visible(&seen.file)) } " " span class="nowrap" { (words.bytes(seen.bytes)) } }
                }
            }
            td class="from" { (messages::sender(&seen)) }
            td class="state" {
                @match &record.released_by {
                    Some(by) => (show::mark("warn", &words.fill("message.released_by", &[("who", by)]))),
                    None => (messages::state(look, row)),
                }
            }
        }
    }
}

fn act(look: &Look) -> Markup {
    let words = look.words;
    html! {
        div class="bulk" {
            p class="small muted" { (words.t("quarantine.chosen_says")) }
            (message::reason(look, "chosen"))
            div class="actions" {
                button class="main" name="act" value="release" { (show::icon("released")) (words.t("quarantine.release_chosen")) }
                button name="act" value="release_exception" { (words.t("quarantine.release_exception")) }
                button class="danger" name="act" value="delete" { (show::icon("deleted")) (words.t("quarantine.delete_chosen")) }
            }
        }
    }
}
