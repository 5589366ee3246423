//! Whole texts and what becomes of their lines.

use super::*;

#[test]
fn the_example_of_rfc_1035_reads_as_it_says() {
    // RFC 1035 §5.3, with a default TTL, which the RFC's own example takes from the loading program.
    let text = r"
$TTL 60
@   IN  SOA     VENERA      Action\.domains (
                                 20     ; SERIAL
                                 7200   ; REFRESH
                                 600    ; RETRY
                                 3600000; EXPIRE
                                 60)    ; MINIMUM

        NS      A.ISI.EDU.
        NS      VENERA
        NS      VAXA
        MX      10      VENERA
        MX      20      VAXA

A       A       26.3.0.103

VENERA  A       10.1.0.52
        A       128.9.0.32

VAXA    A       10.2.0.27
        A       128.9.0.33
";
    let zone = read_text("z", text.as_bytes(), None, b"\x03isi\x03edu\x00").unwrap();
    let venera = hex(b"\x06VENERA\x03isi\x03edu\x00");
    let vaxa = hex(b"\x04VAXA\x03isi\x03edu\x00");
    let soa = hex(b"\x0eAction.domains\x03isi\x03edu\x00") + "0000001400001c20000002580036ee800000003c";
    assert_eq!(
        shown(&zone),
        [
            format!("@ 60 6 {venera}{soa}"),
            format!("@ 60 2 {}", hex(b"\x01A\x03ISI\x03EDU\x00")),
            format!("@ 60 2 {venera}"),
            format!("@ 60 2 {vaxa}"),
            format!("@ 60 15 000a{venera}"),
            format!("@ 60 15 0014{vaxa}"),
            "a 60 1 1a030067".to_owned(),
            "venera 60 1 0a010034".to_owned(),
            "venera 60 1 80090020".to_owned(),
            "vaxa 60 1 0a02001b".to_owned(),
            "vaxa 60 1 80090021".to_owned(),
        ]
    );
    let lines: Vec<u32> = zone.iter().map(|(_, record)| record.line).collect();
    assert_eq!(lines, [3, 10, 11, 12, 13, 14, 16, 18, 19, 21, 22]);
    let (_, last) = zone.iter().last().unwrap();
    assert_eq!((zone.len(), zone.place(&last).0.to_string(), zone.place(&last).1), (11, "z".to_owned(), 22));
}

#[test]
fn ttl_and_class_stand_in_either_order_and_may_be_missing() {
    for line in [
        "a 60 IN A 1.2.3.4",
        "a IN 60 A 1.2.3.4",
        "a 60 A 1.2.3.4",
        "a 1m in a 1.2.3.4",
        "a class1 60S TYPE1 1.2.3.4",
    ] {
        assert_eq!(records(line), ["a 60 1 01020304"], "{line}");
    }
    assert_eq!(
        records("$TTL 1d\nMX IN A 1.2.3.4\n10 A 1.2.3.5\n"),
        ["mx 86400 1 01020304", "10 86400 1 01020305"]
    );
}

#[test]
fn a_text_may_end_without_a_line_break_and_lines_as_other_systems_end_them() {
    assert_eq!(records("a 60 A 1.2.3.4"), ["a 60 1 01020304"]);
    assert_eq!(
        records("\u{feff}a 60 A 1.2.3.4\r\n 60 A 1.2.3.5\r\n"),
        ["a 60 1 01020304", "a 60 1 01020305"]
    );
    assert_eq!(records(""), [""; 0]);
    assert_eq!(records("; only\n\n \t\n"), [""; 0]);
}

