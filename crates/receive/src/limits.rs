//! `[limits]`: who may write, and how much. Asked at the door, before anything is stored; Meta gets its 200 either way.
//!
//! Counts live in memory and are bounded; they begin anew with the process. Pure but for them: the minute is an argument.

use guarita_message::{Channel, Lane};
use guarita_webhook::Unit;
use serde::Deserialize;
use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    fmt,
    hash::BuildHasher,
    sync::{Mutex, PoisonError},
};

/// Senders counted at a time. Beyond it (a flood of ever new senders) the route's own quota still holds.
const COUNTED_MAX: usize = 200_000;

/// What becomes of a message that is not let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unwanted {
    /// Stored as a quarantined entry, for a person to look at and let go.
    #[default]
    Keep,
    /// Counted and forgotten.
    Drop,
}

/// `[limits]`, and `[routes.limits]` in its place. 0 and empty lists mean: no limit.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub sender_messages_per_minute: u64,
    pub sender_bytes_per_minute: u64,
    pub route_messages_per_minute: u64,
    pub route_bytes_per_minute: u64,
    pub over: Unwanted,
    /// Names of senders: phone numbers, user ids, page-scoped ids, Telegram's ids and user names.
    pub block: Vec<String>,
    /// Not empty: nobody else may write.
    pub allow: Vec<String>,
    /// Beginnings of phone numbers (`55`, `1868`) or countries of user ids (`BR`).
    pub block_countries: Vec<String>,
    /// Not empty: no other number or user id may write. Says nothing of channels without numbers.
    pub allow_countries: Vec<String>,
    pub blocked: Unwanted,
    /// Mark messages of senders who have not written to this route within the retention.
    pub first_contact: bool,
}

/// Shows no names of people.
impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").field("over", &self.over).field("blocked", &self.blocked).finish_non_exhaustive()
    }
}

/// Limits in the form they are asked in.
#[derive(Debug, Default)]
pub(crate) struct RouteLimits {
    sender: Quota,
    route: Quota,
    over: Unwanted,
    block: HashSet<String>,
    allow: HashSet<String>,
    block_countries: Vec<String>,
    allow_countries: Vec<String>,
    blocked: Unwanted,
}

#[derive(Clone, Copy, Debug, Default)]
struct Quota {
    messages: u64,
    bytes: u64,
}

impl Quota {
    fn is_set(self) -> bool {
        self.messages > 0 || self.bytes > 0
    }
}

/// Why a unit is not let through, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stopped {
    pub reason: &'static str,
    pub then: Unwanted,
}

impl RouteLimits {
    pub fn compile(limits: &Limits) -> Self {
        let names = |names: &[String]| names.iter().map(|name| plain(name)).filter(|name| !name.is_empty()).collect();
        let countries = |all: &[String]| all.iter().map(|one| plain(one)).filter(|one| !one.is_empty()).collect();
        RouteLimits {
            sender: Quota { messages: limits.sender_messages_per_minute, bytes: limits.sender_bytes_per_minute },
            route: Quota { messages: limits.route_messages_per_minute, bytes: limits.route_bytes_per_minute },
            over: limits.over,
            block: names(&limits.block),
            allow: names(&limits.allow),
            block_countries: countries(&limits.block_countries),
            allow_countries: countries(&limits.allow_countries),
            blocked: limits.blocked,
        }
    }

    fn forbids(&self, unit: &Unit) -> Option<&'static str> {
        let has = |names: &HashSet<String>| unit.senders.iter().any(|sender| names.contains(&plain(sender)));
        if !self.block.is_empty() && has(&self.block) {
            return Some("blocked");
        }
        if !self.allow.is_empty() && !has(&self.allow) {
            return Some("not_allowed");
        }
        if unit.channel != Some(Channel::Whatsapp) {
            return None;
        }
        let from = |countries: &[String]| {
            unit.senders.iter().any(|sender| countries.iter().any(|country| is_from(&plain(sender), country)))
        };
        let strange = from(&self.block_countries) || !self.allow_countries.is_empty() && !from(&self.allow_countries);
        strange.then_some("country")
    }
}

