//! The three files that pages ask for: one style sheet, one script, one icon. They are in the program; their address
//! carries their hash, so that a browser keeps them for good and never mixes versions.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

pub struct Asset {
    name: &'static str,
    mime: &'static str,
    bytes: &'static [u8],
    hash: LazyLock<String>,
}

pub static STYLE: Asset = Asset {
    name: "console.css",
    mime: "text/css; charset=utf-8",
    bytes: include_bytes!("../assets/console.css"),
    hash: LazyLock::new(|| hash_of(STYLE.bytes)),
};
pub static SCRIPT: Asset = Asset {
    name: "console.js",
    mime: "text/javascript; charset=utf-8",
    bytes: include_bytes!("../assets/console.js"),
    hash: LazyLock::new(|| hash_of(SCRIPT.bytes)),
};
pub static ICON: Asset = Asset {
    name: "icon.svg",
    mime: "image/svg+xml",
    bytes: include_bytes!("../assets/icon.svg"),
    hash: LazyLock::new(|| hash_of(ICON.bytes)),
};

/// Hexadecimal digits of the hash in an address.
const HASH_DIGITS: usize = 16;

fn hash_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))[..HASH_DIGITS].to_owned()
}

impl Asset {
    pub fn url(&self) -> String {
        format!("/assets/{}/{}", *self.hash, self.name)
    }
}

/// `GET /assets/{hash}/{name}`. A hash of another version gets this version's file, without being kept.
pub fn serve(hash: &str, name: &str, asked: &HeaderMap) -> Response {
    let Some(asset) = [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = format!("\"{}\"", *asset.hash);
    let keep = if hash == *asset.hash { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, asset.mime.to_owned()),
        (header::CACHE_CONTROL, keep.to_owned()),
        (header::ETAG, tag.clone()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    let had = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if had.is_some_and(|had| had.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, asset.bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_is_kept_for_good_only_under_its_own_hash() {
        let right = serve(&STYLE.hash, "console.css", &HeaderMap::new());
        assert!(right.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        let old = serve("0000", "console.css", &HeaderMap::new());
        assert_eq!(old.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(serve("x", "../../etc/passwd", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
        let mut had = HeaderMap::new();
        had.insert(header::IF_NONE_MATCH, format!("\"{}\"", *STYLE.hash).parse().unwrap());
        assert_eq!(serve(&STYLE.hash, "console.css", &had).status(), StatusCode::NOT_MODIFIED);
    }

    /// The policy names 'self' alone; nothing in the files may need more.
    #[test]
    fn nothing_is_asked_from_outside() {
        let style = std::str::from_utf8(STYLE.bytes).unwrap();
        let script = std::str::from_utf8(SCRIPT.bytes).unwrap();
        for forbidden in ["@import", "url(", "http://", "https://"] {
            assert!(!style.contains(forbidden), "style: {forbidden}");
        }
        for forbidden in [
            "eval(",
            "new Function",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "http://",
            "https://",
        ] {
            assert!(!script.contains(forbidden), "script: {forbidden}");
        }
    }
}
