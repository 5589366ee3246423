//! The process's life: start everything, replace the configuration when it changes, stop.
//!
//! A configuration goes live in this order: read, validated and compiled beside the running one; every worker's memory
//! prepared; the health keeper fills the new table and posts the generation to the workers; each adopts it between
//! two batches. Until that last step the old one answers, and whatever fails before leaves it in force.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::{Receiver, bounded, select_biased, tick};
use parking_lot::RwLock;
use ring::rand::{SecureRandom, SystemRandom};

use super::admin::Admin;
use super::error::ReloadError;
pub use super::error::{RunError, StartError};
use super::fleet::Fleet;
use super::live::{Current, Live, unix_secs};
use super::overrides::Overrides;
use super::sets::{SetSigner, SetWork};
use super::signing::Signer;
use super::startup::{bind_all, lock_state_dir, raise_file_limit};
use super::systemd;
use super::ticker::Ticker;
use super::watch::Watch;
use super::why::live::Explainer;
use super::zones;
use crate::config::compile::carry;
use crate::config::model::{Config, GlobalNames, Server, ZoneRecords};
use crate::config::zone::choose::ZoneReport;
use crate::config::zone::keep::ZoneKeep;
use crate::config::{self, Loaded, Report};
use crate::health::{Engine, EngineGone, Memory, Plan};
use crate::io::give_back_large_blocks;
use crate::io::limits::ConnectionLimits;
use crate::io::pin::{Cores, stand_back};
use crate::state::snapshot::Snapshot;

use crate::wire::cookie::{SECRET_OCTETS, Secret, Secrets};

/// Time between two looks at the configuration files: a change is live within two of them and the time of a load.
const WATCH_TICK: Duration = Duration::from_millis(500);
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
    /// The files that are known before any is read.
    fn files(&self) -> Vec<PathBuf> {
        match self {
            Source::Files { config, topology } => [config].into_iter().chain(topology).cloned().collect(),
            Source::Embedded { .. } => Vec::new(),
        }
    }

    /// Reads the configuration; `keep` has its zones as they were the last time.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn load(&self, keep: &mut ZoneKeep) -> Result<Loaded, Report> {
        match self {
            Source::Files { config, topology } => config::load_again(config, topology.as_deref(), keep),
            Source::Embedded { name, text } => config::load_str(name, text),
        }
    }
}

/// What the supervisor is told from outside. Both are told apart so that no reload stands before an end.
#[derive(Clone, Debug)]
pub struct Commands {
    /// Read the configuration again (SIGHUP).
    pub reload: Receiver<()>,
    /// End the process (SIGTERM, SIGINT); also when its sender is gone.
    pub stop: Receiver<()>,
}

/// The running server.
pub struct Supervisor {
    source: Source,
    /// As started: what of it changes later needs a restart.
    server: Server,
    /// The configuration in force, its names (which are in the snapshot) left out where no zone is signed.
    config: Arc<Config>,
    /// The zones' files as last read.
    keep: ZoneKeep,
    /// What became of them.
    zones: Vec<ZoneReport>,
    /// Signed zones.
    signer: Signer,
    /// Signs answers of several addresses.
    set_signer: SetSigner,
    snapshot: Arc<Snapshot>,
    fleet: Fleet,
    engine: Engine,
    overrides: Option<Overrides>,
    /// Explains what is in force to who asks there.
    explainer: Arc<Explainer>,
    admin: Option<Admin>,
    live: Arc<Live>,
    listening: Vec<std::net::SocketAddr>,
    watch: Watch,
    /// Held for as long as the process lives.
    _lock: Option<File>,
    /// What cookies are made with where no file says it: the same for as long as the process lives.
    secret: Secret,
    /// Keeps the workers' clock going.
    _ticker: Ticker,
}

