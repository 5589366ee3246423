//! The `pools` section: members, and how one is chosen and probed.
//!
//! Members are a map by address or a list; their order is kept. Draws nothing and probes nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::cause::{Cause, Found};
use super::decode::{Decoder, Field, Placed, Read, Section, key};
use super::events::Node;
use super::members::{read_members, warn_if_unreachable};
use super::method::{METHOD_WORDS, ReadMethod};
use super::model::{Fallback, Member, Monitor, Monitors, Pool, UpWhen};
use super::monitor::Surroundings;
use super::monitors::ReadMonitors;
use super::nested::ReadNested;
use super::pool_names::{check_probed, read_alias};
use super::report::Span;
use super::scalars::{address, integer, percent, text_chars};
// Of a pool, and of fallback addresses besides.
use crate::state::rotation::MAX_MEMBERS;

/// Longest name of a pool or a member.
pub(super) const MAX_NAME_CHARS: usize = 256;
/// The largest `capacity` and `demand`: above the sum of any pool's weights.
pub(super) const MAX_UNITS: u64 = 1_000_000_000;

const FALLBACK_WORDS: &str = "`any`, `refuse`, `nodata`, addresses and `{cname: …}`";

pub(super) static POOL: Section = Section {
    title: "a pool",
    keys: &[
        key("lb_method"),
        key("first"),
        key("next"),
        key("hash_prefix_v4"),
        key("hash_prefix_v6"),
        key("table"),
        key("hysteresis"),
        key("fallback"),
        key("max_addrs_returned"),
        key("members"),
        key("demand"),
        key("monitor"),
        key("monitor_params"),
        key("monitors"),
        key("pass"),
        key("min_up"),
        key("up_threshold"),
    ],
    may_be_empty: false,
};

/// What probing is told by.
const MONITOR_KEYS: [&str; 4] = ["monitor", "monitor_params", "monitors", "pass"];

/// A pool as far as it could be read.
#[derive(Debug)]
pub(super) struct ReadPool {
    pub(super) name: String,
    pub(super) at: Span,
    /// Its method, whose regions are known by name.
    pub(super) method: ReadMethod,
    /// Pools among its members.
    pub(super) nested: Vec<ReadNested>,
    /// `None` when something in it was refused.
    pub(super) pool: Option<Pool>,
    /// The places of its members.
    pub(super) members_at: Vec<Span>,
    pub(super) fallback_at: Option<Span>,
}

/// Reads the section. Pools with errors are returned too, so that names bound to them are not reported besides.
pub(super) fn read_pools<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    directory: Option<&Path>,
) -> Read<Vec<ReadPool>> {
    let mut pools = Vec::new();
    let mut first_places: HashMap<String, Span> = HashMap::new();
    d.entries(field, |d, field| {
        let at = field.at;
        let name = field.name.to_string();
        if let Err(cause) = text_chars(&name, MAX_NAME_CHARS) {
            d.error(at, cause);
        }
        if let Some(first) = first_places.get(&name) {
            let cause = Cause::Duplicate { what: "pool", item: Found::new(&name), first_line: first.line };
            d.error(at, cause);
            return d.skip(&field.node);
        }
        first_places.insert(name.clone(), at);
        pools.push(read_pool(d, field, name, directory)?);
        Ok(())
    })?;
    Ok(pools)
}

