//! What rule files of the kind `links` compile to: protected brands, word lists, kinds of hosts, thresholds and the
//! learned weights. Holds and checks data only; `inspect` runs it, and it never sees a link.
//!
//! ```toml
//! [[data.brand]]                         # rules/links/brands.toml, or a file of the operator's own
//! name = "Banco Exemplo"
//! domains = ["exemplo.com.br"]           # official; `exemplo.*` means any country's suffix, not any suffix at all
//! words = ["bancoexemplo"]               # a host outside of `domains` that carries one is suspect
//! weak = ["exemplo"]                     # everyday words: suspect only beside a lure word or on a lure suffix
//!
//! [data.words]                           # lists of words by use: lure, urgent, common, tlds …
//! lure = ["login", "pix"]
//! ```
//!
//! `lists/<kind>.txt` hold hosts, one a line, with `#` comments; the file's name says what kind of host they are.

use crate::quick::{Table, Words};
use crate::{Localised, Rule, RuleError, RuleFile, data::DataFile};
use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

mod model;

pub use model::{CHANNELS, FORM, Fork, LEAVES, LinkModel};

/// What a host is known for. A host may be of several kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostKind {
    /// Anyone gets a subdomain and puts pages there: `vercel.app`, `weebly.com`.
    FreeHosting,
    /// Blogs, project pages and small shops: anyone writes there too, mostly for good reasons.
    PersonalPages,
    /// Names that follow a home connection's address: `duckdns.org`.
    DynamicDns,
    /// Anyone's files under the provider's name: `r2.dev`, `dweb.link`.
    Storage,
    /// A machine at home shown to the world for an hour: `ngrok.io`.
    Tunnel,
    Shortener,
    LinkInBio,
    /// Forms anyone can write under a name everyone trusts: `jotform.com`.
    Forms,
    /// Files anyone can send: `mediafire.com`.
    FileShare,
    /// Where software is published by its makers: `github.com`.
    SoftwareReleases,
    /// Official application stores.
    AppStore,
    /// Sites of long standing that publish their own content.
    WellKnown,
}

impl HostKind {
    /// Kind and name of its list, `lists/<name>.txt`.
    pub const ALL: &'static [(HostKind, &'static str)] = &[
        (HostKind::FreeHosting, "free-hosting"),
        (HostKind::PersonalPages, "personal-pages"),
        (HostKind::DynamicDns, "dynamic-dns"),
        (HostKind::Storage, "storage"),
        (HostKind::Tunnel, "tunnels"),
        (HostKind::Shortener, "shorteners"),
        (HostKind::LinkInBio, "link-in-bio"),
        (HostKind::Forms, "forms"),
        (HostKind::FileShare, "file-sharing"),
        (HostKind::SoftwareReleases, "software-releases"),
        (HostKind::AppStore, "app-stores"),
        (HostKind::WellKnown, "well-known"),
    ];
}

/// The kinds of one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostKinds(u16);

impl HostKinds {
    pub fn has(self, kind: HostKind) -> bool {
        self.0 & (1 << kind as u16) != 0
    }

    fn add(&mut self, kind: HostKind) {
        self.0 |= 1 << kind as u16;
    }

    pub fn union(self, other: HostKinds) -> HostKinds {
        HostKinds(self.0 | other.0)
    }

    pub fn is_any(self) -> bool {
        self.0 != 0
    }
}

/// A name that swindlers borrow.
#[derive(Clone, Debug)]
pub struct Brand {
    pub name: String,
    /// Official hosts and everything below them.
    pub domains: Vec<String>,
    /// Labels that are official under any country's suffix (`amazon.*`).
    pub labels: Vec<String>,
    pub words: Vec<String>,
    pub weak: Vec<String>,
}

/// A brand's word as the searcher finds it.
#[derive(Clone, Copy, Debug)]
pub struct BrandWord {
    pub brand: u16,
    pub weak: bool,
}

