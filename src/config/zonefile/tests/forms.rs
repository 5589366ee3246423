//! Text forms of record types against octets that RFCs or other servers give.

use super::*;
use crate::wire::message::Rtype;

/// Type, data in text, data in hexadecimal: examples of the RFCs where they have some. BIND's named-rrchecker reads all but
/// TA, DLV (shorter digests than it takes) and IPN (unknown to it) to the same octets.
pub(super) const FORMS: &[(&str, &str, &str)] = &[
    // RFC 1035.
    ("A", "192.0.2.1", "c0000201"),
    ("NS", "ns.example.net.", "026e73 076578616d706c65 036e6574 00"),
    ("MINFO", "a. b.", "016100 016200"),
    ("HINFO", "PC \"Net BSD\"", "025043 074e657420425344"),
    ("MX", "10 .", "000a 00"),
    ("TXT", "\"\" \"a b\" c\\;d", "00 03612062 03633b64"),
    // RFC 3596.
    ("AAAA", "2001:db8::192.0.2.1", "20010db8 00000000 00000000 c0000201"),
    // RFC 1183.
    ("AFSDB", "1 a.", "0001 016100"),
    ("RP", "a. b.", "016100 016200"),
    ("X25", "311061700956", "0c333131303631373030393536"),
    ("ISDN", "150862028003217 004", "0f313530383632303238303033323137 03303034"),
    ("ISDN", "150862028003217", "0f313530383632303238303033323137"),
    ("RT", "2 Relay.", "0002 0552656c617900"),
    // RFC 1706, 1712.
    (
        "NSAP",
        "0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00",
        "47000580005a0000000001e133ffffff00016100",
    ),
    ("NSAP-PTR", "a.", "016100"),
    ("GPOS", "-32.6882 116.8652 10.0", "082d33322e36383832 083131362e38363532 0431302e30"),
    // RFC 1876 §4.
    ("LOC", "42 21 54 N 71 06 18 W -24m 30m", "00 33 16 13 89 17 2d d0 70 be 15 f0 00 98 8d 20"),
    ("LOC", "42 21 43.952 N 71 5 6.344 W -24m 1m 200m", "00 12 24 13 89 17 06 90 70 bf 2d d8 00 98 8d 20"),
    ("LOC", "52 14 05 N 00 08 50 E 10m", "00 12 16 13 8b 35 56 c8 80 08 16 50 00 98 9a 68"),
    ("LOC", "32 7 19 S 116 2 25 E 10m", "00 12 16 13 79 1b 7d 28 98 e6 48 68 00 98 9a 68"),
    ("LOC", "42 21 28.764 N 71 00 51.617 W -44m 2000m", "00 25 16 13 89 16 cb 3c 70 c3 10 df 00 98 85 50"),
    ("LOC", "90 S 180 W -100000.00 90000000.00m 0.00m", "00 99 00 13 6c b0 27 00 59 60 4e 00 00 00 00 00"),
    // RFC 2163, 2230, 2782, 2915, 6672.
    ("PX", "10 a. b.", "000a 016100 016200"),
    ("KX", "10 a.", "000a 016100"),
    ("SRV", "0 5 5060 sip.", "0000 0005 13c4 0373697000"),
    (
        "NAPTR",
        "100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:a@b!\" .",
        "0064 000a 0175 074532552b736970 0e215e2e2a24217369703a61406221 00",
    ),
    ("DNAME", "a.", "016100"),
    // RFC 3123 §5.
    ("APL", "1:192.168.32.0/21 !1:192.168.38.0/28", "0001 15 03 c0a820 0001 1c 83 c0a826"),
    ("APL", "1:224.0.0.0/4 2:FF00:0:0:0:0:0:0:0/8", "0001 04 01 e0 0002 08 01 ff"),
    ("APL", "", ""),
    ("APL", "1:0.0.0.0/0", "0001 00 00"),
    // RFC 4034, 4398, 4255.
    (
        "DS",
        "60485 5 1 ( 2BB183AF5F22588179A53B0A 98631FAD1A292118 )",
        "ec45 05 01 2bb183af5f22588179a53b0a98631fad1a292118",
    ),
    (
        "DS",
        "60485 RSASHA1 1 2BB183AF5F22588179A53B0A98631FAD1A292118",
        "ec45 05 01 2bb183af5f22588179a53b0a98631fad1a292118",
    ),
    ("DNSKEY", "256 3 ED25519 AQID", "0100 03 0f 010203"),
    ("KEY", "256 3 5 AQ ID", "0100 03 05 010203"),
    (
        "NSEC",
        "host. ( A MX RRSIG NSEC TYPE1234 )",
        "04686f737400 0006 400100000003 041b 000000000000000000000000000000000000000000000000000020",
    ),
    (
        "RRSIG",
        "A RSASHA1 3 86400 20030322173103 20030220173103 2642 example.com. oJB1",
        "0001 05 03 00015180 3e7c9dd7 3e5510d7 0a52 076578616d706c6503636f6d00 a09075",
    ),
    ("CERT", "PKIX 1 RSASHA256 AQID", "0001 0001 08 010203"),
    ("CERT", "65534 65535 254 AQIDBA==", "fffe ffff fe 01020304"),
    (
        "SSHFP",
        "2 1 123456789abcdef67890123456789abcdef67890",
        "02 01 123456789abcdef67890123456789abcdef67890",
    ),
    // RFC 4025 §3.2.
    ("IPSECKEY", "10 1 2 192.0.2.38 AQNR", "0a 01 02 c0000226 010351"),
    ("IPSECKEY", "10 0 2 . AQNR", "0a 00 02 010351"),
    ("IPSECKEY", "10 3 2 mygateway. AQNR", "0a 03 02 096d796761746577617900 010351"),
    // RFC 4701 §3.6.1.
    (
        "DHCID",
        "AAIBY2/AuCccgoJbsaxcQc9TUapptP69l OjxfNuVAA2kjEA=",
        "000201 636fc0b8271c82825bb1ac5c41cf5351aa69b4febd94e8f17cdb95000da48c40",
    ),
    // RFC 5155, 6698, 8162, 7929.
    ("NSEC3PARAM", "1 0 12 aabbccdd", "01 00 000c 04aabbccdd"),
    (
        "NSEC3",
        "1 1 12 aabbccdd 2vptu5timamqttgl4luu9kg21e0aor3s A RRSIG",
        "01 01 000c 04aabbccdd 14 17f3df17b2b2adaef615257de4d2020b80ac6c7c 0006 400000000002",
    ),
    ("TLSA", "3 1 1 0d 6f", "03 01 01 0d6f"),
    ("SMIMEA", "3 0 0 aa bb", "03 00 00 aabb"),
    ("OPENPGPKEY", "AQID", "010203"),
    // RFC 8005 §6.
    (
        "HIP",
        "2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p9+LrV4e19WzK00+CI6zBCQTdtWsuxKbWIy87UOoJTwkUs7lBu+Upr1gsNrut79ryra+bSRGQb1slImA8YVJyuIDsj7kwzG7jnERNqnWxZ48AWkskmdHaVDP4BcelrTI3rMXdXF5D rvs.example.com. rvs2.",
        "10 02 0084 200100107b1a74df365639cc39f1d578 03010001b771ca136e4aeb5ce44333c53b3d2c13c22243851fc708bcce29f7e2eb5787b5f56ccad34f8223acc10904ddb56b2ec4a6d6232f3b50ea094f0914b3b941bbe529af582c36bbadefdaf2adaf9b4911906f5b2522603c615272b880ec8fb930cc6ee39c444daa75b1678f005a4b2499d1da5433f805c7a5ad3237acc5dd5c5e43 03727673076578616d706c6503636f6d00 047276733200",
    ),
    // Others of the registry.
    ("NINFO", "a \"b c\"", "0161 03622063"),
    ("RKEY", "0 3 5 AQID", "0000 03 05 010203"),
    ("TALINK", "a. b.", "016100 016200"),
    ("SPF", "\"v=spf1 -all\"", "0b763d73706631202d616c6c"),
    ("AVC", "a b", "0161 0162"),
    ("RESINFO", "qnamemin exterr=15-17", "08716e616d656d696e 0c6578746572723d31352d3137"),
    ("WALLET", "ETH 0x0", "03455448 03307830"),
    ("DLV", "60485 5 1 2BB1", "ec45 05 01 2bb1"),
    ("TA", "60485 5 1 2BB1", "ec45 05 01 2bb1"),
    ("IPN", "3735928559", "00000000deadbeef"),
    // RFC 7477 §2.1.1.2.
    ("CSYNC", "66 3 A NS AAAA", "00000042 0003 0004 60000008"),
    ("CSYNC", "66 3", "00000042 0003"),
    // RFC 6742.
    ("NID", "10 0014:4fff:ff20:ee64", "000a 00144fffff20ee64"),
    ("L32", "10 10.1.2.0", "000a 0a010200"),
    ("L64", "10 2001:0DB8:1140:1000", "000a 20010db811401000"),
    ("LP", "10 l64.", "000a 036c363400"),
    // RFC 7043.
    ("EUI48", "00-00-5e-00-53-2a", "00005e00532a"),
    ("EUI64", "00-00-5e-ef-10-00-00-2a", "00005eef1000002a"),
    // RFC 7553, 8659, 8777, 8976, 9460, 9859.
    (
        "URI",
        "10 1 \"ftp://ftp1.example.com/public\"",
        "000a 0001 6674703a2f2f667470312e6578616d706c652e636f6d2f7075626c6963",
    ),
    ("CAA", "0 issue \"ca1.example.net\"", "00 056973737565 6361312e6578616d706c652e6e6574"),
    ("CAA", "128 iodef \"\"", "80 05696f646566"),
    ("AMTRELAY", "10 0 1 203.0.113.15", "0a 01 cb00710f"),
    ("AMTRELAY", "10 1 3 amtrelays.", "0a 83 09616d7472656c61797300"),
    ("AMTRELAY", "128 1 0 .", "80 80"),
    (
        "ZONEMD",
        "2018031900 1 1 62e6cf51b02e54b9b5f967d547ce43136792901f9f88e637493daaf401c92c279dd10f0edb1c56f8080211f8480ee306",
        "7848b91c 01 01 62e6cf51b02e54b9b5f967d547ce43136792901f9f88e637493daaf401c92c279dd10f0edb1c56f8080211f8480ee306",
    ),
    // RFC 9460 appendix D.
    ("HTTPS", "0 foo.example.com.", "0000 03666f6f076578616d706c6503636f6d00"),
    ("SVCB", "1 .", "0001 00"),
    ("SVCB", "16 foo.example.com. port=53", "0010 03666f6f076578616d706c6503636f6d00 0003 0002 0035"),
    (
        "SVCB",
        "1 foo.example.com. key667=hello",
        "0001 03666f6f076578616d706c6503636f6d00 029b 0005 68656c6c6f",
    ),
    (
        "SVCB",
        "1 foo.example.com. key667=\"hello\\210qoo\"",
        "0001 03666f6f076578616d706c6503636f6d00 029b 0009 68656c6c6fd2716f6f",
    ),
    (
        "SVCB",
        "1 foo.example.com. ipv6hint=\"2001:db8::1,2001:db8::53:1\"",
        "0001 03666f6f076578616d706c6503636f6d00 0006 0020 20010db8000000000000000000000001 20010db8000000000000000000530001",
    ),
    (
        "SVCB",
        "16 foo.example.org. ( alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1 )",
        "0010 03666f6f076578616d706c65036f726700 0000 0004 0001 0004 0001 0009 026832 0568332d3139 0004 0004 c0000201",
    ),
    ("DSYNC", "CDS NOTIFY 5359 cds-scanner.", "003b 01 14ef 0b6364732d7363616e6e657200"),
];

