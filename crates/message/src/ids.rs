//! Names for things: deliveries, conversations, contents.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One entry on its way to the backend: what `X-Guarita-Delivery` and `ref` show. The same on every retry.
/// 26 characters of Crockford base 32, sortable by time of receipt; made by the spool.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub String);

impl DeliveryId {
    /// From the time of receipt (milliseconds since 1970) and 80 random bits.
    pub fn new(now_ms: u64, random: [u8; 10]) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let mut bits = u128::from(now_ms & 0xffff_ffff_ffff) << 80;
        for (i, byte) in random.iter().enumerate() {
            bits |= u128::from(*byte) << (72 - 8 * i);
        }
        let text = (0..26).map(|i| ALPHABET[((bits >> (125 - 5 * i)) & 31) as usize] as char).collect();
        DeliveryId(text)
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What keeps its order: one customer on one number, or one recipient's statuses, or one account's events. Opaque; it
/// may hold a phone number, so `Debug` hides it and nothing logs it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConversationKey(pub String);

impl fmt::Debug for ConversationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConversationKey(…)")
    }
}

/// What makes two updates the same one: a message id, or a status' message id and state. Hides itself like
/// [`ConversationKey`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DedupeKey(pub String);

impl fmt::Debug for DedupeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DedupeKey(…)")
    }
}

/// SHA-256 of a file's bytes. Shown and serialised as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash(pub [u8; 32]);

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for ContentHash {
    type Err = &'static str;
    fn from_str(hex: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        if hex.len() != 64 || !hex.is_ascii() {
            return Err("a content hash is 64 hexadecimal digits");
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16)
                .map_err(|_| "a content hash is 64 hexadecimal digits")?;
        }
        Ok(ContentHash(bytes))
    }
}

impl Serialize for ContentHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
