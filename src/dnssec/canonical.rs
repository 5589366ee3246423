//! Canonical order and form (RFC 4034 §6): of names, of the names inside record data, of the records of an RRset.
//!
//! Names are uncompressed wire form. No function panics on any octets; what is no name sorts somewhere.

use crate::wire::name::uncompressed_len;

/// Most labels of a name of 255 octets, the root left out.
const MAX_LABELS: usize = 127;

/// Where the labels of a name begin, leftmost first, and how many there are.
fn label_starts(name: &[u8]) -> ([u8; MAX_LABELS], usize) {
    let mut starts = [0; MAX_LABELS];
    let (mut count, mut at) = (0, 0);
    while let Some(&len) = name.get(at).filter(|&&len| len != 0)
        && at + usize::from(len) < name.len()
        && count < MAX_LABELS
        && at <= usize::from(u8::MAX)
    {
        starts[count] = at as u8;
        count += 1;
        at += usize::from(len) + 1;
    }
    (starts, count)
}

pub use crate::wire::name::canonical_cmp as canonical_name_cmp;

/// The value of the labels field of an RRSIG: labels of the owner without the root and without a leading `*`
/// (RFC 4034 §3.1.3).
pub fn rrsig_labels(owner: &[u8]) -> u8 {
    let is_wildcard = owner.starts_with(b"\x01*");
    (label_starts(owner).1 - usize::from(is_wildcard)) as u8
}

/// A part of record data.
enum Field {
    /// So many octets.
    Octets(usize),
    /// A character string: a length octet and so many more.
    Text,
    /// A domain name.
    Name,
}

/// The fields up to the last name of the types whose names are lower-cased: those of RFC 4034 §6.2 without NSEC, as
/// RFC 6840 §5.1 has it. HINFO, on that list by mistake, has no name.
fn fields(rtype: u16) -> &'static [Field] {
    use Field::{Name, Octets, Text};
    match rtype {
        // NS MD MF CNAME MB MG MR PTR DNAME
        2..=5 | 7..=9 | 12 | 39 => &[Name],
        // SOA MINFO RP
        6 | 14 | 17 => &[Name, Name],
        // MX AFSDB RT KX
        15 | 18 | 21 | 36 => &[Octets(2), Name],
        // PX
        26 => &[Octets(2), Name, Name],
        // SRV
        33 => &[Octets(6), Name],
        // NAPTR
        35 => &[Octets(4), Text, Text, Text, Name],
        // SIG RRSIG
        24 | 46 => &[Octets(18), Name],
        _ => &[],
    }
}

/// Brings record data, uncompressed, into canonical form (RFC 4034 §6.2): the names of some types in lower case. Data that
/// is not what its type says keeps the octets behind the fault.
pub fn canonical_rdata(rtype: u16, rdata: &mut [u8]) {
    let mut at = 0;
    for field in fields(rtype) {
        let len = match field {
            Field::Octets(len) => *len,
            Field::Text => match rdata.get(at) {
                Some(&len) => usize::from(len) + 1,
                None => return,
            },
            Field::Name => {
                let Ok(len) = uncompressed_len(rdata, at) else { return };
                let Some(name) = rdata.get_mut(at..at + len) else { return };
                // Length octets are at most 63 and so never look like letters.
                name.make_ascii_lowercase();
                len
            }
        };
        at += len;
        if at > rdata.len() {
            return;
        }
    }
}

