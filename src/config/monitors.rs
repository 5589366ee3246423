//! How a pool's members are probed: `monitor` with `monitor_params`, or `monitors` with `pass`.
//!
//! Reads and checks; what is made of several is `health/combination.rs`.

use std::net::IpAddr;
use std::sync::Arc;

use super::cause::{Cause, Found};
use super::decode::{Decoder, Field, Placed, Read, Section, Seen, key};
use super::events::{Node, Scalar};
use super::model::{Member, Monitors, NamedMonitor};
use super::monitor::{
    MONITOR_WORDS, MonitorKind, ParameterCause, Parameters, Surroundings, read_kind, read_parameters,
};
use super::report::Span;
use super::scalars::{integer, text_chars};

/// Monitors of one pool: each is a probe a member, and verdicts of more are hard to follow.
pub(super) const MAX_MONITORS: usize = 8;
const MAX_NAME_CHARS: usize = 64;

/// One of several.
pub(super) static MONITOR: Section = Section {
    title: "one of `monitors`",
    keys: &[key("name"), key("monitor"), key("monitor_params")],
    may_be_empty: false,
};

/// How many must pass, as written.
#[derive(Clone, Copy, Debug)]
enum Pass {
    All,
    Any,
    AtLeast(u8),
}

/// One monitor as read.
#[derive(Debug)]
struct ReadMonitor {
    at: Span,
    name: Option<Placed<String>>,
    kind: Option<Placed<MonitorKind>>,
    parameters: Option<Parameters>,
}

impl ReadMonitor {
    fn new(at: Span) -> ReadMonitor {
        ReadMonitor { at, name: None, kind: None, parameters: Some(Parameters::default()) }
    }

    fn read<'t>(&mut self, d: &mut Decoder<'t, '_>, key: &str, field: Field<'t>) -> Read<()> {
        match key {
            "name" => self.name = d.value(field, |scalar| text_chars(&scalar.text, MAX_NAME_CHARS))?,
            "monitor" => self.kind = read_kind(d, field)?,
            "monitor_params" => self.parameters = read_parameters(d, field)?,
            _ => d.skip(&field.node)?,
        }
        Ok(())
    }

    fn build(
        self,
        d: &mut Decoder<'_, '_>,
        members: &[Member],
        around: Surroundings<'_>,
    ) -> Option<NamedMonitor> {
        let (kind, parameters) = self.kind.zip(self.parameters)?;
        let source_at = parameters.place("source");
        let monitor_ip = parameters.monitor_ip();
        let monitor = Arc::new(parameters.build(d, kind.value, self.at, around));
        let built = NamedMonitor { name: self.name.map(|name| name.value), monitor, monitor_ip };
        if let Some(at) = source_at {
            check_source_families(d, at, &built, members);
        }
        Some(built)
    }
}

/// The four keys of a pool as read.
#[derive(Debug)]
pub(super) struct ReadMonitors {
    single: ReadMonitor,
    list: Vec<ReadMonitor>,
    pass: Option<Placed<Pass>>,
}

impl ReadMonitors {
    /// Those of a pool in this place, of which nothing is known yet.
    pub(super) fn new(at: Span) -> ReadMonitors {
        ReadMonitors { single: ReadMonitor::new(at), list: Vec::new(), pass: None }
    }

