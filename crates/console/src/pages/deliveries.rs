//! What is on its way, what fails, what was given up; and how it is put back in line.

use super::{
    evidence, message,
    overview::{breaker, gist},
    shell::Look,
    show,
};
use crate::{
    actor::Scope,
    desk::{Deliveries, Listed},
};
use guarita_spool::State;
use maud::{Markup, html};

pub fn deliveries(look: &Look, data: &Deliveries) -> Markup {
    let words = look.words;
    let count = |state: State| data.by_state.iter().find(|(of, _)| *of == state).map_or(0, |(_, count)| *count);
    let dead = count(State::DeadLettered);
    html! {
        div class="head" {
            div { h1 { (words.t("deliveries.title")) } p { (words.t("deliveries.says")) } }
            @if dead > 0 && look.may(Scope::Review) { div class="actions" { (show::opener("replay", "main", "replayed", words.t("deliveries.replay"))) (replay(look)) } }
        }
        div class="stack" data-live="/deliveries" data-every="5" {
            div class="tiles" {
                div class="tile" { span class="label" { (words.of("state", "received")) } span class="value" { (words.number(count(State::Received))) }
                    span class="note" { (words.fill("overview.in_flight", &[("n", &words.number(data.in_flight))])) } }
                div class="tile" { span class="label" { (words.of("state", "decided")) } span class="value" { (words.number(count(State::Decided))) }
                    span class="note" { @if let Some(at) = data.oldest_unfinished_ms { (words.fill("overview.oldest", &[("span", &words.span(look.now_ms.saturating_sub(at) as f64 / 1000.0))])) } } }
                div class="tile" { span class="label" { (words.of("state", "dead_lettered")) } span class="value" { (words.number(dead)) }
                    span class="note" { (words.t("deliveries.dead_note")) } }
            }
            (backends(look, data))
            (group(look, "failing", words.t("deliveries.failing"), &data.failing, words.t("deliveries.failing_none")))
            (group(look, "dead", words.t("deliveries.dead"), &data.dead_letters, words.t("deliveries.dead_none")))
            (group(look, "waiting", words.t("deliveries.waiting"), &data.waiting, words.t("deliveries.waiting_none")))
        }
    }
}

fn backends(look: &Look, data: &Deliveries) -> Markup {
    let words = look.words;
    html! {
        section class="card" aria-labelledby="backends" {
            div class="card-head" { h2 id="backends" { (words.t("deliveries.backends")) } }
            @if data.backends.is_empty() { (show::empty("delivered", words.t("deliveries.no_backend"), words.t("deliveries.no_backend_do"))) }
            @else {
                div class="scroll" { table class="cards" {
                    thead { tr {
                        th scope="col" { (words.t("message.route")) } th scope="col" { (words.t("deliveries.host")) }
                        th scope="col" { (words.t("deliveries.breaker_messages")) } th scope="col" { (words.t("deliveries.breaker_others")) }
                    } }
                    tbody { @for backend in &data.backends { tr {
                        td { code { (evidence::visible(&backend.route)) } } td { code { (evidence::visible(&backend.host)) } }
                        td data-label=(words.t("deliveries.breaker_messages")) { (breaker(look, &backend.messages)) }
                        td data-label=(words.t("deliveries.breaker_others")) { (breaker(look, &backend.others)) }
                    } } }
                } }
            }
        }
    }
}

fn group(look: &Look, id: &str, title: &str, rows: &[Listed], none: &str) -> Markup {
    let words = look.words;
    html! {
        section class="card" aria-labelledby=(id) {
            div class="card-head" { h2 id=(id) { (title) } @if rows.len() > 1 { span class="small muted" { (words.fill("deliveries.newest", &[("n", &rows.len())])) } } }
            @if rows.is_empty() { div class="card-body" { p class="muted" { (none) } } }
            @else {
                div class="scroll" { table class="cards messages" {
                    thead { tr {
                        th scope="col" { (words.t("messages.at")) } th scope="col" { (words.t("messages.what")) }
                        th scope="col" { (words.t("message.attempts")) } th scope="col" { (words.t("deliveries.next")) } th scope="col" { (words.t("message.last_error")) }
                    } }
                    tbody data-rows=(id) { @for row in rows { tr {
                        td class="nowrap" { (show::time_short(row.record.received_ms, look.now_ms)) }
                        td class="gist" { a class="row-link" data-open href={ "/messages/" (row.record.id) } { (gist(look, row)) }
                            div class="small muted" { (words.of("channel", row.record.channel.as_str())) " · " (words.of("lane", row.record.lane.as_str())) } }
                        td class="num" data-label=(words.t("message.attempts")) { (row.record.attempts) }
                        td class="nowrap" { @if let Some(at) = row.record.next_ms { (show::ago(words, at, look.now_ms)) } }
                        td { @if let Some(error) = &row.record.last_error { span class="small" { (evidence::visible(error)) } } }
                    } } }
                } }
            }
        }
    }
}

fn replay(look: &Look) -> Markup {
    let words = look.words;
    show::dialog(
        words,
        "replay",
        words.t("deliveries.replay"),
        html! {
            form class="stack" method="post" action="/deliveries/replay" {
                (look.token())
                p { (words.t("deliveries.replay_says")) }
                div class="columns" {
                    div class="field" { label for="replay-from" { (words.t("messages.from")) } input id="replay-from" name="from" type="date"; }
                    div class="field" { label for="replay-until" { (words.t("messages.until")) } input id="replay-until" name="until" type="date"; }
                }
                div class="field" { label for="replay-route" { (words.t("message.route")) } input id="replay-route" name="route" maxlength="100" placeholder=(words.t("messages.any")); }
                (message::reason(look, "replay"))
                div class="row" { button class="main" { (words.t("deliveries.replay")) } }
            }
        },
    )
}
