//! The command line: what is printed, what exit code, and what keeps the server from starting.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

mod common;

use common::{Process, Server, config, http, run_steerd, run_tool, steerd, wait_until};

const NAMES: &str = "globalnames: {www.test: one}
pools: {one: {lb_method: wrr, members: [192.0.2.1], monitor: forced, monitor_params: {status: up}}}
";

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Writes a configuration into a folder of its own that everybody may read.
fn folder_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(folder.path().join("steerd.yaml"), text).unwrap();
    folder
}

/// The one line that says why the server did not start.
#[track_caller]
fn refusal(output: &Output) -> String {
    let errors = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.starts_with("steerd: ") && errors.trim_end().lines().count() == 1,
        "not one line: {errors}"
    );
    errors
}

#[track_caller]
fn serve(text: &str) -> Output {
    let folder = folder_with(text);
    run_steerd(&["serve", "-c", folder.path().join("steerd.yaml").to_str().unwrap()])
}

#[test]
fn help_and_version_succeed_and_every_verb_shows_an_example() {
    let version = run_steerd(&["--version"]);
    assert!(version.status.success());
    assert_eq!(stdout(&version), format!("steerd {}\n", env!("CARGO_PKG_VERSION")));
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["check", "--help"],
        &["delegation", "--help"],
        &["demo", "--help"],
        &["why", "--help"],
        &["plan", "--help"],
    ] {
        let help = run_steerd(arguments);
        assert!(help.status.success(), "{arguments:?}");
        assert!(stdout(&help).contains("Example"), "{arguments:?}");
        assert!(stderr(&help).is_empty());
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["serv"],
        &["serve"],
        &["check", "-c"],
        &["serve", "-c", "x", "--log-format", "xml"],
        &["check", "-c", "x", "--no-such-option"],
        &["delegation", "-c", "x"],
        &["demo", "--listen", "nonsense"],
    ] {
        let output = run_steerd(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        let errors = stderr(&output);
        assert!(errors.contains("Usage") || errors.contains("try '--help'"), "{arguments:?}: {errors}");
    }
}

/// A file below tests/data.
fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).display().to_string()
}

#[test]
fn check_reports_both_mistakes_of_the_seed_example_in_one_run() {
    let topology = data("seed-polaris-topology.yaml");
    let output = run_steerd(&["check", "-c", &data("seed-polaris.yaml"), "--topology", &topology]);
    let errors = stderr(&output);
    assert_eq!(output.status.code(), Some(1));
    for part in [
        "seed-polaris.yaml:3:15",
        "`wiki`",
        "`myapp`",
        "seed-polaris-topology.yaml:4:7",
        "10.1.1.0/16",
        "10.1.0.0/16",
        "10.1.1.0/24",
        "^",
    ] {
        assert!(errors.contains(part), "no {part} in\n{errors}");
    }
}

#[test]
fn seed_example_loads_once_its_mistakes_are_mended() {
    let read = |name: &str| std::fs::read_to_string(data(name)).unwrap();
    let folder = folder_with(&read("seed-polaris.yaml").replace("pool: wiki", "pool: myapp"));
    let topology = folder.path().join("topology.yaml");
    std::fs::write(&topology, read("seed-polaris-topology.yaml").replace("10.1.1.0/16", "10.1.0.0/16"))
        .unwrap();
    let main = folder.path().join("steerd.yaml");
    let output =
        run_steerd(&["check", "-c", main.to_str().unwrap(), "--topology", topology.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("ok (1 names, 1 pools"), "{}", stdout(&output));
}

/// A zone that nothing can be said against.
const ZONE: &str =
    "$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 60\n@ NS ns1\n@ NS ns2.example.net.\nns1 A 192.0.2.53\n";

/// Runs a verb on `zones` with a file `one` and a file `two`; the folder is left out of what is printed.
fn with_zones(verb: &str, one: &str, two: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let folder =
        folder_with(&format!("{NAMES}zones: {{one.test: {{file: one}}, two.test: {{file: two}}}}\n"));
    std::fs::write(folder.path().join("one"), one).unwrap();
    std::fs::write(folder.path().join("two"), two).unwrap();
    let main = folder.path().join("steerd.yaml");
    let output = run_steerd(&[&[verb, "-c", main.to_str().unwrap()], more].concat());
    let own = format!("{}/", folder.path().display());
    let clean = |text: String| text.replace(&own, "");
    (output.status.code(), clean(stdout(&output)), clean(stderr(&output)))
}

#[test]
fn check_tells_where_the_keys_of_signed_zones_are_and_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let (main, state) = (folder.path().join("steerd.yaml"), folder.path().join("state"));
    let check = |dnssec: &str| {
        let zones = format!("zones: {{test: {{ns: a., dnssec: {dnssec}}}}}\n");
        std::fs::write(&main, format!("server: {{state_dir: {}}}\n{NAMES}{zones}", state.display())).unwrap();
        let output = run_steerd(&["check", "-c", main.to_str().unwrap()]);
        (output.status.code(), stdout(&output), stderr(&output))
    };
    let (code, _, errors) = check("{}");
    assert!(
        code == Some(0) && errors.contains("test. has no keys in ") && errors.contains("bogus"),
        "{errors}"
    );
    let (code, out, errors) = check("{generate_keys: off}");
    assert!(code == Some(1) && out.is_empty() && errors.contains("is the directory mounted?"), "{errors}");
    let (code, _, errors) = check("{zsk_lifetime: 48h}");
    assert!(
        code == Some(1) && errors.contains("`zsk_lifetime`") && errors.contains("76h and more"),
        "{errors}"
    );
    assert!(!state.exists(), "check makes nothing");
    let keys = state.join("keys/test");
    run_steerd(&["dnssec", "keygen", "test", "--dir", keys.to_str().unwrap()]);
    for dnssec in ["{}", "{generate_keys: off}"] {
        let (code, out, errors) = check(dnssec);
        assert!(code == Some(0) && !errors.contains("keys"), "{errors}");
        assert!(out.contains("test. is signed: 1 keys in "), "{out}");
    }
}

