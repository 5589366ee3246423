//! Records to a zone: everything that RFC 1034, 2181 and 6672 forbid found in one run.
//!
//! Changes no record. What is only unwise is `findings`'.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::cause::WholeCause;
use super::order::{Grouping, group};
use super::{ZoneData, labels_below, whole_name};
use crate::config::cause::Found;
use crate::config::report::Severity;
use crate::config::zonefile::{Faults, RawRecord, RawZone, ZoneFault, canonical_rdata, shown_type};
use crate::state::name_map::{NameMap, NameSet};
use crate::state::rrset::MAX_LINKS;
use crate::state::rrset_builder::{MAX_RRSET_OCTETS, MAX_TYPES, RECORD_HEAD_OCTETS};
use crate::wire::message::Rtype;
use crate::wire::name::fmt_wire;

/// What the configuration has for a zone beside its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Given {
    /// An SOA record.
    pub(in crate::config) soa: bool,
    /// Name servers.
    pub(in crate::config) ns: bool,
    /// Signatures, and what goes along with them.
    pub(in crate::config) signatures: bool,
}

impl Given {
    /// RRsets that an owner has beside those of the file, or in their place: SOA and NS of an apex; where the zone is signed,
    /// NSEC, and at the apex NSEC or NSEC3PARAM, DNSKEY, CDS and CDNSKEY.
    fn types_at(self, is_apex: bool) -> usize {
        let of_signing = match (self.signatures, is_apex) {
            (true, true) => 4,
            (true, false) => 1,
            (false, _) => 0,
        };
        of_signing + if is_apex { 2 } else { 0 }
    }
}

/// Judges the records of a zone; what is suspicious goes into `faults` too.
pub(in crate::config) fn assemble(
    raw: RawZone,
    apex: &[u8],
    given: Given,
    faults: &mut Faults,
) -> Option<ZoneData> {
    let Grouping { order, owner_count } = group(&raw);
    let mut zone = ZoneData {
        raw,
        order,
        owner_count,
        cuts: NameSet::default(),
        dnames: NameSet::default(),
        has_soa: false,
        has_ns: false,
    };
    for (_, record) in zone.raw.iter() {
        match (record.rtype, record.owner.is_empty()) {
            (Rtype::SOA, true) => zone.has_soa = true,
            (Rtype::NS, true) => zone.has_ns = true,
            (Rtype::NS, false) => _ = zone.cuts.insert(record.owner.into()),
            (Rtype::DNAME, _) => _ = zone.dnames.insert(record.owner.into()),
            _ => {}
        }
    }
    let mut judge =
        Judge { zone: &zone, apex, given, faults, aliases: NameMap::default(), said_hidden: HashSet::new() };
    judge.judge_apex();
    zone.for_each_owner(|records| judge.judge_owner(records));
    judge.judge_aliases();
    judge.judge_signatures();
    (!faults.any_error()).then_some(zone)
}

/// A CNAME record that leads to a name of its own zone.
struct Alias {
    /// As labels below the apex.
    target: Box<[u8]>,
    file: Arc<str>,
    line: u32,
}

struct Judge<'z, 'f> {
    zone: &'z ZoneData,
    apex: &'z [u8],
    given: Given,
    faults: &'f mut Faults,
    /// CNAME records that can be followed, by owner as labels below the apex.
    aliases: NameMap<Box<[u8]>, Alias>,
    /// Cuts and DNAMEs that were told to hide something.
    said_hidden: HashSet<Box<[u8]>>,
}

impl Judge<'_, '_> {
    fn say(&mut self, severity: Severity, at: &RawRecord<'_>, cause: WholeCause) {
        let (file, line) = self.zone.raw.place(at);
        self.faults.add(ZoneFault { file: file.clone(), line, column: 0, severity, cause: cause.into() });
    }

    fn say_of_file(&mut self, severity: Severity, cause: WholeCause) {
        let file = self.zone.raw.name().clone();
        self.faults.add(ZoneFault { file, line: 0, column: 0, severity, cause: cause.into() });
    }

    fn judge_apex(&mut self) {
        let given = self.given;
        match (self.zone.has_soa, given.soa) {
            (false, false) => self.say_of_file(Severity::Error, WholeCause::NoSoa),
            (true, true) => self.say_of_file(Severity::Warning, WholeCause::GivenTwice { what: "soa" }),
            _ => {}
        }
        match (self.zone.has_ns, given.ns) {
            (false, false) => self.say_of_file(Severity::Error, WholeCause::NoNs),
            (true, true) => self.say_of_file(Severity::Warning, WholeCause::GivenTwice { what: "ns" }),
            _ => {}
        }
    }

