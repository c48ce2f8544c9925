//! The configuration: the embedded default file, the operator's file, the environment; checked, with errors that name
//! file, line and mend. Nobody else of ours reads files or environment for configuration.

mod layers;

use crate::routes::{Apps, Plan, RouteEntry};
use guarita_message::Verdict;
use guarita_webhook::WithheldAs;
use layers::{at, lay_file, lay_variable, mend_of};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// The defaults, and the documentation of every key.
pub const DEFAULT: &str = include_str!("../guarita.default.toml");

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub receive: guarita_receive::Config,
    pub graph: guarita_media::GraphConfig,
    pub backend: BackendSettings,
    pub media: guarita_media::DoorConfig,
    pub clamav: guarita_scanners::Config,
    pub redirects: guarita_scanners::RedirectsConfig,
    pub sandbox: guarita_sandbox::Config,
    pub storage: guarita_spool::Config,
    pub console: guarita_console::Config,
    pub policy: PolicySettings,
    pub pipeline: PipelineSettings,
    pub rescan: guarita_pipeline::RescanConfig,
    pub alerts: guarita_alerts::Config,
    pub traces: guarita_alerts::TracesConfig,
    pub log: LogSettings,
    /// Every key with the value in force, for the console's page of settings.
    #[serde(skip)]
    pub laid: Laid,
    pub limits: guarita_receive::Limits,
    pub telegram: guarita_media::TelegramConfig,
    #[serde(default)]
    pub routes: Vec<RouteEntry>,
    #[serde(default)]
    pub apps: Apps,
    /// Where each key that is not a default was set.
    #[serde(skip)]
    pub origins: Origins,
    /// Digest of all that was read for it, contents of secrets and policies included.
    #[serde(skip)]
    pub fingerprint: [u8; 32],
}

/// Values as they were laid over each other, secrets among them: `Debug` hides it.
#[derive(Clone, Default)]
pub struct Laid(pub Table);

impl fmt::Debug for Laid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Laid(…)")
    }
}

/// Whether a key holds a secret, by its name: one too many hidden is better than one shown.
pub fn is_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or_default();
    ["secret", "token", "password"].iter().any(|word| name.contains(word)) && !name.ends_with("_file")
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendSettings {
    pub url: String,
    pub secret: String,
    pub events_url: String,
    pub annotate: guarita_pipeline::Annotate,
    pub withheld_as: WithheldAs,
    pub split: bool,
    pub connect_seconds_max: u64,
    pub response_seconds_max: u64,
    pub idle_connections_max: usize,
}

impl fmt::Debug for BackendSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendSettings").field("annotate", &self.annotate).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySettings {
    pub file: PathBuf,
    pub rules: PathBuf,
    pub lists: PathBuf,
    pub scan_deadline_seconds: u64,
    pub fetch_patience_seconds: u64,
    pub on_deadline: guarita_policy::OnDeadline,
    pub notice_language: guarita_rules::Language,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineSettings {
    pub in_flight_max: usize,
    pub in_flight_bytes_max: usize,
    pub files_in_flight_max: usize,
    pub files_waiting_max: usize,
    pub lease_seconds: u64,
    pub findings_max: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    pub format: LogFormat,
    pub level: String,
    pub findings: guarita_alerts::FindingsConfig,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

/// A mistake in the configuration: the operator's to mend, a retry cannot help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// `guarita.toml:7`, or `environment GUARITA__…`.
    pub at: String,
    pub problem: String,
    pub mend: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  mend: {}", self.at, self.problem, self.mend)
    }
}

impl std::error::Error for ConfigError {}

/// Where each key that is not a default was set.
pub type Origins = BTreeMap<String, String>;

