//! What outlives a crash, and who may misbehave: the wall clock, the faults, what is on disk, what the backend got.
//!
//! Every stand-in calls [`World::before`] and [`World::after`] around what it does. Those are the awaits of the gateway
//! at which time passes, an operation fails, or the whole process dies.

use crate::{chance::Chance, truth::Truth};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Append,
    Claim,
    Decide,
    Finish,
    Renew,
    Look,
    Index,
    Blob,
    Fetch,
    Clamd,
    Worker,
    Backend,
}

pub const ALL: [Who; 12] = [
    Who::Append,
    Who::Claim,
    Who::Decide,
    Who::Finish,
    Who::Renew,
    Who::Look,
    Who::Index,
    Who::Blob,
    Who::Fetch,
    Who::Clamd,
    Who::Worker,
    Who::Backend,
];

/// What is done to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and did nothing.
    Fails,
    /// It is said to have failed, and did it.
    FailsAfterwards,
    /// The process dies before it is done.
    DiesBefore,
    /// The process dies when it is done and nobody was told.
    DiesAfter,
    /// It takes long.
    Stalls,
    /// It answers what nobody should trust.
    Lies,
}

/// How this seed misbehaves.
#[derive(Clone, Debug)]
pub enum Plan {
    /// The N-th operation of one kind goes wrong, once; everything else is well.
    Nth { who: Who, nth: u64, fault: Fault },
    /// Each has its rate, per mille.
    Rates { fails: BTreeMap<Who, u64>, dies: u64, stalls: u64, lies: u64, jumps: u64 },
}

pub struct State {
    pub chance: Chance,
    pub plan: Plan,
    /// Nothing goes wrong any more: whatever is unfinished must end now.
    pub calm: bool,
    pub truth: Truth,
    /// Version of the scanners' signatures; new ones come now and then, and outlive a crash.
    pub signatures: u64,
    /// The wall clock when this life began, and what it jumped since.
    wall_ms: u64,
    jumped_ms: i64,
    strayed_ms: i64,
    began: Option<Instant>,
    counted: BTreeMap<Who, u64>,
    pub operations: u64,
    pub crashes: u64,
    pub faults: u64,
    /// Of everything that happened, in its order: two runs of a seed must agree.
    pub trace: u64,
    pub log: Option<Vec<String>>,
    death: Arc<Notify>,
    pub dead: bool,
}

#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

/// A fault lets the operation be (`None`), fail at once, or be said to fail afterwards.
pub type Verdict = Option<Fault>;

const BEGIN_MS: u64 = 1_790_000_000_000;
/// The clock strays no further than this: what waits for a time then waits so much longer.
const JUMP_MAX_MS: i64 = 3600 * 1000;

