//! The first page: does it protect, what came, what was held, what waits. Drawn, and kept fresh in place.

use super::{
    chart::{self, Lane, Ranked},
    evidence,
    shell::Look,
    show,
};
use crate::desk::{Bucket, Listed, Overview, Quantiles};
use guarita_spool::State;
use maud::{Markup, html};

/// Hours that may be looked back over.
pub const RANGES: [u64; 4] = [1, 24, 72, 168];
/// Signatures older than this are a warning; ClamAV publishes daily.
const SIGNATURES_OLD_SECONDS: f64 = 2.0 * 86_400.0;
const SECONDS_BETWEEN_LOOKS: u32 = 5;

/// The body of the page; also what the script fetches to stay fresh.
pub fn overview(look: &Look, data: &Overview, held: &[Listed], hours: u64) -> Markup {
    let words = look.words;
    html! {
        div class="head" {
            div { h1 { (words.t("overview.title")) } }
            nav class="choice" aria-label=(words.t("overview.range")) {
                @for range in RANGES {
                    a href={ "/?hours=" (range) } aria-current=[(range == hours).then_some("true")] {
                        (range_word(range))
                    }
                }
            }
        }
        div class="stack" data-live={ "/?hours=" (hours) } data-every=(SECONDS_BETWEEN_LOOKS) {
            (standing(look, data))
            (tiles(look, data))
            div class="columns wide-first" {
                div class="stack" {
                    (traffic(look, &data.history, data.bucket_seconds))
                    (held_now(look, held))
                }
                div class="stack" {
                    (scanners(look, data))
                    (queue(look, data))
                    (latency(look, data))
                }
            }
        }
    }
}

fn range_word(hours: u64) -> String {
    if hours <= 24 { format!("{hours} h") } else { format!("{} d", hours / 24) }
}

/// One sentence: it protects, or what hinders it and how to mend that.
fn standing(look: &Look, data: &Overview) -> Markup {
    let words = look.words;
    let failing: Vec<_> = data.checks.iter().filter(|check| !check.ok && !check.warning).collect();
    let notes: Vec<_> = data.checks.iter().filter(|check| !check.ok && check.warning).collect();
    let (class, icon, title) = match (data.ready && failing.is_empty(), notes.is_empty()) {
        (false, _) => ("banner bad", "bad", words.t("overview.not_protecting")),
        (true, false) => ("banner warn", "warn", words.t("overview.protecting_but")),
        (true, true) => ("banner good", "ok", words.t("overview.protecting")),
    };
    html! {
        section class=(class) aria-labelledby="standing" {
            (show::icon(icon))
            div class="grow" {
                h2 id="standing" { (title) }
                @if failing.is_empty() && notes.is_empty() {
                    p class="small muted" {
                        (words.fill("overview.since", &[("span", &words.span(data.snapshot.uptime_seconds as f64)), ("scanner", &data.snapshot.scanner)]))
                    }
                } @else {
                    ul class="small" {
                        @for check in failing.into_iter().chain(notes) {
                            li { strong { (check.name) ": " } (evidence::visible(&check.detail)) @if !check.mend.is_empty() { " — " (evidence::visible(&check.mend)) } }
                        }
                    }
                }
            }
            a class="small nowrap" href="/health" { (words.t("overview.all_checks")) }
        }
    }
}

