//! `[[routes]]` and `[apps]`: what each means once what it leaves out is taken from the plain tables, as the parts that the
//! doors and the pipeline are given. Without any `[[routes]]` the plain tables are the one route `default`.

mod entry;

pub use entry::{AppEntry, Names, RouteEntry};

use crate::{
    config::{BackendSettings, ConfigError, Settings},
    rules,
};
use guarita_deliver::{Backend, Trust};
use guarita_message::BACKEND;
use guarita_pipeline::{RouteSettings, Routes};
use guarita_policy::{OnDeadline, Policy};
use guarita_receive::{Proof, Table, TableError, Wishes};
use guarita_rules::Language;
use guarita_spool::Keep;
use guarita_webhook::SplitBy;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

/// The name of the only route until the configuration names others.
pub const DEFAULT_ROUTE: &str = "default";
/// Routes of one configuration.
const ROUTES_MAX: usize = 10_000;
/// Backends of one route.
const BACKENDS_MAX: usize = 16;

/// Every route with nothing left open, in the order of the file.
pub struct Plan {
    pub routes: Vec<Planned>,
}

pub struct Planned {
    /// Where it stands: `guarita.toml:12`.
    pub at: String,
    pub door: guarita_receive::Route,
    /// The primary first; further ones have entries of their own.
    pub backends: Vec<BackendSettings>,
    pub graph_token: String,
    policy: (PathBuf, OnDeadline),
    notice_language: Language,
    /// Where it is not `[storage]`'s.
    pub keep: Option<Keep>,
    pub telegram: Option<Bot>,
}

impl Planned {
    pub fn read_policy(&self) -> Result<Policy, ConfigError> {
        Ok(rules::policy_of(&self.policy.0, self.policy.1)?)
    }
}

/// A Telegram bot behind a route.
#[derive(Clone)]
pub struct Bot {
    pub token: String,
    pub secret_token: String,
}

impl Plan {
    /// Fills in what routes leave out, and checks what a gateway needs to run. Reads no file but policies'.
    pub fn of(settings: &Settings, file: &str) -> Result<Plan, ConfigError> {
        let mut routes = Vec::new();
        if settings.routes.is_empty() {
            routes.push(default_route(settings));
        }
        let mut names = HashSet::new();
        for (number, entry) in settings.routes.iter().enumerate() {
            let planned = planned(settings, entry, number, file)?;
            if !names.insert(planned.door.name.clone()) {
                let problem = format!("two routes are named `{}`", planned.door.name);
                return Err(fault(planned.at, problem, "give each a name of its own: it is kept with every delivery"));
            }
            routes.push(planned);
        }
        if routes.len() > ROUTES_MAX {
            return Err(fault(file.into(), format!("more than {ROUTES_MAX} routes"), "spread them over two gateways"));
        }
        let plan = Plan { routes };
        plan.table()?;
        Ok(plan)
    }

    /// For the public door.
    pub fn table(&self) -> Result<Table, ConfigError> {
        Table::build(self.routes.iter().map(|route| route.door.clone()).collect()).map_err(|error| {
            let (name, mend) = match &error {
                TableError::Unreachable { later, .. } => {
                    (later, "put it before the other one, or narrow the other one")
                }
                TableError::TooManyApps { route, .. } => (route, "give some of its routes a `match.path` of their own"),
            };
            let at = self.routes.iter().find(|route| route.door.name == *name).map(|route| route.at.clone());
            fault(at.unwrap_or_default(), error.to_string(), mend)
        })
    }

