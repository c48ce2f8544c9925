//! What the console costs in a spool of a million entries: filling it, opening it, every kind of list, counts, history.
//!
//! `cargo run --release -p guarita-spool --example list_bench -- [FOLDER] [ENTRIES]` (default: a new folder under the
//! system's temporary one, 1 000 000). A folder that is named is left behind, and used as it is if it is filled already.

use guarita_message::{Channel, ConversationKey, DedupeKey, DeliveryId, Lane, Verdict};
use guarita_spool::{Config, Decided, Filter, Finish, NewEntry, Spool, SpoolError, SqliteSpool, State};
use std::{
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

const START: u64 = 1_790_000_000_000;
/// One entry each 300 ms: a million in three and a half days.
const STEP: u64 = 300;
const CONVERSATIONS: u64 = 50_000;
const AT_ONCE: u64 = 2000;
/// Entries that are left unfinished.
const WAITING: u64 = 500;

/// 2 % malicious, 3 % suspicious, 1 % unscanned; the worst of them withheld, a few dead letters, 500 that wait.
fn verdict(n: u64) -> Verdict {
    match n % 100 {
        0 | 50 => Verdict::Malicious,
        10 | 40 | 70 => Verdict::Suspicious,
        99 => Verdict::Unscanned,
        _ => Verdict::Clean,
    }
}

fn entry(n: u64) -> NewEntry {
    let customer = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % CONVERSATIONS;
    NewEntry {
        route: if n % 10_000 == 77 { "shop" } else { "default" }.to_owned(),
        channel: if n % 5000 == 3 { Channel::Instagram } else { Channel::Whatsapp },
        account: "106540352242922".to_owned(),
        lane: Lane::Message,
        conversation: ConversationKey(format!("{customer}")),
        dedupe: vec![DedupeKey(format!("{n}"))],
        senders: vec![
            format!("BR.{customer}"),
            if n.is_multiple_of(3) { "busy".to_owned() } else { format!("55{customer}") },
        ],
        body: vec![b'x'; 900],
    }
}

fn decided(n: u64) -> Decided {
    let verdict = verdict(n);
    let mut terms = Vec::new();
    if verdict != Verdict::Clean {
        terms = ["category:phishing_link", "severity:high", "rule:links/deny-list"].map(str::to_owned).to_vec();
        terms.extend((0..12).map(|at| format!("word:{}", (n * 31 + at * 7) % 5000)));
        terms.push(format!("domain:{}", n % 20_000));
        terms.push(format!("message:{n}"));
    }
    Decided {
        verdict,
        body: None,
        findings_header: None,
        report: vec![b'r'; 500],
        quarantine: verdict == Verdict::Malicious,
        terms,
        summary: vec![b's'; 80],
    }
}

async fn finish(spool: &SqliteSpool, now: u64, at: u64, id: DeliveryId) -> Result<(), SpoolError> {
    spool.record_decided(now, &id, decided(at)).await?;
    let finish = match at % 1000 {
        0 | 50 => Finish::Quarantined,
        7 => Finish::DeadLettered { error: "503".to_owned() },
        _ => Finish::Delivered,
    };
    spool.finish(now, &id, finish).await
}

#[allow(clippy::print_stdout)]
fn report(line: &str) {
    println!("{line}");
}

/// Median of five, and the longest.
async fn measure<T>(name: &str, mut ask: impl AsyncFnMut() -> Result<T, SpoolError>, shown: impl Fn(&T) -> String) {
    let mut times = Vec::new();
    let mut last = String::new();
    for _ in 0..5 {
        let begun = Instant::now();
        match ask().await {
            Ok(answer) => last = shown(&answer),
            Err(error) => last = error.to_string(),
        }
        times.push(begun.elapsed());
    }
    times.sort();
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    report(&format!("{name:<58} {:>7.2} ms {:>7.2} ms  {last}", millis(times[2]), millis(times[4])));
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let named = arguments.next_if(|first| first.parse::<u64>().is_err());
    let entries = arguments.next().map_or(Ok(1_000_000), |count| count.parse::<u64>())?;
    let unnamed = tempfile::tempdir()?;
    let path = named.map_or_else(|| unnamed.path().to_owned(), PathBuf::from);
    let config = Config { path, ..Config::default() };
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run(config, entries))
}

async fn run(config: Config, entries: u64) -> Result<(), Box<dyn Error>> {
    let spool = Arc::new(SqliteSpool::open(&config)?);
    let stored: u64 = spool.counts().await?.by_state.iter().map(|(_, count)| count).sum();
    if stored < entries {
        let begun = Instant::now();
        for from in (0..entries).step_by(AT_ONCE as usize) {
            // Together, so that they share their fsyncs.
            let until = (from + AT_ONCE).min(entries);
            spool.append(START + from * STEP, (from..until).map(entry).collect()).await?;
            deliver(&spool, until, WAITING).await?;
        }
        report(&format!("filled with {entries} entries in {:.0} s", begun.elapsed().as_secs_f64()));
    }
    drop(spool);
    let begun = Instant::now();
    let spool = SqliteSpool::open(&config)?;
    report(&format!("opened in {:.0} ms", begun.elapsed().as_secs_f64() * 1000.0));
    lists(&spool, entries).await;
    Ok(())
}