impl Supervisor {
    /// Starts everything; when this returns, queries are answered. The calling thread, and those it starts later, then keep to
    /// the cores that have no worker, where there are such.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub fn start(source: Source) -> Result<Supervisor, StartError> {
        let started = Instant::now();
        give_back_large_blocks();
        // Before the files are read: what changes from now on is seen.
        let mut watch = Watch::new(&source.files());
        let began = SystemTime::now();
        let mut keep = ZoneKeep::default();
        let Loaded { mut config, warnings, zones } = source.load(&mut keep).map_err(StartError::Config)?;
        let secret = random_secret().map_err(StartError::Resources)?;
        give_secret(&mut config, secret);
        watch.follow(&config.files, began);
        let server = config.server.clone();
        let lock = server.state_dir.as_deref().map(lock_state_dir).transpose()?;
        raise_file_limit(&server);
        // Before anything is bound to a core.
        let cores = Cores::available();
        let worker_count = server.workers.map_or_else(|| cores.count(), usize::from).max(1);
        let endpoints = bind_all(&server, worker_count, &cores)?;
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
        zones::tell(&zones);
        let listening: Vec<_> = endpoints[0].iter().map(|endpoint| endpoint.address).collect();
        let mut signer = Signer::new(std::thread::available_parallelism().map_or(1, usize::from));
        let (snapshot, signing, unsigned) = signer.compile(&config, 1, unix_secs());
        let snapshot = Arc::new(snapshot);
        for zone in unsigned {
            tracing::error!(%zone, "the zone is answered with SERVFAIL until it can be signed");
        }
        forget_compiled(&mut config);
        tell_unnumbered(&snapshot);
        if let Err(error) = cores.leave_to_workers(worker_count) {
            tracing::warn!(%error, "probes and reloads cannot be kept off the workers' cores");
        }
        let memory = server.state_dir.clone().map(|folder| Memory { folder, max_age: server.state_max_age });
        let engine =
            Engine::start_with(server.probe_threads, seed(), memory).map_err(StartError::Resources)?;
        // Before anything is published: what was decided holds from the first answer on.
        let explainer = Arc::new(Explainer::new(engine.status()));
        let overrides = server.state_dir.as_deref().and_then(|folder| {
            Overrides::start(folder, (engine.overrider(), engine.pusher()), explainer.clone())
        });
        adopt_plan(&engine, &config, &snapshot, Box::new(|| ()))
            .map_err(|error| StartError::Resources(std::io::Error::other(error)))?;
        let limits = ConnectionLimits::new(
            server.tcp_max_connections,
            u16::try_from(server.tcp_max_connections_per_client).unwrap_or(u16::MAX),
        );
        let ticker = Ticker::start().map_err(StartError::Resources)?;
        let set_signer = SetSigner::start().map_err(StartError::Resources)?;
        let zones_of_sets = signer.served(&config, signing, true, unix_secs());
        set_signer.take_up(SetWork { snapshot: snapshot.clone(), zones: zones_of_sets });
        let (fleet, draws) = Fleet::start(endpoints, &snapshot, &limits, &server, &cores, ticker.clock())
            .map_err(StartError::Resources)?;
        let live = Arc::new(Live {
            workers: fleet.views(),
            board: engine.status(),
            sets: set_signer.figures(),
            limits,
            current: RwLock::new(Arc::new(describe(&snapshot, draws, &zones, &signer))),
            adopted: AtomicU64::new(snapshot.generation),
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
        let config = Arc::new(config);
        explainer.replace(config.clone(), snapshot.clone());
        systemd::ready();
        Ok(Supervisor {
            source,
            server,
            config,
            keep,
            zones,
            signer,
            set_signer,
            snapshot,
            fleet,
            engine,
            overrides,
            explainer,
            admin,
            live,
            listening,
            watch,
            _lock: lock,
            secret,
            _ticker: ticker,
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
    pub fn run(mut self, commands: &Commands) -> Result<(), RunError> {
        // From now on this thread only reloads: the workers go first.
        stand_back();
        let ticks = tick(WATCH_TICK);
        let outcome = loop {
            let reload = select_biased! {
                recv(commands.stop) -> _ => break Ok(()),
                recv(commands.reload) -> told => told.is_ok(),
                recv(ticks) -> _ => self.watch.has_settled_change(),
            };
            if self.fleet.has_lost_a_worker() {
                break Err(RunError::WorkerLost);
            }
            if !self.engine.is_alive() {
                break Err(RunError::HealthLost);
            }
            if reload {
                systemd::reloading();
                self.reload();
                systemd::ready();
            } else if self.is_signing_due() {
                self.sign_again();
            } else {
                self.signer.keep(&self.config, false, unix_secs());
            }
        };
        self.stop();
        outcome
    }

    /// Stops everything and waits for it.
    fn stop(mut self) {
        tracing::info!("stopping");
        systemd::stopping();
        if let Some(admin) = self.admin {
            admin.stop();
        }
        if let Some(overrides) = self.overrides {
            overrides.stop();
        }
        self.fleet.stop();
        self.signer.keep(&self.config, true, unix_secs());
        self.engine.shutdown();
    }

    /// Reads the configuration again and puts it in force; if it is wrong, says so and changes nothing.
    pub fn reload(&mut self) {
        let started = Instant::now();
        give_back_large_blocks();
        // Before the files are read: what changes from now on is seen, and what changed before is not read twice.
        self.watch.see();
        let began = SystemTime::now();
        let outcome = match self.source.load(&mut self.keep) {
            Ok(loaded) => {
                self.watch.keep_only(&loaded.config.files);
                self.watch.follow(&loaded.config.files, began);
                zones::tell(&loaded.zones);
                self.put_in_force(loaded)
            }
            Err(report) => {
                // Also a file that could not be read: once it is there, it may be what was missing.
                self.watch.follow(report.files(), began);
                for diagnostic in report.diagnostics() {
                    tracing::error!("{}", diagnostic.brief());
                }
                Err(ReloadError::Refused { errors: report.error_count() })
            }
        };
        match outcome {
            Ok(()) => {
                self.live.reloads.fetch_add(1, Ordering::Relaxed);
                self.live.configured_at_secs.store(unix_secs(), Ordering::Relaxed);
                tracing::info!(
                    generation = self.snapshot.generation,
                    names = self.snapshot.names.len(),
                    pools = self.snapshot.pools.len(),
                    ms = started.elapsed().as_millis() as u64,
                    "configuration in force"
                );
            }
            Err(error) => {
                self.live.reloads_failed.fetch_add(1, Ordering::Relaxed);
                match error {
                    ReloadError::Refused { errors } => tracing::error!(errors, "{error}"),
                    other => tracing::error!("{other}"),
                }
            }
        }
    }

    fn is_signing_due(&mut self) -> bool {
        let is_everywhere = self.fleet.is_at(self.snapshot.generation);
        self.signer.is_due(&self.config, is_everywhere, unix_secs())
    }

    /// Signs what is due, and puts the configuration in force anew with it.
    fn sign_again(&mut self) {
        if let Err(error) = self.hand_over(self.config.clone(), self.zones.clone()) {
            tracing::error!("{error}");
        }
    }

    /// Puts a configuration in force.
    fn put_in_force(&mut self, loaded: Loaded) -> Result<(), ReloadError> {
        let Loaded { mut config, warnings, zones } = loaded;
        for warning in &warnings {
            tracing::warn!("{}", warning.brief());
        }
        let fixed = fixed_at_start(&self.server, &config.server);
        if !fixed.is_empty() {
            tracing::warn!(settings = fixed.join(", "), "changed, but in force only after a restart");
        }
        give_secret(&mut config, self.secret);
        config.choices = self.snapshot.choices.clone();
        // Clients are told the timeout that is in force.
        config.server.tcp_idle_timeout = self.server.tcp_idle_timeout;
        // Keys stay where they are: elsewhere there are none, and new ones would be nobody's at the parent.
        config.server.state_dir.clone_from(&self.server.state_dir);
        self.hand_over(Arc::new(config), zones)
    }

    /// Compiles a configuration, and hands it to health and workers.
    fn hand_over(&mut self, mut config: Arc<Config>, zones: Vec<ZoneReport>) -> Result<(), ReloadError> {
        let generation = self.snapshot.generation + 1;
        let now = unix_secs();
        let (snapshot, signing, unsigned) = self.signer.compile(&config, generation, now);
        // What is served signed stays as it is for as long as that holds.
        if let Some(zone) = unsigned.iter().find(|zone| self.signer.holds(zone, now)) {
            self.signer.not_served(signing, now);
            return Err(ReloadError::Unsigned { zone: zone.to_string() });
        }
        for zone in unsigned {
            tracing::error!(%zone, "the zone is answered with SERVFAIL until it can be signed");
        }
        let snapshot = Arc::new(snapshot);
        tell_unnumbered(&snapshot);
        // One that is in force already has nothing to forget.
        if let Some(config) = Arc::get_mut(&mut config) {
            forget_compiled(config);
        }
        let carried = carry(&self.snapshot, &self.config, &snapshot, &config);
        let (handover, draws) = self.fleet.prepare(&snapshot, carried, self.snapshot.generation);
        let mut current = self.live.current.write();
        if let Err(gone) = adopt_plan(&self.engine, &config, &snapshot, Box::new(move || handover.post())) {
            self.signer.not_served(signing, now);
            return Err(gone.into());
        }
        // From here on some workers answer from it, so it is the one to compare the next one with.
        let is_everywhere = self.fleet.await_adoption(generation);
        let zones_of_sets = self.signer.served(&config, signing, is_everywhere, now);
        self.set_signer.take_up(SetWork { snapshot: snapshot.clone(), zones: zones_of_sets });
        *current = Arc::new(describe(&snapshot, draws, &zones, &self.signer));
        self.zones = zones;
        drop(current);
        self.explainer.replace(config.clone(), snapshot.clone());
        self.config = config;
        self.snapshot = snapshot;
        self.live.adopted.store(generation, Ordering::Relaxed);
        if is_everywhere { Ok(()) } else { Err(ReloadError::NotAdopted) }
    }
}

/// Hands the pools to the health engine and waits until it has filled the table and called `publish`.
fn adopt_plan(
    engine: &Engine,
    config: &Config,
    snapshot: &Snapshot,
    publish: Box<dyn FnOnce() + Send>,
) -> Result<(), EngineGone> {
    let (done, adopted) = bounded(1);
    let guard = config.server.prober_guard.as_ref();
    let plan = Plan::new(&config.pools, snapshot.health.clone())
        .guarded(guard)
        .limited(config.server.exec_processes)
        .located(|address| {
            let region = snapshot.region_of(address)?;
            config.topology.regions.get(usize::from(region.0)).map(|name| name.as_str().into())
        });
    engine.adopt(
        plan,
        Box::new(move || {
            publish();
            // An error: nobody waits any more.
            let _ = done.send(());
        }),
    )?;
    adopted.recv().map_err(|_| EngineGone)
}

fn describe(
    snapshot: &Snapshot,
    draws: Vec<Arc<[AtomicU64]>>,
    zones: &[ZoneReport],
    signer: &Signer,
) -> Current {
    Current {
        generation: snapshot.generation,
        names: snapshot.names.len(),
        topology_ranges: snapshot.topology.range_count(),
        zones: zones.iter().map(|zone| (zone.apex.to_string(), zone.served)).collect(),
        signed: signer.figures(),
        draws,
    }
}

/// Says where clients are told apart less well than pools would have it.
fn tell_unnumbered(snapshot: &Snapshot) {
    let count = snapshot.clients.unnumbered();
    if count > 0 {
        tracing::warn!(
            count,
            "more kinds of clients than there are numbers for: these are told by their region alone"
        );
    }
}

/// Drops what only compiling needs: names, prefixes, what databases say, and the records of zones, whose last good versions the keep has. Otherwise the next load
/// would have those of three versions beside each other. Where a zone is signed they are needed to sign again.
fn forget_compiled(config: &mut Config) {
    if config.zones.iter().any(|zone| zone.dnssec.is_some()) {
        return;
    }
    config.globalnames = GlobalNames::default();
    config.topology.prefixes = Vec::new();
    config.topology.located = None;
    for zone in &mut config.zones {
        zone.records = ZoneRecords::None;
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
        ("server.receive_buffer", started.receive_buffer != new.receive_buffer),
        ("server.send_buffer", started.send_buffer != new.send_buffer),
        ("server.busy_poll_us", started.busy_poll_us != new.busy_poll_us),
        ("server.steering", started.steering != new.steering),
        ("server.probe_threads", started.probe_threads != new.probe_threads),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

/// Cookies without a file of secrets are made with the process's own.
fn give_secret(config: &mut Config, own: Secret) {
    let cookies = &mut config.server.cookies;
    cookies.secrets = cookies.secrets.or(Some(Secrets { active: own, second: None }));
}

/// A secret that nobody else can know.
fn random_secret() -> std::io::Result<Secret> {
    let mut octets = [0; SECRET_OCTETS];
    let filled = SystemRandom::new().fill(&mut octets);
    filled
        .map(|()| Secret::new(octets))
        .map_err(|_| std::io::Error::other("the system gives no random octets"))
}

/// A number that differs from start to start, for the spread of probes.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
