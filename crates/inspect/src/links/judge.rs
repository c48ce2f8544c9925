//! Judging one link: facts from the other modules become findings of the rules that give them meaning.
//!
//! Pure: bytes, rules and lists in, an inspection out. What a finding leads to is policy's business.

use super::brands::{Borrowed, Borrowing, BrandSigns, brand_signs, lures_in};
use super::checks::{self, Target, target};
use super::features::{CHANNELS, FEATURE_COUNT, features, grams, shared_host};
use super::lists::{ListHit, Lists};
use super::parse::Link;
use super::score::{GramSums, score, strongest_reasons};
use guarita_message::{Category, Finding, Inspection, Severity, Subject};
use guarita_rules::{RuleSet, links::HostKind, links::HostKinds};

/// What is known of the message around a link.
#[derive(Clone, Debug, Default)]
pub struct LinkContext {
    /// It stood in a text (and so has a span to defang), not in a field of its own.
    pub in_text: bool,
    /// The conversation's first message.
    pub first_contact: bool,
    /// What the reader sees instead of the link, where the text is markup ([`super::FoundLink::shown`]).
    pub shown: Option<String>,
    /// Left to rules and lists alone: the learned score is most of what a link costs, and no person sends a thousand.
    pub unscored: bool,
}

/// Redirects inside redirects are followed so far, by reading, not by asking.
const REDIRECT_DEPTH_MAX: usize = 2;
const REASONS_MAX: usize = 3;
/// How high a link may stand for leading to a program alone.
const PROGRAM_SCORE_MAX: f32 = 0.86;
/// What the learned score may reach on an official domain where only the brand itself writes.
const OFFICIAL_SCORE_MAX: f32 = 0.3;

/// Looks at one link. `place` and `span` say where in the message it stood; they go into the findings as they are.
pub fn inspect_link(
    url: &str,
    place: &str,
    span: Option<(usize, usize)>,
    context: &LinkContext,
    rules: &RuleSet,
    lists: Option<&Lists>,
) -> Inspection {
    let mut judge = Judge { place, span, rules, lists, findings: Vec::new(), score: 0.0, unscored: context.unscored };
    judge.link(url, 0);
    if let Some(shown) = &context.shown {
        judge.compare_with_shown(url, shown);
    }
    Inspection { score: blended(judge.score, &judge.findings), findings: judge.findings, ..Inspection::default() }
}

/// The learned score within the band that the worst finding sets, so that two links of one severity still have an order.
fn blended(learned: f32, findings: &[Finding]) -> f32 {
    let worst = |severity| findings.iter().filter(move |f| !f.shadow && f.severity == severity).map(|f| f.category);
    let (floor, ceiling) = if worst(Severity::Critical).next().is_some() {
        (0.95, 1.0)
    } else if worst(Severity::High).any(|category| category != Category::ExecutableLink) {
        (0.85, 1.0)
    } else if worst(Severity::High).next().is_some() {
        // A program is worth a stop wherever it lies, but says little of fraud: where nothing else is wrong with its link,
        // it stands below what does.
        let floor = if worst(Severity::Medium).next().is_some() { 0.5 } else { 0.4 };
        (floor, PROGRAM_SCORE_MAX)
    } else if worst(Severity::Medium).next().is_some() {
        (0.5, 1.0)
    } else {
        return learned;
    };
    learned.max(floor + (ceiling - floor) * learned)
}

struct Judge<'a> {
    place: &'a str,
    span: Option<(usize, usize)>,
    rules: &'a RuleSet,
    lists: Option<&'a Lists>,
    findings: Vec<Finding>,
    score: f32,
    unscored: bool,
}