#[test]
fn check_reads_zone_files_and_reports_all_that_is_wrong_with_them() {
    let (code, out, errors) = with_zones("check", ZONE, &format!("{ZONE}*.w A 192.0.2.1\n"), &[]);
    assert_eq!(
        (code, &out[..]),
        (Some(0), "steerd.yaml: ok (1 names, 1 pools, 2 zones with 9 records, 0 prefixes, 1 warnings)\n"),
        "{errors}"
    );
    // What is suspicious is told and forbids nothing.
    let lonely = ZONE.replace("@ NS ns2.example.net.\n", "");
    let (code, out, errors) = with_zones("check", ZONE, &lonely, &[]);
    assert!(code == Some(0) && out.contains("2 warnings"), "{out}{errors}");
    assert!(errors.contains("warning: two:3: the zone has one name server"), "{errors}");
    // All faults of all zones come in one run.
    let (code, out, errors) =
        with_zones("check", &format!("{ZONE}a A 1.2.3\nb CNAME\n"), "$TTL 5\na CNAME b\na TXT \"x\"\n", &[]);
    assert_eq!((code, &out[..]), (Some(1), ""));
    for part in [
        "error: one:6:5: the data of this `A` record",
        "error: one:7:3: the data of this `CNAME` record",
        "error: two: the zone has no SOA record",
        "error: two: the zone has no NS records",
        "error: two:3: `a.two.test.` has a CNAME record and others beside it",
        "steerd: zones that cannot be served: one.test., two.test.",
    ] {
        assert!(errors.contains(part), "no {part} in\n{errors}");
    }
}

#[test]
fn delegation_prints_what_the_zone_above_must_be_told() {
    let (code, out, errors) = with_zones("delegation", ZONE, "nonsense\n", &["One.Test"]);
    assert_eq!(
        (code, &out.replace('\t', " ")[..], &errors[..]),
        (
            Some(0),
            "one.test. 3600 IN NS ns1.one.test.\none.test. 3600 IN NS ns2.example.net.\nns1.one.test. 3600 IN A 192.0.2.53\n",
            ""
        )
    );
    // What is printed can be put into the parent's zone: it is read there.
    let parent = format!("{ZONE}{out}").replace("one.test.", "sub.two.test.");
    let (code, _, errors) = with_zones("check", ZONE, &parent, &[]);
    assert_eq!((code, errors.contains("error")), (Some(0), false), "{errors}");
    for (zone, why) in [
        ("two.test", "the zone two.test. cannot be served"),
        (
            "three.test",
            "three.test. is neither a zone nor a globalname outside every zone (zones are `one.test.`, `two.test.`)",
        ),
        ("www.test", "www.test. is an apex of its own, but `server.ns` names no name servers"),
        (".", "the root has no zone above it"),
    ] {
        let (code, out, errors) = with_zones("delegation", ZONE, "nonsense\n", &[zone]);
        assert_eq!((code, &out[..]), (Some(1), ""), "{zone}");
        assert!(errors.starts_with(&format!("steerd: {why}")), "{errors}");
    }
}

