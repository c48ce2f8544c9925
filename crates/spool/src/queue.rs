//! Who is next: unfinished entries by conversation, and who holds which. In memory alone; pure, no clock, no disk.
//!
//! Only the front of a conversation is listed, so what waits behind a retry costs nothing until the retry is over.
//! Leases live here and nowhere else: after a crash there are none, and every unfinished entry is free again.

use crate::{
    Millis,
    place::{Place, Seq},
    seal::{Name, RouteTag, route_tag},
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque, hash_map::Entry};

#[derive(Clone, Copy, Debug)]
struct Waiting {
    seq: Seq,
    /// Not before this time; 0: at once.
    due: Millis,
    decided: bool,
}

/// The front stands apart, so that a conversation of one entry (most are) allocates nothing.
#[derive(Debug, Default)]
struct Conversation {
    front: Option<Waiting>,
    rest: VecDeque<Waiting>,
    leased: bool,
}

#[derive(Debug)]
struct Lease {
    conversation: Name,
    until: Millis,
    /// Carried along so that counting by state needs no look at the disk.
    decided: bool,
    /// Its end is being written; it neither runs out nor takes a second result meanwhile.
    ending: bool,
    /// What was handed out: the random part of its id, and the body, so that what is decided can be kept as what differs
    /// from it.
    handed: Option<(u64, Bytes)>,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    conversations: HashMap<Name, Conversation>,
    /// Fronts that may go now, by route, the oldest receipt first.
    ready: HashMap<RouteTag, BTreeMap<Seq, Name>>,
    /// Routes that have any of those, in the order of their turns.
    turns: VecDeque<RouteTag>,
    /// Leases of each route.
    out: HashMap<RouteTag, usize>,
    /// What the last claim allowed one route to have out.
    most_of_one: Option<usize>,
    /// Fronts that wait for a time.
    later: BTreeMap<(Millis, Seq), Name>,
    leases: HashMap<Seq, Lease>,
    /// Decisions that are stored, but not yet in the entry's own row, and when they were made.
    deferred: HashMap<Seq, Millis>,
    lease_ends: BTreeSet<(Millis, Seq)>,
    waiting: usize,
}

/// The claim ran out, or somebody else's result was taken.
#[derive(Debug, PartialEq)]
pub(crate) struct NotHeld;

impl Queue {
    /// What the queue costs, in fronts: an entry behind another of its conversation takes an eighth of the memory.
    pub fn weight(&self) -> usize {
        (self.conversations.len() * 7 + self.waiting + self.leases.len()).div_ceil(8)
    }

    pub fn held(&self) -> usize {
        self.leases.len()
    }

    /// An entry takes its place in line, by number. The number must not be known here.
    pub fn push(&mut self, seq: Seq, conversation: Name, due: Millis, decided: bool) {
        self.waiting += 1;
        let new = Waiting { seq, due, decided };
        let line = self.conversations.entry(conversation).or_default();
        let Some(front) = line.front else {
            line.front = Some(new);
            return self.list(conversation);
        };
        if seq > front.seq {
            let at = line.rest.partition_point(|other| other.seq < seq);
            return line.rest.insert(at, new);
        }
        line.rest.push_front(front);
        line.front = Some(new);
        if let Some(fronts) = self.ready.get_mut(&route_tag(&conversation)) {
            fronts.remove(&front.seq);
        }
        self.later.remove(&(front.due, front.seq));
        self.list(conversation);
    }

    fn set_ready(&mut self, seq: Seq, conversation: Name) {
        let tag = route_tag(&conversation);
        let fronts = self.ready.entry(tag).or_default();
        if fronts.is_empty() && !self.turns.contains(&tag) {
            self.turns.push_back(tag);
        }
        fronts.insert(seq, conversation);
    }

    /// The next front of the route whose turn it is; routes that have all out that they may are left out.
    fn pop_ready(&mut self, most_of_one: usize) -> Option<(Seq, Name)> {
        for _ in 0..self.turns.len() {
            let tag = self.turns.pop_front()?;
            let Some(fronts) = self.ready.get_mut(&tag).filter(|fronts| !fronts.is_empty()) else {
                self.ready.remove(&tag);
                continue;
            };
            if self.out.get(&tag).is_some_and(|out| *out >= most_of_one) {
                self.turns.push_back(tag);
                continue;
            }
            let front = fronts.pop_first();
            if fronts.is_empty() {
                self.ready.remove(&tag);
            } else {
                self.turns.push_back(tag);
            }
            return front;
        }
        None
    }

