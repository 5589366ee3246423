//! The text that `/metrics` gives (Prometheus exposition format 0.0.4).
//!
//! Every metric begins with `steerd_`, but for the `process_` ones that all exporters name alike.

use crate::config::zone::choose::Served;
use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;

use super::live::{Current, Live};
use super::{logging, process};
use crate::health::Status;
use crate::state::counters::Counter;
use crate::state::health_table::Flags;

/// Everything, at one moment.
pub(super) fn text(live: &Live) -> String {
    let mut page = Page::default();
    let (current, status) = live.figures();
    write_workers(&mut page, live);
    write_config(&mut page, live, &current);
    write_members(&mut page, &current, &status);
    write_engine(&mut page, live);
    write_process(&mut page, live);
    page.text
}

/// A page being written.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    /// Begins a metric.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A metric that has one value.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}

fn write_workers(page: &mut Page, live: &Live) {
    let mut last = "";
    for counter in Counter::ALL {
        let (name, labels) = (format!("steerd_{}_total", counter.metric()), counter.labels());
        if counter.metric() != last {
            last = counter.metric();
            page.head(&name, "counter", help(last));
        }
        let total: u64 = live.workers.iter().map(|worker| worker.counters.get(*counter)).sum();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        page.line(format_args!("{name}{labels} {total}"));
    }
    let name = "steerd_worker_queries_total";
    page.head(name, "counter", "Messages received, by worker: how evenly the kernel spreads them.");
    for (index, worker) in live.workers.iter().enumerate() {
        let total = worker.counters.get(Counter::UdpQueries) + worker.counters.get(Counter::TcpQueries);
        page.line(format_args!("{name}{{worker=\"{index}\"}} {total}"));
    }
    let open = live.limits.open();
    page.single("steerd_tcp_connections_open", "gauge", "TCP connections open now.", open);
}

/// What a worker's metric means, for whoever reads the page.
fn help(metric: &str) -> &'static str {
    match metric {
        "queries" => "Messages received, by transport.",
        "responses" => "Replies by what they say.",
        "dropped" => "Messages without a reply, and replies that could not be sent, by reason.",
        "edns_queries" => "Queries with an OPT record.",
        "client_subnet_queries" => "Queries whose client subnet was read.",
        "cookies" => "Queries with a cookie, by what it was worth.",
        "rrl_dropped" => {
            "Replies over their client's rate that were not sent (with log_only: counted only), by class."
        }
        "rrl_slipped" => {
            "Replies over their client's rate sent truncated or as BADCOOKIE (with log_only: counted only), by class."
        }
        "pool_answers" => "Answers from pools by what the addresses were drawn from.",
        "rotation_rebuilds" => "Rotations derived anew because health had changed.",
        "snapshots_adopted" => "Configurations taken over, summed over workers.",
        "tcp_connections" => "TCP connections by what became of them.",
        "socket_errors" => "Failed system calls on sockets.",
        _ => "",
    }
}

