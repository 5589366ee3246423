//! Zones with files beside those of the fixture, and a query for every way from a name to an answer; shared by tests and fuzz
//! targets.

use steerd::wire::message::Rtype;

use super::fixture::{CONFIG, Opt, query};

/// Globalnames in the zones with a file.
const NAMES: &str = "globalnames:
  Steered.detours.test: {pool: web, ttl: 30}
  '*.apps.detours.test': {pool: two, ttl: 30}
  kid.detours.test: web
  closed.detours.test: closed
  up.broken.test: web
  alias.more.test: {pool: lost, ttl: 30}
  mixed.more.test: {pool: mixed, ttl: {max: 60, min: 5}}
  _sip._tcp.more.test: {pool: hosts, srv: {port: 5060}}
  more.test: {pool: hosts, mx: {}}
  closed.more.test: {pool: shut, srv: {port: 1}}
  svc.more.test: {pool: mixed, https: {alpn: [h2, h3], port: 8443}}
  '*.svc.more.test': {pool: two, svcb: {dohpath: '/q{?dns}'}}
  wide.more.test: {pool: wide, https: {alpn: h2}}
";

/// Pools with names: `lost` has nobody, `wide` more than a datagram holds.
const POOLS: &str = "pools:
  lost: {lb_method: wrr, fallback: {cname: Steered.detours.test}, members: [192.0.2.1], monitor: forced, monitor_params: {status: down}}
  mixed: {lb_method: wrr, max_addrs_returned: 3, members: [{ip: 192.0.2.1, weight: 2}, 192.0.2.2, '2001:db8::1', {cname: chain.detours.test}], \
monitor: forced, monitor_params: {status: up}}
  hosts: {lb_method: fogroup, members: {192.0.2.1: {hostname: steered.detours.test}, 192.0.2.2: {hostname: host.detours.test}, \
'2001:db8::1': {hostname: steered.detours.test}, 192.0.2.3: {hostname: q.apps.detours.test}}, monitor: forced, monitor_params: {status: up}}
  shut: {lb_method: wrr, fallback: refuse, members: {192.0.2.4: {hostname: host.detours.test}}, monitor: forced, monitor_params: {status: down}}
  wide: {lb_method: wrr, max_addrs_returned: 1024, members: [WIDE], monitor: forced, monitor_params: {status: up}}
";

/// The fixture with zones from `folder`, one of them without its file; `settings` are more of the `server` section.
///
/// # Panics
/// When the fixture's configuration has another form.
pub(crate) fn config(folder: &str, settings: &str) -> String {
    let zones = format!(
        "zones:\n  detours.test: {{file: '{folder}/detours.zone'}}\n  kid.detours.test: {{file: '{folder}/detours-kid.zone'}}\n  \
         broken.test: {{file: '{folder}/there-is-none.zone'}}\n  more.test: {{ns: ns.detours.test}}\n"
    );
    let wide: Vec<String> = (0..100).map(|last| format!("'2001:db8:1::{last}'")).collect();
    let pools = POOLS.replace("WIDE", &wide.join(", "));
    let changes = [
        ("globalnames:\n", NAMES),
        ("pools:\n", &pools),
        ("zones:\n", &zones),
        ("server: {", &format!("server: {{{settings}")),
    ];
    changes.iter().fold(CONFIG.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the fixture has {from}");
        text.replacen(from, to, 1)
    })
}

/// The same with the largest of the zones signed; `denial` is how it proves what is not there.
///
/// # Panics
/// When the configuration has another form.
pub(crate) fn signed(folder: &str, settings: &str, denial: &str) -> String {
    let text = config(folder, settings);
    let file = format!("{{file: '{folder}/detours.zone'");
    assert!(text.contains(&file), "the zone is there");
    text.replacen(&file, &format!("{file}, dnssec: {{keys: none, denial: {denial}}}"), 1)
}

