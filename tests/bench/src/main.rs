//! `make bench`: the gateway's road measured from outside, against what one would use instead, on the same machine, in
//! one run. Sections are chosen with `--only`; a tool that is not installed is named and its rows are left out.
//!
//! The load generator and the sink are the same for all, and share the machine's cores with what they measure: quote the
//! ratios. Every delivery is its own message with its own signature, made before the clock starts.
#![allow(clippy::print_stdout, reason = "it prints its table")]

mod document;
mod load;
mod mail;
mod procs;
mod routing;
mod sharing;

use guarita_testkit::payload::{self, Customer};
use load::{Sink, blast, steady};
use procs::{Gateway, Nginx, cpu_seconds, rss_mib, rss_peak_mib};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const SECRET: &str = "bench-secret";
/// Deliveries of one throughput run; long enough that start-up does not count, short enough for five rounds.
const BLAST: usize = 30_000;
const CONNECTIONS: usize = 64;
const BLAST_QUICK: usize = 6_000;
const ROUNDS: usize = 5;
const SECTIONS: [&str; 7] = ["ack", "texts", "rspamd", "routing", "sharing", "document", "startup"];
const TEXT: &str = "Bom dia! Queria saber se o pedido 4711 j\u{e1} saiu para entrega, e se d\u{e1} para trocar o hor\u{e1}rio de s\u{e1}bado.";

struct Asked {
    guarita: PathBuf,
    rounds: usize,
    quick: bool,
    only: Vec<String>,
    /// A storage folder that is filled already, for `startup`.
    storage: Option<PathBuf>,
}

fn main() {
    let mut asked = Asked {
        guarita: PathBuf::from("target/release/guarita"),
        rounds: ROUNDS,
        quick: false,
        only: Vec::new(),
        storage: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(word) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| wrong_use(&format!("{word} needs a value")));
        match word.as_str() {
            "--guarita" => asked.guarita = value().into(),
            "--rounds" => asked.rounds = value().parse().unwrap_or_else(|_| wrong_use("--rounds needs a number")),
            "--storage" => asked.storage = Some(value().into()),
            "--only" => asked.only = value().split(',').map(str::to_owned).collect(),
            "--quick" => (asked.quick, asked.rounds) = (true, 1),
            other => wrong_use(&format!("unknown argument {other}")),
        }
    }
    asked.guarita = std::fs::canonicalize(&asked.guarita).unwrap_or(asked.guarita);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the system gives threads");
    runtime.block_on(bench(asked));
}

fn wrong_use(what: &str) -> ! {
    eprintln!("{what}; known: --guarita PATH, --rounds N, --storage FOLDER, --quick, --only {}", SECTIONS.join(","));
    std::process::exit(64);
}

async fn bench(asked: Asked) {
    let wanted = |section: &str| match &asked.only[..] {
        // Needs a folder that was filled before.
        [] => section != "startup" || asked.storage.is_some(),
        only => only.iter().any(|one| one == section),
    };
    if wanted("ack") {
        acknowledgement(&asked).await;
    }
    if wanted("texts") || wanted("rspamd") {
        throughput(&asked, wanted("texts"), wanted("rspamd")).await;
    }
    if wanted("routing") {
        routing::bench(&asked.guarita, asked.rounds).await;
    }
    if wanted("sharing") {
        sharing::bench(&asked.guarita, asked.rounds).await;
    }
    if wanted("document") {
        document::run(&asked.guarita).await;
    }
    if let (true, Some(storage)) = (wanted("startup"), &asked.storage) {
        startup(&asked.guarita, storage).await;
    }
}

async fn acknowledgement(asked: &Asked) {
    println!("{:<58} {:>14}", "acknowledgement at a steady rate (median, p99)", "");
    let sink = Sink::start().await;
    let gateway = Gateway::start(&asked.guarita, &sink.url(), SECRET).await;
    println!("  {:<56} {:>11.1} MiB", "memory, idle", rss_mib(gateway.pid()));
    let mut number = 0;
    for (rate, seconds) in [(100u32, 5u32), (1_000, 10), (5_000, 6)] {
        let seconds = if asked.quick { 3 } else { seconds };
        let requests = requests(&gateway.address(), (rate * seconds) as usize, &mut number);
        let result = steady(&gateway.address(), requests, rate, CONNECTIONS).await;
        println!(
            "  {:<56} {:>6.2} ms {:>6.2} ms",
            format!("{rate}/s for {seconds} s ({} answered 200 of {})", result.ok, rate * seconds),
            result.quantile(0.5),
            result.quantile(0.99),
        );
        sink.wait_for(result.ok as usize, Duration::from_secs(120)).await;
        sink.reset();
    }
    println!("  {:<56} {:>11.1} MiB", "memory, after that", rss_mib(gateway.pid()));
}

