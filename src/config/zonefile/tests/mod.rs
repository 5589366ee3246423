//! Zone files from text to records: shared helpers, and what holds of any octets.

mod bind;
mod directives;
mod errors;
mod forms;
mod records;

use proptest::prelude::*;

use super::*;
use crate::wire::name::{Name, fmt_wire, uncompressed_len};

/// `example.com` in wire form.
const APEX: &[u8] = b"\x07example\x03com\x00";

fn parse(text: &str) -> Result<RawZone, Unread> {
    read_text("z", text.as_bytes(), None, APEX)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Owner below the apex (`@` is the apex), TTL, type number and data of each record.
fn shown(zone: &RawZone) -> Vec<String> {
    let records = zone.iter().map(|(handle, record): (u32, RawRecord<'_>)| {
        assert_eq!(zone.get(handle), record);
        let owner = [record.owner, b"\0"].concat();
        let owner = std::fmt::from_fn(|f| fmt_wire(&owner, f)).to_string();
        let owner = if owner == "." { "@" } else { owner.trim_end_matches('.') };
        format!("{owner} {} {} {}", record.ttl_secs, record.rtype.0, hex(record.rdata))
    });
    records.collect()
}

/// The records of a text without faults or warnings.
fn records(text: &str) -> Vec<String> {
    let zone = parse(text).unwrap_or_else(|unread| panic!("{:?}", messages(&unread.faults)));
    assert_eq!(messages(&zone.warnings), [""; 0], "{text}");
    shown(&zone)
}

fn messages(faults: &[ZoneFault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// The faults of a text that is refused.
fn faults(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(zone) => panic!("{text:?} was read: {:?}", shown(&zone)),
        Err(unread) => messages(&unread.faults),
    }
}

/// Holds whatever is read against the rules of wire form, and both ways of reading against each other.
fn hold(text: &[u8]) {
    let _ = zone_agrees(text, &Name::from_wire(APEX).unwrap());
}

/// Words a zone file is made of, whole and broken.
fn piece() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        " ",
        " ",
        " ",
        " ",
        "\n",
        "\n",
        "\n",
        "\t",
        "\r\n",
        "(",
        ")",
        ";",
        "\"",
        "\\",
        "\\#",
        "\\000",
        "\\300",
        "@",
        ".",
        "..",
        "$TTL",
        "$ORIGIN",
        "$INCLUDE",
        "$X",
        "IN",
        "CH",
        "1h",
        "300",
        "4294967296",
        "0",
        "4",
        "-1",
        "a",
        "b.c",
        "A.B.",
        "example.com.",
        "*",
        "A",
        "AAAA",
        "NS",
        "SOA",
        "CNAME",
        "MX",
        "TXT",
        "SRV",
        "CAA",
        "LOC",
        "APL",
        "HIP",
        "CERT",
        "NSEC",
        "RRSIG",
        "SVCB",
        "HTTPS",
        "NAPTR",
        "TYPE65400",
        "IPSECKEY",
        "DS",
        "URI",
        "EUI48",
        "NSEC3",
        "192.0.2.1",
        "2001:db8::1",
        "0a000001",
        "\"x y\"",
        "alpn=h2",
        "key65=\"a\"",
        "1:10.0.0.0/8",
        "52",
        "N",
        "E",
        "-2m",
        "AQID",
        "20200101000000",
    ];
    prop_oneof![9 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => "[ -~]{1,4}"]
}

/// A record that often is well formed.
fn record_line() -> impl Strategy<Value = String> {
    let words = prop::collection::vec(piece(), 1..8);
    let owner = prop::sample::select(&["a", "@", "", "*.b", "x.example.com."][..]);
    let rtype = prop::sample::select(
        &[
            "A", "NS", "TXT", "MX", "SOA", "SVCB", "LOC", "APL", "RRSIG", "NSEC", "NAPTR", "CAA", "IPSECKEY",
            "HIP",
        ][..],
    );
    (owner, rtype, words)
        .prop_map(|(owner, rtype, words)| format!("{owner} 60 {rtype} {}\n", words.join(" ")))
}

proptest! {
    #[test]
    fn no_octets_panic_and_what_is_read_is_well_formed(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        hold(&octets);
    }

    #[test]
    fn no_words_panic_and_what_is_read_is_well_formed(pieces in prop::collection::vec(piece(), 0..60)) {
        hold(pieces.concat().as_bytes());
    }

    #[test]
    fn no_records_panic_and_what_is_read_is_well_formed(lines in prop::collection::vec(record_line(), 1..6)) {
        hold(lines.concat().as_bytes());
    }

    #[test]
    fn any_data_has_its_names_inside(rtype in 0_u16..300, rdata in prop::collection::vec(any::<u8>(), 0..80)) {
        let rtype = crate::wire::message::Rtype(rtype);
        for name in names_in(rtype, &rdata) {
            prop_assert_eq!(uncompressed_len(&rdata, name.at), Ok(name.len));
        }
        let mut canonical = b"before".to_vec();
        canonical_rdata(rtype, &rdata, &mut canonical);
        prop_assert!(canonical[6..].eq_ignore_ascii_case(&rdata));
        let _ = super::types::check(rtype, &rdata);
    }
}
