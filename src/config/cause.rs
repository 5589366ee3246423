//! Every reason a configuration can be refused or warned about, and the words for it.
//!
//! One variant a cause (house style 26); the headline is `Display`, what would be accepted is `Cause::help`. Nothing here
//! knows where in a file a cause was found (that is `report`), and nothing here decides anything.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::guard::SecretFault;
use super::monitor::ParameterCause;
use super::nested::NestedCause;
pub use super::place::cause::{FileKind, PlaceCause};
pub use super::place::database::DatabaseFault;
use super::steered::SteeredCause;
use crate::wire::name::NameTextError;

/// What to do about it.
mod help;

/// Longest quotation of a file's text in a message, in characters; the source line is shown anyway.
const MAX_QUOTED_CHARS: usize = 80;
/// Most names listed as known in one message.
const MAX_LISTED: usize = 6;

/// Text found in a file: clipped, its control characters escaped, shown between backticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found(Box<str>);

impl Found {
    /// Takes what a message needs of `text`.
    pub fn new(text: &str) -> Found {
        let mut clipped = String::new();
        for (index, c) in text.chars().enumerate() {
            if index == MAX_QUOTED_CHARS {
                clipped.push('…');
                break;
            }
            match c {
                c if c.is_control() => clipped.extend(c.escape_default()),
                c => clipped.push(c),
            }
        }
        Found(clipped.into())
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// The first few of a list of names, and how many more there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    first: Vec<Found>,
    more: usize,
}

impl Known {
    /// Takes the first few of `names`.
    pub fn new<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Known {
        let total = names.len();
        let first: Vec<Found> = names.take(MAX_LISTED).map(Found::new).collect();
        Known { more: total - first.len(), first }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.first.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name}")?;
        }
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        Ok(())
    }
}

/// What kind of YAML node was found or expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A single value.
    Scalar,
    /// `- a` or `[a]`.
    List,
    /// `a: b` or `{a: b}`.
    Mapping,
    /// A mapping or a list.
    MappingOrList,
    /// A list, or a single value that stands for a list of one.
    ListOrScalar,
    /// A mapping, or a single value in its place.
    MappingOrScalar,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Scalar => "a single value",
            Kind::List => "a list",
            Kind::Mapping => "a mapping",
            Kind::MappingOrList => "a mapping or a list",
            Kind::ListOrScalar => "a list or a single value",
            Kind::MappingOrScalar => "a mapping or a single value",
        })
    }
}

/// A duration in hours, as those of keys are configured; whole ones that are not shorter.
struct Hours(Duration);

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}h", self.0.as_secs().div_ceil(3600))
    }
}

/// A duration as people write it: `500 ms`, `10 s`, `1 h`.
struct Human(Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, millis) = (self.0.as_secs(), self.0.as_millis());
        match (secs, self.0.subsec_nanos()) {
            (1.., 0) => write!(f, "{secs} s"),
            _ if self.0.subsec_nanos().is_multiple_of(1_000_000) => write!(f, "{millis} ms"),
            _ => write!(f, "{:?}", self.0),
        }
    }
}

/// Why a configuration is refused, or what about it is suspicious.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields of a variant are the blanks of the sentence above it")]
pub enum Cause {
    // --- the file
    /// The system would not give us the file.
    #[error("the file cannot be read: {}", io_text(*.kind, *.os_error))]
    Unreadable { kind: io::ErrorKind, os_error: Option<i32> },
    /// A FIFO, a socket or a device: reading it could wait for ever.
    #[error("the file is not a regular file")]
    NotRegularFile,
    /// The same, of the file named by `topology_file`.
    #[error("the topology file {path} is not a regular file")]
    TopologyNotRegularFile { path: Found },
    /// The file named by `topology_file` could not be read.
    #[error("the topology file {path} cannot be read: {}", io_text(*.kind, *.os_error))]
    TopologyUnreadable { path: Found, kind: io::ErrorKind, os_error: Option<i32> },
    /// The file of `secret_file` is no file of secrets.
    #[error("the secret file {path} {fault}")]
    SecretFile { path: Found, fault: SecretFault },
    /// More octets than we are willing to read.
    #[error("the file is larger than {} MiB", limit_octets >> 20)]
    TooLarge { limit_octets: u64 },
    /// Octets that are no UTF-8.
    #[error("the file is not UTF-8: the first octet that does not fit is number {offset}")]
    NotUtf8 { offset: usize },
    /// A control character other than tab and line breaks; a NUL would end the file early and in silence.
    #[error("the control character U+{:04X} is not allowed", u32::from(*.0))]
    ControlCharacter(char),

