//! What is true of every reply to any octets whatever; shared by tests and fuzz targets.

use steerd::wire::message::{FLAG_AA, FLAG_QR, FLAG_TC, Header, Rcode, Rtype};
use steerd::wire::name::uncompressed_len;
use steerd::wire::record::Record;

/// Checks a reply against the query it answers.
///
/// # Panics
/// When the reply breaks a rule that holds for all replies.
pub fn assert_reply(query: &[u8], reply: &[u8], over_udp: bool) {
    let asked = Header::read(query).expect("a reply answers a whole header");
    let header = Header::read(reply).expect("a reply has a header");
    assert_eq!(header.id, asked.id);
    assert_eq!(header.flags & FLAG_QR, FLAG_QR);
    assert_eq!(header.flags & 0x7900, asked.flags & 0x7900, "opcode and RD are copied");
    assert_eq!(header.flags & 0x00F0, 0, "RA, Z, AD and CD are clear");
    assert!(header.qdcount <= 1 && header.nscount <= 1 && header.arcount <= 1);
    let mut at = 12;
    if header.qdcount == 1 {
        let question_len = uncompressed_len(query, 12).expect("only a question that was read is copied") + 4;
        assert_eq!(
            reply[12..12 + question_len],
            query[12..12 + question_len],
            "the question is copied as asked"
        );
        at += question_len;
    }
    let question_end = at;
    let mut extended = 0;
    let mut has_opt = false;
    for index in 0..header.ancount + header.nscount + header.arcount {
        let record = Record::read(reply, at).expect("every counted record is whole");
        if index >= header.ancount + header.nscount {
            assert!(record.rtype == Rtype::OPT && record.owner_is_root);
            assert_eq!(record.ttl as u16 & 0x7FFF, 0, "no flag but DO");
            extended = (record.ttl >> 24) as u16;
            has_opt = true;
        } else {
            assert_ne!(record.rtype, Rtype::OPT);
        }
        at = record.end;
    }
    assert_eq!(at, reply.len(), "nothing behind the last record");
    assert!(!has_opt || asked.arcount > 0, "OPT only answers OPT (RFC 6891 §7)");
    let rcode = Rcode(extended << 4 | header.flags & 0xF);
    match rcode {
        // Who asks for a cookie alone is given one.
        Rcode::NOERROR if header.qdcount == 0 => {
            assert_eq!(reply.len(), question_end + 11 + 28);
            assert!(asked.qdcount == 0 && header.flags & FLAG_AA == 0);
        }
        Rcode::NOERROR => assert!(
            header.flags & FLAG_AA != 0
                && (header.flags & FLAG_TC != 0 || header.ancount + header.nscount > 0)
        ),
        Rcode::NXDOMAIN => assert!(
            header.flags & FLAG_AA != 0
                && header.ancount == 0
                && header.nscount == u16::from(header.flags & FLAG_TC == 0)
        ),
        Rcode::BADCOOKIE => {
            assert_eq!(header.ancount + header.nscount, 0);
            assert!(header.flags & (FLAG_AA | FLAG_TC) == 0 && has_opt);
        }
        Rcode::FORMERR | Rcode::NOTIMP | Rcode::REFUSED | Rcode::BADVERS => {
            assert_eq!(header.ancount + header.nscount, 0);
            let opt = reply.len() - question_end;
            // Who refuses a query and why may be told: four octets and "steerd", six and up to fifteen.
            let told = if rcode == Rcode::REFUSED { 4 + 6 + 6 + 15 } else { 0 };
            // Over TCP a reply may be padded.
            assert!(
                opt <= 11 + 24 + 28 + told || !over_udp && reply.len().is_multiple_of(468),
                "an error is at most the question with header and OPT"
            );
        }
        other => panic!("unexpected {other:?}"),
    }
    if over_udp {
        assert!(reply.len() <= 1232);
        assert!(has_opt || reply.len() <= 512);
    }
}