/// Compiled rules and data of `rules/links/` and `rules/lists/`.
#[derive(Debug, Default)]
pub struct LinkRules {
    pub brands: Vec<Brand>,
    /// Every official domain, with its brand.
    pub official: Table<String, u16>,
    /// Labels official under any country's suffix, with their brand.
    pub official_labels: Table<String, u16>,
    /// Brand words by spelling.
    pub brand_words: Table<String, BrandWord>,
    /// Finds brand words in a host; pattern numbers index `brand_patterns`.
    pub brand_search: Option<AhoCorasick>,
    pub brand_patterns: Vec<(String, BrandWord)>,
    /// Every brand word with one letter left out, for misspellings: what is left, and the whole words.
    pub near_words: Table<String, Vec<u16>>,
    /// Brand words by their consonants, doubled ones once: `trzr` for `trezor` and for `trazorr`.
    pub consonants: Table<String, u16>,
    pub words: Table<String, Words>,
    hosts: Table<String, HostKinds>,
    /// Finds lure words anywhere in a host.
    pub lure_search: Option<AhoCorasick>,
    pub model: Option<LinkModel>,
    /// What to say when a feature raised the learned score, by the feature's name.
    pub reasons: Table<String, Localised>,
    /// Scores from which the learned rules speak: (rule id, least score), the highest first.
    pub learned: Vec<(String, f32)>,
}

/// A misspelling of a word shorter than this is more often another word.
pub const NEAR_WORD_CHARS_MIN: usize = 6;
const BRANDS_MAX: usize = 10_000;
const HOSTS_MAX: usize = 1_000_000;

impl LinkRules {
    pub(crate) fn compile(rules: &[&Rule], data: &[DataFile], lists: &[RuleFile]) -> Result<Self, RuleError> {
        let mut compiled = LinkRules::default();
        for file in data {
            for (key, value) in &file.table {
                match key.as_str() {
                    "brand" => compiled.read_brands(file, value)?,
                    "words" => compiled.read_words(file, value)?,
                    "reasons" => compiled.read_reasons(file, value)?,
                    _ => {
                        let mend = "links know `[[data.brand]]`, `[data.words]` and `[data.reasons]`";
                        return Err(file.error(key, format!("unknown table `data.{key}`"), mend));
                    }
                }
            }
        }
        for list in lists {
            if let Some(name) = list.path.strip_prefix("lists/") {
                compiled.read_hosts(list, name)?;
            } else if list.path == "links/model.bin" {
                compiled.model = Some(LinkModel::read(&list.path, &list.bytes)?);
            }
        }
        for rule in rules {
            compiled.read_when(rule)?;
        }
        compiled.learned.sort_by(|a, b| b.1.total_cmp(&a.1));
        compiled.index();
        Ok(compiled)
    }

    /// What is known of `host` or of the domains above it.
    pub fn kinds_of(&self, host: &str) -> HostKinds {
        let mut kinds = HostKinds::default();
        let mut rest = host;
        loop {
            if let Some(known) = self.hosts.get(rest) {
                kinds = kinds.union(*known);
            }
            match rest.split_once('.') {
                Some((_, parent)) => rest = parent,
                None => return kinds,
            }
        }
    }

    /// Kinds of exactly this name, without those above it.
    pub fn kinds_of_exactly(&self, host: &str) -> HostKinds {
        self.hosts.get(host).copied().unwrap_or_default()
    }

    /// The brand `host` officially belongs to.
    pub fn official_brand(&self, host: &str) -> Option<&Brand> {
        let mut rest = host;
        loop {
            if let Some(brand) = self.official.get(rest) {
                return self.brands.get(usize::from(*brand));
            }
            rest = rest.split_once('.')?.1;
        }
    }

    pub fn is_word(&self, list: &str, word: &str) -> bool {
        self.words.get(list).is_some_and(|words| words.contains(word))
    }

    fn read_brands(&mut self, file: &DataFile, value: &toml::Value) -> Result<(), RuleError> {
        let entries = value.as_array().ok_or_else(|| {
            file.error("brand", "`data.brand` is not a list of tables", "write `[[data.brand]]` before each brand")
        })?;
        for (number, entry) in entries.iter().enumerate() {
            let brand = read_brand(file, number, entry)?;
            match self.brands.iter_mut().find(|known| known.name == brand.name) {
                // An operator's entry of the same name replaces ours.
                Some(known) => *known = brand,
                None => self.brands.push(brand),
            }
        }
        if self.brands.len() > BRANDS_MAX {
            return Err(file.error("brand", format!("more than {BRANDS_MAX} brands"), "keep to those you protect"));
        }
        Ok(())
    }

    fn read_words(&mut self, file: &DataFile, value: &toml::Value) -> Result<(), RuleError> {
        let lists = value.as_table().ok_or_else(|| {
            file.error("words", "`data.words` is not a table", "write `[data.words]` and a list for each use")
        })?;
        for (name, words) in lists {
            let words = strings(file, &format!("words.{name}"), &format!("data.words.{name}"), words)?;
            self.words.entry(name.clone()).or_default().extend(words);
        }
        Ok(())
    }

