//! The two that are measured, as processes of their own, and what memory they take.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .expect("loopback has free ports")
        .local_addr()
        .expect("it is bound")
        .port()
}

async fn wait_for(port: u16) {
    let end = Instant::now() + Duration::from_secs(30);
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < end, "nothing listens on {port}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The gateway as it is run, texts only: no clamd, so that its memory is its own.
pub struct Gateway {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Gateway {
    pub async fn start(binary: &Path, backend: &str, secret: &str) -> Gateway {
        Self::start_with(binary, backend, secret, "").await
    }

    /// `config`: a file of its own, below the environment.
    pub async fn start_with(binary: &Path, backend: &str, secret: &str, config: &str) -> Gateway {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("guarita.toml"), config).expect("the folder is ours");
        let (port, media, console) = (free_port(), free_port(), free_port());
        let child = Command::new(binary)
            .arg("run")
            .current_dir(folder.path())
            .envs([
                ("GUARITA__RECEIVE__LISTEN", format!("127.0.0.1:{port}")),
                ("GUARITA__RECEIVE__APP_SECRET", secret.to_owned()),
                ("GUARITA__RECEIVE__VERIFY_TOKEN", "bench".into()),
                ("GUARITA__BACKEND__URL", backend.to_owned()),
                ("GUARITA__MEDIA__LISTEN", format!("127.0.0.1:{media}")),
                ("GUARITA__CONSOLE__LISTEN", format!("127.0.0.1:{console}")),
                ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere".into()),
                ("GUARITA__STORAGE__PATH", folder.path().join("data").display().to_string()),
                ("GUARITA__LOG__LEVEL", "error".into()),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the gateway was built");
        wait_for(port).await;
        wait_for(console).await;
        Gateway { child, port, _folder: folder }
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
