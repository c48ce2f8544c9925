//! A link taken apart as a browser would: scheme, host in both spellings, registrable domain, port, path.
//! Keeps what the sender wrote beside it, for a host that is written oddly is a sign of its own.

use percent_encoding::percent_decode_str;
use std::net::IpAddr;
use url::{Host, Url};

/// A link, taken apart. A link no browser could open has `url_ok` false and its host as it was written.
#[derive(Clone, Default)]
pub(super) struct Link {
    /// `http`, `https`, `javascript` …, lower case.
    pub scheme: String,
    /// Whether the scheme leads to a host (http, https, ftp, ws, wss).
    pub web: bool,
    pub url_ok: bool,
    /// Lower case, ASCII (`xn--…`), without the dot at its end. Empty where there is none.
    pub host: String,
    /// The host as people read it, where that differs.
    pub unicode: Option<String>,
    pub ip: Option<IpAddr>,
    pub port: Option<u16>,
    /// User name and password as written, without `@`.
    pub user: String,
    /// The host as written.
    pub raw_host: String,
    /// Path, query and fragment, beginning with `/`; what follows the scheme where there is no host.
    pub tail: String,
    /// End of the path in `tail`.
    pub path_end: usize,
    label_at: usize,
    suffix_at: usize,
    pub suffix_known: bool,
    pub suffix_private: bool,
}

impl Link {
    pub(super) fn parse(written: &str) -> Link {
        let clean = clean(written);
        let (scheme, rest) = split_scheme(&clean);
        let mut link = Link { scheme: scheme.clone(), ..Link::default() };
        let after_slashes = rest.trim_start_matches(['/', '\\']);
        link.web = matches!(scheme.as_str(), "http" | "https" | "ftp" | "ws" | "wss");
        if !link.web {
            link.tail = rest.to_owned();
            link.path_end = link.tail.len();
            link.url_ok = true;
            if rest.starts_with("//") {
                let end = after_slashes.find(['/', '?', '#']).unwrap_or(after_slashes.len());
                link.raw_host = after_slashes[..end].to_owned();
            }
            return link;
        }
        let authority_end = after_slashes.find(['/', '\\', '?', '#']).unwrap_or(after_slashes.len());
        let (authority, tail) = after_slashes.split_at(authority_end);
        let raw_host = match authority.rsplit_once('@') {
            Some((user, host)) => {
                link.user = user.to_owned();
                host
            }
            None => authority,
        };
        link.raw_host = strip_port(raw_host).to_owned();
        match Url::parse(&format!("{scheme}://{after_slashes}")) {
            Ok(url) => link.take(&url),
            Err(_) => {
                link.host = link.raw_host.to_ascii_lowercase();
                link.tail = tail.to_owned();
                link.path_end = tail.find(['?', '#']).unwrap_or(tail.len());
            }
        }
        link.split_host();
        link
    }

    fn take(&mut self, url: &Url) {
        self.url_ok = true;
        self.port = url.port();
        match url.host() {
            Some(Host::Ipv4(ip)) => self.ip = Some(ip.into()),
            Some(Host::Ipv6(ip)) => self.ip = Some(ip.into()),
            _ => {}
        }
        self.host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        if self.host.starts_with("xn--") || self.host.contains(".xn--") {
            self.unicode = Some(idna::domain_to_unicode(&self.host).0).filter(|shown| *shown != self.host);
        }
        self.tail = url[url::Position::BeforePath..].to_owned();
        self.path_end = url.path().len().min(self.tail.len());
    }

    fn split_host(&mut self) {
        self.suffix_at = self.host.len();
        if self.ip.is_some() || self.host.is_empty() {
            return;
        }
        let Some(suffix) = psl::suffix(self.host.as_bytes()) else { return };
        self.suffix_known = suffix.is_known();
        self.suffix_private = suffix.typ() == Some(psl::Type::Private);
        self.suffix_at = self.host.len() - suffix.as_bytes().len();
        self.label_at = match self.suffix_at {
            0 => 0,
            at => self.host[..at - 1].rfind('.').map_or(0, |dot| dot + 1),
        };
    }

    /// Public suffix, private ones included: `com.br`, `vercel.app`.
    pub(super) fn suffix(&self) -> &str {
        &self.host[self.suffix_at..]
    }

    /// The name someone registered, with its suffix: `example.com.br`.
    pub(super) fn registrable(&self) -> &str {
        &self.host[self.label_at..]
    }

    /// The name someone registered, without its suffix: `example`.
    pub(super) fn label(&self) -> &str {
        if self.ip.is_some() || self.suffix_at == 0 {
            return "";
        }
        &self.host[self.label_at..(self.suffix_at.max(1) - 1).max(self.label_at)]
    }

    /// What stands before the registrable domain, `www` left out: `login.secure`.
    pub(super) fn sub(&self) -> &str {
        let sub = self.host[..self.label_at].trim_end_matches('.');
        if sub == "www" { "" } else { sub.strip_prefix("www.").unwrap_or(sub) }
    }

    pub(super) fn top(&self) -> &str {
        if self.ip.is_some() { "" } else { self.host.rsplit('.').next().unwrap_or_default() }
    }

    pub(super) fn path(&self) -> &str {
        &self.tail[..self.path_end]
    }

    pub(super) fn query_and_fragment(&self) -> &str {
        &self.tail[self.path_end..]
    }

