//! Names of routes as entries carry them: `sales`, its second backend `sales#2`, and what is stored under a route but not
//! let through, `sales!blocked`.

/// Stands between a route's name and why an entry under it is held.
const HELD: char = '!';
/// Stands between a route's name and the number of a backend other than the first.
pub const BACKEND: char = '#';
/// Why an entry is held that no route wanted.
pub const UNMATCHED: &str = "unmatched";

/// The name of an entry that is held.
pub fn held_route(route: &str, why: &str) -> String {
    format!("{route}{HELD}{why}")
}

/// The route of an entry that may be held.
pub fn base_route(route: &str) -> &str {
    route.split_once(HELD).map_or(route, |(base, _)| base)
}

/// Why an entry is held: `unmatched`, `blocked`, `not_allowed`, `country`, `sender_quota`, `route_quota`.
pub fn held_because(route: &str) -> Option<&str> {
    route.split_once(HELD).map(|(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart_again() {
        let held = held_route("sales#2", "blocked");
        assert_eq!((base_route(&held), held_because(&held)), ("sales#2", Some("blocked")));
        assert_eq!((base_route("sales"), held_because("sales")), ("sales", None));
    }
}
