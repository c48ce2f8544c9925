//! Which entries are in work in this process. A lease is measured by the machine's clock, which may be set, and runs on
//! while a disk stalls or the machine sleeps: the spool then hands the same entry out again, although its worker is still
//! at it. Two at a time would send it twice, and the second one after the conversation went on.

use guarita_message::DeliveryId;
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Bounded by the entries in work.
#[derive(Default)]
pub(crate) struct InWork {
    /// `true`: it was claimed again meanwhile.
    entries: Mutex<HashMap<DeliveryId, bool>>,
}

impl InWork {
    /// `false`: somebody is at it already, and will give this claim back when that ends.
    pub fn begin(&self, id: &DeliveryId) -> bool {
        match self.lock().entry(id.clone()) {
            Entry::Vacant(place) => {
                place.insert(false);
                true
            }
            Entry::Occupied(mut place) => {
                place.insert(true);
                false
            }
        }
    }

    /// Whether it was claimed again meanwhile.
    pub fn end(&self, id: &DeliveryId) -> bool {
        self.lock().remove(id).unwrap_or(false)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DeliveryId, bool>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
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
