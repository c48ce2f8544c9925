//! The learned weights of links as they lie in `rules/links/model.bin`: read, checked, never run here.
//!
//! All numbers little-endian. Header `GLM2`, then
//! - `f32` scale of each of the channels; `u32` n-gram buckets (a power of two) and the buckets as `i8`; the same for the
//!   signs of form, which are learned by themselves;
//! - `u32` number of hand-made features the trees may look at;
//! - `u32` trees; each tree a `u32` of nodes and for each node `u16` feature, `u16` left, `u16` right, `f32` threshold,
//!   `f32` value. A leaf has left = right = 0; a left branch is the very next node. Every node carries a value, so that a score can be explained by what
//!   each step on its way added;
//! - `f32` bias, and `u32` points of the calibration curve, each `f32` raw and `f32` score, both rising.

use crate::RuleError;

/// Sums of n-gram weights are kept apart by the part of the link they come from.
pub const CHANNELS: usize = 6;
/// The channel of the signs of form; the others are of n-grams and words.
pub const FORM: usize = 5;
const BUCKETS_MAX: usize = 1 << 21;
const TREES_MAX: usize = 4096;
const NODES_MAX: usize = 512;
const CURVE_POINTS_MAX: usize = 256;
/// So that a feature's number fits a byte.
const FEATURES_MAX: usize = 256;
/// So that the place of a number among a feature's thresholds fits a byte, with one left over that nothing is above.
const THRESHOLDS_MAX: usize = 254;
const NEVER: u8 = u8::MAX;
/// Steps from a tree's root to its leaves, at most.
pub const DEPTH: u32 = 7;
pub const LEAVES: usize = 1 << DEPTH;

/// A node as the file has it.
#[derive(Clone, Copy)]
struct Node {
    feature: u8,
    left: u16,
    right: u16,
    threshold: f32,
    value: f32,
}

/// One fork of a tree as it is walked. A row goes right whose feature is above more than `above` of its thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fork {
    pub feature: u8,
    pub above: u8,
}

/// Checked weights: every child lies after its parent, every feature exists, every number is finite.
///
/// Trees are held as whole ones: below fork `n` lie `2n` and `2n + 1`, the root is 1, and a leaf that lies higher up is
/// handed down to the left. A walk is then the same few instructions at every step, whatever the link.
#[derive(Clone, PartialEq)]
pub struct LinkModel {
    pub buckets: Vec<i8>,
    /// Buckets of the channel [`FORM`].
    pub forms: Vec<i8>,
    pub scales: [f32; CHANNELS],
    /// For each feature the numbers that trees compare it with, rising.
    pub thresholds: Vec<Vec<f32>>,
    pub trees: Vec<[Fork; LEAVES]>,
    /// Steps after which every walk has come to a leaf, [`DEPTH`] at most.
    pub depth: u32,
    /// The value of each fork and, from [`LEAVES`] on, of each leaf: a leaf's is what its tree says, a fork's the mean of
    /// what lies behind it.
    pub values: Vec<[f32; 2 * LEAVES]>,
    pub bias: f32,
    pub curve: Vec<(f32, f32)>,
}

impl std::fmt::Debug for LinkModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinkModel({} buckets, {} trees)", self.buckets.len(), self.trees.len())
    }
}

impl LinkModel {
    pub(super) fn read(path: &str, bytes: &[u8]) -> Result<LinkModel, RuleError> {
        let mut reader = Reader { bytes, at: 0 };
        reader.model().map_err(|problem| {
            let problem = format!("{problem} (at byte {})", reader.at);
            RuleError::new(
                path,
                0,
                problem,
                "take the file as it was released, or train it anew with training/links/train.py",
            )
        })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn model(&mut self) -> Result<LinkModel, &'static str> {
        if self.take(4)? != b"GLM2" {
            return Err("not a file of link weights");
        }
        let mut scales = [0.0; CHANNELS];
        for scale in &mut scales {
            *scale = self.number()?;
        }
        let (buckets, forms) = (self.buckets()?, self.buckets()?);
        let features = self.count(FEATURES_MAX)?;
        let mut depth = 0;
        let trees =
            (0..self.count(TREES_MAX)?).map(|_| self.tree(features, &mut depth)).collect::<Result<Vec<_>, _>>()?;
        let bias = self.number()?;
        let points = self.count(CURVE_POINTS_MAX)?;
        let curve =
            (0..points).map(|_| Ok((self.number()?, self.number()?))).collect::<Result<Vec<_>, &'static str>>()?;
        if curve.len() < 2 || curve.windows(2).any(|pair| pair[0].0 >= pair[1].0 || pair[0].1 > pair[1].1) {
            return Err("the calibration curve does not rise");
        }
        if self.at != self.bytes.len() {
            return Err("bytes are left over");
        }
        let thresholds = thresholds_of(&trees, features)?;
        let laid_out: Vec<_> = trees.iter().map(|tree| lay_out(tree, &thresholds)).collect();
        let (trees, values) = laid_out.into_iter().unzip();
        Ok(LinkModel { buckets, forms, scales, thresholds, trees, depth, values, bias, curve })
    }

