//! Tables of latencies: a line each, `CLIENT REGION MILLISECONDS`.
//!
//! A client is a region of the topology or a prefix; the region is that of members. Checks everything, orders nothing.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::super::cause::{Cause, Found};
use super::super::events::Scalar;
use super::super::report::{FileId, Findings};
use super::super::scalars::{duration, percent};
use super::super::suggest;
use super::super::topology::prefix_of;
use super::cause::PlaceCause;
use super::lines::{Word, lines};
use crate::config::model::{Hysteresis, LatencyTable};

/// Most lines of a table.
const MAX_LINES: usize = 4_000_000;
/// The longest latency; who takes longer is not reached.
const MAX_MILLIS: f64 = 60_000.0;
const ACCEPTED: &str = "CLIENT REGION MILLISECONDS";

/// Reads a table; regions by their names.
pub(in crate::config) fn read_table(
    path: &Path,
    text: &str,
    regions: &HashMap<&str, u16>,
    file: FileId,
    findings: &mut Findings,
) -> LatencyTable {
    let mut table = LatencyTable { path: path.to_owned(), ..LatencyTable::default() };
    let mut first_lines: HashMap<(Client, u16), u32> = HashMap::new();
    let mut rows: HashMap<Client, usize> = HashMap::new();
    for (count, line) in lines(text).enumerate() {
        if count == MAX_LINES {
            findings.error(file, line.end(), Cause::TooMany { what: "lines", limit: MAX_LINES });
            break;
        }
        let mut words = line.words();
        let fields = [words.next(), words.next(), words.next()];
        let [Some(client_word), Some(region_word), Some(millis)] = fields else {
            let field = if fields[1].is_none() { "REGION" } else { "MILLISECONDS" };
            findings.error(file, line.end(), PlaceCause::MissingField { field, accepted: ACCEPTED }.into());
            continue;
        };
        if let Some(extra) = words.next() {
            let cause = PlaceCause::ExtraField { text: Found::new(extra.text), accepted: ACCEPTED };
            findings.error(file, extra.span, cause.into());
            continue;
        }
        let mut or_report = |word: Word<'_>, cause: Cause| findings.error(file, word.span, cause);
        let client = client(client_word, regions).map_err(|cause| or_report(client_word, cause)).ok();
        let region = regions.get(region_word.text).copied();
        if region.is_none() {
            let closest = suggest::closest(region_word.text, regions.keys().copied()).map(Found::new);
            or_report(region_word, Cause::UnknownRegion { name: Found::new(region_word.text), closest });
        }
        let micros = micros(millis.text);
        if micros.is_none() {
            or_report(millis, PlaceCause::NotLatency { text: Found::new(millis.text) }.into());
        }
        let (Some(client), Some(region), Some(micros)) = (client, region, micros) else { continue };
        if let Some(first_line) = first_lines.insert((client, region), client_word.span.line) {
            let (client, region) = (Found::new(client_word.text), Found::new(region_word.text));
            or_report(client_word, PlaceCause::LatencyTwice { client, region, first_line }.into());
            continue;
        }
        let row = *rows.entry(client).or_insert_with(|| {
            let row = table.rows.len();
            table.rows.push(Vec::new());
            match client {
                Client::Region(region) => drop(table.by_region.insert(region, row as u32)),
                Client::Prefix(net) => table.by_prefix.push((net, row as u32)),
            }
            row
        });
        table.rows[row].push((region, micros));
    }
    for row in &mut table.rows {
        row.sort_by_key(|(region, micros)| (*micros, *region));
        row.shrink_to_fit();
    }
    table
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Client {
    Region(u16),
    Prefix(IpNet),
}

fn client(word: Word<'_>, regions: &HashMap<&str, u16>) -> Result<Client, Cause> {
    if let Some(region) = regions.get(word.text) {
        return Ok(Client::Region(*region));
    }
    prefix_of(word.text).map(Client::Prefix).map_err(|cause| match cause {
        Cause::NotPrefix { text } => {
            let closest = suggest::closest(word.text, regions.keys().copied()).map(Found::new);
            PlaceCause::NotClient { text, closest }.into()
        }
        cause => cause,
    })
}

/// Millionths of a second of a number of milliseconds.
fn micros(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.');
    let millis: f64 = text.parse().ok().filter(|_| is_number)?;
    (millis <= MAX_MILLIS).then(|| (millis * 1000.0).round() as u32)
}

/// `10ms` or `20%`.
pub(in crate::config) fn hysteresis(scalar: &Scalar<'_>) -> Result<Hysteresis, Cause> {
    let read = match scalar.text.ends_with('%') {
        true => percent(0..=99)(scalar).map(Hysteresis::Percent),
        false => duration(Duration::ZERO, Duration::from_secs(60))(scalar)
            .map(|time| Hysteresis::Micros(time.as_micros() as u32)),
    };
    read.map_err(|_| PlaceCause::NotHysteresis { text: Found::new(&scalar.text) }.into())
}