    /// What a finding shows: host in both spellings and path, never the query, for it may carry a token.
    pub(super) fn shown(&self) -> String {
        if !self.web {
            let end = self.tail.find(['?', '#', ',']).unwrap_or(self.tail.len());
            return format!("{}:{}", self.scheme, &self.tail[..end]);
        }
        let path = if self.path() == "/" { "" } else { self.path() };
        match &self.unicode {
            Some(unicode) => format!("{unicode} ({}){path}", self.host),
            None => format!("{}{path}", self.host),
        }
    }
}

/// Without blanks around it and the tabs and line ends that browsers skip; `hxxp` and `[.]` undone.
fn clean(written: &str) -> String {
    let trimmed = written.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    let plain = trimmed.bytes().all(|b| (b' '..0x7f).contains(&b));
    let mut clean: String = if plain {
        trimmed.to_owned()
    } else {
        trimmed.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r') && !super::fold::is_invisible(*c)).collect()
    };
    if clean.len() > super::find::URL_BYTES_MAX {
        let mut end = super::find::URL_BYTES_MAX;
        while !clean.is_char_boundary(end) {
            end -= 1;
        }
        clean.truncate(end);
    }
    if clean.contains(['[', '(']) {
        for (disguised, plain) in [("[.]", "."), ("(.)", "."), ("[dot]", "."), ("[:]", ":")] {
            clean = clean.replace(disguised, plain);
        }
    }
    clean
}

const OPAQUE_SCHEMES: &[&str] = &[
    "javascript",
    "vbscript",
    "data",
    "tel",
    "sms",
    "mailto",
    "blob",
    "about",
    "file",
    "intent",
    "itms-services",
    "ms-appinstaller",
    "search-ms",
    "view-source",
    "smb",
    "geo",
    "sgnl",
    "tg",
    "tsdevice",
];

/// Scheme in lower case and what follows its colon. Without a scheme it is a web link.
fn split_scheme(link: &str) -> (String, &str) {
    let colon =
        link.bytes().take(32).position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'*')));
    if let Some(at) = colon.filter(|at| link.as_bytes()[*at] == b':' && *at > 1) {
        let name = link[..at].to_ascii_lowercase();
        let rest = &link[at + 1..];
        let plain = match name.as_str() {
            "hxxp" | "h**p" | "h++p" | "hxtp" | "htxp" | "meow" => "http",
            "hxxps" | "h**ps" | "h++ps" | "hxtps" | "htxps" | "meows" => "https",
            other => other,
        };
        if plain == "view-source" {
            return split_scheme(rest);
        }
        let slashed = rest.starts_with(['/', '\\']);
        if matches!(plain, "http" | "https" | "ftp" | "ws" | "wss")
            || OPAQUE_SCHEMES.contains(&plain)
            || rest.starts_with("//") && !plain.contains('.')
        {
            return (plain.to_owned(), if slashed || !rest.is_empty() { rest } else { "" });
        }
    }
    ("http".to_owned(), link)
}

fn strip_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.is_empty() => host,
        _ => authority,
    }
}

/// `text` with percent escapes undone once; what is not UTF-8 then is left out.
pub(super) fn unescaped(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_links_apart_as_a_browser_does() {
        let parts = |written: &str| {
            let link = Link::parse(written);
            format!("{} {}|{}|{} {}", link.scheme, link.sub(), link.label(), link.suffix(), link.tail)
        };
        let check = |written: &str, expect: &str| assert_eq!(parts(written), expect, "{written}");
        check("https://www.a.exemplo.com.br/x?y#z", "https a|exemplo|com.br /x?y#z");
        check("exemplo.com", "http |exemplo|com /");
        check("exemplo.com:8080/x", "http |exemplo|com /x");
        check("hxxps://evil[.]example.com", "https evil|example|com /");
        check("http:\\\\evil.com\\x", "http |evil|com /x");
        check("loja.vercel.app/x", "http |loja|vercel.app /x");
        check("http://a@b.com@evil.top/", "http |evil|top /");
        check("javascript:alert(1)", "javascript || alert(1)");
        check("localhost:80", "http ||localhost /");
        check("http://com.br/", "http ||com.br /");
    }

    #[test]
    fn numeric_hosts_in_every_notation_are_one_address() {
        for host in ["127.0.0.1", "0x7f.1", "0177.0.0.1", "2130706433", "127.1", "%31%32%37.0.0.1", "１２７.0.0.1"] {
            assert_eq!(Link::parse(&format!("http://{host}/x")).ip, Some("127.0.0.1".parse().unwrap()), "{host}");
        }
        assert!(Link::parse("http://[::1]/").ip.is_some());
    }

    #[test]
    fn a_host_is_shown_both_ways() {
        assert_eq!(Link::parse("http://itaú.com/x?token=1").shown(), "itaú.com (xn--ita-boa.com)/x");
    }

    #[test]
    fn hostile_links_are_taken_without_a_panic() {
        for written in [
            "",
            ":",
            "//",
            "http://",
            "http:///",
            "@",
            "a@",
            "http://é",
            "http://%",
            "http://[",
            "http://a:b:c:d",
            "data:",
            "\u{202e}moc.live//:ptth",
            "http://.",
            "http://..",
            "http://a..b",
            "h://x",
            "http://xn--",
            "http://xn--a-/",
        ] {
            let link = Link::parse(written);
            let _ =
                (link.label(), link.sub(), link.suffix(), link.registrable(), link.top(), link.shown(), link.path());
        }
    }
}
