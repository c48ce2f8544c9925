//! Finding a message: the form, the rows, and the link to older ones that the script follows by itself.

use super::{
    evidence,
    overview::{gist, state_word},
    shell::Look,
    show,
};
use crate::{
    actor::Scope,
    desk::{Listed, Page, Search, Seen},
};
use guarita_message::{Channel, Verdict};
use guarita_spool::State;
use maud::{Markup, html};

/// What was typed into the form, as it came; shown again in it.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub words: String,
    pub sender: String,
    pub verdicts: Vec<Verdict>,
    pub states: Vec<State>,
    pub channel: Option<Channel>,
    pub route: String,
    pub from: String,
    pub until: String,
    pub held: bool,
}

/// Fields of a form that are taken; more are left.
const FIELDS_MAX: usize = 40;
const FIELD_CHARS_MAX: usize = 300;

impl Asked {
    /// From the address' fields; what makes no sense is left out, as a person would expect of a search.
    pub fn read(fields: &[(String, String)]) -> Asked {
        let mut asked = Asked::default();
        for (name, value) in fields.iter().take(FIELDS_MAX) {
            let value: String = value.trim().chars().filter(|c| !c.is_control()).take(FIELD_CHARS_MAX).collect();
            match name.as_str() {
                "q" => asked.words = value,
                "sender" => asked.sender = value,
                "verdict" => asked.verdicts.extend(value.parse::<Verdict>().ok()),
                "state" => asked.states.extend(STATES.into_iter().find(|state| state_word(*state) == value)),
                "channel" => asked.channel = value.parse().ok(),
                "route" => asked.route = value,
                "from" => asked.from = value,
                "until" => asked.until = value,
                "held" => asked.held = value == "1",
                _ => {}
            }
        }
        asked
    }

    pub fn search(&self) -> Search {
        let time = |text: &str| text.parse().ok().or_else(|| show::parse_time(text));
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        // Whole days: until the 5th means until the end of the 5th.
        let until = time(&self.until).map(|ms| if self.until.len() == 10 { ms + 86_400_000 } else { ms });
        Search {
            states: self.states.clone(),
            verdicts: self.verdicts.clone(),
            quarantine: self.held.then_some(true),
            channel: self.channel,
            route: some(&self.route),
            sender: some(&self.sender),
            terms: self.words.split_whitespace().map(str::to_owned).collect(),
            received_from: time(&self.from),
            received_until: until,
            ..Search::default()
        }
    }

    /// As an address' query, for the link to older ones.
    pub fn query(&self) -> String {
        let mut out = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("q", &self.words),
            ("sender", &self.sender),
            ("route", &self.route),
            ("from", &self.from),
            ("until", &self.until),
        ] {
            if !value.is_empty() {
                out.append_pair(name, value);
            }
        }
        for verdict in &self.verdicts {
            out.append_pair("verdict", verdict.as_str());
        }
        for state in &self.states {
            out.append_pair("state", state_word(*state));
        }
        if let Some(channel) = self.channel {
            out.append_pair("channel", channel.as_str());
        }
        if self.held {
            out.append_pair("held", "1");
        }
        out.finish()
    }

    fn is_empty(&self) -> bool {
        self.query().is_empty()
    }
}

const STATES: [State; 5] = [State::Received, State::Decided, State::Delivered, State::Quarantined, State::DeadLettered];

pub fn messages(look: &Look, asked: &Asked, found: &Page<Listed>) -> Markup {
    let words = look.words;
    html! {
        div class="head" { div { h1 { (words.t("messages.title")) } } }
        (form(look, asked))
        section class="card" aria-label=(words.t("messages.found")) {
            @if found.items.is_empty() {
                @if asked.is_empty() {
                    (show::empty("messages", words.t("messages.none_yet"), words.t("messages.none_yet_do")))
                } @else {
                    (show::empty("search", words.t("messages.none"), words.t("messages.none_do")))
                }
            } @else {
                (table(look, &found.items, "/messages"))
                @if let Some(next) = &found.next { (older(look, "/messages", &asked.query(), next)) }
            }
        }
    }
}