fn write_config(page: &mut Page, live: &Live, current: &Current) {
    let load = |cell: &std::sync::atomic::AtomicU64| cell.load(Ordering::Relaxed);
    page.single(
        "steerd_config_generation",
        "gauge",
        "Number of the configuration in force.",
        current.generation,
    );
    page.single("steerd_names", "gauge", "Owner names served.", current.names);
    page.single(
        "steerd_topology_ranges",
        "gauge",
        "Address ranges of the topology.",
        current.topology_ranges,
    );
    if !current.zones.is_empty() {
        let name = "steerd_zone_file";
        page.head(
            name,
            "gauge",
            "1 for the version of a zone's file that is served: current, last_good or none.",
        );
        for (zone, served) in &current.zones {
            let version = match served {
                Served::Current => "current",
                Served::LastGood => "last_good",
                Served::Nothing => "none",
            };
            page.line(format_args!("{name}{{zone=\"{}\",version=\"{version}\"}} 1", escape(zone)));
        }
    }
    if !current.signed.is_empty() {
        let name = "steerd_zone_signatures_expire_seconds";
        page.head(name, "gauge", "When the first signature of a zone ends, in seconds of the Unix epoch; 0 while it cannot be signed and is not served.");
        for zone in &current.signed {
            page.line(format_args!("{name}{{zone=\"{}\"}} {}", escape(&zone.zone), zone.first_end));
        }
        let name = "steerd_zone_signatures_made_total";
        page.head(name, "counter", "Signatures made since the start, by zone.");
        for zone in &current.signed {
            page.line(format_args!("{name}{{zone=\"{}\"}} {}", escape(&zone.zone), zone.made));
        }
        let name = "steerd_zone_keys_made_total";
        page.head(
            name,
            "counter",
            "First keys made since the start because a zone had none: each needs a DS of its own.",
        );
        for zone in &current.signed {
            page.line(format_args!("{name}{{zone=\"{}\"}} {}", escape(&zone.zone), zone.keys_made));
        }
    }
    let help = "Signatures made over answers of several addresses, as health moved.";
    page.single("steerd_set_signatures_made_total", "counter", help, load(&live.sets.made));
    let help =
        "Signed names answered one address at a time until their sets are signed for the health there is.";
    page.single("steerd_set_signatures_waiting", "gauge", help, load(&live.sets.waiting));
    let reloads = "Configurations that went live after the first.";
    page.single("steerd_config_reloads_total", "counter", reloads, load(&live.reloads));
    let failures = "Configurations that were read and refused.";
    page.single("steerd_config_reload_failures_total", "counter", failures, load(&live.reloads_failed));
    let when = "When the configuration in force went live.";
    page.single("steerd_config_timestamp_seconds", "gauge", when, load(&live.configured_at_secs));
    let help = "1 when every worker answers from the configuration in force.";
    page.single("steerd_config_adopted", "gauge", help, u8::from(live.is_healthy()));
}

fn write_members(page: &mut Page, current: &Current, status: &Status) {
    let mut labels = Vec::new();
    for pool in &status.pools {
        for member in &pool.members {
            labels.push(format!(
                "pool=\"{}\",member=\"{}\",address=\"{}\"",
                escape(&pool.name),
                escape(&member.name),
                escape(&member.shown())
            ));
        }
    }
    let name = "steerd_pool_up";
    page.head(
        name,
        "gauge",
        "1 for a pool that counts as up: enough of its members, and enough of its weight.",
    );
    for pool in &status.pools {
        page.line(format_args!("{name}{{pool=\"{}\"}} {}", escape(&pool.name), u8::from(pool.word.is_up)));
    }
    let members = || status.pools.iter().flat_map(|pool| &pool.members).zip(&labels);
    let name = "steerd_member_state";
    page.head(name, "gauge", "1 for the state in force of a member: up, down or unknown.");
    for (member, labels) in members() {
        let state = member.word.state().as_str();
        page.line(format_args!("{name}{{{labels},state=\"{state}\"}} 1"));
    }
    let name = "steerd_member_state_since_seconds";
    page.head(name, "gauge", "Since when the state holds; 0 before the first verdict.");
    for (member, labels) in members() {
        page.line(format_args!("{name}{{{labels}}} {}", member.word.since_secs()));
    }
    let name = "steerd_member_weight";
    page.head(
        name,
        "gauge",
        "The weight that counts: less than configured while a member warms up, drains or asks for less.",
    );
    for (member, labels) in members() {
        let weight = member.word.effective_weight(member.weight) as f64 / 1000.0;
        page.line(format_args!("{name}{{{labels}}} {weight}"));
    }
    let name = "steerd_member_override";
    page.head(name, "gauge", "1 for a member over which an operator has decided, by what is in force.");
    for (member, labels) in members().filter(|(member, _)| member.word.flags().has_any(Flags::FORCED)) {
        let (word, flags) = (member.word, member.word.flags());
        let order = match word.weight_override() {
            Some(0) => "disable",
            _ if flags.has_any(Flags::DRAINING) => "drain",
            Some(_) => "weight",
            None => word.state().as_str(),
        };
        page.line(format_args!("{name}{{{labels},order=\"{order}\"}} 1"));
    }
    let name = "steerd_member_answers_total";
    page.head(name, "counter", "Answers whose first address was this member's.");
    for (index, (_, labels)) in members().enumerate() {
        page.line(format_args!("{name}{{{labels}}} {}", current.draws_of(index)));
    }
    let name = "steerd_member_probes_total";
    page.head(name, "counter", "Probes of the member's target by outcome.");
    for (member, labels) in members() {
        let health = &member.health;
        for (result, count) in
            [("success", health.succeeded), ("failure", health.failed), ("inconclusive", health.inconclusive)]
        {
            page.line(format_args!("{name}{{{labels},result=\"{result}\"}} {count}"));
        }
    }
}

