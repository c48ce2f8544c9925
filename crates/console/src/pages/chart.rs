//! Figures drawn: numbers in, inline SVG out, with a description for those who do not see it and a table of the same
//! numbers under it. Pure; no script, no style attribute (the content security policy forbids both).
//!
//! Plots stretch to their place (`preserveAspectRatio="none"`), so their letters stand outside, as HTML: they stay
//! readable on a phone.

use super::{show, words::Words};
use maud::{Markup, html};

/// Height of a plot in its own units; the width is one unit a bar.
const HEIGHT: f64 = 40.0;

/// One row of [`lanes`]: a series with a scale of its own, so that a few bad messages are seen beside many good ones.
pub struct Lane {
    /// Shape and word, as everywhere else.
    pub label: Markup,
    /// The word alone, for the description and the table.
    pub name: String,
    /// One of the `c-…` classes.
    pub class: &'static str,
    pub values: Vec<u64>,
    /// Where a click on it leads.
    pub href: String,
}

/// Small bars over time, a row a series, one time axis for all.
pub fn lanes(words: &Words, title: &str, from_ms: &[u64], lanes: &[Lane]) -> Markup {
    let names: Vec<&str> = lanes.iter().map(|lane| lane.name.as_str()).collect();
    html! {
        div class="lanes" {
            @for lane in lanes {
                @let total = lane.values.iter().copied().fold(0, u64::saturating_add);
                a class="lane" href=(lane.href) {
                    span class="lane-label" { (lane.label) }
                    (bars(&lane_description(words, title, lane, total), lane.class, &lane.values))
                    span class="lane-total num" { (words.number(total)) }
                }
            }
            div class="lane axis" { span {} (time_axis(from_ms)) span {} }
        }
        (table(words, title, from_ms, &names, &lanes.iter().map(|lane| lane.values.as_slice()).collect::<Vec<_>>()))
    }
}

fn lane_description(words: &Words, title: &str, lane: &Lane, total: u64) -> String {
    let most = lane.values.iter().copied().max().unwrap_or(0);
    words.fill(
        "chart.lane",
        &[("title", &title), ("name", &lane.name), ("total", &words.number(total)), ("most", &words.number(most))],
    )
}

fn bars(description: &str, class: &str, values: &[u64]) -> Markup {
    let most = values.iter().copied().max().unwrap_or(0).max(1) as f64;
    html! {
        svg class="plot" viewBox={ "0 0 " (values.len().max(1) * 4) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(description) {
            line class="base" x1="0" x2=(values.len().max(1) * 4) y1=(HEIGHT) y2=(HEIGHT) {}
            @for (index, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
                // Something is never drawn as nothing.
                @let height = (*value as f64 / most * (HEIGHT - 2.0)).max(2.0);
                rect class=(class) x=(index * 4) y=(round(HEIGHT - height)) width="3" height=(round(height)) {}
            }
        }
    }
}

/// A line of points without axes, for a tile. Decoration: the number stands beside it.
pub fn spark(values: &[u64]) -> Markup {
    let most = values.iter().copied().max().unwrap_or(0).max(1) as f64;
    let last = values.len().saturating_sub(1).max(1) as f64;
    let points: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let y = HEIGHT - 2.0 - *value as f64 / most * (HEIGHT - 4.0);
            format!("{},{}", round(index as f64 / last * 100.0), round(y))
        })
        .collect();
    html! {
        svg class="spark" viewBox={ "0 0 100 " (HEIGHT) } preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            @if values.len() > 1 {
                path class="area" d={ "M0," (HEIGHT) " L" (points.join(" L")) " L100," (HEIGHT) " Z" } {}
                polyline class="line" vector-effect="non-scaling-stroke" points=(points.join(" ")) {}
            }
        }
    }
}

/// One share of a whole, for a row of [`ranking`] or a table's cell.
pub struct Ranked {
    pub label: Markup,
    pub value: u64,
    /// What stands at the right; the value itself if empty.
    pub shown: String,
    pub class: &'static str,
}

/// Bars from the left, the longest is the most.
pub fn ranking(words: &Words, rows: &[Ranked]) -> Markup {
    let most = rows.iter().map(|row| row.value).max().unwrap_or(0).max(1) as f64;
    html! {
        ul class="bars" {
            @for row in rows {
                li {
                    span class="name" { (row.label) }
                    span class="num" { @if row.shown.is_empty() { (words.number(row.value)) } @else { (row.shown) } }
                    svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                        rect class=(row.class) x="0" y="0" height="4" width=(round(row.value as f64 / most * 100.0)) {}
                    }
                }
            }
        }
    }
}

