//! The `globalnames` section: names bound to pools, a million of them at the price of their own octets.
//!
//! Pools may stand anywhere in the file, so which pool a name means is settled only by `resolve`, after all is read.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::cause::{Cause, Found, Known};
use super::decode::{Decoder, Field, Placed, Read, Section, key};
use super::duplicates::repeated;
use super::events::Node;
use super::model::{Extra, GlobalNames, OwnerNameRef, OwnerNames, Pool};
use super::pools::ReadPool;
use super::report::{FileId, Findings, Span};
use super::scalars::{integer, parse_any_name};
use super::steered::{ReadExtra, Special, Takes};
use super::suggest;
use super::zones::MAX_TTL_SECS;
use crate::state::ttl::Ttl;

/// TTL of a name that says nothing: a failover is seen within half a minute.
const DEFAULT_TTL_SECS: u32 = 30;
/// Below this, resolvers hardly cache at all.
const LOW_TTL_SECS: u32 = 5;
/// Largest TTL of a name whose TTL follows the state and that says no more.
const DEFAULT_DYNAMIC_TTL_SECS: u32 = 60;
/// Undefined pools that get a suggestion; each looks at every pool.
const MAX_SUGGESTIONS: usize = 100;

pub(super) static GLOBALNAME: Section = Section {
    title: "a globalname",
    keys: &[key("pool"), key("ttl"), key("srv"), key("mx"), key("https"), key("svcb")],
    may_be_empty: false,
};

/// A TTL that follows the state.
pub(super) static TTL: Section =
    Section { title: "`ttl`", keys: &[key("max"), key("min")], may_be_empty: false };

/// What a name is bound to, its pool not yet looked up, and where both stand.
#[derive(Debug)]
struct Entry {
    /// Index into [`Names::pools`].
    pool: u32,
    ttl: Ttl,
    /// Number of what it is steered to, from 1 on; 0 for most.
    extra: u32,
    name_at: Span,
    pool_at: Span,
}

/// All names of a file.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: OwnerNames,
    /// As many as there are names.
    entries: Vec<Entry>,
    /// Each pool that a name refers to, once.
    pools: Vec<String>,
    /// By the same index, whether names of the pool may be aliases.
    aliases: Vec<bool>,
    /// What names are steered to, each once.
    extras: Vec<Extra>,
    /// Whether there is any entry, right or wrong.
    pub(super) any: bool,
}

impl Names {
    /// The names themselves.
    pub(super) fn iter(&self) -> impl Iterator<Item = OwnerNameRef<'_>> + Clone {
        self.names.iter()
    }

    /// The names, each with its place and what it takes for itself.
    pub(super) fn with_places(&self) -> impl Iterator<Item = (OwnerNameRef<'_>, Span, Takes)> {
        self.names.iter().zip(&self.entries).map(|(name, entry)| (name, entry.name_at, self.takes(entry)))
    }

    /// Notes which pools have names in place of addresses.
    pub(super) fn note_aliases(&mut self, pools: &[ReadPool]) {
        let has_aliases = |read: &&ReadPool| read.pool.as_ref().is_some_and(Pool::has_aliases);
        let with: HashSet<&str> = pools.iter().filter(has_aliases).map(|read| read.name.as_str()).collect();
        if !with.is_empty() {
            self.aliases = self.pools.iter().map(|pool| with.contains(pool.as_str())).collect();
        }
    }

    /// The names that are steered to more than addresses.
    pub(super) fn special(&self) -> impl Iterator<Item = Special<'_>> {
        let any = !self.aliases.is_empty() || !self.extras.is_empty();
        self.names.iter().zip(&self.entries).filter(move |_| any).filter_map(|(name, entry)| {
            let takes = self.takes(entry);
            let pool = &self.pools[entry.pool as usize];
            (takes.alias || entry.extra > 0).then_some(Special { name, at: entry.name_at, pool, takes })
        })
    }

    fn takes(&self, entry: &Entry) -> Takes {
        let extra = (entry.extra as usize).checked_sub(1).and_then(|at| self.extras.get(at));
        Takes::of(extra, self.aliases.get(entry.pool as usize).copied().unwrap_or(false))
    }
}

