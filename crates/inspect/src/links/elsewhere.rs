//! Links that say nothing of where they lead: which they are, and what it takes to ask. Asking needs a network and is the
//! work of `scanners`; what comes back is judged here like any other link.

use super::checks::target;
use super::parse::Link;
use crate::Pending;
use guarita_message::GapReason;
use guarita_rules::{RuleSet, links::HostKind, links::HostKinds};

/// Why a link's end is not known from the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Elsewhere {
    Shortener,
    LinkInBio,
    /// Made like a redirector's, of a host we do not know as one.
    Redirector,
}

/// Where a link led.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Followed {
    /// Every address it went through after the first, the last one last; for a page of links, those on it.
    pub links: Vec<String>,
    /// Why the end is not known, with a line for the operator that holds no part of the link.
    pub gap: Option<(GapReason, String)>,
}

/// A link may carry a token: addresses are for findings, not for logs.
impl std::fmt::Debug for Followed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Followed({} links, {:?})", self.links.len(), self.gap)
    }
}

/// Asks where a link leads. Never fails: what could not be found out is a gap.
pub trait LinkFollower: Send + Sync {
    /// Links of one message that are followed; the rest are a gap.
    fn links_max(&self) -> usize;
    /// Whether this one is followed at all.
    fn follows(&self, url: &str, leads: Option<Elsewhere>) -> bool;
    fn follow<'a>(&'a self, url: &'a str) -> Pending<'a, Followed>;
}

/// Whether the link hides where it leads. One that carries its target in its own text does not: that is read from it.
pub fn leads_elsewhere(url: &str, rules: &RuleSet) -> Option<Elsewhere> {
    let link = Link::parse(url);
    if !matches!(link.scheme.as_str(), "http" | "https") || link.host.is_empty() {
        return None;
    }
    let kinds = if link.ip.is_some() { HostKinds::default() } else { rules.links.kinds_of(&link.host) };
    let somewhere = link.path().len() > 1;
    if kinds.has(HostKind::Shortener) && somewhere {
        Some(Elsewhere::Shortener)
    } else if kinds.has(HostKind::LinkInBio) && somewhere {
        Some(Elsewhere::LinkInBio)
    } else if !kinds.is_any() && target(&link, kinds, &rules.links).redirect.is_none() && looks_like_one(&link) {
        Some(Elsewhere::Redirector)
    } else {
        None
    }
}

const HOST_BYTES_MAX: usize = 8;
const CODE_BYTES: std::ops::RangeInclusive<usize> = 4..=12;
const REDIRECTING_FOLDERS: &[&str] = &["r", "redirect", "redir", "go", "out", "click", "clk", "track", "l", "ls", "ck"];

/// `xy.io/a8Fk2`, `mail.loja.com.br/click/8sk2JxAd93kQ`: a short name and a code, or a folder that only sends on.
fn looks_like_one(link: &Link) -> bool {
    let path = link.path().trim_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let code = |text: &str| {
        text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) && CODE_BYTES.contains(&text.len())
    };
    let mixed = first.bytes().any(|b| b.is_ascii_digit()) || first.bytes().any(|b| b.is_ascii_uppercase());
    let short = link.ip.is_none() && link.sub().is_empty() && link.host.len() <= HOST_BYTES_MAX;
    short && rest.is_empty() && mixed && code(first)
        || REDIRECTING_FOLDERS.contains(&first.to_ascii_lowercase().as_str()) && !rest.is_empty()
}
