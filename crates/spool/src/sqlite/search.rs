//! Finding entries for the console: one page with bounded work, however many there are and whatever is asked.
//!
//! Of the things asked for that have an index (terms, names, rare states and verdicts, the quarantine, releases), the one that
//! fewest entries bear leads; what it leads to is checked against the rest, up to [`LED_TO_MAX`] entries a page. Where nothing
//! leads, entries are walked, up to [`LOOKED_AT_MAX`]. Whichever it is, it ends after [`PAGE_TIME`] with a cursor from which
//! the next page goes on: how long a page takes depends neither on the disk nor on what is asked.

use super::{
    index::short,
    live::Shared,
    minutes,
    read::{Deferred, told},
    rows::{DEAD_LETTERED, DELIVERED, QUARANTINED, RECORD, UNFINISHED, int, record, uint},
};
use crate::{
    FILTER_TERMS_MAX, Filter, Page, Record, State,
    place::{Place, Seq},
    seal::{Kind, Name},
};
use guarita_message::{DeliveryId, Verdict};
use rusqlite::{Connection, OptionalExtension, Result, ToSql};
use std::time::{Duration, Instant};

/// Entries that one page looks at, one after the other; bounds its time to some ten milliseconds.
const LOOKED_AT_MAX: usize = 10_000;
/// Entries that one page is led to: each lies on a page of its own, and costs ten times as much.
const LED_TO_MAX: usize = 1_200;
/// Time for finding one page; then it ends where it is.
const PAGE_TIME: Duration = Duration::from_millis(40);
/// Entries that a page is led to, or looks at, whatever the clock says: each page gets on.
const LED_TO_MIN: usize = 100;
const LOOKED_AT_MIN: usize = 1_000;
/// The most one page holds.
const PAGE_MAX: usize = 1000;
/// How far the leads are counted to find the one that fewest entries bear.
const PROBED: usize = 400;
/// Blocks of the terms, or runs of the lookup, that one page looks into.
const BLOCKS_MAX: usize = 2000;
/// Entries of one block of the terms: small enough that the rows of one time stay in the cache while they are written.
const BLOCK: Seq = 1 << 15;

pub(super) fn block_of(seq: Seq) -> i64 {
    int(seq / BLOCK)
}

/// A filter with its names hashed.
pub(super) struct Search {
    filter: Filter,
    sender: Option<Name>,
    conversation: Option<Name>,
    terms: Vec<i64>,
    /// Entries that may bear sender and conversation and whose names are in no run yet.
    unwritten: Vec<(i64, Seq)>,
    deferred: Deferred,
    /// Its numbers, as SQL reads them.
    deferred_list: String,
}

impl Search {
    pub fn new(filter: Filter, shared: &Shared) -> Search {
        let sealer = &shared.sealer;
        let sender = filter.sender.as_ref().map(|name| sealer.name(Kind::Sender, name));
        let conversation = filter.conversation.as_ref().map(|key| sealer.name(Kind::Conversation, &key.0));
        let terms = filter.terms.iter().take(FILTER_TERMS_MAX).map(|term| short(&sealer.name(Kind::Term, term)));
        let terms = terms.collect();
        let wanted: Vec<i64> = [&sender, &conversation].into_iter().flatten().map(|name| short(name)).collect();
        let deferred: Deferred = shared.live().queue.all_deferred().into_iter().collect();
        let deferred_list = format!("[{}]", deferred.keys().map(Seq::to_string).collect::<Vec<_>>().join(","));
        // Before the database is looked at: what is written meanwhile is in both, and never in neither.
        let unwritten = match &wanted[..] {
            [] => Vec::new(),
            wanted => shared.unwritten().iter().filter(|(hash, _)| wanted.contains(hash)).copied().collect(),
        };
        Search { filter, sender, conversation, terms, unwritten, deferred, deferred_list }
    }
}

/// Where entries are taken from, in order of receipt.
#[derive(Clone, Copy)]
enum Lead {
    Term(i64),
    Named(Name),
    State(State),
    Verdict(Verdict),
    Quarantined,
    Released,
}

