//! Which hosts may be reached: the patterns of `graph.media_hosts`. It resolves nothing and connects to nothing; what
//! counts as a public address stands in `message`, for all who connect.

use std::net::IpAddr;

/// One entry of `graph.media_hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// Lower case, without `*.`, brackets or a dot at the end.
    host: String,
    /// `*.host`: subdomains only, never the host itself.
    subdomains: bool,
    port: Option<u16>,
}

impl HostPattern {
    /// Reads `lookaside.fbsbx.com`, `*.fbcdn.net`, `127.0.0.1`, `[::1]:9000`, `simulator:9000`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}` is not a host for graph.media_hosts: {why}");
        let (rest, subdomains) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if let Ok(IpAddr::V6(address)) = rest.parse() {
            return Ok(HostPattern { host: address.to_string(), subdomains: false, port: None });
        }
        let parsed = url::Url::parse(&format!("https://{rest}/")).map_err(|e| wrong(&e.to_string()))?;
        let only_a_host = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
        let host = parsed.host_str().filter(|_| only_a_host).ok_or_else(|| {
            wrong("write a host name, `*.` before it for its subdomains, or an address, with a port if it has its own")
        })?;
        let host = bare(host);
        if subdomains && (host.parse::<IpAddr>().is_ok() || !host.contains('.')) {
            return Err(wrong("`*.` goes before a domain of at least two labels"));
        }
        // `Url` leaves out a port that is the scheme's own; `host:443` is still a host with a port.
        let port = rest.rsplit_once(':').and_then(|(_, digits)| digits.parse().ok());
        Ok(HostPattern { host, subdomains, port })
    }

    /// Whether this entry names a place on purpose that may be private and plain `http`: an address, a host without
    /// dots, or any host with a port.
    pub fn is_named(&self) -> bool {
        !self.subdomains && (self.port.is_some() || self.host.parse::<IpAddr>().is_ok() || !self.host.contains('.'))
    }

    fn matches(&self, host: &str, port: u16, https: bool) -> bool {
        let right_host = match host.strip_suffix(self.host.as_str()) {
            Some("") => !self.subdomains,
            Some(front) => self.subdomains && front.len() > 1 && front.ends_with('.'),
            None => false,
        };
        let right_port = match self.port {
            Some(mine) => mine == port,
            None => self.is_named() || port == 443,
        };
        right_host && right_port && (https || self.is_named())
    }
}

/// What may be reached: the media hosts, and Graph's own host for look-ups and calls.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    media: Vec<HostPattern>,
    graph: Place,
    graph_is_named: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    https: bool,
    host: String,
    port: u16,
}

impl Reach {
    pub(crate) fn new(media_hosts: &[String], base_url: &url::Url) -> Result<Self, String> {
        let graph = place_of(base_url).ok_or("graph.base_url must be an http or https url with a host")?;
        let graph_is_named = !graph.https
            || base_url.port().is_some()
            || graph.host.parse::<IpAddr>().is_ok()
            || !graph.host.contains('.');
        let media = media_hosts.iter().map(|text| HostPattern::parse(text)).collect::<Result<_, _>>()?;
        Ok(Reach { media, graph, graph_is_named })
    }

    /// Whether an attachment may be fetched from this url.
    pub(crate) fn may_fetch(&self, url: &url::Url) -> bool {
        place_of(url).is_some_and(|p| self.media.iter().any(|m| m.matches(&p.host, p.port, p.https)))
    }

    /// Whether a connection to this place may end at an address that is not public.
    pub(crate) fn may_be_private(&self, https: bool, host: &str, port: u16) -> bool {
        let host = bare(host);
        (self.graph_is_named && self.graph == Place { https, host: host.clone(), port })
            || self.media.iter().any(|m| m.is_named() && m.matches(&host, port, https))
    }
}

fn place_of(url: &url::Url) -> Option<Place> {
    let https = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    Some(Place { https, host: bare(url.host_str()?), port: url.port_or_known_default()? })
}

