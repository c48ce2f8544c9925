//! Which route a unit belongs to: the first whose every wish fits, found without asking all of them.
//!
//! Pure. Routes of one path are held apart by the proof they ask for (the app secret that signed, the bot's secret token),
//! so that who knows one tenant's secret can never post into another tenant's route. Within that, routes that name an
//! account or an entry are found by hash; only those that name neither are asked one after the other.

use crate::limits::{Limits, RouteLimits};
use guarita_message::{BACKEND, Channel, UNMATCHED, base_route, held_route};
use guarita_webhook::{SplitBy, Unit};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

/// App secrets on one path: each that does not fit costs a hash of the body, and anybody may send a body.
pub const APPS_PER_PATH_MAX: usize = 16;
/// Stands between a route's name and its keys.
const SCOPE: char = '\u{1f}';

/// How a delivery shows that it is what it says.
#[derive(Clone, PartialEq)]
pub enum Proof {
    /// Key of `X-Hub-Signature-256`.
    AppSecret(String),
    /// Value of `X-Telegram-Bot-Api-Secret-Token`.
    TelegramToken(String),
}

/// What a route asks of a unit. An empty list asks for nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    pub object: Vec<String>,
    /// `phone_number_id`; a page's or Instagram account's id does as well.
    pub account: Vec<String>,
    /// WhatsApp's business account, the page, the Instagram account.
    pub entry_id: Vec<String>,
    pub field: Vec<String>,
}

/// One route as the door knows it.
#[derive(Clone)]
pub struct Route {
    pub name: String,
    pub path: String,
    pub proof: Proof,
    /// Empty: no handshake (Telegram has none).
    pub verify_token: String,
    pub wishes: Wishes,
    pub split: SplitBy,
    /// Each backend has entries of its own: the first under the route's name, the others as `name#2` and so on.
    pub backends: usize,
    /// Whether keys carry the route's name. The only route of a configuration without routes keeps them bare.
    pub scoped: bool,
    /// The account of updates that name none (Telegram's bot).
    pub account: String,
    pub limits: Limits,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Two routes that cannot live together; the operator's to mend.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TableError {
    #[error("`{later}` can never match: `{earlier}`, which stands before it, takes all of it")]
    Unreachable { earlier: String, later: String },
    #[error("more than {APPS_PER_PATH_MAX} app secrets on the path `{path}`")]
    TooManyApps { path: String, route: String },
}

/// A route in the table.
pub struct Placed {
    /// Names of its entries, the primary backend's first.
    pub(crate) entries: Vec<String>,
    pub(crate) scoped: bool,
    pub(crate) account: String,
    pub(crate) split: SplitBy,
    pub(crate) limits: RouteLimits,
    wishes: Wishes,
}

/// Every route of the door; replaced whole on a reload.
#[derive(Default)]
pub struct Table {
    paths: HashMap<String, PathTable>,
}

#[derive(Default)]
pub(crate) struct PathTable {
    pub(crate) verify_tokens: BTreeSet<String>,
    /// Tried in order.
    pub(crate) apps: Vec<(String, App)>,
    /// By the digest of the token, so that many bots cost no more than one, and time tells nothing.
    bots: HashMap<[u8; 32], App>,
}

/// The routes behind one proof.
#[derive(Default)]
pub(crate) struct App {
    routes: Vec<Arc<Placed>>,
    by_account: HashMap<String, Vec<usize>>,
    by_entry: HashMap<String, Vec<usize>>,
    others: Vec<usize>,
}

impl Table {
    pub fn build(routes: Vec<Route>) -> Result<Table, TableError> {
        let mut table = Table::default();
        for route in routes {
            let path = table.paths.entry(route.path.clone()).or_default();
            if !route.verify_token.is_empty() {
                path.verify_tokens.insert(route.verify_token.clone());
            }
            let app = match &route.proof {
                Proof::TelegramToken(token) => path.bots.entry(Sha256::digest(token).into()).or_default(),
                Proof::AppSecret(secret) => {
                    let known = path.apps.iter().position(|(known, _)| known == secret);
                    if known.is_none() && path.apps.len() == APPS_PER_PATH_MAX {
                        return Err(TableError::TooManyApps { path: route.path, route: route.name });
                    }
                    let at = known.unwrap_or(path.apps.len());
                    if known.is_none() {
                        path.apps.push((secret.clone(), App::default()));
                    }
                    &mut path.apps[at].1
                }
            };
            app.add(route)?;
        }
        Ok(table)
    }

    pub(crate) fn path(&self, path: &str) -> Option<&PathTable> {
        self.paths.get(path)
    }

    /// Where a held entry would go now that the table may have changed: `held` is the name it is stored under, `body` what
    /// it holds. `None`: still nowhere.
    pub fn reroute(&self, held: &str, body: &[u8]) -> Option<String> {
        let base = base_route(held);
        let app = self.apps().find(|app| app.routes.iter().any(|route| route.entries[0] == base))?;
        let units = guarita_webhook::split(body, SplitBy::Conversation).ok()?;
        app.find(units.first()?)?.entries.first().cloned()
    }

