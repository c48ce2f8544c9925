//! Random operations on the SQLite spool and on the memory spool must come to the same. Seeded: a failure prints its
//! seed, and `GUARITA_SEED=… cargo test -p guarita-spool --test model` plays it again.

#![allow(clippy::unwrap_used)] // helpers of tests stand outside of test functions

use guarita_message::{Channel, ConversationKey, DedupeKey, DeliveryId, Lane, Verdict};
use guarita_spool::{
    Appended, Config, Decided, Filter, Finish, Keep, MemorySpool, NewEntry, Retention, Spool, SpoolError, SqliteSpool,
    State,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

const LEASE: u64 = 1000;
const DAY: u64 = 24 * 3600 * 1000;
const STEPS: usize = 500;
const SEEDS: u64 = 6;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// The two spools, and which id of one is which of the other.
struct Pair {
    folder: tempfile::TempDir,
    sqlite: Option<SqliteSpool>,
    memory: MemorySpool,
    ids: Vec<(DeliveryId, DeliveryId)>,
    by_sqlite: HashMap<DeliveryId, usize>,
    by_memory: HashMap<DeliveryId, usize>,
    now: u64,
}

fn kind<T>(result: Result<T, SpoolError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(SpoolError::LeaseLost(_)) => "lease lost",
        Err(SpoolError::NotFound(_)) => "not found",
        Err(SpoolError::NotNow(_)) => "not now",
        Err(other) => panic!("{other}"),
    }
}

impl Pair {
    fn config(&self) -> Config {
        Config { path: self.folder.path().to_owned(), cache_bytes_max: 3000, ..Config::default() }
    }

    fn sqlite(&self) -> &SqliteSpool {
        self.sqlite.as_ref().unwrap()
    }

