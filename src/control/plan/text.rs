//! Plans for people: a table a pool, and a line for whatever else is to be known. In percent of what stands above it.

use std::fmt::{self, Write};

use super::clients::Told;
use super::compare::{ClassChange, Comparison, EPSILON, Top, UnitChange};
use super::failures::{Failures, PoolFailures};
use super::terrain::ChangedBlock;
use crate::config::failures::units_text;
use crate::state::hash_slots::MAX_SLOTS;

/// Members of a failing pool that stand in one table at most; more of them have a line a case with those above their capacity.
const MAX_COLUMNS: usize = 8;

/// A part of 1 in percent.
fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

/// A difference in percent, with its sign.
fn signed(part: f64) -> String {
    match part.abs() <= EPSILON {
        true => "-".to_owned(),
        false => format!("{:+.2} %", part * 100.0),
    }
}

/// Columns as wide as their widest cell, indented; the first one to the left, the others to the right.
fn write_table(rows: &[Vec<String>], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(move |row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let mut line = String::from("  ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match column {
                0 => write!(line, "{cell:width$}")?,
                _ => write!(line, "  {cell:>width$}")?,
            }
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

fn write_top<T>(
    label: &str,
    (kept, count): &Top<T>,
    f: &mut fmt::Formatter<'_>,
    line: impl Fn(&T) -> String,
) -> fmt::Result {
    if *count == 0 {
        return Ok(());
    }
    writeln!(f, "{label}: {count}")?;
    for item in kept {
        writeln!(f, "  {}", line(item))?;
    }
    if kept.len() < *count { writeln!(f, "  and {} more", count - kept.len()) } else { Ok(()) }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        if let Some(told) = self.told {
            write_told(told, f)?;
        }
        if self.is_unchanged() {
            writeln!(f, "no change")?;
        } else {
            for unit in &self.units {
                write_unit(unit, f)?;
            }
            let shift = percent(self.whole.shift);
            writeln!(f, "all traffic: shift {shift}, moved {}", percent(self.whole.moved))?;
            let rows = self.regions.iter().map(|(name, shares)| shares_row(name.clone(), *shares));
            if self.regions.iter().any(|(name, _)| name != "-") {
                let head = ["region", "before", "after", "change"].map(str::to_owned).to_vec();
                write_table(&[head].into_iter().chain(rows).collect::<Vec<_>>(), f)?;
            }
            self.write_lists(f)?;
        }
        self.write_odd(f)
    }
}

impl Comparison {
    fn write_lists(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (label, pools) in [("pools added", &self.pools_added), ("pools removed", &self.pools_removed)] {
            if !pools.is_empty() {
                writeln!(f, "{label}: {}", pools.join(", "))?;
            }
        }
        write_top("names added", &self.names_added, f, Clone::clone)?;
        write_top("names removed", &self.names_removed, f, Clone::clone)?;
        write_top("names of another pool", &self.names_moved, f, |(name, [before, after])| {
            format!("{name}: {before} -> {after}")
        })?;
        let region = |name: &Option<String>| name.clone().unwrap_or_else(|| "no region".to_owned());
        write_top("prefixes of another region", &self.moved, f, |block: &ChangedBlock| {
            format!("{}: {} -> {}", block.net, region(&block.old), region(&block.new))
        })?;
        write_top("prefixes of another scope", &self.rescoped, f, |block| {
            let [before, after] = block.scope_lens;
            format!("{}: client-subnet scope /{before} -> /{after}", block.net)
        })
    }

    /// What is to be known of clients and prefixes whether something changes or not.
    fn write_odd(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (label, nets) in ["before", "after"].iter().zip(&self.shadowed) {
            if !nets.is_empty() {
                let nets: Vec<String> = nets.iter().map(|net| net.to_string()).collect();
                writeln!(f, "prefixes that no client matches, {label}: {}", nets.join(", "))?;
            }
        }
        for (label, [before, after]) in [
            ("clients outside every region", self.outside),
            ("traffic that no pool has addresses for", self.no_pool),
        ] {
            if before > 0.0 || after > 0.0 {
                writeln!(f, "{label}: {} before, {} after", percent(before), percent(after))?;
            }
        }
        if self.spanning > 0 {
            writeln!(
                f,
                "clients of more than one region, which count as their first address: {}",
                self.spanning
            )?;
        }
        Ok(())
    }
}

fn write_told(told: Told, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match told {
        Told::Lines(lines) => writeln!(f, "clients: {lines} lines"),
        Told::Capture(captured) => {
            write!(
                f,
                "clients: {} queries for addresses in {} packets, {} with a client subnet; {} queries for other types",
                captured.queries, captured.packets, captured.with_subnet, captured.other_types
            )?;
            for (count, label) in [
                (captured.truncated, "captured too short"),
                (captured.fragments, "fragments"),
                (captured.others, "no queries over UDP to the server's ports"),
            ] {
                if count > 0 {
                    write!(f, ", {count} {label}")?;
                }
            }
            writeln!(f, "{}", if captured.is_cut { "; the file ends within a packet" } else { "" })
        }
    }
}

fn shares_row(name: String, [before, after]: [f64; 2]) -> Vec<String> {
    vec![name, percent(before), percent(after), signed(after - before)]
}

fn write_unit(unit: &UnitChange, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "pool {} ({}): ", unit.pool, unit.family)?;
    match unit.change {
        None if unit.parts[0] > 0.0 || unit.rows.iter().any(|row| row.shares[0] > 0.0) => {
            write!(f, "only before")?
        }
        None => write!(f, "only after")?,
        Some(change) if change.moved <= EPSILON => write!(f, "no change")?,
        Some(change) => write!(f, "shift {}, moved {}", percent(change.shift), percent(change.moved))?,
    }
    let [before, after] = unit.parts;
    writeln!(f, "; {} of all traffic before, {} after", percent(before), percent(after))?;
    let head = ["member", "before", "after", "change"].map(str::to_owned).to_vec();
    let rows = unit.rows.iter().map(|row| {
        let address = row.address.to_string();
        let name = match &row.name {
            Some(name) if *name != address => format!("{name} ({address})"),
            Some(_) => address,
            None => format!("fallback {address}"),
        };
        shares_row(name, row.shares)
    });
    let mut table: Vec<Vec<String>> = [head].into_iter().chain(rows).collect();
    if unit.regions.iter().any(|(name, _)| name != "-") {
        table.extend(unit.regions.iter().map(|(name, shares)| shares_row(format!("region {name}"), *shares)));
    }
    write_table(&table, f)?;
    if let Some([before, after]) = &unit.scopes {
        writeln!(f, "  client-subnet scope: {before} -> {after}")?;
    }
    // A slot without a client in it says nothing to anybody.
    let slots = |kept: &[ClassChange]| kept.iter().all(|class| class.example.is_none() && kept.len() > 1);
    match &unit.classes {
        (kept, count) if *count > 1 && slots(kept) => {
            writeln!(f, "  networks answered otherwise: those in {count} of {MAX_SLOTS} slots")?;
        }
        classes => write_top("  clients answered otherwise", classes, f, class_text)?,
    }
    write_top("  clients answered without members", &unit.without_members, f, |class| {
        let [before, after] = class.answers.map(|answer| answer.as_str());
        format!("  {}: {before} -> {after}", class_text(class))
    })
}