/// Reads the section.
pub(super) fn read_names<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Names> {
    let mut names = Names::default();
    let mut pool_indices: HashMap<Cow<'t, str>, u32> = HashMap::new();
    let mut extra_ids: HashMap<Extra, u32> = HashMap::new();
    d.entries(field, |d, field| {
        names.any = true;
        let name_at = field.at;
        let name = match parse_any_name(&field.name) {
            Ok(name) => Some(name),
            Err(cause) => {
                d.error(name_at, cause);
                None
            }
        };
        let Some((pool, ttl, extra)) = read_binding(d, field)? else { return Ok(()) };
        let extra = extra.map_or(0, |extra| {
            *extra_ids.entry(extra).or_insert_with_key(|extra| {
                names.extras.push(extra.clone());
                names.extras.len() as u32
            })
        });
        let index = match pool_indices.get(&pool.value) {
            Some(index) => *index,
            None => {
                let index = names.pools.len() as u32;
                names.pools.push(pool.value.to_string());
                pool_indices.insert(pool.value, index);
                index
            }
        };
        if let Some(name) = name {
            names.names.push(&name);
            names.entries.push(Entry { pool: index, ttl, extra, name_at, pool_at: pool.span });
        }
        Ok(())
    })?;
    for (again, first) in repeated(names.iter()) {
        let item = Found::new(&names.names.get(again).to_string());
        let (again, first) = (&names.entries[again], &names.entries[first]);
        d.error(again.name_at, Cause::Duplicate { what: "name", item, first_line: first.name_at.line });
    }
    Ok(names)
}

/// A pool, the TTL of what it answers, and what it is asked for beside addresses.
type ReadBinding<'t> = (Placed<Cow<'t, str>>, Ttl, Option<Extra>);

/// Reads what a name is bound to: `{pool, ttl}` and what it is steered to, or the pool alone.
fn read_binding<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Option<ReadBinding<'t>>> {
    if let Node::Scalar(_) = field.node {
        let pool = d.value(field, |scalar| Ok(scalar.text.clone()))?;
        return Ok(pool.map(|pool| (pool, Ttl::fixed(DEFAULT_TTL_SECS), None)));
    }
    let at = field.at;
    let mut pool = None;
    let mut ttl = Ttl::fixed(DEFAULT_TTL_SECS);
    let mut extra = ReadExtra::default();
    let seen = d.small_section::<6>(field, &GLOBALNAME, |d, name, field| {
        match name {
            "pool" => pool = d.value(field, |scalar| Ok(scalar.text.clone()))?,
            "ttl" => {
                if let Node::Mapping(_) = field.node {
                    ttl = read_dynamic(d, field)?;
                    return Ok(());
                }
                let Some(read) = d.value(field, integer(0..=MAX_TTL_SECS))? else { return Ok(()) };
                let ttl_secs = read.value;
                ttl = Ttl::fixed(ttl_secs);
                if ttl_secs < LOW_TTL_SECS {
                    d.warning(read.span, Cause::LowTtl { ttl_secs });
                }
            }
            _ => extra.read(d, name, field)?,
        }
        Ok(())
    })?;
    if seen.is_some_and(|seen| seen.place("pool").is_none()) {
        d.error(at, Cause::MissingKey { key: "pool", section: GLOBALNAME.title, accepted: "" });
    }
    Ok(pool.map(|pool| (pool, ttl, extra.extra)))
}

