//! What is refused, where, and with which words.

use super::*;

/// Texts of one faulty entry each, with the place and part of the message.
const REFUSED: &[(&str, &str, &str)] = &[
    // Names.
    ("a..b 60 A 192.0.2.1", "1:1", "`a..b` is not a domain name: the name has an empty label"),
    ("..a 60 A 192.0.2.1", "1:1", "empty label"),
    ("a.. 60 A 192.0.2.1", "1:1", "empty label"),
    ("x 60 CNAME a..b", "1:12", "`a..b` is not a domain name"),
    ("x 60 CNAME a..", "1:12", "empty label"),
    ("x 60 MX 10 a..b", "1:12", "empty label"),
    ("x 60 SOA a. b.. 1 2 3 4 5", "1:13", "empty label"),
    ("x 60 SRV 1 2 3 .a", "1:16", "empty label"),
    ("x 60 NSEC a.. A", "1:11", "empty label"),
    ("x 60 SVCB 1 a..b", "1:13", "empty label"),
    ("x 60 NAPTR 1 1 \"\" \"\" \"a..b\" c..d", "1:29", "empty label"),
    ("x 60 RRSIG A 13 2 60 20200101000000 20200101000000 1 a..b AQID", "1:54", "empty label"),
    ("x 60 IPSECKEY 10 3 2 a..b AQID", "1:22", "empty label"),
    ("x 60 AFSDB 1 a..b", "1:14", "empty label"),
    ("x 60 HIP 2 00 AQID a..b", "1:20", "empty label"),
    // Lines.
    ("a 60 A ( 192.0.2.1\n", "1:8", "this parenthesis is never closed"),
    ("a 60 A 192.0.2.1 )", "1:18", "this parenthesis was never opened"),
    ("a 60 TXT \"x\nb 60 A 192.0.2.1", "1:10", "this quotation mark has no other half"),
    (
        "\n\na 60 A 192.0.2\nb 60 A 192.0.2.1\n",
        "3:8",
        "the data of this `A` record cannot be read: expected IPv4 address; accepted is an IPv4",
    ),
    ("b\u{fc}cher 60 A 192.0.2.1", "1:2", "the octet 0xc3 is not printable ASCII: write it as `\\195`"),
    ("a 60 TXT \"\u{fc}\" ; \u{fc}", "1:11", "international names"),
    ("a 60 TXT x\x01", "1:11", "the octet 0x01"),
    ("a 60 TXT x\\", "1:11", "a backslash must be followed"),
    ("a 60 TXT x\\256", "1:10", "the data of this `TXT` record"),
    ("\"a\" 60 A 192.0.2.1", "1:1", "`a` must be written without quotation marks"),
    ("a \"60\" A 192.0.2.1", "1:3", "must be written without quotation marks"),
    // Directives.
    ("$GENERATE 1-10 a$ A 192.0.2.$", "1:1", "`$GENERATE` is not supported"),
    ("$DATE", "1:1", "the directive `$DATE` is not known: accepted are `$ORIGIN`, `$TTL` and `$INCLUDE`"),
    ("$TTL", "1:1", "`$TTL` takes one number of seconds"),
    ("$TTL 1h 2h", "1:1", "`$TTL` takes"),
    ("$TTL x", "1:6", "`x` is no TTL"),
    ("$TTL 2147483648", "1:6", "accepted are 0 to 2147483647 seconds"),
    ("$ORIGIN", "1:1", "`$ORIGIN` takes one domain name"),
    ("$ORIGIN a..b", "1:9", "empty label"),
    ("$INCLUDE", "1:1", "`$INCLUDE` takes a path"),
    ("$INCLUDE a b c", "1:1", "`$INCLUDE` takes a path"),
    ("$INCLUDE a.zone", "1:10", "is relative, but this text is no file"),
    // Heads.
    (" A 192.0.2.1", "1:2", "this record has no owner"),
    ("a", "1:1", "the record has no type"),
    ("a 60 IN", "1:6", "the record has no type"),
    ("a A 192.0.2.1", "1:1", "the record has no TTL: give it one, or put `$TTL 3600` before it"),
    ("a 60 AA 192.0.2.1", "1:6", "`AA` is no TTL, class or record type"),
    ("a 60 60 A 192.0.2.1", "1:6", "`60` is no TTL, class or record type"),
    ("a 60 IN IN A 192.0.2.1", "1:9", "`IN` is no TTL, class or record type"),
    ("a 60x A 192.0.2.1", "1:3", "`60x` is no TTL"),
    ("a 1h30 A 192.0.2.1", "1:3", "`1h30` is no TTL"),
    ("a 2147483648 A 192.0.2.1", "1:3", "is too large"),
    ("a 60 CH A 192.0.2.1", "1:6", "the class `CH` is not served: accepted is `IN`"),
    ("a 60 CLASS3 TXT x", "1:6", "the class `CLASS3`"),
    ("a 60 NONE A 192.0.2.1", "1:6", "the class `NONE`"),
    ("a 60 IN ANY \\# 0", "1:9", "records of the type `ANY` cannot stand in a zone"),
    ("a 60 OPT \\# 0", "1:6", "cannot stand in a zone"),
    ("a 60 TYPE0 \\# 0", "1:6", "cannot stand in a zone"),
    ("a 60 TYPE41 \\# 0", "1:6", "cannot stand in a zone"),
    ("a 60 TYPE128 \\# 0", "1:6", "cannot stand in a zone"),
    ("a 60 TSIG \\# 0", "1:6", "cannot stand in a zone"),
    // Data.
    ("a 60 A", "1:6", "the data of this `A` record"),
    ("a 60 A 192.0.2.1 x", "1:18", "trailing tokens"),
    ("a 60 MX 10", "1:9", "a preference and a name"),
    ("a 60 AAAA 192.0.2.1", "1:11", "an IPv6 address such as"),
    ("a 60 TXT", "1:6", "texts of at most 255 octets"),
    ("a 60 MB a b", "1:11", "trailing tokens"),
    ("a 60 WKS 192.0.2.1 6 25", "1:10", "`WKS` has no text form here: write the data as `\\# LENGTH HEX`"),
    ("a 60 TYPE65400 192.0.2.1", "1:16", "`TYPE65400` has no text form here"),
    ("a 60 TYPE65400 \\#", "1:16", "this is not generic data"),
    ("a 60 TYPE65400 \\# x", "1:19", "this is not generic data"),
    ("a 60 TYPE65400 \\# 2 0", "1:19", "this is not generic data"),
    ("a 60 TYPE65400 \\# 4 0a 00", "1:19", "the data has 2 octets where `\\# 4` says 4"),
    ("a 60 A \\# 3 0a0000", "1:11", "these octets are no data of a `A` record: they end inside a field"),
    ("a 60 NS \\# 2 c00c", "1:12", "a domain name in them is malformed or compressed"),
    ("a 60 MX \\# 3 000a01", "1:12", "a domain name in them"),
    ("a 60 NSEC \\# 4 00000100", "1:14", "the type bitmap is malformed"),
    ("a 60 SVCB \\# 12 000100 0003 0000 0001 0001 00", "1:14", "the service parameters are malformed"),
    ("a 60 HTTPS 1 . alpn=h2 alpn=h3", "1:24", "duplicate SvcParamKey"),
    ("a 60 HTTPS 1 . mandatory=alpn", "1:16", "mandatory"),
    ("a 60 LOC 91 0 0 N 4 0 0 E 0m", "1:27", "expected degrees, minutes and seconds"),
    ("a 60 EUI48 00-00-5e-00-53", "1:12", "expected pairs of hexadecimal digits"),
    ("a 60 L64 10 2001:db8:1", "1:13", "expected four groups"),
    ("a 60 APL 1:192.0.2.0/33", "1:10", "expected prefixes"),
    ("a 60 AFSDB 65536 x", "1:12", "expected a number from 0 to 65535"),
    ("a 60 AFSDB 1", "1:12", "expected a domain name"),
    ("a 60 AFSDB 1 x y", "1:16", "nothing more may follow"),
    ("a 60 CSYNC 66 3 A XX", "1:19", "expected record types"),
    // The zone.
    (
        "x 60 SOA a. b. 1 2 3 4 5",
        "1:1",
        "the SOA record stands at `x.example.com.`, but the zone is `example.com.`",
    ),
    ("com. 60 SOA a. b. 1 2 3 4 5", "1:1", "the SOA record stands at `com.`"),
    (
        "@ 60 SOA a. b. 1 2 3 4 5\n 60 A 192.0.2.1\n@ 60 SOA a. b. 1 2 3 4 5",
        "3:1",
        "a second SOA record: a zone has one, and the first stands at `z:1`",
    ),
];

