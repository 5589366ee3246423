//! What operators decide over members: kept in a file, taken over a socket, handed to the keeper. The socket has explanations too
//! (`why/live.rs`), and takes what is pushed (`pushes.rs`).
//!
//! `state_dir/control.sock` (mode 0600) takes one line of JSON a connection and replies with one:
//! `{"verb": "add", "order": "down", "target": "web/*", "reason": "...", "owner": "...", "expires_in_secs": 3600}` (for `weight` with
//! `"weight": N`), `{"verb": "remove", "id": 3}`, `{"verb": "list"}`; the reply has `error`, or `overrides` with the members each one
//! concerns. What is decided stands in `state_dir/overrides.json` before it is in force, and so outlives the process.
//!
//! # Bounds
//! One connection at a time, two seconds each; `REQUEST_MAX_OCTETS` a request; `MAX_OVERRIDES` decisions.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::live::unix_secs;
use super::pushes;
use super::why::live::{Explainer, Refusal as NotExplained};
use crate::health::overrides::{MAX_OVERRIDES, Order, Override, Selector};
use crate::health::push::Pusher;
use crate::health::{EngineGone, Overrider};

const SOCKET: &str = "control.sock";
const FILE: &str = "overrides.json";
const TEMPORARY: &str = "overrides.json.new";
/// Where a file goes that cannot be read, for a person to look at.
const UNREADABLE: &str = "overrides.json.bad";
const VERSION: u64 = 1;
/// Longest wait for the other end.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait of a person for the server.
const REPLY_PATIENCE: Duration = Duration::from_secs(15);
/// Octets of a request: the longest pushes of one, escapes and all.
const REQUEST_MAX_OCTETS: usize = 1 << 20;
/// Octets of a reply: all overrides, each at its longest.
const REPLY_MAX_OCTETS: u64 = 1 << 20;
/// Octets of `reason` and of `owner`.
const MAX_TEXT_OCTETS: usize = 256;
/// Longest time until an override ends.
const MAX_EXPIRY_SECS: u64 = 366 * 86_400;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the request is no line of JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("`{field}` is missing or wrong: accepted is {accepted}")]
    Field { field: &'static str, accepted: &'static str },
    #[error("there are {MAX_OVERRIDES} overrides already: remove some")]
    TooMany,
    #[error("there is no override {id}: `steerd override list` shows those there are")]
    NoSuch { id: u64 },
    #[error("{path} cannot be written: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("the request is longer than {REQUEST_MAX_OCTETS} octets")]
    TooLong,
    #[error(transparent)]
    Push(#[from] pushes::Refusal),
    #[error(transparent)]
    Engine(#[from] EngineGone),
    #[error(transparent)]
    Why(#[from] NotExplained),
}

/// Why a person's request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No server listens there.
    #[error("no server answers at {path}: {error} (is steerd running with this `server.state_dir`?)")]
    NoServer {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// It was cut short.
    #[error("the server gave no reply: {0}")]
    NoReply(io::Error),
    /// It is not what this program understands.
    #[error("the server's reply is not understood")]
    Reply,
    /// The server says no.
    #[error("{0}")]
    Refused(String),
}

/// Asks the server whose state directory this is.
///
/// # Errors
/// [`RequestError`]
pub fn request(state_dir: &Path, request: &Value) -> Result<Value, RequestError> {
    let path = state_dir.join(SOCKET);
    let connected = UnixStream::connect(&path);
    let mut stream = connected.map_err(|error| RequestError::NoServer { path, error })?;
    let mut reply = String::new();
    let exchange = |stream: &mut UnixStream, reply: &mut String| {
        stream.set_read_timeout(Some(REPLY_PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{request}\n").as_bytes())?;
        BufReader::new(stream.take(REPLY_MAX_OCTETS)).read_line(reply).map(drop)
    };
    exchange(&mut stream, &mut reply).map_err(RequestError::NoReply)?;
    let reply: Value = serde_json::from_str(&reply).map_err(|_| RequestError::Reply)?;
    match reply["error"].as_str() {
        Some(error) => Err(RequestError::Refused(error.to_owned())),
        None => Ok(reply),
    }
}

/// The listening thread.
pub(super) struct Overrides {
    socket: PathBuf,
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// The decisions, with what keeps them.
struct Desk {
    folder: PathBuf,
    list: Vec<Override>,
    /// The number of the next one: none is given twice.
    next_id: u64,
    overrider: Overrider,
    pusher: Pusher,
    explainer: Arc<Explainer>,
}

impl Overrides {
    /// Puts the decisions of the last run in force, and listens. To be called before the first plan is adopted, and by who
    /// holds the lock of the state directory. Without a socket there are no new decisions, and a log line says so.
    pub(super) fn start(
        folder: &Path,
        (overrider, pusher): (Overrider, Pusher),
        explainer: Arc<Explainer>,
    ) -> Option<Overrides> {
        let (list, next_id) = recall(folder);
        let mut desk = Desk { folder: folder.to_owned(), list, next_id, overrider, pusher, explainer };
        desk.list.retain(|one| one.holds(unix_secs()));
        if desk.put_in_force().is_err() {
            return None;
        }
        if !desk.list.is_empty() {
            tracing::warn!(
                count = desk.list.len(),
                "overrides are in force: `steerd override list` shows them"
            );
        }
        let socket = folder.join(SOCKET);
        let stopped = Arc::new(AtomicBool::new(false));
        let started = listen(folder).and_then(|listener| {
            let stopped = stopped.clone();
            std::thread::Builder::new().name("control".into()).spawn(move || desk.serve(&listener, &stopped))
        });
        match started {
            Ok(thread) => Some(Overrides { socket, stopped, thread }),
            Err(error) => {
                tracing::warn!(socket = %socket.display(), %error, "overrides cannot be taken");
                None
            }
        }
    }

    /// Stops listening and waits for the thread.
    pub(super) fn stop(self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes it; an error: it has ended by itself.
        drop(UnixStream::connect(&self.socket));
        if self.thread.join().is_err() {
            tracing::error!("the control thread has panicked");
        }
        // Whoever connects from now on is told that nobody listens, with the file or without.
        drop(fs::remove_file(&self.socket));
    }
}

/// A socket that only its owner can ever have connected to: made in a folder of its own, and moved when it is so.
fn listen(folder: &Path) -> io::Result<UnixListener> {
    let cradle = folder.join(".control");
    drop(fs::remove_dir_all(&cradle));
    DirBuilder::new().mode(0o700).create(&cradle)?;
    let made = cradle.join(SOCKET);
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, Permissions::from_mode(0o600))?;
    fs::rename(&made, folder.join(SOCKET))?;
    fs::remove_dir(&cradle)?;
    Ok(listener)
}

impl Desk {
    fn serve(mut self, listener: &UnixListener, stopped: &AtomicBool) {
        for stream in listener.incoming() {
            if stopped.load(Ordering::Relaxed) {
                return;
            }
            match stream {
                // Who does not take its reply does without.
                Ok(stream) => drop(self.reply_to(stream)),
                Err(error) => {
                    tracing::warn!(%error, "the control socket gives no connection");
                    // Out of descriptors, most likely: not a thousand times a second.
                    std::thread::sleep(PATIENCE);
                }
            }
        }
    }

    fn reply_to(&mut self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_write_timeout(Some(PATIENCE))?;
        let line = read_line(&stream, Instant::now() + PATIENCE)?;
        if line.is_empty() {
            return Ok(());
        }
        let reply = self.answer(&line).unwrap_or_else(|refusal| json!({ "error": refusal.to_string() }));
        stream.write_all(format!("{reply}\n").as_bytes())
    }

    /// What a line is answered with.
    fn answer(&mut self, line: &str) -> Result<Value, Refusal> {
        if line.len() >= REQUEST_MAX_OCTETS && !line.ends_with('\n') {
            return Err(Refusal::TooLong);
        }
        let request: Value = serde_json::from_str(line).map_err(Refusal::NotJson)?;
        if request["verb"] == "push" {
            return Ok(pushes::answer(&request, &self.pusher)?);
        }
        if request["verb"] == "why" {
            return Ok(self.explainer.reply(&request)?);
        }
        let counts = self.carry_out(&request)?;
        Ok(json!({ "overrides": describe(&self.list, &counts) }))
    }

    /// Does what a request asks for; returns how many members each override concerns then.
    fn carry_out(&mut self, request: &Value) -> Result<Vec<usize>, Refusal> {
        let now_secs = unix_secs();
        let mut list = self.list.clone();
        list.retain(|one| one.holds(now_secs));
        let mut next_id = self.next_id;
        match request["verb"].as_str() {
            Some("list") => {
                self.list = list;
                return self.put_in_force();
            }
            Some("add") => {
                if list.len() >= MAX_OVERRIDES {
                    return Err(Refusal::TooMany);
                }
                let one = read_new(request, next_id, now_secs)?;
                next_id += 1;
                list.push(one);
            }
            Some("remove") => {
                let id = request["id"].as_u64();
                let id = id.ok_or(Refusal::Field { field: "id", accepted: "the number of an override" })?;
                let before = list.len();
                list.retain(|one| one.id != id);
                if list.len() == before {
                    return Err(Refusal::NoSuch { id });
                }
            }
            _ => return Err(Refusal::Field { field: "verb", accepted: "add, remove, list, why or push" }),
        }
        let saved = save(&self.folder, &list, next_id);
        saved.map_err(|error| Refusal::File { path: self.folder.join(FILE), error })?;
        match request["id"].as_u64() {
            Some(id) if next_id == self.next_id => tracing::warn!(id, "override removed"),
            _ => list.last().into_iter().for_each(say_added),
        }
        (self.list, self.next_id) = (list, next_id);
        self.put_in_force()
    }

    fn put_in_force(&self) -> Result<Vec<usize>, Refusal> {
        Ok(self.overrider.put_in_force(self.list.clone().into())?)
    }
}

fn say_added(one: &Override) {
    tracing::warn!(
        id = one.id,
        target = one.target.as_str(),
        order = word(one.order),
        reason = one.reason,
        owner = one.owner,
        "override added"
    );
}

/// One line, or what there is of it; however few octets come at a time, not after the deadline.
fn read_line(mut stream: &UnixStream, deadline: Instant) -> io::Result<String> {
    let mut line = Vec::new();
    let mut chunk = [0; 16 * 1024];
    while line.len() < REQUEST_MAX_OCTETS && !line.ends_with(b"\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let room = chunk.len().min(REQUEST_MAX_OCTETS - line.len());
        match stream.read(&mut chunk[..room]) {
            Ok(0) => break,
            Ok(len) => {
                // What follows a line is nobody's.
                let end = chunk[..len].iter().position(|octet| *octet == b'\n').map_or(len, |at| at + 1);
                line.extend_from_slice(&chunk[..end]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    String::from_utf8(line).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The word of an order.
pub(super) fn word(order: Order) -> &'static str {
    match order {
        Order::Up => "up",
        Order::Down => "down",
        Order::Drain => "drain",
        Order::Disable => "disable",
        Order::Weight(_) => "weight",
    }
}

fn read_new(request: &Value, id: u64, now_secs: u64) -> Result<Override, Refusal> {
    let expires_secs = match &request["expires_in_secs"] {
        Value::Null => None,
        secs => {
            let secs = secs.as_u64().filter(|secs| (1..=MAX_EXPIRY_SECS).contains(secs));
            let accepted = "1 second to 366 days";
            Some(now_secs + secs.ok_or(Refusal::Field { field: "expires_in_secs", accepted })?)
        }
    };
    read(request, id, now_secs, expires_secs)
}

fn read(value: &Value, id: u64, created_secs: u64, expires_secs: Option<u64>) -> Result<Override, Refusal> {
    let order = match value["order"].as_str() {
        Some("up") => Order::Up,
        Some("down") => Order::Down,
        Some("drain") => Order::Drain,
        Some("disable") => Order::Disable,
        Some("weight") => {
            let weight = value["weight"].as_u64().and_then(|weight| u16::try_from(weight).ok());
            Order::Weight(weight.ok_or(Refusal::Field { field: "weight", accepted: "0 to 65535" })?.into())
        }
        _ => return Err(Refusal::Field { field: "order", accepted: "up, down, drain, disable or weight" }),
    };
    let accepted = "a member's name or address, POOL/MEMBER, a pattern of these with * and ?, or region:NAME";
    let target = value["target"].as_str().and_then(Selector::new);
    let text = |field| match &value[field] {
        Value::Null => Ok(String::new()),
        text => {
            let text = text.as_str().filter(|text| text.len() <= MAX_TEXT_OCTETS);
            let accepted = "a text of at most 256 octets";
            text.map(str::to_owned).ok_or(Refusal::Field { field, accepted })
        }
    };
    Ok(Override {
        id,
        target: target.ok_or(Refusal::Field { field: "target", accepted })?,
        order,
        reason: text("reason")?,
        owner: text("owner")?,
        created_secs,
        expires_secs,
    })
}

/// Decisions as JSON; `counts` are the members each concerns, where that is known.
pub(super) fn describe(list: &[Override], counts: &[usize]) -> Vec<Value> {
    let one = |(index, one): (usize, &Override)| {
        let weight = if let Order::Weight(weight) = one.order { Some(weight) } else { None };
        json!({
            "id": one.id,
            "target": one.target.as_str(),
            "order": word(one.order),
            "weight": weight,
            "reason": one.reason,
            "owner": one.owner,
            "created": one.created_secs,
            "expires": one.expires_secs,
            "members": counts.get(index),
        })
    };
    list.iter().enumerate().map(one).collect()
}

fn save(folder: &Path, list: &[Override], next_id: u64) -> io::Result<()> {
    let text = json!({ "version": VERSION, "next_id": next_id, "overrides": describe(list, &[]) });
    let temporary = folder.join(TEMPORARY);
    let mut file = File::create(&temporary)?;
    file.write_all(format!("{text:#}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(FILE))?;
    File::open(folder)?.sync_all()
}

/// The decisions of the last run. A file that cannot be read is put aside, so that the next decision does not replace it.
fn recall(folder: &Path) -> (Vec<Override>, u64) {
    let path = folder.join(FILE);
    let why = match fs::read(&path) {
        Ok(octets) => match std::str::from_utf8(&octets).ok().and_then(parse) {
            Some(known) => return known,
            None => "it is not understood".to_owned(),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (Vec::new(), 1),
        Err(error) => error.to_string(),
    };
    let moved = fs::rename(&path, folder.join(UNREADABLE)).is_ok();
    tracing::error!(
        path = %path.display(), put_aside = moved, why, "overrides of the last run cannot be read: none is in force"
    );
    (Vec::new(), 1)
}

/// The decisions that are kept there, for who only looks; the error says why they cannot be told.
pub(super) fn peek(folder: &Path) -> Result<Vec<Override>, String> {
    match fs::read_to_string(folder.join(FILE)) {
        Ok(text) => parse(&text).map(|(list, _)| list).ok_or_else(|| format!("{FILE} is not understood")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("{FILE} cannot be read: {error}")),
    }
}

fn parse(text: &str) -> Option<(Vec<Override>, u64)> {
    let value: Value = serde_json::from_str(text).ok()?;
    if value["version"] != VERSION {
        return None;
    }
    let list = value["overrides"].as_array().filter(|list| list.len() <= MAX_OVERRIDES)?;
    let list: Option<Vec<Override>> = list
        .iter()
        .map(|one| {
            let expires_secs = if one["expires"].is_null() { None } else { Some(one["expires"].as_u64()?) };
            read(one, one["id"].as_u64()?, one["created"].as_u64()?, expires_secs).ok()
        })
        .collect();
    let list = list?;
    let unused = list.iter().map(|one| one.id).max().unwrap_or(0).checked_add(1)?;
    Some((list, value["next_id"].as_u64().unwrap_or(1).max(unused)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read_again_and_what_is_not_understood_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let request = json!({
            "order": "weight", "weight": 7, "target": "web/*", "reason": "load \"test\"", "owner": "ops", "expires_in_secs": 60,
        });
        let one = read_new(&request, 3, 1000).unwrap();
        assert_eq!((one.order, one.expires_secs), (Order::Weight(7), Some(1060)));
        save(folder.path(), std::slice::from_ref(&one), 9).unwrap();
        assert_eq!(recall(folder.path()), (vec![one], 9));
        fs::write(folder.path().join(FILE), [0xff]).unwrap();
        assert_eq!(recall(folder.path()), (vec![], 1));
        assert_eq!(fs::read(folder.path().join(UNREADABLE)).unwrap(), [0xff]);
        for text in
            ["", "{}", r#"{"version": 2, "overrides": []}"#, r#"{"version": 1, "overrides": [{"id": 1}]}"#]
        {
            fs::write(folder.path().join(FILE), text).unwrap();
            assert_eq!(recall(folder.path()), (vec![], 1));
            assert_eq!(fs::read_to_string(folder.path().join(UNREADABLE)).unwrap(), text);
            assert!(!folder.path().join(FILE).exists());
        }
    }

    #[test]
    fn each_wrong_field_says_what_would_be_accepted() {
        let good = json!({ "order": "down", "target": "a" });
        assert!(read_new(&good, 1, 0).is_ok());
        for (field, value, expected) in [
            (
                "order",
                json!("off"),
                "`order` is missing or wrong: accepted is up, down, drain, disable or weight",
            ),
            ("order", json!("weight"), "`weight` is missing or wrong: accepted is 0 to 65535"),
            (
                "expires_in_secs",
                json!(0),
                "`expires_in_secs` is missing or wrong: accepted is 1 second to 366 days",
            ),
            (
                "reason",
                json!("x".repeat(257)),
                "`reason` is missing or wrong: accepted is a text of at most 256 octets",
            ),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert_eq!(read_new(&bad, 1, 0).unwrap_err().to_string(), expected);
        }
        assert!(read_new(&json!({ "order": "up", "target": "" }), 1, 0).is_err());
    }
}
