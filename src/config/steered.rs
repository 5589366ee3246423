//! What a globalname is steered to beside addresses: `srv`, `mx`, `https` and `svcb`; and whether the names that are aliases, or
//! lead to hosts, can be.
//!
//! Reads values and checks them against pools and zones; makes no records.

use std::collections::{HashMap, HashSet};

use super::cause::{Cause, Found};
use super::compile::Apexes;
use super::decode::{Decoder, Field, Read, Section, key};
use super::model::{Extra, Fallback, OwnerName, OwnerNameRef, ServiceBinding};
use super::names::Names;
use super::pools::ReadPool;
use super::report::{FileId, Findings, Span};
use super::scalars::{boolean, integer, name, text_octets};
use super::zones::ReadZone;
use crate::config::zone::assemble::is_made_by_signing;
use crate::wire::message::Rtype;
use crate::wire::name::Name;

/// Priority and preference of who says nothing.
const DEFAULT_RANK: u16 = 10;
/// Most protocols of a service binding.
const MAX_ALPN: usize = 16;
/// Octets of a protocol's name: its length is one octet.
const MAX_ALPN_OCTETS: usize = 255;
/// Octets of the path of DNS over HTTPS.
const MAX_PATH_OCTETS: usize = 1024;
/// What stands in a path for the query (RFC 8484 §4.1).
const DNS_VARIABLE: &str = "{?dns}";

pub(super) static SRV: Section =
    Section { title: "`srv`", keys: &[key("port"), key("priority")], may_be_empty: false };

pub(super) static MX: Section = Section { title: "`mx`", keys: &[key("preference")], may_be_empty: true };

pub(super) static HTTPS: Section = Section {
    title: "`https`",
    keys: &[key("priority"), key("target"), key("alpn"), key("port"), key("hints")],
    may_be_empty: true,
};

pub(super) static SVCB: Section = Section {
    title: "`svcb`",
    keys: &[key("priority"), key("target"), key("alpn"), key("port"), key("hints"), key("dohpath")],
    may_be_empty: true,
};

/// Why a name cannot be steered so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SteeredCause {
    /// Two of `srv`, `mx`, `https` and `svcb`.
    #[error("`{second}` beside `{first}`")]
    Both { first: &'static str, second: &'static str },
    /// An alias has no parameters.
    #[error("`{key}` needs a priority above 0: with 0 the record is an alias, which has no parameters")]
    AliasMode { key: &'static str },
    /// No URI template for DNS over HTTPS.
    #[error("{text} is not the path of DNS over HTTPS")]
    NotDohPath { text: Found },
    /// A host that is none.
    #[error("the root is no host")]
    RootHost,
    /// A member of two kinds.
    #[error("a member is an address or a name: `ip` and `cname` are both given")]
    IpAndCname,
    /// A name cannot be probed.
    #[error("the member {name} is a name, and what is probed for it is not said")]
    NothingToProbe { name: Found },
    /// A member whose host is asked for.
    #[error(
        "the member {member} has no `hostname`, but {name} is answered with the names of its pool's hosts"
    )]
    NoHostname { member: Found, name: Found },
    /// A fallback without hosts.
    #[error(
        "{name} is answered with no data when nobody can be drawn: the fallback of its pool has no hosts"
    )]
    NoFallbackHosts { name: Found },
    /// A zone's apex has SOA and NS records.
    #[error("{name} is the apex of a zone, which cannot be an alias, but its pool has `cname`")]
    AliasAtApex { name: Found },
    /// So has a name outside every zone.
    #[error(
        "{name} lies in no zone, so it is an apex of its own and cannot be an alias, but its pool has `cname`"
    )]
    AliasOutside { name: Found },
    /// An alias that leads nowhere else.
    #[error("{name} would be an alias of itself")]
    AliasOfItself { name: Found },
    /// What is not signed ahead.
    #[error(
        "{name} lies in a signed zone, where {what} cannot be steered: such records have no signature ahead"
    )]
    Signed { name: Found, what: &'static str },
}

