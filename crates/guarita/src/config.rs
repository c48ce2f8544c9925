//! The configuration: the embedded default file, the operator's file, the environment; checked, with errors that name
//! file, line and mend. Nobody else of ours reads files or environment for configuration.

use guarita_message::Verdict;
use guarita_webhook::WithheldAs;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// The defaults, and the documentation of every key.
pub const DEFAULT: &str = include_str!("../guarita.default.toml");

/// Keys that have no default because their absence means something.
const OPTIONAL: [&str; 6] = [
    "receive.tls.cert",
    "receive.tls.key",
    "receive.tls.client_ca",
    "receive.tls.client_name",
    "clamav.managed.concurrent_reload",
    "storage.key_file",
];
/// Keys whose value may stand in a file of its own: `<key>_file`.
/// A list (`media.tokens`) has one a line.
const SECRETS: [&str; 9] = [
    "receive.verify_token",
    "receive.app_secret",
    "graph.access_token",
    "backend.secret",
    "media.tokens",
    "alerts.webhook.secret",
    "alerts.chat.url",
    "alerts.mail.password",
    "traces.authorization",
];
/// Keys that take a single string or a list.
const ONE_OR_MORE: [&str; 1] = ["clamav.address"];

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
type Origins = BTreeMap<String, String>;

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
        Ok(settings)
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
                return Err(ConfigError { at: file.to_owned(), problem, mend: mend.into() });
            }
        }
        Ok(())
    }
}

fn lay_file(
    all: &mut Table,
    defaults: &Table,
    name: &str,
    text: &str,
    origins: &mut Origins,
) -> Result<(), ConfigError> {
    let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let syntax = |error: toml::de::Error| ConfigError {
        at: format!("{name}:{}", error.span().map_or(1, |span| line_of(span.start))),
        problem: error.message().to_owned(),
        mend: "the file is TOML: tables as [receive], values as key = \"text\", numbers without quotes".into(),
    };
    let table: Table = toml::from_str(text).map_err(syntax)?;
    let spanned = toml::de::DeTable::parse(text).map_err(syntax)?;
    let mut lines = Origins::new();
    note_lines(spanned.get_ref(), "", &|at| format!("{name}:{}", line_of(at)), &mut lines);
    lay_table(all, defaults, "", &table, &lines, name, origins)
}

fn note_lines(table: &toml::de::DeTable<'_>, prefix: &str, place: &dyn Fn(usize) -> String, lines: &mut Origins) {
    for (key, value) in table {
        let path = join(prefix, key.get_ref());
        lines.insert(path.clone(), place(key.span().start));
        if let toml::de::DeValue::Table(inner) = value.get_ref() {
            note_lines(inner, &path, place, lines);
        }
    }
}

fn lay_table(
    all: &mut Table,
    defaults: &Table,
    prefix: &str,
    from: &Table,
    lines: &Origins,
    name: &str,
    origins: &mut Origins,
) -> Result<(), ConfigError> {
    for (key, value) in from {
        let path = join(prefix, key);
        let at = lines.get(&path).cloned().unwrap_or_else(|| name.to_owned());
        match value {
            Value::Table(inner) if is_table(defaults, &path) => {
                lay_table(all, defaults, &path, inner, lines, name, origins)?;
            }
            value => lay_value(all, defaults, &path, value.clone(), &at, origins)?,
        }
    }
    Ok(())
}

fn lay_variable(
    all: &mut Table,
    defaults: &Table,
    variable: &str,
    rest: &str,
    text: &str,
    origins: &mut Origins,
) -> Result<(), ConfigError> {
    let path = rest.to_lowercase().replace("__", ".");
    let at = format!("environment {variable}");
    let value = match get(defaults, &path) {
        Some(Value::String(_)) | None => Value::String(text.to_owned()),
        Some(_) => {
            let parsed: Option<Value> =
                format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
            let is_list = matches!(get(defaults, &path), Some(Value::Array(_)));
            match parsed {
                Some(value) if !is_list || value.is_array() => value,
                // A list without brackets and quotes, as people write them in an environment.
                _ if is_list => {
                    Value::Array(text.split(',').map(|item| Value::String(item.trim().to_owned())).collect())
                }
                _ => Value::String(text.to_owned()),
            }
        }
    };
    lay_value(all, defaults, &path, value, &at, origins)
}