#[test]
fn a_missing_ttl_is_the_directives_or_the_last_given_or_the_soa_records_minimum() {
    assert_eq!(
        records("a 1h A 1.1.1.1\nb A 1.1.1.1\n$TTL 5\nc 7 A 1.1.1.1\nd A 1.1.1.1\n"),
        ["a 3600 1 01010101", "b 3600 1 01010101", "c 7 1 01010101", "d 5 1 01010101"]
    );
    let zone = parse("@ SOA a. b. 1 2 3 4 99\nc A 1.1.1.1\nd 7 A 1.1.1.1\ne A 1.1.1.1\n").unwrap();
    assert_eq!(
        messages(&zone.warnings),
        ["z:1:1: there is no TTL: the SOA record's minimum, 99 s, is used; say so with `$TTL 99`"]
    );
    assert!(zone.iter().map(|(_, record)| record.ttl_secs).eq([99, 99, 7, 99]));
    let zone = parse("@ 10 SOA a. b. 1 2 3 4 99\nc A 1.1.1.1\n").unwrap();
    assert!(zone.warnings.is_empty() && zone.iter().all(|(_, record)| record.ttl_secs == 10));
}

#[test]
fn timers_of_the_soa_record_have_units_and_its_serial_has_none() {
    assert_eq!(
        records("@ 60 SOA a. b. 4294967295 2h 15m 2w 1h30m"),
        ["@ 60 6 016100016200ffffffff00001c20000003840012750000001518"]
    );
    assert!(faults("@ 60 SOA a. b. 1h 2h 15m 2w 1m")[0].starts_with("z:1:16: the data of this `SOA` record"));
    assert!(faults("@ 60 SOA a. b. 1 2h 15q 2w 1m")[0].starts_with("z:1:21: the data of this `SOA` record"));
}

#[test]
fn owners_are_lower_case_and_data_stays_as_written() {
    assert_eq!(
        records("WwW 60 CNAME Target.Example.COM."),
        [format!("www 60 5 {}", hex(b"\x06Target\x07Example\x03COM\x00"))]
    );
    assert_eq!(
        records("*.W.EXAMPLE.com. 60 NS x"),
        [format!("*.w 60 2 {}", hex(b"\x01x\x07example\x03com\x00"))]
    );
}

#[test]
fn escapes_stand_for_any_octet() {
    assert_eq!(
        records("a\\.b 60 A 1.2.3.4\na\\032b 60 A 1.2.3.4\n\\@ 60 A 1.2.3.4\n"),
        [r"a\.b 60 1 01020304", r"a\032b 60 1 01020304", r"\@ 60 1 01020304"]
    );
    assert_eq!(
        records("\\000\\255 60 TXT \"a\\\"b;\tc\\009\" d\\ e"),
        [format!(r"\000\255 60 16 {}", hex(b"\x07a\"b;\tc\t\x03d e"))]
    );
}

#[test]
fn at_sign_is_the_origin_wherever_a_name_stands() {
    assert_eq!(
        records("a 60 CNAME @\n$ORIGIN Sub.example.com.\n@ 60 MX 10 @\nb 60 HTTPS 1 @\nc 60 RP @ @\n"),
        [
            format!("a 60 5 {}", hex(b"\x07example\x03com\0")),
            format!("sub 60 15 000a{}", hex(b"\x03Sub\x07example\x03com\0")),
            format!("b.sub 60 65 0001{}", hex(b"\x03Sub\x07example\x03com\0")),
            format!("c.sub 60 17 {0}{0}", hex(b"\x03Sub\x07example\x03com\0")),
        ]
    );
    assert_eq!(
        records("@ 60 SOA @ a 1 2 3 4 5"),
        [format!(
            "@ 60 6 {}",
            hex(b"\x07example\x03com\0\x01a\x07example\x03com\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05")
        )]
    );
    // With a backslash it is a label, and a text is what it says.
    assert_eq!(
        records("a 60 CNAME \\@\nb 60 TXT @\n"),
        [format!("a 60 5 {}", hex(b"\x01@\x07example\x03com\0")), "b 60 16 0140".to_owned()]
    );
    // Whatever the origin consists of.
    let text = "$ORIGIN a\\.b\\032\\\"\\;\\200\\@\\\\.example.com.\nx 60 CNAME @\n";
    let name = hex(b"\x09a.b \";\xC8@\\\x07example\x03com\0");
    assert_eq!(shown(&parse(text).unwrap())[0].rsplit(' ').next(), Some(&name[..]));
}

