//! The index against its promises: states last, an id once seen never becomes unknown too early, a wrong key is refused.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use guarita_media::{
    BlobStore, DiskBlobs, IndexError, MediaIndex, MediaKeys, MediaState, Retention, StoredMedia, sweep,
};
use guarita_message::ContentHash;
use std::{path::Path, sync::Arc};

const DAY: u64 = 86_400_000;

fn open(folder: &Path) -> MediaIndex {
    MediaIndex::open(&folder.join("media.sqlite"), &MediaKeys::derive(&[1; 32])).unwrap()
}

fn content(byte: u8) -> StoredMedia {
    StoredMedia {
        hash: ContentHash([byte; 32]),
        bytes: 5,
        mime_type: "application/pdf".into(),
        name: Some("fatura março.pdf".into()),
    }
}

#[tokio::test]
async fn states_last_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let states = [
        ("1", MediaState::Pending(None)),
        ("2", MediaState::Served(content(2))),
        ("3", MediaState::Withheld(Some(content(3)))),
        ("4", MediaState::Withheld(None)),
        ("5", MediaState::NotServed(None)),
    ];
    {
        let index = open(folder.path());
        index.decide(1, states.iter().map(|(id, state)| (index.key(id), state.clone())).collect()).await.unwrap();
    }
    let index = open(folder.path());
    for (id, state) in states {
        assert_eq!(index.lookup(index.key(id)).await.unwrap(), Some(state), "{id}");
    }
    assert_eq!(index.lookup(index.key("6")).await.unwrap(), None);
}

#[tokio::test]
async fn noting_never_undoes_a_decision() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let key = index.key("1");
    index.note_pending(1, vec![key]).await.unwrap();
    index.note_fetched(2, key, content(1)).await.unwrap();
    assert_eq!(index.lookup(key).await.unwrap(), Some(MediaState::Pending(Some(content(1)))));
    index.note_pending(3, vec![key]).await.unwrap();
    assert_eq!(index.lookup(key).await.unwrap(), Some(MediaState::Pending(Some(content(1)))), "content stays known");
    index.decide(4, vec![(key, MediaState::Withheld(None))]).await.unwrap();
    index.note_pending(5, vec![key]).await.unwrap();
    index.note_fetched(6, key, content(2)).await.unwrap();
    assert_eq!(index.lookup(key).await.unwrap(), Some(MediaState::Withheld(None)));
}

#[tokio::test]
async fn revoking_and_releasing() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let [a, b, other, unknown] = ["a", "b", "other", "unknown"].map(|id| index.key(id));
    let served = |byte| MediaState::Served(content(byte));
    index.decide(1, vec![(a, served(1)), (b, served(1)), (other, served(2))]).await.unwrap();
    assert_eq!(index.revoke(2, ContentHash([1; 32])).await.unwrap(), 2);
    assert_eq!(index.lookup(a).await.unwrap(), Some(MediaState::Withheld(Some(content(1)))));
    assert_eq!(index.lookup(other).await.unwrap(), Some(served(2)));
    assert!(index.release(3, a).await.unwrap());
    assert_eq!(index.lookup(a).await.unwrap(), Some(served(1)));
    assert_eq!(index.lookup(b).await.unwrap(), Some(MediaState::Withheld(Some(content(1)))));
    assert!(!index.release(3, unknown).await.unwrap());
    index.decide(4, vec![(b, MediaState::Withheld(None))]).await.unwrap();
    assert!(!index.release(5, b).await.unwrap(), "nothing to serve");
}

#[tokio::test]
async fn erasing_names_contents_nobody_else_refers_to() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let [a, b, c] = ["a", "b", "c"].map(|id| index.key(id));
    let served = |byte| MediaState::Served(content(byte));
    index.decide(1, vec![(a, served(1)), (b, served(1)), (c, served(2))]).await.unwrap();
    assert_eq!(index.erase(2, vec![a, c]).await.unwrap(), vec![ContentHash([2; 32])]);
    assert_eq!(
        index.lookup(a).await.unwrap(),
        Some(MediaState::NotServed(None)),
        "known, so that it never passes through"
    );
    assert_eq!(index.erase(3, vec![b]).await.unwrap(), vec![ContentHash([1; 32])]);
}