fn read_pool<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    name: String,
    directory: Option<&Path>,
) -> Read<ReadPool> {
    let at = field.at;
    let mut method = ReadMethod::default();
    let mut fallback = Fallback::Any;
    let mut fallback_places = Vec::new();
    let mut max_addrs_returned = 1;
    let (mut members, mut nested) = (Vec::new(), Vec::new());
    let mut members_at = Vec::new();
    let mut demand = None;
    let mut monitors = ReadMonitors::new(at);
    let mut up_when = UpWhen::default();
    let seen = d.section(field, &POOL, |d, key, field| {
        let mut field = Some(field);
        if method.read(d, key, &mut field)? {
            return Ok(());
        }
        let Some(field) = field else { return Ok(()) };
        match key {
            "fallback" => (fallback, fallback_places) = read_fallback(d, field)?,
            "max_addrs_returned" => {
                let read = d.value(field, integer(1..=1024))?;
                max_addrs_returned = read.map_or(max_addrs_returned, |read| read.value);
            }
            "members" => (members, members_at, nested) = read_members(d, field)?,
            "demand" => demand = d.value(field, integer(1..=MAX_UNITS))?.map(|read| read.value),
            "monitor" | "monitor_params" | "monitors" | "pass" => monitors.read(d, key, field)?,
            "min_up" => {
                up_when.min_up = d.value(field, integer(1..=1024))?.map_or(up_when.min_up, |read| read.value);
            }
            "up_threshold" => {
                let read = d.value(field, percent(1..=100))?;
                up_when.weight_percent = read.map_or(up_when.weight_percent, |read| read.value);
            }
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    let method_unread = ReadMethod::default();
    let mut read =
        ReadPool { name, at, method: method_unread, nested, pool: None, members_at, fallback_at: None };
    let Some(seen) = seen else { return Ok(read) };
    read.fallback_at = seen.place("fallback");
    for (key, accepted) in [("lb_method", METHOD_WORDS), ("members", "")] {
        if seen.place(key).is_none() {
            d.error(at, Cause::MissingKey { key, section: POOL.title, accepted });
        }
    }
    let is_any_nested = read.nested.iter().any(|one| one.enabled && one.weight > 0);
    if !is_any_nested
        && !members.is_empty()
        && !members.iter().any(|member| member.enabled && member.weight > 0)
    {
        d.warning(at, Cause::NeverDrawn { pool: Found::new(&read.name) });
    }
    let countable = members.iter().filter(|member| member.enabled && member.weight > 0).count()
        + read.nested.iter().filter(|one| one.enabled && one.weight > 0).count();
    if let Some(span) = seen.place("min_up").filter(|_| usize::from(up_when.min_up) > countable) {
        d.warning(span, Cause::NeverUp { min_up: up_when.min_up, countable });
    }
    if read.nested.is_empty() {
        check_fallback_families(d, &members, &fallback_places);
    }
    let around = Surroundings { pool: &read.name, directory };
    // Pools that are members have monitors of their own, and nobody else is probed.
    let is_needless = members.is_empty() && !read.nested.is_empty();
    let monitors = match is_needless && !MONITOR_KEYS.iter().any(|key| seen.place(key).is_some()) {
        true => Some(Monitors::single(Arc::new(Monitor::forced(true)), None)),
        false => monitors.build(d, &seen, POOL.title, &members, around),
    };
    let monitors = monitors.map(Arc::new);
    if let Some(monitors) = &monitors {
        check_probed(d, &members, &read.members_at, monitors);
    }
    let built = method.build(d);
    read.method = method;
    if let (Some(method), Some(monitors)) = (built, monitors) {
        let name = read.name.clone();
        read.pool = Some(Pool {
            name,
            method,
            fallback,
            max_addrs_returned,
            members,
            demand,
            monitors,
            up_when,
            tree: None,
        });
    }
    Ok(read)
}

/// Warns about the first fallback address of each family in which the pool has no member: for want of any, a query for
/// that family is answered with no data before a fallback is thought of.
fn check_fallback_families(d: &mut Decoder<'_, '_>, members: &[Member], fallbacks: &[Placed<IpAddr>]) {
    if members.is_empty() {
        return;
    }
    for (is_ipv6, family) in [(false, "IPv4"), (true, "IPv6")] {
        if members.iter().any(|m| m.enabled && (m.cname.is_some() || m.ip.is_ipv6() == is_ipv6)) {
            continue;
        }
        if let Some(first) = fallbacks.iter().find(|fallback| fallback.value.is_ipv6() == is_ipv6) {
            d.warning(first.span, Cause::FallbackWithoutMembers { address: first.value, family });
        }
    }
}

/// Reads `fallback`: a word, an address, a list of addresses, or an alias. The places of the addresses stand beside.
fn read_fallback<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<(Fallback, Vec<Placed<IpAddr>>)> {
    if let Node::Mapping(_) = field.node {
        return Ok((read_alias(d, field)?, Vec::new()));
    }
    if let Node::Scalar(scalar) = &field.node {
        match &*scalar.text {
            "any" => return Ok((Fallback::Any, Vec::new())),
            "refuse" => return Ok((Fallback::Refuse, Vec::new())),
            "nodata" => return Ok((Fallback::Nodata, Vec::new())),
            _ => {}
        }
    }
    let is_word = matches!(field.node, Node::Scalar(_));
    let at = field.at;
    let mut addresses: Vec<Placed<IpAddr>> = Vec::new();
    let mut first_lines: HashMap<IpAddr, u32> = HashMap::new();
    d.list(field, "fallback", |d, item| {
        let read = d.value(item, |scalar| {
            address(&scalar.text).map_err(|cause| match cause {
                Cause::NotAddress { text } if is_word => {
                    let words = ["any", "refuse", "nodata"];
                    let closest = super::suggest::closest(&scalar.text, words);
                    Cause::NotOneOf { text, closest, accepted: FALLBACK_WORDS }
                }
                cause => cause,
            })
        })?;
        let Some(read) = read else { return Ok(()) };
        match first_lines.get(&read.value) {
            Some(&first_line) => {
                let item = Found::new(&read.value.to_string());
                d.error(read.span, Cause::Duplicate { what: "address", item, first_line });
            }
            None => {
                first_lines.insert(read.value, read.span.line);
                warn_if_unreachable(d, &read);
                addresses.push(read);
            }
        }
        Ok(())
    })?;
    if addresses.len() > MAX_MEMBERS {
        d.error(at, Cause::TooMany { what: "addresses in `fallback`", limit: MAX_MEMBERS });
    }
    let fallback = Fallback::Addresses(addresses.iter().map(|address| address.value).collect());
    Ok((fallback, addresses))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{errors, loaded, warnings};
    use super::*;

    /// A configuration with one pool of these lines.
    fn with(lines: &str) -> String {
        let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
        format!("globalnames: {{a.example: p}}\npools:\n  p:\n{lines}")
    }

    const FORCED: &str = "monitor: forced\nmonitor_params: {status: up}\n";

    fn members(text: &str) -> Vec<String> {
        let pool = loaded(&with(&format!("lb_method: wrr\n{FORCED}members: {text}\n"))).pools.remove(0);
        pool.members.iter().map(|m| format!("{} {} {} {}", m.ip, m.name, m.weight, m.enabled)).collect()
    }

    #[test]
    fn members_are_a_map_or_a_list_and_keep_their_order() {
        let expected = ["192.0.2.9 192.0.2.9 1 true", "2001:db8::1 b 0 true", "192.0.2.1 192.0.2.1 3 false"];
        assert_eq!(
            members(
                "{192.0.2.9: , '2001:db8::1': {name: b, weight: 0}, 192.0.2.1: {weight: 3, enabled: off}}"
            ),
            expected
        );
        assert_eq!(
            members(
                "[192.0.2.9, {ip: '2001:db8::1', name: b, weight: 0}, {ip: 192.0.2.1, weight: 3, enabled: off}]"
            ),
            expected
        );
    }

    #[test]
    fn fallbacks_are_words_or_addresses() {
        for (text, fallback) in [
            ("any", Fallback::Any),
            ("refuse", Fallback::Refuse),
            ("nodata", Fallback::Nodata),
            ("192.0.2.7", Fallback::Addresses(vec![IpAddr::from([192, 0, 2, 7])])),
            (
                "[192.0.2.7, 192.0.2.8]",
                Fallback::Addresses(vec![IpAddr::from([192, 0, 2, 7]), IpAddr::from([192, 0, 2, 8])]),
            ),
        ] {
            let config = loaded(&with(&format!(
                "lb_method: fogroup\nfallback: {text}\nmembers: [192.0.2.1]\n{FORCED}"
            )));
            let method = super::super::model::Method::Fogroup { first: 1 };
            assert_eq!((&config.pools[0].fallback, &config.pools[0].method), (&fallback, &method));
        }
    }

    #[test]
    fn each_bad_pool_is_an_error_at_its_place() {
        let pool = "lb_method: rr\nfallback: refused\nmax_addrs_returned: 0\nmembers:\n  192.0.2.1: {wieght: 1, weight: 65536}\n  \
                    ::ffff:192.0.2.2:\n  web1:\n  192.0.2.1:\n  192.0.2.3: 5\nmonitr: http\n";
        assert_eq!(
            errors(&with(pool)),
            [
                "3:3: `monitor` is missing in a pool (accepted are `tcp`, `tcp_content`, `http`, `https`, `tls`, `dns`, `icmp`, `agent`, `exec`, `file`, `push` and `forced`)",
                "4:16: `rr` is not accepted here (did you mean `wrr`?)",
                "5:15: `refused` is not accepted here (did you mean `refuse`?)",
                "6:25: `0` is out of range (accepted are 1 to 1024)",
                "8:19: unknown key `wieght` in a member (did you mean `weight`?)",
                "8:38: `65536` is out of range (accepted are 0 to 65535)",
                "9:7: `::ffff:192.0.2.2` is an IPv4 address written as IPv6 (did you mean `192.0.2.2`?)",
                "10:7: `web1` is not an IP address",
                "11:7: the member `192.0.2.1` is given twice (first given on line 8)",
                "12:18: expected a mapping, found a single value",
                "13:5: unknown key `monitr` in a pool (did you mean `monitor`?)",
            ]
        );
        assert_eq!(
            errors(&with(&format!("lb_method: wrr\nmembers: {{}}\n{FORCED}"))),
            ["5:5: `members` is empty"]
        );
        assert_eq!(
            errors(&with(&format!("lb_method: wrr\nmembers:\n{FORCED}"))),
            ["5:5: `members` has no value"]
        );
    }

    #[test]
    fn addresses_that_nothing_can_be_reached_at_are_warned_about() {
        let unreachable = ["0.0.0.0", "'::'", "224.0.0.1", "'ff02::1'", "255.255.255.255", "'fe80::1'"];
        for address in unreachable {
            let members = format!("lb_method: wrr\n{FORCED}members: [{address}]\n");
            let fallback =
                format!("lb_method: wrr\n{FORCED}members: [192.0.2.1, '2001:db8::1']\nfallback: {address}\n");
            let plain = address.trim_matches('\'');
            for (text, place) in [(members, "7:15"), (fallback, "8:15")] {
                let warning = format!("{place}: nothing can be reached at the address {plain}");
                assert_eq!(warnings(&with(&text)), [warning]);
            }
        }
        // An IPv4 link-local address needs no scope.
        assert!(warnings(&with(&format!("lb_method: wrr\n{FORCED}members: [169.254.0.1]\n"))).is_empty());
    }

    #[test]
    fn fallback_addresses_of_a_family_without_members_are_warned_about_once() {
        let text = |members: &str, fallback: &str| {
            with(&format!("lb_method: wrr\n{FORCED}members: {members}\nfallback: {fallback}\n"))
        };
        let warning = |place, address, family| {
            format!(
                "{place}: the fallback address `{address}` is never answered: the pool has no enabled {family} member \
                 (queries for a family without members are answered with no data)"
            )
        };
        assert_eq!(
            warnings(&text("[192.0.2.1]", "['::1', 192.0.2.9, '::2']")),
            [warning("8:16", "::1", "IPv6")]
        );
        let disabled = "[{ip: 192.0.2.1, enabled: off}, '2001:db8::1']";
        assert_eq!(warnings(&text(disabled, "192.0.2.9")), [warning("8:15", "192.0.2.9", "IPv4")]);
        let weightless = "[{ip: 192.0.2.1, weight: 0}, '2001:db8::1']";
        assert!(warnings(&text(weightless, "[192.0.2.9, '::1']")).is_empty());
    }

    #[test]
    fn pool_counts_as_up_by_number_and_share() {
        let text =
            |more: &str| with(&format!("lb_method: wrr\n{FORCED}members: [192.0.2.1, 192.0.2.2]\n{more}\n"));
        let up_when = |more: &str| loaded(&text(more)).pools[0].up_when;
        assert_eq!(up_when("max_addrs_returned: 1"), UpWhen { min_up: 1, weight_percent: 0 });
        assert_eq!(up_when("min_up: 2\nup_threshold: 75%"), UpWhen { min_up: 2, weight_percent: 75 });
        assert_eq!(
            warnings(&text("min_up: 3")),
            ["8:5: the pool never counts as up: 2 members can be drawn, and `min_up` is 3"]
        );
        for bad in ["0%", "101%", "50", "x%"] {
            assert_eq!(
                errors(&text(&format!("up_threshold: {bad}"))),
                [format!("8:19: `{bad}` is not a share (accepted are `1%` to `100%`)")]
            );
        }
    }

    #[test]
    fn capacity_and_demand_are_in_the_unit_of_weights() {
        let pool = |method: &str, more: &str| {
            let members = "{192.0.2.1: {weight: 5, capacity: 7}, 192.0.2.2: {weight: 9, enabled: off}, 192.0.2.3: {weight: 2}}";
            loaded(&with(&format!("lb_method: {method}\n{FORCED}members: {members}\n{more}\n")))
                .pools
                .remove(0)
        };
        let capacities: Vec<_> = pool("wrr", "").members.iter().map(|member| member.capacity).collect();
        assert_eq!(capacities, [Some(7), None, None]);
        assert_eq!(pool("wrr", "").demand_units(), 7);
        assert_eq!(pool("fogroup", "").demand_units(), 5);
        assert_eq!(pool("fogroup", "first: 3").demand_units(), 7);
        assert_eq!(pool("hash", "demand: 1000000000").demand_units(), 1_000_000_000);
        let text = |capacity: &str, demand: &str| {
            with(&format!(
                "lb_method: wrr\n{FORCED}members: [{{ip: 192.0.2.1, capacity: {capacity}}}]\ndemand: {demand}\n"
            ))
        };
        assert_eq!(
            errors(&text("0", "1000000001")),
            [
                "7:41: `0` is out of range (accepted are 1 to 1000000000)",
                "8:13: `1000000001` is out of range (accepted are 1 to 1000000000)",
            ]
        );
    }

    #[test]
    fn pools_that_nobody_can_draw_from_or_uses_are_warned_about() {
        let text = format!(
            "{}  q: {{lb_method: twrr, members: [0.0.0.0], monitor: forced, monitor_params: {{status: up}}}}\n",
            with(&format!(
                "lb_method: wrr\nmembers: {{192.0.2.1: {{weight: 0}}, 192.0.2.2: {{enabled: false}}}}\n{FORCED}"
            ))
        );
        assert_eq!(
            warnings(&text),
            [
                "3:3: no member of the pool `p` can ever be drawn: each has weight 0 or is disabled",
                "8:3: no name uses the pool `q`",
                "8:18: `twrr` without any topology is the same as `wrr` (give `topology` or `topology_file`, or use `wrr`)",
                "8:34: nothing can be reached at the address 0.0.0.0",
            ]
        );
    }
}