/// Numbers between which is looked, both included, and in which direction.
#[derive(Clone, Copy)]
struct Window {
    from: Seq,
    to: Seq,
    oldest_first: bool,
}

impl Window {
    fn order(&self) -> &'static str {
        if self.oldest_first { "ASC" } else { "DESC" }
    }

    /// Does `a` come after `b`?
    fn later(&self, a: Seq, b: Seq) -> bool {
        if self.oldest_first { a > b } else { a < b }
    }
}

/// Numbers in the order of the window. `whole`: there are no more.
struct Led {
    seqs: Vec<Seq>,
    whole: bool,
}

pub(super) fn page(conn: &Connection, search: &Search, most: usize) -> Result<Page> {
    page_within(conn, search, most, PAGE_TIME)
}

fn page_within(conn: &Connection, search: &Search, most: usize, time: Duration) -> Result<Page> {
    let most = most.min(PAGE_MAX);
    let ends = Instant::now() + time;
    // One snapshot for all that is asked.
    let _snapshot = conn.unchecked_transaction()?;
    if search.filter.terms.len() > FILTER_TERMS_MAX || most == 0 {
        return Ok(Page::default());
    }
    let Some(window) = window(conn, &search.filter)? else { return Ok(Page::default()) };
    let conditions = Conditions::of(search);
    let mut found = Found { conn, search, conditions: &conditions, most, page: Page::default() };
    match choose(conn, search, window)? {
        Some(leads) => {
            let led = lead_all(conn, search, &leads, window, LED_TO_MAX)?;
            for (at, seq) in led.seqs.iter().enumerate() {
                if found.full(*seq)? {
                    return Ok(found.page);
                }
                if at + 1 >= LED_TO_MIN && at + 1 < led.seqs.len() && Instant::now() >= ends {
                    found.page.next = Some(cursor(*seq));
                    return Ok(found.page);
                }
            }
            let reached = led.seqs.last().copied().filter(|_| !led.whole);
            found.page.next = reached.map(cursor);
        }
        None => {
            let mut last = None;
            let whole = found.walk(window, ends, &mut last)?;
            if found.page.next.is_none() && !whole {
                found.page.next = last.map(cursor);
            }
        }
    }
    Ok(found.page)
}

/// A place in line, for paging; it need not be an entry's.
fn cursor(seq: Seq) -> DeliveryId {
    Place::new(0, seq, 0).id()
}

struct Found<'a> {
    conn: &'a Connection,
    search: &'a Search,
    conditions: &'a Conditions,
    most: usize,
    page: Page,
}

impl Found<'_> {
    /// Takes the entry if it fits. `true`: the page is full, and there is at least one more.
    fn full(&mut self, seq: Seq) -> Result<bool> {
        let sql = format!("SELECT {RECORD} FROM entries WHERE seq = ?1 AND {}", self.conditions.text);
        let mut statement = self.conn.prepare_cached(&sql)?;
        let seq = int(seq);
        let mut values: Vec<&dyn ToSql> = vec![&seq];
        values.extend(self.conditions.values.iter().map(|value| &**value));
        match statement.query_row(&values[..], record).optional()? {
            Some((place, record)) => Ok(self.take(told(place, record, &self.search.deferred))),
            None => Ok(false),
        }
    }

    fn take(&mut self, record: Record) -> bool {
        if self.page.records.len() < self.most {
            self.page.records.push(record);
            return false;
        }
        self.page.next = self.page.records.last().map(|record| record.id.clone());
        true
    }

    /// Looks at one entry after the other; `false`: it ended before there were no more.
    fn walk(&mut self, window: Window, ends: Instant, last: &mut Option<Seq>) -> Result<bool> {
        let sql = format!(
            "SELECT seq, ({}) FROM entries NOT INDEXED WHERE seq BETWEEN ?1 AND ?{} ORDER BY seq {} LIMIT {LOOKED_AT_MAX}",
            self.conditions.text,
            self.conditions.values.len() + 2,
            window.order(),
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let (from, to) = (int(window.from), int(window.to));
        let mut values: Vec<&dyn ToSql> = vec![&from];
        values.extend(self.conditions.values.iter().map(|value| &**value));
        values.push(&to);
        let mut rows = statement.query(&values[..])?;
        let mut looked = 0;
        while let Some(row) = rows.next()? {
            let seq = uint(row.get(0)?);
            looked += 1;
            *last = Some(seq);
            if row.get::<_, Option<bool>>(1)?.unwrap_or(false) && self.full(seq)? {
                return Ok(true);
            }
            if looked >= LOOKED_AT_MIN && Instant::now() >= ends {
                return Ok(false);
            }
        }
        Ok(looked < LOOKED_AT_MAX)
    }
}

