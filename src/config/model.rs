//! The configuration as the program understands it: validated, defaults filled in, references resolved to indices.
//!
//! Built only by `config::load`; every value here is in range, so nothing that receives one checks it again. It knows no
//! YAML and no file positions (those are `config::file` and `config::report`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::zone::ZoneData;
use crate::dnssec::key::Algorithm;
use crate::state::clients::Choices;
use crate::state::policy::{Require, ResponseClass};
use crate::state::ttl::Ttl;
use crate::wire::cookie::Secrets;
use crate::wire::name::{Name, fmt_wire};

/// The monitors of a pool.
mod monitors;
/// Where clients and members are.
mod places;
/// Pools and members.
mod pools;
/// Parts of monitors.
mod probes;
/// What names are steered to.
mod steered;
pub use monitors::{Monitors, NamedMonitor};
pub use places::{Hysteresis, LatencyTable, Located, LocatedRecord, Topology};
pub use pools::{Fallback, Item, Member, Method, Node, Order, Orders, Part, Pool, Tree, UpWhen};
pub use probes::{DNS_RCODES, DnsProbe, DnsTransport, HttpProbe, Sources, TlsProbe};
pub use steered::{Extra, ServiceBinding};

/// A whole configuration, every file of it read.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the process itself needs: addresses, limits, switches.
    pub server: Server,
    /// Names bound to pools, in the order of the file; no two are equal.
    pub globalnames: GlobalNames,
    /// Pools in the order of the file.
    pub pools: Vec<Pool>,
    /// Regions and their prefixes.
    pub topology: Topology,
    /// Tables of latencies, each file once.
    pub latencies: Vec<Arc<LatencyTable>>,
    /// What pools preferred under the configuration before, for their hysteresis.
    pub choices: Arc<Choices>,
    /// Apexes of one's own, in the order of the file; no two are equal.
    pub zones: Vec<Zone>,
    /// Every file this was read from, the main file first (the reload watcher watches them all).
    pub files: Vec<PathBuf>,
}

/// Settings under `server:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Addresses served over UDP and TCP each; port 0 lets the kernel choose (tests). At least one.
    pub listen: Vec<SocketAddr>,
    /// Whether nobody wrote `listen`: the server may then leave out a family that the machine does not have.
    pub listen_is_default: bool,
    /// Worker threads; `None` is `auto`, one a core this process may run on. 1..=1024.
    pub workers: Option<u16>,
    /// Address of the HTTP listener (metrics, state); `None` leaves it out.
    pub admin: Option<SocketAddr>,
    /// Directory for what must outlive the process; `None` keeps nothing.
    pub state_dir: Option<PathBuf>,
    /// States of members saved there longer ago are not used at a start. 0..=30 days.
    pub state_max_age: Duration,
    /// Largest UDP reply in octets whatever a client offers, and what is offered in return (RFC 6891 §6.2.5). 512..=4096.
    pub edns_udp_size: u16,
    /// Whether the client-subnet option is read and echoed (RFC 7871).
    pub ecs: bool,
    /// Whether answers leave out what nobody asked for: name servers, addresses of what they name.
    pub minimal_responses: bool,
    /// DNS cookies (RFC 7873, RFC 9018).
    pub cookies: Cookies,
    /// Response rate limiting; `None`: off.
    pub rates: Option<Rates>,
    /// Identifier for who asks with an NSID option; `None` tells nothing. At most 64 octets.
    pub nsid: Option<String>,
    /// Answer to `CH TXT version.bind` and `version.server`; `None` refuses. At most 255 octets.
    pub version: Option<String>,
    /// Answer to `CH TXT id.server` and `hostname.bind`; `None` refuses. At most 255 octets.
    pub id: Option<String>,
    /// TCP connections open at once, over all workers. 1..=1,000,000.
    pub tcp_max_connections: u32,
    /// TCP connections open at once for one client address (IPv6: one /64). 1..=tcp_max_connections.
    pub tcp_max_connections_per_client: u32,
    /// How long a TCP connection may be silent, or refuse to take our octets, before it is closed. 100 ms..=1 h.
    pub tcp_idle_timeout: Duration,
    /// Octets of received datagrams a socket may hold, before the kernel drops. 4 KiB..=256 MiB.
    pub receive_buffer: u32,
    /// Octets of datagrams to send a socket may hold. 4 KiB..=256 MiB.
    pub send_buffer: u32,
    /// Microseconds for which the kernel polls the network device before a worker sleeps; 0: it does not. 0..=10,000.
    pub busy_poll_us: u16,
    /// Who chooses the worker of a datagram or connection.
    pub steering: Steering,
    /// Threads that probe. 1..=64.
    pub probe_threads: u16,
    /// Programs of `exec` monitors that run at once. 1..=256.
    pub exec_processes: u16,
    /// When many failures at once are taken for the prober's own; `None`: never.
    pub prober_guard: Option<ProberGuard>,
    /// NS names of globalnames that are their own apex; empty: synthesized.
    pub ns: Vec<Name>,
    /// SOA fields of globalnames that are their own apex; a `None` name is synthesized.
    pub soa: SoaFields,
}

