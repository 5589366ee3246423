//! A signer without a server around it: keys, files and time as a server would meet them.

use std::fs;

use super::*;
use crate::config::load_str;

const START: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

/// A folder with a configuration in it, and what a server would do with it.
struct World {
    folder: tempfile::TempDir,
    config: Config,
    signer: Signer,
    generation: u64,
}

impl World {
    fn new(dnssec: &str) -> World {
        World::in_folder(tempfile::tempdir().unwrap(), dnssec)
    }

    fn in_folder(folder: tempfile::TempDir, dnssec: &str) -> World {
        let text = format!(
            "server: {{state_dir: {}}}\nglobalnames: {{www.example.test: p}}\nzones: {{example.test: {{ns: a., dnssec: \
             {dnssec}}}}}\npools: {{p: {{lb_method: wrr, members: [192.0.2.1, 192.0.2.2], monitor: forced, \
             monitor_params: {{status: up}}}}}}\n",
            folder.path().display()
        );
        let config = load_str("a.yaml", &text).unwrap_or_else(|report| panic!("{report}")).config;
        World { folder, config, signer: Signer::new(2), generation: 1 }
    }

    /// A server that has started anew over the same state.
    fn restarted(self, dnssec: &str) -> World {
        World::in_folder(self.folder, dnssec)
    }

    /// Compiles and serves; the names of what is not served.
    fn pass(&mut self, now: u64) -> Vec<String> {
        self.generation += 1;
        let (snapshot, signing, unsigned) = self.signer.compile(&self.config, self.generation, now);
        assert_eq!(snapshot.zones[0].is_loaded, unsigned.is_empty());
        self.signer.served(&self.config, signing, true, now);
        unsigned.iter().map(ToString::to_string).collect()
    }

    fn is_due(&mut self, now: u64) -> bool {
        self.signer.is_due(&self.config, true, now)
    }

    fn zone(&self) -> &SignedZone {
        self.signer.zones.values().next().unwrap()
    }

    fn keys_folder(&self) -> PathBuf {
        self.folder.path().join("keys/example.test")
    }

    fn keystore(&self) -> Keystore {
        Keystore::open(&self.keys_folder(), &Name::from_text("example.test").unwrap()).unwrap()
    }
}

#[test]
fn passes_come_when_due_make_something_and_are_not_repeated() {
    let mut world = World::new("{}");
    assert!(world.pass(START).is_empty());
    assert!(world.zone().made > 4);
    for now in [START, START + 1, START + DAY, START + 4 * DAY, START + 4 * DAY] {
        // Keys are looked at on the way, which alone is no reason for a pass; where they have gone on, it is.
        if world.is_due(now) {
            assert!(world.zone().is_stale);
            assert!(world.pass(now).is_empty());
        }
    }
    assert!(!world.is_due(START + 4 * DAY));
    let due = world.zone().next_due;
    assert!(due > START + 5 * DAY && !world.is_due(due - 1));
    let made = world.zone().made;
    assert!(world.is_due(due));
    world.pass(due);
    assert!(world.zone().made > made && !world.is_due(due));
}

#[test]
fn what_the_command_line_does_during_a_pass_is_seen_at_once() {
    let mut world = World::new("{split_keys: on}");
    let (_, signing, _) = world.signer.compile(&world.config, 2, START);
    let request = |state: &mut crate::dnssec::rollover::State| {
        state.is_zsk_requested = true;
        Ok(())
    };
    world.keystore().advance(None, START, request).unwrap();
    world.signer.served(&world.config, signing, true, START);
    assert!(world.is_due(START), "the new key waits to be published");
    world.pass(START);
    assert_eq!(world.zone().served.as_ref().unwrap().dnskey.len(), 3);
    assert!(!world.is_due(START + 1));
    // And after one.
    world
        .keystore()
        .advance(None, START + 2, |state| state.abandon(tag_of_new(state), START + 2).map(drop))
        .unwrap();
    assert!(world.is_due(START + 2));
}

