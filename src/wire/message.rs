//! The message header and its codes (RFC 1035 §4.1, RFC 6895).
//!
//! Reads and writes in place; never interprets a name or a record.

/// Octets of the header (RFC 1035 §4.1.1).
pub const HEADER_OCTETS: usize = 12;
/// Octets of a question behind its name: type and class.
pub const QUESTION_TAIL_OCTETS: usize = 4;

/// Flag bit QR: the message is a response.
pub const FLAG_QR: u16 = 0x8000;
/// Flag bit AA: the answer is authoritative.
pub const FLAG_AA: u16 = 0x0400;
/// Flag bit TC: the answer did not fit.
pub const FLAG_TC: u16 = 0x0200;
/// Flag bit RD: recursion desired; copied into the response.
pub const FLAG_RD: u16 = 0x0100;
/// The four bits of the operation code.
pub const OPCODE_MASK: u16 = 0x7800;

/// A response code, the eight bits of EDNS included (RFC 6891 §6.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rcode(pub u16);

#[expect(missing_docs, reason = "the names are those of RFC 6895 §2.3")]
impl Rcode {
    pub const NOERROR: Rcode = Rcode(0);
    pub const FORMERR: Rcode = Rcode(1);
    pub const SERVFAIL: Rcode = Rcode(2);
    pub const NXDOMAIN: Rcode = Rcode(3);
    pub const NOTIMP: Rcode = Rcode(4);
    pub const REFUSED: Rcode = Rcode(5);
    pub const YXDOMAIN: Rcode = Rcode(6);
    pub const BADVERS: Rcode = Rcode(16);
    pub const BADCOOKIE: Rcode = Rcode(23);
}

/// A record type (RFC 6895 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rtype(pub u16);

#[expect(missing_docs, reason = "the names are those of the IANA registry of RFC 6895 §3.1")]
impl Rtype {
    pub const A: Rtype = Rtype(1);
    pub const NS: Rtype = Rtype(2);
    pub const CNAME: Rtype = Rtype(5);
    pub const SOA: Rtype = Rtype(6);
    pub const HINFO: Rtype = Rtype(13);
    pub const MX: Rtype = Rtype(15);
    pub const TXT: Rtype = Rtype(16);
    pub const AAAA: Rtype = Rtype(28);
    pub const SRV: Rtype = Rtype(33);
    pub const DNAME: Rtype = Rtype(39);
    pub const OPT: Rtype = Rtype(41);
    pub const DS: Rtype = Rtype(43);
    pub const RRSIG: Rtype = Rtype(46);
    pub const NSEC: Rtype = Rtype(47);
    pub const DNSKEY: Rtype = Rtype(48);
    pub const NSEC3: Rtype = Rtype(50);
    pub const NSEC3PARAM: Rtype = Rtype(51);
    pub const CDS: Rtype = Rtype(59);
    pub const CDNSKEY: Rtype = Rtype(60);
    pub const SVCB: Rtype = Rtype(64);
    pub const HTTPS: Rtype = Rtype(65);
    pub const IXFR: Rtype = Rtype(251);
    pub const AXFR: Rtype = Rtype(252);
    pub const ANY: Rtype = Rtype(255);
}

/// A record class (RFC 6895 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class(pub u16);

#[expect(missing_docs, reason = "the names are those of RFC 6895 §3.2")]
impl Class {
    pub const IN: Class = Class(1);
    pub const CH: Class = Class(3);
}

/// The twelve octets every message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The identifier, copied into the response.
    pub id: u16,
    /// QR, opcode, AA, TC, RD, RA, Z, AD, CD and the low four bits of the response code.
    pub flags: u16,
    /// Number of questions.
    pub qdcount: u16,
    /// Number of records in the answer section.
    pub ancount: u16,
    /// Number of records in the authority section.
    pub nscount: u16,
    /// Number of records in the additional section.
    pub arcount: u16,
}

impl Header {
    /// Reads the header; `None` when the message has fewer than 12 octets.
    #[inline]
    pub fn read(message: &[u8]) -> Option<Header> {
        let octets: &[u8; HEADER_OCTETS] = message.first_chunk()?;
        let field = |i: usize| u16::from_be_bytes([octets[i], octets[i + 1]]);
        Some(Header {
            id: field(0),
            flags: field(2),
            qdcount: field(4),
            ancount: field(6),
            nscount: field(8),
            arcount: field(10),
        })
    }

    /// The header as twelve octets.
    #[inline]
    pub fn to_octets(self) -> [u8; HEADER_OCTETS] {
        let mut octets = [0; HEADER_OCTETS];
        let fields = [self.id, self.flags, self.qdcount, self.ancount, self.nscount, self.arcount];
        for (to, field) in octets.chunks_exact_mut(2).zip(fields) {
            to.copy_from_slice(&field.to_be_bytes());
        }
        octets
    }

    /// The operation code, 0 (QUERY) to 15.
    #[inline]
    pub fn opcode(self) -> u8 {
        ((self.flags & OPCODE_MASK) >> 11) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_survives_reading_and_writing() {
        let octets = [0x12, 0x34, 0x81, 0x83, 0, 1, 0, 2, 0, 3, 0, 4];
        let header = Header::read(&octets).unwrap();
        assert_eq!((header.id, header.qdcount, header.arcount, header.opcode()), (0x1234, 1, 4, 0));
        assert_eq!(header.to_octets(), octets);
        assert_eq!(Header::read(&octets[..11]), None);
        assert_eq!(Header { flags: 0x2800, ..header }.opcode(), 5);
    }
}