impl Judge<'_> {
    fn find(&mut self, rule: &str, evidence: &str) {
        let mut finding = self.rules.finding(rule, Subject::Link, self.place, evidence);
        finding.span = self.span;
        if !self.findings.iter().any(|known| known.rule == finding.rule && known.evidence == finding.evidence) {
            self.findings.push(finding);
        }
    }

    fn link(&mut self, url: &str, depth: usize) {
        let link = Link::parse(url);
        let listed = self.lists.map(|lists| lists.look_up_link(&link.host, &link.tail)).unwrap_or_default();
        let before = self.findings.len();
        if link.web {
            self.web(&link, depth)
        } else {
            self.other_scheme(&link)
        }
        match listed {
            ListHit::Denied => self.find("links/deny-list", &link.shown()),
            ListHit::DeniedMalware => self.find("links/deny-list-malware", &link.shown()),
            ListHit::Allowed => self.silence(before),
            ListHit::Unknown => {}
        }
    }

    /// An allow list speaks for a site's good name; it does not make a program harmless.
    fn silence(&mut self, from: usize) {
        let mut at = 0;
        self.findings.retain(|finding| {
            at += 1;
            at <= from
                || matches!(finding.category, Category::ExecutableLink | Category::UnofficialApp | Category::Malware)
        });
        self.score = 0.0;
    }

    fn web(&mut self, link: &Link, depth: usize) {
        let rules = &self.rules.links;
        let kinds = if link.ip.is_some() { HostKinds::default() } else { rules.kinds_of(&link.host) };
        let lure_in_path = lures_in(rules, &super::find::cut(&link.tail, 256).to_ascii_lowercase()) > 0;
        let signs = brand_signs(link, kinds, rules, lure_in_path);
        let target = target(link, kinds, rules);
        self.host(link, kinds);
        self.brand(link, kinds, &signs);
        self.leads_to(link, &target, &signs);
        self.learned(link, kinds, &signs, &target);
        if let Some(inner) = &target.redirect {
            if signs.official.is_none() && !kinds.has(HostKind::WellKnown) {
                self.find("links/open-redirect", &format!("{} › {}", link.host, Link::parse(inner).host));
            }
            if depth < REDIRECT_DEPTH_MAX {
                self.link(inner, depth + 1);
            }
        }
    }

    fn other_scheme(&mut self, link: &Link) {
        match link.scheme.as_str() {
            "javascript" | "vbscript" => self.find("links/script-scheme", &link.shown()),
            "data" | "blob" => self.find("links/data-scheme", &super::find::cut(&link.shown(), 60).replace(',', "…")),
            "intent" => self.find("links/intent-scheme", &link.shown()),
            "itms-services" | "ms-appinstaller" | "search-ms" | "file" | "smb" => {
                self.find("links/installer-scheme", &link.shown())
            }
            "tel" | "sms" => {
                let number = checks::number_of(link);
                let prefixes = self.rules.links.words.get("premium_numbers");
                let national = number.strip_prefix("+55").unwrap_or(&number);
                let premium =
                    prefixes.is_some_and(|list| list.iter().any(|p| number.starts_with(p) || national.starts_with(p)));
                self.find(if premium { "links/premium-number" } else { "links/phone-number" }, &number);
            }
            _ => {}
        }
        if checks::links_a_device(link) {
            self.find("links/device-link", &link.shown());
        }
    }

    fn host(&mut self, link: &Link, kinds: HostKinds) {
        let shown = link.shown();
        if !link.user.is_empty() {
            // A name that reads as a site is put there to be believed.
            let posing = super::parse::unescaped(&link.user);
            let posing = posing
                .split(':')
                .next()
                .is_some_and(|user| user.contains('.') && psl::domain(user.as_bytes()).is_some());
            self.find(if posing { "links/posing-user" } else { "links/user-info" }, &shown);
        }
        if checks::is_disguised_host(link) {
            self.find("links/disguised-host", &format!("{} = {}", link.raw_host, link.host));
        } else if let Some(ip) = link.ip {
            self.find(if checks::is_inside(ip) { "links/private-host" } else { "links/ip-host" }, &shown);
        }
        if link.unicode.is_some() {
            self.find(
                if checks::mixes_scripts(link) { "links/mixed-scripts" } else { "links/international-host" },
                &shown,
            );
        }
        if link.port.is_some_and(|port| !matches!(port, 80 | 443 | 8080 | 8443)) {
            self.find("links/odd-port", &format!("{}:{}", link.host, link.port.unwrap_or_default()));
        }
        for (kind, rule) in [
            (HostKind::Shortener, "links/shortener"),
            (HostKind::LinkInBio, "links/link-in-bio"),
            (HostKind::DynamicDns, "links/dynamic-dns"),
            (HostKind::Tunnel, "links/tunnel"),
            (HostKind::FreeHosting, "links/free-hosting"),
            (HostKind::Storage, "links/storage"),
        ] {
            if kinds.has(kind) {
                self.find(rule, &link.host);
            }
        }
    }

    fn brand(&mut self, link: &Link, kinds: HostKinds, signs: &BrandSigns<'_>) {
        if signs.official.is_some() {
            return;
        }
        if let Some(borrowed) = &signs.borrowed {
            let rule = self.rule_for(link, kinds, borrowed);
            self.find(rule, &format!("{} ≠ {}", link.unicode.as_deref().unwrap_or(&link.host), borrowed.brand.name));
        } else if let Some(brand) = signs.in_path
            && !kinds.has(HostKind::WellKnown)
        {
            let pages = shared_host(kinds) || kinds.has(HostKind::PersonalPages);
            if signs.domain_in_path {
                self.find("links/brand-in-path", &format!("{} ≠ {}", link.shown(), brand.name));
            } else if pages {
                self.find("links/brand-on-free-page", &format!("{} ≠ {}", link.shown(), brand.name));
            }
        }
    }

    fn rule_for(&self, link: &Link, kinds: HostKinds, borrowed: &Borrowed<'_>) -> &'static str {
        let rules = &self.rules.links;
        let cheap = rules.is_word("cheap_suffixes", link.suffix()) || rules.is_word("cheap_suffixes", link.top());
        let shared = shared_host(kinds) || link.suffix_private;
        let lure = borrowed.how == Borrowing::WithLure;
        let strong = match borrowed.how {
            Borrowing::Homoglyph | Borrowing::OfficialInFront => true,
            Borrowing::OtherSuffix => cheap || lure,
            Borrowing::Misspelt => cheap || shared,
            Borrowing::WithLure => borrowed.whole || cheap || shared,
            Borrowing::InHost => borrowed.whole && (cheap || shared),
        };
        if borrowed.brand.name == "WhatsApp" && strong {
            return "links/whatsapp-pretender";
        }
        match (borrowed.how, strong) {
            (Borrowing::Homoglyph, _) => "links/lookalike-homoglyph",
            (Borrowing::OfficialInFront, _) => "links/official-domain-in-front",
            (Borrowing::OtherSuffix, true) => "links/brand-wrong-suffix",
            (Borrowing::Misspelt, true) => "links/lookalike-misspelt",
            (Borrowing::WithLure | Borrowing::InHost, true) => "links/brand-in-host",
            _ => "links/brand-mentioned",
        }
    }

    fn leads_to(&mut self, link: &Link, target: &Target, signs: &BrandSigns<'_>) {
        if let Some(app) = checks::unofficial_app(link, &self.rules.links) {
            self.find("links/unofficial-app", &format!("{} ({app})", link.shown()));
        } else if let Some(executable) = &target.executable {
            let borrowed = signs.borrowed.as_ref().is_some_and(|b| b.brand.name == "WhatsApp");
            let rule = match (borrowed, executable.from_publisher || signs.official.is_some()) {
                (true, _) => "links/unofficial-app",
                (false, true) => "links/software-download",
                (false, false) => "links/executable-download",
            };
            self.find(rule, &format!("{} ({})", link.host, executable.name));
        }
        if checks::links_a_device(link) {
            self.find("links/device-link", &link.shown());
        }
    }

    fn learned(&mut self, link: &Link, kinds: HostKinds, signs: &BrandSigns<'_>, target: &Target) {
        let Some(model) = self.rules.links.model.as_ref().filter(|_| !self.unscored) else { return };
        let row = row_of(link, kinds, signs, target, self.rules);
        let mut learned = score(model, &row);
        let anyone_writes =
            shared_host(kinds) || [HostKind::Forms, HostKind::FileShare].iter().any(|kind| kinds.has(*kind));
        if signs.official.is_some() && !anyone_writes {
            learned = learned.min(OFFICIAL_SCORE_MAX);
        }
        self.score = self.score.max(learned);
        // A bad neighbourhood alone makes a page suspect, not fraud: honest beginners live there too.
        let only_its_host =
            shared_host(kinds) && signs.borrowed.is_none() && lures_in(&self.rules.links, link.label()) == 0;
        let rules = &self.rules.links.learned;
        let mut speaks = rules.iter().find(|(_, least)| learned >= *least);
        if speaks.is_some() && only_its_host {
            speaks = rules.last();
        }
        // A short link's own letters were drawn by lot: they order it, and accuse nobody.
        if kinds.has(HostKind::Shortener) {
            speaks = None;
        }
        if let Some((rule, _)) = speaks {
            let reasons: Vec<&str> = strongest_reasons(model, &row, FEATURE_COUNT)
                .into_iter()
                .filter_map(|feature| self.rules.links.reasons.get(feature))
                .map(|reason| reason.get(self.rules.language))
                .fold(Vec::new(), |mut kept, reason| {
                    if kept.len() < REASONS_MAX && !kept.contains(&reason) {
                        kept.push(reason);
                    }
                    kept
                });
            let shown = super::find::cut(&link.shown(), 80).to_owned();
            self.find(&rule.clone(), &format!("{shown} · {}", reasons.join(", ")));
        }
    }

    /// `[itau.com.br](http://evil.example)`: the reader is shown one site and sent to another.
    fn compare_with_shown(&mut self, url: &str, shown: &str) {
        let Some(seen) = super::find_links(shown).into_iter().next() else { return };
        let (seen, real) = (Link::parse(&seen.url), Link::parse(url));
        if seen.registrable() != real.registrable() {
            self.find("links/other-link-shown", &format!("{} ≠ {}", seen.host, real.host));
        }
    }
}

