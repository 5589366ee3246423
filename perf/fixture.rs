//! What benches, instruction counts and fuzz targets answer from: one configuration, and queries for it.
//!
//! Included by path from each of them; knows nothing of sockets.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ring::rand::SystemRandom;
use steerd::config::compile::compile_signed;
use steerd::config::compile::signing::{Signatures, Signing, ZoneSigning};
use steerd::config::load_str;
use steerd::config::model::Config;
use steerd::dnssec::key::SigningKey;
use steerd::dnssec::keyfile::Times;
use steerd::dnssec::keyset::KeySet;
use steerd::dnssec::policy::Policy;
use steerd::dnssec::rollover::adopt::adopt;
use steerd::state::publish::Generation;
use steerd::wire::cookie::{COOKIE_OPTION_OCTETS, Cookie, Secret, Secrets};
use steerd::wire::edns::FLAG_DO;
use steerd::wire::message::{FLAG_RD, Header, Rtype};
use steerd::wire::name::Name;
use steerd::wire::writer::Writer;

/// Weights and topology, static RRsets, both families, a fallback, a zone with an empty non-terminal.
pub(crate) const CONFIG: &str = "
server: {listen: ['127.0.0.1:0'], version: steerd, nsid: steerd}
globalnames:
  www.example.com: {pool: web, ttl: 30}
  a.b.example.com: {pool: two, ttl: 30}
  alone.example.net: {pool: closed, ttl: 30}
  hash.example.com: {pool: hash, ttl: 30}
  random.example.com: {pool: random, ttl: 30}
  next.example.com: {pool: next, ttl: 30}
  tree.example.com: {pool: world, ttl: 30}
  near.example.com: {pool: near, ttl: 30}
  room.example.com: {pool: room, ttl: 30}
pools:
  web:
    lb_method: twrr
    max_addrs_returned: 1
    members:
      192.0.2.1: {name: web1, weight: 3}
      192.0.2.2: {name: web2, weight: 1}
      198.51.100.1: {name: web3, weight: 2}
      '2001:db8::1': {name: web4, weight: 1}
    monitor: forced
    monitor_params: {status: up}
  two:
    lb_method: wrr
    max_addrs_returned: 2
    members: {192.0.2.1: {weight: 10}, 192.0.2.2: {weight: 1}, 192.0.2.3: {weight: 1}}
    monitor: forced
    monitor_params: {status: up}
  closed:
    lb_method: fogroup
    fallback: refuse
    members: {192.0.2.9: {}}
    monitor: forced
    monitor_params: {status: down}
  hash:
    lb_method: hash
    members: {192.0.2.1: {weight: 3}, 192.0.2.2: {}, 192.0.2.3: {}, 192.0.2.4: {}}
    monitor: forced
    monitor_params: {status: up}
  random:
    lb_method: random
    members: {192.0.2.1: {weight: 3}, 192.0.2.2: {}, 192.0.2.3: {}, 192.0.2.4: {}}
    monitor: forced
    monitor_params: {status: up}
  next:
    lb_method: twrr
    next: [west, east]
    members: {192.0.2.1: {weight: 3}, 192.0.2.2: {}, 198.51.100.3: {}, 198.51.100.4: {}}
    monitor: forced
    monitor_params: {status: up}
  near:
    lb_method: nearest
    members:
    - {ip: 192.0.2.1, weight: 3, coordinates: [50.1, 8.7]}
    - {ip: 192.0.2.2, coordinates: [50.1, 8.7]}
    - {ip: 198.51.100.3, coordinates: [40.7, -74.0]}
    monitor: forced
    monitor_params: {status: up}
  room:
    lb_method: twrr
    members:
      192.0.2.1: {weight: 3, capacity: 4}
      192.0.2.2: {capacity: 4}
      198.51.100.3: {capacity: 4}
    monitor: forced
    monitor_params: {status: up}
  world:
    lb_method: twrr
    members: [{pool: eastern, weight: 2}, {pool: western}]
  eastern: {lb_method: fogroup, members: [{pool: web}, {pool: two}]}
  western: {lb_method: fogroup, members: [{pool: next}, {pool: two}]}