#[test]
fn bad_configuration_never_starts() {
    let output = serve("pools: {web: {lb_method: wrr}}\nglobalnames: {a.test: nothing}\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the configuration is refused"), "{}", stderr(&output));
}

#[test]
fn port_that_is_taken_is_one_clear_line() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let line = refusal(&serve(&config(&format!("listen: '{address}'"), NAMES)));
    assert!(line.contains(&format!("cannot listen on UDP {address}: address in use")), "{line}");
    // UDP is free there, TCP is not.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let line = refusal(&serve(&config(&format!("listen: '{address}'"), NAMES)));
    assert!(line.contains(&format!("cannot listen on TCP {address}: address in use")), "{line}");
    let line = refusal(&serve(&format!("server: {{listen: '127.0.0.1:0', admin: '{address}'}}\n{NAMES}")));
    assert!(line.contains(&format!("cannot listen on admin address {address}")), "{line}");
    let line = refusal(&serve(&config("listen: '192.0.2.1:0'", NAMES)));
    assert!(line.contains("this machine has no such address"), "{line}");
}

#[test]
fn second_instance_refuses_to_share_the_port() {
    let server = Server::start(NAMES);
    let port = server.dns().port();
    for listen in [format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}")] {
        let line = refusal(&serve(&config(&format!("listen: '{listen}'"), NAMES)));
        assert!(line.contains("address in use"), "{line}");
    }
    assert_eq!(server.addresses("www.test"), ["192.0.2.1"]);
}

#[test]
fn state_dir_belongs_to_one_instance() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("made/by/steerd");
    let text = config(&format!("state_dir: '{}'", state.display()), NAMES);
    let server = Server::start(&text);
    let line = refusal(&serve(&text));
    assert!(line.contains("is in use by another steerd"), "{line}");
    assert!(server.stop().success());
    // The lock ends with its holder.
    let server = Server::start(&text);
    assert_eq!(server.addresses("www.test"), ["192.0.2.1"]);
    std::fs::write(folder.path().join("file"), "").unwrap();
    let inside_a_file = folder.path().join("file/state");
    let line = refusal(&serve(&config(&format!("state_dir: '{}'", inside_a_file.display()), NAMES)));
    assert!(line.contains("cannot use state_dir"), "{line}");
}

#[test]
fn missing_file_is_exit_code_1_and_names_the_file() {
    for verb in ["serve", "check"] {
        let output = run_steerd(&[verb, "-c", "/nonexistent/steerd.yaml"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("/nonexistent/steerd.yaml"), "{}", stderr(&output));
    }
    let output = run_steerd(&["check", "-c", "/"]);
    assert_eq!(output.status.code(), Some(1), "a directory is no file");
}

/// Whether this process is root.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// steerd as somebody without privileges: a copy in `folder`, so that whoever runs it can reach it.
fn unprivileged(folder: &Path) -> Command {
    if !is_root() {
        return steerd();
    }
    let copy = folder.join("steerd");
    std::fs::copy(env!("CARGO_BIN_EXE_steerd"), &copy).unwrap();
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--inh-caps",
        "-all",
        "--bounding-set",
        "-all",
    ]);
    command.arg(copy);
    command
}

#[test]
fn unreadable_file_is_exit_code_1() {
    let folder = folder_with(NAMES);
    let path = folder.path().join("steerd.yaml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    let output = unprivileged(folder.path()).args(["check", "-c"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).to_lowercase().contains("permission denied"), "{}", stderr(&output));
}

#[test]
fn privileged_port_without_privilege_is_one_clear_line() {
    const PORT: u16 = 53;
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim().parse::<u16>().unwrap() <= PORT {
        eprintln!("SKIPPED: on this machine port {PORT} needs no privilege (ip_unprivileged_port_start)");
        return;
    }
    let folder = folder_with(&config(&format!("listen: '127.53.53.53:{PORT}'"), NAMES));
    let path = folder.path().join("steerd.yaml");
    let output = unprivileged(folder.path()).args(["serve", "-c"]).arg(path).output().unwrap();
    let line = refusal(&output);
    assert!(line.contains("cannot listen on UDP 127.53.53.53:53: permission denied"), "{line}");
}

#[test]
fn sigterm_and_sigint_end_the_server_in_order() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(NAMES);
        server.process.signal(signal);
        let status = server.process.wait();
        assert_eq!(status.code(), Some(0), "{signal}");
        assert!(server.log().iter().any(|event| event["message"] == "stopping"));
        // The port is free again.
        UdpSocket::bind(server.dns()).unwrap();
    }
}

