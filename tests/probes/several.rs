//! Several monitors: all of them, any, and two of three, against nginx with one of them failing.

use std::fs;

use serde_json::json;

use crate::common::{self, Server};
use crate::room::{Room, configuration, expect, member, nginx};

const MONITORS: &str = "[{monitor: tcp, monitor_params: {port: 8080, interval: 200ms, timeout: 200ms, retries: 0}}, \
                        {name: deep, monitor: http, monitor_params: {port: 8080, url_path: /flag, interval: 200ms, \
                        timeout: 200ms, retries: 0}}, \
                        {monitor: tcp, monitor_params: {port: 9, interval: 200ms, timeout: 200ms, retries: 0}}]";

fn pool(name: &str, rest: &str) -> String {
    format!(
        "  {name}: {{lb_method: wrr, fallback: nodata, members: {{127.0.0.1: {{name: {name}}}}}, {rest}}}\n"
    )
}

#[test]
fn all_any_and_two_of_three_with_one_that_fails() {
    let Some(_room) = Room::enter() else { return };
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("flag");
    fs::write(&flag, "ok").unwrap();
    let servers = format!(
        "server {{ listen 127.0.0.1:8080; root {}; location / {{ default_type text/plain; }} }}\n",
        folder.path().display()
    );
    let _nginx = nginx(folder.path(), &servers, "127.0.0.1:8080");
    let pools = [
        pool("all", &format!("monitors: {MONITORS}")),
        pool("any", &format!("monitors: {MONITORS}, pass: any")),
        pool("two", &format!("monitors: {MONITORS}, pass: 2")),
        pool(
            "alone",
            "monitor: http, monitor_params: {port: 8080, url_path: /flag, interval: 200ms, timeout: 200ms, retries: 0}",
        ),
    ];
    let server = Server::start(&configuration(&pools));
    expect(&server, "all", "down", "2 of 3 monitors up, 3 needed: tcp-3 \"connect: refused\"");
    expect(&server, "any", "up", "2 of 3 monitors up, 1 needed: *");
    expect(&server, "two", "up", "2 of 3 monitors up, 2 needed: *");
    expect(&server, "alone", "up", "status 200");
    let page = common::http(server.admin, "GET", "/metrics");
    assert!(page.contains("\nsteerd_probe_targets 3\n"), "equal probes run once, over all pools");
    let states = |name: &str| {
        let member = member(&server, name);
        let each = member["monitors"].as_array().unwrap().iter();
        each.map(|one| json!([one["name"], one["state"]])).collect::<Vec<_>>()
    };
    assert_eq!(states("two"), [json!(["tcp", "up"]), json!(["deep", "up"]), json!(["tcp-3", "down"])]);
    assert_eq!(states("alone"), Vec::<serde_json::Value>::new());

    fs::remove_file(&flag).unwrap();
    let failed = "deep \"status 404, expected 200\"";
    expect(&server, "two", "down", &format!("1 of 3 monitors up, 2 needed: {failed}"));
    expect(&server, "any", "up", "1 of 3 monitors up, 1 needed: tcp \"connected\"");
    expect(&server, "all", "down", &format!("1 of 3 monitors up, 3 needed: {failed}"));
    let since = member(&server, "all")["since"].as_u64().unwrap();
    fs::write(&flag, "ok").unwrap();
    expect(&server, "two", "up", "2 of 3 monitors up, 2 needed: deep \"status 200\"");
    assert_eq!(member(&server, "all")["since"].as_u64(), Some(since), "it never was anything else");

    // Another number that must pass is another verdict at once, of what is known.
    let one = pools[0].replace("monitors:", "pass: any, monitors:");
    let other = [one, pools[1].clone(), pools[2].clone(), pools[3].clone()];
    server.reload(&common::config("workers: 1", &configuration(&other)));
    expect(&server, "all", "up", "2 of 3 monitors up, 1 needed: *");
    server.log_line(&[("message", "monitor says down"), ("monitor", "deep"), ("member", "all")]);
    let changes =
        server.log().into_iter().filter(|line| line["message"] == "member is up" && line["member"] == "all");
    assert_eq!(changes.count(), 1, "by the reload alone");
}
