//! How long pages take over a spool of a given size.
//!
//!     cargo run --release -p guarita-console --features seeded --example million -- FOLDER [COUNT]
//!
//! Fills FOLDER with COUNT messages of the last week (a million by default; what is there already counts), one in fifty
//! with a finding and one in two hundred held, then asks for each page over a socket, as a browser would, and says how long
//! the whole answer took.

use bytes::Bytes;
use guarita_console::{Actor, Config, Desk, Parts, Role, Store, people::Stage, seeded::StandInGateway};
use guarita_media::{DiskBlobs, MediaIndex, MediaKeys};
use guarita_message::{Channel, ConversationKey, DeliveryId, Lane, Verdict};
use guarita_spool::{Appended, Decided, Filter, Finish, NewEntry, Spool, SqliteSpool};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::json;
use std::{error::Error, path::PathBuf, sync::Arc, time::Instant};

const BATCH: u64 = 500;
const CUSTOMERS: u64 = 50_000;
const WEEK_MILLIS: u64 = 7 * 86_400_000;
/// Times that each page is asked for.
const ASKED: usize = 30;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("name a folder")?);
    let count: u64 = arguments.next().map_or(Ok(1_000_000), |count| count.parse())?;
    let spool = Arc::new(SqliteSpool::open(&guarita_spool::Config { path: folder.clone(), ..Default::default() })?);
    let counts = spool.counts().await?;
    let stored: u64 = counts.by_state.iter().map(|(_, count)| count).sum();
    fill(&spool, stored, count).await?;
    let keys = MediaKeys::derive(&[3; 32]);
    let desk = Arc::new(Desk::new(Parts {
        config: Config { second_step: false, ..Config::default() },
        spool: spool.clone(),
        index: MediaIndex::open(&folder.join("media.sqlite"), &keys)?,
        blobs: Arc::new(DiskBlobs::open(folder.join("media"), &keys)?),
        gateway: Arc::new(StandInGateway::default()),
        store: Store::in_memory(&[5; 32])?,
    }));
    let password = "correto cavalo bateria grampo";
    desk.people().add_with_password(&Actor::local("bench"), "ana", Role::Admin, password).await?;
    let session = desk.people().log_in("ana", password, None).await?;
    assert_eq!(session.stage, Stage::In);
    measure(&desk, &spool, &format!("guarita={}", session.secret)).await
}

async fn fill(spool: &Arc<SqliteSpool>, stored: u64, count: u64) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis() as u64;
    for first in (stored..count).step_by(BATCH as usize) {
        let at = now - WEEK_MILLIS + WEEK_MILLIS / count.max(1) * first;
        let entries = (first..(first + BATCH).min(count)).map(entry).collect();
        for (n, appended) in (first..).zip(spool.append(at, entries).await?) {
            assert!(matches!(appended, Appended::Stored(_)), "entry {n} is new");
        }
        loop {
            let claimed = spool.claim(at, 60_000, BATCH as usize).await?;
            if claimed.is_empty() {
                break;
            }
            let work = claimed.into_iter().map(|claimed| {
                let spool = spool.clone();
                tokio::spawn(async move {
                    // Any number that is spread evenly.
                    let number = claimed.id.0.bytes().fold(0u64, |sum, byte| sum * 31 % 100_003 + u64::from(byte));
                    spool.record_decided(at + 20, &claimed.id, decided(number)).await?;
                    spool.finish(at + 40, &claimed.id, Finish::Delivered).await
                })
            });
            for done in work.collect::<Vec<_>>() {
                done.await??;
            }
        }
        if first % 50_000 == 0 {
            tell(&format!("{first} stored after {:.0} s", begun.elapsed().as_secs_f64()));
        }
    }
    Ok(())
}

fn entry(n: u64) -> NewEntry {
    let customer = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % CUSTOMERS;
    let phone = format!("55119{customer:08}");
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": {"phone_number_id": "106540352242922"},
        "contacts": [{"profile": {"name": "Cliente"}, "wa_id": phone}],
        "messages": [{"from": phone, "id": format!("wamid.{n}"), "timestamp": "1763800000", "type": "text",
            "text": {"body": "Bom dia! Qual o prazo de entrega para o CEP 01310-100?"}}]}}]}]});
    NewEntry {
        route: if n % 10_000 == 77 { "loja" } else { "default" }.into(),
        channel: if n % 5_000 == 3 { Channel::Instagram } else { Channel::Whatsapp },
        account: "106540352242922".into(),
        lane: Lane::Message,
        conversation: ConversationKey(format!("whatsapp/{phone}/{n}")),
        dedupe: Vec::new(),
        senders: vec![phone],
        body: body.to_string().into_bytes(),
    }
}

