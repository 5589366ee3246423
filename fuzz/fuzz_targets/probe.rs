//! Any octets as the reply to a probe. Over a stream: a verdict once reached stays, an end always brings one. Besides:
//! * http: a success has an expected code in the first final status line (as has a failure an unexpected one), at once when
//!   that is whole; with a pattern, the body is the one that a plain reader finds.
//! * dns: a success has the query's identifier and the expected address somewhere.
//! * agent: advice is what a plain reader finds in the line.
//! * icmp: only a datagram with the whole payload counts.
//!
//! The first octet chooses the monitor and what is expected, the others are the reply.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use steerd::health::fuzzing::{Judge, Then, Verdict};
use steerd::health::machine::Outcome;
use steerd::health::reason::Reason;
use steerd::wire::name::Name;

/// What a monitor may expect: the usual, several, an interim code, everything.
const EXPECTED: [&[(u16, u16)]; 4] = [&[(200, 200)], &[(200, 299), (301, 302)], &[(100, 103)], &[(100, 599)]];
/// Octets of a body that are searched.
const MATCH_LIMIT: usize = 64;

fn is_expected(code: u16, expected: &[(u16, u16)]) -> bool {
    expected.iter().any(|(low, high)| (*low..=*high).contains(&code))
}

/// The code of the status line these octets begin with (RFC 9112 §4), read the plain way.
fn first_code(head: &[u8]) -> Option<u16> {
    let line = head.split_inclusive(|octet| *octet == b'\n').next()?.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (version, rest) = line.split_at_checked(9)?;
    let (digits, reason) = rest.split_at_checked(3)?;
    let is_line = matches!(version, b"HTTP/1.0 " | b"HTTP/1.1 ") && (reason.is_empty() || reason[0] == b' ');
    let number = digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits))?;
    if is_line { number.ok()?.parse().ok() } else { None }
}

/// The code that decides: the first that is final or expected. Interim heads before it are passed over.
fn deciding_code(mut head: &[u8], expected: &[(u16, u16)]) -> Option<u16> {
    loop {
        let code = first_code(head)?;
        if is_expected(code, expected) || code == 101 || !(100..200).contains(&code) {
            return Some(code);
        }
        let end = head.windows(4).position(|octets| octets == b"\r\n\r\n")?;
        head = &head[end + 4..];
    }
}

/// The verdict on a stream, whatever its monitor.
fn judge_stream(judge: &Judge, reply: &[u8]) -> Option<Verdict> {
    let reply = &reply[..reply.len().min(judge.receive_limit())];
    let mut reached = None;
    for end in 0..=reply.len() {
        let verdict = judge.judge(&reply[..end], Then::More);
        if reached.is_some() {
            assert_eq!(verdict, reached, "{end} octets, more than the verdict needed");
        }
        reached = verdict;
    }
    for then in [Then::Close, Then::Limit, Then::Timeout] {
        let last = judge.judge(reply, then).expect("nothing can follow");
        if let Some(verdict) = &reached {
            assert_eq!(&last, verdict, "{then:?} changes nothing");
        }
    }
    reached
}

fn http(expected: &[(u16, u16)], reply: &[u8]) {
    let judge = Judge::http(expected, None);
    let reached = judge_stream(&judge, reply);
    if reached.is_none() {
        for then in [Then::Close, Then::Limit, Then::Timeout] {
            assert_eq!(judge.judge(reply, then).expect("an end").0, Outcome::Failure, "{then:?} before a verdict");
        }
    }
    let reply = &reply[..reply.len().min(judge.receive_limit())];
    let decided = deciding_code(reply, expected);
    match reached {
        Some((Outcome::Success, Reason::Status { status }, None)) => {
            assert_eq!(Some(status), decided);
            assert!(is_expected(status, expected));
        }
        Some((Outcome::Failure, Reason::UnexpectedStatus { status, .. }, None)) => {
            assert_eq!(Some(status), decided);
            assert!(!is_expected(status, expected));
        }
        Some((Outcome::Failure, Reason::NotHttp | Reason::HeadTooLong { .. }, None)) => {}
        None => assert_eq!(decided, None, "what is decided is said"),
        Some(other) => panic!("no verdict on a reply: {other:?}"),
    }
}

/// The octets of a chunked body, read the plain way; `None` unless they are whole and of the simplest form.
fn plain_chunks(mut octets: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = octets.windows(2).position(|pair| pair == b"\r\n")?;
        let digits = std::str::from_utf8(&octets[..end]).ok()?;
        let is_plain = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let size = is_plain.then(|| usize::from_str_radix(digits, 16).ok())??;
        octets = &octets[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(octets.get(..size)?);
        octets = octets[size..].strip_prefix(b"\r\n")?;
    }
}