fn write_engine(page: &mut Page, live: &Live) {
    let engine = live.board.engine();
    page.single("steerd_probe_targets", "gauge", "Different targets that are probed.", engine.targets);
    page.single("steerd_probes_in_flight", "gauge", "Probes under way.", engine.in_flight);
    page.single("steerd_probes_started_total", "counter", "Probes started.", engine.started);
    let help = "Probes that failed for a reason of this machine's own and changed no state.";
    page.single("steerd_probes_inconclusive_total", "counter", help, engine.inconclusive);
    let guard = engine.guard;
    let help = "1 while probes are not trusted and every state stays as it was (server.prober_guard).";
    page.single("steerd_health_frozen", "gauge", help, u8::from(guard.frozen_since_secs.is_some()));
    page.single("steerd_health_freezes_total", "counter", "How often that began.", guard.freezes);
    let help = "Probed addresses that are up.";
    page.single("steerd_guarded_addresses", "gauge", help, guard.figures.addresses);
    let help = "Of these, those that began to fail together.";
    page.single("steerd_guarded_addresses_failing", "gauge", help, guard.figures.failing);
    page.single("steerd_canaries", "gauge", "Canaries of the prober guard.", guard.figures.canaries);
    let help = "Canaries whose last probe failed.";
    page.single("steerd_canaries_failing", "gauge", help, guard.figures.canaries_failing);
    let help = "State changes that were not logged because the log was too slow.";
    page.single("steerd_state_changes_unlogged_total", "counter", help, engine.unlogged);
    let help = "Log lines dropped because the log's reader was too slow.";
    page.single("steerd_log_lines_dropped_total", "counter", help, logging::dropped_lines());
    let name = "steerd_probe_lateness_seconds";
    page.head(name, "summary", "How much later than planned probes started.");
    for quantile in [0.5, 0.99, 0.999] {
        let value = engine.lateness.quantile(quantile).as_secs_f64();
        page.line(format_args!("{name}{{quantile=\"{quantile}\"}} {value}"));
    }
    page.line(format_args!("{name}_sum {}", engine.lateness.sum().as_secs_f64()));
    page.line(format_args!("{name}_count {}", engine.lateness.count()));
    let help = "The most that a probe started later than planned.";
    page.single("steerd_probe_lateness_max_seconds", "gauge", help, engine.lateness.max().as_secs_f64());
}

fn write_process(page: &mut Page, live: &Live) {
    let name = "steerd_build_info";
    page.head(name, "gauge", "The version that runs.");
    page.line(format_args!("{name}{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")));
    let start = "Start of the process, in seconds of the Unix epoch.";
    page.single("process_start_time_seconds", "gauge", start, live.started_at_secs);
    let cpu = "Processor time, user and system.";
    page.single("process_cpu_seconds_total", "counter", cpu, process::cpu_secs());
    let resident = "Resident memory.";
    page.single("process_resident_memory_bytes", "gauge", resident, process::resident_octets());
    page.single("process_open_fds", "gauge", "Open file descriptors.", process::open_files());
}

/// A label's value as the format asks: backslash, double quote and line feed escaped.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_help_text_and_values_are_escaped() {
        for counter in Counter::ALL {
            assert!(!help(counter.metric()).is_empty(), "{counter:?}");
        }
        assert_eq!(escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