/// A TTL that follows the state: `{max, min}`.
fn read_dynamic<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Ttl> {
    let mut max_secs = DEFAULT_DYNAMIC_TTL_SECS;
    let mut min: Option<Placed<u32>> = None;
    d.small_section::<2>(field, &TTL, |d, name, field| {
        match name {
            "max" => {
                let read = d.value(field, integer(1..=u64::from(Ttl::MAX_DYNAMIC)))?;
                max_secs = read.map_or(max_secs, |read| read.value);
            }
            "min" => min = d.value(field, integer(1..=u64::from(Ttl::MAX_MIN)))?,
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    if let Some(Placed { value: min_secs, span }) = min.filter(|min| min.value > max_secs) {
        d.error(span, Cause::MinTtlAboveMax { min_secs, max_secs });
    }
    Ok(Ttl::dynamic(max_secs, min.map_or(LOW_TTL_SECS, |min| min.value)))
}

/// Looks up the pool of each name among `pools`; returns the names, and which pools are used, all of them when in doubt.
pub(super) fn resolve(names: Names, pools: &[&str], findings: &mut Findings) -> (GlobalNames, Vec<bool>) {
    let indices: HashMap<&str, u32> = pools.iter().copied().zip(0u32..).collect();
    let Names { mut names, entries, pools: named, extras, .. } = names;
    let found: Vec<Option<u32>> = named.iter().map(|pool| indices.get(pool.as_str()).copied()).collect();
    let mut used = vec![false; pools.len()];
    found.iter().flatten().for_each(|index| used[*index as usize] = true);
    let mut undefined: HashMap<u32, Cause> = HashMap::new();
    let mut bindings = Vec::with_capacity(entries.len());
    let mut extra_ids = Vec::new();
    for Entry { pool, ttl, extra, pool_at, .. } in &entries {
        match found[*pool as usize] {
            Some(pool) => {
                bindings.push((pool, *ttl));
                if !extras.is_empty() {
                    extra_ids.push(*extra);
                }
            }
            None => {
                let suggest = undefined.len() < MAX_SUGGESTIONS;
                let cause = undefined
                    .entry(*pool)
                    .or_insert_with(|| undefined_pool(&named[*pool as usize], pools, suggest));
                findings.error(FileId(0), *pool_at, cause.clone());
            }
        }
    }
    if !undefined.is_empty() {
        names.retain(|index| found[entries[index].pool as usize].is_some());
        // A pool that looks unused may be the one that was meant: mend the name first.
        used.fill(true);
    }
    (GlobalNames::new(names, bindings).with_extras(extra_ids, extras), used)
}

fn undefined_pool(name: &str, pools: &[&str], suggest: bool) -> Cause {
    let closest = if suggest { suggest::closest(name, pools.iter().copied()).map(Found::new) } else { None };
    Cause::UndefinedPool { name: Found::new(name), closest, known: Known::new(pools.iter().copied()) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{errors, loaded, warnings};
    use super::*;

    const POOLS: &str = "pools:\n  web: {lb_method: wrr, members: {192.0.2.1: }, monitor: forced, monitor_params: {status: up}}\n";

    #[test]
    fn ttl_may_follow_the_state_between_two_bounds() {
        let text = |ttl: &str| {
            format!(
                "globalnames: {{a.example: {{pool: p, ttl: {ttl}}}}}\npools:\n  p: {{lb_method: wrr, members: [127.0.0.1], \
                 monitor: forced, monitor_params: {{status: up}}}}\n"
            )
        };
        let ttl = |ttl: &str| loaded(&text(ttl)).globalnames.iter().next().unwrap().ttl;
        assert_eq!(ttl("{max: 120, min: 10}"), Ttl::dynamic(120, 10));
        assert_eq!(ttl("{max: 120}"), Ttl::dynamic(120, 5));
        assert_eq!(ttl("{max: 3}"), Ttl::dynamic(3, 3));
        assert_eq!(ttl("{min: 1}"), Ttl::dynamic(60, 1));
        assert_eq!(ttl("45"), Ttl::fixed(45));
        for (bad, expected) in [
            (
                "{max: 9, min: 10}",
                "1:55: the least TTL (10 s) is above the largest (9 s) (accepted are 1 to 9)",
            ),
            ("{max: 0}", "1:47: `0` is out of range (accepted are 1 to 65535)"),
            ("{mix: 1}", "1:42: unknown key `mix` in `ttl` (did you mean `max`?)"),
        ] {
            assert_eq!(errors(&text(bad)), [expected]);
        }
    }

    #[test]
    fn names_are_lower_cased_and_bound_by_index() {
        let config = loaded(&format!(
            "globalnames:\n  WWW.Example.com.: {{pool: web, ttl: 60}}\n  b.example: web\n{POOLS}"
        ));
        let shown: Vec<String> = config
            .globalnames
            .iter()
            .map(|n| format!("{} {} {}", n.name, n.pool, n.ttl.max_secs()))
            .collect();
        assert_eq!(shown, ["www.example.com. 0 60", "b.example. 0 30"]);
    }

    #[test]
    fn each_bad_name_is_an_error_at_its_place() {
        let text = format!(
            "globalnames:\n  www.example.com: web\n  WWW.example.com.: web\n  a.example: {{ttl: 30}}\n  b.example: wbe\n  \
             c.example: {{pool: nowhere, ttl: -1}}\n  '*.example': web\n  d..example: {{pool: , ttl: 2147483648}}\n  e.example: []\n  f.example:\n{POOLS}"
        );
        assert_eq!(
            errors(&text),
            [
                "3:3: the name `www.example.com.` is given twice (first given on line 2)",
                "4:3: `pool` is missing in a globalname",
                "5:14: pool `wbe` is not defined (did you mean `web`? known pools are `web`)",
                "6:21: pool `nowhere` is not defined (known pools are `web`)",
                "6:35: `-1` is out of range (accepted are 0 to 2147483647)",
                "7:3: the wildcard name `*.example.` lies in no zone (name the zone in `zones`)",
                "8:3: `d..example` is not a domain name: the name has an empty label (two dots in a row)",
                "8:16: `pool` has no value",
                "8:29: `2147483648` is out of range (accepted are 0 to 2147483647)",
                "9:14: expected a mapping, found a list",
                "10:3: `f.example` has no value",
            ]
        );
    }

    #[test]
    fn low_ttls_are_warned_about() {
        assert_eq!(
            warnings(&format!("globalnames: {{a.example: {{pool: web, ttl: 0}}}}\n{POOLS}")),
            [
                "1:43: a TTL of 0 s: nearly every query will reach this server (20 to 60 s is usual for a steered name)"
            ]
        );
    }
}
