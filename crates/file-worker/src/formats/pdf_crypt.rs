//! PDF's standard security: the key that a password (most often none) gives, and texts and streams in plain. RC4 and AES of
//! every revision; certificates are not opened. Knows ciphers, not what an object means.

use super::bytes::take;
use super::pdf_syntax::Value;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use md5::{Digest as _, Md5};
use sha2::{Sha256, Sha384, Sha512};

/// What a short password is filled up with.
const PADDING: [u8; 32] = [
    0x28, 0xbf, 0x4e, 0x5e, 0x4e, 0x75, 0x8a, 0x41, 0x64, 0x00, 0x4e, 0x56, 0xff, 0xfa, 0x01, 0x08, 0x2e, 0x2e, 0x00,
    0xb6, 0xd0, 0x68, 0x3e, 0x80, 0x2f, 0x0c, 0xa9, 0xfe, 0x64, 0x53, 0x69, 0x7a,
];
/// Revision 6 hashes until a number comes out that is small enough; it always does long before.
const ROUNDS_MAX: usize = 1_000;
const PASSWORD_BYTES_MAX: usize = 127;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cipher {
    Plain,
    Rc4,
    Aes128,
    Aes256,
}

/// What the document's encryption dictionary says.
pub struct Lock {
    revision: u32,
    key_bytes: usize,
    owner: Vec<u8>,
    user: Vec<u8>,
    user_key: Vec<u8>,
    permissions: i32,
    id: Vec<u8>,
    metadata: bool,
    texts: Cipher,
    streams: Cipher,
}

/// A password opened the lock.
pub struct Key {
    key: Vec<u8>,
    texts: Cipher,
    streams: Cipher,
    pub metadata: bool,
}

impl Lock {
    /// `None` where the dictionary is of a form that is not known.
    pub fn read(dict: &Value, id: Option<&Value>) -> Option<Lock> {
        let number = |key: &str| dict.get(key).and_then(Value::number);
        let bytes = |key: &str| match dict.get(key) {
            Some(Value::Text(bytes)) => bytes.clone(),
            _ => Vec::new(),
        };
        if dict.get("Filter").and_then(Value::name) != Some("Standard") {
            return None;
        }
        let (version, revision) = (number("V")? as u32, number("R")? as u32);
        let filter = |key: &str| {
            let named = dict.get(key).and_then(Value::name).unwrap_or("Identity");
            let filter = dict.get("CF").and_then(|filters| filters.get(named));
            match filter.and_then(|filter| filter.get("CFM")).and_then(Value::name) {
                Some("V2") => Cipher::Rc4,
                Some("AESV2") => Cipher::Aes128,
                Some("AESV3") => Cipher::Aes256,
                _ => Cipher::Plain,
            }
        };
        let (texts, streams) = match version {
            1 | 2 => (Cipher::Rc4, Cipher::Rc4),
            4 | 5 => (filter("StrF"), filter("StmF")),
            _ => return None,
        };
        let key_bytes = match version {
            1 => 5,
            4 => 16,
            _ => (number("Length").unwrap_or(40.0) as usize / 8).clamp(5, 16),
        };
        Some(Lock {
            revision: (2..=6).contains(&revision).then_some(revision)?,
            key_bytes,
            owner: bytes("O"),
            user: bytes("U"),
            user_key: bytes("UE"),
            permissions: number("P")? as i64 as i32,
            id: match id {
                Some(Value::Array(ids)) => match ids.first() {
                    Some(Value::Text(bytes)) => bytes.clone(),
                    _ => Vec::new(),
                },
                _ => Vec::new(),
            },
            metadata: !matches!(dict.get("EncryptMetadata"), Some(Value::False)),
            texts,
            streams,
        })
    }

    /// The key, if this password opens the document for reading.
    pub fn open(&self, password: &[u8]) -> Option<Key> {
        let password = &password[..password.len().min(PASSWORD_BYTES_MAX)];
        let key = if self.revision >= 5 { self.new_key(password) } else { self.old_key(password) }?;
        Some(Key { key, texts: self.texts, streams: self.streams, metadata: self.metadata })
    }

    fn old_key(&self, password: &[u8]) -> Option<Vec<u8>> {
        let filled: Vec<u8> = password.iter().chain(&PADDING).take(32).copied().collect();
        let mut hash = Md5::new();
        hash.update(&filled);
        hash.update(take(&self.owner, 0, 32)?);
        hash.update(self.permissions.to_le_bytes());
        hash.update(&self.id);
        if self.revision >= 4 && !self.metadata {
            hash.update([0xff; 4]);
        }
        let mut key = hash.finalize().to_vec();
        if self.revision >= 3 {
            for _ in 0..50 {
                key = Md5::digest(&key[..self.key_bytes]).to_vec();
            }
        }
        key.truncate(self.key_bytes);
        let right = if self.revision == 2 {
            rc4(&key, &PADDING) == self.user
        } else {
            let mut proof = Md5::new();
            proof.update(PADDING);
            proof.update(&self.id);
            let mut proof = proof.finalize().to_vec();
            for round in 0..20u8 {
                let turned: Vec<u8> = key.iter().map(|byte| byte ^ round).collect();
                proof = rc4(&turned, &proof);
            }
            take(&self.user, 0, 16) == Some(proof.as_slice())
        };
        right.then_some(key)
    }