/// The row of features that the trees look at.
pub(super) fn row_of(
    link: &Link,
    kinds: HostKinds,
    signs: &BrandSigns<'_>,
    target: &Target,
    rules: &RuleSet,
) -> [f32; FEATURE_COUNT] {
    let sums = match &rules.links.model {
        Some(model) => {
            let mut sums = GramSums::default();
            grams(link, kinds, &rules.links, |channel, hash| sums.add(model, channel, hash));
            sums.finish(model)
        }
        None => [0.0; CHANNELS],
    };
    features(link, kinds, signs, target, &rules.links, &sums)
}

/// What `training/links` learns from: the n-grams' hashes by channel, and the row of features with empty sums.
pub fn learning_input(url: &str, rules: &RuleSet) -> (Vec<(usize, u32)>, Vec<f32>) {
    let link = Link::parse(url);
    let kinds = if link.ip.is_some() { HostKinds::default() } else { rules.links.kinds_of(&link.host) };
    let lure_in_path = lures_in(&rules.links, &super::find::cut(&link.tail, 256).to_ascii_lowercase()) > 0;
    let signs = brand_signs(&link, kinds, &rules.links, lure_in_path);
    let target = target(&link, kinds, &rules.links);
    let mut hashes = Vec::new();
    grams(&link, kinds, &rules.links, |channel, hash| hashes.push((channel, hash)));
    (hashes, features(&link, kinds, &signs, &target, &rules.links, &[0.0; CHANNELS]).to_vec())
}
