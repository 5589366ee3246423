//! Who takes part, how each is configured and started: one worker, the same zone, the same names, the same weights.
//!
//! The zone is example.com: www, n0 to n999 (or more), ten other names, ns1. Where a server chooses by weight, it is 3:1:1
//! of three addresses and one is answered; a plain zone has all three. All files go to a scratch directory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::{Arguments, Failure};

/// Names beside www and the numbered ones, as in `perf/load/queries.rs`.
const OTHERS: [&str; 10] = ["api", "mail", "shop", "img", "cdn", "ftp", "static", "m", "app", "edge"];
/// The addresses of the plain zone, and their weights elsewhere.
const ADDRESSES: [(&str, u32); 3] = [("192.0.2.1", 3), ("192.0.2.2", 1), ("192.0.2.3", 1)];
/// Three regions for steerd and gdnsd's geoip plugin: the networks of clients, and of the members of each. 127.0.0.0/8,
/// where the load comes from, lies within the second and belongs to the first, so that the longest match counts.
const REGIONS: [(&str, &[&str], u32); 3] = [
    ("dc1", &["0.0.0.0/2", "127.0.0.0/8", "192.0.2.0/26"], 1),
    ("dc2", &["64.0.0.0/2", "192.0.2.64/26"], 65),
    ("dc3", &["128.0.0.0/1", "192.0.2.128/26"], 129),
];
const SOA: &str = "ns1.example.com. hostmaster.example.com. 1 7200 1800 259200 900";

