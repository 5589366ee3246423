//! `file`: what it says counts at once, what is missing as configured.

use std::fs;
use std::time::{Duration, Instant};

use crate::common::{Server, config};
use crate::room::{expect, member};

#[test]
fn file_flips_its_member_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let pools: String = [
        ("told", format!("path: '{path}/state', interval: 60, retry_interval: 100ms")),
        ("beside", "path: beside.state, retry_interval: 100ms, missing: up".to_owned()),
        ("aimed", format!("path: '{path}/{{ip}}', retry_interval: 100ms")),
    ]
    .map(|(name, parameters)| {
        format!(
            "  {name}: {{lb_method: wrr, fallback: nodata, members: {{127.0.0.1: {{name: {name}}}}}, monitor: file, \
             monitor_params: {{{parameters}}}}}\n"
        )
    })
    .concat();
    fs::write(folder.path().join("state"), "up 40%\n").unwrap();
    fs::write(folder.path().join("127.0.0.1"), "# of the deployment\nready\n").unwrap();
    let names = "globalnames: {told.test: told, beside.test: beside, aimed.test: aimed}\npools:\n";
    let server = Server::start(&config("workers: 1", &format!("{names}{pools}")));
    expect(&server, "told", "up", "file: up 40%");
    assert_eq!(member(&server, "told")["weight_permille"], 400);
    expect(&server, "beside", "up", "there is no file");
    expect(&server, "aimed", "up", "file: ready");
    assert_eq!(server.addresses("told.test"), ["127.0.0.1"]);

    let changed = Instant::now();
    fs::write(folder.path().join("state"), "down # by the deployment\n").unwrap();
    expect(&server, "told", "down", "file: down # by the deployment");
    assert!(changed.elapsed() < Duration::from_secs(10), "long before the interval is over");
    assert_eq!(server.addresses("told.test"), Vec::<String>::new());
    for (text, state, reason) in [
        ("drain", "up", "file: drain"),
        ("75%", "up", "file: 75%"),
        ("gibberish", "down", "file: not understood: `gibberish`"),
        ("up", "up", "file: up"),
    ] {
        fs::write(folder.path().join("state"), text).unwrap();
        expect(&server, "told", state, reason);
        assert_eq!(member(&server, "told")["draining"], text == "drain");
    }
    fs::remove_file(folder.path().join("state")).unwrap();
    expect(&server, "told", "down", "there is no file");
    server.write_file("beside.state", "down\n");
    expect(&server, "beside", "down", "file: down");
}
