//! A pool's `monitor` and `monitor_params`: which parameters a monitor takes, their ranges and defaults.
//!
//! Parameters are read before the monitor is known, since keys stand in any order, and then built into a probe. Nothing is
//! probed here. Texts that are sent are checked for what would change the meaning of a request, and otherwise kept.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use regex::bytes::RegexBuilder;
use rustls::pki_types::DnsName;

use super::cause::{Cause, Found};
use super::decode::{Decoder, Field, Placed, Read, Section, Seen, key, key_or};
use super::discipline::ReadDiscipline;
use super::events::Scalar;
use super::model::{DnsTransport, Monitor, Probe, Sources};
use super::report::Span;
use super::scalars::{boolean, duration, integer, parse_any_name, text_octets, word};
use crate::wire::message::{Rcode, Rtype};
use crate::wire::name::Name;

/// Probes that have several parameters.
mod build;
/// What can be wrong with a parameter.
pub(super) mod cause;
/// Monitors that ask this machine.
mod local;
/// Values that only parameters have.
mod values;

pub(super) use cause::ParameterCause;
pub(super) use local::Surroundings;
pub(super) use values::probe_address;

const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
const MIN_TIMEOUT: Duration = Duration::from_millis(10);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_RETRIES: u32 = 2;
const DEFAULT_RISE: u32 = 1;
/// Octets of a `send`; fits a socket's buffer, so that a probe writes once.
const MAX_SEND_OCTETS: usize = 4096;
/// Octets of a path; what servers accept as a request line.
const MAX_PATH_OCTETS: usize = 8000;
const MAX_HOSTNAME_OCTETS: usize = 255;
const MAX_METHOD_OCTETS: usize = 32;
/// Items of `expected_codes`.
const MAX_CODES: usize = 8;
/// Octets of a reply's body that are searched at most, and by default.
const MAX_MATCH_LIMIT: u32 = 65_536;
/// Memory of a compiled regular expression; a pattern that needs more is refused.
const MAX_REGEX_OCTETS: usize = 1 << 20;
/// The part of a regular expression's error that is shown.
const MAX_REGEX_ERROR_CHARS: usize = 160;

/// Verdicts that are given.
const VERDICTS: &[(&str, bool)] = &[("up", true), ("down", false)];
const VERDICT_WORDS: &str = "`up` and `down`";
/// How long what was pushed holds.
const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// What `monitor` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MonitorKind {
    Tcp,
    TcpContent,
    Http,
    Https,
    Tls,
    Dns,
    Icmp,
    Agent,
    Exec,
    File,
    Push,
    Forced,
}

const MONITORS: &[(&str, MonitorKind)] = &[
    ("tcp", MonitorKind::Tcp),
    ("tcp_content", MonitorKind::TcpContent),
    ("http", MonitorKind::Http),
    ("https", MonitorKind::Https),
    ("tls", MonitorKind::Tls),
    ("dns", MonitorKind::Dns),
    ("icmp", MonitorKind::Icmp),
    ("agent", MonitorKind::Agent),
    ("exec", MonitorKind::Exec),
    ("file", MonitorKind::File),
    ("push", MonitorKind::Push),
    ("forced", MonitorKind::Forced),
    ("tcp_connect", MonitorKind::Tcp),
    ("http_status", MonitorKind::Http),
    ("https_status", MonitorKind::Https),
    ("ping", MonitorKind::Icmp),
];

/// The monitors, for messages.
pub(super) const MONITOR_WORDS: &str = "`tcp`, `tcp_content`, `http`, `https`, `tls`, `dns`, `icmp`, `agent`, `exec`, `file`, `push` and `forced`";

