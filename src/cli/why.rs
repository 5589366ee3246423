//! `steerd why`: the answer to one query, and every step to it.

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::ConfigFiles;
use crate::config;
use crate::control::why::offline::{Said, explain_offline, said};
use crate::control::why::{Asked, Explanation};

/// What is asked.
#[derive(Args)]
pub(super) struct Why {
    /// Name that is asked for
    name: String,
    /// Record type, by name or as TYPE with its number
    #[arg(value_name = "TYPE", default_value = "A")]
    rtype: String,
    #[command(flatten)]
    files: ConfigFiles,
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
    let json = why.json;
    let explanation = explain(why)?;
    let text = if json { format!("{:#}\n", explanation.to_json()) } else { explanation.to_string() };
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("cannot write: {error}"))
}

fn explain(why: Why) -> Result<Explanation, String> {
    let mut asked = Asked::new(&why.name, &why.rtype, why.client).map_err(|error| error.to_string())?;
    asked.subnet = match &why.ecs {
        // An address alone is its own network.
        Some(text) => Some(text.parse().or_else(|_| text.parse::<IpAddr>().map(Into::into)).map_err(|_| {
            format!("--ecs `{text}` is no prefix (accepted are an address, or one with a length: 192.0.2.0/24)")
        })?),
        None => None,
    };
    asked.is_tcp = why.tcp;
    let loaded = config::load(&why.files.config, why.files.topology.as_deref())
        .map_err(|report| format!("the configuration is refused\n{report}"))?;
    let mut config = loaded.config;
    config.server.state_dir = why.state_dir.or(config.server.state_dir);
    explain_offline(config, &asked, &why.assume).map_err(|error| error.to_string())
}
