//! What a configuration of pools of pools can have wrong.

use super::*;
use steerd::config::report::Severity;

/// `line:column: words` of the errors of pools `a`, `b` and so on.
fn errors(pools: &str) -> Vec<String> {
    let text = format!("globalnames: {{n.example: a}}\npools:\n{pools}");
    let report = load_str("f", &text).expect_err("errors");
    let shown = |brief: String| brief.trim_start_matches("f:").trim_start().to_owned();
    let errors = report.diagnostics().iter().filter(|one| one.severity == Severity::Error);
    errors.map(|one| shown(one.brief().to_string())).collect()
}

#[test]
fn each_mistake_is_an_error_at_its_place() {
    let forced = "monitor: forced, monitor_params: {status: up}";
    assert_eq!(
        errors(
            "  a: {lb_method: wrr, members: [{pool: b}]}\n  b: {lb_method: wrr, members: [{pool: c}]}\n  c: {lb_method: wrr, members: [{pool: a}]}\n"
        ),
        ["5:40: the pool `a` is a member of itself: `a > b > c > a`"]
    );
    assert_eq!(
        errors(&format!(
            "  a: {{lb_method: wrr, members: [{{pool: web}}, {{pool: b}}, {{pool: b}}, {{pool: b, ip: 192.0.2.1}}, {{ip: 192.0.2.2, region: x}}, {{weight: 1}}], {forced}}}\n  webs: {{lb_method: hash, members: [192.0.2.3], {forced}}}\n  b: {{lb_method: wrr, members: [192.0.2.1], {forced}}}\n"
        )),
        [
            "3:40: the pool `web` is a member and not defined in `pools` (did you mean `webs`?)",
            "3:64: the pool `b` is given twice (first given on line 3)",
            "3:75: the pool `b` is given twice (first given on line 3)",
            "3:78: `ip` is for members that are addresses",
            "3:110: `region` is for members that are pools",
            "3:122: `ip` is missing in a member (accepted are IPv4 and IPv6 addresses, or in its place `pool` with a pool's name)",
        ]
    );
    assert_eq!(
        errors(&format!(
            "  a: {{lb_method: wrr, members: [{{pool: b}}]}}\n  b: {{lb_method: hash, members: [192.0.2.1], {forced}}}\n"
        ))
        .len(),
        1
    );
    let deep: String = (0..10)
        .map(|at| {
            let below = char::from(b'b' + at);
            format!("  {}: {{lb_method: wrr, members: [{{pool: {below}}}]}}\n", char::from(b'a' + at))
        })
        .chain([format!("  k: {{lb_method: wrr, members: [192.0.2.1], {forced}}}\n")])
        .collect();
    assert_eq!(errors(&deep), ["4:3: more than 8 pools lie below one another"]);
}

#[test]
fn names_are_answered_by_the_pool_that_lists_them_alone() {
    let forced = "monitor: forced, monitor_params: {status: up}";
    let named = format!(
        "  a: {{lb_method: wrr, members: [{{pool: b}}]}}\n  b: {{lb_method: wrr, members: [{{cname: x.example.net}}], {forced}}}\n"
    );
    assert_eq!(
        errors(&named),
        [
            "3:3: the pool `b` has members that are names, which a pool among the members of another cannot have"
        ]
    );
    // Hosts of members of pools below are looked for too.
    let text = format!(
        "globalnames: {{_sip._tcp.s.example: {{pool: a, srv: {{port: 5060}}}}}}\nzones: {{s.example: {{ns: ns.example.net}}}}\n\
         pools:\n  a: {{lb_method: wrr, members: [{{pool: b}}]}}\n  b: {{lb_method: wrr, members: [192.0.2.1], {forced}}}\n"
    );
    let report = load_str("f", &text).expect_err("a member without a hostname").to_string();
    assert!(report.contains("hostname") && report.contains("b/192.0.2.1"), "{report}");
}
