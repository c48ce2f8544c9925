//! The keys of this crate, all derived from one master key that is handed in. It must not know where that key is kept.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// One key a purpose, so that no two uses can be played against each other.
#[derive(Clone)]
pub struct MediaKeys {
    /// Blobs at rest.
    pub(crate) blobs: [u8; 32],
    /// Media ids in the index (keyed hash).
    pub(crate) ids: [u8; 32],
    /// Names and types in the index (sealed).
    pub(crate) rows: [u8; 32],
    /// Expiring urls of the media door.
    pub(crate) urls: [u8; 32],
}

impl MediaKeys {
    /// Derives every key from the 32 bytes of the storage folder's key file.
    pub fn derive(master: &[u8; 32]) -> Self {
        let key = |label: &str| mac(master, &[b"guarita media v1 ", label.as_bytes()]);
        MediaKeys { blobs: key("blobs"), ids: key("ids"), rows: key("rows"), urls: key("urls") }
    }
}

impl fmt::Debug for MediaKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaKeys(…)")
    }
}

/// HMAC-SHA256 over the pieces as they stand; callers separate them where their lengths vary.
pub(crate) fn mac(key: &[u8; 32], pieces: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes().into()
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(bytes)
}
