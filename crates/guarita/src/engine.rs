//! What looks at things: rules, clamd, the locked file workers. Built once, for the gateway and for `scan` alike.

use crate::{
    config::{ConfigError, Settings},
    lists, rules,
};
use guarita_console::{Check, FileToShow};
use guarita_file_worker::Setup;
use guarita_inspect::{FileInspector, LinkFollower};
use guarita_message::{GapReason, Preview};
use guarita_pipeline::Brains;
use guarita_rules::RuleSet;
use guarita_sandbox::Pool;
use guarita_scanners::{
    Address, Addresses, CacheConfig, Cached, ClamAv, Keyed, Redirects, SandboxedFiles, Signatures, Titles,
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What a command needs of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub files: bool,
    pub clamav: bool,
    pub lists: bool,
}

/// Running inspectors.
pub struct Engine {
    pub brains: Brains,
    /// In the order they are asked.
    pub file_inspectors: Vec<Arc<dyn FileInspector>>,
    /// `[redirects]`; `None` unless the operator turned it on.
    pub follower: Option<Arc<dyn LinkFollower>>,
    clamav: Option<Arc<Cached<ClamAv>>>,
    files: Option<Arc<Cached<SandboxedFiles>>>,
    files_at_once: usize,
    /// Names the rules that the file workers were given.
    worker_rules: Mutex<[u8; 32]>,
    /// Where a clamd of `scan`'s own lives; removed at the end.
    _scratch: Option<tempfile::TempDir>,
}

/// Signatures older than this are worth a warning.
const SIGNATURES_OLD_SECONDS: u64 = 3 * 24 * 3600;

impl Engine {
    /// For commands that look at local input: a clamd of a running gateway or of the system serves them, else one of
    /// their own is started for as long as they run.
    pub async fn start(settings: &Settings, wanted: Wanted) -> Result<Engine, ConfigError> {
        let mut settings = settings.clone();
        let mut scratch = None;
        if wanted.files && wanted.clamav && matches!(settings.clamav.address, Addresses::Managed) {
            match running_clamd(&settings) {
                Some(socket) => settings.clamav.address = Addresses::Several(vec![Address::Unix(socket)]),
                None => scratch = tempfile::Builder::new().prefix("guarita-scan-").tempdir().ok(),
            }
        }
        let storage = scratch.as_ref().map_or_else(|| settings.storage.path.clone(), |dir| dir.path().to_owned());
        let mut engine = Self::build(&settings, wanted, &storage).await?;
        engine._scratch = scratch;
        if let Some(clamav) = &engine.clamav {
            clamav.inner().wait_ready(Duration::from_secs(120)).await;
        }
        Ok(engine)
    }

    /// For the gateway: does not wait for clamd; what is not ready yet is a gap until it is.
    pub async fn build(settings: &Settings, wanted: Wanted, storage: &Path) -> Result<Engine, ConfigError> {
        let language = settings.policy.notice_language;
        let own = Some(settings.policy.rules.as_path());
        let rules = Arc::new(rules::load(own, language)?);
        let loaded = if wanted.lists { lists::load(&settings.policy.lists, &[])? } else { None };
        let lists = loaded.map(|loaded| loaded.lists);
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let mut file_inspectors: Vec<Arc<dyn FileInspector>> = Vec::new();
        let mut clamav = None;
        if wanted.files && wanted.clamav {
            let started =
                ClamAv::start(&settings.clamav, storage, Titles::of(language)).map_err(|error| ConfigError {
                    at: "configuration".into(),
                    problem: format!("`clamav.{}`: {}", error.key, error.what),
                    mend: error.mend.into(),
                })?;
            let cached = Arc::new(Cached::new(started, Keyed::ByContent, CacheConfig::default()));
            file_inspectors.push(cached.clone());
            clamav = Some(cached);
        }
        let mut files = None;
        if wanted.files {
            let pool = file_workers(settings, &rules).await?;
            let cached =
                Cached::new(SandboxedFiles::new(pool, rules.version.clone()), Keyed::ByFile, CacheConfig::default());
            let cached = Arc::new(cached);
            file_inspectors.push(cached.clone());
            files = Some(cached);
        }
        Ok(Engine {
            brains: Brains { rules, lists, exceptions: Arc::default() },
            file_inspectors,
            follower: follower(settings)?,
            clamav,
            files,
            files_at_once: cores * 2,
            worker_rules: Mutex::new(rules::of_file_workers(&rules::files(own)?)),
            _scratch: None,
        })
    }

    pub fn files_at_once(&self) -> usize {
        self.files_at_once
    }

