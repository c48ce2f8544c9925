//! [`ManagedClamd`]: a clamd of our own. Writes its settings, starts it as a child, watches it, restarts it with growing
//! waits, sends RELOAD when the database changes, keeps freshclam running. None of this ever prevents the gateway from
//! running: without a clamd every scan is a gap, and the status says how to mend it.
//!
//! ```text
//!   no lock ──> Shared (another process runs it; look again)      no program ──> Missing (look again)
//!   start ──> Running ──ended──> Restarting ──wait──> start       signatures appear ──> start with them
//! ```

mod child;
pub(crate) mod home;
mod settings;

use crate::{
    Clamd, Config, Titles,
    clamd::Trouble,
    config::Address,
    database,
    freshclam::keep_fresh,
    status::{ChildState, FreshclamStatus, ManagedStatus, Signatures},
    wire::Line,
};
use child::{RunningClamd, Told};
use home::{END_WAIT, Home, ManagerLock, end_strays, find_program};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::UnixStream,
    sync::Notify,
    task::{AbortHandle, JoinHandle},
    time::{sleep, timeout},
};

/// The first wait before a clamd that ended is started again; doubled each time.
const RESTART_FIRST: Duration = Duration::from_millis(250);
/// A run this long starts the waits from the beginning.
const STEADY_RUN: Duration = Duration::from_secs(60);
/// How often we look whether a missing clamd was installed, or the process that shares its clamd with us ended.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Longest wait for a new database to be loaded.
const RELOAD_WAIT: Duration = Duration::from_secs(600);
/// How often a starting clamd is tried.
const SOCKET_STEP: Duration = Duration::from_millis(50);

/// Runs clamd and asks it. The child ends with it.
pub struct ManagedClamd {
    clamd: Arc<Clamd>,
    keeper: Arc<Keeper>,
    task: Mutex<Option<JoinHandle<()>>>,
    abort: AbortHandle,
}

/// Where the clamd of a gateway with this storage listens, if there is such a storage: others may ask it, too.
pub fn managed_socket(config: &Config, storage: &Path) -> Option<PathBuf> {
    storage.join("clamav").is_dir().then(|| Home::choose(config, storage).ok()).flatten().map(|home| home.socket())
}

struct Keeper {
    config: Config,
    storage: PathBuf,
    clamd: Arc<Clamd>,
    home: io::Result<Home>,
    now: Mutex<Now>,
    stop: Notify,
}

/// What is known of it now.
#[derive(Default)]
struct Now {
    status: ManagedStatus,
    signatures: Signatures,
    child: Option<RunningClamd>,
    /// The test set was announced once; not again at each restart.
    warned: bool,
    stopping: bool,
}

/// How a run of the child ended.
enum RunEnd {
    /// By itself.
    Ended(String),
    /// Another database folder is to be used: start anew at once.
    OtherDatabase,
    Stopped,
}

impl ManagedClamd {
    /// Starts the keeper in the background. Needs a tokio runtime; never fails (see the module).
    pub fn start(config: &Config, storage: &Path, titles: Titles) -> Self {
        let home = Home::choose(config, storage);
        let socket = home.as_ref().map_or_else(|_| storage.join("clamav/run/clamd.sock"), Home::socket);
        let clamd = Arc::new(Clamd::connect(config, vec![Address::Unix(socket)], titles));
        let keeper = Arc::new(Keeper {
            config: config.clone(),
            storage: storage.to_owned(),
            clamd: Arc::clone(&clamd),
            home,
            now: Mutex::default(),
            stop: Notify::new(),
        });
        let task = tokio::spawn(Arc::clone(&keeper).keep());
        ManagedClamd { clamd, keeper, abort: task.abort_handle(), task: Mutex::new(Some(task)) }
    }

    /// The inspector that asks it.
    pub fn clamd(&self) -> &Clamd {
        &self.clamd
    }

    pub fn status(&self) -> ManagedStatus {
        self.keeper.now().status.clone()
    }

    pub fn signatures(&self) -> Signatures {
        self.keeper.now().signatures
    }