/// Quantiles on one logarithmic scale, so that a millisecond and ten seconds both show.
pub fn quantiles(description: &str, least: f64, most: f64, points: [f64; 3]) -> Markup {
    let (low, high) = (least.max(1e-6).ln(), most.max(least * 10.0).ln());
    let x = |value: f64| ((value.clamp(least.max(1e-6), most).ln() - low) / (high - low) * 100.0).clamp(0.0, 100.0);
    let [p50, p95, p99] = points.map(x);
    html! {
        svg class="gauge" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label=(description) {
            rect class="track" x="0" y="2" width="100" height="2" {}
            rect class="c-plain" x="0" y="2" width=(round(p50)) height="2" {}
            rect class="c-failing" x=(round(p95.min(99.4))) y="0.5" width="0.6" height="5" {}
            rect class="c-malicious" x=(round(p99.min(99.4))) y="0" width="0.6" height="6" {}
        }
    }
}

/// How far along a bounded scale something is: signature age against the day it counts as old.
pub fn gauge(description: &str, value: f64, warn_at: f64, most: f64) -> Markup {
    let most = most.max(f64::MIN_POSITIVE);
    let share = (value / most).clamp(0.0, 1.0) * 100.0;
    let class = if value >= warn_at { "c-suspicious" } else { "c-plain" };
    html! {
        svg class="gauge" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label=(description) {
            rect class="track" x="0" y="1" width="100" height="4" {}
            rect class=(class) x="0" y="1" width=(round(share.max(0.8))) height="4" {}
            rect class="c-failing" x=(round((warn_at / most * 100.0).clamp(0.0, 99.4))) y="0" width="0.6" height="6" {}
        }
    }
}

/// First, middle and last time under a plot; the script turns them into the reader's own.
fn time_axis(from_ms: &[u64]) -> Markup {
    let picked = match from_ms {
        [] => Vec::new(),
        [only] => vec![*only],
        all => vec![all[0], all[all.len() / 2], all[all.len() - 1]],
    };
    let day = from_ms.first().zip(from_ms.last()).is_some_and(|(first, last)| last - first.min(last) > 2 * 86_400_000);
    html! {
        span class="times" {
            @for ms in picked {
                @let [date, clock] = show::date_and_clock(ms);
                time datetime={ (date) "T" (clock) "Z" } data-local=(if day { "short" } else { "minute" }) {
                    @if day { (&date[5..]) " " } (&clock[..5])
                }
            }
        }
    }
}

/// The same numbers as a table, folded away.
fn table(words: &Words, title: &str, from_ms: &[u64], names: &[&str], columns: &[&[u64]]) -> Markup {
    html! {
        details class="chart-table" {
            summary { (words.t("chart.as_table")) }
            div class="scroll" tabindex="0" role="region" aria-label={ (title) ": " (words.t("chart.as_table")) } {
                table {
                    caption class="hidden-visually" { (title) }
                    thead { tr { th scope="col" { (words.t("chart.from")) } @for name in names { th scope="col" class="num" { (name) } } } }
                    tbody {
                        @for (row, ms) in from_ms.iter().enumerate().filter(|(row, _)| columns.iter().any(|c| c.get(*row).copied().unwrap_or(0) > 0)) {
                            tr {
                                th scope="row" { (show::time(*ms)) }
                                @for column in columns { td class="num" { (words.number(column.get(row).copied().unwrap_or(0))) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Two decimals: enough for a screen, short in the page.
fn round(x: f64) -> f64 {
    if x.is_finite() { (x * 100.0).round() / 100.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::words::Spoken;
    use guarita_message::Language;

    fn lane(values: Vec<u64>) -> Lane {
        Lane { label: html! { "<b>" }, name: "<b>".into(), class: "c-malicious", values, href: "/x".into() }
    }

    #[test]
    fn one_among_a_million_is_seen() {
        let words = Language::English.words();
        let drawn = lanes(words, "Traffic", &[0, 60_000], &[lane(vec![1_000_000, 1])]).into_string();
        assert_eq!(drawn.matches("<rect").count(), 2);
        assert!(drawn.contains("height=\"2\""), "{drawn}");
        assert!(drawn.contains("1,000,001"));
        assert!(!drawn.contains("<b>"), "names are escaped");
        assert!(!drawn.contains("style="), "the policy forbids style attributes");
    }

    #[test]
    fn nothing_and_nonsense_are_drawn_too() {
        let words = Language::English.words();
        for values in [vec![], vec![0], vec![u64::MAX, 0, 3]] {
            let drawn = spark(&values).into_string() + &bars("d", "c-plain", &values).into_string();
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
        for value in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
            let drawn = gauge("d", value, 1.0, 2.0).into_string()
                + &quantiles("d", 0.001, 60.0, [value; 3]).into_string()
                + &gauge("d", 1.0, value, 0.0).into_string();
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
        assert!(ranking(words, &[]).into_string().contains("bars"));
    }
}
