//! One of two configurations that are compared: compiled as a worker would have it, with the states that are gone by.
//!
//! Answers by `respond` and reads shares off the rotations; knows no clients.

use std::cell::Cell;
use std::net::IpAddr;

use crate::config::model::{self, Config};
use crate::control::live::unix_secs;
use crate::control::why::Asked;
use crate::control::why::offline::{Said, StandIn, stand_in};
use crate::dataplane::respond::{WorkerState, respond_traced};
use crate::dataplane::trace::{Draw, Step, Trace};
use crate::state::hash_slots::HashSlots;
use crate::state::pool::{Fallback, Family, FamilyPool};
use crate::state::publish::Generation;
use crate::state::rotation::{RotationTable, Source, hashed_scope};
use crate::state::topology::{Match, RegionId};
use crate::wire::message::Rtype;
use crate::wire::name::Name;

/// Octets of the reply that nobody reads.
const REPLY_OCTETS: usize = 65_535;

/// A configuration and what a worker makes of it.
pub struct Side {
    /// The configuration.
    pub config: Config,
    /// What a worker answers from.
    pub generation: Generation,
    /// What is to be known about states.
    pub notes: Vec<String>,
    /// By each state that was said, how many members it concerns.
    pub said: Vec<usize>,
    worker: WorkerState,
    reply: Vec<u8>,
    drawn: Vec<(u16, f64)>,
}

/// How a family of a pool tells clients apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Not at all.
    All,
    /// By their region.
    Region,
    /// By their networks, of these lengths.
    Hash([u8; 2]),
}

/// What becomes of queries from a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// Addresses of members.
    Members,
    /// Addresses of the fallback.
    Fallback,
    /// Nothing.
    NoData,
    /// REFUSED.
    Refused,
    /// There is no such pool.
    NoPool,
}

impl Answer {
    /// For people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Answer::Members => "members",
            Answer::Fallback => "fallback",
            Answer::NoData => "NODATA",
            Answer::Refused => "REFUSED",
            Answer::NoPool => "no pool",
        }
    }
}

/// Who leads answers, in sum 1 where there is anybody.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// Addresses with their parts.
    pub of: Vec<(IpAddr, f64)>,
    /// What they are.
    pub answer: Answer,
}

/// Where a client is, to the pools of one kind: nowhere in particular, 1 + the region's number, or the finest slot.
pub type PlaceId = u32;
/// Any slot: all networks alike.
pub const ANY_SLOT: PlaceId = u32::MAX;

impl Side {
    /// Compiles a configuration; see [`stand_in`].
    pub fn new(mut config: Config, said: &[Said], is_saved: bool) -> Side {
        let StandIn { generation, filled, mut notes } = stand_in(&mut config, said, is_saved, unix_secs());
        // Shares are the same with signatures.
        notes.retain(|note| !note.contains("is signed"));
        Side {
            config,
            generation,
            notes,
            said: filled.said,
            worker: WorkerState::default(),
            reply: vec![0; REPLY_OCTETS],
            drawn: Vec::new(),
        }
    }

    /// The pool of this name.
    pub fn pool(&self, pool: usize) -> &model::Pool {
        &self.config.pools[pool]
    }

    /// A family of a pool as compiled.
    pub fn family(&self, pool: usize, family: Family) -> &FamilyPool {
        self.generation.snapshot.pools[pool].family(family)
    }

    /// How a family of a pool tells clients apart.
    pub fn kind(&self, pool: usize, family: Family) -> Kind {
        let family = self.family(pool, family);
        match &family.slots {
            Some(slots) if slots.is_chance() => Kind::All,
            Some(slots) => Kind::Hash(slots.prefix_lens()),
            None if family.is_by_client => Kind::Region,
            None => Kind::All,
        }
    }

    /// Where an address is.
    pub fn lookup(&self, address: IpAddr) -> Match {
        self.generation.snapshot.topology.lookup(address)
    }

    /// The name of a region by its place.
    pub fn region_name(&self, place: PlaceId) -> Option<&str> {
        let number = RegionId(u16::try_from(place.checked_sub(1)?).ok()?);
        let region = self.generation.snapshot.clients.region_of(number)?;
        self.config.topology.regions.get(usize::from(region.0)).map(String::as_str)
    }

    /// The name of an address's region.
    pub fn region_of(&self, address: IpAddr) -> Option<&str> {
        let region = self.lookup(address).region?;
        self.region_name(place_of(Some(region)))
    }

