//! What is asked and what must come back: query messages built once, drawn by weight.
//!
//! Drawing and copying a query never allocates. The names are those of `perf/compare`'s zone.

use std::ops::Range;

use crate::Failure;
use crate::random::Random;

/// Where the question starts (RFC 1035 §4.1.1).
pub(crate) const HEADER_OCTETS: usize = 12;
/// Longest query built here: header, longest name, type and class, OPT with client subnet.
pub(crate) const MAX_QUERY_OCTETS: usize = HEADER_OCTETS + 255 + 4 + 11 + 11;
/// UDP size offered in the OPT record (RFC 9715 §4: 1,400 at most; 1,232 is what resolvers send).
const UDP_SIZE: u16 = 1232;

const NOERROR: u8 = 0;
const NXDOMAIN: u8 = 3;
const TYPES: [(&str, u16); 9] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("ANY", 255),
];
/// Names of the mix beside www and n0 to n999.
const OTHERS: [&str; 10] = ["api", "mail", "shop", "img", "cdn", "ftp", "static", "m", "app", "edge"];

/// Which EDNS parts each query has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edns {
    /// No OPT record.
    Off,
    /// An OPT record (RFC 6891 §6.1.2).
    On,
    /// One with a client subnet (RFC 7871 §6), which changes from query to query.
    ClientSubnet,
}

/// One query and what is right for an answer to it.
pub(crate) struct Query {
    at: u32,
    len: u16,
    question_end: u16,
    /// All queries of one class have one length, as segments of one send must.
    pub(crate) class: u16,
    /// The rcode a right answer has.
    pub(crate) rcode: u8,
    /// The smallest and the largest ANCOUNT of a right answer.
    pub(crate) answers: Range<u16>,
}

/// Queries of one kind; each is as likely as the others of its group.
struct Group {
    /// The sum of the weights up to and with this group's.
    until: u32,
    first: u32,
    count: u32,
}

/// A set of queries.
pub(crate) struct Queries {
    octets: Vec<u8>,
    queries: Vec<Query>,
    groups: Vec<Group>,
    classes: Vec<u16>,
    edns: Edns,
}

impl Queries {
    /// Reads `mix`, `www`, `static`, `nxdomain`, `names:COUNT`, or the path of a file of `name type rcode min-answers` lines,
    /// where `=N` instead of `N` means exactly N answers.
    ///
    /// # Errors
    /// What is wrong with the file, or with the count.
    pub(crate) fn load(set: &str, edns: Edns) -> Result<Queries, Failure> {
        let mut queries = Queries {
            octets: Vec::new(),
            queries: Vec::new(),
            groups: Vec::new(),
            classes: Vec::new(),
            edns,
        };
        match set {
            "mix" => {
                queries.group(40, [Wanted::some("www.example.com", "A")])?;
                queries.group(40, (0..1000).map(|at| Wanted::some(format!("n{at}.example.com"), "A")))?;
                queries.group(10, OTHERS.map(|name| Wanted::some(format!("{name}.example.com"), "A")))?;
                queries.group(5, [Wanted { answers: 0..1, ..Wanted::some("www.example.com", "AAAA") }])?;
                queries.group(5, (0..100).map(Wanted::missing))?;
            }
            "www" => queries.group(1, [Wanted::some("www.example.com", "A")])?,
            "static" => {
                queries.group(1, ["SOA", "NS"].map(|qtype| Wanted::some("example.com", qtype)))?;
            }
            "nxdomain" => queries.group(1, (0..1000).map(Wanted::missing))?,
            _ => match set.strip_prefix("names:") {
                Some(count) => {
                    let count: u32 =
                        count.parse().ok().filter(|count| *count > 0).ok_or("names: needs a count")?;
                    queries.group(1, (0..count).map(|at| Wanted::some(format!("n{at}.example.com"), "A")))?;
                }
                None => queries.read(set)?,
            },
        }
        Ok(queries)
    }

