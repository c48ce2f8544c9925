//! Our own clamd, for real: started, asked, killed, reloaded. Without clamd on this machine these tests say so and do
//! nothing (`make test` installs it).
#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod common;

use common::{Zeros, config, eicar, file, file_of, scan, told};
use guarita_inspect::FileInspector;
use guarita_scanners::{ChildState, ClamAv, Config, FreshclamStatus, Signatures, Titles};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const READY: Duration = Duration::from_secs(20);
const EICAR: &str = "found clamav/Win.Test.EICAR_HDB-1 critical";
const TEST_FILE: &str = "found clamav/Clamav.Test.File-6 critical";

/// A managed clamd with the test set (or with what lies in `database`).
struct Own {
    clamav: ClamAv,
    storage: TempDir,
    database: TempDir,
}

fn clamd_is_here() -> bool {
    let here =
        ["/usr/sbin/clamd", "/usr/bin/clamd", "/usr/local/sbin/clamd"].iter().any(|path| Path::new(path).exists());
    if !here {
        eprintln!("SKIPPED: clamd is not installed (`apt install clamav-daemon`)");
    }
    here
}

fn real_config(database: &Path) -> Config {
    let mut config = Config { scan_seconds_max: 30, database: database.to_owned(), ..config() };
    config.managed.database_check_seconds = 1;
    config
}

/// `None`, said aloud, where clamd is not installed.
async fn start(prepare: impl FnOnce(&Path, &mut Config)) -> Option<Own> {
    if !clamd_is_here() {
        return None;
    }
    let (storage, database) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    world_readable(database.path());
    let mut config = real_config(database.path());
    prepare(database.path(), &mut config);
    let clamav = ClamAv::start(&config, storage.path(), Titles::default()).unwrap();
    let ready = clamav.wait_ready(READY).await;
    assert!(ready, "{:#?}", clamav.status());
    Some(Own { clamav, storage, database })
}

