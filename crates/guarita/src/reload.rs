//! Reading the configuration anew without a restart: routes, their secrets, policies and limits; all or nothing.
//!
//! The file is looked at every few seconds, and at once on SIGHUP. A file with a mistake leaves everything as it was, says
//! so in the log and in `/readyz`. What only a restart can change (addresses, storage, scanners) is told apart.

use crate::{
    config::{ConfigError, Settings},
    news::Watch,
    routes::{Backends, Plan},
};
use guarita_console::Check;
use guarita_pipeline::Pipeline;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What can be replaced, and what is in force.
pub struct Reloadable {
    /// The configuration's file, if there is one.
    file: Option<PathBuf>,
    public: Arc<guarita_receive::Door>,
    media: Option<Arc<guarita_media::Door>>,
    pipeline: Arc<Pipeline>,
    events: Arc<Watch>,
    state: Mutex<State>,
}

struct State {
    settings: Settings,
    backends: Backends,
    /// Of the last file that was looked at, right or not.
    seen: Option<[u8; 32]>,
    mistake: Option<ConfigError>,
    /// Keys that changed and wait for a restart.
    waiting: Vec<&'static str>,
}

impl Reloadable {
    pub fn new(
        file: Option<PathBuf>,
        settings: Settings,
        backends: Backends,
        public: Arc<guarita_receive::Door>,
        media: Option<Arc<guarita_media::Door>>,
        pipeline: Arc<Pipeline>,
        events: Arc<Watch>,
    ) -> Self {
        let seen = Some(settings.fingerprint);
        let state = Mutex::new(State { settings, backends, seen, mistake: None, waiting: Vec::new() });
        Reloadable { file, public, media, pipeline, events, state }
    }

    /// Because somebody asked for it; says what is in force, or what is wrong.
    pub async fn reload_now(self: &Arc<Self>) -> Result<String, String> {
        let reloadable = self.clone();
        let _ = tokio::task::spawn_blocking(move || reloadable.reload(true)).await;
        match &self.state().mistake {
            Some(error) => Err(error.to_string()),
            None => Ok(format!("{} routes", self.pipeline.routes().len())),
        }
    }

    /// Reads the file; puts it in force if it differs and is right. `asked`: by a person, who wants to be told either way.
    /// Blocks.
    fn reload(&self, asked: bool) {
        let Some(file) = &self.file else { return };
        let read = Settings::read(Some(file));
        let mut state = self.state();
        if let Ok(settings) = &read
            && state.seen == Some(settings.fingerprint)
            && !asked
        {
            return;
        }
        match read.and_then(|settings| self.put_in_force(&mut state, settings, file)) {
            Ok(routes) => {
                state.mistake = None;
                tracing::info!(routes, "the configuration was read anew and is in force");
                if !state.waiting.is_empty() {
                    tracing::warn!(tables = state.waiting.join(", "), "changed, and take effect at the next start");
                }
            }
            Err(error) => {
                if asked || state.mistake.as_ref() != Some(&error) {
                    tracing::error!(
                        at = error.at,
                        problem = error.problem,
                        mend = error.mend,
                        "the configuration was not read; the one before it stays in force"
                    );
                }
                state.seen = None;
                state.mistake = Some(error);
            }
        }
    }

    fn put_in_force(&self, state: &mut State, mut settings: Settings, file: &Path) -> Result<usize, ConfigError> {
        let name = file.display().to_string();
        settings.check_for_run(&name)?;
        let fingerprint = settings.fingerprint;
        // A door that found its own port keeps it.
        if settings.media.public_url.is_empty() {
            settings.media.public_url.clone_from(&state.settings.media.public_url);
        }
        let plan = Plan::of(&settings, &name)?;
        let table = plan.table()?;
        let (routes, backends) = plan.settings(&state.backends)?;
        // Nothing fails from here on. First who takes, then who gives.
        let count = plan.routes.len();
        self.pipeline.replace_routes(routes);
        if let Some(media) = &self.media {
            media.replace_tokens(&plan.media_tokens(&settings));
            media.replace_bots(&plan.bots());
        }
        self.events.send_events_to(plan.event_targets());
        self.public.replace(table);
        state.waiting = needs_restart(&state.settings, &settings);
        state.backends = backends;
        state.seen = Some(fingerprint);
        Ok(count)
    }

    /// For `/readyz`: there only while something is wrong.
    pub fn check(&self) -> Option<Check> {
        let state = self.state();
        let (detail, mend) = match (&state.mistake, state.waiting.is_empty()) {
            (Some(error), _) => {
                (format!("{}: {} (the one before stays in force)", error.at, error.problem), error.mend.clone())
            }
            (None, false) => (
                format!("[{}] changed and wait for a restart", state.waiting.join("], [")),
                "restart the gateway".into(),
            ),
            (None, true) => return None,
        };
        Some(Check { name: "configuration".into(), ok: false, warning: true, detail, mend })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tables that are read at the start alone, as far as they changed since.
fn needs_restart(at_start: &Settings, now: &Settings) -> Vec<&'static str> {
    let shown = |settings: &Settings| {
        let receive = &settings.receive;
        [
            (
                "receive",
                format!(
                    "{:?} {:?} {:?}",
                    (receive.listen, receive.body_bytes_max, receive.header_seconds_max, receive.body_seconds_max),
                    (
                        receive.connections_max,
                        receive.in_flight_bytes_max,
                        receive.append_seconds_max,
                        receive.unmatched
                    ),
                    receive.tls
                ),
            ),
            (
                "graph",
                format!(
                    "{} {} {:?} {:?}",
                    settings.graph.base_url, settings.graph.version, settings.graph.media_hosts, settings.graph.fetch
                ),
            ),
            ("media", format!("{:?}", guarita_media::DoorConfig { tokens: Vec::new(), ..settings.media.clone() })),
            ("clamav", format!("{:?}", settings.clamav)),
            ("sandbox", format!("{:?}", settings.sandbox)),
            ("storage", format!("{:?}", settings.storage)),
            ("console", format!("{:?}", settings.console)),
            (
                "policy",
                format!(
                    "{:?} {:?} {}",
                    settings.policy.rules, settings.policy.lists, settings.policy.scan_deadline_seconds
                ),
            ),
            ("pipeline", format!("{:?}", settings.pipeline)),
            ("telegram", format!("{:?}", settings.telegram)),
            ("log", format!("{:?}", settings.log)),
            ("rescan", format!("{:?}", settings.rescan)),
            ("alerts", format!("{:?}", settings.alerts)),
            ("traces", format!("{:?}", settings.traces)),
        ]
    };
    let (before, after) = (shown(at_start), shown(now));
    before.iter().zip(&after).filter(|(before, after)| before != after).map(|(before, _)| before.0).collect()
}

/// Until `stopped` ends: looks at the file, and listens for SIGHUP.
pub async fn watch_configuration(reloadable: Arc<Reloadable>, stopped: impl Future<Output = ()>) {
    let Ok(mut hang_up) = signal(SignalKind::hangup()) else { return };
    let watching = async {
        loop {
            let asked = tokio::select! {
                told = hang_up.recv() => told.is_some(),
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let reloadable = reloadable.clone();
            let _ = tokio::task::spawn_blocking(move || reloadable.reload(asked)).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = stopped => {}
    }
}
