//! An explanation for people: a line a step, members in a table, the reply at the end.

use std::fmt;

use super::Explanation;
use super::events::{ClientEvent, Event, MemberRow, NameEvent, Place, PoolEvent, Sought, TtlEvent};
use super::query::TypeName;
use super::reply::ReplyText;
use crate::state::clients::LocatedBy;
use crate::state::rotation::Source;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = &self.asked;
        let transport = if asked.is_tcp { "TCP" } else { "UDP" };
        write!(f, "{} {} from {} over {transport}", asked.name, TypeName(asked.rtype), asked.client)?;
        if let Some(subnet) = asked.subnet {
            write!(f, " with client subnet {subnet}")?;
        }
        writeln!(f, ", configuration generation {}", self.generation)?;
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        writeln!(f)?;
        for (number, event) in self.events.iter().enumerate() {
            write!(f, "{}. ", number + 1)?;
            write_event(event, f)?;
        }
        match &self.reply {
            Some(reply) => write_reply(reply, f),
            None => writeln!(f, "\nno reply"),
        }
    }
}

fn write_event(event: &Event, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match event {
        Event::Name(name) => write_name(name, f),
        Event::OtherClass => writeln!(f, "the class is not IN"),
        Event::Transfer => writeln!(f, "transfers are not offered"),
        Event::ZoneNotLoaded => {
            writeln!(f, "the zone's data could not be read, and the name is tied to no pool")
        }
        Event::ZoneRefused { pool } => {
            writeln!(f, "nobody of pool {pool} can be drawn, and its fallback refuses the whole name")
        }
        Event::Client(client) => write_client(client, f),
        Event::NoFamily { pool } => writeln!(f, "pool {pool} lists no enabled member of this family"),
        Event::Pool(pool) => write_pool(pool, f),
        Event::Exhausted { pool, fallback } => {
            writeln!(f, "nobody of pool {pool} can be drawn: fallback {fallback}")
        }
        Event::Records { rtype } => writeln!(f, "answered with its own {} records", TypeName(*rtype)),
        Event::Made { rtype } => {
            writeln!(f, "answered with {} records made of who can be drawn", TypeName(*rtype))
        }
        Event::NoData => writeln!(f, "it has no such records: NODATA with the zone's SOA"),
        Event::Minimal => writeln!(f, "ANY is answered with as little as may be (RFC 8482)"),
        Event::Alias => writeln!(f, "an alias leads on"),
        Event::Referral => writeln!(f, "delegated: referred to its name servers"),
    }
}

fn write_name(name: &NameEvent, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let owner = name.owner.as_deref().unwrap_or_default();
    match name.found {
        "itself" => write!(f, "{} exists", name.name)?,
        "wildcard" => write!(f, "{} does not exist: wildcard {owner} stands for it", name.name)?,
        "cut" => write!(f, "{} lies at or below the zone cut {owner}", name.name)?,
        "dname" => write!(f, "{} lies below the DNAME record of {owner}", name.name)?,
        "missing" => write!(f, "{} does not exist; the closest name that does is {owner}", name.name)?,
        _ => write!(f, "{} is of no zone and no globalname of this server", name.name)?,
    }
    match &name.zone {
        Some(zone) => writeln!(f, ", in zone {zone}"),
        None => writeln!(f),
    }
}

fn write_client(client: &ClientEvent, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let source = if client.is_subnet { "of the client subnet" } else { "of the packet" };
    write!(f, "client {} ({source})", client.address)?;
    match &client.place {
        Place::Anywhere => writeln!(f, ": to this pool all clients are alike"),
        Place::Region { name, uniform_len, location } => {
            match name {
                Some(name) => write!(f, ": region {name}")?,
                None => write!(f, ": in no region")?,
            }
            if let Some(location) = location {
                let by = match location.by {
                    LocatedBy::Region => "its region",
                    LocatedBy::Database => "a database",
                };
                write!(f, ", at {} by {by}", location.coordinates)?;
                if location.error_km > 0.0 {
                    write!(f, " (to {:.1} km)", location.error_km)?;
                }
            }
            writeln!(f, ", as all of its /{uniform_len}")
        }
        Place::Slot { slot, prefix_len } => writeln!(f, ": slot {slot}, as all of its /{prefix_len}"),
    }
}

fn write_pool(pool: &PoolEvent, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "pool {}, {}: {}; at most {} addresses, fallback {}",
        pool.pool, pool.family, pool.method, pool.max_addrs_returned, pool.fallback
    )?;
    if let Some((regions, then_anywhere)) = &pool.looked_in {
        let texts: Vec<String> = regions.iter().map(sought).collect();
        let regions = if texts.is_empty() { "no region".to_owned() } else { texts.join(", ") };
        let then = if *then_anywhere { ", then anywhere" } else { ", then the fallback" };
        let came_to = if pool.is_anywhere { ": nobody there, so anywhere" } else { "" };
        writeln!(f, "   looked for in {regions}{then}{came_to}")?;
    }
    write_nodes(pool, f)?;
    write_members(pool, f)?;
    let drawn: Vec<String> = pool
        .answer
        .iter()
        .map(|(name, address)| if name == address { name.clone() } else { format!("{name} ({address})") })
        .collect();
    let source = match pool.source {
        Source::Up => "from members that are up",
        Source::Frozen => "from members that were up when states froze",
        Source::Unknown => "from members without a verdict, for none is up",
        Source::Fallback => "from the fallback, for nobody can be drawn",
        Source::Empty => return writeln!(f, "   drawn: nobody can be"),
    };
    write!(f, "   drawn {source}: {}", drawn.join(", "))?;
    match pool.is_hashed {
        true => writeln!(f, ", the first of the slot's order that can be")?,
        false => writeln!(f, ", at position {} of {}", pool.position, pool.total)?,
    }
    write_ttl(&pool.ttl, f)
}