/// When many failures at once are taken for the prober's own (`server.prober_guard`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProberGuard {
    /// Hundredths of the addresses that are UP, more of which must begin to fail. 10..=99.
    pub share_percent: u8,
    /// Hundredths of the addresses that are UP that must answer again. 100 - share..=100.
    pub thaw_percent: u8,
    /// Time within which they begin to fail. 1 s..=1 h.
    pub window: Duration,
    /// Fewer failing addresses prove nothing. 2..=100,000.
    pub min_targets: u32,
    /// Addresses that are probed for this alone.
    pub canaries: Option<Canaries>,
}

impl Default for ProberGuard {
    fn default() -> ProberGuard {
        let window = Duration::from_secs(30);
        ProberGuard { share_percent: 50, thaw_percent: 75, window, min_targets: 4, canaries: None }
    }
}

/// Addresses that tell whether this machine reaches others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canaries {
    /// 1..=64, no two equal.
    pub addresses: Vec<IpAddr>,
    /// How they are probed.
    pub monitor: Arc<Monitor>,
}

/// DNS cookies (`server.cookies`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookies {
    /// Whether they are read and given.
    pub enabled: bool,
    /// What they are made with, out of a file; `None`: whoever compiles the configuration gives some, or there are none.
    pub secrets: Option<Secrets>,
    /// When a client that sends a COOKIE option must have a valid one to be answered over UDP.
    pub require: Require,
    /// UDP queries a second without a valid cookie above which a worker is under load. 1..=100,000,000.
    pub load_qps: u32,
}

/// Response rate limiting (`server.rrl`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Replies a second to one client network, by class; 0: not limited. 0..=1,000,000.
    pub per_sec: [u32; ResponseClass::COUNT],
    /// Of so many replies over the rate one is told to the client; 0: none. 0..=100.
    pub slip: u8,
    /// Bits of an IPv4 client network. 1..=32.
    pub prefix_v4: u8,
    /// Bits of an IPv6 client network. 1..=64.
    pub prefix_v6: u8,
    /// Who is not limited. At most 65,536.
    pub exempt: Vec<IpNet>,
    /// Whether what is over the rate is counted only.
    pub log_only: bool,
}

/// Which worker a datagram or a connection reaches (`server.steering`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// The kernel's hash over both addresses and ports: every worker gets its share, from whatever queue.
    Hash,
    /// The worker pinned to the core on which the packet was received.
    Cpu,
}

/// The SOA record's fields as configured (RFC 1035 §3.3.13). Times in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoaFields {
    /// Primary server's name; `None`: the first NS name, or a synthesized one.
    pub mname: Option<Name>,
    /// Mailbox of the person in charge; `None`: `hostmaster` below the apex.
    pub rname: Option<Name>,
    /// Version of the zone.
    pub serial: u32,
    /// Interval of a secondary's refresh.
    pub refresh_secs: u32,
    /// Interval of its retries.
    pub retry_secs: u32,
    /// When it stops answering without refresh.
    pub expire_secs: u32,
    /// Upper bound of a negative answer's TTL (RFC 2308 §5).
    pub minimum_secs: u32,
    /// TTL of the SOA record itself.
    pub ttl_secs: u32,
}

impl Default for SoaFields {
    /// Timers inside the ranges of RIPE-203 and RFC 1912 §2.2; a minute of negative caching, since a steered name may
    /// gain an address family at any time.
    fn default() -> SoaFields {
        SoaFields {
            mname: None,
            rname: None,
            serial: 1,
            refresh_secs: 7200,
            retry_secs: 900,
            expire_secs: 1_209_600,
            minimum_secs: 60,
            ttl_secs: 3600,
        }
    }
}

/// A name in lower-case wire form on the heap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerName(Box<[u8]>);

impl OwnerName {
    /// Lower-cases and packs a name.
    pub fn new(name: &Name) -> OwnerName {
        OwnerName(name.to_lowercase().as_wire().into())
    }

    /// The wire form, the root's octet included.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for OwnerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_wire(&self.0, f)
    }
}

impl fmt::Debug for OwnerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerName({self})")
    }
}

/// Names in lower-case wire form, one behind the other: each costs its octets and four more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnerNames {
    octets: Vec<u8>,
    /// Offset behind each name. What a file within its size limit can hold fits 32 bits.
    ends: Vec<u32>,
}

