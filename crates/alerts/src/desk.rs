//! Decides what is told and when. Pure: it is told what happens and what holds, and asked what is due; time is an
//! argument.
//!
//! What happens (malware held, a verdict changed) is told at once the first time; what follows within
//! `group_seconds` is told together when that time is over. What holds (a scanner blind, a backend down) is told once it
//! has lasted `settle_seconds`, again every `repeat_hours`, and when it is over, if its beginning was told. In quiet hours
//! only `quiet_passes` are told, the rest afterwards if it still matters. No more than `per_hour_max` an hour: beyond that
//! groups grow instead. Memory is bounded by kinds and subjects.

use crate::{Alert, Config, Kind, Millis, Phase, quiet::Quiet};
use std::collections::{BTreeMap, VecDeque};

/// Ids shown of a group.
const IDS_MAX: usize = 5;
/// Conditions of one kind told apart (routes); further ones are told as one.
const SUBJECTS_MAX: usize = 64;
const HOUR: Millis = 3_600_000;

pub(crate) struct Desk {
    kinds: Vec<Kind>,
    quiet_passes: Vec<Kind>,
    quiet: Option<Quiet>,
    group: Millis,
    settle: Millis,
    repeat: Millis,
    per_hour_max: usize,
    happened: BTreeMap<Kind, Group>,
    holding: BTreeMap<(Kind, String), Condition>,
    told: VecDeque<Millis>,
}

#[derive(Default)]
struct Group {
    count: u64,
    ids: Vec<String>,
    detail: String,
    since: Millis,
    /// Nothing is told of this kind before.
    not_before: Millis,
}

struct Condition {
    since: Millis,
    detail: String,
    told_at: Option<Millis>,
    /// When it ended; it stays here until that is told, or until it comes back.
    over: Option<Millis>,
}

impl Desk {
    pub(crate) fn new(config: &Config, quiet: Option<Quiet>) -> Self {
        Desk {
            kinds: config.kinds.clone(),
            quiet_passes: config.quiet_passes.clone(),
            quiet,
            group: config.group_seconds * 1000,
            settle: config.settle_seconds * 1000,
            repeat: config.repeat_hours * HOUR,
            per_hour_max: config.per_hour_max,
            happened: BTreeMap::new(),
            holding: BTreeMap::new(),
            told: VecDeque::new(),
        }
    }

    /// Something happened to the entry `id`.
    pub(crate) fn happened(&mut self, now: Millis, kind: Kind, id: String, detail: &str) {
        if !self.kinds.contains(&kind) {
            return;
        }
        let group = self.happened.entry(kind).or_default();
        if group.count == 0 {
            group.since = now;
            group.detail = detail.to_owned();
        } else if group.detail != detail {
            group.detail.clear(); // several causes: the count says enough
        }
        group.count += 1;
        if !id.is_empty() && group.ids.len() < IDS_MAX && !group.ids.contains(&id) {
            group.ids.push(id);
        }
    }

    /// Whether something holds now.
    pub(crate) fn holds(&mut self, now: Millis, kind: Kind, subject: &str, active: bool, detail: &str) {
        if !self.kinds.contains(&kind) {
            return;
        }
        let crowded = self.holding.keys().filter(|(held, _)| *held == kind).count() >= SUBJECTS_MAX;
        let mut key = (kind, subject.to_owned());
        if crowded && !self.holding.contains_key(&key) {
            key.1 = "…".to_owned();
        }
        match (active, self.holding.get_mut(&key)) {
            (true, None) => {
                let condition = Condition { since: now, detail: detail.to_owned(), told_at: None, over: None };
                self.holding.insert(key, condition);
            }
            (true, Some(condition)) => {
                condition.over = None;
                condition.detail = detail.to_owned();
            }
            (false, Some(condition)) if condition.told_at.is_none() => {
                self.holding.remove(&key);
            }
            (false, Some(condition)) => {
                condition.over.get_or_insert(now);
            }
            (false, None) => {}
        }
    }

