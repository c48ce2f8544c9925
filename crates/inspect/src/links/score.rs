//! The learned score of a link, and what it owes to what. Pure arithmetic over the weights that `rules` has checked.

use super::features::{CHANNELS, FEATURE_COUNT, FEATURES};
use guarita_rules::links::{FORM, Fork, LEAVES, LinkModel};

/// Sums of the n-grams' weights, each part of the link by itself, so that a long path weighs no more than a short one.
#[derive(Default)]
pub(super) struct GramSums {
    sums: [i32; CHANNELS],
    counts: [u32; CHANNELS],
}

impl GramSums {
    pub(super) fn add(&mut self, model: &LinkModel, channel: usize, hash: u32) {
        let buckets = if channel == FORM { &model.forms } else { &model.buckets };
        self.sums[channel] += i32::from(buckets[hash as usize & (buckets.len() - 1)]);
        self.counts[channel] += 1;
    }

    pub(super) fn finish(&self, model: &LinkModel) -> [f32; CHANNELS] {
        std::array::from_fn(|channel| {
            let count = self.counts[channel].max(1) as f32;
            model.scales[channel] * self.sums[channel] as f32 / count.sqrt()
        })
    }
}

/// The score, 0 to 1.
pub(super) fn score(model: &LinkModel, row: &[f32; FEATURE_COUNT]) -> f32 {
    if model.thresholds.len() != FEATURE_COUNT {
        return 0.0;
    }
    calibrated(model, model.bias + walk(model, &placed(model, row)))
}

/// Trees walked side by side: a step waits for memory, and several can wait at once. More do not fit a core's registers.
const ABREAST: usize = 4;
/// Leaves added up before they are added to the rest; another number would round otherwise than the thresholds expect.
const SUMMED: usize = 2 * ABREAST;

/// For each feature how many of its thresholds it is above. As long as a feature's number can be high, so that no step
/// has to ask whether it is.
type Places = [u8; 256];

fn placed(model: &LinkModel, row: &[f32; FEATURE_COUNT]) -> Places {
    let mut places = [0; 256];
    for ((place, value), thresholds) in places.iter_mut().zip(row).zip(&model.thresholds) {
        *place = thresholds.partition_point(|threshold| *threshold < *value) as u8; // fewer than 255, as checked
    }
    places
}

/// The sum of the leaves that the row comes to.
fn walk(model: &LinkModel, places: &Places) -> f32 {
    let mut sum = 0.0;
    for (trees, values) in model.trees.chunks(SUMMED).zip(model.values.chunks(SUMMED)) {
        let mut numbers = [0.0; SUMMED];
        let (fours, rest) = trees.as_chunks::<ABREAST>();
        let mut leaves = [LEAVES; SUMMED];
        for (leaves, trees) in leaves.chunks_mut(ABREAST).zip(fours) {
            leaves.copy_from_slice(&leaves_of(trees, places, model.depth));
        }
        let done = trees.len() - rest.len();
        for (leaf, tree) in leaves[done..].iter_mut().zip(rest) {
            [*leaf] = leaves_of(std::array::from_ref(tree), places, model.depth);
        }
        for ((number, values), leaf) in numbers.iter_mut().zip(values).zip(leaves) {
            *number = values[leaf % (2 * LEAVES)];
        }
        sum += numbers.iter().sum::<f32>();
    }
    sum
}

/// The leaves that the row comes to in these trees. `depth` is asked for so that the compiler keeps the loop: unrolled, it
/// works out each step from all the steps before.
fn leaves_of<const N: usize>(trees: &[[Fork; LEAVES]; N], places: &Places, depth: u32) -> [usize; N] {
    let mut at = [1_usize; N];
    for _ in 0..depth {
        for (at, tree) in at.iter_mut().zip(trees) {
            *at = step(tree, *at, places);
        }
    }
    at
}

fn step(tree: &[Fork; LEAVES], at: usize, places: &Places) -> usize {
    let fork = &tree[at % LEAVES];
    2 * at + usize::from(places[usize::from(fork.feature)] > fork.above)
}

fn calibrated(model: &LinkModel, raw: f32) -> f32 {
    let curve = &model.curve;
    let after = curve.partition_point(|(at, _)| *at <= raw);
    let score = match (after.checked_sub(1).and_then(|before| curve.get(before)), curve.get(after)) {
        (None, first) => first.map_or(0.0, |point| point.1),
        (Some(last), None) => last.1,
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (raw - x0) / (x1 - x0),
    };
    score.clamp(0.0, 1.0)
}

/// Features by how much they raised the score, the strongest first; exact for these trees, as every step on a tree's
/// way adds the difference of two nodes' values.
pub(super) fn strongest_reasons(model: &LinkModel, row: &[f32; FEATURE_COUNT], most: usize) -> Vec<&'static str> {
    if model.thresholds.len() != FEATURE_COUNT {
        return Vec::new();
    }
    let places = placed(model, row);
    let mut raised = [0.0_f32; 256];
    for (tree, values) in model.trees.iter().zip(&model.values) {
        let (mut at, mut value) = (1, values[1]);
        for _ in 0..model.depth {
            let next = step(tree, at, &places);
            let reached = values[next % (2 * LEAVES)];
            raised[usize::from(tree[at % LEAVES].feature)] += reached - value;
            (at, value) = (next, reached);
        }
    }
    let mut order: Vec<usize> = (0..FEATURE_COUNT).filter(|feature| raised[*feature] > 0.1).collect();
    order.sort_by(|a, b| raised[*b].total_cmp(&raised[*a]));
    order.into_iter().take(most).map(|feature| FEATURES[feature]).collect()
}
