//! `agent`: what it says makes the state; silence and nonsense do too.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use crate::common::backend::{Backend, Manner};
use crate::room::{NOBODY, Room, expect, pool, serve};

#[test]
fn agent_says_what_its_member_is() {
    let Some(_room) = Room::enter() else { return };
    let backend = Backend::start([127, 0, 0, 1].into(), Manner::Says("up 75%\n"));
    let server = serve(&[pool("web", "127.0.0.1", "agent", &format!("port: {}", backend.port()))]);
    expect(&server, "web", "up", "agent: up 75%");
    for (said, state, reason) in [
        ("down # disk full\r\n", "down", "agent: down # disk full"),
        ("ready", "up", "agent: ready"),
        ("maint\n", "down", "agent: maint"),
        ("drain\n", "up", "agent: drain"),
        ("stopped\n", "down", "agent: stopped"),
        ("50%\n", "up", "agent: 50%"),
        ("hello there\n", "down", "agent: not understood: `hello there`"),
        ("up\n", "up", "agent: up"),
        ("", "down", "connection closed without a reply"),
    ] {
        backend.behave(Manner::Says(said));
        expect(&server, "web", state, reason);
    }
}

#[test]
fn agent_is_sent_what_is_configured_and_given_up_when_it_stalls() {
    let Some(_room) = Room::enter() else { return };
    let listener = TcpListener::bind("127.0.0.1:9777").unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut line = String::new();
            drop(BufReader::new(&mut stream).read_line(&mut line));
            let reply = if line == "state?\n" { "up 10%\n" } else { "down\n" };
            drop(stream.write_all(reply.as_bytes()));
        }
    });
    let endless = TcpListener::bind("127.0.0.1:9778").unwrap();
    std::thread::spawn(move || {
        for mut stream in endless.incoming().map_while(Result::ok) {
            while stream.write_all(&[b'u'; 64]).is_ok() {}
        }
    });
    let half = TcpListener::bind("127.0.0.1:9779").unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in half.incoming().map_while(Result::ok) {
            drop(stream.write_all(b"up"));
            held.push(stream);
        }
    });
    let server = serve(&[
        pool("asked", "127.0.0.1", "agent", r#"port: 9777, send: "state?\n""#),
        pool("endless", "127.0.0.1", "agent", "port: 9778"),
        pool("half", "127.0.0.1", "agent", "port: 9779, timeout: 300ms"),
        pool("nobody", NOBODY, "agent", "port: 9777, timeout: 300ms"),
        pool("closed", "127.0.0.1", "agent", "port: 9776"),
    ]);
    expect(&server, "asked", "up", "agent: up 10%");
    expect(&server, "endless", "down", "agent: no line end in 256 octets");
    expect(&server, "half", "down", "timeout after 300 ms in receive");
    expect(&server, "nobody", "down", "timeout after 300 ms in connect");
    expect(&server, "closed", "down", "connect: refused");
}
