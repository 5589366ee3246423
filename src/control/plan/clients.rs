//! A file of clients: a line each, or a capture of their queries. Read as a stream, so it may be as long as it likes.
//!
//! A line is `PREFIX_or_ADDRESS [WEIGHT] [NAME [TYPE]]`; `#` begins a comment. Knows no pools.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::packet::OnlyQueries;
use super::pcap::{self, CaptureFault, Captured};
use crate::state::pool::Family;
use crate::wire::name::{Name, NameTextError};

/// Octets of a line at most: the longest prefix, weight and escaped name are less than half of it.
const MAX_LINE_OCTETS: usize = 4096;
/// Wrong lines told at most.
const MAX_FAULTS: usize = 20;
const BUFFER_OCTETS: usize = 1 << 18;

/// Who asks, how much, and for what.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Its network.
    pub net: IpNet,
    /// How much traffic it is.
    pub weight: f64,
    /// The name and what it asks for; `None`: all names alike.
    pub asks: Option<(Name, Family)>,
}

/// What a file was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// So many lines with clients.
    Lines(u64),
    /// A capture.
    Capture(Captured),
}

/// Why a file of clients is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    /// The system gives no more of it.
    #[error("{}: cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Lines are wrong.
    #[error("{}", Faults(path, faults))]
    Lines {
        /// The file.
        path: PathBuf,
        /// Numbers of lines and what is wrong there, the first ones.
        faults: Vec<(u64, LineFault)>,
    },
    /// A capture is wrong.
    #[error("{}: {fault}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: CaptureFault,
    },
    /// There is nobody in it.
    #[error(
        "{}: there are no clients in it (accepted are lines `PREFIX [WEIGHT] [NAME [TYPE]]`, and captures with queries for A or \
         AAAA over UDP to the server's ports){}",
        path.display(), Lost(*told)
    )]
    Nobody {
        /// The file.
        path: PathBuf,
        /// What was in it.
        told: Told,
    },
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Not a prefix.
    #[error("client: `{0}` is no prefix (accepted are `192.0.2.0/24`, `2001:db8::/32` and single addresses)")]
    Prefix(String),
    /// Not a weight.
    #[error("weight: `{0}` is out of range (accepted are 0 to 1000000000000)")]
    Weight(String),
    /// Not a name.
    #[error("name: `{text}` is no name: {error}")]
    Name {
        /// What stands there.
        text: String,
        /// What is wrong.
        error: NameTextError,
    },
    /// Not a type with addresses.
    #[error("type: `{0}` is not accepted (accepted are `A` and `AAAA`)")]
    Type(String),
    /// Something behind the type.
    #[error("`{0}` is too much (accepted are `PREFIX [WEIGHT] [NAME [TYPE]]`)")]
    More(String),
    /// Not text, or too long.
    #[error("the line is no text of at most {MAX_LINE_OCTETS} octets")]
    NotText,
}

/// Why a capture has nobody, if it is one.
struct Lost(Told);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Told::Lines(_) => Ok(()),
            Told::Capture(Captured { packets, truncated, other_types, .. }) => write!(
                f,
                ": of {packets} packets {truncated} were captured too short, {other_types} ask for other types"
            ),
        }
    }
}

struct Faults<'f>(&'f Path, &'f [(u64, LineFault)]);

impl fmt::Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (line, fault)) in self.1.iter().enumerate() {
            let newline = if at > 0 { "\n" } else { "" };
            write!(f, "{newline}{}:{line}: {fault}", self.0.display())?;
        }
        if self.1.len() == MAX_FAULTS { write!(f, "\nand perhaps more") } else { Ok(()) }
    }
}

/// Reads all clients of a file; of a capture those queries.
///
/// # Errors
/// [`ClientsError`]
pub fn read_clients(
    path: &Path,
    only: OnlyQueries<'_>,
    mut take: impl FnMut(Client),
) -> Result<Told, ClientsError> {
    let unreadable = |error| ClientsError::Unreadable { path: path.to_owned(), error };
    let mut file = BufReader::with_capacity(BUFFER_OCTETS, File::open(path).map_err(unreadable)?);
    let head = file.fill_buf().map_err(unreadable)?;
    let (told, count) = if pcap::is_capture(head) {
        let captured = pcap::read(&mut file, only, &mut take).map_err(|fault| match fault {
            CaptureFault::Io(error) => unreadable(error),
            fault => ClientsError::Capture { path: path.to_owned(), fault },
        })?;
        (Told::Capture(captured), captured.queries)
    } else {
        let lines = read_lines(&mut file, path, &mut take)?;
        (Told::Lines(lines), lines)
    };
    if count == 0 { Err(ClientsError::Nobody { path: path.to_owned(), told }) } else { Ok(told) }
}

