//! One's own account: password, second step, sessions, language and colours.

use super::{
    shell::{Look, Theme},
    show,
    words::Spoken,
};
use crate::people::Account;
use guarita_message::Language;
use maud::{Markup, PreEscaped, html};

pub fn account(look: &Look, account: Option<&Account>) -> Markup {
    let words = look.words;
    let second_step = account.is_some_and(|account| account.second_step);
    html! {
        div class="head" { div { h1 { (words.t("account.title")) } p { (look.actor.name) " · " (words.of("role", look.role.as_str())) } } }
        div class="columns" {
            section class="card" aria-labelledby="preferences" {
                div class="card-head" { h2 id="preferences" { (words.t("account.preferences")) } }
                form class="card-body stack" method="post" action="/account/preferences" {
                    (look.token())
                    div class="field" { label for="lang" { (words.t("account.language")) }
                        select id="lang" name="lang" { @for language in Language::ALL.iter().copied() { option value=(language.as_str()) lang=(language.as_str()) selected[language == words.language] { (language.name()) } } } }
                    div class="field" { label for="theme" { (words.t("account.theme")) }
                        select id="theme" name="theme" { @for theme in Theme::ALL { option value=(theme.as_str()) selected[theme == look.theme] { (words.of("theme", theme.as_str())) } } } }
                    div class="row" { button class="main" { (words.t("do.save")) } }
                }
            }
            section class="card" aria-labelledby="second" {
                div class="card-head" { h2 id="second" { (words.t("account.second_step")) }
                    @if second_step { (show::mark("ok", words.t("people.on"))) } @else { (show::mark("warn", words.t("people.off"))) } }
                div class="card-body stack" {
                    @if second_step {
                        p { (words.t("account.second_step_on")) " " (words.count("people.codes", account.map_or(0, |account| account.recovery_codes))) "." }
                        p class="small muted" { (words.t("account.anew_says")) }
                        div { a class="button" href="/account/second-step" { (words.t("account.anew")) } }
                    } @else {
                        p { (words.t("account.second_step_off")) }
                        div { a class="button main" href="/account/second-step" { (words.t("account.set_up")) } }
                    }
                }
            }
            section class="card" aria-labelledby="password" {
                div class="card-head" { h2 id="password" { (words.t("account.password")) } }
                form class="card-body stack" method="post" action="/account/password" {
                    (look.token())
                    (password_field(look, "old", "old", words.t("account.password_now"), "current-password"))
                    (password_field(look, "new", "new", words.t("account.password_new"), "new-password"))
                    p class="small muted" { (words.t("account.password_rules")) }
                    div class="row" { button class="main" { (words.t("account.change")) } }
                }
            }
            section class="card" aria-labelledby="sessions" {
                div class="card-head" { h2 id="sessions" { (words.t("account.sessions")) } }
                div class="card-body stack" {
                    p { (words.t("account.sessions_says")) }
                    form method="post" action="/logout-all" { (look.token()) button class="danger" { (words.t("account.end_all")) } }
                }
            }
        }
    }
}

pub fn password_field(_look: &Look, id: &str, name: &str, label: &str, autocomplete: &str) -> Markup {
    html! { div class="field" { label for=(id) { (label) } input id=(id) name=(name) type="password" required maxlength="256" autocomplete=(autocomplete); } }
}

/// The codes that stand in for the app, shown once.
pub fn recovery_codes(look: &Look, codes: &[String]) -> Markup {
    let words = look.words;
    html! {
        section class="card stack" aria-labelledby="codes" {
            h1 id="codes" { (words.t("account.codes")) }
            p class="row" { (show::mark("ok", words.t("done.second_step"))) }
            p { (words.t("account.codes_says")) }
            ul class="codes" { @for code in codes { li { (code) } } }
            p { a class="button main" href="/" { (words.t("login.confirm")) } }
        }
    }
}

/// Setting up the second step: scan, then prove it with a code. The QR code is an SVG of ours.
pub fn enrolment(look: &Look, qr: &str, secret: &str, problem: Option<&str>) -> Markup {
    let words = look.words;
    html! {
        section class="card enrol" aria-labelledby="enrol" {
            div class="stack" {
                h1 id="enrol" { (words.t("account.set_up")) }
                p { (words.t("account.scan")) }
                div class="qr" role="img" aria-label=(words.t("account.qr")) { (PreEscaped(qr)) }
                p class="small muted" { (words.t("account.type_instead")) " " code class="secret" { (spaced(secret)) } }
                form method="post" action="/account/second-step" {
                    (look.token())
                    @if let Some(problem) = problem { p class="problem" role="alert" { (problem) } }
                    (code_field(words, "code", true))
                    button class="main" { (words.t("account.confirm")) }
                }
            }
        }
    }
}

/// Six digits of the app, or a recovery code.
pub fn code_field(words: &super::words::Words, id: &str, digits_only: bool) -> Markup {
    html! {
        div class="field" {
            label for=(id) { (words.t("login.code")) }
            input id=(id) class="code-input" name="code" required maxlength="20" autocomplete="one-time-code" inputmode=[digits_only.then_some("numeric")] autocapitalize="characters" spellcheck="false" autofocus;
            @if !digits_only { span class="hint" { (words.t("login.code_hint")) } }
        }
    }
}

/// In groups of four, as people copy it.
fn spaced(secret: &str) -> String {
    let chars: Vec<char> = secret.chars().collect();
    chars.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}
