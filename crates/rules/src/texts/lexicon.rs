//! Words to atoms: one look-up a word, whatever number of phrases there is.

use super::Atom;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type ByHash = HashMap<u64, Vec<Atom>, BuildHasherDefault<AsIs>>;

pub(super) const SEED: u64 = 0xcbf2_9ce4_8422_2325;
pub(super) const PRIME: u64 = 0x0100_0000_01b3;

/// Which atoms a word belongs to.
///
/// Words are kept by their 64-bit FNV hash: a crafted word that collides with one of ours reads as that word, which
/// gives its author nothing he could not have by writing the word itself.
#[derive(Debug, Default)]
pub struct Lexicon {
    whole: ByHash,
    begin: ByHash,
    begin_bytes_min: usize,
    begin_bytes_max: usize,
    /// Atoms of each kind, by `WordKind as usize`.
    kinds: [Vec<Atom>; 9],
    atoms: usize,
}

impl Lexicon {
    /// Number of atoms.
    pub fn atoms(&self) -> usize {
        self.atoms
    }

    /// Adds the atoms of `word` to `into`; duplicates may be among them.
    pub fn look_up(&self, word: &str, into: &mut Vec<Atom>) {
        let mut hash = SEED;
        for (i, byte) in word.bytes().enumerate() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
            let length = i + 1;
            if (self.begin_bytes_min..=self.begin_bytes_max).contains(&length)
                && let Some(atoms) = self.begin.get(&hash)
            {
                into.extend_from_slice(atoms);
            }
        }
        if let Some(atoms) = self.whole.get(&hash) {
            into.extend_from_slice(atoms);
        }
    }

    /// Adds the atoms of every kind whose bit is set in `kinds` (bit n: `WordKind` n).
    pub fn look_up_kinds(&self, kinds: u16, into: &mut Vec<Atom>) {
        for (bit, atoms) in self.kinds.iter().enumerate() {
            if kinds & (1 << bit) != 0 {
                into.extend_from_slice(atoms);
            }
        }
    }

    pub(super) fn add_word(&mut self, word: &str, atom: Atom) {
        push(self.whole.entry(hash(word)).or_default(), atom);
    }

    pub(super) fn add_begin(&mut self, begin: &str, atom: Atom) {
        push(self.begin.entry(hash(begin)).or_default(), atom);
        let unset = self.begin_bytes_min == 0;
        self.begin_bytes_min = if unset { begin.len() } else { self.begin_bytes_min.min(begin.len()) };
        self.begin_bytes_max = self.begin_bytes_max.max(begin.len());
    }

    pub(super) fn add_kind(&mut self, kind: super::WordKind, atom: Atom) {
        push(&mut self.kinds[kind as usize], atom);
    }

    pub(super) fn set_atoms(&mut self, atoms: usize) {
        self.atoms = atoms;
    }
}

fn push(atoms: &mut Vec<Atom>, atom: Atom) {
    if !atoms.contains(&atom) {
        atoms.push(atom);
    }
}

fn hash(word: &str) -> u64 {
    word.bytes().fold(SEED, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_and_beginnings() {
        let mut lexicon = Lexicon::default();
        lexicon.add_word("cod", 1);
        lexicon.add_begin("codig", 2);
        let look = |word: &str| {
            let mut found = Vec::new();
            lexicon.look_up(word, &mut found);
            found
        };
        assert_eq!(look("cod"), vec![1]);
        assert_eq!(look("codigos"), vec![2]);
        assert!(look("codi").is_empty());
        assert!(look("code").is_empty());
    }
}