impl SteeredCause {
    /// What would be accepted.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            SteeredCause::Both { .. } => Some("accepted is one of `srv`, `mx`, `https` and `svcb`"),
            SteeredCause::NotDohPath { .. } => Some("accepted is a path such as `/dns-query{?dns}`"),
            SteeredCause::NothingToProbe { .. } => Some("give `monitor_ip`, or use the monitor `forced`"),
            SteeredCause::NoHostname { .. } => {
                Some("give it `hostname`, the name that its address belongs to")
            }
            SteeredCause::NoFallbackHosts { .. } => {
                Some("`any`, `refuse` and `nodata` mean the same for hosts")
            }
            SteeredCause::AliasAtApex { .. } => Some("steer a name below it, or give the pool no `cname`"),
            SteeredCause::AliasOutside { .. } => Some("name the zone in `zones`"),
            SteeredCause::Signed { .. } => {
                Some("move the name to a zone without `dnssec`, or let it have addresses alone")
            }
            SteeredCause::AliasMode { .. }
            | SteeredCause::RootHost
            | SteeredCause::IpAndCname
            | SteeredCause::AliasOfItself { .. } => None,
        }
    }
}

impl From<SteeredCause> for Cause {
    fn from(cause: SteeredCause) -> Cause {
        Cause::Steered(cause)
    }
}

/// What a globalname is steered to, as far as it is read.
#[derive(Debug, Default)]
pub(super) struct ReadExtra {
    first: Option<&'static str>,
    pub(super) extra: Option<Extra>,
}

impl ReadExtra {
    /// Reads the value of a key.
    pub(super) fn read<'t>(
        &mut self,
        d: &mut Decoder<'t, '_>,
        key: &'static str,
        field: Field<'t>,
    ) -> Read<()> {
        let at = field.at;
        let extra = match key {
            "srv" => read_srv(d, field)?,
            "mx" => read_mx(d, field)?,
            "https" => read_service(d, field, true)?,
            "svcb" => read_service(d, field, false)?,
            _ => return d.skip(&field.node),
        };
        match self.first {
            Some(first) => d.error(at, SteeredCause::Both { first, second: key }.into()),
            None => (self.first, self.extra) = (Some(key), extra),
        }
        Ok(())
    }
}