/// Names as people write them: `+55 11 98765-4321`, `@Name`.
fn plain(name: &str) -> String {
    let name = name.trim().trim_start_matches('@');
    let digits: String = name.chars().filter(|c| !matches!(c, '+' | ' ' | '-' | '(' | ')')).collect();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) { digits } else { name.to_lowercase() }
}

/// A number by its first digits, a user id (`BR.…`) by its country.
fn is_from(sender: &str, country: &str) -> bool {
    if country.bytes().all(|byte| byte.is_ascii_digit()) {
        return sender.bytes().all(|byte| byte.is_ascii_digit()) && sender.starts_with(country);
    }
    sender.strip_prefix(country).is_some_and(|rest| rest.starts_with('.'))
}

/// Counts of the running minute.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    inner: Mutex<Minute>,
    /// Keys of its own, so that nobody can choose names that fall together.
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Minute {
    minute: u64,
    counted: HashMap<u64, Quota>,
}

impl Counts {
    /// Whether `unit` may pass by the limits of `route`; if so, it is counted.
    pub fn ask(&self, route: &str, limits: &RouteLimits, unit: &Unit, now_ms: u64) -> Option<Stopped> {
        if unit.lane != Lane::Message || is_echo(unit) {
            return None;
        }
        if let Some(reason) = limits.forbids(unit) {
            return Some(Stopped { reason, then: limits.blocked });
        }
        if !limits.sender.is_set() && !limits.route.is_set() {
            return None;
        }
        let asked = Quota { messages: unit.dedupe.len() as u64, bytes: unit.body.len() as u64 };
        let mut now = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if now.minute != now_ms / 60_000 {
            *now = Minute { minute: now_ms / 60_000, counted: HashMap::new() };
        }
        let sender = unit.senders.first().map(|sender| self.hasher.hash_one((route, sender)));
        let kinds = [
            (sender, limits.sender, "sender_quota"),
            (Some(self.hasher.hash_one((route, 0u8))), limits.route, "route_quota"),
        ];
        // First who is over, then the counting: what is stopped uses up nothing of the others.
        for (key, quota, reason) in kinds {
            let Some(key) = key.filter(|_| quota.is_set()) else { continue };
            let used = now.counted.get(&key).copied().unwrap_or_default();
            let over = |used: u64, asked: u64, most: u64| most > 0 && used.saturating_add(asked) > most;
            // A single message larger than the quota passes once a minute, or it never could.
            if over(used.messages, asked.messages, quota.messages)
                || over(used.bytes, asked.bytes, quota.bytes) && used.messages > 0
            {
                return Some(Stopped { reason, then: limits.over });
            }
        }
        for (key, quota, _) in kinds {
            let Some(key) = key.filter(|_| quota.is_set()) else { continue };
            if now.counted.len() < COUNTED_MAX || now.counted.contains_key(&key) {
                let used = now.counted.entry(key).or_default();
                used.messages = used.messages.saturating_add(asked.messages);
                used.bytes = used.bytes.saturating_add(asked.bytes);
            }
        }
        None
    }
}

