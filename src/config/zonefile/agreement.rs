//! Both ways to read a line held against each other: with the fast one and without it, a text gives the same records,
//! faults and warnings. For tests and fuzzing; no part of the program.

use std::sync::Arc;

use super::reader::{Pace, read_text};
use super::types::check;
use super::{RawZone, Unread, ZoneFault, canonical_rdata, names_in};
use crate::wire::name::{Name, uncompressed_len};

/// Everything that can be seen of a record.
type Seen = (Vec<u8>, u16, u32, Vec<u8>, Arc<str>, u32);

fn seen(result: Result<RawZone, Unread>) -> Result<(Vec<Seen>, Vec<ZoneFault>), Vec<ZoneFault>> {
    let zone = result.map_err(|unread| unread.faults)?;
    let records = zone.iter().map(|(handle, record)| {
        assert_eq!(zone.get(handle), record);
        let (file, line) = zone.place(&record);
        let (owner, rdata) = (record.owner.to_vec(), record.rdata.to_vec());
        (owner, record.rtype.0, record.ttl_secs, rdata, file.clone(), line)
    });
    Ok((records.collect(), zone.warnings.clone()))
}

/// Reads a text as the zone `apex` in both ways; the number of its records, or of its faults.
///
/// # Panics
/// When the two ways differ, or what they read is no wire form.
pub fn zone_agrees(text: &[u8], apex: &Name) -> Result<usize, usize> {
    let apex = apex.to_lowercase();
    let read = |pace| read_text("zone", text, None, apex.as_wire(), pace);
    let zone = read(Pace::Fast);
    if let Ok(zone) = &zone {
        for (_, record) in zone.iter() {
            let owner = [record.owner, apex.as_wire()].concat();
            assert_eq!(uncompressed_len(&owner, 0), Ok(owner.len()));
            assert!(!owner.iter().any(u8::is_ascii_uppercase));
            assert!(record.ttl_secs <= super::units::MAX_TTL_SECS && record.line > 0);
            assert_eq!(check(record.rtype, record.rdata), Ok(()), "{:?}", record.rtype);
            for name in names_in(record.rtype, record.rdata) {
                assert_eq!(uncompressed_len(record.rdata, name.at), Ok(name.len));
            }
            let mut canonical = Vec::new();
            canonical_rdata(record.rtype, record.rdata, &mut canonical);
            assert!(canonical.eq_ignore_ascii_case(record.rdata));
        }
    }
    let (fast, slow) = (seen(zone), seen(read(Pace::General)));
    assert_eq!(fast, slow, "{}", String::from_utf8_lossy(text));
    match fast {
        Ok((records, _)) => Ok(records.len()),
        Err(faults) => Err(faults.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agrees(text: &str) -> Result<usize, usize> {
        zone_agrees(text.as_bytes(), &Name::from_text("Example.com").unwrap())
    }

    /// A line that is plain, or nearly.
    fn line() -> impl Strategy<Value = String> {
        let owner = prop::sample::select(
            &[
                "a",
                "A.b",
                "*.c",
                "",
                "",
                " ",
                "x.example.com.",
                "y.net.",
                "@",
                ".",
                "a..b",
                "a.",
                "7",
                "IN",
                "\"q\"",
                "$x",
                "_s._t",
            ][..],
        );
        let ttl = prop::sample::select(
            &["", "60", "60 ", "2147483648", "0060", "1h", "99999999999", "18446744073709551676"][..],
        );
        let class = prop::sample::select(&["", "", "IN", "in", "CH", "IN IN"][..]);
        let rtype = prop::sample::select(&["A", "aaaa", "NS", "CNAME", "PTR", "MX", "TXT", "SRV", "SOA"][..]);
        let data = prop::sample::select(
            &[
                "192.0.2.1",
                "192.0.2.01",
                "1.2.3",
                "::1",
                "::ffff:192.0.2.1",
                "1::2::3",
                "ns",
                "NS.x.",
                ".",
                "@",
                "a..b",
                "10 m",
                "65536 m",
                "010 m",
                "+1 m",
                "\"\"",
                "\"a b; (c)\"",
                "\"a\" \"b\"",
                "\"a\"b",
                "\"a\\\"b\"",
                "\"a\tb\"",
                "\"a",
                "x",
                "\\# 0",
                "\"\u{fc}\"",
                "192.0.2.1 x",
                "ns x",
                "\"x\"(",
                "a.b/c",
                "a,b",
            ][..],
        );
        let end = prop::sample::select(
            &["", " ", "\t", "\r", " \r", "\rx", ";", " ; \u{fc} (\"", "; x", " (\n)", " )", "\\"][..],
        );
        let space = prop::sample::select(&[" ", "  ", "\t", " \t"][..]);
        let words = (owner, ttl, class, any::<bool>(), rtype, data, end, space);
        words.prop_map(|(owner, ttl, class, swapped, rtype, data, end, space)| {
            let (first, second) = if swapped { (class, ttl) } else { (ttl, class) };
            format!("{owner}{space}{first}{space}{second}{space}{rtype}{space}{data}{end}\n")
        })
    }

    #[test]
    fn usual_lines_are_read_fast() {
        let mut buffers = (Vec::new(), Vec::new());
        let mut fast = |line: &str| {
            super::super::line::read(line.as_bytes(), b"\x03com\0", &mut buffers.0, &mut buffers.1).is_some()
        };
        for line in [
            "host1 IN A 192.0.2.1",
            "host1.x. A 192.0.2.1\r",
            " 60 IN AAAA ::1 ; x",
            "a IN 60 NS ns",
            "*.a mx 10 m",
            "a TXT \"x y\"",
            "_x\tPTR\ta.b.",
        ] {
            assert!(fast(line), "{line}");
        }
        for line in [
            "",
            " ",
            "; x",
            "@ A 192.0.2.1",
            "a 1h A 192.0.2.1",
            "a TXT x",
            "a SRV 1 2 3 a",
            "a A ( 192.0.2.1 )",
        ] {
            assert!(!fast(line), "{line}");
        }
    }

    #[test]
    fn names_at_their_limits_agree() {
        for len in 45..55 {
            let label = "a".repeat(63);
            let name = format!("{label}.{label}.{label}.{}", "b".repeat(len));
            let _ = agrees(&format!("{name} 60 A 192.0.2.1\nx 60 NS {name}\nx 60 NS {name}.b.\n"));
        }
        for len in 62..66 {
            let _ = agrees(&format!("{} 60 A 192.0.2.1\n", "a".repeat(len)));
        }
        for len in 250..260 {
            let _ = agrees(&format!("a 60 TXT \"{}\"\n", "b".repeat(len)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn lines_read_the_same_in_both_ways(lines in prop::collection::vec(line(), 1..5), origin in any::<bool>()) {
            let _ = agrees(&lines.concat());
            let origin = if origin { "$ORIGIN sub\n" } else { "$TTL 5\n" };
            let _ = agrees(&format!("{origin}{}", lines.concat()));
        }

        #[test]
        fn broken_lines_read_the_same_in_both_ways(
            lines in prop::collection::vec(line(), 1..3), at in any::<prop::sample::Index>(), with in "[ -~\t\r\n]{0,2}"
        ) {
            let mut text: Vec<char> = lines.concat().chars().collect();
            let at = at.index(text.len());
            text.splice(at..=at, with.chars());
            let _ = agrees(&text.iter().collect::<String>());
        }
    }
}
