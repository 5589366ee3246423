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
use super::model::{HttpProbe, Monitor, Probe, TlsProbe};
use super::report::Span;
use super::scalars::{boolean, duration, integer, text_octets, word};

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
/// Memory of a compiled regular expression; a pattern that needs more is refused.
const MAX_REGEX_OCTETS: usize = 1 << 20;
/// The part of a regular expression's error that is shown.
const MAX_REGEX_ERROR_CHARS: usize = 160;

/// What `monitor` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MonitorKind {
    Tcp,
    TcpContent,
    Http,
    Https,
    Forced,
}

const MONITORS: &[(&str, MonitorKind)] = &[
    ("tcp", MonitorKind::Tcp),
    ("tcp_content", MonitorKind::TcpContent),
    ("http", MonitorKind::Http),
    ("https", MonitorKind::Https),
    ("forced", MonitorKind::Forced),
    ("tcp_connect", MonitorKind::Tcp),
    ("http_status", MonitorKind::Http),
    ("https_status", MonitorKind::Https),
];

/// The monitors, for messages.
pub(super) const MONITOR_WORDS: &str = "`tcp`, `tcp_content`, `http`, `https` and `forced`";

impl MonitorKind {
    fn name(self) -> &'static str {
        match self {
            MonitorKind::Tcp => "tcp",
            MonitorKind::TcpContent => "tcp_content",
            MonitorKind::Http => "http",
            MonitorKind::Https => "https",
            MonitorKind::Forced => "forced",
        }
    }

    /// Parameters besides [`COMMON`].
    fn parameters(self) -> &'static [&'static str] {
        match self {
            MonitorKind::Tcp => &["port"],
            MonitorKind::TcpContent => &["port", "send", "match_re"],
            MonitorKind::Http | MonitorKind::Https => {
                &["port", "use_ssl", "verify", "method", "url_path", "hostname", "expected_codes"]
            }
            MonitorKind::Forced => &["status"],
        }
    }
}

/// Parameters of every monitor.
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
        key_or("url_path", &["path"]),
        key("hostname"),
        key("expected_codes"),
        key("status"),
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
            "url_path" => p.url_path = d.value(field, url_path)?,
            "hostname" => p.hostname = d.value(field, hostname)?,
            "expected_codes" => p.expected_codes = read_codes(d, field)?,
            "status" => {
                p.status = d.value(field, word(&[("up", true), ("down", false)], "`up` and `down`"))?
            }
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
    pub(super) fn build(self, d: &mut Decoder<'_, '_>, kind: MonitorKind, at: Span) -> Monitor {
        self.refuse_others(d, kind);
        let interval = self.interval.map_or(DEFAULT_INTERVAL, |interval| interval.value);
        let timeout = self.timeout.map_or(DEFAULT_TIMEOUT.min(interval), |timeout| timeout.value);
        // An interval that was refused says nothing about the timeout.
        let interval_known = self.place("interval").is_none() || self.interval.is_some();
        if let Some(Placed { span, .. }) = self.timeout.filter(|_| timeout > interval && interval_known) {
            d.error(span, Cause::TimeoutAboveInterval { timeout, interval });
        }
        let retries = self.retries.map_or(DEFAULT_RETRIES, |retries| retries.value);
        let rise = self.rise.map_or(DEFAULT_RISE, |rise| rise.value);
        let discipline = self.discipline.build(d, interval_known.then_some(interval));
        let probe = match kind {
            MonitorKind::Tcp => Probe::Tcp { port: self.needed_port(d, kind, at) },
            MonitorKind::TcpContent => Probe::TcpContent {
                port: self.needed_port(d, kind, at),
                send: self.send.map_or_else(Vec::new, |send| send.value.into_bytes()),
                match_re: self.match_re.map(|pattern| pattern.value),
            },
            MonitorKind::Http | MonitorKind::Https => Probe::Http(self.build_http(d, kind)),
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
        Monitor { probe, interval, timeout, retries, rise, discipline }
    }

    fn place(&self, name: &str) -> Option<Span> {
        self.seen.as_ref()?.place(name)
    }

    /// Reports parameters that the monitor does not take.
    fn refuse_others(&self, d: &mut Decoder<'_, '_>, kind: MonitorKind) {
        for key in PARAMETERS.keys {
            let taken = COMMON.contains(&key.name) || kind.parameters().contains(&key.name);
            if let Some(span) = self.place(key.name).filter(|_| !taken) {
                let takers = takers(key.name);
                d.error(span, Cause::ParameterOfOther { monitor: kind.name(), parameter: key.name, takers });
            }
        }
    }

    fn needed_port(&self, d: &mut Decoder<'_, '_>, kind: MonitorKind, at: Span) -> u16 {
        if self.place("port").is_none() {
            let section = match kind {
                MonitorKind::TcpContent => "the parameters of a `tcp_content` monitor",
                _ => "the parameters of a `tcp` monitor",
            };
            d.error(at, Cause::MissingKey { key: "port", section, accepted: "1 to 65535" });
        }
        self.port.map_or(1, |port| port.value)
    }

    fn build_http(self, d: &mut Decoder<'_, '_>, kind: MonitorKind) -> HttpProbe {
        let https = kind == MonitorKind::Https;
        if let Some(Placed { span, .. }) = self.use_ssl.filter(|use_ssl| https && !use_ssl.value) {
            d.error(span, Cause::TlsContradiction { monitor: kind.name() });
        }
        let uses_tls = https || self.use_ssl.is_some_and(|use_ssl| use_ssl.value);
        if let Some(Placed { span, .. }) = self.verify.filter(|_| !uses_tls) {
            d.error(span, Cause::VerifyWithoutTls);
        }
        let tls = uses_tls.then(|| TlsProbe {
            verify: self.verify.is_some_and(|verify| verify.value),
            server_name: self.hostname.as_ref().and_then(|hostname| server_name(d, hostname)),
        });
        let default_port = if uses_tls { 443 } else { 80 };
        HttpProbe {
            port: self.port.map_or(default_port, |port| port.value),
            tls,
            method: self.method.map_or_else(|| "GET".to_owned(), |method| method.value),
            path: self.url_path.map_or_else(|| "/".to_owned(), |path| path.value),
            host: self.hostname.map(|hostname| hostname.value),
            expected_codes: if self.expected_codes.is_empty() {
                vec![(200, 200)]
            } else {
                self.expected_codes
            },
        }
    }
}