topology:
  east: {prefixes: [192.0.2.0/24, 10.0.0.0/8, '2001:db8::/32'], coordinates: [48.2, 16.4]}
  west: {prefixes: [198.51.100.0/24, 10.1.0.0/16], coordinates: [38.9, -77.0]}
zones:
  example.com: {ns: [ns1.example.com, ns2.example.com]}
";

/// Signed zones besides, with the same pools: for `respond` alone, since they have keys of no folder.
const SIGNED: &str = "  signed.example: {ns: [ns1.example.com, ns2.example.com], dnssec: {keys: none}}
  hashed.example: {ns: [ns1.example.com, ns2.example.com], dnssec: {keys: none, denial: nsec3}}
";

/// The configuration, and signed zones beside it, as a worker's first generation, every member of a forced monitor as its
/// verdict says.
///
/// # Panics
/// When the configuration above does not load.
pub(crate) fn generation() -> Generation {
    let names = "globalnames:\n  www.signed.example: {pool: web, ttl: 30}\n  www.hashed.example: {pool: web, ttl: 30}\n";
    generation_of(&(CONFIG.replacen("globalnames:\n", names, 1) + SIGNED))
}

/// Keys for every signed zone of a configuration: the same work at every run, though not the same octets.
fn signing_of(config: &Config) -> Signing {
    /// Any time at all: what is measured looks at none.
    const NOW: u64 = 1_800_000_000;
    let mut signing = Signing::default();
    for zone in config.zones.iter().filter(|zone| zone.dnssec.is_some()) {
        let policy = Policy::default();
        let key = SigningKey::generate(policy.algorithm, true, &SystemRandom::new()).expect("a key");
        let times = Times { created: Some(NOW), publish: Some(NOW), activate: Some(NOW), ..Times::default() };
        let state =
            adopt(zone.apex.as_wire(), &policy, &[(key.public().clone(), times)], NOW).expect("a state");
        let keys = KeySet::new(&state, &[Arc::new(key)]).expect("somebody signs");
        let zone_signing = ZoneSigning::new(keys, policy, NOW, true, Signatures::default());
        signing.add(zone.apex.clone(), zone_signing);
    }
    signing
}

/// The same for another text.
///
/// # Panics
/// When it does not load.
pub(crate) fn generation_of(text: &str) -> Generation {
    let mut loaded = load_str("fixture.yaml", text).unwrap_or_else(|report| panic!("{report}"));
    // As the server does for itself, but the same at every run.
    loaded.config.server.cookies.secrets.get_or_insert(SECRETS);
    let snapshot = Arc::new(compile_signed(&loaded.config, 1, &signing_of(&loaded.config)));
    for (pool, model) in loaded.config.pools.iter().enumerate() {
        use steerd::config::model::Probe;
        use steerd::state::health_table::{State, Word};
        let Probe::Forced { up } = model.monitors.list[0].monitor.probe else { continue };
        let state = if up { State::Up } else { State::Down };
        snapshot.health.write(pool, (0..model.members.len()).map(|m| (m, Word::new(state, 1))));
    }
    Generation::first(snapshot, 1)
}

/// What the fixture's cookies are made with.
pub(crate) const SECRETS: Secrets = Secrets { active: Secret::new([7; 16]), second: None };

/// Who asks where it matters: its cookie is valid for nobody else.
pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));

/// A COOKIE option with a server cookie that is valid for a client at the beginning of the epoch, where the clock of a worker
/// without a control side stands.
pub(crate) fn cookie_option(client: IpAddr) -> [u8; COOKIE_OPTION_OCTETS] {
    let cookie = Cookie::read(b"steerdCC").expect("eight octets");
    cookie.option(cookie.standing(&SECRETS, 0, client), &SECRETS, 0, client)
}

