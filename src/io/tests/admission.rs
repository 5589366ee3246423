//! Streams through a whole worker: timeouts, limits, eviction, and running out of files.

use super::*;

//----------- Streams: time and numbers --------------------------------------------------------------------------

#[test]
fn an_idle_connection_is_closed_and_one_that_asked_since_is_not() {
    let server = Server::on_loopback();
    let (mut idle, mut busy) = (server.tcp(), server.tcp());
    ask(&mut idle, 1);
    ask(&mut busy, 1);
    server.advance(Duration::from_secs(60));
    ask(&mut busy, 2);
    server.advance(Duration::from_secs(60));
    assert!(closed_by_server(&mut idle));
    ask(&mut busy, 3);
    assert_eq!(server.tally().timed_out, 1);
}

#[test]
fn a_connection_that_never_asks_is_closed_too() {
    let server = Server::on_loopback();
    let mut silent = server.tcp();
    until("accepted", || server.tally().accepted == 1);
    server.advance(IDLE + Duration::from_secs(1));
    assert!(closed_by_server(&mut silent));
}

#[test]
fn dripping_octets_does_not_keep_a_connection() {
    let server = Server::on_loopback();
    let mut dripping = server.tcp();
    let mut witness = server.tcp();
    ask(&mut dripping, 1);
    for number in 0..=11 {
        // After its end has come a drip may fail, which is what this is about.
        let _ = dripping.write_all(&[40]);
        server.advance(Duration::from_secs(10));
        ask(&mut witness, number);
    }
    assert!(closed_by_server(&mut dripping));
    until("counted", || server.tally().timed_out == 1);
    ask(&mut witness, 12);
}

#[test]
fn a_client_over_its_limit_is_refused_and_others_are_not() {
    let server = Server::start("127.0.0.1:0", 1000, 3);
    let mut held: Vec<_> = (0..3).map(|_| server.tcp()).collect();
    held.iter_mut().for_each(|client| ask(client, 1));
    assert!(closed_by_server(&mut server.tcp()));
    until("it is counted", || server.tally().refused_client == 1);
    // One chance in 65,536 for each that it shares the first one's counter; all of them, none.
    let others = (2..6).map(|last| {
        let mut other = server.tcp_from(Ipv4Addr::new(127, 0, 0, last));
        other.write_all(&frame(&message(b'Q', 1, 12))).unwrap();
        !closed_by_server(&mut other)
    });
    assert!(others.filter(|served| *served).count() > 0);
    held.pop();
    until("its place comes back", || {
        let mut again = server.tcp();
        let _ = again.write_all(&frame(&message(b'Q', 1, 12)));
        !closed_by_server(&mut again)
    });
}

#[test]
fn at_the_total_limit_the_longest_idle_connection_makes_room() {
    let server = Server::start("127.0.0.1:0", 2, 1000);
    let (mut first, mut second) = (server.tcp(), server.tcp());
    ask(&mut first, 1);
    ask(&mut second, 1);
    ask(&mut first, 2);
    let mut third = server.tcp();
    ask(&mut third, 1);
    assert!(closed_by_server(&mut second), "asked longest ago");
    ask(&mut first, 3);
    assert_eq!((server.tally().evicted, server.limits.open()), (1, 2));
}

#[test]
fn at_the_total_limit_a_connection_that_is_owed_a_reply_is_evicted_only_when_it_is_stuck() {
    let limits = ConnectionLimits::new(1, 10);
    let (address, mut io) = worker_io("127.0.0.1:0", &limits);
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(&frame(&message(b'B', 1, 12)).repeat(600)).unwrap();
    let mut total = TcpTally::default();
    let mut quiet = 0;
    let deadline = Instant::now() + PATIENCE;
    // Time stands still but where it is said to pass.
    let now = io.now();
    while quiet < 50 {
        assert!(Instant::now() < deadline);
        io.wait(Some(Duration::from_millis(1))).unwrap();
        serve_datagrams(&mut io, &mut Batch::new());
        let mut answered = 0;
        total += io.tcp_turn(now, |_, message, reply| {
            answered += 1;
            respond(message, reply)
        });
        quiet = if total.accepted == 1 && answered == 0 { quiet + 1 } else { 0 };
    }
    let mut turn_until = |now: Instant, done: fn(&TcpTally) -> bool| {
        while !done(&total) {
            assert!(Instant::now() < deadline);
            io.wait(Some(Duration::from_millis(1))).unwrap();
            serve_datagrams(&mut io, &mut Batch::new());
            total += io.tcp_turn(now, |_, message, reply| respond(message, reply));
        }
    };
    let mut refused = TcpStream::connect(address).unwrap();
    turn_until(now, |total| (total.refused_total, total.evicted) == (1, 0));
    assert!(closed_by_server(&mut refused));
    // Who has taken nothing whole for some seconds makes room all the same.
    let _taken = TcpStream::connect(address).unwrap();
    turn_until(now + Duration::from_secs(3), |total| (total.evicted, total.accepted) == (1, 2));
    assert_eq!(limits.open(), 1);
}

//----------- Shortage -------------------------------------------------------------------------------------------

/// Runs the test below in a process of its own, for a limit of files concerns all of a process.
#[test]
fn running_out_of_files_pauses_accepting_instead_of_spinning() {
    let test = "io::tests::admission::with_few_files_accepting_pauses_and_goes_on";
    let command = format!("ulimit -n 64 && exec \"$0\" --exact {test} --ignored --test-threads=1");
    let this = std::env::current_exe().unwrap();
    let output = std::process::Command::new("sh").arg("-c").arg(command).arg(this).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}

#[test]
#[ignore = "uses all files of its process; run by running_out_of_files_pauses_accepting_instead_of_spinning"]
fn with_few_files_accepting_pauses_and_goes_on() {
    let limits = ConnectionLimits::new(10, 10);
    let (address, mut io) = worker_io("127.0.0.1:0", &limits);
    serve_datagrams(&mut io, &mut Batch::new());
    let echo = |_: SocketAddr, message: &[u8], reply: &mut [u8]| respond(message, reply);
    assert_eq!(io.tcp_turn(io.now(), echo), TcpTally::default());
    let mut clients: Vec<_> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        assert!(files.len() < 1000, "the limit is not in force");
        files.push(file);
    }
    io.wait(Some(PATIENCE)).unwrap();
    let now = io.now();
    assert_eq!(io.tcp_turn(now, echo).accept_errors, 1);
    assert_eq!(io.tcp_turn(now, echo), TcpTally::default(), "resting");
    // The pause bounds the sleep; after it, accepting is tried and rests again.
    io.wait(None).unwrap();
    assert_eq!(io.tcp_turn(now + Duration::from_millis(100), echo).accept_errors, 1);
    drop(files);
    assert_eq!(io.tcp_turn(now + Duration::from_millis(200), echo).accepted, 2);
    clients.iter_mut().for_each(|client| client.write_all(&frame(&message(b'Q', 1, 12))).unwrap());
}
