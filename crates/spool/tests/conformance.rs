//! The promises of the `Spool` trait, each tested on every implementation. Add a spool: add a line to `spools`.

#![allow(clippy::unwrap_used)] // helpers of tests stand outside of test functions

use guarita_message::{Channel, ConversationKey, DedupeKey, DeliveryId, Lane, Verdict};
use guarita_spool::{
    Appended, Claimed, Config, DEDUPE_MILLIS, Decided, Filter, Finish, Keep, MemorySpool, NewEntry, Retention, Spool,
    SpoolError, SqliteSpool, State, Swept,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Runs each test against each spool.
macro_rules! conformance {
    ($($name:ident),+ $(,)?) => {
        mod memory { $(
            #[tokio::test]
            async fn $name() { super::$name(std::sync::Arc::new(super::MemorySpool::new())).await }
        )+ }
        mod sqlite { $(
            #[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let config = super::Config { path: folder.path().join("spool"), ..Default::default() };
                super::$name(std::sync::Arc::new(super::SqliteSpool::open(&config).unwrap())).await
            }
        )+ }
        /// The same with no cache, so that all comes from the disk, and a short queue.
        mod sqlite_without_cache { $(
            #[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("spool");
                let config = super::Config { path, queue_max: 16, cache_bytes_max: 0, ..Default::default() };
                super::$name(std::sync::Arc::new(super::SqliteSpool::open(&config).unwrap())).await
            }
        )+ }
    };
}

conformance!(
    what_is_stored_is_claimed_as_it_came,
    results_stand_in_the_order_of_the_entries,
    duplicates_are_remembered_for_seven_days,
    a_mix_of_old_and_new_updates_names_the_old_ones,
    concurrent_duplicates_are_stored_once,
    a_conversation_is_claimed_one_at_a_time_and_in_order,
    a_retry_holds_up_its_conversation_and_no_other,
    a_lease_that_ran_out_is_claimed_again_and_takes_no_late_result,
    a_renewed_lease_lasts,
    a_decision_survives_attempts_and_looks,
    only_one_result_of_a_claim_is_taken,
    unknown_ids_are_not_found,
    waiting_ends_when_there_is_work,
    waiting_ends_when_a_retry_is_due,
    a_release_is_claimed_without_its_decision,
    a_release_goes_before_what_waits_but_never_beside_what_is_held,
    a_dead_letter_can_be_retried,
    what_is_put_back_by_a_person_begins_anew,
    a_waiting_retry_can_be_hurried,
    records_tell_what_happened,
    lists_narrow_and_page,
    lists_go_both_ways_and_piece_by_piece,
    entries_are_found_by_their_terms,
    summaries_come_without_the_content,
    history_tells_what_came_and_how_it_stands,
    one_entry_is_erased,
    counts_follow_every_change,
    content_goes_when_its_retention_is_over,
    each_route_has_its_retention,
    retention_looks_past_what_is_kept,
    withheld_content_is_kept_for_the_quarantine,
    unfinished_entries_are_never_swept,
    a_sender_is_erased,
    it_is_writable,
);

type TheSpool = Arc<dyn Spool>;

/// A day in 2026.
const T: u64 = 1_790_000_000_000;
const LEASE: u64 = 30_000;
const DAY: u64 = 24 * 3600 * 1000;

fn entry(conversation: &str, key: &str) -> NewEntry {
    NewEntry {
        route: "default".to_owned(),
        channel: Channel::Whatsapp,
        account: "1066".to_owned(),
        lane: Lane::Message,
        conversation: ConversationKey(conversation.to_owned()),
        dedupe: vec![DedupeKey(key.to_owned())],
        senders: vec![format!("sender of {conversation}"), "everybody".to_owned()],
        body: format!("body of {key}").into_bytes(),
    }
}

fn decided(verdict: Verdict, quarantine: bool) -> Decided {
    let body = Some(b"what is sent".to_vec());
    let (findings_header, report) = (Some("%5B%5D".to_owned()), b"why".to_vec());
    Decided { verdict, body, findings_header, report, quarantine, terms: Vec::new(), summary: b"short".to_vec() }
}

async fn store(spool: &TheSpool, now: u64, entry: NewEntry) -> DeliveryId {
    match spool.append(now, vec![entry]).await.unwrap().remove(0) {
        Appended::Stored(id) => id,
        other => panic!("not stored: {other:?}"),
    }
}

async fn claim_one(spool: &TheSpool, now: u64) -> Claimed {
    let mut claimed = spool.claim(now, LEASE, 10).await.unwrap();
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    claimed.remove(0)
}

async fn claim_ids(spool: &TheSpool, now: u64) -> Vec<DeliveryId> {
    let mut ids: Vec<_> = spool.claim(now, LEASE, 100).await.unwrap().into_iter().map(|claimed| claimed.id).collect();
    ids.sort();
    ids
}

/// Stores, claims and finishes an entry.
async fn finished(spool: &TheSpool, now: u64, entry: NewEntry, decided: Decided, finish: Finish) -> DeliveryId {
    let id = store(spool, now, entry).await;
    assert_eq!(claim_one(spool, now).await.id, id);
    spool.record_decided(now, &id, decided).await.unwrap();
    spool.finish(now, &id, finish).await.unwrap();
    id
}

async fn sweep_all(spool: &TheSpool, now: u64) -> Swept {
    sweep_by(spool, now, &Retention::common(Keep::days(7, 30))).await
}

async fn sweep_by(spool: &TheSpool, now: u64, retention: &Retention) -> Swept {
    let mut all = Swept::default();
    loop {
        let swept = spool.sweep(now, Arc::new(retention.clone())).await.unwrap();
        if swept == Swept::default() {
            return all;
        }
        all.entries += swept.entries;
        all.contents += swept.contents;
        all.dedupe_keys += swept.dedupe_keys;
    }
}

async fn what_is_stored_is_claimed_as_it_came(spool: TheSpool) {
    let new = NewEntry { lane: Lane::Status, channel: Channel::Instagram, ..entry("a", "1") };
    let id = store(&spool, T, new).await;
    assert_eq!(id.0.len(), 26);
    let claimed = claim_one(&spool, T + 1).await;
    assert_eq!((&claimed.id, &claimed.route[..], claimed.received_ms), (&id, "default", T));
    assert_eq!((claimed.channel, claimed.lane), (Channel::Instagram, Lane::Status));
    assert_eq!(claimed.conversation, ConversationKey("a".to_owned()));
    assert_eq!(&claimed.body[..], b"body of 1");
    assert_eq!((claimed.decided, claimed.attempts, claimed.looks, claimed.released_by), (None, 0, 0, None));
    // Bodies of every size, and one that is claimed from the disk again.
    for (at, size) in [0, 1, 4096, 100_000, 3_000_000].into_iter().enumerate() {
        let body: Vec<u8> = (0..size).map(|i| (i * 7 + at) as u8).collect();
        let conversation = format!("size {size}");
        let id = store(&spool, T, NewEntry { body: body.clone(), ..entry(&conversation, &conversation) }).await;
        for _ in 0..2 {
            assert!(claim_one(&spool, T).await.body == body, "{size}");
            spool.finish(T, &id, Finish::LookAgainAt { at: T }).await.unwrap();
        }
        claim_one(&spool, T).await;
        spool.finish(T, &id, Finish::Delivered).await.unwrap();
        assert!(spool.content(&id).await.unwrap().received.unwrap() == body, "{size}");
    }
}