    /// Who would take a unit that came in by any path, under any of the apps: for showing.
    pub fn takers(&self, unit: &Unit) -> Vec<String> {
        let mut names: Vec<String> = self.apps().filter_map(|app| Some(app.find(unit)?.entries[0].clone())).collect();
        names.sort();
        names.dedup();
        names
    }

    fn apps(&self) -> impl Iterator<Item = &App> {
        self.paths.values().flat_map(|path| path.apps.iter().map(|(_, app)| app).chain(path.bots.values()))
    }
}

impl PathTable {
    pub(crate) fn bot(&self, token: &str) -> Option<&App> {
        self.bots.get(&<[u8; 32]>::from(Sha256::digest(token)))
    }
}

impl App {
    fn add(&mut self, route: Route) -> Result<(), TableError> {
        let number = self.routes.len();
        let fits = |earlier: &[String], later: &[String]| {
            earlier.is_empty() || !later.is_empty() && later.iter().all(|one| earlier.contains(one))
        };
        // Only routes that share a name with this one, or name none, can stand in its way.
        let rivals = [(&self.by_account, &route.wishes.account), (&self.by_entry, &route.wishes.entry_id)];
        let rivals = rivals.iter().flat_map(|(known, names)| names.iter().filter_map(|name| known.get(name)).flatten());
        for at in rivals.chain(&self.others) {
            let earlier = &self.routes[*at];
            let (before, after) = (&earlier.wishes, &route.wishes);
            if fits(&before.object, &after.object)
                && fits(&before.account, &after.account)
                && fits(&before.entry_id, &after.entry_id)
                && fits(&before.field, &after.field)
            {
                let earlier = earlier.entries[0].clone();
                return Err(TableError::Unreachable { earlier, later: route.name });
            }
        }
        if !route.wishes.account.is_empty() {
            for name in &route.wishes.account {
                self.by_account.entry(name.clone()).or_default().push(number);
            }
        } else if !route.wishes.entry_id.is_empty() {
            for name in &route.wishes.entry_id {
                self.by_entry.entry(name.clone()).or_default().push(number);
            }
        } else {
            self.others.push(number);
        }
        let further = (2..=route.backends).map(|backend| format!("{}{BACKEND}{backend}", route.name));
        self.routes.push(Arc::new(Placed {
            entries: [route.name.clone()].into_iter().chain(further).collect(),
            scoped: route.scoped,
            account: route.account,
            split: route.split,
            limits: RouteLimits::compile(&route.limits),
            wishes: route.wishes,
        }));
        Ok(())
    }

    /// The first route that wants the unit.
    pub(crate) fn find(&self, unit: &Unit) -> Option<&Arc<Placed>> {
        let none = Vec::new();
        let lists = [
            self.by_account.get(&unit.account).unwrap_or(&none),
            self.by_entry.get(&unit.entry_id).unwrap_or(&none),
            &self.others,
        ];
        let firsts = lists.iter().filter_map(|list| list.iter().find(|at| self.routes[**at].wants(unit)));
        firsts.min().map(|at| &self.routes[*at])
    }

    /// How finely a POST must be cut for these routes.
    pub(crate) fn splits(&self) -> (bool, bool) {
        let has = |by| self.routes.iter().any(|route| route.split == by);
        (has(SplitBy::Message), has(SplitBy::Conversation))
    }

    /// The name that entries nobody wants are parked under.
    pub(crate) fn parked(&self) -> String {
        held_route(self.routes.first().map_or("", |route| route.entries[0].as_str()), UNMATCHED)
    }
}

impl Placed {
    fn wants(&self, unit: &Unit) -> bool {
        let fits = |wish: &[String], value: &str| wish.is_empty() || wish.iter().any(|one| one == value);
        let object = if unit.channel == Some(Channel::Telegram) { "telegram" } else { &unit.object };
        fits(&self.wishes.object, object)
            && fits(&self.wishes.account, &unit.account)
            && fits(&self.wishes.entry_id, &unit.entry_id)
            && fits(&self.wishes.field, &unit.field)
    }
}

/// A key of an entry under `route`.
pub(crate) fn scoped(route: &str, key: &str) -> String {
    format!("{route}{SCOPE}{key}")
}

