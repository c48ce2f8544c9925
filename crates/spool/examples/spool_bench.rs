//! What a message costs in the spool: CPU for append, claim, record_decided and finish together, at several sizes of
//! the spool, and how long an append takes alone.
//!
//! `cargo run --release -p guarita-spool --example spool_bench -- [FOLDER] [SIZE…]` (default: a new folder under the
//! system's temporary one; 0, 100 000 and 1 000 000 entries). The folder is left behind if it is named.

use guarita_message::{Channel, ConversationKey, DedupeKey, Lane, Verdict};
use guarita_spool::{Appended, Config, Decided, Filter, Finish, NewEntry, Spool, SqliteSpool};
use std::{
    error::Error,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Messages of one measurement.
const MEASURED: u64 = 60_000;
const IN_FLIGHT: usize = 300;
const CONVERSATIONS: u64 = 100_000;
const BODY_BYTES: usize = 1000;

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// User and system time of this process, in microseconds.
fn cpu_micros() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks =
        |at: usize| after_name.split_whitespace().nth(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 10_000
}

fn entry(n: u64) -> NewEntry {
    let customer = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % CONVERSATIONS;
    NewEntry {
        route: "default".to_owned(),
        channel: Channel::Whatsapp,
        account: "106540352242922".to_owned(),
        lane: Lane::Message,
        conversation: ConversationKey(format!("whatsapp/106540352242922/message/{customer}")),
        dedupe: vec![DedupeKey(format!("wamid.HBgLMTY0NjcwNDM1OTUVAgASGBQzQTdCNTg5RjY1MEMyRjlGMjRGNgA{n}"))],
        senders: vec![format!("BR.{customer}"), format!("55119{customer}")],
        body: (0..BODY_BYTES).map(|i| b' ' + ((i as u64 * 31 + n) % 90) as u8).collect(),
    }
}

async fn append_from(spool: Arc<SqliteSpool>, next: Arc<AtomicU64>, end: u64) -> Vec<u64> {
    let mut micros = Vec::new();
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= end {
            return micros;
        }
        let begun = Instant::now();
        let stored = spool.append(now(), vec![entry(n)]).await.expect("the disk has room");
        assert!(matches!(stored[..], [Appended::Stored(_)]));
        micros.push(begun.elapsed().as_micros() as u64);
    }
}

async fn deliver(spool: Arc<SqliteSpool>, claimed: guarita_spool::Claimed) {
    let decided = Decided {
        verdict: Verdict::Clean,
        body: Some(claimed.body.iter().copied().chain(claimed.body[..300].iter().copied()).collect()),
        findings_header: None,
        report: claimed.body[..500].to_vec(),
        quarantine: false,
        terms: Vec::new(),
        summary: claimed.body[..80].to_vec(),
    };
    spool.record_decided(now(), &claimed.id, decided).await.expect("held");
    spool.finish(now(), &claimed.id, Finish::Delivered).await.expect("held");
}

/// Claims and delivers until `count` are done, some hundred at a time.
async fn deliver_all(spool: Arc<SqliteSpool>, count: u64) {
    let permits = Arc::new(tokio::sync::Semaphore::new(IN_FLIGHT));
    let mut done = 0;
    while done < count {
        let room = permits.available_permits().clamp(1, 64);
        let claimed = spool.claim(now(), 60_000, room).await.expect("readable");
        if claimed.is_empty() {
            let _ = tokio::time::timeout(Duration::from_millis(50), spool.wait_for_work()).await;
        }
        for claimed in claimed {
            done += 1;
            let permit = permits.clone().acquire_owned().await.expect("never closed");
            let spool = spool.clone();
            tokio::spawn(async move {
                deliver(spool, claimed).await;
                drop(permit);
            });
        }
    }
    let _all = permits.acquire_many(IN_FLIGHT as u32).await.expect("never closed");
}

/// Takes `count` messages from append to finish; returns seconds and CPU microseconds a message.
async fn cycle(spool: &Arc<SqliteSpool>, next: &Arc<AtomicU64>, count: u64) -> (f64, f64) {
    let (begun, cpu) = (Instant::now(), cpu_micros());
    let end = next.load(Ordering::Relaxed) + count;
    let appends: Vec<_> = (0..IN_FLIGHT).map(|_| tokio::spawn(append_from(spool.clone(), next.clone(), end))).collect();
    deliver_all(spool.clone(), count).await;
    for append in appends {
        append.await.expect("no panic");
    }
    next.store(end, Ordering::Relaxed);
    (begun.elapsed().as_secs_f64(), (cpu_micros() - cpu) as f64 / count as f64)
}

async fn append_alone(spool: &Arc<SqliteSpool>, next: &Arc<AtomicU64>, at_once: usize, count: u64) {
    let cpu = cpu_micros();
    let end = next.load(Ordering::Relaxed) + count;
    let appends: Vec<_> = (0..at_once).map(|_| tokio::spawn(append_from(spool.clone(), next.clone(), end))).collect();
    let mut micros = Vec::new();
    for append in appends {
        micros.extend(append.await.expect("no panic"));
    }
    next.store(end, Ordering::Relaxed);
    let cpu = (cpu_micros() - cpu) as f64 / count as f64;
    micros.sort_unstable();
    let at = |share: f64| micros[((micros.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    report(&format!(
        "append alone, {at_once:>2} at once: median {:.2} ms, p99 {:.2} ms, most {:.2} ms, {cpu:.1} µs CPU each",
        at(0.5),
        at(0.99),
        at(1.0),
    ));
    deliver_all(spool.clone(), count).await;
}

#[allow(clippy::print_stdout)]
fn report(line: &str) {
    println!("{line}");
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let named = arguments.next_if(|first| first.parse::<u64>().is_err());
    let sizes: Vec<u64> = arguments.map(|size| size.parse()).collect::<Result<_, _>>()?;
    let sizes = if sizes.is_empty() { vec![0, 100_000, 1_000_000] } else { sizes };
    let unnamed = tempfile::tempdir()?;
    let path = named.map_or_else(|| unnamed.path().to_owned(), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let spool = Arc::new(SqliteSpool::open(&Config { path, ..Config::default() })?);
    let next = Arc::new(AtomicU64::new(now() << 20));
    runtime.block_on(async {
        let mut stored = 0;
        for size in sizes {
            if size > stored {
                cycle(&spool, &next, size - stored).await;
                stored = size;
            }
            let (seconds, cpu) = cycle(&spool, &next, MEASURED).await;
            stored += MEASURED;
            let rate = MEASURED as f64 / seconds;
            report(&format!("{size:>8} entries stored: {cpu:.1} µs CPU a message, {rate:.0} messages/s"));
        }
        append_alone(&spool, &next, 1, 2000).await;
        append_alone(&spool, &next, 64, 20_000).await;
        let begun = Instant::now();
        let sender = Some("BR.77".to_owned());
        let found = spool.list(Filter { sender, ..Filter::default() }, 50).await.map_or(0, |found| found.len());
        report(&format!("list of one sender: {found} in {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0));
        let begun = Instant::now();
        let _counts = spool.counts().await;
        report(&format!("counts: {:.2} ms", begun.elapsed().as_secs_f64() * 1000.0));
    });
    Ok(())
}