/// A server that takes part.
pub(crate) struct Peer {
    /// Its row in tables.
    pub(crate) name: &'static str,
    /// What it is, for the legend.
    pub(crate) what: &'static str,
    /// What it is asked whatever the others are asked.
    pub(crate) queries: Option<&'static str>,
    /// It answers every query alike, so that only headers can be checked.
    pub(crate) answers_everything: bool,
    /// The Debian package it comes in; its version is told.
    pub(crate) package: Option<&'static str>,
    udp_only: bool,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Steerd,
    SteerdOther,
    Echo { batch: &'static str },
    Gdnsd { zone_data: &'static str },
    Knot,
    Nsd,
    PdnsGeoip,
    PdnsLua,
}

const fn peer(name: &'static str, what: &'static str, package: Option<&'static str>, kind: Kind) -> Peer {
    Peer { name, what, queries: None, answers_everything: false, package, udp_only: false, kind }
}

const fn echo(name: &'static str, what: &'static str, batch: &'static str) -> Peer {
    Peer { answers_everything: true, udp_only: true, ..peer(name, what, None, Kind::Echo { batch }) }
}

/// All of them, in the order of tables.
const ALL: [Peer; 12] = [
    echo("echo", "recvfrom and sendto alone: the ceiling", "1"),
    echo("echo-batch", "the same with recvmmsg and sendmmsg of 16", "16"),
    peer("steerd", "weights within the client's region (twrr), one address", None, Kind::Steerd),
    Peer {
        queries: Some("static"),
        ..peer("steerd-static", "the same, asked for SOA and NS of the zone alone", None, Kind::Steerd)
    },
    peer("steerd-other", "the program of --other", None, Kind::SteerdOther),
    peer(
        "gdnsd-weighted",
        "weights, one address",
        Some("gdnsd"),
        Kind::Gdnsd { zone_data: "DYNA weighted!dc1" },
    ),
    peer(
        "gdnsd-geoip",
        "weights within the client's region, one address",
        Some("gdnsd"),
        Kind::Gdnsd { zone_data: "DYNA geoip!web" },
    ),
    peer(
        "gdnsd-multifo",
        "all three addresses",
        Some("gdnsd"),
        Kind::Gdnsd { zone_data: "DYNA multifo!web" },
    ),
    peer("knot", "plain zone, three addresses", Some("knot"), Kind::Knot),
    peer("nsd", "plain zone, three addresses", Some("nsd"), Kind::Nsd),
    peer(
        "pdns-geoip",
        "PowerDNS with its geoip backend: weights, one address",
        Some("pdns-backend-geoip"),
        Kind::PdnsGeoip,
    ),
    peer(
        "pdns-lua",
        "PowerDNS with LUA records (pickwrandom, shared): weights, one address",
        Some("pdns-server"),
        Kind::PdnsLua,
    ),
];

/// The peers that the arguments name, with steerd and echo.
///
/// # Errors
/// A name is no peer's.
pub(crate) fn chosen(arguments: &Arguments) -> Result<Vec<Peer>, Failure> {
    let matches =
        |peer: &Peer, wanted: &String| peer.name == wanted || peer.name.starts_with(&format!("{wanted}-"));
    if let Some(unknown) = arguments.peers.iter().find(|wanted| !ALL.iter().any(|peer| matches(peer, wanted)))
    {
        let known: Vec<&str> = ALL.iter().map(|peer| peer.name).collect();
        return Err(format!("{unknown}: no such peer; there are {}", known.join(", ")).into());
    }
    let wanted = |peer: &Peer| match peer.kind {
        _ if peer.udp_only && arguments.transport != "udp" => false,
        Kind::SteerdOther => arguments.other.is_some(),
        Kind::Echo { .. } => true,
        _ if peer.name == "steerd" || arguments.peers.is_empty() => true,
        _ => arguments.peers.iter().any(|wanted| matches(peer, wanted)),
    };
    Ok(ALL.into_iter().filter(wanted).collect())
}

impl Peer {
    /// Writes the configuration into `scratch`; the command that serves on 127.0.0.1 and this port.
    ///
    /// # Errors
    /// The files cannot be written.
    pub(crate) fn prepare(
        &self,
        arguments: &Arguments,
        scratch: &Path,
        port: u16,
    ) -> Result<Vec<String>, Failure> {
        let names = names(&arguments.queries)?;
        let dir = scratch.display();
        let file = |name: &str, text: &str| -> Result<String, Failure> {
            let path = scratch.join(name);
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(path.display().to_string())
        };
        let dir_name = dir.to_string();
        let program = |path: PathBuf| path.display().to_string();
        Ok(match self.kind {
            Kind::Steerd | Kind::SteerdOther => {
                let steerd = match (self.kind, &arguments.other) {
                    (Kind::SteerdOther, Some(other)) => other.clone(),
                    _ => arguments.programs.join("steerd"),
                };
                let config = file("steerd.yaml", &steerd_config(&names, port))?;
                words(&[&program(steerd), "serve", "-c", &config, "--log-format", "json"])
            }
            Kind::Echo { batch } => {
                let echo = program(arguments.programs.join("examples/echo"));
                words(&[&echo, &format!("127.0.0.1:{port}"), "--batch", batch])
            }
            Kind::Gdnsd { zone_data } => {
                std::fs::create_dir_all(scratch.join("zones"))?;
                file("config", &gdnsd_config(&dir_name, port))?;
                file("zones/example.com", &zone(&names, &|name| format!("{name} 60 {zone_data}\n")))?;
                words(&["gdnsd", "-c", &dir_name, "start"])
            }
            Kind::Knot => {
                file("example.com.zone", &zone(&names, &plain))?;
                let config = format!(
                    "server:\n  listen: 127.0.0.1@{port}\n  rundir: {dir}\n  pidfile: knot.pid\n  udp-workers: 1\n  tcp-workers: 1\n  \
                     background-workers: 1\ncontrol:\n  listen: knot.sock\ndatabase:\n  storage: {dir}/db\nlog:\n  - target: stderr\n    \
                     any: warning\nzone:\n  - domain: example.com\n    storage: {dir}\n    file: example.com.zone\n    zonefile-sync: -1\n"
                );
                words(&["knotd", "-c", &file("knot.conf", &config)?])
            }
            Kind::Nsd => {
                file("example.com.zone", &zone(&names, &plain))?;
                // rrl-ratelimit: the default drops a load from one address; username: nobody else may read the directory.
                let config = format!(
                    "server:\n  server-count: 1\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  zonesdir: {dir}\n  database: \"\"\n  \
                     pidfile: {dir}/nsd.pid\n  xfrdfile: {dir}/xfrd.state\n  zonelistfile: {dir}/zone.list\n  xfrdir: {dir}\n  \
                     rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\n  minimal-responses: yes\n  tcp-count: 1000\nremote-control:\n  \
                     control-enable: no\nzone:\n  name: example.com\n  zonefile: example.com.zone\n"
                );
                words(&["nsd", "-d", "-c", &file("nsd.conf", &config)?])
            }
            Kind::PdnsGeoip => {
                file("zones.yaml", &pdns_geoip_zone(&names))?;
                let more =
                    format!("launch=geoip\ngeoip-zones-file={dir}/zones.yaml\ngeoip-database-files=\n");
                file("pdns.conf", &(pdns_config(&dir_name, port) + &more))?;
                words(&["pdns_server", &format!("--config-dir={dir}")])
            }
            Kind::PdnsLua => {
                file("example.com.zone", &zone(&names, &pdns_lua))?;
                let zones =
                    format!("zone \"example.com\" {{ type master; file \"{dir}/example.com.zone\"; }};\n");
                file("named.conf", &zones)?;
                let more = format!("launch=bind\nbind-config={dir}/named.conf\nenable-lua-records=shared\n");
                file("pdns.conf", &(pdns_config(&dir_name, port) + &more))?;
                words(&["pdns_server", &format!("--config-dir={dir}")])
            }
        })
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// All names with addresses, ns1 apart.
fn names(queries: &str) -> Result<Vec<String>, Failure> {
    let count: u32 = queries.strip_prefix("names:").map(str::parse).transpose()?.unwrap_or(1000).max(1000);
    let numbered = (0..count).map(|at| format!("n{at}"));
    Ok(["www"].iter().chain(&OTHERS).map(|name| (*name).to_owned()).chain(numbered).collect())
}

/// A zone file; `records` are those of a name.
fn zone(names: &[String], records: &dyn Fn(&str) -> String) -> String {
    let mut text =
        format!("$ORIGIN example.com.\n$TTL 3600\n@ SOA {SOA}\n@ NS ns1.example.com.\nns1 A 192.0.2.53\n");
    names.iter().for_each(|name| text += &records(name));
    text
}

fn plain(name: &str) -> String {
    ADDRESSES.iter().map(|(address, _)| format!("{name} 60 A {address}\n")).collect()
}

fn pdns_lua(name: &str) -> String {
    let choices: Vec<String> =
        ADDRESSES.iter().map(|(address, weight)| format!("{{{weight}, '{address}'}}")).collect();
    format!("{name} 60 LUA A \"pickwrandom({{{}}})\"\n", choices.join(", "))
}

fn steerd_config(names: &[String], port: u16) -> String {
    // More connections than the default: all come from one address.
    let mut text = format!(
        "server: {{listen: ['127.0.0.1:{port}'], workers: 1, tcp_max_connections: 4096, tcp_max_connections_per_client: 4096}}\n\
         zones: {{example.com: {{ns: [ns1.example.com]}}}}\ntopology:\n"
    );
    for (region, networks, _) in REGIONS {
        let _infallible = writeln!(text, "  {region}: [{}]", networks.join(", "));
    }
    let pool = |name: &str, method: &str, members: &str| {
        format!(
            "  {name}:\n    lb_method: {method}\n    max_addrs_returned: 1\n    monitor: forced\n    monitor_params: {{status: up}}\n    members: {members}\n"
        )
    };
    let members: Vec<String> = REGIONS
        .iter()
        .flat_map(|(.., first)| {
            ADDRESSES
                .iter()
                .zip(*first..)
                .map(|((_, weight), at)| format!("192.0.2.{at}: {{weight: {weight}}}"))
        })
        .collect();
    text += "pools:\n";
    text += &pool("web", "twrr", &format!("{{{}}}", members.join(", ")));
    text += &pool("ns", "wrr", "{192.0.2.53: {}}");
    text += "globalnames:\n  ns1.example.com: {pool: ns, ttl: 3600}\n";
    for name in names {
        let _infallible = writeln!(text, "  {name}.example.com: {{pool: web, ttl: 60}}");
    }
    text
}

fn gdnsd_config(dir: &str, port: u16) -> String {
    let resources: String = REGIONS
        .iter()
        .map(|(region, _, first)| {
            let members: Vec<String> = ADDRESSES
                .iter()
                .zip(*first..)
                .map(|((_, weight), at)| format!("a{at} => [192.0.2.{at}, {weight}]"))
                .collect();
            format!("    {region} => {{ multi => false, service_types => up, {} }}\n", members.join(", "))
        })
        .collect();
    let networks: String = REGIONS
        .iter()
        .flat_map(|(region, networks, _)| {
            networks.iter().map(move |network| format!(" {network} => [{region}],"))
        })
        .collect();
    format!(
        "options => {{\n  listen => {{ 127.0.0.1:{port} => {{ udp_threads = 1, tcp_threads = 1, tcp_clients_per_thread = 4096 }} }}\n  \
         run_dir => {dir}/run\n  state_dir => {dir}/state\n}}\nplugins => {{\n  weighted => {{\n{resources}  }}\n  \
         multifo => {{ web => {{ service_types => up, a1 => 192.0.2.1, a2 => 192.0.2.2, a3 => 192.0.2.3 }} }}\n  geoip => {{\n    \
         maps => {{ world => {{ datacenters => [dc1, dc2, dc3], nets => {{{networks} }} }} }}\n    resources => {{ web => {{ map => world, dcmap => \
         {{ dc1 => %weighted!dc1, dc2 => %weighted!dc2, dc3 => %weighted!dc3 }} }} }}\n  }}\n}}\n"
    )
}

fn pdns_config(dir: &str, port: u16) -> String {
    format!(
        "local-address=127.0.0.1\nlocal-port={port}\nsocket-dir={dir}\ndaemon=no\nguardian=no\nwrite-pid=no\ndisable-syslog=yes\nloglevel=3\n\
         receiver-threads=1\ndistributor-threads=1\nsecurity-poll-suffix=\n"
    )
}

fn pdns_geoip_zone(names: &[String]) -> String {
    let soa = SOA.replace(". ", " ");
    let mut text = format!(
        "domains:\n- domain: example.com\n  ttl: 60\n  records:\n    example.com:\n      - soa: {soa}\n      - ns: ns1.example.com\n    \
         ns1.example.com:\n      - a: 192.0.2.53\n"
    );
    for name in names {
        let _infallible = writeln!(text, "    {name}.example.com:");
        for (address, weight) in ADDRESSES {
            let _infallible = writeln!(text, "      - a: {{content: {address}, weight: {weight}}}");
        }
    }
    text + "  services: {}\n"
}
