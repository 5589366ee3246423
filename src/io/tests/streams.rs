//! Streams through a whole worker: framing, order, ends, fairness and slow peers.

use super::*;

//----------- Streams: framing and order -------------------------------------------------------------------------

#[test]
fn a_thousand_queries_in_one_write_are_answered_in_order() {
    let server = Server::on_loopback();
    let mut client = server.tcp();
    let queries: Vec<_> =
        (0..1000).map(|number| message(b'Q', number, 12 + usize::from(number % 90))).collect();
    client.write_all(&queries.iter().flat_map(|query| frame(query)).collect::<Vec<_>>()).unwrap();
    queries.iter().for_each(|query| assert_eq!(read_frame(&mut client), *query));
    assert_eq!(server.tally().accepted, 1);
}

#[test]
fn a_query_that_comes_octet_by_octet_is_answered() {
    let server = Server::on_loopback();
    let mut client = server.tcp();
    for number in 0..3 {
        let query = message(b'Q', number, 50);
        frame(&query).iter().for_each(|octet| client.write_all(&[*octet]).unwrap());
        assert_eq!(read_frame(&mut client), query);
    }
}

#[test]
fn segments_that_cut_queries_anywhere_change_nothing() {
    let server = Server::on_loopback();
    let queries: Vec<_> = (0..40).map(|number| message(b'Q', number, 12 + 7 * usize::from(number))).collect();
    let all: Vec<_> = queries.iter().flat_map(|query| frame(query)).collect();
    for size in [1, 2, 3, 13, 97, 1000] {
        let mut client = server.tcp();
        all.chunks(size).for_each(|segment| client.write_all(segment).unwrap());
        queries.iter().for_each(|query| assert_eq!(read_frame(&mut client), *query));
    }
}

#[test]
fn messages_of_the_largest_size_pass_in_both_directions() {
    let server = Server::on_loopback();
    let mut client = server.tcp();
    let mut reader = client.try_clone().unwrap();
    let queries: Vec<_> = (0..20).map(|number| message(b'Q', number, 65_535)).collect();
    let expected = queries.clone();
    let reading = std::thread::spawn(move || {
        expected.iter().for_each(|query| assert!(read_frame(&mut reader) == *query));
    });
    queries.iter().for_each(|query| client.write_all(&frame(query)).unwrap());
    reading.join().unwrap();
}

#[test]
fn a_half_closed_peer_gets_every_reply_and_then_the_end() {
    let server = Server::on_loopback();
    let mut client = server.tcp();
    let queries: Vec<_> = (0..500).map(|number| message(b'Q', number, 40)).collect();
    let mut all: Vec<_> = queries.iter().flat_map(|query| frame(query)).collect();
    all.extend_from_slice(&[0, 40, 1, 2, 3]);
    client.write_all(&all).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    queries.iter().for_each(|query| assert_eq!(read_frame(&mut client), *query));
    assert!(closed_by_server(&mut client));
    until("the end is counted", || server.tally().closed == 1);
}

#[test]
fn a_message_shorter_than_a_header_closes_after_the_replies_before_it() {
    let server = Server::on_loopback();
    for short in [0, 11] {
        let mut client = server.tcp();
        let query = message(b'Q', 7, 40);
        client.write_all(&[frame(&query), frame(&vec![1; short])].concat()).unwrap();
        assert_eq!(read_frame(&mut client), query);
        assert!(closed_by_server(&mut client));
    }
    until("both are counted", || server.tally().short == 2);
}

#[test]
fn the_caller_may_close() {
    let server = Server::on_loopback();
    let mut client = server.tcp();
    let queries = [message(b'Q', 1, 12), message(b'C', 2, 12), message(b'Q', 3, 12)];
    client.write_all(&queries.iter().flat_map(|query| frame(query)).collect::<Vec<_>>()).unwrap();
    assert_eq!(read_frame(&mut client), queries[0]);
    assert!(closed_by_server(&mut client));
}

#[test]
fn a_reset_connection_is_closed_and_its_permit_comes_back() {
    let server = Server::on_loopback();
    let mut client = server.tcp();
    ask(&mut client, 1);
    assert_eq!(server.limits.open(), 1);
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    until("the reset is seen", || server.tally().closed == 1 && server.limits.open() == 0);
}

//----------- Streams: fairness and slow peers -------------------------------------------------------------------

#[test]
fn a_turn_answers_a_share_and_the_rest_follows_without_a_new_event() {
    let limits = ConnectionLimits::new(10, 10);
    let (address, mut io) = worker_io("127.0.0.1:0", &limits);
    let mut client = TcpStream::connect(address).unwrap();
    let queries: Vec<_> = (0..1000).flat_map(|number| frame(&message(b'Q', number, 12))).collect();
    client.write_all(&queries).unwrap();
    let mut shares = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while shares.iter().sum::<u32>() < 1000 {
        assert!(Instant::now() < deadline);
        io.wait(Some(PATIENCE)).unwrap();
        serve_datagrams(&mut io, &mut Batch::new());
        let mut share = 0;
        io.tcp_turn(io.now(), |_, message, reply| {
            share += 1;
            respond(message, reply)
        });
        shares.push(share);
    }
    assert!(shares.iter().all(|share| *share <= 64), "{shares:?}");
    let mut replies = vec![0; queries.len()];
    client.read_exact(&mut replies).unwrap();
    assert!(replies == queries);
}

#[test]
fn a_peer_that_does_not_read_is_held_back_and_nobody_else_notices() {
    const MOST: u16 = 5000;
    let server = Server::on_loopback();
    let mut slow = server.tcp();
    let mut other = server.tcp();
    slow.set_nonblocking(true).unwrap();
    let queries: Vec<_> = (0..MOST).flat_map(|number| frame(&message(b'B', number, 200))).collect();
    // Writes until the server has long stopped reading; between attempts others are served.
    let (mut written, mut stalled) = (0, 0);
    while stalled < 200 && written < queries.len() {
        match slow.write(&queries[written..]) {
            Ok(count) => (written, stalled) = (written + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                stalled += 1;
            }
        }
        server.udp_echo_works();
        ask(&mut other, 1);
    }
    let answered = server.shared.messages.load(Ordering::Relaxed) as usize;
    assert!(answered * BIG < 64 << 20, "answered {answered} queries that nobody reads");
    // Now it reads, and gets all it asked for.
    slow.set_nonblocking(false).unwrap();
    let whole = written / 202;
    for number in 0..whole {
        let reply = read_frame(&mut slow);
        assert!(reply.len() == BIG && reply.iter().all(|octet| *octet == number as u8), "reply {number}");
    }
    server.udp_echo_works();
}

#[test]
fn a_peer_that_takes_nothing_for_the_idle_timeout_is_closed() {
    let server = Server::on_loopback();
    let mut slow = server.tcp();
    let queries: Vec<_> = (0..600).flat_map(|number| frame(&message(b'B', number, 12))).collect();
    slow.write_all(&queries).unwrap();
    // The count stands still once the buffers of the kernel are full: 600 × 60,000 octets do not fit.
    let mut still = (0, 0);
    until("replies stop", || {
        server.udp_echo_works();
        let answered = server.shared.messages.load(Ordering::Relaxed);
        still = if still.0 == answered { (answered, still.1 + 1) } else { (answered, 0) };
        answered > 0 && still.1 > 200
    });
    assert!(still.0 < 600, "all of it fitted, nothing was shown");
    server.advance(IDLE + Duration::from_secs(1));
    until("it is timed out", || server.tally().timed_out == 1 && server.limits.open() == 0);
}
