//! What the zone above must be told.

use super::*;
use crate::config::zone::delegation::Delegation;

/// What is printed for a zone of a configuration with the file `z`, or why nothing is.
fn printed(config: &str, text: &str, zone: &str) -> String {
    let folder = folder(config, &[("z", text)]);
    let loaded = load_in(&folder).unwrap_or_else(|report| panic!("{report}"));
    match Delegation::of(&loaded, zone) {
        Ok(delegation) => delegation.to_string().replace('\t', " "),
        Err(error) => error.to_string().replace(&format!("{}/", folder.path().display()), ""),
    }
}

const ONE: &str = "zones: {example.com: {file: z}}\n";

#[test]
fn name_servers_and_glue_inside_the_zone_are_printed() {
    let expected = "example.com. 3600 IN NS ns1.example.com.\nexample.com. 3600 IN NS ns2.example.net.\n\
                    ns1.example.com. 3600 IN A 192.0.2.53\nns1.example.com. 3600 IN AAAA 2001:db8::53\n";
    for name in ["example.com", "EXAMPLE.com."] {
        assert_eq!(printed(ONE, &format!("{HEAD}ns1 AAAA 2001:db8::53\nns1 TXT \"x\"\n"), name), expected);
    }
}

#[test]
fn case_of_hosts_does_not_matter_and_servers_are_told_once() {
    let text = "$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 60\n@ NS NS1\n@ NS ns1\nNs1 A 192.0.2.53\n";
    let expected = "example.com. 3600 IN NS NS1.example.com.\nNS1.example.com. 3600 IN A 192.0.2.53\n";
    assert_eq!(printed(ONE, text, "example.com"), expected);
}

#[test]
fn servers_that_nobody_could_reach_are_told() {
    let config = format!(
        "globalnames: {{ns3.example.com: p, '*.w.example.com': p}}\n{POOL}zones: {{example.com: {{file: z}}}}\n"
    );
    let text = format!("{HEAD}@ NS ns3\n@ NS bare\n@ NS a.v\n*.v A 192.0.2.54\n@ NS a.w\n");
    let printed = printed(&config, &text, "example.com");
    for line in [
        "; ns3.example.com. is answered from a pool: give the parent addresses of this server that stay",
        "; bare.example.com. lies in the zone but has no address in it: nobody can reach it",
        "a.v.example.com. 3600 IN A 192.0.2.54",
        "; a.w.example.com. is answered from a pool: give the parent addresses of this server that stay",
    ] {
        assert!(printed.lines().any(|found| found == line), "no {line} in\n{printed}");
    }
}

#[test]
fn zones_without_a_file_and_names_that_are_their_own_apex_have_one_too() {
    let config = format!(
        "server: {{ns: [ns1.example.net, ns1.alone.test]}}\nglobalnames: {{alone.test: p, ns1.example.com: p}}\n{POOL}\
         zones: {{example.com: {{ns: [ns1.example.com, ns2.example.net]}}, other.test: {{file: z, ns: [a.other.test]}}}}\n"
    );
    let file = "$TTL 5\n@ SOA a b 1 7200 900 1209600 60\na A 192.0.2.7\n";
    assert_eq!(
        printed(&config, file, "example.com"),
        "example.com. 3600 IN NS ns1.example.com.\nexample.com. 3600 IN NS ns2.example.net.\n\
         ; ns1.example.com. is answered from a pool: give the parent addresses of this server that stay\n"
    );
    assert_eq!(
        printed(&config, file, "alone.test"),
        "alone.test. 3600 IN NS ns1.example.net.\nalone.test. 3600 IN NS ns1.alone.test.\n\
         ; ns1.alone.test. lies in the zone but has no address in it: nobody can reach it\n"
    );
    // Name servers are the configuration's, their addresses the file's.
    assert_eq!(
        printed(&config, file, "other.test"),
        "other.test. 3600 IN NS a.other.test.\na.other.test. 3600 IN A 192.0.2.7\n"
    );
}

#[test]
fn what_is_no_zone_here_has_none() {
    let config = format!(
        "globalnames: {{alone.test: p}}\n{POOL}zones: {{example.com: {{file: z}}, .: {{ns: a.test}}}}\n"
    );
    assert_eq!(printed(&config, HEAD, "."), "the root has no zone above it");
    let config = config.replace(", .: {ns: a.test}", "");
    for (name, why) in [
        ("a..b", "`a..b` is not a domain name: the name has an empty label (two dots in a row)"),
        (
            "www.example.com",
            "www.example.com. is neither a zone nor a globalname outside every zone (zones are `example.com.`)",
        ),
        ("alone.test", "alone.test. is an apex of its own, but `server.ns` names no name servers"),
    ] {
        assert_eq!(printed(&config, HEAD, name), why);
    }
    let none = format!("globalnames: {{alone.test: p}}\n{POOL}");
    assert_eq!(
        printed(&none, "", "x.test"),
        "x.test. is neither a zone nor a globalname outside every zone (zones are none)"
    );
    assert_eq!(
        printed(ONE, "$TTL 5\n@ SOA a b 1 7200 900 1209600 60\n", "example.com"),
        "the zone example.com. cannot be served\n\
         z: the zone has no NS records at its apex: put them there, or give `ns` in the configuration"
    );
}