/// `None`: nothing can be found.
fn window(conn: &Connection, filter: &Filter) -> Result<Option<Window>> {
    let seq = |id: &DeliveryId| Place::of(id).map_or(0, |place| place.seq);
    let mut from = filter.after.as_ref().map_or(0, |id| seq(id).saturating_add(1));
    let mut to = match &filter.before {
        Some(id) if seq(id) == 0 => return Ok(None),
        Some(id) => seq(id) - 1,
        None => Seq::MAX,
    };
    if filter.received_from.is_some() || filter.received_until.is_some() {
        match minutes::numbers(conn, filter.received_from, filter.received_until)? {
            Some((first, last)) => (from, to) = (from.max(first), to.min(last)),
            None => return Ok(None),
        }
    }
    Ok((from <= to).then_some(Window { from, to, oldest_first: filter.oldest_first }))
}

/// The leads (any of which an entry may come from) that fewest entries bear; `None`: there is nothing but to walk.
fn choose(conn: &Connection, search: &Search, window: Window) -> Result<Option<Vec<Lead>>> {
    let filter = &search.filter;
    let mut choices: Vec<Vec<Lead>> = search.terms.iter().map(|term| vec![Lead::Term(*term)]).collect();
    choices.extend([search.conversation, search.sender].into_iter().flatten().map(|name| vec![Lead::Named(name)]));
    if !filter.states.is_empty() && !filter.states.contains(&State::Delivered) {
        choices.push(filter.states.iter().map(|state| Lead::State(*state)).collect());
    }
    if filter.unfinished == Some(true) {
        choices.push(vec![Lead::State(State::Received)]);
    }
    if filter.quarantine == Some(true) {
        choices.push(vec![Lead::Quarantined]);
    }
    if filter.released == Some(true) {
        choices.push(vec![Lead::Released]);
    }
    if !filter.verdicts.is_empty() && !filter.verdicts.contains(&Verdict::Clean) {
        choices.push(filter.verdicts.iter().map(|verdict| Lead::Verdict(*verdict)).collect());
    }
    if choices.len() < 2 {
        return Ok(choices.pop());
    }
    let mut best: Option<(usize, Vec<Lead>)> = None;
    for leads in choices {
        let count = lead_all(conn, search, &leads, window, PROBED)?.seqs.len();
        if best.as_ref().is_none_or(|(fewest, _)| count < *fewest) {
            best = Some((count, leads));
        }
    }
    Ok(best.map(|(_, leads)| leads))
}