fn tiles(look: &Look, data: &Overview) -> Markup {
    let words = look.words;
    let sum = |of: fn(&Bucket) -> u64| data.history.iter().map(of).fold(0, u64::saturating_add);
    let series = |of: fn(&Bucket) -> u64| data.history.iter().map(of).collect::<Vec<u64>>();
    let bad: fn(&Bucket) -> u64 = |bucket| bucket.malicious + bucket.suspicious + bucket.unscanned;
    let waiting = count_of(data, State::Received) + count_of(data, State::Decided);
    let dead = count_of(data, State::DeadLettered);
    let held_more = data.held >= crate::desk::HELD_COUNT_MAX as u64;
    html! {
        div class="tiles" {
            a class="tile" href="/messages" {
                span class="label" { (words.t("overview.received")) }
                span class="value" { (words.number(sum(|bucket| bucket.received))) }
                (chart::spark(&series(|bucket| bucket.received)))
            }
            a class="tile" href="/messages?verdict=malicious&verdict=suspicious&verdict=unscanned" {
                span class="label" { (words.t("overview.not_clean")) }
                span class="value" { (words.number(sum(bad))) }
                (chart::spark(&series(bad)))
            }
            a class="tile" href="/quarantine" {
                span class="label" { (words.t("overview.held")) }
                span class="value" { (words.number(data.held)) @if held_more { "+" } }
                span class="note" { @if data.held == 0 { (words.t("overview.held_none")) } @else { (words.t("overview.held_some")) } }
            }
            a class="tile" href="/deliveries" {
                span class="label" { (words.t("overview.waiting")) }
                span class="value" { (words.number(waiting)) }
                span class="note" {
                    @if dead > 0 { (words.count("overview.dead", dead)) }
                    @else if waiting > 0 { (words.fill("overview.oldest", &[("span", &words.span(data.oldest_unfinished_seconds as f64))])) }
                    @else { (words.t("overview.nothing_waits")) }
                }
            }
            div class="tile" {
                span class="label" { (words.t("overview.end_to_end")) }
                span class="value" { @if data.figures.end_to_end.count == 0 { "–" } @else { "≤\u{a0}" (words.span(data.figures.end_to_end.p50)) } }
                span class="note" { (words.t("overview.median")) }
            }
        }
    }
}

fn traffic(look: &Look, history: &[Bucket], bucket_seconds: u64) -> Markup {
    let words = look.words;
    let from: Vec<u64> = history.iter().map(|bucket| bucket.from_ms).collect();
    let since = from.first().copied().unwrap_or(0);
    let lane = |verdict: &str, class, of: fn(&Bucket) -> u64| Lane {
        label: show::verdict(words, verdict),
        name: words.of("verdict", verdict),
        class,
        values: history.iter().map(of).collect(),
        href: format!("/messages?verdict={verdict}&from={since}"),
    };
    let lanes = [
        lane("clean", "c-clean", |bucket| bucket.clean),
        lane("suspicious", "c-suspicious", |bucket| bucket.suspicious),
        lane("unscanned", "c-unscanned", |bucket| bucket.unscanned),
        lane("malicious", "c-malicious", |bucket| bucket.malicious),
    ];
    html! {
        section class="card" aria-labelledby="traffic" {
            div class="card-head" {
                h2 id="traffic" { (words.t("overview.traffic")) }
                span class="small muted" { (words.fill("overview.each_bar", &[("span", &words.span(bucket_seconds as f64))])) }
            }
            div class="card-body" { (chart::lanes(words, words.t("overview.traffic"), &from, &lanes)) }
        }
    }
}