/// As root, clamd runs as a lower user.
fn world_readable(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn eicar_is_found_and_clean_is_clean() {
    let Some(own) = start(|_, _| {}).await else { return };
    let inspection = own.clamav.inspect(&file(&eicar())).await;
    assert_eq!(told(&inspection), EICAR);
    let finding = &inspection.findings[0];
    assert_eq!((finding.title.as_str(), finding.evidence.as_str()), ("Malware conhecido", "Win.Test.EICAR_HDB-1"));
    let by = &inspection.files[0].scanned_by[0];
    assert!(by.starts_with("clamav ") && by.ends_with("/0"), "{by}");
    assert_eq!(scan(&own.clamav, &[eicar(), b"\r\n \n".to_vec()].concat()).await, EICAR);
    assert_eq!(scan(&own.clamav, &zip(&[("a.txt", &eicar())])).await, EICAR);
    assert_eq!(scan(&own.clamav, &zip(&[("b.zip", &zip(&[("a.txt", &eicar())]))])).await, EICAR);
    assert_eq!(scan(&own.clamav, b"hello").await, "ok");
    assert_eq!(scan(&own.clamav, b"").await, "ok");

    let status = own.clamav.status();
    assert_eq!((status.ready, status.signatures, status.signature_age_seconds), (true, Signatures::TestSetOnly, None));
    assert_eq!(status.signatures.label(), "test set only");
    let managed = status.managed.unwrap();
    assert_eq!((managed.state, managed.restarts, managed.loads), (ChildState::Running, 0, 1));
    assert!(own.clamav.version().unwrap().ends_with(" test"));
}

/// Found wherever this clamd can unpack it; RAR and two InstallShield files need what a free build does not have.
#[tokio::test(flavor = "multi_thread")]
async fn debians_test_files_are_found() {
    const NOT_UNPACKED: [&str; 4] = ["clam-v2.rar", "clam-v3.rar", "clam_ISmsi_ext.exe", "clam_ISmsi_int.exe"];
    let Some(own) = start(|_, _| {}).await else { return };
    let Ok(files) = fs::read_dir("/usr/share/clamav-testfiles") else {
        return eprintln!("SKIPPED: no test files (`apt install clamav-testfiles`)");
    };
    let mut seen = 0;
    for entry in files.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = fs::read(entry.path()).unwrap();
        // Two more archives around it must not hide it.
        let wrapped = zip(&[("b.zip", &zip(&[(&name, &bytes)]))]);
        for (form, bytes) in [("alone", bytes), ("in two archives", wrapped)] {
            let told = scan(&own.clamav, &bytes).await;
            if NOT_UNPACKED.contains(&name.as_str()) {
                assert!(!told.starts_with("found") || told == TEST_FILE, "{name} {form}: {told}");
            } else {
                assert_eq!(told, TEST_FILE, "{name} {form}");
            }
        }
        seen += 1;
    }
    assert!(seen > 30, "only {seen} test files");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_encryption_are_gaps() {
    let Some(own) = start(|_, config| {
        config.file_bytes_max = 4 << 20;
        config.managed.files_max = 100;
        config.managed.scan_bytes_max = 8 << 20;
    })
    .await
    else {
        return;
    };
    let mut nested = b"hello".to_vec();
    for level in 0..40 {
        nested = zip(&[(&format!("{level}.zip"), &nested)]);
    }
    assert_eq!(scan(&own.clamav, &nested).await, "gap limits other");
    let names: Vec<String> = (0..200).map(|i| format!("{i}.txt")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    assert_eq!(scan(&own.clamav, &zip(&many)).await, "gap limits other");
    // clamd cuts a zip member at MaxFileSize and, left alone, calls the rest clean.
    assert_eq!(scan(&own.clamav, &zip_of_zeros(32 << 20)).await, "gap limits other");
    assert_eq!(scan(&own.clamav, &zip_of_zeros(3 << 20)).await, "ok");
    assert_eq!(scan(&own.clamav, &encrypted_zip()).await, "gap encrypted archive");
    assert_eq!(told(&own.clamav.inspect(&file_of(Zeros((4 << 20) + 1))).await), "gap too_large other");
    assert_eq!(told(&own.clamav.inspect(&file_of(Zeros(4 << 20))).await), "ok");
}

/// clamd's own size limit below ours, as with an outside clamd that nobody aligned.
#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_limit_of_clamd_is_a_gap() {
    let Some(own) = start(|_, config| config.file_bytes_max = 1 << 20).await else { return };
    let address = own.clamav.status().addresses[0].address.parse().unwrap();
    let generous = Config { file_bytes_max: 100 << 20, ..real_config(own.database.path()) };
    let clamd = guarita_scanners::Clamd::connect(&generous, vec![address], Titles::default());
    assert!(clamd.wait_ready(READY).await);
    for bytes in [(1 << 20) + 1, 3 << 20, 50 << 20] {
        assert_eq!(told(&clamd.inspect(&file_of(Zeros(bytes))).await), "gap too_large other", "{bytes}");
    }
    assert!(clamd.ready(), "clamd did nothing wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_takes_little_memory() {
    let Some(own) = start(|_, _| {}).await else { return };
    scan(&own.clamav, b"warm").await;
    let before = peak_kilobytes();
    assert_eq!(told(&own.clamav.inspect(&file_of(Zeros(100 << 20))).await), "ok");
    let grown = peak_kilobytes() - before;
    // SPEC: one 100 MB document adds at most 16 MB; other tests of this process grow beside it.
    assert!(grown < 16 * 1024, "100 MB took {grown} KB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_clamd_comes_back() {
    let Some(own) = start(|_, _| {}).await else { return };
    let pid = own.clamav.status().managed.unwrap().pid.unwrap();
    kill(pid);
    until("it is seen", || own.clamav.status().managed.unwrap().pid != Some(pid)).await;
    let told = scan(&own.clamav, b"hello").await;
    assert!(told == "ok" || told == "gap scanner_unavailable other", "{told}");
    until("it is ready again", || own.clamav.ready()).await;
    assert_eq!(scan(&own.clamav, &eicar()).await, EICAR);
    let managed = own.clamav.status().managed.unwrap();
    assert!(managed.restarts >= 1 && managed.pid.is_some_and(|now| now != pid), "{managed:?}");
}

/// Beside the old one, and, where memory is short, in its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_database_is_loaded() {
    for concurrent in [true, false] {
        let signature = |text: &[u8], name: &str| format!("{name}:0:*:{}\n", hex(text));
        let mine = signature(b"guarita-sample-one", "Guarita.One");
        let eicar_too = signature(&eicar(), "Win.Test.EICAR_HDB-1");
        let own = start(|database, config| {
            fs::write(database.join("mine.ndb"), format!("{mine}{eicar_too}")).unwrap();
            config.managed.concurrent_reload = Some(concurrent);
        });
        let Some(own) = own.await else { return };
        let (one, two) = (b"-- guarita-sample-one --", b"-- guarita-sample-two --");
        assert_eq!(scan(&own.clamav, one).await, "found clamav/Guarita.One.UNOFFICIAL critical");
        assert_eq!(scan(&own.clamav, two).await, "ok");
        assert_eq!(own.clamav.status().signatures, Signatures::Database);
        let version = own.clamav.version().unwrap();

        fs::write(own.database.path().join("new.ndb"), signature(b"guarita-sample-two", "Guarita.Two")).unwrap();
        until("it is loaded", || own.clamav.status().managed.unwrap().loads == 2).await;
        until("it is tested", || own.clamav.ready()).await;
        assert_eq!(scan(&own.clamav, two).await, "found clamav/Guarita.Two.UNOFFICIAL critical");
        assert_ne!(own.clamav.version().unwrap(), version, "cached verdicts are asked again");
        assert_eq!(own.clamav.status().managed.unwrap().restarts, 0, "a reload is no restart");

        // A signature file that clamd refuses: the old ones stay in use, and it is told.
        fs::write(own.database.path().join("bad.ndb"), "this is no signature\n").unwrap();
        until("it is told", || {
            let status = own.clamav.status().managed.unwrap();
            status.why.is_some_and(|why| why.contains("the new database was not loaded")) || status.restarts > 0
        })
        .await;
        fs::remove_file(own.database.path().join("bad.ndb")).unwrap();
        until("it recovers", || {
            let status = own.clamav.status();
            status.ready && status.managed.unwrap().why.is_none()
        })
        .await;
        assert_eq!(scan(&own.clamav, two).await, "found clamav/Guarita.Two.UNOFFICIAL critical");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_that_arrive_later_replace_the_test_set() {
    let Some(own) = start(|_, _| {}).await else { return };
    assert_eq!(own.clamav.status().signatures, Signatures::TestSetOnly);
    // They do not know EICAR: the self-test must still tell a clamd that works from a blind one.
    let mine = |name: &str, body: &[u8]| format!("{name}:0:*:{}\n", hex(body));
    fs::write(own.database.path().join("mine.ndb"), mine("My.First", b"the first of my own")).unwrap();
    until("they are used", || own.clamav.status().signatures == Signatures::Database && own.clamav.ready()).await;
    assert_eq!(scan(&own.clamav, b"this is the first of my own").await, "found clamav/My.First.UNOFFICIAL critical");
    assert_eq!(scan(&own.clamav, &eicar()).await, EICAR);
    // A second file is loaded in place, a removed one is forgotten.
    fs::write(own.database.path().join("more.ndb"), mine("My.Second", b"the second of my own")).unwrap();
    fs::remove_file(own.database.path().join("mine.ndb")).unwrap();
    until("they are loaded", || own.clamav.status().managed.is_some_and(|managed| managed.loads >= 3)).await;
    until("it is ready again", || own.clamav.ready()).await;
    assert_eq!(scan(&own.clamav, b"this is the second of my own").await, "found clamav/My.Second.UNOFFICIAL critical");
    assert_eq!(scan(&own.clamav, b"this is the first of my own").await, "ok");
}

/// Programs in place of freshclam: one that fails, one that hangs, one that brings signatures.
#[tokio::test(flavor = "multi_thread")]
async fn freshclam_is_run_and_its_failure_is_only_told() {
    let scripts = tempfile::tempdir().unwrap();
    world_readable(scripts.path());
    let fails = script(scripts.path(), "fails", "echo 'ERROR: Can not reach the mirror'; exit 11");
    let Some(own) = start(|_, config| freshclam_of(config, &fails)).await else { return };
    until("its failure is told", || matches!(freshclam(&own), FreshclamStatus::Failed { .. })).await;
    let FreshclamStatus::Failed { why, .. } = freshclam(&own) else { unreachable!() };
    assert!(why.contains("Can not reach the mirror"), "{why}");
    assert_eq!(scan(&own.clamav, &eicar()).await, EICAR);

    let hangs = script(scripts.path(), "hangs", "exec sleep 1000");
    let Some(own) = start(|_, config| freshclam_of(config, &hangs)).await else { return };
    assert_eq!(freshclam(&own), FreshclamStatus::Running);
    assert_eq!(scan(&own.clamav, &eicar()).await, EICAR);

    let body = format!("Brought.One:0:0:{}", hex(b"what freshclam brought"));
    let brings = "folder=$(sed -n 's/^DatabaseDirectory //p' \"${1#--config-file=}\"); echo '".to_owned()
        + &body
        + "' > \"$folder/brought.ndb\"";
    let brings = script(scripts.path(), "brings", &brings);
    let Some(own) = start(|_, config| freshclam_of(config, &brings)).await else { return };
    until("it is told", || matches!(freshclam(&own), FreshclamStatus::Updated { .. })).await;
    until("they are used", || own.clamav.status().signatures == Signatures::Database && own.clamav.ready()).await;
    assert_eq!(scan(&own.clamav, b"what freshclam brought").await, "found clamav/Brought.One.UNOFFICIAL critical");
}

#[tokio::test(flavor = "multi_thread")]
async fn freshclam_is_left_alone_where_it_cannot_work() {
    let Some(own) = start(|_, _| {}).await else { return };
    assert!(matches!(freshclam(&own), FreshclamStatus::Off { why } if why.contains("turned off")));
    let Some(own) = start(|_, config| freshclam_of(config, Path::new("/nowhere/freshclam"))).await else { return };
    assert!(matches!(freshclam(&own), FreshclamStatus::Off { why } if why.contains("not installed")));
}

fn script(folder: &Path, name: &str, body: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn freshclam_of(config: &mut Config, program: &Path) {
    // Writable for whoever runs freshclam.
    fs::set_permissions(&config.database, fs::Permissions::from_mode(0o777)).unwrap();
    config.freshclam.enabled = true;
    config.freshclam.freshclam = program.to_owned();
}

fn freshclam(own: &Own) -> FreshclamStatus {
    own.clamav.status().managed.unwrap().freshclam
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_load_is_told_and_mended() {
    if !clamd_is_here() {
        return;
    }
    let (storage, database) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    world_readable(database.path());
    fs::write(database.path().join("daily.cvd"), "not a database").unwrap();
    let config = real_config(database.path());
    let clamav = ClamAv::start(&config, storage.path(), Titles::default()).unwrap();
    until("it is told", || clamav.status().why.is_some_and(|why| why.contains("clamd ended"))).await;
    let why = clamav.status().why.unwrap();
    assert!(why.contains("ERROR") || why.contains("Error"), "clamd's own words: {why}");
    assert_eq!(scan(&clamav, b"hello").await, "gap scanner_unavailable other");
    assert!(clamav.status().mend.is_some());
    fs::remove_file(database.path().join("daily.cvd")).unwrap();
    until("it runs with the test set", || clamav.ready()).await;
    assert_eq!(scan(&clamav, &eicar()).await, EICAR);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_storage_share_a_clamd() {
    let Some(own) = start(|_, _| {}).await else { return };
    let pid = own.clamav.status().managed.unwrap().pid.unwrap();
    let second = ClamAv::start(&real_config(own.database.path()), own.storage.path(), Titles::default()).unwrap();
    assert!(second.wait_ready(READY).await);
    assert_eq!(scan(&second, &eicar()).await, EICAR);
    assert_eq!(second.status().managed.unwrap().state, ChildState::Shared);
    assert_eq!(own.clamav.status().managed.unwrap().pid, Some(pid), "the first one's clamd was left alone");
    // The first ends; the second takes over.
    own.clamav.stop().await;
    drop(own.clamav);
    until("the second runs its own", || second.status().managed.unwrap().state == ChildState::Running).await;
    until("and asks it", || second.ready()).await;
    assert_eq!(scan(&second, &eicar()).await, EICAR);
}

/// What a gateway killed with SIGKILL leaves behind where setpriv is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_clamd_left_behind_is_ended() {
    let Some(own) = start(|_, _| {}).await else { return };
    let settings = settings_of(&own);
    let copy = own.storage.path().join("copy.conf");
    fs::copy(&settings, &copy).unwrap();
    let database = own.clamav.status().managed.unwrap().database;
    let kept = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(database).unwrap().flatten() {
        fs::copy(entry.path(), kept.path().join(entry.file_name())).unwrap();
    }
    own.clamav.stop().await;
    // A stray one: the same command line, another socket, nobody's child.
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    let text = fs::read_to_string(&copy).unwrap();
    let redirected: Vec<String> = text
        .lines()
        .map(|line| match line.split_once(' ') {
            Some(("LocalSocket", _)) => format!("LocalSocket {}", own.storage.path().join("stray.sock").display()),
            Some(("DatabaseDirectory", _)) => format!("DatabaseDirectory {}", kept.path().display()),
            Some(("TemporaryDirectory", _)) => format!("TemporaryDirectory {}", kept.path().display()),
            _ => line.to_owned(),
        })
        .collect();
    fs::write(&settings, redirected.join("\n") + "\n").unwrap();
    let mut stray = Command::new("/usr/sbin/clamd");
    stray.arg("--foreground").arg("--config-file").arg(&settings);
    let mut stray = stray.stdout(std::process::Stdio::null()).spawn().unwrap();
    until("the stray one runs", || own.storage.path().join("stray.sock").exists()).await;

    let again = ClamAv::start(&real_config(own.database.path()), own.storage.path(), Titles::default()).unwrap();
    until("the stray one is ended", || stray.try_wait().unwrap().is_some()).await;
    assert!(again.wait_ready(READY).await);
    assert_eq!(scan(&again, &eicar()).await, EICAR);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_behind() {
    let Some(own) = start(|_, _| {}).await else { return };
    let settings = fs::read_to_string(settings_of(&own)).unwrap();
    let temporary = settings.lines().find_map(|line| line.strip_prefix("TemporaryDirectory ")).unwrap();
    let temporary = Path::new(temporary);
    assert!(temporary.exists());
    let pid = own.clamav.status().managed.unwrap().pid.unwrap();
    drop(own.clamav);
    until("the child is gone", || !Path::new(&format!("/proc/{pid}")).exists()).await;
    assert!(!temporary.exists(), "pieces of files would stay in {}", temporary.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_clamd_is_a_gap_with_a_mend() {
    let storage = tempfile::tempdir().unwrap();
    let mut config = real_config(storage.path());
    config.managed.clamd = PathBuf::from("/nowhere/clamd");
    let clamav = ClamAv::start(&config, storage.path(), Titles::default()).unwrap();
    let began = Instant::now();
    assert!(!clamav.wait_ready(READY).await && began.elapsed() < Duration::from_secs(5));
    assert_eq!(scan(&clamav, b"hello").await, "gap scanner_unavailable other");
    let status = clamav.status();
    assert!(status.why.unwrap().contains("/nowhere/clamd"));
    assert!(status.mend.unwrap().contains("apt install clamav-daemon"));
    assert_eq!(status.managed.unwrap().state, ChildState::Missing);
    clamav.stop().await;
}

fn settings_of(own: &Own) -> PathBuf {
    let address = own.clamav.status().addresses[0].address.clone();
    let socket = PathBuf::from(address.strip_prefix("unix:").unwrap());
    socket.parent().unwrap().with_file_name("clamd.conf")
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(15), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

/// The most memory this process ever held.
fn peak_kilobytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A stored (uncompressed) zip; enough for what is tested here.
fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let stored: Vec<Member<'_>> = members
        .iter()
        .map(|(name, bytes)| Member { name, bytes, flags: 0, method: 0, size: bytes.len(), crc: crc32(bytes) })
        .collect();
    zip_of(&stored)
}

/// A zip whose member says that it is encrypted.
fn encrypted_zip() -> Vec<u8> {
    zip_of(&[Member { name: "secret.txt", bytes: &[0x5a; 64], flags: 1, method: 0, size: 64, crc: 0 }])
}

/// A small zip that unpacks to about `size` zeros.
fn zip_of_zeros(size: usize) -> Vec<u8> {
    let matches = size / 258;
    // Deflate with fixed codes: a literal zero, then "258 bytes from one back", then the end.
    let codes = std::iter::once((0b0011_0000_u32, 8)).chain(std::iter::repeat_n((0b1_1000_1010_0000, 13), matches));
    let mut bits = vec![true, true, false];
    for (code, length) in codes.chain([(0, 7)]) {
        bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    }
    let bytes: Vec<u8> = bits
        .chunks(8)
        .map(|byte| byte.iter().enumerate().fold(0, |sum, (bit, set)| sum | u8::from(*set) << bit))
        .collect();
    zip_of(&[Member { name: "zeros", bytes: &bytes, flags: 0, method: 8, size: 1 + 258 * matches, crc: 0 }])
}

struct Member<'a> {
    name: &'a str,
    bytes: &'a [u8],
    flags: u16,
    method: u16,
    size: usize,
    crc: u32,
}

fn zip_of(members: &[Member<'_>]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    let small = |n: usize| u16::try_from(n).unwrap().to_le_bytes();
    let large = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    for member in members {
        let offset = large(out.len());
        let mut head = Vec::new();
        for field in [20, member.flags, member.method, 0, 0x21] {
            head.extend(u16::to_le_bytes(field));
        }
        head.extend(member.crc.to_le_bytes());
        head.extend(large(member.bytes.len()));
        head.extend(large(member.size));
        head.extend(small(member.name.len()));
        head.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&head);
        out.extend(member.name.as_bytes());
        out.extend(member.bytes);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&head);
        directory.extend([0; 10]);
        directory.extend(offset);
        directory.extend(member.name.as_bytes());
    }
    let (count, start) = (small(members.len()), large(out.len()));
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count);
    out.extend(count);
    out.extend(large(directory.len()));
    out.extend(start);
    out.extend([0, 0]);
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
