//! A seeded simulation of receive → spool → pipeline → deliver, with everything around them misbehaving: the disk, Graph,
//! the scanners, the backend, the clock; and with crashes at any await.
//!
//! What is ours and runs is the real code. What is simulated stands in `store` (the disk under the spool), `shelf` (media
//! index and blobs), `graph` (Graph and the scanners), `backend`, `meta` and `world` (time, faults, deaths). What really
//! happened is written down in `truth`, and every promise is checked against it as things happen. A seed names a run:
//! the same seed gives the same run, so what fails once can be looked at as often as one likes.

mod backend;
mod chance;
mod graph;
mod life;
mod meta;
mod shelf;
mod store;
mod truth;
mod world;

use graph::Simulated;
use std::{
    cell::Cell,
    sync::{Arc, Mutex, Once},
};
use world::World;

thread_local! {
    /// Something panicked that was not meant to.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Lives that end in trouble, before the calm one.
const LIVES_MAX: u64 = 6;
/// One seed in so many runs on SQLite.
const SQLITE_EVERY: u64 = 40;

/// What a run was like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub updates: u64,
    pub deliveries: u64,
    /// Deliveries that the backend had taken before: allowed only after a crash or an answer that was lost.
    pub repeats: u64,
    pub operations: u64,
    pub faults: u64,
    pub crashes: u64,
    pub sqlite: bool,
    /// Of everything that happened: equal for equal seeds.
    pub trace: u64,
    /// What happened, if it was asked for.
    pub log: Vec<String>,
}

/// A broken promise.
#[derive(Debug)]
pub struct Broken {
    pub seed: u64,
    pub promise: String,
    /// What happened, if it was asked for.
    pub log: Vec<String>,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}: {}\n  see it again: make simulate SEED={}", self.seed, self.promise, self.seed)
    }
}

/// Runs one seed.
pub fn run(seed: u64, verbose: bool) -> Result<Report, Broken> {
    quiet_simulated_panics();
    let world = World::new(seed, verbose);
    let sqlite = seed.is_multiple_of(SQLITE_EVERY);
    let ended = story(&world, sqlite);
    let mut state = world.lock();
    let panicked = PANICKED.with(|panicked| panicked.replace(false)).then(|| "something panicked".to_owned());
    let promise = state.truth.broken.take().or(ended.err()).or(panicked).or_else(|| missing(&state));
    match promise {
        Some(promise) => Err(Broken { seed, promise, log: state.log.take().unwrap_or_default() }),
        None => Ok(Report {
            updates: state.truth.acknowledged.len() as u64,
            deliveries: state.truth.deliveries,
            repeats: state.truth.repeats,
            operations: state.operations,
            faults: state.faults,
            crashes: state.crashes,
            sqlite,
            trace: state.trace,
            log: state.log.take().unwrap_or_default(),
        }),
    }
}

fn story(world: &World, sqlite: bool) -> Result<(), String> {
    let settings = life::Settings::draw(world);
    world.lock().truth.passes_at_deadline = settings.on_deadline == guarita_policy::OnDeadline::Pass;
    let posts = Arc::new(Mutex::new(world.chance(meta::posts)));
    let mut disk = store::Disk::new(sqlite);
    let shelf = shelf::Shelf::new(world);
    let lives = world.chance(|chance| chance.within(1..LIVES_MAX));
    for _ in 0..lives {
        life::live(world, &mut disk, &shelf, &settings, &posts)?;
        if world.lock().truth.broken.is_some() {
            return Ok(());
        }
    }
    world.lock().calm = true;
    life::live(world, &mut disk, &shelf, &settings, &posts)
}

/// At the end of a calm life the backend has everything that was ever acknowledged.
fn missing(state: &world::State) -> Option<String> {
    let missing: Vec<_> = state.truth.acknowledged.difference(&state.truth.taken).collect();
    (!missing.is_empty()).then(|| format!("updates {missing:?} were answered 200 and never reached the backend"))
}

/// A simulated defect panics in the middle of the pipeline, which must bear it; only what is not simulated is printed.
fn quiet_simulated_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload().is::<Simulated>() {
                PANICKED.with(|panicked| panicked.set(true));
                before(panic);
            }
        }));
    });
}