/// What the business itself wrote.
fn is_echo(unit: &Unit) -> bool {
    unit.field.ends_with("message_echoes")
        || !unit.account.is_empty() && unit.senders.first().is_some_and(|sender| *sender == unit.account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use guarita_webhook::{SplitBy, split};
    use serde_json::json;

    fn unit(from: &str, user: &str, id: &str) -> Unit {
        let mut message = json!({"id": id, "type": "text", "text": {"body": "x"}});
        for (key, value) in [("from", from), ("from_user_id", user)].into_iter().filter(|(_, value)| !value.is_empty())
        {
            message[key] = json!(value);
        }
        let value = json!({"metadata": {"phone_number_id": "7"}, "messages": [message]});
        let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1",
            "changes": [{"field": "messages", "value": value}]}]});
        split(body.to_string().as_bytes(), SplitBy::Message).unwrap().remove(0)
    }

    fn reason(limits: Limits, unit: &Unit) -> &'static str {
        Counts::default().ask("r", &RouteLimits::compile(&limits), unit, 0).map_or("", |stopped| stopped.reason)
    }

    #[test]
    fn lists_and_countries() {
        let names = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let (ana, unknown) = (unit("5511987654321", "BR.abc", "1"), unit("", "US.xyz", "2"));
        let block = |all: &[&str]| Limits { block: names(all), ..Limits::default() };
        let allow = |all: &[&str]| Limits { allow: names(all), ..Limits::default() };
        assert_eq!(reason(block(&["+55 11 98765-4321"]), &ana), "blocked");
        assert_eq!(reason(block(&["br.ABC"]), &ana), "blocked");
        assert_eq!(reason(block(&["5511"]), &ana), "", "a name is not a beginning");
        assert_eq!(reason(allow(&["5511987654321"]), &ana), "");
        assert_eq!(reason(allow(&["5511987654321"]), &unknown), "not_allowed");
        for (allowed, blocked, of_ana, of_unknown) in [
            (&["55"][..], &[][..], "", "country"),
            (&["BR"], &[], "", "country"),
            (&["55", "US"], &[], "", ""),
            (&[], &["US"], "", "country"),
            (&[], &["5511"], "country", ""),
            (&[], &["5"], "country", ""),
            (&[], &["B"], "", ""),
        ] {
            let limits =
                || Limits { allow_countries: names(allowed), block_countries: names(blocked), ..Limits::default() };
            assert_eq!(
                (reason(limits(), &ana), reason(limits(), &unknown)),
                (of_ana, of_unknown),
                "{allowed:?} {blocked:?}"
            );
        }
        let telegram = json!({"update_id": 1, "message": {"from": {"id": 5}, "chat": {"id": 5}, "text": "x"}});
        let telegram = split(telegram.to_string().as_bytes(), SplitBy::Message).unwrap().remove(0);
        let limits = Limits { allow_countries: names(&["55"]), ..Limits::default() };
        assert_eq!(reason(limits, &telegram), "", "no numbers there");
    }

    #[test]
    fn quotas_are_each_senders_and_begin_anew_with_the_minute() {
        let counts = Counts::default();
        let limits = RouteLimits::compile(&Limits {
            sender_messages_per_minute: 2,
            route_messages_per_minute: 5,
            over: Unwanted::Drop,
            ..Limits::default()
        });
        let ask =
            |from: &str, now: u64| counts.ask("r", &limits, &unit(from, "", "1"), now).map(|stopped| stopped.reason);
        assert_eq!([ask("1", 0), ask("1", 1), ask("1", 2)], [None, None, Some("sender_quota")]);
        assert_eq!([ask("2", 3), ask("2", 3), ask("3", 3), ask("4", 3)], [None, None, None, Some("route_quota")]);
        assert_eq!(counts.ask("other", &limits, &unit("1", "", "1"), 3), None, "another route counts for itself");
        assert_eq!([ask("1", 60_000), ask("4", 60_001)], [None, None]);
    }

    #[test]
    fn bytes_count_and_a_large_message_passes_alone() {
        let counts = Counts::default();
        let limits = RouteLimits::compile(&Limits { sender_bytes_per_minute: 10, ..Limits::default() });
        assert_eq!(counts.ask("r", &limits, &unit("1", "", "1"), 0), None);
        let stopped = counts.ask("r", &limits, &unit("1", "", "2"), 0);
        assert_eq!(stopped, Some(Stopped { reason: "sender_quota", then: Unwanted::Keep }));
    }

    #[test]
    fn echoes_and_statuses_are_never_counted() {
        let limits = RouteLimits::compile(&Limits { allow: vec!["nobody".into()], ..Limits::default() });
        let echo = json!({"object": "page", "entry": [{"id": "9", "messaging": [
            {"sender": {"id": "9"}, "recipient": {"id": "8"}, "message": {"mid": "m", "is_echo": true, "text": "t"}}]}]});
        let echo = split(echo.to_string().as_bytes(), SplitBy::Message).unwrap().remove(0);
        assert_eq!(Counts::default().ask("r", &limits, &echo, 0), None);
    }
}
