//! What is true of every reply to any octets whatever; shared by tests and fuzz targets.

use steerd::wire::message::{Class, FLAG_AA, FLAG_QR, FLAG_TC, Header, Rcode, Rtype};
use steerd::wire::name::{Name, suffixes, uncompressed_len};
use steerd::wire::record::Record;

/// A record with its owner, in lower case.
struct Owned<'r> {
    owner: Name,
    record: Record<'r>,
}

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
    assert!(header.qdcount <= 1);
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
    let mut section =
        |count: u16| -> Vec<Owned<'_>> { (0..count).map(|_| read_record(reply, &mut at)).collect() };
    let (answer, authority, mut additional) =
        (section(header.ancount), section(header.nscount), section(header.arcount));
    assert_eq!(at, reply.len(), "nothing behind the last record");
    let opt = additional.pop_if(|last| last.record.rtype == Rtype::OPT);
    for Owned { record, .. } in answer.iter().chain(&authority).chain(&additional) {
        assert_ne!(record.rtype, Rtype::OPT, "OPT is one, and the last record");
    }
    let extended = opt.as_ref().map_or(0, |opt| {
        assert!(opt.record.owner_is_root);
        assert_eq!(opt.record.ttl as u16 & 0x7FFF, 0, "no flag but DO");
        (opt.record.ttl >> 24) as u16
    });
    assert!(opt.is_none() || asked.arcount > 0, "OPT only answers OPT (RFC 6891 §7)");
    let rcode = Rcode(extended << 4 | header.flags & 0xF);
    let (has_aa, has_tc) = (header.flags & FLAG_AA != 0, header.flags & FLAG_TC != 0);
    let records = answer.len() + authority.len() + additional.len();
    if header.qdcount == 1 {
        let end = follow(reply, &answer);
        assert_authority(&end, &authority);
        assert_additional(reply, &answer, &authority, &additional);
    }
    let is_referral = authority.first().is_some_and(|first| first.record.rtype == Rtype::NS);
    match rcode {
        // Who asks for a cookie alone is given one.
        Rcode::NOERROR if header.qdcount == 0 => {
            assert_eq!((reply.len(), records), (question_end + 11 + 28, 0));
            assert!(asked.qdcount == 0 && !has_aa);
        }
        Rcode::NOERROR if has_aa => assert!(has_tc || answer.len() + authority.len() > 0, "some answer"),
        Rcode::NOERROR => {
            assert!(answer.is_empty() && (is_referral || has_tc), "without AA it is a referral")
        }
        Rcode::NXDOMAIN => {
            assert!(has_aa && answer.iter().all(|owned| is_alias(owned.record.rtype)));
            let soas = authority.iter().filter(|owned| owned.record.rtype == Rtype::SOA).count();
            assert!(soas == 1 || has_tc && soas == 0, "one SOA, unless there was no room");
            assert!(additional.is_empty());
        }
        Rcode::YXDOMAIN => {
            // Wildcards on the way are proved.
            assert!(has_aa && authority.iter().all(is_of_proof) && additional.is_empty());
            // The DNAME record that is to blame; a limited reply goes out without.
            let is_blamed = |last: &Owned<'_>| matches!(last.record.rtype, Rtype::DNAME | Rtype::CNAME);
            let last = answer.iter().rfind(|owned| owned.record.rtype != Rtype::RRSIG);
            assert!(last.map_or(has_tc, is_blamed));
        }
        Rcode::BADCOOKIE => {
            assert_eq!(records, 0);
            assert!(!has_aa && !has_tc && opt.is_some());
        }
        Rcode::FORMERR | Rcode::NOTIMP | Rcode::REFUSED | Rcode::BADVERS | Rcode::SERVFAIL => {
            assert_eq!(records, 0);
            assert!(!has_aa);
            let opt = reply.len() - question_end;
            // Who refuses a query and why may be told: four octets and "steerd", six and up to 26.
            let told = match rcode {
                Rcode::REFUSED => 4 + 6 + 6 + 15,
                Rcode::SERVFAIL => 4 + 6 + 6 + 26,
                _ => 0,
            };
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
        assert!(opt.is_some() || reply.len() <= 512);
    }
}

/// Reads a record; every name in it must be one, and fill its data.
fn read_record<'r>(reply: &'r [u8], at: &mut usize) -> Owned<'r> {
    let (owner, _) = Name::read(reply, *at).expect("every owner is a name");
    let record = Record::read(reply, *at).expect("every counted record is whole");
    let data_at = record.end - record.rdata.len();
    let (before, names, behind) = match record.rtype {
        Rtype::NS | Rtype::CNAME | Rtype::DNAME => (0, 1, 0),
        Rtype::MX => (2, 1, 0),
        Rtype::SRV => (6, 1, 0),
        Rtype::SOA => (0, 2, 20),
        _ => (0, 0, record.rdata.len()),
    };
    let mut end = data_at + before;
    for _ in 0..names {
        end = Name::read(reply, end).expect("every name inside of data is one").1;
    }
    assert_eq!(end + behind, record.end, "the data of {:?} is as long as it says", record.rtype);
    *at = record.end;
    Owned { owner: owner.to_lowercase(), record }
}

/// Whether answers of a type lead on to another name.
fn is_alias(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::CNAME | Rtype::DNAME | Rtype::RRSIG)
}

/// Whether `name` is `above` or lies below it; both in lower case.
fn is_at_or_below(name: &Name, above: &Name) -> bool {
    suffixes(name.as_wire()).any(|suffix| suffix == above.as_wire())
}

