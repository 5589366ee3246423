//! The command line: one file a verb. Parses, calls the control side, chooses the exit code.
//!
//! Exit codes: 0 done, 1 a clear error on standard error, 2 wrong usage (clap's convention), 3 a threshold of `plan` is passed.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::control::logging::Format;

/// `steerd serve`.
mod serve;
/// `steerd check`.
mod check;
/// `steerd delegation`.
mod delegation;
/// `steerd demo`.
mod demo;
/// `steerd dnssec`.
mod dnssec;
/// `steerd override`.
mod overrides;
/// `steerd plan`.
mod plan;
/// `steerd push`.
mod push;
/// `steerd why`.
mod why;
/// Signals to commands.
mod signals;

/// Authoritative DNS server that answers with the healthy members of a pool.
#[derive(Parser)]
#[command(name = "steerd", version, about, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "Examples:
  steerd demo                                  see it work: three backends, real probes, DNS on 127.0.0.1:5300
  steerd check -c steerd.yaml                  every mistake of a configuration in one run
  steerd delegation -c steerd.yaml example.com what the zone above must be told
  steerd why www.example.com -c steerd.yaml    why a name is answered as it is
  steerd plan steerd.yaml new.yaml             what a change does to traffic, before it is made
  steerd serve -c steerd.yaml                  answer queries; SIGHUP or a changed file reloads
  steerd serve -c lb.yaml --topology dc.yaml   with the regions in a file of their own
  steerd override add drain web1 -c steerd.yaml  no new clients for a member, whatever probes say
  steerd push web web1 up 75% -c steerd.yaml   the state of a member whose monitor is `push`
  steerd dnssec status example.com             keys of a signed zone, and what happens to them next";