    /// What is to be told now.
    pub(crate) fn due(&mut self, now: Millis) -> Vec<Alert> {
        while self.told.front().is_some_and(|at| at + HOUR <= now) {
            self.told.pop_front();
        }
        let quiet = self.quiet.is_some_and(|quiet| quiet.holds(now));
        let passes = self.quiet_passes.clone();
        let may = |kind: Kind| !quiet || passes.contains(&kind);
        let mut left = self.per_hour_max.saturating_sub(self.told.len());
        let mut due = Vec::new();
        // Conditions first: a blind scanner matters more than one more held file.
        let mut ended = Vec::new();
        for ((kind, subject), condition) in &mut self.holding {
            if left == 0 {
                break;
            }
            let phase = match (condition.told_at, condition.over) {
                _ if !may(*kind) => continue,
                (Some(_), Some(over)) if over + self.settle <= now => Phase::Recovered,
                (_, Some(_)) => continue,
                (None, None) if condition.since + self.settle <= now => Phase::Raised,
                (Some(told), None) if self.repeat > 0 && told + self.repeat <= now => Phase::Ongoing,
                _ => continue,
            };
            left -= 1;
            condition.told_at = Some(now);
            if phase == Phase::Recovered {
                ended.push((*kind, subject.clone()));
            }
            let detail = if phase == Phase::Recovered { String::new() } else { condition.detail.clone() };
            due.push(Alert {
                kind: *kind,
                phase,
                subject: subject.clone(),
                count: 1,
                ids: Vec::new(),
                detail,
                since: condition.since,
                at: now,
            });
        }
        for key in ended {
            self.holding.remove(&key);
        }
        for (kind, group) in &mut self.happened {
            if group.count == 0 || now < group.not_before || !may(*kind) || left == 0 {
                continue;
            }
            left -= 1;
            let told = std::mem::replace(group, Group { not_before: now + self.group, ..Group::default() });
            due.push(Alert {
                kind: *kind,
                phase: Phase::Raised,
                subject: String::new(),
                count: told.count,
                ids: told.ids,
                detail: told.detail,
                since: told.since,
                at: now,
            });
        }
        self.told.extend(due.iter().map(|_| now));
        due
    }

