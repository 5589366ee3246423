//! How queries travel: streams in every shape, limits, and addresses of wildcard listeners.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};

use steerd::wire::message::Rtype;

mod common;

use common::dns::{Query, TcpClient, UdpClient, Via, ask, framed};
use common::{PATIENCE, Server, config, wait_until};

const NAMES: &str = "
globalnames: {www.test: one, big.test: big}
pools:
  one: {lb_method: wrr, members: [192.0.2.1], monitor: forced, monitor_params: {status: up}}
";

/// The names above, `big.test` with 400 addresses in every answer.
fn names() -> String {
    let members: Vec<String> =
        (0..400).map(|n| format!("198.51.{}.{}", 100 + n / 250, 1 + n % 250)).collect();
    let members = members.join(", ");
    format!(
        "{NAMES}  big: {{lb_method: wrr, max_addrs_returned: 400, members: [{members}], monitor: forced, monitor_params: {{status: up}}}}\n"
    )
}

fn start(settings: &str) -> Server {
    Server::start(&config(settings, &names()))
}

fn query() -> Query {
    Query::a("www.test")
}

#[test]
fn many_queries_in_one_segment_are_all_answered_in_order() {
    let server = start("workers: 1");
    let mut client = TcpClient::new(server.dns());
    let queries: Vec<Query> = (0..500).map(|_| query()).collect();
    let octets: Vec<u8> = queries.iter().flat_map(|query| framed(&query.octets())).collect();
    client.send(&octets);
    for query in &queries {
        assert_eq!(client.reply(query).addresses(), ["192.0.2.1"]);
    }
    assert_eq!(server.metric("steerd_tcp_connections_total{event=\"accepted\"}"), 1.0);
}

#[test]
fn connection_serves_one_query_after_another() {
    let server = start("workers: 1");
    let mut client = TcpClient::new(server.dns());
    for _ in 0..50 {
        assert_eq!(client.ask(&query()).addresses(), ["192.0.2.1"]);
        assert_eq!(client.ask(&Query::a("big.test")).addresses().len(), 400);
    }
}

#[test]
fn query_that_comes_octet_by_octet_is_answered() {
    let server = start("workers: 1");
    let mut client = TcpClient::new(server.dns());
    let query = query();
    for octet in framed(&query.octets()) {
        client.send(&[octet]);
    }
    assert_eq!(client.reply(&query).addresses(), ["192.0.2.1"]);
}

#[test]
fn half_closed_client_gets_all_its_replies_and_then_the_end() {
    let server = start("workers: 1");
    let mut client = TcpClient::new(server.dns());
    let queries = [query(), Query::a("big.test"), query()];
    client.send(&queries.iter().flat_map(|query| framed(&query.octets())).collect::<Vec<_>>());
    client.stream.shutdown(Shutdown::Write).unwrap();
    for query in &queries {
        client.reply(query);
    }
    assert_eq!(client.receive(), None);
    wait_until("the connection to be gone", || server.metric("steerd_tcp_connections_open") == 0.0);
}

#[test]
fn silent_connection_is_closed_after_the_idle_timeout() {
    let server = start("workers: 1, tcp_idle_timeout: 200ms");
    let mut silent = TcpClient::new(server.dns());
    let mut unfinished = TcpClient::new(server.dns());
    unfinished.send(&framed(&query().octets())[..5]);
    assert_eq!(silent.receive(), None);
    assert_eq!(unfinished.receive(), None, "the beginning of a query is no progress");
    wait_until("both to be counted", || {
        server.metric("steerd_tcp_connections_total{event=\"timed_out\"}") == 2.0
    });
}

#[test]
fn nonsense_on_a_stream_ends_it() {
    let server = start("workers: 1");
    let mut short = TcpClient::new(server.dns());
    short.send(b"\x00\x05hello");
    assert_eq!(short.receive(), None);
    let mut response = query().octets();
    response[2] |= 0x80;
    let mut client = TcpClient::new(server.dns());
    client.send(&framed(&response));
    assert_eq!(client.receive(), None);
    let mut reset = TcpClient::new(server.dns());
    reset.send(&framed(&query().octets()));
    // Unread replies make the close a reset.
    reset.stream.set_nonblocking(true).unwrap();
    drop(reset);
    assert_eq!(server.addresses("www.test"), ["192.0.2.1"]);
}

#[test]
fn one_client_cannot_take_more_than_its_share_of_connections() {
    let server = start("workers: 1, tcp_max_connections: 100, tcp_max_connections_per_client: 3");
    let mut held: Vec<TcpClient> = (0..3).map(|_| TcpClient::new(server.dns())).collect();
    for client in &mut held {
        client.ask(&query());
    }
    let mut fourth = TcpClient::new(server.dns());
    assert_eq!(fourth.receive(), None, "closed at once");
    wait_until("the refusal to be counted", || {
        server.metric("steerd_tcp_connections_total{event=\"refused_client\"}") == 1.0
    });
    // Another address is another client.
    let mut other = TcpClient { stream: connect_from(Ipv4Addr::new(127, 0, 0, 2), server.dns()) };
    assert_eq!(other.ask(&query()).addresses(), ["192.0.2.1"]);
    drop(held.pop());
    wait_until("the place to be free", || server.metric("steerd_tcp_connections_open") == 3.0);
    assert_eq!(server.ask(Via::Tcp, &query()).addresses(), ["192.0.2.1"]);
}

