//! Where loading a configuration spends time and memory: `load_phases FILE` reads, validates, compiles and frees in one
//! process, and prints what each phase took, what is resident after it and what was resident at most so far.
#![expect(clippy::print_stdout, reason = "a program whose result is what it prints")]

use std::path::Path;

use steerd::config::model::GlobalNames;
use steerd::config::{self, compile::compile};
use steerd::state::publish::Generation;

mod phase;

use phase::timed;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: load_phases FILE")?;
    println!("{:<28} {:>9} {:>13} {:>13}", "phase", "ms", "VmRSS MiB", "VmHWM MiB");
    // In the page cache from here on, so that the next phase measures no disk.
    let octets = timed("read the file", || std::fs::read(&path).map(|text| text.len()))?;
    let loaded = timed("parse and validate", || config::load(Path::new(&path), None));
    let mut config = loaded.map_err(|report| report.to_string())?.config;
    let snapshot = timed("compile and index", || compile(&config, 1));
    let names = snapshot.names.len();
    timed("free the names of the model", || config.globalnames = GlobalNames::default());
    let generation = timed("rotations of one worker", || Generation::first(snapshot.into(), 0));
    println!("{octets} octets, {names} names, {} pools", generation.snapshot.pools.len());
    Ok(())
}