impl Settings {
    /// Reads `path` (or none: defaults and environment alone) and the environment.
    pub fn read(path: Option<&Path>) -> Result<Settings, ConfigError> {
        let file = match path {
            None => None,
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
                    at: name.clone(),
                    problem: format!("cannot be read: {error}"),
                    mend: "write one (`guarita print-config` shows every key), or name it with --config".into(),
                })?;
                Some((name, text))
            }
        };
        let mut environment = Vec::new();
        for (key, value) in std::env::vars_os() {
            let Some(key) = key.to_str().filter(|key| key.starts_with("GUARITA__")) else { continue };
            let value = value.into_string().map_err(|_| ConfigError {
                at: format!("environment {key}"),
                problem: "its value is not UTF-8".into(),
                mend: "write it as UTF-8, or put it into the file".into(),
            })?;
            environment.push((key.to_owned(), value));
        }
        Self::layer(file.as_ref().map(|(name, text)| (name.as_str(), text.as_str())), environment.into_iter())
    }

    /// The layers, as text; for tests as well.
    pub fn layer(
        file: Option<(&str, &str)>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Settings, ConfigError> {
        let mut all: Table = DEFAULT.parse().expect("the embedded default file is TOML; a test reads it");
        let defaults = all.clone();
        let mut origins = Origins::new();
        if let Some((name, text)) = file {
            lay_file(&mut all, &defaults, name, text, &mut origins)?;
        }
        for (key, value) in environment {
            if let Some(rest) = key.strip_prefix("GUARITA__") {
                lay_variable(&mut all, &defaults, &key, rest, &value, &mut origins)?;
            }
        }
        let laid = Laid(all.clone());
        let fingerprint = Sha256::digest(all.to_string()).into();
        let mut settings: Settings = serde_path_to_error::deserialize(Value::Table(all)).map_err(|error| {
            let key = error.path().to_string();
            ConfigError {
                at: at(&origins, &key),
                problem: format!("`{key}`: {}", error.inner().to_string().trim()),
                mend: mend_of(&key),
            }
        })?;
        settings.laid = laid;
        settings.check(&origins)?;
        let policies = settings.policy_files().into_iter().map(|file| std::fs::read(file).unwrap_or_default());
        settings.fingerprint = policies.fold(fingerprint, |known: [u8; 32], text| {
            Sha256::new().chain_update(known).chain_update(text).finalize().into()
        });
        settings.origins = origins;
        Ok(settings)
    }

    /// The operator's policy files, of all routes.
    fn policy_files(&self) -> BTreeSet<&PathBuf> {
        let of_routes = self.routes.iter().filter_map(|route| route.policy.file.as_ref());
        of_routes.chain([&self.policy.file]).filter(|file| !file.as_os_str().is_empty()).collect()
    }

    /// What types cannot say, and what every command needs.
    fn check(&self, origins: &Origins) -> Result<(), ConfigError> {
        let wrong = |key: &str, problem: String, mend: &str| {
            Err(ConfigError { at: at(origins, key), problem: format!("`{key}` {problem}"), mend: mend.into() })
        };
        if !self.receive.path.starts_with('/') {
            return wrong("receive.path", "must begin with a slash".into(), "path = \"/webhook\"");
        }
        for (key, value) in [
            ("receive.body_bytes_max", self.receive.body_bytes_max as u64),
            ("receive.connections_max", self.receive.connections_max as u64),
            ("receive.in_flight_bytes_max", self.receive.in_flight_bytes_max as u64),
            ("pipeline.in_flight_max", self.pipeline.in_flight_max as u64),
            ("pipeline.files_in_flight_max", self.pipeline.files_in_flight_max as u64),
            ("pipeline.lease_seconds", self.pipeline.lease_seconds),
            ("pipeline.findings_max", self.pipeline.findings_max as u64),
            ("storage.retention_days", self.storage.retention_days),
            ("storage.quarantine_days", self.storage.quarantine_days),
        ] {
            if value == 0 {
                return wrong(key, "must not be 0".into(), &mend_of(key));
            }
        }
        if self.receive.in_flight_bytes_max < self.receive.body_bytes_max {
            let mend = "raise it to at least receive.body_bytes_max";
            return wrong("receive.in_flight_bytes_max", "is smaller than one body".into(), mend);
        }
        for checked in [self.alerts.check(), self.traces.check(), self.log.findings.check()] {
            checked.map_err(|error| ConfigError {
                at: at(origins, error.key),
                problem: error.to_string(),
                mend: error.mend.into(),
            })?;
        }
        let port = self.media.listen.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
        if port.and_then(|port| port.parse::<u16>().ok()).is_none() {
            return wrong("media.listen", "is no address with a port".into(), "listen = \"127.0.0.1:8082\"");
        }
        let events_url = &self.backend.events_url;
        if !(events_url.is_empty() || events_url.starts_with("http://") || events_url.starts_with("https://")) {
            return wrong("backend.events_url", "is no http or https url".into(), "leave it empty for no events");
        }
        self.clamav.check().map_err(|error| ConfigError {
            at: at(origins, &format!("clamav.{}", error.key)),
            problem: format!("`clamav.{}`: {}", error.key, error.what),
            mend: error.mend.into(),
        })
    }

    /// What a gateway needs besides: its secrets and where to deliver.
    pub fn check_for_run(&self, file: &str) -> Result<(), ConfigError> {
        if !self.routes.is_empty() {
            return Plan::of(self, file).map(drop);
        }
        for (key, value, mend) in [
            (
                "receive.app_secret",
                &self.receive.app_secret,
                "App Dashboard > App settings > Basic > App secret; set it in [receive], as app_secret_file, or as GUARITA__RECEIVE__APP_SECRET",
            ),
            (
                "receive.verify_token",
                &self.receive.verify_token,
                "choose a random word and type the same into Meta's dashboard; set it in [receive], as verify_token_file, or as GUARITA__RECEIVE__VERIFY_TOKEN",
            ),
            (
                "backend.url",
                &self.backend.url,
                "where your backend takes Meta's webhooks: [backend] url = \"http://127.0.0.1:3000/webhook\"",
            ),
        ] {
            if value.is_empty() {
                let problem = format!("`{key}` is missing");
                // Its own line, if it stands there empty, else that of its table.
                let table = key.split('.').next().unwrap_or(key);
                let at = self.origins.get(key).or_else(|| self.origins.get(table));
                return Err(ConfigError { at: at.cloned().unwrap_or(file.into()), problem, mend: mend.into() });
            }
        }
        Ok(())
    }
}

