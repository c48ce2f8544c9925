//! The learned weights of links as they lie in `rules/links/model.bin`: read, checked, never run here.
//!
//! All numbers little-endian. Header `GLM1`, then
//! - `u32` n-gram buckets (a power of two), `f32` scale of each of the channels, the buckets as `i8`;
//! - `u32` number of hand-made features the trees may look at;
//! - `u32` trees; each tree a `u32` of nodes and for each node `u16` feature, `u16` left, `u16` right, `f32` threshold,
//!   `f32` value. A leaf has left = right = 0; a left branch is the very next node. Every node carries a value, so that a score can be explained by what
//!   each step on its way added;
//! - `f32` bias, and `u32` points of the calibration curve, each `f32` raw and `f32` score, both rising.

use crate::RuleError;

/// Sums of n-gram weights are kept apart by the part of the link they come from.
pub const CHANNELS: usize = 5;
const BUCKETS_MAX: usize = 1 << 21;
const TREES_MAX: usize = 4096;
const NODES_MAX: usize = 512;
const CURVE_POINTS_MAX: usize = 256;

/// One question of a tree, or its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    pub feature: u16,
    pub left: u16,
    pub right: u16,
    pub threshold: f32,
    pub value: f32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    pub nodes: Vec<Node>,
}

/// A node as it is walked: half as large, all trees in one row, so that they stay in a core's cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Threshold of a question, value of a leaf.
    pub number: f32,
    pub feature: u16,
    /// How far on the right branch lies; the left one is the next step. 0: a leaf.
    pub right: u16,
}

/// Checked weights: every child lies after its parent, every feature exists, every number is finite.
#[derive(Clone, PartialEq)]
pub struct LinkModel {
    pub buckets: Vec<i8>,
    pub scales: [f32; CHANNELS],
    pub features: usize,
    pub trees: Vec<Tree>,
    /// The same trees, to be walked from each of `roots`.
    pub steps: Vec<Step>,
    pub roots: Vec<u32>,
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
        if self.take(4)? != b"GLM1" {
            return Err("not a file of link weights");
        }
        let count = self.count(BUCKETS_MAX)?;
        if !count.is_power_of_two() {
            return Err("the number of buckets is not a power of two");
        }
        let mut scales = [0.0; CHANNELS];
        for scale in &mut scales {
            *scale = self.number()?;
        }
        let buckets = self.take(count)?.iter().map(|byte| *byte as i8).collect();
        let features = self.count(usize::from(u16::MAX))?;
        let trees = self.count(TREES_MAX)?;
        let trees = (0..trees).map(|_| self.tree(features)).collect::<Result<Vec<_>, _>>()?;
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
        let (steps, roots) = steps_of(&trees);
        Ok(LinkModel { buckets, scales, features, trees, steps, roots, bias, curve })
    }

    fn tree(&mut self, features: usize) -> Result<Tree, &'static str> {
        let count = self.count(NODES_MAX)?;
        if count == 0 {
            return Err("a tree without nodes");
        }
        let mut nodes = Vec::with_capacity(count);
        for at in 0..count {
            let node = Node {
                feature: self.short()?,
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
            if usize::from(node.feature) >= features.max(1) {
                return Err("a tree asks for a feature that does not exist");
            }
            nodes.push(node);
        }
        Ok(Tree { nodes })
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

fn steps_of(trees: &[Tree]) -> (Vec<Step>, Vec<u32>) {
    let (mut steps, mut roots) = (Vec::new(), Vec::with_capacity(trees.len()));
    for tree in trees {
        roots.push(steps.len() as u32); // bounded by TREES_MAX times NODES_MAX
        steps.extend(tree.nodes.iter().enumerate().map(|(at, node)| match node.left {
            0 => Step { number: node.value, feature: 0, right: 0 },
            _ => Step { number: node.threshold, feature: node.feature, right: node.right - at as u16 },
        }));
    }
    (steps, roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small whole model: two buckets, one tree of three nodes.
    fn sample() -> Vec<u8> {
        let mut bytes = b"GLM1".to_vec();
        bytes.extend(2_u32.to_le_bytes());
        for _ in 0..CHANNELS {
            bytes.extend(1.0_f32.to_le_bytes());
        }
        bytes.extend([1, 255]);
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
        assert_eq!(model.buckets, [1, -1]);
        assert_eq!(model.trees[0].nodes.len(), 3);
        assert_eq!(model.steps.iter().map(|step| step.right).collect::<Vec<_>>(), [2, 0, 0]);
        assert_eq!(model.roots, [0]);
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
                for tree in &model.trees {
                    for node in &tree.nodes {
                        assert!(
                            usize::from(node.left) < tree.nodes.len() && usize::from(node.right) < tree.nodes.len()
                        );
                    }
                }
            }
        }
    }
}
