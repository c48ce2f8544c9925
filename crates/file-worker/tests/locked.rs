//! The whole way: a file goes through the pool into a locked worker that really looks, and comes back as a report.
//!
//! This program is its own worker (`worker`); without arguments it runs the tests below. What a look costs is measured by
//! the example `bench_files`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test, though it has a main of its own")]

use guarita_file_worker::{Report, Setup, walk::Limits};
use guarita_message::{GapReason, Severity};
use guarita_rules::{Language, RuleFile};
use guarita_sandbox::{Config, Outcome, Pool, child};
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("worker") => child::serve(guarita_file_worker::start),
        _ => with_pool(Config { workers: 2, ..Config::default() }, tests),
    }
}

fn with_pool(config: Config, test: impl AsyncFnOnce(Pool)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let program = vec![std::env::current_exe().unwrap().into(), "worker".into()];
        let setup = Setup {
            limits: Limits::default(),
            language: Language::English,
            version: "test".into(),
            rules: read_rules(),
        };
        test(Pool::start(config, program, setup.encode()).await.unwrap()).await;
    });
}

fn read_rules() -> Vec<RuleFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let mut files = Vec::new();
    for kind in ["files", "yara"] {
        for entry in std::fs::read_dir(root.join(kind)).into_iter().flatten().flatten() {
            let path = format!("{kind}/{}", entry.file_name().to_string_lossy());
            files.push(RuleFile { path, bytes: std::fs::read(entry.path()).unwrap() });
        }
    }
    files
}

async fn look(pool: &Pool, name: &str, bytes: Vec<u8>) -> Result<Report, Outcome> {
    let header = format!(r#"{{"name":{name:?},"declared_type":"","passwords":[]}}"#);
    let open = Box::new(move || Ok(Box::new(Cursor::new(bytes)) as Box<dyn Read + Send>));
    match pool.look(header.into_bytes(), open).await {
        Outcome::Answer(answer) => Ok(serde_json::from_slice(&answer).unwrap()),
        other => Err(other),
    }
}

async fn tests(pool: Pool) {
    let report = look(&pool, "boleto.pdf", program()).await.unwrap();
    assert_eq!(report.files[0].true_type, "application/vnd.microsoft.portable-executable");
    assert_eq!(report.files[0].scanned_by, ["guarita rules test"]);
    assert!(report.findings.iter().any(|f| f.rule == "files/disguised-program" && f.severity >= Severity::High));
    println!("ok   a disguised program is found from inside the room");

    let report = look(&pool, "a.tar.gz", gzip(&tar(&[("docs/x.exe", &program())]))).await.unwrap();
    assert!(report.findings.iter().any(|f| f.inside == "a.tar.gz › a.tar › docs/x.exe"), "{:?}", report.findings);
    println!("ok   and so is one inside of archives, with the way to it");

    let report = look(&pool, "a.txt", b"bom dia".to_vec()).await.unwrap();
    assert!(report.findings.is_empty() && report.gaps.is_empty(), "{report:?}");
    println!("ok   a plain text is nothing");

    for (name, bomb) in bombs() {
        let start = Instant::now();
        let report = look(&pool, name, bomb).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "{name} took {:?}", start.elapsed());
        let named = report.findings.iter().any(|f| f.severity >= Severity::Medium);
        assert!(named || report.gaps.iter().any(|g| g.reason == GapReason::Limits), "{name}: {report:?}");
        println!("ok   {name} within {} ms", start.elapsed().as_millis());
    }

    // Every prefix of hostile files of many kinds: no crash, no filter kill, no time-out.
    let mut count = 0;
    for (name, bytes) in bombs().into_iter().chain([("a.exe", program()), ("a.tar.gz", gzip(&tar(&[("a", b"x")])))]) {
        for cut in (0..bytes.len().min(4096)).step_by(211) {
            look(&pool, name, bytes[..cut].to_vec())
                .await
                .unwrap_or_else(|outcome| panic!("{name} to {cut}: {outcome:?}"));
            count += 1;
        }
    }
    assert_eq!(pool.status().replaced_after_trouble, 0);
    println!("ok   {count} files that break off are answered, too");
}

/// Small files that would like to be large.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let zeros = vec![0u8; 40 << 20];
    let mut nested = gzip(b"x");
    for _ in 0..41 {
        nested = gzip(&nested);
    }
    let mut huge_claim = tar(&[("a", b"x")]);
    huge_claim[124..136].copy_from_slice(b"\x80\0\0\0\0\0\x01\0\0\0\0\0");
    let sum: u32 = huge_claim[..512]
        .iter()
        .enumerate()
        .map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) })
        .sum();
    huge_claim[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let many: Vec<(String, Vec<u8>)> = (0..20_000).map(|n| (format!("f{n}"), Vec::new())).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    vec![
        ("gzip-of-gzip-of-zeros.gz", gzip(&gzip(&zeros))),
        ("forty-two-levels.gz", nested),
        ("claims-a-tebibyte.tar", huge_claim),
        ("twenty-thousand-entries.tar", tar(&many)),
    ]
}

fn program() -> Vec<u8> {
    let mut bytes = vec![0u8; 128];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 64;
    bytes[64..70].copy_from_slice(b"PE\0\0\x4c\x01");
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in entries {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 =
            header.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}