fn form(look: &Look, asked: &Asked) -> Markup {
    let words = look.words;
    let state = asked.states.first().filter(|_| asked.states.len() == 1).map(|state| state_word(*state));
    let narrowed = !asked.states.is_empty()
        || asked.channel.is_some()
        || asked.held
        || [&asked.sender, &asked.from, &asked.until, &asked.route].iter().any(|field| !field.is_empty());
    html! {
        form class="card" method="get" action="/messages" role="search" {
            div class="filters" {
                div class="field wide" {
                    label for="q" { (words.t("messages.words")) }
                    input id="q" name="q" type="search" value=(asked.words) placeholder=(words.t("messages.words_hint")) maxlength="300" autocomplete="off" data-search;
                }
                fieldset class="wider" {
                    legend { (words.t("messages.verdict")) }
                    div class="chips" {
                        @for verdict in Verdict::ALL {
                            label class="check" {
                                input type="checkbox" name="verdict" value=(verdict.as_str()) checked[asked.verdicts.contains(verdict)];
                                (show::verdict(words, verdict.as_str()))
                            }
                        }
                    }
                }
                div class="row" {
                    button class="main" { (show::icon("search")) (words.t("messages.search")) }
                    @if !asked.is_empty() { a href="/messages" { (words.t("messages.clear")) } }
                }
            }
            details class="more" open[narrowed] {
                summary { (words.t("messages.more")) }
                div class="filters" {
                    @if look.may(Scope::Content) {
                        div class="field" {
                            label for="sender" { (words.t("messages.sender")) }
                            input id="sender" name="sender" value=(asked.sender) placeholder="5511987654321" maxlength="100" autocomplete="off" inputmode="tel";
                        }
                    }
                    (choice(look, "state", words.t("messages.state"), STATES.into_iter().map(state_word), state))
                    (choice(look, "channel", words.t("messages.channel"), Channel::ALL.iter().map(|channel| channel.as_str()), asked.channel.map(Channel::as_str)))
                    div class="field" { label for="route" { (words.t("message.route")) } input id="route" name="route" value=(asked.route) maxlength="100" autocomplete="off"; }
                    div class="field" { label for="from" { (words.t("messages.from")) } input id="from" name="from" type="date" value=(date_of(&asked.from)); }
                    div class="field" { label for="until" { (words.t("messages.until")) } input id="until" name="until" type="date" value=(date_of(&asked.until)); }
                    div class="row" { label class="check" { input type="checkbox" name="held" value="1" checked[asked.held]; (words.t("messages.held_only")) } }
                }
            }
        }
    }
}

/// Milliseconds from a chart's link, or the date field's own form: as a date.
fn date_of(text: &str) -> String {
    match text.parse::<u64>().ok().or_else(|| show::parse_time(text)) {
        Some(ms) if ms < 253_402_300_800_000 => show::date_and_clock(ms)[0].clone(),
        _ => String::new(),
    }
}

fn choice<'a>(
    look: &Look,
    name: &str,
    label: &str,
    all: impl Iterator<Item = &'a str>,
    chosen: Option<&str>,
) -> Markup {
    let words = look.words;
    html! {
        div class="field" {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { (words.t("messages.any")) }
                @for word in all { option value=(word) selected[chosen == Some(word)] { (words.of(name, word)) } }
            }
        }
    }
}

/// Rows of messages; the same everywhere.
pub fn table(look: &Look, rows: &[Listed], from: &str) -> Markup {
    let words = look.words;
    html! {
        div class="scroll" {
            table class="cards messages" {
                thead { tr {
                    th scope="col" { (words.t("messages.at")) }
                    th scope="col" { (words.t("messages.verdict")) }
                    th scope="col" { (words.t("messages.what")) }
                    th scope="col" { (words.t("messages.sender")) }
                    th scope="col" { (words.t("messages.state")) }
                } }
                tbody data-rows=(from) { @for row in rows { (line(look, row)) } }
            }
        }
    }
}

