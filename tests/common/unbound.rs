//! Unbound in front of a server.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;

use super::{Process, tool, wait_for};

/// How often another port is tried.
const ATTEMPTS: usize = 10;

/// Starts Unbound with these lines of its `server` section; everything below `zones` is asked of `server` alone.
pub fn start_unbound(
    server: SocketAddr,
    folder: &Path,
    settings: &str,
    zones: &[&str],
) -> (Process, SocketAddr) {
    let stub = |zone: &&str| {
        format!("stub-zone:\n  name: \"{zone}\"\n  stub-addr: {}@{}\n", server.ip(), server.port())
    };
    let stubs: String = zones.iter().map(stub).collect();
    for _ in 0..ATTEMPTS {
        // Free a moment ago; taken since then: another attempt.
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!(
            "server:
  directory: \"{folder}\"
  chroot: \"\"
  username: \"\"
  pidfile: \"\"
  logfile: \"\"
  use-syslog: no
  do-daemonize: no
  num-threads: 1
  interface: 127.0.0.1
  port: {port}
  # Nothing can leave this machine from there.
  outgoing-interface: 127.0.0.1
  do-ip6: no
  do-not-query-localhost: no
  target-fetch-policy: \"0 0 0 0 0\"
{settings}
remote-control:
  control-enable: no
{stubs}",
            folder = folder.display(),
        );
        let file = folder.join("unbound.conf");
        std::fs::write(&file, text).unwrap();
        let mut process = Process::start(tool("unbound").arg("-d").arg("-c").arg(&file));
        let started = wait_for("unbound to start or to end", || {
            let started = process.errors.all().iter().any(|line| line.contains("start of service"));
            (started || !process.is_running()).then_some(started)
        });
        if started {
            return (process, SocketAddr::from(([127, 0, 0, 1], port)));
        }
        eprintln!("unbound: {:#?}", process.errors.all());
    }
    panic!("unbound does not start");
}