fn held_now(look: &Look, held: &[Listed]) -> Markup {
    let words = look.words;
    html! {
        section class="card" aria-labelledby="held" {
            div class="card-head" {
                h2 id="held" { (words.t("overview.held_lately")) }
                a class="small" href="/quarantine" { (words.t("overview.all_held")) }
            }
            div class="card-body" {
                @if held.is_empty() {
                    (show::empty("quarantine", words.t("overview.held_empty"), words.t("overview.held_empty_do")))
                } @else {
                    ul class="list" {
                        @for row in held {
                            li {
                                span class="small muted" { (show::time_short(row.record.received_ms, look.now_ms)) }
                                div class="grow" {
                                    a class="main" href={ "/messages/" (row.record.id) } { (gist(look, row)) }
                                    @if let Some(seen) = &row.summary {
                                        div class="small muted" { (words.of("kind", &seen.kind)) @if !seen.from.is_empty() { " · " (super::messages::sender(seen)) } }
                                    }
                                }
                                @if let Some(verdict) = row.record.verdict { (show::verdict(words, verdict.as_str())) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a row is about, in its worst finding's words.
pub fn gist(look: &Look, row: &Listed) -> Markup {
    let words = look.words;
    html! {
        @match &row.summary {
            Some(seen) if !seen.titles.is_empty() => (evidence::visible(&seen.titles[0])),
            Some(seen) if !seen.gaps.is_empty() => { (words.t("message.not_looked_at")) ": " (words.of("gap", &seen.gaps[0])) },
            Some(seen) if !seen.kind.is_empty() => (words.of("kind", &seen.kind)),
            _ => (words.of("lane", row.record.lane.as_str())),
        }
    }
}

fn scanners(look: &Look, data: &Overview) -> Markup {
    let words = look.words;
    html! {
        section class="card" aria-labelledby="scanners" {
            div class="card-head" {
                h2 id="scanners" { (words.t("overview.scanners")) }
                @if data.snapshot.scanner_ready { (show::mark("ok", words.t("overview.answers"))) } @else { (show::mark("bad", words.t("overview.blind"))) }
            }
            div class="card-body stack" {
                p { (evidence::visible(&data.snapshot.scanner)) }
                div {
                    @match data.snapshot.signature_age_seconds {
                        None => p class="muted" { (words.t("overview.signatures_unknown")) },
                        Some(age) => {
                            @let said = words.fill("overview.signatures_age", &[("span", &words.span(age as f64))]);
                            p class="row apart" { span { (said) }
                                @if age as f64 > SIGNATURES_OLD_SECONDS { (show::mark("warn", words.t("overview.old"))) } }
                            (chart::gauge(&said, age as f64, SIGNATURES_OLD_SECONDS, SIGNATURES_OLD_SECONDS * 2.0))
                        }
                    }
                }
                @if !data.snapshot.rules_version.is_empty() {
                    p class="small muted" { (words.t("overview.rules_version")) " " code { (data.snapshot.rules_version) } }
                }
            }
        }
    }
}

fn queue(look: &Look, data: &Overview) -> Markup {
    let words = look.words;
    let bar = |state: State, class| {
        let name = state_word(state);
        Ranked { label: html! { (words.of("state", name)) }, value: count_of(data, state), shown: String::new(), class }
    };
    let rows = [
        bar(State::Received, "c-waiting"),
        bar(State::Decided, "c-failing"),
        bar(State::Delivered, "c-delivered"),
        bar(State::Quarantined, "c-suspicious"),
        bar(State::DeadLettered, "c-dead"),
    ];
    html! {
        section class="card" aria-labelledby="queue" {
            div class="card-head" {
                h2 id="queue" { (words.t("overview.queue")) }
                span class="small muted" { (words.fill("overview.in_flight", &[("n", &words.number(data.in_flight))])) }
            }
            div class="card-body stack" {
                (chart::ranking(words, &rows))
                @for backend in &data.backends {
                    p class="row apart small" { span class="muted" { (evidence::visible(&backend.host)) } (breaker(look, &backend.messages)) }
                }
            }
        }
    }
}

/// The state of a backend's breaker.
pub fn breaker(look: &Look, state: &str) -> Markup {
    let kind = match state {
        "closed" => "ok",
        "probing" => "warn",
        _ => "bad",
    };
    show::mark(kind, &look.words.of("breaker", state))
}

fn latency(look: &Look, data: &Overview) -> Markup {
    let words = look.words;
    let mut rows = vec![
        (words.t("overview.acknowledgement").to_owned(), &data.figures.acknowledgement),
        (words.t("overview.end_to_end").to_owned(), &data.figures.end_to_end),
    ];
    rows.extend(data.figures.scans.iter().map(|(scanner, quantiles)| (evidence::visible(scanner), quantiles)));
    rows.retain(|(_, quantiles)| quantiles.count > 0);
    html! {
        section class="card" aria-labelledby="latency" {
            div class="card-head" { h2 id="latency" { (words.t("overview.latency")) } span class="small muted" { "50 · 95 · 99 %" } }
            div class="card-body stack" {
                @if rows.is_empty() { p class="muted" { (words.t("overview.latency_none")) } }
                @for (name, quantiles) in rows { (quantile_row(look, &name, quantiles)) }
            }
        }
    }
}

fn quantile_row(look: &Look, name: &str, quantiles: &Quantiles) -> Markup {
    let words = look.words;
    let said = [quantiles.p50, quantiles.p95, quantiles.p99].map(|seconds| words.span(seconds)).join(" · ");
    html! {
        div {
            p class="row apart" { span { (name) } span class="num small" { "≤\u{a0}" (said) } }
            (chart::quantiles(&format!("{name}: {said}"), 0.0005, 60.0, [quantiles.p50, quantiles.p95, quantiles.p99]))
        }
    }
}

fn count_of(data: &Overview, state: State) -> u64 {
    data.by_state.iter().find(|(of, _)| *of == state).map_or(0, |(_, count)| *count)
}

/// As the word list and `Search` write it.
pub fn state_word(state: State) -> &'static str {
    match state {
        State::Received => "received",
        State::Decided => "decided",
        State::Delivered => "delivered",
        State::Quarantined => "quarantined",
        State::DeadLettered => "dead_lettered",
    }
}
