//! Why a query is answered as it is: the query goes through the same `respond` as any other, with a trace that collects.
//!
//! What is explained is what this call did; a generation that stands where the explained one stood answers the same next.
//! Workers have positions of their own, so what is told of the next draw is true of the generation at hand alone.

/// What is collected on the way.
mod collect;
/// What that is.
mod events;
/// As JSON.
mod json;
/// By the running server.
pub mod live;
/// Without a server.
pub mod offline;
/// What is asked, and as which octets.
pub mod query;
/// What the reply says.
mod reply;
/// For people.
mod text;

use std::cell::RefCell;
use std::net::IpAddr;

use collect::{Book, Collect};
pub use events::{
    ClientEvent, Event, Location, MemberRow, NameEvent, NodeRow, Place, PoolEvent, Sought, TtlEvent,
};
pub use query::{AskError, Asked};
pub use reply::{RecordText, ReplyText};

use crate::config::model::Config;
use crate::dataplane::respond::{MIN_REPLY_OCTETS, Outcome, WorkerState, respond_traced};
use crate::state::publish::Generation;

/// Octets of the longest reply.
const REPLY_OCTETS: usize = 65_535;
const _: () = assert!(REPLY_OCTETS >= MIN_REPLY_OCTETS);

/// An explained answer.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What was asked.
    pub asked: Asked,
    /// Number of the configuration's generation.
    pub generation: u64,
    /// What is to be known about where states come from, and what else differs from a running server.
    pub notes: Vec<String>,
    /// The steps in order.
    pub events: Vec<Event>,
    /// What went out; `None`: nothing.
    pub reply: Option<ReplyText>,
}

impl Explanation {
    /// The addresses that were drawn, the first one first; empty where none were.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let pool = self.events.iter().rev().find_map(|event| match event {
            Event::Pool(pool) => Some(pool),
            _ => None,
        });
        pool.map_or_else(Vec::new, |pool| {
            pool.answer.iter().filter_map(|(_, address)| address.parse().ok()).collect()
        })
    }
}

/// What is known of a member beside its word: why its last probe was what it was, or how its state is known.
pub type Reasons<'r> = dyn Fn(usize, usize) -> Option<String> + 'r;

/// Answers, and says why. The generation is moved on as by any query.
pub fn explain(
    config: &Config,
    generation: &mut Generation,
    asked: &Asked,
    reasons: &Reasons<'_>,
    now_secs: u64,
) -> Explanation {
    let snapshot = generation.snapshot.clone();
    let book = RefCell::new(Book::new(config, &snapshot, reasons, now_secs));
    let mut worker = WorkerState::default();
    let mut reply = vec![0; REPLY_OCTETS];
    let outcome = respond_traced(
        Collect(&book),
        generation,
        &mut worker,
        &asked.client,
        asked.transport(),
        &asked.to_octets(),
        &mut reply,
    );
    let reply = match outcome {
        Outcome::Reply(len) => reply::decode(&reply[..len]),
        Outcome::Drop(_) => None,
    };
    let events = book.into_inner().into_events();
    Explanation { asked: asked.clone(), generation: snapshot.generation, notes: Vec::new(), events, reply }
}