    /// For the pipeline. Backends that `known` has with the same settings are kept, with their connections and breakers.
    pub fn settings(&self, known: &Backends) -> Result<(Routes, Backends), ConfigError> {
        let mut policies: HashMap<(PathBuf, OnDeadline), Arc<Policy>> = HashMap::new();
        let (mut routes, mut backends) = (Routes::new(), Backends::default());
        let mut trust = None;
        for route in &self.routes {
            let policy = match policies.get(&route.policy) {
                Some(policy) => policy.clone(),
                None => {
                    let policy = Arc::new(route.read_policy()?);
                    policies.entry(route.policy.clone()).or_insert(policy).clone()
                }
            };
            for (number, entry) in route.backends.iter().enumerate() {
                let config = deliver_config(entry, route.telegram.as_ref());
                let backend = match backends.find(&config).or_else(|| known.find(&config)) {
                    Some(backend) => backend,
                    None => Arc::new(built(&config, &mut trust).map_err(|error| {
                        fault(route.at.clone(), error.to_string(), "backend.url = \"http://127.0.0.1:3000/webhook\"")
                    })?),
                };
                backends.0.push((config, backend.clone()));
                routes.insert(
                    entry_name(&route.door.name, number),
                    Arc::new(RouteSettings {
                        backend,
                        policy: policy.clone(),
                        annotate: entry.annotate,
                        withheld_as: entry.withheld_as,
                        notice_language: route.notice_language.as_str().into(),
                        graph_token: route.telegram.as_ref().map_or(&route.graph_token, |bot| &bot.token).clone(),
                        first_contact: route.door.limits.first_contact,
                        keep: route.keep,
                    }),
                );
            }
        }
        Ok((routes, backends))
    }

    /// Each bot's token and route, for the door that bots take for the Bot API.
    pub fn bots(&self) -> Vec<(String, String)> {
        let bots = self.routes.iter().filter_map(|route| Some((route.telegram.as_ref()?, &route.door.name)));
        bots.map(|(bot, name)| (bot.token.clone(), name.clone())).collect()
    }

    /// Where events go, by the names that entries carry.
    pub fn event_targets(&self) -> HashMap<String, guarita_alerts::EventTarget> {
        let mut targets = HashMap::new();
        for route in &self.routes {
            for (number, backend) in route.backends.iter().enumerate().filter(|(_, one)| !one.events_url.is_empty()) {
                let target =
                    guarita_alerts::EventTarget { url: backend.events_url.clone(), secret: backend.secret.clone() };
                targets.insert(entry_name(&route.door.name, number), target);
            }
        }
        targets
    }

    /// Every token that may look media up at the door.
    pub fn media_tokens(&self, settings: &Settings) -> Vec<String> {
        let of_routes = self.routes.iter().map(|route| route.graph_token.clone());
        let plain = settings.media.tokens.iter().cloned().chain([settings.graph.access_token.clone()]);
        of_routes.chain(plain).filter(|token| !token.is_empty()).collect()
    }
}

/// The name under which the entries of a route's backend are stored; the first is 0.
fn entry_name(route: &str, backend: usize) -> String {
    match backend {
        0 => route.to_owned(),
        further => format!("{route}{BACKEND}{}", further + 1),
    }
}

/// Backends that are in use.
#[derive(Default)]
pub struct Backends(Vec<(guarita_deliver::Config, Arc<Backend>)>);

impl Backends {
    fn find(&self, config: &guarita_deliver::Config) -> Option<Arc<Backend>> {
        self.0.iter().find(|(known, _)| known == config).map(|(_, backend)| backend.clone())
    }
}

fn built(config: &guarita_deliver::Config, trust: &mut Option<Trust>) -> Result<Backend, guarita_deliver::SetupError> {
    if !config.needs_trust() {
        return Backend::new(config);
    }
    if trust.is_none() {
        *trust = Some(Trust::of_system()?);
    }
    match trust {
        Some(trust) => Backend::trusting(config, trust),
        None => Backend::new(config),
    }
}

fn deliver_config(backend: &BackendSettings, bot: Option<&Bot>) -> guarita_deliver::Config {
    guarita_deliver::Config {
        url: backend.url.clone(),
        secret: backend.secret.clone(),
        connect_seconds_max: backend.connect_seconds_max,
        response_seconds_max: backend.response_seconds_max,
        idle_connections_max: backend.idle_connections_max,
        telegram_token: bot.map(|bot| bot.secret_token.clone()).unwrap_or_default(),
    }
}

fn split_by(split: bool) -> SplitBy {
    if split { SplitBy::Message } else { SplitBy::Conversation }
}

fn fault(at: String, problem: String, mend: &str) -> ConfigError {
    ConfigError { at, problem, mend: mend.into() }
}

