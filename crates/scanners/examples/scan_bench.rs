//! What the gateway adds around clamd: the same files, in the same order, through [`Clamd`], through `clamdscan --stream`
//! and `--fdpass`, and through c-icap's virus_scan where it is installed, asked of one clamd. Prints all rates and their
//! ratios, medians of several rounds.
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
    fs,
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
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
    let icap = Icap::start(socket, storage.path())?;
    let mut others: Vec<(&str, Vec<Duration>)> = vec![("clamdscan --stream", vec![]), ("clamdscan --fdpass", vec![])];
    match icap {
        Some(_) => others.push(("c-icap virus_scan", vec![])),
        None => println!(
            "c-icap with virus_scan is not installed: left out (apt-get install c-icap libc-icap-mod-virus-scan)"
        ),
    }
    let mut ours = Vec::new();
    for round in 0..=rounds {
        let our = scan_all(&clamav, &files, parallel).await?;
        let mut their = vec![
            clamdscan("--stream", &settings, &list, parallel)?,
            clamdscan("--fdpass", &settings, &list, parallel)?,
        ];
        if let Some(icap) = &icap {
            their.push(icap.scan_all(&files)?);
        }
        if round > 0 {
            ours.push(our);
            others.iter_mut().zip(their).for_each(|((_, times), time)| times.push(time));
        }
    }
    let our = median(&ours);
    let rate = |seconds: f64| {
        format!("{seconds:.3} s, {:.1} MB/s, {:.0} files/s", total as f64 / 1e6 / seconds, files.len() as f64 / seconds)
    };
    println!("  {:<24} {}", "guarita's clamd client", rate(our));
    for (name, times) in &others {
        let ratios: Vec<Duration> =
            times.iter().zip(&ours).map(|(their, our)| their.div_f64(our.as_secs_f64())).collect();
        println!("  {name:<24} {}; guarita is at {:.0} % of it", rate(median(times)), 100.0 * median(&ratios));
    }
    drop(icap);
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

fn clamdscan(how: &str, settings: &Path, list: &Path, parallel: usize) -> Result<Duration, Box<dyn Error>> {
    let mut command = Command::new("clamdscan");
    command.arg(how).arg("--no-summary").arg("-c").arg(settings).arg("-f").arg(list);
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

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64)
}

/// c-icap as proxies use it: its virus_scan service, on the same clamd.
struct Icap {
    child: Child,
    port: u16,
}

const ICAP: &str = "/usr/bin/c-icap";
const ICAP_MODULES: &str = "/usr/lib/x86_64-linux-gnu/c_icap";

impl Icap {
    fn start(clamd: &str, folder: &Path) -> Result<Option<Icap>, Box<dyn Error>> {
        let service = Path::new(ICAP_MODULES).join("virus_scan.so");
        if !Path::new(ICAP).exists() || !service.exists() {
            return Ok(None);
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (file, here) = (folder.join("c-icap.conf"), folder.display());
        let settings = format!(
            "PidFile {here}/c-icap.pid\nCommandsSocket {here}/c-icap.ctl\nPort 127.0.0.1:{port}\nTmpDir {here}\n\
             StartServers 1\nMaxServers 2\nMinSpareThreads 4\nMaxSpareThreads 10\nThreadsPerChild 10\n\
             ServerLog {here}/c-icap.log\nAccessLog {here}/c-icap.access\nServerAdmin a@example.com\nServerName bench\n\
             ModulesDir {ICAP_MODULES}\nServicesDir {ICAP_MODULES}\nTemplateDir /usr/share/c_icap/templates/\n\
             TemplateDefaultLanguage en\nLoadMagicFile /etc/c-icap/c-icap.magic\nModule common clamd_mod.so\n\
             clamd_mod.ClamdSocket {clamd}\nService virus_scan virus_scan.so\n\
             virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE\nvirus_scan.MaxObjectSize 200M\n\
             virus_scan.DefaultEngine clamd\nvirus_scan.Allow204Responces on\n"
        );
        fs::write(&file, settings)?;
        let child =
            Command::new(ICAP).arg("-N").arg("-f").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let icap = Icap { child, port };
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > end {
                println!(
                    "c-icap does not start: {}",
                    fs::read_to_string(folder.join("c-icap.log")).unwrap_or_default()
                );
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Some(icap))
    }

    fn scan_all(&self, files: &[PathBuf]) -> Result<Duration, Box<dyn Error>> {
        let contents = files.iter().map(fs::read).collect::<io::Result<Vec<_>>>()?;
        let began = Instant::now();
        for content in contents {
            self.scan(&content)?;
        }
        Ok(began.elapsed())
    }

    /// One answer of a web server, as a proxy would show it.
    fn scan(&self, content: &[u8]) -> Result<(), Box<dyn Error>> {
        let request = "GET http://example.com/file HTTP/1.1\r\nHost: example.com\r\n\r\n";
        let response = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            content.len()
        );
        let head = format!(
            "RESPMOD icap://127.0.0.1:{}/virus_scan ICAP/1.0\r\nHost: 127.0.0.1\r\nAllow: 204\r\nConnection: close\r\n\
             Encapsulated: req-hdr=0, res-hdr={}, res-body={}\r\n\r\n{request}{response}{:x}\r\n",
            self.port,
            request.len(),
            request.len() + response.len(),
            content.len().max(1),
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        let mut writer = stream.try_clone()?;
        let mut answer = Vec::new();
        std::thread::scope(|scope| {
            // Its answer may begin before all was sent.
            scope.spawn(move || {
                let content = if content.is_empty() { b" " } else { content };
                let sent =
                    [head.as_bytes(), content, b"\r\n0\r\n\r\n"].iter().try_for_each(|piece| writer.write_all(piece));
                let _ = sent.and_then(|()| writer.shutdown(Shutdown::Write));
            });
            stream.read_to_end(&mut answer)
        })?;
        let status = String::from_utf8_lossy(answer.get(..12).unwrap_or_default()).into_owned();
        if !["ICAP/1.0 200", "ICAP/1.0 204"].contains(&status.as_str()) {
            return Err(format!("c-icap answered {status}").into());
        }
        Ok(())
    }
}

impl Drop for Icap {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}