/// The first `most` numbers that any of `leads` has.
fn lead_all(conn: &Connection, search: &Search, leads: &[Lead], window: Window, most: usize) -> Result<Led> {
    let mut all = Led { seqs: Vec::new(), whole: true };
    // Beyond this, one of the leads was not looked at.
    let mut bound: Option<Seq> = None;
    for lead in leads {
        let led = match *lead {
            Lead::Term(hash) => by_term(conn, hash, window, most)?,
            Lead::Named(name) => by_name(conn, search, &name, window, most)?,
            Lead::State(state) => {
                from_index(conn, "by_state", &format!("state = {} AND state <> 1", number_of(state)), window, most)?
            }
            Lead::Quarantined => from_index(conn, "by_quarantine", "quarantine = 1", window, most)?,
            Lead::Released => from_index(conn, "by_release", "released_by IS NOT NULL", window, most)?,
            Lead::Verdict(verdict) => {
                let clause = format!("{} AND verdict IS NOT NULL AND verdict <> 'clean'", of_verdict(verdict));
                from_index(conn, "by_verdict", &clause, window, most)?
            }
        };
        if !led.whole {
            all.whole = false;
            let last = led.seqs.last().copied().unwrap_or(if window.oldest_first { window.from } else { window.to });
            bound = Some(bound.map_or(last, |bound| if window.later(bound, last) { last } else { bound }));
        }
        all.seqs.extend(led.seqs);
    }
    all.seqs.sort_unstable();
    if !window.oldest_first {
        all.seqs.reverse();
    }
    all.seqs.dedup();
    if let Some(bound) = bound {
        all.seqs.retain(|seq| !window.later(*seq, bound));
    }
    if all.seqs.len() > most {
        all.seqs.truncate(most);
        all.whole = false;
    }
    Ok(all)
}

fn from_index(conn: &Connection, index: &str, clause: &str, window: Window, most: usize) -> Result<Led> {
    let sql = format!(
        "SELECT seq FROM entries INDEXED BY {index} WHERE {clause} AND seq BETWEEN ?1 AND ?2 ORDER BY seq {} LIMIT {most}",
        window.order()
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map((int(window.from), int(window.to)), |row| row.get(0).map(uint))?;
    let seqs: Vec<Seq> = rows.collect::<Result<_>>()?;
    Ok(Led { whole: seqs.len() < most, seqs })
}

/// Block by block, so that the numbers come in order.
fn by_term(conn: &Connection, hash: i64, window: Window, most: usize) -> Result<Led> {
    let bounds = conn
        .prepare_cached("SELECT (SELECT min(block) FROM terms), (SELECT max(block) FROM terms)")?
        .query_row([], |row| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get::<_, Option<i64>>(1)?)))?;
    let mut led = Led { seqs: Vec::new(), whole: true };
    let Some((first, last)) = bounds else { return Ok(led) };
    let (first, last) = (first.max(block_of(window.from)), last.min(block_of(window.to)));
    let sql = format!(
        "SELECT seq FROM terms WHERE block = ?1 AND hash = ?2 AND seq BETWEEN ?3 AND ?4 ORDER BY seq {} LIMIT ?5",
        window.order()
    );
    let mut statement = conn.prepare_cached(&sql)?;
    for step in 0..=(last - first).max(-1) {
        let block = if window.oldest_first { first + step } else { last - step };
        let left = most - led.seqs.len();
        if left == 0 || step as usize >= BLOCKS_MAX {
            led.whole = false;
            if led.seqs.is_empty() {
                // Nothing in all these blocks: go on behind them the next time.
                let edge = if window.oldest_first { uint(block) * BLOCK } else { (uint(block) + 1) * BLOCK };
                led.seqs.push(edge.clamp(window.from, window.to));
            }
            break;
        }
        let values = (block, hash, int(window.from), int(window.to), int(left as u64));
        for seq in statement.query_map(values, |row| row.get(0))? {
            led.seqs.push(uint(seq?));
        }
    }
    led.whole &= led.seqs.len() < most;
    Ok(led)
}

