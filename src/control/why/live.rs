//! Explanations by the running server: of what is in force, states and reasons as its probes have them.
//!
//! It answers with a rotation of its own, so no worker is moved on; where workers stand is theirs to know. One request at a time
//! (`control/overrides.rs`), each with memory for the rotations of one worker.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::{Value, json};

use super::{AskError, Asked, explain};
use crate::config::model::Config;
use crate::control::live::unix_secs;
use crate::health::StatusBoard;
use crate::state::publish::Generation;
use crate::state::snapshot::Snapshot;

/// Why nothing is explained.
#[derive(Debug, thiserror::Error)]
pub(in crate::control) enum Refusal {
    /// No name, or no type.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// What a client sends is not understood.
    #[error("`{field}` is missing or wrong: accepted is {accepted}")]
    Field {
        /// Which part.
        field: &'static str,
        /// What it should be.
        accepted: &'static str,
    },
    /// The server has only just been started.
    #[error("nothing is served yet")]
    NothingServed,
}

/// A configuration in force, and what was compiled of it.
type InForce = (Arc<Config>, Arc<Snapshot>);

/// Who explains.
pub(in crate::control) struct Explainer {
    in_force: RwLock<Option<InForce>>,
    board: Arc<StatusBoard>,
}

impl Explainer {
    /// One that has nothing to explain yet.
    pub(in crate::control) fn new(board: Arc<StatusBoard>) -> Explainer {
        Explainer { in_force: RwLock::new(None), board }
    }

    /// Explains this from now on.
    pub(in crate::control) fn replace(&self, config: Arc<Config>, snapshot: Arc<Snapshot>) {
        *self.in_force.write() = Some((config, snapshot));
    }

    /// Carries out a request: `{"verb": "why", "name": ..., "type": ..., "client": ..., "client_subnet": ..., "tcp": false, "json":
    /// false}`, answered by `{"why": ...}`, a text or an object.
    ///
    /// # Errors
    /// [`Refusal`]
    pub(in crate::control) fn reply(&self, request: &Value) -> Result<Value, Refusal> {
        let asked = read(request)?;
        let (config, snapshot) = self.in_force.read().clone().ok_or(Refusal::NothingServed)?;
        let status = self.board.snapshot();
        let reason = |pool: usize, member: usize| {
            let health = &status.pools.get(pool)?.members.get(member)?.health;
            Some(health.reason.as_ref()?.to_string())
        };
        let mut generation = Generation::first(snapshot, 0);
        let mut explanation = explain(&config, &mut generation, &asked, &reason, unix_secs());
        let note =
            "states: those in force at the server; where its workers stand in the rotation is their own";
        explanation.notes.push(note.to_owned());
        Ok(match request["json"].as_bool() {
            Some(true) => json!({ "why": explanation.to_json() }),
            _ => json!({ "why": explanation.to_string() }),
        })
    }
}

/// The request for an explanation.
pub fn request(asked: &Asked, is_json: bool) -> Value {
    let [name, rtype] = asked.question();
    json!({
        "verb": "why", "name": name, "type": rtype, "client": asked.client,
        "client_subnet": asked.subnet.map(|net| net.to_string()), "tcp": asked.is_tcp, "json": is_json,
    })
}

fn read(request: &Value) -> Result<Asked, Refusal> {
    let text = |field: &str| request[field].as_str().unwrap_or_default();
    let client: Result<IpAddr, _> = text("client").parse();
    let client = client.map_err(|_| Refusal::Field { field: "client", accepted: "an address" })?;
    let mut asked = Asked::new(text("name"), text("type"), client)?;
    if let Some(subnet) = request["client_subnet"].as_str() {
        let accepted = "a prefix";
        let subnet = subnet.parse().map_err(|_| Refusal::Field { field: "client_subnet", accepted })?;
        asked.subnet = Some(subnet);
    }
    asked.is_tcp = request["tcp"].as_bool().unwrap_or(false);
    Ok(asked)
}