    /// Lists the front of a conversation, if it has one that is free.
    fn list(&mut self, conversation: Name) {
        let Some(line) = self.conversations.get_mut(&conversation) else { return };
        match line.front {
            _ if line.leased => {}
            Some(Waiting { seq, due: 0, .. }) => self.set_ready(seq, conversation),
            Some(Waiting { seq, due, .. }) => {
                self.later.insert((due, seq), conversation);
            }
            None => {
                self.conversations.remove(&conversation);
            }
        }
    }

    #[cfg(test)]
    pub fn claim(&mut self, now: Millis, lease: Millis, most: usize) -> Vec<Seq> {
        self.claim_shared(now, lease, most, usize::MAX)
    }

    /// Gives back what nobody finished in time, then hands out the fronts that are due: routes in turn, and never more than
    /// `most_of_one` of a route at a time.
    pub fn claim_shared(&mut self, now: Millis, lease: Millis, most: usize, most_of_one: usize) -> Vec<Seq> {
        self.most_of_one = Some(most_of_one);
        while let Some(&(until, seq)) = self.lease_ends.first()
            && until <= now
        {
            self.give_back(seq, 0);
        }
        while let Some(entry) = self.later.first_entry()
            && entry.key().0 <= now
        {
            let ((_, seq), conversation) = entry.remove_entry();
            self.set_ready(seq, conversation);
        }
        let mut claimed = Vec::new();
        while claimed.len() < most
            && let Some((seq, conversation)) = self.pop_ready(most_of_one)
        {
            let Some(line) = self.conversations.get_mut(&conversation) else { continue };
            let decided = line.front.is_some_and(|front| front.decided);
            line.front = line.rest.pop_front();
            if line.rest.is_empty() {
                line.rest = VecDeque::new();
            }
            line.leased = true;
            self.waiting -= 1;
            let until = now.saturating_add(lease);
            *self.out.entry(route_tag(&conversation)).or_default() += 1;
            self.leases.insert(seq, Lease { conversation, until, decided, ending: false, handed: None });
            self.lease_ends.insert((until, seq));
            claimed.push(seq);
        }
        claimed
    }

    /// Is `seq` held at `now`?
    pub fn check(&self, now: Millis, seq: Seq) -> Result<(), NotHeld> {
        match self.leases.get(&seq) {
            Some(lease) if !lease.ending && now < lease.until => Ok(()),
            _ => Err(NotHeld),
        }
    }

    pub fn holds(&self, seq: Seq) -> bool {
        self.leases.contains_key(&seq)
    }

    /// From here to [`Queue::resume`], [`Queue::finish`] or [`Queue::give_back`], the claim takes no other result. Tells
    /// whether the entry was decided.
    pub fn begin_ending(&mut self, now: Millis, seq: Seq) -> Result<bool, NotHeld> {
        self.check(now, seq)?;
        let lease = self.leases.get_mut(&seq).ok_or(NotHeld)?;
        lease.ending = true;
        self.lease_ends.remove(&(lease.until, seq));
        Ok(lease.decided)
    }

    /// Remembers what a claim hands out, as long as it lasts.
    pub fn hand_out(&mut self, place: &Place, body: &Bytes) {
        if let Some(lease) = self.leases.get_mut(&place.seq) {
            lease.handed = Some((place.salt, body.clone()));
        }
    }

    pub fn handed_out(&self, seq: Seq) -> Option<&(u64, Bytes)> {
        self.leases.get(&seq)?.handed.as_ref()
    }

    pub fn defer(&mut self, seq: Seq, decided_ms: Millis) {
        self.deferred.insert(seq, decided_ms);
    }

    pub fn undefer(&mut self, seq: Seq) {
        self.deferred.remove(&seq);
    }

