//! A generation without a server: compiled from the files as a worker would have it, states from where they are known.
//!
//! Zones are explained without their signatures, since keys are the server's alone. Writes nothing.

use std::path::Path;
use std::sync::Arc;

use super::{Asked, Explanation, explain};
use crate::config::compile::compile;
use crate::config::model::{Config, ZoneRecords};
use crate::control::live::unix_secs;
use crate::control::overrides::peek;
pub use crate::health::offline::Said;
use crate::health::offline::{Filled, Origin, fill};
use crate::health::overrides::Selector;
use crate::health::{Memory, Plan};
use crate::state::health_table::State;
use crate::state::publish::Generation;

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    /// A state that was said is of nobody.
    #[error(
        "`{0}` is no member: accepted are a name, an address, POOL/MEMBER, patterns of these with * and ?, and region:NAME"
    )]
    Nobody(String),
}

/// A state that is to be gone by, as `MEMBER=STATE`.
///
/// # Errors
/// What would be accepted.
pub fn said(text: &str) -> Result<Said, String> {
    let read = text.rsplit_once('=').and_then(|(target, state)| {
        let state = match state {
            "up" => State::Up,
            "down" => State::Down,
            "unknown" => State::Unknown,
            _ => return None,
        };
        Some(Said { target: Selector::new(target)?, state })
    });
    read.ok_or_else(|| {
        format!("`{text}` is not accepted (accepted are MEMBER=up, MEMBER=down and MEMBER=unknown)")
    })
}

/// A configuration as a worker would have it first.
pub struct StandIn {
    /// The generation, its states filled in.
    pub generation: Generation,
    /// Where these are from.
    pub filled: Filled,
    /// What is to be known about that, and what else differs from a running server.
    pub notes: Vec<String>,
}

/// Compiles a configuration, which loses its signing, and fills in states: those that the server last saved and the overrides in
/// force, if `is_saved`; others are taken for up; then what is said.
pub fn stand_in(config: &mut Config, said: &[Said], is_saved: bool, now_secs: u64) -> StandIn {
    let mut notes = Vec::new();
    for zone in &mut config.zones {
        if zone.dnssec.take().is_some() {
            notes.push(format!(
                "zone {} is signed: explained without signatures, under which a TTL is always the largest",
                zone.apex
            ));
        }
        if let ZoneRecords::Failed = zone.records {
            notes.push(format!("zone {} has a file that cannot be used (steerd check)", zone.apex));
        }
    }
    let snapshot = Arc::new(compile(config, 1));
    let plan = Plan::new(&config.pools, snapshot.health.clone()).located(|address| {
        let region = snapshot.region_of(address)?;
        config.topology.regions.get(usize::from(region.0)).map(|name| name.as_str().into())
    });
    let state_dir = config.server.state_dir.as_deref().filter(|_| is_saved);
    let max_age = config.server.state_max_age;
    let memory = state_dir.map(|folder| Memory { folder: folder.to_owned(), max_age });
    let overrides = state_dir.map_or(Ok(Vec::new()), peek).unwrap_or_else(|error| {
        notes.push(format!("overrides are not taken into account: {error}"));
        Vec::new()
    });
    let filled = fill(&plan, memory.as_ref(), &overrides, said, now_secs);
    if is_saved {
        notes.push(describe(&filled, state_dir, overrides.iter().filter(|one| one.holds(now_secs)).count()));
    }
    StandIn { generation: Generation::first(snapshot, 0), filled, notes }
}

/// Explains the answer that a fresh worker would give first.
///
/// # Errors
/// [`WhyError`]
pub fn explain_offline(mut config: Config, asked: &Asked, said: &[Said]) -> Result<Explanation, WhyError> {
    let now_secs = unix_secs();
    let StandIn { mut generation, filled, notes } = stand_in(&mut config, said, true, now_secs);
    if let Some((one, _)) = said.iter().zip(&filled.said).find(|(_, count)| **count == 0) {
        return Err(WhyError::Nobody(one.target.as_str().to_owned()));
    }
    let reason = |pool: usize, member: usize| {
        let origin = filled.origins.get(pool)?.get(member)?;
        Some(match origin {
            Origin::Saved => "saved by the server".to_owned(),
            Origin::Forced => "forced by its monitor".to_owned(),
            Origin::Assumed => "taken for up".to_owned(),
            Origin::Said => "assumed".to_owned(),
        })
    };
    let mut explanation = explain(&config, &mut generation, asked, &reason, now_secs);
    explanation.notes = notes;
    Ok(explanation)
}

/// Where states come from.
fn describe(filled: &Filled, state_dir: Option<&Path>, overrides: usize) -> String {
    let count = |wanted| filled.origins.iter().flatten().filter(|origin| **origin == wanted).count();
    let mut text = match (state_dir, &filled.unusable) {
        (None, _) => "states: no server.state_dir".to_owned(),
        (Some(folder), None) => format!("states: {} saved in {}", count(Origin::Saved), folder.display()),
        (Some(folder), Some(why)) => {
            format!("states: those saved in {} are not used, for {why}", folder.display())
        }
    };
    for (number, label) in [
        (count(Origin::Forced), "forced"),
        (count(Origin::Assumed), "taken for up"),
        (count(Origin::Said), "assumed by --assume"),
        (overrides, "overrides in force"),
    ] {
        if number > 0 {
            text.push_str(&format!(", {number} {label}"));
        }
    }
    text
}
