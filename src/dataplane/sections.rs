//! The records of a reply as they are put together: answer, authority, additional, each RRset whole or not at all
//! (RFC 2181 §9).
//!
//! Knows octets and counts; what is written is decided by `resolve`.

use crate::state::rrset::{MAX_POINTER, Place, Rrset, Written};
use crate::wire::message::Rtype;

/// A section of a message (RFC 1035 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

/// The part of a reply behind its question, as far as it is written.
pub(super) struct Sections<'r> {
    into: &'r mut [u8],
    /// Offset of `into` in the message.
    base: usize,
    len: usize,
    counts: [u16; 3],
    is_truncated: bool,
}

impl<'r> Sections<'r> {
    /// Nothing yet; `into` begins `base` octets into the message, and ends where the reply must.
    pub(super) fn new(into: &'r mut [u8], base: usize) -> Sections<'r> {
        Sections { into, base, len: 0, counts: [0; 3], is_truncated: false }
    }

    /// Octets written.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Records of a section.
    pub(super) fn count(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }

    /// Whether something was left out that belongs to the answer.
    pub(super) fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// Offset in the message of what comes next, where a pointer reaches it.
    pub(super) fn next_at(&self) -> Option<u16> {
        u16::try_from(self.base + self.len).ok().filter(|at| usize::from(*at) <= MAX_POINTER)
    }

    /// Where the next records go.
    pub(super) fn rest(&mut self) -> &mut [u8] {
        &mut self.into[self.len..]
    }

    /// What is written from an offset of the message on.
    pub(super) fn written_from(&self, at: u16) -> &[u8] {
        self.into[..self.len].get(usize::from(at).wrapping_sub(self.base)..).unwrap_or_default()
    }

    /// Where a name that begins at an offset of the message has its first label: behind the pointers it may begin with.
    pub(super) fn follow_pointers(&self, mut at: u16) -> u16 {
        // Pointers lead backwards, at last to the question, which has none.
        while let Some(&[high @ 0xC0..=0xFF, low]) = self.written_from(at).first_chunk() {
            at = u16::from_be_bytes([high & 0x3F, low]);
        }
        at
    }

    /// Takes into a section what was written to [`Sections::rest`]; `None` was too long and leaves the reply truncated.
    pub(super) fn take(&mut self, section: Section, written: Option<Written>) -> bool {
        match written {
            Some(Written { len, count }) => {
                self.len += len;
                self.counts[section as usize] += count;
                true
            }
            None => {
                self.is_truncated = true;
                false
            }
        }
    }

    /// Adds an RRset.
    pub(super) fn put(&mut self, section: Section, rrset: Rrset<'_>, place: Place, signed: bool) -> bool {
        let written = rrset.write(place, signed, self.rest());
        self.take(section, written)
    }

    /// Adds records given in parts.
    pub(super) fn put_parts(&mut self, section: Section, count: u16, parts: &[&[u8]]) -> bool {
        let mut len = 0;
        for part in parts {
            let Some(to) = self.rest().get_mut(len..len + part.len()) else {
                return self.take(section, None);
            };
            to.copy_from_slice(part);
            len += part.len();
        }
        self.take(section, Some(Written { len, count }))
    }

    /// Adds the addresses of what an RRset names that begins at `rrset_at`: what is needed first, so that it is what has room;
    /// what is only of use is left out where there is none, and what is the answer itself is not said twice: `answered` has
    /// its type and the mark of its owner.
    pub(super) fn put_extras(
        &mut self,
        rrset: Rrset<'_>,
        rrset_at: Option<u16>,
        signed: bool,
        answered: Option<(Rtype, u16)>,
    ) {
        let Some(rrset_at) = rrset_at else { return };
        for needed in [true, false] {
            for extra in rrset.extras().filter(|extra| extra.is_needed() == needed) {
                if answered.is_some_and(|(rtype, mark)| extra.may_be(rtype, mark)) {
                    continue;
                }
                let at = u16::try_from(usize::from(rrset_at) + extra.name_at()).ok();
                let Some(at) = at.filter(|at| usize::from(*at) <= MAX_POINTER) else { continue };
                let rest = self.rest();
                // Signatures are of use, the addresses are what is wanted (RFC 4035 §3.1.1).
                let written = extra.write(at, signed, rest).or_else(|| extra.write(at, false, rest));
                if written.is_some() || needed {
                    self.take(Section::Additional, written);
                }
            }
        }
    }
}
