//! `steerd dnssec`: keys, DS records, and what the rollovers of a zone are doing.
//!
//! Works on the folder of the keys alone, with or without a server running: whoever changes something holds the folder's
//! lock, and a running server goes by what it finds.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};

use crate::dnssec::key::{Algorithm, Digest, PublicKey};
use crate::dnssec::keyfile::{Times, algorithm_number, file_stem};
use crate::dnssec::keystore::{Keystore, Listing, read_public};
use crate::dnssec::rollover::{Fault, KskStage, Refusal, Role, State, step};
use crate::wire::name::Name;

/// A state in words.
mod describe;

use describe::{describe, ds_line, report};

/// What can be done with keys.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Make a key: a combined one, or with --ksk or --zsk one of two
    #[command(
        after_help = "Writes BIND's two files, the private one readable by its owner alone, and prints their name.\n\nExamples:\n  steerd dnssec keygen example.com --dir /var/lib/steerd/keys\n  steerd dnssec keygen example.com --algorithm 15 --ksk && steerd dnssec keygen example.com --algorithm 15 --zsk"
    )]
    Keygen {
        /// Zone
        #[arg(value_parser = zone)]
        zone: Name,
        /// 13 (ECDSAP256SHA256) or 15 (ED25519)
        #[arg(long, default_value = "13", value_parser = algorithm, value_name = "ALGORITHM")]
        algorithm: Algorithm,
        /// A key that signs keys only; its DS goes to the parent
        #[arg(long, conflicts_with = "zsk")]
        ksk: bool,
        /// A key that signs the zone only
        #[arg(long)]
        zsk: bool,
        #[command(flatten)]
        folder: Folder,
    },
    /// Print the DS records for the parent
    #[command(
        after_help = "Of a zone: of every key whose DS the parent should have. Of a file: of that key.\n\nExamples:\n  steerd dnssec ds example.com --dir /var/lib/steerd/keys\n  steerd dnssec ds Kexample.com.+013+10418.key"
    )]
    Ds {
        /// Zone, or the .key file of a key
        #[arg(value_name = "ZONE|KEYFILE")]
        of: String,
        /// 2 (SHA-256) or 4 (SHA-384)
        #[arg(long, default_value = "2", value_parser = digest, value_name = "DIGEST")]
        digest: Digest,
        #[command(flatten)]
        folder: Folder,
    },
    /// Show the keys of a zone, what each one does, and what happens next
    #[command(
        after_help = "Exit code 1 when a key is missing or a file cannot be used.\n\nExample:\n  steerd dnssec status example.com --dir /var/lib/steerd/keys"
    )]
    Status {
        /// Zone
        #[arg(value_parser = zone)]
        zone: Name,
        #[command(flatten)]
        folder: Folder,
    },
    /// Begin or continue a rollover
    #[command(
        after_help = "A ZSK is rolled without further help. A KSK or combined key needs a person: when `status` says that its DS is wanted,\nput the DS beside the old one at the parent, then say so with --ds-published.\n\nExamples:\n  steerd dnssec rollover example.com --zsk --dir /var/lib/steerd/keys\n  steerd dnssec rollover example.com --ksk --dir /var/lib/steerd/keys\n  steerd dnssec rollover example.com --ds-published --dir /var/lib/steerd/keys"
    )]
    Rollover(Rollover),
}

/// Where the keys are.
#[derive(Args)]
pub(super) struct Folder {
    /// Folder of the keys
    #[arg(long, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
}

/// One thing to do about a rollover.
#[derive(Args)]
pub(super) struct Rollover {
    /// Zone
    #[arg(value_parser = zone)]
    zone: Name,
    #[command(flatten)]
    what: What,
    /// The key that is meant, by its tag, where several wait
    #[arg(long, requires = "ds_published", value_name = "TAG")]
    key: Option<u16>,
    #[command(flatten)]
    folder: Folder,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Roll the KSK, or the combined key
    #[arg(long)]
    ksk: bool,
    /// Roll the ZSK, or the combined key
    #[arg(long)]
    zsk: bool,
    /// The DS of the new key is at the parent
    #[arg(long)]
    ds_published: bool,
    /// Give up a new key that nothing depends on yet
    #[arg(long, value_name = "TAG")]
    abandon: Option<u16>,
    /// The clock was wrong before and is right now: waits begin anew
    #[arg(long)]
    accept_clock: bool,
    /// The state is lost or unreadable: keep it aside and begin anew from the key files
    #[arg(long)]
    rebuild: bool,
}

