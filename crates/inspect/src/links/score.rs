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

/// Trees walked side by side: a step waits for memory, and several can wait at once. More do not fit a core's registers.
const ABREAST: usize = 4;
/// Leaves added up before they are added to the rest; another number would round otherwise than the thresholds expect.
const SUMMED: usize = 2 * ABREAST;

/// A row as long as a feature's number can be high, so that no step has to ask whether it is.
fn widened(row: &[f32; FEATURE_COUNT]) -> [f32; 256] {
    let mut wide = [0.0; 256];
    wide[..FEATURE_COUNT].copy_from_slice(row);
    wide
}

/// The sum of the leaves that the row comes to.
fn walk(model: &LinkModel, row: &[f32; FEATURE_COUNT]) -> f32 {
    let row = &widened(row);
    let mut sum = 0.0;
    for roots in model.roots.chunks(SUMMED) {
        let mut numbers = [0.0; SUMMED];
        let (fours, rest) = roots.as_chunks::<ABREAST>();
        for (numbers, roots) in numbers.chunks_mut(ABREAST).zip(fours) {
            numbers.copy_from_slice(&leaves(model, row, *roots));
        }
        let done = roots.len() - rest.len();
        for (number, root) in numbers[done..].iter_mut().zip(rest) {
            [*number] = leaves(model, row, [*root]);
        }
        sum += numbers.iter().sum::<f32>();
    }
    sum
}

/// The values of the leaves that the row comes to in the trees of these roots.
fn leaves<const N: usize>(model: &LinkModel, row: &[f32; 256], roots: [u32; N]) -> [f32; N] {
    let (steps, values) = (&model.steps[..], &model.values[..]);
    let mut at = [0_usize; N];
    at.iter_mut().zip(roots).for_each(|(at, root)| *at = root as usize);
    // Whoever comes to a leaf before the others stays there: cheaper than a guess at when that is.
    for _ in 0..model.depth {
        for at in &mut at {
            let step = &steps[*at];
            *at += usize::from(step.on) + usize::from(row[usize::from(step.feature)] > step.threshold);
        }
    }
    let mut numbers = [0.0; N];
    numbers.iter_mut().zip(at).for_each(|(number, at)| *number = values[at]);
    numbers
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
    if model.features != FEATURE_COUNT {
        return Vec::new();
    }
    let row = widened(row);
    let mut raised = [0.0_f32; 256];
    let (steps, values) = (&model.steps[..], &model.values[..]);
    for root in &model.roots {
        let mut at = *root as usize;
        let mut value = values[at];
        loop {
            let step = &steps[at];
            if step.on == 0 {
                break;
            }
            let feature = usize::from(step.feature);
            at += usize::from(step.on) + usize::from(row[feature] > step.threshold);
            raised[feature] += values[at] - value;
            value = values[at];
        }
    }
    let mut order: Vec<usize> = (0..FEATURE_COUNT).filter(|feature| raised[*feature] > 0.1).collect();
    order.sort_by(|a, b| raised[*b].total_cmp(&raised[*a]));
    order.into_iter().take(most).map(|feature| FEATURES[feature]).collect()
}
