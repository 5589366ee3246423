//! `steerd why`: the answer to one query, and every step to it, without a server or by the running one.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::config::{self, model::Config};
use crate::control::overrides::request;
use crate::control::why::Asked;
use crate::control::why::live;
use crate::control::why::offline::{Said, explain_offline, said};

/// What is asked.
#[derive(Args)]
pub(super) struct Why {
    /// Name that is asked for
    name: String,
    /// Record type, by name or as TYPE with its number
    #[arg(value_name = "TYPE", default_value = "A")]
    rtype: String,
    /// Configuration file
    #[arg(short, long, value_name = "FILE", required_unless_present = "state_dir")]
    config: Option<PathBuf>,
    /// Topology file: regions and their prefixes, instead of the configuration's own
    #[arg(long, value_name = "FILE", requires = "config")]
    topology: Option<PathBuf>,
    /// Ask the running server, by its state directory; so it is without --config
    #[arg(long, conflicts_with = "assume")]
    live: bool,
    /// Address that the query comes from
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    client: IpAddr,
    /// Network in the query's client-subnet option, such as 192.0.2.0/24
    #[arg(long, value_name = "PREFIX")]
    ecs: Option<String>,
    /// Ask over TCP, where every answer fits
    #[arg(long)]
    tcp: bool,
    /// A state to go by: member=up, =down or =unknown; members are named as in `steerd override`. May be given often
    #[arg(long, value_name = "MEMBER=STATE", value_parser = said)]
    assume: Vec<Said>,
    /// State directory in place of server.state_dir
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Explains; the error is what is printed.
pub(super) fn run(why: Why) -> Result<(), String> {
    let asked = asked(&why)?;
    let text = match &why.config {
        Some(config) if !why.live => explain(&why, config, &asked)?,
        _ => explain_live(&why, &asked)?,
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("cannot write: {error}"))
}

fn asked(why: &Why) -> Result<Asked, String> {
    let mut asked = Asked::new(&why.name, &why.rtype, why.client).map_err(|error| error.to_string())?;
    asked.subnet = match &why.ecs {
        // An address alone is its own network.
        Some(text) => Some(text.parse().or_else(|_| text.parse::<IpAddr>().map(Into::into)).map_err(|_| {
            format!("--ecs `{text}` is no prefix (accepted are an address, or one with a length: 192.0.2.0/24)")
        })?),
        None => None,
    };
    asked.is_tcp = why.tcp;
    Ok(asked)
}

fn load(why: &Why, file: &Path) -> Result<Config, String> {
    let loaded = config::load(file, why.topology.as_deref())
        .map_err(|report| format!("the configuration is refused\n{report}"))?;
    let mut config = loaded.config;
    config.server.state_dir = why.state_dir.clone().or(config.server.state_dir);
    Ok(config)
}

/// By itself.
fn explain(why: &Why, file: &Path, asked: &Asked) -> Result<String, String> {
    let explained = explain_offline(load(why, file)?, asked, &why.assume);
    let explanation = explained.map_err(|error| error.to_string())?;
    Ok(if why.json { format!("{:#}\n", explanation.to_json()) } else { explanation.to_string() })
}

/// By the running server.
fn explain_live(why: &Why, asked: &Asked) -> Result<String, String> {
    if !why.assume.is_empty() {
        return Err("--assume is for explanations without a server: it needs --config".into());
    }
    let state_dir = match (&why.state_dir, &why.config) {
        (Some(state_dir), _) => Some(state_dir.clone()),
        (None, Some(file)) => load(why, file)?.server.state_dir,
        (None, None) => None,
    };
    let state_dir =
        state_dir.ok_or("the configuration has no server.state_dir: the running server cannot be asked")?;
    let reply = request(&state_dir, &live::request(asked, why.json)).map_err(|error| error.to_string())?;
    match &reply["why"] {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Err("the server's reply is not understood".into()),
        object => Ok(format!("{object:#}\n")),
    }
}
