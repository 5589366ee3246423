//! The process's life: start everything, replace the configuration when it changes, stop.
//!
//! A configuration goes live in this order: read, validated and compiled beside the running one; every worker's memory
//! prepared; the health keeper fills the new table and posts the generation to the workers; each adopts it between
//! two batches. Until that last step the old one answers, and whatever fails before leaves it in force.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use parking_lot::Mutex;

use super::admin::Admin;
use super::fleet::Fleet;
use super::live::{Current, Live, unix_secs};
use super::systemd;
use super::watch::Watch;
use crate::config::compile::{carry, compile};
use crate::config::model::{Config, Server};
use crate::config::{self, Loaded, Report};
use crate::health::{Engine, EngineGone, Plan};
use crate::io::limits::ConnectionLimits;
use crate::io::listen::{Endpoint, ListenError, ListenOptions, bind};
use crate::io::pin::Cores;
use crate::state::snapshot::Snapshot;

/// Time between two looks at the configuration files: a change is live within two of them and the time of a load.
const WATCH_TICK: Duration = Duration::from_millis(500);
/// Name of the lock file below `state_dir`.
const LOCK_FILE: &str = "steerd.lock";

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files, watched for changes.
    Files {
        /// The configuration.
        config: PathBuf,
        /// Replaces the configuration's topology.
        topology: Option<PathBuf>,
    },
    /// A text of the program's own.
    Embedded {
        /// What stands for a file name in messages.
        name: &'static str,
        /// The configuration.
        text: String,
    },
}

impl Source {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn load(&self) -> Result<Loaded, Report> {
        match self {
            Source::Files { config, topology } => config::load(config, topology.as_deref()),
            Source::Embedded { name, text } => config::load_str(name, text),
        }
    }
}

/// What the supervisor is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Read the configuration again (SIGHUP).
    Reload,
    /// End the process (SIGTERM, SIGINT).
    Stop,
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(Report),
    /// A listen address cannot be had.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// The admin address cannot be had.
    #[error("cannot listen on admin address {address}: {error}")]
    Admin {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// The state directory cannot be used.
    #[error("cannot use state_dir {path}: {error}")]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// Another process uses the state directory.
    #[error("state_dir {path} is in use by another steerd")]
    StateDirLocked {
        /// The directory.
        path: PathBuf,
    },
    /// The kernel gave no thread, epoll instance or descriptor.
    #[error("cannot start: {0}")]
    Resources(std::io::Error),
}

/// Why the server ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A worker's thread has ended; its log line says why.
    #[error("a worker has stopped; its sockets would answer nobody")]
    WorkerLost,
}

/// The running server.
pub struct Supervisor {
    source: Source,
    /// As started: what of it changes later needs a restart.
    server: Server,
    /// The configuration in force, its names (which are only in the snapshot) left out.
    config: Config,
    snapshot: Arc<Snapshot>,
    fleet: Fleet,
    engine: Engine,
    admin: Option<Admin>,
    live: Arc<Live>,
    listening: Vec<std::net::SocketAddr>,
    /// Held for as long as the process lives.
    _lock: Option<File>,
    /// False once a worker would not adopt: nothing may be posted to it any more.
    adoptable: bool,
}