impl MonitorKind {
    /// Its word.
    pub(super) fn name(self) -> &'static str {
        match self {
            MonitorKind::Tcp => "tcp",
            MonitorKind::TcpContent => "tcp_content",
            MonitorKind::Http => "http",
            MonitorKind::Https => "https",
            MonitorKind::Tls => "tls",
            MonitorKind::Dns => "dns",
            MonitorKind::Icmp => "icmp",
            MonitorKind::Agent => "agent",
            MonitorKind::Exec => "exec",
            MonitorKind::File => "file",
            MonitorKind::Push => "push",
            MonitorKind::Forced => "forced",
        }
    }

    /// The parameters of such a monitor, as a section of a message.
    fn section(self) -> &'static str {
        match self {
            MonitorKind::Tcp => "the parameters of a `tcp` monitor",
            MonitorKind::TcpContent => "the parameters of a `tcp_content` monitor",
            MonitorKind::Http => "the parameters of an `http` monitor",
            MonitorKind::Https => "the parameters of an `https` monitor",
            MonitorKind::Tls => "the parameters of a `tls` monitor",
            MonitorKind::Dns => "the parameters of a `dns` monitor",
            MonitorKind::Icmp => "the parameters of an `icmp` monitor",
            MonitorKind::Agent => "the parameters of an `agent` monitor",
            MonitorKind::Exec => "the parameters of an `exec` monitor",
            MonitorKind::File => "the parameters of a `file` monitor",
            MonitorKind::Push => "the parameters of a `push` monitor",
            MonitorKind::Forced => "the parameters of a `forced` monitor",
        }
    }

    /// Whether it takes this parameter.
    fn takes(self, parameter: &str) -> bool {
        let (is_timed, speaks, is_aimed) = match self {
            MonitorKind::Push => (false, false, false),
            MonitorKind::Forced => (true, false, false),
            MonitorKind::Exec | MonitorKind::File => (true, false, true),
            MonitorKind::Tcp
            | MonitorKind::TcpContent
            | MonitorKind::Http
            | MonitorKind::Https
            | MonitorKind::Tls
            | MonitorKind::Dns
            | MonitorKind::Icmp
            | MonitorKind::Agent => (true, true, true),
        };
        match parameter {
            "warmup" => true,
            "source" => speaks,
            "monitor_ip" => is_aimed,
            parameter => (is_timed && COMMON.contains(&parameter)) || self.parameters().contains(&parameter),
        }
    }

    /// Parameters that not every monitor, or nearly every one, takes.
    fn parameters(self) -> &'static [&'static str] {
        match self {
            MonitorKind::Tcp => &["port"],
            MonitorKind::TcpContent => &["port", "send", "match_re"],
            MonitorKind::Http | MonitorKind::Https => &[
                "port",
                "use_ssl",
                "verify",
                "method",
                "url_path",
                "path",
                "hostname",
                "expected_codes",
                "headers",
                "body",
                "match_re",
                "match_limit",
                "server_name",
                "min_days_left",
                "pinned_sha256",
            ],
            MonitorKind::Tls => &["port", "verify", "server_name", "min_days_left", "pinned_sha256"],
            MonitorKind::Dns => {
                &["port", "query_name", "query_type", "transport", "expected_rcode", "expected_addresses"]
            }
            MonitorKind::Icmp => &[],
            MonitorKind::Agent => &["port", "send"],
            MonitorKind::Exec => &["command"],
            MonitorKind::File => &["path", "missing"],
            MonitorKind::Push => &["ttl", "silence"],
            MonitorKind::Forced => &["status"],
        }
    }
}

/// Parameters of every monitor that finds out by itself; `warmup` is of all.
const COMMON: [&str; 8] =
    ["interval", "timeout", "retries", "rise", "retry_interval", "hold_down", "warmup", "damping"];

pub(super) static PARAMETERS: Section = Section {
    title: "`monitor_params`",
    keys: &[
        key_or("interval", &["frequency"]),
        key("timeout"),
        key("retries"),
        key("rise"),
        key("retry_interval"),
        key("hold_down"),
        key("warmup"),
        key("damping"),
        key("port"),
        key_or("send", &["send_string"]),
        key_or("match_re", &["match"]),
        key("use_ssl"),
        key("verify"),
        key("method"),
        key("url_path"),
        key("path"),
        key("hostname"),
        key("expected_codes"),
        key("status"),
        key("headers"),
        key("body"),
        key_or("match_limit", &["body_limit"]),
        key_or("server_name", &["sni"]),
        key("min_days_left"),
        key("pinned_sha256"),
        key_or("query_name", &["qname"]),
        key_or("query_type", &["qtype"]),
        key("transport"),
        key_or("expected_rcode", &["expected_rcodes"]),
        key_or("expected_addresses", &["expected_address"]),
        key_or("source", &["source_ip"]),
        key("monitor_ip"),
        key("command"),
        key("missing"),
        key("ttl"),
        key("silence"),
    ],
    may_be_empty: true,
};

