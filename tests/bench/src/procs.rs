//! The two that are measured, as processes of their own, and what memory they take.

use guarita_testkit::MetaStandIn;
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .expect("loopback has free ports")
        .local_addr()
        .expect("it is bound")
        .port()
}

pub async fn wait_for(port: u16) {
    let end = Instant::now() + Duration::from_secs(30);
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < end, "nothing listens on {port}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The gateway as it is run; for texts without a clamd, so that its memory is its own.
pub struct Gateway {
    child: Child,
    port: u16,
    console: u16,
    _folder: tempfile::TempDir,
}

impl Gateway {
    pub async fn start(binary: &Path, backend: &str, secret: &str) -> Gateway {
        Self::start_in(binary, backend, secret, None).await
    }

    /// `storage`: a folder that is there already.
    pub async fn start_in(binary: &Path, backend: &str, secret: &str, storage: Option<&Path>) -> Gateway {
        Self::launch(binary, backend, secret, storage, "[clamav]\naddress = \"unix:/nowhere\"\n").await
    }

    /// `more`: tables of the configuration, with routes for instance.
    pub async fn start_with(binary: &Path, backend: &str, secret: &str, more: &str) -> Gateway {
        let more = format!("[clamav]\naddress = \"unix:/nowhere\"\n{more}");
        Self::launch(binary, backend, secret, None, &more).await
    }

    /// With a clamd of its own, and files from `graph`.
    pub async fn start_with_files(binary: &Path, backend: &str, secret: &str, graph: &str, token: &str) -> Gateway {
        let host = graph.trim_start_matches("http://");
        let more = format!(
            "[graph]\nbase_url = \"{graph}\"\naccess_token = \"{token}\"\nmedia_hosts = [\"{host}\"]\n\
             [clamav.freshclam]\nenabled = false\n"
        );
        let gateway = Self::launch(binary, backend, secret, None, &more).await;
        let end = Instant::now() + Duration::from_secs(120);
        while !gateway.is_ready().await {
            assert!(Instant::now() < end, "the gateway's clamd does not get ready");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        gateway
    }

    async fn launch(binary: &Path, backend: &str, secret: &str, storage: Option<&Path>, more: &str) -> Gateway {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, media, console) = (free_port(), free_port(), free_port());
        let storage = storage.map_or_else(|| folder.path().join("data"), Path::to_owned);
        let text = format!(
            "[receive]\nlisten = \"127.0.0.1:{port}\"\napp_secret = \"{secret}\"\nverify_token = \"bench\"\n\
             [backend]\nurl = \"{backend}\"\n[media]\nlisten = \"127.0.0.1:{media}\"\n\
             [console]\nlisten = \"127.0.0.1:{console}\"\n[storage]\npath = \"{}\"\n[log]\nlevel = \"error\"\n{more}",
            storage.display()
        );
        let config = folder.path().join("guarita.toml");
        std::fs::write(&config, text).expect("the folder is ours");
        let child = Command::new(binary)
            .arg("--config")
            .arg(&config)
            .arg("run")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the gateway was built");
        wait_for(port).await;
        wait_for(console).await;
        Gateway { child, port, console, _folder: folder }
    }

    async fn is_ready(&self) -> bool {
        let answer = MetaStandIn::get(&format!("http://127.0.0.1:{}/readyz", self.console), None).await;
        answer.is_ok_and(|(status, ..)| status == 200)
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Politely first, so that a clamd of its own ends with it.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// nginx as a bare proxy: two workers, kept-alive connections to the sink, no log, no buffering to disk.
pub struct Nginx {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Nginx {
    pub async fn start(sink: &str) -> Nginx {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, path) = (free_port(), folder.path().display().to_string());
        let config = format!(
            "daemon off; worker_processes 2; pid {path}/pid; error_log {path}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; client_body_temp_path {path}/b; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f;\n\
             uwsgi_temp_path {path}/u; scgi_temp_path {path}/s; client_body_buffer_size 64k; keepalive_requests 1000000;\n\
             upstream sink {{ server {sink}; keepalive 128; keepalive_requests 1000000; }}\n\
             server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://sink; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; }} }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).expect("the folder is ours");
        let binary = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let child = Command::new(binary)
            .args(["-e", &format!("{path}/error.log"), "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .expect("nginx is installed; tests/bench/run sees to that");
        wait_for(port).await;
        Nginx { child, port, _folder: folder }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn status_mib(pid: u32, key: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// Memory now.
pub fn rss_mib(pid: u32) -> f64 {
    status_mib(pid, "VmRSS:")
}

/// The most it ever was.
pub fn rss_peak_mib(pid: u32) -> f64 {
    status_mib(pid, "VmHWM:")
}

/// Forgets the most it ever was.
pub fn reset_peak(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Processor time of a process and its children so far.
pub fn cpu_seconds(pid: u32) -> f64 {
    let own = ticks_of(pid).map_or(0.0, |(ticks, _)| ticks);
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(ticks_of);
    let theirs: f64 = children.filter(|(_, parent)| *parent == pid).map(|(ticks, _)| ticks).sum();
    // The kernel's clock for user space counts hundredths of a second.
    (own + theirs) / 100.0
}

/// User and system time, and the parent.
fn ticks_of(pid: u32) -> Option<(f64, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let tick = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((tick(11)? + tick(12)?, fields.get(1)?.parse().ok()?))
}
