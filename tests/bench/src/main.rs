//! `make bench`: the gateway's road measured from outside, against nginx as a bare proxy on the same machine, in one run.
//!
//! The load generator and the sink are the same for both, and share the machine's cores with what they measure: quote the
//! ratios. Every delivery is its own message with its own signature, made before the clock starts.
#![allow(clippy::print_stdout, reason = "it prints its table")]

mod load;
mod procs;
mod routing;

use guarita_testkit::payload::{self, Customer};
use load::{Sink, blast, steady};
use procs::{Gateway, Nginx, rss_mib};
use std::{path::PathBuf, time::Duration};

const SECRET: &str = "bench-secret";
/// Deliveries of one throughput run; long enough that start-up does not count, short enough for five rounds.
const BLAST: usize = 30_000;
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut guarita, mut quick) = (PathBuf::from("target/release/guarita"), false);
    while let Some(word) = arguments.next() {
        match word.as_str() {
            "--guarita" => guarita = arguments.next().map(PathBuf::from).unwrap_or(guarita),
            "--quick" => quick = true,
            other => {
                eprintln!("unknown argument {other}; known: --guarita PATH, --quick");
                std::process::exit(64);
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the system gives threads");
    runtime.block_on(bench(guarita, quick));
}

async fn bench(guarita: PathBuf, quick: bool) {
    let rounds = if quick { 1 } else { ROUNDS };
    println!("{:<58} {:>14}", "acknowledgement at a steady rate (median, p99)", "");
    {
        let sink = Sink::start().await;
        let gateway = Gateway::start(&guarita, &sink.url(), SECRET).await;
        println!("  {:<56} {:>11.1} MiB", "memory, idle", rss_mib(gateway.pid()));
        let mut number = 0;
        for (rate, seconds) in [(100u32, 5u32), (1_000, 10), (5_000, 6)] {
            let seconds = if quick { 3 } else { seconds };
            let requests = requests(&gateway.address(), (rate * seconds) as usize, &mut number);
            let result = steady(&gateway.address(), requests, rate, CONNECTIONS).await;
            println!(
                "  {:<56} {:>6.2} ms {:>6.2} ms",
                format!("{rate}/s for {seconds} s ({} answered 200 of {})", result.ok, rate * seconds),
                result.quantile(0.5),
                result.quantile(0.99),
            );
            sink.wait_for(number, Duration::from_secs(120)).await;
        }
        println!("  {:<56} {:>11.1} MiB", "memory, after that", rss_mib(gateway.pid()));
    }

    println!("\n{:<58} {:>14}", "texts, end to end (stored, judged, signed, delivered)", "messages/s");
    let (mut ours, mut theirs, mut ratios, mut memory) = (Vec::new(), Vec::new(), Vec::new(), 0f64);
    for _ in 0..rounds {
        let sink = Sink::start().await;
        let nginx = Nginx::start(&sink.address()).await;
        let mut number = 0;
        let requests_nginx = requests(&nginx.address(), BLAST, &mut number);
        let began = std::time::Instant::now();
        blast(&nginx.address(), requests_nginx, CONNECTIONS).await;
        sink.wait_for(BLAST, Duration::from_secs(60)).await;
        let nginx_rate = BLAST as f64 / began.elapsed().as_secs_f64();
        drop(nginx);

        let sink = Sink::start().await;
        let gateway = Gateway::start(&guarita, &sink.url(), SECRET).await;
        let mut number = 0;
        let requests_gateway = requests(&gateway.address(), BLAST, &mut number);
        let began = std::time::Instant::now();
        let ok = blast(&gateway.address(), requests_gateway, CONNECTIONS).await;
        assert_eq!(ok, BLAST, "deliveries were refused");
        sink.wait_for(BLAST, Duration::from_secs(120)).await;
        let our_rate = BLAST as f64 / began.elapsed().as_secs_f64();
        memory = memory.max(procs::rss_peak_mib(gateway.pid()));
        ours.push(our_rate);
        theirs.push(nginx_rate);
        ratios.push(our_rate / nginx_rate);
    }
    println!("  {:<56} {:>14.0}", "nginx, bare proxy (median)", median(&mut theirs));
    println!("  {:<56} {:>14.0}", "guarita (median)", median(&mut ours));
    println!("  {:<56} {:>13.1}%", "ratio, round by round (median)", 100.0 * median(&mut ratios));
    println!("  {:<56} {:>11.1} MiB", "memory, peak under that load", memory);
    routing::bench(&guarita, rounds).await;
}

/// `count` signed deliveries as they stand on the wire, from 1,000 customers.
fn requests(address: &str, count: usize, number: &mut usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|_| {
            let customer = Customer::new("Cliente", &format!("55119{:08}", *number % 1000));
            let id = format!("wamid.HBgMNTUxMTk5OTk5OTk5FQIAEhggB{number:012}");
            let text = "Bom dia! Queria saber se o pedido 4711 j\u{e1} saiu para entrega, e se d\u{e1} para trocar o hor\u{e1}rio de s\u{e1}bado.";
            let body = payload::whatsapp(&customer, &id, 1_763_800_000, payload::text(text)).to_string();
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

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
