//! The doors: log-in, second step, set-up by a one-time link, and what is said when something is refused.

use super::{
    account,
    shell::{self, Theme},
    show,
    words::Words,
};
use maud::{Markup, html};

/// What a door needs to know; nobody is logged in yet.
pub struct Door {
    pub words: &'static Words,
    pub theme: Theme,
    /// Why the last try did not open it.
    pub problem: Option<String>,
    /// Of a session that is half open; empty before that.
    pub csrf: String,
}

pub fn log_in(door: &Door, name: &str, next: &str) -> Markup {
    let words = door.words;
    shell::door(
        words,
        door.theme,
        words.t("login.title"),
        html! {
            section class="card" aria-labelledby="title" {
                form method="post" action="/login" {
                    h1 id="title" { (words.t("login.title")) }
                    (problem(door))
                    input type="hidden" name="next" value=(next);
                    div class="field" { label for="name" { (words.t("login.name")) }
                        input id="name" name="name" value=(name) required maxlength="64" autocomplete="username" autocapitalize="none" spellcheck="false" autofocus; }
                    div class="field" { label for="password" { (words.t("login.password")) }
                        input id="password" name="password" type="password" required maxlength="256" autocomplete="current-password"; }
                    button class="main" { (words.t("login.log_in")) }
                }
            }
        },
    )
}

pub fn second_step(door: &Door, next: &str) -> Markup {
    let words = door.words;
    shell::door(
        words,
        door.theme,
        words.t("login.second_step"),
        html! {
            section class="card" aria-labelledby="title" {
                form method="post" action="/login/code" {
                    h1 id="title" { (words.t("login.second_step")) }
                    (problem(door))
                    input type="hidden" name="csrf" value=(door.csrf);
                    input type="hidden" name="next" value=(next);
                    (account::code_field(words, "code", false))
                    button class="main" { (words.t("login.confirm")) }
                }
            }
            form method="post" action="/logout" { input type="hidden" name="csrf" value=(door.csrf); button class="link small" { (words.t("login.other")) } }
        },
    )
}

/// `name`: whose password it is; `None`: the first admin, who chooses a name too.
pub fn set_up(door: &Door, secret: &str, name: Option<&str>) -> Markup {
    let words = door.words;
    let title = if name.is_some() { words.t("setup.choose") } else { words.t("setup.title") };
    shell::door(
        words,
        door.theme,
        title,
        html! {
            section class="card" aria-labelledby="title" {
                form method="post" action={ "/setup/" (secret) } {
                    h1 id="title" { (title) }
                    @match name {
                        Some(name) => { p { (words.fill("setup.for", &[("name", &name)])) } input type="hidden" name="name" value=(name) autocomplete="username"; }
                        None => p { (words.t("setup.says")) },
                    }
                    (problem(door))
                    @if name.is_none() {
                        div class="field" { label for="name" { (words.t("login.name")) } input id="name" name="name" required maxlength="64" autocomplete="username" autocapitalize="none" spellcheck="false" autofocus; span class="hint" { (words.t("setup.name_hint")) } }
                    }
                    div class="field" { label for="password" { (words.t("account.password_new")) } input id="password" name="password" type="password" required minlength="12" maxlength="256" autocomplete="new-password"; span class="hint" { (words.t("account.password_rules")) } }
                    button class="main" { (words.t("setup.do")) }
                }
            }
        },
    )
}

/// Something was refused or is not there: what, who can help, and a way back.
pub fn refused(words: &'static Words, theme: Theme, title: &str, says: &str) -> Markup {
    shell::door(
        words,
        theme,
        title,
        html! {
            section class="card stack" aria-labelledby="title" {
                h1 id="title" class="row" { (show::icon_in("warn")) (title) }
                p { (says) }
                p { a class="button" href="/" { (words.t("login.back")) } }
            }
        },
    )
}

fn problem(door: &Door) -> Markup {
    html! { @if let Some(problem) = &door.problem { p class="problem" role="alert" { (problem) } } }
}
