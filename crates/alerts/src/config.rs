//! `[alerts]`: who is told what, and how often. Read by the binary; nothing here reads files.

use crate::{Kind, quiet::Quiet};
use guarita_message::Language;
use serde::Deserialize;
use std::fmt;

/// The table `[alerts]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is told at all.
    pub kinds: Vec<Kind>,
    pub language: Language,
    /// What happens within this time after an alert of the same kind is told together, as one more.
    pub group_seconds: u64,
    /// A condition must last this long before it is told.
    pub settle_seconds: u64,
    /// A condition that lasts is told again after this; 0: never.
    pub repeat_hours: u64,
    /// `22:00-07:00`: what comes then is told afterwards, if it still matters.
    pub quiet_hours: String,
    pub utc_offset: String,
    /// Kinds that are told in quiet hours all the same.
    pub quiet_passes: Vec<Kind>,
    /// Alerts an hour, all kinds together; the rest waits and is grouped.
    pub per_hour_max: usize,
    /// The queue is growing: this many entries wait, or the oldest waits this long.
    pub queue_entries_max: u64,
    pub queue_seconds_max: u64,
    /// Signatures are old: built longer ago than this.
    pub signature_days_max: u64,
    /// The disk is nearly full: less than this is free under `storage.path`.
    pub disk_free_bytes_min: u64,
    pub webhook: WebhookConfig,
    pub chat: ChatConfig,
    pub mail: MailConfig,
    pub syslog: SyslogConfig,
}

/// `[alerts.webhook]`: JSON to a program of the operator's, signed.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Empty: off.
    pub url: String,
    /// Key of `X-Guarita-Signature-256`.
    pub secret: String,
}

/// `[alerts.chat]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatConfig {
    /// The incoming webhook's url; whoever has it may post, so it is a secret. Empty: off.
    pub url: String,
    pub format: ChatFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatFormat {
    Slack,
    Teams,
}

/// `[alerts.mail]`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// `smtp.example.com:587`. Empty: off.
    pub server: String,
    pub tls: MailTls,
    /// Certificate authorities to trust instead of the system's: a PEM file.
    pub ca: std::path::PathBuf,
    pub user: String,
    pub password: String,
    pub from: String,
    pub to: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// Begins in the clear and must turn to TLS before anything is said (port 587).
    Starttls,
    /// TLS from the first byte (port 465).
    Implicit,
    /// None: for a relay on this machine only.
    Off,
}

/// `[alerts.syslog]`: RFC 5424.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogConfig {
    /// `udp:host:514`, `tcp:host:601`, `unix:/dev/log`. Empty: off.
    pub address: String,
    /// 0 to 23; 16 is local0.
    pub facility: u8,
}

/// Passwords, tokens in urls and addresses of people stay out of every log.
macro_rules! hidden {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )+};
}
hidden!(WebhookConfig, ChatConfig, MailConfig);

/// The operator's configuration is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {problem}")]
pub struct ConfigError {
    /// The whole key, `alerts.mail.from`.
    pub key: &'static str,
    pub problem: String,
    pub mend: &'static str,
}

impl ConfigError {
    pub(crate) fn new(key: &'static str, problem: impl Into<String>, mend: &'static str) -> Self {
        ConfigError { key, problem: problem.into(), mend }
    }
}

impl Config {
    /// What types cannot say.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.quiet()?;
        for (key, url) in [("alerts.webhook.url", &self.webhook.url), ("alerts.chat.url", &self.chat.url)] {
            if !url.is_empty() {
                crate::http_client::check_url(key, url)?;
            }
        }
        if self.per_hour_max == 0 {
            return Err(ConfigError::new("alerts.per_hour_max", "must not be 0", "per_hour_max = 30"));
        }
        if !self.syslog.address.is_empty() {
            crate::syslog::Address::read("alerts.syslog.address", &self.syslog.address)?;
        }
        if self.syslog.facility > 23 {
            return Err(ConfigError::new("alerts.syslog.facility", "must be 0 to 23", "facility = 16"));
        }
        crate::smtp::check(&self.mail)
    }

    pub(crate) fn quiet(&self) -> Result<Option<Quiet>, ConfigError> {
        Quiet::read(&self.quiet_hours, &self.utc_offset)
            .map_err(|problem| ConfigError::new("alerts.quiet_hours", problem, "quiet_hours = \"22:00-07:00\""))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn config() -> Config {
        Config {
            kinds: Kind::ALL.to_vec(),
            language: Language::English,
            group_seconds: 300,
            settle_seconds: 30,
            repeat_hours: 6,
            quiet_hours: String::new(),
            utc_offset: String::new(),
            quiet_passes: Vec::new(),
            per_hour_max: 30,
            queue_entries_max: 10_000,
            queue_seconds_max: 600,
            signature_days_max: 3,
            disk_free_bytes_min: 1 << 31,
            webhook: WebhookConfig { url: String::new(), secret: String::new() },
            chat: ChatConfig { url: String::new(), format: ChatFormat::Slack },
            mail: MailConfig {
                server: String::new(),
                tls: MailTls::Off,
                ca: Default::default(),
                user: String::new(),
                password: String::new(),
                from: String::new(),
                to: Vec::new(),
            },
            syslog: SyslogConfig { address: String::new(), facility: 16 },
        }
    }

    #[test]
    fn mistakes_are_named() {
        type Change = fn(&mut Config);
        let changes: [(&str, Change); 8] = [
            ("alerts.quiet_hours", |c| c.quiet_hours = "late".into()),
            ("alerts.webhook.url", |c| c.webhook.url = "ftp://x".into()),
            ("alerts.chat.url", |c| c.chat.url = "nowhere".into()),
            ("alerts.syslog.address", |c| c.syslog.address = "/dev/log".into()),
            ("alerts.syslog.facility", |c| c.syslog.facility = 24),
            ("alerts.mail.from", |c| {
                c.mail.server = "localhost:25".into();
                c.mail.to = vec!["ops@example.com".into()];
            }),
            ("alerts.mail.to", |c| {
                c.mail.server = "localhost:25".into();
                c.mail.from = "a@example.com".into();
                c.mail.to = vec!["ops@example.com>\r\nRCPT TO:<x@y".into()];
            }),
            ("alerts.mail.server", |c| c.mail.server = "smtp.example.com".into()),
        ];
        for (key, change) in changes {
            let mut config = config();
            assert_eq!(config.check(), Ok(()));
            change(&mut config);
            assert_eq!(config.check().unwrap_err().key, key);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config = config();
        config.webhook.secret = "hush".into();
        config.chat.url = "https://hooks.example/hush".into();
        config.mail.password = "hush".into();
        assert!(!format!("{config:?}").contains("hush"));
    }
}
