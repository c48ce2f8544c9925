//! The small pieces that every page is made of: icons, badges, times, tables' parts. Pure: data in, markup out.
//!
//! Whatever comes from a customer passes through maud's escaping or through `evidence`; nothing else here writes markup
//! from strings.

use super::words::Words;
use maud::{Markup, PreEscaped, html};

/// A drawing of ours, 24 units wide, in the colour of its text. Decoration: what it means stands beside it as a word.
pub fn icon(name: &str) -> Markup {
    let path = match name {
        "brand" => r#"<path d="M3 9l9-6 9 6"/><path d="M6 9v12h12V9"/><path d="M6 14h12"/><path d="M12 14v7"/>"#,
        "overview" => r#"<path d="M4 20V11"/><path d="M10 20V4"/><path d="M16 20v-7"/><path d="M21 20H3"/>"#,
        "messages" => r#"<path d="M4 5h16v11H9l-5 4z"/>"#,
        "quarantine" => r#"<rect x="5" y="10" width="14" height="10" rx="1"/><path d="M8 10V7a4 4 0 018 0v3"/>"#,
        "deliveries" => r#"<path d="M4 12h15"/><path d="M13 6l6 6-6 6"/>"#,
        "rules" => {
            r#"<path d="M8 6h12"/><path d="M8 12h12"/><path d="M8 18h12"/><path d="M3.5 6h.01M3.5 12h.01M3.5 18h.01"/>"#
        }
        "lists" => r#"<path d="M5 4h14v16H5z"/><path d="M9 9l2 2 4-4"/><path d="M9 16h6"/>"#,
        "health" => r#"<path d="M3 12h4l3-7 4 14 3-7h4"/>"#,
        "audit" => r#"<circle cx="12" cy="12" r="9"/><path d="M12 7v5l3 2"/>"#,
        "people" => {
            r#"<circle cx="9" cy="8" r="3.5"/><path d="M2.5 20c.7-4 3-6 6.500-6s5.800 2 6.500 6"/><path d="M16 5a3.500 3.500 0 010 6.500M18 14.500c2 .8 3.100 2.700 3.500 5.500"/>"#
        }
        "account" => r#"<circle cx="12" cy="8" r="4"/><path d="M4 21c1-5 4-7 8-7s7 2 8 7"/>"#,
        "search" => r#"<circle cx="11" cy="11" r="7"/><path d="M16 16l5 5"/>"#,
        "menu" => r#"<path d="M4 6h16M4 12h16M4 18h16"/>"#,
        // Shapes of verdicts and states: a ring with a tick, a triangle, a broken ring, an octagon.
        "clean" | "ok" => r#"<circle cx="12" cy="12" r="9"/><path d="M8 12.500l2.700 2.700L16 9.500"/>"#,
        "suspicious" | "warn" => r#"<path d="M12 3.500L22 20.500H2z"/><path d="M12 10v5M12 17.700v.1"/>"#,
        "unscanned" => {
            r#"<circle cx="12" cy="12" r="9" stroke-dasharray="3.500 3"/><path d="M9.500 9.500a2.500 2.500 0 115 0c0 1.700-2.500 2-2.500 3.700M12 16.700v.1"/>"#
        }
        "malicious" | "bad" => {
            r#"<path d="M8 2.500h8l5.500 5.500v8L16 21.500H8L2.500 16V8z"/><path d="M9 9l6 6M15 9l-6 6"/>"#
        }
        "received" => r#"<path d="M12 3v11"/><path d="M7 10l5 5 5-5"/><path d="M4 20h16"/>"#,
        "decided" => {
            r#"<path d="M12 3v4M12 7l-7 3 3 5a3.500 3.500 0 01-6 0l3-5M12 7l7 3-3 5a3.500 3.500 0 006 0l-3-5M12 7v14M8 21h8"/>"#
        }
        "delivered" => r#"<path d="M3 12l18-8-6 17-4-7z"/>"#,
        "quarantined" => r#"<rect x="5" y="10" width="14" height="10" rx="1"/><path d="M8 10V7a4 4 0 018 0v3"/>"#,
        "dead_lettered" => r#"<path d="M4 6h16v12H4z"/><path d="M8.500 9l7 6M15.500 9l-7 6"/>"#,
        "fetched" => r#"<path d="M6 3h8l4 4v14H6z"/><path d="M12 10v7M9 14l3 3 3-3"/>"#,
        "scanned" => r#"<path d="M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4"/><path d="M4 12h16"/>"#,
        "retry" | "replayed" => r#"<path d="M20 12a8 8 0 11-2.500-5.800"/><path d="M20 3v4.500h-4.500"/>"#,
        "released" => r#"<rect x="5" y="10" width="14" height="10" rx="1"/><path d="M8 10V7a4 4 0 017.500-2"/>"#,
        "opened" | "previewed" => {
            r#"<path d="M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12z"/><circle cx="12" cy="12" r="3"/>"#
        }
        "downloaded" => r#"<path d="M12 3v11M7 10l5 5 5-5"/><path d="M4 20h16"/>"#,
        "deleted" => r#"<path d="M4 7h16M9 7V4h6v3M6.500 7l1 13h9l1-13"/>"#,
        "revoked" => r#"<circle cx="12" cy="12" r="9"/><path d="M6 6l12 12"/>"#,
        "file" => r#"<path d="M6 3h8l4 4v14H6z"/><path d="M14 3v4h4"/>"#,
        "waiting" => r#"<path d="M7 3h10M7 21h10M8 3c0 5 8 6 8 9s-8 4-8 9M16 3c0 5-8 6-8 9s8 4 8 9"/>"#,
        _ => r#"<circle cx="12" cy="12" r="4"/>"#,
    };
    html! {
        svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"
            stroke-linejoin="round" aria-hidden="true" focusable="false" { (PreEscaped(path)) }
    }
}

