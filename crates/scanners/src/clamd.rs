//! [`Clamd`]: a [`FileInspector`] that streams each file to clamd (INSTREAM, through `clamav-client`), with several
//! addresses in order of preference. An address is asked only while its self-test passes ([`crate::selftest`]).
//!
//! One connection a scan, as clamdscan does: clamd serves a session's commands one thread at a time, and a connection to
//! a local socket costs tens of microseconds. It knows nothing of who runs clamd; [`crate::managed`] does.

use crate::{
    CLAMAV, Config, Titles,
    config::Address,
    content::{CHUNK_BYTES, Chunks},
    judge::{self, Judged},
    reply::{EngineVersion, Reply, read_reply, read_version},
    selftest,
    status::{AddressStatus, SelfTestStatus},
    wire::Line,
};
use guarita_inspect::{Content, FileInspector, FileUnderScan, Pending};
use guarita_message::{FileClass, FileReport, Gap, GapReason, Inspection};
use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    task::AbortHandle,
    time::timeout,
};

/// A scan that broke off half-way is asked of this many addresses: a file that kills clamd must not kill them all.
const BROKEN_SCANS_MAX: u32 = 2;

/// Asks clamd about files. Cheap to share behind an `Arc`; its watchers end with it.
pub struct Clamd {
    shared: Arc<Shared>,
    watchers: Vec<AbortHandle>,
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    titles: Titles,
    pub(crate) peers: Vec<Peer>,
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// What only the keeper of a database knows of it; part of `version`.
    database_tag: Mutex<String>,
    changed: watch::Sender<()>,
}

/// One address and what is known of it.
pub(crate) struct Peer {
    pub(crate) address: Address,
    state: Mutex<PeerState>,
    pub(crate) kick: Notify,
}

#[derive(Default)]
struct PeerState {
    health: Health,
    version: Option<EngineVersion>,
    self_test: Option<SelfTestStatus>,
    timeouts: u32,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Health {
    #[default]
    Untested,
    Up,
    Down(Trouble),
}

/// Why an address is not asked, and how to mend it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trouble {
    pub why: String,
    pub mend: String,
}

/// How asking one address about one file ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Asked {
    Answer(Reply),
    /// Nobody took the connection; the file was not sent.
    NotConnected(String),
    /// The connection was lost in the middle.
    BrokenOff(String),
    TimedOut,
    /// Our own store failed while reading the file; no clamd can help.
    OurFault(String),
}

