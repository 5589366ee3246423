//! `http` and `https`: one HTTP/1.1 request, and the status line of the reply.
//!
//! Success or failure is known as soon as the status line of the final reply is whole; fields and body are not waited
//! for. Interim replies (RFC 9110 §15.2) are skipped unless their status is an expected one. Redirects are not
//! followed: a 3xx is a status like any other. At most `HEAD_MAX_OCTETS` are looked at.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use super::tls::Tls;
use super::{Conclusion, Ending};
use crate::config::model::HttpProbe;
use crate::health::reason::Reason;

/// Most octets of a reply that are looked at: room for a few interim heads before the final status line.
pub(super) const HEAD_MAX_OCTETS: usize = 16 * 1024;

/// Fields after Host, the same for every probe.
const FIELDS: &str = concat!(
    "\r\nUser-Agent: steerd/",
    env!("CARGO_PKG_VERSION"),
    "\r\nAccept: */*\r\nConnection: close\r\n\r\n"
);

/// The conversation of `http` and `https`.
pub(super) struct Http {
    pub(super) port: u16,
    pub(super) tls: Option<Tls>,
    /// The request up to the Host field's value.
    start: Box<[u8]>,
    /// Value of the Host field; `None`: the address.
    host: Option<Box<[u8]>>,
    expected: Arc<[(u16, u16)]>,
}

impl Http {
    pub(super) fn new(probe: &HttpProbe) -> Http {
        let start = format!("{} {} HTTP/1.1\r\nHost: ", probe.method, probe.path);
        Http {
            port: probe.port,
            tls: probe.tls.as_ref().map(Tls::new),
            start: start.into_bytes().into(),
            host: probe.host.as_ref().map(|host| host.as_bytes().into()),
            expected: probe.expected_codes.as_slice().into(),
        }
    }

    pub(super) fn write_request(&self, address: IpAddr, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.start);
        match (&self.host, address) {
            (Some(host), _) => into.extend_from_slice(host),
            // Writing to a Vec cannot fail. An IPv6 address stands in brackets (RFC 3986 §3.2.2).
            (None, IpAddr::V4(address)) => drop(write!(into, "{address}")),
            (None, IpAddr::V6(address)) => drop(write!(into, "[{address}]")),
        }
        into.extend_from_slice(FIELDS.as_bytes());
    }

    pub(super) fn judge(&self, received: &[u8], ending: Ending) -> Option<Conclusion> {
        let mut head = received;
        loop {
            match status_line(head) {
                StatusLine::Whole(status) if self.is_expected(status) => {
                    return Some(Conclusion::success(Reason::Status { status }));
                }
                // 101 ends the use of HTTP on this connection (RFC 9110 §15.2.2), so it is final.
                StatusLine::Whole(status) if (100..200).contains(&status) && status != 101 => {
                    match memchr::memmem::find(head, b"\r\n\r\n") {
                        Some(end) => head = &head[end + 4..],
                        None => break,
                    }
                }
                StatusLine::Whole(status) => {
                    let expected = self.expected.clone();
                    return Some(Conclusion::failure(Reason::UnexpectedStatus { status, expected }));
                }
                StatusLine::Partial => break,
                StatusLine::Garbage => return Some(Conclusion::failure(Reason::NotHttp)),
            }
        }
        match ending {
            Ending::Open | Ending::TimedOut => None,
            Ending::Closed => Some(Conclusion::failure(Reason::NoStatusLine)),
            Ending::Full => Some(Conclusion::failure(Reason::HeadTooLong { limit_octets: HEAD_MAX_OCTETS })),
        }
    }

    fn is_expected(&self, status: u16) -> bool {
        self.expected.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}

/// What a reply begins with.
enum StatusLine {
    /// `HTTP/1.0` or `HTTP/1.1` and this code, with or without a reason phrase.
    Whole(u16),
    /// What may become one.
    Partial,
    /// What never will.
    Garbage,
}