/// The same at the height of a line of text.
pub fn icon_in(name: &str) -> Markup {
    html! { span class="icon-in" { (icon(name)) } }
}

/// A verdict: its shape, its colour, its word.
pub fn verdict(words: &Words, verdict: &str) -> Markup {
    html! { span class={ "badge " (known(verdict, &["clean", "suspicious", "unscanned", "malicious"])) } {
        (icon(verdict)) (words.of("verdict", verdict))
    } }
}

/// A severity: as many bars as it has weight, and its word.
pub fn severity(words: &Words, severity: &str) -> Markup {
    const ALL: [&str; 5] = ["info", "low", "medium", "high", "critical"];
    let weight = ALL.iter().position(|word| *word == severity).map_or(0, |index| index + 1);
    html! { span class={ "severity " (known(severity, &ALL)) } {
        svg viewBox="0 0 18 14" fill="currentColor" aria-hidden="true" focusable="false" {
            @for bar in 0..5usize {
                rect class=[(bar >= weight).then_some("off")] x=(bar * 4) y=(11 - bar * 2) width="3" height=(3 + bar * 2) {}
            }
        }
        (words.of("severity", severity))
    } }
}

/// What an entry is doing: waiting, delivered, kept back, given up.
pub fn state(words: &Words, state: &str) -> Markup {
    let class = match state {
        "dead_lettered" => "bad",
        "quarantined" => "warn",
        // The ordinary end stays quiet, so that what is not ordinary is seen.
        _ => "plain",
    };
    let drawing = match state {
        "received" => "waiting",
        "notice" => "delivered",
        state => state,
    };
    html! { span class={ "badge " (class) } { (icon(drawing)) (words.of("state", state)) } }
}

/// `ok`, `warn` or `bad`, with a word of the caller's.
pub fn mark(kind: &'static str, word: &str) -> Markup {
    html! { span class={ "badge " (kind) } { (icon(kind)) (word) } }
}

/// A class name only if it is one of ours: a class never comes from data.
fn known<'a>(word: &'a str, all: &[&'a str]) -> &'a str {
    if all.contains(&word) { word } else { "" }
}

/// Date and time in UTC; the script turns it into the reader's own, where there is one.
pub fn time(ms: u64) -> Markup {
    let [date, clock] = date_and_clock(ms);
    html! { time class="num nowrap" datetime={ (date) "T" (clock) "Z" } data-local="full" { (date) " " (clock) " UTC" } }
}

/// Time of day if it is less than a day ago, else the date too; for lists.
pub fn time_short(ms: u64, now_ms: u64) -> Markup {
    let [date, clock] = date_and_clock(ms);
    let form = if now_ms.saturating_sub(ms) < 86_400_000 { "clock" } else { "short" };
    html! { time class="num nowrap" datetime={ (date) "T" (clock) "Z" } data-local=(form) {
        @if form == "short" { (&date[5..]) " " (&clock[..5]) } @else { (clock) }
    } }
}

/// `3 min ago`, `in 20 s`.
pub fn ago(words: &Words, ms: u64, now_ms: u64) -> String {
    if ms > now_ms {
        words.fill("time.in", &[("span", &words.span((ms - now_ms) as f64 / 1000.0))])
    } else {
        words.fill("time.ago", &[("span", &words.span((now_ms - ms) as f64 / 1000.0))])
    }
}

/// `["2026-11-22", "10:43:16"]`, UTC.
pub fn date_and_clock(ms: u64) -> [String; 2] {
    let seconds = ms / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil-from-days, for days since 1970 that are never negative here.
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    [format!("{year:04}-{month:02}-{day:02}"), format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)]
}

