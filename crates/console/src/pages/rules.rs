//! What is looked for: every rule with its hits, those in shadow, and a place to try a text, a link or a file.

use super::{evidence, shell::Look, show};
use crate::{
    actor::Scope,
    gateway::{RuleInfo, Rules, Tried},
};
use maud::{Markup, html};

/// What narrows the list.
#[derive(Clone, Debug, Default)]
pub struct Narrow {
    pub words: String,
    pub category: String,
    pub hits_only: bool,
    pub shadow_only: bool,
}

/// Rows on the page; the search narrows what is left.
const ROWS_MAX: usize = 400;

impl Narrow {
    pub fn read(fields: &[(String, String)]) -> Narrow {
        let field = |name: &str| {
            let found = fields.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.trim().chars().take(200).collect::<String>()).unwrap_or_default()
        };
        Narrow {
            words: field("q"),
            category: field("category"),
            hits_only: field("hits") == "1",
            shadow_only: field("shadow") == "1",
        }
    }

    fn takes(&self, rule: &RuleInfo) -> bool {
        let text = format!("{} {} {} {}", rule.id, rule.title, rule.why, rule.category).to_lowercase();
        self.words.to_lowercase().split_whitespace().all(|word| text.contains(word))
            && (self.category.is_empty() || rule.category == self.category)
            && (!self.hits_only || rule.hits > 0)
            && (!self.shadow_only || rule.shadow)
    }
}

/// What was tried and what came of it.
pub struct Trial {
    /// `text link file`.
    pub kind: &'static str,
    /// The text or link as typed, or the file's name.
    pub input: String,
    pub outcome: Result<Tried, String>,
}

pub fn rules(look: &Look, rules: &Rules, narrow: &Narrow, trial: Option<&Trial>) -> Markup {
    let words = look.words;
    let mut rows: Vec<&RuleInfo> = rules.rules.iter().filter(|rule| narrow.takes(rule)).collect();
    rows.sort_by(|a, b| b.hits.cmp(&a.hits).then_with(|| a.id.cmp(&b.id)));
    let shadows = rules.rules.iter().filter(|rule| rule.shadow).count() as u64;
    html! {
        div class="head" {
            div {
                h1 { (words.t("rules.title")) }
                p { (words.fill("rules.says", &[("n", &words.number(rules.rules.len() as u64)), ("shadow", &words.number(shadows)), ("version", &rules.version)])) }
            }
        }
        @if look.may(Scope::Review) { (try_card(look, trial)) }
        (filters(look, rules, narrow))
        section class="card" aria-label=(words.t("rules.title")) {
            @if rows.is_empty() { (show::empty("rules", words.t("rules.none"), words.t("rules.none_do"))) }
            @else {
                div class="scroll" { table class="cards brief" {
                    thead { tr {
                        th scope="col" { (words.t("rules.rule")) } th scope="col" { (words.t("rules.severity")) } th scope="col" { (words.t("rules.category")) }
                        th scope="col" class="num" { (words.t("rules.hits")) } th scope="col" { (words.t("rules.last")) }
                    } }
                    tbody data-rows="/rules" { @for rule in rows.iter().take(ROWS_MAX) { (line(look, rule)) } }
                } }
                @if rows.len() > ROWS_MAX { p class="older muted small" { (words.fill("rules.more", &[("n", &(rows.len() - ROWS_MAX))])) } }
            }
        }
        @if !rules.outside.is_empty() {
            section class="card" aria-labelledby="outside" {
                div class="card-head" { h2 id="outside" { (words.t("rules.outside")) } }
                div class="scroll" { table {
                    tbody { @for hit in rules.outside.iter().take(50) { tr {
                        td { a href={ "/messages?q=" (encoded(&hit.rule)) } { code { (evidence::visible(&hit.rule)) } } }
                        td class="num" { (words.number(hit.hits)) }
                        td { (show::time_short(hit.last_hit_ms, look.now_ms)) }
                    } } }
                } }
            }
        }
    }
}

fn filters(look: &Look, rules: &Rules, narrow: &Narrow) -> Markup {
    let words = look.words;
    let mut categories: Vec<&str> = rules.rules.iter().map(|rule| rule.category.as_str()).collect();
    categories.sort_unstable();
    categories.dedup();
    html! {
        form class="card filters" method="get" action="/rules" role="search" {
            div class="field wide" { label for="q" { (words.t("rules.search")) } input id="q" name="q" type="search" value=(narrow.words) maxlength="200" autocomplete="off" data-search; }
            div class="field" { label for="category" { (words.t("rules.category")) }
                select id="category" name="category" {
                    option value="" { (words.t("messages.any")) }
                    @for category in categories { option value=(category) selected[category == narrow.category] { (words.of("category", category)) } }
                }
            }
            div class="row" {
                label class="check" { input type="checkbox" name="hits" value="1" checked[narrow.hits_only]; (words.t("rules.hits_only")) }
                label class="check" { input type="checkbox" name="shadow" value="1" checked[narrow.shadow_only]; (words.t("rules.shadow_only")) }
            }
            div class="row" { button { (show::icon("search")) (words.t("messages.search")) } }
        }
    }
}

