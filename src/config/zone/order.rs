//! Which records of an owner stand apart in the files of a zone, and the order that brings them together.
//!
//! Most files keep owners together, or nearly so: only records that stand apart from their owner's first are held and sorted.
//! Judges nothing.

use crate::config::zonefile::RawZone;
use crate::state::names::hash_name;

/// At most this part of the table is full.
const MAX_LOAD_PERCENT: usize = 60;

/// The owners of a zone.
pub(super) struct Grouping {
    /// Handles with those of an owner together, owners and their records in the order of the files; `None` where the files
    /// have them so.
    pub(super) order: Option<Box<[u32]>>,
    /// Number of different owners.
    pub(super) owner_count: usize,
}

/// Finds what stands apart.
pub(super) fn group(raw: &RawZone) -> Grouping {
    let mut firsts = Firsts::with_capacity(raw, count_runs(raw));
    // Handle of the owner's first record, and that of the record itself.
    let mut apart: Vec<(u32, u32)> = Vec::new();
    let mut owner: Option<&[u8]> = None;
    let (mut first, mut is_apart) = (0, false);
    for (handle, record) in raw.iter() {
        if owner != Some(record.owner) {
            owner = Some(record.owner);
            first = firsts.first_of(record.owner, handle);
            is_apart = first != handle;
        }
        if is_apart {
            apart.push((first, handle));
        }
    }
    let owner_count = firsts.len;
    drop(firsts);
    let order = (!apart.is_empty()).then(|| order_of(raw, apart));
    Grouping { order, owner_count }
}

/// How often the owner changes from one record to the next: as many owners at least.
fn count_runs(raw: &RawZone) -> usize {
    let mut last: Option<&[u8]> = None;
    raw.iter().filter(|(_, record)| last.replace(record.owner) != Some(record.owner)).count()
}

/// Puts what stands `apart`, in the order of the files, behind the other records of its owner.
fn order_of(raw: &RawZone, mut apart: Vec<(u32, u32)>) -> Box<[u32]> {
    let mut is_apart = apart.iter().map(|(_, handle)| *handle).collect::<Vec<_>>().into_iter().peekable();
    // Handles ascend, so records of an owner stay in their order.
    apart.sort_unstable();
    let mut apart = apart.into_iter().peekable();
    let mut order = Vec::with_capacity(raw.len());
    let mut owner: Option<&[u8]> = None;
    let mut first = None;
    for (handle, record) in raw.iter() {
        if is_apart.next_if_eq(&handle).is_some() {
            continue;
        }
        if owner != Some(record.owner) {
            order.extend(
                std::iter::from_fn(|| apart.next_if(|(of, _)| Some(*of) == first)).map(|(_, apart)| apart),
            );
            owner = Some(record.owner);
            first = Some(handle);
        }
        order.push(handle);
    }
    order.extend(apart.map(|(_, handle)| handle));
    order.into()
}

/// The first record of each owner, by the hash of the owner: open addressing, as in the index of names.
struct Firsts<'z> {
    raw: &'z RawZone,
    /// High 32 bits: those of the hash, the lowest of them always set; low 32 bits: the handle. 0 is an empty slot.
    slots: Vec<u64>,
    len: usize,
}

impl<'z> Firsts<'z> {
    fn with_capacity(raw: &'z RawZone, owners: usize) -> Firsts<'z> {
        let slots = (owners * 100 / MAX_LOAD_PERCENT + 1).next_power_of_two();
        Firsts { raw, slots: vec![0; slots], len: 0 }
    }

    /// The first record of an owner: the given one, if it is new.
    fn first_of(&mut self, owner: &[u8], handle: u32) -> u32 {
        let hash = hash_name(owner);
        let mark = hash >> 32 | 1;
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                self.slots[at] = mark << 32 | u64::from(handle);
                self.len += 1;
                return handle;
            }
            if slot >> 32 == mark && self.raw.get(slot as u32).owner == owner {
                return slot as u32;
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::zonefile::read_text;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn owners_come_together_in_the_order_of_their_first_records(
            owners in prop::collection::vec("[a-d]{1,2}(\\.[a-c])?", 0..60)
        ) {
            let lines: String = owners.iter().enumerate()
                .map(|(at, owner)| format!("{owner} 60 IN A 192.0.2.{at}\n")).collect();
            let raw = read_text("test", lines.as_bytes(), None, b"\x07example\x00").unwrap();
            let Grouping { order, owner_count } = group(&raw);
            let all: Vec<(u32, &[u8])> = raw.iter().map(|(handle, record)| (handle, record.owner)).collect();
            let mut expected: Vec<u32> = Vec::new();
            let mut seen: Vec<&[u8]> = Vec::new();
            for (_, owner) in &all {
                if !seen.contains(owner) {
                    seen.push(owner);
                    expected.extend(all.iter().filter(|(_, other)| other == owner).map(|(handle, _)| *handle));
                }
            }
            prop_assert_eq!(owner_count, seen.len());
            let in_file: Vec<u32> = all.iter().map(|(handle, _)| *handle).collect();
            prop_assert_eq!(order.is_none(), expected == in_file);
            prop_assert_eq!(order.map_or(in_file, Vec::from), expected);
        }
    }
}