fn connect_from(source: Ipv4Addr, server: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn full_server_closes_the_connection_that_is_idle_longest() {
    let server = start("workers: 1, tcp_max_connections: 4");
    // Each from an address of its own: one client's share is a smaller limit than the total.
    let client = |n| TcpClient { stream: connect_from(Ipv4Addr::new(127, 0, 1, n), server.dns()) };
    let mut held: Vec<TcpClient> = Vec::new();
    for n in 1..=4 {
        let mut one = client(n);
        one.ask(&query());
        held.push(one);
    }
    let mut fifth = client(5);
    assert_eq!(fifth.ask(&query()).addresses(), ["192.0.2.1"]);
    assert_eq!(held[0].receive(), None, "the first one made room");
    for client in &mut held[1..] {
        assert_eq!(client.ask(&query()).addresses(), ["192.0.2.1"]);
    }
    wait_until("the eviction to be counted", || {
        server.metric("steerd_tcp_connections_total{event=\"evicted\"}") == 1.0
    });
    assert_eq!(server.metric("steerd_tcp_connections_open"), 4.0);
}

#[test]
fn client_that_asks_how_long_it_may_idle_is_told_to_close_where_connections_are_scarce() {
    let server = start("workers: 1, tcp_max_connections: 4, tcp_idle_timeout: 10s");
    let asks = query().edns(1232).option(11, &[]);
    let client = |n| TcpClient { stream: connect_from(Ipv4Addr::new(127, 0, 1, n), server.dns()) };
    let mut held: Vec<TcpClient> = Vec::new();
    for n in 1..=4 {
        held.push(client(n));
        let told: u16 = if n < 4 { 100 } else { 0 };
        let expected = [&[0, 11, 0, 2][..], &told.to_be_bytes()].concat();
        // How many there are is seen before a turn, so the first query of the last connection may come too early.
        for may_be_early in [true, false] {
            let last = held.last_mut().unwrap();
            last.send(&framed(&asks.octets()));
            let reply = last.receive().expect("a reply");
            assert!(may_be_early || reply.ends_with(&expected), "of {n} connections: {reply:02x?}");
        }
    }
}

#[test]
fn reader_that_takes_nothing_blocks_nobody_else() {
    let server = start("workers: 1");
    let slow = TcpClient::new(server.dns());
    slow.stream.set_nonblocking(true).unwrap();
    let one = framed(&Query::a("big.test").octets());
    let flood = one.repeat(200);
    let mut offset = 0;
    let mut sent = 0usize;
    let other = UdpClient::new(server.dns());
    let mut stuck = 0;
    // Until the server has stopped reading and the kernel's buffers are full for a while.
    while stuck < 200 {
        match (&slow.stream).write(&flood[offset..]) {
            Ok(len) => {
                offset = (offset + len) % flood.len();
                sent += len;
                stuck = 0;
                assert!(sent < 1 << 30, "the server takes queries without end");
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => stuck += 1,
            Err(error) => panic!("{error}"),
        }
        assert_eq!(other.ask(&query()).addresses(), ["192.0.2.1"]);
    }
    assert_eq!(server.ask(Via::Tcp, &query()).addresses(), ["192.0.2.1"]);
}

#[test]
fn wildcard_listener_answers_from_the_address_that_was_asked() {
    let server = start("workers: 2, listen: ['0.0.0.0:0', '[::1]:0']");
    let port = server.listening[0].port();
    for address in [[127, 0, 0, 1], [127, 0, 0, 2], [127, 9, 8, 7]] {
        let address = SocketAddr::from((address, port));
        // A connected socket takes datagrams from that address alone.
        for via in [Via::Udp, Via::Tcp] {
            assert_eq!(ask(address, via, &query()).addresses(), ["192.0.2.1"]);
        }
    }
    let six = server.listening[1];
    assert!(six.is_ipv6());
    for via in [Via::Udp, Via::Tcp] {
        assert_eq!(ask(six, via, &query()).addresses(), ["192.0.2.1"]);
    }
}

#[test]
fn ipv6_wildcard_listener_answers_ipv6() {
    let server = start("workers: 1, listen: '[::]:0'");
    let address = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1u16], server.dns().port()));
    for via in [Via::Udp, Via::Tcp] {
        assert_eq!(ask(address, via, &query()).addresses(), ["192.0.2.1"]);
    }
}

#[test]
fn every_worker_answers() {
    let server = start("workers: 3");
    let workers = || -> BTreeSet<String> {
        let metrics = server.metrics().into_iter();
        let busy = metrics.filter(|(name, count)| name.starts_with("steerd_worker_queries") && *count > 0.0);
        busy.map(|(name, _)| name).collect()
    };
    // The kernel chooses by a hash of the addresses, or by core: streams from many ports reach all in the end.
    wait_until("all workers to be asked", || {
        server.ask(Via::Tcp, &query());
        server.ask(Via::Udp, &Query::new("www.test", Rtype::TXT));
        workers().len() == 3
    });
}