fn default_route(settings: &Settings) -> Planned {
    let mut backend = settings.backend.clone();
    if backend.secret.is_empty() {
        backend.secret.clone_from(&settings.receive.app_secret);
    }
    Planned {
        at: settings.origins.get("backend.url").cloned().unwrap_or_else(|| "configuration".into()),
        door: guarita_receive::Route {
            name: DEFAULT_ROUTE.into(),
            path: settings.receive.path.clone(),
            proof: Proof::AppSecret(settings.receive.app_secret.clone()),
            verify_token: settings.receive.verify_token.clone(),
            wishes: Wishes::default(),
            split: split_by(backend.split),
            backends: 1,
            scoped: false,
            account: String::new(),
            limits: settings.limits.clone(),
        },
        backends: vec![backend],
        graph_token: settings.graph.access_token.clone(),
        policy: (settings.policy.file.clone(), settings.policy.on_deadline),
        notice_language: settings.policy.notice_language,
        keep: None,
        telegram: None,
    }
}

fn planned(settings: &Settings, entry: &RouteEntry, number: usize, file: &str) -> Result<Planned, ConfigError> {
    let at = |key: &str| {
        let path = format!("routes[{number}]");
        // The nearest thing around it that stands in the file.
        let mut own = if key.is_empty() { path.clone() } else { format!("{path}.{key}") };
        loop {
            match (settings.origins.get(&own), own.rsplit_once('.')) {
                (Some(at), _) => return at.clone(),
                (None, Some((outer, _))) => own = outer.to_owned(),
                (None, None) => return file.to_owned(),
            }
        }
    };
    let wrong = |key: &str, problem: String, mend: &str| {
        Err(fault(at(key), format!("route `{}`: {problem}", entry.name), mend))
    };
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if entry.name.is_empty() || entry.name.len() > 64 || !entry.name.chars().all(fits) {
        return wrong("name", "a name has small letters, digits, - and _, 64 at most".into(), "name = \"sales-br\"");
    }
    let app = match &entry.app {
        None => &AppEntry::default(),
        Some(name) => match settings.apps.get(name) {
            Some(app) => app,
            None => {
                let mend = format!("[apps.{name}] with app_secret and verify_token, or another name");
                return wrong("app", format!("there is no app `{name}`"), &mend);
            }
        },
    };
    let pick = |own: &Option<String>, of_app: &Option<String>, plain: &str| {
        own.clone().or_else(|| of_app.clone()).unwrap_or_else(|| plain.to_owned())
    };
    let receive = &settings.receive;
    let app_secret = pick(&entry.app_secret, &app.app_secret, &receive.app_secret);
    let verify_token = pick(&entry.verify_token, &app.verify_token, &receive.verify_token);
    let graph_token = pick(&entry.access_token, &app.access_token, &settings.graph.access_token);
    let telegram = match &entry.telegram {
        None => None,
        Some(bot) => {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if bot.secret_token.is_empty() || bot.secret_token.len() > 256 || !bot.secret_token.chars().all(fits) {
                let mend = "1 to 256 letters, digits, _ and -, the same as in setWebhook; or secret_token_file";
                return wrong("telegram.secret_token", "`telegram.secret_token` is missing or unfit".into(), mend);
            }
            let id = bot.bot_token.split_once(':').map_or("", |(id, _)| id);
            if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
                let mend = "the token that BotFather gave, 123456:ABC-DEF…; or bot_token_file";
                return wrong("telegram.bot_token", "`telegram.bot_token` is missing or no token".into(), mend);
            }
            Some(Bot { token: bot.bot_token.clone(), secret_token: bot.secret_token.clone() })
        }
    };
    let path = entry.wishes.path.clone().unwrap_or_else(|| receive.path.clone());
    if !path.starts_with('/') {
        return wrong("match.path", "`match.path` must begin with a slash".into(), "path = \"/webhook/sales\"");
    }
    if telegram.is_none() {
        for (key, value) in [("app_secret", &app_secret), ("verify_token", &verify_token)] {
            if value.is_empty() {
                let mend = format!("set {key} here, in its [apps] table or in [receive]; or {key}_file");
                return wrong(key, format!("`{key}` is missing"), &mend);
            }
        }
    }
    if entry.backend.is_some() && !entry.backends.is_empty() {
        return wrong("backend", "it has both `backend` and `backends`".into(), "leave one of them");
    }
    let given: Vec<entry::BackendEntry> = match &entry.backend {
        Some(one) => vec![one.clone()],
        None if entry.backends.is_empty() => vec![entry::BackendEntry::default()],
        None => entry.backends.clone(),
    };
    if given.len() > BACKENDS_MAX {
        return wrong("backends", format!("more than {BACKENDS_MAX} backends"), "spread them over two routes");
    }
    let mut backends = Vec::new();
    for backend in given {
        let mut backend = backend.over(&settings.backend);
        if backend.url.is_empty() {
            let mend = "backend = { url = \"http://127.0.0.1:3000/webhook\" }, or [backend] url for all";
            return wrong("backend", "`backend.url` is missing".into(), mend);
        }
        if backend.secret.is_empty() {
            backend.secret = if app_secret.is_empty() { telegram_key(telegram.as_ref()) } else { app_secret.clone() };
        }
        backends.push(backend);
    }
    let retention_days = entry.storage.retention_days.unwrap_or(settings.storage.retention_days);
    let quarantine_days = entry.storage.quarantine_days.unwrap_or(settings.storage.quarantine_days);
    for (key, days) in [("retention_days", retention_days), ("quarantine_days", quarantine_days)] {
        if days == 0 {
            return wrong(
                &format!("storage.{key}"),
                format!("`storage.{key}` must not be 0"),
                "storage = { retention_days = 2 }",
            );
        }
    }
    let wishes = entry.wishes.wishes();
    if telegram.is_some() && wishes.object.iter().any(|object| object != "telegram") {
        return wrong("match.object", "a bot's updates have no such object".into(), "leave match.object out");
    }
    Ok(Planned {
        at: at(""),
        door: guarita_receive::Route {
            name: entry.name.clone(),
            path,
            proof: match &telegram {
                Some(bot) => Proof::TelegramToken(bot.secret_token.clone()),
                None => Proof::AppSecret(app_secret),
            },
            verify_token: if telegram.is_some() { String::new() } else { verify_token },
            wishes,
            split: split_by(backends[0].split),
            backends: backends.len(),
            scoped: true,
            account: telegram.as_ref().and_then(|bot| bot.token.split_once(':')).map_or("", |(id, _)| id).into(),
            limits: entry.limits.clone().unwrap_or_else(|| settings.limits.clone()),
        },
        backends,
        graph_token: if telegram.is_some() { String::new() } else { graph_token },
        policy: (
            entry.policy.file.clone().unwrap_or_else(|| settings.policy.file.clone()),
            entry.policy.on_deadline.unwrap_or(settings.policy.on_deadline),
        ),
        notice_language: entry.policy.notice_language.unwrap_or(settings.policy.notice_language),
        keep: (entry.storage.retention_days.is_some() || entry.storage.quarantine_days.is_some())
            .then(|| Keep::days(retention_days, quarantine_days)),
        telegram,
    })
}