    /// Seconds since the daily database was built; `None` for the test set and for databases without a date.
    pub fn signature_age_seconds(&self) -> Option<u64> {
        if self.signatures() != Signatures::Database {
            return None;
        }
        Some(database::now_seconds().saturating_sub(database::built(&self.keeper.config.database)?))
    }

    /// Ends the child and waits for it.
    pub async fn stop(&self) {
        self.keeper.now().stopping = true;
        self.keeper.stop.notify_one();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

impl Drop for ManagedClamd {
    fn drop(&mut self) {
        self.abort.abort();
        let child = self.keeper.now().child.take();
        if let (Some(child), Ok(home)) = (child, &self.keeper.home) {
            drop(child);
            home.clear();
        }
    }
}

impl Keeper {
    async fn keep(self: Arc<Self>) {
        let home = match &self.home {
            Ok(home) => home.clone(),
            Err(error) => {
                let why = format!("the folder for clamd cannot be made: {error}");
                return self.trouble(ChildState::Restarting, why, "make storage.path writable, then restart");
            }
        };
        let Some(_lock) = self.take_lock().await else { return };
        let _freshclam = AbortOnDrop(tokio::spawn(Arc::clone(&self).refresh(home.clone())).abort_handle());
        let mut wait = RESTART_FIRST;
        loop {
            let began = Instant::now();
            match self.run(&home).await {
                RunEnd::Stopped => break,
                RunEnd::OtherDatabase => continue,
                RunEnd::Ended(why) => {
                    if began.elapsed() > STEADY_RUN {
                        wait = RESTART_FIRST;
                    }
                    tracing::warn!(%why, again_in_seconds = wait.as_secs_f32(), "clamd ended");
                    self.now().status.restarts += 1;
                    let mend = "see why it ended; a damaged database is mended by removing it and running `freshclam`";
                    self.trouble(ChildState::Restarting, format!("clamd ended: {why}"), mend);
                    if self.pause(wait).await {
                        break;
                    }
                    wait = (wait * 2).min(Duration::from_secs(self.config.managed.restart_seconds_max));
                }
            }
        }
        self.trouble(ChildState::Stopped, "clamd was stopped".into(), "start guarita again");
        home.clear();
    }

    /// `None`: stopped before it was free. Meanwhile the other process' clamd is asked.
    async fn take_lock(&self) -> Option<ManagerLock> {
        loop {
            match ManagerLock::take(&self.storage) {
                Ok(Some(lock)) => return Some(lock),
                Ok(None) => {
                    let mut now = self.now();
                    let first = now.status.state != ChildState::Shared;
                    now.status.state = ChildState::Shared;
                    // The other process chose by the same rule.
                    now.signatures = self.choose_signatures();
                    drop(now);
                    if first {
                        tracing::info!("another guarita runs clamd for this storage; asking that one");
                        self.clamd.renewed("shared");
                    }
                }
                Err(error) => {
                    let why = format!("the lock of clamd's folder cannot be taken: {error}");
                    self.trouble(ChildState::Restarting, why, "make storage.path writable");
                }
            }
            if self.pause(LOOK_AGAIN).await {
                return None;
            }
        }
    }

    /// Starts it once and stays with it.
    async fn run(&self, home: &Home) -> RunEnd {
        let Some(program) = self.wait_for_program().await else { return RunEnd::Stopped };
        let signatures = self.choose_signatures();
        let official = database::is_official(&self.config.database);
        let folder = match signatures {
            Signatures::Database if official => self.config.database.clone(),
            _ => home.test_signatures(),
        };
        let loaded = database::fingerprint(&self.config.database);
        if let Err(error) = self.start_child(home, &program, &folder, signatures) {
            return RunEnd::Ended(format!("it could not be started: {error}"));
        }
        let Some(ended) = self.now().child.as_mut().and_then(|child| child.ended.take()) else {
            return RunEnd::Stopped;
        };
        let end = tokio::select! {
            why = ended => RunEnd::Ended(why.unwrap_or_else(|_| "its thread ended".into())),
            end = self.watch(home, signatures, official, loaded) => end,
            // Also in the middle of a reload, which may take minutes.
            () = self.stop.notified() => RunEnd::Stopped,
        };
        self.end_child(&end).await;
        end
    }

    fn choose_signatures(&self) -> Signatures {
        match database::has_signatures(&self.config.database) {
            true => Signatures::Database,
            false => Signatures::TestSetOnly,
        }
    }

    /// Waits for clamd to be installed; `None`: stopped.
    async fn wait_for_program(&self) -> Option<PathBuf> {
        loop {
            if let Some(program) = find_program(&self.config.managed.clamd, "clamd") {
                return Some(program);
            }
            let why = match self.config.managed.clamd.as_os_str().is_empty() {
                true => "clamd is not installed".to_owned(),
                false => format!("clamav.managed.clamd: no program at {}", self.config.managed.clamd.display()),
            };
            let first = self.now().status.state != ChildState::Missing;
            if first {
                tracing::warn!(%why, "no file can be scanned: `apt install clamav-daemon`, or set clamav.address");
            }
            self.trouble(
                ChildState::Missing,
                why,
                "`apt install clamav-daemon`, or set clamav.address to a clamd elsewhere",
            );
            if self.pause(LOOK_AGAIN).await {
                return None;
            }
        }
    }

    fn start_child(&self, home: &Home, program: &Path, folder: &Path, signatures: Signatures) -> io::Result<()> {
        end_strays(&home.settings());
        home.prepare()?;
        if folder != self.config.database {
            settings::write_test_signatures(home)?;
            settings::link_signatures(home, &self.config.database).or_else(|error| match signatures {
                Signatures::TestSetOnly => Ok(()), // there may be no folder at all
                _ => Err(error),
            })?;
        }
        settings::write(&self.config, home, folder)?;
        let child = RunningClamd::start(program, &home.settings(), &home.identity)?;
        let mut now = self.now();
        if signatures == Signatures::TestSetOnly && !std::mem::replace(&mut now.warned, true) {
            tracing::warn!(
                folder = %self.config.database.display(),
                "SIGNATURES: TEST SET ONLY. clamav.database holds no signatures, so EICAR is found and real malware is \
                 NOT. Run `freshclam`, or point clamav.database to a folder with signatures"
            );
        }
        now.signatures = signatures;
        now.status.state = ChildState::Starting;
        now.status.pid = Some(child.pid);
        now.status.database = folder.display().to_string();
        now.status.why = Some("clamd is loading its signatures".into());
        now.status.mend = Some("wait; a large database takes up to a minute".into());
        now.child = Some(child);
        Ok(())
    }

    /// Stays until it should be ended.
    async fn watch(&self, home: &Home, signatures: Signatures, official: bool, mut loaded: String) -> RunEnd {
        let socket = home.socket();
        wait_for_socket(&socket).await;
        {
            let mut now = self.now();
            now.status.state = ChildState::Running;
            now.status.why = None;
            now.status.mend = None;
            now.status.loads += 1;
        }
        self.clamd.renewed(&tag(signatures, &loaded));
        let mut seen = loaded.clone();
        loop {
            if self.pause(Duration::from_secs(self.config.managed.database_check_seconds)).await {
                return RunEnd::Stopped;
            }
            let folder = self.config.database.clone();
            let look = tokio::task::spawn_blocking(move || {
                (database::fingerprint(&folder), database::has_signatures(&folder), database::is_official(&folder))
            });
            let Ok((fingerprint, any, official_now)) = look.await else { continue };
            // A folder that is being written is left alone until it rests.
            let rests = std::mem::replace(&mut seen, fingerprint.clone()) == fingerprint;
            if !rests || !any || fingerprint == loaded {
                continue;
            }
            if signatures == Signatures::TestSetOnly {
                tracing::info!("signatures arrived in clamav.database; starting clamd with them");
                return RunEnd::OtherDatabase;
            }
            if official_now != official {
                tracing::info!(official = official_now, "clamav.database is another kind now; starting clamd anew");
                return RunEnd::OtherDatabase;
            }
            if !official && let Err(error) = settings::link_signatures(home, &self.config.database) {
                tracing::warn!(%error, "the signatures in clamav.database cannot be linked; tried again at the next change");
            }
            match self.reload(&socket).await {
                Ok(()) => {
                    tracing::info!("clamd loaded the new database");
                    let mut now = self.now();
                    now.status.loads += 1;
                    now.status.why = None;
                }
                // A clamd 1.4 that loads in place never loads again after one failure; only a new one does.
                Err(why) if why.contains("Invalid arguments") => return RunEnd::OtherDatabase,
                Err(why) => {
                    tracing::warn!(%why, "clamd keeps its old database");
                    self.now().status.why = Some(format!("the new database was not loaded: {why}"));
                }
            }
            // Either way this state of the folder was tried; the next change is the next try.
            loaded = fingerprint;
            self.clamd.renewed(&tag(signatures, &loaded));
        }
    }

    /// Sends RELOAD and waits until the new database is in use.
    async fn reload(&self, socket: &Path) -> Result<(), String> {
        let Some(mut told) = self.now().child.as_ref().map(|child| child.told.clone()) else {
            return Err("it is not running".into());
        };
        let before = told.borrow_and_update().clone();
        let wait = self.config.connect_wait();
        let line = Line::open(&Address::Unix(socket.to_owned()), wait).await.map_err(|error| error.to_string())?;
        // A clamd that loads in place hangs up only when it is done: the answer and its log are awaited together.
        let command = async {
            match clamav_client::tokio::reload(line).await {
                Ok(answer) if answer == clamav_client::RELOADING => Ok(()),
                Ok(_) => Err("RELOAD got a strange answer".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        };
        let done = async {
            let news = |told: &Told| told.reloads > before.reloads || told.failed_reloads > before.failed_reloads;
            match told.wait_for(news).await {
                Ok(told) if told.reloads > before.reloads => Ok(()),
                Ok(told) => Err(told.complaint.clone().unwrap_or_default()),
                Err(_) => Err("it ended while loading".into()),
            }
        };
        let reload = async {
            tokio::pin!(command, done);
            tokio::select! {
                sent = &mut command => { sent?; done.await }
                loaded = &mut done => loaded,
            }
        };
        timeout(RELOAD_WAIT, reload).await.unwrap_or_else(|_| Err("loading takes too long".into()))
    }

    async fn end_child(&self, end: &RunEnd) {
        let child = {
            let mut now = self.now();
            now.status.pid = None;
            now.child.take()
        };
        self.clamd.lost(Trouble { why: "clamd is being restarted".into(), mend: "wait a moment".into() });
        if let (Some(child), false) = (child, matches!(end, RunEnd::Ended(_))) {
            child.end(END_WAIT).await;
        }
    }

    async fn refresh(self: Arc<Self>, home: Home) {
        let report = |status: FreshclamStatus| self.now().status.freshclam = status;
        keep_fresh(self.config.clone(), &home, report).await;
    }

    fn trouble(&self, state: ChildState, why: String, mend: &str) {
        self.clamd.lost(Trouble { why: why.clone(), mend: mend.to_owned() });
        let mut now = self.now();
        now.status.state = state;
        now.status.pid = None;
        now.status.why = Some(why);
        now.status.mend = Some(mend.to_owned());
    }

    /// Waits; says whether it was stopped meanwhile.
    async fn pause(&self, wait: Duration) -> bool {
        if self.now().stopping {
            return true;
        }
        tokio::select! {
            () = sleep(wait) => false,
            () = self.stop.notified() => true,
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What cached verdicts are keyed by, besides the version clamd tells.
fn tag(signatures: Signatures, fingerprint: &str) -> String {
    match signatures {
        Signatures::TestSetOnly => "test".into(),
        _ => fingerprint.to_owned(),
    }
}

/// clamd listens once its database is loaded. Ends only when it does; the caller watches the child beside.
async fn wait_for_socket(socket: &Path) {
    while UnixStream::connect(socket).await.is_err() {
        sleep(SOCKET_STEP).await;
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
