//! States for who explains answers without a server: what the last run saved, what is forced, what operators have decided. Who is
//! in none of these is taken for UP. Probes nobody.

use std::collections::HashMap;

use super::adoption::{Inheritance, first_status};
use super::combination::Combined;
use super::machine::MemberState;
use super::overrides::{Effect, Override, Selector};
use super::plan::{Plan, PlanMember};
use super::probe::Script;
use super::saver::{Memory, Unusable};
use super::status::TargetStatus;
use super::store::{Key, Saved};
use super::words::{Verdict, Writer, member_word};
use crate::state::health_table::{State, Word};

/// How a member's state is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The last run saved it.
    Saved,
    /// Its monitor says it without a probe.
    Forced,
    /// Nothing is known: taken for UP.
    Assumed,
    /// Whoever asks says so.
    Said,
}

/// A state that whoever asks would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Of whom.
    pub target: Selector,
    /// Which.
    pub state: State,
}

/// What the table was filled from.
#[derive(Debug)]
pub struct Filled {
    /// By pool and member.
    pub origins: Vec<Vec<Origin>>,
    /// Why what was saved is of no use, if there is anything.
    pub unusable: Option<String>,
    /// By each state that was said, how many members it concerns.
    pub said: Vec<usize>,
}

/// Fills the plan's table, which nobody else writes.
pub fn fill(
    plan: &Plan,
    memory: Option<&Memory>,
    overrides: &[Override],
    said: &[Said],
    now_secs: u64,
) -> Filled {
    let (saved, unusable) = match memory.map(Memory::read) {
        None | Some(Err(Unusable::Missing)) => (HashMap::new(), None),
        Some(Ok(saved)) => (saved, None),
        Some(Err(unusable)) => (HashMap::new(), Some(unusable.to_string())),
    };
    let mut filled = Filled { origins: Vec::new(), unusable, said: vec![0; said.len()] };
    let mut writer = Writer::new(plan.table.clone());
    for (index, pool) in plan.pools.iter().enumerate() {
        let mut origins = Vec::with_capacity(pool.members.len());
        let words = pool.members.iter().map(|member| {
            let known_as: Vec<(&str, &str)> = member.known_as(&pool.name).collect();
            let is_meant =
                |target: &Selector| target.selects_any(&known_as, member.address, member.region.as_deref());
            let (mut word, mut origin) = word_of(plan, &pool.name, member, &saved, overrides, now_secs);
            for (one, count) in said.iter().zip(&mut filled.said) {
                if is_meant(&one.target) {
                    *count += 1;
                    origin = Origin::Said;
                    word = Word::new(one.state, 0)
                        .with_flags(word.flags())
                        .with_permille(word.permille())
                        .with_weight_override(word.weight_override());
                }
            }
            origins.push(origin);
            word
        });
        let words: Vec<Word> = words.collect();
        writer.write_pool(&plan.pools, index, false, words.into_iter());
        filled.origins.push(origins);
    }
    filled
}

fn word_of(
    plan: &Plan,
    pool: &str,
    member: &PlanMember,
    saved: &HashMap<Key, Saved>,
    overrides: &[Override],
    now_secs: u64,
) -> (Word, Origin) {
    let each: Vec<(TargetStatus, &Script, Origin)> = member
        .targets
        .iter()
        .map(|target| {
            let target = &plan.targets[*target as usize];
            let script = &*plan.scripts[target.script as usize];
            let identity = plan.identities[target.script as usize];
            let recalled = identity.and_then(|identity| saved.get(&(identity, target.address)).copied());
            let forced = script.forced();
            let origin = match (forced, recalled) {
                (Some(_), _) => Origin::Forced,
                (None, Some(_)) => Origin::Saved,
                (None, None) => Origin::Assumed,
            };
            let mut status = first_status(Inheritance::None, TargetStatus::default(), recalled, forced, 0);
            if origin == Origin::Assumed {
                status.state = MemberState { state: State::Up, ..MemberState::default() };
            }
            (status, script, origin)
        })
        .collect();
    let now_ms = now_secs.saturating_mul(1000);
    let (verdict, origin) = match &member.several {
        None => {
            let (status, script, origin) = &each[0];
            (Verdict::of_target(status, script, now_ms), *origin)
        }
        Some(several) => {
            let states: Vec<_> = each.iter().map(|(of, ..)| (of.state.state, of.since_secs)).collect();
            let combined = Combined::first(&states, several.quorum.needed);
            // Where a state is assumed that decides, so is the verdict.
            let deciding = each.iter().filter(|(of, ..)| of.state.state == combined.verdict.state);
            let origin = deciding.map(|(.., origin)| *origin).max_by_key(|origin| *origin as u8);
            let each: Vec<_> = each.into_iter().map(|(status, script, _)| (status, script)).collect();
            let verdict = Verdict::of_several(&combined, &several.quorum, &each, now_ms);
            (verdict, origin.unwrap_or(Origin::Assumed))
        }
    };
    let known_as: Vec<(&str, &str)> = member.known_as(pool).collect();
    let effect = Effect::of(overrides, (&known_as, member.address, member.region.as_deref()), now_secs);
    (member_word(&verdict, &effect, false, now_ms).0, origin)
}
