//! What the console may ask of the running gateway: the implementation of its [`guarita_console::Gateway`]. It gathers and
//! hands on; what it shows of the configuration has no secrets in it.

use crate::{
    commands::check_config::without_secrets,
    config::{DEFAULT, Settings, is_secret},
    gateway::Inner,
    lists,
    look::{look_at_file, look_at_words},
    news, rules,
};
use guarita_console::{
    Answer, BackendInfo, Check, Exception, ExceptionKind, FileToShow, Gateway, Readiness, RuleHits, RuleInfo, Rules,
    Setting, Side, Snapshot, Tried,
};
use guarita_inspect::{
    Content, FileUnderScan,
    links::{ListEntry, ListKind, ListSide},
};
use guarita_message::{ContentHash, GapReason, Inspection, Language, PartBody, Preview, TextRole};
use guarita_policy::Exceptions;
use guarita_spool::Spool as _;
use sha2::{Digest, Sha256};
use std::{
    io,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{SystemTime, UNIX_EPOCH},
};
use toml::{Table, Value};

impl Gateway for Inner {
    fn readiness(&self) -> Answer<'_, Readiness> {
        Box::pin(self.readiness())
    }

    fn metrics(&self) -> Answer<'_, String> {
        Box::pin(async {
            if let Ok(counts) = self.spool.counts().await {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
                self.metrics.note_spool(&counts, now);
            }
            lists::note_metrics(&self.list_files.lock().unwrap_or_else(PoisonError::into_inner));
            self.metrics.note_signature_age(self.engine.signature_age_seconds());
            self.metrics.render()
        })
    }

    fn snapshot(&self) -> Snapshot {
        let checks = self.engine.checks();
        let scanner = checks.iter().find(|check| check.name == "clamav");
        Snapshot {
            scanner: scanner.map(|check| check.detail.clone()).unwrap_or_default(),
            scanner_ready: scanner.is_some_and(|check| check.ok),
            signature_age_seconds: self.engine.signature_age_seconds(),
            rules_version: self.pipeline.brains().rules.version.clone(),
            uptime_seconds: self.started.elapsed().as_secs(),
        }
    }

    fn doctor(&self) -> Answer<'_, Vec<Check>> {
        Box::pin(async {
            let mut checks = self.readiness().await.checks;
            checks
                .push(crate::commands::doctor::graph(&self.settings, "graph", &self.settings.graph.access_token).await);
            checks.push(crate::commands::doctor::disk(&self.settings.storage.path));
            checks
        })
    }

    fn rules(&self, language: Option<Language>) -> Rules {
        let set = self.pipeline.brains().rules;
        let language = language.unwrap_or(set.language);
        let mut hits = self.pipeline.hits();
        let known = set.all().into_iter().map(|rule| {
            let hit = hits.remove(&rule.id);
            RuleInfo {
                id: rule.id.clone(),
                category: rule.category.to_string(),
                severity: rule.severity.to_string(),
                title: rule.title.get(language).to_owned(),
                why: rule.why.get(language).to_owned(),
                shadow: rule.shadow,
                written: format!("{}:{}", rule.file, rule.line),
                hits: hit.map_or(0, |hit| hit.count),
                last_hit_ms: hit.map(|hit| hit.last_ms),
            }
        });
        let known = known.collect();
        let mut outside: Vec<RuleHits> =
            hits.into_iter().map(|(rule, hit)| RuleHits { rule, hits: hit.count, last_hit_ms: hit.last_ms }).collect();
        outside.sort_by(|a, b| b.hits.cmp(&a.hits).then_with(|| a.rule.cmp(&b.rule)));
        Rules { version: set.version.clone(), rules: known, outside }
    }

    fn try_text(&self, text: String) -> Answer<'_, Result<Tried, String>> {
        Box::pin(self.try_words(PartBody::Text { text, role: TextRole::Body }))
    }

    fn try_url(&self, url: String) -> Answer<'_, Result<Tried, String>> {
        Box::pin(self.try_words(PartBody::Link { url }))
    }

    fn try_file(&self, name: String, bytes: Vec<u8>) -> Answer<'_, Result<Tried, String>> {
        Box::pin(async move {
            // One at a time: what customers send comes first.
            let _turn = self.trying.try_acquire().map_err(|_| "another file is being tried; try again".to_owned())?;
            let hash = ContentHash(Sha256::digest(&bytes).into());
            let file = FileUnderScan {
                place: "/file".into(),
                name,
                declared_type: String::new(),
                hash,
                content: Arc::new(InMemory(bytes.into())),
                passwords: Vec::new(),
            };
            look_at_file(&self.engine.file_inspectors, self.pipeline.brains(), &file).await.map(tried)
        })
    }

    fn preview(&self, file: FileToShow) -> Answer<'_, Preview> {
        Box::pin(self.engine.preview(file))
    }

    fn backends(&self) -> Vec<BackendInfo> {
        let mut backends: Vec<BackendInfo> = self
            .pipeline
            .routes()
            .iter()
            .map(|(route, settings)| {
                let word = |state: guarita_deliver::BreakerState| {
                    serde_json::to_value(state).ok().and_then(|word| word.as_str().map(str::to_owned))
                };
                let [messages, others] = settings.backend.breakers().map(|state| word(state).unwrap_or_default());
                BackendInfo { route: route.clone(), host: settings.backend.host(), messages, others }
            })
            .collect();
        backends.sort_by(|a, b| a.route.cmp(&b.route));
        backends
    }

    fn settings(&self) -> Vec<Setting> {
        shown_settings(&self.settings)
    }

    fn apply_exceptions(&self, all: Vec<Exception>) -> Answer<'_, ()> {
        Box::pin(async move {
            let (exceptions, entries) = in_force(&all);
            self.exceptions_stamp.store(news::stamp_of(&format!("{all:?}")), Ordering::Relaxed);
            self.pipeline.change_brains(|brains| brains.exceptions = Arc::new(exceptions));
            let mut known = self.list_entries.lock().await;
            if *known != entries {
                *known = entries;
                drop(known);
                self.load_lists().await;
            }
        })
    }

    fn reload(&self) -> Answer<'_, Result<String, String>> {
        Box::pin(async {
            let routes = self.reloadable.reload_now().await?;
            let policy = &self.settings.policy;
            let (folder, language) = (policy.rules.clone(), policy.notice_language);
            let loaded = tokio::task::spawn_blocking(move || {
                let files = rules::files(Some(&folder))?;
                let rules = guarita_rules::RuleSet::compile(files.clone(), language)?;
                let workers = rules::workers_setup(&files, language, &rules.version);
                rules::check_for_workers(&workers)?;
                Ok((rules, workers))
            });
            let loaded: Result<_, rules::LoadError> =
                loaded.await.map_err(|_| "reading the rules crashed; those before stay in force".to_owned())?;
            let (rules, workers) = loaded.map_err(|error| error.to_string())?;
            let mut said = format!("{routes}; {} rules, version {}", rules.all().len(), rules.version);
            if self.engine.replace_worker_rules(&workers) {
                said.push_str("; the file workers take the new rules for files");
            }
            let rules = Arc::new(rules);
            self.pipeline.change_brains(|brains| brains.rules = rules);
            self.load_lists().await;
            Ok(said)
        })
    }

    fn rescan(&self) -> Answer<'_, Result<String, String>> {
        let answer = match (self.settings.rescan.enabled, self.rescan.get()) {
            (true, Some(rescan)) => {
                rescan.ask();
                Ok("a rescan of all that is served begins, one file at a time behind live traffic".to_owned())
            }
            _ => Err("rescans are turned off: set [rescan] enabled = true".to_owned()),
        };
        Box::pin(std::future::ready(answer))
    }

    fn test_alert(&self) -> Answer<'_, Result<String, String>> {
        Box::pin(async {
            let tried = self.watch.alerts.test().await;
            let said = |one: &guarita_alerts::Tried| match one.sent {
                true => format!("{}: sent", one.channel),
                false => format!("{}: {}", one.channel, one.detail),
            };
            let all = tried.iter().map(said).collect::<Vec<_>>().join("; ");
            match (tried.is_empty(), tried.iter().all(|one| one.sent)) {
                (true, _) => Err("no channel is configured: set [alerts.webhook], [alerts.chat], [alerts.mail] or \
                                  [alerts.syslog]"
                    .to_owned()),
                (_, true) => Ok(all),
                (_, false) => Err(all),
            }
        })
    }
}

