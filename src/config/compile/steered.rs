//! What names are steered to beside addresses, from the model to wire form: aliases, hosts, service bindings.
//!
//! Cannot fail; knows no health.

use std::collections::HashMap;

use crate::config::model::{self, Extra, GlobalName, ServiceBinding};
use crate::state::snapshot::Binding;
use crate::state::steered::{AliasRecord, NO_HOST, PoolNames, Service, Steered, To};
use crate::wire::message::Rtype;

/// Keys of parameters (RFC 9460 §14.3.2, RFC 9461 §5).
const ALPN: u16 = 1;
const PORT: u16 = 3;
const DOHPATH: u16 = 7;

/// The names that a pool's members have or are; none where there are none.
pub(super) fn pool_names(pool: &model::Pool) -> Option<PoolNames> {
    let mut hosts: Vec<Box<[u8]>> = Vec::new();
    let mut places: HashMap<&[u8], u16> = HashMap::new();
    let mut host_of = Vec::with_capacity(pool.members.len());
    for member in &pool.members {
        host_of.push(match member.host() {
            None => NO_HOST,
            Some(host) => *places.entry(host.as_wire()).or_insert_with(|| {
                hosts.push(host.as_wire().into());
                hosts.len() as u16 - 1
            }),
        });
    }
    let alias = |name: &model::OwnerName| AliasRecord::new(name.as_wire());
    let mut members: Vec<Option<AliasRecord>> =
        pool.members.iter().map(|member| member.cname.as_ref().map(alias)).collect();
    if members.iter().all(Option::is_none) {
        members.clear();
    }
    let fallback = match &pool.fallback {
        model::Fallback::Cname(name) => Some(alias(name)),
        model::Fallback::Any
        | model::Fallback::Refuse
        | model::Fallback::Nodata
        | model::Fallback::Addresses(_) => None,
    };
    let any = !hosts.is_empty() || !members.is_empty() || fallback.is_some();
    any.then(|| PoolNames { hosts: hosts.into(), host_of: host_of.into(), members: members.into(), fallback })
}

/// What a name is steered to beside addresses, and whether the way of addresses is open to it at all.
pub(super) fn steered(
    global: &GlobalName<'_>,
    binding: Binding,
    names: Option<&PoolNames>,
) -> Option<(Steered, bool)> {
    let to = match global.extra {
        None => To::Addresses,
        Some(Extra::Srv { port, priority }) => To::Srv { port: *port, priority: *priority },
        Some(Extra::Mx { preference }) => To::Mx { preference: *preference },
        Some(Extra::Service(binding)) => To::Service(service(binding)),
    };
    let may_be_alias = names.is_some_and(|names| names.has_name_members() || names.fallback.is_some());
    if to == To::Addresses && !may_be_alias {
        return None;
    }
    let is_open = to.has_addresses() && !names.is_some_and(PoolNames::has_name_members);
    Some((Steered { pool: binding.pool, ttl: binding.ttl, signed: binding.signed, to }, is_open))
}

fn service(binding: &ServiceBinding) -> Service {
    let mut head = binding.priority.to_be_bytes().to_vec();
    head.extend_from_slice(binding.target.as_wire());
    if !binding.alpn.is_empty() {
        let mut protocols = Vec::new();
        for protocol in &binding.alpn {
            protocols.push(protocol.len() as u8);
            protocols.extend_from_slice(protocol.as_bytes());
        }
        push_parameter(&mut head, ALPN, &protocols);
    }
    if let Some(port) = binding.port {
        push_parameter(&mut head, PORT, &port.to_be_bytes());
    }
    let mut tail = Vec::new();
    if let Some(path) = &binding.dohpath {
        push_parameter(&mut tail, DOHPATH, path.as_bytes());
    }
    let rtype = if binding.is_https { Rtype::HTTPS } else { Rtype::SVCB };
    Service { rtype, head: head.into(), hints: binding.hints, tail: tail.into() }
}

/// Appends a parameter; those of one record ascend by key.
fn push_parameter(into: &mut Vec<u8>, key: u16, value: &[u8]) {
    into.extend(key.to_be_bytes());
    into.extend((value.len() as u16).to_be_bytes());
    into.extend_from_slice(value);
}