/// Parameters as read; `None` where absent or refused.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    seen: Option<Seen>,
    interval: Option<Placed<Duration>>,
    timeout: Option<Placed<Duration>>,
    retries: Option<Placed<u32>>,
    rise: Option<Placed<u32>>,
    discipline: ReadDiscipline,
    port: Option<Placed<u16>>,
    send: Option<Placed<String>>,
    match_re: Option<Placed<String>>,
    use_ssl: Option<Placed<bool>>,
    verify: Option<Placed<bool>>,
    method: Option<Placed<String>>,
    url_path: Option<Placed<String>>,
    hostname: Option<Placed<String>>,
    expected_codes: Vec<(u16, u16)>,
    status: Option<Placed<bool>>,
    headers: Vec<(String, String)>,
    body: Option<Placed<String>>,
    match_limit: Option<Placed<u32>>,
    server_name: Option<Placed<String>>,
    min_days_left: Option<Placed<u16>>,
    pins: Vec<[u8; 32]>,
    query_name: Option<Placed<Name>>,
    query_type: Option<Placed<Rtype>>,
    transport: Option<Placed<DnsTransport>>,
    rcodes: Vec<Rcode>,
    addresses: Vec<IpAddr>,
    source: Sources,
    monitor_ip: Option<Placed<IpAddr>>,
    command: Option<Placed<Vec<String>>>,
    /// Of `file`; of `http` another name of its `url_path`.
    path: Option<Placed<String>>,
    missing: Option<Placed<bool>>,
    ttl: Option<Placed<Duration>>,
    silence: Option<Placed<bool>>,
}

/// Reads `monitor`.
pub(super) fn read_kind<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Option<Placed<MonitorKind>>> {
    d.value(field, word(MONITORS, MONITOR_WORDS))
}