impl OwnerNames {
    /// Lower-cases a name and adds it.
    pub(super) fn push(&mut self, name: &Name) {
        let begin = self.octets.len();
        self.octets.extend_from_slice(name.as_wire());
        // Length octets are at most 63 and so never look like letters.
        self.octets[begin..].make_ascii_lowercase();
        self.ends.push(self.octets.len() as u32);
    }

    /// The names in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = OwnerNameRef<'_>> + Clone {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| OwnerNameRef(&self.octets[begin as usize..*end as usize]))
    }

    /// One of them.
    pub(super) fn get(&self, index: usize) -> OwnerNameRef<'_> {
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        OwnerNameRef(&self.octets[begin as usize..self.ends[index] as usize])
    }

    /// Leaves only names for which `keep`, asked in order, says so.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut kept = OwnerNames::default();
        for (index, name) in self.iter().enumerate() {
            if keep(index) {
                kept.octets.extend_from_slice(name.0);
                kept.ends.push(kept.octets.len() as u32);
            }
        }
        *self = kept;
    }
}

/// One of many names in lower-case wire form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerNameRef<'n>(&'n [u8]);

impl<'n> OwnerNameRef<'n> {
    /// The wire form, the root's octet included.
    pub fn as_wire(self) -> &'n [u8] {
        self.0
    }
}

impl fmt::Display for OwnerNameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_wire(self.0, f)
    }
}

impl fmt::Debug for OwnerNameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerNameRef({self})")
    }
}

/// A name answered from a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalName<'n> {
    /// The name.
    pub name: OwnerNameRef<'n>,
    /// Index into [`Config::pools`].
    pub pool: u32,
    /// TTL of its answers.
    pub ttl: Ttl,
    /// What it is steered to other than addresses alone.
    pub extra: Option<&'n Extra>,
    /// The same number for equal ones; 0: there is none.
    pub extra_id: u32,
}

/// Names with what they are answered from: one allocation for all.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct GlobalNames {
    names: OwnerNames,
    /// Pool and TTL of each.
    bindings: Vec<(u32, Ttl)>,
    /// Number of what each is steered to, 0 for most; empty where all are.
    extra_ids: Vec<u32>,
    /// Number 1 is the first.
    extras: Vec<Extra>,
}

impl GlobalNames {
    /// Binds each name to the pool and TTL in the same place.
    pub(super) fn new(names: OwnerNames, bindings: Vec<(u32, Ttl)>) -> GlobalNames {
        debug_assert_eq!(names.ends.len(), bindings.len());
        GlobalNames { names, bindings, extra_ids: Vec::new(), extras: Vec::new() }
    }

    /// The same with what each name is steered to: numbers into `extras` from 1 on, or 0.
    pub(super) fn with_extras(mut self, extra_ids: Vec<u32>, extras: Vec<Extra>) -> GlobalNames {
        if !extras.is_empty() {
            debug_assert_eq!(extra_ids.len(), self.bindings.len());
            (self.extra_ids, self.extras) = (extra_ids, extras);
        }
        self
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.bindings.len()
    }

    /// True without any name.
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = GlobalName<'_>> + Clone {
        self.names.iter().zip(&self.bindings).enumerate().map(|(at, (name, &(pool, ttl)))| {
            let extra_id = self.extra_ids.get(at).copied().unwrap_or(0);
            let extra = (extra_id as usize).checked_sub(1).and_then(|at| self.extras.get(at));
            GlobalName { name, pool, ttl, extra, extra_id }
        })
    }
}

impl fmt::Debug for GlobalNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An apex of one's own.
#[derive(Clone, Debug)]
pub struct Zone {
    /// The zone's apex.
    pub apex: OwnerName,
    /// Name servers; at least one where the zone has no file.
    pub ns: Vec<Name>,
    /// TTL of the NS RRset in seconds.
    pub ns_ttl_secs: u32,
    /// The SOA record.
    pub soa: SoaFields,
    /// The records of its file, beside which the above counts only where the file has none.
    pub records: ZoneRecords,
    /// How it is signed, if it is.
    pub dnssec: Option<Dnssec>,
}

/// How a zone is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dnssec {
    /// Algorithm of its first keys.
    pub algorithm: Algorithm,
    /// Whether the keys are a KSK and a ZSK.
    pub split_keys: bool,
    /// Folder of the keys, as configured; `None`: one below the state directory, where the first keys are made.
    pub keys: Option<PathBuf>,
    /// Whether the first keys are made where there are none.
    pub generate_keys: bool,
    /// After how long the ZSK is rolled; `None`: by request.
    pub zsk_lifetime: Option<Duration>,
    /// After how long the KSK is rolled; `None`: by request.
    pub ksk_lifetime: Option<Duration>,
    /// What proves that something is not there.
    pub denial: Denial,
}

/// What proves that a name or type of a signed zone is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The order of names (RFC 4034 §4): who asks from name to name learns all of them.
    Nsec,
    /// The order of their hashes (RFC 5155), without salt and further iterations (RFC 9276 §3.1).
    Nsec3,
}