    fn buckets(&mut self) -> Result<Vec<i8>, &'static str> {
        let count = self.count(BUCKETS_MAX)?;
        if !count.is_power_of_two() {
            return Err("the number of buckets is not a power of two");
        }
        Ok(self.take(count)?.iter().map(|byte| byte.cast_signed()).collect())
    }

    fn tree(&mut self, features: usize, deepest: &mut u32) -> Result<Vec<Node>, &'static str> {
        let count = self.count(NODES_MAX)?;
        if count == 0 {
            return Err("a tree without nodes");
        }
        let mut nodes = Vec::with_capacity(count);
        for at in 0..count {
            let feature = u8::try_from(self.short()?).ok().filter(|feature| usize::from(*feature) < features.max(1));
            let node = Node {
                feature: feature.ok_or("a tree asks for a feature that does not exist")?,
                left: self.short()?,
                right: self.short()?,
                threshold: self.number()?,
                value: self.number()?,
            };
            let leaf = node.left == 0 && node.right == 0;
            let child = |next: u16| usize::from(next) > at && usize::from(next) < count;
            if !(leaf || usize::from(node.left) == at + 1 && child(node.left) && child(node.right)) {
                return Err("a tree's branch leads nowhere");
            }
            nodes.push(node);
        }
        // Parents come first, so a node's depth is known before its children's; two ways to one node are no tree.
        let mut depths = vec![None; count];
        depths[0] = Some(0_u32);
        for (at, node) in nodes.iter().enumerate().filter(|(_, node)| node.left != 0) {
            let depth = depths[at].unwrap_or(0) + 1;
            if depth > DEPTH {
                return Err("a tree is too deep");
            }
            *deepest = depth.max(*deepest);
            for child in [node.left, node.right] {
                if depths[usize::from(child)].replace(depth).is_some() {
                    return Err("two branches of a tree lead to one node");
                }
            }
        }
        Ok(nodes)
    }

    fn take(&mut self, count: usize) -> Result<&[u8], &'static str> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len()).ok_or("the file is cut short")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn count(&mut self, max: usize) -> Result<usize, &'static str> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        usize::try_from(u32::from_le_bytes(bytes)).ok().filter(|count| *count <= max).ok_or("a count is out of bounds")
    }

    fn short(&mut self) -> Result<u16, &'static str> {
        let taken = self.take(2)?;
        Ok(u16::from_le_bytes([taken[0], taken[1]]))
    }

    fn number(&mut self) -> Result<f32, &'static str> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Some(f32::from_le_bytes(bytes)).filter(|number| number.is_finite()).ok_or("a number is not finite")
    }
}

/// What each feature is compared with, in all trees.
fn thresholds_of(trees: &[Vec<Node>], features: usize) -> Result<Vec<Vec<f32>>, &'static str> {
    let mut thresholds = vec![Vec::new(); features];
    for node in trees.iter().flatten().filter(|node| node.left != 0) {
        thresholds[usize::from(node.feature)].push(node.threshold);
    }
    for of_feature in &mut thresholds {
        of_feature.sort_by(f32::total_cmp);
        of_feature.dedup();
        if of_feature.len() > THRESHOLDS_MAX {
            return Err("a feature is compared with too many numbers");
        }
    }
    Ok(thresholds)
}

/// The tree as a whole one, every leaf at the same depth.
fn lay_out(tree: &[Node], thresholds: &[Vec<f32>]) -> ([Fork; LEAVES], [f32; 2 * LEAVES]) {
    let mut forks = [Fork { feature: 0, above: NEVER }; LEAVES];
    let mut values = [0.0; 2 * LEAVES];
    // Where each place of the whole tree stands in the given one.
    let mut stands = [0_usize; 2 * LEAVES];
    for place in 1..2 * LEAVES {
        let at = stands[place];
        let node = &tree[at];
        values[place] = node.value;
        if place >= LEAVES {
            continue;
        }
        let (mut left, mut right) = (at, at);
        if node.left != 0 {
            (left, right) = (usize::from(node.left), usize::from(node.right));
            let above = thresholds[usize::from(node.feature)].partition_point(|known| *known < node.threshold);
            forks[place] = Fork { feature: node.feature, above: above as u8 }; // below THRESHOLDS_MAX
        }
        (stands[2 * place], stands[2 * place + 1]) = (left, right);
    }
    (forks, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small whole model: two buckets and one, one tree of three nodes.
    fn sample() -> Vec<u8> {
        let mut bytes = b"GLM2".to_vec();
        for _ in 0..CHANNELS {
            bytes.extend(1.0_f32.to_le_bytes());
        }
        bytes.extend(2_u32.to_le_bytes());
        bytes.extend([1, 255]);
        bytes.extend(1_u32.to_le_bytes());
        bytes.push(3);
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(3_u32.to_le_bytes());
        for (feature, left, right) in [(2_u16, 1_u16, 2_u16), (0, 0, 0), (0, 0, 0)] {
            for short in [feature, left, right] {
                bytes.extend(short.to_le_bytes());
            }
            bytes.extend(0.5_f32.to_le_bytes());
            bytes.extend(0.25_f32.to_le_bytes());
        }
        bytes.extend(0.0_f32.to_le_bytes());
        bytes.extend(2_u32.to_le_bytes());
        for number in [-1.0_f32, 0.0, 1.0, 1.0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn reads_what_was_written() {
        let model = LinkModel::read("links/model.bin", &sample()).unwrap();
        assert_eq!((&model.buckets[..], &model.forms[..]), (&[1, -1][..], &[3][..]));
        assert_eq!(model.thresholds, [vec![], vec![], vec![0.5]]);
        assert_eq!(model.trees[0][1..3], [Fork { feature: 2, above: 0 }, Fork { feature: 0, above: NEVER }]);
        assert_eq!(model.values[0][1..], [0.25; 2 * LEAVES - 1]);
        assert_eq!(model.curve, [(-1.0, 0.0), (1.0, 1.0)]);
    }

    #[test]
    fn every_cut_and_many_a_flip_is_an_error_or_a_checked_model() {
        let whole = sample();
        for cut in 0..whole.len() {
            assert!(LinkModel::read("m", &whole[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0xff;
            if let Ok(model) = LinkModel::read("m", &flipped) {
                for fork in model.trees.iter().flatten() {
                    assert!(usize::from(fork.feature) < model.thresholds.len().max(1));
                }
            }
        }
    }
}