/// Reads `monitor_params`; `None` when it is no mapping.
pub(super) fn read_parameters<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Option<Parameters>> {
    let mut p = Parameters::default();
    let seen = d.section(field, &PARAMETERS, |d, name, field| {
        match name {
            "interval" => p.interval = d.value(field, duration(*INTERVAL.start(), *INTERVAL.end()))?,
            "timeout" => p.timeout = d.value(field, duration(MIN_TIMEOUT, *INTERVAL.end()))?,
            "retries" => p.retries = d.value(field, integer(0..=100))?,
            "rise" => p.rise = d.value(field, integer(1..=100))?,
            "retry_interval" | "hold_down" | "warmup" | "damping" => p.discipline.read(d, name, field)?,
            "port" => p.port = d.value(field, integer(1..=65_535))?,
            "send" => p.send = d.value(field, |s| text_octets(&s.text, MAX_SEND_OCTETS))?,
            "match_re" => p.match_re = d.value(field, pattern)?,
            "use_ssl" => p.use_ssl = d.value(field, boolean)?,
            "verify" => p.verify = d.value(field, boolean)?,
            "method" => p.method = d.value(field, method)?,
            "url_path" => p.url_path = d.value(field, |s| url_path(&s.text))?,
            "path" => p.path = d.value(field, |s| Ok(s.text.to_string()))?,
            "hostname" => p.hostname = d.value(field, hostname)?,
            "expected_codes" => p.expected_codes = read_codes(d, field)?,
            "status" => p.status = d.value(field, word(VERDICTS, VERDICT_WORDS))?,
            "missing" => p.missing = d.value(field, word(VERDICTS, VERDICT_WORDS))?,
            "silence" => p.silence = d.value(field, word(VERDICTS, VERDICT_WORDS))?,
            "command" => p.command = Some(local::read_command(d, field)?),
            "ttl" => p.ttl = d.value(field, duration(*TTL.start(), *TTL.end()))?,
            "headers" => p.headers = values::read_headers(d, field)?,
            "body" => p.body = d.value(field, |s| text_octets(&s.text, MAX_SEND_OCTETS))?,
            "match_limit" => p.match_limit = d.value(field, integer(1..=MAX_MATCH_LIMIT.into()))?,
            "server_name" => p.server_name = d.value(field, values::tls_name)?,
            "min_days_left" => p.min_days_left = d.value(field, integer(0..=3650))?,
            "pinned_sha256" => p.pins = values::read_pins(d, field)?,
            "query_name" => p.query_name = d.value(field, |s| parse_any_name(&s.text))?,
            "query_type" => p.query_type = d.value(field, values::query_type)?,
            "transport" => {
                let words = &[("udp", DnsTransport::Udp), ("tcp", DnsTransport::Tcp)];
                p.transport = d.value(field, word(words, "`udp` and `tcp`"))?;
            }
            "expected_rcode" => p.rcodes = values::read_rcodes(d, field)?,
            "expected_addresses" => p.addresses = values::read_addresses(d, field)?,
            "source" => p.source = values::read_sources(d, field)?,
            "monitor_ip" => p.monitor_ip = d.value(field, |s| values::probe_address(&s.text))?,
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    Ok(seen.map(|seen| Parameters { seen: Some(seen), ..p }))
}

impl Parameters {
    /// Checks the parameters against the monitor and fills in defaults; `at` is where a missing one is reported.
    ///
    /// A value that was refused is replaced by something: the configuration is refused as a whole.
    pub(super) fn build(
        self,
        d: &mut Decoder<'_, '_>,
        kind: MonitorKind,
        at: Span,
        around: Surroundings<'_>,
    ) -> Monitor {
        self.refuse_others(d, kind);
        let interval = self.interval.map_or(DEFAULT_INTERVAL, |interval| interval.value);
        let timeout = self.timeout.map_or(DEFAULT_TIMEOUT.min(interval), |timeout| timeout.value);
        // An interval that was refused says nothing about the timeout.
        let interval_known = self.place("interval").is_none() || self.interval.is_some();
        if let Some(Placed { span, .. }) = self.timeout.filter(|_| timeout > interval && interval_known) {
            d.error(span, Cause::TimeoutAboveInterval { timeout, interval });
        }
        let forgiven = match kind {
            // What a file says, or who pushes, is no measurement.
            MonitorKind::File | MonitorKind::Push => 0,
            _ => DEFAULT_RETRIES,
        };
        let retries = self.retries.map_or(forgiven, |retries| retries.value);
        let rise = self.rise.map_or(DEFAULT_RISE, |rise| rise.value);
        let source = self.source;
        let discipline = self.discipline.build(d, interval_known.then_some(interval));
        let probe = match kind {
            MonitorKind::Tcp => Probe::Tcp { port: self.needed_port(d, kind, at) },
            MonitorKind::TcpContent => Probe::TcpContent {
                port: self.needed_port(d, kind, at),
                send: self.send.map_or_else(Vec::new, |send| send.value.into_bytes()),
                match_re: self.match_re.map(|pattern| pattern.value),
            },
            MonitorKind::Http | MonitorKind::Https => Probe::Http(self.build_http(d, kind)),
            MonitorKind::Tls => Probe::Tls {
                port: self.port.as_ref().map_or(443, |port| port.value),
                tls: self.build_tls(None),
            },
            MonitorKind::Dns => Probe::Dns(self.build_dns(d, at)),
            MonitorKind::Icmp => Probe::Icmp,
            MonitorKind::Agent => Probe::Agent {
                port: self.needed_port(d, kind, at),
                send: self.send.map_or_else(Vec::new, |send| send.value.into_bytes()),
            },
            MonitorKind::Exec => self.build_exec(d, at),
            MonitorKind::File => self.build_file(d, at, around),
            MonitorKind::Push => self.build_push(around),
            MonitorKind::Forced => {
                if self.place("status").is_none() {
                    let cause = Cause::MissingKey {
                        key: "status",
                        section: "the parameters of a `forced` monitor",
                        accepted: "`up` and `down`",
                    };
                    d.error(at, cause);
                }
                Probe::Forced { up: self.status.is_some_and(|status| status.value) }
            }
        };
        Monitor { probe, interval, timeout, retries, rise, source, discipline }
    }

    /// The address that is probed in place of each member's.
    pub(super) fn monitor_ip(&self) -> Option<IpAddr> {
        self.monitor_ip.as_ref().map(|ip| ip.value)
    }

    /// Where a parameter stands.
    pub(super) fn place(&self, name: &str) -> Option<Span> {
        self.seen.as_ref()?.place(name)
    }

    /// Reports parameters that the monitor does not take.
    fn refuse_others(&self, d: &mut Decoder<'_, '_>, kind: MonitorKind) {
        for key in PARAMETERS.keys {
            if let Some(span) = self.place(key.name).filter(|_| !kind.takes(key.name)) {
                let takers = takers(key.name);
                d.error(span, Cause::ParameterOfOther { monitor: kind.name(), parameter: key.name, takers });
            }
        }
    }

    fn needed_port(&self, d: &mut Decoder<'_, '_>, kind: MonitorKind, at: Span) -> u16 {
        if self.place("port").is_none() {
            let section = kind.section();
            d.error(at, Cause::MissingKey { key: "port", section, accepted: "1 to 65535" });
        }
        self.port.as_ref().map_or(1, |port| port.value)
    }
}

/// The monitors that take a parameter, for messages.
fn takers(parameter: &str) -> &'static str {
    match parameter {
        "port" => "`tcp`, `tcp_content`, `http`, `https`, `tls`, `dns` and `agent`",
        "send" => "`tcp_content` and `agent`",
        "match_re" => "`tcp_content`, `http` and `https`",
        "verify" | "server_name" | "min_days_left" | "pinned_sha256" => "`http`, `https` and `tls`",
        "query_name" | "query_type" | "transport" | "expected_rcode" | "expected_addresses" => "`dns`",
        "status" => "`forced`",
        "path" => "`file`, `http` and `https`",
        "command" => "`exec`",
        "missing" => "`file`",
        "ttl" | "silence" => "`push`",
        "source" => "every monitor but `exec`, `file`, `push` and `forced`",
        "monitor_ip" => "every monitor but `push` and `forced`",
        parameter if COMMON.contains(&parameter) => "every monitor but `push`",
        _ => "`http` and `https`",
    }
}

/// A pattern that compiles as the probe will compile it.
fn pattern(scalar: &Scalar<'_>) -> Result<String, Cause> {
    match RegexBuilder::new(&scalar.text).case_insensitive(true).size_limit(MAX_REGEX_OCTETS).build() {
        Ok(_) => Ok(scalar.text.to_string()),
        Err(error) => {
            // The library draws the pattern over several lines; its last line says what is wrong.
            let text = error.to_string();
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
            let error = last.trim_start_matches("error: ").chars().take(MAX_REGEX_ERROR_CHARS).collect();
            Err(Cause::NotRegex { text: Found::new(&scalar.text), error })
        }
    }
}

/// A token (RFC 9110 §5.6.2).
fn method(scalar: &Scalar<'_>) -> Result<String, Cause> {
    refuse_characters(&scalar.text, "a method", |c| {
        c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
    })?;
    text_octets(&scalar.text, MAX_METHOD_OCTETS)
}

/// A request target; like polaris-gslb, a missing first `/` is put before it.
fn url_path(text: &str) -> Result<String, Cause> {
    refuse_characters(text, "a path", |c| c > ' ' && !c.is_control())?;
    let path = text_octets(text, MAX_PATH_OCTETS)?;
    Ok(if path.starts_with('/') { path } else { format!("/{path}") })
}

/// The value of a Host field (RFC 9110 §7.2).
fn hostname(scalar: &Scalar<'_>) -> Result<String, Cause> {
    refuse_characters(&scalar.text, "a hostname", |c| c.is_ascii_graphic() && !"/?#@\\".contains(c))?;
    text_octets(&scalar.text, MAX_HOSTNAME_OCTETS)
}

fn refuse_characters(text: &str, what: &'static str, allowed: impl Fn(char) -> bool) -> Result<(), Cause> {
    match text.chars().find(|c| !allowed(*c)) {
        None => Ok(()),
        Some(character) => Err(Cause::Character { what, character }),
    }
}

/// The name that a TLS client sends: a hostname without its port; an address is never sent (RFC 6066 §3).
fn server_name(d: &mut Decoder<'_, '_>, hostname: &Placed<String>) -> Option<String> {
    let text = hostname.value.as_str();
    let inside = text.split_once(']').and_then(|(inside, _)| inside.strip_prefix('['));
    let host = match (inside, text.parse::<IpAddr>()) {
        (Some(inside), _) => inside,
        (None, Ok(_)) => text,
        (None, Err(_)) => text.rsplit_once(':').map_or(text, |(host, _)| host),
    };
    if host.parse::<IpAddr>().is_ok() {
        return None;
    }
    match DnsName::try_from(host) {
        Ok(name) => Some(name.as_ref().trim_end_matches('.').to_owned()),
        Err(_) => {
            d.error(hostname.span, Cause::NotServerName { text: Found::new(host) });
            None
        }
    }
}

/// Reads `expected_codes`: one code or range, or a list of them.
fn read_codes<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Vec<(u16, u16)>> {
    let mut codes = Vec::new();
    let at = field.at;
    let count = d.list(field, "expected_codes", |d, item| {
        codes.extend(d.value(item, code_range)?.map(|range| range.value));
        Ok(())
    })?;
    if count.is_some_and(|count| count > MAX_CODES) {
        d.error(at, Cause::TooMany { what: "items in `expected_codes`", limit: MAX_CODES });
    }
    Ok(codes)
}

/// `200` or `200-299`.
fn code_range(scalar: &Scalar<'_>) -> Result<(u16, u16), Cause> {
    let code = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|code| digits && (100..=599).contains(code))
    };
    let (low, high) = scalar.text.split_once('-').unwrap_or((&scalar.text, &scalar.text));
    match (code(low.trim_end()), code(high.trim_start())) {
        (Some(low), Some(high)) if low <= high => Ok((low, high)),
        _ => Err(Cause::NotStatusCode { text: Found::new(&scalar.text) }),
    }
}

#[cfg(test)]
mod tests;