#[test]
fn every_fault_has_its_place_and_says_what_is_accepted() {
    for (text, place, words) in REFUSED {
        let found = faults(text);
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        assert!(
            found[0].starts_with(&format!("z:{place}: ")) && found[0].contains(words),
            "{text:?}: {found:?}"
        );
    }
}

#[test]
fn all_mistakes_come_in_one_run() {
    // Each faulty text once more, between records that can be read.
    let mut text = String::new();
    let mut expected = Vec::new();
    for (faulty, place, words) in
        REFUSED.iter().filter(|(text, ..)| !text.contains(['\n', '$', '(']) && !text.starts_with(' '))
    {
        if expected.len() == fault::MAX_FAULTS || words.contains("no TTL: give") {
            continue;
        }
        let line = text.lines().count() + 2;
        text += &format!("ok 60 A 192.0.2.1\n{faulty}\n 60 A 192.0.2.2\n");
        let (_, column) = place.split_once(':').unwrap();
        expected.push(format!("z:{line}:{column}: "));
    }
    let found = faults(&text);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found.starts_with(expected), "{found} at {expected}");
    }
}

#[test]
fn reading_ends_with_as_many_errors_as_are_kept() {
    let found = faults(&"a 60 A x\n".repeat(1000));
    assert_eq!(found.len(), fault::MAX_FAULTS);
}

#[test]
fn behind_a_faulty_record_owner_and_ttl_are_its_own() {
    let unread = parse("a 60 A 192.0.2.1\nb 70 A x\n AAAA ::1\n MX x\n").unwrap_err();
    let found = messages(&unread.faults);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].starts_with("z:4:5: the data of this `MX` record"));
    assert_eq!(faults(" A 192.0.2.1\n 60 A 192.0.2.2\na 60 A x\n").len(), 2);
    assert_eq!(faults("a A 192.0.2.1\nb A 192.0.2.2\n").len(), 1);
}

#[test]
fn generic_data_of_known_types_is_taken_when_it_is_theirs() {
    assert_eq!(
        records("a 60 A \\# 4 0a000001\nb 60 A 10.0.0.1\nc 60 TYPE65400 \\# 0\nd 60 TYPE15 \\# 5 ( 000a 01\n 61 00 )").len(),
        4
    );
}
