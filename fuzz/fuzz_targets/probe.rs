//! Any octets as the reply to an HTTP probe: a verdict once reached stays, an end always brings one, and a success has
//! an expected code in the first final status line (as has a failure an unexpected one), at once when that is whole.
//!
//! The first octet chooses what is expected, the others are the reply.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steerd::health::fuzzing::{HttpJudge, Then};
use steerd::health::machine::Outcome;
use steerd::health::reason::Reason;

/// What a monitor may expect: the usual, several, an interim code, everything.
const EXPECTED: [&[(u16, u16)]; 4] = [&[(200, 200)], &[(200, 299), (301, 302)], &[(100, 103)], &[(100, 599)]];

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

fuzz_target!(|octets: &[u8]| {
    let Some((choice, reply)) = octets.split_first() else { return };
    let expected = EXPECTED[usize::from(*choice) % EXPECTED.len()];
    let judge = HttpJudge::new(expected);

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
        match &reached {
            Some(verdict) => assert_eq!(&last, verdict, "{then:?} changes nothing"),
            None => assert_eq!(last.0, Outcome::Failure, "{then:?} before a verdict"),
        }
    }

    let decided = deciding_code(reply, expected);
    match reached {
        Some((Outcome::Success, Reason::Status { status })) => {
            assert_eq!(Some(status), decided);
            assert!(is_expected(status, expected));
        }
        Some((Outcome::Failure, Reason::UnexpectedStatus { status, .. })) => {
            assert_eq!(Some(status), decided);
            assert!(!is_expected(status, expected));
        }
        Some((Outcome::Failure, Reason::NotHttp)) => {}
        None => assert_eq!(decided, None, "what is decided is said"),
        Some(other) => panic!("no verdict on a reply: {other:?}"),
    }
});
