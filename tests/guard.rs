//! Cookies and response rates, from a datagram's octets to the reply's, without a network and with the time as it is told.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::net::IpAddr;
use std::sync::Arc;

use steerd::config::{compile::compile, load_str};
use steerd::dataplane::guard::answer_limited;
use steerd::dataplane::respond::{Outcome, Transport, WorkerState, respond};
use steerd::state::clock::Now;
use steerd::state::counters::Counter;
use steerd::state::health_table::{State, Word};
use steerd::state::publish::{Generation, Mailbox, buckets_for};
use steerd::wire::cookie::{Cookie, Secret, Secrets, Standing};
use steerd::wire::message::Rtype;

#[path = "common/mod.rs"]
mod common;

use common::dns::{Query, Reply, Via};

const CONFIG: &str = "
globalnames: {www.example.com: one, big.example.com: big}
pools:
  one: {lb_method: wrr, members: [192.0.2.1], monitor: forced, monitor_params: {status: up}}
  big: {lb_method: wrr, max_addrs_returned: 60, members: [BIG], monitor: forced, monitor_params: {status: up}}
zones:
  example.com: {ns: [ns1.example.net]}
";
const OLD: Secret = Secret::new([1; 16]);
const NEW: Secret = Secret::new([2; 16]);
const CLIENT: &str = "198.51.100.7";
const START_SECS: u32 = 1_800_000_000;
const ANSWER: &str = "an www.example.com. 30 A 192.0.2.1\n";

/// A worker without its sockets.
struct Desk {
    generation: Box<Generation>,
    worker: WorkerState,
    now: Now,
}

/// A generation of these settings of `server` and secrets.
fn generation(number: u64, settings: &str, secrets: Secrets) -> Generation {
    let big: Vec<String> = (1..=60).map(|last| format!("203.0.113.{last}")).collect();
    let text = format!("server: {{{settings}}}\n{}", CONFIG.replace("BIG", &big.join(", ")));
    let mut loaded = load_str("guard.yaml", &text).unwrap_or_else(|report| panic!("{report}"));
    loaded.config.server.cookies.secrets = Some(secrets);
    let snapshot = compile(&loaded.config, number);
    for (pool, model) in snapshot.pools.iter().enumerate() {
        let members = 0..usize::from(model.rules.member_count);
        snapshot.health.write(pool, members.map(|member| (member, Word::new(State::Up, 1))));
    }
    Generation::first(Arc::new(snapshot), 1)
}

impl Desk {
    fn new(settings: &str) -> Desk {
        let generation = Box::new(generation(1, settings, Secrets { active: OLD, second: None }));
        let mut desk = Desk { generation, worker: WorkerState::default(), now: Now::default() };
        desk.now.unix_secs = START_SECS;
        desk.pass(0);
        desk
    }

    /// Lets so many tenths of a second pass.
    fn pass(&mut self, ticks: u32) {
        let before = self.now.ticks;
        self.now.ticks += ticks;
        self.now.unix_secs += self.now.ticks / 10 - before / 10;
        self.generation.guard.begin_batch(self.now, &self.worker.counters);
    }

    /// Replaces the configuration as the control side does.
    fn reload(&mut self, settings: &str, secrets: Secrets) {
        let number = self.generation.snapshot.generation;
        let mailbox = Mailbox::new(number);
        mailbox.post(Box::new(generation(number + 1, settings, secrets)));
        assert!(mailbox.adopt(&mut self.generation));
    }

    /// The reply to a datagram; `None` when there is none.
    fn datagram(&mut self, client: &str, query: &Query) -> Option<Reply> {
        let (octets, mut reply) = (query.octets(), vec![0xA5; 4096]);
        let client = client.parse().unwrap();
        let len = answer_limited(&mut self.generation, &mut self.worker, client, &octets, &mut reply);
        reply.truncate(len);
        (len > 0).then(|| Reply::new(&octets, reply, Via::Udp))
    }

    fn udp(&mut self, client: &str, query: &Query) -> String {
        self.datagram(client, query).map_or("nothing".to_owned(), |reply| reply.text())
    }

