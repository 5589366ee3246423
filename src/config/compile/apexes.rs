//! The apexes of zones: which of them a name lies in, and what stands at those that have no zone file.
//!
//! Knows no names below an apex.

use crate::config::model::{self, Config, SoaFields};
use crate::state::name_map::NameMap;
use crate::state::rrset_builder::{NameAt, RrsetBuilder, push_block};
use crate::wire::message::Rtype;
use crate::wire::name::{MAX_NAME_OCTETS, Name, suffixes};

/// Name server of a synthesized apex when `server.ns` is empty: it can never resolve (RFC 6761 §6.4), so nobody is led
/// to a host that is no name server, and whoever reads it sees what is missing.
pub const SYNTHESIZED_NS: &str = "ns.invalid.";
/// TTL of the NS RRset of a synthesized apex.
const SYNTHESIZED_NS_TTL_SECS: u32 = 86_400;
/// Stands for the apex in data that apexes of different names share. Of what is written there, only the default mailbox may
/// end in it.
const ANY_APEX: &[u8] = b"\x04apex\x00";
/// Mailbox of a zone without `rname`: this label below the apex (RFC 2142 §7).
const DEFAULT_MAILBOX: &[u8] = b"hostmaster";

/// The apexes of zones, to find the one that a name lies in.
pub(in crate::config) struct Apexes<'z> {
    /// Each with its index.
    by_name: NameMap<&'z [u8], u32>,
    /// Lengths that apexes have: most ancestors of a name need not be looked up.
    lens: [bool; 256],
}

impl<'z> Apexes<'z> {
    /// The apexes in order.
    pub(in crate::config) fn new(apexes: impl Iterator<Item = &'z model::OwnerName>) -> Apexes<'z> {
        let by_name: NameMap<&[u8], u32> = apexes.map(model::OwnerName::as_wire).zip(0..).collect();
        let mut lens = [false; 256];
        by_name.keys().for_each(|apex| lens[apex.len()] = true);
        Apexes { by_name, lens }
    }

    /// Index and length of the closest apex at or above a name in lower-case wire form.
    pub(in crate::config) fn above(&self, name: &[u8]) -> Option<(u32, u8)> {
        suffixes(name)
            .filter(|suffix| self.lens[suffix.len()])
            .find_map(|suffix| self.by_name.get(suffix).map(|id| (*id, suffix.len() as u8)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'z [u8]> {
        self.by_name.keys().copied()
    }
}

/// What globalnames outside every zone share.
pub(super) struct Synthesized {
    /// The block of an SOA record for negative answers.
    pub(super) negative: Box<[u8]>,
    /// The block of SOA and NS.
    pub(super) apex: Box<[u8]>,
}

impl Synthesized {
    /// Of the apexes below which there is room for a mailbox, or not.
    pub(super) fn new(config: &Config, has_room: bool) -> Synthesized {
        let fields = &config.server.soa;
        let fallback_ns = [Name::from_text(SYNTHESIZED_NS).unwrap_or(Name::ROOT)];
        let servers = if config.server.ns.is_empty() { &fallback_ns[..] } else { &config.server.ns[..] };
        let soa = |ttl_secs| soa(fields, servers, &Apex::Any { has_room }, ttl_secs);
        Synthesized {
            negative: block([soa(fields.ttl_secs.min(fields.minimum_secs))]),
            apex: block([
                soa(fields.ttl_secs),
                ns(servers, SYNTHESIZED_NS_TTL_SECS, &Apex::Any { has_room }),
            ]),
        }
    }
}

/// Whether the default mailbox below an apex is a name: it has at most 255 octets (RFC 1035 §3.1).
pub(super) fn has_room_below(apex: &[u8]) -> bool {
    1 + DEFAULT_MAILBOX.len() + apex.len() <= MAX_NAME_OCTETS
}

/// Whose SOA and NS records are made.
pub(super) enum Apex<'z> {
    /// That of a configured zone, in lower-case wire form.
    Of(&'z [u8]),
    /// Any, with room below it for a mailbox or without.
    Any {
        /// Whether there is room.
        has_room: bool,
    },
}

impl Apex<'_> {
    fn as_wire(&self) -> &[u8] {
        match self {
            Apex::Of(apex) => apex,
            Apex::Any { .. } => ANY_APEX,
        }
    }

    fn has_room(&self) -> bool {
        match self {
            Apex::Of(apex) => has_room_below(apex),
            Apex::Any { has_room } => *has_room,
        }
    }
}

/// The data of an apex's SOA record (RFC 1035 §3.3.13), and which of its names may end in the apex. Its mailbox is the configured one, else the default one where it is a name,
/// else none.
pub(super) fn soa_data(fields: &SoaFields, servers: &[Name], apex: &Apex<'_>) -> (Vec<u8>, Vec<NameAt>) {
    let mname = fields.mname.as_ref().or(servers.first()).unwrap_or(&Name::ROOT);
    let mut rdata = mname.as_wire().to_vec();
    let rname_at = rdata.len();
    match &fields.rname {
        Some(rname) => rdata.extend(rname.as_wire()),
        None if apex.has_room() => {
            rdata.push(DEFAULT_MAILBOX.len() as u8);
            rdata.extend(DEFAULT_MAILBOX);
            rdata.extend(apex.as_wire());
        }
        None => rdata.push(0),
    }
    let rname = NameAt { at: rname_at, len: rdata.len() - rname_at };
    for number in
        [fields.serial, fields.refresh_secs, fields.retry_secs, fields.expire_secs, fields.minimum_secs]
    {
        rdata.extend(number.to_be_bytes());
    }
    let names = match (apex, &fields.rname) {
        (Apex::Of(_), _) => vec![NameAt { at: 0, len: rname_at }, rname],
        (Apex::Any { .. }, None) => vec![rname],
        (Apex::Any { .. }, Some(_)) => Vec::new(),
    };
    (rdata, names)
}

/// The SOA RRset of an apex.
pub(super) fn soa(fields: &SoaFields, servers: &[Name], apex: &Apex<'_>, ttl_secs: u32) -> RrsetBuilder {
    let (rdata, names) = soa_data(fields, servers, apex);
    let mut rrset = RrsetBuilder::new(Rtype::SOA);
    // Two names and five numbers fit.
    let _ = rrset.push(ttl_secs, &rdata, &names, apex.as_wire());
    rrset
}

/// The NS RRset of an apex.
pub(super) fn ns(servers: &[Name], ttl_secs: u32, apex: &Apex<'_>) -> RrsetBuilder {
    let mut rrset = RrsetBuilder::new(Rtype::NS);
    for server in servers {
        let name = NameAt { at: 0, len: server.as_wire().len() };
        let names = if let Apex::Of(_) = apex { &[name][..] } else { &[] };
        // Their number is limited by the configuration.
        let _ = rrset.push(ttl_secs, server.as_wire(), names, apex.as_wire());
    }
    rrset
}

/// A block on the heap.
pub(super) fn block<const N: usize>(rrsets: [RrsetBuilder; N]) -> Box<[u8]> {
    let mut octets = Vec::new();
    push_block(&rrsets, &mut octets);
    octets.into()
}
