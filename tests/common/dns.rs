//! A small DNS client: queries by hand, replies read and checked.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use steerd::wire::message::{Class, FLAG_AA, FLAG_RD, FLAG_TC, Header, Rcode, Rtype};
use steerd::wire::name::{Name, uncompressed_len};
use steerd::wire::record::Record;

use super::{PATIENCE, reply};

/// Types that the server has no name for.
const PTR: Rtype = Rtype(12);
/// RFC 9460.
const HTTPS: Rtype = Rtype(65);
/// RFC 8659.
const CAA: Rtype = Rtype(257);

/// How a query travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// One datagram.
    Udp,
    /// A connection of its own.
    Tcp,
}

/// An OPT record to be sent.
#[derive(Clone)]
struct Opt {
    udp_size: u16,
    version: u8,
    flags: u16,
    options: Vec<u8>,
}

/// A query to be sent.
#[derive(Clone)]
pub struct Query {
    /// Its identifier.
    pub id: u16,
    /// Flags and opcode.
    pub flags: u16,
    qname: Vec<u8>,
    qtype: u16,
    qclass: u16,
    opt: Option<Opt>,
    raw: Option<Vec<u8>>,
}

impl Query {
    /// A query of class IN with RD set and no EDNS.
    pub fn new(qname: &str, qtype: Rtype) -> Query {
        // No two queries in flight share an identifier.
        static NEXT: AtomicU16 = AtomicU16::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let qname = Name::from_text(qname).unwrap().as_wire().to_vec();
        Query { id, flags: FLAG_RD, qname, qtype: qtype.0, qclass: 1, opt: None, raw: None }
    }

    /// A query for IPv4 addresses.
    pub fn a(qname: &str) -> Query {
        Query::new(qname, Rtype::A)
    }

    /// Any octets, at least a header's.
    pub fn raw(octets: &[u8]) -> Query {
        let id = u16::from_be_bytes([octets[0], octets[1]]);
        Query { id, raw: Some(octets.to_vec()), ..Query::a(".") }
    }

    /// Another class.
    pub fn class(mut self, class: Class) -> Query {
        self.qclass = class.0;
        self
    }

    /// Other flags.
    pub fn flags(mut self, flags: u16) -> Query {
        self.flags = flags;
        self
    }

    /// With an OPT record that offers this size.
    pub fn edns(mut self, udp_size: u16) -> Query {
        self.opt = Some(Opt { udp_size, version: 0, flags: 0, options: Vec::new() });
        self
    }

    /// Whether it has an OPT record.
    pub fn has_edns(&self) -> bool {
        self.opt.is_some()
    }

    fn opt(&mut self) -> &mut Opt {
        self.opt.as_mut().expect("edns() comes first")
    }

    /// With these flags in the OPT record.
    pub fn edns_flags(mut self, flags: u16) -> Query {
        self.opt().flags = flags;
        self
    }

    /// With another EDNS version.
    pub fn edns_version(mut self, version: u8) -> Query {
        self.opt().version = version;
        self
    }

    /// With an EDNS option.
    pub fn option(mut self, code: u16, data: &[u8]) -> Query {
        let options = &mut self.opt().options;
        options.extend_from_slice(&code.to_be_bytes());
        options.extend_from_slice(&(data.len() as u16).to_be_bytes());
        options.extend_from_slice(data);
        self
    }

    /// With the client subnet of an IPv4 network, its octets as given.
    pub fn subnet4(self, address: Ipv4Addr, len: u8) -> Query {
        let octets = usize::from(len).div_ceil(8);
        let mut data = vec![0, 1, len, 0];
        data.extend_from_slice(&address.octets()[..octets]);
        self.option(8, &data)
    }

    /// The message.
    pub fn octets(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let arcount = u16::from(self.opt.is_some());
        let header = Header { id: self.id, flags: self.flags, qdcount: 1, ancount: 0, nscount: 0, arcount };
        let mut octets = header.to_octets().to_vec();
        octets.extend_from_slice(&self.qname);
        octets.extend_from_slice(&self.qtype.to_be_bytes());
        octets.extend_from_slice(&self.qclass.to_be_bytes());
        if let Some(opt) = &self.opt {
            octets.extend_from_slice(&[0, 0, 41]);
            octets.extend_from_slice(&opt.udp_size.to_be_bytes());
            octets.extend_from_slice(&[0, opt.version]);
            octets.extend_from_slice(&opt.flags.to_be_bytes());
            octets.extend_from_slice(&(opt.options.len() as u16).to_be_bytes());
            octets.extend_from_slice(&opt.options);
        }
        octets
    }
}