    pub fn deferred(&self, seq: Seq) -> Option<Millis> {
        self.deferred.get(&seq).copied()
    }

    pub fn all_deferred(&self) -> Vec<(Seq, Millis)> {
        self.deferred.iter().map(|(seq, at)| (*seq, *at)).collect()
    }

    pub fn set_decided(&mut self, seq: Seq) {
        if let Some(lease) = self.leases.get_mut(&seq) {
            lease.decided = true;
        }
    }

    /// The claim goes on as before.
    pub fn resume(&mut self, seq: Seq) {
        if let Some(lease) = self.leases.get_mut(&seq) {
            lease.ending = false;
            self.lease_ends.insert((lease.until, seq));
        }
    }

    pub fn renew(&mut self, now: Millis, seq: Seq, lease: Millis) -> Result<(), NotHeld> {
        self.check(now, seq)?;
        if let Some(held) = self.leases.get_mut(&seq) {
            self.lease_ends.remove(&(held.until, seq));
            held.until = now.saturating_add(lease);
            self.lease_ends.insert((held.until, seq));
        }
        Ok(())
    }

    fn end_lease(&mut self, seq: Seq) -> Option<(Name, bool)> {
        let lease = self.leases.remove(&seq)?;
        self.lease_ends.remove(&(lease.until, seq));
        if let Entry::Occupied(mut out) = self.out.entry(route_tag(&lease.conversation)) {
            *out.get_mut() -= 1;
            if *out.get() == 0 {
                out.remove();
            }
        }
        if let Some(line) = self.conversations.get_mut(&lease.conversation) {
            line.leased = false;
        }
        Some((lease.conversation, lease.decided))
    }

    /// The entry is done; the next of its conversation is free.
    pub fn finish(&mut self, seq: Seq) {
        if let Some((conversation, _)) = self.end_lease(seq) {
            self.list(conversation);
        }
    }

    /// The claim ends and the entry waits until `due`, its conversation behind it.
    pub fn give_back(&mut self, seq: Seq, due: Millis) {
        let Some((conversation, decided)) = self.end_lease(seq) else { return };
        if let Some(line) = self.conversations.get_mut(&conversation) {
            // A released entry may have come in before it.
            let at = match line.front {
                Some(front) if front.seq < seq => Some(line.rest.partition_point(|other| other.seq < seq)),
                _ => None,
            };
            let waiting = Waiting { seq, due, decided };
            match at {
                Some(at) => line.rest.insert(at, waiting),
                None => {
                    if let Some(front) = line.front.replace(waiting) {
                        line.rest.push_front(front);
                    }
                }
            }
            self.waiting += 1;
        }
        self.list(conversation);
    }

    /// A waiting entry need not wait any longer. `false`: it does not wait here.
    pub fn hurry(&mut self, seq: Seq, conversation: Name) -> bool {
        let Some(line) = self.conversations.get_mut(&conversation) else { return false };
        match &mut line.front {
            Some(front) if front.seq == seq => {
                let due = std::mem::take(&mut front.due);
                if self.later.remove(&(due, seq)).is_some() {
                    self.set_ready(seq, conversation);
                }
                true
            }
            _ => match line.rest.binary_search_by_key(&seq, |waiting| waiting.seq) {
                Ok(at) => {
                    line.rest[at].due = 0;
                    true
                }
                Err(_) => false,
            },
        }
    }