    /// Ready to look: for `/readyz` and `doctor`.
    pub fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        if let Some(clamav) = &self.clamav {
            checks.extend(clamav_checks(&clamav.inner().status()));
        }
        if let Some(files) = &self.files {
            checks.push(files_check(&files.inner().status()));
        }
        checks.push(Check {
            name: "rules".into(),
            ok: true,
            warning: false,
            detail: format!("{} rules, version {}", self.brains.rules.all().len(), self.brains.rules.version),
            mend: String::new(),
        });
        checks
    }

    /// Has a file drawn by the locked workers, for a person to see.
    pub async fn preview(&self, file: FileToShow) -> Preview {
        match &self.files {
            Some(files) => files.inner().preview(&file.name, &file.declared_type, file.open).await,
            None => Preview::nothing(GapReason::ScannerUnavailable),
        }
    }

    /// Gives the file workers another setup, if its rules for files are others; each worker is replaced before its next
    /// file. Says whether they are others.
    pub fn replace_worker_rules(&self, setup: &Setup) -> bool {
        let named = rules::of_file_workers(&setup.rules);
        let before = std::mem::replace(&mut *self.worker_rules.lock().unwrap_or_else(PoisonError::into_inner), named);
        if let Some(workers) = self.files.as_ref().filter(|_| before != named) {
            workers.inner().replace_rules(setup.encode(), &*setup.version);
        }
        before != named
    }

    pub fn signature_age_seconds(&self) -> Option<u64> {
        self.clamav.as_ref()?.inner().status().signature_age_seconds
    }

    pub async fn stop(&self) {
        if let Some(clamav) = &self.clamav {
            clamav.inner().stop().await;
        }
    }
}

fn follower(settings: &Settings) -> Result<Option<Arc<dyn LinkFollower>>, ConfigError> {
    if !settings.redirects.enabled {
        return Ok(None);
    }
    let redirects = Redirects::new(settings.redirects.clone()).map_err(|error| ConfigError {
        at: "configuration".into(),
        problem: error.to_string(),
        mend: error.mend.into(),
    })?;
    Ok(Some(Arc::new(redirects)))
}

/// The locked room, its workers warm. Parsing a hostile file needs this binary once more, as the hidden `file-worker`.
async fn file_workers(settings: &Settings, rules: &RuleSet) -> Result<Pool, ConfigError> {
    let fault = |problem: String, mend: &str| ConfigError { at: "[sandbox]".into(), problem, mend: mend.into() };
    let own = std::env::current_exe()
        .map_err(|error| fault(format!("this program's own path is not known: {error}"), "mount /proc"))?;
    let files = rules::files(Some(&settings.policy.rules))?;
    let setup = rules::workers_setup(&files, settings.policy.notice_language, &rules.version);
    Pool::start(settings.sandbox.clone(), vec![own.into(), "file-worker".into()], setup.encode())
        .await
        .map_err(|error| fault(error.to_string(), "`guarita doctor` says what is missing"))
}

fn files_check(status: &guarita_sandbox::Status) -> Check {
    let ready = status.workers_ready > 0;
    let complete = status.locks.is_complete();
    let detail = if !ready {
        format!("no file worker stands: {}", status.problem)
    } else if complete {
        format!("{} of {} workers, every lock held", status.workers_ready, status.workers)
    } else {
        format!("{} workers, NOT EVERY LOCK IS HELD: {}", status.workers_ready, status.locks.missing_text())
    };
    let mend = if complete && ready { "" } else { "allow user namespaces, landlock and seccomp to this process" };
    Check { name: "sandbox".into(), ok: ready && complete, warning: ready && !complete, detail, mend: mend.into() }
}

fn clamav_checks(status: &guarita_scanners::Status) -> Vec<Check> {
    let engine = format!(
        "{} database {}",
        status.engine.as_deref().unwrap_or("not answering"),
        status.database.as_deref().unwrap_or("unknown"),
    );
    let scanner = Check {
        name: "clamav".into(),
        ok: status.ready,
        warning: false,
        detail: status.why.clone().unwrap_or(engine),
        mend: status.mend.clone().unwrap_or_default(),
    };
    let age = status.signature_age_seconds;
    let (ok, detail) = match (status.signatures, age) {
        (Signatures::TestSetOnly, _) => {
            (false, "TEST SIGNATURES ONLY: known malware is NOT found, apart from the test files".to_owned())
        }
        (_, Some(age)) => (age <= SIGNATURES_OLD_SECONDS, format!("{} days old", age / 86_400)),
        (_, None) => (false, "the age of the signatures is not known".to_owned()),
    };
    let mend = if ok { "" } else { "run freshclam, or let this user write clamav.database and set [clamav.freshclam]" };
    vec![scanner, Check { name: "signatures".into(), ok, warning: !ok, detail, mend: mend.into() }]
}

/// The socket of a clamd that is there already: the gateway's own, or the system's.
fn running_clamd(settings: &Settings) -> Option<PathBuf> {
    let candidates = [
        guarita_scanners::managed_socket(&settings.clamav, &settings.storage.path),
        Some(PathBuf::from("/run/clamav/clamd.ctl")),
        Some(PathBuf::from("/run/clamd.scan/clamd.sock")),
    ];
    candidates.into_iter().flatten().find(|path| std::os::unix::net::UnixStream::connect(path).is_ok())
}
