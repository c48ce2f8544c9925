//! [`Redirects`]: asks short links and pages of links where they lead. Off unless the operator wants it, for whoever
//! sent the link sees that it was opened.
//!
//! An egress of its own (`egress`): every address is checked as it is connected to, no cookie is kept, no body is read
//! beyond a bound. HEAD first, GET where HEAD is not answered or says nothing. What could not be found out is a gap; what
//! was found out is judged by `inspect`, which this module does not call. It knows no message and no rule.

mod egress;
mod page;

use egress::{Answer, Egress, Method, Miss};
use guarita_inspect::{
    Pending,
    links::{Elsewhere, Followed, LinkFollower},
};
use guarita_message::GapReason;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, time::timeout};
use url::Url;

/// Names gaps and metrics.
pub const REDIRECTS: &str = "redirects";

/// The table `[redirects]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedirectsConfig {
    pub enabled: bool,
    /// What is asked.
    pub follow: Vec<Follow>,
    /// Hosts, with a port if it is not the scheme's own, that are always asked and may be private: a company's own
    /// short links.
    pub own_hosts: Vec<String>,
    /// Redirects of one link.
    pub hops_max: usize,
    /// Of a page that is read to see whether it sends on.
    pub page_bytes_max: usize,
    /// Links judged of one page of links.
    pub page_links_max: usize,
    /// Links asked of one message; the rest are a gap.
    pub links_max: usize,
    /// One link with everything it goes through.
    pub seconds_max: u64,
    /// One request: name, connection, answer.
    pub request_seconds_max: u64,
    /// Links asked at one time; the rest wait in line, within their seconds.
    pub concurrent_max: usize,
    pub cache_entries_max: usize,
    pub cache_minutes: u64,
    /// Local address to connect from, so that a firewall can tell this traffic from all other; empty: any.
    pub from_address: String,
    pub user_agent: String,
}

/// A kind of link that may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Follow {
    Shorteners,
    LinkInBio,
    Redirectors,
}

/// A mistake in `[redirects]`: the operator's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`redirects.{key}` {what}")]
pub struct RedirectsError {
    pub key: &'static str,
    pub what: String,
    pub mend: &'static str,
}

/// A gap that passes by itself is asked about again after this; what is known lasts `cache_minutes`.
const GAP_LASTS: Duration = Duration::from_secs(30);
/// A chain longer than this is not kept.
const KEPT_BYTES_MAX: usize = 4096;
/// Ports where web servers answer; elsewhere a redirect would make us knock at doors.
const PORTS: [u16; 4] = [80, 443, 8080, 8443];
const URL_BYTES_MAX: usize = 8192;

/// Follows links, within its bounds.
pub struct Redirects {
    config: RedirectsConfig,
    own: HashSet<(String, u16)>,
    egress: Egress,
    places: Semaphore,
    kept: Mutex<Kept>,
}

type Key = [u8; 32];

#[derive(Default)]
struct Kept {
    entries: HashMap<Key, (Followed, Instant)>,
    /// Oldest first.
    order: VecDeque<Key>,
}

impl Redirects {
    pub fn new(config: RedirectsConfig) -> Result<Self, RedirectsError> {
        for (key, value) in [
            ("hops_max", config.hops_max),
            ("page_bytes_max", config.page_bytes_max),
            ("links_max", config.links_max),
            ("seconds_max", config.seconds_max as usize),
            ("request_seconds_max", config.request_seconds_max as usize),
            ("concurrent_max", config.concurrent_max),
        ] {
            if value == 0 {
                return Err(RedirectsError { key, what: "must not be 0".into(), mend: "leave the key out" });
            }
        }
        let from = match config.from_address.as_str() {
            "" => None,
            text => Some(text.parse::<IpAddr>().map_err(|_| RedirectsError {
                key: "from_address",
                what: "is no IP address".into(),
                mend: "name an address of this machine, or leave it empty",
            })?),
        };
        if config.user_agent.bytes().any(|b| !(b' '..0x7f).contains(&b)) {
            let what = "holds a character that no header may".into();
            return Err(RedirectsError { key: "user_agent", what, mend: "plain ASCII" });
        }
        let own = config.own_hosts.iter().map(|text| own_places(text)).collect::<Result<Vec<_>, _>>()?;
        let own: HashSet<_> = own.into_iter().flatten().collect();
        let egress = Egress::new(from, &config).map_err(|what| RedirectsError {
            key: "enabled",
            what,
            mend: "set it to false, and report this",
        })?;
        let places = Semaphore::new(config.concurrent_max);
        Ok(Redirects { config, own, egress, places, kept: Mutex::default() })
    }

