//! The running alerts: a line in, the desk, a line to each channel.

use crate::{
    Alert, Config, Kind, Millis, Tried,
    channels::{self, Channel, count},
    desk::Desk,
    time::now_ms,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle};

/// What was told to us and not looked at yet.
const LINE_MAX: usize = 1024;
/// Alerts that are remembered for the console.
const RECENT_MAX: usize = 100;
/// How often the desk is asked what is due.
const TICK: Duration = Duration::from_secs(1);

/// Cheap to clone; ends with the last clone.
#[derive(Clone)]
pub struct Alerts {
    inner: Arc<Inner>,
}

struct Inner {
    line: mpsc::Sender<Told>,
    channels: Vec<Arc<Channel>>,
    shown: Arc<Mutex<Shown>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shown {
    recent: VecDeque<Alert>,
    active: Vec<(Kind, String)>,
}

enum Told {
    Happened { at: Millis, kind: Kind, id: String, detail: String },
    Holds { at: Millis, kind: Kind, subject: String, active: bool, detail: String },
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Alerts {
    /// Starts the tasks; needs a tokio runtime. `console`: the console's address as people reach it, or empty.
    /// `Err`: the configuration cannot be used; says why.
    pub fn start(config: &Config, console: &str) -> Result<Alerts, String> {
        let quiet = config.quiet().map_err(|error| error.to_string())?;
        let channels = channels::open(config, console)?;
        for channel in &channels {
            for outcome in ["sent", "failed", "dropped"] {
                metrics::counter!("guarita_alerts_total", "channel" => channel.name(), "outcome" => outcome)
                    .increment(0);
            }
        }
        let (line, waiting) = mpsc::channel(LINE_MAX);
        let shown = Arc::new(Mutex::new(Shown::default()));
        let task = tokio::spawn(serve(Desk::new(config, quiet), waiting, channels.clone(), shown.clone()));
        Ok(Alerts { inner: Arc::new(Inner { line, channels, shown, task }) })
    }

    /// Something happened to the entry `id`. Returns at once; when the line is full it is dropped and counted.
    pub fn happened(&self, kind: Kind, id: &str, detail: &str) {
        self.tell(Told::Happened { at: now_ms(), kind, id: id.to_owned(), detail: detail.to_owned() });
    }

    /// Whether something holds now; call it often, with the same answer too. `subject`: which one, where there are
    /// several. Returns at once.
    pub fn holds(&self, kind: Kind, subject: &str, active: bool, detail: &str) {
        let (subject, detail) = (subject.to_owned(), detail.to_owned());
        self.tell(Told::Holds { at: now_ms(), kind, subject, active, detail });
    }

    fn tell(&self, told: Told) {
        if self.inner.line.try_send(told).is_err() {
            count("desk", "dropped");
        }
    }

    /// The test button: one try at each channel that is configured. Empty: none is.
    pub async fn test(&self) -> Vec<Tried> {
        channels::try_all(&self.inner.channels).await
    }

    /// The newest alerts, newest first, whether or not a channel is configured. For the console.
    pub fn recent(&self) -> Vec<Alert> {
        self.shown().recent.iter().rev().cloned().collect()
    }

    /// What holds now.
    pub fn active(&self) -> Vec<(Kind, String)> {
        self.shown().active.clone()
    }

    /// Names of the configured channels.
    pub fn channels(&self) -> Vec<&'static str> {
        self.inner.channels.iter().map(|channel| channel.name()).collect()
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.inner.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(
    mut desk: Desk,
    mut waiting: mpsc::Receiver<Told>,
    channels: Vec<Arc<Channel>>,
    shown: Arc<Mutex<Shown>>,
) {
    let lines: Vec<_> = channels.iter().map(|channel| (channel.name(), channel.clone().serve())).collect();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            told = waiting.recv() => match told {
                None => return,
                Some(Told::Happened { at, kind, id, detail }) => desk.happened(at, kind, id, &detail),
                Some(Told::Holds { at, kind, subject, active, detail }) => desk.holds(at, kind, &subject, active, &detail),
            },
            _ = tick.tick() => {
                for alert in desk.due(now_ms()) {
                    let phase = alert.phase;
                    tracing::warn!(kind = alert.kind.as_str(), ?phase, count = alert.count, subject = alert.subject, "ALERT");
                    let alert = Arc::new(alert);
                    for (name, line) in &lines {
                        if line.try_send(alert.clone()).is_err() {
                            tracing::error!(channel = name, "an alert was dropped: too many wait for this channel");
                            count(name, "dropped");
                        }
                    }
                    let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                    shown.recent.push_back(Arc::unwrap_or_clone(alert));
                    if shown.recent.len() > RECENT_MAX {
                        shown.recent.pop_front();
                    }
                }
                shown.lock().unwrap_or_else(PoisonError::into_inner).active = desk.active();
            }
        }
    }
}