/// For commands that open the storage folder while no gateway runs.
pub struct NoGateway;

const NOT_RUNNING: &str = "no gateway runs here";

impl Gateway for NoGateway {
    fn readiness(&self) -> Answer<'_, Readiness> {
        Box::pin(std::future::ready(Readiness { ready: false, checks: Vec::new() }))
    }
    fn metrics(&self) -> Answer<'_, String> {
        Box::pin(std::future::ready(String::new()))
    }
    fn snapshot(&self) -> Snapshot {
        Snapshot { scanner: NOT_RUNNING.into(), ..Snapshot::default() }
    }
    fn rules(&self, _: Option<Language>) -> Rules {
        Rules::default()
    }
    fn try_text(&self, _: String) -> Answer<'_, Result<Tried, String>> {
        Box::pin(std::future::ready(Err(NOT_RUNNING.into())))
    }
    fn try_url(&self, _: String) -> Answer<'_, Result<Tried, String>> {
        Box::pin(std::future::ready(Err(NOT_RUNNING.into())))
    }
    fn try_file(&self, _: String, _: Vec<u8>) -> Answer<'_, Result<Tried, String>> {
        Box::pin(std::future::ready(Err(NOT_RUNNING.into())))
    }
    fn preview(&self, _: FileToShow) -> Answer<'_, Preview> {
        Box::pin(std::future::ready(Preview::nothing(GapReason::ScannerUnavailable)))
    }
    fn backends(&self) -> Vec<BackendInfo> {
        Vec::new()
    }
    fn settings(&self) -> Vec<Setting> {
        Vec::new()
    }
    fn apply_exceptions(&self, _: Vec<Exception>) -> Answer<'_, ()> {
        Box::pin(std::future::ready(()))
    }
    fn reload(&self) -> Answer<'_, Result<String, String>> {
        Box::pin(std::future::ready(Err(NOT_RUNNING.into())))
    }
    fn rescan(&self) -> Answer<'_, Result<String, String>> {
        Box::pin(std::future::ready(Err(NOT_RUNNING.into())))
    }
    fn test_alert(&self) -> Answer<'_, Result<String, String>> {
        Box::pin(std::future::ready(Err(NOT_RUNNING.into())))
    }
}

