//! What makes a delegation fail in practice, though the zone can be served: warnings, each with its fix.
//!
//! Judges the records that are there; asks nobody.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::assemble::name_text;
use super::cause::WholeCause;
use super::{ZoneData, ancestors, labels_below};
use crate::config::cause::Found;
use crate::config::model;
use crate::config::report::Severity;
use crate::config::steered::Takes;
use crate::config::zonefile::{RawRecord, ZoneFault};
use crate::config::zones::{LONG_NEGATIVE_TTL_SECS, repeats_origin};
use crate::state::name_map::NameMap;
use crate::wire::message::Rtype;
use crate::wire::name::{Name, fmt_wire, uncompressed_len};

/// The label of a wildcard with its length.
const ASTERISK: &[u8] = b"\x01*";
/// What is told of the same kind at most: the rest is alike.
const MAX_OF_A_KIND: usize = 10;

/// Looks at the records of a zone beside its globalnames, given as labels below the apex.
pub(in crate::config) fn find<'n>(
    data: &ZoneData,
    zone: &model::Zone,
    steered: impl Iterator<Item = (&'n [u8], Takes)>,
) -> Vec<ZoneFault> {
    let apex = zone.apex.as_wire();
    let hosts = Hosts::collect(data, zone, steered);
    let mut finder = Finder { data, apex, hosts, found: Vec::new(), said: HashMap::new() };
    finder.judge_soa();
    finder.judge_name_servers(zone);
    finder.judge_hosts();
    finder.found
}

/// What is known of a host inside the zone.
#[derive(Clone, Copy, Debug, Default)]
struct Host {
    has_address: bool,
    is_alias: bool,
    is_steered: bool,
    /// An address nobody elsewhere can reach.
    unusable: Option<IpAddr>,
}

/// Hosts inside the zone that records name.
struct Hosts {
    of: NameMap<Box<[u8]>, Host>,
}

impl Hosts {
    fn collect<'n>(
        data: &ZoneData,
        zone: &model::Zone,
        steered: impl Iterator<Item = (&'n [u8], Takes)>,
    ) -> Hosts {
        let apex = zone.apex.as_wire();
        let mut hosts = Hosts { of: NameMap::default() };
        // By the name above the wildcard.
        let mut wildcards: HashMap<&[u8], Host> = HashMap::new();
        let steered: Vec<(&[u8], Takes)> = steered.collect();
        let mut want = |name: &[u8]| {
            if let Some(labels) = labels_below(&name.to_ascii_lowercase(), apex) {
                hosts.of.entry(Box::from(labels)).or_default();
            }
        };
        zone.ns.iter().for_each(|server| want(server.as_wire()));
        for record in data.records() {
            match record.rtype {
                Rtype::NS => want(record.rdata),
                Rtype::MX => want(record.rdata.get(2..).unwrap_or_default()),
                _ => {}
            }
        }
        for (labels, takes) in steered.iter().filter(|(_, takes)| takes.addresses) {
            let wildcard = labels.strip_prefix(ASTERISK).map(|above| wildcards.entry(above).or_default());
            for host in hosts.of.get_mut(*labels).into_iter().chain(wildcard) {
                (host.has_address, host.is_steered, host.is_alias) = (true, true, takes.alias);
            }
        }
        for record in data.records() {
            let address = match record.rtype {
                Rtype::A => record.rdata.first_chunk().map(|octets| IpAddr::V4(Ipv4Addr::from(*octets))),
                Rtype::AAAA => record.rdata.first_chunk().map(|octets| IpAddr::V6(Ipv6Addr::from(*octets))),
                Rtype::CNAME => None,
                _ => continue,
            };
            let wildcard = record.owner.strip_prefix(ASTERISK);
            let wildcard = wildcard.map(|above| wildcards.entry(above).or_default());
            for host in hosts.of.get_mut(record.owner).into_iter().chain(wildcard) {
                match address {
                    Some(address) => {
                        host.has_address = true;
                        host.unusable =
                            host.unusable.or(Some(address).filter(|address| !is_usable(*address)));
                    }
                    None => host.is_alias = true,
                }
            }
        }
        if !wildcards.is_empty() {
            let wanted: Vec<Box<[u8]>> = hosts.of.keys().cloned().collect();
            let wanted: Vec<&[u8]> = wanted.iter().map(|host| &host[..]).collect();
            for (host, encloser) in
                data.enclosers_of_missing(&wanted, steered.iter().map(|(labels, _)| *labels))
            {
                hosts.of.insert(host.into(), wildcards.get(encloser).copied().unwrap_or_default());
            }
        }
        hosts
    }

    /// What is known of a host; one that a wildcard stands for has what that has.
    fn host(&self, labels: &[u8]) -> Host {
        self.of.get(labels).copied().unwrap_or_default()
    }
}

struct Finder<'z> {
    data: &'z ZoneData,
    apex: &'z [u8],
    hosts: Hosts,
    found: Vec<ZoneFault>,
    said: HashMap<std::mem::Discriminant<WholeCause>, usize>,
}

