//! Turns content into sealed blobs and names into keyed hashes. Knows no database and no file.
//!
//! A sealed blob is nonce (12 bytes), ciphertext, tag (16). Its associated data names the entry and the column, so that
//! a blob moved to another row does not open.

use crate::key::StorageKey;
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag, aead::AeadInOut, aead::KeyInit};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::{cell::RefCell, fmt};

/// A keyed hash that stands for a name (a conversation, a sender, a dedupe key). Says nothing without the key.
pub(crate) type Name = [u8; 16];

/// First bytes of a conversation's name: the same for all conversations of a route, so that the queue can let routes take
/// turns without knowing any; zero for those of no route.
pub(crate) type RouteTag = [u8; 4];

pub(crate) fn route_tag(conversation: &Name) -> RouteTag {
    let [a, b, c, d, ..] = *conversation;
    [a, b, c, d]
}

/// What a name names; the same text gives different hashes for each.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Conversation = 1,
    Sender = 2,
    Dedupe = 3,
    /// Tells whether a key file belongs to a database.
    Check = 4,
    Term = 5,
    Route = 6,
}

/// Where a blob belongs: which column of which entry.
#[derive(Clone, Copy)]
pub(crate) enum Column {
    Received = 1,
    Decision = 2,
    Summary = 3,
}

const NONCE: usize = 12;
const TAG: usize = 16;

pub(crate) struct Sealer {
    cipher: ChaCha20Poly1305,
    names: Hmac<Sha256>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

/// The blob does not open: another key, or damaged bytes.
#[derive(Debug)]
pub(crate) struct Broken;

impl Sealer {
    pub fn new(key: &StorageKey) -> Self {
        let names = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&key.derive("spool names"))
            .expect("HMAC takes a key of any length");
        Sealer { cipher: ChaCha20Poly1305::new(&Key::from(key.derive("spool content"))), names }
    }

    pub fn name(&self, kind: Kind, text: &str) -> Name {
        let mut name = self.hash(kind, text);
        if matches!(kind, Kind::Conversation) {
            let of_route = text.split_once('\u{1f}').map(|(route, _)| route_tag(&self.hash(Kind::Route, route)));
            name[..4].copy_from_slice(&of_route.unwrap_or_default());
        }
        name
    }

    fn hash(&self, kind: Kind, text: &str) -> Name {
        let mut mac = self.names.clone();
        mac.update(&[kind as u8]);
        mac.update(text.as_bytes());
        let full = mac.finalize().into_bytes();
        let mut name = Name::default();
        name.copy_from_slice(&full[..16]);
        name
    }

    /// Seals the `pieces`, one after the other. `Err`: the system gives no random bytes.
    pub fn seal(&self, received_ms: u64, salt: u64, column: Column, pieces: &[&[u8]]) -> Result<Vec<u8>, String> {
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut blob = Vec::with_capacity(NONCE + bytes + TAG);
        let nonce: [u8; NONCE] = random()?;
        blob.extend_from_slice(&nonce);
        pieces.iter().for_each(|piece| blob.extend_from_slice(piece));
        let tag = self
            .cipher
            .encrypt_inout_detached(&Nonce::from(nonce), &place(received_ms, salt, column), (&mut blob[NONCE..]).into())
            .map_err(|_| "content is too long to be sealed".to_owned())?;
        blob.extend_from_slice(&tag);
        Ok(blob)
    }

    pub fn open(&self, received_ms: u64, salt: u64, column: Column, mut blob: Vec<u8>) -> Result<Vec<u8>, Broken> {
        if blob.len() < NONCE + TAG {
            return Err(Broken);
        }
        let tag = Tag::try_from(&blob[blob.len() - TAG..]).map_err(|_| Broken)?;
        let nonce = Nonce::try_from(&blob[..NONCE]).map_err(|_| Broken)?;
        blob.truncate(blob.len() - TAG);
        self.cipher
            .decrypt_inout_detached(&nonce, &place(received_ms, salt, column), (&mut blob[NONCE..]).into(), &tag)
            .map_err(|_| Broken)?;
        blob.drain(..NONCE);
        Ok(blob)
    }
}

fn place(received_ms: u64, salt: u64, column: Column) -> [u8; 17] {
    let mut place = [0; 17];
    place[..8].copy_from_slice(&received_ms.to_be_bytes());
    place[8..16].copy_from_slice(&salt.to_be_bytes());
    place[16] = column as u8;
    place
}

/// Random bytes in gulps, as one system call a nonce would cost more than the sealing. Used bytes are wiped.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], String> {
    const GULP: usize = 1024;
    thread_local! {
        static POOL: RefCell<([u8; GULP], usize)> = const { RefCell::new(([0; GULP], GULP)) };
    }
    POOL.with_borrow_mut(|(pool, at)| {
        if *at + N > GULP {
            getrandom::fill(pool).map_err(|error| format!("no random bytes: {error}"))?;
            *at = 0;
        }
        let mut bytes = [0; N];
        bytes.copy_from_slice(&pool[*at..*at + N]);
        pool[*at..*at + N].fill(0);
        *at += N;
        Ok(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> (tempfile::TempDir, Sealer) {
        let folder = tempfile::tempdir().unwrap();
        let key = StorageKey::open_or_create(&folder.path().join("key")).unwrap();
        (folder, Sealer::new(&key))
    }

    #[test]
    fn a_blob_opens_only_in_its_place() {
        let (_folder, sealer) = sealer();
        let blob = sealer.seal(5, 6, Column::Received, &[b"ab", b"", b"c"]).unwrap();
        assert_eq!(sealer.open(5, 6, Column::Received, blob.clone()).unwrap(), b"abc");
        assert!(sealer.open(5, 6, Column::Decision, blob.clone()).is_err());
        assert!(sealer.open(5, 7, Column::Received, blob.clone()).is_err());
        assert!(sealer.open(4, 6, Column::Received, blob.clone()).is_err());
        for at in 0..blob.len() {
            let mut damaged = blob.clone();
            damaged[at] ^= 1;
            assert!(sealer.open(5, 6, Column::Received, damaged).is_err(), "byte {at}");
            assert!(sealer.open(5, 6, Column::Received, blob[..at].to_vec()).is_err(), "cut at {at}");
        }
        let (_other_folder, other) = self::sealer();
        assert!(other.open(5, 6, Column::Received, blob).is_err());
    }

    #[test]
    fn names_differ_by_kind_and_key_and_random_bytes_never_repeat() {
        let (_folder, sealer) = sealer();
        assert_eq!(sealer.name(Kind::Sender, "a"), sealer.name(Kind::Sender, "a"));
        assert_ne!(sealer.name(Kind::Sender, "a"), sealer.name(Kind::Conversation, "a"));
        assert_ne!(sealer.name(Kind::Sender, "a"), self::sealer().1.name(Kind::Sender, "a"));
        let drawn: std::collections::HashSet<[u8; 12]> = (0..10_000).map(|_| random().unwrap()).collect();
        assert_eq!(drawn.len(), 10_000);
    }
}