async fn results_stand_in_the_order_of_the_entries(spool: TheSpool) {
    store(&spool, T, entry("a", "old")).await;
    let no_key = NewEntry { dedupe: Vec::new(), ..entry("d", "") };
    let entries = vec![entry("b", "1"), entry("a", "old"), entry("c", "2"), entry("c", "1"), no_key.clone(), no_key];
    let results = spool.append(T, entries).await.unwrap();
    let stored: Vec<bool> = results.iter().map(|result| matches!(result, Appended::Stored(_))).collect();
    assert_eq!(stored, [true, false, true, false, true, true]);
    assert_eq!((&results[1], &results[3]), (&Appended::Duplicate, &Appended::Duplicate));
    assert!(spool.append(T, Vec::new()).await.unwrap().is_empty());
    // Ids are in order of receipt.
    let ids: Vec<_> =
        results.iter().filter_map(|r| if let Appended::Stored(id) = r { Some(id) } else { None }).collect();
    assert!(ids.is_sorted());
}

async fn duplicates_are_remembered_for_seven_days(spool: TheSpool) {
    let first = store(&spool, T, entry("a", "1")).await;
    for now in [T, T + DAY, T + DEDUPE_MILLIS - 1] {
        assert_eq!(spool.append(now, vec![entry("a", "1")]).await.unwrap(), [Appended::Duplicate]);
        assert_eq!(spool.append(now, vec![entry("b", "1")]).await.unwrap(), [Appended::Duplicate]);
    }
    let later = T + DEDUPE_MILLIS;
    assert_ne!(store(&spool, later, entry("a", "1")).await, first);
    assert_eq!(spool.append(later + DAY, vec![entry("a", "1")]).await.unwrap(), [Appended::Duplicate]);
    assert_eq!(spool.counts().await.unwrap().by_state[0], (State::Received, 2));
}

async fn a_mix_of_old_and_new_updates_names_the_old_ones(spool: TheSpool) {
    let key = |name: &str| DedupeKey(name.to_owned());
    let mixed = NewEntry { dedupe: vec![key("1"), key("2"), key("3")], ..entry("a", "") };
    store(&spool, T, entry("a", "2")).await;
    let results = spool.append(T, vec![mixed.clone()]).await.unwrap();
    assert_eq!(results, [Appended::PartlySeen(vec![key("2")])]);
    // Nothing of it is stored: the rest goes in alone, once.
    let rest = NewEntry { dedupe: vec![key("1"), key("3")], ..mixed.clone() };
    let results = spool.append(T, vec![rest, mixed]).await.unwrap();
    assert!(matches!(results[0], Appended::Stored(_)));
    assert_eq!(results[1], Appended::Duplicate);
    let twice = NewEntry { dedupe: vec![key("9"), key("9")], ..entry("a", "") };
    assert!(matches!(spool.append(T, vec![twice]).await.unwrap()[0], Appended::Stored(_)));
}

async fn concurrent_duplicates_are_stored_once(spool: TheSpool) {
    for round in 0..20 {
        let appends: Vec<_> = (0..8)
            .map(|_| {
                let (spool, new) = (spool.clone(), entry("a", &round.to_string()));
                tokio::spawn(async move { spool.append(T, vec![new]).await.unwrap().remove(0) })
            })
            .collect();
        let mut stored = 0;
        for append in appends {
            match append.await.unwrap() {
                Appended::Stored(_) => stored += 1,
                other => assert_eq!(other, Appended::Duplicate),
            }
        }
        assert_eq!(stored, 1);
    }
}

async fn a_conversation_is_claimed_one_at_a_time_and_in_order(spool: TheSpool) {
    let mut of_a = Vec::new();
    for n in 0..5 {
        of_a.push(store(&spool, T + n, entry("a", &format!("a{n}"))).await);
    }
    let b = store(&spool, T + 9, entry("b", "b")).await;
    let first = claim_ids(&spool, T + 10).await;
    assert!(first.contains(&of_a[0]), "the oldest is claimed");
    assert!(!of_a[1..].iter().any(|id| first.contains(id)), "no two of one conversation");
    for id in &of_a {
        if *id != of_a[0] {
            assert!(claim_ids(&spool, T + 10).await.contains(id));
        }
        assert_eq!(claim_ids(&spool, T + 10).await.iter().filter(|id| of_a.contains(id)).count(), 0);
        spool.finish(T + 10, id, Finish::Delivered).await.unwrap();
    }
    let rest = claim_ids(&spool, T + 10).await;
    assert!(first.contains(&b) != rest.contains(&b), "b is claimed once");
    // `most` bounds a claim.
    for n in 0..5 {
        store(&spool, T, entry(&format!("m{n}"), &format!("m{n}"))).await;
    }
    assert!(spool.claim(T, LEASE, 0).await.unwrap().is_empty());
    assert_eq!(spool.claim(T, LEASE, 1).await.unwrap().len(), 1);
}

async fn a_retry_holds_up_its_conversation_and_no_other(spool: TheSpool) {
    let first = store(&spool, T, entry("a", "1")).await;
    assert_eq!(claim_one(&spool, T).await.id, first);
    let finish = Finish::RetryAt { at: T + 60_000, error: "503".to_owned() };
    spool.finish(T, &first, finish).await.unwrap();
    let second = store(&spool, T, entry("a", "2")).await;
    let other = store(&spool, T, entry("b", "3")).await;
    assert_eq!(claim_one(&spool, T + 59_999).await.id, other);
    spool.finish(T + 59_999, &other, Finish::Delivered).await.unwrap();
    let again = claim_one(&spool, T + 60_000).await;
    assert_eq!((again.id, again.attempts, again.looks), (first.clone(), 1, 0));
    spool.finish(T + 60_000, &first, Finish::DeadLettered { error: "400".to_owned() }).await.unwrap();
    assert_eq!(claim_one(&spool, T + 60_000).await.id, second);
}

async fn a_lease_that_ran_out_is_claimed_again_and_takes_no_late_result(spool: TheSpool) {
    let id = store(&spool, T, entry("a", "1")).await;
    let next = store(&spool, T, entry("a", "2")).await;
    claim_one(&spool, T).await;
    assert!(claim_ids(&spool, T + LEASE - 1).await.is_empty());
    let late = T + LEASE;
    for _ in 0..2 {
        let lost = spool.finish(late, &id, Finish::Delivered).await;
        assert!(matches!(lost, Err(SpoolError::LeaseLost(lost)) if lost == id));
    }
    let lost = spool.record_decided(late, &id, decided(Verdict::Clean, false)).await;
    assert!(matches!(lost, Err(SpoolError::LeaseLost(_))));
    assert!(matches!(spool.renew(late, &id, LEASE).await, Err(SpoolError::LeaseLost(_))));
    assert_eq!(claim_one(&spool, late).await.id, id);
    spool.finish(late, &id, Finish::Delivered).await.unwrap();
    assert_eq!(claim_one(&spool, late).await.id, next);
}

