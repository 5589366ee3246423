//! The way of what is pushed into the engine: names to targets, words to verdicts.
//!
//! Names are looked up here, on the thread of who pushes, so that the keeper has little left to do. All of a request counts, or
//! nothing of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Sender, bounded};

use super::engine::EngineGone;
use super::keeper::{Message, Pushed};
use super::probe::Conclusion;
use super::probe::agent::{Words, read_words};
use super::reason::{Local, Reason, peer_text};
use super::status::{Sheet, StatusBoard};

/// Of one request: the keeper does nothing else meanwhile.
pub const MAX_PUSHES: usize = 1024;
/// Longest wait for the keeper, which may be adopting a large plan.
const PATIENCE: Duration = Duration::from_secs(10);
/// Plans that may be adopted while one request is looked up.
const TRIES: u32 = 3;

/// What is said of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Name of its pool.
    pub pool: String,
    /// Its name, or its address.
    pub member: String,
    /// What it is, in the words of an agent.
    pub says: String,
    /// For how long that holds; `None`: as configured.
    pub ttl: Option<Duration>,
    /// Why; may be empty.
    pub why: String,
}

/// Why what is said of a member cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No such pool.
    #[error("there is no pool `{pool}`")]
    NoPool {
        /// Its name.
        pool: String,
    },
    /// No such member.
    #[error("the pool `{pool}` has no member `{member}`")]
    NoMember {
        /// The pool's name.
        pool: String,
        /// The member's.
        member: String,
    },
    /// A name of more than one member.
    #[error("the pool `{pool}` has several members `{member}`: name one by its address")]
    Ambiguous {
        /// The pool's name.
        pool: String,
        /// The members'.
        member: String,
    },
    /// The member is probed.
    #[error("the pool `{pool}` has no `push` monitor")]
    NotPush {
        /// Its name.
        pool: String,
    },
    /// Words that nobody knows.
    #[error("`{says}` is not understood: accepted are up, down, drain, maint, ready and a share such as 75%")]
    Words {
        /// The words.
        says: Arc<str>,
    },
}

/// Why nothing was taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// One of them cannot be.
    #[error("push {number}: {fault}")]
    Entry {
        /// Its number, from 1.
        number: usize,
        /// Why.
        fault: Fault,
    },
    /// The keeper does not listen.
    #[error(transparent)]
    Gone(#[from] EngineGone),
}

/// The way of what is pushed into the engine; it may outlive it.
#[derive(Clone)]
pub struct Pusher {
    messages: Sender<Message>,
    board: Arc<StatusBoard>,
}

impl Pusher {
    /// Into the engine of this channel and board.
    pub(super) fn new(messages: Sender<Message>, board: Arc<StatusBoard>) -> Pusher {
        Pusher { messages, board }
    }

    /// Has all of these count, and returns once they do. They are at most [`MAX_PUSHES`].
    ///
    /// # Errors
    /// [`PushError`]: none of them does.
    pub fn push(&self, list: &[Push]) -> Result<(), PushError> {
        for _ in 0..TRIES {
            let sheet = self.board.sheet();
            let pushed = resolve(&sheet, list)?;
            let (done, told) = bounded(1);
            self.messages.send(Message::Push(sheet, pushed, done)).map_err(|_| EngineGone)?;
            // Outdated: another plan was adopted meanwhile.
            if told.recv_timeout(PATIENCE).map_err(|_| EngineGone)?.is_ok() {
                return Ok(());
            }
        }
        Err(EngineGone.into())
    }
}

fn resolve(sheet: &Sheet, list: &[Push]) -> Result<Vec<Pushed>, PushError> {
    let pool_of: HashMap<&str, usize> =
        sheet.pools.iter().enumerate().map(|(index, pool)| (&*pool.name, index)).collect();
    let one = |(index, push): (usize, &Push)| {
        resolve_one(sheet, &pool_of, push).map_err(|fault| PushError::Entry { number: index + 1, fault })
    };
    list.iter().enumerate().map(one).collect()
}

fn resolve_one(sheet: &Sheet, pool_of: &HashMap<&str, usize>, push: &Push) -> Result<Pushed, Fault> {
    let pool = || push.pool.clone();
    let found = pool_of.get(&*push.pool).ok_or_else(|| Fault::NoPool { pool: pool() })?;
    let address: Option<IpAddr> = push.member.parse().ok();
    let members = &sheet.pools[*found].members;
    let by_address = members.iter().find(|member| Some(member.address) == address);
    let mut named = members.iter().filter(|member| *member.name == *push.member);
    let member = match (by_address, named.next()) {
        (Some(member), _) => member,
        (None, Some(_)) if named.next().is_some() => {
            return Err(Fault::Ambiguous { pool: pool(), member: push.member.clone() });
        }
        (None, Some(member)) => member,
        (None, None) => return Err(Fault::NoMember { pool: pool(), member: push.member.clone() }),
    };
    let target = member.pushed.ok_or_else(|| Fault::NotPush { pool: pool() })?;
    let line = peer_text(push.says.as_bytes());
    let Some(Words { outcome, advice }) = read_words(push.says.as_bytes()) else {
        return Err(Fault::Words { says: line });
    };
    let reason = Reason::Local(Local::Pushed { line, why: peer_text(push.why.as_bytes()) });
    Ok(Pushed { target, conclusion: Conclusion { outcome, reason, advice: Some(advice) }, ttl: push.ttl })
}