#[test]
fn text_log_is_lines_without_colour_when_it_is_no_terminal() {
    let folder = folder_with(&config("workers: 1", NAMES));
    let mut process = Process::start(steerd().args(["serve", "-c"]).arg(folder.path().join("steerd.yaml")));
    let line = process.errors.wait(&["INFO", "serving", "names=1"]);
    assert!(!line.contains('\x1b'), "{line}");
    process.signal("TERM");
    assert!(process.wait().success());
}

#[test]
fn demo_answers_and_fails_over_when_told_to() {
    let mut command = steerd();
    command.args(["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).stdin(Stdio::null());
    let mut demo = Process::start(&mut command);
    let head = demo.output.wait(&["steerd demo: DNS on "]);
    let after = |text: &str, word: &str| -> SocketAddr {
        let rest = text.split(word).nth(1).unwrap_or_else(|| panic!("no {word} in {text}"));
        rest.split([' ', '/']).next().unwrap().parse().unwrap()
    };
    let dns = after(&head, "DNS on ");
    let backend = after(&demo.output.wait(&["curl", "/fail"]), "http://");
    let port = dns.port().to_string();
    let dig = |name: &str| run_tool("dig", &["@127.0.0.1", "-p", &port, "+short", name]);
    wait_until("the first backend", || dig("first.demo.test") == "127.0.0.11\n");
    http(backend, "POST", "/fail");
    demo.errors.wait(&["member is down", "east-1", "status 503, expected 200"]);
    wait_until("the second backend", || dig("first.demo.test") == "127.0.0.12\n");
    http(backend, "POST", "/heal");
    wait_until("the first backend again", || dig("first.demo.test") == "127.0.0.11\n");
    let west =
        run_tool("dig", &["@127.0.0.1", "-p", &port, "+short", "geo.demo.test", "+subnet=10.2.2.0/24"]);
    assert_eq!(west, "127.0.0.13\n");
    demo.signal("TERM");
    assert!(demo.wait().success());
}

/// A server whose standard error is `log`, answering on the port that its admin listener reports no later than it serves.
fn serve_into(log: impl Into<Stdio>, port: u16) -> (tempfile::TempDir, Process) {
    let text = format!("server: {{listen: ['127.0.0.1:{port}'], workers: 1}}\n{NAMES}");
    let folder = folder_with(&text);
    let mut command = steerd();
    command.args(["serve", "-c"]).arg(folder.path().join("steerd.yaml"));
    let process = Process::start_with_errors(&mut command, log);
    (folder, process)
}

/// A port that nobody has over UDP or TCP, and that nobody is given by the kernel before the server has it: those it gives,
/// to the clients of tests beside this one too, begin at 32,768 (net.ipv4.ip_local_port_range).
fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 1000) as u16 * 10;
    let mut ports =
        std::iter::repeat_with(|| 20_000 + (first + TAKEN.fetch_add(1, Ordering::Relaxed)) % 12_000);
    let is_free = |port: &u16| {
        UdpSocket::bind(("127.0.0.1", *port)).is_ok() && TcpListener::bind(("127.0.0.1", *port)).is_ok()
    };
    ports.by_ref().take(1000).find(is_free).expect("one port of a thousand is free")
}

/// The address that `www.test` is answered with; empty while nobody answers.
fn answer(port: u16) -> String {
    let output = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port.to_string(), "www.test", "+short", "+tries=1", "+time=1"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().lines().filter(|l| !l.starts_with(';')).collect()
}

#[test]
fn log_without_a_reader_neither_stops_the_server_nor_its_reloads_nor_its_end() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    reloads_and_ends(writer.into());
}

#[test]
fn log_whose_reader_is_stuck_neither_stops_the_server_nor_its_reloads_nor_its_end() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    // Filled to the brim, so that not one line fits; `reader` lives on and reads nothing.
    let filled = writer.try_clone().unwrap();
    let filler = std::thread::spawn(move || {
        use std::io::Write;
        let _ = writer.write_all(&[b'x'; 1 << 20]);
    });
    reloads_and_ends(filled.into());
    drop(reader);
    filler.join().unwrap();
}

fn reloads_and_ends(log: Stdio) {
    let port = free_port();
    let (folder, mut process) = serve_into(log, port);
    wait_until("the first answer", || answer(port) == "192.0.2.1");
    for last in 2..5 {
        let text = format!("server: {{listen: ['127.0.0.1:{port}'], workers: 1}}\n{NAMES}");
        let text = text.replace("192.0.2.1", &format!("192.0.2.{last}"));
        std::fs::write(folder.path().join("steerd.yaml"), text).unwrap();
        process.signal("HUP");
        wait_until("the next answer", || answer(port) == format!("192.0.2.{last}"));
    }
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
}