/// The pools of a tree, each with what flows through it.
fn write_nodes(pool: &PoolEvent, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for node in pool.nodes.iter().skip(1) {
        let standing = if node.counts_as_up { "up" } else { "not up" };
        let share = match node.share_millionths {
            Some(share) => format!("{:.2} % of the load", f64::from(share) / 1e4),
            None => "nobody in it can be drawn".to_owned(),
        };
        write!(f, "   pool {}: {standing}, {share}; {}", node.pool, node.method)?;
        match &node.looked_in {
            Some((regions, _)) if regions.is_empty() => writeln!(f, ", in no region first")?,
            Some((regions, _)) => {
                writeln!(f, ", in {} first", regions.iter().map(sought).collect::<Vec<_>>().join(", "))?
            }
            None => writeln!(f)?,
        }
    }
    Ok(())
}

fn sought(place: &Sought) -> String {
    match (place.km, place.millis) {
        (Some(km), _) => format!("{} ({km:.0} km)", place.name),
        (None, Some(millis)) => format!("{} ({millis} ms)", place.name),
        (None, None) => place.name.clone(),
    }
}

fn write_ttl(ttl: &TtlEvent, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let TtlEvent { told_secs, max_secs, min_secs, flip_secs } = ttl;
    match (max_secs == min_secs, flip_secs) {
        (true, _) => writeln!(f, "   TTL {told_secs}: fixed"),
        (false, 0) => writeln!(f, "   TTL {told_secs}: the largest, for no change of state is in sight"),
        (false, secs) => {
            writeln!(f, "   TTL {told_secs}: a state can change in {secs} s, kept to {min_secs}..{max_secs}")
        }
    }
}

/// A table: `*` before who is drawn.
fn write_members(pool: &PoolEvent, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let head =
        ["", "member", "address", "region", "state", "for", "weight", "share", "why"].map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(pool.members.iter().map(|row| cells(row, pool)));
    let mut widths = [0; 9];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let padded = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(f, "   {}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn cells(row: &MemberRow, pool: &PoolEvent) -> [String; 9] {
    let is_drawn = row.share.is_some() && pool.answer.iter().any(|(_, address)| *address == row.address);
    let mut weight = row.weight_override.unwrap_or(row.weight).to_string();
    if row.weight_override.is_some() {
        weight.push_str(" (override)");
    }
    if row.permille != 1000 {
        weight.push_str(&format!(" x {}/1000", row.permille));
    }
    if let Some(capacity) = row.capacity {
        weight.push_str(&format!(", room for {capacity}"));
    }
    let mut why = row.standing.to_owned();
    for more in
        [row.reason.as_deref(), row.is_overridden.then_some("overridden"), row.is_frozen.then_some("frozen")]
            .into_iter()
            .flatten()
    {
        why.push_str("; ");
        why.push_str(more);
    }
    [
        if is_drawn { "*" } else { "" }.to_owned(),
        row.name.clone(),
        row.address.clone(),
        row.region.clone().unwrap_or_else(|| "-".into()),
        row.state.map_or("-", |state| state.as_str()).to_owned(),
        row.age_secs.map_or_else(|| "-".into(), age),
        weight,
        match (row.share, pool.is_hashed) {
            (None, _) => "-".into(),
            // Of the networks that the member is first for.
            (Some(share), true) => format!("{} %", u64::from(share) * 100 / 65_536),
            (Some(share), false) => format!("{share}/{}", pool.total),
        },
        why,
    ]
}

fn age(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs} s"),
        120..7200 => format!("{} min", secs / 60),
        7200..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} d", secs / 86_400),
    }
}

fn write_reply(reply: &ReplyText, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "\nreply: {}", reply.rcode)?;
    if reply.is_authoritative {
        write!(f, ", authoritative")?;
    }
    if reply.is_truncated {
        write!(f, ", truncated: it does not fit, and is asked again over TCP")?;
    }
    if let Some(scope_len) = reply.scope_len {
        write!(f, ", for all of the subnet's /{scope_len}")?;
    }
    if let Some((code, text)) = &reply.extended {
        write!(f, ", extended error {code} ({text})")?;
    }
    writeln!(f, ", {} octets", reply.octets)?;
    for (section, label) in reply.sections.iter().zip(["answer", "authority", "additional"]) {
        for record in section {
            writeln!(
                f,
                "  {label}: {} {} IN {} {}",
                record.owner, record.ttl_secs, record.rtype, record.data
            )?;
        }
    }
    Ok(())
}