#[test]
fn parentheses_join_lines_and_comments_are_nothing() {
    assert_eq!(
        records("a 60 ( ; one ( \" \n IN\n) TXT ( \"x ; y\" ; two )\n ( z ) \"\"\n)\nb 60 A 1.2.3.4\n"),
        ["a 60 16 0578203b2079017a00", "b 60 1 01020304"]
    );
}

#[test]
fn names_of_other_zones_are_ignored_with_a_warning() {
    let zone = parse("a.example.net. 60 A 1.2.3.4\n 60 A 1.2.3.5\nexample.com.example.com 60 A 1.1.1.1\nxexample.com. 60 A 1.1.1.1\ncom. 60 A 1.1.1.1\n").unwrap();
    assert_eq!(shown(&zone), ["example.com.example.com 60 1 01010101"]);
    let warnings = messages(&zone.warnings);
    assert_eq!(
        warnings[0],
        "z:1:1: `a.example.net.` is not in the zone `example.com.`: the record is ignored (is a final dot missing or too \
         many?)"
    );
    let places: Vec<&str> = warnings.iter().map(|warning| warning.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["z:1:1", "z:2:2", "z:4:1", "z:5:1"]);
}

#[test]
fn an_apex_that_is_the_root_takes_every_name() {
    let zone = read_text("z", b"a 60 A 1.2.3.4\nb.c. 60 A 1.2.3.4\n. 60 A 1.2.3.4", None, b"\0").unwrap();
    assert_eq!(shown(&zone), ["a 60 1 01020304", "b.c 60 1 01020304", "@ 60 1 01020304"]);
}

#[test]
fn names_are_as_long_as_they_may_be() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(49));
    assert_eq!(records(&format!("{longest} 60 A 1.2.3.4")).len(), 1);
    assert!(faults(&format!("{longest}b 60 A 1.2.3.4"))[0].ends_with("the name is longer than 255 octets"));
    assert!(faults(&format!("x 60 CNAME {longest}b"))[0].ends_with("the name is longer than 255 octets"));
    assert!(faults(&format!("{label}a 60 A 1.2.3.4"))[0].ends_with("a label is longer than 63 octets"));
}

#[test]
fn texts_may_be_glued_to_each_other() {
    assert_eq!(records("a 60 TXT \"a\"\"b\"\nb 60 TXT a\"b\"\n"), ["a 60 16 01610162", "b 60 16 01610162"]);
    assert_eq!(
        records("a 60 SVCB 1 . alpn=\"h2,h3\" key65333=\"x y\"\n"),
        ["a 60 64 00010000010006026832026833ff350003782079"]
    );
}

#[test]
fn data_is_as_long_as_a_record_can_say() {
    let text = |count: usize| format!("a 60 TXT ( {} )\n", "\"\\120\"\n".repeat(count));
    let zone = parse(&text(32_767)).unwrap();
    assert!(zone.iter().all(|(_, record)| record.rdata.len() == 65_534));
    let found = faults(&text(32_768));
    assert!(found.len() == 1 && found[0].contains("this `TXT` record"), "{found:?}");
    let spf = text(32_768).replace("TXT", "SPF");
    assert_eq!(faults(&spf), ["z:1:12: the data of a record has at most 65535 octets"]);
}

#[test]
fn a_record_takes_little_more_than_its_octets() {
    let text: String = (0..50_000).map(|i| format!("host{i} 60 IN A 192.0.2.1\n")).collect();
    let zone = parse(&text).unwrap();
    let octets: usize = zone.iter().map(|(_, record)| record.owner.len() + record.rdata.len()).sum();
    assert_eq!(zone.len(), 50_000);
    assert!(zone.octets() < octets + 14 * zone.len() + (1 << 20), "{} for {octets}", zone.octets());
}
