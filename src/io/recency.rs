//! A slab whose entries are in order of recency: the one touched longest ago is first. Every operation takes constant
//! time; with one timeout for all, the first entry is also the next to expire.
//!
//! # Invariants
//! - `first` … `last` link exactly the occupied places, both ways, in order of their `since`.
//! - A key is the place's number: valid from `insert` to `remove`, then used again.

use std::time::Instant;

/// No place.
const NONE: u32 = u32::MAX;

/// The slab.
#[derive(Debug)]
pub(super) struct Recency<T> {
    places: Vec<Place<T>>,
    /// Places to use again.
    free: Vec<u32>,
    first: u32,
    last: u32,
}

#[derive(Debug)]
struct Place<T> {
    value: Option<T>,
    since: Instant,
    before: u32,
    after: u32,
}

impl<T> Recency<T> {
    pub(super) fn new() -> Recency<T> {
        Recency { places: Vec::new(), free: Vec::new(), first: NONE, last: NONE }
    }

    /// Whether there is no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// The key that the next `insert` will return.
    pub(super) fn next_key(&self) -> usize {
        self.free.last().map_or(self.places.len(), |key| *key as usize)
    }

    /// Adds an entry as the most recent one. `now` must not be before that of an earlier call.
    pub(super) fn insert(&mut self, value: T, now: Instant) -> usize {
        let place = Place { value: Some(value), since: now, before: NONE, after: NONE };
        let key = match self.free.pop() {
            Some(key) => {
                self.places[key as usize] = place;
                key
            }
            None => {
                self.places.push(place);
                (self.places.len() - 1) as u32
            }
        };
        self.append(key);
        key as usize
    }

    /// Makes an entry the most recent one. Unknown keys are ignored.
    pub(super) fn touch(&mut self, key: usize, now: Instant) {
        if self.get_mut(key).is_some() {
            self.unlink(key as u32);
            self.places[key].since = now;
            self.append(key as u32);
        }
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, key: usize) -> Option<T> {
        let value = self.places.get_mut(key)?.value.take()?;
        self.unlink(key as u32);
        self.free.push(key as u32);
        Some(value)
    }

    /// The entry of a key.
    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut T> {
        self.places.get_mut(key)?.value.as_mut()
    }

    /// The entry touched longest ago, and when that was.
    pub(super) fn oldest(&self) -> Option<(usize, Instant)> {
        let place = self.places.get(self.first as usize)?;
        Some((self.first as usize, place.since))
    }

    /// Entries from the oldest on.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let place = self.places.get(next as usize)?;
            let key = std::mem::replace(&mut next, place.after);
            Some((key as usize, place.value.as_ref()?))
        })
    }

    fn append(&mut self, key: u32) {
        let former = std::mem::replace(&mut self.last, key);
        self.places[key as usize].before = former;
        self.places[key as usize].after = NONE;
        match self.places.get_mut(former as usize) {
            Some(place) => place.after = key,
            None => self.first = key,
        }
    }

    fn unlink(&mut self, key: u32) {
        let Place { before, after, .. } = self.places[key as usize];
        match self.places.get_mut(before as usize) {
            Some(place) => place.after = after,
            None => self.first = after,
        }
        match self.places.get_mut(after as usize) {
            Some(place) => place.before = before,
            None => self.last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u32),
        Touch(usize),
        Remove(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<u32>().prop_map(Step::Insert),
            (0..24usize).prop_map(Step::Touch),
            (0..24usize).prop_map(Step::Remove),
        ]
    }

    proptest! {
        #[test]
        fn any_sequence_of_operations_agrees_with_a_plain_list(steps in prop::collection::vec(step(), 0..200)) {
            let start = Instant::now();
            let mut slab = Recency::new();
            let mut list: Vec<(usize, u32, Instant)> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                let now = start + Duration::from_secs(number as u64);
                match step {
                    Step::Insert(value) => {
                        let expected = slab.next_key();
                        let key = slab.insert(value, now);
                        prop_assert_eq!(key, expected);
                        prop_assert!(list.iter().all(|entry| entry.0 != key));
                        list.push((key, value, now));
                    }
                    Step::Touch(key) => {
                        slab.touch(key, now);
                        if let Some(at) = list.iter().position(|entry| entry.0 == key) {
                            let entry = list.remove(at);
                            list.push((entry.0, entry.1, now));
                        }
                    }
                    Step::Remove(key) => {
                        let at = list.iter().position(|entry| entry.0 == key);
                        prop_assert_eq!(slab.remove(key), at.map(|at| list.remove(at).1));
                    }
                }
                prop_assert_eq!(slab.places.len() - slab.free.len(), list.len());
                prop_assert_eq!(slab.is_empty(), list.is_empty());
                prop_assert_eq!(slab.oldest(), list.first().map(|entry| (entry.0, entry.2)));
                let order: Vec<_> = slab.iter().map(|(key, value)| (key, *value)).collect();
                let expected: Vec<_> = list.iter().map(|entry| (entry.0, entry.1)).collect();
                prop_assert_eq!(order, expected);
            }
        }
    }
}