    /// Conditions that hold now, told or not.
    pub(crate) fn active(&self) -> Vec<(Kind, String)> {
        self.holding.iter().filter(|(_, held)| held.over.is_none()).map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::tests::config;

    const SECOND: Millis = 1000;
    const NOON: Millis = 20_000 * 86_400_000 + 12 * HOUR;

    fn desk(change: impl FnOnce(&mut Config)) -> Desk {
        let mut config = config();
        change(&mut config);
        Desk::new(&config, config.quiet().unwrap())
    }

    fn told(desk: &mut Desk, at: Millis) -> Vec<(Kind, Phase, u64)> {
        desk.due(at).into_iter().map(|alert| (alert.kind, alert.phase, alert.count)).collect()
    }

    #[test]
    fn the_first_is_told_at_once_and_a_hundred_more_as_one() {
        let mut desk = desk(|_| {});
        desk.happened(NOON, Kind::MalwareHeld, "A".into(), "malware");
        assert_eq!(told(&mut desk, NOON), [(Kind::MalwareHeld, Phase::Raised, 1)]);
        for n in 0..100 {
            desk.happened(NOON + n, Kind::MalwareHeld, format!("B{n}"), "malware");
        }
        assert_eq!(told(&mut desk, NOON + 299 * SECOND), []);
        let alerts = desk.due(NOON + 300 * SECOND);
        assert_eq!((alerts.len(), alerts[0].count, alerts[0].ids.len()), (1, 100, IDS_MAX));
        assert_eq!(alerts[0].since, NOON);
        assert_eq!(told(&mut desk, NOON + 700 * SECOND), [], "nothing new, nothing told");
    }

    #[test]
    fn a_condition_is_told_when_it_lasts_again_and_when_it_is_over() {
        let mut desk = desk(|_| {});
        let hold = |desk: &mut Desk, at, active| desk.holds(at, Kind::ScannerBlind, "", active, "clamd ended");
        hold(&mut desk, NOON, true);
        assert_eq!(told(&mut desk, NOON + 29 * SECOND), []);
        hold(&mut desk, NOON + 29 * SECOND, false);
        assert_eq!(told(&mut desk, NOON + 60 * SECOND), [], "a restart is nobody's business");
        hold(&mut desk, NOON + 60 * SECOND, true);
        assert_eq!(told(&mut desk, NOON + 90 * SECOND), [(Kind::ScannerBlind, Phase::Raised, 1)]);
        assert_eq!(told(&mut desk, NOON + 120 * SECOND), []);
        assert_eq!(desk.active(), [(Kind::ScannerBlind, String::new())]);
        let later = NOON + 90 * SECOND + 6 * HOUR;
        assert_eq!(told(&mut desk, later), [(Kind::ScannerBlind, Phase::Ongoing, 1)]);
        // It flaps: over and back within the settling time is not told.
        hold(&mut desk, later + SECOND, false);
        assert_eq!(told(&mut desk, later + 2 * SECOND), []);
        hold(&mut desk, later + 3 * SECOND, true);
        hold(&mut desk, later + 10 * SECOND, false);
        assert_eq!(told(&mut desk, later + 39 * SECOND), []);
        assert_eq!(told(&mut desk, later + 40 * SECOND), [(Kind::ScannerBlind, Phase::Recovered, 1)]);
        assert!(desk.active().is_empty());
    }

    #[test]
    fn quiet_hours_hold_back_what_can_wait() {
        let mut desk = desk(|config| {
            config.quiet_hours = "11:00-13:00".into();
            config.utc_offset = "+00:00".into();
            config.quiet_passes = vec![Kind::BackendDown];
        });
        desk.happened(NOON, Kind::MalwareHeld, "A".into(), "");
        desk.happened(NOON, Kind::MalwareHeld, "B".into(), "");
        desk.holds(NOON, Kind::BackendDown, "vendas", true, "");
        desk.holds(NOON, Kind::QueueGrowing, "", true, "");
        desk.holds(NOON + 1, Kind::SignaturesOld, "", true, "");
        assert_eq!(told(&mut desk, NOON + 40 * SECOND), [(Kind::BackendDown, Phase::Raised, 1)]);
        desk.holds(NOON + 60 * SECOND, Kind::QueueGrowing, "", false, "");
        let one = NOON + HOUR;
        let mut morning = told(&mut desk, one);
        morning.sort();
        assert_eq!(
            morning,
            [(Kind::MalwareHeld, Phase::Raised, 2), (Kind::SignaturesOld, Phase::Raised, 1)],
            "what was over by itself is not told"
        );
    }

    #[test]
    fn an_hour_bears_only_so_many() {
        let mut desk = desk(|config| {
            config.per_hour_max = 3;
            config.group_seconds = 1;
        });
        let mut sent = 0;
        for second in 0..3600 {
            desk.happened(NOON + second * SECOND, Kind::MalwareHeld, format!("{second}"), "");
            sent += desk.due(NOON + second * SECOND).len();
        }
        assert_eq!(sent, 3);
        let alerts = desk.due(NOON + HOUR);
        assert_eq!(alerts.len(), 1);
        assert!(alerts[0].count > 3500, "nothing is forgotten: {}", alerts[0].count);
    }

    #[test]
    fn kinds_that_nobody_wants_and_too_many_subjects() {
        let mut desk = desk(|config| config.kinds = vec![Kind::BackendDown]);
        desk.happened(NOON, Kind::MalwareHeld, "A".into(), "");
        assert_eq!(told(&mut desk, NOON + HOUR), []);
        for route in 0..1000 {
            desk.holds(NOON, Kind::BackendDown, &format!("r{route}"), true, "");
        }
        assert_eq!(desk.active().len(), SUBJECTS_MAX + 1);
    }
}