/// A host as it is compared: lower case, no brackets, no dot at the end.
fn bare(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let host = host.to_ascii_lowercase();
    host.strip_suffix('.').map_or(host.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_matched_as_the_configuration_says() {
        let reach = |hosts: &[&str]| {
            let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
            Reach::new(&hosts, &"https://graph.facebook.com".parse().unwrap()).unwrap()
        };
        let check = |hosts: &[&str], url: &str, expect: bool| {
            assert_eq!(reach(hosts).may_fetch(&url.parse().unwrap()), expect, "{hosts:?} {url}");
        };
        check(&["lookaside.fbsbx.com"], "https://lookaside.fbsbx.com/a?b", true);
        check(&["lookaside.fbsbx.com"], "https://LOOKASIDE.fbsbx.com./a", true);
        check(&["lookaside.fbsbx.com"], "http://lookaside.fbsbx.com/a", false);
        check(&["lookaside.fbsbx.com"], "https://lookaside.fbsbx.com:8443/a", false);
        check(&["lookaside.fbsbx.com"], "https://x.lookaside.fbsbx.com/a", false);
        check(&["lookaside.fbsbx.com"], "https://lookaside.fbsbx.com@evil.example/a", false);
        check(&["lookaside.fbsbx.com"], "https://user@lookaside.fbsbx.com/a", false);
        check(&["lookaside.fbsbx.com"], "ftp://lookaside.fbsbx.com/a", false);
        check(&["*.fbcdn.net"], "https://scontent.fbcdn.net/a", true);
        check(&["*.fbcdn.net"], "https://a.b.fbcdn.net/a", true);
        check(&["*.fbcdn.net"], "https://fbcdn.net/a", false);
        check(&["*.fbcdn.net"], "https://evilfbcdn.net/a", false);
        check(&["*.fbcdn.net"], "https://fbcdn.net.evil.example/a", false);
        check(&["127.0.0.1"], "http://127.0.0.1:9000/a", true);
        check(&["127.0.0.1"], "http://0x7f.1:9000/a", true); // the same address, once parsed
        check(&["127.0.0.1:9000"], "http://127.0.0.1:9001/a", false);
        check(&["localhost"], "http://localhost:9000/a", true);
        check(&["localhost"], "http://localhost.evil.example/a", false);
        check(&["[::1]:9000"], "http://[::1]:9000/a", true);
        check(&["::1"], "http://[::1]:9000/a", true);
        check(&["media.internal:9000"], "http://media.internal:9000/a", true);
        check(&[], "https://graph.facebook.com/a", false);
    }

    #[test]
    fn only_named_places_may_be_private() {
        let reach = |base: &str| {
            let hosts = ["lookaside.fbsbx.com", "*.fbcdn.net", "simulator:9000", "127.0.0.1"].map(String::from);
            Reach::new(&hosts, &base.parse().unwrap()).unwrap()
        };
        let public = reach("https://graph.facebook.com");
        assert!(!public.may_be_private(true, "graph.facebook.com", 443));
        assert!(!public.may_be_private(true, "lookaside.fbsbx.com", 443));
        assert!(!public.may_be_private(true, "x.fbcdn.net", 443));
        assert!(public.may_be_private(false, "simulator", 9000));
        assert!(!public.may_be_private(false, "simulator", 9001));
        assert!(public.may_be_private(false, "127.0.0.1", 5));
        assert!(!public.may_be_private(false, "127.0.0.2", 5));
        assert!(reach("http://127.0.0.3:8000").may_be_private(false, "127.0.0.3", 8000));
        assert!(!reach("http://127.0.0.3:8000").may_be_private(false, "127.0.0.3", 8001));
        assert!(reach("https://graph.corp.example:8443").may_be_private(true, "graph.corp.example", 8443));
    }

    #[test]
    fn nonsense_in_media_hosts_is_explained() {
        for text in [
            "",
            "*",
            "*.",
            "*.com",
            "*.10.0.0.1",
            "https://a.example",
            "a.example/x",
            "a b",
            "user@a.example",
            "*.*.a.example",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
