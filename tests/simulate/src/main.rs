//! `make simulate SEEDS=1..100000` runs many seeds; `make simulate SEED=42` tells one as it happens.
#![allow(clippy::print_stdout)]

use guarita_simulate::{Report, run};
use std::{process::ExitCode, time::Instant};

const USAGE: &str = "usage: guarita-simulate SEED | FROM..TO";
/// Broken promises after which it is enough.
const BROKEN_MAX: u32 = 10;

fn main() -> ExitCode {
    let asked = std::env::args().nth(1).unwrap_or_else(|| "1..2000".into());
    let Some((from, to)) = asked.split_once("..") else {
        let Ok(seed) = asked.parse() else {
            eprintln!("{USAGE}");
            return ExitCode::from(64);
        };
        return one(seed);
    };
    let (Ok(from), Ok(to)) = (from.parse::<u64>(), to.parse::<u64>()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    many(from, to)
}

fn one(seed: u64) -> ExitCode {
    match run(seed, true) {
        Ok(mut report) => {
            std::mem::take(&mut report.log).iter().for_each(|line| println!("{line}"));
            println!("every promise held: {report:?}");
            ExitCode::SUCCESS
        }
        Err(broken) => {
            broken.log.iter().for_each(|line| println!("{line}"));
            println!("{broken}");
            ExitCode::FAILURE
        }
    }
}

fn many(from: u64, to: u64) -> ExitCode {
    let (began, mut broken, mut all) = (Instant::now(), 0, Report::default());
    let mut on_sqlite = 0;
    for seed in from..=to {
        match run(seed, false) {
            Ok(report) => {
                all.updates += report.updates;
                all.deliveries += report.deliveries;
                all.repeats += report.repeats;
                all.operations += report.operations;
                all.faults += report.faults;
                all.crashes += report.crashes;
                on_sqlite += u64::from(report.sqlite);
            }
            Err(promise) => {
                println!("{promise}");
                broken += 1;
                if broken == BROKEN_MAX {
                    break;
                }
            }
        }
        if seed.is_multiple_of(5000) {
            println!("{seed}: {} s", began.elapsed().as_secs());
        }
    }
    println!(
        "seeds {from}..{to} ({on_sqlite} on SQLite) in {} s: {} updates acknowledged, {} deliveries of which {} repeats, \
         {} operations, {} faults, {} crashes; broken promises: {broken}",
        began.elapsed().as_secs(),
        all.updates,
        all.deliveries,
        all.repeats,
        all.operations,
        all.faults,
        all.crashes
    );
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
