//! `steerd plan`: what a change of the configuration does to traffic, and what single failures do; for people and for CI.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::config;
use crate::control::plan::compare::compare;
use crate::control::plan::failures::try_failures;
use crate::control::plan::side::Side;
use crate::control::why::offline::{Said, WhyError, said};

/// Exit code where a threshold is passed.
const ABOVE: u8 = 3;

/// What is compared.
#[derive(Args)]
pub(super) struct Plan {
    /// Configuration file before the change
    #[arg(value_name = "OLD", required_unless_present = "n_1")]
    old: Option<PathBuf>,
    /// Configuration file after the change
    #[arg(value_name = "NEW", required_unless_present = "n_1")]
    new: Option<PathBuf>,
    /// Let each member and each region of this configuration fail in turn, and show what the others carry
    #[arg(long = "n-1", value_name = "FILE", conflicts_with_all = ["old", "new", "clients", "max_shift", "top"])]
    n_1: Option<PathBuf>,
    /// Clients: lines `PREFIX [WEIGHT] [NAME [TYPE]]`, or a capture of their queries (pcap, pcapng)
    #[arg(long, value_name = "FILE")]
    clients: Option<PathBuf>,
    /// Exit with code 3 if more than this part of a pool's traffic, or of all, is shifted
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_shift: Option<f64>,
    /// With --n-1: exit with code 3 if a member carries more than this part of its capacity
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "100%", requires = "n_1")]
    max_load: f64,
    /// Lines of each list at most
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    top: usize,
    /// Go by the states that a server saved in server.state_dir, and by overrides in force; otherwise all members are up
    #[arg(long)]
    state: bool,
    /// State directory in place of server.state_dir
    #[arg(long, value_name = "DIR", requires = "state")]
    state_dir: Option<PathBuf>,
    /// A state to go by: member=up, =down or =unknown; members are named as in `steerd override`. May be given often
    #[arg(long, value_name = "MEMBER=STATE", value_parser = said)]
    assume: Vec<Said>,
    /// Topology file for the configuration before, instead of its own
    #[arg(long, value_name = "FILE", requires = "old")]
    old_topology: Option<PathBuf>,
    /// Topology file for the configuration after (or of --n-1), instead of its own
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Plans; the error is what is printed.
pub(super) fn run(plan: Plan) -> Result<ExitCode, String> {
    let (text, above) = match (&plan.n_1, &plan.old, &plan.new) {
        (Some(file), ..) => fail(&plan, file)?,
        (None, Some(old), Some(new)) => change(&plan, old, new)?,
        // clap sees to it.
        (None, ..) => return Err("give OLD and NEW, or --n-1 FILE".into()),
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("cannot write: {error}"))?;
    for line in &above {
        // Nobody may be reading; the exit code says it too.
        let _ = writeln!(std::io::stderr(), "steerd: {line}");
    }
    Ok(if above.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(ABOVE) })
}

/// What is printed, and what is above a threshold.
type Outcome = (String, Vec<String>);

fn change(plan: &Plan, old: &Path, new: &Path) -> Result<Outcome, String> {
    let mut before = side(plan, old, plan.old_topology.as_deref())?;
    let mut after = side(plan, new, plan.topology.as_deref())?;
    assumed(plan, &[&before, &after])?;
    let compared = compare(&mut before, &mut after, plan.clients.as_deref(), plan.top);
    let comparison = compared.map_err(|error| error.to_string())?;
    let above = plan.max_shift.map(|most| comparison.above(most)).unwrap_or_default();
    let text = match plan.json {
        true => format!("{:#}\n", comparison.to_json(&above)),
        false => comparison.to_string(),
    };
    let most = plan.max_shift.unwrap_or_default() * 100.0;
    let line = |(what, shift): (String, f64)| {
        format!("{what}: a shift of {:.2} % is above --max-shift {most}%", shift * 100.0)
    };
    Ok((text, above.into_iter().map(line).collect()))
}

fn fail(plan: &Plan, file: &Path) -> Result<Outcome, String> {
    let mut side = side(plan, file, plan.topology.as_deref())?;
    assumed(plan, &[&side])?;
    let failures = try_failures(&mut side, plan.max_load);
    let text = if plan.json { format!("{:#}\n", failures.to_json()) } else { failures.to_string() };
    let above = match failures.count() {
        0 => Vec::new(),
        1 => vec![format!("one load is above --max-load {}%", plan.max_load * 100.0)],
        count => vec![format!("{count} loads are above --max-load {}%", plan.max_load * 100.0)],
    };
    Ok((text, above))
}

fn side(plan: &Plan, file: &Path, topology: Option<&Path>) -> Result<Side, String> {
    let loaded = config::load(file, topology)
        .map_err(|report| format!("{}: the configuration is refused\n{report}", file.display()))?;
    let mut config = loaded.config;
    config.server.state_dir = plan.state_dir.clone().or(config.server.state_dir);
    Ok(Side::new(config, &plan.assume, plan.state))
}

/// Every state that was said must be of somebody.
fn assumed(plan: &Plan, sides: &[&Side]) -> Result<(), String> {
    for (at, one) in plan.assume.iter().enumerate() {
        if sides.iter().all(|side| side.said.get(at) == Some(&0)) {
            return Err(WhyError::Nobody(one.target.as_str().to_owned()).to_string());
        }
    }
    Ok(())
}

/// A number of hundredths, with or without its sign, as a part of 1.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    let number = number.filter(|number| (0.0..=1_000_000.0).contains(number));
    number
        .map(|number| number / 100.0)
        .ok_or_else(|| format!("`{text}` is no number of hundredths (accepted are 10%, 0.5% and the like)"))
}