/// The kinds of answer there are besides the fixture's, by name; each with every sort of OPT record that changes an answer.
pub(crate) fn kinds() -> Vec<(String, Vec<u8>)> {
    const HTTPS: Rtype = Rtype(65);
    let questions: &[(&str, &str, Rtype)] = &[
        ("static", "host", Rtype::A),
        ("static-two", "Multi", Rtype::A),
        ("static-mx", "mail", Rtype::MX),
        ("static-srv", "_s._tcp", Rtype::SRV),
        ("static-https", "web", HTTPS),
        ("apex-soa", "@", Rtype::SOA),
        ("apex-ns", "@", Rtype::NS),
        ("no-type", "host", Rtype::TXT),
        ("no-type-ent", "b.deep", Rtype::TXT),
        ("no-name", "x.host", Rtype::A),
        ("wildcard", "q.wild", Rtype::A),
        ("wildcard-mx", "p.q.wild", Rtype::MX),
        ("wildcard-no-type", "q.wild", Rtype::TXT),
        ("wildcard-blocked", "z.x.wild", Rtype::A),
        ("wildcard-bare", "q.bare", Rtype::A),
        ("chain", "chain", Rtype::AAAA),
        ("chain-no-type", "chain", Rtype::MX),
        ("chain-no-name", "gone", Rtype::A),
        ("chain-out", "out", Rtype::A),
        ("chain-wildcard", "q.alias", Rtype::A),
        ("chain-any", "chain", Rtype::ANY),
        ("chain-loop", "loop", Rtype::A),
        ("chain-kid", "to-kid", Rtype::A),
        ("chain-broken", "to-broken", Rtype::A),
        ("chain-big", "to-big", Rtype::TXT),
        ("alias-itself", "chain", Rtype::CNAME),
        ("dname", "a.dn", Rtype::TXT),
        ("dname-no-name", "x.dn", Rtype::A),
        ("dname-itself", "dn", Rtype::DNAME),
        ("dname-self", "x.self", Rtype::A),
        ("dname-steered", "shop.steered-dn", Rtype::A),
        ("referral", "www.cut", Rtype::A),
        ("referral-sibling", "x.sib", Rtype::A),
        ("referral-wide", "x.wide", Rtype::A),
        ("referral-chain", "to-cut", Rtype::A),
        ("ds-cut", "cut", Rtype::DS),
        ("ds-no-type", "kid", Rtype::DS),
        ("ds-chain", "to-apex.kid", Rtype::DS),
        ("ds-chain-two", "to-to-apex.kid", Rtype::DS),
        ("kid", "www.kid", Rtype::A),
        ("kid-steered", "to-apex.kid", Rtype::A),
        ("steered", "steered", Rtype::A),
        ("steered-mx", "steered", Rtype::MX),
        ("steered-chain", "to-steered", Rtype::A),
        ("steered-wildcard", "shop.apps", Rtype::A),
        ("steered-wildcard-txt", "shop.apps", Rtype::TXT),
        ("steered-wildcard-chain", "to-apps", Rtype::A),
        ("steered-closed", "closed", Rtype::A),
        ("steered-closed-chain", "to-closed", Rtype::A),
        ("any", "host", Rtype::ANY),
        ("transfer", "@", Rtype::AXFR),
        ("big", "big", Rtype::TXT),
    ];
    let mut kinds = Vec::new();
    let mut add = |kind: &str, name: &str, rtype| {
        for (word, opt) in [("", Opt::None), ("-edns", Opt::Plain), ("-ecs", Opt::ClientSubnet)] {
            kinds.push((format!("zone-{kind}{word}"), query(name, rtype, opt)));
        }
    };
    for (kind, name, rtype) in questions {
        let name = if *name == "@" { "detours.test".to_owned() } else { format!("{name}.detours.test") };
        add(kind, &name, *rtype);
    }
    add("dname-too-long", &format!("{}.long.detours.test", "d".repeat(63)), Rtype::A);
    add("broken", "x.broken.test", Rtype::A);
    add("broken-apex", "broken.test", Rtype::DS);
    add("broken-steered", "up.broken.test", Rtype::A);
    for (kind, name, rtype) in [
        ("stand-in", "alias", Rtype::A),
        ("stand-in-mx", "alias", Rtype::MX),
        ("stand-in-any", "alias", Rtype::ANY),
        ("mixed", "mixed", Rtype::A),
        ("mixed-aaaa", "mixed", Rtype::AAAA),
        ("mixed-txt", "mixed", Rtype::TXT),
        ("srv", "_sip._tcp", Rtype::SRV),
        ("srv-no-type", "_sip._tcp", Rtype::A),
        ("srv-refused", "closed", Rtype::SRV),
        ("https", "svc", HTTPS),
        ("https-wide", "wide", HTTPS),
        ("svcb-wildcard", "q.svc", Rtype(64)),
    ] {
        add(kind, &format!("{name}.more.test"), rtype);
    }
    add("mx", "more.test", Rtype::MX);
    kinds
}