fn zone(text: &str) -> Result<Name, String> {
    Name::from_text(text).map(|name| name.to_lowercase()).map_err(|error| error.to_string())
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    let found = algorithm_number(text).and_then(Algorithm::from_number);
    found.ok_or_else(|| "13 (ECDSAP256SHA256) and 15 (ED25519) are possible".to_owned())
}

fn digest(text: &str) -> Result<Digest, String> {
    match text {
        "2" => Ok(Digest::Sha256),
        "4" => Ok(Digest::Sha384),
        _ => Err("2 (SHA-256) and 4 (SHA-384) are possible".to_owned()),
    }
}

/// Seconds since 1970; a clock before that is one that went back.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Runs one of them; the error is what is printed.
pub(super) fn run(verb: Verb) -> Result<(), String> {
    let text = match verb {
        Verb::Keygen { zone, algorithm, ksk, zsk, folder } => {
            let role = match (ksk, zsk) {
                (true, _) => Role::Ksk,
                (_, true) => Role::Zsk,
                _ => Role::Combined,
            };
            keygen(&folder.dir, &zone, algorithm, role)
        }
        Verb::Ds { of, digest, folder } => ds(&folder.dir, &of, digest),
        Verb::Status { zone, folder } => return status(&folder.dir, &zone),
        Verb::Rollover(rollover) => roll(&rollover),
    }?;
    print(&text);
    Ok(())
}

/// A closed pipe is the reader's choice.
fn print(text: &str) {
    let _ = write!(io::stdout(), "{text}");
}

/// Beside what a program may read from standard output.
fn remark(text: &str) {
    let _ = writeln!(io::stderr(), "steerd: {text}");
}

fn keygen(folder: &Path, zone: &Name, algorithm: Algorithm, role: Role) -> Result<String, String> {
    let store = Keystore::create(folder, zone).map_err(|error| error.to_string())?;
    let state = store.state().ok().flatten();
    let taken: Vec<u16> = state.iter().flat_map(|state| &state.keys).map(|key| key.public.tag()).collect();
    let stored = store
        .generate(algorithm, role.is_ksk(), &taken, Times::used_from(now()))
        .map_err(|error| error.to_string())?;
    if state.is_some() {
        remark(&format!(
            "{zone} has keys already, and this one will not be used: `steerd dnssec rollover` makes its own"
        ));
    }
    Ok(format!("{}\n", file_stem(zone.as_wire(), stored.key.public().id())))
}

fn ds(folder: &Path, of: &str, digest: Digest) -> Result<String, String> {
    let stem = [".private", ".key"].iter().find_map(|end| of.strip_suffix(end));
    if let Some(stem) = stem {
        let file = PathBuf::from(format!("{stem}.key"));
        let (zone, public) = read_public(&file).map_err(|error| error.to_string())?;
        if !public.is_ksk() {
            return Err(format!("{}: flags 256, a ZSK; the parent is given the KSK's DS", file.display()));
        }
        return Ok(ds_line(&zone.to_lowercase(), &public, digest));
    }
    let zone = zone(of).map_err(|error| format!("{of}: {error}"))?;
    let store = Keystore::open(folder, &zone).map_err(|error| error.to_string())?;
    let state = store.state().map_err(|error| error.to_string())?;
    let mut lines = String::new();
    if let Some(state) = state {
        for key in &state.keys {
            match key.ksk_stage() {
                KskStage::Ready | KskStage::Submitted | KskStage::Active => {
                    lines += &ds_line(&zone, &key.public, digest);
                }
                KskStage::Published => {
                    remark(&format!(
                        "key {} is not known everywhere yet: its DS comes later (see status)",
                        key.id()
                    ));
                }
                KskStage::Retired | KskStage::Removed => {}
            }
        }
        if lines.is_empty() {
            return Err(format!("{zone} wants no DS at its parent yet (see `steerd dnssec status {zone}`)"));
        }
        return Ok(lines);
    }
    let listing = store.keys().map_err(|error| error.to_string())?;
    if let Some(fault) = listing.faults.first() {
        return Err(fault.to_string());
    }
    let now = now();
    let is_over =
        |times: &Times| [times.inactive, times.delete].into_iter().flatten().any(|time| time <= now);
    for stored in listing.keys.iter().filter(|stored| !is_over(&stored.times)) {
        if stored.key.public().is_ksk() {
            lines += &ds_line(&zone, stored.key.public(), digest);
        }
    }
    if lines.is_empty() {
        return Err(format!("{}: no KSK or combined key of {zone}", folder.display()));
    }
    Ok(lines)
}