fn lay_value(
    all: &mut Table,
    defaults: &Table,
    path: &str,
    value: Value,
    at: &str,
    origins: &mut Origins,
) -> Result<(), ConfigError> {
    let fault = |problem: String, mend: String| ConfigError { at: at.to_owned(), problem, mend };
    if let Some(secret) = path.strip_suffix("_file").filter(|key| SECRETS.contains(key)) {
        let Value::String(file) = &value else {
            return Err(fault(format!("`{path}` must be a path in quotes"), format!("{path} = \"/run/secrets/x\"")));
        };
        let text = std::fs::read_to_string(file).map_err(|error| {
            fault(format!("`{path}`: {file} cannot be read: {error}"), "let this user read it".into())
        })?;
        let text = text.trim_end_matches(['\r', '\n']).to_owned();
        let value = match get(defaults, secret) {
            Some(Value::Array(_)) => Value::Array(
                text.lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty())
                    .map(|line| Value::String(line.to_owned()))
                    .collect(),
            ),
            _ => Value::String(text),
        };
        set(all, secret, value);
        origins.insert(secret.to_owned(), at.to_owned());
        return Ok(());
    }
    match get(defaults, path) {
        None if OPTIONAL.contains(&path) => {}
        None if OPTIONAL.iter().any(|key| key.starts_with(&format!("{path}."))) && value.is_table() => {
            let inner = value.as_table().cloned().unwrap_or_default();
            for (key, value) in inner {
                lay_value(all, defaults, &join(path, &key), value, at, origins)?;
            }
            return Ok(());
        }
        None => return Err(fault(format!("unknown key `{path}`"), nearest(defaults, path))),
        Some(default) => {
            let fits = default.type_str() == value.type_str()
                || ONE_OR_MORE.contains(&path) && (value.is_array() || value.is_str());
            if !fits {
                let problem =
                    format!("`{path}` must be {}, not {}", article(default.type_str()), article(value.type_str()));
                return Err(fault(problem, mend_of(path)));
            }
        }
    }
    set(all, path, value);
    origins.insert(path.to_owned(), at.to_owned());
    Ok(())
}

fn at(origins: &Origins, key: &str) -> String {
    origins.get(key).cloned().unwrap_or_else(|| "configuration".into())
}

/// The key's own line in the default file.
fn mend_of(path: &str) -> String {
    let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut inside = false;
    for line in DEFAULT.lines() {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            inside = header.0 == section;
        } else if inside && line.split('=').next().is_some_and(|name| name.trim() == key) {
            let tidy: Vec<&str> = line.split_whitespace().collect();
            return format!("in [{section}]: {}", tidy.join(" "));
        }
    }
    "`guarita print-config` shows every key".into()
}

/// The known key that is spelt most like `path`.
fn nearest(defaults: &Table, path: &str) -> String {
    let mut keys = Vec::new();
    collect(defaults, "", &mut keys);
    keys.extend(OPTIONAL.iter().map(|key| (*key).to_owned()));
    keys.extend(SECRETS.iter().map(|key| format!("{key}_file")));
    let best = keys.into_iter().min_by_key(|key| distance(key, path));
    match best {
        Some(key) if distance(&key, path) <= 6 => {
            format!("did you mean `{key}`? `guarita print-config` shows every key")
        }
        _ => "`guarita print-config` shows every key".into(),
    }
}

fn collect(table: &Table, prefix: &str, keys: &mut Vec<String>) {
    for (key, value) in table {
        let path = join(prefix, key);
        match value {
            Value::Table(inner) => collect(inner, &path, keys),
            _ => keys.push(path),
        }
    }
}

/// Edit distance; both texts are short.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(80).enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = corner + usize::from(ca != *cb);
            corner = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

fn article(kind: &str) -> String {
    match kind {
        "integer" => "a whole number".into(),
        "string" => "text in quotes".into(),
        "boolean" => "true or false".into(),
        "array" => "a list".into(),
        other => format!("a {other}"),
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

fn get<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let mut keys = path.split('.');
    let mut value = table.get(keys.next()?)?;
    for key in keys {
        value = value.as_table()?.get(key)?;
    }
    Some(value)
}

fn is_table(table: &Table, path: &str) -> bool {
    get(table, path).is_some_and(Value::is_table)
}

fn set(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((key, rest)) => {
            let inner = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
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
