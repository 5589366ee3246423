//! The client behind `perf/instructions`: sends one kind of query a given number of times, a window of them outstanding,
//! so that the server finds full batches (UDP) or many queries a read (TCP).
//!
//! ```text
//! drive config                              the configuration of fixture.rs with one worker
//! drive kinds                               the kinds of query, one a line
//! drive udp|tcp SERVER KIND COUNT WINDOW    ends when every reply has come; prints COUNT and the octets of a reply
//! ```
//! A lost, foreign or changed reply is an error: what is counted must be the same work each time. Shares fixture.rs with
//! `respond_loop`, and nothing with the server's sockets.
#![expect(clippy::print_stdout, reason = "a program whose result is what it prints")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

#[allow(dead_code, reason = "the server compiles the configuration by itself")]
mod fixture;

type Failure = Box<dyn std::error::Error>;

/// Longest wait for a reply: a server under valgrind is some fifty times slower.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// Octets before a message on a stream (RFC 1035 §4.2.2).
const PREFIX: usize = 2;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["config"] => {
            let listen = "server: {listen: ";
            assert!(fixture::CONFIG.contains(listen), "the fixture has a server section");
            println!("{}", fixture::CONFIG.replacen(listen, "server: {workers: 1, listen: ", 1));
            Ok(())
        }
        ["kinds"] => {
            fixture::kinds().iter().for_each(|(name, _)| println!("{name}"));
            Ok(())
        }
        [transport @ ("udp" | "tcp"), server, kind, count, window] => {
            let kinds = fixture::kinds();
            let (_, query) = kinds.iter().find(|(name, _)| *name == kind).ok_or("no such kind")?;
            let (server, count, window) = (server.parse()?, count.parse()?, window.parse()?);
            let len = match transport {
                "udp" => over_udp(server, query, count, window)?,
                _ => over_tcp(server, query, count, window)?,
            };
            println!("{count} replies of {len} octets");
            Ok(())
        }
        _ => Err("usage: see the head of perf/drive.rs".into()),
    }
}

/// What is the same in all replies of one kind: its length, and that it answers the query.
#[derive(Default)]
struct Expectation {
    len: Option<usize>,
}

impl Expectation {
    fn check(&mut self, query: &[u8], reply: &[u8]) -> Result<(), Failure> {
        let is_response = reply.len() >= 12 && reply[..2] == query[..2] && reply[2] & 0x80 != 0;
        if !is_response || *self.len.get_or_insert(reply.len()) != reply.len() {
            return Err(format!("an unexpected reply of {} octets", reply.len()).into());
        }
        Ok(())
    }
}

fn over_udp(server: SocketAddr, query: &[u8], count: usize, window: usize) -> Result<usize, Failure> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(REPLY_TIMEOUT))?;
    let mut expectation = Expectation::default();
    let mut reply = [0; 4096];
    for _ in 0..window.min(count) {
        socket.send(query)?;
    }
    for received in 0..count {
        let len = socket.recv(&mut reply)?;
        expectation.check(query, &reply[..len])?;
        if received + window < count {
            socket.send(query)?;
        }
    }
    Ok(expectation.len.unwrap_or(0))
}

/// A window at a time: all of it in one write, the next one when every reply has come.
fn over_tcp(server: SocketAddr, query: &[u8], count: usize, window: usize) -> Result<usize, Failure> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    let mut frame = u16::try_from(query.len())?.to_be_bytes().to_vec();
    frame.extend_from_slice(query);
    let mut expectation = Expectation::default();
    let mut reply = vec![0; 4096];
    let mut left = count;
    while left > 0 {
        let round = window.min(left);
        stream.write_all(&frame.repeat(round))?;
        for _ in 0..round {
            stream.read_exact(&mut reply[..PREFIX])?;
            let len = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
            stream.read_exact(&mut reply[..len])?;
            expectation.check(query, &reply[..len])?;
        }
        left -= round;
    }
    Ok(expectation.len.unwrap_or(0))
}