    fn read(&mut self, path: &str) -> Result<(), Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let lines = text.lines().enumerate().map(|(at, line)| (at, line.trim()));
        let wanted =
            lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(at, line)| {
                Wanted::parse(line).ok_or_else(|| {
                    format!("{path}:{}: {line:?} is not: name type rcode min-answers (=N: exactly N)", at + 1)
                })
            });
        let wanted: Vec<Wanted> = wanted.collect::<Result<_, _>>()?;
        self.group(1, wanted)
    }

    fn group(&mut self, weight: u32, wanted: impl IntoIterator<Item = Wanted>) -> Result<(), Failure> {
        let first = self.queries.len() as u32;
        for one in wanted {
            self.push(&one)?;
        }
        let count = self.queries.len() as u32 - first;
        if count == 0 {
            return Err("there is no query in the set".into());
        }
        let until = self.groups.last().map_or(0, |group| group.until) + weight;
        self.groups.push(Group { until, first, count });
        Ok(())
    }

    fn push(&mut self, wanted: &Wanted) -> Result<(), Failure> {
        let at = self.octets.len();
        let additional = u8::from(self.edns != Edns::Off);
        self.octets.extend([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, additional]);
        for label in wanted.name.split('.').filter(|label| !label.is_empty()) {
            if label.len() > 63 {
                return Err(format!("{}: a label is longer than 63 octets", wanted.name).into());
            }
            self.octets.push(label.len() as u8);
            self.octets.extend(label.as_bytes());
        }
        self.octets.push(0);
        if self.octets.len() - at > HEADER_OCTETS + 255 {
            return Err(format!("{}: longer than 255 octets", wanted.name).into());
        }
        self.octets.extend(wanted.qtype.to_be_bytes());
        self.octets.extend([0, 1]);
        let question_end = self.octets.len() - at;
        if self.edns != Edns::Off {
            self.octets.extend([0, 0, 41]);
            self.octets.extend(UDP_SIZE.to_be_bytes());
            self.octets.extend([0; 4]);
            match self.edns {
                // Option 8 of 7 octets: family IPv4, source prefix 24, scope 0, three octets of address, which come last.
                Edns::ClientSubnet => self.octets.extend([0, 11, 0, 8, 0, 7, 0, 1, 24, 0, 0, 0, 0]),
                _ => self.octets.extend([0, 0]),
            }
        }
        let len = (self.octets.len() - at) as u16;
        let class = self.classes.iter().position(|known| *known == len).unwrap_or_else(|| {
            self.classes.push(len);
            self.classes.len() - 1
        });
        self.queries.push(Query {
            at: u32::try_from(at)?,
            len,
            question_end: question_end as u16,
            class: class as u16,
            rcode: wanted.rcode,
            answers: wanted.answers.clone(),
        });
        Ok(())
    }

    /// How many lengths the queries of this set have.
    pub(crate) fn classes(&self) -> usize {
        self.classes.len()
    }

    /// The next query to ask.
    pub(crate) fn draw(&self, random: &mut Random) -> u32 {
        let total = self.groups.last().map_or(1, |group| group.until);
        let drawn = if total == 1 { 0 } else { random.below(total) };
        let group = self.groups.iter().find(|group| drawn < group.until).unwrap_or(&self.groups[0]);
        if group.count == 1 { group.first } else { group.first + random.below(group.count) }
    }

    /// The query with this number.
    pub(crate) fn get(&self, number: u32) -> &Query {
        &self.queries[number as usize]
    }

    /// The question of that query, as it must come back.
    pub(crate) fn question(&self, number: u32) -> &[u8] {
        let query = self.get(number);
        &self.octets[query.at as usize + HEADER_OCTETS..query.at as usize + usize::from(query.question_end)]
    }

    /// Writes the query at the start of `into`, which has at least [`MAX_QUERY_OCTETS`]; returns its length.
    pub(crate) fn write(&self, number: u32, id: u16, random: &mut Random, into: &mut [u8]) -> usize {
        let query = self.get(number);
        let len = usize::from(query.len);
        into[..len].copy_from_slice(&self.octets[query.at as usize..query.at as usize + len]);
        into[..2].copy_from_slice(&id.to_be_bytes());
        if self.edns == Edns::ClientSubnet {
            let [.., low, middle] = random.next().to_be_bytes();
            // First octets 1 to 223: unicast.
            let high = 1 + random.below(223) as u8;
            into[len - 3..len].copy_from_slice(&[high, middle, low]);
        }
        len
    }
}

/// A query in words.
struct Wanted {
    name: String,
    qtype: u16,
    rcode: u8,
    answers: Range<u16>,
}

impl Wanted {
    /// One that has an answer.
    fn some(name: impl Into<String>, qtype: &str) -> Wanted {
        Wanted {
            name: name.into(),
            qtype: type_number(qtype).unwrap_or_default(),
            rcode: NOERROR,
            answers: 1..u16::MAX,
        }
    }

    /// A name that does not exist.
    fn missing(at: u32) -> Wanted {
        Wanted { rcode: NXDOMAIN, answers: 0..1, ..Wanted::some(format!("x{at}.example.com"), "A") }
    }

    fn parse(line: &str) -> Option<Wanted> {
        let mut words = line.split_whitespace();
        let (name, qtype, rcode, answers) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let rcode = match rcode.to_ascii_uppercase().as_str() {
            "NOERROR" => NOERROR,
            "NXDOMAIN" => NXDOMAIN,
            "REFUSED" => 5,
            number => number.parse().ok().filter(|number| *number < 16)?,
        };
        let answers = match answers.strip_prefix('=') {
            Some(exact) => exact.parse().ok().map(|exact: u16| exact..exact.saturating_add(1))?,
            None => answers.parse().ok()?..u16::MAX,
        };
        let qtype = type_number(qtype)?;
        words.next().is_none().then_some(Wanted { name: name.into(), qtype, rcode, answers })
    }
}

fn type_number(text: &str) -> Option<u16> {
    let named = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, number)| *number);
    // TYPE123 (RFC 3597 §5).
    named.or_else(|| text.strip_prefix("TYPE").unwrap_or(text).parse().ok())
}
