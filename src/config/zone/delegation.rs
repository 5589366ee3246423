//! What the zone above must be told for a zone to be found: NS records, and glue where their names lie inside it
//! (RFC 1034 §4.2.1).
//!
//! Reads the configuration alone; asks neither parent nor anybody else.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::labels_below;
use crate::config::Loaded;
use crate::config::compile::Apexes;
use crate::config::dnssec::{DnssecError, key_folder};
use crate::config::model::{Config, Dnssec, Zone};
use crate::dnssec::key::Digest;
use crate::dnssec::keystore::Keystore;
use crate::dnssec::rollover::KskStage;
use crate::wire::message::Rtype;
use crate::wire::name::{Name, NameTextError};

/// TTL of what is printed: parents choose their own, and this is what most of them take.
const TTL_SECS: u32 = 3600;

/// The records for the parent, in the form of a zone file.
#[derive(Debug)]
pub struct Delegation {
    apex: Name,
    servers: Vec<Server>,
    /// DS data of the keys that are wanted at the parent, and tags of those that are not wanted yet.
    keys: Option<(Vec<Vec<u8>>, Vec<u16>)>,
}

#[derive(Debug)]
struct Server {
    name: Name,
    /// Whether it lies in the delegated zone, so that the parent needs its addresses.
    is_inside: bool,
    addresses: Vec<IpAddr>,
    is_steered: bool,
}

/// Why there is nothing to print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDelegation {
    /// No domain name.
    #[error("`{name}` is not a domain name: {error}")]
    NotName {
        /// What was given.
        name: String,
        /// What is wrong with it.
        error: NameTextError,
    },
    /// The zone's file cannot be used.
    #[error("the zone {name} cannot be served{faults}")]
    Unusable {
        /// The zone.
        name: String,
        /// A line for each fault.
        faults: String,
    },
    /// Not an apex of this configuration.
    #[error("{name} is neither a zone nor a globalname outside every zone (zones are {known})")]
    NoApex {
        /// The name asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A globalname without `server.ns`.
    #[error("{name} is an apex of its own, but `server.ns` names no name servers")]
    NoNameServers {
        /// The name asked for.
        name: String,
    },
    /// The zone's keys cannot be read.
    #[error("the keys of {name} cannot be read: {error}")]
    Keys {
        /// The zone.
        name: String,
        /// Why.
        error: String,
    },
    /// The root has no parent.
    #[error("the root has no zone above it")]
    Root,
}

impl Delegation {
    /// What the parent of the zone `text` must be told.
    ///
    /// # Errors
    /// [`NoDelegation`] when the configuration has no such apex.
    pub fn of(loaded: &Loaded, text: &str) -> Result<Delegation, NoDelegation> {
        let name =
            Name::from_text(text).map_err(|error| NoDelegation::NotName { name: text.to_owned(), error })?;
        let apex = name.to_lowercase();
        let config = &loaded.config;
        if let Some(report) =
            loaded.zones.iter().find(|zone| zone.apex.as_wire() == apex.as_wire() && !zone.is_usable())
        {
            let faults: Vec<String> = report.faults.iter().map(|fault| format!("\n{fault}")).collect();
            return Err(NoDelegation::Unusable { name: name.to_string(), faults: faults.concat() });
        }
        if apex.as_wire().len() == 1 {
            return Err(NoDelegation::Root);
        }
        if let Some(zone) = config.zones.iter().find(|zone| zone.apex.as_wire() == apex.as_wire()) {
            let keys = match &zone.dnssec {
                Some(dnssec) => Some(keys_of(config, dnssec, &apex)?),
                None => None,
            };
            return Ok(Delegation { apex, servers: servers_of(config, zone), keys });
        }
        let apexes = Apexes::new(config.zones.iter().map(|zone| &zone.apex));
        let is_apex = apexes.above(apex.as_wire()).is_none()
            && config.globalnames.iter().any(|global| global.name.as_wire() == apex.as_wire());
        if !is_apex {
            let known: Vec<String> =
                config.zones.iter().take(10).map(|zone| format!("`{}`", zone.apex)).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(NoDelegation::NoApex { name: name.to_string(), known });
        }
        if config.server.ns.is_empty() {
            return Err(NoDelegation::NoNameServers { name: name.to_string() });
        }
        let servers = config.server.ns.iter().map(|server| server_of(config, None, &apex, server)).collect();
        Ok(Delegation { apex, servers, keys: None })
    }
}