/// Messages a second and processor time of each, round by round, so that what disturbs one disturbs all.
#[derive(Default)]
struct Rates {
    rates: Vec<f64>,
    micros: Vec<f64>,
}

impl Rates {
    fn add(&mut self, began: Instant, cpu_seconds: f64, count: usize) {
        self.rates.push(count as f64 / began.elapsed().as_secs_f64());
        self.micros.push(cpu_seconds * 1e6 / count as f64);
    }

    fn against<'a>(&'a self, other: &'a Rates) -> Vec<f64> {
        self.rates.iter().zip(&other.rates).map(|(ours, theirs)| ours / theirs).collect()
    }

    fn say(&self, name: &str) {
        let (rate, micros) = (median(&self.rates), median(&self.micros));
        println!("  {name:<56} {rate:>9.0}/s {micros:>6.0} \u{b5}s");
    }
}

async fn throughput(asked: &Asked, texts: bool, rspamd: bool) {
    println!("\n{:<58} {:>11} {:>9}", "texts, end to end (stored, judged, signed, delivered)", "messages", "CPU each");
    let (mut ours, mut nginx, mut mail) = (Rates::default(), Rates::default(), Rates::default());
    let mut memory = 0f64;
    let blast_size = if asked.quick { BLAST_QUICK } else { BLAST };
    let rspamd = rspamd && mail::installed();
    for _ in 0..asked.rounds {
        if texts {
            let sink = Sink::start().await;
            let proxy = Nginx::start(&sink.address()).await;
            let requests = requests(&proxy.address(), blast_size, &mut 0);
            let (began, cpu) = (Instant::now(), cpu_seconds(proxy.pid()));
            blast(&proxy.address(), requests, CONNECTIONS).await;
            sink.wait_for(blast_size, Duration::from_secs(60)).await;
            nginx.add(began, cpu_seconds(proxy.pid()) - cpu, blast_size);
        }
        let sink = Sink::start().await;
        let gateway = Gateway::start(&asked.guarita, &sink.url(), SECRET).await;
        let requests = requests(&gateway.address(), blast_size, &mut 0);
        let (began, cpu) = (Instant::now(), cpu_seconds(gateway.pid()));
        let ok = blast(&gateway.address(), requests, CONNECTIONS).await;
        assert_eq!(ok, blast_size, "deliveries were refused");
        sink.wait_for(blast_size, Duration::from_secs(120)).await;
        ours.add(began, cpu_seconds(gateway.pid()) - cpu, blast_size);
        memory = memory.max(rss_peak_mib(gateway.pid()));
        drop(gateway);
        if rspamd {
            mail::round(TEXT, blast_size / 5, CONNECTIONS, &mut mail).await;
        }
    }
    if texts {
        nginx.say("nginx, bare proxy (median)");
    }
    ours.say("guarita (median)");
    if texts {
        println!("  {:<56} {:>11.1} %", "of nginx's, round by round (median)", 100.0 * median(&ours.against(&nginx)));
        println!("  {:<56} {:>11.1} MiB", "memory, peak under that load", memory);
    }
    if rspamd {
        mail.say("rspamd /checkv2, network modules off, the same text as mail");
        println!("  {:<56} {:>11.1} times", "guarita against rspamd, round by round", median(&ours.against(&mail)));
    }
}

/// How long the gateway takes to open its doors on a folder that holds much.
async fn startup(guarita: &Path, storage: &Path) {
    let sink = Sink::start().await;
    let mut times = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        let gateway = Gateway::start_in(guarita, &sink.url(), SECRET, Some(storage)).await;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        if times.len() == 3 {
            println!("\n  {:<56} {:>11.0} ms", "start-up on that folder, until the doors are open", median(&times));
            println!("  {:<56} {:>11.1} MiB", "memory then", rss_mib(gateway.pid()));
        }
    }
}

/// `count` signed deliveries as they stand on the wire, from 1,000 customers.
fn requests(address: &str, count: usize, number: &mut usize) -> Vec<Vec<u8>> {
    requests_to(address, payload::PHONE_NUMBER_ID, count, number)
}

/// The same, to another number.
fn requests_to(address: &str, phone_number_id: &str, count: usize, number: &mut usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|_| {
            let customer = Customer::new("Cliente", &format!("55119{:08}", *number % 1000));
            let id = format!("wamid.HBgMNTUxMTk5OTk5OTk5FQIAEhggB{number:012}");
            let body = payload::whatsapp(&customer, &id, 1_763_800_000, payload::text(TEXT)).to_string();
            let body = body.replace(payload::PHONE_NUMBER_ID, phone_number_id);
            *number += 1;
            let signature = guarita_webhook::sign(SECRET.as_bytes(), body.as_bytes());
            format!(
                "POST /webhook HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nx-hub-signature-256: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        })
        .collect()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
