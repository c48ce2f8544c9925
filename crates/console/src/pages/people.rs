//! Accounts and tokens, for admins. A new link or token is shown once, on the page that made it.

use super::{evidence, shell::Look, show};
use crate::{
    actor::{Role, Scope},
    people::{Account, TokenInfo},
};
use maud::{Markup, html};

/// What is shown this once.
pub enum Once {
    /// A link with which someone chooses a password.
    Link {
        name: String,
        url: String,
    },
    Token {
        name: String,
        token: String,
    },
}

pub fn people(look: &Look, accounts: &[Account], tokens: &[TokenInfo], once: Option<&Once>) -> Markup {
    let words = look.words;
    html! {
        div class="head" { div { h1 { (words.t("people.title")) } p { (words.t("people.says")) } } }
        @if let Some(once) = once { (shown_once(look, once)) }
        section class="card" aria-labelledby="accounts" {
            div class="card-head" { h2 id="accounts" { (words.t("people.accounts")) } }
            div class="scroll" { table class="cards" {
                thead { tr {
                    th scope="col" { (words.t("people.name")) } th scope="col" { (words.t("people.role")) } th scope="col" { (words.t("people.second_step")) }
                    th scope="col" { (words.t("people.seen")) } th scope="col" { span class="hidden-visually" { (words.t("people.change")) } }
                } }
                tbody { @for account in accounts { (account_line(look, account)) } }
            } }
            form class="filters" method="post" action="/people" {
                (look.token())
                div class="field" { label for="name" { (words.t("people.new_name")) } input id="name" name="name" required maxlength="64" autocomplete="off" autocapitalize="none" spellcheck="false"; }
                (role_field(look, "role", Role::Viewer))
                div class="row" { button class="main" { (words.t("people.add")) } }
            }
        }
        section class="card" aria-labelledby="tokens" {
            div class="card-head" { h2 id="tokens" { (words.t("people.tokens")) } span class="small muted" { (words.t("people.tokens_says")) } }
            @if tokens.is_empty() { div class="card-body" { p class="muted" { (words.t("people.no_tokens")) } } }
            @else { div class="scroll" { table class="cards" {
                thead { tr {
                    th scope="col" { (words.t("people.name")) } th scope="col" { (words.t("people.scopes")) } th scope="col" { (words.t("people.made_by")) }
                    th scope="col" { (words.t("lists.ends")) } th scope="col" { (words.t("people.used")) } th scope="col" { span class="hidden-visually" { (words.t("people.remove_token")) } }
                } }
                tbody { @for token in tokens { tr {
                    td { strong { (evidence::visible(&token.name)) } }
                    td { @for scope in &token.scopes { code { (scope) } " " } }
                    td { (evidence::visible(&token.made_by)) }
                    td { (show::ago(words, token.expires_ms, look.now_ms)) }
                    td { @match token.used_ms { Some(at) => (show::ago(words, at, look.now_ms)), None => span class="muted" { (words.t("people.never")) } } }
                    td class="right" { form method="post" action={ "/people/tokens/" (token.id) "/remove" } { (look.token()) button class="danger" { (words.t("people.remove_token")) } } }
                } } }
            } } }
            form class="filters" method="post" action="/people/tokens" {
                (look.token())
                div class="field" { label for="token-name" { (words.t("people.token_name")) } input id="token-name" name="name" required maxlength="64" autocomplete="off" placeholder="siem"; }
                fieldset class="wide" { legend { (words.t("people.scopes")) } div class="row" {
                    @for scope in Scope::ALL { label class="check" { input type="checkbox" name="scope" value=(scope) checked[scope == Scope::Read]; (words.of("scope", scope.as_str())) } }
                } }
                div class="field" { label for="token-days" { (words.t("people.days")) } input id="token-days" name="days" type="number" min="1" max="3650" value="90"; }
                div class="row" { button { (words.t("people.add_token")) } }
            }
        }
    }
}

fn shown_once(look: &Look, once: &Once) -> Markup {
    let words = look.words;
    let (said, secret) = match once {
        Once::Link { name, url } => (words.fill("people.link_for", &[("name", name)]), url),
        Once::Token { name, token } => (words.fill("people.token_for", &[("name", name)]), token),
    };
    html! {
        div class="banner note" role="status" {
            (show::icon("ok"))
            div class="grow" {
                p { strong { (said) } }
                p { code class="secret" { (secret) } " " button type="button" class="link small" data-copy=(secret) hidden { (words.t("do.copy")) } }
                p class="small muted" { (words.t("people.shown_once")) }
            }
        }
    }
}

fn role_field(look: &Look, id: &str, chosen: Role) -> Markup {
    let words = look.words;
    html! {
        div class="field" { label for=(id) { (words.t("people.role")) }
            select id=(id) name="role" { @for role in Role::ALL { option value=(role) selected[role == chosen] { (words.of("role", role.as_str())) } } } }
    }
}

fn account_line(look: &Look, account: &Account) -> Markup {
    let words = look.words;
    let id = format!("change-{}", account.name);
    html! {
        tr {
            td {
                strong { (evidence::visible(&account.name)) }
                @if account.disabled { " " (show::mark("bad", words.t("people.disabled"))) }
                @else if !account.active { " " (show::mark("warn", words.t("people.not_active"))) }
            }
            td { (words.of("role", account.role.as_str())) }
            td data-label=(words.t("people.second_step")) {
                @if account.second_step { (show::mark("ok", words.t("people.on"))) " " span class="small muted" { (words.count("people.codes", account.recovery_codes)) } }
                @else { (show::mark("warn", words.t("people.off"))) }
            }
            td data-label=(words.t("people.seen")) { @match account.seen_ms { Some(at) => (show::ago(words, at, look.now_ms)), None => span class="muted" { (words.t("people.never")) } } }
            td class="right" {
                (show::opener(&id, "", "account", words.t("people.change")))
                (show::dialog(words, &id, &words.fill("people.change_whom", &[("name", &account.name)]), html! {
                    form class="stack" method="post" action={ "/people/" (account.name) "/change" } {
                        (look.token())
                        (role_field(look, &format!("role-{}", account.name), account.role))
                        label class="check" { input type="checkbox" name="disabled" value="1" checked[account.disabled]; (words.t("people.disable")) }
                        div class="row" { button class="main" { (words.t("do.save")) } }
                    }
                    form class="stack" method="post" action={ "/people/" (account.name) "/reset" } {
                        (look.token())
                        p class="small muted" { (words.t("people.reset_says")) }
                        div class="row" { button class="danger" { (words.t("people.reset")) } }
                    }
                }))
            }
        }
    }
}
