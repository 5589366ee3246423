//! Query name to what it owns (RFC 1034 §4.3.2, RFC 4592 §2.2).

use super::parse::Query;
use crate::state::names::{Lookup, Node};
use crate::state::snapshot::{Shape, Snapshot, Zone};
use crate::wire::message::Class;

/// Where a query name leads.
#[derive(Clone, Copy)]
pub enum Found<'s> {
    /// An existing name; an empty non-terminal owns nothing.
    Name(&'s Shape, InZone),
    /// No such name in a zone that is served.
    NxDomain(InZone),
    /// Class CH: questions about the server itself.
    Chaos,
    /// Outside every zone, or of a class that is not served.
    Refused,
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

/// Finds the query's name.
#[inline]
pub fn lookup<'s>(snapshot: &'s Snapshot, query: &Query<'_>) -> Found<'s> {
    match query.qclass {
        Class::IN => {}
        Class::CH => return Found::Chaos,
        _ => return Found::Refused,
    }
    let in_zone = |node: Node| InZone { zone: node.zone, apex_len: node.apex_len };
    match snapshot.names.lookup(query.qname()) {
        Lookup::Exact(node) => Found::Name(&snapshot.shapes[node.shape as usize], in_zone(node)),
        Lookup::Encloser(node) => Found::NxDomain(in_zone(node)),
        Lookup::Nothing => Found::Refused,
    }
}
