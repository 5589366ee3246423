//! Keys and rollovers in words: what `steerd dnssec` prints about a state.

use crate::dnssec::key::{Digest, KeyId, PublicKey};
use crate::dnssec::keystore::Advance;
use crate::dnssec::rollover::json::{ksk_word, zsk_word};
use crate::dnssec::rollover::{Change, KeyState, KskStage, Pending, State, When, ZskStage, pending};
use crate::dnssec::timestamp::readable;
use crate::wire::name::Name;

/// One DS record as parents take it.
pub(super) fn ds_line(zone: &Name, key: &PublicKey, digest: Digest) -> String {
    format!("{}\n", key.ds_text(zone, digest))
}

/// The state for people: each key with what it does, then what is to come.
pub(super) fn describe(zone: &Name, state: &State) -> String {
    let mut text = format!("{zone} last looked at {}\n", readable(state.last_seen));
    for key in &state.keys {
        text += &format!("key {}: {}, since {}\n", key.id(), key.role(), readable(key.created));
        let served = |served: Option<u64>| match served {
            Some(time) => format!("served since {}", readable(time)),
            None => "not served yet".to_owned(),
        };
        if let Some(track) = key.zsk {
            let (word, since) = (zsk_word(track.stage), readable(track.decided));
            text += &format!(
                "  zone: {word} since {since}; {}; {}\n",
                zsk_meaning(track.stage),
                served(track.served)
            );
        }
        if let Some(track) = key.ksk {
            let (word, since) = (ksk_word(track.stage), readable(track.decided));
            text += &format!(
                "  keys: {word} since {since}; {}; {}\n",
                ksk_meaning(track.stage),
                served(track.served)
            );
            for &digest in state.policy.digests.iter().filter(|_| track.stage == KskStage::Ready) {
                text += &format!("  to be put at the parent: {}", ds_line(zone, &key.public, digest));
            }
        }
    }
    text += "next:\n";
    let coming = pending(state, &state.policy);
    for line in coming.iter().map(|pending| foretell(state, pending)) {
        text += &format!("  {line}\n");
    }
    if coming.is_empty() {
        text += "  nothing: keys have no end, and no rollover was asked for\n";
    }
    text
}

fn zsk_meaning(stage: ZskStage) -> &'static str {
    match stage {
        ZskStage::Published => "in the DNSKEY RRset, signs nothing yet",
        ZskStage::Active => "signs the zone",
        ZskStage::Retired => "in the DNSKEY RRset for the signatures in caches",
        ZskStage::Removed => "not used",
    }
}

fn ksk_meaning(stage: KskStage) -> &'static str {
    match stage {
        KskStage::Published => "signs the keys, its DS is not wanted yet",
        KskStage::Ready => "signs the keys, its DS is wanted at the parent",
        KskStage::Submitted => "signs the keys, its DS is at the parent",
        KskStage::Active => "signs the keys, every cache knows its DS",
        KskStage::Retired => "still in the DNSKEY RRset; its DS may go from the parent now",
        KskStage::Removed => "not used; its DS may go from the parent",
    }
}

fn change_text(change: Change) -> String {
    match change {
        Change::Generate(role) => format!("a new {role} is made"),
        Change::ZskActive => "it signs the zone".to_owned(),
        Change::ZskRetired => "it signs the zone no longer".to_owned(),
        Change::ZskRemoved => "it leaves the DNSKEY RRset as a ZSK".to_owned(),
        Change::KskReady => "its DS is wanted at the parent".to_owned(),
        Change::KskActive => "every cache knows its DS, and a former KSK retires".to_owned(),
        Change::KskRetired => "its DS may go from the parent".to_owned(),
        Change::KskRemoved => "it leaves the DNSKEY RRset as a KSK".to_owned(),
    }
}

fn foretell(state: &State, pending: &Pending) -> String {
    let what = change_text(pending.change);
    let key = pending.key.map_or_else(String::new, |key| format!("key {key}: "));
    match pending.when {
        When::At(at) if at <= state.last_seen => format!("at the next look  {key}{what}"),
        When::At(at) => format!("{}  {key}{what}", readable(at)),
        When::AfterServed(secs) => format!("{} after the server begins to serve it  {key}{what}", span(secs)),
        When::AfterConfirmation(secs) => {
            let wait = span(secs);
            format!("{wait} after `--ds-published` has said that its DS is at the parent  {key}{what}")
        }
    }
}

/// A span for people: days, hours and minutes, those that are not zero.
fn span(secs: u64) -> String {
    let parts = [(secs / 86_400, "d"), (secs / 3600 % 24, "h"), (secs / 60 % 60, "min"), (secs % 60, "s")];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let text: Vec<String> = parts.map(|(count, unit)| format!("{count} {unit}")).collect();
    if text.is_empty() { "at once".to_owned() } else { text.join(" ") }
}

/// What a rollover's step has changed, and the state after it.
pub(super) fn report(text: &mut String, zone: &Name, advance: &Advance) {
    let line = |(key, change): &(KeyId, Change)| format!("changed: key {key}: {}\n", change_text(*change));
    *text += &advance.changes.iter().map(line).collect::<String>();
    let state = &advance.state;
    let is_waiting = |key: &KeyState| !matches!(key.ksk_stage(), KskStage::Active | KskStage::Removed);
    if (state.is_ksk_requested || state.is_zsk_requested) && state.keys.iter().any(is_waiting) {
        *text += "the rollover begins when the one under way has ended\n";
    }
    *text += &describe(zone, state);
}
