//! Two hundred and fifty seeds in every `make test`; `make simulate` runs as many as one likes.

use guarita_simulate::run;

#[test]
fn every_promise_holds() {
    let mut broken = Vec::new();
    for seed in 1..=250 {
        if let Err(promise) = run(seed, false) {
            broken.push(promise.to_string());
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn a_seed_replays() {
    for seed in [7, 40, 121] {
        assert_eq!(run(seed, true).unwrap(), run(seed, true).unwrap());
    }
}