fn line(look: &Look, rule: &RuleInfo) -> Markup {
    let words = look.words;
    html! {
        tr {
            td {
                strong class="title" { (evidence::visible(&rule.title)) } @if rule.shadow { " " (show::mark("warn", words.t("message.shadow"))) }
                @if !rule.why.is_empty() { div class="small muted" { (evidence::visible(&rule.why)) } }
                div class="small" { code { (evidence::visible(&rule.id)) } @if !rule.written.is_empty() { span class="muted" { " · " (evidence::visible(&rule.written)) } } }
            }
            td { (show::severity(words, &rule.severity)) }
            td { (words.of("category", &rule.category)) }
            td class="num" data-label=(words.t("rules.hits")) {
                @if rule.hits > 0 { a data-open href={ "/messages?q=" (encoded(&rule.id)) } { (words.number(rule.hits)) } } @else { span class="muted" { "0" } }
            }
            td class="nowrap" { @if let Some(at) = rule.last_hit_ms { (show::time_short(at, look.now_ms)) } }
        }
    }
}

fn try_card(look: &Look, trial: Option<&Trial>) -> Markup {
    let words = look.words;
    let typed =
        |kind: &str| trial.filter(|trial| trial.kind == kind).map(|trial| trial.input.as_str()).unwrap_or_default();
    html! {
        section class="card" id="try" aria-labelledby="try-title" {
            div class="card-head" { h2 id="try-title" { (words.t("rules.try")) } span class="small muted" { (words.t("rules.try_says")) } }
            div class="card-body columns thirds" {
                form class="stack" method="post" action="/rules/try#try" {
                    (look.token())
                    div class="field" { label for="try-text" { (words.t("rules.try_text")) }
                        textarea id="try-text" name="text" rows="2" maxlength="60000" placeholder=(words.t("rules.try_text_hint")) { (typed("text")) } }
                    div class="row" { button { (words.t("rules.try_do")) } }
                }
                form class="stack" method="post" action="/rules/try#try" {
                    (look.token())
                    div class="field" { label for="try-link" { (words.t("rules.try_link")) }
                        input id="try-link" name="link" maxlength="8000" value=(typed("link")) placeholder="correios-taxa.top/pagar" autocomplete="off" spellcheck="false"; }
                    div class="row" { button { (words.t("rules.try_do")) } }
                }
                form class="stack" method="post" action="/rules/try-file#try" enctype="multipart/form-data" {
                    (look.token())
                    div class="field" { label for="try-file" { (words.t("rules.try_file")) } input id="try-file" name="file" type="file" required; span class="hint" { (words.t("rules.try_file_hint")) } }
                    div class="row" { button { (words.t("rules.try_do")) } }
                }
            }
            @if let Some(trial) = trial { div class="card-body outcome" role="status" { (outcome(look, trial)) } }
        }
    }
}

fn outcome(look: &Look, trial: &Trial) -> Markup {
    let words = look.words;
    match &trial.outcome {
        Err(problem) => html! { p class="problem" { (evidence::visible(problem)) } },
        Ok(tried) => html! {
            p class="row" {
                (show::verdict(words, &tried.verdict))
                span class="muted small num" { (words.fill("rules.score", &[("score", &words.decimal(f64::from(tried.score)))])) }
                span class="evidence" { (evidence::defanged(&cut(&trial.input))) }
            }
            @for finding in &tried.inspection.findings {
                div class="finding" {
                    p class="row" { (show::severity(words, finding.severity.as_str())) strong { (evidence::visible(&finding.title)) } @if finding.shadow { (show::mark("warn", words.t("message.shadow"))) } }
                    @if !finding.why.is_empty() { p { (evidence::visible(&finding.why)) } }
                    p class="small muted" { code { (evidence::visible(&finding.rule)) } @if !finding.inside.is_empty() { " · " (evidence::visible(&finding.inside)) } " · " span class="evidence" { (evidence::defanged(&finding.evidence)) } }
                }
            }
            @for gap in &tried.inspection.gaps {
                p class="finding row" { (show::verdict(words, "unscanned")) (words.of("gap", gap.reason.as_str())) span class="muted small" { (evidence::visible(&gap.scanner)) " " (evidence::visible(&gap.detail)) } }
            }
            @if tried.inspection.findings.is_empty() && tried.inspection.gaps.is_empty() { p class="muted" { (words.t("message.nothing_found")) } }
        },
    }
}

fn cut(text: &str) -> String {
    text.chars().take(160).collect()
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
