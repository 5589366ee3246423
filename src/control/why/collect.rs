//! The trace that collects: steps of an answer as what they say to people, names in place of numbers.
//!
//! Steps that another way to the same answer repeats are told once, as the last way took them.

use std::cell::RefCell;
use std::net::IpAddr;

use super::Reasons;
use super::events::{
    ClientEvent, Event, Location, MemberRow, NameEvent, NodeRow, Place, PoolEvent, Sought, TtlEvent,
};
use crate::config::model::{self, Config};
use crate::dataplane::lookup::Found;
use crate::dataplane::trace::{ClientPlace, Draw, Step, Trace};
use crate::state::clients::LocatedBy;
use crate::state::health_table::{Flags, State, Word};
use crate::state::pool::{Family, FamilyPool, NO_CANDIDATE};
use crate::state::preference::{Preference, Preferences};
use crate::state::rotation::{Foretold, RotationTable, Source};
use crate::state::snapshot::Snapshot;
use crate::state::topology::RegionId;
use crate::state::tree::NodeState;
use crate::wire::name::Name;

/// What is collected, and what names are made of.
pub(super) struct Book<'c> {
    config: &'c Config,
    snapshot: &'c Snapshot,
    reasons: &'c Reasons<'c>,
    now_secs: u64,
    events: Vec<Event>,
    /// Who asks, and the number of what is known of that.
    client: Option<(IpAddr, RegionId)>,
}

/// Collects into a book.
#[derive(Clone, Copy)]
pub(super) struct Collect<'b, 'c>(pub(super) &'b RefCell<Book<'c>>);

impl Trace for Collect<'_, '_> {
    fn note<'s>(self, step: impl FnOnce() -> Step<'s>) {
        self.0.borrow_mut().take(step());
    }

    fn before_draw(self, rotations: &mut RotationTable, draw: Draw<'_>) {
        let Draw { health, family, scope, is_alone, .. } = draw;
        let foretold = rotations.foretell(health, family, scope, is_alone);
        let mut book = self.0.borrow_mut();
        let event = Event::Pool(Box::new(book.pool_event(&draw, &foretold)));
        // The same draw, looked at once more by another way to the answer, or now of one address alone.
        if let Some(Event::Pool(_)) = book.events.last() {
            book.events.pop();
        }
        book.events.push(event);
    }
}