/// From the runs of the lookup and from what is not in them yet. A hash of eight bytes may be another's: the entry is
/// checked in any case.
fn by_name(conn: &Connection, search: &Search, name: &Name, window: Window, most: usize) -> Result<Led> {
    let hash = short(name);
    let within = |seq: &Seq| (window.from..=window.to).contains(seq);
    let mut unwritten: Vec<Seq> =
        search.unwritten.iter().filter(|(other, seq)| *other == hash && within(seq)).map(|(_, seq)| *seq).collect();
    unwritten.sort_unstable();
    let mut led = Led { seqs: Vec::new(), whole: true };
    let order = window.order();
    let mut runs = conn.prepare_cached(&format!(
        "SELECT run FROM runs WHERE run <= ?2 AND last >= ?1 ORDER BY run {order} LIMIT {BLOCKS_MAX}"
    ))?;
    let runs: Vec<i64> =
        runs.query_map((int(window.from), int(window.to)), |row| row.get(0))?.collect::<Result<_>>()?;
    let mut of_run = conn.prepare_cached(&format!(
        "SELECT seq FROM lookup WHERE run = ?1 AND hash = ?2 AND seq BETWEEN ?3 AND ?4 ORDER BY seq {order} LIMIT ?5"
    ))?;
    // What is not in a run is younger than what is.
    if !window.oldest_first {
        led.seqs.extend(unwritten.iter().rev());
    }
    for run in &runs {
        let left = most.saturating_sub(led.seqs.len());
        if left == 0 {
            break;
        }
        let values = (*run, hash, int(window.from), int(window.to), int(left as u64));
        for seq in of_run.query_map(values, |row| row.get(0))? {
            led.seqs.push(uint(seq?));
        }
    }
    if window.oldest_first {
        led.seqs.extend(unwritten);
    }
    led.seqs.dedup();
    led.whole = led.seqs.len() < most && runs.len() < BLOCKS_MAX;
    led.seqs.truncate(most);
    if !led.whole && led.seqs.len() < most {
        // More runs than one page looks into: go on behind them.
        let edge = runs.last().map_or(window.from, |run| uint(*run));
        if led.seqs.last().is_none_or(|last| window.later(edge, *last)) && within(&edge) {
            led.seqs.push(edge);
        }
    }
    Ok(led)
}

/// What an entry must fulfil, as SQL whose values are numbered from 2.
struct Conditions {
    text: String,
    values: Vec<Box<dyn ToSql>>,
}

impl Conditions {
    fn of(search: &Search) -> Conditions {
        let filter = &search.filter;
        let mut clauses: Vec<String> = Vec::new();
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let mut add = |clause: &str, value: Box<dyn ToSql>| {
            values.push(value);
            clauses.push(clause.replace('?', &format!("?{}", values.len() + 1)));
        };
        if let Some(quarantine) = filter.quarantine {
            add("quarantine = ?", Box::new(quarantine));
        }
        if let Some(released) = filter.released {
            add("(released_by IS NOT NULL) = ?", Box::new(released));
        }
        if let Some(channel) = filter.channel {
            add("channel = ?", Box::new(channel.as_str()));
        }
        if let Some(route) = &filter.route {
            add("route = ?", Box::new(route.clone()));
        }
        if let Some(from) = filter.received_from {
            add("received_ms >= ?", Box::new(int(from)));
        }
        if let Some(until) = filter.received_until {
            add("received_ms < ?", Box::new(int(until)));
        }
        if let Some(name) = search.sender {
            add("instr(senders, ?)", Box::new(name.to_vec()));
        }
        if let Some(name) = search.conversation {
            add("conversation = ?", Box::new(name.to_vec()));
        }
        for term in &search.terms {
            let clause = format!(
                "EXISTS (SELECT 1 FROM terms WHERE block = entries.seq / {BLOCK} AND hash = ? AND terms.seq = entries.seq)"
            );
            add(&clause, Box::new(*term));
        }
        let asked = filter.states.iter().any(|state| matches!(state, State::Received | State::Decided))
            || filter.verdicts.contains(&Verdict::Clean);
        let mut late = "0".to_owned();
        if asked && !search.deferred.is_empty() {
            values.push(Box::new(search.deferred_list.clone()));
            late = format!("seq IN (SELECT value FROM json_each(?{}))", values.len() + 1);
        }
        let any = |clauses: Vec<String>| format!("({})", clauses.join(" OR "));
        if let Some(unfinished) = filter.unfinished {
            clauses.push(format!("(state = {UNFINISHED}) = {}", u8::from(unfinished)));
        }
        if !filter.states.is_empty() {
            clauses.push(any(filter.states.iter().map(|state| of_state(*state, &late)).collect()));
        }
        if !filter.verdicts.is_empty() {
            clauses.push(any(filter
                .verdicts
                .iter()
                .map(|verdict| match verdict {
                    Verdict::Clean => format!(
                        "({} OR (state = {UNFINISHED} AND decided_ms IS NULL AND {late}))",
                        of_verdict(*verdict)
                    ),
                    verdict => of_verdict(*verdict),
                })
                .collect()));
        }
        let text = if clauses.is_empty() { "1".to_owned() } else { clauses.join(" AND ") };
        Conditions { text, values }
    }
}