impl Supervisor {
    /// Starts everything; when this returns, queries are answered.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub fn start(source: Source) -> Result<Supervisor, StartError> {
        let started = Instant::now();
        let Loaded { mut config, warnings } = source.load().map_err(StartError::Config)?;
        let server = config.server.clone();
        let lock = server.state_dir.as_deref().map(lock_state_dir).transpose()?;
        if let Err(error) = crate::io::listen::raise_file_limit() {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
        let worker_count = server.workers.map_or_else(|| Cores::available().count(), usize::from).max(1);
        let endpoints = bind_all(&server, worker_count)?;
        let admin_listener = match server.admin {
            Some(address) => {
                let listener = Admin::bind(address).map_err(|error| StartError::Admin { address, error })?;
                Some(listener)
            }
            None => None,
        };
        // Only now: what keeps the server from starting is said in one line, without these before it.
        for warning in &warnings {
            tracing::warn!("{}", warning.brief());
        }
        let listening: Vec<_> = endpoints[0].iter().map(|endpoint| endpoint.address).collect();
        let snapshot = Arc::new(compile(&config, 1));
        config.globalnames = Vec::new();
        let engine = Engine::start(server.probe_threads, seed()).map_err(StartError::Resources)?;
        adopt_plan(&engine, &config, &snapshot, Box::new(|| ()));
        let limits = ConnectionLimits::new(
            server.tcp_max_connections,
            u16::try_from(server.tcp_max_connections_per_client).unwrap_or(u16::MAX),
        );
        let (fleet, draws) = Fleet::start(endpoints, &snapshot, &limits, server.tcp_idle_timeout)
            .map_err(StartError::Resources)?;
        let live = Arc::new(Live {
            workers: fleet.views(),
            board: engine.status(),
            limits,
            current: Mutex::new(Arc::new(describe(&snapshot, draws))),
            reloads_failed: AtomicU64::new(0),
            reloads: AtomicU64::new(0),
            configured_at_secs: AtomicU64::new(unix_secs()),
            started_at_secs: unix_secs(),
        });
        let admin = admin_listener
            .map(|listener| Admin::serve(listener, live.clone()))
            .transpose()
            .map_err(StartError::Resources)?;
        for address in &listening {
            tracing::info!(%address, workers = worker_count, "listening (UDP and TCP)");
        }
        if let Some(admin) = &admin {
            tracing::info!(address = %admin.address, "admin listening (HTTP: /metrics, /state, /healthz)");
        }
        tracing::info!(
            names = snapshot.names.len(),
            pools = snapshot.pools.len(),
            zones = snapshot.zones.len(),
            ms = started.elapsed().as_millis() as u64,
            "serving"
        );
        systemd::ready();
        Ok(Supervisor {
            source,
            server,
            config,
            snapshot,
            fleet,
            engine,
            admin,
            live,
            listening,
            _lock: lock,
            adoptable: true,
        })
    }

    /// Addresses that are served, ports chosen by the kernel filled in.
    pub fn listening(&self) -> &[std::net::SocketAddr] {
        &self.listening
    }

    /// Address of the admin listener.
    pub fn admin_address(&self) -> Option<std::net::SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// What the probes know.
    pub fn status(&self) -> Arc<crate::health::StatusBoard> {
        self.engine.status()
    }

    /// Serves until told to stop, then stops everything.
    ///
    /// # Errors
    /// [`RunError`] when a part has ended by itself.
    pub fn run(mut self, commands: &Receiver<Command>) -> Result<(), RunError> {
        let mut watch = Watch::new(&self.config.files);
        let outcome = loop {
            let reload = match commands.recv_timeout(WATCH_TICK) {
                Ok(Command::Reload) => true,
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => break Ok(()),
                Err(RecvTimeoutError::Timeout) => watch.has_settled_change(),
            };
            if self.fleet.has_lost_a_worker() {
                break Err(RunError::WorkerLost);
            }
            if reload {
                // Before the files are read: what changes while they are read is seen at the next tick.
                let before = Watch::new(&self.config.files);
                let known = self.config.files.clone();
                systemd::reloading();
                self.reload();
                systemd::ready();
                watch = if self.config.files == known { before } else { Watch::new(&self.config.files) };
            }
        };
        self.stop();
        outcome
    }

    /// Stops everything and waits for it.
    fn stop(self) {
        tracing::info!("stopping");
        systemd::stopping();
        if let Some(admin) = self.admin {
            admin.stop();
        }
        self.fleet.stop();
        self.engine.shutdown();
    }