#[tokio::test]
async fn ids_are_forgotten_late_and_only_then() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let [early, again] = ["1", "2"].map(|id| index.key(id));
    index.decide(0, vec![(early, MediaState::Withheld(None)), (again, MediaState::Withheld(None))]).await.unwrap();
    index.note_pending(20 * DAY, vec![again]).await.unwrap();
    assert_eq!(index.forget(35 * DAY).await.unwrap(), 0);
    assert_eq!(index.forget(35 * DAY + 1).await.unwrap(), 1);
    assert_eq!(index.lookup(early).await.unwrap(), None);
    assert_eq!(index.lookup(again).await.unwrap(), Some(MediaState::Withheld(None)), "seen again since");
}

#[tokio::test]
async fn spellings_of_an_id_are_one_and_ids_are_not_kept_readable() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    for (one, other) in [("123", " 00123 "), ("Abc-1", "aBC-1")] {
        assert_eq!(index.key(one), index.key(other));
    }
    assert_ne!(index.key("123"), index.key("1230"));
    assert_ne!(index.key("a1"), index.key("a01"));
    index.decide(1, vec![(index.key("1003383421387256"), MediaState::Served(content(7)))]).await.unwrap();
    drop(index);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let raw = std::fs::read(file.unwrap().path()).unwrap();
        for secret in ["1003383421387256", "fatura", "application/pdf"] {
            assert!(!raw.windows(secret.len()).any(|w| w == secret.as_bytes()), "{secret}");
        }
    }
}

#[tokio::test]
async fn minted_ids_are_the_same_for_the_same_seed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    assert_eq!(index.minted_id(&["page", "mid.1", "/0"]), index.minted_id(&["page", "mid.1", "/0"]));
    assert_ne!(index.minted_id(&["page", "mid.1", "/0"]), index.minted_id(&["page", "mid.1/", "0"]));
}

