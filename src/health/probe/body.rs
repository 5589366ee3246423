//! The body of an HTTP/1 reply (RFC 9112 §6 and §7): where it ends, and its first octets without chunks.
//!
//! The verdict of a pattern falls once the body is whole or as long as it is looked at, and not before, so it never
//! depends on how the network cut the reply. Until then a look costs a walk over the chunks, and no copy.

use std::borrow::Cow;

use crate::health::reason::{Reason, peer_text};

/// Most header fields of a reply.
const FIELDS_MAX: usize = 100;

/// How far a body is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body<'r> {
    /// More is needed.
    Partial,
    /// All of it, or as much as is looked at.
    Whole(Cow<'r, [u8]>),
    /// It goes to the end of the connection; so far it is this.
    UntilClose(&'r [u8]),
}

/// How a body ends.
enum Framing {
    Empty,
    Length(usize),
    Chunked,
    UntilClose,
}

/// The end of a head.
pub(super) enum Head {
    /// Not there yet.
    Partial,
    /// The head has this many octets, and a body with this end follows.
    Whole { octets: usize, framing: BodyFraming },
}

/// How the body behind a head ends.
pub(super) struct BodyFraming(Framing);

/// Reads a reply's head, whose status line is whole and has this code.
///
/// # Errors
/// The reason why its body cannot be read.
pub(super) fn read_head(head: &[u8], status: u16) -> Result<Head, Reason> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut reply = httparse::Response::new(&mut fields);
    let octets = match reply.parse(head) {
        Ok(httparse::Status::Complete(octets)) => octets,
        Ok(httparse::Status::Partial) => return Ok(Head::Partial),
        Err(_) => return Err(Reason::HttpFields),
    };
    // These have none, whatever their fields say (RFC 9112 §6.3).
    let framing = match status {
        100..200 | 204 | 304 => Framing::Empty,
        _ => framing(reply.headers)?,
    };
    Ok(Head::Whole { octets, framing: BodyFraming(framing) })
}

/// RFC 9112 §6.3: the transfer coding before the length, and neither means the connection's end.
fn framing(fields: &[httparse::Header<'_>]) -> Result<Framing, Reason> {
    let named = |name: &'static str| fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    let mut codings = named("transfer-encoding").map(|field| field.value.trim_ascii());
    if let Some(coding) = codings.next() {
        let is_chunked = coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        let unread = || Reason::HttpBodyCoding { coding: peer_text(coding) };
        return if is_chunked { Ok(Framing::Chunked) } else { Err(unread()) };
    }
    let mut lengths = named("content-length").map(|field| field.value.trim_ascii());
    let Some(length) = lengths.next() else { return Ok(Framing::UntilClose) };
    let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    if !is_number || lengths.any(|other| other != length) {
        return Err(Reason::HttpFields);
    }
    // More than fits is more than is ever looked at.
    let number =
        length.iter().fold(0usize, |n, digit| n.saturating_mul(10).saturating_add((digit - b'0').into()));
    Ok(Framing::Length(number))
}

impl BodyFraming {
    /// The first `limit` octets of the body that begins with `octets`.
    ///
    /// # Errors
    /// The reason why it cannot be read.
    pub(super) fn read<'r>(&self, octets: &'r [u8], limit: usize) -> Result<Body<'r>, Reason> {
        let needed = match self.0 {
            Framing::Empty => 0,
            Framing::Length(length) => length.min(limit),
            Framing::UntilClose if octets.len() < limit => return Ok(Body::UntilClose(octets)),
            Framing::UntilClose => limit,
            Framing::Chunked => return read_chunks(octets, limit),
        };
        Ok(octets.get(..needed).map_or(Body::Partial, |body| Body::Whole(body.into())))
    }
}

fn read_chunks(octets: &[u8], limit: usize) -> Result<Body<'_>, Reason> {
    if !walk_chunks(octets, limit, |_| {})? {
        return Ok(Body::Partial);
    }
    let mut body = Vec::new();
    walk_chunks(octets, limit, |data| body.extend_from_slice(data))?;
    Ok(Body::Whole(body.into()))
}

