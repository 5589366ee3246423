//! The section `server.prober_guard`: when many failures at once are taken for the prober's own.
//!
//! Reads and checks; what is made of it is `health/guard.rs`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::cause::{Cause, Found};
use super::decode::{Decoder, Field, Placed, Read, Section, key};
use super::model::{Canaries, ProberGuard};
use super::monitor::{MonitorKind, Parameters, Surroundings, read_kind, read_parameters};
use super::scalars::{address, boolean, duration, integer, percent};

/// Most canaries: they tell whether this machine reaches others, for which a few are enough.
const MAX_CANARIES: usize = 64;

/// What can tell whether this machine reaches others.
const CANARY_MONITORS: &str =
    "`tcp`, `tcp_content`, `http`, `https`, `tls`, `dns`, `icmp`, `agent` and `exec`";

pub(super) static PROBER_GUARD: Section = Section {
    title: "`prober_guard`",
    keys: &[
        key("enabled"),
        key("share"),
        key("window"),
        key("min_targets"),
        key("thaw_share"),
        key("canaries"),
        key("monitor"),
        key("monitor_params"),
    ],
    may_be_empty: true,
};

/// Reads the section; `None` where it does not count.
pub(super) fn read_prober_guard<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    directory: Option<&Path>,
) -> Read<Option<ProberGuard>> {
    let at = field.at;
    let mut guard = ProberGuard::default();
    let mut enabled = true;
    let mut thaw_percent = None;
    let mut addresses = Vec::new();
    let mut kind = None;
    let mut parameters = Some(Parameters::default());
    let seen = d.section(field, &PROBER_GUARD, |d, name, field| {
        match name {
            "enabled" => enabled = d.value(field, boolean)?.is_none_or(|read| read.value),
            "share" => {
                let read = d.value(field, percent(10..=99))?;
                guard.share_percent = read.map_or(guard.share_percent, |read| read.value);
            }
            "window" => {
                let read = d.value(field, duration(Duration::from_secs(1), Duration::from_secs(3600)))?;
                guard.window = read.map_or(guard.window, |read| read.value);
            }
            "min_targets" => {
                let read = d.value(field, integer(2..=100_000))?;
                guard.min_targets = read.map_or(guard.min_targets, |read| read.value);
            }
            "thaw_share" => thaw_percent = d.value(field, percent(1..=100))?,
            "canaries" => addresses = read_canaries(d, field)?,
            "monitor" => kind = read_kind(d, field)?,
            "monitor_params" => parameters = read_parameters(d, field)?,
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    let Some(seen) = seen else { return Ok(None) };
    let least = 100 - guard.share_percent;
    match thaw_percent {
        Some(Placed { value, span }) if value < least => {
            d.error(span, Cause::ThawBelowShare { thaw: value, least, share: guard.share_percent });
        }
        Some(Placed { value, .. }) => guard.thaw_percent = value,
        None => guard.thaw_percent = guard.thaw_percent.max(least),
    }
    if seen.place("canaries").is_some() && seen.place("monitor").is_none() {
        d.error(
            at,
            Cause::MissingKey { key: "monitor", section: PROBER_GUARD.title, accepted: CANARY_MONITORS },
        );
    }
    if let Some((kind, parameters)) = kind.zip(parameters) {
        if matches!(kind.value, MonitorKind::Forced | MonitorKind::File | MonitorKind::Push) {
            let text = Found::new(kind.value.name());
            d.error(kind.span, Cause::NotOneOf { text, closest: None, accepted: CANARY_MONITORS });
            return Ok(None);
        }
        if let Some(span) = parameters.place("monitor_ip") {
            let (key, section) = (Found::new("monitor_ip"), "`monitor_params` of `prober_guard`");
            d.error(span, Cause::UnknownKey { key, section, closest: None, accepted: Vec::new() });
        }
        let monitor = Arc::new(parameters.build(d, kind.value, at, Surroundings { pool: "", directory }));
        if !addresses.is_empty() {
            guard.canaries = Some(Canaries { addresses, monitor });
        }
    }
    Ok(enabled.then_some(guard))
}

fn read_canaries<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Vec<IpAddr>> {
    let at = field.at;
    let mut first_lines: HashMap<IpAddr, u32> = HashMap::new();
    let mut addresses = Vec::new();
    d.list(field, "canaries", |d, item| {
        let Some(read) = d.value(item, |scalar| address(&scalar.text))? else { return Ok(()) };
        match first_lines.get(&read.value) {
            Some(&first_line) => {
                let item = Found::new(&read.value.to_string());
                d.error(read.span, Cause::Duplicate { what: "address", item, first_line });
            }
            None => {
                first_lines.insert(read.value, read.span.line);
                addresses.push(read.value);
            }
        }
        Ok(())
    })?;
    if addresses.len() > MAX_CANARIES {
        d.error(at, Cause::TooMany { what: "addresses in `canaries`", limit: MAX_CANARIES });
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::super::model::Probe;
    use super::super::tests::{errors, loaded};
    use super::*;

    /// A configuration whose prober guard is this.
    fn with(guard: &str) -> String {
        format!(
            "server: {{prober_guard: {guard}}}\nglobalnames: {{a.example: p}}\npools:\n  p: {{lb_method: wrr, members: [127.0.0.1], \
             monitor: forced, monitor_params: {{status: up}}}}\n"
        )
    }

    fn read(guard: &str) -> Option<ProberGuard> {
        loaded(&with(guard)).server.prober_guard
    }

    #[test]
    fn section_has_defaults_and_every_key_is_read() {
        assert_eq!(loaded(&with("{}").replace("prober_guard: {}", "")).server.prober_guard, None);
        assert_eq!(read("{}"), Some(ProberGuard::default()));
        assert_eq!(read("{enabled: off}"), None);
        assert_eq!(read("{share: 20%}").unwrap().thaw_percent, 80, "what makes it freeze cannot thaw it");
        let guard = read(
            "{share: 40%, window: 1m, min_targets: 9, thaw_share: 90%, canaries: [192.0.2.1, '2001:db8::1'], monitor: tcp, \
             monitor_params: {port: 53}}",
        )
        .unwrap();
        let canaries = guard.canaries.as_ref().unwrap();
        assert_eq!((guard.share_percent, guard.thaw_percent, guard.min_targets), (40, 90, 9));
        assert_eq!((guard.window, canaries.addresses.len()), (Duration::from_secs(60), 2));
        assert_eq!(canaries.monitor.probe, Probe::Tcp { port: 53 });
    }

    #[test]
    fn canaries_are_probed_and_at_their_own_address() {
        for (monitor, expected) in [
            ("monitor: forced, monitor_params: {status: up}", "`forced` is not accepted here"),
            ("monitor: tcp, monitor_params: {port: 1, monitor_ip: 192.0.2.9}", "unknown key `monitor_ip`"),
        ] {
            let errors = errors(&with(&format!("{{canaries: [192.0.2.1], {monitor}}}")));
            assert!(errors.len() == 1 && errors[0].contains(expected), "{errors:?}");
        }
    }

    #[test]
    fn each_bad_value_is_an_error_at_its_place() {
        for (guard, expected) in [
            ("{share: 9%}", "1:32: `9%` is not a share (accepted are `10%` to `99%`)"),
            (
                "{share: 50%, thaw_share: 49%}",
                "1:49: a thaw_share of 49% holds already when more than the share (50%) fails (accepted are `50%` to `100%`)",
            ),
            (
                "{canaries: [192.0.2.1]}",
                "1:10: `monitor` is missing in `prober_guard` (accepted are `tcp`, `tcp_content`, `http`, `https`, `tls`, `dns`, `icmp`, `agent` and `exec`)",
            ),
            (
                "{canaries: [192.0.2.1, 192.0.2.1], monitor: tcp, monitor_params: {port: 1}}",
                "1:47: the address `192.0.2.1` is given twice (first given on line 1)",
            ),
        ] {
            assert_eq!(errors(&with(guard)), [expected], "{guard}");
        }
    }
}