/// What stands in a query's OPT record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opt {
    /// No OPT record.
    None,
    /// 1232 octets, DO.
    Plain,
    /// The same with the client subnet 10.1.2.0/24.
    ClientSubnet,
    /// The same as `Plain` with a valid cookie of [`CLIENT`].
    Cookie,
}

/// A query's octets.
///
/// # Panics
/// When `qname` is no name.
pub(crate) fn query(qname: &str, qtype: Rtype, opt: Opt) -> Vec<u8> {
    let mut buffer = [0; 512];
    let arcount = u16::from(opt != Opt::None);
    let header = Header { id: 0x1234, flags: FLAG_RD, qdcount: 1, ancount: 0, nscount: 0, arcount };
    let mut writer = Writer::new(&mut buffer);
    let options: &[u8] = match opt {
        Opt::None | Opt::Plain => &[],
        Opt::ClientSubnet => &[0, 8, 0, 7, 0, 1, 24, 0, 10, 1, 2],
        Opt::Cookie => &cookie_option(CLIENT),
    };
    let result = (|| {
        writer.put(&header.to_octets())?;
        writer.put_name(&Name::from_text(qname).expect("a name"))?;
        writer.put_u16(qtype.0)?;
        writer.put_u16(1)?;
        if opt != Opt::None {
            writer.put(&[0, 0, 41])?;
            writer.put_u16(1232)?;
            writer.put_u32(u32::from(FLAG_DO))?;
            writer.put_rdata(|rdata| rdata.put(options))?;
        }
        Ok::<usize, steerd::wire::writer::Full>(writer.len())
    })();
    let len = result.expect("a query fits into 512 octets");
    buffer[..len].to_vec()
}

/// The kinds of answer that are measured, by name.
pub(crate) fn kinds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("pool", query("www.example.com", Rtype::A, Opt::None)),
        ("pool-edns", query("www.example.com", Rtype::A, Opt::Plain)),
        ("pool-mixed-case", query("wWw.eXample.Com", Rtype::A, Opt::Plain)),
        ("pool-ecs", query("www.example.com", Rtype::A, Opt::ClientSubnet)),
        ("pool-cookie", query("www.example.com", Rtype::A, Opt::Cookie)),
        ("pool-two", query("a.b.example.com", Rtype::A, Opt::Plain)),
        ("pool-hash", query("hash.example.com", Rtype::A, Opt::Plain)),
        ("pool-random", query("random.example.com", Rtype::A, Opt::Plain)),
        ("pool-next", query("next.example.com", Rtype::A, Opt::Plain)),
        ("pool-near", query("near.example.com", Rtype::A, Opt::Plain)),
        ("pool-room", query("room.example.com", Rtype::A, Opt::Plain)),
        ("pool-tree", query("tree.example.com", Rtype::A, Opt::Plain)),
        ("pool-aaaa", query("www.example.com", Rtype::AAAA, Opt::Plain)),
        ("static-soa", query("example.com", Rtype::SOA, Opt::None)),
        ("static-ns-edns", query("example.com", Rtype::NS, Opt::Plain)),
        ("nodata", query("www.example.com", Rtype::TXT, Opt::Plain)),
        ("nxdomain", query("no.such.name.example.com", Rtype::A, Opt::Plain)),
        ("refused", query("www.example.org", Rtype::A, Opt::Plain)),
        ("refused-fallback", query("alone.example.net", Rtype::A, Opt::Plain)),
        ("signed-pool", query("www.signed.example", Rtype::A, Opt::Plain)),
        ("signed-soa", query("signed.example", Rtype::SOA, Opt::Plain)),
        ("signed-nodata", query("www.signed.example", Rtype::TXT, Opt::Plain)),
        ("signed-nxdomain", query("no.such.name.signed.example", Rtype::A, Opt::Plain)),
        ("signed3-nodata", query("www.hashed.example", Rtype::TXT, Opt::Plain)),
        ("signed3-nxdomain", query("no.such.name.hashed.example", Rtype::A, Opt::Plain)),
        ("any", query("www.example.com", Rtype::ANY, Opt::Plain)),
    ]
}
