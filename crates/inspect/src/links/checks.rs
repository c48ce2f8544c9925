//! What a link leads to: a program, another link, an unofficial app, a device to be linked, a number to be called.
//! States facts; `judge` names the rules for them.

use super::find::cut;
use super::parse::{Link, unescaped};
use guarita_rules::links::{HostKind, HostKinds, LinkRules};
use std::net::IpAddr;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub executable: Option<Executable>,
    /// The link inside an open redirect.
    pub redirect: Option<String>,
}

/// A program that this link downloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Executable {
    pub name: String,
    /// An installer where its makers publish it, as far as a link can tell.
    pub from_publisher: bool,
}

const PATH_BYTES_MAX: usize = 2048;

pub(super) fn target(link: &Link, kinds: HostKinds, rules: &LinkRules) -> Target {
    if !link.web || link.tail.len() < 4 {
        return Target::default();
    }
    Target { executable: executable(link, kinds, rules), redirect: redirect(link) }
}

fn executable(link: &Link, kinds: HostKinds, rules: &LinkRules) -> Option<Executable> {
    if !link.tail.contains(['.', '%']) {
        return None;
    }
    let path = cut(link.path(), PATH_BYTES_MAX);
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let named = |value: &str| -> Option<(String, String)> {
        let plain = if value.contains('%') { unescaped(value).into() } else { std::borrow::Cow::from(value) };
        let ending = plain.rsplit_once('.')?.1.to_ascii_lowercase();
        let known = rules.is_word("executable_endings", &ending) || rules.is_word("installer_endings", &ending);
        known.then(|| (plain.into_owned(), ending))
    };
    let from_query = || {
        let query = cut(link.query_and_fragment(), PATH_BYTES_MAX);
        query.split(['?', '&', '#', '=', '/', ';']).find_map(named)
    };
    let (name, ending) = named(last).or_else(from_query)?;
    let installer = rules.is_word("installer_endings", &ending);
    Some(Executable { from_publisher: installer && from_publisher(link, kinds, rules, &name), name })
}

/// Makers publish installers on release pages, or under a domain that the file is named after, or with a version in
/// the path. Nobody's domain, a bare address or a name that asks for money does not count as a maker.
fn from_publisher(link: &Link, kinds: HostKinds, rules: &LinkRules, name: &str) -> bool {
    if kinds.has(HostKind::SoftwareReleases) || kinds.has(HostKind::AppStore) {
        // Anyone may keep a file in a repository; a release is at least published.
        return link.registrable() != "github.com" || link.path().contains("/releases/");
    }
    let nobody = link.ip.is_some()
        || !link.user.is_empty()
        || link.unicode.is_some()
        || link.suffix_private
        || super::features::shared_host(kinds)
        || kinds.has(HostKind::FileShare)
        || kinds.has(HostKind::Shortener)
        || rules.is_word("cheap_suffixes", link.top());
    let lower = name.to_ascii_lowercase();
    let lures = super::brands::lures_in(rules, &lower) + super::brands::lures_in(rules, link.label());
    if nobody || lures > 0 || link.path().contains("/wp-") || lower.contains("screenconnect") {
        return false;
    }
    let letters: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    let label: String = link.label().chars().filter(char::is_ascii_alphanumeric).collect();
    let folders = link.path().rsplit_once('/').map_or("", |(folders, _)| folders).to_ascii_lowercase();
    let in_its_folder = folders.split('/').take(8).any(|folder| folder.len() > 3 && letters.starts_with(folder));
    label.len() >= 3 && shares_run(&letters, &label, 4.min(label.len()))
        || in_its_folder
        || has_version(link.path())
        || names_a_machine(&lower)
}

/// `tool-x64.exe`, `tool_win32`, `tool452`: a build for a machine, or a version written together.
fn names_a_machine(name: &str) -> bool {
    const MACHINES: &[&str] =
        &["x64", "x86", "win32", "win64", "32bit", "64bit", "amd64", "arm64", "x32", "-64", "-32", "_64", "_32"];
    let bytes = name.as_bytes();
    MACHINES.iter().any(|machine| name.contains(machine))
        || bytes.windows(4).any(|w| {
            w[0].is_ascii_alphabetic() && w[1].is_ascii_digit() && w[2].is_ascii_digit() && !w[3].is_ascii_alphabetic()
        })
}

/// Whether a run of `length` letters of `label` stands in `name`.
fn shares_run(name: &str, label: &str, length: usize) -> bool {
    label.as_bytes().windows(length).any(|run| std::str::from_utf8(run).is_ok_and(|run| name.contains(run)))
}

/// `1.2`, `v3.10.1`, `2025-06`, or the `$version` of a package's recipe.
fn has_version(path: &str) -> bool {
    let bytes = path.as_bytes();
    path.contains("$version")
        || bytes
            .windows(3)
            .any(|w| w[0].is_ascii_digit() && matches!(w[1], b'.' | b'_' | b'-') && w[2].is_ascii_digit())
}

const REDIRECT_KEYS: &[&str] = &[
    "url",
    "u",
    "uri",
    "link",
    "href",
    "redirect",
    "redirect_url",
    "redirect_uri",
    "redirecturl",
    "redirectto",
    "redir",
    "next",
    "target",
    "dest",
    "destination",
    "goto",
    "go",
    "to",
    "out",
    "continue",
    "return",
    "returnurl",
    "return_url",
    "return_to",
    "rurl",
    "r",
    "q",
    "adurl",
    "murl",
    "ued",
    "forward",
    "location",
    "jump",
    "exit",
    "l",
    "a",
];