    /// Of AES-256: the password proves itself against one salt and opens the key with another.
    fn new_key(&self, password: &[u8]) -> Option<Vec<u8>> {
        let hash = |salt: &[u8]| match self.revision {
            5 => <Sha256 as sha2::Digest>::digest([password, salt].concat()).to_vec(),
            _ => hash_of_revision_6(password, salt),
        };
        if hash(take(&self.user, 32, 8)?) != take(&self.user, 0, 32)? {
            return None;
        }
        let opener = hash(take(&self.user, 40, 8)?);
        aes_cbc_decrypt(&opener, &[0; 16], take(&self.user_key, 0, 32)?)
    }
}

impl Key {
    /// A text of object `number` in plain.
    pub fn text(&self, bytes: &[u8], number: u32, generation: u16) -> Vec<u8> {
        self.decrypt(self.texts, bytes, number, generation)
    }

    /// A stream of object `number` in plain.
    pub fn stream(&self, bytes: &[u8], number: u32, generation: u16) -> Vec<u8> {
        self.decrypt(self.streams, bytes, number, generation)
    }

    fn decrypt(&self, cipher: Cipher, bytes: &[u8], number: u32, generation: u16) -> Vec<u8> {
        let of_object = |salt: &[u8]| {
            let mut hash = Md5::new();
            hash.update(&self.key);
            hash.update(&number.to_le_bytes()[..3]);
            hash.update(generation.to_le_bytes());
            hash.update(salt);
            let mut key = hash.finalize().to_vec();
            key.truncate((self.key.len() + 5).min(16));
            key
        };
        let aes = |key: &[u8]| {
            let (vector, body) = bytes.split_at_checked(16)?;
            let mut plain = aes_cbc_decrypt(key, vector, body)?;
            // The last byte says how many were added; one that does not is left alone.
            let added = usize::from(plain.last().copied().unwrap_or(0));
            if (1..=16).contains(&added) && added <= plain.len() {
                plain.truncate(plain.len() - added);
            }
            Some(plain)
        };
        match cipher {
            Cipher::Plain => bytes.to_vec(),
            Cipher::Rc4 => rc4(&of_object(b""), bytes),
            Cipher::Aes128 => aes(&of_object(b"sAlT")).unwrap_or_default(),
            Cipher::Aes256 => aes(&self.key).unwrap_or_default(),
        }
    }
}

fn hash_of_revision_6(password: &[u8], salt: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    let mut key = Sha256::digest([password, salt].concat()).to_vec();
    for round in 0..ROUNDS_MAX {
        let block = [password, &key].concat().repeat(64);
        let (Some(secret), Some(vector)) = (take(&key, 0, 16), take(&key, 16, 16)) else { break };
        let Some(mixed) = aes128_cbc_encrypt(secret, vector, &block) else { break };
        let sum: u32 = mixed.iter().take(16).map(|byte| u32::from(*byte)).sum();
        key = match sum % 3 {
            0 => Sha256::digest(&mixed).to_vec(),
            1 => Sha384::digest(&mixed).to_vec(),
            _ => Sha512::digest(&mixed).to_vec(),
        };
        let last = usize::from(mixed.last().copied().unwrap_or(0));
        if round >= 63 && last + 32 <= round + 1 {
            break;
        }
    }
    key.truncate(32);
    key
}

/// Whole blocks; what is left over at the end is dropped.
fn aes_cbc_decrypt(key: &[u8], vector: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    let small = aes::Aes128::new_from_slice(key).ok();
    let large = aes::Aes256::new_from_slice(key).ok();
    let mut before: [u8; 16] = vector.try_into().ok()?;
    let mut out = Vec::with_capacity(bytes.len());
    for packed in bytes.chunks_exact(16) {
        let packed: [u8; 16] = packed.try_into().ok()?;
        let mut block = packed.into();
        match (&small, &large) {
            (Some(cipher), _) => cipher.decrypt_block(&mut block),
            (_, Some(cipher)) => cipher.decrypt_block(&mut block),
            _ => return None,
        }
        out.extend(block.iter().zip(before).map(|(byte, before)| byte ^ before));
        before = packed;
    }
    Some(out)
}

fn aes128_cbc_encrypt(key: &[u8], vector: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    let cipher = aes::Aes128::new_from_slice(key).ok()?;
    let mut before: [u8; 16] = vector.try_into().ok()?;
    let mut out = Vec::with_capacity(bytes.len());
    for plain in bytes.chunks_exact(16) {
        let mut mixed = [0u8; 16];
        for (at, byte) in mixed.iter_mut().enumerate() {
            *byte = plain[at] ^ before[at];
        }
        let mut block = mixed.into();
        cipher.encrypt_block(&mut block);
        before.copy_from_slice(&block);
        out.extend_from_slice(&before);
    }
    Some(out)
}

fn rc4(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut state: [u8; 256] = std::array::from_fn(|at| at as u8);
    let mut j = 0u8;
    for i in 0..256 {
        j = j.wrapping_add(state[i]).wrapping_add(key[i % key.len()]);
        state.swap(i, usize::from(j));
    }
    let (mut i, mut j) = (0u8, 0u8);
    bytes
        .iter()
        .map(|byte| {
            i = i.wrapping_add(1);
            j = j.wrapping_add(state[usize::from(i)]);
            state.swap(usize::from(i), usize::from(j));
            byte ^ state[usize::from(state[usize::from(i)].wrapping_add(state[usize::from(j)]))]
        })
        .collect()
}