impl World {
    pub fn new(seed: u64, verbose: bool) -> World {
        let mut chance = Chance::new(seed);
        let plan = plan(&mut chance);
        World(Arc::new(Mutex::new(State {
            chance,
            plan,
            calm: false,
            truth: Truth::default(),
            signatures: 1,
            wall_ms: BEGIN_MS,
            jumped_ms: 0,
            strayed_ms: 0,
            began: None,
            counted: BTreeMap::new(),
            operations: 0,
            crashes: 0,
            faults: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            log: verbose.then(Vec::new),
            death: Arc::new(Notify::new()),
            dead: false,
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process starts.
    pub fn begin_life(&self) {
        let mut state = self.lock();
        state.began = Some(Instant::now());
        state.dead = false;
        state.death = Arc::new(Notify::new());
    }

    /// It ended; some time passes until the next one starts.
    pub fn end_life(&self, now_ms: u64) {
        let mut state = self.lock();
        state.wall_ms = now_ms;
        state.jumped_ms = 0;
        state.began = None;
        if !state.calm {
            state.wall_ms += state.chance.within(10..20_000);
        }
    }

    pub fn now_ms(&self) -> u64 {
        let state = self.lock();
        state.now_ms()
    }

    /// Returns when the process died, or a promise was broken.
    pub async fn death(&self) {
        let death = self.lock().death.clone();
        death.notified().await;
    }

    pub fn chance<T>(&self, of: impl FnOnce(&mut Chance) -> T) -> T {
        of(&mut self.lock().chance)
    }

    pub fn note(&self, what: impl FnOnce() -> String) {
        let mut state = self.lock();
        state.note(what);
    }

    /// A promise was broken: the run ends, and this is what it says.
    pub fn broken(&self, promise: String) {
        let mut state = self.lock();
        state.broken(promise);
    }

    async fn die(&self) -> ! {
        {
            let mut state = self.lock();
            state.dead = true;
            state.crashes += 1;
            state.death.notify_one();
        }
        std::future::pending::<()>().await;
        unreachable!("nobody wakes the dead")
    }

    /// Before an operation: time passes, and it may go wrong. Only `Fails`, `FailsAfterwards` and `Lies` come back.
    pub async fn before(&self, who: Who) -> Verdict {
        let (fault, wait_ms) = {
            let mut state = self.lock();
            state.operations += 1;
            let count = state.counted.entry(who).or_default();
            *count += 1;
            let count = *count;
            let fault = if state.calm { None } else { state.draw(who, count) };
            state.faults += u64::from(fault.is_some());
            let wait = match fault {
                Some(Fault::Stalls) => state.chance.within(1_000..200_000),
                _ if state.chance.happens(300) => state.chance.within(1..40),
                _ => 0,
            };
            state.note(|| format!("{who:?} {count} {fault:?} {wait}"));
            (fault, wait)
        };
        if wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        } else {
            tokio::task::yield_now().await;
        }
        match fault {
            Some(Fault::DiesBefore) => self.die().await,
            fault => fault,
        }
    }

    /// The same for an operation that nobody awaits: it fails, or does not.
    pub fn fails_at_once(&self, who: Who) -> bool {
        let mut state = self.lock();
        state.operations += 1;
        let count = state.counted.entry(who).or_default();
        *count += 1;
        let count = *count;
        let fault = if state.calm { None } else { state.draw(who, count) };
        let fails = matches!(fault, Some(Fault::Fails | Fault::FailsAfterwards | Fault::Lies));
        state.faults += u64::from(fails);
        state.note(|| format!("{who:?} {count} fails: {fails}"));
        fails
    }

    /// When it is done and before the caller knows.
    pub async fn after(&self, fault: Verdict) {
        tokio::task::yield_now().await;
        if fault == Some(Fault::DiesAfter) {
            self.die().await;
        }
    }

    /// The clock of the machine is set, now and then.
    pub async fn jump_now_and_then(&self) {
        loop {
            let (wait, jump) = {
                let mut state = self.lock();
                let rate = match &state.plan {
                    Plan::Rates { jumps, .. } if !state.calm => *jumps,
                    _ => 0,
                };
                let wait = state.chance.within(200..20_000);
                let jump = if state.chance.happens(rate) {
                    let size = *state.chance.pick(&[1_000i64, 60_000, 600_000, 3_600_000]);
                    let by = state.chance.within(0..size as u64) as i64;
                    if state.chance.happens(500) { by } else { -by }
                } else {
                    0
                };
                (wait, jump)
            };
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let mut state = self.lock();
            if (state.strayed_ms + jump).abs() < JUMP_MAX_MS && jump != 0 && !state.calm {
                state.jumped_ms += jump;
                state.strayed_ms += jump;
                state.note(|| format!("the clock jumps by {jump}"));
            }
        }
    }
}

impl State {
    pub fn now_ms(&self) -> u64 {
        let since = self.began.map_or(0, |began| began.elapsed().as_millis() as i64);
        (self.wall_ms as i64 + since + self.jumped_ms) as u64
    }

    pub fn note(&mut self, what: impl FnOnce() -> String) {
        let what = what();
        for byte in what.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let now = self.now_ms();
        self.trace = (self.trace ^ now).wrapping_mul(0x0100_0000_01b3);
        if let Some(log) = &mut self.log {
            log.push(format!("{:>12} {what}", now as i64 - BEGIN_MS as i64));
        }
    }

    pub fn broken(&mut self, promise: String) {
        self.note(|| format!("BROKEN: {promise}"));
        self.truth.broken.get_or_insert(promise);
        self.dead = true;
        self.death.notify_one();
    }

    fn draw(&mut self, who: Who, count: u64) -> Verdict {
        let chance = &mut self.chance;
        match &self.plan {
            Plan::Nth { who: victim, nth, fault } => (*victim == who && *nth == count).then_some(*fault),
            Plan::Rates { fails, dies, stalls, lies, .. } => {
                if chance.happens(*dies) {
                    Some(if chance.happens(500) { Fault::DiesBefore } else { Fault::DiesAfter })
                } else if chance.happens(fails.get(&who).copied().unwrap_or(0)) {
                    Some(if chance.happens(800) { Fault::Fails } else { Fault::FailsAfterwards })
                } else if chance.happens(*stalls) {
                    Some(Fault::Stalls)
                } else if chance.happens(*lies) {
                    Some(Fault::Lies)
                } else {
                    None
                }
            }
        }
    }
}

fn plan(chance: &mut Chance) -> Plan {
    if chance.happens(300) {
        let fault = *chance.pick(&[
            Fault::Fails,
            Fault::FailsAfterwards,
            Fault::DiesBefore,
            Fault::DiesAfter,
            Fault::Stalls,
            Fault::Lies,
        ]);
        return Plan::Nth { who: *chance.pick(&ALL), nth: chance.within(1..30), fault };
    }
    let fails = ALL.iter().map(|who| (*who, *chance.pick(&[0, 0, 10, 100, 400]))).collect();
    Plan::Rates {
        fails,
        dies: *chance.pick(&[0, 2, 10, 30]),
        stalls: *chance.pick(&[0, 5, 50]),
        lies: *chance.pick(&[0, 50, 300]),
        jumps: *chance.pick(&[0, 0, 300]),
    }
}