/// Shows everything, then fails if something is wrong.
fn status(folder: &Path, zone: &Name) -> Result<(), String> {
    let store = Keystore::open(folder, zone).map_err(|error| error.to_string())?;
    let listing = store.keys().map_err(|error| error.to_string())?;
    let state = store.state().map_err(|error| error.to_string())?;
    let mut wrong: Vec<String> = Vec::new();
    match &state {
        Some(state) => {
            let available: Vec<&PublicKey> = listing.keys.iter().map(|stored| stored.key.public()).collect();
            let step = step(state, &state.policy, &available, now());
            wrong.extend(step.faults.iter().map(Fault::to_string));
            print(&describe(zone, state));
            print(&unused(state, &listing));
        }
        None => {
            print(&format!("{zone} has no state yet: the server makes it when it first signs the zone\n"));
            for stored in &listing.keys {
                let public = stored.key.public();
                let kind = if public.is_ksk() { "KSK or combined key" } else { "ZSK" };
                print(&format!("key {}: {kind}\n", public.id()));
            }
            if listing.keys.is_empty() {
                wrong.push(format!("{}: no key of {zone}", folder.display()));
            }
        }
    }
    wrong.extend(listing.faults.iter().map(ToString::to_string));
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\nsteerd: ")) }
}

/// Keys in the folder that no track has.
fn unused(state: &State, listing: &Listing) -> String {
    let is_known = |public: &PublicKey| state.keys.iter().any(|key| key.public == *public);
    let unknown = listing.keys.iter().map(|stored| stored.key.public()).filter(|public| !is_known(public));
    unknown.map(|public| format!("key {}: in the folder, but not in use\n", public.id())).collect()
}

fn roll(rollover: &Rollover) -> Result<String, String> {
    let store = Keystore::open(&rollover.folder.dir, &rollover.zone).map_err(|error| error.to_string())?;
    let (what, now) = (&rollover.what, now());
    let mut text = String::new();
    if what.rebuild {
        // A usable state is not thrown away by mistake.
        if store.state().is_ok_and(|state| state.is_some()) {
            return Err(format!("{}: can be read, nothing to rebuild", store.state_path().display()));
        }
        if store.state_path().exists() {
            let aside = store.set_state_aside(now).map_err(|error| error.to_string())?;
            text += &format!("kept as {}\n", aside.display());
        }
    }
    let edit = |state: &mut State| -> Result<(), Refusal> {
        if what.accept_clock {
            state.accept_clock(now);
        }
        if what.ds_published {
            state.ds_published(rollover.key, now)?;
        }
        if let Some(tag) = what.abandon {
            state.abandon(tag, now)?;
        }
        state.is_ksk_requested |= what.ksk;
        state.is_zsk_requested |= what.zsk;
        Ok(())
    };
    let advance = store.advance(None, now, edit).map_err(|error| error.to_string())?;
    report(&mut text, &rollover.zone, &advance);
    let wrong = advance.faults.iter().map(Fault::to_string);
    let wrong: Vec<String> = wrong.chain(advance.broken_files.iter().map(ToString::to_string)).collect();
    if wrong.is_empty() {
        return Ok(text);
    }
    print(&text);
    Err(wrong.join("\nsteerd: "))
}