impl<'c> Book<'c> {
    pub(super) fn new(
        config: &'c Config,
        snapshot: &'c Snapshot,
        reasons: &'c Reasons<'c>,
        now_secs: u64,
    ) -> Book<'c> {
        Book { config, snapshot, reasons, now_secs, events: Vec::new(), client: None }
    }

    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }

    fn take(&mut self, step: Step<'_>) {
        let event = match step {
            Step::Name { name, found } => {
                let event = self.name_event(name, found);
                // Another way to the answer begins at this name again.
                let is_same = |known: &Event| matches!(known, Event::Name(known) if known.name == event.name);
                if let Some(at) = self.events.iter().position(is_same) {
                    self.events.truncate(at);
                }
                Event::Name(event)
            }
            Step::OtherClass => Event::OtherClass,
            Step::Transfer => Event::Transfer,
            Step::ZoneNotLoaded => Event::ZoneNotLoaded,
            Step::ZoneRefused { pool } => Event::ZoneRefused { pool: self.pool_name(pool) },
            Step::Client { address, is_subnet, place, .. } => {
                self.client = match place {
                    ClientPlace::Region { region, .. } => Some(address).zip(region),
                    ClientPlace::Anywhere | ClientPlace::Slot { .. } => None,
                };
                let place = match place {
                    ClientPlace::Anywhere => Place::Anywhere,
                    ClientPlace::Region { region, uniform_len } => Place::Region {
                        name: region
                            .and_then(|number| self.snapshot.clients.region_of(number))
                            .and_then(|region| self.region_name(region)),
                        uniform_len,
                        location: region.and_then(|number| self.location(number)),
                    },
                    ClientPlace::Slot { slot, prefix_len } => Place::Slot { slot, prefix_len },
                };
                Event::Client(ClientEvent { address, is_subnet, place })
            }
            Step::NoFamily { pool } => Event::NoFamily { pool: self.pool_name(pool) },
            Step::Exhausted { family } => {
                let pool = &self.config.pools[family.rules.pool_id as usize];
                Event::Exhausted { pool: pool.name.clone(), fallback: fallback_text(&pool.fallback) }
            }
            Step::Records { rtype } => Event::Records { rtype },
            Step::Made { rtype } => Event::Made { rtype },
            Step::NoData => Event::NoData,
            Step::Minimal => Event::Minimal,
            Step::Alias => Event::Alias,
            Step::Referral => Event::Referral,
        };
        if self.events.last() != Some(&event) {
            self.events.push(event);
        }
    }

    fn pool_name(&self, pool: u32) -> String {
        self.config.pools[pool as usize].name.clone()
    }

    fn region_name(&self, region: RegionId) -> Option<String> {
        self.config.topology.regions.get(usize::from(region.0)).cloned()
    }

    fn location(&self, number: RegionId) -> Option<Location> {
        let clients = &self.snapshot.clients;
        let (coordinates, by) = clients.get(number)?.location?;
        let error_km = if by == LocatedBy::Database { clients.error_km() } else { 0.0 };
        Some(Location { coordinates, by, error_km })
    }

    /// A region or place that is looked at, and what speaks for it.
    fn sought(&self, pool_id: usize, preferences: &Preferences, number: RegionId) -> Option<Sought> {
        if let Some(place) = preferences.places().get(usize::from(number.0)) {
            let from = self.client.and_then(|(_, client)| self.location(client));
            let km = from.map(|from| from.coordinates.distance_km(place.coordinates));
            return Some(Sought { name: place.name.to_string(), km, millis: None });
        }
        let method = &self.config.pools[pool_id].method;
        let millis = match method {
            model::Method::Latency { table, .. } => self.millis(*table, number),
            _ => None,
        };
        Some(Sought { name: self.region_name(number)?, km: None, millis })
    }

    /// What a table says of the way from the client to a region.
    fn millis(&self, table: u32, region: RegionId) -> Option<f64> {
        let (address, client) = self.client?;
        let table = self.config.latencies.get(table as usize)?;
        let holding = table.by_prefix.iter().filter(|(net, _)| net.contains(&address));
        let of_prefix = holding.max_by_key(|(net, _)| net.prefix_len()).map(|(_, row)| *row);
        let of_region = || table.by_region.get(&self.snapshot.clients.region_of(client)?.0).copied();
        let row = table.rows.get(of_prefix.or_else(of_region)? as usize)?;
        let (_, micros) = row.iter().find(|(known, _)| *known == region.0)?;
        Some(f64::from(*micros) / 1000.0)
    }

    fn name_event(&self, name: &[u8], found: Found<'_>) -> NameEvent {
        let (kind, owner) = match found {
            Found::Exact(owner) => ("itself", Some(owner)),
            Found::Wildcard(owner) => ("wildcard", Some(owner)),
            Found::Cut(owner) => ("cut", Some(owner)),
            Found::Dname(owner) => ("dname", Some(owner)),
            Found::Missing(owner) => ("missing", Some(owner)),
            Found::Outside => ("outside", None),
        };
        let zone = owner.map(|owner| {
            let name = owner.name();
            wire_text(&name[name.len() - usize::from(owner.in_zone().apex_len)..])
        });
        NameEvent {
            name: wire_text(&name.to_ascii_lowercase()),
            found: kind,
            owner: owner.map(|owner| wire_text(owner.name())),
            zone,
        }
    }

    fn pool_event(&self, draw: &Draw<'_>, foretold: &Foretold) -> PoolEvent {
        let family = draw.family;
        let pool_id = family.rules.pool_id as usize;
        let pool = &self.config.pools[pool_id];
        let mut words = vec![Word::default(); pool.members.len()];
        if draw.health.read(pool_id, &mut words).is_none() {
            draw.health.read_each(pool_id, &mut words);
        }
        // A tree's own preference is that of its first node.
        let looked_in = match &family.tree {
            Some(leaves) => {
                self.looked_in(pool_id, leaves.tree.preferences(0), leaves.tree.preference(draw.scope, 0))
            }
            None => self.looked_in(pool_id, &family.preferences, family.preference(draw.scope)),
        };
        let members = self.rows(family, &words, foretold);
        let answer = foretold.answer.iter().map(|candidate| self.candidate(family, *candidate)).collect();
        PoolEvent {
            pool: pool.name.clone(),
            family: match family.family {
                Family::V4 => "A",
                Family::V6 => "AAAA",
            },
            method: method_text(&pool.method),
            fallback: fallback_text(&pool.fallback),
            max_addrs_returned: pool.max_addrs_returned,
            is_anywhere: looked_in.is_some() && foretold.scope == 0,
            looked_in,
            source: foretold.source,
            nodes: self.nodes(family, draw.scope, foretold),
            members,
            total: foretold.total,
            position: foretold.position,
            is_hashed: foretold.is_hashed,
            answer,
            ttl: TtlEvent {
                told_secs: draw.ttl.told(foretold.flip_secs),
                max_secs: draw.ttl.max_secs(),
                min_secs: draw.ttl.min_secs(),
                flip_secs: foretold.flip_secs,
            },
        }
    }

    fn looked_in(
        &self,
        pool_id: usize,
        preferences: &Preferences,
        preference: Option<&Preference>,
    ) -> Option<(Vec<Sought>, bool)> {
        preference.map(|preference| {
            let places = preference.regions.iter();
            let sought = places.filter_map(|number| self.sought(pool_id, preferences, *number));
            (sought.collect(), preference.then_anywhere)
        })
    }

    fn nodes(&self, family: &FamilyPool, scope: usize, foretold: &Foretold) -> Vec<NodeRow> {
        let model = self.config.pools[family.rules.pool_id as usize].tree.as_ref();
        let Some((model, leaves)) = model.zip(family.tree.as_ref()) else { return Vec::new() };
        let rows = model.nodes.iter().zip(&foretold.nodes).enumerate();
        let row = |(at, (node, state)): (usize, (&model::Node, &NodeState))| NodeRow {
            pool: self.pool_name(node.pool),
            method: method_text(&node.method),
            counts_as_up: state.counts,
            looked_in: self.looked_in(
                node.pool as usize,
                leaves.tree.preferences(at),
                leaves.tree.preference(scope, at),
            ),
            share_millionths: state.is_open.then_some((state.flow * 1e6).round() as u32),
        };
        rows.map(row).collect()
    }

    /// Name and address of a candidate.
    fn candidate(&self, family: &FamilyPool, candidate: u16) -> (String, String) {
        let pool = &self.config.pools[family.rules.pool_id as usize];
        let number = usize::from(family.candidates[usize::from(candidate)].member);
        match (pool.members.get(number), &pool.fallback) {
            (Some(member), _) => (member.name.clone(), member.shown()),
            (None, model::Fallback::Addresses(addresses)) => {
                let address = addresses[number - pool.members.len()];
                (address.to_string(), address.to_string())
            }
            // Only fallback addresses are numbered behind the members.
            (None, _) => (String::new(), String::new()),
        }
    }

    fn rows(&self, family: &FamilyPool, words: &[Word], foretold: &Foretold) -> Vec<MemberRow> {
        let pool_id = family.rules.pool_id as usize;
        let pool = &self.config.pools[pool_id];
        let share_of = |candidate: usize| {
            let found = foretold.shares.iter().find(|(at, _)| usize::from(*at) == candidate);
            found.map(|(_, share)| *share)
        };
        let mut rows = Vec::new();
        for (index, (member, word)) in pool.members.iter().zip(words).enumerate() {
            if !member.is_of(family.family) {
                continue;
            }
            let own = family.candidates.iter().position(|c| usize::from(c.member) == index);
            // What several pools of a tree have is drawn once, for those in which it is up.
            let shared = || {
                let candidate = *family.tree.as_ref()?.candidate_of.get(index)?;
                (candidate != NO_CANDIDATE && word.state() == State::Up).then_some(usize::from(candidate))
            };
            let share = own.or_else(shared).and_then(share_of);
            let region = if member.cname.is_some() { None } else { self.snapshot.region_of(member.ip) };
            let since_secs = u64::from(word.since_secs());
            rows.push(MemberRow {
                name: member.name.clone(),
                address: member.shown(),
                region: region.and_then(|region| self.region_name(region)),
                state: Some(word.state()),
                age_secs: (since_secs > 0).then(|| self.now_secs.saturating_sub(since_secs)),
                reason: (self.reasons)(pool_id, index),
                weight: if member.enabled { member.weight } else { 0 },
                capacity: member.capacity,
                weight_override: word.weight_override(),
                permille: word.permille(),
                is_overridden: word.flags().has_any(Flags::FORCED),
                is_frozen: word.flags().has_any(Flags::FROZEN),
                share,
                standing: standing(member, *word, share, foretold),
            });
        }
        for at in family.fallback_at..family.candidates.len() {
            let Some(share) = share_of(at) else { continue };
            let (name, address) = self.candidate(family, at as u16);
            rows.push(MemberRow {
                name,
                address,
                region: None,
                state: None,
                age_secs: None,
                reason: None,
                weight: 1,
                capacity: None,
                weight_override: None,
                permille: 1000,
                is_overridden: false,
                is_frozen: false,
                share: Some(share),
                standing: "of the fallback",
            });
        }
        rows
    }
}

