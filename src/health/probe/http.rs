//! `http` and `https`: one HTTP/1.1 request, the status line of the reply, and its body where a pattern asks for it.
//!
//! Without a pattern, success or failure is known as soon as the status line of the final reply is whole; fields and body
//! are not waited for. With one, so is failure by the status, and the pattern is searched once the body is whole or as long
//! as it is looked at; the connection is not waited for, the probe ends it. Interim replies (RFC 9110 §15.2) are skipped unless their status is an expected one. Redirects are not
//! followed: a 3xx is a status like any other. At most `HEAD_MAX_OCTETS` of heads are looked at, and of a body the monitor's
//! limit.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use super::body::{self, Body, Head};
use super::pattern::Pattern;
use super::tls::Tls;
use super::{Conclusion, Ending};
use crate::config::model::HttpProbe;
use crate::health::reason::Reason;

/// Most octets of a reply that are looked at: room for a few interim heads before the final status line.
pub(super) const HEAD_MAX_OCTETS: usize = 16 * 1024;

/// Octets around the chunks of a body that are read in so far as they do not outgrow the body and this.
const FRAMES_MAX_OCTETS: usize = 4096;
/// Fields after Host that a monitor may replace by its own.
const FIELDS: [(&str, &str); 2] =
    [("User-Agent", concat!("steerd/", env!("CARGO_PKG_VERSION"))), ("Accept", "*/*")];
/// Methods whose request says how long its body is even without one (RFC 9110 §8.6).
const METHODS_WITH_BODY: [&str; 3] = ["POST", "PUT", "PATCH"];

/// The conversation of `http` and `https`.
pub(super) struct Http {
    pub(super) port: u16,
    pub(super) tls: Option<Tls>,
    /// The request up to the Host field's value.
    start: Box<[u8]>,
    /// Value of the Host field; `None`: the address.
    host: Option<Box<[u8]>>,
    /// The request behind that.
    rest: Box<[u8]>,
    expected: Arc<[(u16, u16)]>,
    pattern: Option<Pattern>,
    /// Octets of the body that are searched.
    match_limit: usize,
}

/// What a request has behind the Host field's value.
fn rest(probe: &HttpProbe) -> Vec<u8> {
    let is_replaced = |name: &str| probe.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let usual = FIELDS.iter().copied().filter(|(name, _)| !is_replaced(name));
    let own = probe.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let body = probe.body.as_deref().unwrap_or_default();
    let length = body.len().to_string();
    let has_length = probe.body.is_some() || METHODS_WITH_BODY.contains(&probe.method.as_str());
    let framing = has_length.then_some(("Content-Length", length.as_str()));
    let mut octets = Vec::new();
    for (name, value) in usual.chain(own).chain(framing).chain([("Connection", "close")]) {
        octets.extend(["\r\n", name, ": ", value].concat().into_bytes());
    }
    octets.extend_from_slice(b"\r\n\r\n");
    octets.extend_from_slice(body);
    octets
}

impl Http {
    pub(super) fn new(probe: &HttpProbe) -> Http {
        let start = format!("{} {} HTTP/1.1\r\nHost: ", probe.method, probe.path);
        Http {
            port: probe.port,
            tls: probe.tls.as_ref().map(Tls::new),
            start: start.into_bytes().into(),
            host: probe.host.as_ref().map(|host| host.as_bytes().into()),
            rest: rest(probe).into(),
            expected: probe.expected_codes.as_slice().into(),
            pattern: probe.match_re.as_deref().map(Pattern::new),
            match_limit: probe.match_limit as usize,
        }
    }

    /// Whether the pattern is unusable.
    pub(super) fn is_broken(&self) -> bool {
        self.pattern.as_ref().is_some_and(Pattern::is_broken)
    }

