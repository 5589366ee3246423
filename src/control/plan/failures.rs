//! What each single failure puts on the others: of every pool, each member and each region down in turn.
//!
//! The loads are `config::failures`'s; here they are gathered for people and programs.

use std::collections::BTreeMap;

use super::side::Side;
use crate::config::compile::demand::{Populated, family_demands, scopes};
use crate::config::failures::{Failed, Trial, failures, is_above};
use crate::state::publish::Generation;
use crate::state::topology::RegionId;

/// All pools.
#[derive(Debug)]
pub struct Failures {
    /// What is to be known about states.
    pub notes: Vec<String>,
    /// The part of a capacity from which on somebody counts as overloaded.
    pub most: f64,
    /// In the order of the file.
    pub pools: Vec<PoolFailures>,
}

/// A pool.
#[derive(Debug)]
pub struct PoolFailures {
    /// Its name.
    pub pool: String,
    /// What all clients ask of it, in share units.
    pub demand: u64,
    /// Its members.
    pub members: Vec<Carrier>,
    /// Nobody, each member, each region.
    pub cases: Vec<Case>,
}

/// A member.
#[derive(Debug)]
pub struct Carrier {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: std::net::IpAddr,
    /// Its region.
    pub region: Option<String>,
    /// What it can carry.
    pub capacity: Option<u32>,
}

/// A failure.
#[derive(Debug)]
pub struct Case {
    /// Who fails.
    pub failed: String,
    /// `nobody`, `member` or `region`.
    pub kind: &'static str,
    /// What each member carries, in share units.
    pub loads: Vec<f64>,
    /// Indices of those above what they can carry.
    pub overloaded: Vec<usize>,
}

impl Failures {
    /// How often somebody is overloaded.
    pub fn count(&self) -> usize {
        self.pools.iter().flat_map(|pool| &pool.cases).map(|case| case.overloaded.len()).sum()
    }
}

impl PoolFailures {
    /// The case with the highest load of a capacity, who has it, and how high it is.
    pub fn worst(&self) -> Option<(&Case, usize, f64)> {
        let ratios = self.cases.iter().flat_map(|case| {
            case.overloaded.iter().filter_map(move |member| {
                let capacity = self.members[*member].capacity?;
                Some((case, *member, case.loads[*member] / f64::from(capacity)))
            })
        });
        // The first of equal ones.
        ratios.fold(None, |worst: Option<(&Case, usize, f64)>, next| match worst {
            Some(worst) if worst.2 >= next.2 => Some(worst),
            _ => Some(next),
        })
    }
}

/// Lets everybody fail in turn; `most`: which part of a capacity may be carried.
pub fn try_failures(side: &mut Side, most: f64) -> Failures {
    let populated = Populated::new(&side.config.topology, &side.generation.snapshot.clients);
    let Side { config, generation, notes, .. } = side;
    let Generation { snapshot, rotations, .. } = generation;
    let region_name = |region: Option<RegionId>| config.topology.regions.get(usize::from(region?.0)).cloned();
    let mut found = Failures { notes: notes.clone(), most, pools: Vec::with_capacity(config.pools.len()) };
    for (model, pool) in config.pools.iter().zip(&snapshot.pools) {
        let spread = [&pool.v4, &pool.v6].map(|family| scopes(family, &populated));
        let mut trial = Trial::new(pool, &snapshot.health, rotations, family_demands(model), spread);
        let carrier = |member: &crate::config::model::Member| Carrier {
            name: member.name.clone(),
            address: member.ip,
            region: region_name(snapshot.region_of(member.ip)),
            capacity: member.capacity,
        };
        let members: Vec<Carrier> = model.members.iter().map(carrier).collect();
        // Two members may have one name.
        let mut names: BTreeMap<&str, u32> = BTreeMap::new();
        members.iter().for_each(|member| *names.entry(&member.name).or_default() += 1);
        let name = |member: &Carrier| match names.get(member.name.as_str()) {
            Some(2..) => format!("{} ({})", member.name, member.address),
            _ => member.name.clone(),
        };
        let mut cases = Vec::new();
        for failed in failures(pool, &config.topology.regions) {
            let loads = trial.loads(&failed);
            let capacities = members.iter().map(|member| member.capacity);
            let overloaded = loads
                .iter()
                .zip(capacities)
                .enumerate()
                .filter_map(|(at, (load, capacity))| is_above(*load, capacity?, most).then_some(at));
            let overloaded = overloaded.collect();
            let (failed, kind) = match &failed {
                Failed::Nobody => ("nobody".to_owned(), "nobody"),
                Failed::Member(at) => (name(&members[usize::from(*at)]), "member"),
                Failed::Region(region, _) => (region.clone(), "region"),
            };
            cases.push(Case { failed, kind, loads, overloaded });
        }
        let (pool, demand) = (model.name.clone(), model.demand_units());
        found.pools.push(PoolFailures { pool, demand, members, cases });
    }
    found
}