/// The console's exceptions as policy knows them, and those that are lines of a list: domains, and denied contents.
fn in_force(all: &[Exception]) -> (Exceptions, Vec<ListEntry>) {
    let (mut exceptions, mut entries) = (Exceptions::default(), Vec::new());
    for one in all {
        let name = format!("exception {}", one.id);
        let listed = |side, kind| ListEntry { side, kind, value: one.value.clone() };
        match (one.side, one.kind) {
            (Side::Allow, ExceptionKind::Hash) => match one.value.parse() {
                Ok(hash) => exceptions.add_hash(hash, one.covers_malware, &name),
                Err(_) => tracing::warn!(id = one.id, "an exception names no hash and is not in force"),
            },
            (Side::Allow, ExceptionKind::Sender) => exceptions.add_sender(&one.value, &name),
            (Side::Allow, ExceptionKind::Rule) => exceptions.add_rule(&one.value, &name),
            (Side::Allow, ExceptionKind::Domain) => entries.push(listed(ListSide::Allow, ListKind::Domain)),
            (Side::Deny, ExceptionKind::Domain) => entries.push(listed(ListSide::Deny, ListKind::Domain)),
            (Side::Deny, ExceptionKind::Hash) => entries.push(listed(ListSide::Deny, ListKind::Hash)),
            // The desk takes none of these.
            (Side::Deny, ExceptionKind::Sender | ExceptionKind::Rule) => {}
        }
    }
    (exceptions, entries)
}