/// What signs a bot's deliveries where nothing else is set.
fn telegram_key(bot: Option<&Bot>) -> String {
    bot.map(|bot| bot.secret_token.clone()).unwrap_or_default()
}

/// `[apps.<name>]`, by name.
pub type Apps = BTreeMap<String, AppEntry>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_may_keep_its_own_longer_or_shorter() {
        let text = "[receive]\napp_secret = \"s\"\nverify_token = \"v\"\n[backend]\nurl = \"http://127.0.0.1:1/\"\n\
                    [storage]\nquarantine_days = 20\n\
                    [[routes]]\nname = \"brief\"\nmatch = { phone_number_id = \"1\" }\nstorage = { retention_days = 2 }\n\
                    [[routes.backends]]\n[[routes.backends]]\n\
                    [[routes]]\nname = \"plain\"\n";
        let settings = Settings::layer(Some(("guarita.toml", text)), std::iter::empty()).unwrap();
        let plan = Plan::of(&settings, "guarita.toml").unwrap();
        let (routes, _) = plan.settings(&Backends::default()).unwrap();
        let keep = |name: &str| routes[name].keep;
        assert_eq!(keep("brief"), Some(Keep::days(2, 20)), "what it leaves out is taken from [storage]");
        assert_eq!((keep("brief#2"), keep("plain")), (Some(Keep::days(2, 20)), None));
        let zero = text.replace("retention_days = 2", "retention_days = 0");
        let settings = Settings::layer(Some(("guarita.toml", &zero)), std::iter::empty()).unwrap();
        let error = Plan::of(&settings, "guarita.toml").map(drop).unwrap_err().to_string();
        assert!(error.contains("guarita.toml:11") && error.contains("must not be 0"), "{error}");
    }
}