/// Exit code of a command that judged something (SPEC 3).
pub fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Clean => 0,
        Verdict::Suspicious => 1,
        Verdict::Malicious => 2,
        Verdict::Unscanned => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        Settings::layer(Some(("guarita.toml", text)), std::iter::empty()).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_alone_are_whole() {
        let settings = Settings::layer(None, std::iter::empty()).unwrap();
        assert_eq!(settings.receive.body_bytes_max, 4_194_304);
        let error = settings.check_for_run("guarita.toml").unwrap_err().to_string();
        assert!(error.contains("receive.app_secret") && error.contains("GUARITA__RECEIVE__APP_SECRET"), "{error}");
    }

    #[test]
    fn ten_lines_are_enough() {
        let settings = read(
            "[receive]\nverify_token = \"v\"\napp_secret = \"s\"\n[graph]\naccess_token = \"t\"\n\
             [backend]\nurl = \"http://127.0.0.1:3000/\"\n[receive.tls]\ncert = \"c\"\nkey = \"k\"\n",
        )
        .unwrap();
        assert!(settings.check_for_run("x").is_ok());
        assert!(settings.receive.tls.is_some());
    }

    #[test]
    fn mistakes_name_line_and_mend() {
        for (text, says) in [
            (
                "[receive]\nlissten = \"x\"\n",
                "guarita.toml:2: unknown key `receive.lissten`\n  mend: did you mean `receive.listen`?",
            ),
            ("\n[recieve]\nlisten = \"x\"\n", "guarita.toml:2: unknown key `recieve`"),
            (
                "[storage]\nretention_days = \"7\"\n",
                "guarita.toml:2: `storage.retention_days` must be a whole number, not text in quotes",
            ),
            (
                "[backend]\nannotate = \"sometimes\"\n",
                "guarita.toml:2: `backend.annotate`: unknown variant `sometimes`",
            ),
            ("[receive]\nlisten = \"nowhere\"\n", "guarita.toml:2: `receive.listen`"),
            ("[receive\n", "guarita.toml:1: "),
            ("[storage]\nretention_days = -1\n", "guarita.toml:2: `storage.retention_days`"),
            ("[storage]\nretention_days = 0\n", "must not be 0"),
            ("[media]\nlisten = \"8082\"\n", "guarita.toml:2: `media.listen` is no address with a port"),
            (
                "[receive]\napp_secret = \"a\"\napp_secret_file = \"/etc/hostname\"\n",
                "guarita.toml:3: `receive.app_secret_file` stands beside `receive.app_secret` (guarita.toml:2)",
            ),
            (
                "[[routes]]\nname = \"a\"\napp_secret = \"a\"\napp_secret_file = \"/etc/hostname\"\n",
                "guarita.toml:4: `routes[0].app_secret_file` stands beside `app_secret`",
            ),
            (
                "[graph]\naccess_token_file = \"/no/such/file\"\n",
                "guarita.toml:2: `graph.access_token_file`: /no/such/file cannot be read",
            ),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(says), "{text}\n{error}");
        }
    }

    #[test]
    fn what_is_missing_is_said_where_it_belongs() {
        let missing = |text: &str| {
            read(text).unwrap().check_for_run("guarita.toml").map_err(|error| error.to_string()).unwrap_err()
        };
        for (text, says) in [
            ("[graph]\nversion = \"v23.0\"\n", "guarita.toml: `receive.app_secret` is missing"),
            ("\n[receive]\nverify_token = \"v\"\n", "guarita.toml:2: `receive.app_secret` is missing"),
            ("[receive]\nverify_token = \"v\"\napp_secret = \"\"\n", "guarita.toml:3: `receive.app_secret` is missing"),
            ("[receive]\napp_secret = \"s\"\n", "guarita.toml:1: `receive.verify_token` is missing"),
        ] {
            assert!(missing(text).starts_with(says), "{text}\n{}", missing(text));
        }
    }

    #[test]
    fn environment_comes_last() {
        let file = Some(("guarita.toml", "[storage]\nretention_days = 3\n[media]\ntokens = [\"a\"]\n"));
        let vars = [
            ("GUARITA__STORAGE__RETENTION_DAYS", "9"),
            ("GUARITA__RECEIVE__APP_SECRET", "123"),
            ("GUARITA__MEDIA__TOKENS", "x,12345"),
            ("GUARITA__GRAPH__MEDIA_HOSTS", "[\"127.0.0.1\"]"),
            ("OTHER", "z"),
        ];
        let vars = vars.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let settings = Settings::layer(file, vars).unwrap();
        assert_eq!(settings.storage.retention_days, 9);
        assert_eq!(settings.receive.app_secret, "123");
        assert_eq!(settings.media.tokens, ["x", "12345"]);
        assert_eq!(settings.graph.media_hosts, ["127.0.0.1"]);
        let bad = [("GUARITA__STORAGE__RETENTION_DAYS".to_owned(), "many".to_owned())];
        let error = Settings::layer(None, bad.into_iter()).unwrap_err().to_string();
        assert!(error.starts_with("environment GUARITA__STORAGE__RETENTION_DAYS: `storage.retention_days`"), "{error}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = "[receive]\napp_secret = \"hush-1\"\nverify_token = \"hush-2\"\n[backend]\nsecret = \"hush-3\"\n\
                    [graph]\naccess_token = \"hush-4\"\n[media]\ntokens = [\"hush-5\"]\n";
        let shown = format!("{:?}", read(text).unwrap());
        assert!(!shown.contains("hush"), "{shown}");
    }
}
