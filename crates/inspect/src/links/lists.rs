//! Allow and deny lists as the judge asks them: is this host, link or file hash on one?
//!
//! Entries are kept as 64-bit keyed fingerprints in one open table of eight bytes a slot, at most half full: a million
//! entries take 16 MiB, a look-up touches a slot or two for each name it tries. The key is drawn when the table is
//! built, so nobody can craft a name that collides with an allowed one. Knows nothing of files on disk or their age.

use super::parse::Link;
use guarita_message::ContentHash;
use std::hash::{BuildHasher, RandomState};

/// Which way an entry speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListSide {
    Allow,
    Deny,
    /// Denied because it spreads malware; an allow entry does not outweigh it.
    DenyMalware,
}

/// What an entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// A domain and everything below it.
    Domain,
    /// Exactly this host.
    Host,
    /// A host and the beginning of a path, up to a `/`, or a whole link without its scheme.
    UrlPrefix,
    /// SHA-256 of a file, in hex.
    Hash,
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    pub side: ListSide,
    pub kind: ListKind,
    pub value: String,
}

impl ListEntry {
    /// An entry from what people write: a link, a host, a domain, a hash. `None` where it is none of these.
    pub fn read(side: ListSide, written: &str) -> Option<ListEntry> {
        let written = written.trim();
        let entry = |kind, value: &str| Some(ListEntry { side, kind, value: value.to_owned() });
        if written.len() == 64 && written.bytes().all(|b| b.is_ascii_hexdigit()) {
            return entry(ListKind::Hash, &written.to_ascii_lowercase());
        }
        let (kind, rest) = match written.split_once(char::is_whitespace) {
            Some(("domain", rest)) => (Some(ListKind::Domain), rest.trim()),
            Some(("host", rest)) => (Some(ListKind::Host), rest.trim()),
            Some(("url", rest)) => (Some(ListKind::UrlPrefix), rest.trim()),
            Some(("sha256", rest)) => return Self::read(side, rest).filter(|entry| entry.kind == ListKind::Hash),
            Some(_) => return None,
            None => (None, written),
        };
        let link = Link::parse(rest.trim_start_matches("*.").trim_start_matches('.'));
        let whole = link.ip.is_none() && !link.host.contains('.');
        if !link.web || !link.url_ok || whole || link.host.is_empty() {
            return None;
        }
        let has_path = link.tail.len() > 1;
        let scheme = rest.contains("://");
        match kind {
            Some(ListKind::UrlPrefix) => entry(ListKind::UrlPrefix, &format!("{}{}", link.host, link.tail)),
            None if has_path => entry(ListKind::UrlPrefix, &format!("{}{}", link.host, link.tail)),
            Some(ListKind::Host) => entry(ListKind::Host, &link.host),
            // A link to a site's front page speaks of that host, not of its neighbours below.
            None if scheme || link.ip.is_some() => entry(ListKind::Host, &link.host),
            _ => entry(ListKind::Domain, &link.host),
        }
    }
}

/// What the lists say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListHit {
    #[default]
    Unknown,
    Allowed,
    Denied,
    DeniedMalware,
}

/// More entries than this are refused when a list is built; at that size the table takes 256 MiB.
pub const LIST_ENTRIES_MAX: usize = 16_000_000;
/// Labels of a host and parts of a path that are tried.
const LABELS_MAX: usize = 12;
const PATH_PARTS_MAX: usize = 12;

/// Allow and deny lists, ready to be asked. Cheap to share behind an `Arc`; replaced whole on a reload.
pub struct Lists {
    key: RandomState,
    /// Fingerprint with the side in its two lowest bits; 0 is an empty slot.
    slots: Vec<u64>,
    entries: usize,
    has_prefixes: bool,
}

impl std::fmt::Debug for Lists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lists({} entries)", self.entries)
    }
}

impl Default for Lists {
    fn default() -> Self {
        ListBuilder::default().build()
    }
}

/// Gathers entries for [`Lists`]; holds fingerprints, not names.
pub struct ListBuilder {
    key: RandomState,
    found: Vec<u64>,
    has_prefixes: bool,
}

impl Default for ListBuilder {
    fn default() -> Self {
        ListBuilder { key: RandomState::new(), found: Vec::new(), has_prefixes: false }
    }
}

impl ListBuilder {
    /// Takes an entry; `false` once [`LIST_ENTRIES_MAX`] are held.
    pub fn add(&mut self, entry: &ListEntry) -> bool {
        if self.found.len() >= LIST_ENTRIES_MAX {
            return false;
        }
        self.has_prefixes |= entry.kind == ListKind::UrlPrefix;
        self.found.push(fingerprint(&self.key, entry.kind, &entry.value) | side_bits(entry.side));
        true
    }

    pub fn build(self) -> Lists {
        let mut found = self.found;
        found.sort_unstable();
        found.dedup();
        let mut slots = vec![0; (found.len() * 2).next_power_of_two().max(2)];
        let mask = slots.len() - 1;
        for entry in &found {
            let mut at = slot_of(*entry, mask);
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = *entry;
        }
        Lists { key: self.key, slots, entries: found.len(), has_prefixes: self.has_prefixes }
    }
}

impl Lists {
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Bytes the table takes.
    pub fn bytes(&self) -> usize {
        self.slots.len() * size_of::<u64>()
    }

    /// What the lists say of a link.
    pub fn look_up_url(&self, url: &str) -> ListHit {
        let link = Link::parse(url);
        self.look_up_link(&link.host, &link.tail)
    }

    /// What the lists say of a file.
    pub fn look_up_hash(&self, hash: &ContentHash) -> ListHit {
        hit_of(self.sides(ListKind::Hash, &hash.to_string()))
    }