impl Inner {
    /// Reads the lists' folder and adds the console's entries; a list that cannot be read leaves the old ones in force.
    pub(crate) async fn load_lists(&self) {
        let own = self.list_entries.lock().await;
        let (folder, entries) = (self.settings.policy.lists.clone(), own.clone());
        let loaded = tokio::task::spawn_blocking(move || lists::load(&folder, &entries)).await;
        match loaded {
            Ok(Ok(loaded)) => {
                let (lists, files) = loaded.map_or((None, Vec::new()), |loaded| (Some(loaded.lists), loaded.files));
                let entries = lists.as_ref().map_or(0, |lists| lists.entries());
                tracing::info!(files = files.len(), entries, "lists in force");
                self.pipeline.change_brains(|brains| brains.lists = lists);
                *self.list_files.lock().unwrap_or_else(PoisonError::into_inner) = files;
            }
            Ok(Err(error)) => tracing::error!(%error, "a list was not read; the lists before it stay in force"),
            Err(_) => tracing::error!("reading the lists crashed; the lists before it stay in force"),
        }
        drop(own);
    }

    async fn try_words(&self, body: PartBody) -> Result<Tried, String> {
        let brains = self.pipeline.brains();
        let looked = tokio::task::spawn_blocking(move || look_at_words(&brains, body)).await;
        looked.map(tried).map_err(|_| "our own inspection crashed; please report this input".to_owned())
    }
}

fn tried(inspection: Inspection) -> Tried {
    Tried { verdict: inspection.verdict().to_string(), score: inspection.suspicion(), inspection }
}

struct InMemory(bytes::Bytes);

impl Content for InMemory {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }
    fn open(&self) -> io::Result<Box<dyn io::Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.0.clone())))
    }
}

/// Every key of the default file with the value in force. A secret is only said to be set.
fn shown_settings(settings: &Settings) -> Vec<Setting> {
    let defaults: Table = DEFAULT.parse().expect("the embedded default file is TOML; a test reads it");
    let mut shown = Vec::new();
    collect(&defaults, &settings.laid.0, "", &mut shown);
    shown
}

fn collect(defaults: &Table, laid: &Table, prefix: &str, shown: &mut Vec<Setting>) {
    for (name, value) in laid {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let default = defaults.get(name);
        if let Value::Table(inner) = value {
            let none = Table::new();
            collect(default.and_then(Value::as_table).unwrap_or(&none), inner, &key, shown);
            continue;
        }
        let secret = is_secret(&key);
        if let Value::Array(items) = value
            && items.iter().any(Value::is_table)
        {
            for (at, item) in items.iter().enumerate().filter_map(|(at, item)| Some((at, item.as_table()?))) {
                collect(&Table::new(), item, &format!("{key}[{at}]"), shown);
            }
            continue;
        }
        let empty = match value {
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        let text = match value {
            _ if secret => if empty { "(empty)" } else { "(set)" }.to_owned(),
            Value::String(text) if text.contains("://") => without_secrets(text),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let meaning = meaning_of(&key);
        shown.push(Setting { changed: default != Some(value), key, value: text, meaning, secret });
    }
}

/// The comment that stands beside a key in the default file.
fn meaning_of(path: &str) -> String {
    let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut inside = false;
    for line in DEFAULT.lines() {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            inside = header.0 == section;
        } else if inside && line.split('=').next().is_some_and(|name| name.trim() == key) {
            return line.split_once("# ").map(|(_, comment)| comment.trim().to_owned()).unwrap_or_default();
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_shown_without_secrets() {
        let file = "[receive]\napp_secret = \"hush-1\"\n[media]\ntokens = [\"hush-2\"]\n\
                    [backend]\nurl = \"https://u:hush-3@host/path?token=hush-4\"\n[graph]\naccess_token = \"hush-5\"\n";
        let settings = Settings::layer(Some(("x", file)), std::iter::empty()).unwrap();
        let shown = shown_settings(&settings);
        let text = format!("{shown:?}");
        assert!(!text.contains("hush"), "{text}");
        let get = |key: &str| shown.iter().find(|setting| setting.key == key).unwrap();
        assert_eq!((get("receive.app_secret").value.as_str(), get("receive.app_secret").changed), ("(set)", true));
        assert_eq!(get("receive.verify_token").value, "(empty)");
        assert_eq!(get("backend.url").value, "https://host/path");
        assert!(!get("storage.retention_days").changed);
        assert!(get("storage.quarantine_days").meaning.is_empty());
        assert!(get("console.second_step").meaning.contains("TOTP"));
    }
}