/// The octets are chunks behind a head of ours, or a whole reply.
fn http_body(is_chunks: bool, octets: &[u8]) {
    let head: &[u8] =
        if is_chunks { b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" } else { b"HTTP/1.1 200 OK\r\n" };
    let judge = Judge::http(EXPECTED[0], Some(("^.*needle", MATCH_LIMIT as u32)));
    let reached = judge_stream(&judge, &[head, octets].concat());
    if let Some(mut body) = plain_chunks(octets).filter(|_| is_chunks) {
        body.truncate(MATCH_LIMIT);
        let first_line = body.split(|octet| *octet == b'\n').next().unwrap_or_default();
        let has_needle = std::str::from_utf8(first_line).ok().map(|line| line.to_lowercase().contains("needle"));
        let (outcome, reason, _) = reached.expect("the body is whole");
        assert!(matches!(reason, Reason::Matched { .. } | Reason::NoMatch { .. }), "{reason}");
        // `.` stands for no octet outside UTF-8.
        if let Some(has_needle) = has_needle {
            assert_eq!(outcome == Outcome::Success, has_needle);
        }
    }
}

fn dns(is_stream: bool, octets: &[u8]) {
    const ADDRESS: [u8; 4] = [192, 0, 2, 77];
    let qname = Name::from_text("www.example.com").expect("a name");
    let judge = Judge::dns(qname, 0x1234, &[IpAddr::from(ADDRESS)], is_stream);
    // Behind the question of ours as a reply, so that answers are reached at all; or anything.
    let mut message = judge.request();
    if octets.first().is_some_and(|first| first % 2 == 0) {
        let at = if is_stream { 2 } else { 0 };
        message[at + 2] |= 0x80;
        message[at + 7] = octets.get(1).copied().unwrap_or(0);
        message.extend_from_slice(octets.get(2..).unwrap_or_default());
        if is_stream {
            let length = (message.len() - 2) as u16;
            message[..2].copy_from_slice(&length.to_be_bytes());
        }
    } else {
        message = octets.to_vec();
    }
    let reached = if is_stream { judge_stream(&judge, &message) } else { judge.judge(&message, Then::More) };
    if let Some((Outcome::Success, ..)) = reached {
        assert!(message.windows(2).any(|pair| pair == [0x12, 0x34]));
        assert!(message.windows(4).any(|octets| octets == ADDRESS));
    }
}

fn agent(octets: &[u8]) {
    let reached = judge_stream(&Judge::agent(), octets);
    let line = octets.split(|octet| matches!(octet, b'\n' | b'\r' | 0)).next().unwrap_or_default();
    let said = String::from_utf8_lossy(line.split(|octet| *octet == b'#').next().unwrap_or_default()).to_lowercase();
    let words: Vec<&str> = said.split([' ', '\t', ',']).collect();
    let Some((outcome, reason, advice)) = reached else { return };
    assert!(!reason.to_string().contains(char::is_control), "{reason}");
    if let Some(advice) = advice {
        assert!(!advice.drain || words.contains(&"drain"));
        assert_eq!(advice.weight_permille.is_some(), words.iter().any(|word| {
            word.strip_suffix('%').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        }));
    }
    if !["down", "stopped", "fail", "failed", "maint"].iter().any(|word| words.contains(word)) && advice.is_some() {
        assert_eq!(outcome, Outcome::Success);
    }
}

fn icmp(is_raw: bool, octets: &[u8]) {
    let judge = Judge::icmp(0x0123_4567_89AB_CDEF, is_raw);
    if let Some((outcome, ..)) = judge.judge(octets, Then::More) {
        assert_eq!(outcome, Outcome::Success);
        assert!(octets.windows(16).any(|window| window == &judge.request()[8..]));
    }
}

fuzz_target!(|octets: &[u8]| {
    let Some((choice, reply)) = octets.split_first() else { return };
    match choice % 12 {
        kind @ 0..4 => http(EXPECTED[usize::from(kind)], reply),
        kind @ 4..6 => http_body(kind == 4, reply),
        kind @ 6..8 => dns(kind == 6, reply),
        8 => agent(reply),
        kind @ 9..11 => icmp(kind == 9, reply),
        _ => http(EXPECTED[0], reply),
    }
});
