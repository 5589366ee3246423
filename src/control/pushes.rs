//! Members whose state is pushed: requests at the control socket, and what a line of text says.
//!
//! `{"verb": "push", "list": [{"pool": "web", "member": "web1", "says": "up 75%", "ttl_ms": 30000, "why": "..."}]}` is answered by
//! `{"pushed": 1}` once all of it counts, or by `error`; then nothing of it does. `ttl_ms` and `why` may be missing.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::overrides::{RequestError, request};
use crate::health::push::{MAX_PUSHES, PushError, Pusher};

pub use crate::health::push::Push;

/// For how long what is pushed may hold.
pub const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// Octets of the entries of one request: what the server reads, with room for what is around them.
const LIST_MAX_OCTETS: usize = (1 << 20) - 1024;
/// Octets of each text: of a pool's name, the longest of them.
const MAX_TEXT_OCTETS: usize = 1024;

/// Why nothing was taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// A field of an entry.
    #[error("push {number}: `{field}` is missing or wrong: accepted is {accepted}")]
    Field { number: usize, field: &'static str, accepted: &'static str },
    /// No list, or one of the wrong length.
    #[error("`list` is missing or wrong: accepted are 1 to {MAX_PUSHES} entries")]
    List,
    /// The engine says no.
    #[error(transparent)]
    Push(#[from] PushError),
}

/// Carries out a request.
pub(super) fn answer(asked: &Value, pusher: &Pusher) -> Result<Value, Refusal> {
    let list = asked["list"].as_array().filter(|list| (1..=MAX_PUSHES).contains(&list.len()));
    let list = list.ok_or(Refusal::List)?.iter().enumerate();
    let list: Vec<Push> =
        list.map(|(index, entry)| read(entry, index + 1)).collect::<Result<_, Refusal>>()?;
    pusher.push(&list)?;
    Ok(json!({ "pushed": list.len() }))
}

fn read(entry: &Value, number: usize) -> Result<Push, Refusal> {
    let text = |field: &'static str| match &entry[field] {
        Value::String(text) if text.len() <= MAX_TEXT_OCTETS => Ok(text.clone()),
        _ => Err(Refusal::Field { number, field, accepted: "a text of at most 1024 octets" }),
    };
    let ttl = match &entry["ttl_ms"] {
        Value::Null => None,
        ms => {
            let ttl = ms.as_u64().map(Duration::from_millis).filter(|ttl| TTL.contains(ttl));
            let accepted = "1000 to 86400000";
            Some(ttl.ok_or(Refusal::Field { number, field: "ttl_ms", accepted })?)
        }
    };
    let why = if entry["why"].is_null() { String::new() } else { text("why")? };
    Ok(Push { pool: text("pool")?, member: text("member")?, says: text("says")?, ttl, why })
}

/// Pushes these at the server whose state directory this is, in as many requests as it takes; returns how many count. All of a
/// request does or nothing; those before it stay.
///
/// # Errors
/// [`RequestError`]; what was pushed before it counts.
pub fn push(state_dir: &Path, list: &[Push]) -> Result<usize, RequestError> {
    let one = |push: &Push| {
        json!({
            "pool": push.pool, "member": push.member, "says": push.says, "why": push.why,
            "ttl_ms": push.ttl.map(|ttl| ttl.as_millis() as u64),
        })
    };
    let send = |entries: &mut Vec<Value>| {
        let asked = json!({ "verb": "push", "list": std::mem::take(entries) });
        request(state_dir, &asked).map(drop)
    };
    let (mut entries, mut octets) = (Vec::new(), 0);
    for push in list {
        let entry = one(push);
        let len = entry.to_string().len();
        if entries.len() == MAX_PUSHES || (octets + len > LIST_MAX_OCTETS && !entries.is_empty()) {
            send(&mut entries)?;
            octets = 0;
        }
        octets += len + 1;
        entries.push(entry);
    }
    if !entries.is_empty() {
        send(&mut entries)?;
    }
    Ok(list.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_each_wrong_field_is_named() {
        let good = json!({ "pool": "web", "member": "web1", "says": "up 75%", "ttl_ms": 1500, "why": "x" });
        let push = read(&good, 1).unwrap();
        assert_eq!((push.ttl, &*push.says, &*push.why), (Some(Duration::from_millis(1500)), "up 75%", "x"));
        let bare = json!({ "pool": "web", "member": "web1", "says": "up" });
        assert_eq!(read(&bare, 1).unwrap().ttl, None);
        for (field, value, accepted) in [
            ("pool", json!(1), "a text of at most 1024 octets"),
            ("says", Value::Null, "a text of at most 1024 octets"),
            ("member", json!("x".repeat(1025)), "a text of at most 1024 octets"),
            ("ttl_ms", json!(999), "1000 to 86400000"),
            ("ttl_ms", json!("1s"), "1000 to 86400000"),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            let expected = format!("push 7: `{field}` is missing or wrong: accepted is {accepted}");
            assert_eq!(read(&bad, 7).unwrap_err().to_string(), expected);
        }
    }
}