async fn a_renewed_lease_lasts(spool: TheSpool) {
    let id = store(&spool, T, entry("a", "1")).await;
    claim_one(&spool, T).await;
    spool.renew(T + LEASE - 1, &id, LEASE).await.unwrap();
    assert!(claim_ids(&spool, T + LEASE + 10).await.is_empty());
    spool.finish(T + LEASE + 10, &id, Finish::Delivered).await.unwrap();
}

async fn a_decision_survives_attempts_and_looks(spool: TheSpool) {
    let id = store(&spool, T, entry("a", "1")).await;
    assert_eq!(claim_one(&spool, T).await.decided, None);
    spool.finish(T, &id, Finish::LookAgainAt { at: T + 5 }).await.unwrap();
    let again = claim_one(&spool, T + 5).await;
    assert_eq!((again.looks, again.attempts, again.decided), (1, 0, None));
    for (attempts, what) in [
        decided(Verdict::Malicious, true),
        Decided {
            body: None,
            findings_header: None,
            report: Vec::new(),
            summary: Vec::new(),
            ..decided(Verdict::Clean, false)
        },
    ]
    .into_iter()
    .enumerate()
    {
        spool.record_decided(T + 5, &id, what.clone()).await.unwrap();
        let finish = Finish::RetryAt { at: T + 6, error: "down".to_owned() };
        spool.finish(T + 5, &id, finish).await.unwrap();
        let again = claim_one(&spool, T + 6).await;
        assert_eq!(
            (again.decided, again.attempts, again.body),
            (Some(what), attempts as u32 + 1, b"body of 1".to_vec().into())
        );
    }
    // Also when nobody said how it ended.
    assert!(claim_one(&spool, T + 6 + LEASE).await.decided.is_some());
}

async fn only_one_result_of_a_claim_is_taken(spool: TheSpool) {
    let id = store(&spool, T, entry("a", "1")).await;
    claim_one(&spool, T).await;
    let results: Vec<_> = (0..6)
        .map(|_| {
            let (spool, id) = (spool.clone(), id.clone());
            tokio::spawn(async move { spool.finish(T, &id, Finish::Delivered).await })
        })
        .collect();
    let mut taken = 0;
    for result in results {
        match result.await.unwrap() {
            Ok(()) => taken += 1,
            Err(error) => assert!(matches!(error, SpoolError::LeaseLost(_)), "{error}"),
        }
    }
    assert_eq!(taken, 1);
    assert_eq!(spool.record(&id).await.unwrap().unwrap().attempts, 1);
}

async fn unknown_ids_are_not_found(spool: TheSpool) {
    let known = store(&spool, T, entry("a", "1")).await;
    claim_one(&spool, T).await;
    let mut wrong = known.0.clone();
    wrong.pop();
    wrong.push(if known.0.ends_with('0') { '1' } else { '0' });
    for id in ["", "nonsense", "01ARZ3NDEKTSV4RRFFQ69G5FAV", &wrong] {
        let id = DeliveryId(id.to_owned());
        assert!(spool.record(&id).await.unwrap().is_none());
        let not_found = [
            spool.content(&id).await.map(drop),
            spool.finish(T, &id, Finish::Delivered).await,
            spool.record_decided(T, &id, decided(Verdict::Clean, false)).await,
            spool.release(T, &id, "ana").await,
            spool.retry(T, &id).await,
        ];
        for result in not_found {
            assert!(matches!(result, Err(SpoolError::NotFound(_))), "{result:?}");
        }
    }
    spool.finish(T, &known, Finish::Delivered).await.unwrap();
}

async fn waiting_ends_when_there_is_work(spool: TheSpool) {
    let within = |millis| Duration::from_millis(millis);
    spool.claim(T, LEASE, 1).await.unwrap();
    assert!(tokio::time::timeout(within(30), spool.wait_for_work()).await.is_err(), "there is nothing");
    let waiter = tokio::spawn({
        let spool = spool.clone();
        async move { spool.wait_for_work().await }
    });
    tokio::time::sleep(within(20)).await;
    let id = store(&spool, T, entry("a", "1")).await;
    tokio::time::timeout(within(5000), waiter).await.unwrap().unwrap();
    // Work that came before the wait ends it, too.
    tokio::time::timeout(within(5000), spool.wait_for_work()).await.unwrap();
    claim_one(&spool, T).await;
    store(&spool, T, entry("a", "2")).await;
    let _ = tokio::time::timeout(within(30), spool.wait_for_work()).await;
    spool.finish(T, &id, Finish::Delivered).await.unwrap();
    tokio::time::timeout(within(5000), spool.wait_for_work()).await.unwrap();
    claim_one(&spool, T).await;
    spool.release(T, &id, "ana").await.unwrap();
}

