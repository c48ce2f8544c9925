//! Tables of short strings that are asked several times for every link: a hash of a few instructions.
//!
//! It does not keep whoever chooses the *keys* from making them collide, as the standard library's does. Keys here are words
//! and hosts of rule files; a message is only ever looked up, and its author cannot put anything in.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

pub type Table<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;
pub type Words = HashSet<String, BuildHasherDefault<Quick>>;

/// Eight bytes at a time, multiplied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quick(u64);

impl Quick {
    fn add(&mut self, eight: u64) {
        self.0 = (self.0.rotate_left(5) ^ eight).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        // Tables take the low bits, where a product knows least.
        self.0 ^ self.0 >> 29
    }

    fn write(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<8>();
        eights.iter().for_each(|eight| self.add(u64::from_le_bytes(*eight)));
        let rest = rest.iter().fold(rest.len() as u64, |sum, byte| sum << 8 | u64::from(*byte));
        self.add(rest);
    }

    fn write_u8(&mut self, _: u8) {
        // The end of a string; its length is in already.
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn like_names_spread_over_a_table() {
        let hashes = BuildHasherDefault::<Quick>::default();
        for bits in [0, 57] {
            let mut used = vec![0_u32; 128];
            for number in 0..12_800 {
                let hash = hashes.hash_one(format!("h{number}.example.com"));
                used[(hash >> bits) as usize & 127] += 1;
            }
            assert!(used.iter().all(|count| (40..200).contains(count)), "{used:?}");
        }
    }

    #[test]
    fn lengths_count() {
        let hashes = BuildHasherDefault::<Quick>::default();
        let names = ["", "a", "ab", "abcdefg", "abcdefgh", "abcdefghi", "\0", "\0\0", "abcdefgh\0"];
        let seen: HashSet<u64> = names.iter().map(|name| hashes.hash_one(name)).collect();
        assert_eq!(seen.len(), names.len());
    }
}
