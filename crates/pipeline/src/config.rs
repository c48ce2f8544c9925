//! What the pipeline is given: bounds, routes, and handles to the edges.

use guarita_deliver::Backend;
use guarita_inspect::{FileInspector, LinkFollower, Lists};
use guarita_media::{BlobStore, Fetch, Index};
use guarita_message::BACKEND;
use guarita_policy::{Exceptions, Policy};
use guarita_rules::RuleSet;
use guarita_spool::{Keep, Retention, Spool};
use guarita_webhook::WithheldAs;
use serde::Deserialize;
use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

/// `[pipeline]` of the configuration: how much is done at a time, and for how long.
#[derive(Clone, Debug)]
pub struct Config {
    /// Entries in work at a time.
    pub in_flight_max: usize,
    /// Bytes of bodies in work at a time.
    pub in_flight_bytes_max: usize,
    /// Files in work (fetched or scanned) at a time.
    pub files_in_flight_max: usize,
    /// Entries that may wait for a place among those files; further ones are put back for a moment.
    pub files_waiting_max: usize,
    /// A worker's hold on an entry; renewed while it works.
    pub lease_seconds: u64,
    /// `policy.scan_deadline_seconds`.
    pub scan_deadline_seconds: u64,
    /// `policy.fetch_patience_seconds`: how long an attachment that Meta does not give right now is asked for again.
    pub fetch_patience_seconds: u64,
    /// Findings kept of one message; the worst are kept.
    pub findings_max: usize,
    /// `storage.retention_days` and `storage.quarantine_days`, of routes that say nothing else.
    pub keep: Keep,
}

/// `backend.annotate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Annotate {
    #[default]
    Message,
    Headers,
    Off,
}

/// How one route's deliveries are judged and sent.
#[derive(Clone)]
pub struct RouteSettings {
    pub backend: Arc<Backend>,
    pub policy: Arc<Policy>,
    pub annotate: Annotate,
    pub withheld_as: WithheldAs,
    /// `pt-BR`, `en` or `es`.
    pub notice_language: String,
    /// Looks attachments up at Graph; for Telegram, the bot's own token.
    pub graph_token: String,
    /// Mark messages of conversations that are new within the retention.
    pub first_contact: bool,
    /// The route's own retention.
    pub keep: Option<Keep>,
}

/// Every route by the name its entries carry; replaced whole on a reload.
pub type Routes = HashMap<String, Arc<RouteSettings>>;

/// Where an entry that no route wanted would go now: its name and its body in, a route's name out.
pub type Reroute = Arc<dyn Fn(&str, &[u8]) -> Option<String> + Send + Sync>;

/// Rules and lists in force; replaced whole on a reload.
#[derive(Clone)]
pub struct Brains {
    pub rules: Arc<RuleSet>,
    pub lists: Option<Arc<Lists>>,
    /// What people said to let pass.
    pub exceptions: Arc<Exceptions>,
}

/// The url at the media door for a media id, as a webhook may carry it; `None`: the door is off.
pub type MediaUrls = Arc<dyn Fn(&str, u64) -> Option<String> + Send + Sync>;

/// Everything the pipeline holds.
pub struct Parts {
    pub config: Config,
    pub spool: Arc<dyn Spool>,
    pub fetcher: Arc<dyn Fetch>,
    pub index: Arc<dyn Index>,
    pub blobs: Arc<dyn BlobStore>,
    /// Round 1, in the order they are asked.
    pub file_inspectors: Vec<Arc<dyn FileInspector>>,
    /// Asks short links where they lead; `None`: nobody is asked.
    pub follower: Option<Arc<dyn LinkFollower>>,
    pub brains: RwLock<Brains>,
    pub routes: RwLock<Arc<Routes>>,
    pub reroute: Reroute,
    pub media_urls: MediaUrls,
    pub ambient: Ambient,
}

/// What is there without being asked for: the time, chance, threads. A simulation brings its own.
#[derive(Clone)]
pub struct Ambient {
    /// Milliseconds since 1970. May jump, as clocks do.
    pub now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    pub random: Arc<dyn Fn() -> u32 + Send + Sync>,
    /// Long looks go to threads of their own; a simulation has one thread alone.
    pub threads: bool,
}

impl Default for Ambient {
    fn default() -> Self {
        Ambient {
            now_ms: Arc::new(|| {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
            }),
            random: Arc::new(|| getrandom::u32().unwrap_or(u32::MAX / 2)),
            threads: true,
        }
    }
}

impl Config {
    /// How long each route's entries are kept.
    pub(crate) fn retention(&self, routes: &Routes) -> Retention {
        let own = routes.iter().filter_map(|(name, route)| {
            // A further backend (`sales#2`) is its route's.
            (!name.contains(BACKEND)).then(|| Some((name.clone(), route.keep?)))?
        });
        Retention { common: self.keep, routes: own.collect() }
    }

    /// How long the contents of attachments are kept.
    pub(crate) fn media_retention(&self, routes: &Routes) -> guarita_media::Retention {
        let own = routes.values().filter_map(|route| route.keep).map(|keep| keep.content);
        let common = self.keep.content;
        guarita_media::Retention { common, shortest: own.min().map_or(common, |shortest| shortest.min(common)) }
    }
}

impl Parts {
    pub(crate) fn now_ms(&self) -> u64 {
        (self.ambient.now_ms)()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routes_own_retention_is_its_backends_and_its_attachments_too() {
        let settings = |keep| {
            let config = guarita_deliver::Config {
                url: "http://127.0.0.1:1/".into(),
                secret: "s".into(),
                connect_seconds_max: 1,
                response_seconds_max: 1,
                idle_connections_max: 1,
                telegram_token: String::new(),
            };
            Arc::new(RouteSettings {
                backend: Arc::new(Backend::new(&config).unwrap()),
                policy: Arc::new(Policy { lines: Vec::new(), on_deadline: Default::default() }),
                annotate: Annotate::Message,
                withheld_as: WithheldAs::Text,
                notice_language: "en".into(),
                graph_token: String::new(),
                first_contact: false,
                keep,
            })
        };
        let config = Config {
            in_flight_max: 1,
            in_flight_bytes_max: 1,
            files_in_flight_max: 1,
            files_waiting_max: 1,
            lease_seconds: 1,
            scan_deadline_seconds: 1,
            fetch_patience_seconds: 1,
            findings_max: 1,
            keep: Keep::days(7, 30),
        };
        let (brief, long) = (Keep::days(2, 10), Keep::days(20, 60));
        let plain = Routes::from([("a".to_owned(), settings(None)), ("a#2".to_owned(), settings(None))]);
        assert_eq!(config.retention(&plain), Retention::common(config.keep));
        assert_eq!(config.media_retention(&plain), guarita_media::Retention::common(config.keep.content));
        let own = [("a", None), ("b", Some(brief)), ("b#2", Some(brief)), ("c", Some(long))];
        let own: Routes = own.into_iter().map(|(name, keep)| (name.to_owned(), settings(keep))).collect();
        let retention = config.retention(&own);
        assert_eq!(retention.routes.keys().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!((retention.of("b#2"), retention.of("c!blocked"), retention.of("a")), (brief, long, config.keep));
        assert_eq!(config.media_retention(&own).shortest, brief.content);
    }
}
