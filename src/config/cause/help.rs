//! What would be accepted, or what to do, behind a cause.
//!
//! Words alone; decides nothing.

use std::time::Duration;

use super::{Cause, Found, Hours, Human, Known};

impl Cause {
    /// What would be accepted, or where to look: the words beside the caret.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Cause::Syntax(info) if info.contains("anchor") => {
                "no anchor of this name stands before it; a name that begins with `*` must be quoted"
                    .to_owned()
            }
            Cause::Syntax(info) if info.contains("expected key") => {
                "is it indented like the lines before? values such as `[::1]:53` must be quoted".to_owned()
            }
            Cause::Syntax(info) if info.contains("simple key") || info.contains("mapping values") => {
                "is a `:` missing behind the key on this line or the one before?".to_owned()
            }
            Cause::Parameter(cause) => return cause.help(),
            Cause::Nested(cause) => return cause.help(),
            Cause::Steered(cause) => return cause.help().map(str::to_owned),
            Cause::Place(cause) => return cause.help(),
            Cause::SecretFile { fault, .. } => return fault.help().map(str::to_owned),
            Cause::SecondDocument => "a configuration is one document: remove the `---`".to_owned(),
            Cause::Tag => "remove the `!…`: what a value is depends on its key".to_owned(),
            Cause::MergeKeyHere => "`<<` merges mappings whose keys are fixed, such as a pool".to_owned(),
            Cause::UnknownKey { closest: Some(closest), .. } => did_you_mean(closest),
            Cause::UnknownKey { accepted, .. } => accepted_are(accepted),
            Cause::DuplicateKey { first_line, .. }
            | Cause::DuplicateAlias { first_line, .. }
            | Cause::Duplicate { first_line, .. } => format!("first given on line {first_line}"),
            Cause::MissingKey { accepted, .. } if !accepted.is_empty() => format!("accepted are {accepted}"),
            Cause::Quoted { .. } => "write it without quotation marks".to_owned(),
            Cause::NotInteger { min, max, .. } | Cause::OutOfRange { min, max, .. } => {
                format!("accepted are {min} to {max}")
            }
            Cause::NotDuration { .. } => {
                "accepted are seconds (`10`, `0.5`) or a number with `ms`, `s`, `m` or `h`".to_owned()
            }
            Cause::DurationRange { min, max, .. } => {
                format!("accepted are {} to {}", Human(*min), Human(*max))
            }
            Cause::NotBoolean { .. } => {
                "accepted are `true` and `false` (also `yes`, `no`, `on`, `off`)".to_owned()
            }
            Cause::NotOneOf { closest: Some(closest), .. } => did_you_mean(closest),
            Cause::NotOneOf { accepted, .. } => format!("accepted are {accepted}"),
            Cause::TextLength { max, unit, .. } => format!("accepted are 1 to {max} {unit}"),
            Cause::Wildcard { .. } => "wildcards are accepted in `globalnames`".to_owned(),
            Cause::WildcardOutside { .. } => "name the zone in `zones`".to_owned(),
            Cause::NoKeyFolder => "give `keys`, or `server.state_dir`".to_owned(),
            Cause::LifetimeTooShort { needed, .. } => {
                format!("accepted are {} and more, or lower TTLs", Hours(*needed + Duration::from_secs(1)))
            }
            Cause::LifetimeStretched { .. } => "lower the TTLs of the file, or give a longer lifetime".to_owned(),
            Cause::SignedNodata { .. } => "`any`, `refuse` or a list of addresses are accepted there".to_owned(),
            Cause::SteeredBesideStatic { .. } => "remove one of the two".to_owned(),
            Cause::SteeredHidden { .. } => "remove those records, or the globalname".to_owned(),
            Cause::MappedAddress { plain, .. } => did_you_mean(&plain.to_string()),
            Cause::MappedSocketAddress { plain, .. } => did_you_mean(&plain.to_string()),
            Cause::LinkLocalWithoutScope { ip, port, .. } => format!(
                "accepted is `[{ip}%2]:{port}`, where 2 is the interface's number as `ip link` shows it"
            ),
            Cause::NotUnicast { .. } => "accepted are addresses of this machine, `0.0.0.0` and `::`".to_owned(),
            Cause::CoveredByWildcard { first_line, .. } | Cause::WildcardCovers { first_line, .. } => {
                format!("given on line {first_line}: the port would be in use; keep one of them")
            }
            Cause::AdminOverlapsListen { .. } => "give it another port".to_owned(),
            Cause::NotSocketAddress { port_needed: true, .. } => {
                "accepted are `127.0.0.1:8053` and `[::1]:8053`".to_owned()
            }
            Cause::NotSocketAddress { port_needed: false, .. } => {
                "accepted are `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1` and `[2001:db8::1]:53`".to_owned()
            }
            Cause::UndefinedPool { closest, known, .. } => undefined_pool_help(closest.as_ref(), known),
            Cause::ParameterOfOther { takers, .. } => format!("it is a parameter of {takers}"),
            Cause::RetryAboveInterval { interval, .. } => format!("accepted are 100 ms to {}", Human(*interval)),
            Cause::ReuseAboveSuppress { suppress, .. } => format!("accepted are 1 to {suppress}"),
            Cause::ThawBelowShare { least, .. } => format!("accepted are `{least}%` to `100%`"),
            Cause::MinTtlAboveMax { max_secs, .. } => format!("accepted are 1 to {max_secs}"),
            Cause::NotShare { min, max, .. } => format!("accepted are `{min}%` to `{max}%`"),
            Cause::TimeoutAboveInterval { interval, .. } => {
                format!("accepted are 10 ms to {}", Human(*interval))
            }
            Cause::TlsContradiction { .. } => "use the monitor `http`".to_owned(),
            Cause::VerifyWithoutTls => "use the monitor `https`, or set `use_ssl: true`".to_owned(),
            Cause::NotServerName { .. } => {
                "accepted is a domain name, without underscores at its ends".to_owned()
            }
            Cause::NotStatusCode { .. } => {
                "accepted are `200` and `200-299`, each code 100 to 599".to_owned()
            }
            Cause::NotPrefix { .. } => {
                "accepted are `192.0.2.0/24`, `2001:db8::/32` and single addresses".to_owned()
            }
            Cause::DuplicatePrefix { region, first_line, .. } => {
                format!("first given for the region {region} on line {first_line}")
            }
            Cause::TopologyTwice => "keep one of them".to_owned(),
            Cause::MailboxAt { suggestion, .. } => format!("did you mean {suggestion}?"),
            Cause::NothingToServe => "give `globalnames` and their `pools`, or `zones`".to_owned(),
            Cause::NoNameServers { .. } => {
                "name your servers in `server.ns`, or put the name below a zone of `zones`; until then its NS record \
                 says `ns.invalid.`"
                    .to_owned()
            }
            Cause::FallbackWithoutMembers { .. } => {
                "queries for a family without members are answered with no data".to_owned()
            }
            Cause::Overload(overload) => match overload.cases {
                1 => "`steerd plan --n-1` shows what each one carries".to_owned(),
                cases => format!("the worst of {cases} cases; `steerd plan --n-1` shows all"),
            },
            Cause::Untried { .. } => "`steerd plan --n-1` tries all".to_owned(),
            Cause::LowTtl { .. } => "20 to 60 s is usual for a steered name".to_owned(),
            Cause::OptionOfOtherMethod { method, .. } => format!("leave it out, or use {method}"),
            Cause::UnknownRegion { closest, .. } => return closest.as_ref().map(|closest| format!("did you mean {closest}?")),
            Cause::BehindAnywhere => "put it last: members of all other regions follow then".to_owned(),
            Cause::TwrrWithoutTopology => "give `topology` or `topology_file`, or use `wrr`".to_owned(),
            Cause::RepeatsOrigin { .. } => "names are absolute here: leave out the second one".to_owned(),
            Cause::NoRoomForHashes { .. } => "accepted is `nsec`".to_owned(),
            Cause::LongNegativeTtl { .. } => "RFC 2308 suggests one to three hours".to_owned(),
            _ => return None,
        };
        Some(text)
    }
}

/// The question behind a near miss.
fn did_you_mean(word: &str) -> String {
    format!("did you mean `{word}`?")
}

/// The list of accepted keys.
fn accepted_are(keys: &[&str]) -> String {
    let listed: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    format!("accepted are {}", listed.join(", "))
}

/// Known pools, and the one that was perhaps meant.
fn undefined_pool_help(closest: Option<&Found>, known: &Known) -> String {
    match closest {
        Some(closest) => format!("did you mean {closest}? known pools are {known}"),
        None if known.first.is_empty() => "no pools are defined".to_owned(),
        None => format!("known pools are {known}"),
    }
}