    pub(super) fn look_up_link(&self, host: &str, tail: &str) -> ListHit {
        if self.entries == 0 || host.is_empty() {
            return ListHit::Unknown;
        }
        let mut sides = self.sides(ListKind::Host, host);
        let mut rest = Some(host);
        for _ in 0..LABELS_MAX {
            let Some(name) = rest else { break };
            sides |= self.sides(ListKind::Domain, name);
            rest = name.split_once('.').map(|(_, parent)| parent);
        }
        if self.has_prefixes && tail.len() > 1 {
            let whole = format!("{host}{tail}");
            sides |= self.sides(ListKind::UrlPrefix, &whole);
            let path_end = tail.find(['?', '#']).unwrap_or(tail.len());
            let slashes = tail[1..path_end].match_indices('/').map(|(at, _)| at + 1).chain([path_end]);
            for end in slashes.take(PATH_PARTS_MAX) {
                sides |= self.sides(ListKind::UrlPrefix, &whole[..host.len() + end]);
                if let Some(with_slash) = whole.get(..host.len() + end + 1).filter(|with| with.ends_with('/')) {
                    sides |= self.sides(ListKind::UrlPrefix, with_slash);
                }
            }
        }
        hit_of(sides)
    }

    /// Sides of the entries that name exactly this, as bits.
    fn sides(&self, kind: ListKind, value: &str) -> u8 {
        let print = fingerprint(&self.key, kind, value);
        let mask = self.slots.len() - 1;
        let mut at = slot_of(print, mask);
        let mut sides = 0;
        while self.slots[at] != 0 {
            if self.slots[at] & !3 == print {
                sides |= 1 << (self.slots[at] & 3);
            }
            at = (at + 1) & mask;
        }
        sides
    }
}

fn side_bits(side: ListSide) -> u64 {
    match side {
        ListSide::Allow => 1,
        ListSide::Deny => 2,
        ListSide::DenyMalware => 3,
    }
}

/// Malware outweighs an allow entry, an allow entry outweighs a deny entry.
fn hit_of(sides: u8) -> ListHit {
    match sides {
        _ if sides & 0b1000 != 0 => ListHit::DeniedMalware,
        _ if sides & 0b0010 != 0 => ListHit::Allowed,
        _ if sides & 0b0100 != 0 => ListHit::Denied,
        _ => ListHit::Unknown,
    }
}

fn fingerprint(key: &RandomState, kind: ListKind, value: &str) -> u64 {
    // Never zero, which means empty.
    key.hash_one((kind, value)) & !3 | 1 << 63
}

/// The side's bits stay out of it, so that all sides of a name share a run of slots.
fn slot_of(print: u64, mask: usize) -> usize {
    (print >> 2) as usize & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(entries: &[(ListSide, &str)]) -> Lists {
        let mut builder = ListBuilder::default();
        for (side, written) in entries {
            assert!(builder.add(&ListEntry::read(*side, written).unwrap()), "{written}");
        }
        builder.build()
    }

    #[test]
    fn a_link_is_found_by_domain_host_and_prefix() {
        let lists = lists(&[
            (ListSide::Deny, "evil.example.com"),
            (ListSide::Deny, "host only.example.com"),
            (ListSide::Deny, "https://shared.example.net/~bad/"),
            (ListSide::DenyMalware, "http://198.51.100.7/a.exe"),
            (ListSide::Allow, "good.example.org"),
            (ListSide::Deny, "url exact.example.org/x?y=1"),
        ]);
        let check = |url: &str, expect: ListHit| assert_eq!(lists.look_up_url(url), expect, "{url}");
        check("https://evil.example.com/", ListHit::Denied);
        check("https://a.b.evil.example.com/x", ListHit::Denied);
        check("https://notevil.example.com/", ListHit::Unknown);
        check("https://only.example.com", ListHit::Denied);
        check("https://a.only.example.com", ListHit::Unknown);
        check("http://shared.example.net/~bad/login?x", ListHit::Denied);
        check("http://shared.example.net/~bad", ListHit::Unknown);
        check("http://shared.example.net/~badder/", ListHit::Unknown);
        check("http://198.51.100.7/a.exe", ListHit::DeniedMalware);
        check("http://198.51.100.7/b.exe", ListHit::Unknown);
        check("good.example.org/x", ListHit::Allowed);
        check("http://exact.example.org/x?y=1", ListHit::Denied);
    }

    #[test]
    fn malware_outweighs_allow_and_allow_outweighs_deny() {
        let lists = lists(&[
            (ListSide::Allow, "a.example.com"),
            (ListSide::Deny, "a.example.com"),
            (ListSide::Allow, "b.example.com"),
            (ListSide::DenyMalware, "b.example.com"),
        ]);
        assert_eq!(lists.look_up_url("http://a.example.com"), ListHit::Allowed);
        assert_eq!(lists.look_up_url("http://b.example.com"), ListHit::DeniedMalware);
    }

    #[test]
    fn file_hashes_are_looked_up() {
        let hex = "0f".repeat(32);
        let lists = lists(&[(ListSide::Deny, &hex)]);
        assert_eq!(lists.look_up_hash(&hex.parse().unwrap()), ListHit::Denied);
        assert_eq!(lists.look_up_hash(&"00".repeat(32).parse().unwrap()), ListHit::Unknown);
    }

    #[test]
    fn empty_lists_know_nothing() {
        assert_eq!(Lists::default().look_up_url("http://example.com/a/b"), ListHit::Unknown);
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for written in ["", "localhost", "two words here", "javascript:alert(1)", "sha256 xyz"] {
            assert_eq!(ListEntry::read(ListSide::Deny, written), None, "{written}");
        }
    }
}
