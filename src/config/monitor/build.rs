//! From parameters to the probes that have several: what they need of each other, and their defaults.

use std::net::IpAddr;

use super::super::cause::Cause;
use super::super::decode::{Decoder, Placed};
use super::super::model::{DnsProbe, DnsTransport, HttpProbe, TlsProbe};
use super::super::report::Span;
use super::cause::ParameterCause;
use super::{MAX_MATCH_LIMIT, MonitorKind, Parameters, server_name};
use crate::wire::message::{Rcode, Rtype};
use crate::wire::name::Name;

impl Parameters {
    pub(super) fn build_http(mut self, d: &mut Decoder<'_, '_>, kind: MonitorKind) -> HttpProbe {
        let https = kind == MonitorKind::Https;
        if let Some(Placed { span, .. }) = self.use_ssl.filter(|use_ssl| https && !use_ssl.value) {
            d.error(span, Cause::TlsContradiction { monitor: kind.name() });
        }
        let uses_tls = https || self.use_ssl.is_some_and(|use_ssl| use_ssl.value);
        if let Some(Placed { span, .. }) = self.verify.filter(|_| !uses_tls) {
            d.error(span, Cause::VerifyWithoutTls);
        }
        for parameter in ["server_name", "min_days_left", "pinned_sha256"] {
            if let Some(span) = self.place(parameter).filter(|_| !uses_tls) {
                let needs = "TLS, which this monitor does not use";
                d.error(span, ParameterCause::Needs { parameter, needs }.into());
            }
        }
        self.check_contents(d);
        let target = self.target(d);
        let named = self.hostname.as_ref().filter(|_| uses_tls && self.server_name.is_none());
        let by_hostname = named.and_then(|hostname| server_name(d, hostname));
        let tls = uses_tls.then(|| self.build_tls(by_hostname));
        let default_port = if uses_tls { 443 } else { 80 };
        let default_method = if self.body.is_some() { "POST" } else { "GET" };
        HttpProbe {
            port: self.port.map_or(default_port, |port| port.value),
            tls,
            method: self.method.map_or_else(|| default_method.to_owned(), |method| method.value),
            path: target.unwrap_or_else(|| "/".to_owned()),
            host: self.hostname.map(|hostname| hostname.value),
            expected_codes: if self.expected_codes.is_empty() {
                vec![(200, 200)]
            } else {
                self.expected_codes
            },
            headers: self.headers,
            body: self.body.map(|body| body.value.into_bytes()),
            match_re: self.match_re.map(|pattern| pattern.value),
            match_limit: self.match_limit.map_or(MAX_MATCH_LIMIT, |limit| limit.value),
        }
    }

    /// Reports what a request cannot carry, or a reply not have.
    fn check_contents(&self, d: &mut Decoder<'_, '_>) {
        let is_method =
            |names: &[&str]| self.method.as_ref().is_some_and(|m| names.contains(&m.value.as_str()));
        let faults = [
            ("body", is_method(&["GET", "HEAD", "TRACE"]), "a method that carries one, such as POST or PUT"),
            ("match_re", is_method(&["HEAD"]), "a reply with a body, which the method HEAD never has"),
            ("match_limit", self.place("match_re").is_none(), "a `match_re`"),
        ];
        for (parameter, is_fault, needs) in faults {
            if let Some(span) = self.place(parameter).filter(|_| is_fault) {
                d.error(span, ParameterCause::Needs { parameter, needs }.into());
            }
        }
    }

    /// The TLS part; the server's name as it is given, else this one.
    pub(super) fn build_tls(&self, by_hostname: Option<String>) -> TlsProbe {
        TlsProbe {
            verify: self.verify.as_ref().is_some_and(|verify| verify.value),
            server_name: self.server_name.as_ref().map(|name| name.value.clone()).or(by_hostname),
            min_days_left: self.min_days_left.as_ref().map(|days| days.value),
            pins: self.pins.clone(),
        }
    }

    pub(super) fn build_dns(self, d: &mut Decoder<'_, '_>, at: Span) -> DnsProbe {
        if self.place("query_name").is_none() {
            let section = MonitorKind::Dns.section();
            d.error(at, Cause::MissingKey { key: "query_name", section, accepted: "domain names" });
        }
        let qtype = self.query_type.as_ref().map_or(Rtype::A, |qtype| qtype.value);
        let has_place = |address: &IpAddr| match qtype {
            Rtype::A => address.is_ipv4(),
            Rtype::AAAA => address.is_ipv6(),
            qtype => qtype == Rtype::ANY,
        };
        if let Some(span) = self.place("expected_addresses").filter(|_| !self.addresses.iter().all(has_place))
        {
            let needs = "a `query_type` that has them: A for IPv4, AAAA for IPv6";
            d.error(span, ParameterCause::Needs { parameter: "expected_addresses", needs }.into());
        }
        DnsProbe {
            port: self.port.map_or(53, |port| port.value),
            qname: self.query_name.map_or(Name::ROOT, |name| name.value),
            qtype,
            transport: self.transport.map_or(DnsTransport::Udp, |transport| transport.value),
            rcodes: if self.rcodes.is_empty() { vec![Rcode::NOERROR] } else { self.rcodes },
            addresses: self.addresses,
        }
    }
}