/// The data of an RRset as it is signed: each in canonical form, in canonical order (RFC 4034 §6.3: "treating the RDATA
/// portion ... as a left-justified unsigned octet sequence"), each once.
pub fn canonical_records<'a>(rtype: u16, records: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let canonical = |rdata: &'a [u8]| {
        let mut rdata = rdata.to_vec();
        canonical_rdata(rtype, &mut rdata);
        rdata
    };
    let mut records: Vec<Vec<u8>> = records.into_iter().map(canonical).collect();
    records.sort_unstable();
    records.dedup();
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::name::Name;
    use proptest::prelude::*;
    use std::cmp::Ordering;

    fn wire(text: &str) -> Vec<u8> {
        Name::from_text(text).unwrap().as_wire().to_vec()
    }

    #[test]
    fn rfc_4034_section_6_1_example_is_in_order() {
        let names = [
            "example",
            "a.example",
            "yljkjljk.a.example",
            "Z.a.example",
            "zABC.a.EXAMPLE",
            "z.example",
            r"\001.z.example",
            "*.z.example",
            r"\200.z.example",
        ];
        for (i, a) in names.iter().enumerate() {
            for (j, b) in names.iter().enumerate() {
                assert_eq!(canonical_name_cmp(&wire(a), &wire(b)), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(canonical_name_cmp(&wire("."), &wire("a")), Ordering::Less);
    }

    #[test]
    fn labels_leave_out_the_root_and_a_leading_asterisk() {
        for (name, labels) in [(".", 0), ("example.", 1), ("*.example.", 1), ("a.*.example.", 3), ("*.", 0)] {
            assert_eq!(rrsig_labels(&wire(name)), labels, "{name}");
        }
    }

    #[test]
    fn names_in_old_types_are_lower_cased_and_nothing_else() {
        let (upper, lower) = (wire("Mail.Example.COM"), wire("mail.example.com"));
        for (rtype, head, tail) in [
            (2, &b""[..], &b""[..]),
            (5, b"", b""),
            (15, b"\x00A", b""),
            (33, b"\x00A\x00B\x00C", b""),
            (35, b"\x00A\x00B\x01U\x03E2U\x05!A.B!", b""),
            (39, b"", b""),
            (6, b"", b"\x00AAAABBBBCCCCDDDDEEEE"),
        ] {
            let mut given = [head, &upper, tail].concat();
            canonical_rdata(rtype, &mut given);
            assert_eq!(given, [head, &lower, tail].concat(), "type {rtype}");
        }
        // NSEC (RFC 6840 §5.1), TXT, SVCB and unknown types keep theirs.
        for rtype in [47, 16, 64, 65, 65_280] {
            let mut given = upper.clone();
            canonical_rdata(rtype, &mut given);
            assert_eq!(given, upper, "type {rtype}");
        }
    }

    #[test]
    fn records_are_sorted_and_written_once() {
        let (a, b) = (wire("A.example"), wire("a.EXAMPLE"));
        assert_eq!(canonical_records(2, [&a[..], &b]), [wire("a.example")]);
        let unsorted: [&[u8]; 4] = [b"\x02", b"\x01\x00", b"\x01", b"\x02"];
        assert_eq!(canonical_records(16, unsorted), [&b"\x01"[..], b"\x01\x00", b"\x02"]);
    }

    fn labels() -> impl Strategy<Value = Vec<Vec<u8>>> {
        // Few different octets, so that labels share prefixes and names share suffixes.
        let octet = prop::sample::select(vec![0u8, 1, b'*', b'A', b'a', b'b', b'Z', 0xC8]);
        prop::collection::vec(prop::collection::vec(octet, 1..4), 0..5)
    }

    fn join(labels: &[Vec<u8>]) -> Vec<u8> {
        let mut name: Vec<u8> =
            labels.iter().flat_map(|label| [&[label.len() as u8][..], label].concat()).collect();
        name.push(0);
        name
    }

    proptest! {
        #[test]
        fn order_is_that_of_reversed_lower_case_label_vectors(a in labels(), b in labels(), c in labels()) {
            let key = |labels: &[Vec<u8>]| -> Vec<Vec<u8>> {
                labels.iter().rev().map(|label| label.to_ascii_lowercase()).collect()
            };
            let (x, y, z) = (join(&a), join(&b), join(&c));
            prop_assert_eq!(canonical_name_cmp(&x, &y), key(&a).cmp(&key(&b)));
            // A total order: antisymmetric and transitive.
            prop_assert_eq!(canonical_name_cmp(&x, &y), canonical_name_cmp(&y, &x).reverse());
            if canonical_name_cmp(&x, &y).is_le() && canonical_name_cmp(&y, &z).is_le() {
                prop_assert!(canonical_name_cmp(&x, &z).is_le());
            }
        }

        #[test]
        fn any_octets_are_borne(a in prop::collection::vec(any::<u8>(), 0..300), b in prop::collection::vec(any::<u8>(), 0..300), rtype in 0u16..50) {
            let _ = canonical_name_cmp(&a, &b);
            let _ = rrsig_labels(&a);
            let mut rdata = b.clone();
            canonical_rdata(rtype, &mut rdata);
            prop_assert!(rdata.eq_ignore_ascii_case(&b));
        }
    }
}
