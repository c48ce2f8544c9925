//! Which entries are in work in this process. A lease is measured by the machine's clock, which may be set, and runs on
//! while a disk stalls or the machine sleeps: the spool then hands the same entry out again, although its worker is still
//! at it. Two at a time would send it twice, and the second one after the conversation went on. The same goes for a claim
//! that was made while a worker was at the entry and comes back when that worker is done: what it holds is of before.

use guarita_message::DeliveryId;
use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Bounded by the entries in work.
#[derive(Default)]
pub(crate) struct InWork(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    /// `true`: it was claimed again meanwhile.
    entries: HashMap<DeliveryId, bool>,
    /// Whose work ended since the claim that is under way was asked for; `None`: none is.
    ended: Option<HashSet<DeliveryId>>,
}

/// What may be done with a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is in work now, and [`InWork::end`] must follow.
    Begun,
    /// Somebody is at it already, and will give this claim back when that ends.
    Busy,
    /// Somebody was at it when it was claimed and is done: to be given back, and claimed as it is now.
    Stale,
}

impl InWork {
    /// A claim is about to be asked for. One at a time: there is one loop that claims.
    pub fn asking(&self) {
        self.lock().ended = Some(HashSet::new());
    }

    /// The claim came back with these; what becomes of each, in order.
    pub fn begin<'a>(&self, ids: impl Iterator<Item = &'a DeliveryId>) -> Vec<Claim> {
        let mut inside = self.lock();
        let ended = inside.ended.take().unwrap_or_default();
        let begin = |id: &DeliveryId| match inside.entries.entry(id.clone()) {
            Entry::Occupied(mut place) => {
                place.insert(true);
                Claim::Busy
            }
            Entry::Vacant(_) if ended.contains(id) => Claim::Stale,
            Entry::Vacant(place) => {
                place.insert(false);
                Claim::Begun
            }
        };
        ids.map(begin).collect()
    }

    /// Whether it was claimed again meanwhile.
    pub fn end(&self, id: &DeliveryId) -> bool {
        let mut inside = self.lock();
        if let Some(ended) = &mut inside.ended {
            ended.insert(id.clone());
        }
        inside.entries.remove(id).unwrap_or(false)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often the backend refused an entry since this process began. Apart from attempts: an entry that waited through an
/// outage has many of those, and its first refusal may still be a deployment in progress.
#[derive(Default)]
pub(crate) struct Refusals {
    counts: Mutex<HashMap<DeliveryId, u32>>,
}

/// Entries whose refusals are remembered; beyond it counting begins anew, which only gives them more tries.
const REFUSED_MAX: usize = 100_000;

impl Refusals {
    pub fn count(&self, id: &DeliveryId) -> u32 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= REFUSED_MAX {
            counts.clear();
        }
        let count = counts.entry(id.clone()).or_default();
        *count += 1;
        *count
    }

    pub fn forget(&self, id: &DeliveryId) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_works_on_a_claim_of_before() {
        let (in_work, ids) = (InWork::default(), ["a", "b", "c"].map(|id| DeliveryId(id.into())));
        let begin = |which: &[usize]| in_work.begin(which.iter().map(|at| &ids[*at]));
        in_work.asking();
        assert_eq!(begin(&[0, 1]), [Claim::Begun, Claim::Begun]);
        // Its lease ran out while its worker was at it, and the worker ends before the claim is back.
        in_work.asking();
        assert!(!in_work.end(&ids[0]));
        assert_eq!(begin(&[0, 1, 2]), [Claim::Stale, Claim::Busy, Claim::Begun]);
        assert!(in_work.end(&ids[1]), "claimed again meanwhile");
        // Given back, it comes as it is now.
        in_work.asking();
        assert_eq!(begin(&[0, 1]), [Claim::Begun, Claim::Begun]);
    }
}