    /// When a claim may bring something: 0, now; `None`, not before something changes.
    pub fn earliest(&self) -> Option<Millis> {
        // What waits for its route's share is not due before something of the route comes back.
        let most_of_one = self.most_of_one.unwrap_or(usize::MAX);
        let free = |tag: &RouteTag| self.out.get(tag).is_none_or(|out| *out < most_of_one);
        if self.ready.iter().any(|(tag, fronts)| !fronts.is_empty() && free(tag)) {
            return Some(0);
        }
        let later = self.later.first_key_value().map(|((due, _), _)| *due);
        let lease_end = self.lease_ends.first().map(|(until, _)| *until);
        [later, lease_end].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Name = [1; 16];
    const B: Name = [2; 16];

    #[test]
    fn a_conversation_waits_behind_its_front_and_no_other_does() {
        let mut queue = Queue::default();
        (1..=4).for_each(|seq| queue.push(seq, A, 0, false));
        queue.push(5, B, 0, false);
        assert_eq!(queue.claim(0, 10, 9), [1, 5]);
        assert!(queue.claim(0, 10, 9).is_empty());
        queue.begin_ending(1, 1).unwrap();
        queue.give_back(1, 100);
        queue.finish(5);
        assert!(queue.claim(99, 10, 9).is_empty());
        assert_eq!((queue.earliest(), queue.waiting), (Some(100), 4));
        assert_eq!(queue.claim(100, 10, 9), [1]);
        queue.finish(1);
        assert_eq!(queue.claim(100, 10, 9), [2]);
    }

    #[test]
    fn what_waits_behind_a_retry_is_not_listed() {
        let mut queue = Queue::default();
        (1..=1000).for_each(|seq| queue.push(seq, A, 0, false));
        queue.claim(0, 10, 1);
        queue.give_back(1, 100);
        assert_eq!((queue.ready.values().map(BTreeMap::len).sum::<usize>(), queue.later.len()), (0, 1));
    }

    #[test]
    fn routes_take_turns_and_none_has_more_out_than_its_share() {
        let of = |route: u8, number: u8| -> Name {
            let mut name = [number; 16];
            name[..4].copy_from_slice(&[route; 4]);
            name
        };
        let mut queue = Queue::default();
        (1..=100).for_each(|seq| queue.push(seq, of(7, seq as u8), 0, false));
        (101..=103).for_each(|seq| queue.push(seq, of(8, seq as u8), 0, false));
        assert_eq!(queue.claim_shared(0, 10, 4, 3), [1, 101, 2, 102]);
        assert_eq!(queue.claim_shared(0, 10, 9, 3), [3, 103], "a flood leaves the others their places");
        assert_eq!(queue.earliest(), Some(10), "nothing is due before a place comes free");
        assert!(queue.claim_shared(0, 10, 9, 3).is_empty());
        queue.finish(2);
        assert_eq!(queue.earliest(), Some(0));
        assert_eq!(queue.claim_shared(0, 10, 9, 3), [4]);
        assert_eq!(queue.claim_shared(10, 10, 2, usize::MAX), [1, 101], "leases that ran out count no more");
        assert_eq!(queue.out.values().sum::<usize>(), queue.leases.len());
    }

    #[test]
    fn a_lease_that_is_being_ended_neither_runs_out_nor_ends_twice() {
        let mut queue = Queue::default();
        queue.push(1, A, 0, false);
        queue.claim(0, 10, 1);
        queue.begin_ending(9, 1).unwrap();
        assert_eq!(queue.begin_ending(9, 1), Err(NotHeld));
        assert!(queue.claim(50, 10, 1).is_empty());
        queue.resume(1);
        assert_eq!(queue.check(50, 1), Err(NotHeld));
        assert_eq!(queue.claim(50, 10, 1), [1]);
    }

    #[test]
    fn an_older_entry_that_comes_back_goes_before_those_that_wait_but_not_beside_one_that_is_held() {
        let mut queue = Queue::default();
        queue.push(5, A, 0, false);
        queue.push(6, A, 0, false);
        assert_eq!(queue.claim(0, 10, 9), [5]);
        queue.push(2, A, 0, false);
        assert!(queue.claim(0, 10, 9).is_empty());
        queue.give_back(5, 0);
        assert_eq!(queue.claim(0, 10, 9), [2]);
        queue.finish(2);
        assert_eq!(queue.claim(0, 10, 9), [5]);
        queue.give_back(5, 70);
        queue.push(3, A, 0, false);
        assert_eq!(queue.claim(0, 10, 9), [3]);
        assert!(queue.hurry(5, A) && !queue.hurry(9, A));
        queue.finish(3);
        assert_eq!(queue.claim(0, 10, 9), [5]);
        queue.finish(5);
        assert_eq!(queue.claim(0, 10, 9), [6]);
        queue.finish(6);
        assert_eq!((queue.weight(), queue.conversations.len(), queue.earliest()), (0, 0, None));
    }
}