impl Clamd {
    /// Starts watching `addresses`. Needs a tokio runtime; never fails: what does not answer is a gap and a line in the
    /// status.
    pub fn connect(config: &Config, addresses: Vec<Address>, titles: Titles) -> Self {
        let peers = addresses.into_iter().map(|address| Peer { address, state: Mutex::default(), kick: Notify::new() });
        let shared = Arc::new(Shared {
            config: config.clone(),
            titles,
            peers: peers.collect(),
            slots: Arc::new(Semaphore::new(config.slots())),
            waiting: AtomicUsize::new(0),
            database_tag: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let watch = |index| tokio::spawn(selftest::watch(Arc::clone(&shared), index)).abort_handle();
        let watchers = (0..shared.peers.len()).map(watch).collect();
        Clamd { shared, watchers }
    }

    /// Some address passed its last self-test.
    pub fn ready(&self) -> bool {
        self.shared.healthy().next().is_some()
    }

    /// Waits until [`Self::ready`], at most `wait`; says whether it is.
    pub async fn wait_ready(&self, wait: Duration) -> bool {
        let mut changed = self.shared.changed.subscribe();
        let ready = async {
            while !self.ready() {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        timeout(wait, ready).await.is_ok()
    }

    pub fn addresses(&self) -> Vec<AddressStatus> {
        self.shared.peers.iter().map(Peer::status).collect()
    }

    /// Scans that run now, and scans that wait for a place.
    pub fn load(&self) -> (usize, usize) {
        let free = self.shared.slots.available_permits();
        (self.shared.config.slots().saturating_sub(free), self.shared.waiting.load(Ordering::Relaxed))
    }

    /// Version of the address that is asked first.
    pub(crate) fn first_version(&self) -> Option<EngineVersion> {
        self.shared.healthy().find_map(|peer| peer.state().version.clone())
    }

    /// Why nothing is healthy.
    pub(crate) fn trouble(&self) -> Trouble {
        self.shared.trouble()
    }

    /// The keeper of the database started clamd or loaded another database: test again now, and key cached verdicts by
    /// `tag` from now on.
    pub(crate) fn renewed(&self, tag: &str) {
        *lock(&self.shared.database_tag) = tag.to_owned();
        self.shared.peers.iter().for_each(|peer| peer.kick.notify_one());
    }

    /// The keeper knows that clamd is gone.
    pub(crate) fn lost(&self, trouble: Trouble) {
        for peer in &self.shared.peers {
            peer.set_down(trouble.clone(), &self.shared);
        }
    }
}

impl Drop for Clamd {
    fn drop(&mut self) {
        self.watchers.iter().for_each(AbortHandle::abort);
    }
}

impl FileInspector for Clamd {
    fn name(&self) -> &'static str {
        CLAMAV
    }

    fn version(&self) -> Option<String> {
        let versions: BTreeSet<String> =
            self.shared.healthy().filter_map(|peer| Some(peer.state().version.as_ref()?.to_string())).collect();
        if versions.is_empty() {
            return None;
        }
        let versions = Vec::from_iter(versions).join(",");
        let tag = lock(&self.shared.database_tag);
        Some(if tag.is_empty() { format!("{CLAMAV} {versions}") } else { format!("{CLAMAV} {versions} {tag}") })
    }

    fn inspect<'a>(&'a self, file: &'a FileUnderScan) -> Pending<'a, Inspection> {
        Box::pin(self.shared.inspect(file))
    }
}

impl Shared {
    async fn inspect(&self, file: &FileUnderScan) -> Inspection {
        let (judged, scanned_by) = match self.look(file).await {
            Ok((name, by)) => (name.map(|name| judge::judge(&name, &file.place, &self.titles)), Some(by)),
            Err(gap) => (Some(Judged::Gap(*gap)), None),
        };
        let mut inspection = Inspection::default();
        match judged {
            Some(Judged::Finding(finding)) => inspection.findings.push(*finding),
            Some(Judged::Gap(gap)) => inspection.gaps.push(gap),
            None => {}
        }
        inspection.files.push(FileReport {
            place: file.place.clone(),
            name: file.name.clone(),
            true_type: String::new(),
            declared_type: file.declared_type.clone(),
            bytes: file.content.bytes(),
            sha256: Some(file.hash),
            scanned_by: scanned_by.into_iter().collect(),
        });
        inspection
    }

    /// The signature's name if one matched, and who looked; or why nobody did.
    async fn look(&self, file: &FileUnderScan) -> Result<(Option<String>, String), Box<Gap>> {
        let gap = |reason, detail: &str| Box::new(judge::gap(&file.place, reason, FileClass::Other, detail));
        let bytes = file.content.bytes();
        if bytes > self.config.file_bytes_max {
            let detail = format!("{bytes} bytes are more than clamav.file_bytes_max");
            return Err(gap(GapReason::TooLarge, &detail));
        }
        let place = self.wait_for_place().await.ok_or_else(|| {
            gap(GapReason::ScannerUnavailable, "no free place within clamav.queue_seconds_max; a retry can help")
        })?;
        let mut broken_scans = 0;
        let mut last = None;
        for peer in self.healthy() {
            let began = Instant::now();
            let asked = ask(&peer.address, Arc::clone(&file.content), &self.config, Some(Arc::clone(&place))).await;
            metrics::histogram!("guarita_scan_seconds", "scanner" => CLAMAV).record(began.elapsed().as_secs_f64());
            if asked != Asked::TimedOut {
                peer.state().timeouts = 0;
            }
            match asked {
                Asked::Answer(Reply::Ok) => return Ok((None, peer.scanned_by())),
                Asked::Answer(Reply::Found(name)) => return Ok((Some(name), peer.scanned_by())),
                Asked::Answer(Reply::NotLookedAt(reason, detail)) => return Err(gap(reason, &detail)),
                Asked::OurFault(what) => {
                    return Err(gap(GapReason::Crashed, &format!("our store could not be read: {what}")));
                }
                Asked::TimedOut => {
                    peer.count_timeout(self);
                    let detail = "no answer within clamav.scan_seconds_max; a retry can help";
                    return Err(gap(GapReason::Timeout, detail));
                }
                Asked::NotConnected(why) => {
                    last = Some(gap(GapReason::ScannerUnavailable, &format!("clamd cannot be reached: {why}")));
                    peer.set_down(Trouble::unreachable(&why), self);
                }
                Asked::BrokenOff(why) => {
                    last = Some(gap(GapReason::ScannerUnavailable, &format!("clamd hung up: {why}")));
                    peer.kick.notify_one();
                    broken_scans += 1;
                    if broken_scans == BROKEN_SCANS_MAX {
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| gap(GapReason::ScannerUnavailable, &self.trouble().why)))
    }

    async fn wait_for_place(&self) -> Option<Arc<OwnedSemaphorePermit>> {
        if let Ok(place) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some(Arc::new(place));
        }
        let _counted = Counted::new(&self.waiting);
        let wait = Duration::from_secs(self.config.queue_seconds_max);
        timeout(wait, Arc::clone(&self.slots).acquire_owned()).await.ok()?.ok().map(Arc::new)
    }

    pub(crate) fn healthy(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(|peer| peer.state().health == Health::Up)
    }

    fn trouble(&self) -> Trouble {
        let of = |peer: &Peer| match &peer.state().health {
            Health::Down(trouble) => Some(trouble.clone()),
            _ => None,
        };
        self.peers.iter().find_map(of).unwrap_or_else(|| Trouble {
            why: "clamd has not passed its first self-test yet".into(),
            mend: "wait a moment; a large database takes up to a minute to load".into(),
        })
    }
}

impl Peer {
    fn state(&self) -> MutexGuard<'_, PeerState> {
        lock(&self.state)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state().health == Health::Up
    }

    fn scanned_by(&self) -> String {
        match &self.state().version {
            Some(version) => format!("{CLAMAV} {version}"),
            None => CLAMAV.to_owned(),
        }
    }

    pub(crate) fn set_version(&self, version: EngineVersion) {
        self.state().version = Some(version);
    }

    /// The self-test passed.
    pub(crate) fn set_up(&self, version: EngineVersion, test: SelfTestStatus, shared: &Shared) {
        let was = {
            let mut state = self.state();
            state.version = Some(version.clone());
            state.self_test = Some(test);
            state.timeouts = 0;
            std::mem::replace(&mut state.health, Health::Up)
        };
        if was != Health::Up {
            tracing::info!(address = %self.address, version = %version, "clamd is ready");
            shared.changed.send_replace(());
        }
    }

    pub(crate) fn set_self_test(&self, test: SelfTestStatus) {
        self.state().self_test = Some(test);
    }

    pub(crate) fn set_down(&self, trouble: Trouble, shared: &Shared) {
        let was = std::mem::replace(&mut self.state().health, Health::Down(trouble.clone()));
        match was {
            Health::Up => {
                tracing::warn!(address = %self.address, why = %trouble.why, mend = %trouble.mend, "clamd is lost");
                self.kick.notify_one();
                shared.changed.send_replace(());
            }
            Health::Untested => {
                tracing::info!(address = %self.address, why = %trouble.why, "clamd does not answer yet");
                shared.changed.send_replace(());
            }
            Health::Down(_) => {}
        }
    }

    fn count_timeout(&self, shared: &Shared) {
        let too_many = {
            let mut state = self.state();
            state.timeouts += 1;
            state.timeouts >= shared.config.timeouts_max.max(1)
        };
        if too_many {
            self.set_down(
                Trouble {
                    why: "too many scans in a row timed out".into(),
                    mend: "look at clamd's load; raise clamav.scan_seconds_max or its MaxThreads".into(),
                },
                shared,
            );
        }
    }

    fn status(&self) -> AddressStatus {
        let state = self.state();
        AddressStatus {
            address: self.address.to_string(),
            healthy: state.health == Health::Up,
            version: state.version.as_ref().map(ToString::to_string),
            why: match &state.health {
                Health::Down(trouble) => Some(trouble.why.clone()),
                Health::Untested => Some("not tested yet".into()),
                Health::Up => None,
            },
            self_test: state.self_test.clone(),
        }
    }
}

impl Trouble {
    pub(crate) fn unreachable(why: &str) -> Self {
        Trouble {
            why: format!("clamd cannot be reached: {why}"),
            mend: "start it (`systemctl start clamav-daemon`), correct clamav.address, or set it to `managed`".into(),
        }
    }
}

/// Streams one content to one address and reads the answer.
pub(crate) async fn ask(
    address: &Address,
    content: Arc<dyn Content>,
    config: &Config,
    place: Option<Arc<OwnedSemaphorePermit>>,
) -> Asked {
    let line = match Line::open(address, config.connect_wait()).await {
        Ok(line) => line,
        Err(error) => return Asked::NotConnected(words_of(&error)),
    };
    let stopped = line.stopped();
    let (chunks, outcome) = Chunks::read(content, Arc::clone(&stopped), place);
    let scan = clamav_client::tokio::scan_stream(chunks, line, Some(CHUNK_BYTES));
    let answered = timeout(config.scan_wait(), scan).await;
    if let Some(fault) = outcome.fault() {
        return Asked::OurFault(fault);
    }
    match answered {
        Err(_) => Asked::TimedOut,
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Asked::Answer(Reply::NotLookedAt(
            GapReason::Crashed,
            "the answer is not clamd's; check clamav.address".into(),
        )),
        Ok(Err(error)) => Asked::BrokenOff(words_of(&error)),
        Ok(Ok(bytes)) if bytes.is_empty() => Asked::BrokenOff("no answer; it may have crashed on this file".into()),
        Ok(Ok(bytes)) => {
            let whole = outcome.is_whole() && !stopped.load(Ordering::Acquire);
            match read_reply(&bytes) {
                Reply::Ok if !whole => Asked::BrokenOff("it answered before it had the whole file".into()),
                reply => Asked::Answer(reply),
            }
        }
    }
}

/// Asks for the version.
pub(crate) async fn ask_version(address: &Address, config: &Config) -> Result<EngineVersion, Trouble> {
    let wait = config.connect_wait();
    let line = Line::open(address, wait).await.map_err(|error| Trouble::unreachable(&words_of(&error)))?;
    let strange = |why: &str| Trouble {
        why: format!("what answers there is not clamd: {why}"),
        mend: "correct clamav.address".into(),
    };
    match timeout(wait, clamav_client::tokio::get_version(line)).await {
        Err(_) => Err(Trouble {
            why: "clamd takes the connection but does not answer".into(),
            mend: "look at its load, or restart it".into(),
        }),
        Ok(Err(error)) => Err(strange(&words_of(&error))),
        Ok(Ok(bytes)) => read_version(&bytes).ok_or_else(|| strange("no version")),
    }
}

/// An I/O error in words, without what the system may put around it.
fn words_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such socket".into(),
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts up while it lives, however the wait ends.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
