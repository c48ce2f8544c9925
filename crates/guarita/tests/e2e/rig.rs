//! The world of a test: a stand-in for Meta, a sample backend, and the real binary between them.

use guarita_testkit::{MetaStandIn, Received, SampleBackend, payload::Customer};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

pub const APP_SECRET: &str = "e2e-app-secret";
pub const BACKEND_SECRET: &str = "e2e-backend-secret";
pub const TOKEN: &str = "e2e-graph-token";
pub const VERIFY: &str = "e2e-verify-token";

pub struct Rig {
    pub meta: MetaStandIn,
    pub backend: SampleBackend,
    pub public: u16,
    pub media: u16,
    pub console: u16,
    config: PathBuf,
    storage: PathBuf,
    child: Option<Child>,
    _folder: tempfile::TempDir,
}

/// A port that is free now. Another process may take it before we do; then the gateway says so and the test fails loudly.
pub fn free_port() -> u16 {
    // Below the ports that the system gives to outgoing connections: one of those would take it before the gateway does.
    const FIRST: u16 = 10_000;
    const PORTS: u16 = 20_000;
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % u32::from(PORTS)) as u16;
    loop {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(given < PORTS, "every port was tried");
        let port = FIRST + (begin + given) % PORTS;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Rig {
    /// What differs from the rig's own configuration comes through the environment.
    pub async fn start(environment: &[(&str, &str)]) -> Rig {
        let mut rig = Rig::prepare(None).await;
        rig.launch(environment).await;
        rig.wait_ready().await;
        rig
    }

    /// Everything but the gateway itself.
    pub async fn prepare(storage: Option<PathBuf>) -> Rig {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let meta = MetaStandIn::start("127.0.0.1:0", TOKEN).await.expect("loopback");
        let backend = SampleBackend::start("127.0.0.1:0", BACKEND_SECRET).await.expect("loopback");
        let storage = storage.unwrap_or_else(|| folder.path().join("data"));
        let (public, media, console) = (free_port(), free_port(), free_port());
        let config = folder.path().join("guarita.toml");
        let text = format!(
            "[receive]\nlisten = \"127.0.0.1:{public}\"\nverify_token = \"{VERIFY}\"\napp_secret = \"{APP_SECRET}\"\n\
             [graph]\nbase_url = \"{}\"\naccess_token = \"{TOKEN}\"\nmedia_hosts = [\"{}\"]\n\
             [backend]\nurl = \"{}\"\nsecret = \"{BACKEND_SECRET}\"\n\
             [media]\nlisten = \"127.0.0.1:{media}\"\npublic_url = \"http://127.0.0.1:{media}\"\n\
             [storage]\npath = \"{}\"\n[console]\nlisten = \"127.0.0.1:{console}\"\n",
            meta.base_url(),
            meta.address(),
            backend.url(),
            storage.display(),
        );
        std::fs::write(&config, text).expect("the folder is ours");
        Rig { meta, backend, public, media, console, config, storage, child: None, _folder: folder }
    }

    /// Appends to the configuration; before the launch, or while it runs.
    pub fn configure(&self, text: &str) {
        let before = std::fs::read_to_string(&self.config).expect("we wrote it");
        std::fs::write(&self.config, before + text).expect("the folder is ours");
    }

    /// Replaces the configuration's text.
    pub fn reconfigure(&self, change: impl Fn(&str) -> String) {
        let before = std::fs::read_to_string(&self.config).expect("we wrote it");
        std::fs::write(&self.config, change(&before)).expect("the folder is ours");
    }

    /// Tells the gateway to read its configuration anew.
    pub fn hang_up(&self) {
        let told = Command::new("kill").args(["-HUP", &self.pid().to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()));
    }

    /// Runs another command of the binary with this configuration: whether it ended well, and what it said.
    pub fn run(&self, arguments: &[&str]) -> (bool, String) {
        let ran = Command::new(env!("CARGO_BIN_EXE_guarita"))
            .args(["--config", &self.config.display().to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the binary was just built");
        let said = [ran.stdout, ran.stderr].concat();
        (ran.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    pub fn path_of(&self, name: &str) -> PathBuf {
        self.config.with_file_name(name)
    }

    pub async fn launch(&mut self, environment: &[(&str, &str)]) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path());
        self.launch_by(self.binary(), log.expect("the folder is ours"), environment).await;
    }

    /// Launches by a command of one's own that ends in the binary, logging to `log`.
    pub async fn launch_by(&mut self, mut command: Command, log: std::fs::File, environment: &[(&str, &str)]) {
        command.arg("run").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.env("GUARITA__LOG__LEVEL", "debug,hyper=info,hyper_util=info,rustls=info");
        command.env("GUARITA__CLAMAV__FRESHCLAM__ENABLED", "false");
        for (key, value) in environment {
            command.env(key, value);
        }
        self.child = Some(command.spawn().expect("the binary was just built"));
        let end = Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(("127.0.0.1", self.console)).await.is_err() {
            assert!(Instant::now() < end, "the gateway did not open its doors:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The binary under test, with this rig's configuration, for a command of one's own.
    pub fn binary(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guarita"));
        command.args(["--config", &self.config.display().to_string()]);
        command
    }

    pub fn storage(&self) -> &Path {
        &self.storage
    }

    pub async fn wait_ready(&self) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let (status, body) = self.console_get("/readyz").await;
            if status == 200 {
                return;
            }
            assert!(Instant::now() < end, "not ready: {body}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn console_get(&self, path: &str) -> (u16, String) {
        match MetaStandIn::get(&format!("http://127.0.0.1:{}{path}", self.console), None).await {
            Ok((status, _, body)) => (status, String::from_utf8_lossy(&body).into_owned()),
            Err(error) => (0, error.to_string()),
        }
    }

    pub fn webhook(&self) -> String {
        format!("http://127.0.0.1:{}/webhook", self.public)
    }

    pub fn door(&self) -> String {
        format!("http://127.0.0.1:{}", self.media)
    }

    /// Posts a delivery, signed, and expects 200.
    pub async fn deliver(&self, body: &Value) {
        self.deliver_bytes(body.to_string().as_bytes()).await;
    }

    pub async fn deliver_bytes(&self, body: &[u8]) {
        let sent = MetaStandIn::deliver(&self.webhook(), APP_SECRET, body).await.expect("the door is open");
        assert_eq!((sent.status, sent.body.len()), (200, 0), "{}", self.log());
    }

    /// Waits for the message `id` at the backend.
    pub async fn arrived(&self, id: &str) -> Received {
        let found = |received: &[Received]| received.iter().any(|one| one.message()["id"] == id);
        assert!(self.backend.wait_until(60, found).await, "{id} did not arrive\n{}", self.log());
        self.backend.received().into_iter().find(|one| one.message()["id"] == id).expect("it was just found")
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("SIGKILL reaches a child of ours");
            child.wait().expect("it is dead");
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    fn log_path(&self) -> PathBuf {
        self.config.with_file_name("gateway.log")
    }

    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    pub fn whole_log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Politely first, so that a clamd of its own ends with it.
            let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
            let end = Instant::now() + Duration::from_secs(10);
            while Instant::now() < end {
                if matches!(child.try_wait(), Ok(Some(_))) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn ana() -> Customer {
    Customer::new("Ana Souza", "5511987654321")
}

/// Is there a clamd on this machine? `make test` installs one; a bare `cargo test` may be without.
pub fn has_clamd() -> bool {
    let found =
        ["/usr/sbin/clamd", "/usr/bin/clamd", "/usr/local/sbin/clamd"].iter().any(|path| Path::new(path).exists());
    if !found {
        eprintln!("SKIPPED: no clamd on this machine; run `make test`, which installs it");
    }
    found
}
