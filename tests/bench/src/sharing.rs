//! What one tenant feels of another: texts to one route, one after another, timed until the backend has them; alone, then
//! while the other route's backend hangs and its customers flood it.

use crate::{
    CONNECTIONS, SECRET,
    load::{Sink, blast},
    median,
    procs::Gateway,
    requests_to,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::net::TcpListener;

const TIMED: usize = 200;
const FLOOD: usize = 20_000;
const WELL: &str = "206540300000001";
const HUNG: &str = "206540300000002";

/// Takes connections, and never says anything.
async fn hanging_backend() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let url = format!("http://{}/webhook", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    url
}

/// Milliseconds from the first byte sent until the backend has it, in order of length.
async fn latencies(gateway: &Gateway, sink: &Sink, number: &mut usize) -> Vec<f64> {
    sink.reset();
    let mut waits = Vec::with_capacity(TIMED);
    for (sent, request) in requests_to(&gateway.address(), WELL, TIMED, number).into_iter().enumerate() {
        let began = Instant::now();
        assert_eq!(blast(&gateway.address(), vec![request], 1).await, 1, "a delivery was refused");
        sink.wait_for(sent + 1, Duration::from_secs(60)).await;
        waits.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    waits.sort_by(f64::total_cmp);
    waits
}

pub async fn bench(guarita: &Path, rounds: usize) {
    println!("\n{:<58} {:>14}", "sharing: a text of one tenant, until its backend has it", "median, p99");
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (sink, hung) = (Sink::start().await, hanging_backend().await);
        let routes = format!(
            "[[routes]]\nname = \"well\"\nmatch = {{ phone_number_id = \"{WELL}\" }}\n\
             [[routes]]\nname = \"hung\"\nmatch = {{ phone_number_id = \"{HUNG}\" }}\nbackend = {{ url = \"{hung}\" }}\n"
        );
        let gateway = Gateway::start_with(guarita, &sink.url(), SECRET, &routes).await;
        let mut number = 0;
        alone.push(latencies(&gateway, &sink, &mut number).await);
        let flood = requests_to(&gateway.address(), HUNG, FLOOD, &mut number);
        assert_eq!(blast(&gateway.address(), flood, CONNECTIONS).await, FLOOD, "deliveries were refused");
        beside.push(latencies(&gateway, &sink, &mut number).await);
    }
    let of = |all: &[Vec<f64>], part: f64| {
        median(&all.iter().map(|waits| waits[(waits.len() as f64 * part) as usize]).collect::<Vec<_>>())
    };
    for (name, all) in [
        ("alone".to_owned(), &alone),
        (format!("beside {FLOOD} waiting deliveries of a tenant whose backend hangs"), &beside),
    ] {
        println!("  {name:<56} {:>6.2} ms {:>6.2} ms", of(all, 0.5), of(all, 0.99));
    }
}