    async fn append(&mut self, random: &mut Random) {
        let entries: Vec<NewEntry> = (0..1 + random.below(3))
            .map(|_| NewEntry {
                route: format!("r{}", random.below(3)),
                channel: Channel::Whatsapp,
                account: String::new(),
                lane: Lane::Message,
                conversation: ConversationKey(random.below(6).to_string()),
                dedupe: (0..random.below(3)).map(|_| DedupeKey(random.below(400).to_string())).collect(),
                senders: vec![random.below(5).to_string()],
                body: random.below(1 << 40).to_string().into_bytes(),
            })
            .collect();
        let ours = self.sqlite().append(self.now, entries.clone()).await.unwrap();
        let theirs = self.memory.append(self.now, entries).await.unwrap();
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            match (ours, theirs) {
                (Appended::Stored(ours), Appended::Stored(theirs)) => {
                    self.by_sqlite.insert(ours.clone(), self.ids.len());
                    self.by_memory.insert(theirs.clone(), self.ids.len());
                    self.ids.push((ours, theirs));
                }
                (ours, theirs) => assert_eq!(ours, theirs),
            }
        }
    }

    async fn claim(&mut self) {
        let ours = self.sqlite().claim(self.now, LEASE, 100).await.unwrap();
        let theirs = self.memory.claim(self.now, LEASE, 100).await.unwrap();
        let mut ours: Vec<_> = ours
            .into_iter()
            .map(|c| {
                (
                    self.by_sqlite[&c.id],
                    c.body,
                    c.decided,
                    c.attempts,
                    c.looks,
                    c.since_ms,
                    c.released_by,
                    c.conversation,
                )
            })
            .collect();
        ours.sort_by_key(|claimed| claimed.0);
        let theirs: Vec<_> = theirs
            .into_iter()
            .map(|c| {
                (
                    self.by_memory[&c.id],
                    c.body,
                    c.decided,
                    c.attempts,
                    c.looks,
                    c.since_ms,
                    c.released_by,
                    c.conversation,
                )
            })
            .collect();
        assert_eq!(ours, theirs);
    }

    async fn act_on_one(&mut self, random: &mut Random) {
        if self.ids.is_empty() {
            return;
        }
        let newest = self.ids.len() as u64;
        let at = (newest - 1 - random.below(newest.min(25))) as usize;
        let (ours, theirs) = self.ids[at].clone();
        let (now, sqlite, memory) = (self.now, self.sqlite(), &self.memory);
        let finish = match random.below(8) {
            0 => Finish::RetryAt { at: now + random.below(3000), error: "e".to_owned() },
            1 => Finish::LookAgainAt { at: now + random.below(3000) },
            2 => Finish::Quarantined,
            3 => Finish::DeadLettered { error: "d".to_owned() },
            _ => Finish::Delivered,
        };
        let verdict = Verdict::ALL[random.below(4) as usize];
        let body = (random.below(2) == 0).then(|| b"new".to_vec());
        let decided = Decided {
            verdict,
            body,
            findings_header: None,
            report: vec![1],
            quarantine: random.below(3) == 0,
            terms: (0..random.below(3)).map(|_| format!("t{}", random.below(6))).collect(),
            summary: vec![1; random.below(3) as usize],
        };
        let (left, right) = match random.below(10) {
            9 if random.below(3) == 0 => {
                (kind(sqlite.erase_entry(&ours).await), kind(memory.erase_entry(&theirs).await))
            }
            0 => (kind(sqlite.release(now, &ours, "p").await), kind(memory.release(now, &theirs, "p").await)),
            1 => (kind(sqlite.retry(now, &ours).await), kind(memory.retry(now, &theirs).await)),
            2 => (kind(sqlite.renew(now, &ours, LEASE).await), kind(memory.renew(now, &theirs, LEASE).await)),
            3 | 4 => (
                kind(sqlite.record_decided(now, &ours, decided.clone()).await),
                kind(memory.record_decided(now, &theirs, decided).await),
            ),
            _ => {
                (kind(sqlite.finish(now, &ours, finish.clone()).await), kind(memory.finish(now, &theirs, finish).await))
            }
        };
        assert_eq!(left, right, "entry {at}");
    }

    async fn sweep(&mut self) {
        let (mut ours, mut theirs) = ((0, 0), (0, 0));
        let routes = BTreeMap::from([("r1".to_owned(), Keep::days(2, 1))]);
        let retention = Arc::new(Retention { routes, ..Retention::common(Keep::days(1, 3)) });
        for _ in 0..4 {
            let swept = self.sqlite().sweep(self.now, retention.clone()).await.unwrap();
            ours = (ours.0 + swept.entries, ours.1 + swept.contents);
            let swept = self.memory.sweep(self.now, retention.clone()).await.unwrap();
            theirs = (theirs.0 + swept.entries, theirs.1 + swept.contents);
        }
        assert_eq!(ours, theirs);
    }

    /// All leases end in a restart; the model's by time.
    async fn restart(&mut self) {
        self.sqlite = None;
        self.sqlite = Some(SqliteSpool::open(&self.config()).unwrap());
        self.now += LEASE + 3000;
        self.memory.claim(self.now, 0, 0).await.unwrap();
    }

    async fn compare(&self) {
        let (mut ours, mut theirs) = (self.sqlite().counts().await.unwrap(), self.memory.counts().await.unwrap());
        (ours.claimed, theirs.claimed) = (0, 0);
        assert_eq!(ours, theirs);
        let conversation = Some(ConversationKey("1".to_owned()));
        let filters = [
            Filter::default(),
            Filter { quarantine: Some(true), ..Filter::default() },
            Filter { quarantine: Some(true), released: Some(false), ..Filter::default() },
            Filter { released: Some(true), ..Filter::default() },
            Filter { states: vec![State::Received, State::DeadLettered], ..Filter::default() },
            Filter { verdicts: vec![Verdict::Malicious, Verdict::Unscanned], ..Filter::default() },
            Filter { sender: Some("2".to_owned()), ..Filter::default() },
            Filter { conversation, ..Filter::default() },
            Filter { terms: vec!["t1".to_owned()], ..Filter::default() },
            Filter { terms: vec!["t2".to_owned(), "t3".to_owned()], oldest_first: true, ..Filter::default() },
            Filter { unfinished: Some(true), sender: Some("3".to_owned()), ..Filter::default() },
        ];
        for filter in filters {
            let ours = self.sqlite().list(filter.clone(), 1000).await.unwrap();
            let theirs = self.memory.list(filter, 1000).await.unwrap();
            let shown = |records: Vec<guarita_spool::Record>, known: &HashMap<DeliveryId, usize>| -> Vec<String> {
                let show = |mut record: guarita_spool::Record| {
                    record.id = DeliveryId(known[&record.id].to_string());
                    format!("{record:?}")
                };
                records.into_iter().map(show).collect()
            };
            assert_eq!(shown(ours, &self.by_sqlite), shown(theirs, &self.by_memory));
        }
        let (ours, theirs): (Vec<_>, Vec<_>) = self.ids.iter().rev().take(200).cloned().unzip();
        assert_eq!(self.sqlite().summaries(&ours).await.unwrap(), self.memory.summaries(&theirs).await.unwrap());
    }
}

async fn play(seed: u64) {
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair {
        folder,
        sqlite: None,
        memory: MemorySpool::new(),
        ids: Vec::new(),
        by_sqlite: HashMap::new(),
        by_memory: HashMap::new(),
        now: 1_790_000_000_000,
    };
    pair.sqlite = Some(SqliteSpool::open(&pair.config()).unwrap());
    for step in 0..STEPS {
        pair.now += random.below(200);
        match random.below(100) {
            0..30 => pair.append(&mut random).await,
            30..55 => pair.claim().await,
            55..92 => pair.act_on_one(&mut random).await,
            92 => pair.sweep().await,
            93 => pair.now += random.below(2 * DAY),
            94 => {
                let sender = random.below(5).to_string();
                let erased = pair.sqlite().erase_sender(&sender).await.unwrap();
                assert_eq!(erased, pair.memory.erase_sender(&sender).await.unwrap());
            }
            95 => pair.restart().await,
            _ => pair.compare().await,
        }
        if step % 100 == 99 {
            pair.compare().await;
        }
    }
}

#[tokio::test]
async fn the_sqlite_spool_does_what_the_plain_model_does() {
    if let Ok(seed) = std::env::var("GUARITA_SEED") {
        return play(seed.parse().unwrap()).await;
    }
    for seed in 0..SEEDS {
        println!("GUARITA_SEED={seed}");
        play(seed).await;
    }
}
