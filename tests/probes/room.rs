//! Two network namespaces, and steerd in the first.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

use crate::common::{self, Process, Server, run_tool, steerd, tool, wait_for, wait_until};

/// The machine behind the cable.
pub const FAR: &str = "10.77.0.2";
pub const FAR_V6: &str = "fd77::2";
/// An address on the cable that nobody has, and that the kernel believes to be there: what is sent to it is lost.
pub const NOBODY: &str = "10.77.0.3";

/// The namespace of this test's thread and of what it starts.
pub struct Room {
    /// Holds the far namespace.
    far: Process,
}

impl Room {
    /// Goes into a new namespace; `None`, and a word about it, without the right to.
    pub fn enter() -> Option<Room> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: namespaces need root");
            return None;
        }
        // Of this thread alone; threads and processes that it starts inherit it.
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
        let far = Process::start(tool("unshare").args(["-n", "sleep", "600"]));
        wait_until("the far namespace", || {
            let link = fs::read_link(format!("/proc/{}/ns/net", far.id()));
            link.is_ok_and(|link| link != own)
        });
        let room = Room { far };
        let pid = room.far.id().to_string();
        near("link set lo up");
        near(&format!("link add near type veth peer name far netns {pid}"));
        near("addr add 10.77.0.1/24 dev near");
        near("addr add fd77::1/64 dev near nodad");
        near("link set near up");
        // Else the kernel would say after a second that nobody answers for it.
        near(&format!("neigh add {NOBODY} lladdr 02:00:00:00:00:99 dev near nud permanent"));
        room.far("link set lo up");
        room.far("addr add 10.77.0.2/24 dev far");
        room.far("addr add fd77::2/64 dev far nodad");
        room.far("link set far up");
        Some(room)
    }

    /// `ip` in the far namespace.
    #[track_caller]
    pub fn far(&self, arguments: &str) {
        let pid = self.far.id().to_string();
        let words: Vec<&str> = arguments.split(' ').collect();
        run_tool("nsenter", &[&["-t", &pid, "-n", "ip"], &words[..]].concat());
    }

    /// Lets every group have datagram sockets of ICMP, or none.
    pub fn permit_echo(&self, is_permitted: bool) {
        let range = if is_permitted { "0 2147483647" } else { "1 0" };
        fs::write("/proc/sys/net/ipv4/ping_group_range", range).unwrap();
    }
}

/// `ip` in this namespace.
#[track_caller]
fn near(arguments: &str) {
    run_tool("ip", &arguments.split(' ').collect::<Vec<_>>());
}

/// A pool of one member, both of this name.
pub fn pool(name: &str, address: &str, monitor: &str, parameters: &str) -> String {
    let comma = if parameters.is_empty() { "" } else { ", " };
    let timing = if parameters.contains("timeout:") { "" } else { ", timeout: 1s" };
    format!(
        "  {name}: {{lb_method: wrr, fallback: nodata, members: {{'{address}': {{name: {name}}}}}, monitor: {monitor}, \
         monitor_params: {{interval: 1s, retries: 0{timing}{comma}{parameters}}}}}\n"
    )
}

/// A configuration of these pools.
pub fn configuration(pools: &[String]) -> String {
    let names = pools.iter().map(|pool| {
        let name = pool.trim_start().split(':').next().unwrap();
        format!("  {name}.test: {name}\n")
    });
    format!("globalnames:\n{}pools:\n{}", names.collect::<String>(), pools.concat())
}

/// steerd at work on these pools.
#[track_caller]
pub fn serve(pools: &[String]) -> Server {
    Server::start(&configuration(pools))
}

/// The same with changes to the command, an environment variable say.
#[track_caller]
pub fn serve_by(pools: &[String], change: impl FnOnce(&mut Command)) -> Server {
    let mut command = steerd();
    change(&mut command);
    Server::start_command(&configuration(pools), command)
}

/// What the state page says of a member.
#[track_caller]
pub fn member(server: &Server, name: &str) -> Value {
    let page: Value = serde_json::from_str(&common::http(server.admin, "GET", "/state")).unwrap();
    let pools = page["pools"].as_array().unwrap();
    let mut members = pools.iter().flat_map(|pool| pool["members"].as_array().unwrap());
    members.find(|member| member["name"] == name).unwrap_or_else(|| panic!("no member {name}")).clone()
}

/// Waits until a member is in this state for this reason; `*` at the end of a reason stands for any rest.
#[track_caller]
pub fn expect(server: &Server, name: &str, state: &str, reason: &str) {
    let mut last = Value::Null;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while std::time::Instant::now() < deadline {
        last = member(server, name);
        let said = last["reason"].as_str().unwrap_or_default();
        let fits = reason.strip_suffix('*').map_or(said == reason, |start| said.starts_with(start));
        if last["state"] == state && fits {
            return;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    panic!("{name} is not {state} for `{reason}`: {last}");
}

/// Starts a program and waits until it accepts on this address.
#[track_caller]
pub fn start_listening(command: &mut Command, address: &str) -> Process {
    let address: SocketAddr = address.parse().unwrap();
    let mut process = Process::start(command);
    wait_for("the program to listen", || {
        assert!(process.is_running(), "it has ended: {:#?}", process.errors.all());
        std::net::TcpStream::connect(address).ok()
    });
    process
}

/// nginx in this folder, with these servers.
pub fn nginx(folder: &Path, servers: &str, address: &str) -> Process {
    let path = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {path}/{kind};\n"))
        .collect();
    let text = format!(
        "daemon off;\nmaster_process off;\npid {path}/nginx.pid;\nerror_log stderr notice;\nevents {{ worker_connections 64; }}\n\
         http {{\n  access_log off;\n{temporary}{servers}}}\n"
    );
    fs::write(folder.join("nginx.conf"), text).unwrap();
    let mut command = tool("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).args(["-e", "stderr"]);
    start_listening(&mut command, address)
}

/// A certificate authority and a certificate of it for `probe.test` that holds for these days: `ca.pem`, `leaf.pem` and
/// `leaf.key` in the folder.
pub fn make_certificates(folder: &Path, days: u32) {
    let at = |name: &str| folder.join(name).display().to_string();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let days = days.to_string();
    let of_authority = ["req", "-x509", "-subj", "/CN=authority", "-days", "30"];
    let to = [String::from("-keyout"), at("ca.key"), "-out".into(), at("ca.pem")];
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    run_tool("openssl", &[&of_authority[..], &key, &to].concat());
    let of_leaf = ["req", "-x509", "-subj", "/CN=probe.test", "-days", &days];
    let by = [String::from("-CA"), at("ca.pem"), "-CAkey".into(), at("ca.key")];
    let by: Vec<&str> = by.iter().map(String::as_str).collect();
    let extensions =
        ["-addext", "subjectAltName=DNS:probe.test", "-addext", "basicConstraints=critical,CA:FALSE"];
    let to = [String::from("-keyout"), at("leaf.key"), "-out".into(), at("leaf.pem")];
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    run_tool("openssl", &[&of_leaf[..], &by, &key, &extensions, &to].concat());
}