    /// Reads one of the four keys.
    pub(super) fn read<'t>(&mut self, d: &mut Decoder<'t, '_>, key: &str, field: Field<'t>) -> Read<()> {
        match key {
            "monitors" => self.list = read_list(d, field)?,
            "pass" => self.pass = d.value(field, pass)?,
            _ => self.single.read(d, key, field)?,
        }
        Ok(())
    }

    /// Checks them together; `None`: something was refused.
    pub(super) fn build(
        self,
        d: &mut Decoder<'_, '_>,
        seen: &Seen,
        title: &'static str,
        members: &[Member],
        around: Surroundings<'_>,
    ) -> Option<Monitors> {
        let Some(list_at) = seen.place("monitors") else {
            if let Some(span) = seen.place("pass") {
                let needs = "`monitors`, a list of them";
                d.error(span, ParameterCause::Needs { parameter: "pass", needs }.into());
            }
            if seen.place("monitor").is_none() {
                let cause = Cause::MissingKey { key: "monitor", section: title, accepted: MONITOR_WORDS };
                d.error(self.single.at, cause);
            }
            let one = self.single.build(d, members, around)?;
            return Some(Monitors { list: vec![one], pass: 1 });
        };
        for key in ["monitor", "monitor_params"] {
            if let Some(span) = seen.place(key) {
                d.error(span, ParameterCause::BesideMonitors { key }.into());
            }
        }
        check_names(d, &self.list);
        check_pushes(d, &self.list);
        if self.list.len() > MAX_MONITORS {
            d.error(list_at, Cause::TooMany { what: "`monitors`", limit: MAX_MONITORS });
        }
        let count = self.list.len().min(MAX_MONITORS) as u8;
        let pass = match self.pass {
            None | Some(Placed { value: Pass::All, .. }) => count,
            Some(Placed { value: Pass::Any, .. }) => 1,
            Some(Placed { value: Pass::AtLeast(number), span }) => {
                if number > count && count > 0 {
                    d.error(span, ParameterCause::PassAboveCount { pass: number, count }.into());
                }
                number
            }
        };
        let read = self.list.len();
        let list: Vec<_> = self.list.into_iter().filter_map(|one| one.build(d, members, around)).collect();
        (list.len() == read && read > 0).then_some(Monitors { list, pass })
    }
}

fn read_list<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Vec<ReadMonitor>> {
    let mut list = Vec::new();
    if let Node::Scalar(_) = field.node {
        d.refuse(&field, super::cause::Kind::List)?;
        return Ok(list);
    }
    d.list(field, "monitors", |d, item| {
        let mut one = ReadMonitor::new(item.at);
        let seen = d.section(item, &MONITOR, |d, key, field| one.read(d, key, field))?;
        if seen.is_some_and(|seen| seen.place("monitor").is_none()) {
            let cause = Cause::MissingKey { key: "monitor", section: MONITOR.title, accepted: MONITOR_WORDS };
            d.error(one.at, cause);
        }
        list.push(one);
        Ok(())
    })?;
    Ok(list)
}

/// Reports names that are given twice.
fn check_names(d: &mut Decoder<'_, '_>, list: &[ReadMonitor]) {
    let names: Vec<_> = list.iter().filter_map(|one| one.name.as_ref()).collect();
    for (index, name) in names.iter().enumerate() {
        if let Some(first) = names[..index].iter().find(|before| before.value == name.value) {
            let (item, first_line) = (Found::new(&name.value), first.span.line);
            d.error(name.span, Cause::Duplicate { what: "monitor", item, first_line });
        }
    }
}

/// Reports all monitors that are told from outside but the first: what is pushed says whom it means, and no more.
fn check_pushes(d: &mut Decoder<'_, '_>, list: &[ReadMonitor]) {
    let kinds = list.iter().filter_map(|one| one.kind.as_ref());
    for second in kinds.filter(|kind| kind.value == MonitorKind::Push).skip(1) {
        d.error(second.span, ParameterCause::SecondPush.into());
    }
}

/// `all`, `any` or a number.
fn pass(scalar: &Scalar<'_>) -> Result<Pass, Cause> {
    match &*scalar.text {
        "all" => Ok(Pass::All),
        "any" => Ok(Pass::Any),
        text if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            integer(1..=MAX_MONITORS as u64)(scalar).map(Pass::AtLeast)
        }
        text => Err(Cause::NotOneOf {
            text: Found::new(text),
            closest: super::suggest::closest(text, ["all", "any"]),
            accepted: "`all`, `any` and a number of monitors",
        }),
    }
}