/// DS data of a signed zone's keys, and tags of those that are not wanted yet; nothing where the server has not made any yet.
fn keys_of(config: &Config, dnssec: &Dnssec, apex: &Name) -> Result<(Vec<Vec<u8>>, Vec<u16>), NoDelegation> {
    let unusable =
        |error: DnssecError| NoDelegation::Keys { name: apex.to_string(), error: error.to_string() };
    let folder =
        key_folder(dnssec, config.server.state_dir.as_deref(), &apex.to_string()).map_err(unusable)?;
    if dnssec.keys.is_none() && !folder.exists() {
        return Ok((Vec::new(), Vec::new()));
    }
    let state =
        Keystore::open(&folder, apex).and_then(|keys| keys.state()).map_err(|e| unusable(e.into()))?;
    let mut found = (Vec::new(), Vec::new());
    for key in state.iter().flat_map(|state| &state.keys) {
        match key.ksk_stage() {
            KskStage::Ready | KskStage::Submitted | KskStage::Active => {
                found.0.push(key.public.ds_rdata(apex.as_wire(), Digest::Sha256));
            }
            KskStage::Published => found.1.push(key.public.tag()),
            _ => {}
        }
    }
    Ok(found)
}

fn servers_of(config: &Config, zone: &Zone) -> Vec<Server> {
    let mut names: Vec<Name> = match zone.records.data() {
        Some(data) => data
            .records()
            .filter(|record| record.rtype == Rtype::NS && record.owner.is_empty())
            .filter_map(|record| Name::from_wire(record.rdata).ok())
            .collect(),
        None => Vec::new(),
    };
    if names.is_empty() {
        names.clone_from(&zone.ns);
    }
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.to_lowercase().as_wire().to_vec()));
    let apex = Name::from_wire(zone.apex.as_wire()).unwrap_or(Name::ROOT);
    names.iter().map(|server| server_of(config, Some(zone), &apex, server)).collect()
}

fn server_of(config: &Config, zone: Option<&Zone>, apex: &Name, server: &Name) -> Server {
    let lower = server.to_lowercase();
    let Some(labels) = labels_below(lower.as_wire(), apex.as_wire()) else {
        return Server { name: *server, is_inside: false, addresses: Vec::new(), is_steered: false };
    };
    let data = zone.and_then(|zone| zone.records.data());
    let globals =
        config.globalnames.iter().filter_map(|global| labels_below(global.name.as_wire(), apex.as_wire()));
    let steered: HashSet<&[u8]> = globals.collect();
    // One that does not exist is what the wildcard says that stands for it.
    let encloser = data
        .and_then(|data| data.enclosers_of_missing(&[labels], steered.iter().copied()).get(labels).copied());
    let owner = encloser.map_or(labels.to_vec(), |encloser| [b"\x01*", encloser].concat());
    let is_steered = steered.contains(&owner[..]);
    let records = data.into_iter().flat_map(|data| data.records());
    let addresses = records.filter(|record| record.owner == owner).filter_map(|record| match record.rtype {
        Rtype::A => record.rdata.first_chunk().map(|octets| IpAddr::V4(Ipv4Addr::from(*octets))),
        Rtype::AAAA => record.rdata.first_chunk().map(|octets| IpAddr::V6(Ipv6Addr::from(*octets))),
        _ => None,
    });
    Server { name: *server, is_inside: true, addresses: addresses.collect(), is_steered }
}

impl fmt::Display for Delegation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in &self.servers {
            writeln!(f, "{}\t{TTL_SECS}\tIN\tNS\t{}", self.apex, server.name)?;
        }
        for server in self.servers.iter().filter(|server| server.is_inside) {
            for address in &server.addresses {
                let rtype = if address.is_ipv4() { "A" } else { "AAAA" };
                writeln!(f, "{}\t{TTL_SECS}\tIN\t{rtype}\t{address}", server.name)?;
            }
            if server.is_steered {
                writeln!(
                    f,
                    "; {} is answered from a pool: give the parent addresses of this server that stay",
                    server.name
                )?;
            } else if server.addresses.is_empty() {
                writeln!(
                    f,
                    "; {} lies in the zone but has no address in it: nobody can reach it",
                    server.name
                )?;
            }
        }
        let Some((wanted, waiting)) = &self.keys else { return Ok(()) };
        for ds in wanted {
            let [tag_high, tag_low, algorithm, digest_type, digest @ ..] = &ds[..] else { continue };
            let tag = u16::from_be_bytes([*tag_high, *tag_low]);
            write!(f, "{}\t{TTL_SECS}\tIN\tDS\t{tag} {algorithm} {digest_type} ", self.apex)?;
            digest.iter().try_for_each(|octet| write!(f, "{octet:02X}"))?;
            writeln!(f)?;
        }
        for tag in waiting {
            writeln!(
                f,
                "; key {tag}: its DS must wait until caches have the key (steerd dnssec status says when)"
            )?;
        }
        if wanted.is_empty() && waiting.is_empty() {
            writeln!(f, "; the zone has no key yet: the server makes it on its first start")?;
        }
        Ok(())
    }
}
