//! Who did what, when and why; and whether the record is whole.

use super::{evidence, messages, shell::Look, show};
use crate::{
    audit::{Broken, Row},
    desk::Page,
};
use maud::{Markup, html};

pub fn audit(look: &Look, found: &Page<Row>, verified: Option<&(u64, Option<Broken>)>) -> Markup {
    let words = look.words;
    html! {
        div class="head" {
            div { h1 { (words.t("audit.title")) } p { (words.t("audit.says")) } }
            div class="actions" {
                a class="button" href="/audit?verify=1" { (show::icon("ok")) (words.t("audit.verify")) }
                a class="button" href="/audit/export" download="guarita-audit.jsonl" { (show::icon("downloaded")) (words.t("audit.export")) }
            }
        }
        @match verified {
            None => {}
            Some((rows, None)) => div class="banner good" role="status" { (show::icon("ok")) p { (words.fill("audit.whole", &[("n", &words.number(*rows))])) } },
            Some((_, Some(broken))) => div class="banner bad" role="alert" { (show::icon("bad")) p { (words.fill("audit.broken", &[("n", &words.number(broken.number)), ("problem", &broken.problem)])) } },
        }
        section class="card" aria-label=(words.t("audit.title")) {
            @if found.items.is_empty() { (show::empty("audit", words.t("audit.none"), words.t("audit.none_do"))) }
            @else {
                div class="scroll" { table class="cards brief" {
                    thead { tr {
                        th scope="col" { (words.t("messages.at")) } th scope="col" { (words.t("audit.who")) } th scope="col" { (words.t("audit.what")) }
                        th scope="col" { (words.t("audit.target")) } th scope="col" { (words.t("do.reason")) } th scope="col" { (words.t("audit.address")) }
                    } }
                    tbody data-rows="/audit" { @for row in &found.items { tr {
                        td class="nowrap" { (show::time(row.at_ms)) }
                        td { (evidence::visible(&row.who)) }
                        td { (words.of("audited", row.action.as_str())) }
                        td { (target(row)) }
                        td { (evidence::visible(&row.reason)) }
                        td class="muted small" { (evidence::visible(&row.address)) }
                    } } }
                } }
                @if let Some(next) = &found.next { (messages::older(look, "/audit", "", next)) }
            }
        }
    }
}

/// A message's id leads to it.
fn target(row: &Row) -> Markup {
    let id =
        row.target.len() == 26 && row.target.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    html! {
        @if id { a data-open href={ "/messages/" (row.target) } { code { (row.target) } } }
        @else if !row.target.is_empty() { code { (evidence::visible(&row.target)) } }
    }
}