#[derive(Subcommand)]
enum Verb {
    /// Answer queries from a configuration file
    #[command(
        after_help = "SIGHUP reads the configuration again, as does a change of its files; SIGTERM and SIGINT stop.\n\nExample:\n  steerd serve -c /etc/steerd/steerd.yaml --log-format json"
    )]
    Serve {
        #[command(flatten)]
        files: ConfigFiles,
        #[command(flatten)]
        log: LogOptions,
    },
    /// Report every mistake of a configuration file, and serve nothing
    #[command(
        after_help = "Exit code 0: it can be served (warnings may be printed); 1: it cannot.\n\nExample:\n  steerd check -c steerd.yaml && systemctl reload steerd"
    )]
    Check {
        #[command(flatten)]
        files: ConfigFiles,
    },
    /// Print the records that the zone above needs: NS and glue
    #[command(
        after_help = "The records are in the form of a zone file, ready for the parent's; lines that begin with `;` say what is\nmissing.\n\nExample:\n  steerd delegation -c steerd.yaml example.com"
    )]
    Delegation {
        #[command(flatten)]
        files: ConfigFiles,
        /// The delegated zone, or a globalname that is its own apex
        #[arg(value_name = "ZONE")]
        zone: String,
    },
    /// Show what steerd does: backends, probes and answers on loopback, no file needed
    #[command(after_help = "Example:\n  steerd demo\n  dig @127.0.0.1 -p 5300 www.demo.test")]
    Demo {
        /// Address and port of the DNS server
        #[arg(long, default_value = "127.0.0.1:5300", value_name = "ADDRESS:PORT")]
        listen: std::net::SocketAddr,
        /// Address and port of the HTTP listener for metrics and state
        #[arg(long, default_value = "127.0.0.1:8053", value_name = "ADDRESS:PORT")]
        admin: std::net::SocketAddr,
        #[command(flatten)]
        log: LogOptions,
    },
    /// Keys of signed zones: make them, print their DS, watch and begin rollovers
    #[command(
        after_help = "Keys are BIND's files, and lie in one folder with the state of their rollovers (--dir).\n\nExamples:\n  steerd dnssec keygen example.com\n  steerd dnssec ds example.com\n  steerd dnssec status example.com"
    )]
    Dnssec {
        #[command(subcommand)]
        verb: Box<dnssec::Verb>,
    },
    /// Decide over members at the running server, whatever probes say of them
    #[command(
        after_help = "Needs server.state_dir, and the rights of who runs the server.\n\nExamples:\n  steerd override add drain web1-dc1 -c steerd.yaml --reason 'new kernel' --expires 2h\n  steerd override list -c steerd.yaml\n  steerd override remove 1 -c steerd.yaml"
    )]
    Override {
        #[command(subcommand)]
        verb: Box<overrides::Verb>,
    },
    /// Tell the running server the state of members that are not probed: those whose monitor is `push`
    #[command(
        after_help = "STATE is in the words of an agent: up, down, drain, maint, ready, 75%. It holds for its time to live; after that, the\nverdict of `silence` does. A line on standard input is POOL MEMBER STATE [ttl=TIME] [# REASON]; up to 1024 lines count at once,\nor none of them. Needs server.state_dir, and the rights of who runs the server.\n\nExamples:\n  steerd push web web1-dc1 up 75% -c steerd.yaml --ttl 30s\n  steerd push web 192.0.2.1 drain -c steerd.yaml --reason 'new kernel'\n  fleet-states | steerd push - --state-dir /var/lib/steerd"
    )]
    Push(Box<push::Pushes>),
    /// Explain an answer: zone, client, pool, every member, who is drawn, the TTL
    #[command(
        after_help = "With a configuration no server is needed: the answer is that of a fresh worker, with the states that the server last\nsaved and the overrides in force; members that nothing is known of are taken for up. With --live the running server\nexplains, with the states and reasons of its probes. Workers have positions of their own in the rotation.\n\nExamples:\n  steerd why www.example.com -c steerd.yaml\n  steerd why www.example.com AAAA -c steerd.yaml --ecs 192.0.2.0/24 --assume web1-dc1=down\n  steerd why www.example.com -c steerd.yaml --client 198.51.100.7 --json\n  steerd why www.example.com -c steerd.yaml --live"
    )]
    Why(Box<why::Why>),
    /// Show what a change does to traffic, or what single failures do
    #[command(
        after_help = "Shares are how often an address is the first of an answer, as the rotations have it. Without --clients, clients of a\nregion weigh as much as the members there (a region without any, and clients outside every region, as the lightest\nregion), before or after the change, whichever is more, evenly over its addresses; names count alike. Half the sum of\nall differences is the shift. Loads of --n-1 are in the unit of weights, against `capacity`.\n\nExit code 0: done; 1: an error; 2: wrong usage; 3: --max-shift or --max-load is passed.\n\nExamples:\n  steerd plan steerd.yaml new.yaml --max-shift 10%\n  steerd plan steerd.yaml new.yaml --clients queries.pcap --json\n  steerd plan steerd.yaml new.yaml --assume region:dc1=down\n  steerd plan --n-1 new.yaml --max-load 80%"
    )]
    Plan(Box<plan::Plan>),
}

/// Which files make the configuration.
#[derive(Args)]
struct ConfigFiles {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Topology file: regions and their prefixes, instead of the configuration's own
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
}

#[derive(Args)]
struct LogOptions {
    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people; in colour on a terminal
    Text,
    /// One JSON object a line
    Json,
}

impl LogOptions {
    fn format(&self) -> Format {
        match self.log_format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Serve { files, log } => serve::run(files, &log),
        Verb::Check { files } => check::run(files),
        Verb::Delegation { files, zone } => delegation::run(files, &zone),
        Verb::Demo { listen, admin, log } => demo::run(listen, admin, &log),
        Verb::Dnssec { verb } => dnssec::run(*verb),
        Verb::Override { verb } => overrides::run(*verb),
        Verb::Push(pushes) => push::run(*pushes),
        Verb::Why(why) => why::run(*why),
        Verb::Plan(plan) => match plan::run(*plan) {
            Ok(code) => return code,
            Err(message) => Err(message),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nobody may be reading; the exit code says it too.
            let _ = writeln!(std::io::stderr(), "steerd: {message}");
            ExitCode::FAILURE
        }
    }
}
