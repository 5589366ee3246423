//! An explanation as JSON, for programs. The words are those of the text where these are words of the configuration.

use serde_json::{Value, json};

use super::Explanation;
use super::events::{Event, MemberRow, NodeRow, Place, PoolEvent, Sought};
use super::query::TypeName;
use super::reply::{RecordText, ReplyText};
use crate::state::clients::LocatedBy;
use crate::state::rotation::Source;

impl Explanation {
    /// All of it.
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.asked.name.to_string(),
            "type": TypeName(self.asked.rtype).to_string(),
            "client": self.asked.client,
            "client_subnet": self.asked.subnet.map(|net| net.to_string()),
            "transport": if self.asked.is_tcp { "tcp" } else { "udp" },
            "generation": self.generation,
            "notes": self.notes,
            "steps": self.events.iter().map(event).collect::<Vec<_>>(),
            "reply": self.reply.as_ref().map(reply),
        })
    }
}

fn event(event: &Event) -> Value {
    match event {
        Event::Name(name) => {
            json!({ "step": "name", "name": name.name, "found": name.found, "owner": name.owner, "zone": name.zone })
        }
        Event::OtherClass => json!({ "step": "other_class" }),
        Event::Transfer => json!({ "step": "transfer" }),
        Event::ZoneNotLoaded => json!({ "step": "zone_not_loaded" }),
        Event::ZoneRefused { pool } => json!({ "step": "zone_refused", "pool": pool }),
        Event::Client(client) => {
            let source = if client.is_subnet { "client_subnet" } else { "packet" };
            let (by, region, slot, prefix_len) = match &client.place {
                Place::Anywhere => ("nothing", None, None, None),
                Place::Region { name, uniform_len, .. } => ("region", name.clone(), None, Some(*uniform_len)),
                Place::Slot { slot, prefix_len } => ("network", None, Some(*slot), Some(*prefix_len)),
            };
            json!({
                "step": "client", "address": client.address, "source": source, "by": by, "region": region, "slot": slot,
                "prefix_len": prefix_len, "location": location(&client.place),
            })
        }
        Event::NoFamily { pool } => json!({ "step": "no_family", "pool": pool }),
        Event::Pool(draw) => pool(draw),
        Event::Exhausted { pool, fallback } => {
            json!({ "step": "exhausted", "pool": pool, "fallback": fallback })
        }
        Event::Records { rtype } => json!({ "step": "records", "type": TypeName(*rtype).to_string() }),
        Event::Made { rtype } => json!({ "step": "made", "type": TypeName(*rtype).to_string() }),
        Event::NoData => json!({ "step": "no_data" }),
        Event::Minimal => json!({ "step": "minimal_any" }),
        Event::Alias => json!({ "step": "alias" }),
        Event::Referral => json!({ "step": "referral" }),
    }
}

fn pool(draw: &PoolEvent) -> Value {
    let drawn = |(name, address): &(String, String)| json!({ "name": name, "address": address });
    json!({
        "step": "draw",
        "pool": draw.pool,
        "family": draw.family,
        "method": draw.method,
        "fallback": draw.fallback,
        "max_addrs_returned": draw.max_addrs_returned,
        "looked_in": draw.looked_in.as_ref().map(looked_in),
        "anywhere": draw.is_anywhere,
        "source": source(draw.source),
        "pools": draw.nodes.iter().map(node).collect::<Vec<_>>(),
        "members": draw.members.iter().map(member).collect::<Vec<_>>(),
        "total": draw.total,
        "position": if draw.is_hashed { None } else { Some(draw.position) },
        "drawn": draw.answer.iter().map(drawn).collect::<Vec<_>>(),
        "ttl": {
            "told": draw.ttl.told_secs, "max": draw.ttl.max_secs, "min": draw.ttl.min_secs,
            "flip": if draw.ttl.flip_secs > 0 { Some(draw.ttl.flip_secs) } else { None },
        },
    })
}

fn looked_in((places, then_anywhere): &(Vec<Sought>, bool)) -> Value {
    let names: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
    let km: Vec<_> = places.iter().map(|place| place.km.map(rounded)).collect();
    let millis: Vec<_> = places.iter().map(|place| place.millis).collect();
    json!({ "regions": names, "km": km, "ms": millis, "then_anywhere": then_anywhere })
}

fn node(row: &NodeRow) -> Value {
    json!({
        "pool": row.pool,
        "method": row.method,
        "up": row.counts_as_up,
        "looked_in": row.looked_in.as_ref().map(looked_in),
        "share": row.share_millionths.map(|share| f64::from(share) / 1e6),
    })
}

/// Where on the globe the client is taken to be.
fn location(place: &Place) -> Option<Value> {
    let Place::Region { location: Some(location), .. } = place else { return None };
    let by = match location.by {
        LocatedBy::Region => "region",
        LocatedBy::Database => "database",
    };
    let at = location.coordinates;
    Some(json!({
        "latitude": at.latitude(), "longitude": at.longitude(), "by": by, "error_km": rounded(location.error_km),
    }))
}

/// To a tenth: a distance is of the middle of a place.
fn rounded(km: f64) -> f64 {
    (km * 10.0).round() / 10.0
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Up => "up",
        Source::Frozen => "frozen",
        Source::Unknown => "unknown",
        Source::Fallback => "fallback",
        Source::Empty => "empty",
    }
}

fn member(row: &MemberRow) -> Value {
    json!({
        "name": row.name,
        "address": row.address,
        "region": row.region,
        "state": row.state.map(|state| state.as_str()),
        "age": row.age_secs,
        "reason": row.reason,
        "weight": row.weight,
        "capacity": row.capacity,
        "weight_override": row.weight_override,
        "permille": row.permille,
        "overridden": row.is_overridden,
        "frozen": row.is_frozen,
        "share": row.share,
        "standing": row.standing,
    })
}

fn reply(reply: &ReplyText) -> Value {
    let [answer, authority, additional] = &reply.sections;
    let records = |section: &[RecordText]| {
        let one = |record: &RecordText| json!({ "owner": record.owner, "ttl": record.ttl_secs, "type": record.rtype, "data": record.data });
        section.iter().map(one).collect::<Vec<_>>()
    };
    json!({
        "octets": reply.octets,
        "rcode": reply.rcode,
        "aa": reply.is_authoritative,
        "tc": reply.is_truncated,
        "scope_len": reply.scope_len,
        "extended_error": reply.extended.as_ref().map(|(code, text)| json!({ "code": code, "text": text })),
        "answer": records(answer),
        "authority": records(authority),
        "additional": records(additional),
    })
}
