//! What a look at a file costs with a warm, locked worker: `cargo run --release -p guarita-file-worker --example bench_files`.
//!
//! Prints the median and p99 of a picture as people send it, time and peak memory of bombs and of large files, and the
//! worker's memory before and after ten thousand files. With paths, those files are measured, too. The example is its own
//! worker: it starts itself as a child.

#![allow(clippy::print_stdout, reason = "a bench speaks to a terminal")]

use guarita_file_worker::{Report, Setup, walk::Limits};
use guarita_rules::{Language, RuleFile};
use guarita_sandbox::{Config, Outcome, Pool, child};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("worker") {
        child::serve(guarita_file_worker::start);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(std::env::args().skip(1).map(PathBuf::from).collect()));
}

async fn measure(paths: Vec<PathBuf>) {
    let photo = photo(1600, 1200);
    row_of_medians("photo 1600 x 1200, JPEG", "foto.jpg", &photo).await;
    let noise = noise_png();
    row_of_medians("picture of noise, PNG", "imagem.png", &noise).await;
    for path in paths {
        let bytes = std::fs::read(&path).expect("the file can be read");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        row_of_medians(&name, &name, &bytes).await;
    }
    println!();
    for (name, bytes) in heavy() {
        let pool = pool(1).await;
        look(&pool, "a.txt", b"warm".to_vec()).await;
        let size = bytes.len();
        let start = Instant::now();
        let report = look(&pool, name, bytes).await;
        let took = start.elapsed();
        let gaps: Vec<&str> = report.gaps.iter().map(|gap| gap.reason.as_str()).collect();
        let rules: Vec<&str> = report.findings.iter().map(|finding| finding.rule.as_str()).take(2).collect();
        let peak = worker_memory("VmHWM") / 1024;
        println!("{name:28} {:>8} KB  {took:>10.1?}  peak {peak:>4} MB  {rules:?} {gaps:?}", size / 1000);
    }
    println!();
    let pool = pool(1).await;
    for n in 0..200u32 {
        look(&pool, "foto.jpg", stamped(&photo, n)).await;
    }
    let before = worker_memory("VmRSS");
    for n in 200..10_200u32 {
        look(&pool, "foto.jpg", stamped(&photo, n)).await;
    }
    println!("worker's memory: {before} KB after 200 pictures, {} KB after 10,000 more", worker_memory("VmRSS"));
}

/// One worker that is never replaced, so that what grows shows.
async fn pool(workers: usize) -> Pool {
    let program = vec![std::env::current_exe().expect("our own path").into(), "worker".into()];
    let (limits, language) = (Limits::default(), Language::English);
    let setup = Setup { limits, language, version: "bench".into(), rules: read_rules() };
    let config = Config { workers, files_per_worker: u32::MAX, ..Config::default() };
    Pool::start(config, program, setup.encode()).await.expect("a worker")
}

async fn row_of_medians(shown: &str, name: &str, bytes: &[u8]) {
    let pool = pool(1).await;
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..220 {
        let start = Instant::now();
        look(&pool, name, bytes.to_vec()).await;
        times.push(start.elapsed());
    }
    let mut times = times.split_off(20);
    times.sort();
    println!("{shown:28} {:>8} KB  median {:.2?}  p99 {:.2?}", bytes.len() / 1000, times[100], times[198]);
}

async fn look(pool: &Pool, name: &str, bytes: Vec<u8>) -> Report {
    let header = serde_json::json!({"name": name}).to_string().into_bytes();
    match pool.look(header, Box::new(move || Ok(Box::new(Cursor::new(bytes))))).await {
        Outcome::Answer(answer) => serde_json::from_slice(&answer).expect("a report"),
        other => panic!("{other:?}"),
    }
}

/// A line of the only child's status, in KB.
fn worker_memory(line: &str) -> u64 {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let statuses = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("status")).ok());
    let ours = |status: &String| status.lines().any(|l| l.strip_prefix("PPid:").is_some_and(|pid| pid.trim() == own));
    let value = |status: String| {
        let found: Option<u64> = status.lines().find(|l| l.starts_with(line))?.split_whitespace().nth(1)?.parse().ok();
        found
    };
    statuses.filter(ours).filter_map(value).max().unwrap_or(0)
}

fn stamped(photo: &[u8], n: u32) -> Vec<u8> {
    let mut bytes = photo.to_vec();
    bytes.extend_from_slice(&n.to_le_bytes());
    bytes
}

/// A photograph's like: soft shapes and some grain, packed to some 200 KB.
fn photo(width: u32, height: u32) -> Vec<u8> {
    let mut state = 1u32;
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let wave = |n: f32| ((x as f32 / 97.0 + n).sin() * (y as f32 / 71.0 - n).cos() * 90.0 + 128.0) as u8;
        let grain = (state >> 28) as u8;
        image::Rgb([wave(0.0).wrapping_add(grain), wave(1.0).wrapping_add(grain), wave(2.0).wrapping_add(grain)])
    });
    let mut out = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 72).encode_image(&picture).expect("memory");
    out
}

/// 200 KB that no packer makes smaller.
fn noise_png() -> Vec<u8> {
    let mut state = 7u32;
    let picture = image::RgbImage::from_fn(260, 256, |_, _| {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        image::Rgb([next(), next(), next()])
    });
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, image::ImageFormat::Png).expect("memory");
    out.into_inner()
}

fn heavy() -> Vec<(&'static str, Vec<u8>)> {
    let zeros = vec![0u8; 64 * MIB];
    let noise = |bytes: usize| -> Vec<u8> {
        let mut state = 7u64;
        let mut out = Vec::with_capacity(bytes + 8);
        while out.len() < bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            out.extend_from_slice(&state.to_le_bytes());
        }
        out
    };
    let mut nested = gzip(b"x");
    for _ in 0..41 {
        nested = gzip(&nested);
    }
    let lines = "lorem ipsum dolor sit amet, consectetur adipiscing elit\n".repeat(100 * MIB / 56);
    let entity: String = (b'b'..=b'k').fold("<!ENTITY a \"lollollol\">".to_owned(), |text, letter| {
        let (name, before) = (char::from(letter), char::from(letter - 1));
        format!("{text}<!ENTITY {name} \"{}\">", format!("&{before};").repeat(10))
    });
    vec![
        ("a-gib-of-zeros.gz", gzip(&zeros.repeat(16))),
        ("gzip-in-gzip.gz", gzip(&gzip(&zeros.repeat(8)))),
        ("forty-two-levels.gz", nested),
        ("billion-laughs.xml", format!("<?xml version=\"1.0\"?><!DOCTYPE l [{entity}]><l>&k;</l>").into_bytes()),
        ("100-mb-of-noise.pdf", [b"%PDF-1.7\n".to_vec(), noise(100 * MIB)].concat()),
        ("100-mb-of-noise.jpg", [b"\xff\xd8\xff\xe0\0\x10JFIF\0".to_vec(), noise(100 * MIB)].concat()),
        ("100-mb-of-text.txt", lines.into_bytes()),
        (
            "100-mb-of-objects.pdf",
            b"%PDF-1.7\n".iter().chain(b"1 0 obj<<".iter().cycle().take(100 * MIB)).copied().collect(),
        ),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

fn read_rules() -> Vec<RuleFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let mut files = Vec::new();
    for kind in ["files", "yara"] {
        for entry in std::fs::read_dir(root.join(kind)).into_iter().flatten().flatten() {
            let path = format!("{kind}/{}", entry.file_name().to_string_lossy());
            files.push(RuleFile { path, bytes: std::fs::read(entry.path()).expect("a rule file can be read") });
        }
    }
    files
}
