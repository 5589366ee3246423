//! The prober's own link cut, in network namespaces: nothing flips; restored: states follow the probes again; a member that
//! really fails goes down.
//!
//! Needs root and `ip`; else it says so and passes.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Members, at 10.99.0.11 and on.
const MEMBERS: u8 = 6;

/// Two namespaces with a link between them; gone with the value.
struct World {
    /// Where steerd probes from.
    near: String,
    /// Where the members are.
    far: String,
    children: Vec<Child>,
}

impl Drop for World {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in [&self.near, &self.far] {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn ip(arguments: &str) -> bool {
    let run = Command::new("ip").args(arguments.split(' ')).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

impl World {
    /// `None` where this machine lets nobody make namespaces.
    fn new() -> Option<World> {
        let id = std::process::id();
        let (near, far) = (format!("sd-near-{id}"), format!("sd-far-{id}"));
        if !ip(&format!("netns add {near}")) {
            return None;
        }
        let world = World { near, far, children: Vec::new() };
        let World { near, far, .. } = &world;
        let made = ip(&format!("netns add {far}"))
            && ip(&format!("-n {near} link set lo up"))
            && ip(&format!("-n {far} link set lo up"))
            && ip(&format!("-n {near} link add near0 type veth peer name far0 netns {far}"))
            && ip(&format!("-n {near} addr add 10.99.0.1/24 dev near0"))
            && ip(&format!("-n {near} link set near0 up"))
            && ip(&format!("-n {far} link set far0 up"))
            && (0..=MEMBERS)
                .all(|member| ip(&format!("-n {far} addr add 10.99.0.{}/24 dev far0", 10 + member)));
        made.then_some(world)
    }

    /// A server in a namespace, once it says that it serves.
    fn serve(&mut self, namespace: &str, folder: &tempfile::TempDir, name: &str, config: &str) {
        let file = folder.path().join(format!("{name}.yaml"));
        fs::write(&file, config).unwrap();
        let log = folder.path().join(format!("{name}.log"));
        let child = Command::new("ip")
            .args(["netns", "exec", namespace, env!("CARGO_BIN_EXE_steerd"), "serve", "-c"])
            .arg(&file)
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        self.children.push(child);
        let end = Instant::now() + PATIENCE;
        while !fs::read_to_string(&log).unwrap().contains("serving") {
            assert!(Instant::now() < end, "{name} does not start: {}", fs::read_to_string(&log).unwrap());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the near server tells of a path.
    fn get(&self, path: &str) -> String {
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/8053; printf 'GET {path} HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3"
        );
        let run =
            Command::new("ip").args(["netns", "exec", &self.near, "bash", "-c", &script]).output().unwrap();
        let text = String::from_utf8(run.stdout).unwrap();
        text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    /// Whether verdicts are frozen, and the state of each member.
    fn states(&self) -> (bool, Vec<String>) {
        let state: Value = serde_json::from_str(&self.get("/state")).unwrap();
        let members = state["pools"][0]["members"].as_array().unwrap();
        let states = members.iter().map(|member| member["state"].as_str().unwrap().to_owned()).collect();
        (!state["frozen_since"].is_null(), states)
    }

    fn wait(&self, what: &str, holds: impl Fn(bool, &[String]) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let (is_frozen, states) = self.states();
            if holds(is_frozen, &states) {
                return;
            }
            assert!(Instant::now() < end, "waited in vain for {what}: frozen {is_frozen}, {states:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn all_up(states: &[String]) -> bool {
    states.iter().all(|state| state == "up")
}

#[test]
fn cut_link_of_the_prober_flips_nobody_and_a_real_failure_does() {
    let Some(mut world) = World::new() else {
        eprintln!("skipped: network namespaces cannot be made here (this needs root and `ip`)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (near, far) = (world.near.clone(), world.far.clone());
    // What is probed is TCP port 53 of a server of its own.
    let targets = "server: {listen: 0.0.0.0:53, workers: 1}\n";
    let pool = "lb_method: wrr, members: [192.0.2.1], monitor: forced, monitor_params: {status: up}";
    world.serve(
        &far,
        &folder,
        "far",
        &format!("{targets}globalnames: {{a.test: p}}\npools:\n  p: {{{pool}}}\n"),
    );
    let members: Vec<String> = (1..=MEMBERS).map(|member| format!("10.99.0.{}", 10 + member)).collect();
    let tcp = "monitor: tcp, monitor_params: {port: 53, interval: 300ms, timeout: 200ms, retries: 1}";
    let config = format!(
        "server:\n  listen: 127.0.0.1:53\n  workers: 1\n  admin: 127.0.0.1:8053\n  \
         prober_guard: {{share: 50%, window: 2, canaries: 10.99.0.10, {tcp}}}\n\
         globalnames: {{a.test: p}}\npools:\n  p: {{lb_method: wrr, members: [{}], {tcp}}}\n",
        members.join(", ")
    );
    world.serve(&near, &folder, "near", &config);
    world.wait("first verdicts", |_, states| all_up(states));

    assert!(ip(&format!("-n {near} link set near0 down")));
    world.wait("the freeze", |is_frozen, _| is_frozen);
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        let (is_frozen, states) = world.states();
        assert!(is_frozen && all_up(&states), "frozen {is_frozen}, {states:?}");
        thread::sleep(Duration::from_millis(100));
    }
    assert!(world.get("/metrics").contains("\nsteerd_health_frozen 1\n"));

    assert!(ip(&format!("-n {near} link set near0 up")));
    world.wait("the thaw", |is_frozen, states| !is_frozen && all_up(states));

    // All but one really fail, and the canary answers: that is no fault of the prober.
    for member in &members[1..] {
        assert!(ip(&format!("-n {far} addr del {member}/24 dev far0")));
    }
    world.wait("the members that fail", |is_frozen, states| {
        !is_frozen && states[0] == "up" && states[1..].iter().all(|state| state == "down")
    });
    let log = fs::read_to_string(folder.path().join("near.log")).unwrap();
    assert!(log.contains("PROBES ARE NOT TRUSTED") && log.contains("probes are trusted again"), "{log}");
}
