//! The result as `key value` lines or as one JSON object.

use serde_json::{Map, Value, json};

use crate::run::Measured;

/// All figures by name. Times of single answers are in microseconds, CPU costs in nanoseconds a reply.
pub(crate) fn figures(measured: &Measured) -> Map<String, Value> {
    let tally = &measured.tally;
    let seconds = measured.length.as_secs_f64().max(f64::MIN_POSITIVE);
    let mut figures = Map::new();
    let mut put = |key: &str, value: Value| figures.insert(key.to_owned(), value);
    put("seconds", json!(round(seconds, 3)));
    put("sent", json!(tally.sent));
    put("replies", json!(measured.replies));
    put("qps", json!(round(measured.replies as f64 / seconds, 0)));
    put("right", json!(tally.right));
    put("wrong", json!(tally.all_wrong()));
    put("lost", json!(tally.all_lost()));
    put("late", json!(tally.late));
    for (what, why, count) in tally.reasons() {
        put(&format!("{what}-{why}"), json!(count));
    }
    for (key, part) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
        put(&format!("latency-us-{key}"), json!(round(tally.latency.quantile(part) as f64 / 1e3, 1)));
    }
    put("latency-us-max", json!(round(tally.latency.max() as f64 / 1e3, 1)));
    put("behind-us-p99.9", json!(round(tally.behind.quantile(0.999) as f64 / 1e3, 1)));
    put("load-idle", json!(round(measured.idle, 4)));
    if let Some(cost) = &measured.cost {
        let cpu_ns = cost.cpu.as_nanos() as f64 / (measured.replies as f64).max(1.0);
        put("cpu-ns", json!(round(cpu_ns, 1)));
        put("cpu-ns-user", json!(round(cpu_ns * cost.user_part(), 1)));
        put("cpu-ns-system", json!(round(cpu_ns * (1.0 - cost.user_part()), 1)));
        put("server-busy", json!(round(cost.cpu.as_secs_f64() / seconds, 4)));
    }
    figures
}

/// Writes them to standard output.
#[expect(clippy::print_stdout, reason = "a program whose result is what it prints")]
pub(crate) fn print(figures: Map<String, Value>, as_json: bool) {
    if as_json {
        println!("{}", Value::Object(figures));
    } else {
        figures.iter().for_each(|(key, value)| println!("{key} {value}"));
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
