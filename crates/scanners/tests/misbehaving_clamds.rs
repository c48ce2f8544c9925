//! Every way an outside clamd can fail us, on a socket: never "clean", never a hang, never a panic.
#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod common;

use common::{
    LyingStore, Zeros, config,
    fake::{FakeClamd, Manner},
    file, file_of, scan, told,
};
use guarita_inspect::FileInspector;
use guarita_scanners::{ClamAv, Clamd, Config, Signatures, Titles};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const READY: Duration = Duration::from_secs(5);

struct Bench {
    clamd: Clamd,
    fakes: Vec<FakeClamd>,
    _folder: TempDir,
}

async fn bench(config: &Config, manners: Vec<Manner>) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let path = |index: usize| folder.path().join(format!("{index}.sock"));
    let fakes: Vec<_> =
        manners.into_iter().enumerate().map(|(i, manner)| FakeClamd::on_unix(&path(i), manner)).collect();
    let clamd = Clamd::connect(config, fakes.iter().map(|fake| fake.address.clone()).collect(), Titles::default());
    assert!(clamd.wait_ready(READY).await);
    Bench { clamd, fakes, _folder: folder }
}

#[track_caller]
fn check(manner: Manner, bytes: &[u8], expect: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let shown = format!("{manner:?}");
    let got = runtime.block_on(async {
        let bench = bench(&config(), vec![manner]).await;
        scan(&bench.clamd, bytes).await
    });
    runtime.shutdown_background();
    assert_eq!(got, expect, "{}", &shown[..shown.len().min(200)]);
}

#[test]
fn exact_answers_are_believed() {
    check(Manner::answering(b"stream: OK\0"), b"hello", "ok");
    check(Manner::answering(b"stream: OK\0"), b"", "ok");
    check(Manner::answering(b"stream: OK\0"), &[b'x'; 300_000], "ok");
    let found = Manner::answering(b"stream: Win.Trojan.X-1 FOUND\0");
    check(found, b"hello", "found clamav/Win.Trojan.X-1 critical");
    let unofficial = Manner::answering(b"stream: Win.Test.EICAR_HDB-1.UNOFFICIAL FOUND\0");
    check(unofficial, b"hello", "found clamav/Win.Test.EICAR_HDB-1 critical");
}

#[test]
fn every_other_answer_is_a_gap() {
    for (answer, expect) in [
        (&b"stream: OK"[..], "gap crashed other"),
        (b"stream: OK\n", "gap crashed other"),
        (b"stream: OK\0stream: OK\0", "gap crashed other"),
        (b"stream: OK\0stream: X FOUND\0", "gap crashed other"),
        (b"stream: a\0b FOUND\0", "gap crashed other"),
        (b"\xff\xfe\0garbage\0", "gap crashed other"),
        (b"stream: X FO", "gap crashed other"),
        (b"stream: lstat() failed ERROR\0", "gap crashed other"),
        (b"", "gap scanner_unavailable other"),
        (b"INSTREAM size limit exceeded. ERROR\0", "gap too_large other"),
        (b"UNKNOWN COMMAND\0", "gap scanner_unavailable other"),
        (b"COMMAND READ TIMED OUT\0", "gap timeout other"),
        (b"stream: Heuristics.Limits.Exceeded.MaxRecursion FOUND\0", "gap limits other"),
        (b"stream: Heuristics.Encrypted.Zip FOUND\0", "gap encrypted archive"),
        (b"stream: Heuristics.Encrypted.PDF FOUND\0", "gap encrypted document"),
    ] {
        check(Manner::answering(answer), b"hello", expect);
    }
    check(Manner::Babbling, b"hello", "gap crashed other");
}

#[test]
fn clamds_that_hang_or_break_off() {
    let large = vec![b'x'; 3_000_000];
    check(Manner::Stalling, b"hello", "gap timeout other");
    check(Manner::NeverReading, &large, "gap timeout other");
    check(Manner::NotHangingUp(b"stream: OK\0".to_vec()), b"hello", "gap timeout other");
    check(Manner::ClosingMidStream, &large, "gap scanner_unavailable other");
    check(Manner::ClosingMidStream, b"hello", "gap scanner_unavailable other");
}