    /// The scope of a place in a family; [`ANY_SLOT`] has none.
    pub fn scope(&self, pool: usize, family: Family, kind: Kind, place: PlaceId) -> usize {
        let family = self.family(pool, family);
        match (kind, &family.slots) {
            (Kind::Hash(_), Some(slots)) => hashed_scope(place as usize & (slots.len() - 1)),
            (Kind::Region, _) => {
                place.checked_sub(1).map_or(0, |region| family.preferences.scope_of(RegionId(region as u16)))
            }
            _ => 0,
        }
    }

    /// Who leads answers to clients in a place.
    pub fn shares(&mut self, pool: usize, family: Family, kind: Kind, place: PlaceId) -> Shares {
        match (kind, &self.family(pool, family).slots) {
            (Kind::Hash(_), Some(slots)) if place == ANY_SLOT => {
                let scopes = (0..slots.len()).map(hashed_scope).collect();
                self.shares_in(pool, family, scopes)
            }
            _ => {
                let scope = self.scope(pool, family, kind, place);
                self.shares_in(pool, family, vec![scope])
            }
        }
    }

    fn shares_in(&mut self, pool: usize, family: Family, scopes: Vec<usize>) -> Shares {
        let Generation { snapshot, rotations, .. } = &mut self.generation;
        let compiled = snapshot.pools[pool].family(family);
        if !compiled.has_members {
            return Shares { of: Vec::new(), answer: Answer::NoData };
        }
        let mut parts = vec![0.0; compiled.candidates.len()];
        let mut source = Source::Empty;
        let each = 1.0 / scopes.len() as f64;
        for scope in scopes {
            source = rotations.shares(&snapshot.health, compiled, scope, &mut self.drawn);
            for (candidate, share) in &self.drawn {
                parts[usize::from(*candidate)] += share * each;
            }
        }
        let model = &self.config.pools[pool];
        let address = |candidate: usize| {
            let number = usize::from(compiled.candidates[candidate].member);
            match (number.checked_sub(model.members.len()), &model.fallback) {
                (None, _) => Some(model.members[number].ip),
                (Some(index), model::Fallback::Addresses(addresses)) => addresses.get(index).copied(),
                (Some(_), _) => None,
            }
        };
        let drawn = parts.into_iter().enumerate().filter(|(_, part)| *part > 0.0);
        let answer = match (source, compiled.rules.fallback) {
            (Source::Up | Source::Frozen | Source::Unknown, _) => Answer::Members,
            (Source::Fallback, _) => Answer::Fallback,
            (Source::Empty, Fallback::Refuse) => Answer::Refused,
            (Source::Empty, _) => Answer::NoData,
        };
        Shares { of: drawn.filter_map(|(at, part)| Some((address(at)?, part))).collect(), answer }
    }

    /// The pool that a name is answered from, whatever leads there; by the same code as any query.
    pub fn pool_of(&mut self, name: &Name, family: Family) -> Option<usize> {
        let rtype = match family {
            Family::V4 => Rtype::A,
            Family::V6 => Rtype::AAAA,
        };
        let client = IpAddr::from([127, 0, 0, 1]);
        let asked = Asked { name: *name, rtype, client, subnet: None, is_tcp: false };
        let seen = Seen::default();
        let transport = asked.transport();
        let Side { generation, worker, reply, .. } = self;
        respond_traced(&seen, generation, worker, &client, transport, &asked.to_octets(), reply);
        seen.0.get().map(|pool| pool as usize)
    }
}

/// The place of a region's clients.
pub fn place_of(region: Option<RegionId>) -> PlaceId {
    region.map_or(0, |region| 1 + u32::from(region.0))
}

/// For how many bits of a client's address an answer of a family holds.
pub fn scope_len(kind: Kind, slots: Option<&HashSlots>, client: IpAddr, place: Match) -> u8 {
    match (kind, slots) {
        (Kind::Hash(_), Some(slots)) => slots.slot_of(client).1,
        (Kind::Region, _) => place.uniform_len,
        _ => 0,
    }
}

/// The last pool that a query came to.
#[derive(Default)]
struct Seen(Cell<Option<u32>>);

impl Trace for &Seen {
    fn note<'s>(self, step: impl FnOnce() -> Step<'s>) {
        match step() {
            Step::NoFamily { pool } | Step::ZoneRefused { pool } => self.0.set(Some(pool)),
            Step::Client { family, .. } | Step::Exhausted { family } => {
                self.0.set(Some(family.rules.pool_id));
            }
            _ => {}
        }
    }

    fn before_draw(self, _rotations: &mut RotationTable, draw: Draw<'_>) {
        self.0.set(Some(draw.family.rules.pool_id));
    }
}
