//! The control side: starts the planes, keeps them fed with configurations, and tells what they do.
//!
//! Nothing here is on the way of a query. It may lock, allocate and wait; the planes never wait for it.

/// The process's life: start, reload, stop.
pub mod supervisor;
/// What a start takes from the machine.
mod startup;
/// What can go wrong with all that.
mod error;
/// The worker threads as a whole.
mod fleet;
/// Keeping the workers' clock going.
mod ticker;
/// Noticing that a configuration file has changed.
mod watch;
/// What is live now, for everybody who reports.
mod live;
/// What operators decide over members.
pub mod overrides;
/// What a change of the configuration does to traffic.
pub mod plan;
/// Members whose state is pushed.
pub mod pushes;
/// Why a query is answered as it is.
pub mod why;
/// Prometheus text.
mod metrics;
/// The HTTP listener.
mod admin;
/// Who may connect to it, and for how long.
mod gate;
/// Answers of several addresses, signed as health moves.
mod sets;
/// Zones that are signed.
mod signing;
/// What is said of zones whose files were read.
mod zones;
/// Where log lines go.
pub mod logging;
/// What systemd is told.
mod systemd;
/// Facts about this process from /proc.
mod process;
