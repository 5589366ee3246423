//! Query name to what it owns (RFC 1034 §4.3.2, RFC 4592 §2.2).

use super::parse::Query;
use crate::state::names::{Node, Record};
use crate::state::snapshot::{Shape, Snapshot, Zone};
use crate::wire::message::Class;

/// An existing name; an empty non-terminal owns nothing.
#[derive(Clone, Copy)]
pub struct Owner<'s>(Record<'s>);

impl<'s> Owner<'s> {
    /// What it owns.
    #[inline(always)]
    pub fn shape(self, snapshot: &'s Snapshot) -> &'s Shape {
        &snapshot.shapes[self.0.node().shape as usize]
    }

    /// Where it lies.
    pub fn in_zone(self) -> InZone {
        self.0.node().into()
    }
}

/// A zone, and how much of the query name is its apex.
#[derive(Clone, Copy)]
pub struct InZone {
    /// Index of the zone.
    pub zone: u32,
    /// Octets of the apex, at the end of the query name.
    pub apex_len: u8,
}

impl InZone {
    /// The zone itself.
    pub fn zone<'s>(&self, snapshot: &'s Snapshot) -> &'s Zone {
        &snapshot.zones[self.zone as usize]
    }

    /// Octets of the query name before the apex.
    pub fn apex_offset(&self, query: &Query<'_>) -> usize {
        query.qname().len() - usize::from(self.apex_len)
    }
}

impl From<Node> for InZone {
    fn from(node: Node) -> InZone {
        InZone { zone: node.zone, apex_len: node.apex_len }
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

/// The zone in which a name that does not exist would lie; `None` outside every zone.
pub fn enclosing_zone(snapshot: &Snapshot, query: &Query<'_>) -> Option<InZone> {
    snapshot.names.closest_encloser(query.qname()).map(InZone::from)
}