    async fn look(&self, written: &str) -> Followed {
        let key: Key = Sha256::digest(written.as_bytes()).into();
        if let Some(known) = self.known(&key) {
            metrics::counter!("guarita_redirects_total", "outcome" => "cached").increment(1);
            return known;
        }
        let started = Instant::now();
        let mut links = Vec::new();
        let whole = async {
            let _place = self.places.acquire().await.ok();
            self.chain(written, &mut links).await
        };
        let gap = match timeout(Duration::from_secs(self.config.seconds_max), whole).await {
            Ok(Ok(())) => None,
            Ok(Err(miss)) => Some((miss.reason(), miss.to_string())),
            Err(_) => Some((GapReason::Timeout, "following a link took longer than redirects.seconds_max".into())),
        };
        let outcome = if gap.is_none() { "arrived" } else { "gap" };
        metrics::counter!("guarita_redirects_total", "outcome" => outcome).increment(1);
        metrics::histogram!("guarita_scan_seconds", "scanner" => REDIRECTS).record(started.elapsed().as_secs_f64());
        let followed = Followed { links, gap };
        self.keep(key, &followed);
        followed
    }

    /// Goes from address to address; what it went through is in `links`, whatever came after.
    async fn chain(&self, written: &str, links: &mut Vec<String>) -> Result<(), Miss> {
        let mut at = Url::parse(written).map_err(|_| Miss::NoUrl)?;
        let mut seen = HashSet::new();
        for hop in 0..=self.config.hops_max {
            at.set_fragment(None);
            if !seen.insert(at.to_string()) {
                return Err(Miss::Circle);
            }
            let private = self.is_own(&at);
            if !private && !at.port_or_known_default().is_some_and(|port| PORTS.contains(&port)) {
                return Err(Miss::OddPort);
            }
            match self.step(&at, hop == 0, private).await? {
                Step::Arrived => return Ok(()),
                Step::Page(found) => {
                    links.extend(found);
                    return Ok(());
                }
                Step::On(next) => {
                    links.push(next.to_string());
                    if !matches!(next.scheme(), "http" | "https") {
                        return Ok(()); // an app, a script, a phone number: judged as it stands
                    }
                    at = next;
                }
            }
        }
        Err(Miss::TooManyHops)
    }

    /// HEAD, and GET where that says nothing. Only the sender's own link is worth a page: further ones are somebody's
    /// site, which a reader would open and we need not.
    async fn step(&self, at: &Url, first: bool, private: bool) -> Result<Step, Miss> {
        let head = self.egress.ask(Method::Head, at, private).await;
        if let Ok(answer) = &head
            && let Some(next) = sent_on(at, answer)
        {
            return Ok(Step::On(next));
        }
        let worth_a_page = match &head {
            Ok(answer) => first && answer.is_page() || answer.status >= 400,
            // Some servers hang up on HEAD.
            Err(miss) => first && miss.is_of_the_answer(),
        };
        if !worth_a_page {
            return head.map(|_| Step::Arrived);
        }
        let answer = self.egress.ask(Method::Get, at, private).await?;
        if let Some(next) = sent_on(at, &answer) {
            return Ok(Step::On(next));
        }
        if first && answer.status >= 400 {
            return Err(Miss::Refused(answer.status));
        }
        if let Some(next) = page::sends_on(&answer.page).and_then(|target| join(at, &target)) {
            return Ok(Step::On(next));
        }
        let others: Vec<String> = page::links(&answer.page, self.config.page_links_max * 4)
            .into_iter()
            .filter_map(|target| join(at, &target))
            .filter(|link| link.host_str() != at.host_str())
            .map(String::from)
            .fold(Vec::new(), |mut kept, link| {
                if kept.len() < self.config.page_links_max && !kept.contains(&link) {
                    kept.push(link);
                }
                kept
            });
        Ok(if first && !others.is_empty() { Step::Page(others) } else { Step::Arrived })
    }

