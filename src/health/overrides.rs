//! What an operator has decided over members, before whatever probes say.

use crate::state::health_table::State;

/// What is decided over one member; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// The state in place of the probes'.
    pub(super) state: Option<State>,
    /// Since when that holds, in seconds of the Unix epoch.
    pub(super) since_secs: u32,
    /// Whether it gets no new clients.
    pub(super) drain: bool,
    /// The weight in place of the configured one; 0: as if disabled.
    pub(super) weight: Option<u32>,
}

impl Effect {
    /// Whether anything is decided.
    pub(super) fn is_any(&self) -> bool {
        self.state.is_some() || self.drain || self.weight.is_some()
    }
}