fn class_text(class: &ClassChange) -> String {
    let mut text = match &class.places {
        [before, after] if before == after => before.clone(),
        [before, after] => format!("{before} -> {after}"),
    };
    if let Some(example) = class.example {
        text.push_str(&format!(" (as {example})"));
    }
    format!("  {text}: {} of the traffic, shift {}", percent(class.weight), percent(class.shift))
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        for pool in &self.pools {
            write_pool(pool, self.most, f)?;
        }
        Ok(())
    }
}

fn write_pool(pool: &PoolFailures, most: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "pool {}: demand {}", pool.pool, pool.demand)?;
    match pool.worst() {
        None => writeln!(f, ", nobody above {} of a capacity", percent(most))?,
        Some((case, member, ratio)) => writeln!(
            f,
            ", worst: {} fails, {} carries {} ({})",
            case.failed,
            pool.members[member].name,
            units_text(case.loads[member]),
            percent(ratio)
        )?,
    }
    let cell = |at: usize, load: f64, is_above: bool| {
        let capacity = pool.members[at].capacity.map(|capacity| format!("/{capacity}")).unwrap_or_default();
        format!("{}{capacity}{}", units_text(load), if is_above { " !" } else { "" })
    };
    let label = |kind: &str, failed: &str| match kind {
        "region" => format!("region {failed}"),
        _ => failed.to_owned(),
    };
    let is_wide = pool.members.len() > MAX_COLUMNS;
    let names = pool.members.iter().map(|member| member.name.clone());
    let head = match is_wide {
        true => vec!["failed".to_owned(), "the others".to_owned()],
        false => ["failed".to_owned()].into_iter().chain(names).collect(),
    };
    let mut table = vec![head];
    for case in &pool.cases {
        let mut row = vec![label(case.kind, &case.failed)];
        if is_wide {
            let told = case.overloaded.iter().take(MAX_COLUMNS);
            let told =
                told.map(|at| format!("{} {}", pool.members[*at].name, cell(*at, case.loads[*at], true)));
            let mut text = told.collect::<Vec<_>>().join(", ");
            match case.overloaded.len() {
                0 => text.push_str("within their capacities"),
                MAX_COLUMNS.. => text.push_str(&format!(", {} above in all", case.overloaded.len())),
                _ => {}
            }
            row.push(text);
        } else {
            let cells = case.loads.iter().enumerate();
            row.extend(cells.map(|(at, load)| cell(at, *load, case.overloaded.contains(&at))));
        }
        table.push(row);
    }
    write_table(&table, f)
}
