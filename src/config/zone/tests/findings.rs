//! What makes a delegation fail in practice: each finding with its text and place.

use super::*;

#[test]
fn timers_and_mailbox_of_the_soa_are_judged() {
    let soa = |numbers: &str, rname: &str| {
        said_with(
            "zones: {example.com: {file: z}}\n",
            &HEAD.replace("host 1 7200 900 1209600 60", &format!("{rname} 1 {numbers}")),
        )
    };
    assert_eq!(soa("7200 900 1209600 60", "host\\.master"), [""; 0]);
    assert_eq!(
        soa("100 200 300 86401", "host"),
        [
            "warning z:2: expire (300 s) is not longer than refresh and retry together (100 + 200 s): secondaries give up too early",
            "warning z:2: retry (200 s) is longer than refresh (100 s): make it a part of that",
        ]
    );
    // The record's own TTL of 300 s is the smaller one; with a longer one the minimum counts.
    let long = HEAD.replace("$TTL 300", "$TTL 100000").replace(" 60\n", " 90000\n");
    assert_eq!(
        said_with("zones: {example.com: {file: z}}\n", &long),
        [
            "warning z:2: negative answers may be kept for 90000 s, more than a day: a new name stays unseen as long; one to three hours are usual"
        ]
    );
    let never = "warning z:2: negative answers may not be kept at all (minimum or TTL of the SOA record is 0): each such query comes here; 60 s or more are usual";
    assert_eq!(soa("7200 900 1209600 0", "host"), [never]);
    assert_eq!(
        soa("7200 900 1209600 60", "host@example.org."),
        [
            "warning z:2: `host\\@example.org.` has an `@`: in an SOA record the mailbox is written with a dot in its place"
        ]
    );
}

#[test]
fn names_that_repeat_the_zones_name_are_told() {
    let text = HEAD.replace("SOA ns1 host", "SOA ns1.example.com host.example.com");
    let text = format!(
        "{text}ns2.example.com.example.com. A 192.0.2.2\n@ NS ns2.example.com\nm MX 10 m.example.com\nx NS ns.example.com\n"
    );
    let repeats = "repeats the name of its zone: a final dot is missing, or the zone's name is given twice";
    assert_eq!(
        said_with("zones: {example.com: {file: z}}\n", &text),
        [
            format!("warning z:2: `ns1.example.com.example.com.` {repeats}"),
            format!("warning z:2: `host.example.com.example.com.` {repeats}"),
            format!("warning z:7: `ns2.example.com.example.com.` {repeats}"),
            format!("warning z:8: `m.example.com.example.com.` {repeats}"),
            format!("warning z:9: `ns.example.com.example.com.` {repeats}"),
        ]
    );
}

#[test]
fn name_servers_are_two_and_each_is_a_host_with_an_address_that_stays() {
    let one = "the zone has one name server: where that fails, nobody finds it; name two or more (RFC 2182 section 5)";
    let text = "$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 60\n@ NS ns1\n@ NS NS1\nns1 A 192.0.2.53\n";
    assert_eq!(said_with("zones: {example.com: {file: z}}\n", text), [format!("warning z:3: {one}")]);
    let given = "zones: {example.com: {file: z, ns: [ns1.example.net]}}\n";
    assert_eq!(
        said_with(given, "$TTL 5\n@ SOA ns1 host 1 7200 900 1209600 60\n"),
        [format!("warning z: {one}")]
    );
    assert_eq!(
        said(
            "; one\n; two\n@ NS bare\n@ NS alias\nalias CNAME ns1\n@ NS inner\ninner A 10.0.0.1\ninner AAAA fe80::1\n"
        ),
        [
            "warning z:8: the name server `bare.example.com.` lies in this zone but has no address here: add A or AAAA records for it",
            "warning z:9: the name server `alias.example.com.` is an alias, which resolvers do not follow (RFC 2181 section 10.3): name the host itself",
            "warning z:11: the name server `inner.example.com.` has the address 10.0.0.1, which cannot be reached from elsewhere: the parent can give no such glue",
        ]
    );
    let config = format!(
        "globalnames: {{ns3.example.com: p, '*.pool.example.com': p}}\n{POOL}zones: {{example.com: {{file: z}}}}\n"
    );
    assert_eq!(
        said_with(&config, &format!("{HEAD}@ NS ns3\n@ NS ns4.pool\n")),
        [
            "warning z:6: the name server `ns3.example.com.` is a globalname: the parent's glue does not follow its pool; give it addresses that stay",
            "warning z:7: the name server `ns4.pool.example.com.` is a globalname: the parent's glue does not follow its pool; give it addresses that stay",
        ]
    );
}

#[test]
fn addresses_in_place_of_names_are_told() {
    assert_eq!(
        said("@ NS 192.0.2.1.\n@ NS 192.0.2.2\n"),
        [
            "warning z:6: the name server `192.0.2.1` is an address, where a name is wanted: give it a name, and that an address record",
            "warning z:7: the name server `192.0.2.2` is an address, where a name is wanted: give it a name, and that an address record",
        ]
    );
}

#[test]
fn delegations_have_glue_and_mail_hosts_are_no_aliases() {
    assert_eq!(
        said(
            "cut NS ns.cut\ncut NS ns2.cut\nns2.cut A 192.0.2.1\nsib NS host.cut\nout NS ns.test.\n@ MX 10 mail\nmail CNAME ns1\n@ MX 20 x.cut\n"
        ),
        [
            "warning z:6: `cut.example.com.` is delegated to `ns.cut.example.com.`, which lies below a zone cut and has no address here: add A or AAAA records as glue",
            "warning z:9: `sib.example.com.` is delegated to `host.cut.example.com.`, which lies below a zone cut and has no address here: add A or AAAA records as glue",
            "warning z:11: the mail host `mail.example.com.` is an alias, which some senders refuse (RFC 2181 section 10.3): name the host itself",
        ]
    );
}

#[test]
fn of_the_same_kind_not_all_are_told() {
    let text: String = (0..50).map(|at| format!("c{at} NS ns.c{at}\n")).collect();
    assert_eq!(said(&text).len(), 10);
}

#[test]
fn hosts_that_a_wildcard_stands_for_have_its_addresses() {
    assert_eq!(said("@ NS a.w\n*.w A 192.0.2.1\n"), [""; 0]);
    // Not those that exist themselves, or lie below what does.
    let bare = |line: u32, host: &str| {
        format!(
            "warning z:{line}: the name server `{host}.example.com.` lies in this zone but has no address here: add A or AAAA records for it"
        )
    };
    assert_eq!(
        said("@ NS b.w\n@ NS x.b.w\n*.w A 192.0.2.1\nb.w TXT \"x\"\n"),
        [bare(6, "b.w"), bare(7, "x.b.w")]
    );
    assert_eq!(said("@ NS c.w\n*.w TXT \"x\"\n"), [bare(6, "c.w")]);
}
