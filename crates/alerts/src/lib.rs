//! Tells people and their systems what happened: alerts, changed verdicts for the backend, findings for a SIEM, traces.
//!
//! Whoever tells this crate something gets its answer at once: everything goes through bounded lines to tasks of their
//! own, and what does not fit is dropped and counted (`guarita_alerts_total{outcome="dropped"}`), never waited for. The
//! one exception is the outbox of events for the backend, which is on disk before it answers. This crate knows no message
//! texts and no senders: ids, words of the lexicon, and a link into the console are all it is given and all it sends.
//! It must not know the spool, the pipeline or Meta's formats.
//!
//! - `desk` decides what is told and when: grouped, in quiet hours not, bounded an hour. Pure; time is an argument.
//! - `channels` carry an alert: webhook, chat (Slack, Teams), mail, syslog.
//! - `outbox` keeps events for the backend until it has them.
//! - `ocsf` writes findings as OCSF; `findings_log` puts them into a file or syslog.
//! - `otlp` sends traces.

mod alert;
mod channels;
mod config;
mod desk;
mod findings_log;
mod http_client;
mod ocsf;
mod otlp;
mod outbox;
mod quiet;
mod run;
mod smtp;
mod syslog;
mod time;
mod tls;

pub use alert::{Alert, Kind, Phase};
pub use channels::Tried;
pub use config::{ChatConfig, ChatFormat, Config, ConfigError, MailConfig, MailTls, SyslogConfig, WebhookConfig};
pub use findings_log::{FindingsConfig, FindingsLog};
pub use ocsf::{Detection, detections};
pub use otlp::{Span, Traces, TracesConfig};
pub use outbox::{Event, EventTarget, Outbox, OutboxError, SentEvent};
pub use run::Alerts;

/// Milliseconds since 1970.
pub type Millis = u64;