    /// Reads the configuration again and puts it in force; if it is wrong, says so and changes nothing.
    pub fn reload(&mut self) {
        let started = Instant::now();
        let Loaded { mut config, warnings } = match self.source.load() {
            Ok(loaded) => loaded,
            Err(report) => {
                self.live.reloads_failed.fetch_add(1, Ordering::Relaxed);
                for diagnostic in report.diagnostics() {
                    tracing::error!("{}", diagnostic.brief());
                }
                let errors = report.error_count();
                tracing::error!(errors, "the configuration is refused; the one in force stays");
                return;
            }
        };
        if !self.adoptable {
            self.live.reloads_failed.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a worker is stuck; no configuration can be put in force, restart the server");
            return;
        }
        for warning in &warnings {
            tracing::warn!("{}", warning.brief());
        }
        let fixed = fixed_at_start(&self.server, &config.server);
        if !fixed.is_empty() {
            tracing::warn!(settings = fixed.join(", "), "changed, but in force only after a restart");
        }
        let generation = self.snapshot.generation + 1;
        let snapshot = Arc::new(compile(&config, generation));
        config.globalnames = Vec::new();
        let carried = carry(&self.snapshot, &self.config, &snapshot, &config);
        let (handover, draws) = self.fleet.prepare(&snapshot, carried);
        adopt_plan(&self.engine, &config, &snapshot, Box::new(move || handover.post()));
        self.adoptable = self.fleet.await_adoption(generation);
        *self.live.current.lock() = Arc::new(describe(&snapshot, draws));
        self.live.reloads.fetch_add(1, Ordering::Relaxed);
        self.live.configured_at_secs.store(unix_secs(), Ordering::Relaxed);
        self.config = config;
        self.snapshot = snapshot;
        tracing::info!(
            generation,
            names = self.snapshot.names.len(),
            pools = self.snapshot.pools.len(),
            ms = started.elapsed().as_millis() as u64,
            "configuration in force"
        );
    }
}

/// Hands the pools to the health engine and waits until it has filled the table and called `publish`.
fn adopt_plan(engine: &Engine, config: &Config, snapshot: &Snapshot, publish: Box<dyn FnOnce() + Send>) {
    let (done, adopted) = bounded(1);
    let plan = Plan::new(&config.pools, snapshot.health.clone());
    let published = move || {
        publish();
        // An error: nobody waits any more.
        let _ = done.send(());
    };
    let result =
        engine.adopt(plan, Box::new(published)).and_then(|()| adopted.recv().map_err(|_| EngineGone));
    if let Err(error) = result {
        tracing::error!("{error}; the configuration is not in force");
    }
}

fn describe(snapshot: &Snapshot, draws: Vec<Arc<[AtomicU64]>>) -> Current {
    Current {
        generation: snapshot.generation,
        names: snapshot.names.len(),
        topology_ranges: snapshot.topology.range_count(),
        draws,
    }
}

/// The sockets of every worker: one endpoint a listen address.
fn bind_all(server: &Server, workers: usize) -> Result<Vec<Vec<Endpoint>>, ListenError> {
    let mut by_worker: Vec<Vec<Endpoint>> = (0..workers).map(|_| Vec::new()).collect();
    for address in &server.listen {
        let endpoints = bind(*address, workers, &ListenOptions::default())?;
        for (worker, endpoint) in by_worker.iter_mut().zip(endpoints) {
            worker.push(endpoint);
        }
    }
    Ok(by_worker)
}

/// Makes the state directory if it is not there, and locks it for this process.
fn lock_state_dir(path: &Path) -> Result<File, StartError> {
    let fault = |error| StartError::StateDir { path: path.to_owned(), error };
    std::fs::create_dir_all(path).map_err(fault)?;
    let file = File::options().create(true).append(true).open(path.join(LOCK_FILE)).map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::StateDirLocked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(fault(error)),
    }
}

/// Settings that differ and that only a start reads.
fn fixed_at_start(started: &Server, new: &Server) -> Vec<&'static str> {
    let per_client = "server.tcp_max_connections_per_client";
    [
        ("server.listen", started.listen != new.listen),
        ("server.workers", started.workers != new.workers),
        ("server.admin", started.admin != new.admin),
        ("server.state_dir", started.state_dir != new.state_dir),
        ("server.tcp_max_connections", started.tcp_max_connections != new.tcp_max_connections),
        (per_client, started.tcp_max_connections_per_client != new.tcp_max_connections_per_client),
        ("server.tcp_idle_timeout", started.tcp_idle_timeout != new.tcp_idle_timeout),
        ("server.probe_threads", started.probe_threads != new.probe_threads),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

/// A number that differs from start to start, for the spread of probes.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