fn read_lines(
    file: &mut impl BufRead,
    path: &Path,
    take: &mut impl FnMut(Client),
) -> Result<u64, ClientsError> {
    let mut line = Vec::with_capacity(MAX_LINE_OCTETS);
    let (mut number, mut clients) = (0, 0);
    let mut faults = Vec::new();
    while faults.len() < MAX_FAULTS {
        line.clear();
        let read = file.by_ref().take(MAX_LINE_OCTETS as u64).read_until(b'\n', &mut line);
        if read.map_err(|error| ClientsError::Unreadable { path: path.to_owned(), error })? == 0 {
            break;
        }
        number += 1;
        let is_whole = line.len() < MAX_LINE_OCTETS || line.ends_with(b"\n");
        let text = std::str::from_utf8(&line).ok().filter(|_| is_whole);
        match text.ok_or(LineFault::NotText).and_then(read_line) {
            Ok(Some(client)) => {
                clients += 1;
                take(client);
            }
            Ok(None) => {}
            Err(fault) => faults.push((number, fault)),
        }
        if !is_whole {
            // What follows is of the same line, and nobody can say where the next one begins without reading it.
            break;
        }
    }
    if faults.is_empty() { Ok(clients) } else { Err(ClientsError::Lines { path: path.to_owned(), faults }) }
}

fn read_line(line: &str) -> Result<Option<Client>, LineFault> {
    let line = line.split_once('#').map_or(line, |(before, _)| before);
    let mut words = line.split_ascii_whitespace().peekable();
    let Some(prefix) = words.next() else { return Ok(None) };
    let net = prefix.parse::<IpNet>().or_else(|_| prefix.parse::<IpAddr>().map(IpNet::from));
    let net = net.map_err(|_| LineFault::Prefix(prefix.to_owned()))?.trunc();
    let mut weight = 1.0;
    if let Some(word) = words.peek()
        && let Ok(number) = word.parse::<f64>()
    {
        if !(0.0..=1e12).contains(&number) {
            return Err(LineFault::Weight((*word).to_owned()));
        }
        weight = number;
        words.next();
    }
    let asks = match words.next() {
        None => None,
        Some(text) => {
            let name = Name::from_text(text)
                .map_err(|error| LineFault::Name { text: text.to_owned(), error })?
                .to_lowercase();
            let family = match words.next() {
                None => Family::V4,
                Some(word) if word.eq_ignore_ascii_case("A") => Family::V4,
                Some(word) if word.eq_ignore_ascii_case("AAAA") => Family::V6,
                Some(word) => return Err(LineFault::Type(word.to_owned())),
            };
            Some((name, family))
        }
    };
    match words.next() {
        Some(word) => Err(LineFault::More(word.to_owned())),
        None => Ok(Some(Client { net, weight, asks })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_prefix_weight_name_and_type() {
        let read = |text: &str| {
            read_line(text).map(|client| {
                client.map(|Client { net, weight, asks }| {
                    let asks = asks.map(|(name, family)| format!(" {name} {family:?}")).unwrap_or_default();
                    format!("{net} {weight}{asks}")
                })
            })
        };
        for (text, expected) in [
            ("10.1.2.3", Some("10.1.2.3/32 1")),
            ("10.1.2.3/16  2.5 # many", Some("10.1.0.0/16 2.5")),
            ("2001:db8::/32\tWWW.example.com", Some("2001:db8::/32 1 www.example.com. V4")),
            ("10.0.0.0/8 7 www.example.com aaaa\r\n", Some("10.0.0.0/8 7 www.example.com. V6")),
            ("", None),
            ("  # nobody", None),
        ] {
            assert_eq!(read(text), Ok(expected.map(str::to_owned)), "{text}");
        }
        for (text, fault) in [
            ("10.0.0/8", LineFault::Prefix("10.0.0/8".into())),
            ("10.0.0.0/8 -1", LineFault::Weight("-1".into())),
            ("10.0.0.0/8 inf", LineFault::Weight("inf".into())),
            ("10.0.0.0/8 1 a.example MX", LineFault::Type("MX".into())),
            ("10.0.0.0/8 1 a.example A 5", LineFault::More("5".into())),
        ] {
            assert_eq!(read(text), Err(fault), "{text}");
        }
        assert!(matches!(read("10.0.0.0/8 1 a..example"), Err(LineFault::Name { .. })));
    }
}
