//! The ways an alert takes. Each channel has a line and a task of its own, so that one that is out of reach delays none
//! of the others; it tries a few times with growing waits, then gives the alert up and says so.

mod bodies;

use crate::{
    Alert, Config,
    http_client::{HttpClient, signature},
    smtp, syslog, time,
};
use bytes::Bytes;
use guarita_message::Language;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Alerts that may wait for one channel.
const LINE_MAX: usize = 64;
/// Tries at one alert, and the first wait between them; doubled each time. About five minutes in all.
const TRIES_MAX: u32 = 6;
const RETRY_FIRST: Duration = Duration::from_secs(10);

/// What came of one channel's try, for the test button.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Tried {
    pub channel: &'static str,
    pub sent: bool,
    /// What went wrong and how to mend it; empty when sent.
    pub detail: String,
}

pub(crate) struct Channel {
    way: Way,
    language: Language,
    console: String,
}

enum Way {
    Webhook { http: HttpClient, url: String, secret: String },
    Chat { http: HttpClient, url: String, format: crate::ChatFormat },
    Mail(smtp::Mailer),
    Syslog(syslog::Sender),
}

/// The channels that are configured. `console`: where a person finds the console; may be empty.
pub(crate) fn open(config: &Config, console: &str) -> Result<Vec<Arc<Channel>>, String> {
    let mut ways = Vec::new();
    if !config.webhook.url.is_empty() {
        let (url, secret) = (config.webhook.url.clone(), config.webhook.secret.clone());
        ways.push(Way::Webhook { http: HttpClient::new()?, url, secret });
    }
    if !config.chat.url.is_empty() {
        let (url, format) = (config.chat.url.clone(), config.chat.format);
        ways.push(Way::Chat { http: HttpClient::new()?, url, format });
    }
    if !config.mail.server.is_empty() {
        ways.push(Way::Mail(smtp::Mailer::new(&config.mail)?));
    }
    if !config.syslog.address.is_empty() {
        let address = syslog::Address::read("alerts.syslog.address", &config.syslog.address);
        ways.push(Way::Syslog(syslog::Sender::new(
            address.map_err(|error| error.to_string())?,
            config.syslog.facility,
        )));
    }
    let channel = |way| Arc::new(Channel { way, language: config.language, console: console.to_owned() });
    Ok(ways.into_iter().map(channel).collect())
}

impl Channel {
    pub(crate) fn name(&self) -> &'static str {
        match &self.way {
            Way::Webhook { .. } => "webhook",
            Way::Chat { .. } => "chat",
            Way::Mail(_) => "mail",
            Way::Syslog(_) => "syslog",
        }
    }

    /// One try. `Err`: what went wrong, without secrets.
    pub(crate) async fn send(&self, alert: &Alert) -> Result<(), String> {
        let said = |error: crate::http_client::PostError| error.to_string();
        match &self.way {
            Way::Webhook { http, url, secret } => {
                let body = bodies::webhook(alert, self.language, &self.console).into_bytes();
                let mut headers = vec![("x-guarita-event", "alert".to_owned())];
                if !secret.is_empty() {
                    headers.push(("x-guarita-signature-256", signature(secret.as_bytes(), &body)));
                }
                http.post_json(url, &headers, Bytes::from(body)).await.map_err(said)
            }
            Way::Chat { http, url, format } => {
                let body = bodies::chat(*format, alert, self.language, &self.console);
                http.post_json(url, &[], Bytes::from(body)).await.map_err(said)
            }
            Way::Mail(mailer) => {
                let subject = format!("[Guarita] {}", alert.title(self.language));
                let text = bodies::text(alert, self.language, &self.console);
                mailer.send(&subject, &text, alert.at).await.map_err(|error| error.to_string())
            }
            Way::Syslog(sender) => {
                let text = bodies::syslog(alert, self.language, &self.console);
                sender.send(alert.kind.syslog_severity(), alert.at, alert.kind.as_str(), &text).await
            }
        }
    }

    /// The task behind the channel's line; ends when the line is dropped.
    pub(crate) fn serve(self: Arc<Self>) -> mpsc::Sender<Arc<Alert>> {
        let (line, mut waiting) = mpsc::channel::<Arc<Alert>>(LINE_MAX);
        tokio::spawn(async move {
            while let Some(alert) = waiting.recv().await {
                self.send_persistently(&alert).await;
            }
        });
        line
    }

    async fn send_persistently(&self, alert: &Alert) {
        let (kind, mut wait) = (alert.kind.as_str(), RETRY_FIRST);
        for attempt in 1..=TRIES_MAX {
            match self.send(alert).await {
                Ok(()) => return count(self.name(), "sent"),
                Err(error) if attempt == TRIES_MAX => {
                    tracing::error!(channel = self.name(), kind, error, "an alert could not be sent and is given up");
                }
                Err(error) => {
                    tracing::warn!(channel = self.name(), kind, error, "an alert was not sent; trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
            }
        }
        count(self.name(), "failed");
    }
}

pub(crate) fn count(channel: &'static str, outcome: &'static str) {
    metrics::counter!("guarita_alerts_total", "channel" => channel, "outcome" => outcome).increment(1);
}

/// The test button: one try at each channel, all at once.
pub(crate) async fn try_all(channels: &[Arc<Channel>]) -> Vec<Tried> {
    let alert = Arc::new(Alert::test(time::now_ms()));
    let tries: Vec<_> = channels
        .iter()
        .map(|channel| {
            let (channel, alert) = (channel.clone(), alert.clone());
            tokio::spawn(async move {
                let outcome = channel.send(&alert).await;
                Tried { channel: channel.name(), sent: outcome.is_ok(), detail: outcome.err().unwrap_or_default() }
            })
        })
        .collect();
    let mut tried = Vec::new();
    for one in tries {
        tried.extend(one.await);
    }
    tried
}
