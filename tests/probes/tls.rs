//! `tls` against `openssl s_server`: days left, pins, chains and names, and peers that are not there or not TLS.

use std::path::Path;

use crate::common::backend::{Backend, Manner};
use crate::common::{Process, run_tool, tool};
use crate::room::{NOBODY, Room, expect, make_certificates, member, pool, serve, serve_by, start_listening};

fn s_server(folder: &Path, extra: &[&str]) -> Process {
    let mut command = tool("openssl");
    command.args(["s_server", "-accept", "127.0.0.1:8443", "-quiet", "-cert"]).arg(folder.join("leaf.pem"));
    command.arg("-key").arg(folder.join("leaf.key")).args(extra);
    start_listening(&mut command, "127.0.0.1:8443")
}

/// SHA-256 of the certificate in hexadecimal, and of its key in base64, as openssl says.
fn pins(folder: &Path) -> (String, String) {
    let leaf = folder.join("leaf.pem").display().to_string();
    let line = run_tool("openssl", &["x509", "-in", &leaf, "-noout", "-fingerprint", "-sha256"]);
    let fingerprint = line.trim().split_once('=').unwrap().1.to_owned();
    let script = format!(
        "openssl x509 -in {leaf} -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64"
    );
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    (fingerprint, String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn certificate_is_judged_by_days_pins_chain_and_name() {
    let Some(_room) = Room::enter() else { return };
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path(), 10);
    let openssl = s_server(folder.path(), &[]);
    let (fingerprint, key) = pins(folder.path());
    let tls =
        |name: &str, parameters: &str| pool(name, "127.0.0.1", "tls", &format!("port: 8443, {parameters}"));
    let pools = [
        pool("plain", "127.0.0.1", "tls", "port: 8443"),
        tls("days", "min_days_left: 9"),
        tls("soon", "min_days_left: 14"),
        tls("pinned", &format!("pinned_sha256: '{fingerprint}'")),
        tls("pinnedkey", &format!("pinned_sha256: ['{}', 'sha256//{key}']", "0".repeat(64))),
        tls("foreign", &format!("pinned_sha256: '{}'", "0".repeat(64))),
        tls("chain", "verify: on, server_name: probe.test"),
        tls("othername", "verify: on, server_name: other.test"),
        tls("noname", "verify: on"),
    ];
    let roots = folder.path().join("ca.pem");
    let server = serve_by(&pools, |command| {
        command.env("SSL_CERT_FILE", roots);
    });
    for (name, state, reason) in [
        ("plain", "up", "TLS handshake done"),
        ("days", "up", "TLS handshake done, certificate has 9 days left"),
        ("soon", "down", "tls: certificate has 9 days left, at least 14 expected"),
        ("pinned", "up", "TLS handshake done, certificate has 9 days left"),
        ("pinnedkey", "up", "TLS handshake done, certificate has 9 days left"),
        ("chain", "up", "TLS handshake done"),
        ("othername", "down", "tls: certificate not valid for name*"),
        ("noname", "down", "tls: certificate not valid for name*"),
    ] {
        expect(&server, name, state, reason);
    }
    let shown = fingerprint.replace(':', "").to_lowercase();
    expect(&server, "foreign", "down", &format!("tls: certificate fits no pin: its sha256 is {shown}"));
    drop(openssl);
    expect(&server, "plain", "down", "connect: refused");
    // The same key with a new certificate: its pin is the key's.
    let leaf = folder.path().join("leaf.key").display().to_string();
    let to = folder.path().join("leaf.pem").display().to_string();
    run_tool("openssl", &["req", "-x509", "-key", &leaf, "-subj", "/CN=new", "-days", "40", "-out", &to]);
    let _openssl = s_server(folder.path(), &[]);
    expect(&server, "soon", "up", "TLS handshake done, certificate has 39 days left");
    expect(&server, "pinnedkey", "up", "TLS handshake done, certificate has 39 days left");
    expect(&server, "pinned", "down", "tls: certificate fits no pin*");
    expect(&server, "chain", "down", "tls: certificate *");
}

#[test]
fn older_tls_will_do_and_what_is_older_still_will_not() {
    let Some(_room) = Room::enter() else { return };
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path(), 10);
    let openssl = s_server(folder.path(), &["-tls1_2"]);
    let server = serve(&[pool("web", "127.0.0.1", "tls", "port: 8443, min_days_left: 1")]);
    expect(&server, "web", "up", "TLS handshake done, certificate has 9 days left");
    drop(openssl);
    let _openssl = s_server(folder.path(), &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    expect(&server, "web", "down", "tls: *");
}

#[test]
fn peers_that_stall_or_speak_no_tls_say_so() {
    let Some(_room) = Room::enter() else { return };
    let mute = Backend::start([127, 0, 0, 1].into(), Manner::Mute);
    let talks = Backend::start([127, 0, 0, 1].into(), Manner::Says("220 no TLS here\r\n"));
    let tls = |name: &str, backend: &Backend| {
        pool(name, "127.0.0.1", "tls", &format!("port: {}, timeout: 300ms", backend.port()))
    };
    let server =
        serve(&[tls("mute", &mute), tls("talks", &talks), pool("nobody", NOBODY, "tls", "timeout: 300ms")]);
    expect(&server, "mute", "down", "timeout after 300 ms in TLS handshake");
    expect(&server, "talks", "down", "tls: *");
    expect(&server, "nobody", "down", "timeout after 300 ms in connect");
}

#[test]
fn request_is_told_to_no_one_but_the_pinned() {
    let Some(_room) = Room::enter() else { return };
    let backend = Backend::start([127, 0, 0, 1].into(), Manner::Https(200));
    let pins = |pin: &str| format!("port: {}, pinned_sha256: '{}'", backend.port(), pin);
    let server = serve(&[pool("foreign", "127.0.0.1", "https", &pins(&"0".repeat(64)))]);
    expect(&server, "foreign", "down", "tls: certificate fits no pin: its sha256 is *");
    let reason = member(&server, "foreign")["reason"].as_str().unwrap().to_owned();
    assert_eq!(backend.requests(), Vec::<String>::new());
    drop(server);
    let shown = reason.rsplit(' ').next().unwrap();
    let server = serve(&[pool("own", "127.0.0.1", "https", &pins(shown))]);
    expect(&server, "own", "up", "status 200");
    assert!(!backend.requests().is_empty());
}