/// Delivers what is there but for `rest` entries.
async fn deliver(spool: &Arc<SqliteSpool>, upto: u64, rest: u64) -> Result<(), Box<dyn Error>> {
    loop {
        let counts = spool.counts().await?;
        let waiting = counts.by_state[0].1;
        if waiting <= rest {
            return Ok(());
        }
        let claimed = spool.claim(START + upto * STEP, 3_600_000, (waiting - rest).min(1000) as usize).await?;
        if claimed.is_empty() {
            return Ok(());
        }
        let work: Vec<_> = claimed
            .into_iter()
            .enumerate()
            .map(|(at, claimed)| {
                let (spool, now) = (spool.clone(), START + upto * STEP + 50);
                let n = upto.wrapping_mul(7919).wrapping_add(at as u64);
                tokio::spawn(async move { finish(&spool, now, n, claimed.id).await })
            })
            .collect();
        for work in work {
            work.await??;
        }
    }
}

async fn lists(spool: &SqliteSpool, entries: u64) {
    let all = Filter::default;
    let middle = START + entries / 2 * STEP;
    let term = |terms: &[&str]| terms.iter().map(|term| (*term).to_owned()).collect::<Vec<_>>();
    let some = |text: &str| Some(text.to_owned());
    let conversation = Some(ConversationKey("77".to_owned()));
    let malicious = vec![Verdict::Malicious];
    let filters = [
        ("everything", all()),
        ("everything, oldest first", Filter { oldest_first: true, ..all() }),
        ("delivered", Filter { states: vec![State::Delivered], ..all() }),
        ("unfinished", Filter { unfinished: Some(true), ..all() }),
        ("dead letters", Filter { states: vec![State::DeadLettered], ..all() }),
        ("malicious", Filter { verdicts: malicious.clone(), ..all() }),
        ("clean", Filter { verdicts: vec![Verdict::Clean], ..all() }),
        ("quarantine", Filter { quarantine: Some(true), ..all() }),
        ("route of one in 10,000", Filter { route: some("shop"), ..all() }),
        ("route that nothing has", Filter { route: some("none"), ..all() }),
        (
            "channel of one in 5,000, malicious",
            Filter { channel: Some(Channel::Instagram), verdicts: malicious.clone(), ..all() },
        ),
        ("sender", Filter { sender: some("BR.77"), ..all() }),
        ("sender of a third of all", Filter { sender: some("busy"), ..all() }),
        (
            "sender of a third of all, dead letters",
            Filter { sender: some("busy"), states: vec![State::DeadLettered], ..all() },
        ),
        ("sender nobody knows", Filter { sender: some("nobody"), ..all() }),
        ("conversation", Filter { conversation, ..all() }),
        (
            "one hour in the middle",
            Filter { received_from: Some(middle), received_until: Some(middle + 3_600_000), ..all() },
        ),
        (
            "one hour in the middle, malicious, oldest first",
            Filter {
                received_from: Some(middle),
                received_until: Some(middle + 3_600_000),
                verdicts: malicious,
                oldest_first: true,
                ..all()
            },
        ),
        ("term of 6 % of all", Filter { terms: term(&["category:phishing_link"]), ..all() }),
        ("rare term", Filter { terms: term(&["domain:4711"]), ..all() }),
        ("term nothing bears", Filter { terms: term(&["domain:none"]), ..all() }),
        (
            "two frequent terms and a rare one",
            Filter { terms: term(&["category:phishing_link", "severity:high", "word:77"]), ..all() },
        ),
        (
            "frequent term, route that nothing has",
            Filter { terms: term(&["severity:high"]), route: some("none"), ..all() },
        ),
        (
            "frequent term, dead letters",
            Filter { terms: term(&["severity:high"]), states: vec![State::DeadLettered], ..all() },
        ),
    ];
    report(&format!("{:<58} {:>10} {:>10}", "one page of 50 (median, longest of five)", "", ""));
    for (name, filter) in filters {
        let ask = async || spool.page(filter.clone(), 50).await;
        measure(name, ask, |page| {
            format!("{} found{}", page.records.len(), if page.next.is_some() { ", goes on" } else { "" })
        })
        .await;
    }
    let ids: Vec<_> = spool.list(all(), 50).await.unwrap_or_default().into_iter().map(|record| record.id).collect();
    measure(
        "50 summaries",
        async || spool.summaries(&ids).await,
        |found| format!("{} found", found.iter().flatten().count()),
    )
    .await;
    measure("counts", async || spool.counts().await, |_| String::new()).await;
    let end = START + entries * STEP;
    measure(
        "history of all, 200 stretches",
        async || spool.history(START, end, (end - START) / 200).await,
        |found| format!("{} stretches", found.len()),
    )
    .await;
    measure(
        "history of one hour by the minute",
        async || spool.history(middle, middle + 3_600_000, 60_000).await,
        |found| format!("{} stretches", found.len()),
    )
    .await;
}
