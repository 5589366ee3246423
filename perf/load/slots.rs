//! The queries outstanding on one socket: which ids are known, what they asked, since when.
//!
//! An id is a slot's number in its low bits and a count in the others, which moves on with each use: a reply to an
//! earlier use of a slot is never taken for one to the present query. Never allocates after its construction.

use std::collections::VecDeque;

use crate::tally::{Lost, Tally, Wrong};

struct Slot {
    /// Nanoseconds since the run's origin.
    since_ns: u64,
    query: u32,
    id: u16,
    outstanding: bool,
    /// The last id given up here, until its reply comes after all.
    given_up: Option<u16>,
}

/// A fixed number of slots.
pub(crate) struct Slots {
    slots: Vec<Slot>,
    /// The longest free comes first: an id then comes back as late as it can.
    free: VecDeque<u16>,
    mask: u16,
    step: u16,
}

impl Slots {
    /// At most `count` queries outstanding, 1 to 16384.
    pub(crate) fn new(count: usize) -> Slots {
        let step = count.next_power_of_two() as u16;
        let slots = (0..count as u16)
            .map(|id| Slot { since_ns: 0, query: 0, id, outstanding: false, given_up: None })
            .collect();
        Slots { slots, free: (0..count as u16).collect(), mask: step - 1, step }
    }

    /// How many more queries may be sent.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// How many queries have no answer yet.
    pub(crate) fn outstanding(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// An id for a query that is sent, or was due, at `since_ns`; `None` when all slots are taken.
    pub(crate) fn take(&mut self, query: u32, since_ns: u64) -> Option<u16> {
        let slot = &mut self.slots[usize::from(self.free.pop_front()?)];
        slot.id = slot.id.wrapping_add(self.step);
        (slot.query, slot.since_ns, slot.outstanding) = (query, since_ns, true);
        Some(slot.id)
    }

    /// Finds the query that a reply answers and frees its slot; counts a reply that answers none.
    pub(crate) fn settle(&mut self, reply: &[u8], tally: &mut Tally) -> Option<(u32, u64)> {
        let Some(id) = reply.first_chunk().map(|id| u16::from_be_bytes(*id)) else {
            tally.wrong(Wrong::Short);
            return None;
        };
        let Some(slot) = self.slots.get_mut(usize::from(id & self.mask)) else {
            tally.wrong(Wrong::Id);
            return None;
        };
        if slot.outstanding && slot.id == id {
            slot.outstanding = false;
            self.free.push_back(id & self.mask);
            Some((slot.query, slot.since_ns))
        } else if slot.given_up.take_if(|given_up| *given_up == id).is_some() {
            tally.late += 1;
            None
        } else {
            tally.wrong(Wrong::Id);
            None
        }
    }

    /// Frees the slot of a query that was not sent after all.
    pub(crate) fn release(&mut self, id: u16) {
        self.slots[usize::from(id & self.mask)].outstanding = false;
        self.free.push_back(id & self.mask);
    }

    /// Gives up what is outstanding since before `before_ns`.
    pub(crate) fn expire(&mut self, before_ns: u64, why: Lost, tally: &mut Tally) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if slot.outstanding && slot.since_ns < before_ns {
                slot.outstanding = false;
                slot.given_up = Some(slot.id);
                self.free.push_back(at as u16);
                tally.lost(why, 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Strictness;
    use std::time::Duration;

    #[test]
    fn a_reply_settles_its_query_once_and_a_late_one_is_not_wrong() {
        let mut tally = Tally::new(Strictness::All, Duration::from_secs(1));
        let mut slots = Slots::new(3);
        let ids: Vec<u16> = (0..3).filter_map(|query| slots.take(query, u64::from(query))).collect();
        assert_eq!((ids.len(), slots.take(9, 9)), (3, None));
        assert_eq!(slots.settle(&ids[1].to_be_bytes(), &mut tally), Some((1, 1)));
        assert_eq!(slots.settle(&ids[1].to_be_bytes(), &mut tally), None);
        assert_eq!((tally.all_wrong(), slots.outstanding()), (1, 2));
        slots.expire(1, Lost::Timeout, &mut tally);
        assert_eq!((tally.all_lost(), slots.outstanding()), (1, 1));
        assert_eq!(slots.settle(&ids[0].to_be_bytes(), &mut tally), None);
        assert_eq!((tally.all_wrong(), tally.late), (1, 1));
    }
}