/// Reads the status line (RFC 9112 §4), and not one octet further.
fn status_line(head: &[u8]) -> StatusLine {
    // Said at once, not at the end of the line: a TLS alert, say, has no line end.
    const PREFIX: &[u8] = b"HTTP/1.";
    let compared = head.len().min(PREFIX.len());
    if head[..compared] != PREFIX[..compared] {
        return StatusLine::Garbage;
    }
    let Some(end) = memchr::memchr(b'\n', head) else { return StatusLine::Partial };
    let mut reply = httparse::Response::new(&mut []);
    match reply.parse(&head[..=end]) {
        Ok(_) => reply.code.map_or(StatusLine::Garbage, StatusLine::Whole),
        Err(_) => StatusLine::Garbage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::machine::Outcome;
    use proptest::prelude::*;

    fn http(expected: &[(u16, u16)], host: Option<&str>) -> Http {
        Http::new(&HttpProbe {
            port: 81,
            tls: None,
            method: "GET".into(),
            path: "/healthz?a=b%20c".into(),
            host: host.map(str::to_string),
            expected_codes: expected.to_vec(),
        })
    }

    fn text(received: &[u8], ending: Ending) -> String {
        match http(&[(200, 200), (301, 302)], None).judge(received, ending) {
            Some(conclusion) => conclusion.reason.to_string(),
            None => "waits".into(),
        }
    }

    #[test]
    fn request_is_exact_and_host_never_has_a_port() {
        for (host, address, value) in [
            (None, "192.0.2.1", "192.0.2.1"),
            (None, "2001:db8::1", "[2001:db8::1]"),
            (Some("www.example.com"), "192.0.2.1", "www.example.com"),
        ] {
            let mut request = Vec::new();
            http(&[(200, 200)], host).write_request(address.parse().unwrap(), &mut request);
            let expected = format!(
                "GET /healthz?a=b%20c HTTP/1.1\r\nHost: {value}\r\nUser-Agent: steerd/{}\r\nAccept: */*\r\n\
                 Connection: close\r\n\r\n",
                env!("CARGO_PKG_VERSION")
            );
            assert_eq!(String::from_utf8(request).unwrap(), expected);
        }
    }

    #[test]
    fn status_line_alone_decides_with_or_without_a_reason_phrase() {
        assert_eq!(text(b"HTTP/1.1 200 OK\r\n", Ending::Open), "status 200");
        assert_eq!(text(b"HTTP/1.1 200\r\n", Ending::Open), "status 200");
        assert_eq!(text(b"HTTP/1.1 200 \r\n", Ending::Open), "status 200");
        assert_eq!(text(b"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n", Ending::Open), "status 302");
        assert_eq!(text(b"HTTP/1.1 503 Busy\r\n", Ending::Open), "status 503, expected 200, 301-302");
        assert_eq!(text(b"HTTP/1.1 200 OK\r\nbro\x00ken field", Ending::Open), "status 200");
    }

    #[test]
    fn interim_replies_are_skipped_unless_expected() {
        let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
        let mut reply = interim.to_vec();
        assert_eq!(text(&reply, Ending::Open), "waits");
        reply.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        assert_eq!(text(&reply, Ending::Open), "status 200");
        let expects_103 = http(&[(103, 103)], None).judge(interim, Ending::Open).unwrap();
        assert_eq!(expects_103.outcome, Outcome::Success);
        let switched = text(b"HTTP/1.1 101 Switching Protocols\r\n", Ending::Open);
        assert_eq!(switched, "status 101, expected 200, 301-302");
    }

    #[test]
    fn what_is_not_http_is_said_at_once() {
        assert_eq!(text(b"\x15\x03\x01\x00\x02\x02\x0a", Ending::Open), "reply is not HTTP/1");
        assert_eq!(text(b"SSH-2.0-", Ending::Open), "reply is not HTTP/1");
        assert_eq!(text(b"HTTP/2 200\r\n", Ending::Open), "reply is not HTTP/1");
        assert_eq!(text(b"HTTP/1.1 2x0 OK\r\n", Ending::Open), "reply is not HTTP/1");
        assert_eq!(text(b"HTT", Ending::Open), "waits");
    }

    #[test]
    fn end_before_the_status_line_is_a_failure() {
        assert_eq!(text(b"", Ending::Closed), "connection closed before a status line");
        assert_eq!(text(b"HTTP/1.1 200", Ending::Closed), "connection closed before a status line");
        assert_eq!(text(b"HTTP/1.1 200", Ending::TimedOut), "waits");
        assert_eq!(text(b"HTTP/1.1 200", Ending::Full), "no final status line in 16384 octets");
    }

    proptest! {
        #[test]
        fn no_reply_makes_it_panic_and_more_octets_never_undo_a_verdict(
            reply in prop::collection::vec(any::<u8>(), 0..200),
            start in prop::sample::select(vec![&b""[..], b"HTTP/1.1 200", b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1."]),
        ) {
            let http = http(&[(200, 299)], None);
            let mut whole = start.to_vec();
            whole.extend(reply);
            let verdicts: Vec<_> = (0..=whole.len()).filter_map(|end| http.judge(&whole[..end], Ending::Open)).collect();
            prop_assert!(verdicts.windows(2).all(|pair| pair[0] == pair[1]));
            prop_assert!(http.judge(&whole, Ending::Closed).is_some());
        }
    }
}