    fn is_own(&self, url: &Url) -> bool {
        let Some((host, port)) = url.host_str().zip(url.port_or_known_default()) else { return false };
        self.own.contains(&(host.to_owned(), port))
    }

    fn known(&self, key: &Key) -> Option<Followed> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (followed, made) = kept.entries.get(key)?;
        let minutes = Duration::from_secs(self.config.cache_minutes.saturating_mul(60));
        let lasts = if followed.gap.is_some() { GAP_LASTS.min(minutes) } else { minutes };
        (made.elapsed() < lasts).then(|| followed.clone())
    }

    fn keep(&self, key: Key, followed: &Followed) {
        let bytes: usize = followed.links.iter().map(String::len).sum();
        if self.config.cache_entries_max == 0 || bytes > KEPT_BYTES_MAX {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.entries.insert(key, (followed.clone(), Instant::now())).is_none() {
            kept.order.push_back(key);
        }
        while kept.entries.len() > self.config.cache_entries_max {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.entries.remove(&oldest);
        }
    }
}

impl LinkFollower for Redirects {
    fn links_max(&self) -> usize {
        self.config.links_max
    }

    fn follows(&self, url: &str, leads: Option<Elsewhere>) -> bool {
        let wanted = leads.map(|leads| match leads {
            Elsewhere::Shortener => Follow::Shorteners,
            Elsewhere::LinkInBio => Follow::LinkInBio,
            Elsewhere::Redirector => Follow::Redirectors,
        });
        url.len() <= URL_BYTES_MAX
            && (wanted.is_some_and(|wanted| self.config.follow.contains(&wanted))
                || !self.own.is_empty() && Url::parse(url).is_ok_and(|url| self.is_own(&url)))
    }

    fn follow<'a>(&'a self, url: &'a str) -> Pending<'a, Followed> {
        Box::pin(self.look(url))
    }
}

enum Step {
    Arrived,
    On(Url),
    /// A page of links: these are on it.
    Page(Vec<String>),
}

/// Where an answer's head sends its reader.
fn sent_on(at: &Url, answer: &Answer) -> Option<Url> {
    let moved = matches!(answer.status, 301 | 302 | 303 | 307 | 308).then_some(answer.location.as_deref()).flatten();
    let refreshed = answer.refresh.as_deref().and_then(page::target_of_refresh);
    moved.map(str::to_owned).or(refreshed).and_then(|target| join(at, &target))
}

fn join(at: &Url, target: &str) -> Option<Url> {
    let mut url = at.join(target.trim()).ok().filter(|url| url.as_str().len() <= URL_BYTES_MAX)?;
    // Never send what a stranger wrote there as a password.
    let _ = (url.set_username(""), url.set_password(None));
    Some(url)
}

/// `links.example.com` (both schemes' own ports), `10.0.0.7:8080`.
fn own_places(text: &str) -> Result<Vec<(String, u16)>, RedirectsError> {
    let wrong = || RedirectsError {
        key: "own_hosts",
        what: format!("holds `{text}`, which is no host"),
        mend: "write a host or address, with `:port` if it is not 80 or 443, and nothing else",
    };
    let url = Url::parse(&format!("http://{text}/")).map_err(|_| wrong())?;
    let plain = url.path() == "/" && url.query().is_none() && url.username().is_empty() && !text.contains('/');
    let host = url.host_str().filter(|_| plain).ok_or_else(wrong)?.to_owned();
    Ok(match url.port() {
        Some(port) => vec![(host, port)],
        None => vec![(host.clone(), 80), (host, 443)],
    })
}