/// Reports the first target of each family that has no source, where there is a source at all.
fn check_source_families(d: &mut Decoder<'_, '_>, at: Span, monitor: &NamedMonitor, members: &[Member]) {
    let source = monitor.monitor.source;
    if source.is_empty() {
        return;
    }
    for (family, is_of_family) in
        [("IPv4", IpAddr::is_ipv4 as fn(&IpAddr) -> bool), ("IPv6", IpAddr::is_ipv6)]
    {
        let mut targets = members.iter().map(|member| monitor.address_of(member)).filter(is_of_family);
        if let Some(target) = targets.next().filter(|target| source.toward(*target).is_none()) {
            d.error(at, ParameterCause::SourceFamily { family, target }.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{errors, loaded, warnings};

    /// A configuration with one pool that is probed by these lines.
    fn with(lines: &str) -> String {
        let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
        format!(
            "globalnames: {{a.example: p}}\npools:\n  p:\n    lb_method: wrr\n    members: [192.0.2.1]\n{lines}"
        )
    }

    const TWO: &str = "monitors:\n- {monitor: tcp, monitor_params: {port: 1, retries: 0}}\n\
                       - {name: deep, monitor: http, monitor_params: {port: 2, monitor_ip: 192.0.2.9}}\n";

    #[test]
    fn several_monitors_keep_their_order_names_and_parameters() {
        let pool = loaded(&with(TWO)).pools.remove(0);
        let names: Vec<_> = pool.monitors.list.iter().map(|one| one.name.as_deref()).collect();
        assert_eq!((names, pool.monitors.pass), (vec![None, Some("deep")], 2));
        let kinds: Vec<_> = pool.monitors.list.iter().map(|one| one.monitor.probe.kind()).collect();
        assert_eq!(kinds, ["tcp", "http"]);
        let retries: Vec<_> = pool.monitors.list.iter().map(|one| one.monitor.retries).collect();
        assert_eq!(retries, [0, 2]);
        let probed = pool.monitors.list.iter().map(|one| one.address_of(&pool.members[0]).to_string());
        assert_eq!(probed.collect::<Vec<_>>(), ["192.0.2.1", "192.0.2.9"]);
    }

    #[test]
    fn pool_that_nobody_can_push_to_is_warned_about() {
        let push = with("monitor: push\n");
        let warning = "3:3: the pool `p` has a `push` monitor, but nobody can push (give `server.state_dir`: the server takes \
                       what is pushed there)";
        assert_eq!(warnings(&push), [warning]);
        assert!(warnings(&format!("server: {{state_dir: state}}\n{push}")).is_empty());
    }

    #[test]
    fn pass_is_a_word_or_a_number() {
        for (text, pass) in [("all", 2), ("any", 1), ("1", 1), ("2", 2)] {
            assert_eq!(loaded(&with(&format!("{TWO}pass: {text}\n"))).pools[0].monitors.pass, pass);
        }
    }

    #[test]
    fn each_fault_of_several_monitors_is_an_error_at_its_place() {
        let single = "monitor: tcp\nmonitor_params: {port: 1}\n";
        for (lines, expected) in [
            (
                format!("{TWO}{single}"),
                &[
                    "9:5: `monitor` stands beside `monitors` (give one of the two: `monitors` is a list of them)",
                    "10:5: `monitor_params` stands beside `monitors` (give one of the two: `monitors` is a list of them)",
                ][..],
            ),
            (format!("{single}pass: any\n"), &["8:5: `pass` needs `monitors`, a list of them"]),
            (
                format!("{TWO}pass: 3\n"),
                &["9:11: `pass` is 3, but there are 2 monitors (accepted are `all`, `any` and 1 to 2)"],
            ),
            (format!("{TWO}pass: 0\n"), &["9:11: `0` is out of range (accepted are 1 to 8)"]),
            (
                format!("{TWO}pass: al\n"),
                &["9:11: `al` is not accepted here (did you mean `all`?)"],
            ),
            ("monitors: []\n".into(), &["6:15: `monitors` is empty"]),
            ("monitors: tcp\n".into(), &["6:15: expected a list, found a single value"]),
            (
                "monitors:\n- {name: a, monitor: tcp, monitor_params: {port: 1}}\n- {name: a, monitor: icmp}\n- {name: b}\n".into(),
                &[
                    "8:14: the monitor `a` is given twice (first given on line 7)",
                    "9:7: `monitor` is missing in one of `monitors` (accepted are ",
                ],
            ),
            (
                format!("monitors:\n{}", "- {monitor: icmp}\n".repeat(9)),
                &["6:5: more than 8 `monitors`"],
            ),
        ] {
            let found = errors(&with(&lines));
            assert_eq!(found.len(), expected.len(), "{found:#?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.starts_with(expected), "{found}\n{expected}");
            }
        }
    }
}