    // --- YAML
    /// What the YAML parser says.
    #[error("this is not YAML: {0}")]
    Syntax(String),
    /// No document, or one without a value.
    #[error("the file has no content")]
    Empty,
    /// A second `---`.
    #[error("a second document begins here")]
    SecondDocument,
    /// Lists and mappings inside each other without end.
    #[error("lists and mappings are nested more than {limit} deep")]
    TooDeep { limit: usize },
    /// Aliases that unfold into more than we are willing to read.
    #[error("aliases unfold into more than {limit} values")]
    AliasesTooLarge { limit: usize },
    /// Anchored values too many to keep.
    #[error("anchored values hold more than {limit} values")]
    AnchorsTooLarge { limit: usize },
    /// An alias inside the value of its own anchor.
    #[error("this alias stands inside the value it stands for")]
    AliasInsideItself,
    /// `!tag`.
    #[error("tags are not supported")]
    Tag,
    /// `<<` among names that are the user's own.
    #[error("`<<` is not understood here")]
    MergeKeyHere,
    /// `<<` with something else than mappings.
    #[error("`<<` takes a mapping or a list of mappings, found {found}")]
    MergeValue { found: Kind },
    /// A key that is a list or a mapping.
    #[error("a key must be a single value, found {found}")]
    KeyKind { found: Kind },
    /// A node of another kind.
    #[error("expected {expected}, found {found}")]
    WrongKind { expected: Kind, found: Kind },
    /// A key nobody knows.
    #[error("unknown key {key} in {section}")]
    UnknownKey {
        key: Found,
        section: &'static str,
        closest: Option<&'static str>,
        accepted: Vec<&'static str>,
    },
    /// A key twice in one mapping.
    #[error("the key {key} is given twice")]
    DuplicateKey { key: Found, first_line: u32 },
    /// A key and its alias in one mapping.
    #[error("{key} and `{other}` are the same key")]
    DuplicateAlias { key: Found, other: &'static str, first_line: u32 },
    /// A key that must be there.
    #[error("`{key}` is missing in {section}")]
    MissingKey { key: &'static str, section: &'static str, accepted: &'static str },
    /// A key followed by nothing.
    #[error("{key} has no value")]
    NoValue { key: Found },
    /// A list without items where one is needed.
    #[error("`{key}` is empty")]
    EmptyList { key: &'static str },
    /// More items than allowed.
    #[error("more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    /// Two equal items, names, or addresses.
    #[error("the {what} {item} is given twice")]
    Duplicate { what: &'static str, item: Found, first_line: u32 },

    // --- single values
    /// Quotation marks around something that is no text.
    #[error("expected {expected}, found the quoted text {text}")]
    Quoted { text: Found, expected: &'static str },
    /// No plain integer.
    #[error("{text} is not a whole number")]
    NotInteger { text: Found, min: u64, max: u64 },
    /// An integer out of its range.
    #[error("{text} is out of range")]
    OutOfRange { text: Found, min: u64, max: u64 },
    /// No duration.
    #[error("{text} is not a duration")]
    NotDuration { text: Found },
    /// A duration out of its range.
    #[error("the duration {text} is out of range")]
    DurationRange { text: Found, min: Duration, max: Duration },
    /// No boolean.
    #[error("{text} is neither true nor false")]
    NotBoolean { text: Found },
    /// No word of a list.
    #[error("{text} is not accepted here")]
    NotOneOf { text: Found, closest: Option<&'static str>, accepted: &'static str },
    /// Too long, or empty.
    #[error("a text of {len} {unit} is not accepted here")]
    TextLength { len: usize, max: usize, unit: &'static str },
    /// A character that would change the meaning of what is sent.
    #[error("{what} must not contain the character {character:?}")]
    Character { what: &'static str, character: char },

    // --- names and addresses
    /// No domain name.
    #[error("{text} is not a domain name: {error}")]
    NotName { text: Found, error: NameTextError },
    /// `*.example.com`.
    #[error("{text} is a wildcard, which names no host or zone")]
    Wildcard { text: Found },
    /// A wildcard that no zone holds: it would have to be its own apex.
    #[error("the wildcard name {name} lies in no zone")]
    WildcardOutside { name: Found },
    /// Nowhere to keep keys.
    #[error("a signed zone needs a place for its keys")]
    NoKeyFolder,
    /// The next rollover would begin before the last one has ended.
    #[error("`{field}` of {} is shorter than a rollover of the zone's keys may take", Hours(*.lifetime))]
    LifetimeTooShort { field: &'static str, lifetime: Duration, needed: Duration },
    /// The same, because of the zone's file: a warning.
    #[error(
        "`{field}` of {} is shorter than a rollover of the zone's keys may take beside the TTLs of the zone's file: keys \
         live {}", Hours(*.lifetime), Hours(*.needed + Duration::from_secs(1))
    )]
    LifetimeStretched { field: &'static str, lifetime: Duration, needed: Duration },
    /// A pool that would answer with no data where the chain of a signed zone says that there is an address.
    #[error(
        "{name} lies in a signed zone, and the fallback `nodata` of its pool would be refused by validators"
    )]
    SignedNodata { name: Found },
    /// A globalname with records of its own in the place of what it is steered to.
    #[error("{name} is answered from a pool, but {place} gives it {rtype} records of its own")]
    SteeredBesideStatic { name: Found, rtype: String, place: String },
    /// A globalname that is another server's.
    #[error(
        "{name} is answered from a pool, but lies at or below {above}, whose {rtype} records lead elsewhere"
    )]
    SteeredHidden { name: Found, above: Found, rtype: &'static str },
    /// No IP address.
    #[error("{text} is not an IP address")]
    NotAddress { text: Found },
    /// An IPv4 address in IPv6 clothes.
    #[error("{text} is an IPv4 address written as IPv6")]
    MappedAddress { text: Found, plain: Ipv4Addr },
    /// No address with port.
    #[error("{text} is not an address to listen on")]
    NotSocketAddress { text: Found, port_needed: bool },
    /// The same with a port, where a socket is wanted.
    #[error("{text} is an IPv4 address written as IPv6")]
    MappedSocketAddress { text: Found, plain: SocketAddr },
    /// `fe80::1` alone: which interface's?
    #[error("{text} is a link-local address without its interface")]
    LinkLocalWithoutScope { text: Found, ip: Ipv6Addr, port: u16 },
    /// Multicast and broadcast.
    #[error("{text} is a {what} address: nothing is served there")]
    NotUnicast { text: Found, what: &'static str },
    /// An address of `listen` behind the wildcard that takes its port.
    #[error("`{address}` is covered by `{wildcard}`")]
    CoveredByWildcard { address: SocketAddr, wildcard: SocketAddr, first_line: u32 },
    /// A wildcard of `listen` behind an address that takes its port.
    #[error("`{wildcard}` covers `{address}`")]
    WildcardCovers { wildcard: SocketAddr, address: SocketAddr, first_line: u32 },
    /// One of them is a wildcard that takes the other's port.
    #[error("`{address}` and the address `{listen}` of `listen` overlap")]
    AdminOverlapsListen { address: SocketAddr, listen: SocketAddr },
    /// The same address for DNS and HTTP.
    #[error("`{address}` is already an address of `listen`")]
    AdminIsListen { address: SocketAddr },
    /// More for one client than in all.
    #[error("`tcp_max_connections_per_client` ({per_client}) is larger than `tcp_max_connections` ({total})")]
    PerClientAboveTotal { per_client: u32, total: u32 },

    // --- pools
    /// A globalname's pool does not exist.
    #[error("pool {name} is not defined")]
    UndefinedPool { name: Found, closest: Option<Found>, known: Known },
    /// A parameter that another monitor takes.
    #[error("the monitor `{monitor}` takes no `{parameter}`")]
    ParameterOfOther { monitor: &'static str, parameter: &'static str, takers: &'static str },
    /// A probe would begin before the one before it has ended.
    #[error(
        "the timeout ({}) is longer than the interval ({}): probes would overlap", Human(*.timeout), Human(*.interval)
    )]
    TimeoutAboveInterval { timeout: Duration, interval: Duration },
    /// Probes of a verdict in doubt would be rarer than others.
    #[error(
        "the retry interval ({}) is longer than the interval ({})", Human(*.retry_interval), Human(*.interval)
    )]
    RetryAboveInterval { retry_interval: Duration, interval: Duration },
    /// A penalty that suppresses would be forgotten at once.
    #[error("reuse ({reuse}) is above suppress ({suppress}): nobody would be kept down")]
    ReuseAboveSuppress { reuse: u32, suppress: u32 },
    /// A freeze would end where it begins.
    #[error("a thaw_share of {thaw}% holds already when more than the share ({share}%) fails")]
    ThawBelowShare { thaw: u8, least: u8, share: u8 },
    /// Bounds of a TTL the wrong way round.
    #[error("the least TTL ({min_secs} s) is above the largest ({max_secs} s)")]
    MinTtlAboveMax { min_secs: u32, max_secs: u32 },
    /// No number of hundredths, or none of those accepted.
    #[error("{text} is not a share")]
    NotShare { text: Found, min: u8, max: u8 },
    /// Fewer members than `min_up`.
    #[error("the pool never counts as up: {countable} members can be drawn, and `min_up` is {min_up}")]
    NeverUp { min_up: u16, countable: usize },
    /// `regex` does not compile it.
    #[error("the regular expression {text} does not compile: {error}")]
    NotRegex { text: Found, error: String },
    /// `use_ssl: false` of an https monitor.
    #[error("the monitor `{monitor}` always uses TLS, but `use_ssl` is false")]
    TlsContradiction { monitor: &'static str },
    /// `verify` without anything to verify.
    #[error("`verify` needs TLS, which this monitor does not use")]
    VerifyWithoutTls,
    /// A hostname that cannot be sent as server name indication.
    #[error("{text} cannot be the server name of a TLS connection")]
    NotServerName { text: Found },
    /// No status code and no range of them.
    #[error("{text} is neither a status code nor a range of them")]
    NotStatusCode { text: Found },
    /// What else a monitor's parameter can be refused for.
    #[error(transparent)]
    Parameter(ParameterCause),
    /// A pool among the members of another.
    #[error(transparent)]
    Nested(NestedCause),
    /// What a name cannot be steered to.
    #[error(transparent)]
    Steered(SteeredCause),
    /// What else a topology, or a method that goes by places, can be refused for.
    #[error(transparent)]
    Place(Box<PlaceCause>),

    // --- topology
    /// No prefix.
    #[error("{text} is not a prefix")]
    NotPrefix { text: Found },
    /// A prefix longer than its address.
    #[error("{text} has a length beyond {max}")]
    PrefixLength { text: Found, max: u8 },
    /// Bits behind the prefix.
    #[error("{text} has host bits set: did you mean `{network}` or `{longer}`?")]
    HostBits { text: Found, network: IpNet, longer: IpNet },
    /// A prefix twice, in the same region or another.
    #[error("the prefix `{prefix}` is given twice")]
    DuplicatePrefix { prefix: IpNet, region: Found, first_line: u32 },
    /// A name we use ourselves.
    #[error("the region name {name} is reserved")]
    ReservedRegion { name: Found },
    /// Inline and in a file.
    #[error("`topology` and `topology_file` are both given")]
    TopologyTwice,

    // --- zones
    /// An `@` in a mailbox name.
    #[error("{text} is not a domain name: a mailbox is written with a dot in place of the `@`")]
    MailboxAt { text: Found, suggestion: Found },
    /// Below the apex no name is long enough for a hash.
    #[error("the zone's name is longer than {limit} octets, which leaves no room for the hashes of nsec3")]
    NoRoomForHashes { limit: usize },

    // --- the whole
    /// Neither names nor zones.
    #[error("there is nothing to serve")]
    NothingToServe,

    // --- warnings
    /// A TTL that resolvers hardly keep.
    #[error("a TTL of {ttl_secs} s: nearly every query will reach this server")]
    LowTtl { ttl_secs: u32 },
    /// No member of positive weight that is enabled.
    #[error("no member of the pool {pool} can ever be drawn: each has weight 0 or is disabled")]
    NeverDrawn { pool: Found },
    /// Somebody would carry more than it can.
    #[error("pool {}: {}, {} carries {} of its {}", .0.pool, .0.failed, .0.carrier, .0.load, .0.capacity)]
    Overload(Box<Overload>),
    /// Failures that nobody has looked at, in this pool and more of them.
    #[error(
        "pool {pool}{}: {tried} of {count} single failures were tried against the members' capacities", And(*.more)
    )]
    Untried { pool: Found, tried: usize, count: usize, more: usize },
    /// No name refers to a pool.
    #[error("{name} is an apex of its own, but `server.ns` names no name servers")]
    NoNameServers { name: Found },
    #[error("no name uses the pool {pool}")]
    UnusedPool { pool: Found },
    /// An option beside a method that does not have it.
    #[error("`{option}` is an option of the method {method} alone")]
    OptionOfOtherMethod { option: &'static str, method: &'static str },
    /// A region that is not in the topology.
    #[error("the topology has no region {name}")]
    UnknownRegion { name: Found, closest: Option<Found> },
    /// Regions behind the word that means all of them.
    #[error("nothing can follow `anywhere`")]
    BehindAnywhere,
    /// `twrr` without regions.
    #[error("`twrr` without any topology is the same as `wrr`")]
    TwrrWithoutTopology,
    /// An address nothing can be reached at.
    #[error("nothing can be reached at the address {address}")]
    UnreachableAddress { address: IpAddr },
    /// A fallback address for queries that never get as far.
    #[error("the fallback address `{address}` is never answered: the pool has no enabled {family} member")]
    FallbackWithoutMembers { address: IpAddr, family: &'static str },
    /// The command line's topology comes first.
    #[error("this topology is replaced by the one named on the command line")]
    TopologyReplaced,
    /// No prefixes, and nothing else.
    #[error("the region {region} has no prefixes")]
    EmptyRegion { region: Found },
    /// `hostmaster.example.com.example.com`.
    #[error("{name} repeats the name of its zone")]
    RepeatsOrigin { name: Found },
    /// Negative answers are kept for more than a day.
    #[error("a minimum of {minimum_secs} s: resolvers may keep a negative answer for longer than a day")]
    LongNegativeTtl { minimum_secs: u32 },
    /// A secondary would give up before its next refresh.
    #[error(
        "expire ({expire_secs} s) is not longer than refresh and retry together ({refresh_secs} + {retry_secs} s)"
    )]
    ShortExpire { expire_secs: u32, refresh_secs: u32, retry_secs: u32 },
    /// A retry that comes after the next refresh.
    #[error("retry ({retry_secs} s) is longer than refresh ({refresh_secs} s)")]
    LongRetry { retry_secs: u32, refresh_secs: u32 },
    /// A name server inside its zone whose address nobody gives.
    #[error("the name server {name} lies inside this zone, but is no globalname: it has no address")]
    NsWithoutAddress { name: Found },
    /// Warnings left out.
    #[error("and {count} more warnings")]
    Omitted { count: usize },
}