fn number_of(state: State) -> i64 {
    match state {
        State::Received | State::Decided => UNFINISHED,
        State::Delivered => DELIVERED,
        State::Quarantined => QUARANTINED,
        State::DeadLettered => DEAD_LETTERED,
    }
}

/// `late`: is the decision one that the entry's own row does not tell of yet?
fn of_state(state: State, late: &str) -> String {
    let decided = match state {
        State::Received => format!(" AND decided_ms IS NULL AND NOT {late}"),
        State::Decided => format!(" AND (decided_ms IS NOT NULL OR {late})"),
        _ => String::new(),
    };
    format!("(state = {}{decided})", number_of(state))
}

/// A verdict is one of four fixed words, so it may stand in the query itself.
fn of_verdict(verdict: Verdict) -> String {
    format!("verdict = '{}'", verdict.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Appended, Config, NewEntry, Spool as _, SqliteSpool};
    use guarita_message::{Channel, ConversationKey, Lane};

    const T: u64 = 1_790_000_000_000;
    const ENTRIES: u64 = 2_500;

    fn entry(n: u64) -> NewEntry {
        NewEntry {
            route: if n % 500 == 7 { "rare" } else { "default" }.to_owned(),
            channel: Channel::Whatsapp,
            account: "1".to_owned(),
            lane: Lane::Message,
            conversation: ConversationKey(n.to_string()),
            dedupe: Vec::new(),
            senders: vec!["everybody".to_owned()],
            body: Vec::new(),
        }
    }

    /// A disk so slow that no page has any time: each still gets on, and together they find all, once, in order.
    #[tokio::test]
    async fn pages_without_time_get_on_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let spool = SqliteSpool::open(&Config { path: folder.path().to_owned(), ..Config::default() }).unwrap();
        let stored = spool.append(T, (0..ENTRIES).map(entry).collect()).await.unwrap();
        assert!(stored.iter().all(|one| matches!(one, Appended::Stored(_))));
        let rare = || Filter { route: Some("rare".to_owned()), ..Filter::default() };
        for (filter, expect) in [
            (rare(), 5),
            (Filter { route: Some("none".to_owned()), ..Filter::default() }, 0),
            (Filter { sender: Some("everybody".to_owned()), ..rare() }, 5),
            (Filter { states: vec![State::Received], ..rare() }, 5),
            (Filter { sender: Some("everybody".to_owned()), ..Filter::default() }, ENTRIES as usize),
        ] {
            for oldest_first in [false, true] {
                let (mut found, mut next, mut pages) = (Vec::new(), None, 0);
                loop {
                    let mut piece = Filter { oldest_first, ..filter.clone() };
                    *(if oldest_first { &mut piece.after } else { &mut piece.before }) = next;
                    let search = Search::new(piece, &spool.shared);
                    let page =
                        spool.readers.run(move |conn| page_within(conn, &search, 50, Duration::ZERO)).await.unwrap();
                    found.extend(page.records.into_iter().map(|record| record.id));
                    pages += 1;
                    next = page.next;
                    if next.is_none() {
                        break;
                    }
                    assert!(pages < 100, "it goes on for ever: {filter:?}");
                }
                assert_eq!(found.len(), expect, "{filter:?}");
                assert!(found.is_sorted_by(|a, b| if oldest_first { a < b } else { a > b }), "{filter:?}");
                assert!(pages > 2, "the clock was heeded: {filter:?}");
            }
        }
    }
}
