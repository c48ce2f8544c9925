//! Settings and health: what `doctor` finds and how to mend it, what is set, and what the gateway can be told to do.

use super::{evidence, message, shell::Look, show};
use crate::{
    actor::Scope,
    gateway::{Check, Setting},
};
use maud::{Markup, html};

pub fn health(look: &Look, checks: &[Check], settings: &[Setting], answer: Option<&str>) -> Markup {
    let words = look.words;
    html! {
        div class="head" {
            div { h1 { (words.t("health.title")) } p { (words.t("health.says")) } }
            @if look.may(Scope::Admin) { (tell(look)) }
        }
        @if let Some(answer) = answer { div class="banner note" role="status" { (show::icon("ok")) p { (evidence::visible(answer)) } } }
        section class="card" aria-labelledby="checks" {
            div class="card-head" { h2 id="checks" { (words.t("health.checks")) } }
            div class="scroll" { table class="cards" {
                thead { tr { th scope="col" { (words.t("health.state")) } th scope="col" { (words.t("health.what")) } th scope="col" { (words.t("health.detail")) } } }
                tbody { @for check in checks { tr {
                    td class="nowrap" {
                        @if check.ok { (show::mark("ok", words.t("health.ok"))) }
                        @else if check.warning { (show::mark("warn", words.t("health.note"))) }
                        @else { (show::mark("bad", words.t("health.fails"))) }
                    }
                    td { strong { (evidence::visible(&check.name)) } }
                    td { (evidence::visible(&check.detail)) @if !check.mend.is_empty() { p class="mend" { strong { (words.t("health.mend")) ": " } (evidence::visible(&check.mend)) } } }
                } } }
            } }
        }
        @if look.may(Scope::Admin) { (set(look, settings)) (erase(look)) }
        p class="small muted" { a href="/readyz" { "/readyz" } " · " a href="/metrics" { "/metrics" } " · " a href="/api/v1/openapi.json" { "OpenAPI" } }
    }
}

fn tell(look: &Look) -> Markup {
    let words = look.words;
    html! {
        div class="actions" {
            form method="post" action="/health/test-alert" { (look.token()) button { (words.t("health.test_alert")) } }
            form method="post" action="/health/reload" { (look.token()) button { (show::icon("retry")) (words.t("health.reload")) } }
            (show::opener("rescan", "", "scanned", words.t("health.rescan")))
            (show::dialog(words, "rescan", words.t("health.rescan"), html! {
                form class="stack" method="post" action="/health/rescan" {
                    (look.token()) p { (words.t("health.rescan_says")) } (message::reason(look, "rescan"))
                    div class="row" { button class="main" { (words.t("health.rescan")) } }
                }
            }))
        }
    }
}

fn set(look: &Look, settings: &[Setting]) -> Markup {
    let words = look.words;
    let changed = settings.iter().filter(|setting| setting.changed);
    html! {
        section class="card" aria-labelledby="settings" {
            div class="card-head" { h2 id="settings" { (words.t("health.settings")) } span class="small muted" { (words.t("health.settings_says")) } }
            (setting_rows(look, changed, false))
            details class="raw all-settings" {
                summary { (words.count("health.all_settings", settings.len() as u64)) }
                (setting_rows(look, settings.iter(), true))
            }
        }
    }
}

fn setting_rows<'a>(look: &Look, settings: impl Iterator<Item = &'a Setting>, tell_changed: bool) -> Markup {
    let words = look.words;
    html! {
        div class="scroll" { table class="cards settings" {
            thead { tr { th scope="col" { (words.t("health.key")) } th scope="col" { (words.t("health.value")) } th scope="col" { (words.t("health.meaning")) } } }
            tbody { @for setting in settings { tr {
                td { code { (evidence::visible(&setting.key)) } }
                td { code class=[setting.secret.then_some("muted")] { (evidence::visible(&setting.value)) } @if setting.changed && tell_changed { " " (show::mark("", words.t("health.changed"))) } }
                td class="small muted" { (evidence::visible(&setting.meaning)) }
            } } }
        } }
    }
}

fn erase(look: &Look) -> Markup {
    let words = look.words;
    html! {
        section class="card" aria-labelledby="erase-title" {
            div class="card-head" { h2 id="erase-title" { (words.t("health.erase")) } }
            div class="card-body stack" {
                p class="muted" { (words.t("health.erase_says")) }
                div { (show::opener("erase", "danger", "deleted", words.t("health.erase"))) }
                (show::dialog(words, "erase", words.t("health.erase"), html! {
                    form class="stack" method="post" action="/health/erase" {
                        (look.token())
                        div class="field" { label for="erase-sender" { (words.t("health.erase_sender")) } input id="erase-sender" name="sender" required maxlength="256" autocomplete="off" placeholder="5511987654321"; }
                        (message::reason(look, "erase"))
                        div class="row" { button class="danger" { (words.t("health.erase")) } }
                    }
                }))
            }
        }
    }
}