fn tag_of_new(state: &crate::dnssec::rollover::State) -> u16 {
    use crate::dnssec::rollover::ZskStage;
    state.keys.iter().find(|key| key.zsk_stage() == ZskStage::Published).unwrap().public.tag()
}

#[test]
fn keys_out_of_reach_are_tried_again_without_a_pass_and_noted_when_they_are_back() {
    let mut world = World::new("{}");
    let (_, signing, _) = world.signer.compile(&world.config, 2, START);
    let (keys, elsewhere) = (world.keys_folder(), world.folder.path().join("elsewhere"));
    fs::rename(&keys, &elsewhere).unwrap();
    world.signer.served(&world.config, signing, true, START);
    assert!(world.zone().is_unnoted);
    for later in [1, 30, 61, 200] {
        assert!(!world.is_due(START + later));
    }
    fs::rename(&elsewhere, &keys).unwrap();
    assert!(!world.is_due(START + 300) && !world.zone().is_unnoted);
    let state = world.keystore().state().unwrap().unwrap();
    assert_eq!(state.keys[0].ksk.unwrap().served, Some(START + 300));
}

#[test]
fn waits_of_keys_do_not_begin_before_the_last_worker_has_come_along() {
    let mut world = World::new("{}");
    let (_, signing, _) = world.signer.compile(&world.config, 2, START);
    world.signer.served(&world.config, signing, false, START);
    let served = |world: &World| world.keystore().state().unwrap().unwrap().keys[0].ksk.unwrap().served;
    for later in [0, 60, 600] {
        assert!(!world.signer.is_due(&world.config, false, START + later));
        assert_eq!(served(&world), None);
    }
    assert!(!world.is_due(START + 601));
    assert_eq!(served(&world), Some(START + 601));
}

#[test]
fn failed_pass_keeps_signatures_and_is_tried_again_but_not_by_the_second() {
    let mut world = World::new("{}");
    world.pass(START);
    let due = world.zone().next_due;
    let held = world.zone().signatures.len();
    let mut tries = Vec::new();
    for now in due..due + 3600 {
        if world.is_due(now) {
            tries.push(now - due);
            let (_, signing, _) = world.signer.compile(&world.config, 2, now);
            world.signer.not_served(signing, now);
        }
    }
    assert_eq!(tries[..6], [0, 60, 180, 420, 720, 1020]);
    assert!(world.zone().signatures.len() >= held);
    // What the failed ones have made is there: nothing is signed again.
    let made = world.zone().made;
    world.pass(due + 3600);
    assert_eq!(world.zone().made, made);
}

#[test]
fn zone_whose_signatures_end_is_withheld_in_that_second_and_comes_back() {
    let mut world = World::new("{}");
    world.pass(START);
    // A clock that is behind: nothing new may be signed, and what there is goes on for as long as it holds.
    world.keystore().advance(None, START + 90 * DAY, |_| Ok(())).unwrap();
    let end = world.zone().first_end;
    let mut tried = START;
    for now in (START + DAY..end - 1000).step_by(600).chain(end - 1000..=end) {
        if world.is_due(now) {
            tried = now;
            let (_, signing, unsigned) = world.signer.compile(&world.config, 2, now);
            if unsigned.is_empty() {
                world.signer.served(&world.config, signing, true, now);
            } else if world.signer.holds(&unsigned[0], now) {
                world.signer.not_served(signing, now);
            } else {
                assert_eq!(now, end);
                world.signer.served(&world.config, signing, true, now);
            }
        }
    }
    assert_eq!(tried, end);
    assert!(!world.signer.withheld.is_empty());
    assert_eq!(world.signer.figures()[0].first_end, 0);
    // The clock is right again: the zone is back within minutes, with the keys it had.
    let now = START + 90 * DAY;
    assert!(world.is_due(now));
    assert!(world.pass(now).is_empty());
    assert_eq!(world.signer.figures()[0].keys_made, 1);
}