/// The worst that a single failure in a pool does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overload {
    pub(super) pool: Found,
    /// Who fails, in words.
    pub(super) failed: String,
    pub(super) carrier: Found,
    /// In the unit of weights.
    pub(super) load: String,
    pub(super) capacity: u32,
    /// How often somebody carries more than it can.
    pub(super) cases: usize,
}

/// More pools of a kind.
struct And(usize);

impl fmt::Display for And {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 { write!(f, " (and {} more pools)", self.0) } else { Ok(()) }
    }
}

/// The system's own words where there is a number for them.
pub(super) fn io_text(kind: io::ErrorKind, os_error: Option<i32>) -> String {
    match os_error {
        Some(number) => io::Error::from_raw_os_error(number).to_string(),
        None => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_text_is_clipped_and_its_control_characters_escaped() {
        assert_eq!(Found::new("a\u{1b}[31m").to_string(), r"`a\u{1b}[31m`");
        assert_eq!(Found::new(&"x".repeat(500)).to_string().chars().count(), MAX_QUOTED_CHARS + 3);
    }

    #[test]
    fn known_names_are_bounded() {
        let names: Vec<String> = (0..10).map(|n| format!("p{n}")).collect();
        let known = Known::new(names.iter().map(String::as_str));
        assert_eq!(known.to_string(), "`p0`, `p1`, `p2`, `p3`, `p4`, `p5` and 4 more");
    }

    #[test]
    fn durations_read_as_people_write_them() {
        let shown = |d| Human(d).to_string();
        assert_eq!(shown(Duration::from_millis(100)), "100 ms");
        assert_eq!(shown(Duration::from_secs(3600)), "3600 s");
        assert_eq!(shown(Duration::from_millis(1500)), "1500 ms");
    }
}