/// Milliseconds of `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM` (UTC), as date fields send it.
pub fn parse_time(text: &str) -> Option<u64> {
    let (date, clock) = text.trim().split_once(['T', ' ']).unwrap_or((text.trim(), "00:00"));
    let mut fields = date.splitn(3, '-').map(|field| field.parse::<i64>().ok());
    let (year, month, day) = (fields.next()??, fields.next()??, fields.next()??);
    let mut fields = clock.trim_end_matches('Z').splitn(3, ':').map(|field| field.parse::<u64>().ok());
    let (hour, minute) = (fields.next()??, fields.next()??);
    if !(1970..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
    {
        return None;
    }
    // Days from civil, the inverse of the above.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted / 400;
    let yoe = shifted - era * 400;
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    let days = u64::try_from(era * 146_097 + doe - 719_468).ok()?;
    Some((days * 86_400 + hour * 3600 + minute * 60) * 1000)
}

/// Nothing to show: says so, and what to do about it.
pub fn empty(icon_name: &str, title: &str, what_to_do: &str) -> Markup {
    html! { div class="empty" { (icon(icon_name)) strong { (title) } p { (what_to_do) } } }
}

/// A hash or id, cut for the eye, whole in the title.
pub fn short_hash(hash: &str) -> Markup {
    let end = hash.char_indices().nth(12).map_or(hash.len(), |(index, _)| index);
    html! { code title=(hash) { (&hash[..end]) @if end < hash.len() { "…" } } }
}

/// A form's button that opens a box without any script.
pub fn opener(id: &str, class: &str, icon_name: &str, label: &str) -> Markup {
    html! { button type="button" class=(class) popovertarget=(id) { (icon(icon_name)) (label) } }
}

/// The box itself: a title and what stands in it.
pub fn dialog(words: &Words, id: &str, title: &str, body: Markup) -> Markup {
    html! {
        div class="box" id=(id) popover="auto" role="dialog" aria-labelledby={ (id) "-title" } {
            div class="row apart" {
                h2 id={ (id) "-title" } { (title) }
                button type="button" class="link" popovertarget=(id) popovertargetaction="hide" { (words.t("do.close")) }
            }
            (body)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_both_ways() {
        for (ms, date, clock) in [
            (0, "1970-01-01", "00:00:00"),
            (951_782_400_000, "2000-02-29", "00:00:00"),
            (1_795_344_196_789, "2026-11-22", "10:43:16"),
            (4_102_444_799_000, "2099-12-31", "23:59:59"),
        ] {
            assert_eq!(date_and_clock(ms), [date, clock]);
            assert_eq!(parse_time(&format!("{date}T{}", &clock[..5])), Some(ms / 60_000 * 60_000), "{date}");
        }
        assert_eq!(parse_time("2026-11-22"), Some(1_795_305_600_000));
        for wrong in
            ["", "x", "2026", "2026-13-01", "2026-01-01T25:00", "1969-12-31", "99999999999999999999-1-1", "2026-01-01T"]
        {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_class_never_comes_from_data() {
        let words = crate::pages::words::Spoken::words(guarita_message::Language::English);
        let shown = verdict(words, "x\" onload=\"y<script>").into_string() + &severity(words, "<b>").into_string();
        assert!(!shown.contains("<script") && !shown.contains("<b>") && !shown.contains("onload=\"y"), "{shown}");
    }

    #[test]
    fn a_long_hash_is_cut_at_a_character() {
        assert!(short_hash("ééééééééééééééé").into_string().contains("éééééééééééé…"));
        assert!(!short_hash("abc").into_string().contains('…'));
    }
}