#[test]
fn zone_that_had_keys_is_never_given_new_ones_even_after_it_was_withheld() {
    let mut world = World::new("{}");
    world.pass(START);
    let (keys, elsewhere) = (world.keys_folder(), world.folder.path().join("elsewhere"));
    fs::rename(&keys, &elsewhere).unwrap();
    world.signer.zones.clear();
    let mut now = START;
    for _ in 0..5 {
        assert_eq!(world.pass(now), ["example.test."]);
        assert!(!keys.exists() && !world.is_due(now));
        now += MAX_RETRY_SECS;
        assert!(!world.is_due(now), "a pass that would come to nothing");
    }
    fs::rename(&elsewhere, &keys).unwrap();
    now += MAX_RETRY_SECS;
    assert!(world.is_due(now));
    assert!(world.pass(now).is_empty());
    assert_eq!(world.signer.figures()[0].keys_made, 1);
}

#[test]
fn with_generate_keys_off_an_empty_state_directory_is_no_reason_for_new_keys() {
    let mut world = World::new("{generate_keys: off, split_keys: on}");
    assert_eq!(world.pass(START), ["example.test."]);
    assert!(!world.keys_folder().exists());
    assert_eq!((world.signer.figures()[0].keys_made, world.signer.figures()[0].first_end), (0, 0));
    // A folder that was made and nothing put into it.
    fs::create_dir_all(world.keys_folder()).unwrap();
    assert_eq!(world.pass(START), ["example.test."]);
    // With keys in it all is well, in the process that had none too.
    let mut other = World::new("{split_keys: on}");
    other.pass(START);
    fs::remove_dir(world.keys_folder()).unwrap();
    fs::rename(other.keys_folder(), world.keys_folder()).unwrap();
    assert!(world.is_due(START + MAX_RETRY_SECS));
    assert!(world.pass(START + MAX_RETRY_SECS).is_empty());
    // A rollover makes its successor all the same.
    let request = |state: &mut crate::dnssec::rollover::State| {
        state.is_zsk_requested = true;
        Ok(())
    };
    world.keystore().advance(None, START + MAX_RETRY_SECS, request).unwrap();
    assert!(world.is_due(START + MAX_RETRY_SECS));
    world.pass(START + MAX_RETRY_SECS);
    assert_eq!(world.zone().served.as_ref().unwrap().dnskey.len(), 3);
}

#[test]
fn restart_signs_nothing_that_still_holds_and_what_is_on_disk_is_not_believed_blindly() {
    let mut world = World::new("{}");
    world.pass(START);
    let made = world.zone().made;
    world.signer.keep(&world.config, false, START);
    let file = world.folder.path().join("signatures/example.test.sigs");
    let good = fs::read(&file).unwrap();
    // Not by the second, but at the end whatever there is.
    world.signer.zones.values_mut().for_each(|zone| zone.unkept_since = Some(START));
    fs::remove_file(&file).unwrap();
    world.signer.keep(&world.config, false, START + KEEP_SECS - 1);
    assert!(!file.exists());
    world.signer.keep(&world.config, true, START + KEEP_SECS - 1);
    assert!(file.exists());

    let mut world = world.restarted("{}");
    world.pass(START + DAY);
    assert_eq!(world.zone().made, 0);
    // Of what is there only what holds is used.
    let mut world = world.restarted("{}");
    world.pass(START + 20 * DAY);
    assert!(world.zone().made >= made);
    // What is torn or foreign is made anew.
    let mut world = world.restarted("{}");
    for bad in [&good[..good.len() / 2], b"nonsense", b""] {
        fs::write(&file, bad).unwrap();
        world = world.restarted("{}");
        assert!(world.pass(START + 20 * DAY).is_empty());
        assert!(world.zone().made > 0);
        world.signer.keep(&world.config, false, START + 20 * DAY);
        assert!(fs::read(&file).unwrap().len() >= good.len());
    }
}