fn line(look: &Look, row: &Listed) -> Markup {
    let words = look.words;
    let record = &row.record;
    let seen = row.summary.clone().unwrap_or_default();
    html! {
        tr {
            td class="nowrap" { (show::time_short(record.received_ms, look.now_ms)) }
            td { @match record.verdict { Some(verdict) => (show::verdict(words, verdict.as_str())), None => span class="muted small" { (words.t("messages.not_judged")) } } }
            td class="gist" {
                a class="row-link" data-open href={ "/messages/" (record.id) } { (gist(look, row)) }
                div class="small muted" {
                    @if !seen.titles.is_empty() { (words.of("kind", &seen.kind)) " · " }
                    (words.of("channel", record.channel.as_str()))
                    @if seen.messages > 1 { " · " (words.count("messages.several_in", seen.messages)) }
                    @if seen.findings > 1 { " · " (words.count("message.found", seen.findings)) }
                    @if !seen.file.is_empty() { " · " bdi { (evidence::visible(&seen.file)) } }
                }
            }
            td class="from" { (sender(&seen)) }
            td class="state" { (state(look, row)) }
        }
    }
}

/// Where it is, in one badge: what is ordinary stays quiet, what was kept from the backend is said.
pub fn state(look: &Look, row: &Listed) -> Markup {
    let words = look.words;
    let action = row.summary.as_ref().map(|seen| seen.action.as_str()).unwrap_or_default();
    html! {
        @match (&row.record.released_by, row.record.state, action) {
            (Some(_), State::Received | State::Decided, _) => { (show::state(words, state_word(row.record.state))) " " (show::mark("warn", words.t("messages.released"))) },
            (Some(_), _, _) => (show::mark("warn", words.t("messages.released"))),
            (None, State::Delivered, "withhold") => span class="badge warn" { (show::icon("quarantined")) (words.of("action", action)) },
            (None, State::Delivered, "redact" | "defang") => { (show::state(words, "delivered")) " " span class="small muted" { (words.of("action", action)) } },
            _ => (show::state(words, state_word(row.record.state))),
        }
    }
}

/// The name a person goes by, else a number or id.
pub fn sender(seen: &Seen) -> Markup {
    html! { @if let Some(name) = seen.from.first() { bdi { (evidence::visible(name)) } } }
}

/// A few messages in a narrow place.
pub fn short_list(look: &Look, rows: &[Listed]) -> Markup {
    html! {
        div class="card-body" { ul class="list" { @for row in rows { li {
            span class="small muted" { (show::time_short(row.record.received_ms, look.now_ms)) }
            a class="main grow" href={ "/messages/" (row.record.id) } { (gist(look, row)) }
            @if let Some(verdict) = row.record.verdict { (show::verdict(look.words, verdict.as_str())) }
        } } } }
    }
}

/// The link to the next page; the script follows it when it comes into view.
pub fn older(look: &Look, address: &str, query: &str, cursor: &str) -> Markup {
    let cursor: String = form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
    let joined = if query.is_empty() {
        format!("{address}?before={cursor}")
    } else {
        format!("{address}?{query}&before={cursor}")
    };
    html! { p class="older" { a class="button" data-older href=(joined) { (look.words.t("messages.older")) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(query: &str) -> Vec<(String, String)> {
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    #[test]
    fn what_was_asked_comes_back_in_the_link() {
        let query = "q=links%2Fx+pix&sender=5511&from=2026-11-01&until=2026-11-05&verdict=malicious&verdict=suspicious&state=delivered&channel=whatsapp&held=1";
        let asked = Asked::read(&fields(query));
        let again = Asked::read(&fields(&asked.query()));
        assert_eq!(format!("{asked:?}"), format!("{again:?}"));
        let search = asked.search();
        assert_eq!(search.terms, ["links/x", "pix"]);
        assert_eq!(search.received_until.unwrap() - search.received_from.unwrap(), 5 * 86_400_000);
        assert_eq!(search.quarantine, Some(true));
    }

    #[test]
    fn nonsense_is_left_out() {
        let asked = Asked::read(&fields(
            "verdict=evil&state=x&channel=&from=soon&until=99999999999999999999&held=yes&q=%00%1b[31m",
        ));
        let search = asked.search();
        assert!(search.verdicts.is_empty() && search.states.is_empty() && search.channel.is_none());
        assert_eq!((search.received_from, search.received_until, search.quarantine), (None, None, None));
        assert_eq!(asked.words, "[31m");
        assert_eq!(date_of("18446744073709551615"), "");
    }
}
