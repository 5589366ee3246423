//! What can be wrong with a monitor's parameters beyond what can be with any value, and the words for it.

use std::net::IpAddr;

use super::super::cause::Found;

/// One reason a parameter is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterCause {
    /// A parameter that something else is needed for.
    #[error("`{parameter}` needs {needs}")]
    Needs { parameter: &'static str, needs: &'static str },
    /// A header that the request has already.
    #[error("the header {name} is set by the monitor itself")]
    ReservedHeader { name: Found, instead: &'static str },
    /// No SHA-256.
    #[error("{text} is not a SHA-256")]
    NotPin { text: Found },
    /// An address that no probe can be sent to or from.
    #[error("{text} is not an address of one machine")]
    NotProbeAddress { text: Found },
    /// Two sources for one family.
    #[error("`source` has a second {family} address")]
    SecondSource { family: &'static str },
    /// The first item of a command is no absolute path.
    #[error("{text} is not the path of a program")]
    NotProgram { text: Found },
    /// A program that cannot be run as things are.
    #[error("the program {path} cannot be run: {fault}")]
    Program { path: Found, fault: ProgramFault },
    /// More than one monitor that is told from outside.
    #[error("a second `push` monitor")]
    SecondPush,
    /// Nobody can push.
    #[error("the pool {pool} has a `push` monitor, but nobody can push")]
    NoSocket { pool: Found },
    /// A key of one monitor where there are several.
    #[error("`{key}` stands beside `monitors`")]
    BesideMonitors { key: &'static str },
    /// More must pass than there are.
    #[error("`pass` is {pass}, but there {} {count} {}", if *count == 1 { "is" } else { "are" }, if *count == 1 { "monitor" } else { "monitors" })]
    PassAboveCount { pass: u8, count: u8 },
    /// A target that no source can reach.
    #[error("`source` has no {family} address, but {target} is probed")]
    SourceFamily { family: &'static str, target: IpAddr },
}

/// Why a program cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramFault {
    /// Nothing is there.
    #[error("there is no such file")]
    Missing,
    /// A folder, say.
    #[error("it is no file")]
    NoFile,
    /// Nobody may execute it.
    #[error("nobody may execute it")]
    NotExecutable,
}

impl ParameterCause {
    /// What would be accepted.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            ParameterCause::Needs { .. } => return None,
            ParameterCause::ReservedHeader { instead, .. } => instead,
            ParameterCause::NotPin { .. } => {
                "accepted are 64 hexadecimal digits, with or without colons, and 44 characters of base64"
            }
            ParameterCause::NotProbeAddress { .. } => {
                "accepted are unicast addresses that need no interface beside them"
            }
            ParameterCause::SecondSource { .. } => "accepted are one IPv4 and one IPv6 address",
            ParameterCause::NotProgram { .. } => "accepted is an absolute path: no shell looks for it",
            ParameterCause::Program { .. } => "until it can be, each run of it is a failure",
            ParameterCause::NoSocket { .. } => {
                "give `server.state_dir`: the server takes what is pushed there"
            }
            ParameterCause::SecondPush => "what is pushed names a member, not a monitor",
            ParameterCause::BesideMonitors { .. } => "give one of the two: `monitors` is a list of them",
            ParameterCause::PassAboveCount { count, .. } => {
                return Some(format!("accepted are `all`, `any` and 1 to {count}"));
            }
            ParameterCause::SourceFamily { .. } => "give a list of one IPv4 and one IPv6 address",
        };
        Some(text.to_owned())
    }
}

impl From<ParameterCause> for super::Cause {
    fn from(cause: ParameterCause) -> super::Cause {
        super::Cause::Parameter(cause)
    }
}