/// The other site's link that a parameter carries, plain, escaped up to twice, or in base64.
fn redirect(link: &Link) -> Option<String> {
    let query = cut(link.query_and_fragment(), PATH_BYTES_MAX);
    if query.len() < 8 {
        return None;
    }
    query.split(['?', '&', '#', ';']).take(64).find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        if !REDIRECT_KEYS.contains(&key.to_ascii_lowercase().as_str()) {
            return None;
        }
        let inner = decoded_link(value)?;
        if !inner.get(..4).is_some_and(|seen| seen.eq_ignore_ascii_case("http")) {
            return Some(inner);
        }
        let host = inner.split("//").nth(1)?.split(['/', '?', '#']).next()?.rsplit('@').next()?.to_ascii_lowercase();
        (host.contains('.') && !host.ends_with(link.registrable())).then_some(inner)
    })
}

/// The link that a parameter's value is, however it is wrapped; also one that runs instead of leading anywhere.
fn decoded_link(value: &str) -> Option<String> {
    let starts = |value: &str, with: &str| value.get(..with.len()).is_some_and(|seen| seen.eq_ignore_ascii_case(with));
    let mut value = value.to_owned();
    for _ in 0..3 {
        if ["http://", "https://", "javascript:", "data:text/html", "intent:"].iter().any(|start| starts(&value, start))
        {
            return Some(value);
        }
        if let Some(rest) = value.strip_prefix("//") {
            return Some(format!("http://{rest}"));
        }
        if value.starts_with("aHR0c") {
            return base64(&value).filter(|inner| inner.starts_with("http"));
        }
        if !value.contains('%') {
            return None;
        }
        value = unescaped(&value);
    }
    None
}

/// Base64 in either alphabet, as far as it goes; links that hide in it are short.
fn base64(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.bytes().take(PATH_BYTES_MAX) {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8); // the low eight bits are meant
        }
    }
    String::from_utf8(bytes).ok()
}

/// The unofficial app whose name stands in host or path.
pub(super) fn unofficial_app<'r>(link: &Link, rules: &'r LinkRules) -> Option<&'r str> {
    let names = rules.words.get("unofficial_apps")?;
    let text = format!("{}{}", link.host, cut(&link.tail, 512)).to_ascii_lowercase();
    // Most links hold none of the names' beginnings.
    if !["whats", "gbwa", "insta", "plusmess"].iter().any(|part| text.contains(part)) {
        return None;
    }
    let joined: String = text.chars().filter(|c| !matches!(c, '-' | '_' | '+' | ' ' | '.')).collect();
    names.iter().filter(|name| joined.contains(name.as_str())).min().map(String::as_str)
}

/// A link that makes an account open on another's device.
pub(super) fn links_a_device(link: &Link) -> bool {
    let tail = link.tail.to_ascii_lowercase();
    match link.scheme.as_str() {
        "sgnl" => tail.contains("linkdevice"),
        "tsdevice" => true,
        "tg" => tail.contains("//login"),
        "whatsapp" => tail.contains("link") && tail.contains("device"),
        "http" | "https" => {
            let whatsapp = matches!(link.registrable(), "wa.me" | "whatsapp.com");
            let linked = tail.contains("linked_devices") || tail.contains("link-device") || tail.contains("linkdevice");
            whatsapp && linked
                || link.registrable() == "signal.link" && tail.contains("linkdevice")
                || link.registrable() == "t.me" && tail.starts_with("/login/")
        }
        _ => false,
    }
}

/// The host was written so that a person cannot read it: escapes, or a number in an unusual notation.
pub(super) fn is_disguised_host(link: &Link) -> bool {
    let raw = link.raw_host.as_str();
    if raw.contains('%') {
        return true;
    }
    match link.ip {
        Some(ip) if ip.is_ipv4() => raw.trim_end_matches('.') != ip.to_string(),
        _ => false,
    }
}

/// The reader's own network: his router, his printer, his own machine.
pub(super) fn is_inside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared
        }
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(v4) => is_inside(v4.into()),
            None => ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local(),
        },
    }
}

/// Digits of a `tel:` or `sms:` link, with its plus.
pub(super) fn number_of(link: &Link) -> String {
    let number = link.tail.split([';', '?', ',']).next().unwrap_or_default();
    unescaped(number).chars().filter(|c| c.is_ascii_digit() || *c == '+').take(24).collect()
}

/// A label that mixes letters of scripts no language mixes.
pub(super) fn mixes_scripts(link: &Link) -> bool {
    use unicode_security::mixed_script::MixedScript;
    link.unicode.as_deref().is_some_and(|host| host.split('.').any(|label| !label.is_single_script()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_link_inside_a_redirect() {
        let check =
            |link: &str, expect: Option<&str>| assert_eq!(redirect(&Link::parse(link)).as_deref(), expect, "{link}");
        check("https://a.com/l?u=https%3A%2F%2Fevil.top%2Fx", Some("https://evil.top/x"));
        check("https://a.com/l?u=https%253A%252F%252Fevil.top", Some("https://evil.top"));
        check("https://a.com/?next=//evil.top/x", Some("http://evil.top/x"));
        check("https://a.com/?url=aHR0cHM6Ly9ldmlsLnRvcC94", Some("https://evil.top/x"));
        check("https://a.com/?next=https://login.a.com/", None);
        check("https://a.com/?q=banana", None);
    }

    #[test]
    fn a_disguised_host_is_told_from_a_plain_one() {
        let check = |link: &str, expect: bool| assert_eq!(is_disguised_host(&Link::parse(link)), expect, "{link}");
        check("http://0x7f000001/", true);
        check("http://2130706433/", true);
        check("http://%65vil.com/", true);
        check("http://127.0.0.1/", false);
        check("http://example.com/%65", false);
    }
}
