//! Writes databases in the MaxMind DB format, version 2.0, as small as tests need them.
//!
//! The search tree and the data section, each value once, with pointers to maps and texts that come again.

use std::collections::{BTreeMap, HashMap};

use ipnet::IpNet;

/// A value of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// A text.
    Text(String),
    /// An unsigned number of 32 bits.
    U32(u32),
    /// One of 16 bits.
    U16(u16),
    /// One of 64 bits.
    U64(u64),
    /// A number with a fraction.
    Double(f64),
    /// Values in order.
    Array(Vec<Data>),
    /// Values by name.
    Map(Vec<(&'static str, Data)>),
}

/// A text.
pub fn text(text: &str) -> Data {
    Data::Text(text.into())
}

/// Values by name.
pub fn map(entries: &[(&'static str, Data)]) -> Data {
    Data::Map(entries.to_vec())
}

/// A record as those of City databases are.
pub fn city(continent: &str, country: &str, part: &str, name: (u32, &str), place: (f64, f64)) -> Data {
    let (id, name) = name;
    map(&[
        ("continent", map(&[("code", text(continent))])),
        ("country", map(&[("iso_code", text(country)), ("names", map(&[("en", text("a country"))]))])),
        ("subdivisions", Data::Array(vec![map(&[("iso_code", text(part))])])),
        (
            "city",
            map(&[("geoname_id", Data::U32(id)), ("names", map(&[("de", text("?")), ("en", text(name))]))]),
        ),
        ("location", map(&[("latitude", Data::Double(place.0)), ("longitude", Data::Double(place.1))])),
    ])
}

/// A record as those of ASN databases are.
pub fn asn(number: u32) -> Data {
    map(&[
        ("autonomous_system_number", Data::U32(number)),
        ("autonomous_system_organization", text("an organisation")),
    ])
}

/// The octets of values, and where those stand that may come again.
#[derive(Default)]
struct Section {
    octets: Vec<u8>,
    known: HashMap<Vec<u8>, usize>,
}

impl Section {
    fn control(&mut self, kind: u8, size: usize) {
        let (size, more): (u8, Vec<u8>) = match size {
            0..29 => (size as u8, Vec::new()),
            29..285 => (29, vec![(size - 29) as u8]),
            285..65_821 => (30, ((size - 285) as u16).to_be_bytes().to_vec()),
            _ => panic!("too large for a test"),
        };
        match kind {
            0..8 => self.octets.push(kind << 5 | size),
            _ => self.octets.extend([size, kind - 7]),
        }
        self.octets.extend(more);
    }

    /// Appends a value; one that is there already by a pointer.
    fn push(&mut self, data: &Data, may_point: bool) -> usize {
        let at = self.octets.len();
        let mut alone = Section::default();
        if may_point && matches!(data, Data::Text(_) | Data::Map(_)) {
            alone.push(data, false);
            if let Some(known) = self.known.get(&alone.octets).copied().filter(|_| alone.octets.len() > 5) {
                assert!(known < 526_336, "a pointer of three octets");
                match known {
                    0..2048 => self.octets.extend([1 << 5 | (known >> 8) as u8, known as u8]),
                    _ => {
                        let rest = known - 2048;
                        self.octets.extend([
                            1 << 5 | 1 << 3 | (rest >> 16) as u8,
                            (rest >> 8) as u8,
                            rest as u8,
                        ]);
                    }
                }
                return at;
            }
            self.known.insert(alone.octets, at);
        }
        let shortest =
            |octets: &[u8]| octets.iter().copied().skip_while(|octet| *octet == 0).collect::<Vec<u8>>();
        let mut number = |kind: u8, octets: Vec<u8>| {
            self.control(kind, octets.len());
            self.octets.extend(octets);
        };
        match data {
            Data::Text(text) => number(2, text.as_bytes().to_vec()),
            Data::Double(value) => number(3, value.to_be_bytes().to_vec()),
            Data::U16(value) => number(5, shortest(&value.to_be_bytes())),
            Data::U32(value) => number(6, shortest(&value.to_be_bytes())),
            Data::U64(value) => number(9, shortest(&value.to_be_bytes())),
            Data::Map(entries) => {
                self.control(7, entries.len());
                for (key, value) in entries {
                    self.push(&Data::Text((*key).into()), may_point);
                    self.push(value, may_point);
                }
            }
            Data::Array(items) => {
                self.control(11, items.len());
                for item in items {
                    self.push(item, may_point);
                }
            }
        }
        at
    }
}

/// What a side of a node leads to.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Nothing,
    Node(usize),
    Data(usize),
}

/// A database under construction.
pub struct Writer {
    nodes: Vec<[Side; 2]>,
    data: Section,
    records: HashMap<Vec<u8>, usize>,
    is_ipv6: bool,
}

impl Writer {
    /// For both families, or IPv4 alone. IPv4 lies below `::/96`.
    pub fn new(is_ipv6: bool) -> Writer {
        let nodes = vec![[Side::Nothing; 2]];
        Writer { nodes, data: Section::default(), records: HashMap::new(), is_ipv6 }
    }

    fn path(&self, prefix: IpNet) -> Vec<usize> {
        let (bits, len) = match prefix {
            IpNet::V4(net) => {
                let bits = u128::from(net.network().to_bits());
                if self.is_ipv6 { (bits, 96 + net.prefix_len()) } else { (bits << 96, net.prefix_len()) }
            }
            IpNet::V6(net) => (net.network().to_bits(), net.prefix_len()),
        };
        (0..len).map(|at| (bits >> (127 - at) & 1) as usize).collect()
    }

    /// The node that a path leads to, made on the way. What held for a larger network holds for both halves of it.
    fn node(&mut self, path: &[usize]) -> usize {
        let mut node = 0;
        for side in path {
            node = match self.nodes[node][*side] {
                Side::Node(next) => next,
                before => {
                    self.nodes.push([before; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][*side] = Side::Node(next);
                    next
                }
            };
        }
        node
    }

    /// Gives a record to a network; those inside it are to be given behind it.
    pub fn insert(&mut self, prefix: &str, record: &Data) -> &mut Writer {
        let mut alone = Section::default();
        alone.push(record, false);
        let at = *self.records.entry(alone.octets).or_insert_with(|| self.data.push(record, true));
        let path = self.path(prefix.parse().unwrap());
        let (last, above) = path.split_last().unwrap();
        let node = self.node(above);
        self.nodes[node][*last] = Side::Data(at);
        self
    }

    /// Lets a network lead to the IPv4 addresses once more.
    pub fn alias(&mut self, prefix: &str) -> &mut Writer {
        let ipv4 = self.node(&[0; 96]);
        let path = self.path(prefix.parse().unwrap());
        let (last, above) = path.split_last().unwrap();
        let node = self.node(above);
        self.nodes[node][*last] = Side::Node(ipv4);
        self
    }

    /// The octets of the database, its records of so many bits: 24, 28 or 32.
    pub fn finish(&self, database_type: &str, record_size: u16) -> Vec<u8> {
        let mut octets = Vec::new();
        let count = self.nodes.len();
        let number = |side: Side| match side {
            Side::Nothing => count as u32,
            Side::Node(node) => node as u32,
            Side::Data(at) => (count + 16 + at) as u32,
        };
        for node in &self.nodes {
            let [left, right] = node.map(number);
            let ([a, b, c, d], [e, f, g, h]) = (left.to_be_bytes(), right.to_be_bytes());
            match record_size {
                24 => octets.extend([b, c, d, f, g, h]),
                28 => octets.extend([b, c, d, a << 4 | e, f, g, h]),
                _ => octets.extend([a, b, c, d, e, f, g, h]),
            }
        }
        octets.extend([0; 16]);
        octets.extend(&self.data.octets);
        octets.extend(b"\xAB\xCD\xEFMaxMind.com");
        let mut metadata = Section::default();
        let fields: BTreeMap<&'static str, Data> = BTreeMap::from([
            ("binary_format_major_version", Data::U16(2)),
            ("binary_format_minor_version", Data::U16(0)),
            ("build_epoch", Data::U64(1_700_000_000)),
            ("database_type", text(database_type)),
            ("description", map(&[("en", text("of a test"))])),
            ("ip_version", Data::U16(if self.is_ipv6 { 6 } else { 4 })),
            ("languages", Data::Array(vec![text("en")])),
            ("node_count", Data::U32(count as u32)),
            ("record_size", Data::U16(record_size)),
        ]);
        metadata.push(&Data::Map(fields.into_iter().collect()), false);
        octets.extend(metadata.octets);
        octets
    }
}