async fn waiting_ends_when_a_retry_is_due(spool: TheSpool) {
    let id = store(&spool, T, entry("a", "1")).await;
    claim_one(&spool, T).await;
    spool.finish(T, &id, Finish::LookAgainAt { at: T + 300 }).await.unwrap();
    let begun = std::time::Instant::now();
    let (mut waits, mut claimed) = (0, 0);
    while claimed == 0 {
        let now = T + begun.elapsed().as_millis() as u64;
        claimed = spool.claim(now, LEASE, 1).await.unwrap().len();
        if claimed == 0 {
            tokio::time::timeout(Duration::from_secs(10), spool.wait_for_work()).await.unwrap();
            waits += 1;
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(waits < 20, "{waits}: it does not spin");
}

async fn a_release_is_claimed_without_its_decision(spool: TheSpool) {
    for (key, finish) in [("1", Finish::Quarantined), ("2", Finish::Delivered)] {
        let id = finished(&spool, T, entry("a", key), decided(Verdict::Malicious, true), finish).await;
        assert!(claim_ids(&spool, T + 1).await.is_empty());
        spool.release(T + 1, &id, "ana").await.unwrap();
        let released = claim_one(&spool, T + 1).await;
        assert_eq!((released.id, released.released_by.as_deref(), released.decided), (id.clone(), Some("ana"), None));
        assert_eq!(released.body, format!("body of {key}").into_bytes());
        // Not twice, and not what is on its way.
        assert!(matches!(spool.release(T + 1, &id, "eva").await, Err(SpoolError::NotNow(_))));
        spool.record_decided(T + 1, &id, decided(Verdict::Clean, false)).await.unwrap();
        spool.finish(T + 1, &id, Finish::Delivered).await.unwrap();
        let record = spool.record(&id).await.unwrap().unwrap();
        assert_eq!((record.state, record.released_by.as_deref()), (State::Delivered, Some("ana")));
    }
    let fresh = store(&spool, T, entry("b", "3")).await;
    assert!(matches!(spool.release(T, &fresh, "ana").await, Err(SpoolError::NotNow(_))));
    for (released, expected) in [(Some(true), 2), (Some(false), 1), (None, 3)] {
        let found = spool.list(Filter { released, ..Filter::default() }, 100).await.unwrap();
        assert_eq!(found.len(), expected, "{released:?}");
    }
}

async fn a_release_goes_before_what_waits_but_never_beside_what_is_held(spool: TheSpool) {
    let old = finished(&spool, T, entry("a", "1"), decided(Verdict::Malicious, true), Finish::Quarantined).await;
    let held = store(&spool, T, entry("a", "2")).await;
    let waiting = store(&spool, T, entry("a", "3")).await;
    assert_eq!(claim_one(&spool, T).await.id, held);
    spool.release(T, &old, "ana").await.unwrap();
    assert!(claim_ids(&spool, T).await.is_empty());
    spool.finish(T, &held, Finish::RetryAt { at: T + 1000, error: String::new() }).await.unwrap();
    assert_eq!(claim_one(&spool, T).await.id, old);
    assert!(claim_ids(&spool, T + 1000).await.is_empty());
    spool.finish(T, &old, Finish::Delivered).await.unwrap();
    assert_eq!(claim_one(&spool, T + 1000).await.id, held);
    spool.finish(T + 1000, &held, Finish::Delivered).await.unwrap();
    assert_eq!(claim_one(&spool, T + 1000).await.id, waiting);
}

async fn a_dead_letter_can_be_retried(spool: TheSpool) {
    let what = decided(Verdict::Clean, false);
    let dead = Finish::DeadLettered { error: "400".to_owned() };
    let id = finished(&spool, T, entry("a", "1"), what.clone(), dead.clone()).await;
    let second = store(&spool, T, entry("a", "2")).await;
    assert_eq!(claim_one(&spool, T).await.id, second);
    spool.finish(T, &second, dead).await.unwrap();
    spool.retry(T, &id).await.unwrap();
    spool.retry(T, &second).await.unwrap();
    let again = claim_one(&spool, T).await;
    assert_eq!((again.id, again.decided, again.attempts), (id.clone(), Some(what), 0));
    spool.finish(T, &id, Finish::Delivered).await.unwrap();
    assert_eq!(claim_one(&spool, T).await.decided, None);
    assert!(matches!(spool.retry(T, &id).await, Err(SpoolError::NotNow(_))), "delivered");
    spool.retry(T, &second).await.unwrap();
    assert!(claim_ids(&spool, T).await.is_empty(), "a claim that is held is not handed out beside itself");
}

async fn what_is_put_back_by_a_person_begins_anew(spool: TheSpool) {
    for (key, finish) in
        [("dead", Finish::DeadLettered { error: "503 for a week".to_owned() }), ("withheld", Finish::Quarantined)]
    {
        let id = store(&spool, T, entry(key, key)).await;
        claim_one(&spool, T).await;
        spool.finish(T, &id, Finish::LookAgainAt { at: T }).await.unwrap();
        let first = claim_one(&spool, T).await;
        assert_eq!((first.since_ms, first.looks), (T, 1));
        spool.record_decided(T, &id, decided(Verdict::Clean, false)).await.unwrap();
        spool.finish(T, &id, Finish::RetryAt { at: T, error: "503".to_owned() }).await.unwrap();
        // A retry that comes by itself, or is hurried, is of the same age.
        spool.retry(T + 1, &id).await.unwrap();
        let second = claim_one(&spool, T + 1).await;
        assert_eq!((second.since_ms, second.attempts, second.looks), (T, 1, 1));
        spool.finish(T + 1, &id, finish.clone()).await.unwrap();
        let later = T + 8 * DAY;
        if finish == Finish::Quarantined {
            spool.release(later, &id, "ana").await.unwrap();
        } else {
            spool.retry(later, &id).await.unwrap();
        }
        let again = claim_one(&spool, later).await;
        assert_eq!((again.received_ms, again.since_ms, again.attempts, again.looks), (T, later, 0, 0));
        spool.finish(later, &id, Finish::RetryAt { at: later, error: "503".to_owned() }).await.unwrap();
        assert_eq!(claim_one(&spool, later).await.since_ms, later);
        spool.finish(later, &id, Finish::Delivered).await.unwrap();
        let record = spool.record(&id).await.unwrap().unwrap();
        assert_eq!((record.put_back_ms, record.attempts, record.received_ms), (Some(later), 2, T));
    }
}

async fn a_waiting_retry_can_be_hurried(spool: TheSpool) {
    let id = store(&spool, T, entry("a", "1")).await;
    claim_one(&spool, T).await;
    spool.finish(T, &id, Finish::RetryAt { at: T + DAY, error: String::new() }).await.unwrap();
    assert!(claim_ids(&spool, T + 1).await.is_empty());
    spool.retry(T + 1, &id).await.unwrap();
    assert_eq!(claim_one(&spool, T + 1).await.id, id);
}

async fn records_tell_what_happened(spool: TheSpool) {
    let id = store(&spool, T, entry("a", "1")).await;
    let record = spool.record(&id).await.unwrap().unwrap();
    assert_eq!((record.state, record.received_ms, &record.account[..]), (State::Received, T, "1066"));
    claim_one(&spool, T).await;
    spool.record_decided(T + 1, &id, decided(Verdict::Suspicious, true)).await.unwrap();
    let record = spool.record(&id).await.unwrap().unwrap();
    assert_eq!((record.state, record.decided_ms), (State::Decided, Some(T + 1)));
    assert_eq!((record.verdict, record.quarantine), (Some(Verdict::Suspicious), true));
    spool.finish(T + 2, &id, Finish::RetryAt { at: T + 3, error: "502 from the backend".to_owned() }).await.unwrap();
    let record = spool.record(&id).await.unwrap().unwrap();
    assert_eq!((record.next_ms, record.attempts, record.looks), (Some(T + 3), 1, 0));
    assert_eq!(record.last_error.as_deref(), Some("502 from the backend"));
    claim_one(&spool, T + 3).await;
    spool.finish(T + 4, &id, Finish::Delivered).await.unwrap();
    let record = spool.record(&id).await.unwrap().unwrap();
    assert_eq!((record.state, record.finished_ms, record.next_ms), (State::Delivered, Some(T + 4), None));
    let content = spool.content(&id).await.unwrap();
    assert_eq!(content.received.as_deref(), Some(&b"body of 1"[..]));
    assert_eq!(content.sent.as_deref(), Some(&b"what is sent"[..]));
    assert_eq!(content.report.as_deref(), Some(&b"why"[..]));
    let untouched = Decided { body: None, ..decided(Verdict::Clean, false) };
    let id = finished(&spool, T, entry("b", "2"), untouched, Finish::Delivered).await;
    assert_eq!(spool.content(&id).await.unwrap().sent.as_deref(), Some(&b"body of 2"[..]));
}

async fn lists_narrow_and_page(spool: TheSpool) {
    let bad = decided(Verdict::Malicious, true);
    let other = NewEntry { route: "shop".to_owned(), channel: Channel::Messenger, ..entry("b", "2") };
    let one = finished(&spool, T, entry("a", "1"), decided(Verdict::Clean, false), Finish::Delivered).await;
    let two = finished(&spool, T + 1, other, bad.clone(), Finish::Quarantined).await;
    let three = finished(&spool, T + 2, entry("a", "3"), bad, Finish::Delivered).await;
    let dead = Finish::DeadLettered { error: String::new() };
    let four = finished(&spool, T + 3, entry("c", "4"), decided(Verdict::Suspicious, false), dead).await;
    let five = store(&spool, T + 4, entry("a", "5")).await;
    let ids = [one, two, three, four, five];
    let check = async |filter: Filter, expected: &[usize]| {
        let found = spool.list(filter.clone(), 100).await.unwrap();
        let found: Vec<_> = found.iter().map(|r| ids.iter().position(|id| *id == r.id).unwrap() + 1).collect();
        assert_eq!(found, expected, "{filter:?}");
    };
    let all = Filter::default;
    let conversation = |name: &str| Some(ConversationKey(name.to_owned()));
    check(all(), &[5, 4, 3, 2, 1]).await;
    check(Filter { states: vec![State::Received], ..all() }, &[5]).await;
    check(Filter { states: vec![State::Decided], ..all() }, &[]).await;
    check(Filter { states: vec![State::DeadLettered, State::Quarantined], ..all() }, &[4, 2]).await;
    check(Filter { states: vec![State::Delivered, State::Received], ..all() }, &[5, 3, 1]).await;
    check(Filter { verdicts: vec![Verdict::Malicious], ..all() }, &[3, 2]).await;
    check(Filter { verdicts: vec![Verdict::Malicious, Verdict::Suspicious], ..all() }, &[4, 3, 2]).await;
    check(Filter { verdicts: vec![Verdict::Clean, Verdict::Suspicious], ..all() }, &[4, 1]).await;
    check(Filter { quarantine: Some(true), ..all() }, &[3, 2]).await;
    check(Filter { quarantine: Some(false), ..all() }, &[5, 4, 1]).await;
    check(Filter { channel: Some(Channel::Messenger), ..all() }, &[2]).await;
    check(Filter { route: Some("default".to_owned()), ..all() }, &[5, 4, 3, 1]).await;
    check(Filter { sender: Some("sender of a".to_owned()), ..all() }, &[5, 3, 1]).await;
    check(Filter { sender: Some("everybody".to_owned()), quarantine: Some(true), ..all() }, &[3, 2]).await;
    check(Filter { sender: Some("sender".to_owned()), ..all() }, &[]).await;
    check(Filter { conversation: conversation("a"), ..all() }, &[5, 3, 1]).await;
    let delivered_of_a = Filter { conversation: conversation("a"), states: vec![State::Delivered], ..all() };
    check(delivered_of_a, &[3, 1]).await;
    let both = Filter { conversation: conversation("c"), sender: Some("everybody".to_owned()), ..all() };
    check(both, &[4]).await;
    check(Filter { received_from: Some(T + 1), received_until: Some(T + 3), ..all() }, &[3, 2]).await;
    check(Filter { before: Some(ids[3].clone()), ..all() }, &[3, 2, 1]).await;
    let paged = Filter { before: Some(ids[3].clone()), quarantine: Some(true), ..all() };
    assert_eq!(spool.list(paged, 1).await.unwrap()[0].id, ids[2]);
    assert_eq!(spool.list(all(), 2).await.unwrap().len(), 2);
    assert!(spool.list(all(), 0).await.unwrap().is_empty());
    let injection = "x' OR '1' = '1".to_owned();
    check(Filter { route: Some(injection.clone()), ..all() }, &[]).await;
    check(Filter { sender: Some(injection.clone()), ..all() }, &[]).await;
    check(Filter { before: Some(DeliveryId(injection)), ..all() }, &[]).await;
}

async fn lists_go_both_ways_and_piece_by_piece(spool: TheSpool) {
    let mut ids = Vec::new();
    for n in 0..23u64 {
        let verdict = if n % 3 == 0 { Verdict::Malicious } else { Verdict::Clean };
        let finish = if n % 2 == 0 { Finish::Delivered } else { Finish::Quarantined };
        let new = entry(&(n % 4).to_string(), &n.to_string());
        ids.push(finished(&spool, T + n, new, decided(verdict, n % 3 == 0), finish).await);
    }
    ids.push(store(&spool, T + 30, entry("0", "waiting")).await);
    let filters = [
        Filter::default(),
        Filter { verdicts: vec![Verdict::Malicious], ..Filter::default() },
        Filter { states: vec![State::Quarantined, State::Received], ..Filter::default() },
        Filter { states: vec![State::Delivered], ..Filter::default() },
        Filter { quarantine: Some(true), ..Filter::default() },
        Filter { sender: Some("sender of 2".to_owned()), ..Filter::default() },
        Filter { conversation: Some(ConversationKey("0".to_owned())), unfinished: Some(false), ..Filter::default() },
        Filter { received_from: Some(T + 3), received_until: Some(T + 17), ..Filter::default() },
        Filter { sender: Some("everybody".to_owned()), verdicts: vec![Verdict::Malicious], ..Filter::default() },
    ];
    for filter in filters {
        let newest: Vec<_> = spool.list(filter.clone(), 100).await.unwrap().into_iter().map(|r| r.id).collect();
        assert!(newest.len() > 2 && newest.is_sorted_by(|a, b| a > b), "{filter:?}");
        let mut oldest = newest.clone();
        oldest.reverse();
        for (oldest_first, expected) in [(false, &newest), (true, &oldest)] {
            for most in [1, 2, 5, 100] {
                let (mut found, mut next) = (Vec::new(), None);
                loop {
                    let mut piece = Filter { oldest_first, ..filter.clone() };
                    *(if oldest_first { &mut piece.after } else { &mut piece.before }) = next;
                    let page = spool.page(piece, most).await.unwrap();
                    assert!(page.records.len() <= most);
                    found.extend(page.records.into_iter().map(|record| record.id));
                    next = page.next;
                    if next.is_none() {
                        break;
                    }
                }
                assert_eq!(found, *expected, "{filter:?} {most}");
            }
        }
        // Between two of them.
        let (before, after) = (Some(newest[0].clone()), newest.last().cloned());
        let between = spool.list(Filter { before, after, ..filter }, 100).await.unwrap();
        assert_eq!(between.len(), newest.len() - 2);
    }
    let ids_of = async |filter| spool.list(filter, 100).await.unwrap().into_iter().map(|r| r.id).collect::<Vec<_>>();
    assert_eq!(ids_of(Filter { unfinished: Some(true), ..Filter::default() }).await, [ids[23].clone()]);
    assert_eq!(ids_of(Filter { unfinished: Some(false), ..Filter::default() }).await.len(), 23);
    assert!(spool.page(Filter::default(), 0).await.unwrap().records.is_empty());
}

async fn entries_are_found_by_their_terms(spool: TheSpool) {
    let bearing = |terms: &[&str]| Decided {
        terms: terms.iter().map(|term| (*term).to_owned()).collect(),
        ..decided(Verdict::Malicious, false)
    };
    let mut ids = Vec::new();
    for (n, terms) in [&["a", "b"][..], &["b", "c", "b"], &[], &["a", "b", "c"]].into_iter().enumerate() {
        let key = n.to_string();
        ids.push(finished(&spool, T, entry(&key, &key), bearing(terms), Finish::Delivered).await);
    }
    let check = async |terms: &[&str], expected: &[usize]| {
        let terms = terms.iter().map(|term| (*term).to_owned()).collect();
        let found = spool.list(Filter { terms, ..Filter::default() }, 100).await.unwrap();
        let found: Vec<_> = found.iter().map(|r| ids.iter().position(|id| *id == r.id).unwrap()).collect();
        assert_eq!(found, expected);
    };
    check(&["a"], &[3, 0]).await;
    check(&["b"], &[3, 1, 0]).await;
    check(&["b", "c"], &[3, 1]).await;
    check(&["c", "b", "a"], &[3]).await;
    check(&["d"], &[]).await;
    check(&["a", "d"], &[]).await;
    check(&["A"], &[]).await;
    check(&["a"; 17], &[]).await;
    // With other things asked for.
    let both = Filter {
        terms: vec!["b".to_owned()],
        conversation: Some(ConversationKey("1".to_owned())),
        ..Filter::default()
    };
    assert_eq!(spool.list(both, 9).await.unwrap()[0].id, ids[1]);
    // A second decision replaces the terms, and a release waits for its own.
    let twice = store(&spool, T, entry("t", "t")).await;
    claim_one(&spool, T).await;
    spool.record_decided(T, &twice, bearing(&["x", "y"])).await.unwrap();
    spool.record_decided(T, &twice, bearing(&["y", "z"])).await.unwrap();
    spool.finish(T, &twice, Finish::Quarantined).await.unwrap();
    let count = async |term: &str| {
        spool.list(Filter { terms: vec![term.to_owned()], ..Filter::default() }, 9).await.unwrap().len()
    };
    assert_eq!((count("x").await, count("y").await, count("z").await), (0, 1, 1));
    spool.release(T, &twice, "ana").await.unwrap();
    assert_eq!(count("y").await, 0);
    claim_one(&spool, T).await;
    spool.record_decided(T, &twice, bearing(&["y"])).await.unwrap();
    spool.finish(T, &twice, Finish::Delivered).await.unwrap();
    assert_eq!((count("y").await, count("z").await), (1, 0));
    // No more of one entry than the bound.
    let many: Vec<String> = (0..80).map(|n| format!("many {n}")).collect();
    let many = Decided { terms: many, ..decided(Verdict::Malicious, false) };
    finished(&spool, T, entry("m", "m"), many, Finish::Delivered).await;
    assert_eq!((count("many 63").await, count("many 64").await), (1, 0));
    // They go with the content.
    sweep_all(&spool, T + 7 * DAY).await;
    assert_eq!((count("a").await, count("b").await, count("many 1").await), (0, 0, 0));
    assert_eq!(spool.list(Filter::default(), 9).await.unwrap().len(), 6);
}

async fn summaries_come_without_the_content(spool: TheSpool) {
    let with = |summary: &[u8], report: usize| Decided {
        summary: summary.to_vec(),
        report: vec![b'r'; report],
        ..decided(Verdict::Malicious, false)
    };
    let small = finished(&spool, T, entry("a", "1"), with(b"small", 10), Finish::Delivered).await;
    let large = finished(&spool, T, entry("a", "2"), with(b"large", 100_000), Finish::Quarantined).await;
    let none = finished(&spool, T, entry("a", "3"), with(b"", 100_000), Finish::Delivered).await;
    let long = finished(&spool, T, entry("a", "4"), with(&[b's'; 1025], 10), Finish::Delivered).await;
    let fresh = store(&spool, T, entry("a", "5")).await;
    let unknown = DeliveryId("01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned());
    let ids = [large.clone(), unknown, small.clone(), none, long, fresh, small.clone()];
    let (some_small, some_large) = (Some(b"small".to_vec()), Some(b"large".to_vec()));
    let expected = [some_large, None, some_small.clone(), None, None, None, some_small];
    assert_eq!(spool.summaries(&ids).await.unwrap(), expected);
    assert!(spool.summaries(&[]).await.unwrap().is_empty());
    spool.erase_entry(&large).await.unwrap();
    sweep_all(&spool, T + 7 * DAY).await;
    assert_eq!(spool.summaries(&[small, large]).await.unwrap(), [None, None]);
}

async fn history_tells_what_came_and_how_it_stands(spool: TheSpool) {
    const MINUTE: u64 = 60_000;
    let start = T - T % MINUTE;
    let by = |numbers: &[(State, u64)]| numbers.iter().filter(|(_, n)| *n > 0).copied().collect::<Vec<_>>();
    let look = async |from, until, width| {
        let buckets = spool.history(from, until, width).await.unwrap();
        let shown = |bucket: guarita_spool::Bucket| {
            assert_eq!(bucket.received, bucket.by_state.iter().map(|(_, n)| n).sum::<u64>());
            let verdicts: Vec<_> = bucket.by_verdict.iter().filter(|(_, n)| *n > 0).copied().collect();
            ((bucket.at - start) / MINUTE, bucket.received, by(&bucket.by_state), verdicts)
        };
        buckets.into_iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(look(start, start + 2 * MINUTE, MINUTE).await, [(0, 0, vec![], vec![]), (1, 0, vec![], vec![])]);
    let one = finished(&spool, start, entry("a", "1"), decided(Verdict::Malicious, true), Finish::Quarantined).await;
    finished(&spool, start + MINUTE - 1, entry("a", "2"), decided(Verdict::Clean, false), Finish::Delivered).await;
    let three = store(&spool, start + 3 * MINUTE, entry("b", "3")).await;
    let first = (
        0,
        2,
        vec![(State::Delivered, 1), (State::Quarantined, 1)],
        vec![(Verdict::Clean, 1), (Verdict::Malicious, 1)],
    );
    let empty = |at| (at, 0, vec![], vec![]);
    let waiting = (3, 1, vec![(State::Received, 1)], vec![]);
    let all = look(start + 7, start + 3 * MINUTE + 1, 1).await;
    assert_eq!(all, [first.clone(), empty(1), empty(2), waiting]);
    assert_eq!(look(start + MINUTE, start + 3 * MINUTE, MINUTE).await, [empty(1), empty(2)]);
    // Judged twice counts once, and a release takes its verdict back until it is judged again.
    claim_one(&spool, start + 5 * MINUTE).await;
    spool.record_decided(start + 5 * MINUTE, &three, decided(Verdict::Unscanned, false)).await.unwrap();
    spool.record_decided(start + 5 * MINUTE, &three, decided(Verdict::Suspicious, false)).await.unwrap();
    let now = (2, 1, vec![(State::Decided, 1)], vec![(Verdict::Suspicious, 1)]);
    assert_eq!(look(start, start + 4 * MINUTE, 2 * MINUTE).await, [first, now]);
    let dead = Finish::DeadLettered { error: String::new() };
    spool.finish(start + 5 * MINUTE, &three, dead).await.unwrap();
    spool.release(start + 9 * MINUTE, &one, "ana").await.unwrap();
    let verdicts = vec![(Verdict::Clean, 1), (Verdict::Suspicious, 1)];
    let states = vec![(State::Received, 1), (State::Delivered, 1), (State::DeadLettered, 1)];
    assert_eq!(look(start, start + 60 * MINUTE, 60 * MINUTE).await, [(0, 3, states, verdicts)]);
    // However much is asked for, the answer is bounded.
    let year = spool.history(start, start + 365 * DAY, 1).await.unwrap();
    assert!(year.len() as u64 <= guarita_spool::HISTORY_BUCKETS_MAX + 1, "{}", year.len());
    assert_eq!(year.iter().map(|bucket| bucket.received).sum::<u64>(), 3);
    assert!(spool.history(start + 1, start, 1).await.unwrap().len() <= 1);
    spool.history(0, u64::MAX, 0).await.unwrap();
}

async fn one_entry_is_erased(spool: TheSpool) {
    let bad = Decided { terms: vec!["t".to_owned()], ..decided(Verdict::Malicious, true) };
    let one = finished(&spool, T, entry("a", "1"), bad.clone(), Finish::Quarantined).await;
    let two = finished(&spool, T, entry("a", "2"), bad, Finish::Delivered).await;
    let underway = store(&spool, T, entry("a", "3")).await;
    assert!(matches!(spool.erase_entry(&underway).await, Err(SpoolError::NotNow(_))));
    assert!(matches!(spool.erase_entry(&DeliveryId("x".to_owned())).await, Err(SpoolError::NotFound(_))));
    for _ in 0..2 {
        spool.erase_entry(&one).await.unwrap();
    }
    let content = spool.content(&one).await.unwrap();
    assert!(content.received.is_none() && content.sent.is_none() && content.report.is_none());
    assert!(spool.content(&two).await.unwrap().received.is_some());
    let found = async |filter| spool.list(filter, 9).await.unwrap().into_iter().map(|r| r.id).collect::<Vec<_>>();
    let by_term = Filter { terms: vec!["t".to_owned()], ..Filter::default() };
    assert_eq!(found(by_term.clone()).await, std::slice::from_ref(&two));
    let by_sender = Filter { sender: Some("sender of a".to_owned()), ..Filter::default() };
    assert_eq!(found(by_sender).await, [underway.clone(), two.clone()]);
    assert_eq!(spool.record(&one).await.unwrap().unwrap().verdict, Some(Verdict::Malicious));
    assert!(matches!(spool.release(T, &one, "ana").await, Err(SpoolError::NotNow(_))));
    // A sender who is erased takes the terms along.
    assert_eq!(spool.erase_sender("sender of a").await.unwrap(), 1);
    assert!(found(by_term).await.is_empty());
    assert_eq!(spool.summaries(&[two]).await.unwrap(), [None]);
    assert_eq!(claim_one(&spool, T).await.id, underway);
}

async fn counts_follow_every_change(spool: TheSpool) {
    let check = async |expected: [u64; 5], oldest: Option<u64>, claimed: u64| {
        let counts = spool.counts().await.unwrap();
        let numbers: Vec<u64> = counts.by_state.iter().map(|(_, count)| *count).collect();
        assert_eq!((&numbers[..], counts.oldest_unfinished_ms, counts.claimed), (&expected[..], oldest, claimed));
    };
    check([0; 5], None, 0).await;
    let one = store(&spool, T, entry("a", "1")).await;
    let two = store(&spool, T + 1, entry("b", "2")).await;
    check([2, 0, 0, 0, 0], Some(T), 0).await;
    while !spool.claim(T + 1, LEASE, 9).await.unwrap().is_empty() {}
    check([2, 0, 0, 0, 0], Some(T), 2).await;
    for _ in 0..2 {
        spool.record_decided(T + 1, &one, decided(Verdict::Malicious, true)).await.unwrap();
        check([1, 1, 0, 0, 0], Some(T), 2).await;
    }
    spool.finish(T + 1, &one, Finish::Quarantined).await.unwrap();
    check([1, 0, 0, 1, 0], Some(T + 1), 1).await;
    spool.finish(T + 1, &two, Finish::DeadLettered { error: String::new() }).await.unwrap();
    check([0, 0, 0, 1, 1], None, 0).await;
    spool.release(T + 1, &one, "ana").await.unwrap();
    spool.retry(T + 1, &two).await.unwrap();
    check([2, 0, 0, 0, 0], Some(T), 0).await;
    while !spool.claim(T + 1, LEASE, 9).await.unwrap().is_empty() {}
    for id in [&one, &two] {
        spool.finish(T + 1, id, Finish::Delivered).await.unwrap();
    }
    check([0, 0, 2, 0, 0], None, 0).await;
    sweep_all(&spool, T + 100 * DAY).await;
    check([0; 5], None, 0).await;
}

async fn each_route_has_its_retention(spool: TheSpool) {
    let of = |route: &str, name: &str| NewEntry { route: route.to_owned(), ..entry(name, name) };
    let routes = [("brief".to_owned(), Keep::days(1, 2)), ("long".to_owned(), Keep::days(20, 60))];
    let retention = Retention { routes: BTreeMap::from(routes), ..Retention::common(Keep::days(7, 30)) };
    let mut ids = Vec::new();
    for (at, (route, quarantine)) in [
        ("brief", false),
        ("brief#2", true),
        ("other", false),
        ("other", true),
        ("long", false),
        ("long!blocked", true),
    ]
    .into_iter()
    .enumerate()
    {
        let finish = if quarantine { Finish::Quarantined } else { Finish::Delivered };
        let decided = decided(Verdict::Malicious, quarantine);
        ids.push(finished(&spool, T, of(route, &at.to_string()), decided, finish).await);
    }
    let left = async || {
        let mut left = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            if spool.content(id).await.is_ok_and(|content| content.received.is_some()) {
                left.push(at);
            }
        }
        left
    };
    for (day, expected) in [
        (0, vec![0, 1, 2, 3, 4, 5]),
        (1, vec![1, 2, 3, 4, 5]),
        (2, vec![2, 3, 4, 5]),
        (7, vec![3, 4, 5]),
        (20, vec![3, 5]),
        (30, vec![5]),
        (60, vec![]),
    ] {
        if day > 0 {
            sweep_by(&spool, T + day * DAY - 1, &retention).await;
            assert!(left().await.len() > expected.len(), "not before day {day}");
        }
        sweep_by(&spool, T + day * DAY, &retention).await;
        assert_eq!(left().await, expected, "day {day}");
    }
    // A retention that was changed holds for what is there, and for what was looked at already.
    let id =
        finished(&spool, T + 60 * DAY, of("long", "again"), decided(Verdict::Clean, false), Finish::Delivered).await;
    sweep_by(&spool, T + 70 * DAY, &retention).await;
    assert!(spool.content(&id).await.unwrap().received.is_some());
    sweep_by(&spool, T + 70 * DAY, &Retention::common(Keep::days(7, 30))).await;
    assert!(spool.content(&id).await.unwrap().received.is_none());
}

/// More of one route's entries than one call looks at stand before another's.
async fn retention_looks_past_what_is_kept(spool: TheSpool) {
    let mut kept = Vec::new();
    for n in 0..1200 {
        let one = NewEntry { route: "long".to_owned(), ..entry(&n.to_string(), &n.to_string()) };
        kept.push(finished(&spool, T, one, decided(Verdict::Clean, false), Finish::Delivered).await);
    }
    let gone = finished(&spool, T + 1, entry("x", "x"), decided(Verdict::Clean, false), Finish::Delivered).await;
    let routes = BTreeMap::from([("long".to_owned(), Keep::days(20, 20))]);
    let retention = Retention { routes, ..Retention::common(Keep::days(7, 30)) };
    assert_eq!(sweep_by(&spool, T + 8 * DAY, &retention).await.contents, 1);
    assert!(spool.content(&gone).await.unwrap().received.is_none());
    assert!(spool.content(&kept[0]).await.unwrap().received.is_some());
    assert_eq!(sweep_by(&spool, T + 8 * DAY, &retention).await.contents, 0);
    assert_eq!(sweep_by(&spool, T + 20 * DAY, &retention).await.contents, 1200);
}

async fn content_goes_when_its_retention_is_over(spool: TheSpool) {
    let id = finished(&spool, T, entry("a", "1"), decided(Verdict::Clean, false), Finish::Delivered).await;
    assert_eq!(sweep_all(&spool, T + 7 * DAY - 1).await, Swept::default());
    assert!(spool.content(&id).await.unwrap().received.is_some());
    assert_eq!(sweep_all(&spool, T + 7 * DAY).await, Swept { contents: 1, dedupe_keys: 1, ..Swept::default() });
    let content = spool.content(&id).await.unwrap();
    assert!(content.received.is_none() && content.sent.is_none() && content.report.is_none());
    assert!(matches!(spool.release(T, &id, "ana").await, Err(SpoolError::NotNow(_))));
    assert_eq!(spool.record(&id).await.unwrap().unwrap().state, State::Delivered);
    assert_eq!(sweep_all(&spool, T + 30 * DAY).await, Swept { entries: 1, ..Swept::default() });
    assert!(spool.record(&id).await.unwrap().is_none());
    assert!(spool.list(Filter::default(), 9).await.unwrap().is_empty());
}

async fn withheld_content_is_kept_for_the_quarantine(spool: TheSpool) {
    let bad = decided(Verdict::Malicious, true);
    let delivered = finished(&spool, T, entry("a", "1"), bad.clone(), Finish::Delivered).await;
    let quarantined = finished(&spool, T, entry("a", "2"), bad, Finish::Quarantined).await;
    sweep_all(&spool, T + 30 * DAY - 1).await;
    for id in [&delivered, &quarantined] {
        assert_eq!(spool.content(id).await.unwrap().received.unwrap().len(), 9);
    }
    let swept = sweep_all(&spool, T + 30 * DAY).await;
    assert_eq!((swept.contents, swept.entries), (2, 2));
}

async fn unfinished_entries_are_never_swept(spool: TheSpool) {
    let waiting = store(&spool, T, entry("a", "1")).await;
    let decided_id = store(&spool, T, entry("b", "2")).await;
    while !spool.claim(T, LEASE, 9).await.unwrap().is_empty() {}
    spool.record_decided(T, &decided_id, decided(Verdict::Clean, false)).await.unwrap();
    let released = store(&spool, T, entry("c", "3")).await;
    claim_ids(&spool, T).await;
    spool.finish(T, &released, Finish::Quarantined).await.unwrap();
    spool.release(T, &released, "ana").await.unwrap();
    let late = T + 365 * DAY;
    let swept = sweep_all(&spool, late).await;
    assert_eq!((swept.entries, swept.contents, swept.dedupe_keys), (0, 0, 3));
    let mut claimed = Vec::new();
    while let Some(next) = spool.claim(late, LEASE, 1).await.unwrap().pop() {
        assert!(next.body.starts_with(b"body of "));
        claimed.push(next.id);
    }
    claimed.sort();
    assert_eq!(claimed, [waiting, decided_id, released]);
}

async fn a_sender_is_erased(spool: TheSpool) {
    let clean = || decided(Verdict::Clean, false);
    let one = finished(&spool, T, entry("a", "1"), clean(), Finish::Delivered).await;
    let other = finished(&spool, T, entry("b", "2"), clean(), Finish::Delivered).await;
    let underway = store(&spool, T, entry("a", "3")).await;
    assert_eq!(spool.erase_sender("sender of a").await.unwrap(), 1);
    assert_eq!(spool.erase_sender("sender of a").await.unwrap(), 0);
    assert_eq!(spool.erase_sender("nobody").await.unwrap(), 0);
    let content = spool.content(&one).await.unwrap();
    assert!(content.received.is_none() && content.sent.is_none() && content.report.is_none());
    assert!(spool.content(&other).await.unwrap().received.is_some());
    let by_name = |name: &str| Filter { sender: Some(name.to_owned()), ..Filter::default() };
    let ids = async |name| spool.list(by_name(name), 9).await.unwrap().into_iter().map(|r| r.id).collect::<Vec<_>>();
    assert_eq!(ids("sender of a").await, std::slice::from_ref(&underway));
    assert_eq!(ids("everybody").await, [underway.clone(), other]);
    assert_eq!(&claim_one(&spool, T).await.body[..], b"body of 3");
    spool.finish(T, &underway, Finish::Delivered).await.unwrap();
    assert_eq!(spool.erase_sender("sender of a").await.unwrap(), 1);
    // It is still no news: the memory of duplicates holds no content.
    assert_eq!(spool.append(T, vec![entry("a", "1")]).await.unwrap(), [Appended::Duplicate]);
}

async fn it_is_writable(spool: TheSpool) {
    spool.writable().await.unwrap();
}