/// The key without its route.
pub(crate) fn bare(key: &str) -> &str {
    key.split_once(SCOPE).map_or(key, |(_, bare)| bare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn route(name: &str, secret: &str, wishes: Wishes) -> Route {
        Route {
            name: name.into(),
            path: "/webhook".into(),
            proof: Proof::AppSecret(secret.into()),
            verify_token: "v".into(),
            wishes,
            split: SplitBy::Message,
            backends: 1,
            scoped: true,
            account: String::new(),
            limits: Limits::default(),
        }
    }

    fn number(id: &str) -> Wishes {
        Wishes { account: vec![id.into()], ..Wishes::default() }
    }

    fn unit(object: &str, entry: &str, phone: &str, field: &str) -> Unit {
        let value = json!({"metadata": {"phone_number_id": phone}, "messages": [{"id": "m", "from": "1"}]});
        let body = json!({"object": object, "entry": [{"id": entry, "changes": [{"field": field, "value": value}]}]});
        guarita_webhook::split(body.to_string().as_bytes(), SplitBy::Message).unwrap().remove(0)
    }

    fn found(table: &Table, app: usize, unit: &Unit) -> String {
        let app = &table.path("/webhook").unwrap().apps[app].1;
        app.find(unit).map_or("-".into(), |placed| placed.entries[0].clone())
    }

    const WABA: &str = "whatsapp_business_account";

    #[test]
    fn the_first_that_fits_wins() {
        let field = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let table = Table::build(vec![
            route("echoes", "a", Wishes { field: field(&["smb_message_echoes"]), ..Wishes::default() }),
            route("one", "a", number("1")),
            route("two", "a", Wishes { account: vec!["2".into(), "3".into()], ..Wishes::default() }),
            route("waba", "a", Wishes { entry_id: vec!["20".into()], ..Wishes::default() }),
            route("late", "a", number("4")),
            route("rest", "a", Wishes { object: vec![WABA.into()], ..Wishes::default() }),
            route("other", "b", number("1")),
        ])
        .unwrap();
        for (app, unit, expect) in [
            (0, unit(WABA, "10", "1", "messages"), "one"),
            (0, unit(WABA, "10", "1", "smb_message_echoes"), "echoes"),
            (0, unit(WABA, "10", "3", "messages"), "two"),
            (0, unit(WABA, "20", "9", "messages"), "waba"),
            (0, unit(WABA, "20", "1", "messages"), "one"),
            (0, unit(WABA, "20", "4", "messages"), "waba"),
            (0, unit(WABA, "10", "4", "messages"), "late"),
            (0, unit(WABA, "10", "9", "messages"), "rest"),
            (0, unit("page", "10", "9", "messages"), "-"),
            // Another app's secret opens another app's routes alone.
            (1, unit(WABA, "10", "1", "messages"), "other"),
            (1, unit(WABA, "10", "2", "messages"), "-"),
        ] {
            assert_eq!(found(&table, app, &unit), expect, "{app} {unit:?}");
        }
    }

    #[test]
    fn routes_that_nothing_reaches_are_mistakes() {
        let check = |first: Wishes, second: Wishes, bad: bool| {
            let table = Table::build(vec![route("a", "s", first), route("b", "s", second)]);
            assert_eq!(table.is_err(), bad);
        };
        let both = |account: &str, field: &str| Wishes { field: vec![field.into()], ..number(account) };
        check(number("1"), number("1"), true);
        check(Wishes::default(), number("1"), true);
        check(number("1"), both("1", "messages"), true);
        check(number("1"), number("2"), false);
        check(both("1", "messages"), number("1"), false);
        check(number("1"), Wishes::default(), false);
        let apart = vec![route("a", "s", number("1")), route("b", "t", number("1"))];
        assert!(Table::build(apart).is_ok(), "another app");
        let many = (0..=APPS_PER_PATH_MAX).map(|n| route(&n.to_string(), &n.to_string(), Wishes::default()));
        assert!(matches!(Table::build(many.collect()), Err(TableError::TooManyApps { .. })));
    }

    /// A bound that a scan of a thousand routes would break many times over.
    #[test]
    fn a_thousand_routes_cost_no_more_than_one() {
        let time = |routes: usize| {
            let routes = (0..routes).map(|n| route(&format!("r{n}"), "s", number(&format!("10{n:05}"))));
            let table = Table::build(routes.collect()).unwrap();
            let unit = unit(WABA, "1", "1000000", "messages");
            let app = &table.path("/webhook").unwrap().apps[0].1;
            let best = (0..20).map(|_| {
                let start = std::time::Instant::now();
                (0..2000).for_each(|_| assert!(std::hint::black_box(app.find(std::hint::black_box(&unit))).is_some()));
                start.elapsed()
            });
            best.min().unwrap()
        };
        let (one, thousand) = (time(1), time(1000));
        assert!(thousand < one * 20 + std::time::Duration::from_millis(5), "{one:?} {thousand:?}");
    }

    #[test]
    fn a_parked_entry_finds_the_route_that_came_later() {
        let body = json!({"object": WABA, "entry": [{"id": "1", "changes": [{"field": "messages",
            "value": {"metadata": {"phone_number_id": "7"}, "messages": [{"id": "m", "from": "1"}]}}]}]})
        .to_string();
        let before = Table::build(vec![route("a", "s", number("1")), route("x", "t", number("7"))]).unwrap();
        let parked = before.path("/webhook").unwrap().apps[0].1.parked();
        assert_eq!(parked, "a!unmatched");
        assert_eq!(before.reroute(&parked, body.as_bytes()), None, "another app's route is none of its business");
        let after = Table::build(vec![route("a", "s", number("1")), route("b", "s", number("7"))]).unwrap();
        assert_eq!(after.reroute(&parked, body.as_bytes()).as_deref(), Some("b"));
    }

    #[test]
    fn scopes_come_off_again() {
        assert_eq!(bare(&scoped("sales#2", "whatsapp|message|1|x")), "whatsapp|message|1|x");
        assert_eq!(bare("whatsapp|x"), "whatsapp|x");
    }
}
