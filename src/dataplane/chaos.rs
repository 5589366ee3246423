//! Classes other than IN: questions about the server itself.

use super::parse::Query;
use super::render::Body;
use super::sections::{Section, Sections};
use super::turn::Turn;
use crate::state::counters::Counter;
use crate::state::snapshot::Snapshot;
use crate::wire::message::{Class, FLAG_AA, Rcode, Rtype};

/// Head of a TXT record of class CH for the query name, TTL 0.
const CHAOS_TXT_HEAD: &[u8] = b"\xC0\x0C\x00\x10\x00\x03\x00\x00\x00\x00";

/// Answers in classes other than IN: in CH about the server itself.
#[cold]
pub(super) fn answer_other_class(turn: Turn<'_>, query: Query<'_>, into: &mut [u8]) -> Body {
    let text = if query.qclass() == Class::CH { chaos(turn.snapshot, &query) } else { None };
    let Some(text) = text else { return Body::refused(None) };
    let mut sections = Sections::new(into, query.asked.len());
    // RDLENGTH is two octets: a text of 255 octets has 256 with its length.
    let [high, low] = (text.len() as u16 + 1).to_be_bytes();
    sections.put_parts(Section::Answer, 1, &[CHAOS_TXT_HEAD, &[high, low, text.len() as u8], text]);
    Body::of_sections(&sections, Rcode::NOERROR, FLAG_AA, Counter::Answered)
}

/// Questions about the server itself, by convention in class CH (RFC 4892 §2 for `id.server`); `None`: refused.
#[cold]
fn chaos<'s>(snapshot: &'s Snapshot, query: &Query<'_>) -> Option<&'s [u8]> {
    debug_assert_eq!(query.qclass(), Class::CH);
    if !matches!(query.qtype(), Rtype::TXT | Rtype::ANY) {
        return None;
    }
    let is = |name: &[u8]| query.qname().eq_ignore_ascii_case(name);
    let text = if is(b"\x07version\x04bind\x00") || is(b"\x07version\x06server\x00") {
        &snapshot.protocol.version
    } else if is(b"\x02id\x06server\x00") || is(b"\x08hostname\x04bind\x00") {
        &snapshot.protocol.id
    } else {
        &None
    };
    text.as_deref()
}