/// The name that an answer ends with: every record of it is of the name asked for, or of one that an alias before it led to,
/// or a DNAME record above that.
fn follow(reply: &[u8], answer: &[Owned<'_>]) -> Name {
    let mut name = Name::read(reply, 12).expect("the question's name").0.to_lowercase();
    let qtype_at = uncompressed_len(reply, 12).expect("the question's name") + 12;
    let qtype = Rtype(u16::from_be_bytes([reply[qtype_at], reply[qtype_at + 1]]));
    let mut seen = Vec::new();
    let mut first_of_other_types: Option<(Rtype, u32)> = None;
    for Owned { owner, record } in answer {
        let text = (owner.as_wire().to_vec(), record.rtype, record.rdata.to_vec());
        // Compressed alike or not, an alias is in an answer once.
        assert!(!is_alias(record.rtype) || !seen.contains(&text), "{owner} twice");
        seen.push(text);
        let target = || {
            let at = record.end - record.rdata.len();
            Name::read(reply, at).expect("a target").0.to_lowercase()
        };
        match record.rtype {
            Rtype::DNAME if qtype != Rtype::DNAME || *owner != name => {
                assert!(*owner != name && is_at_or_below(&name, owner), "{owner} is above {name}");
            }
            Rtype::CNAME => {
                assert_eq!(*owner, name, "a chain goes from name to name");
                assert!(first_of_other_types.is_none(), "nothing comes behind what was asked for");
                // Asked for itself it is the answer, and its end.
                match qtype == Rtype::CNAME {
                    true => first_of_other_types = Some((Rtype::CNAME, record.ttl)),
                    false => name = target(),
                }
            }
            Rtype::RRSIG => assert_signs(owner, record, answer),
            rtype => {
                assert_eq!(*owner, name, "an answer belongs to the end of its chain");
                // All records of an RRset have one TTL (RFC 2181 §5.2).
                let first = *first_of_other_types.get_or_insert((rtype, record.ttl));
                assert_eq!(first, (rtype, record.ttl), "one RRset");
            }
        }
        assert!(record.class == Class::IN || record.class == Class::CH);
    }
    name
}

/// A signature is over what stands in its section.
fn assert_signs(owner: &Name, rrsig: &Record<'_>, section: &[Owned<'_>]) {
    let covered = rrsig.rdata.first_chunk().map(|octets| Rtype(u16::from_be_bytes(*octets)));
    let is_over = |other: &Owned<'_>| other.owner == *owner && Some(other.record.rtype) == covered;
    assert!(section.iter().any(is_over), "a signature of {owner} over {covered:?}, which is not there");
}

/// Whether records of a type prove that something is not there.
fn is_proof(rtype: Rtype) -> bool {
    matches!(rtype, Rtype::NSEC | Rtype::NSEC3)
}

/// Whether a record is one, or the signature of one.
fn is_of_proof(one: &Owned<'_>) -> bool {
    match one.record.rtype {
        Rtype::RRSIG => {
            one.record.rdata.first_chunk().is_some_and(|of| is_proof(Rtype(u16::from_be_bytes(*of))))
        }
        rtype => is_proof(rtype),
    }
}

/// Proofs, each once; besides an SOA record, or the name servers of one name with what goes along: of a name at or above the one
/// that it is about.
fn assert_authority(end: &Name, authority: &[Owned<'_>]) {
    let mut proofs: Vec<Vec<u8>> = Vec::new();
    for Owned { owner, record } in authority {
        if is_proof(record.rtype) {
            assert!(!proofs.iter().any(|known| known == owner.as_wire()), "{owner} twice");
            proofs.push(owner.as_wire().to_vec());
        } else if record.rtype == Rtype::RRSIG {
            assert_signs(owner, record, authority);
        }
    }
    // One for each alias of a chain, and up to three for its end.
    assert!(proofs.len() <= 8 + 3, "{} proofs", proofs.len());
    let others: Vec<&Owned<'_>> = authority.iter().filter(|one| !is_of_proof(one)).collect();
    let Some(first) = others.first() else { return };
    for Owned { owner, record } in &others {
        assert_eq!(owner, &first.owner, "all are of one name");
        match first.record.rtype {
            Rtype::SOA => assert!(record.rtype == Rtype::RRSIG || std::ptr::eq(record, &first.record)),
            Rtype::NS => assert!(matches!(record.rtype, Rtype::NS | Rtype::DS | Rtype::RRSIG)),
            other => panic!("{other:?} in the authority section"),
        }
    }
    // DS is asked of the zone above: its SOA record is above as well.
    assert!(is_at_or_below(end, &first.owner), "{} is not above {end}", first.owner);
}

/// Addresses of hosts that the records before them name.
fn assert_additional(reply: &[u8], answer: &[Owned<'_>], authority: &[Owned<'_>], additional: &[Owned<'_>]) {
    if additional.is_empty() {
        return;
    }
    let hosts: Vec<Name> = answer
        .iter()
        .chain(authority)
        .filter_map(|Owned { record, .. }| {
            let at = record.end - record.rdata.len();
            let before = match record.rtype {
                Rtype::NS => 0,
                Rtype::MX => 2,
                Rtype::SRV => 6,
                _ => return None,
            };
            Some(Name::read(reply, at + before).expect("a host").0.to_lowercase())
        })
        .collect();
    for Owned { owner, record } in additional {
        assert!(matches!(record.rtype, Rtype::A | Rtype::AAAA | Rtype::RRSIG));
        assert!(hosts.contains(owner), "{owner} is named by nothing");
    }
}