    /// Most octets of a reply that are looked at.
    pub(super) fn receive_limit(&self) -> usize {
        match self.pattern {
            Some(_) => HEAD_MAX_OCTETS + 2 * self.match_limit + FRAMES_MAX_OCTETS,
            None => HEAD_MAX_OCTETS,
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
        into.extend_from_slice(&self.rest);
    }

    pub(super) fn judge(&self, received: &[u8], ending: Ending) -> Option<Conclusion> {
        // What stands behind the limit of heads is no head, however it was cut on its way.
        let is_full = received.len() >= HEAD_MAX_OCTETS;
        let mut head = &received[..received.len().min(HEAD_MAX_OCTETS)];
        let heads_octets = head.len();
        loop {
            match status_line(head) {
                StatusLine::Whole(status) if self.is_expected(status) => {
                    let Some(pattern) = &self.pattern else {
                        return Some(Conclusion::success(Reason::Status { status }));
                    };
                    let reply_at = heads_octets - head.len();
                    return match body::read_head(head, status) {
                        Ok(Head::Whole { octets, framing }) => {
                            let octets = &received[reply_at + octets..];
                            self.judge_body(pattern, framing.read(octets, self.match_limit), ending)
                        }
                        Ok(Head::Partial) if is_full => Some(Conclusion::failure(Reason::HttpFields)),
                        Ok(Head::Partial) if ending == Ending::Closed => {
                            Some(Conclusion::failure(Reason::HttpFieldsCut))
                        }
                        Ok(Head::Partial) => None,
                        Err(reason) => Some(Conclusion::failure(reason)),
                    };
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
            _ if is_full => Some(Conclusion::failure(Reason::HeadTooLong { limit_octets: HEAD_MAX_OCTETS })),
            Ending::Open | Ending::TimedOut => None,
            Ending::Closed => Some(Conclusion::failure(Reason::NoStatusLine)),
            Ending::Full => Some(Conclusion::failure(Reason::HeadTooLong { limit_octets: HEAD_MAX_OCTETS })),
        }
    }

    fn judge_body(
        &self,
        pattern: &Pattern,
        body: Result<Body<'_>, Reason>,
        ending: Ending,
    ) -> Option<Conclusion> {
        let searched = match (body, ending) {
            (Ok(Body::Whole(body)), _) => pattern.is_match(&body),
            (Ok(Body::UntilClose(body)), Ending::Closed) => pattern.is_match(body),
            (Ok(Body::Partial | Body::UntilClose(_)), Ending::Open | Ending::TimedOut) => return None,
            (Ok(Body::Partial), Ending::Closed) => return Some(Conclusion::failure(Reason::HttpBodyCut)),
            (Ok(Body::Partial | Body::UntilClose(_)), Ending::Full) => {
                let limit_octets = self.receive_limit();
                return Some(Conclusion::failure(Reason::HttpBodyFrames { limit_octets }));
            }
            (Err(reason), _) => return Some(Conclusion::failure(reason)),
        };
        let pattern = pattern.text.clone();
        Some(match searched {
            true => Conclusion::success(Reason::Matched { pattern }),
            false => Conclusion::failure(Reason::NoMatch { pattern }),
        })
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

    fn probe(expected: &[(u16, u16)]) -> HttpProbe {
        HttpProbe {
            port: 81,
            tls: None,
            method: "GET".into(),
            path: "/healthz?a=b%20c".into(),
            host: None,
            expected_codes: expected.to_vec(),
            headers: Vec::new(),
            body: None,
            match_re: None,
            match_limit: 64,
        }
    }

    fn http(expected: &[(u16, u16)], host: Option<&str>) -> Http {
        Http::new(&HttpProbe { host: host.map(str::to_string), ..probe(expected) })
    }

    fn matching(match_re: &str) -> Http {
        Http::new(&HttpProbe { match_re: Some(match_re.into()), ..probe(&[(200, 204)]) })
    }

    fn said(http: &Http, received: &[u8], ending: Ending) -> String {
        http.judge(received, ending)
            .map_or_else(|| "waits".into(), |conclusion| conclusion.reason.to_string())
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
    fn own_fields_and_body_go_along_and_replace_the_usual_ones() {
        let mut request = Vec::new();
        let own = |name: &str, value: &str| (name.to_string(), value.to_string());
        let post = HttpProbe {
            method: "POST".into(),
            headers: vec![own("accept", "text/plain"), own("X-Probe", "1")],
            body: Some(b"a=b".to_vec()),
            ..probe(&[(200, 200)])
        };
        Http::new(&post).write_request("192.0.2.1".parse().unwrap(), &mut request);
        let expected = format!(
            "POST /healthz?a=b%20c HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: steerd/{}\r\naccept: text/plain\r\n\
             X-Probe: 1\r\nContent-Length: 3\r\nConnection: close\r\n\r\na=b",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(String::from_utf8(request).unwrap(), expected);
        let mut empty = Vec::new();
        let put = HttpProbe { method: "PUT".into(), ..probe(&[(200, 200)]) };
        Http::new(&put).write_request("192.0.2.1".parse().unwrap(), &mut empty);
        assert!(String::from_utf8(empty).unwrap().contains("\r\nContent-Length: 0\r\n"));
    }

    #[test]
    fn pattern_is_searched_in_the_whole_body_at_every_split() {
        let http = matching("^all (is )?well$");
        for (reply, verdict, whole_at) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nAll wellxyz"[..], "reply matches `^all (is )?well$`", 46),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall wells..", "reply does not match `^all (is )?well$`", 47),
            (
                b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nall \r\n7\r\nis well\r\n0\r\n\r\n",
                "reply matches `^all (is )?well$`",
                89,
            ),
            (b"HTTP/1.1 204 None\r\n\r\n", "reply does not match `^all (is )?well$`", 21),
            (b"HTTP/1.1 500 All well\r\n\r\nall well", "status 500, expected 200-204", 23),
        ] {
            for end in 0..=reply.len() {
                let expected = if end < whole_at { "waits" } else { verdict };
                assert_eq!(said(&http, &reply[..end], Ending::Open), expected, "{end} of {:?}", String::from_utf8_lossy(reply));
            }
        }
    }

    #[test]
    fn body_without_a_length_ends_with_the_connection_or_at_the_limit() {
        let http = matching("well");
        let reply = b"HTTP/1.0 200 OK\r\n\r\nall well";
        assert_eq!(said(&http, reply, Ending::Open), "waits");
        assert_eq!(said(&http, reply, Ending::TimedOut), "waits");
        assert_eq!(said(&http, reply, Ending::Closed), "reply matches `well`");
        let long = [&b"HTTP/1.0 200 OK\r\n\r\n"[..], &[b'x'; 64], b"well"].concat();
        assert_eq!(said(&http, &long, Ending::Open), "reply does not match `well`");
    }

    #[test]
    fn body_that_cannot_be_read_says_why() {
        let http = matching("well");
        for (reply, ending, text) in [
            (
                &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwell"[..],
                Ending::Closed,
                "connection closed within the body",
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Le", Ending::Closed, "connection closed within the header fields"),
            (
                b"HTTP/1.1 200 OK\r\nbro\x00ken: y\r\n\r\n",
                Ending::Open,
                "header fields of the reply are malformed or too long",
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                Ending::Open,
                "body is coded as `gzip`, which is not read",
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
                Ending::Open,
                "chunks of the body are malformed",
            ),
        ] {
            assert_eq!(said(&http, reply, ending), text);
        }
        let mut tiny = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        tiny.extend(b"1;".iter().chain(std::iter::repeat(&b'x')).take(http.receive_limit() - tiny.len()));
        let text = format!("chunks of the body are too small: no end in {} octets", http.receive_limit());
        assert_eq!(said(&http, &tiny, Ending::Full), text);
        let mut endless = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
        endless.resize(HEAD_MAX_OCTETS, b'x');
        assert_eq!(said(&http, &endless[..HEAD_MAX_OCTETS - 1], Ending::Open), "waits");
        assert_eq!(
            said(&http, &endless, Ending::Open),
            "header fields of the reply are malformed or too long"
        );
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
        let blanks = [&b"HTTP/1.1 200 "[..], &[b' '; HEAD_MAX_OCTETS]].concat();
        assert_eq!(text(&blanks, Ending::Open), "no final status line in 16384 octets");
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