impl Finder<'_> {
    fn warn(&mut self, at: Option<&RawRecord<'_>>, cause: WholeCause) {
        let said = self.said.entry(std::mem::discriminant(&cause)).or_default();
        if *said == MAX_OF_A_KIND {
            return;
        }
        *said += 1;
        let (file, line) = match at {
            Some(record) => self.data.place(record),
            None => (self.data.file_name(), 0),
        };
        self.found.push(ZoneFault {
            file: file.clone(),
            line,
            column: 0,
            severity: Severity::Warning,
            cause: cause.into(),
        });
    }

    /// The timers and the mailbox of the SOA record (RFC 1035 §3.3.13, RFC 1912 §2.2, RFC 2308 §5).
    fn judge_soa(&mut self) {
        let data = self.data;
        let Some(soa) = data.records().find(|record| record.rtype == Rtype::SOA) else { return };
        let Ok(mname_len) = uncompressed_len(soa.rdata, 0) else { return };
        let Ok(rname_len) = uncompressed_len(soa.rdata, mname_len) else { return };
        let numbers = soa.rdata.get(mname_len + rname_len..).unwrap_or_default();
        let [_, refresh_secs, retry_secs, expire_secs, minimum_secs] = [0, 1, 2, 3, 4].map(|at| {
            numbers
                .get(at * 4..)
                .and_then(|rest| rest.first_chunk())
                .map_or(0, |octets| u32::from_be_bytes(*octets))
        });
        for name in [&soa.rdata[..mname_len], &soa.rdata[mname_len..mname_len + rname_len]] {
            self.judge_repeated(&soa, name);
        }
        let rname = &soa.rdata[mname_len..mname_len + rname_len];
        if rname.contains(&b'@') {
            self.warn(Some(&soa), WholeCause::MailboxAt { name: shown(rname) });
        }
        if expire_secs <= refresh_secs.saturating_add(retry_secs) {
            self.warn(Some(&soa), WholeCause::ShortExpire { expire_secs, refresh_secs, retry_secs });
        }
        if retry_secs > refresh_secs {
            self.warn(Some(&soa), WholeCause::LongRetry { retry_secs, refresh_secs });
        }
        if minimum_secs.min(soa.ttl_secs) > LONG_NEGATIVE_TTL_SECS {
            self.warn(Some(&soa), WholeCause::LongNegativeTtl { secs: minimum_secs.min(soa.ttl_secs) });
        }
        if minimum_secs.min(soa.ttl_secs) == 0 {
            self.warn(Some(&soa), WholeCause::NoNegativeCaching);
        }
    }

    /// A name that has its zone's name twice: what a missing final dot makes of it.
    fn judge_repeated(&mut self, record: &RawRecord<'_>, name: &[u8]) {
        if repeats_origin(&name.to_ascii_lowercase(), self.apex) {
            self.warn(Some(record), WholeCause::RepeatsOrigin { name: shown(name) });
        }
    }

    /// The NS set of the apex as the parent sees it.
    fn judge_name_servers(&mut self, zone: &model::Zone) {
        let data = self.data;
        let of_file: Vec<RawRecord<'_>> =
            data.records().filter(|record| record.rtype == Rtype::NS && record.owner.is_empty()).collect();
        let mut servers: Vec<(Option<&RawRecord<'_>>, Vec<u8>)> =
            of_file.iter().map(|record| (Some(record), record.rdata.to_ascii_lowercase())).collect();
        if servers.is_empty() {
            servers.extend(zone.ns.iter().map(|name| (None, name.to_lowercase().as_wire().to_vec())));
        }
        let different: HashSet<&[u8]> = servers.iter().map(|(_, name)| &name[..]).collect();
        if different.len() == 1 {
            self.warn(servers[0].0, WholeCause::OneNameServer);
        }
        for (record, name) in &servers {
            if let Some(record) = record {
                self.judge_repeated(record, name);
            }
            let labels = labels_below(name, self.apex);
            // Without a final dot it is a name of this zone.
            let below = labels.map(|labels| [labels, &[0]].concat());
            let texts =
                [Some(&name[..]), below.as_deref()].into_iter().flatten().filter_map(text_without_dot);
            if let Some(address) = { texts }.find_map(|text| text.parse::<IpAddr>().ok()) {
                self.warn(*record, WholeCause::NameServerAddress { address });
                continue;
            }
            let Some(labels) = labels else { continue };
            let host = self.hosts.host(labels);
            let shown = shown(name);
            if host.is_alias {
                self.warn(*record, WholeCause::NameServerAlias { name: shown });
            } else if !host.has_address {
                self.warn(*record, WholeCause::NameServerWithoutAddress { name: shown });
            } else if host.is_steered {
                self.warn(*record, WholeCause::NameServerSteered { name: shown });
            } else if let Some(address) = host.unusable {
                self.warn(*record, WholeCause::UnusableGlue { name: shown, address });
            }
        }
    }

    /// Servers of delegated zones and mail hosts.
    fn judge_hosts(&mut self) {
        let data = self.data;
        for record in data.records().filter(|record| data.hidden_below(record.owner).is_none()) {
            let (name, is_server) = match record.rtype {
                Rtype::NS if !record.owner.is_empty() => (record.rdata, true),
                Rtype::MX => (record.rdata.get(2..).unwrap_or_default(), false),
                _ => continue,
            };
            let lower = name.to_ascii_lowercase();
            self.judge_repeated(&record, &lower);
            let Some(labels) = labels_below(&lower, self.apex) else { continue };
            let host = self.hosts.host(labels);
            let below_cut = ancestors(labels).chain([labels]).any(|above| data.is_cut(above));
            if is_server && below_cut && !host.has_address {
                let cut = Found::new(&name_text(record.owner, self.apex));
                self.warn(Some(&record), WholeCause::DelegationWithoutGlue { cut, name: shown(name) });
            } else if !is_server && !below_cut && host.is_alias {
                self.warn(Some(&record), WholeCause::MailHostAlias { name: shown(name) });
            }
        }
    }
}

/// Whether a server at this address can be reached from elsewhere.
fn is_usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast())
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

fn shown(name: &[u8]) -> Found {
    Found::new(&std::fmt::from_fn(|f| fmt_wire(name, f)).to_string())
}

/// A name as text without its final dot, where it is one.
fn text_without_dot(name: &[u8]) -> Option<String> {
    let text = Name::from_wire(name).ok()?.to_string();
    text.strip_suffix('.').map(str::to_owned)
}