    /// Judges all records of one owner.
    fn judge_owner(&mut self, records: &[RawRecord<'_>]) {
        let Some(first) = records.first() else { return };
        let owner = || Found::new(&name_text(first.owner, self.apex));
        if let Some(above) = self.zone.hidden_below(first.owner) {
            self.judge_hidden(records, above);
            return;
        }
        let count = |rtype: Rtype| records.iter().filter(|record| record.rtype == rtype).count();
        if first.owner.starts_with(b"\x01*")
            && let Some(record) = records.iter().find(|r| matches!(r.rtype, Rtype::NS | Rtype::DNAME))
        {
            let cause =
                WholeCause::AtWildcard { rtype: if record.rtype == Rtype::NS { "NS" } else { "DNAME" } };
            self.say(Severity::Error, record, cause);
        }
        let aliases = count(Rtype::CNAME);
        if aliases > 0 {
            let is_own =
                |record: &&RawRecord<'_>| record.rtype == Rtype::CNAME || is_made_by_signing(record.rtype);
            // SOA and NS may be the configuration's.
            let other = match first.owner.is_empty() {
                true => Some(first),
                false => records.iter().find(|record| !is_own(record)),
            };
            if let Some(other) = other {
                let cause = WholeCause::AliasBesideData { owner: owner() };
                self.say(Severity::Error, other, cause);
            } else if let Some(second) = second_different(records, Rtype::CNAME) {
                self.say(Severity::Error, second, WholeCause::SecondAlias { owner: owner(), rtype: "CNAME" });
            } else if let Some(alias) = records.iter().find(|record| record.rtype == Rtype::CNAME)
                && let Some(target) = labels_below(&alias.rdata.to_ascii_lowercase(), self.apex)
            {
                let (file, line) = self.zone.raw.place(alias);
                let alias = Alias { target: target.into(), file: file.clone(), line };
                self.aliases.insert(first.owner.into(), alias);
            }
        }
        if let Some(second) = second_different(records, Rtype::DNAME) {
            self.say(Severity::Error, second, WholeCause::SecondAlias { owner: owner(), rtype: "DNAME" });
        }
        self.judge_ttls(records);
        self.judge_sizes(records);
        if self.zone.is_cut(first.owner)
            && let Some(other) = records.iter().find(|record| !belongs_to_cut(record.rtype))
        {
            let cause = WholeCause::Hidden { by: owner(), rtype: "NS" };
            self.say(Severity::Warning, other, cause);
        }
    }

    /// Records at and below a cut that are no glue, or below a DNAME: nobody will ever see them.
    fn judge_hidden(&mut self, records: &[RawRecord<'_>], above: &[u8]) {
        let is_glue = |record: &&RawRecord<'_>| matches!(record.rtype, Rtype::A | Rtype::AAAA);
        let cut = self.zone.is_cut(above);
        let other = if cut { records.iter().find(|record| !is_glue(record)) } else { records.first() };
        let Some(other) = other else { return };
        if self.said_hidden.insert(above.into()) {
            let by = Found::new(&name_text(above, self.apex));
            let rtype = if cut { "NS" } else { "DNAME" };
            self.say(Severity::Warning, other, WholeCause::Hidden { by, rtype });
        }
    }

    /// The TTLs of an RRset are one (RFC 2181 §5.2).
    fn judge_ttls(&mut self, records: &[RawRecord<'_>]) {
        if records.iter().all(|record| record.ttl_secs == records[0].ttl_secs) {
            return;
        }
        let mut by_type: HashMap<Rtype, u32> = HashMap::new();
        let mut said = HashSet::new();
        for record in records.iter().filter(|record| record.rtype != Rtype::RRSIG) {
            let first = *by_type.entry(record.rtype).or_insert(record.ttl_secs);
            if first != record.ttl_secs && said.insert(record.rtype) {
                let of_type = records.iter().filter(|other| other.rtype == record.rtype);
                let smaller = of_type.map(|other| other.ttl_secs).min().unwrap_or(first);
                self.say(
                    Severity::Warning,
                    record,
                    WholeCause::DifferentTtls { first, second: record.ttl_secs, smaller },
                );
            }
        }
    }

    /// What signing made is left out, and that is said once.
    fn judge_signatures(&mut self) {
        if let Some((_, record)) = self.zone.raw.iter().find(|(_, record)| is_made_by_signing(record.rtype)) {
            self.say(Severity::Warning, &record, WholeCause::SignaturesIgnored);
        }
    }

    /// What cannot be held or sent.
    fn judge_sizes(&mut self, records: &[RawRecord<'_>]) {
        let octets: usize = records.iter().map(|record| record.rdata.len() + RECORD_HEAD_OCTETS).sum();
        let is_apex = records[0].owner.is_empty();
        let most = MAX_TYPES - self.given.types_at(is_apex);
        let is_key = |rtype: Rtype| matches!(rtype, Rtype::DNSKEY | Rtype::CDS | Rtype::CDNSKEY);
        let is_counted = |rtype: Rtype| {
            !(is_apex && matches!(rtype, Rtype::SOA | Rtype::NS)
                || is_made_by_signing(rtype)
                || self.given.signatures && is_key(rtype))
        };
        if octets <= MAX_RRSET_OCTETS && records.len() <= most {
            return;
        }
        let mut by_type: HashMap<Rtype, usize> = HashMap::new();
        for record in records {
            *by_type.entry(record.rtype).or_default() += record.rdata.len() + RECORD_HEAD_OCTETS;
        }
        let owner = || Found::new(&name_text(records[0].owner, self.apex));
        if by_type.keys().filter(|rtype| is_counted(**rtype)).count() > most {
            let cause = match self.given.signatures {
                true => WholeCause::TooManySignedTypes { owner: owner(), limit: most },
                false => WholeCause::TooManyTypes { owner: owner(), limit: MAX_TYPES },
            };
            self.say(Severity::Error, &records[0], cause);
        }
        let largest = by_type.into_iter().max_by_key(|(_, octets)| *octets);
        if let Some((rtype, _)) = largest.filter(|(_, octets)| *octets > MAX_RRSET_OCTETS) {
            let cause = WholeCause::TooLarge { owner: owner(), rtype: shown_type(rtype) };
            self.say(Severity::Error, &records[0], cause);
        }
    }

    /// Chains of aliases inside the zone end, and within as many links as are followed.
    fn judge_aliases(&mut self) {
        let mut broken: Vec<(Found, Arc<str>, u32, bool)> = Vec::new();
        for (owner, Alias { file, line, .. }) in &self.aliases {
            let mut links = 0;
            let mut at: &[u8] = owner;
            while let Some(Alias { target, .. }) = self.aliases.get(at) {
                links += 1;
                at = target;
                if links > MAX_LINKS {
                    break;
                }
            }
            if links > MAX_LINKS {
                // One that comes back to itself within all the aliases there are is a loop.
                let mut here: &[u8] = owner;
                let is_loop = (0..=self.aliases.len()).all(|_| match self.aliases.get(here) {
                    Some(Alias { target, .. }) => {
                        here = target;
                        true
                    }
                    None => false,
                });
                broken.push((Found::new(&name_text(owner, self.apex)), file.clone(), *line, is_loop));
            }
        }
        broken.sort_by_key(|(_, file, line, _)| (file.clone(), *line));
        for (owner, file, line, is_loop) in broken {
            let cause = if is_loop {
                WholeCause::AliasLoop { owner }
            } else {
                WholeCause::AliasChain { owner, limit: MAX_LINKS }
            };
            let fault = ZoneFault { file, line, column: 0, severity: Severity::Error, cause: cause.into() };
            self.faults.add(fault);
        }
    }
}

/// Whether records of a type are made by signing: those of a file that is not signed here would be stale or lies.
pub(in crate::config) fn is_made_by_signing(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::RRSIG | Rtype::NSEC | Rtype::NSEC3 | Rtype::NSEC3PARAM)
}

/// Whether records of a type at a zone cut are the parent's, or glue.
fn belongs_to_cut(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::NS | Rtype::DS | Rtype::A | Rtype::AAAA) || is_made_by_signing(rtype)
}

/// A record of a type that says something else than the first one.
fn second_different<'r, 'z>(records: &'r [RawRecord<'z>], rtype: Rtype) -> Option<&'r RawRecord<'z>> {
    let mut of_type = records.iter().filter(|record| record.rtype == rtype);
    let first = of_type.next()?;
    let canonical = |record: &RawRecord<'_>| {
        let mut octets = Vec::new();
        canonical_rdata(record.rtype, record.rdata, &mut octets);
        octets
    };
    let of_first = canonical(first);
    of_type.find(|record| canonical(record) != of_first)
}

/// An owner as text.
pub(super) fn name_text(owner: &[u8], apex: &[u8]) -> String {
    let name = whole_name(owner, apex);
    std::fmt::from_fn(|f| fmt_wire(&name, f)).to_string()
}