/// Hands on the data of chunks, `limit` octets at most; whether that is all that will be looked at.
fn walk_chunks<'r>(octets: &'r [u8], limit: usize, mut take: impl FnMut(&'r [u8])) -> Result<bool, Reason> {
    let mut rest = octets;
    let mut wanted = limit;
    loop {
        let (data_at, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => return Err(Reason::HttpChunks),
        };
        // What follows the last chunk are fields that nobody asked for.
        if size == 0 {
            return Ok(true);
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let behind = &rest[data_at..];
        let data = &behind[..size.min(behind.len()).min(wanted)];
        take(data);
        wanted -= data.len();
        if wanted == 0 {
            return Ok(true);
        }
        let Some(tail) = behind.get(size..) else { return Ok(false) };
        match tail {
            [b'\r', b'\n', next @ ..] => rest = next,
            [] | [b'\r'] => return Ok(false),
            _ => return Err(Reason::HttpChunks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The body of a reply with these fields, as far as these octets tell.
    fn read<'r>(fields: &str, octets: &'r [u8], limit: usize) -> Result<Body<'r>, Reason> {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        match read_head(head.as_bytes(), 200)? {
            Head::Whole { octets: head_octets, framing } => {
                assert_eq!(head_octets, head.len());
                framing.read(octets, limit)
            }
            Head::Partial => panic!("the head is whole"),
        }
    }

    fn whole(body: &[u8]) -> Result<Body<'_>, Reason> {
        Ok(Body::Whole(body.into()))
    }

    #[test]
    fn fields_say_where_the_body_ends() {
        assert_eq!(read("Content-Length: 2\r\n", b"okay", 9), whole(b"ok"));
        assert_eq!(read("Content-Length: 2\r\ncontent-length:2\r\n", b"ok", 9), whole(b"ok"));
        assert_eq!(read("Content-Length: 99999999999999999999999\r\n", b"okay", 3), whole(b"oka"));
        assert_eq!(read("Content-Length: 5\r\n", b"okay", 9), Ok(Body::Partial));
        assert_eq!(read("X: y\r\n", b"okay", 9), Ok(Body::UntilClose(b"okay")));
        assert_eq!(read("X: y\r\n", b"okay", 4), whole(b"okay"));
        let chunked = "Content-Length: 1\r\nTransfer-Encoding: Chunked\r\n";
        assert_eq!(read(chunked, b"2;a=b\r\nok\r\n0\r\n", 9), whole(b"ok"));
        for fields in [
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            "Content-Length: -1\r\n",
            "Content-Length:\r\n",
            " x\r\n",
        ] {
            assert_eq!(read(fields, b"okay", 9), Err(Reason::HttpFields), "{fields}");
        }
        let coded = read("Transfer-Encoding: gzip, chunked\r\n", b"", 9).unwrap_err();
        assert_eq!(coded.to_string(), "body is coded as `gzip, chunked`, which is not read");
    }

    #[test]
    fn some_statuses_have_no_body() {
        for status in [100, 103, 204, 304] {
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n");
            let Ok(Head::Whole { framing, .. }) = read_head(head.as_bytes(), status) else { panic!("whole") };
            assert_eq!(framing.read(b"", 9), whole(b""));
        }
    }

    #[test]
    fn chunks_are_put_together_at_every_split() {
        let octets = b"3\r\nhel\r\n00A;x\r\nlo, world.\r\n0\r\nTrailer: x\r\n\r\n";
        for end in 0..octets.len() {
            let body = read("Transfer-Encoding: chunked\r\n", &octets[..end], 100);
            let expected = if end < 30 { Ok(Body::Partial) } else { whole(b"hello, world.") };
            assert_eq!(body, expected, "{end}");
            let first = read("Transfer-Encoding: chunked\r\n", &octets[..end], 5);
            let expected = if end < 17 { Ok(Body::Partial) } else { whole(b"hello") };
            assert_eq!(first, expected, "{end}");
        }
        for bad in [&b"x\r\n"[..], b"3\r\nhel lo", b"3\r\nhel\rx", b"fffffffffffffffff\r\n", b"-1\r\n"] {
            let body = read("Transfer-Encoding: chunked\r\n", bad, 100);
            assert_eq!(body, Err(Reason::HttpChunks), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn chunked_body_is_what_was_chunked_and_more_octets_never_change_it(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..10),
            limit in 1usize..100,
            more in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut octets = Vec::new();
            for piece in &pieces {
                octets.extend(format!("{:x}\r\n", piece.len()).bytes());
                octets.extend(piece);
                octets.extend(b"\r\n");
            }
            octets.extend(b"0\r\n");
            octets.extend(more);
            let mut body = pieces.concat();
            body.truncate(limit);
            let expected = whole(&body);
            prop_assert_eq!(read("Transfer-Encoding: chunked\r\n", &octets, limit), expected);
            for end in 0..octets.len() {
                let so_far = read("Transfer-Encoding: chunked\r\n", &octets[..end], limit);
                prop_assert!(so_far == Ok(Body::Partial) || so_far == whole(&body));
            }
        }
    }
}
