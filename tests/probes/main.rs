//! Every monitor against programs that nobody here wrote: healthy, failing, and hanging at every step.
//!
//! Each test has a network namespace of its own, and behind a veth pair another one; so ports are free, and what
//! hangs is an address that nobody has. Making them needs root: without, each test says so and passes.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]
#![allow(unreachable_pub, reason = "shared by the files of this test")]

#[path = "../common/mod.rs"]
mod common;

/// `agent`: states, weights, silence.
mod agents;
/// Budgets: what hangs is given up in time, at whatever step.
mod budgets;
/// `icmp`: over both kinds of socket, and over neither.
mod echoes;
/// `dns` against unbound.
mod names;
/// `source` and `monitor_ip`.
mod paths;
/// The namespaces, and configurations.
mod room;
/// `file`.
mod files;
/// `exec`.
mod programs;
/// `push`.
mod pushes;
/// Several monitors of a member.
mod several;
/// `tls` and the certificate of `https` against openssl.
mod tls;
/// `http` and `https` against nginx.
mod web;