#[test]
fn every_type_has_its_known_wire_form() {
    for (rtype, text, wire) in FORMS {
        let line = format!("a 60 {rtype} {text}\n");
        let zone = parse(&line).unwrap_or_else(|unread| panic!("{line}: {:?}", messages(&unread.faults)));
        let (_, record) = zone.iter().next().unwrap();
        assert_eq!(hex(record.rdata), wire.replace(' ', ""), "{line}");
        // The same as generic data.
        let generic = format!("a 60 TYPE{} \\# {} {wire}\n", record.rtype.0, record.rdata.len());
        assert_eq!(records(&generic), shown(&zone), "{generic}");
    }
}

#[test]
fn names_are_found_and_folded_by_type() {
    let of = |text: &str| {
        let zone = parse(text).unwrap();
        let (_, record) = zone.iter().next().unwrap();
        let mut canonical = Vec::new();
        canonical_rdata(record.rtype, record.rdata, &mut canonical);
        let folded = canonical.iter().zip(record.rdata).any(|(a, b)| a != b);
        let names: Vec<_> = names_in(record.rtype, record.rdata)
            .map(|super::super::types::NameField { at, len, compressible }| (at, len, compressible))
            .collect();
        (names, folded)
    };
    assert_eq!(of("a 60 MX 10 Ab.Cd."), (vec![(2, 7, true)], true));
    assert_eq!(of("@ 60 SOA A. Bc. 1 2 3 4 5"), (vec![(0, 3, true), (3, 4, true)], true));
    assert_eq!(of("a 60 SRV 1 2 3 A."), (vec![(6, 3, false)], true));
    assert_eq!(of("a 60 NAPTR 1 2 A B C D."), (vec![(10, 3, false)], true));
    assert_eq!(of("a 60 NSEC A. A"), (vec![(0, 3, false)], false));
    assert_eq!(of("a 60 SVCB 1 A. alpn=H2"), (vec![(2, 3, false)], false));
    assert_eq!(of("a 60 TXT \"Ab.Cd.\""), (vec![], false));
    assert_eq!(of("a 60 IPSECKEY 10 3 2 A. AQID"), (vec![(3, 3, false)], false));
    assert_eq!(of("a 60 IPSECKEY 10 1 2 192.0.2.1 AQID"), (vec![], false));
    assert_eq!(of("a 60 HIP 2 00 AQID A. Bc."), (vec![(8, 3, false), (11, 4, false)], false));
    assert_eq!(
        of("a 60 TYPE38 \\# 20 40 0001020304050607 09 61 61 61 61 41 41 41 41 41 00"),
        (vec![(9, 11, false)], true)
    );
    assert_eq!(names_in(Rtype(65400), b"\x01a\0").count(), 0);
}

