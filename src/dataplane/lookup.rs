//! Name to what it owns, or to what stands in its place: zone cut, DNAME, wildcard, nothing (RFC 1034 §4.3.2, RFC 4592,
//! RFC 6672).

use super::parse::Query;
use crate::state::hashes::{Hashes, OfName};
use crate::state::names::{Flags, Node, Record};
use crate::state::rrset::Block;
use crate::state::snapshot::{Binding, Snapshot, Zone};
use crate::state::steered::Steered;
use crate::wire::message::Class;
use crate::wire::name::MAX_NAME_OCTETS;

/// The label of a wildcard with its length (RFC 4592 §2.1.1).
const ASTERISK: &[u8; 2] = b"\x01*";

/// An existing name; an empty non-terminal owns nothing.
#[derive(Clone, Copy)]
pub struct Owner<'s>(Record<'s>);

impl<'s> Owner<'s> {
    /// What ties it to a pool.
    #[inline(always)]
    pub fn binding(self, snapshot: &'s Snapshot) -> Option<Binding> {
        snapshot.bindings[self.0.node().binding as usize]
    }

    /// What it is steered to beside addresses, or in their place.
    pub fn steered(self, snapshot: &'s Snapshot) -> Option<&'s Steered> {
        if !self.flags().has(Flags::STEERED) {
            return None;
        }
        snapshot.steered.get(self.0.node().binding as usize)?.as_ref()
    }

    /// Where it lies.
    pub fn in_zone(self) -> InZone {
        self.0.node().into()
    }

    /// Its static RRsets.
    #[inline(always)]
    pub fn block(self, snapshot: &'s Snapshot) -> Block<'s> {
        let node = self.0.node();
        if node.name_len == node.apex_len {
            self.in_zone().zone(snapshot).apex()
        } else {
            snapshot.names.block(self.0)
        }
    }

    /// The closest encloser of a name that does not exist.
    #[inline(always)]
    pub fn closest_encloser(snapshot: &'s Snapshot, name: &[u8]) -> Option<Owner<'s>> {
        snapshot.names.closest_encloser(name).map(Owner)
    }

    /// Whether it owns any record: an empty non-terminal does not.
    pub fn owns_something(self, snapshot: &Snapshot) -> bool {
        self.binding(snapshot).is_some()
            || self.steered(snapshot).is_some()
            || !self.block(snapshot).is_empty()
    }

    /// The owner at a place of the index of names.
    pub fn at(snapshot: &'s Snapshot, place: u32) -> Option<Owner<'s>> {
        snapshot.names.at(place).map(Owner)
    }

    /// Its place in the index of names.
    pub fn place(self, snapshot: &Snapshot) -> u32 {
        snapshot.names.place_of(self.0)
    }

    /// The NSEC3 records that a zone has of it.
    pub fn hashed_in(self, snapshot: &Snapshot, hashes: &Hashes) -> Option<OfName> {
        hashes.of_name(&snapshot.names, self.0)
    }

    /// An existing name, in any case.
    pub fn find(snapshot: &'s Snapshot, name: &[u8]) -> Option<Owner<'s>> {
        snapshot.names.find(name).map(Owner)
    }

    /// What a zone says of this owner, which may be the apex of one below it.
    pub fn block_in(self, snapshot: &'s Snapshot, zone: u32) -> Block<'s> {
        match &self.in_zone().zone(snapshot).parent {
            Some(parent) if parent.zone == zone && self.is_apex() => Block::at(&parent.block),
            _ => self.block(snapshot),
        }
    }

    /// The name in lower case.
    pub fn name(self) -> &'s [u8] {
        self.0.name()
    }

    /// Octets of the name.
    pub fn name_len(self) -> usize {
        usize::from(self.0.node().name_len)
    }

    /// Whether it is the apex of its zone.
    pub fn is_apex(self) -> bool {
        let node = self.0.node();
        node.name_len == node.apex_len
    }

    /// Whether this is the same owner.
    pub fn is(self, other: Owner<'_>) -> bool {
        self.0.is(other.0)
    }

    /// What is special about it.
    #[inline(always)]
    pub fn flags(self) -> Flags {
        self.0.node().flags
    }
}

/// A zone, and how much of a name is its apex.
#[derive(Clone, Copy)]
pub struct InZone {
    /// Index of the zone.
    pub zone: u32,
    /// Octets of the apex, at the end of the name.
    pub apex_len: u8,
}

impl InZone {
    /// The zone itself.
    pub fn zone<'s>(&self, snapshot: &'s Snapshot) -> &'s Zone {
        &snapshot.zones[self.zone as usize]
    }
}

impl From<Node> for InZone {
    fn from(node: Node) -> InZone {
        InZone { zone: node.zone, apex_len: node.apex_len }
    }
}

/// What a name leads to.
#[derive(Clone, Copy)]
pub enum Found<'s> {
    /// The name itself.
    Exact(Owner<'s>),
    /// The wildcard that stands for it.
    Wildcard(Owner<'s>),
    /// The zone cut at or above it.
    Cut(Owner<'s>),
    /// The owner of a DNAME record above it.
    Dname(Owner<'s>),
    /// Nothing; this is the closest encloser.
    Missing(Owner<'s>),
    /// Nothing, and no zone either.
    Outside,
}

impl Found<'_> {
    /// The zone it lies in.
    pub fn in_zone(&self) -> Option<InZone> {
        match self {
            Found::Exact(owner)
            | Found::Wildcard(owner)
            | Found::Cut(owner)
            | Found::Dname(owner)
            | Found::Missing(owner) => Some(owner.in_zone()),
            Found::Outside => None,
        }
    }
}

/// Finds the query's own name; `None` where it does not exist or its class is not IN.
#[inline(always)]
pub fn lookup<'s>(snapshot: &'s Snapshot, query: Query<'_>) -> Option<Owner<'s>> {
    if query.qclass() != Class::IN {
        return None;
    }
    snapshot.names.find(query.qname()).map(Owner)
}

/// What any name leads to.
pub fn locate<'s>(snapshot: &'s Snapshot, name: &[u8]) -> Found<'s> {
    place(snapshot, name, snapshot.names.find(name).map(Owner))
}

/// What a name leads to that was looked up already.
pub fn place<'s>(snapshot: &'s Snapshot, name: &[u8], owner: Option<Owner<'s>>) -> Found<'s> {
    if let Some(owner) = owner {
        return if owner.flags().has(Flags::CUT) { Found::Cut(owner) } else { Found::Exact(owner) };
    }
    let Some(encloser) = Owner::closest_encloser(snapshot, name) else { return Found::Outside };
    let flags = encloser.flags();
    if flags.has(Flags::CUT) {
        return Found::Cut(encloser);
    }
    if flags.has(Flags::DNAME) {
        return Found::Dname(encloser);
    }
    let wildcard =
        if flags.has(Flags::WILDCARD_BELOW) { wildcard_below(snapshot, name, encloser) } else { None };
    wildcard.map_or(Found::Missing(encloser), Found::Wildcard)
}

/// The wildcard directly below the closest encloser of a name.
fn wildcard_below<'s>(snapshot: &'s Snapshot, name: &[u8], encloser: Owner<'s>) -> Option<Owner<'s>> {
    let mut wildcard = [0; MAX_NAME_OCTETS];
    let above = name.get(name.len().checked_sub(encloser.name_len())?..)?;
    let wildcard = wildcard.get_mut(..ASTERISK.len() + above.len())?;
    let (label, rest) = wildcard.split_at_mut(ASTERISK.len());
    label.copy_from_slice(ASTERISK);
    rest.copy_from_slice(above);
    snapshot.names.find(wildcard).map(Owner)
}