    fn read_reasons(&mut self, file: &DataFile, value: &toml::Value) -> Result<(), RuleError> {
        let mend = "write `feature = { en = \"…\", pt-BR = \"…\", es = \"…\" }`";
        let reasons = value.as_table().ok_or_else(|| file.error("reasons", "`data.reasons` is not a table", mend))?;
        for (feature, reason) in reasons {
            let reason: Localised = reason.clone().try_into().map_err(|error: toml::de::Error| {
                file.error(
                    &format!("reasons.{feature}"),
                    format!("`data.reasons.{feature}`: {}", error.message()),
                    mend,
                )
            })?;
            self.reasons.insert(feature.clone(), reason);
        }
        Ok(())
    }

    fn read_hosts(&mut self, list: &RuleFile, name: &str) -> Result<(), RuleError> {
        let known = HostKind::ALL.iter().find(|(_, stem)| name.strip_suffix(".txt") == Some(stem));
        let Some((kind, _)) = known else {
            let names: Vec<String> = HostKind::ALL.iter().map(|(_, stem)| format!("{stem}.txt")).collect();
            let mend = format!("the lists of hosts are {}", names.join(", "));
            return Err(RuleError::new(&list.path, 0, "no list of hosts has this name", mend));
        };
        let text = std::str::from_utf8(&list.bytes)
            .map_err(|_| RuleError::new(&list.path, 0, "the file is not UTF-8", "save it as UTF-8"))?;
        for (number, line) in text.lines().enumerate() {
            let host = line.split('#').next().unwrap_or_default().trim();
            if host.is_empty() {
                continue;
            }
            check_host(host).map_err(|problem| {
                RuleError::new(
                    &list.path,
                    number + 1,
                    problem,
                    "write a host in lower case and nothing else: `example.com`",
                )
            })?;
            self.hosts.entry(host.to_owned()).or_default().add(*kind);
        }
        if self.hosts.len() > HOSTS_MAX {
            return Err(RuleError::new(
                &list.path,
                0,
                format!("more than {HOSTS_MAX} hosts"),
                "import it as a list instead",
            ));
        }
        Ok(())
    }

    fn read_when(&mut self, rule: &Rule) -> Result<(), RuleError> {
        for (key, value) in &rule.when {
            let number = value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
            match (key.as_str(), number) {
                ("score_min", Some(score)) if (0.0..=1.0).contains(&score) => {
                    self.learned.push((rule.id.clone(), score as f32));
                }
                ("score_min", _) => {
                    let mend = "write a number from 0 to 1, such as `score_min = 0.85`";
                    return Err(RuleError::new(&rule.file, rule.line, "`when.score_min` is no score", mend));
                }
                _ => {
                    let problem = format!("rule `{}` has an unknown condition `{key}`", rule.id);
                    let mend = "link rules know `score_min`; what else they look for is code, named by the rule's id";
                    return Err(RuleError::new(&rule.file, rule.line, problem, mend));
                }
            }
        }
        Ok(())
    }

    fn index(&mut self) {
        for (number, brand) in self.brands.iter().enumerate() {
            let number = number as u16; // BRANDS_MAX is far below
            for domain in &brand.domains {
                self.official.insert(domain.clone(), number);
            }
            for label in &brand.labels {
                self.official_labels.insert(label.clone(), number);
            }
            for (words, weak) in [(&brand.words, false), (&brand.weak, true)] {
                for word in words {
                    self.brand_words.entry(word.clone()).or_insert(BrandWord { brand: number, weak });
                }
            }
        }
        let mut patterns: Vec<(String, BrandWord)> =
            self.brand_words.iter().map(|(word, brand)| (word.clone(), *brand)).collect();
        patterns.sort_by(|a, b| a.0.cmp(&b.0));
        for (number, (word, brand)) in patterns.iter().enumerate() {
            if brand.weak || word.len() < NEAR_WORD_CHARS_MIN {
                continue;
            }
            for shorter in without_one(word) {
                self.near_words.entry(shorter).or_default().push(number as u16);
            }
            self.near_words.entry(word.clone()).or_default().push(number as u16);
            let bones = consonants_of(word);
            if bones.len() >= CONSONANTS_MIN {
                self.consonants.entry(bones).or_insert(brand.brand);
            }
        }
        let build = |words: Vec<&String>| {
            // Longest first, so that `bancodobrasil` is not seen as `brasil`. Words are bounded; building cannot fail.
            AhoCorasickBuilder::new().match_kind(MatchKind::LeftmostLongest).build(words).ok()
        };
        self.brand_search = build(patterns.iter().map(|(word, _)| word).collect());
        self.brand_patterns = patterns;
        if let Some(lures) = self.words.get("lure") {
            let mut lures: Vec<&String> = lures.iter().collect();
            lures.sort();
            self.lure_search = build(lures);
        }
    }
}

