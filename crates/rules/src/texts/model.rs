//! The learned scorer's weights: a logistic regression over hashed words and word pairs.
//!
//! File form (`texts/*.model`, little endian), written by `training/texts/train.py`:
//! `GTXT` · u32 version (1) · u32 log2 of the number of weights · f32 scale · f32 bias · one i8 a weight.

use super::lexicon::{PRIME, SEED};
use crate::RuleError;

/// The weights, ready to add up.
#[derive(Clone)]
pub struct TextModel {
    bits: u32,
    scale: f32,
    pub bias: f32,
    weights: Box<[i8]>,
}

impl std::fmt::Debug for TextModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TextModel(2^{} weights)", self.bits)
    }
}

/// How a word takes part in a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Grams {
    /// The word itself.
    Word = 1,
    /// The word's first letters.
    Stem = 2,
    /// The stems of two neighbours.
    Pair = 3,
    /// The stems of two words with one between.
    Skip = 4,
    /// A signal that the rules heard, by rule and name; not shortened with the text's length as the others are.
    Signal = 5,
    /// How strong the strongest rule is, in tenths of its threshold.
    Strength = 6,
    /// The stem of a word with the `?` or `!` right after it.
    Mark = 7,
    /// How it is written: questions, shouting, capitals, length. Not shortened, as signals are not.
    Style = 8,
}

/// Hash of a feature: its form, then its words with a separator.
pub fn gram_hash(form: Grams, words: &[&str]) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    let mut hash = step(SEED, form as u8);
    for word in words {
        for byte in word.bytes() {
            hash = step(hash, byte);
        }
        hash = step(hash, 0);
    }
    hash
}

impl TextModel {
    /// 2^20 weights are one megabyte, more than a rule file should weigh.
    const BITS_MAX: u32 = 20;
    const HEADER_BYTES: usize = 20;

    pub fn weight(&self, hash: u64) -> f32 {
        // The low bits of FNV are weak in short inputs; fold the high ones in.
        let index = (hash ^ (hash >> 32)) & ((1 << self.bits) - 1);
        f32::from(self.weights[index as usize]) * self.scale
    }

    pub(super) fn read(path: &str, bytes: &[u8]) -> Result<Self, RuleError> {
        let wrong = |problem: &str| RuleError::new(path, 0, problem, "write it anew with training/texts/train.py");
        let word = |at: usize| bytes.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
        let (Some(magic), Some(version), Some(bits), Some(scale), Some(bias)) =
            (word(0), word(4), word(8), word(12), word(16))
        else {
            return Err(wrong("the model file is too short"));
        };
        if &magic != b"GTXT" || u32::from_le_bytes(version) != 1 {
            return Err(wrong("this is not a text model of version 1"));
        }
        let bits = u32::from_le_bytes(bits);
        let (scale, bias) = (f32::from_le_bytes(scale), f32::from_le_bytes(bias));
        if bits > Self::BITS_MAX || !scale.is_finite() || !bias.is_finite() {
            return Err(wrong("the model's header is out of bounds"));
        }
        let body = &bytes[Self::HEADER_BYTES..];
        if body.len() != 1 << bits {
            return Err(wrong("the model's length does not fit its header"));
        }
        Ok(TextModel { bits, scale, bias, weights: body.iter().map(|byte| byte.cast_signed()).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bits: u32, length: usize) -> Vec<u8> {
        let mut bytes = b"GTXT".to_vec();
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(bits.to_le_bytes());
        bytes.extend(0.5f32.to_le_bytes());
        bytes.extend((-1f32).to_le_bytes());
        bytes.extend(std::iter::repeat_n(0xfeu8, length));
        bytes
    }

    #[test]
    fn reads_what_fits_and_refuses_the_rest() {
        let model = TextModel::read("texts/m.model", &file(4, 16)).unwrap();
        assert_eq!(model.weight(gram_hash(Grams::Word, &["pix"])), -1.0);
        for bad in [file(4, 15), file(4, 17), file(40, 16), b"GTXT".to_vec(), Vec::new(), vec![0; 64]] {
            assert!(TextModel::read("texts/m.model", &bad).is_err());
        }
    }
}
