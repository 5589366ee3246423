//! Zones for comparisons: every common type, and every way in which a name can be absent, led elsewhere or made up.

use std::fmt::Write;
use std::path::Path;

use steerd::wire::name::Name;

/// Apex of the large zone.
pub(crate) const APEX: &str = "t.example";
/// Zones and their files.
pub(crate) const FILES: &[(&str, &str)] =
    &[(APEX, "t.zone"), ("kid.t.example", "kid.zone"), ("other.example", "other.zone")];
/// Types asked for: A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, NAPTR, DNAME, DS, SSHFP, DNSKEY, TLSA, HTTPS, CAA, a type without
/// a name.
pub(crate) const TYPES: &[u16] = &[1, 2, 5, 6, 15, 16, 28, 33, 39, 43, 65, 257, 65_400];
/// Types as tools write them, where that is no `TYPE` and a number.
#[allow(dead_code, reason = "of use to who reads a tool's file")]
const TYPE_NAMES: &[(&str, u16)] = &[
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DNAME", 39),
    ("DS", 43),
    ("SSHFP", 44),
    ("RRSIG", 46),
    ("DNSKEY", 48),
    ("NSEC3PARAM", 51),
    ("HTTPS", 65),
    ("CAA", 257),
];

/// The number of a type as tools write it.
#[allow(dead_code, reason = "of use to who reads a tool's file")]
pub(crate) fn type_number(name: &str) -> u16 {
    let known = TYPE_NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    known.or_else(|| name.strip_prefix("TYPE")?.parse().ok()).unwrap_or_else(|| panic!("{name}"))
}

/// Names of each kind.
const EACH: usize = 90;

/// What every kind of name looks like; `%` is a number.
const KINDS: &str = "
host% A 192.0.2.1
host% AAAA 2001:db8::%
multi% A 198.51.100.1
multi% A 198.51.100.2
multi% A 198.51.100.3
mail% MX 10 host%
mail% MX 20 mx.other.example.
mail% MX 30 q.wild%
mail% TXT \"v=spf1 -all\"
Mixed%.CaSe TXT \"case\"
a.b.c.deep% A 192.0.2.3
txt% TXT \"first\" \"second; with \\\"quotes\\\"\"
types% CAA 0 issue \"ca.example\"
types% SSHFP 4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
types% TYPE65400 \\# 4 01020304
types% HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.%
types% NAPTR 10 10 \"u\" \"E2U+sip\" \"!^.*$!sip:x@example!\" .
_sip._tcp.srv% SRV 1 2 5060 host%
_sip._tcp.srv% SRV 2 2 5060 multi%
alias% CNAME host%
second% CNAME alias%
third% CNAME second%
nowhere% CNAME missing%
toent% CNAME b.c.deep%
outside% CNAME www.elsewhere.example.
toother% CNAME www.other.example.
tokid% CNAME www.kid
towild% CNAME q.wild%
tocut% CNAME www.cut%
todname% CNAME a.dn%
*.wild% A 192.0.2.4
*.wild% MX 10 host%
x.wild% TXT \"x\"
y.ent.wild% TXT \"y\"
*.cwild% CNAME host%
*.awild% CNAME alias%
dn% DNAME c.deep%
dn% TXT \"dname owner\"
dnout% DNAME nowhere.elsewhere.example.
dnsib% DNAME t.example.
cut% NS ns.cut%
cut% NS ns.sib%
cut% NS ns.elsewhere.example.
cut% NS host%
ns.cut% A 192.0.2.10
ns.cut% AAAA 2001:db8::10
cut% DS 1 13 2 b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17
sib% NS ns.sib%
ns.sib% A 192.0.2.11
plain% NS ns.elsewhere.example.
z.parent% A 192.0.2.14
*.parent% TXT \"any\"
parent% MX 10 @
x.top.late% A 192.0.2.15
late% TXT \"late\"
top.late% CNAME @
sub.*.bare% A 192.0.2.16
esc\\.aped% A 192.0.2.12
sp\\032ace% A 192.0.2.13
";

/// Writes the zones' files; returns every name to ask for.
pub(crate) fn write(folder: &Path) -> Vec<Name> {
    let mut zone = String::from(
        "$ORIGIN t.example.\n$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 60\n@ NS ns1\n@ NS ns2.other.example.\n@ MX 10 host1\n\
         @ TXT \"apex\"\nns1 A 192.0.2.1\nns1 AAAA 2001:db8::1\n\
         kid NS ns1.kid\nkid DS 1 13 2 b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17\nns1.kid A 192.0.2.20\n\
         dnlong DNAME aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.\
         cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.elsewhere.example.\n",
    );
    for at in 0..40 {
        writeln!(zone, "big TXT \"{at:0>100}\"").unwrap();
    }
    let mut names: Vec<String> =
        ["@", "kid", "www.kid", "ns1.kid", "big", "x.big", "nothing", "ns1", "*"].map(str::to_owned).to_vec();
    names.push(format!("{}.dnlong", "d".repeat(63)));
    names.push("x.dnlong".to_owned());
    for number in 0..EACH {
        let number = number.to_string();
        let text = KINDS.trim_start().replace('%', &number);
        for line in text.lines() {
            names.push(line.split(' ').next().unwrap().to_owned());
        }
        zone += &text;
        for name in [
            "q.wild%",
            "p.q.wild%",
            "*.wild%",
            "z.x.wild%",
            "z.ent.wild%",
            "ent.wild%",
            "z.*.wild%",
            "q.cwild%",
            "q.awild%",
            "b.c.deep%",
            "c.deep%",
            "x.host%",
            "a.dn%",
            "a.b.dn%",
            "x.dnout%",
            "host%.dnsib%",
            "host%.dnsib%.dnsib%",
            "x.dnsib%",
            "www.cut%",
            "deep.www.cut%",
            "ns.cut%",
            "x.ns.cut%",
            "www.plain%",
            "www.sib%",
            "missing%",
            "HOST%",
            "tcp.srv%",
            "q.parent%",
            "y.top.late%",
            "q.bare%",
            "*.bare%",
            "p.q.bare%",
            "q.*.bare%",
            "bare%",
        ] {
            names.push(name.replace('%', &number));
        }
    }
    std::fs::write(folder.join("t.zone"), zone).unwrap();
    std::fs::write(
        folder.join("kid.zone"),
        "$ORIGIN kid.t.example.\n$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 60\n@ NS ns1\nns1 A 192.0.2.20\nwww A 192.0.2.21\n\
         up CNAME host1.t.example.\n",
    )
    .unwrap();
    std::fs::write(
        folder.join("other.zone"),
        "$ORIGIN other.example.\n$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 60\n@ NS ns1\n@ NS ns2\nns1 A 192.0.2.30\nns2 A 192.0.2.31\n\
         mx A 192.0.2.32\nwww A 192.0.2.33\nback CNAME alias1.t.example.\n",
    )
    .unwrap();
    names.sort();
    names.dedup();
    let mut wire: Vec<Name> = names
        .iter()
        .map(|name| if name == "@" { APEX.to_owned() } else { format!("{name}.{APEX}") })
        .map(|name| Name::from_text(&name).unwrap())
        .collect();
    for extra in
        ["up.kid.t.example", "back.other.example", "other.example", "x.other.example", "kid.t.example"]
    {
        wire.push(Name::from_text(extra).unwrap());
    }
    wire
}
