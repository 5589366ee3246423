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
use crate::wire::name::NameTextError;

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
    /// A pool that would answer with no data where the chain of a signed zone says that there is an address.
    #[error(
        "{name} lies in a signed zone, and the fallback `nodata` of its pool would be refused by validators"
    )]
    SignedNodata { name: Found },
    /// A globalname with addresses or an alias of its own.
    #[error("{name} is answered from a pool, but {place} gives it {rtype} records of its own")]
    SteeredBesideStatic { name: Found, rtype: &'static str, place: String },
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
    /// No name refers to a pool.
    #[error("{name} is an apex of its own, but `server.ns` names no name servers")]
    NoNameServers { name: Found },
    #[error("no name uses the pool {pool}")]
    UnusedPool { pool: Found },
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
    /// No prefixes.
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

impl Cause {
    /// What would be accepted, or where to look: the words beside the caret.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Cause::Syntax(info) if info.contains("anchor") => {
                "no anchor of this name stands before it; a name that begins with `*` must be quoted"
                    .to_owned()
            }
            Cause::Syntax(info) if info.contains("expected key") => {
                "is it indented like the lines before? values such as `[::1]:53` must be quoted".to_owned()
            }
            Cause::Syntax(info) if info.contains("simple key") || info.contains("mapping values") => {
                "is a `:` missing behind the key on this line or the one before?".to_owned()
            }
            Cause::SecretFile { fault, .. } => return fault.help().map(str::to_owned),
            Cause::SecondDocument => "a configuration is one document: remove the `---`".to_owned(),
            Cause::Tag => "remove the `!…`: what a value is depends on its key".to_owned(),
            Cause::MergeKeyHere => "`<<` merges mappings whose keys are fixed, such as a pool".to_owned(),
            Cause::UnknownKey { closest: Some(closest), .. } => did_you_mean(closest),
            Cause::UnknownKey { accepted, .. } => accepted_are(accepted),
            Cause::DuplicateKey { first_line, .. }
            | Cause::DuplicateAlias { first_line, .. }
            | Cause::Duplicate { first_line, .. } => format!("first given on line {first_line}"),
            Cause::MissingKey { accepted, .. } if !accepted.is_empty() => format!("accepted are {accepted}"),
            Cause::Quoted { .. } => "write it without quotation marks".to_owned(),
            Cause::NotInteger { min, max, .. } | Cause::OutOfRange { min, max, .. } => {
                format!("accepted are {min} to {max}")
            }
            Cause::NotDuration { .. } => {
                "accepted are seconds (`10`, `0.5`) or a number with `ms`, `s`, `m` or `h`".to_owned()
            }
            Cause::DurationRange { min, max, .. } => {
                format!("accepted are {} to {}", Human(*min), Human(*max))
            }
            Cause::NotBoolean { .. } => {
                "accepted are `true` and `false` (also `yes`, `no`, `on`, `off`)".to_owned()
            }
            Cause::NotOneOf { closest: Some(closest), .. } => did_you_mean(closest),
            Cause::NotOneOf { accepted, .. } => format!("accepted are {accepted}"),
            Cause::TextLength { max, unit, .. } => format!("accepted are 1 to {max} {unit}"),
            Cause::Wildcard { .. } => "wildcards are accepted in `globalnames`".to_owned(),
            Cause::WildcardOutside { .. } => "name the zone in `zones`".to_owned(),
            Cause::NoKeyFolder => "give `keys`, or `server.state_dir`".to_owned(),
            Cause::SignedNodata { .. } => "`any`, `refuse` or a list of addresses are accepted there".to_owned(),
            Cause::SteeredBesideStatic { .. } => "remove one of the two".to_owned(),
            Cause::SteeredHidden { .. } => "remove those records, or the globalname".to_owned(),
            Cause::MappedAddress { plain, .. } => did_you_mean(&plain.to_string()),
            Cause::MappedSocketAddress { plain, .. } => did_you_mean(&plain.to_string()),
            Cause::LinkLocalWithoutScope { ip, port, .. } => format!(
                "accepted is `[{ip}%2]:{port}`, where 2 is the interface's number as `ip link` shows it"
            ),
            Cause::NotUnicast { .. } => "accepted are addresses of this machine, `0.0.0.0` and `::`".to_owned(),
            Cause::CoveredByWildcard { first_line, .. } | Cause::WildcardCovers { first_line, .. } => {
                format!("given on line {first_line}: the port would be in use; keep one of them")
            }
            Cause::AdminOverlapsListen { .. } => "give it another port".to_owned(),
            Cause::NotSocketAddress { port_needed: true, .. } => {
                "accepted are `127.0.0.1:8053` and `[::1]:8053`".to_owned()
            }
            Cause::NotSocketAddress { port_needed: false, .. } => {
                "accepted are `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1` and `[2001:db8::1]:53`".to_owned()
            }
            Cause::UndefinedPool { closest, known, .. } => undefined_pool_help(closest.as_ref(), known),
            Cause::ParameterOfOther { takers, .. } => format!("it is a parameter of {takers}"),
            Cause::RetryAboveInterval { interval, .. } => format!("accepted are 100 ms to {}", Human(*interval)),
            Cause::ReuseAboveSuppress { suppress, .. } => format!("accepted are 1 to {suppress}"),
            Cause::ThawBelowShare { least, .. } => format!("accepted are `{least}%` to `100%`"),
            Cause::MinTtlAboveMax { max_secs, .. } => format!("accepted are 1 to {max_secs}"),
            Cause::NotShare { min, max, .. } => format!("accepted are `{min}%` to `{max}%`"),
            Cause::TimeoutAboveInterval { interval, .. } => {
                format!("accepted are 10 ms to {}", Human(*interval))
            }
            Cause::TlsContradiction { .. } => "use the monitor `http`".to_owned(),
            Cause::VerifyWithoutTls => "use the monitor `https`, or set `use_ssl: true`".to_owned(),
            Cause::NotServerName { .. } => {
                "accepted is a domain name, without underscores at its ends".to_owned()
            }
            Cause::NotStatusCode { .. } => {
                "accepted are `200` and `200-299`, each code 100 to 599".to_owned()
            }
            Cause::NotPrefix { .. } => {
                "accepted are `192.0.2.0/24`, `2001:db8::/32` and single addresses".to_owned()
            }
            Cause::DuplicatePrefix { region, first_line, .. } => {
                format!("first given for the region {region} on line {first_line}")
            }
            Cause::TopologyTwice => "keep one of them".to_owned(),
            Cause::MailboxAt { suggestion, .. } => format!("did you mean {suggestion}?"),
            Cause::NothingToServe => "give `globalnames` and their `pools`, or `zones`".to_owned(),
            Cause::NoNameServers { .. } => {
                "name your servers in `server.ns`, or put the name below a zone of `zones`; until then its NS record \
                 says `ns.invalid.`"
                    .to_owned()
            }
            Cause::FallbackWithoutMembers { .. } => {
                "queries for a family without members are answered with no data".to_owned()
            }
            Cause::LowTtl { .. } => "20 to 60 s is usual for a steered name".to_owned(),
            Cause::TwrrWithoutTopology => "give `topology` or `topology_file`, or use `wrr`".to_owned(),
            Cause::RepeatsOrigin { .. } => "names are absolute here: leave out the second one".to_owned(),
            Cause::LongNegativeTtl { .. } => "RFC 2308 suggests one to three hours".to_owned(),
            _ => return None,
        };
        Some(text)
    }
}

/// The question behind a near miss.
fn did_you_mean(word: &str) -> String {
    format!("did you mean `{word}`?")
}

/// The list of accepted keys.
fn accepted_are(keys: &[&str]) -> String {
    let listed: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    format!("accepted are {}", listed.join(", "))
}

/// Known pools, and the one that was perhaps meant.
fn undefined_pool_help(closest: Option<&Found>, known: &Known) -> String {
    match closest {
        Some(closest) => format!("did you mean {closest}? known pools are {known}"),
        None if known.first.is_empty() => "no pools are defined".to_owned(),
        None => format!("known pools are {known}"),
    }
}

/// The system's own words where there is a number for them.
fn io_text(kind: io::ErrorKind, os_error: Option<i32>) -> String {
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