fn decided(number: u64) -> Decided {
    let verdict = match number % 200 {
        0 => Verdict::Malicious,
        1..3 => Verdict::Unscanned,
        3..5 => Verdict::Suspicious,
        _ => Verdict::Clean,
    };
    let found = verdict != Verdict::Clean;
    let summary = json!({"from": ["5511900000000"], "kind": "text", "action": if found { "annotate" } else { "pass" },
        "findings": u64::from(found), "titles": if found { vec!["The address imitates a brand"] } else { Vec::new() }});
    Decided {
        verdict,
        body: None,
        findings_header: None,
        report: json!({"version": 1, "messages": []}).to_string().into_bytes(),
        quarantine: verdict == Verdict::Malicious,
        terms: if found { vec!["rule:links/lookalike-brand".into(), "word:imitates".into()] } else { Vec::new() },
        summary: summary.to_string().into_bytes(),
    }
}

async fn measure(desk: &Arc<Desk>, spool: &Arc<SqliteSpool>, cookie: &str) -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    let router = guarita_console::router(desk.clone());
    tokio::spawn(guarita_console::serve(listener, router, 16, std::future::pending()));
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let newest: DeliveryId = spool.list(Filter::default(), 1).await?.first().ok_or("nothing is stored")?.id.clone();
    let deep =
        spool.list(Filter { oldest_first: true, ..Filter::default() }, 200).await?.last().ok_or("nothing")?.id.clone();
    let stored: u64 = spool.counts().await?.by_state.iter().map(|(_, count)| count).sum();
    tell(&format!("{stored} messages; each page asked for {ASKED} times, milliseconds: median, most, CPU each"));
    for (what, path) in [
        ("overview, a day", "/".to_owned()),
        ("overview, a week", "/?hours=168".to_owned()),
        ("messages", "/messages".to_owned()),
        ("messages, the oldest", format!("/messages?before={deep}")),
        ("messages, malicious", "/messages?verdict=malicious".to_owned()),
        ("messages, clean", "/messages?verdict=clean".to_owned()),
        ("messages, by a rule", "/messages?q=links%2Flookalike-brand".to_owned()),
        ("messages, by a word nobody has", "/messages?q=nosuchword".to_owned()),
        ("messages, by sender", "/messages?sender=5511900000077".to_owned()),
        ("messages, by sender and verdict", "/messages?sender=5511900000077&verdict=malicious".to_owned()),
        ("messages, rare channel, malicious", "/messages?channel=instagram&verdict=malicious".to_owned()),
        ("messages, frequent rule, no such route", "/messages?q=links%2Flookalike-brand&route=none".to_owned()),
        ("messages, frequent rule, rare route", "/messages?q=links%2Flookalike-brand&route=loja".to_owned()),
        ("messages, no such route", "/messages?route=none".to_owned()),
        ("messages, dead letters of a sender", "/messages?sender=5511900000077&state=dead_lettered".to_owned()),
        ("messages, two days ago", "/messages?from=2000-01-01&verdict=suspicious".to_owned()),
        ("one message", format!("/messages/{newest}")),
        ("one message, opened", format!("/messages/{newest}/contents")),
        ("quarantine", "/quarantine".to_owned()),
        ("quarantine, released", "/quarantine?shown=released".to_owned()),
        ("deliveries", "/deliveries".to_owned()),
        ("audit", "/audit".to_owned()),
    ] {
        let mut took = Vec::new();
        let cpu = cpu_millis();
        for _ in 0..ASKED {
            let request = Request::get(format!("{base}{path}")).header("cookie", cookie).body(Empty::new())?;
            let begun = Instant::now();
            let answer = client.request(request).await?;
            let status = answer.status();
            let bytes = answer.into_body().collect().await?.to_bytes();
            took.push(begun.elapsed().as_secs_f64() * 1000.0);
            assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&bytes));
        }
        took.sort_by(f64::total_cmp);
        let cpu = (cpu_millis() - cpu) / ASKED as f64;
        tell(&format!("{what:<40} {:>7.1} {:>7.1} {cpu:>7.1}", took[ASKED / 2], took[ASKED - 1]));
    }
    Ok(())
}

/// User and system time of this process: on a busy machine the only figure that means something.
fn cpu_millis() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |at: usize| after_name.split_whitespace().nth(at).and_then(|text| text.parse::<f64>().ok());
    (ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default()) * 10.0
}

#[allow(clippy::print_stdout)] // what this command is for
fn tell(line: &str) {
    println!("{line}");
}
