//! The admin listener: HTTP for people and monitoring, on one thread of its own.
//!
//! Read-only. It shares no thread and no lock with the packet path; whatever hangs here, queries are answered.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::gate::Gate;
use super::live::{Live, unix_secs};
use super::{metrics, overrides};
use crate::health::status::MonitorStatus;
use crate::io::pin::stand_back;
use crate::state::health_table::Flags;

/// The running listener.
pub(super) struct Admin {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Admin {
    /// Binds `address`; nothing is served before [`Admin::serve`].
    ///
    /// # Errors
    /// What the kernel said.
    pub(super) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Serves on a thread of its own until stopped.
    ///
    /// # Errors
    /// When the kernel gives no thread or epoll instance.
    pub(super) fn serve(listener: TcpListener, live: Arc<Live>) -> std::io::Result<Admin> {
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("admin".into()).spawn(move || {
            stand_back();
            let outcome = runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::select! {
                    served = axum::serve(Gate::new(listener), router(live)) => served,
                    _ = stopped => Ok(()),
                }
            });
            if let Err(error) = outcome {
                tracing::error!(%error, "the admin listener has stopped");
            }
        })?;
        Ok(Admin { stop, thread, address })
    }

    /// Stops and waits for the thread; requests under way are dropped.
    pub(super) fn stop(self) {
        // An error: the thread has ended by itself, and has said why.
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("the admin thread has panicked");
        }
    }
}

fn router(live: Arc<Live>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(healthz))
        .route("/state", get(state))
        .with_state(live)
}

async fn metrics_page(State(live): State<Arc<Live>>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics::text(&live)).into_response()
}

/// 200 while every worker answers from the configuration in force, else 503.
async fn healthz(State(live): State<Arc<Live>>) -> Response {
    if live.is_healthy() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a worker does not adopt the configuration\n").into_response()
    }
}

/// One of a member's monitors.
fn monitor(one: &MonitorStatus) -> Value {
    let health = &one.health;
    json!({
        "name": &*one.name,
        "state": health.state.state.as_str(),
        "since": health.since_secs,
        "reason": health.reason.as_ref().map(ToString::to_string),
        "consecutive_successes": health.state.successes,
        "consecutive_failures": health.state.failures,
    })
}

/// Every pool and member with state, reason and counts, as JSON.
async fn state(State(live): State<Arc<Live>>) -> axum::Json<Value> {
    let (current, status) = live.figures();
    let mut index = 0;
    let mut pools = Vec::new();
    for pool in &status.pools {
        let mut members = Vec::new();
        for member in &pool.members {
            let health = &member.health;
            members.push(json!({
                "name": &*member.name,
                "address": member.shown(),
                "state": member.word.state().as_str(),
                "since": member.word.since_secs(),
                "probed_state": health.state.state.as_str(),
                "overridden": member.word.flags().has_any(Flags::FORCED),
                "draining": member.word.flags().has_any(Flags::DRAINING),
                "weight": member.word.base_weight(member.weight),
                "weight_permille": member.word.permille(),
                "flap_penalty": health.state.penalty,
                "reason": health.reason.as_ref().map(ToString::to_string),
                "consecutive_successes": health.state.successes,
                "consecutive_failures": health.state.failures,
                "probes_succeeded": health.succeeded,
                "probes_failed": health.failed,
                "probes_inconclusive": health.inconclusive,
                "last_probe_ms": health.last_duration.map(|d| d.as_secs_f64() * 1000.0),
                "monitors": member.monitors.iter().map(monitor).collect::<Vec<_>>(),
                "answers": current.draws_of(index),
            }));
            index += 1;
        }
        pools.push(json!({ "name": &*pool.name, "up": pool.word.is_up, "members": members }));
    }
    let guard = status.engine.guard;
    let decided = live.board.overrides();
    let standing: Vec<_> = decided.list.iter().filter(|one| one.holds(unix_secs())).cloned().collect();
    axum::Json(json!({
        "generation": current.generation,
        "names": current.names,
        "overrides": overrides::describe(&standing, &[]),
        "frozen_since": guard.frozen_since_secs,
        "pools": pools,
    }))
}
