//! `exec`: exit codes and what is said of them, programs that hang, leave others behind, talk without end, or are not there.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::common::{self, Server, config, wait_until};
use crate::room::{configuration, expect, pool, serve};

/// A script in this folder.
fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

fn exec(name: &str, command: &str, more: &str) -> String {
    pool(name, "127.0.0.1", "exec", &format!("command: [{command}]{more}"))
}

/// Processes whose parent is this one, with their state (`Z`: not waited for).
fn children(parent: u32) -> Vec<(u32, char)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().map_while(Result::ok) {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        if fields[1] == parent.to_string() {
            found.push((id, fields[0].chars().next().unwrap()));
        }
    }
    found
}

fn is_alive(id: &Path) -> bool {
    let id = fs::read_to_string(id).unwrap_or_default();
    !id.trim().is_empty()
        && fs::read_to_string(format!("/proc/{}/stat", id.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn exit_codes_decide_and_the_first_line_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = script(folder.path(), "check", "echo \"CRITICAL - $1 of $2\"; echo more; exit $1");
    let complaint = script(folder.path(), "complaint", "echo out; echo 'it is broken' >&2; exit 3");
    let killed = script(folder.path(), "killed", "kill -TERM $$");
    let loud = script(
        folder.path(),
        "loud",
        "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done",
    );
    let endless = script(folder.path(), "endless", "yes");
    let surroundings =
        script(folder.path(), "env", "echo \"$(pwd) $PATH $LC_ALL $(env | wc -l) $(cat | wc -c)\"");
    let plain = folder.path().join("plain");
    fs::write(&plain, "exit 0").unwrap();
    let server = serve(&[
        exec("true", "/bin/true", ""),
        exec("false", "/bin/false", ""),
        exec("ok", &format!("{}, '0', '{{ip}}'", plugin.display()), ""),
        exec("critical", &format!("{}, '2', 'a;b $(x) {{ip}}'", plugin.display()), ""),
        exec("complaint", &complaint.display().to_string(), ""),
        exec("killed", &killed.display().to_string(), ""),
        exec("loud", &loud.display().to_string(), ""),
        exec("endless", &endless.display().to_string(), ""),
        exec("env", &surroundings.display().to_string(), ""),
        exec("missing", "/nonexistent/check", ""),
        exec("plain", &plain.display().to_string(), ""),
    ]);
    expect(&server, "true", "up", "exit 0");
    expect(&server, "false", "down", "exit 1");
    expect(&server, "ok", "up", "exit 0: CRITICAL - 0 of 127.0.0.1");
    expect(&server, "critical", "down", "exit 2: CRITICAL - 2 of a;b $(x) 127.0.0.1");
    expect(&server, "complaint", "down", "exit 3: it is broken");
    expect(&server, "killed", "down", "ended by signal 15");
    expect(&server, "loud", "up", "exit 0: 0123456789012345678901234567890123456789");
    expect(&server, "endless", "down", "the program says more than 1048576 octets");
    expect(
        &server,
        "env",
        "up",
        "exit 0: / /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin C *",
    );
    expect(
        &server,
        "missing",
        "down",
        "cannot run /nonexistent/check: No such file or directory (os error 2)",
    );
    expect(&server, "plain", "down", "cannot run *");
    let warnings = server.log().iter().filter(|line| line.to_string().contains("cannot be run")).count();
    assert!(warnings >= 2, "what cannot be run is said at the start");
}

#[test]
fn program_that_hangs_is_killed_in_time_with_all_it_started_and_none_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let hang = format!(
        "sleep 600 & echo $! > {0}/grandchild; trap '' TERM; echo waiting; sleep 600",
        folder.path().display()
    );
    let hang = script(folder.path(), "hang", &hang);
    let leaves = format!("sleep 600 & echo $! > {0}/left; exit 0", folder.path().display());
    let leaves = script(folder.path(), "leaves", &leaves);
    let pools = [
        exec("hang", &hang.display().to_string(), ", timeout: 300ms"),
        exec("leaves", &leaves.display().to_string(), ""),
    ];
    let server = Server::start(&config("workers: 1", &configuration(&pools)));
    expect(&server, "hang", "down", "timeout after 300 ms in run");
    expect(&server, "leaves", "up", "exit 0");
    // On a machine that has other things to do now and then a round is late.
    let took = || crate::room::member(&server, "hang")["last_probe_ms"].as_f64().unwrap();
    wait_until("a round that is ended at its budget", || (300.0..350.0).contains(&took()));
    // Each round leaves a process behind for as long as it lasts; none is there twice, and none is dead and not waited for.
    let parent = server.process.id();
    wait_until("a moment without any child", || children(parent).is_empty());
    let descriptors = || fs::read_dir(format!("/proc/{parent}/fd")).unwrap().count();
    let failed = || crate::room::member(&server, "hang")["probes_failed"].as_u64().unwrap();
    let (before, rounds) = (descriptors(), failed());
    wait_until("some rounds", || failed() >= rounds + 4);
    wait_until("all of their descriptors to be closed", || {
        children(parent).is_empty() && descriptors() <= before
    });
    wait_until("a moment without any child", || children(parent).is_empty());
    assert!(!is_alive(&at("grandchild")) && !is_alive(&at("left")), "what they started is gone too");

    // A reload without them ends the one under way; so does the end.
    wait_until("a program under way", || is_alive(&at("grandchild")));
    let stopped_by = Instant::now();
    server.reload(&config("workers: 1", &configuration(&[pools[1].clone()])));
    wait_until("it to be gone", || !is_alive(&at("grandchild")));
    assert!(stopped_by.elapsed().as_secs() < 20);
    let again = exec("hang", &hang.display().to_string(), ", timeout: 900ms");
    server.reload(&config("workers: 1", &configuration(&[again])));
    wait_until("a program under way", || is_alive(&at("grandchild")));
    assert!(server.stop().success());
    assert!(!is_alive(&at("grandchild")), "nothing outlives the server");
}

#[test]
fn programs_beyond_the_limit_wait_and_that_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().display().to_string();
    let slow = format!(
        "mkdir {count}/run.$$; ls -d {count}/run.* | wc -l >> {count}/seen; sleep 0.05; rmdir {count}/run.$$"
    );
    let slow = script(folder.path(), "slow", &slow);
    let pools: Vec<String> = (0..12)
        .map(|index| {
            let command = format!("command: [{}, '{index}'], timeout: 900ms", slow.display());
            pool(&format!("p{index}"), "127.0.0.1", "exec", &command)
        })
        .collect();
    let server = Server::start(&config("workers: 1, exec_processes: 2", &configuration(&pools)));
    for index in 0..12 {
        expect(&server, &format!("p{index}"), "up", "exit 0");
    }
    let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
    let most = seen.lines().map(|line| line.trim().parse::<u32>().unwrap()).max().unwrap();
    assert!(most <= 2, "{most} at once");
    let page = common::http(server.admin, "GET", "/metrics");
    assert!(page.contains("result=\"failure\"} 0\n") && !page.contains("result=\"failure\"} 1\n"), "{page}");

    // Two that hold both places for nearly all of their time: who gets none for an interval is not probed, and stays what it was.
    let hold = script(folder.path(), "hold", "exec sleep 600");
    let mut held: Vec<String> = (0..6)
        .map(|index| exec(&format!("h{index}"), &format!("{}, '{index}'", hold.display()), ""))
        .collect();
    held.push(pools[0].clone());
    let bound = "workers: 1, exec_processes: 1";
    server.reload(&config(bound, &configuration(&held)));
    server.log_line(&[(
        "reason",
        "prober: as many programs run as may (server.exec_processes), and none ended within an interval",
    )]);
    expect(&server, "p0", "up", "*");
}
