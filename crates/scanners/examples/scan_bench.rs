//! What the gateway adds around clamd: the same files, in the same order, through [`Clamd`] and through
//! `clamdscan --stream`, asked of one clamd. Prints both rates and their ratio, medians of several rounds.
//!
//! `cargo run --release -p guarita-scanners --example scan_bench -- [--rounds N] [--database DIR] [--parallel N] FILE…`
//!
//! Files are read into memory first for us and are in the page cache for clamdscan. clamd remembers clean files by hash;
//! both sides find that memory in the same state, since the rounds alternate after one that is not counted.
#![allow(clippy::print_stdout, reason = "a command prints its answer")]

use guarita_inspect::{Content, FileInspector, FileUnderScan};
use guarita_message::ContentHash;
use guarita_scanners::{ClamAv, Config, Titles};
use sha2::{Digest, Sha256};
use std::{
    error::Error,
    fs, io,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// A file on disk, read as it is scanned.
struct OnDisk(PathBuf, u64);

impl Content for OnDisk {
    fn bytes(&self) -> u64 {
        self.1
    }
    fn open(&self) -> io::Result<Box<dyn io::Read + Send>> {
        Ok(Box::new(fs::File::open(&self.0)?))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut rounds, mut parallel, mut files) = (5_usize, 1_usize, Vec::new());
    let mut config = Config::default();
    config.freshclam.enabled = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or("a value is missing");
        match argument.as_str() {
            "--rounds" => rounds = value()?.parse()?,
            "--parallel" => parallel = value()?.parse()?,
            "--database" => config.database = value()?.into(),
            _ => files.push(PathBuf::from(argument)),
        }
    }
    if files.is_empty() {
        return Err("name some files".into());
    }
    config.concurrent_scans = parallel.max(2);
    let storage = tempfile::tempdir()?;
    let clamav = Arc::new(ClamAv::start(&config, storage.path(), Titles::default())?);
    if !clamav.wait_ready(Duration::from_secs(120)).await {
        return Err(format!("clamd is not ready: {:?}", clamav.status()).into());
    }
    let socket = clamav.status().addresses[0].address.clone();
    let socket = socket.strip_prefix("unix:").ok_or("a managed clamd listens on a unix socket")?;
    let settings = storage.path().join("clamdscan.conf");
    fs::write(&settings, format!("LocalSocket {socket}\nStreamMaxLength 200M\n"))?;
    let list = storage.path().join("files");
    fs::write(&list, files.iter().map(|file| format!("{}\n", file.display())).collect::<String>())?;

    let total: u64 = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|meta| meta.len()).sum();
    println!("{} files, {:.1} MB, {rounds} rounds", files.len(), total as f64 / 1e6);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let our = scan_all(&clamav, &files, parallel).await?;
        let their = clamdscan(&settings, &list, parallel)?;
        if round > 0 {
            println!(
                "round {round}: guarita {:.3} s, clamdscan --stream {:.3} s",
                our.as_secs_f64(),
                their.as_secs_f64()
            );
            ours.push(our);
            theirs.push(their);
        }
    }
    let (our, their) = (median(ours), median(theirs));
    println!(
        "median: guarita {our:.3} s ({:.1} MB/s, {:.0} files/s), clamdscan {their:.3} s; throughput is {:.0} % of clamdscan's",
        total as f64 / 1e6 / our,
        files.len() as f64 / our,
        100.0 * their / our
    );
    clamav.stop().await;
    Ok(())
}

async fn scan_all(clamav: &Arc<ClamAv>, files: &[PathBuf], parallel: usize) -> Result<Duration, Box<dyn Error>> {
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    let mut left = files.iter();
    loop {
        while running.len() < parallel
            && let Some(path) = left.next()
        {
            let path = path.clone();
            let bytes = fs::metadata(&path)?.len();
            let clamav = Arc::clone(clamav);
            running.spawn(async move {
                let file = FileUnderScan {
                    place: "/document".into(),
                    name: path.display().to_string(),
                    declared_type: String::new(),
                    hash: ContentHash(Sha256::digest(path.as_os_str().as_encoded_bytes()).into()),
                    content: Arc::new(OnDisk(path, bytes)),
                    passwords: vec![],
                };
                clamav.inspect(&file).await
            });
        }
        match running.join_next().await {
            Some(inspection) => drop(inspection?),
            None => return Ok(began.elapsed()),
        }
    }
}

fn clamdscan(settings: &std::path::Path, list: &std::path::Path, parallel: usize) -> Result<Duration, Box<dyn Error>> {
    let mut command = Command::new("clamdscan");
    command.arg("--stream").arg("--no-summary").arg("-c").arg(settings).arg("-f").arg(list);
    if parallel > 1 {
        command.arg("--multiscan");
    }
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let took = began.elapsed();
    match status.code() {
        Some(0 | 1) => Ok(took),
        _ => Err(format!("clamdscan failed: {status}").into()),
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64)
}
