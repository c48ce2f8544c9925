//! The walk's bookkeeping, without a disk.

use super::*;

const HOUR: u64 = 3_600_000;

fn key(n: u8) -> MediaKey {
    MediaKey::from_hex(&format!("{n:032x}")).expect("it is hex")
}

/// Walks over keys 1 to 20, three a step; `change_at` changes the stamp when that many keys were looked at. Says with
/// which stamp each key was looked at last, and how many looks there were.
fn walk(change_at: &[usize]) -> (Vec<usize>, usize) {
    let mut progress = Progress::default();
    let (mut stamp, mut looks, mut last_look) = (1usize, 0usize, vec![0usize; 21]);
    let mut changes = change_at.to_vec();
    assert!(begin(&mut progress, "1", 5, 24, false));
    for _ in 0..1000 {
        if changes.first().is_some_and(|at| looks >= *at) {
            changes.remove(0);
            stamp += 1;
        }
        if !begin(&mut progress, &stamp.to_string(), 5, 24, false) {
            break;
        }
        let after = progress.after.as_deref().and_then(MediaKey::from_hex);
        let keys: Vec<u8> = (1..=20).filter(|n| after.is_none_or(|after| key(*n) > after)).take(3).collect();
        let end = progress.again_until.as_deref().and_then(MediaKey::from_hex).filter(|_| progress.wrapped);
        for n in keys.iter().filter(|n| end.is_none_or(|end| key(**n) <= end)) {
            last_look[usize::from(*n)] = stamp;
            looks += 1;
        }
        let last = keys.last().filter(|_| keys.len() == 3).map(|n| key(*n));
        go_on(&mut progress, last, end);
        // As after a restart.
        let kept = serde_json::to_vec(&progress).expect("it is plain data");
        progress = serde_json::from_slice(&kept).expect("it was just written");
    }
    assert!(!progress.running, "{progress:?}");
    last_look.remove(0);
    (last_look, looks)
}

#[test]
fn every_file_is_looked_at_with_the_newest_stamp_and_none_more_often_than_it_must() {
    assert_eq!(walk(&[]), (vec![1; 20], 20));
    for at in 0..20 {
        let (stamps, looks) = walk(&[at]);
        assert!(stamps.iter().all(|stamp| *stamp == 2), "changed at {at}: {stamps:?}");
        assert!(looks <= 20 + at + 3, "changed at {at}: {looks} looks");
    }
    // Changes on the way do not keep it at the beginning.
    let (stamps, _) = walk(&[3, 9, 15, 21, 27]);
    assert!(stamps.iter().all(|stamp| *stamp == 6), "{stamps:?}");
}

#[test]
fn a_walk_begins_when_something_changed_when_it_is_time_and_when_asked() {
    let done = Progress { stamp: "a".into(), began_ms: 100 * HOUR, finished_ms: 101 * HOUR, ..Progress::default() };
    for (stamp, now, hours, asked, begins) in [
        ("a", 101 * HOUR, 24, false, false),
        ("b", 101 * HOUR, 24, false, true),
        ("a", 124 * HOUR, 24, false, true),
        ("a", 9999 * HOUR, 0, false, false),
        ("a", 101 * HOUR, 24, true, true),
        ("a", 50 * HOUR, 24, false, true),
    ] {
        let mut progress = done.clone();
        assert_eq!(begin(&mut progress, stamp, now, hours, asked), begins, "{stamp} {now} {hours} {asked}");
        assert_eq!(progress.running, begins);
        assert_eq!(progress.finished_ms, 101 * HOUR, "the last end stays known");
    }
    assert!(begin(&mut Progress::default(), "a", HOUR, 24, false), "the first start looks at what is there");
}

#[test]
fn only_findings_make_a_verdict_worse() {
    let finding = |severity, shadow| Finding {
        rule: "r".into(),
        category: guarita_message::Category::Malware,
        severity,
        place: "/document".into(),
        inside: String::new(),
        title: String::new(),
        why: String::new(),
        evidence: String::new(),
        subject: guarita_message::Subject::File,
        span: None,
        shadow,
    };
    assert_eq!(badness(&[]), 0);
    assert_eq!(badness(&[finding(Severity::Critical, true), finding(Severity::Low, false)]), 0);
    assert_eq!(verdict(&[finding(Severity::Medium, false)]), Verdict::Suspicious);
    assert_eq!(verdict(&[finding(Severity::High, false)]), Verdict::Malicious);
    let (a, b) = (finding(Severity::High, false), Finding { rule: "s".into(), ..finding(Severity::High, false) });
    let id = |findings: &[Finding]| news_id(&key(1), &ContentHash([1; 32]), true, findings);
    assert_eq!(id(&[a.clone(), b.clone()]), id(&[b.clone(), a.clone(), a.clone()]));
    assert_ne!(id(std::slice::from_ref(&a)), id(&[a.clone(), b]));
}