#[test]
fn an_answer_before_the_whole_file_is_no_ok() {
    let large = vec![b'x'; 3_000_000];
    let early = |answer: &[u8]| Manner::AnsweringEarly(100_000, answer.to_vec());
    check(early(b"stream: OK\0"), &large, "gap scanner_unavailable other");
    check(early(b"INSTREAM size limit exceeded. ERROR\0"), &large, "gap too_large other");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_store_failing_is_never_clean() {
    let bench = bench(&config(), vec![Manner::answering(b"stream: OK\0")]).await;
    for (announced, holds, fails) in
        [(10, 9, false), (10, 11, false), (500_000, 499_999, false), (0, 1, false), (5, 5, true)]
    {
        let file = file_of(LyingStore { announced, holds, fails });
        assert_eq!(told(&bench.clamd.inspect(&file).await), "gap crashed other", "{announced} {holds} {fails}");
    }
    assert!(bench.clamd.ready(), "that is not clamd's fault");
    let right = file_of(LyingStore { announced: 10, holds: 10, fails: false });
    assert_eq!(told(&bench.clamd.inspect(&right).await), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_files_are_not_sent() {
    let config = Config { file_bytes_max: 1000, ..config() };
    let bench = bench(&config, vec![Manner::answering(b"stream: OK\0")]).await;
    assert_eq!(told(&bench.clamd.inspect(&file_of(Zeros(1001))).await), "gap too_large other");
    assert_eq!(bench.fakes[0].scans(), 0);
    assert_eq!(told(&bench.clamd.inspect(&file_of(Zeros(1000))).await), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_address_is_asked_and_a_recovered_one_soon_again() {
    let ok = Manner::answering(b"stream: OK\0");
    let mut bench = bench(&config(), vec![ok.clone(), ok.clone()]).await;
    until("both are healthy", || bench.clamd.addresses().iter().all(|address| address.healthy)).await;
    assert_eq!(scan(&bench.clamd, b"a").await, "ok");
    assert_eq!((bench.fakes[0].scans(), bench.fakes[1].scans()), (1, 0), "the first is preferred");

    let first = bench.fakes.remove(0);
    let guarita_scanners::Address::Unix(path) = first.address.clone() else { unreachable!() };
    drop(first);
    assert_eq!(scan(&bench.clamd, b"b").await, "ok", "no scan is lost to a dead address");
    assert_eq!(bench.fakes[0].scans(), 1);

    let back = FakeClamd::on_unix(&path, ok);
    let began = Instant::now();
    until("the first is healthy again", || bench.clamd.addresses()[0].healthy).await;
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(scan(&bench.clamd, b"c").await, "ok");
    assert_eq!(back.scans(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_kills_clamds_does_not_kill_them_all() {
    let bench = bench(&config(), vec![Manner::ClosingMidStream; 4]).await;
    until("all are healthy", || bench.clamd.addresses().iter().all(|address| address.healthy)).await;
    assert_eq!(scan(&bench.clamd, b"poison").await, "gap scanner_unavailable other");
    assert_eq!(bench.fakes.iter().map(FakeClamd::scans).sum::<usize>(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_passed_self_test_nothing_is_asked() {
    for (manner, why) in [
        (Manner::FindingNothing, "does not find the EICAR"),
        (Manner::FindingEverything, "calls a clean buffer infected"),
        (Manner::NotClamd, "is not clamd"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let fake = FakeClamd::on_unix(&folder.path().join("s"), manner);
        let config = Config { address: guarita_scanners::Addresses::Several(vec![fake.address.clone()]), ..config() };
        let clamav = ClamAv::start(&config, folder.path(), Titles::default()).unwrap();
        assert!(!clamav.wait_ready(Duration::from_millis(300)).await);
        assert_eq!(scan(&clamav, b"hello").await, "gap scanner_unavailable other");
        assert_eq!((fake.scans(), clamav.version()), (0, None));
        let status = clamav.status();
        assert!(!status.ready && status.why.as_ref().unwrap().contains(why), "{status:?}");
        assert!(status.mend.is_some());
        // It is mended, and scanning goes on by itself.
        fake.now(Manner::answering(b"stream: OK\0"));
        assert!(clamav.wait_ready(READY).await);
        assert_eq!(scan(&clamav, b"hello").await, "ok");
        let status = clamav.status();
        assert_eq!((status.engine.as_deref(), status.database.as_deref()), (Some("9.9.9"), Some("12345")));
        assert_eq!(status.signatures, Signatures::Database);
        assert!(status.signature_age_seconds.is_some() && status.why.is_none());
        assert_eq!(clamav.version().as_deref(), Some("clamav 9.9.9/12345"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_clamd_is_a_gap_and_its_version_unknown() {
    let mut bench = bench(&config(), vec![Manner::answering(b"stream: OK\0")]).await;
    bench.fakes.clear();
    assert_eq!(scan(&bench.clamd, b"hello").await, "gap scanner_unavailable other");
    assert_eq!((bench.clamd.ready(), bench.clamd.version()), (false, None));
    assert!(!serde_json::to_string(&bench.clamd.addresses()).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_bounded_and_waiting_ends() {
    let config = Config { concurrent_scans: 2, scan_seconds_max: 3, queue_seconds_max: 1, ..config() };
    let bench = bench(&config, vec![Manner::Stalling]).await;
    let files = [file(b"a"), file(b"b"), file(b"c")];
    let (a, b, c) = (bench.clamd.inspect(&files[0]), bench.clamd.inspect(&files[1]), bench.clamd.inspect(&files[2]));
    let third = async {
        until("two run", || bench.clamd.load() == (2, 0)).await;
        let waited = Instant::now();
        let (c, ()) = tokio::join!(c, until("one waits", || bench.clamd.load() == (2, 1)));
        assert!(waited.elapsed() < Duration::from_secs(2));
        c
    };
    let (a, b, c) = tokio::join!(a, b, third);
    assert_eq!((told(&a).as_str(), told(&b).as_str()), ("gap timeout other", "gap timeout other"));
    assert_eq!(told(&c), "gap scanner_unavailable other");
    assert_eq!((bench.fakes[0].scans(), bench.clamd.load()), (2, (0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_timeouts_in_a_row_lose_the_address() {
    let config = Config { timeouts_max: 2, ..config() };
    let bench = bench(&config, vec![Manner::Stalling, Manner::answering(b"stream: OK\0")]).await;
    until("both are healthy", || bench.clamd.addresses().iter().all(|address| address.healthy)).await;
    for _ in 0..2 {
        assert_eq!(scan(&bench.clamd, b"hello").await, "gap timeout other");
    }
    // It passes its self-test again at once, so it is only skipped until then; it must not be stuck.
    until("it is tested again", || bench.clamd.addresses()[0].healthy).await;
    assert!(bench.clamd.ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_nobody_waits_for_is_hung_up() {
    let config = Config { scan_seconds_max: 60, ..config() };
    let bench = bench(&config, vec![Manner::Stalling]).await;
    let given_up = tokio::time::timeout(Duration::from_millis(200), scan(&bench.clamd, b"hello")).await;
    assert!(given_up.is_err());
    until("clamd is free again", || bench.fakes[0].open_connections() == 0).await;
    until("so is its place", || bench.clamd.load() == (0, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_it_is_the_same() {
    let fake = FakeClamd::on_tcp(Manner::answering(b"stream: OK\0")).await;
    let clamd = Clamd::connect(&config(), vec![fake.address.clone()], Titles::default());
    assert!(clamd.wait_ready(READY).await);
    assert_eq!(scan(&clamd, &[b'x'; 200_000]).await, "ok");
    fake.now(Manner::AnsweringEarly(100_000, b"stream: OK\0".to_vec()));
    assert_eq!(scan(&clamd, &vec![b'x'; 3_000_000]).await, "gap scanner_unavailable other");
    fake.now(Manner::Stalling);
    assert_eq!(scan(&clamd, b"hello").await, "gap timeout other");
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(5), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