fn read_srv<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Option<Extra>> {
    let at = field.at;
    let (mut port, mut priority) = (None, DEFAULT_RANK);
    let seen = d.small_section::<2>(field, &SRV, |d, name, field| {
        match name {
            "port" => port = d.value(field, integer(1..=65_535))?.map(|read| read.value),
            "priority" => priority = d.value(field, integer(0..=65_535))?.map_or(priority, |read| read.value),
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    if seen.is_some_and(|seen| seen.place("port").is_none()) {
        d.error(at, Cause::MissingKey { key: "port", section: SRV.title, accepted: "" });
    }
    Ok(port.map(|port| Extra::Srv { port, priority }))
}

fn read_mx<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Option<Extra>> {
    let mut preference = DEFAULT_RANK;
    let seen = d.small_section::<1>(field, &MX, |d, _, field| {
        preference = d.value(field, integer(0..=65_535))?.map_or(preference, |read| read.value);
        Ok(())
    })?;
    Ok(seen.map(|_| Extra::Mx { preference }))
}

fn read_service<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>, is_https: bool) -> Read<Option<Extra>> {
    let section = if is_https { &HTTPS } else { &SVCB };
    let mut priority = 1;
    let mut target = OwnerName::new(&Name::ROOT);
    let mut alpn: Vec<String> = Vec::new();
    let (mut port, mut hints, mut dohpath) = (None, None, None);
    let seen = d.small_section::<6>(field, section, |d, key, field| {
        match key {
            "priority" => priority = d.value(field, integer(0..=65_535))?.map_or(priority, |read| read.value),
            "target" => {
                target = d.value(field, name)?.map_or(target.clone(), |read| OwnerName::new(&read.value))
            }
            "alpn" => {
                let at = field.at;
                d.list(field, "alpn", |d, item| {
                    let read = d.value(item, |scalar| text_octets(&scalar.text, MAX_ALPN_OCTETS))?;
                    alpn.extend(read.map(|read| read.value));
                    Ok(())
                })?;
                if alpn.len() > MAX_ALPN {
                    d.error(at, Cause::TooMany { what: "protocols in `alpn`", limit: MAX_ALPN });
                }
            }
            "port" => port = d.value(field, integer(1..=65_535))?.map(|read| read.value),
            "hints" => hints = d.value(field, boolean)?.map(|read| read.value),
            "dohpath" => dohpath = d.value(field, |scalar| doh_path(&scalar.text))?.map(|read| read.value),
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    let Some(seen) = seen else { return Ok(None) };
    if priority == 0 {
        let parameters = ["alpn", "port", "dohpath"].into_iter();
        for key in parameters.chain(hints.filter(|hints| *hints).map(|_| "hints")) {
            if let Some(at) = seen.place(key) {
                d.error(at, SteeredCause::AliasMode { key }.into());
            }
        }
    }
    // Hints are addresses of the target (RFC 9460 §7.3).
    let hints = hints.unwrap_or(priority > 0 && target.as_wire() == [0]);
    let binding = ServiceBinding { is_https, priority, target, alpn, port, hints, dohpath };
    Ok(Some(Extra::Service(binding)))
}

/// A path with the variable that stands for the query (RFC 9461 §5).
fn doh_path(text: &str) -> Result<String, Cause> {
    let path = text_octets(text, MAX_PATH_OCTETS)?;
    let is_printable = path.bytes().all(|octet| octet.is_ascii_graphic());
    if !path.starts_with('/') || !path.contains(DNS_VARIABLE) || !is_printable {
        return Err(SteeredCause::NotDohPath { text: Found::new(text) }.into());
    }
    Ok(path)
}

/// A host's name.
pub(super) fn host(scalar: &super::events::Scalar<'_>) -> Result<OwnerName, Cause> {
    let read = name(scalar)?;
    if read.as_wire().len() == 1 {
        return Err(SteeredCause::RootHost.into());
    }
    Ok(OwnerName::new(&read))
}

/// Which record types a globalname takes for itself, so that no file may have them too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Takes {
    /// A and AAAA.
    pub(super) addresses: bool,
    /// Every type: the name may be an alias.
    pub(super) alias: bool,
    /// One beside these.
    pub(super) rtype: Option<Rtype>,
}

impl Takes {
    /// Of a name that is steered to this.
    pub(super) fn of(extra: Option<&Extra>, may_be_alias: bool) -> Takes {
        let (addresses, rtype) = match extra {
            None => (true, None),
            Some(Extra::Srv { .. }) => (false, Some(Rtype::SRV)),
            Some(Extra::Mx { .. }) => (false, Some(Rtype::MX)),
            Some(Extra::Service(service)) => {
                (true, Some(if service.is_https { Rtype::HTTPS } else { Rtype::SVCB }))
            }
        };
        Takes { addresses, alias: addresses && may_be_alias, rtype }
    }

    /// Whether records of this type have no place beside it.
    pub(super) fn takes(self, rtype: Rtype) -> bool {
        match rtype {
            Rtype::CNAME => true,
            Rtype::A | Rtype::AAAA if self.addresses => true,
            _ if self.alias => !is_made_by_signing(rtype),
            _ => self.rtype == Some(rtype),
        }
    }
}

/// A name that is steered to more than addresses.
pub(super) struct Special<'n> {
    pub(super) name: OwnerNameRef<'n>,
    pub(super) at: Span,
    pub(super) pool: &'n str,
    pub(super) takes: Takes,
}

/// Checks the names that are steered to more than addresses against zones and pools.
pub(super) fn check(names: &Names, zones: &[ReadZone], pools: &[ReadPool], findings: &mut Findings) {
    let mut special = names.special().peekable();
    if special.peek().is_none() {
        return;
    }
    let apexes = Apexes::new(zones.iter().map(|read| &read.zone.apex));
    let by_name: HashMap<&str, &ReadPool> = pools.iter().map(|pool| (pool.name.as_str(), pool)).collect();
    let mut checked: HashSet<&str> = HashSet::new();
    for Special { name, at, pool, takes } in special {
        let shown = || Found::new(&name.to_string());
        let mut error = |cause: SteeredCause| findings.error(FileId(0), at, cause.into());
        let home = apexes.above(name.as_wire());
        let read = by_name.get(pool).and_then(|read| read.pool.as_ref());
        // An alias that stands for a whole pool is one, and signed ahead; those of members are not.
        let has_named = read.is_some_and(|pool| pool.members.iter().any(|member| member.cname.is_some()));
        let is_unsigned = takes.rtype.is_some() || has_named;
        if is_unsigned && home.is_some_and(|(zone, _)| zones[zone as usize].zone.dnssec.is_some()) {
            error(SteeredCause::Signed { name: shown(), what: what_of(takes) });
        } else if takes.alias {
            match home {
                None => error(SteeredCause::AliasOutside { name: shown() }),
                Some((_, len)) if usize::from(len) == name.as_wire().len() => {
                    error(SteeredCause::AliasAtApex { name: shown() });
                }
                Some(_) => {}
            }
            if read.is_some_and(|pool| pool.aliases().any(|alias| alias.as_wire() == name.as_wire())) {
                error(SteeredCause::AliasOfItself { name: shown() });
            }
        }
        if !takes.addresses
            && checked.insert(pool)
            && let Some(read) = by_name.get(pool)
        {
            check_hosts(read, &name.to_string(), findings);
        }
    }
}

fn what_of(takes: Takes) -> &'static str {
    match takes.rtype {
        None => "members that are names",
        Some(Rtype::SRV) => "SRV records",
        Some(Rtype::MX) => "MX records",
        Some(Rtype::HTTPS) => "HTTPS records",
        _ => "SVCB records",
    }
}

/// Reports members of a pool that have no host, for the first name that is answered with its hosts.
fn check_hosts(read: &ReadPool, name: &str, findings: &mut Findings) {
    let Some(pool) = &read.pool else { return };
    // Members of its pools stand elsewhere.
    let places = read.members_at.iter().copied().chain(std::iter::repeat(read.at));
    for (member, at) in pool.members.iter().zip(places).filter(|(member, _)| member.host().is_none()) {
        let cause = SteeredCause::NoHostname { member: Found::new(&member.name), name: Found::new(name) };
        findings.error(FileId(0), at, cause.into());
    }
    if let (Fallback::Addresses(_) | Fallback::Cname(_), Some(at)) = (&pool.fallback, read.fallback_at) {
        findings.warning(FileId(0), at, SteeredCause::NoFallbackHosts { name: Found::new(name) }.into());
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{errors, loaded, warnings};
    use super::*;

    /// A configuration with these names, members of a pool and a fallback, in a zone `example.com`.
    fn with(names: &str, members: &str, fallback: &str) -> String {
        format!(
            "globalnames: {{{names}}}\npools:\n  p:\n    lb_method: wrr\n    fallback: {fallback}\n    members: {members}\n    \
             monitor: forced\n    monitor_params: {{status: up}}\nzones: {{example.com: {{ns: ns.example.net}}}}\n"
        )
    }

    const HOST: &str = "{192.0.2.1: {hostname: h.example.net}}";

    #[test]
    fn names_are_read_with_defaults_and_equal_ones_once() {
        let config = loaded(&with(
            "a.example.com: {pool: p, srv: {port: 5060}}, b.example.com: {pool: p, mx: {preference: 5}}, c.example.com: p, \
             d.example.com: {pool: p, srv: {priority: 10, port: 5060}}, e.example.com: {pool: p, https: }, \
             f.example.com: {pool: p, svcb: {target: T.example.net, alpn: [h2, h3], port: 853, dohpath: '/q{?dns}', hints: no}}",
            HOST,
            "any",
        ));
        let extras: Vec<(Option<Extra>, u32)> =
            config.globalnames.iter().map(|global| (global.extra.cloned(), global.extra_id)).collect();
        let srv = Some(Extra::Srv { port: 5060, priority: 10 });
        assert_eq!(extras[0], (srv.clone(), 1));
        assert_eq!(extras[1], (Some(Extra::Mx { preference: 5 }), 2));
        assert_eq!(extras[2], (None, 0));
        assert_eq!(extras[3], (srv, 1));
        let root = OwnerName::new(&Name::ROOT);
        let https = ServiceBinding {
            is_https: true,
            priority: 1,
            target: root,
            alpn: Vec::new(),
            port: None,
            hints: true,
            dohpath: None,
        };
        assert_eq!(extras[4].0, Some(Extra::Service(https.clone())));
        let svcb = ServiceBinding {
            is_https: false,
            target: OwnerName::new(&Name::from_text("t.example.net").unwrap()),
            alpn: vec!["h2".into(), "h3".into()],
            port: Some(853),
            hints: false,
            dohpath: Some("/q{?dns}".into()),
            ..https
        };
        assert_eq!(extras[5].0, Some(Extra::Service(svcb)));
    }

    #[test]
    fn members_may_be_names_and_have_hosts() {
        let pool = loaded(&with(
            "a.example.com: p",
            "[192.0.2.1, {cname: Edge.example.net, weight: 3}, {cname: other.example.net, name: other}]",
            "{cname: Last.example.net}",
        ))
        .pools
        .remove(0);
        let shown: Vec<String> =
            pool.members.iter().map(|m| format!("{} {} {}", m.name, m.shown(), m.weight)).collect();
        assert_eq!(
            shown,
            ["192.0.2.1 192.0.2.1 1", "edge.example.net. edge.example.net. 3", "other other.example.net. 1"]
        );
        assert_ne!(pool.members[1].ip, pool.members[2].ip);
        assert!(matches!(&pool.fallback, Fallback::Cname(name) if name.to_string() == "last.example.net."));
    }

    #[test]
    fn each_mistake_is_an_error_at_its_place() {
        // Each with what stands at the place that is named.
        for (names, at, expected) in [
            ("a.example.com: {pool: p, srv: {}}", "srv", "`port` is missing in `srv`"),
            (
                "a.example.com: {pool: p, srv: {port: 0}}",
                "0",
                "`0` is out of range (accepted are 1 to 65535)",
            ),
            (
                "a.example.com: {pool: p, mx: , https: }",
                "https",
                "`https` beside `mx` (accepted is one of `srv`, `mx`, `https` and `svcb`)",
            ),
            (
                "a.example.com: {pool: p, https: {dohpath: x}}",
                "dohpath",
                "unknown key `dohpath` in `https` (accepted are `priority`, `target`, `alpn`, `port`, `hints`)",
            ),
            (
                "a.example.com: {pool: p, https: {priority: 0, hints: on}}",
                "hints",
                "`hints` needs a priority above 0: with 0 the record is an alias, which has no parameters",
            ),
            (
                "a.example.com: {pool: p, svcb: {dohpath: /q}}",
                "/q",
                "`/q` is not the path of DNS over HTTPS (accepted is a path such as `/dns-query{?dns}`)",
            ),
        ] {
            let column = "globalnames: {".len() + names.find(at).unwrap() + 1;
            assert_eq!(errors(&with(names, HOST, "any")), [format!("1:{column}: {expected}")]);
        }
        for (members, expected) in [
            (
                "[{ip: 192.0.2.1, cname: a.example.net}]",
                "6:15: a member is an address or a name: `ip` and `cname` are both given",
            ),
            ("[{cname: .}]", "6:23: the root is no host"),
            (
                "[{cname: a.example.net}, {cname: A.example.net}]",
                "6:39: the member `a.example.net.` is given twice (first given on line 6)",
            ),
        ] {
            let found = errors(&with("a.example.com: p", members, "any"));
            assert_eq!(found, [expected]);
        }
        assert_eq!(errors(&with("a.example.com: p", HOST, "{}")), ["5:5: `cname` is missing in `fallback`"]);
    }

    #[test]
    fn name_that_is_a_member_needs_something_to_probe() {
        let text = |rest: &str| {
            with("a.example.com: p", &format!("[{{cname: a.example.net{rest}}}]"), "any").replace(
                "monitor: forced\n    monitor_params: {status: up}",
                "monitor: tcp\n    monitor_params: {port: 1}",
            )
        };
        assert_eq!(
            errors(&text("")),
            [
                "6:15: the member `a.example.net.` is a name, and what is probed for it is not said (give `monitor_ip`, or use \
              the monitor `forced`)"
            ]
        );
        loaded(&text(", monitor_ip: 192.0.2.9"));
        loaded(&text("").replace("{port: 1}", "{port: 1, monitor_ip: 192.0.2.9}"));
    }

    #[test]
    fn hosts_are_asked_for_where_they_are_needed() {
        let names = "_s._tcp.example.com: {pool: p, srv: {port: 1}}, b.example.com: {pool: p, mx: }";
        assert_eq!(
            errors(&with(
                names,
                "[{ip: 192.0.2.1, hostname: a.example.net}, 192.0.2.2, {cname: b.example.net}]",
                "any"
            )),
            [
                "6:57: the member `192.0.2.2` has no `hostname`, but `_s._tcp.example.com.` is answered with the names of its \
              pool's hosts (give it `hostname`, the name that its address belongs to)"
            ]
        );
        assert_eq!(
            warnings(&with(names, HOST, "192.0.2.9")),
            [
                "5:5: `_s._tcp.example.com.` is answered with no data when nobody can be drawn: the fallback of its pool has no \
              hosts (`any`, `refuse` and `nodata` mean the same for hosts)"
            ]
        );
    }

    #[test]
    fn alias_needs_a_zone_above_it_and_no_signatures() {
        let text = |name: &str| with(&format!("{name}: p"), "[192.0.2.1]", "{cname: a.example.net}");
        assert_eq!(
            errors(&text("example.com")),
            [
                "1:15: `example.com.` is the apex of a zone, which cannot be an alias, but its pool has `cname` (steer a name \
              below it, or give the pool no `cname`)"
            ]
        );
        assert_eq!(
            errors(&text("a.example.org")),
            [
                "1:15: `a.example.org.` lies in no zone, so it is an apex of its own and cannot be an alias, but its pool has \
              `cname` (name the zone in `zones`)"
            ]
        );
        let itself = with("a.example.com: p", "[192.0.2.1, {cname: A.example.com}]", "any");
        assert_eq!(errors(&itself), ["1:15: `a.example.com.` would be an alias of itself"]);
        let signed =
            |text: String| text.replace("{ns: ns.example.net}", "{ns: ns.example.net, dnssec: {keys: none}}");
        for (text, what) in [
            (with("a.example.com: p", "[{cname: a.example.net}]", "any"), "members that are names"),
            (with("a.example.com: {pool: p, srv: {port: 1}}", HOST, "any"), "SRV records"),
            (with("a.example.com: {pool: p, mx: }", HOST, "any"), "MX records"),
            (with("a.example.com: {pool: p, https: }", HOST, "any"), "HTTPS records"),
            (with("a.example.com: {pool: p, svcb: }", HOST, "any"), "SVCB records"),
        ] {
            let found = errors(&signed(text));
            let expected =
                format!("1:15: `a.example.com.` lies in a signed zone, where {what} cannot be steered: ");
            assert!(found.iter().any(|error| error.starts_with(&expected)), "{found:?}");
        }
    }
}
