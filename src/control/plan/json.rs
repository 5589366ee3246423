//! Plans as JSON, for programs. Shares are parts of 1; what is not there is null.

use serde_json::{Value, json};

use super::clients::Told;
use super::compare::{Change, ClassChange, Comparison, Top, UnitChange};
use super::failures::{Failures, PoolFailures};
use super::terrain::ChangedBlock;

/// Digits behind the point that shares have: sums of rounded numbers are not told as changes.
const SCALE: f64 = 1e9;

fn number(value: f64) -> Value {
    json!((value * SCALE).round() / SCALE)
}

fn both(values: [f64; 2]) -> Value {
    json!({ "before": number(values[0]), "after": number(values[1]) })
}

fn top<T>((kept, count): &Top<T>, of: impl Fn(&T) -> Value) -> Value {
    json!({ "count": count, "first": kept.iter().map(of).collect::<Vec<_>>() })
}

fn change(change: &Change) -> Value {
    json!({ "shift": number(change.shift), "moved": number(change.moved) })
}

fn block(block: &ChangedBlock) -> Value {
    json!({
        "prefix": block.net.to_string(),
        "before": { "region": block.old, "scope_len": block.scope_lens[0] },
        "after": { "region": block.new, "scope_len": block.scope_lens[1] },
    })
}

impl Comparison {
    /// All of it; `above`: what is above the threshold.
    pub fn to_json(&self, above: &[(String, f64)]) -> Value {
        let clients = self.told.map(|told| match told {
            Told::Lines(lines) => json!({ "lines": lines }),
            Told::Capture(captured) => json!({
                "packets": captured.packets,
                "queries": captured.queries,
                "with_subnet": captured.with_subnet,
                "other_types": captured.other_types,
                "truncated": captured.truncated,
                "fragments": captured.fragments,
                "others": captured.others,
                "is_cut": captured.is_cut,
            }),
        });
        let nets = |nets: &[ipnet::IpNet]| nets.iter().map(|net| net.to_string()).collect::<Vec<_>>();
        json!({
            "unchanged": self.is_unchanged(),
            "notes": self.notes,
            "clients": clients,
            "whole": change(&self.whole),
            "pools": self.units.iter().map(unit).collect::<Vec<_>>(),
            "regions": self.regions.iter().map(region).collect::<Vec<_>>(),
            "pools_added": self.pools_added,
            "pools_removed": self.pools_removed,
            "names_added": top(&self.names_added, |name| json!(name)),
            "names_removed": top(&self.names_removed, |name| json!(name)),
            "names_moved": top(&self.names_moved, |(name, [before, after])| {
                json!({ "name": name, "before": before, "after": after })
            }),
            "prefixes_moved": top(&self.moved, block),
            "prefixes_rescoped": top(&self.rescoped, block),
            "prefixes_never_matched": {
                "before": nets(&self.shadowed[0]),
                "after": nets(&self.shadowed[1]),
            },
            "clients_outside_every_region": both(self.outside),
            "clients_of_no_pool": both(self.no_pool),
            "clients_of_several_regions": self.spanning,
            "above": above.iter().map(|(what, shift)| json!({ "what": what, "shift": number(*shift) })).collect::<Vec<_>>(),
        })
    }
}

fn region((name, shares): &(String, [f64; 2])) -> Value {
    json!({ "region": name, "share": both(*shares) })
}

fn unit(unit: &UnitChange) -> Value {
    let members = unit
        .rows
        .iter()
        .map(|row| json!({ "address": row.address, "name": row.name, "share": both(row.shares) }));
    json!({
        "pool": unit.pool,
        "type": unit.family,
        "traffic": both(unit.parts),
        "shift": unit.change.map(|change| number(change.shift)),
        "moved": unit.change.map(|change| number(change.moved)),
        "members": members.collect::<Vec<_>>(),
        "regions": unit.regions.iter().map(region).collect::<Vec<_>>(),
        "clients": top(&unit.classes, class),
        "without_members": top(&unit.without_members, class),
        "scope": unit.scopes.as_ref().map(|[before, after]| json!({ "before": before, "after": after })),
    })
}

fn class(class: &ClassChange) -> Value {
    json!({
        "before": { "place": class.places[0], "answer": class.answers[0].as_str() },
        "after": { "place": class.places[1], "answer": class.answers[1].as_str() },
        "example": class.example.map(|net| net.to_string()),
        "traffic": number(class.weight),
        "shift": number(class.shift),
    })
}

impl Failures {
    /// All of it.
    pub fn to_json(&self) -> Value {
        json!({
            "notes": self.notes,
            "max_load": number(self.most),
            "overloads": self.count(),
            "pools": self.pools.iter().map(pool).collect::<Vec<_>>(),
        })
    }
}

fn pool(pool: &PoolFailures) -> Value {
    let members = pool.members.iter().map(|member| {
        json!({ "name": member.name, "address": member.address, "region": member.region, "capacity": member.capacity })
    });
    let cases = pool.cases.iter().map(|case| {
        let loads: Vec<Value> = case.loads.iter().map(|load| number(*load)).collect();
        json!({ "failed": case.failed, "kind": case.kind, "loads": loads, "overloaded": case.overloaded })
    });
    json!({
        "pool": pool.pool,
        "demand": pool.demand,
        "members": members.collect::<Vec<_>>(),
        "cases": cases.collect::<Vec<_>>(),
    })
}