/// A reply that was read.
#[derive(Clone, Debug)]
pub struct Reply {
    /// As received.
    pub octets: Vec<u8>,
    /// Its header.
    pub header: Header,
}

impl Reply {
    /// Checks a reply against its query.
    #[track_caller]
    pub fn new(query: &[u8], octets: Vec<u8>, via: Via) -> Reply {
        reply::assert_reply(query, &octets, via == Via::Udp);
        let header = Header::read(&octets).expect("a header");
        Reply { octets, header }
    }

    /// Records with the section each stands in, OPT among them.
    fn records(&self) -> Vec<(&'static str, Name, Record<'_>)> {
        let mut at = 12;
        for _ in 0..self.header.qdcount {
            at += uncompressed_len(&self.octets, at).expect("a question") + 4;
        }
        let (an, ns) = (self.header.ancount, self.header.nscount);
        (0..an + ns + self.header.arcount)
            .map(|index| {
                let section = if index < an {
                    "an"
                } else if index < an + ns {
                    "ns"
                } else {
                    "ar"
                };
                let (owner, _) = Name::read(&self.octets, at).expect("an owner");
                let record = Record::read(&self.octets, at).expect("a record");
                at = record.end;
                (section, owner, record)
            })
            .collect()
    }

    /// The addresses of the answer, in order.
    pub fn addresses(&self) -> Vec<String> {
        let answers = self.records().into_iter().filter(|(section, _, _)| *section == "an");
        let addresses = answers.filter(|(_, _, r)| matches!(r.rtype, Rtype::A | Rtype::AAAA));
        addresses.map(|(_, _, record)| rdata_text(&self.octets, &record)).collect()
    }

    /// Whether TC is set.
    pub fn is_truncated(&self) -> bool {
        self.header.flags & FLAG_TC != 0
    }

    /// The reply as text, a line a record, much as dig shows it: `RCODE flags`, then `an|ns owner TTL TYPE data`, then
    /// `opt size flags options`. The question is not shown: it is checked octet by octet.
    pub fn text(&self) -> String {
        let mut extended = 0;
        let mut lines = String::new();
        for (section, owner, record) in self.records() {
            if record.rtype == Rtype::OPT {
                extended = (record.ttl >> 24) as u16;
                lines += &format!("opt {}", record.class.0);
                if record.ttl & 0x8000 != 0 {
                    lines += " do";
                }
                for octet in record
                    .rdata
                    .iter()
                    .enumerate()
                    .map(|(at, o)| if at == 0 { format!(" {o:02x}") } else { format!("{o:02x}") })
                {
                    lines += &octet;
                }
                lines += "\n";
                continue;
            }
            let rtype = match record.rtype {
                Rtype::A => "A",
                Rtype::AAAA => "AAAA",
                Rtype::NS => "NS",
                Rtype::SOA => "SOA",
                Rtype::TXT => "TXT",
                Rtype::HINFO => "HINFO",
                Rtype::CNAME => "CNAME",
                Rtype::DNAME => "DNAME",
                PTR => "PTR",
                Rtype::MX => "MX",
                Rtype::SRV => "SRV",
                Rtype::DS => "DS",
                HTTPS => "HTTPS",
                CAA => "CAA",
                other => panic!("unexpected {other:?}"),
            };
            let class = if record.class == Class::CH { "CH " } else { "" };
            let data = rdata_text(&self.octets, &record);
            lines += &format!("{section} {owner} {} {class}{rtype} {data}\n", record.ttl);
        }
        let rcode = match Rcode(extended << 4 | self.header.flags & 0xF) {
            Rcode::NOERROR => "NOERROR",
            Rcode::FORMERR => "FORMERR",
            Rcode::SERVFAIL => "SERVFAIL",
            Rcode::NXDOMAIN => "NXDOMAIN",
            Rcode::YXDOMAIN => "YXDOMAIN",
            Rcode::NOTIMP => "NOTIMP",
            Rcode::REFUSED => "REFUSED",
            Rcode::BADVERS => "BADVERS",
            Rcode::BADCOOKIE => "BADCOOKIE",
            other => panic!("unexpected {other:?}"),
        };
        let mut head = rcode.to_owned();
        for (flag, word) in [(FLAG_AA, " aa"), (FLAG_TC, " tc"), (FLAG_RD, " rd")] {
            if self.header.flags & flag != 0 {
                head += word;
            }
        }
        format!("{head}\n{lines}")
    }
}

