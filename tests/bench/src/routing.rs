//! What routing costs: the same deliveries through a gateway with the plain tables, with one route, and with a thousand.

use crate::{
    CONNECTIONS, SECRET,
    load::{Sink, blast},
    median,
    procs::Gateway,
    requests,
};
use guarita_testkit::payload::PHONE_NUMBER_ID;
use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

const DELIVERIES: usize = 15_000;
const ROUTES: usize = 1_000;

/// `count` routes, each a number of its own; the one that is written to stands in the middle.
fn routes(count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        let number = if n == count / 2 { PHONE_NUMBER_ID.to_owned() } else { format!("2065403{n:08}") };
        let _ = writeln!(text, "[[routes]]\nname = \"r{n}\"\nmatch = {{ phone_number_id = \"{number}\" }}");
    }
    text
}

pub async fn bench(guarita: &Path, rounds: usize) {
    println!("\n{:<58} {:>14}", "routing: texts, end to end", "messages/s");
    let kinds = [("no routes, the plain tables", 0), ("one route", 1), ("1,000 routes", ROUTES)];
    let mut rates = vec![Vec::new(); kinds.len()];
    for _ in 0..rounds {
        for (at, (_, count)) in kinds.iter().enumerate() {
            let sink = Sink::start().await;
            let gateway = Gateway::start_with(guarita, &sink.url(), SECRET, &routes(*count)).await;
            let mut number = 0;
            let requests = requests(&gateway.address(), DELIVERIES, &mut number);
            let began = Instant::now();
            let ok = blast(&gateway.address(), requests, CONNECTIONS).await;
            assert_eq!(ok, DELIVERIES, "deliveries were refused");
            sink.wait_for(DELIVERIES, Duration::from_secs(120)).await;
            rates[at].push(DELIVERIES as f64 / began.elapsed().as_secs_f64());
        }
    }
    let ratios: Vec<f64> = rates[2].iter().zip(&rates[1]).map(|(many, one)| many / one).collect();
    for ((name, _), rates) in kinds.iter().zip(&rates) {
        println!("  {:<56} {:>14.0}", format!("{name} (median)"), median(rates));
    }
    println!("  {:<56} {:>13.1}%", "1,000 routes against one, round by round (median)", 100.0 * median(&ratios));
}
