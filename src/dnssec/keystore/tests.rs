//! The keys' folder: what is refused, what survives, and who waits for whom.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::dnssec::keyset::KeySet;
use crate::dnssec::rollover::adopt::AdoptError;
use crate::dnssec::rollover::{KskStage, ZskStage};

const START: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

fn zone() -> Name {
    Name::from_text("Example.test").unwrap()
}

fn store() -> (tempfile::TempDir, Keystore) {
    let folder = tempfile::tempdir().unwrap();
    let store = Keystore::create(&folder.path().join("keys"), &zone()).unwrap();
    (folder, store)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn files(store: &Keystore) -> Vec<String> {
    let names = fs::read_dir(&store.folder).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_key_comes_back_from_files_that_only_their_owner_may_read() {
    let (_folder, store) = store();
    let made = store.generate(Algorithm::EcdsaP256Sha256, true, &[], Times::used_from(START)).unwrap();
    let stem = format!("Kexample.test.+013+{:05}", made.key.tag());
    assert_eq!(files(&store), [format!("{stem}.key"), format!("{stem}.private")]);
    assert_eq!(mode(&store.folder), 0o700);
    assert_eq!(mode(&store.folder.join(format!("{stem}.private"))), 0o600);
    let listing = store.keys().unwrap();
    assert!(listing.faults.is_empty());
    assert_eq!(listing.keys[0].key.public(), made.key.public());
    assert_eq!(listing.keys[0].times, made.times);
    // Never written over.
    let error = store.write_key(&made.key, &made.times, Naming::New).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    fs::remove_file(store.folder.join(format!("{stem}.key"))).unwrap();
    let error = store.write_key(&made.key, &made.times, Naming::New).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert_eq!(files(&store), [format!("{stem}.private")], "and no litter is left");
}

#[test]
fn keys_that_others_may_read_or_that_are_not_what_they_say_are_refused() {
    let (_folder, store) = store();
    let made = store.generate(Algorithm::Ed25519, true, &[], Times::used_from(START)).unwrap();
    let stem = store.folder.join(format!("Kexample.test.+015+{:05}", made.key.tag()));
    let (private, public) = (
        PathBuf::from(format!("{}.private", stem.display())),
        PathBuf::from(format!("{}.key", stem.display())),
    );
    let fault = || {
        let mut listing = store.keys().unwrap();
        assert!(listing.keys.is_empty());
        listing.faults.pop().unwrap()
    };
    for refused in [0o640, 0o604, 0o660, 0o610, 0o777] {
        set_mode(&private, refused);
        assert!(matches!(fault(), StoreError::FileMode { mode, .. } if mode == refused));
        // And a first state is not made from what is left.
        assert!(matches!(store.advance(None, START, |_| Ok(())), Err(StoreError::FileMode { .. })));
    }
    set_mode(&private, 0o400);
    assert_eq!(store.keys().unwrap().keys.len(), 1);
    set_mode(&private, 0o600);
    let text = fs::read_to_string(&public).unwrap();
    fs::write(&public, text.replace("example.test. IN", "other.test. IN")).unwrap();
    assert!(matches!(fault(), StoreError::KeyFile { error: KeyFileError::Name(_), .. }));
    fs::write(&public, text.replace(" 257 ", " 256 ")).unwrap();
    assert!(matches!(fault(), StoreError::KeyFile { error: KeyFileError::Name(_), .. }));
    fs::write(&public, &text).unwrap();
    fs::rename(&private, store.folder.join("elsewhere")).unwrap();
    assert!(matches!(fault(), StoreError::Io { .. }));
    fs::create_dir(&private).unwrap();
    assert!(matches!(fault(), StoreError::NotAFile { .. }));
    set_mode(&store.folder, 0o702);
    assert!(matches!(Keystore::open(&store.folder, &zone()), Err(StoreError::FolderMode { .. })));
}

#[test]
fn a_state_survives_and_rollovers_make_their_keys() {
    let (_folder, store) = store();
    assert!(matches!(store.advance(None, START, |_| Ok(())), Err(StoreError::Adopt { .. })), "no keys");
    assert_eq!(files(&store), [""; 0], "and none were made");
    store.generate(Algorithm::Ed25519, true, &[], Times::used_from(START)).unwrap();
    store.generate(Algorithm::Ed25519, false, &[], Times::used_from(START)).unwrap();
    let first = store.advance(None, START, |_| Ok(())).unwrap();
    assert_eq!(store.state().unwrap().as_ref(), Some(&first.state));
    let revision = KeySet::new(&first.state, &first.keys).unwrap().revision;
    let serve = |revision: u64| {
        move |state: &mut State| -> Result<(), Refusal> {
            state.served(revision, state.last_seen);
            Ok(())
        }
    };
    store.advance(None, START, serve(revision)).unwrap();
    let later = store.advance(None, START + 2 * DAY, |_| Ok(())).unwrap();
    assert!(matches!(later.changes[..], [(_, Change::KskReady)]));
    // Another look at the same time changes nothing, and a clock that went back writes nothing.
    let again = store.advance(None, START + 2 * DAY, |_| Ok(())).unwrap();
    assert_eq!(again.state, later.state);
    let back = store.advance(None, START, |_| Ok(())).unwrap();
    assert!(matches!(back.faults[..], [Fault::ClockBackwards { .. }]));
    assert_eq!(store.state().unwrap(), Some(later.state));
    let confirm = |state: &mut State| state.ds_published(None, START + 2 * DAY).map(|_| ());
    store.advance(None, START + 2 * DAY, confirm).unwrap();
    let request = |state: &mut State| {
        (state.is_ksk_requested, state.is_zsk_requested) = (true, true);
        Ok(())
    };
    let rolled = store.advance(None, START + 5 * DAY, request).unwrap();
    assert_eq!((rolled.keys.len(), rolled.state.keys.len()), (4, 4));
    assert_eq!(store.keys().unwrap().keys.len(), 4);
    let stages: Vec<(KskStage, ZskStage)> =
        rolled.state.keys.iter().map(|key| (key.ksk_stage(), key.zsk_stage())).collect();
    assert!(stages.contains(&(KskStage::Active, ZskStage::Removed)));
    assert!(stages.contains(&(KskStage::Published, ZskStage::Removed)));
    // What changed stands in the files too, for programs that go by them.
    store.advance(None, START + 5 * DAY, serve(rolled.state.revision)).unwrap();
    let swapped = store.advance(None, START + 6 * DAY, |_| Ok(())).unwrap();
    assert!(swapped.changes.iter().any(|(_, change)| *change == Change::ZskRetired));
    let inactive = store.keys().unwrap().keys.into_iter().filter(|stored| stored.times.inactive.is_some());
    assert_eq!(inactive.count(), 1);
    // A lost file stops everything but is not forgotten. Keys come in the order of their tags, which are random: the one
    // that is lost is chosen by what it does.
    let doing = |stage: ZskStage| {
        let key = swapped.state.keys.iter().find(|key| key.zsk_stage() == stage).unwrap();
        file_of(&store, &key.public)
    };
    let (lost, elsewhere) = (doing(ZskStage::Active), store.folder.join("elsewhere"));
    fs::rename(&lost, &elsewhere).unwrap();
    let without = store.advance(None, START + 60 * DAY, |_| Ok(())).unwrap();
    assert!(matches!(without.faults[..], [Fault::KeyMissing { .. }]) && without.changes.is_empty());
    // One that has signed its last is not waited for.
    fs::rename(&elsewhere, &lost).unwrap();
    fs::remove_file(doing(ZskStage::Retired)).unwrap();
    let without = store.advance(None, START + 60 * DAY, |_| Ok(())).unwrap();
    assert!(without.faults.is_empty(), "{:?}", without.faults);
}

fn file_of(store: &Keystore, public: &PublicKey) -> PathBuf {
    store.folder.join(format!("{}.key", keyfile::file_stem(zone().to_lowercase().as_wire(), public.id())))
}

#[test]
fn the_files_of_a_key_that_goes_on_with_one_half_do_not_call_it_gone() {
    let (_folder, store) = store();
    store.generate(Algorithm::Ed25519, true, &[], Times::used_from(START)).unwrap();
    store.advance(None, START, |_| Ok(())).unwrap();
    let policy = Policy { layout: crate::dnssec::policy::Layout::Split, ..Policy::default() };
    let policy = Policy { algorithm: Algorithm::Ed25519, ..policy };
    for day in 0..20 {
        let now = START + day * DAY;
        let edit = |state: &mut State| {
            state.served(state.revision, state.last_seen);
            state.is_zsk_requested |= day == 1;
            Ok(())
        };
        store.advance(Some(&policy), now, edit).unwrap();
    }
    let state = store.state().unwrap().unwrap();
    assert_eq!(state.keys[0].zsk_stage(), ZskStage::Removed, "{state:#?}");
    assert_eq!(state.keys[1].zsk_stage(), ZskStage::Active);
    for stored in store.keys().unwrap().keys {
        assert_eq!((stored.times.inactive, stored.times.delete), (None, None));
    }
    // Rebuilt from the files, they do the same.
    store.set_state_aside(START).unwrap();
    let rebuilt = store.advance(Some(&policy), START + 20 * DAY, |_| Ok(())).unwrap();
    let set = KeySet::new(&rebuilt.state, &rebuilt.keys).unwrap();
    assert_eq!(set.signers(1)[0].public(), &state.keys[1].public);
    assert_eq!(set.signers(48)[0].public(), &state.keys[0].public);
    // Under a clock that has lost its time they are not used at all.
    store.set_state_aside(START).unwrap();
    let error = store.advance(Some(&policy), 1000, |_| Ok(())).unwrap_err();
    assert!(matches!(error, StoreError::Adopt { error: AdoptError::Clock(_), .. }), "{error}");
}

#[test]
fn a_torn_or_foreign_state_is_an_error_and_stays_as_it_is() {
    let (_folder, store) = store();
    store.generate(Algorithm::Ed25519, true, &[], Times::used_from(START)).unwrap();
    store.advance(None, START, |_| Ok(())).unwrap();
    let path = store.state_path();
    let good = fs::read_to_string(&path).unwrap();
    let newer = good.replace("\"version\": 1", "\"version\": 7");
    for bad in ["", &good[..good.len() / 2], "{\"some\": \"thing\"}", &newer, "\u{0}"] {
        fs::write(&path, bad).unwrap();
        let error = store.advance(None, START, |_| Ok(())).unwrap_err();
        assert!(matches!(error, StoreError::State { .. }) && error.to_string().contains("--rebuild"));
        assert_eq!(fs::read_to_string(&path).unwrap(), bad);
    }
    let aside = store.set_state_aside(START).unwrap();
    assert_eq!(fs::read_to_string(aside).unwrap(), "\u{0}");
    let rebuilt = store.advance(None, START, |_| Ok(())).unwrap();
    assert!(KeySet::new(&rebuilt.state, &rebuilt.keys).is_ok());
}

#[test]
fn whoever_comes_second_waits_and_neither_work_is_lost() {
    let (_folder, store) = store();
    store.generate(Algorithm::Ed25519, true, &[], Times::used_from(START)).unwrap();
    store.advance(None, START, |_| Ok(())).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let edit = |state: &mut State| {
                        state.revision += 1;
                        Ok(())
                    };
                    store.advance(None, START, edit).unwrap();
                }
            });
        }
    });
    assert_eq!(store.state().unwrap().unwrap().revision, START + 20);
}

#[test]
fn zones_may_share_a_folder() {
    let (_folder, store) = store();
    let other = Keystore::open(&store.folder, &Name::from_text("le.test").unwrap()).unwrap();
    store.generate(Algorithm::Ed25519, true, &[], Times::used_from(START)).unwrap();
    other.generate(Algorithm::Ed25519, true, &[], Times::used_from(START)).unwrap();
    assert_eq!((store.keys().unwrap().keys.len(), other.keys().unwrap().keys.len()), (1, 1));
    store.advance(None, START, |_| Ok(())).unwrap();
    assert_eq!(other.state().unwrap(), None);
}