/// What a zone has beside steered names.
#[derive(Clone, Debug)]
pub enum ZoneRecords {
    /// No file, and so nothing.
    None,
    /// The records of its file, perhaps of an older version than the one that is there now.
    Loaded(Arc<ZoneData>),
    /// There is a file, but it never could be read.
    Failed,
}

impl ZoneRecords {
    /// The records, if there are any.
    pub fn data(&self) -> Option<&ZoneData> {
        match self {
            ZoneRecords::Loaded(data) => Some(data),
            ZoneRecords::None | ZoneRecords::Failed => None,
        }
    }
}

/// How the members of a pool are probed. Two equal monitors of the same address are one probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Monitor {
    /// What is done.
    pub probe: Probe,
    /// Time between the starts of two probes, 100 ms..=3600 s.
    pub interval: Duration,
    /// Budget of one probe in all: connect, handshake, send and receive. 10 ms..=the interval.
    pub timeout: Duration,
    /// Failures beyond the first that are forgiven: DOWN at `retries` + 1 consecutive ones. 0..=100.
    pub retries: u32,
    /// Consecutive successes that make UP. 1..=100.
    pub rise: u32,
    /// Addresses that probes are sent from.
    pub source: Sources,
    /// What else it takes to be UP again, and how.
    pub discipline: Discipline,
}

impl Monitor {
    /// One that gives a verdict without a probe.
    pub fn forced(up: bool) -> Monitor {
        let second = Duration::from_secs(1);
        Monitor {
            probe: Probe::Forced { up },
            interval: second,
            timeout: second,
            retries: 0,
            rise: 1,
            source: Sources::default(),
            discipline: Discipline::default(),
        }
    }
}

/// What beside counts decides over a verdict; by default nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Discipline {
    /// Time between the starts of two probes while a verdict is in doubt; `None`: the interval. 100 ms..=the interval.
    pub retry_interval: Option<Duration>,
    /// Time that the successes of a DOWN member must span before it is UP. 0..=1 h.
    pub hold_down: Duration,
    /// Time in which a member that is UP again gets all of its weight. 0..=1 h.
    pub warmup: Duration,
    /// What is made of flapping; `None`: nothing.
    pub damping: Option<Damping>,
}

/// When a member that flaps is kept DOWN (after RFC 2439). Each change between UP and DOWN adds 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Damping {
    /// Time in which a penalty halves. 1 s..=24 h.
    pub half_life: Duration,
    /// Penalty above which a member that goes DOWN stays so. 1000..=100,000.
    pub suppress: u32,
    /// Penalty below which it may be UP again. 1..=suppress.
    pub reuse: u32,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// A TCP connection that opens is a success.
    Tcp {
        /// Port, 1..=65535.
        port: u16,
    },
    /// A TCP connection that opens, takes `send`, and answers with octets that match `match_re`.
    TcpContent {
        /// Port, 1..=65535.
        port: u16,
        /// Octets sent as they are; empty sends nothing. At most 4096.
        send: Vec<u8>,
        /// Pattern searched, ignoring ASCII and Unicode case, in the octets received so far; known to compile with
        /// `regex::bytes`. `None`: connecting (and sending) suffices.
        match_re: Option<String>,
    },
    /// An HTTP/1.1 request whose status is one of the expected, and whose body matches.
    Http(HttpProbe),
    /// A TLS handshake, and nothing inside of it.
    Tls {
        /// Port, 1..=65535 (default 443).
        port: u16,
        /// What is expected of the certificate.
        tls: TlsProbe,
    },
    /// A DNS query, and what its reply must say.
    Dns(DnsProbe),
    /// An ICMP echo request that is answered.
    Icmp,
    /// One line of an agent that speaks as HAProxy's do.
    Agent {
        /// Port, 1..=65535.
        port: u16,
        /// Octets sent after connecting; empty sends nothing. At most 4096.
        send: Vec<u8>,
    },
    /// A program of this machine; it ends with 0 for a success.
    Exec {
        /// Its absolute path and its arguments, at least the first; at most 64. `{ip}` stands for the probed address.
        command: Vec<String>,
    },
    /// What a file says, in the words of `agent`.
    File {
        /// Its path; `{ip}` stands for the probed address.
        path: PathBuf,
        /// The verdict without a file.
        missing_up: bool,
    },
    /// What somebody says who is not asked, in the words of `agent`.
    Push {
        /// Name of the pool, which is part of whom it is said of.
        pool: String,
        /// For how long it holds. 1 s..=24 h.
        ttl: Duration,
        /// The verdict after that.
        silence_up: bool,
    },
    /// No probe at all: the verdict is given.
    Forced {
        /// The verdict.
        up: bool,
    },
}