/// The monitors that take a parameter, for messages.
fn takers(parameter: &str) -> &'static str {
    match parameter {
        "port" => "`tcp`, `tcp_content`, `http` and `https`",
        "send" | "match_re" => "`tcp_content`",
        "status" => "`forced`",
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
fn url_path(scalar: &Scalar<'_>) -> Result<String, Cause> {
    refuse_characters(&scalar.text, "a path", |c| c > ' ' && !c.is_control())?;
    let path = text_octets(&scalar.text, MAX_PATH_OCTETS)?;
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
mod tests {
    use super::super::tests::{errors, loaded};
    use super::*;

    /// A configuration whose one pool has the monitor of these lines.
    fn with(monitor: &str, parameters: &str) -> String {
        format!(
            "globalnames: {{a.example: p}}\npools:\n  p:\n    lb_method: wrr\n    members: {{127.0.0.1: }}\n    \
             monitor: {monitor}\n    monitor_params: {parameters}\n"
        )
    }

    fn monitor(kind: &str, parameters: &str) -> Monitor {
        (*loaded(&with(kind, parameters)).pools[0].monitor).clone()
    }

    #[test]
    fn every_monitor_has_its_defaults() {
        let tcp = monitor("tcp_connect", "{port: 25}");
        assert_eq!(tcp.probe, Probe::Tcp { port: 25 });
        assert_eq!(
            (tcp.interval, tcp.timeout, tcp.retries, tcp.rise),
            (DEFAULT_INTERVAL, DEFAULT_TIMEOUT, 2, 1)
        );
        let http = HttpProbe {
            port: 80,
            tls: None,
            method: "GET".into(),
            path: "/".into(),
            host: None,
            expected_codes: vec![(200, 200)],
        };
        assert_eq!(monitor("http", "").probe, Probe::Http(http.clone()));
        let tls = Some(TlsProbe { verify: false, server_name: None });
        assert_eq!(
            monitor("https_status", "{}").probe,
            Probe::Http(HttpProbe { port: 443, tls: tls.clone(), ..http.clone() })
        );
        assert_eq!(monitor("http", "{use_ssl: on}").probe, Probe::Http(HttpProbe { port: 443, tls, ..http }));
        assert_eq!(monitor("forced", "{status: down}").probe, Probe::Forced { up: false });
    }

    #[test]
    fn every_parameter_is_read() {
        let content = monitor(
            "tcp_content",
            r#"{port: 25, send_string: "EHLO x\r\n", match: '^250', frequency: 2, timeout: 500ms, retries: 0, rise: 3}"#,
        );
        let probe =
            Probe::TcpContent { port: 25, send: b"EHLO x\r\n".to_vec(), match_re: Some("^250".into()) };
        assert_eq!(content.probe, probe);
        assert_eq!((content.interval, content.timeout), (Duration::from_secs(2), Duration::from_millis(500)));
        assert_eq!((content.retries, content.rise), (0, 3));
        let https = monitor(
            "https",
            "{hostname: 'www.example.com:8443', path: health?a=1, method: HEAD, verify: true, expected_codes: [204, 300-399]}",
        );
        let Probe::Http(http) = https.probe else { panic!("no http") };
        assert_eq!(
            (http.host.as_deref(), http.path.as_str(), http.method.as_str()),
            (Some("www.example.com:8443"), "/health?a=1", "HEAD")
        );
        assert_eq!(http.tls, Some(TlsProbe { verify: true, server_name: Some("www.example.com".into()) }));
        assert_eq!(http.expected_codes, [(204, 204), (300, 399)]);
    }

    #[test]
    fn an_address_is_never_sent_as_server_name() {
        for host in ["192.0.2.1", "'192.0.2.1:8443'", "'[2001:db8::1]:8443'", "'2001:db8::1'"] {
            let Probe::Http(http) = monitor("https", &format!("{{hostname: {host}}}")).probe else {
                panic!("no http")
            };
            assert_eq!(http.tls, Some(TlsProbe { verify: false, server_name: None }), "{host}");
        }
    }

    #[test]
    fn a_short_interval_shortens_the_default_timeout() {
        assert_eq!(monitor("tcp", "{port: 1, interval: 2}").timeout, Duration::from_secs(2));
    }

    #[test]
    fn each_bad_parameter_is_an_error_at_its_place() {
        for (kind, parameters, expected) in [
            (
                "tcp",
                "{}",
                "3:3: `port` is missing in the parameters of a `tcp` monitor (accepted are 1 to 65535)",
            ),
            (
                "forced",
                "{}",
                "3:3: `status` is missing in the parameters of a `forced` monitor (accepted are `up` and `down`)",
            ),
            (
                "tcp",
                "{port: 1, interval: 5, timeout: 6}",
                "7:53: the timeout (6 s) is longer than the interval (5 s): probes would overlap (accepted are 10 ms to 5 s)",
            ),
            ("tcp", "{port: 0}", "7:28: `0` is out of range (accepted are 1 to 65535)"),
            (
                "tcp",
                "{port: 1, hostname: a}",
                "7:31: the monitor `tcp` takes no `hostname` (it is a parameter of `http` and `https`)",
            ),
            (
                "http",
                "{intervall: 1}",
                "7:22: unknown key `intervall` in `monitor_params` (did you mean `interval`?)",
            ),
            (
                "http",
                "{interval: 1, frequency: 1}",
                "7:35: `frequency` and `interval` are the same key (first given on line 7)",
            ),
            (
                "http",
                "{interval: 50ms}",
                "7:32: the duration `50ms` is out of range (accepted are 100 ms to 3600 s)",
            ),
            (
                "http",
                "{verify: true}",
                "7:30: `verify` needs TLS, which this monitor does not use (use the monitor `https`, or set `use_ssl: true`)",
            ),
            (
                "https",
                "{use_ssl: no}",
                "7:31: the monitor `https` always uses TLS, but `use_ssl` is false (use the monitor `http`)",
            ),
            ("http", r#"{path: "/a b"}"#, "7:28: a path must not contain the character ' '"),
            ("http", r#"{hostname: "a\r\nb"}"#, "7:32: a hostname must not contain the character '\\r'"),
            ("http", "{method: 'GE T'}", "7:30: a method must not contain the character ' '"),
            (
                "https",
                "{hostname: -a-}",
                "7:32: `-a-` cannot be the server name of a TLS connection (accepted is a domain name, without underscores at its ends)",
            ),
            (
                "http",
                "{expected_codes: [99]}",
                "7:39: `99` is neither a status code nor a range of them (accepted are `200` and `200-299`, each code 100 to 599)",
            ),
            (
                "http",
                "{expected_codes: [299-200]}",
                "7:39: `299-200` is neither a status code nor a range of them (accepted are `200` and `200-299`, each code 100 to 599)",
            ),
            (
                "http",
                "{expected_codes: [200,201,202,203,204,205,206,207,208]}",
                "7:22: more than 8 items in `expected_codes`",
            ),
            (
                "tcp_content",
                "{port: 1, match_re: '(a'}",
                "7:41: the regular expression `(a` does not compile: unclosed group",
            ),
            (
                "icmp",
                "{}",
                "6:14: `icmp` is not accepted here (accepted are `tcp`, `tcp_content`, `http`, `https` and `forced`)",
            ),
        ] {
            assert_eq!(errors(&with(kind, parameters)), [expected], "{kind} {parameters}");
        }
    }
}
