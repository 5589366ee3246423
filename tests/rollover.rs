//! Rollovers of keys from their first day to their last, with a validating Unbound in front whose caches age by the same clock,
//! and a parent zone that takes over what the child's CDS records say (RFC 7344).
//!
//! `ROLLOVER_STEP_SECS` is how far the clock goes between two rounds of questions (2,400: less than any wait of a rollover).
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::path::Path;
use std::process::Command;

use steerd::wire::message::Rtype;
use steerd::wire::name::Name;

mod common;

use common::clock::FakeClock;
use common::resolver::{FLAG_AD, ask_all};
use common::unbound::start_unbound_as;
use common::{Process, Server, config, run_tool, steerd, tool, wait_until};

const CHILD: &str = "t.p.example";
const HOUR: u64 = 3600;

/// The parent zone with these DS records of the child.
fn parent(ds: &[String]) -> String {
    let ds: String = ds.iter().map(|data| format!("t 86400 IN DS {data}\n")).collect();
    format!("$TTL 3600\n@ SOA ns hostmaster 1 7200 900 1209600 300\n@ NS ns\nns A 127.0.0.1\nt NS ns\n{ds}")
}

/// A child and its parent on one server, a resolver that trusts the parent, and the clock of all of them.
struct World {
    clock: FakeClock,
    server: Server,
    resolver: Option<(Process, std::net::SocketAddr)>,
    folder: tempfile::TempDir,
    step_secs: u64,
    /// What the parent has.
    ds: Vec<String>,
    asked: usize,
    steps: usize,
}