    fn tcp(&mut self, client: &str, query: &Query) -> Reply {
        let (octets, mut reply) = (query.octets(), vec![0xA5; 65_535]);
        let client: IpAddr = client.parse().unwrap();
        let outcome =
            respond(&mut self.generation, &mut self.worker, client, Transport::Tcp, &octets, &mut reply);
        let Outcome::Reply(len) = outcome else { panic!("no reply over TCP") };
        reply.truncate(len);
        Reply::new(&octets, reply, Via::Tcp)
    }

    fn count(&self, counter: Counter) -> u64 {
        self.worker.counters.get(counter)
    }

    /// A cookie that is valid for the client now.
    fn cookie(&mut self, client: &str) -> Vec<u8> {
        let reply = self.tcp(client, &plain().option(10, FIRST));
        told(&reply.text())
    }
}

const FIRST: &[u8] = b"CLIENT12";

fn plain() -> Query {
    Query::a("www.example.com").edns(1232)
}

/// The cookie that a reply has, client's and server's.
#[track_caller]
fn told(reply: &str) -> Vec<u8> {
    let hex = reply.split("000a0018").nth(1).unwrap_or_else(|| panic!("no cookie in {reply}"));
    (0..48).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What a cookie is worth to this fleet.
fn standing(cookie: &[u8], secret: Secret, now_secs: u32) -> Standing {
    let secrets = Secrets { active: secret, second: None };
    Cookie::read(cookie).unwrap().standing(&secrets, now_secs, CLIENT.parse().unwrap())
}

#[test]
fn client_is_given_a_cookie_and_keeps_it_while_it_is_fresh() {
    let mut desk = Desk::new("");
    let reply = desk.udp(CLIENT, &plain().option(10, FIRST));
    assert!(reply.starts_with(&format!("NOERROR aa rd\n{ANSWER}opt 1232 000a0018")), "{reply}");
    let first = told(&reply);
    assert_eq!(standing(&first, OLD, START_SECS), Standing::Fresh);
    desk.pass(17_990);
    assert_eq!(told(&desk.udp(CLIENT, &plain().option(10, &first))), first);
    desk.pass(20);
    let second = told(&desk.udp(CLIENT, &plain().option(10, &first)));
    assert_ne!(second, first, "half an hour old");
    assert_eq!(standing(&second, OLD, desk.now.unix_secs), Standing::Fresh);
    assert_eq!((desk.count(Counter::CookieNew), desk.count(Counter::CookieValid)), (1, 2));
    // Who does not speak of cookies sees none.
    assert_eq!(desk.udp(CLIENT, &plain()), format!("NOERROR aa rd\n{ANSWER}opt 1232\n"));
}

#[test]
fn cookie_that_is_not_valid_is_answered_with_a_new_one() {
    let mut desk = Desk::new("");
    let good = desk.cookie(CLIENT);
    let with = |cookie: &[u8]| plain().option(10, cookie);
    desk.pass(20);
    let other_version = [&good[..8], &[2], &good[9..]].concat();
    for (what, client, cookie) in [
        ("another client's", "198.51.100.8", good.clone()),
        ("another version", CLIENT, other_version),
        ("a shorter server cookie", CLIENT, good[..16].to_vec()),
        ("a longer server cookie", CLIENT, [&good[..], &[0; 16]].concat()),
    ] {
        let before = desk.count(Counter::CookieBad);
        let reply = desk.udp(client, &with(&cookie));
        assert!(reply.starts_with(&format!("NOERROR aa rd\n{ANSWER}opt")), "{what}: {reply}");
        assert_ne!(told(&reply), good, "{what}");
        assert_eq!(desk.count(Counter::CookieBad), before + 1, "{what}");
    }
    // From the future, as of a server whose clock is ahead: five minutes are forgiven.
    desk.now.unix_secs -= 302;
    desk.pass(1);
    desk.udp(CLIENT, &with(&good));
    assert_eq!(desk.count(Counter::CookieValid), 1);
    desk.now.unix_secs -= 1;
    desk.pass(1);
    desk.udp(CLIENT, &with(&good));
    desk.now.unix_secs += 3902;
    desk.pass(1);
    assert_ne!(told(&desk.udp(CLIENT, &with(&good))), good, "more than an hour old");
    assert_eq!((desk.count(Counter::CookieValid), desk.count(Counter::CookieBad)), (1, 6));
    for wrong in [0, 7, 9, 15, 41] {
        let reply = desk.udp(CLIENT, &with(&vec![7; wrong]));
        assert_eq!(reply, "FORMERR rd\nopt 1232\n", "{wrong} octets");
    }
}

#[test]
fn cookies_that_are_off_are_passed_over() {
    let mut desk = Desk::new("cookies: {enabled: no, require: always}");
    for cookie in [FIRST, &[7; 9], &[7; 24]] {
        let reply = desk.udp(CLIENT, &plain().option(10, cookie));
        assert_eq!(reply, format!("NOERROR aa rd\n{ANSWER}opt 1232\n"));
    }
}

#[test]
fn secret_is_exchanged_without_a_client_noticing() {
    let mut desk = Desk::new("cookies: {require: always}");
    let cookie = desk.cookie(CLIENT);
    let expected = format!("NOERROR aa rd\n{ANSWER}opt");
    let both = Secrets { active: OLD, second: Some(NEW) };
    desk.reload("cookies: {require: always}", both);
    assert_eq!(told(&desk.udp(CLIENT, &plain().option(10, &cookie))), cookie, "the old one still makes them");
    desk.reload("cookies: {require: always}", Secrets { active: NEW, second: Some(OLD) });
    let reply = desk.udp(CLIENT, &plain().option(10, &cookie));
    assert!(reply.starts_with(&expected), "{reply}");
    let renewed = told(&reply);
    assert_eq!(standing(&renewed, NEW, desk.now.unix_secs), Standing::Fresh);
    desk.reload("cookies: {require: always}", Secrets { active: NEW, second: None });
    assert!(desk.udp(CLIENT, &plain().option(10, &renewed)).starts_with(&expected));
    assert!(desk.udp(CLIENT, &plain().option(10, &cookie)).starts_with("BADCOOKIE"));
}

#[test]
fn required_cookie_is_asked_for_over_udp_and_never_over_tcp() {
    let mut desk = Desk::new("cookies: {require: always}");
    for cookie in [FIRST, b"CLIENT12SERVERSERVERSERV"] {
        let query = plain().option(10, cookie);
        let reply = desk.udp(CLIENT, &query);
        assert!(reply.starts_with("BADCOOKIE rd\nopt 1232 000a0018"), "{reply}");
        let again = desk.udp(CLIENT, &plain().option(10, &told(&reply)));
        assert!(again.starts_with(&format!("NOERROR aa rd\n{ANSWER}opt")), "{again}");
        assert!(desk.tcp(CLIENT, &query).text().starts_with(&format!("NOERROR aa rd\n{ANSWER}opt")));
    }
    assert_eq!(desk.count(Counter::BadCookie), 2);
    // Who cannot have a cookie is answered (RFC 7873 §5.2.1).
    assert!(desk.udp(CLIENT, &plain()).starts_with("NOERROR aa"));
    assert!(desk.udp(CLIENT, &Query::a("www.example.com")).starts_with("NOERROR aa"));
}

#[test]
fn under_load_begins_within_a_tick_of_the_flood_and_ends_a_second_after_it() {
    let mut desk = Desk::new("cookies: {require: under_load, load_qps: 100}");
    let asks = plain().option(10, FIRST);
    let good = desk.cookie(CLIENT);
    for _ in 0..30 {
        // As many as they like, for they are known.
        (0..50).for_each(|_| _ = desk.udp(CLIENT, &plain().option(10, &good)));
        desk.pass(1);
    }
    assert!(desk.udp(CLIENT, &asks).starts_with("NOERROR aa"));
    (0..150).for_each(|_| _ = desk.udp(CLIENT, &plain()));
    assert!(desk.udp(CLIENT, &asks).starts_with("NOERROR aa"), "not known before the next tick");
    desk.pass(1);
    assert!(desk.udp(CLIENT, &asks).starts_with("BADCOOKIE"));
    assert!(desk.tcp(CLIENT, &asks).text().starts_with("NOERROR aa"));
    assert!(desk.udp(CLIENT, &plain().option(10, &good)).starts_with("NOERROR aa"));
    desk.pass(10);
    assert!(desk.udp(CLIENT, &asks).starts_with("BADCOOKIE"), "the second that is over was above the load");
    desk.pass(10);
    assert!(desk.udp(CLIENT, &asks).starts_with("NOERROR aa"));
}

#[test]
fn cookie_alone_is_answered_without_a_question() {
    let mut desk = Desk::new("");
    let alone = |cookie: &[u8]| {
        let mut octets = vec![0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0];
        octets.extend([cookie.len() as u8 + 4, 0, 10, 0, cookie.len() as u8]);
        octets.extend(cookie);
        Query::raw(&octets)
    };
    let reply = desk.udp(CLIENT, &alone(FIRST));
    assert!(reply.starts_with("NOERROR rd\nopt 1232 000a0018"), "{reply}");
    let good = told(&reply);
    assert!(desk.udp(CLIENT, &alone(&good)).starts_with("NOERROR rd\n"), "it is still good");
    assert!(desk.udp("198.51.100.8", &alone(&good)).starts_with("BADCOOKIE rd\n"));
    assert!(desk.tcp("198.51.100.8", &alone(&good)).text().starts_with("BADCOOKIE rd\n"), "RFC 7873 §5.4");
    assert_eq!(desk.udp(CLIENT, &alone(&[7; 9])), "FORMERR rd\nopt 1232\n");
    let mut off = Desk::new("cookies: {enabled: no}");
    assert_eq!(off.udp(CLIENT, &alone(FIRST)), "FORMERR rd\nopt 1232\n");
}

#[test]
fn errors_have_their_cookie_too() {
    let mut desk = Desk::new("");
    let notify = plain().option(10, FIRST).flags(0x2000);
    assert!(desk.udp(CLIENT, &notify).starts_with("NOTIMP\nopt 1232 000a0018"));
    let refused = Query::a("www.example.org").edns(1232).option(10, FIRST);
    let reply = desk.udp(CLIENT, &refused);
    assert!(
        reply.starts_with("REFUSED rd\nopt 1232 000a0018") && reply.ends_with("000f00020014\n"),
        "{reply}"
    );
    assert_eq!(desk.udp(CLIENT, &plain().option(10, FIRST).edns_version(1)), "BADVERS rd\nopt 1232\n");
}

/// How many of so many datagrams are answered: whole, told that they are too many, not at all.
fn tally(desk: &mut Desk, client: &str, query: &Query, count: usize) -> (usize, usize, usize) {
    let mut tally = (0, 0, 0);
    for _ in 0..count {
        match desk.datagram(client, query) {
            None => tally.2 += 1,
            Some(reply) if reply.is_truncated() || reply.text().starts_with("BADCOOKIE") => tally.1 += 1,
            Some(_) => tally.0 += 1,
        }
    }
    tally
}

#[test]
fn rates_hold_for_each_network_and_come_back() {
    let mut desk = Desk::new("rrl: {responses: 10, slip: 0}");
    let query = Query::a("www.example.com");
    assert_eq!(tally(&mut desk, "198.51.100.7", &query, 50), (10, 0, 40));
    assert_eq!(tally(&mut desk, "198.51.100.99", &query, 50), (0, 0, 50), "the same /24");
    assert_eq!(tally(&mut desk, "198.51.101.7", &query, 50), (10, 0, 40));
    assert_eq!(tally(&mut desk, "2001:db8:0:100::1", &query, 50), (10, 0, 40));
    assert_eq!(tally(&mut desk, "2001:db8:0:1ff::1", &query, 50), (0, 0, 50), "the same /56");
    assert_eq!(tally(&mut desk, "2001:db8:0:200::1", &query, 50), (10, 0, 40));
    desk.pass(5);
    assert_eq!(tally(&mut desk, "198.51.100.7", &query, 50), (5, 0, 45));
    assert_eq!(desk.count(Counter::RrlDroppedAnswer), 40 + 50 + 40 + 40 + 50 + 40 + 45);
    for _ in 0..100 {
        desk.pass(1);
        assert_eq!(tally(&mut desk, "198.51.100.7", &query, 1), (1, 0, 0), "exactly its rate");
    }
}

#[test]
fn each_class_has_its_own_rate() {
    let mut desk = Desk::new(
        "edns_udp_size: 4096, rrl: {responses: 5, nodata: 4, nxdomain: 3, errors: 2, large: 1, slip: 0}",
    );
    for (query, expected, counter) in [
        (Query::a("www.example.com"), 5, Counter::RrlDroppedAnswer),
        (Query::new("www.example.com", Rtype::TXT), 4, Counter::RrlDroppedNoData),
        (Query::a("no.example.com"), 3, Counter::RrlDroppedNxDomain),
        (Query::a("www.example.org"), 2, Counter::RrlDroppedError),
        (Query::a("big.example.com").edns(4096), 1, Counter::RrlDroppedLarge),
    ] {
        assert_eq!(tally(&mut desk, CLIENT, &query, 9), (expected, 0, 9 - expected), "{counter:?}");
        assert_eq!(desk.count(counter), 9 - expected as u64);
    }
    // BADVERS has NOERROR's bits in the header, and is an error all the same; truncated answers are answers.
    assert_eq!(tally(&mut desk, CLIENT, &plain().edns_version(1), 9), (0, 0, 9));
    assert_eq!(tally(&mut desk, CLIENT, &Query::a("big.example.com"), 9), (0, 0, 9));
    let mut none = Desk::new("rrl: {responses: 0, nxdomain: 1, slip: 0}");
    assert_eq!(tally(&mut none, CLIENT, &Query::a("www.example.com"), 500), (500, 0, 0));
    assert_eq!(tally(&mut none, CLIENT, &Query::a("no.example.com"), 9), (1, 0, 8));
}

#[test]
fn slipped_reply_is_the_question_and_nothing_that_amplifies() {
    let mut desk = Desk::new("rrl: {responses: 1, slip: 2}, nsid: here");
    for (query, expected) in [
        (Query::a("www.example.com"), "NOERROR aa tc rd\n"),
        (plain(), "NOERROR aa tc rd\nopt 1232\n"),
        (plain().option(3, b""), "NOERROR aa tc rd\nopt 1232 0003000468657265\n"),
        (Query::a("no.example.com").edns(1232), "NXDOMAIN aa tc rd\nopt 1232\n"),
        (Query::new("www.example.com", Rtype::TXT), "NOERROR aa tc rd\n"),
    ] {
        desk.pass(10);
        assert_eq!(tally(&mut desk, CLIENT, &query, 1), (1, 0, 0));
        // Whichever of two it is.
        let two = [desk.udp(CLIENT, &query), desk.udp(CLIENT, &query)];
        assert!(two.contains(&expected.to_owned()) && two.contains(&"nothing".to_owned()), "{two:?}");
    }
    assert_eq!(
        tally(&mut desk, "192.0.2.200", &Query::a("www.example.org"), 9),
        (1, 0, 8),
        "errors do not slip"
    );
    assert_eq!((desk.count(Counter::RrlSlippedAnswer), desk.count(Counter::RrlSlippedError)), (3, 0));
    let mut always = Desk::new("rrl: {responses: 1, slip: 1}");
    assert_eq!(tally(&mut always, CLIENT, &Query::a("www.example.com"), 9), (1, 8, 0));
}

#[test]
fn client_that_speaks_of_cookies_is_slipped_one_and_is_then_exempt() {
    let mut desk = Desk::new("rrl: {responses: 1, slip: 1}");
    let asks = plain().option(10, FIRST);
    assert_eq!(tally(&mut desk, CLIENT, &asks, 1), (1, 0, 0));
    let reply = desk.udp(CLIENT, &asks);
    assert!(reply.starts_with("BADCOOKIE rd\nopt 1232 000a0018"), "{reply}");
    let known = plain().option(10, &told(&reply));
    assert_eq!(tally(&mut desk, CLIENT, &known, 500), (500, 0, 0));
    // An error of its own helps it as well.
    let refused = Query::a("www.example.org").edns(1232).option(10, FIRST);
    assert_eq!(tally(&mut desk, CLIENT, &refused, 3), (1, 2, 0));
    assert_eq!(desk.count(Counter::RrlSlippedError), 2);
}

#[test]
fn exempt_are_listed_networks_connections_and_valid_cookies() {
    let mut desk = Desk::new("rrl: {responses: 1, slip: 0, exempt: [192.0.2.0/24, '2001:db8::/32']}");
    let query = Query::a("www.example.com");
    for client in ["192.0.2.9", "2001:db8:5::1"] {
        assert_eq!(tally(&mut desk, client, &query, 300), (300, 0, 0), "{client}");
    }
    assert_eq!(tally(&mut desk, CLIENT, &query, 9), (1, 0, 8));
    let mut neighbours = Desk::new("rrl: {responses: 1, slip: 0, exempt: 192.0.2.9}");
    assert_eq!(tally(&mut neighbours, "192.0.2.9", &query, 300), (300, 0, 0));
    assert_eq!(
        tally(&mut neighbours, "192.0.2.8", &query, 9),
        (1, 0, 8),
        "the exempt one used up nothing of theirs"
    );
    for _ in 0..300 {
        assert!(desk.tcp(CLIENT, &query).text().starts_with("NOERROR aa"));
    }
    let cookie = desk.cookie(CLIENT);
    assert_eq!(tally(&mut desk, CLIENT, &plain().option(10, &cookie), 300), (300, 0, 0));
    let foreign = desk.cookie("198.51.100.99");
    assert_eq!(tally(&mut desk, CLIENT, &plain().option(10, &foreign), 9), (0, 0, 9), "another client's");
}

#[test]
fn log_only_counts_and_sends_all() {
    let mut desk = Desk::new("rrl: {responses: 1, slip: 2, log_only: yes}");
    for _ in 0..9 {
        assert_eq!(desk.udp(CLIENT, &plain()), format!("NOERROR aa rd\n{ANSWER}opt 1232\n"));
    }
    assert_eq!((desk.count(Counter::RrlDroppedAnswer), desk.count(Counter::RrlSlippedAnswer)), (4, 4));
}

#[test]
fn reload_forgets_no_offender_and_may_switch_rates_on_and_off() {
    let secrets = Secrets { active: OLD, second: None };
    let mut desk = Desk::new("");
    let query = Query::a("www.example.com");
    assert!(buckets_for(&desk.generation.snapshot).is_empty() && desk.generation.buckets.is_empty());
    assert_eq!(tally(&mut desk, CLIENT, &query, 500), (500, 0, 0));
    desk.reload("rrl: {responses: 1, slip: 0}", secrets);
    assert_eq!(tally(&mut desk, CLIENT, &query, 9), (1, 0, 8));
    desk.reload("rrl: {responses: 2, slip: 0}", secrets);
    assert_eq!(tally(&mut desk, CLIENT, &query, 9), (0, 0, 9));
    desk.pass(10);
    assert_eq!(tally(&mut desk, CLIENT, &query, 9), (2, 0, 7));
    desk.reload("", secrets);
    assert_eq!(tally(&mut desk, CLIENT, &query, 500), (500, 0, 0));
}

#[test]
fn reply_is_padded_over_tcp_alone_and_only_for_who_asks() {
    let mut desk = Desk::new("nsid: here");
    for query in [
        plain().option(12, b""),
        plain().option(12, &[0; 50]).option(10, FIRST).option(3, b"").option(11, b""),
        Query::a("big.example.com").edns(512).option(12, b""),
        Query::a("www.example.org").edns(512).option(12, b""),
    ] {
        let reply = desk.tcp(CLIENT, &query);
        assert_eq!(reply.octets.len() % 468, 0, "{}", reply.text());
        let line = reply.text().lines().last().unwrap().to_owned();
        let zeros = line.trim_end_matches('0').len();
        assert!(line[zeros - 1..].len() > 40, "padding is last: {line}");
        let reply = desk.datagram(CLIENT, &query).unwrap();
        assert!(!reply.text().contains("000c"), "{}", reply.text());
    }
    let reply = desk.tcp(CLIENT, &plain());
    assert_eq!(reply.text(), format!("NOERROR aa rd\n{ANSWER}opt 1232\n"));
}
