//! Urls of this door: each holds the id, when it ends, and a proof that we made it. It must not know what an id may do.

use crate::{BuildError, MediaKeys, keys::mac};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use subtle::ConstantTimeEq;

/// First segment of every path of our own; such paths never pass on to Graph.
const OWN: &str = "guarita";
const MAC_BYTES: usize = 16;

pub(super) struct Links {
    key: [u8; 32],
    /// Without a slash at its end.
    public_url: String,
    /// Path of the public url, for proxies that do not take it off.
    prefix: String,
}

impl Links {
    pub(super) fn new(keys: &MediaKeys, public_url: &str) -> Result<Self, BuildError> {
        let wrong = || BuildError::Config("media.public_url must be an http or https url without a query".into());
        let url = url::Url::parse(public_url).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong());
        }
        let prefix = url.path().trim_end_matches('/').to_owned();
        Ok(Links { key: keys.urls, public_url: public_url.trim_end_matches('/').to_owned(), prefix })
    }

    pub(super) fn url(&self, id: &str, expires: u64) -> String {
        let proof = hex::encode(self.proof(id, expires));
        format!("{}/{OWN}/media/{}/{expires}.{proof}", self.public_url, utf8_percent_encode(id, NON_ALPHANUMERIC))
    }

    /// The path without the public url's own.
    pub(super) fn own_path<'a>(&self, path: &'a str) -> &'a str {
        match path.strip_prefix(self.prefix.as_str()) {
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        }
    }

    /// The id a path of ours is for, if we made it and its time is not over.
    pub(super) fn id_of(&self, path: &str, now_seconds: u64) -> Option<String> {
        let rest = path.strip_prefix('/')?.strip_prefix(OWN)?.strip_prefix("/media/")?;
        let (id, ticket) = rest.split_once('/')?;
        let (expires, proof) = ticket.split_once('.')?;
        let id = percent_decode_str(id).decode_utf8().ok()?.into_owned();
        let expires = expires.parse().ok()?;
        let proof = hex::decode(proof).ok()?;
        let genuine: bool = proof.ct_eq(&self.proof(&id, expires)).into();
        (genuine && now_seconds < expires).then_some(id)
    }

    /// The path that a bot's library puts behind its file url. `None`: no id of Telegram's looks so.
    pub(super) fn file_path(&self, id: &str, expires: u64, name: &str) -> Option<String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let proof = hex::encode(self.proof(id, expires));
        (!id.is_empty() && id.chars().all(fits)).then(|| format!("{OWN}/{id}/{expires}.{proof}/{name}"))
    }

    /// The id a bot's file path is for, if we made it and its time is not over. The name at its end is for people.
    pub(super) fn id_of_file_path(&self, path: &str, now_seconds: u64) -> Option<String> {
        let rest = path.trim_start_matches('/').strip_prefix(OWN)?.strip_prefix('/')?;
        let (ticket, _name) = rest.rsplit_once('/')?;
        self.id_of(&format!("/{OWN}/media/{ticket}"), now_seconds)
    }

    fn proof(&self, id: &str, expires: u64) -> [u8; MAC_BYTES] {
        let mac = mac(&self.key, &[b"download ", &expires.to_be_bytes(), id.as_bytes()]);
        mac[..MAC_BYTES].try_into().expect("16 of 32 bytes")
    }
}

/// Whether a path is one of ours, well spelled or not.
pub(super) fn is_own(path: &str) -> bool {
    let first = path.split(['/', '\\']).find(|segment| !segment.is_empty()).unwrap_or("");
    percent_decode_str(first).decode_utf8_lossy().eq_ignore_ascii_case(OWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(public_url: &str) -> Links {
        Links::new(&MediaKeys::derive(&[7; 32]), public_url).unwrap()
    }

    #[test]
    fn a_url_works_until_its_time_and_for_its_id_alone() {
        let links = links("http://door:8082/");
        let path = links.url("a/b é", 1000).strip_prefix("http://door:8082").unwrap().to_owned();
        assert_eq!(links.id_of(&path, 999).as_deref(), Some("a/b é"));
        assert_eq!(links.id_of(&path, 1000), None);
        for wrong in [
            path.replace("1000.", "1001."),
            path.replace("a%2Fb", "a%2Fc"),
            path[..path.len() - 1].to_owned(),
            format!("{path}0"),
            path.replace("/media/", "/medi/"),
            "/guarita/media/x".into(),
            "/guarita/media/x/1000".into(),
            "/guarita/media/x/1000.".into(),
            "/guarita/media/x/9999999999999999999999.00".into(),
            "/guarita/media/%ff/1000.00".into(),
            String::new(),
        ] {
            assert_eq!(links.id_of(&wrong, 999), None, "{wrong}");
        }
        let other = Links::new(&MediaKeys::derive(&[8; 32]), "http://door:8082").unwrap();
        assert_eq!(other.id_of(&path, 999), None, "another key");
    }

    #[test]
    fn a_prefix_in_the_public_url_is_taken_off() {
        let links = links("https://bot.example/media-door");
        let path = links.url("1", 1000).strip_prefix("https://bot.example").unwrap().to_owned();
        assert_eq!(links.id_of(links.own_path(&path), 1).as_deref(), Some("1"));
        assert_eq!(links.own_path("/media-doorbell/x"), "/media-doorbell/x");
    }

    #[test]
    fn own_paths_are_known_in_any_spelling() {
        for path in ["/guarita/media/x", "//guarita", "/GUARITA/x", "/%67uarita/x", "/\\guarita"] {
            assert!(is_own(path), "{path}");
        }
        assert!(!is_own("/v23.0/guarita"));
        assert!(!is_own("/"));
    }
}