#[test]
fn the_canonical_form_is_the_one_of_the_domain_crate() {
    use domain::base::iana::Class;
    use domain::base::name::Name as DomainName;
    use domain::base::rdata::ComposeRecordData;
    use domain::zonefile::inplace::{Entry, Zonefile};
    for data in [
        "NS Ab.C.",
        "MD Ab.C.",
        "CNAME Ab.C.",
        "SOA Ab.C. D.E. 1 2 3 4 5",
        "MB Ab.C.",
        "MR Ab.C.",
        "PTR Ab.C.",
        "MINFO Ab.C. D.E.",
        "MX 10 Ab.C.",
        "RP Ab.C. D.E.",
        "SRV 1 2 3 Ab.C.",
        "NAPTR 1 2 A B C Ab.C.",
        "DNAME Ab.C.",
        "NSEC Ab.C. A",
        "HTTPS 1 Ab.C.",
        "RRSIG A 13 2 60 20200101000000 20200101000000 1 Ab.C. AQID",
        "IPSECKEY 10 3 2 Ab.C. AQID",
        "TXT Ab.C.",
        "CAA 0 issue Ab.C",
    ] {
        let line = format!("@ 60 IN {data}\n");
        let mut zonefile = Zonefile::from(line.as_str());
        zonefile.set_origin(DomainName::bytes_from_str("example.com").unwrap());
        zonefile.set_default_class(Class::IN);
        let Ok(Some(Entry::Record(theirs))) = zonefile.next_entry() else { panic!("{line}") };
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        theirs.data().compose_canonical_rdata(&mut expected).unwrap();
        let zone = parse(&line).unwrap();
        let (_, record) = zone.iter().next().unwrap();
        canonical_rdata(record.rtype, record.rdata, &mut found);
        assert_eq!(hex(&found), hex(&expected), "{line}");
    }
}
