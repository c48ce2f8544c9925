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
/// So that a feature's number fits a byte.
const FEATURES_MAX: usize = 256;

/// A node as the file has it.
#[derive(Clone, Copy)]
struct Node {
    feature: u8,
    left: u16,
    right: u16,
    threshold: f32,
    value: f32,
}

/// One node of a tree as it is walked: all trees lie in one row, small enough to stay in a core's cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// A row whose feature is above this goes on to the second of the two next nodes; nothing is above a leaf's.
    pub threshold: f32,
    /// How far on the first of the two next nodes lies; the second one follows it. 0: a leaf, where one stays.
    pub on: u16,
    pub feature: u8,
}

/// Checked weights: every child lies after its parent, every feature exists, every number is finite.
#[derive(Clone, PartialEq)]
pub struct LinkModel {
    pub buckets: Vec<i8>,
    pub scales: [f32; CHANNELS],
    pub features: usize,
    pub steps: Vec<Step>,
    /// The value of each step: a leaf's is what its tree says, another's the mean of what lies behind it.
    pub values: Vec<f32>,
    /// Where each tree begins in the row of steps.
    pub roots: Vec<u32>,
    /// After so many steps every walk through any of the trees has come to a leaf.
    pub depth: u16,
    pub bias: f32,
    pub curve: Vec<(f32, f32)>,
}

impl std::fmt::Debug for LinkModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LinkModel({} buckets, {} trees)", self.buckets.len(), self.roots.len())
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
        let features = self.count(FEATURES_MAX)?;
        let (mut steps, mut values, mut roots) = (Vec::new(), Vec::new(), Vec::new());
        let mut depth = 0;
        for _ in 0..self.count(TREES_MAX)? {
            let tree = self.tree(features)?;
            roots.push(steps.len() as u32); // bounded by TREES_MAX times NODES_MAX
            depth = lay_out(&tree, &mut steps, &mut values).max(depth);
        }
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
        Ok(LinkModel { buckets, scales, features, steps, values, roots, depth, bias, curve })
    }

    fn tree(&mut self, features: usize) -> Result<Vec<Node>, &'static str> {
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
        // Two ways to one node would make more steps of a tree than it has nodes.
        let children = nodes.iter().filter(|node| node.left != 0).flat_map(|node| [node.left, node.right]);
        let mut reached = vec![false; count];
        for child in children {
            if std::mem::replace(&mut reached[usize::from(child)], true) {
                return Err("two branches of a tree lead to one node");
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

/// Puts a tree at the end of the row, the two children of a node side by side; says how deep it is.
fn lay_out(tree: &[Node], steps: &mut Vec<Step>, values: &mut Vec<f32>) -> u16 {
    // Nodes in the order of their steps, each with its depth.
    let mut order = vec![(tree[0], 0)];
    let mut at = 0;
    while let Some((node, depth)) = order.get(at).copied() {
        let leaf = node.left == 0;
        // Within a tree, and so below NODES_MAX.
        let on = if leaf { 0 } else { (order.len() - at) as u16 };
        let threshold = if leaf { f32::INFINITY } else { node.threshold };
        steps.push(Step { threshold, on, feature: node.feature });
        values.push(node.value);
        if !leaf {
            order.extend([node.left, node.right].map(|child| (tree[usize::from(child)], depth + 1)));
        }
        at += 1;
    }
    order.last().map_or(0, |(_, depth)| *depth)
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
        assert_eq!(model.steps.iter().map(|step| step.on).collect::<Vec<_>>(), [1, 0, 0]);
        assert_eq!(model.values, [0.25; 3]);
        assert_eq!((&model.roots[..], model.depth), (&[0][..], 1));
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
                for (at, step) in model.steps.iter().enumerate() {
                    assert!(step.on == 0 || at + usize::from(step.on) + 1 < model.steps.len());
                    assert!(usize::from(step.feature) < model.features.max(1));
                }
            }
        }
    }
}