impl World {
    fn start(child_dnssec: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let clock = FakeClock::new(folder.path());
        let at = folder.path().display();
        std::fs::write(folder.path().join("p.zone"), parent(&[])).unwrap();
        std::fs::write(
            folder.path().join("t.zone"),
            "$TTL 300\n@ SOA ns.p.example. hostmaster 1 7200 900 1209600 300\n@ NS ns.p.example.\nstatic A 192.0.2.9\n",
        )
        .unwrap();
        let text = config(
            &format!("workers: 1, state_dir: {at}/state"),
            &format!(
                "globalnames:\n  www.{CHILD}: {{pool: web, ttl: 300}}\npools:\n  web: {{lb_method: wrr, max_addrs_returned: 2, \
                 members: [192.0.2.1, 192.0.2.2, 192.0.2.3], monitor: forced, monitor_params: {{status: up}}}}\nzones:\n  \
                 p.example: {{file: {at}/p.zone, dnssec: {{}}}}\n  {CHILD}: {{file: {at}/t.zone, dnssec: {child_dnssec}}}\n"
            ),
        );
        let server = Server::start_as(clock.give(steerd()), &text, |_| Vec::new());
        let step_secs =
            std::env::var("ROLLOVER_STEP_SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(2400);
        World { clock, server, resolver: None, folder, step_secs, ds: Vec::new(), asked: 0, steps: 0 }
    }

    /// Runs `steerd dnssec` for the child's keys.
    fn dnssec(&self, arguments: &[&str]) -> String {
        let keys = self.folder.path().join("state/keys").join(CHILD);
        let mut command = self.clock.give(steerd());
        command.arg("dnssec").args(arguments).arg("--dir").arg(keys);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn status(&self) -> String {
        self.dnssec(&["status", CHILD])
    }

    fn dig(&self, name: &str, rtype: &str) -> Vec<String> {
        let server = self.server.dns();
        let (at, port) = (format!("@{}", server.ip()), server.port().to_string());
        let text = run_tool("dig", &[&at, "-p", &port, "+norecurse", "+short", "+time=10", name, rtype]);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Puts the clock forward and waits until the server has done what is due by then.
    fn forward(&mut self, secs: u64) {
        self.clock.forward(secs);
        let mut date = self.clock.give(Command::new("date"));
        let now = date.args(["-u", "+%F %T UTC"]).output().unwrap().stdout;
        let now = String::from_utf8(now).unwrap();
        wait_until("what is due to be done", || {
            let status = self.status();
            let next = status.split_once("next:\n").unwrap().1;
            let is_due = |line: &str| line.trim().starts_with("at the next look") || line.trim() < now.trim();
            !next
                .lines()
                .filter(|line| {
                    line.trim().starts_with(|c: char| c.is_ascii_digit() && line.contains(" UTC  "))
                        || line.contains("at the next look")
                })
                .any(is_due)
        });
    }

    /// As a parent that looks at CDS records: has what they say as DS, and says so where that is waited for.
    fn follow_cds(&mut self) {
        let cds = self.dig(CHILD, "CDS");
        if !cds.is_empty() && cds != self.ds {
            self.ds = cds;
            let file = self.folder.path().join("p.zone");
            let new = file.with_extension("new");
            std::fs::write(&new, parent(&self.ds)).unwrap();
            std::fs::rename(new, file).unwrap();
            wait_until("the parent to have it", || self.dig(CHILD, "DS") == self.ds);
        }
        if self.status().contains("`--ds-published`") {
            self.dnssec(&["rollover", CHILD, "--ds-published"]);
        }
    }

    /// Asks the resolver; everything must be validated.
    fn check(&mut self) {
        let Some((_, resolver)) = &self.resolver else { return };
        let name = |label: &str| Name::from_text(&format!("{label}{CHILD}")).unwrap();
        let missing = format!("no{}.", self.steps);
        let questions = [
            (name("www."), Rtype::A),
            (name("static."), Rtype::A),
            (name("static."), Rtype::TXT),
            (name(&missing), Rtype::A),
            (name(""), Rtype::SOA),
            (name(""), Rtype::DNSKEY),
        ];
        for (flags, question) in ask_all(*resolver, &questions).into_iter().zip(&questions) {
            assert!(
                matches!(flags & 0xF, 0 | 3) && flags & FLAG_AD != 0,
                "{question:?} in step {}: {flags:04x}\n{}",
                self.steps,
                self.status()
            );
            self.asked += 1;
        }
    }

    /// Steps until nothing is waited for, at most for this long; returns how long it took.
    fn step_until_done(&mut self, most_secs: u64) -> u64 {
        let mut secs = 0;
        loop {
            self.check();
            self.follow_cds();
            self.check();
            if self.status().contains("  nothing:") {
                return secs;
            }
            assert!(secs < most_secs, "not done after {secs} s\n{}", self.status());
            self.forward(self.step_secs);
            self.steps += 1;
            secs += self.step_secs;
        }
    }

    fn start_resolver(&mut self, folder: &Path) {
        let keys = self.dig("p.example", "DNSKEY");
        let anchor = keys.iter().find(|key| key.starts_with("257 ")).unwrap();
        let settings = format!(
            "  module-config: \"validator iterator\"\n  val-log-level: 2\n  trust-anchor: \"p.example. DNSKEY {anchor}\""
        );
        let command = || self.clock.give(tool("unbound"));
        let started = start_unbound_as(command, self.server.dns(), folder, &settings, &["p.example", CHILD]);
        self.resolver = Some(started);
    }

    fn key_tags(&self) -> Vec<String> {
        let status = self.status();
        let lines = status.lines().filter(|line| line.starts_with("key "));
        lines.filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect()
    }
}

#[test]
fn keys_are_rolled_from_the_first_day_to_the_last_and_every_answer_is_validated() {
    let mut world = World::start("{split_keys: on}");
    // Until caches have forgotten the unsigned zone, its DS is not wanted.
    let secs = world.step_until_done(80 * HOUR);
    assert_eq!(world.ds.len(), 1, "no DS after {secs} s");
    let folder = tempfile::tempdir().unwrap();
    world.start_resolver(folder.path());
    world.check();
    let at_first = world.dig(CHILD, "DNSKEY");
    let ds_at_first = world.ds.clone();

    world.dnssec(&["rollover", CHILD, "--zsk"]);
    wait_until("the new key to be published", || world.dig(CHILD, "DNSKEY").len() == 3);
    let zsk_secs = world.step_until_done(40 * HOUR);
    let after_zsk = world.dig(CHILD, "DNSKEY");
    assert_eq!(after_zsk.len(), 2, "{}", world.status());
    assert_eq!(
        after_zsk.iter().filter(|key| at_first.contains(key)).count(),
        1,
        "the ZSK is a new one, the KSK is not"
    );
    assert_eq!(world.ds, ds_at_first);

    world.dnssec(&["rollover", CHILD, "--ksk"]);
    wait_until("the new key to be published", || world.dig(CHILD, "DNSKEY").len() == 3);
    let ksk_secs = world.step_until_done(120 * HOUR);
    let after_ksk = world.dig(CHILD, "DNSKEY");
    assert_eq!(after_ksk.len(), 2, "{}", world.status());
    assert!(world.ds.len() == 1 && world.ds != ds_at_first, "{:?}", world.ds);
    let (zsk_hours, ksk_hours) = (zsk_secs / HOUR, ksk_secs / HOUR);
    eprintln!(
        "{} answers validated in {} steps of {} s: ZSK rolled in {zsk_hours} h, KSK in {ksk_hours} h; keys now {:?}",
        world.asked,
        world.steps,
        world.step_secs,
        world.key_tags()
    );
}

#[test]
fn key_that_does_everything_is_rolled_with_its_ds() {
    let mut world = World::start("{algorithm: 15}");
    world.step_until_done(80 * HOUR);
    let folder = tempfile::tempdir().unwrap();
    world.start_resolver(folder.path());
    let (at_first, ds_at_first) = (world.dig(CHILD, "DNSKEY"), world.ds.clone());
    world.dnssec(&["rollover", CHILD, "--ksk"]);
    wait_until("the new key to be published", || world.dig(CHILD, "DNSKEY").len() == 2);
    let secs = world.step_until_done(120 * HOUR);
    let after = world.dig(CHILD, "DNSKEY");
    assert!(after.len() == 1 && after != at_first, "{}", world.status());
    assert!(world.ds.len() == 1 && world.ds != ds_at_first, "{:?}", world.ds);
    eprintln!("{} answers validated, a key of algorithm 15 rolled in {} h", world.asked, secs / HOUR);
}