fn rdata_text(message: &[u8], record: &Record<'_>) -> String {
    let at = record.end - record.rdata.len();
    match record.rtype {
        Rtype::A => Ipv4Addr::from(<[u8; 4]>::try_from(record.rdata).expect("4 octets")).to_string(),
        Rtype::AAAA => Ipv6Addr::from(<[u8; 16]>::try_from(record.rdata).expect("16 octets")).to_string(),
        Rtype::NS | Rtype::CNAME | Rtype::DNAME | PTR => {
            Name::read(message, at).expect("a name").0.to_string()
        }
        Rtype::MX => numbers_and_name(message, record, 1),
        Rtype::SRV => numbers_and_name(message, record, 3),
        Rtype::DS | HTTPS | CAA => record.rdata.iter().map(|octet| format!("{octet:02x}")).collect(),
        Rtype::SOA => {
            let (mname, at) = Name::read(message, at).expect("mname");
            let (rname, at) = Name::read(message, at).expect("rname");
            let numbers = message[at..record.end].chunks_exact(4);
            let numbers = numbers.map(|n| u32::from_be_bytes(n.try_into().expect("4 octets")).to_string());
            format!("{mname} {rname} {}", numbers.collect::<Vec<_>>().join(" "))
        }
        _ => {
            let mut rest = record.rdata;
            let mut strings = Vec::new();
            while let Some((len, tail)) = rest.split_first() {
                let (string, tail) = tail.split_at(usize::from(*len));
                strings.push(format!("{:?}", String::from_utf8_lossy(string)));
                rest = tail;
            }
            strings.join(" ")
        }
    }
}

/// Data that begins with numbers of two octets and ends with a name.
fn numbers_and_name(message: &[u8], record: &Record<'_>, numbers: usize) -> String {
    let at = record.end - record.rdata.len();
    let mut words: Vec<String> = record.rdata[..numbers * 2]
        .chunks_exact(2)
        .map(|octets| u16::from_be_bytes([octets[0], octets[1]]).to_string())
        .collect();
    words.push(Name::read(message, at + numbers * 2).expect("a name").0.to_string());
    words.join(" ")
}

/// A datagram socket towards a server.
pub struct UdpClient {
    /// The socket, connected.
    pub socket: UdpSocket,
}

impl UdpClient {
    /// A socket with a port of its own.
    pub fn new(server: SocketAddr) -> UdpClient {
        let any: IpAddr = if server.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
        let socket = UdpSocket::bind((any, 0)).expect("a port");
        socket.connect(server).expect("loopback");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        UdpClient { socket }
    }

    /// Sends octets.
    pub fn send(&self, octets: &[u8]) {
        self.socket.send(octets).expect("loopback takes it");
    }

    /// The next datagram.
    #[track_caller]
    pub fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_535];
        // A machine that was stopped and goes on interrupts what waits with a timeout.
        let len = loop {
            match self.socket.recv(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                received => break received.expect("a reply"),
            }
        };
        buffer.truncate(len);
        buffer
    }

    /// Asks once.
    #[track_caller]
    pub fn ask(&self, query: &Query) -> Reply {
        let octets = query.octets();
        self.send(&octets);
        Reply::new(&octets, self.receive(), Via::Udp)
    }
}

/// A connection to a server.
pub struct TcpClient {
    /// The connection.
    pub stream: TcpStream,
}

impl TcpClient {
    /// Connects.
    #[track_caller]
    pub fn new(server: SocketAddr) -> TcpClient {
        let stream = TcpStream::connect(server).expect("a connection");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        TcpClient { stream }
    }

    /// Sends octets as they are.
    #[track_caller]
    pub fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).expect("the peer takes it");
    }

    /// The next message; `None` at the end of the stream, however it ended.
    #[track_caller]
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        let mut len = [0; 2];
        match self.stream.read_exact(&mut len) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no reply and no end"),
            Err(_) => return None,
        }
        let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
        self.stream.read_exact(&mut message).expect("a whole message");
        Some(message)
    }

    /// The reply to a query that was sent before.
    #[track_caller]
    pub fn reply(&mut self, query: &Query) -> Reply {
        let octets = self.receive().expect("a reply, not the end");
        Reply::new(&query.octets(), octets, Via::Tcp)
    }

    /// Asks once.
    #[track_caller]
    pub fn ask(&mut self, query: &Query) -> Reply {
        self.send(&framed(&query.octets()));
        self.reply(query)
    }
}

/// A message with its length in front (RFC 1035 §4.2.2).
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

/// Asks once.
#[track_caller]
pub fn ask(server: SocketAddr, via: Via, query: &Query) -> Reply {
    match via {
        Via::Udp => UdpClient::new(server).ask(query),
        Via::Tcp => TcpClient::new(server).ask(query),
    }
}
