//! How long content is kept: what is said for all, and what routes say for themselves. Knows no clock and no disk.

use crate::Millis;
use guarita_message::{BACKEND, base_route};
use std::collections::{BTreeMap, BTreeSet};

/// How long the content of finished entries is kept, counted from their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    pub content: Millis,
    /// The same for what is quarantined.
    pub quarantine: Millis,
}

const DAY_MILLIS: u64 = 24 * 3600 * 1000;

impl Keep {
    pub fn days(retention: u64, quarantine: u64) -> Keep {
        let millis = |days: u64| days.saturating_mul(DAY_MILLIS);
        Keep { content: millis(retention), quarantine: millis(quarantine) }
    }

    pub fn of(&self, quarantined: bool) -> Millis {
        if quarantined { self.quarantine } else { self.content }
    }
}

/// What [`crate::Spool::sweep`] goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For every entry whose route says nothing, or is gone.
    pub common: Keep,
    /// By plain names of routes.
    pub routes: BTreeMap<String, Keep>,
}

impl Retention {
    pub fn common(common: Keep) -> Self {
        Retention { common, routes: BTreeMap::new() }
    }

    /// What holds for an entry stored under this name: the route's own (`sales`), that of a further backend (`sales#2`) or
    /// of one held (`sales!blocked`).
    pub fn of(&self, stored_route: &str) -> Keep {
        let base = base_route(stored_route);
        let plain = base.split_once(BACKEND).map_or(base, |(plain, _)| plain);
        self.routes.get(plain).copied().unwrap_or(self.common)
    }

    /// The longest that any content may be kept.
    pub fn longest(&self) -> Millis {
        self.all().map(|keep| keep.content.max(keep.quarantine)).max().unwrap_or(0)
    }

    /// Every length that holds for some entry, each once.
    pub(crate) fn lengths(&self, quarantined: bool) -> BTreeSet<Millis> {
        self.all().map(|keep| keep.of(quarantined)).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Keep> {
        self.routes.values().chain([&self.common])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_route_has_its_retention() {
        let own = Keep::days(1, 2);
        let retention =
            Retention { routes: BTreeMap::from([("sales".to_owned(), own)]), ..Retention::common(Keep::days(7, 30)) };
        for name in ["sales", "sales#2", "sales!blocked", "sales#3!sender_quota"] {
            assert_eq!(retention.of(name), own, "{name}");
        }
        for name in ["sales-br", "default", "", "gone!unmatched"] {
            assert_eq!(retention.of(name), retention.common, "{name}");
        }
        assert_eq!(retention.longest(), 30 * DAY_MILLIS);
        assert_eq!(retention.lengths(false), BTreeSet::from([DAY_MILLIS, 7 * DAY_MILLIS]));
        assert_eq!(Keep::days(u64::MAX, 1).content, u64::MAX, "as good as for ever");
    }
}