/// Under another key every withheld id would look unknown, and pass through.
#[tokio::test]
async fn another_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let other = MediaIndex::open(&folder.path().join("media.sqlite"), &MediaKeys::derive(&[2; 32]));
    assert!(matches!(other, Err(IndexError::Damaged(_))));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("media.sqlite"), "not a database, but long enough to look at".repeat(50))
        .unwrap();
    let opened = MediaIndex::open(&folder.path().join("media.sqlite"), &MediaKeys::derive(&[1; 32]));
    assert!(matches!(opened, Err(IndexError::Damaged(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_written() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let began = std::time::Instant::now();
    let tasks: Vec<_> = (0..2000u32)
        .map(|i| {
            let index = index.clone();
            tokio::spawn(async move {
                let state = MediaState::Served(content(i as u8));
                index.decide(1, vec![(index.key(&i.to_string()), state)]).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    eprintln!("2000 concurrent decisions in {:?}", began.elapsed());
    for i in 0..2000u32 {
        let state = index.lookup(index.key(&i.to_string())).await.unwrap();
        assert_eq!(state, Some(MediaState::Served(content(i as u8))));
    }
}

#[tokio::test]
async fn a_sweep_spares_quarantine() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let blobs: Arc<dyn BlobStore> =
        Arc::new(DiskBlobs::open(folder.path().join("blobs"), &MediaKeys::derive(&[1; 32])).unwrap());
    let store = |content: &[u8]| {
        let mut writer = blobs.writer().unwrap();
        writer.write_all(content).unwrap();
        writer.finish().unwrap().hash
    };
    let (plain, quarantined) = (store(b"plain"), store(b"quarantined"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    index.keep_until(now + 30 * DAY, vec![quarantined]).await.unwrap();
    index.keep_until(now + DAY, vec![quarantined]).await.unwrap();
    let swept = sweep(&index, &blobs, now + DAY, Retention::common(7 * DAY)).await.unwrap();
    assert_eq!((swept.blobs.removed, swept.blobs.kept), (0, 0), "all young");
    let swept = sweep(&index, &blobs, now + 8 * DAY, Retention::common(7 * DAY)).await.unwrap();
    assert_eq!((swept.blobs.removed, swept.blobs.kept), (1, 1));
    assert_eq!(blobs.bytes(&plain).unwrap(), None);
    let swept = sweep(&index, &blobs, now + 31 * DAY, Retention::common(7 * DAY)).await.unwrap();
    assert_eq!((swept.blobs.removed, swept.blobs.kept), (1, 0));
}

/// Two routes send the same file: the longer retention counts. What nothing was said of (it came before routes had a
/// retention of their own) stays as long as the common one says.
#[tokio::test]
async fn contents_are_kept_as_their_routes_say() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let blobs: Arc<dyn BlobStore> =
        Arc::new(DiskBlobs::open(folder.path().join("blobs"), &MediaKeys::derive(&[1; 32])).unwrap());
    let store = |content: &[u8]| {
        let mut writer = blobs.writer().unwrap();
        writer.write_all(content).unwrap();
        writer.finish().unwrap().hash
    };
    let [brief, both, long, unsaid] = [b"brief" as &[u8], b"both", b"long", b"unsaid"].map(store);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    index.keep_until(now + DAY, vec![brief, both]).await.unwrap();
    index.keep_until(now + 20 * DAY, vec![both, long]).await.unwrap();
    let retention = Retention { common: 7 * DAY, shortest: DAY };
    // A minute, for the clock that files are stamped by.
    let minute = 60_000;
    for (day, expected) in
        [(0, vec![brief, both, long, unsaid]), (1, vec![both, long, unsaid]), (7, vec![both, long]), (20, vec![])]
    {
        if day > 0 {
            sweep(&index, &blobs, now + day * DAY - minute, retention).await.unwrap();
            assert!(
                [brief, both, long, unsaid].iter().filter(|hash| blobs.bytes(hash).unwrap().is_some()).count()
                    > expected.len()
            );
        }
        sweep(&index, &blobs, now + day * DAY + minute, retention).await.unwrap();
        let left: Vec<_> =
            [brief, both, long, unsaid].into_iter().filter(|hash| blobs.bytes(hash).unwrap().is_some()).collect();
        assert_eq!(left, expected, "day {day}");
    }
}

#[tokio::test]
async fn a_walk_meets_each_served_id_once_with_its_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    let delivery = |n: u8| guarita_message::DeliveryId(format!("{n:026}"));
    for n in 0..50u8 {
        let state =
            if n % 2 == 0 { MediaState::Served(content(n % 10)) } else { MediaState::Withheld(Some(content(n))) };
        index.decide_with(1, &delivery(n), vec![(index.key(&n.to_string()), state)]).await.unwrap();
    }
    // A decision without a delivery's name leaves the name that was noted.
    index.decide(2, vec![(index.key("0"), MediaState::Served(content(0)))]).await.unwrap();
    let (mut met, mut after, mut calls) = (Vec::new(), None, 0);
    loop {
        let (served, last) = index.walk(after, 7).await.unwrap();
        met.extend(served);
        calls += 1;
        // Where it stands survives as text.
        let Some(last) = last else { break };
        after = guarita_media::MediaKey::from_hex(&last.to_hex());
    }
    assert_eq!((met.len(), calls), (25, 8));
    for n in (0..50u8).step_by(2) {
        let of: Vec<_> = met.iter().filter(|one| one.key == index.key(&n.to_string())).collect();
        assert_eq!(of.len(), 1);
        assert_eq!((of[0].origin.as_ref(), &of[0].content), (Some(&delivery(n).0), &content(n % 10)));
    }
    assert_eq!(index.serving(ContentHash([4; 32]), 100).await.unwrap().len(), 5);
    assert_eq!(index.revoke(3, ContentHash([4; 32])).await.unwrap(), 5);
    assert!(index.serving(ContentHash([4; 32]), 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn notes_last_and_a_file_of_an_older_layout_opens() {
    let folder = tempfile::tempdir().unwrap();
    {
        let index = open(folder.path());
        index.decide(1, vec![(index.key("1"), MediaState::Served(content(1)))]).await.unwrap();
        index.remember("rescan", b"here".to_vec()).await.unwrap();
    }
    {
        // As the first version made it.
        let db = rusqlite::Connection::open(folder.path().join("media.sqlite")).unwrap();
        db.execute_batch("ALTER TABLE media DROP COLUMN origin").unwrap();
    }
    let index = open(folder.path());
    assert_eq!(index.recall("rescan").await.unwrap().as_deref(), Some(&b"here"[..]));
    assert_eq!(index.recall("else").await.unwrap(), None);
    let (served, _) = index.walk(None, 10).await.unwrap();
    assert_eq!((served.len(), &served[0].origin), (1, &None));
}