/// Fewer consonants than this fit too many words.
pub const CONSONANTS_MIN: usize = 4;

/// The consonants of a word, doubled ones once.
pub fn consonants_of(word: &str) -> String {
    let mut bones = String::with_capacity(word.len());
    for c in word.chars().filter(|c| c.is_ascii_alphabetic() && !matches!(c, 'a' | 'e' | 'i' | 'o' | 'u' | 'y')) {
        if !bones.ends_with(c) {
            bones.push(c);
        }
    }
    bones
}

/// Every string that is `word` with one letter left out. Words are ASCII (checked when read).
fn without_one(word: &str) -> impl Iterator<Item = String> + '_ {
    (0..word.len()).filter(move |at| word.is_char_boundary(*at) && word.is_char_boundary(at + 1)).map(move |at| {
        let mut shorter = String::with_capacity(word.len());
        shorter.push_str(&word[..at]);
        shorter.push_str(&word[at + 1..]);
        shorter
    })
}

fn read_brand(file: &DataFile, number: usize, entry: &toml::Value) -> Result<Brand, RuleError> {
    let place = format!("brand.{number}");
    let wrong = |at: &str, problem: String, mend: &str| file.error(at, problem, mend);
    let form = "a brand has `name`, `domains`, `words` and, if need be, `weak`";
    let table = entry.as_table().ok_or_else(|| wrong(&place, format!("brand {} is not a table", number + 1), form))?;
    let name = table.get("name").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(wrong(&place, format!("brand {} has no name", number + 1), form));
    }
    let mut brand = Brand { name, domains: vec![], labels: vec![], words: vec![], weak: vec![] };
    for (key, value) in table {
        let what = format!("brand `{}`, `{key}`", brand.name);
        let at = format!("{place}.{key}");
        match key.as_str() {
            "name" => {}
            "domains" => {
                for (item, domain) in strings(file, &at, &what, value)?.into_iter().enumerate() {
                    let (list, host) = match domain.strip_suffix(".*") {
                        Some(label) => (&mut brand.labels, label.to_owned()),
                        None => (&mut brand.domains, domain),
                    };
                    check_host(&host).map_err(|problem| {
                        wrong(&format!("{at}.{item}"), format!("{what}: {problem}"), "write `example.com`")
                    })?;
                    list.push(host);
                }
            }
            "words" => brand.words = brand_words(file, &at, &what, value)?,
            "weak" => brand.weak = brand_words(file, &at, &what, value)?,
            _ => return Err(wrong(&at, format!("{what}: unknown key"), form)),
        }
    }
    if brand.domains.is_empty() && brand.labels.is_empty() {
        return Err(wrong(&place, format!("brand `{}` has no official domain", brand.name), form));
    }
    Ok(brand)
}

fn brand_words(file: &DataFile, at: &str, what: &str, value: &toml::Value) -> Result<Vec<String>, RuleError> {
    let words = strings(file, at, what, value)?;
    for (item, word) in words.iter().enumerate() {
        let plain = word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !plain || word.len() < 2 {
            let mend = "write it as it stands in a host: lower case, no accents, no spaces";
            return Err(file.error(&format!("{at}.{item}"), format!("{what}: `{word}` cannot stand in a host"), mend));
        }
    }
    Ok(words)
}

fn strings(file: &DataFile, at: &str, what: &str, value: &toml::Value) -> Result<Vec<String>, RuleError> {
    let wrong = |at: &str| file.error(at, format!("{what} is not a list of strings"), "write `[\"a\", \"b\"]`");
    let list = value.as_array().ok_or_else(|| wrong(at))?;
    let item = |(number, item): (usize, &toml::Value)| {
        item.as_str().map(str::to_owned).ok_or_else(|| wrong(&format!("{at}.{number}")))
    };
    list.iter().enumerate().map(item).collect()
}

fn check_host(host: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
    if host.len() > 253 || !host.bytes().all(fits) || host.starts_with('.') || host.ends_with('.') {
        return Err(format!("`{}` is no host", host.chars().take(60).collect::<String>()));
    }
    Ok(())
}
