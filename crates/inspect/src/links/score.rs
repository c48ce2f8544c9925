//! The learned score of a link, and what it owes to what. Pure arithmetic over the weights that `rules` has checked.

use super::features::{CHANNELS, FEATURE_COUNT, FEATURES};
use guarita_rules::links::LinkModel;

/// Sums of the n-grams' weights, each part of the link by itself, so that a long path weighs no more than a short one.
#[derive(Default)]
pub(super) struct GramSums {
    sums: [i32; CHANNELS],
    counts: [u32; CHANNELS],
}

impl GramSums {
    pub(super) fn add(&mut self, model: &LinkModel, channel: usize, hash: u32) {
        self.sums[channel] += i32::from(model.buckets[hash as usize & (model.buckets.len() - 1)]);
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
    if model.features != FEATURE_COUNT {
        return 0.0;
    }
    calibrated(model, model.bias + walk(model, row))
}

/// Trees walked side by side: a step waits for memory and for a guess at the branch, and several can wait at once.
const ABREAST: usize = 8;

/// The sum of the leaves that the row comes to.
fn walk(model: &LinkModel, row: &[f32; FEATURE_COUNT]) -> f32 {
    let mut sum = 0.0;
    for roots in model.roots.chunks(ABREAST) {
        let mut at = [0_usize; ABREAST];
        let mut numbers = [0.0; ABREAST];
        at.iter_mut().zip(roots).for_each(|(at, root)| *at = *root as usize);
        let mut moved = true;
        while moved {
            moved = false;
            for (at, number) in at.iter_mut().zip(&mut numbers).take(roots.len()) {
                let step = &model.steps[*at];
                let on = if row[usize::from(step.feature)] <= step.number { 1 } else { usize::from(step.right) };
                // A leaf leads nowhere (0): stay.
                let leaf = step.right == 0;
                moved |= !leaf;
                *number = step.number;
                *at += if leaf { 0 } else { on };
            }
        }
        sum += numbers.iter().sum::<f32>();
    }
    sum
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
    let mut raised = [0.0_f32; FEATURE_COUNT];
    if model.features != FEATURE_COUNT {
        return Vec::new();
    }
    for tree in &model.trees {
        let mut at = 0;
        loop {
            let node = &tree.nodes[at];
            if node.left == 0 {
                break;
            }
            let feature = usize::from(node.feature);
            at = usize::from(if row[feature] <= node.threshold { node.left } else { node.right });
            raised[feature] += tree.nodes[at].value - node.value;
        }
    }
    let mut order: Vec<usize> = (0..FEATURE_COUNT).filter(|feature| raised[*feature] > 0.1).collect();
    order.sort_by(|a, b| raised[*b].total_cmp(&raised[*a]));
    order.into_iter().take(most).map(|feature| FEATURES[feature]).collect()
}