/// Why a member can be drawn or not.
fn standing(member: &model::Member, word: Word, share: Option<u32>, foretold: &Foretold) -> &'static str {
    if share.is_some() {
        return match (foretold.source, word.permille()) {
            (Source::Fallback, _) => "drawn for want of better",
            (_, 1000) => "can be drawn",
            (_, _) => "can be drawn, with part of its weight",
        };
    }
    if !member.enabled {
        return "disabled";
    }
    if member.weight == 0 || word.base_weight(member.weight) == 0 {
        return "of weight 0";
    }
    if word.permille() == 0 {
        return "drained";
    }
    match (word.state(), foretold.source) {
        (State::Down, _) => "down",
        (State::Unknown, Source::Up | Source::Frozen) => "no verdict yet, and others are up",
        (State::Up | State::Unknown, _) => "not where it is looked for, or behind the first",
    }
}

fn method_text(method: &model::Method) -> String {
    match method {
        model::Method::Wrr => "wrr: weighted rotation".into(),
        model::Method::Twrr { .. } => "twrr: weighted rotation by region".into(),
        model::Method::Fogroup { first: 1 } => "fogroup: the first that is up".into(),
        model::Method::Fogroup { first } => format!("fogroup: the first {first} that are up"),
        model::Method::Random => "random: by weight and chance".into(),
        model::Method::Hash { .. } => "hash: by weight and the client's network".into(),
        model::Method::Nearest => "nearest: weighted rotation at the place nearest to the client".into(),
        model::Method::Latency { .. } => {
            "latency: weighted rotation in the region of the lowest latency".into()
        }
    }
}

fn fallback_text(fallback: &model::Fallback) -> String {
    match fallback {
        model::Fallback::Any => "any".into(),
        model::Fallback::Refuse => "refuse".into(),
        model::Fallback::Nodata => "nodata".into(),
        model::Fallback::Cname(name) => format!("cname {name}"),
        model::Fallback::Addresses(addresses) => {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
    }
}

fn wire_text(wire: &[u8]) -> String {
    Name::from_wire(wire).map_or_else(|_| String::new(), |name| name.to_string())
}
