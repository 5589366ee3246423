//! EDNS: the OPT record and its options (RFC 6891): client subnet (RFC 7871), identifier (RFC 5001), keepalive (RFC 7828),
//! padding (RFC 7830) and extended errors (RFC 8914). Cookies are in `cookie`.
//!
//! Unknown options and flag bits are passed over, as RFC 6891 §6.1.2 and §6.1.4 ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cookie::{Cookie, OPTION_COOKIE};
use super::error::WireError;
use super::message::Rtype;
use super::record::Record;

/// Octets of an OPT record without options: root owner, type, class, TTL, length.
pub const OPT_FIXED_OCTETS: usize = 11;
/// Flag bit DO in the low half of the OPT record's TTL (RFC 3225 §3).
pub const FLAG_DO: u16 = 0x8000;
/// Smallest UDP payload size there is; smaller offers count as this (RFC 6891 §6.2.3).
pub const MIN_UDP_SIZE: u16 = 512;
/// Octets of an option before its data: code and length.
pub const OPTION_HEAD_OCTETS: usize = 4;
/// Option code of the name server's identifier (RFC 5001 §4).
pub const OPTION_NSID: u16 = 3;
/// Option code of the idle timeout of a connection (RFC 7828 §3.1).
pub const OPTION_KEEPALIVE: u16 = 11;
/// Option code of padding (RFC 7830 §3).
pub const OPTION_PADDING: u16 = 12;
/// A padded reply is a multiple of so many octets (RFC 8467 §4.1).
pub const PADDING_BLOCK_OCTETS: usize = 468;
/// Option code of an extended error (RFC 8914 §2).
pub const OPTION_EXTENDED_ERROR: u16 = 15;
/// Option code of the client subnet (RFC 7871 §6).
pub const OPTION_CLIENT_SUBNET: u16 = 8;
/// Most octets of a client-subnet option with its code and length: 4 + 4 + 16.
pub const CLIENT_SUBNET_MAX_OCTETS: usize = 24;

/// Octets of [`opt_record`]: a power of two is one move.
pub const OPT_PADDED_OCTETS: usize = 16;
/// Where an OPT record has the upper bits of the response code.
pub const OPT_RCODE_AT: usize = 5;
/// Where an OPT record has its flags.
pub const OPT_FLAGS_AT: usize = 7;

/// An OPT record without options as a reply has it, with zeros behind: this UDP size, version 0, response code and flags 0.
pub fn opt_record(udp_size: u16) -> [u8; OPT_PADDED_OCTETS] {
    let ([type_high, type_low], [high, low]) = (Rtype::OPT.0.to_be_bytes(), udp_size.to_be_bytes());
    let mut record = [0; OPT_PADDED_OCTETS];
    record[1..5].copy_from_slice(&[type_high, type_low, high, low]);
    record
}

/// A query's OPT record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns<'a> {
    /// Owner, type, UDP size, upper bits of the response code, version, flags and length of the options, as received.
    fixed: &'a [u8; OPT_FIXED_OCTETS],
    /// The options, undecoded.
    pub options: &'a [u8],
}

impl<'a> Edns<'a> {
    /// The OPT record that a record of that type is.
    ///
    /// # Errors
    /// [`WireError::Opt`] when the owner is not the root.
    pub fn from_record(message: &'a [u8], record: &Record<'a>) -> Result<Edns<'a>, WireError> {
        let at = record.end - record.rdata.len() - OPT_FIXED_OCTETS;
        match message.get(at..).and_then(|octets| octets.first_chunk()) {
            Some(fixed) if record.owner_is_root => Ok(Edns { fixed, options: record.rdata }),
            _ => Err(WireError::Opt),
        }
    }

    /// Reads octets that are exactly one OPT record: what nearly every query has behind its question. `None` for anything
    /// else, which is then for a walk over the records to judge.
    #[inline(always)]
    pub fn alone(octets: &'a [u8]) -> Option<Edns<'a>> {
        let (fixed, options) = octets.split_first_chunk::<OPT_FIXED_OCTETS>()?;
        let is_alone = fixed[0] == 0
            && u16::from_be_bytes([fixed[1], fixed[2]]) == Rtype::OPT.0
            && usize::from(u16::from_be_bytes([fixed[9], fixed[10]])) == options.len();
        is_alone.then_some(Edns { fixed, options })
    }

    /// Reads an OPT record of version 0 without options; `None` for anything else.
    #[inline(always)]
    pub fn without_options(octets: &'a [u8; OPT_FIXED_OCTETS]) -> Option<Edns<'a>> {
        let [owner, type_high, type_low, _, _, _, version, _, _, length @ ..] = *octets;
        let is = owner == 0
            && [type_high, type_low] == Rtype::OPT.0.to_be_bytes()
            && version == 0
            && length == [0, 0];
        is.then_some(Edns { fixed: octets, options: &[] })
    }

    /// Largest UDP reply the sender takes, at least 512.
    #[inline(always)]
    pub fn udp_size(self) -> u16 {
        u16::from_be_bytes([self.fixed[3], self.fixed[4]]).max(MIN_UDP_SIZE)
    }

    /// Version; only 0 is known.
    #[inline(always)]
    pub fn version(self) -> u8 {
        self.fixed[6]
    }

    /// Whether the sender wants DNSSEC records; copied into the reply.
    #[inline(always)]
    pub fn dnssec_ok(self) -> bool {
        self.fixed[7] & (FLAG_DO >> 8) as u8 != 0
    }

    /// Reads the options that are known; every option's length is checked on the way. Of several of a kind the first counts.
    /// Client subnets and cookies that are not `understood` are passed over like any unknown option.
    ///
    /// # Errors
    /// [`WireError::OptionLength`] when an option runs past the record, [`WireError::ClientSubnet`] or
    /// [`WireError::Cookie`] when that option is malformed.
    #[inline(always)]
    pub fn read_options(self, understood: Understood) -> Result<Options<'a>, WireError> {
        let mut options = Options::default();
        let mut rest = self.options;
        while !rest.is_empty() {
            let (head, tail) = rest.split_first_chunk::<4>().ok_or(WireError::OptionLength)?;
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (data, tail) = tail.split_at_checked(len).ok_or(WireError::OptionLength)?;
            match u16::from_be_bytes([head[0], head[1]]) {
                OPTION_CLIENT_SUBNET if understood.client_subnet && options.client_subnet.is_none() => {
                    options.client_subnet = Some(ClientSubnet::read(data)?);
                }
                OPTION_COOKIE if understood.cookies && options.asked & HAS_COOKIE == 0 => {
                    options.asked |= HAS_COOKIE;
                    options.cookie_len = Cookie::read(data)?.len_octets();
                    // An OPT record has at most 65,535 octets.
                    options.cookie_at = (self.options.len() - tail.len() - len) as u16;
                }
                // What a query has in these says nothing (RFC 5001 §2.1, RFC 7828 §3.1, RFC 7830 §3).
                OPTION_NSID => options.asked |= ASKS_NSID,
                OPTION_KEEPALIVE => options.asked |= ASKS_KEEPALIVE,
                OPTION_PADDING => options.asked |= ASKS_PADDING,
                _ => {}
            }
            rest = tail;
        }
        Ok(options)
    }
}

/// The options that a configuration may leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Understood {
    /// Client subnets are read and echoed.
    pub client_subnet: bool,
    /// Cookies are read and given.
    pub cookies: bool,
}

/// What a query's options ask for.
// Small, and one test tells whether there is anything beside a client subnet: it is handed about with every query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// The client subnet, where it is to be used.
    pub client_subnet: Option<ClientSubnet<'a>>,
    /// Bits of what else is asked for.
    asked: u8,
    /// Octets of the cookie; 0: there is none, or none is used.
    cookie_len: u8,
    /// Where among the options it is.
    cookie_at: u16,
}

const ASKS_NSID: u8 = 1;
const ASKS_KEEPALIVE: u8 = 2;
const ASKS_PADDING: u8 = 4;
const HAS_COOKIE: u8 = 8;

impl Options<'_> {
    /// Whether anything is asked for that is not about names: what follows.
    #[inline(always)]
    pub fn ask_the_server(self) -> bool {
        self.asked != 0
    }

    /// Whether there is a cookie that is used: the reply has one too.
    #[inline]
    pub fn has_cookie(self) -> bool {
        self.asked & HAS_COOKIE != 0
    }

    /// Which server answers (RFC 5001).
    #[inline]
    pub fn nsid(self) -> bool {
        self.asked & ASKS_NSID != 0
    }

    /// How long a connection may idle (RFC 7828).
    #[inline]
    pub fn keepalive(self) -> bool {
        self.asked & ASKS_KEEPALIVE != 0
    }

    /// A reply whose length tells less (RFC 7830).
    #[inline]
    pub fn padding(self) -> bool {
        self.asked & ASKS_PADDING != 0
    }
}

impl<'a> Edns<'a> {
    /// The cookies among the options, which `options` were read from, where they are to be used.
    #[inline(always)]
    pub fn cookie(self, options: Options<'_>) -> Option<Cookie<'a>> {
        if !options.has_cookie() {
            return None;
        }
        let at = usize::from(options.cookie_at);
        Cookie::read(self.options.get(at..at + usize::from(options.cookie_len))?).ok()
    }
}

/// What an extended error tells an operator beside the response code (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendedError {
    /// The query name lies in none of the server's zones (§4.21).
    NotAuthoritative,
    /// Nobody of the pool is up, and its fallback answers (§4.1: what no code stands for is told in text).
    NoMemberUp,
    /// Nobody's health is known now, and what was known last answers (§4.4: stale answer).
    StaleHealth,
    /// The zone's data could not be read (§4.15: not ready).
    ZoneNotLoaded,
}

impl ExtendedError {
    /// The option's data: INFO-CODE, then EXTRA-TEXT.
    pub const fn data(self) -> &'static [u8] {
        match self {
            ExtendedError::NotAuthoritative => b"\0\x14",
            ExtendedError::NoMemberUp => b"\0\0no member is up",
            ExtendedError::StaleHealth => b"\0\x03states of members are frozen",
            ExtendedError::ZoneNotLoaded => b"\0\x0ethe zone could not be read",
        }
    }
}

/// Writes an option, code and length first; returns its octets, or `None` when `into` is too short or the data longer than a
/// length can tell.
pub fn write_option(code: u16, data: &[u8], into: &mut [u8]) -> Option<usize> {
    let len = u16::try_from(data.len()).ok()?;
    let (head, tail) = into.split_first_chunk_mut::<4>()?;
    tail.get_mut(..data.len())?.copy_from_slice(data);
    let ([code_high, code_low], [len_high, len_low]) = (code.to_be_bytes(), len.to_be_bytes());
    *head = [code_high, code_low, len_high, len_low];
    Some(4 + data.len())
}

/// The network a resolver asks for (RFC 7871 §6).
///
/// # Invariants
/// The option's data as sent, checked: family 1 (IPv4), 2 (IPv6), or 0 where the client tells nothing; source prefix length;
/// scope 0; as many octets of the address as the source prefix needs, the bits behind it 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSubnet<'a>(&'a [u8]);

impl<'a> ClientSubnet<'a> {
    /// Reads the option's data as found in a query.
    ///
    /// # Errors
    /// [`WireError::ClientSubnet`]: unknown family, scope other than 0, too long a prefix, too many or too few
    /// octets, or bits set behind the prefix (RFC 7871 §6 and §7.1.2, all "MUST").
    pub fn read(data: &'a [u8]) -> Result<ClientSubnet<'a>, WireError> {
        let (head, octets) = data.split_first_chunk::<4>().ok_or(WireError::ClientSubnet)?;
        let [_, _, source_len, scope_len] = *head;
        let max_len = match u16::from_be_bytes([head[0], head[1]]) {
            // Family 0 with an empty prefix is how some clients (BIND's dig +subnet=0) opt out.
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return Err(WireError::ClientSubnet),
        };
        if source_len > max_len || scope_len != 0 || octets.len() != usize::from(source_len).div_ceil(8) {
            return Err(WireError::ClientSubnet);
        }
        let spare_bits = octets.len() * 8 - usize::from(source_len);
        let spare_mask = (1u8 << spare_bits) - 1;
        if octets.last().is_some_and(|last| last & spare_mask != 0) {
            return Err(WireError::ClientSubnet);
        }
        Ok(ClientSubnet(data))
    }

    /// The network's address; `None` where the prefix is empty, which asks for an answer that fits everyone.
    #[inline]
    pub fn address(&self) -> Option<IpAddr> {
        match *self.0 {
            // The prefixes resolvers send for IPv4.
            [_, 1, _, _, a, b, c] => Some(IpAddr::V4(Ipv4Addr::new(a, b, c, 0))),
            [_, 1, _, _, ref octets @ ..] if !octets.is_empty() => {
                Some(IpAddr::V4(Ipv4Addr::from(padded(octets))))
            }
            [_, 2, _, _, ref octets @ ..] if !octets.is_empty() => {
                Some(IpAddr::V6(Ipv6Addr::from(padded::<16>(octets))))
            }
            _ => None,
        }
    }

    /// Length of the prefix that the client tells.
    #[inline]
    pub fn source_len(&self) -> u8 {
        self.0.get(2).copied().unwrap_or(0)
    }

    /// Length in octets of [`Self::write`]'s output: at most [`CLIENT_SUBNET_MAX_OCTETS`].
    #[inline]
    pub fn len_octets(&self) -> usize {
        4 + self.0.len()
    }

    /// Writes the option as it goes into the reply, code and length first: the query's with the scope filled in.
    ///
    /// Returns the octets written, or `None` when `into` is too short.
    #[inline]
    pub fn write(&self, scope_len: u8, into: &mut [u8]) -> Option<usize> {
        let len = self.len_octets();
        let (head, octets) = into.get_mut(..len)?.split_first_chunk_mut::<8>()?;
        let (&[_, family, source_len, _], address) = self.0.split_first_chunk()?;
        // An empty source prefix is answered with an empty scope (RFC 7871 §7.2.1: the answer fits every address).
        let scope_len = if source_len == 0 { 0 } else { scope_len };
        *head = [0, OPTION_CLIENT_SUBNET as u8, 0, (len - 4) as u8, 0, family, source_len, scope_len];
        // One octet at a time: there are three or seven, and a call to copy them costs more.
        for (to, from) in octets.iter_mut().zip(address) {
            *to = *from;
        }
        Some(len)
    }
}

/// Octets with zeros behind.
fn padded<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut all = [0; N];
    for (to, from) in all.iter_mut().zip(octets) {
        *to = *from;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Understood = Understood { client_subnet: true, cookies: true };

    #[test]
    fn subnet_is_read_and_echoed_with_its_scope() {
        let subnet = ClientSubnet::read(&[0, 1, 20, 0, 192, 0, 0x20]).unwrap();
        assert_eq!(subnet.address(), Some("192.0.32.0".parse().unwrap()));
        let mut out = [0; 32];
        assert_eq!(subnet.write(18, &mut out), Some(11));
        assert_eq!(out[..11], [0, 8, 0, 7, 0, 1, 20, 18, 192, 0, 0x20]);
        assert_eq!(subnet.write(18, &mut out[..10]), None);
    }

    #[test]
    fn subnet_faults_are_refused() {
        for bad in [
            &[][..],
            &[0, 1, 24],
            &[0, 3, 0, 0],
            &[0, 1, 24, 24, 192, 0, 2],
            &[0, 1, 33, 0, 1, 2, 3, 4, 128],
            &[0, 1, 24, 0, 192, 0],
            &[0, 1, 24, 0, 192, 0, 2, 0],
            &[0, 1, 20, 0, 192, 0, 0x21],
            &[0, 0, 8, 0, 1],
        ] {
            assert_eq!(ClientSubnet::read(bad), Err(WireError::ClientSubnet), "{bad:?}");
        }
        assert_eq!(ClientSubnet::read(&[0, 0, 0, 0]).unwrap().address(), None);
        assert_eq!(ClientSubnet::read(&[0, 1, 0, 0]).unwrap().address(), None);
        assert!(ClientSubnet::read(&[0, 1, 32, 0, 1, 2, 3, 255]).is_ok());
        assert!(ClientSubnet::read(&[0, 2, 1, 0, 0x80]).is_ok());
    }

    #[test]
    fn options_are_walked_to_the_end() {
        let edns = |options| Edns { fixed: &[0; OPT_FIXED_OCTETS], options };
        let subnet = |options| edns(options).read_options(ALL).map(|options| options.client_subnet);
        assert_eq!(subnet(&[]), Ok(None));
        assert_eq!(subnet(&[0, 99, 0, 2, 1, 2]), Ok(None));
        assert_eq!(subnet(&[0, 99, 0, 3, 1, 2]), Err(WireError::OptionLength));
        assert_eq!(subnet(&[0, 10, 0]), Err(WireError::OptionLength));
        let found = subnet(&[0, 99, 0, 1, 1, 0, 8, 0, 5, 0, 1, 8, 0, 10]).unwrap();
        assert_eq!(found.unwrap().address(), Some("10.0.0.0".parse().unwrap()));
        assert_eq!(subnet(&[0, 8, 0, 4, 0, 1, 0, 0, 0, 9]), Err(WireError::OptionLength));
        // Not used, it is not judged either.
        assert_eq!(edns(&[0, 8, 0, 1, 9]).read_options(Understood::default()), Ok(Options::default()));
    }

    #[test]
    fn first_cookie_counts_and_is_judged_only_where_it_is_used() {
        let edns = |options| Edns { fixed: &[0; OPT_FIXED_OCTETS], options };
        let two = [&[0, 10, 0, 8][..], b"12345678", &[0, 10, 0, 1, 9]].concat();
        let read = edns(&two).read_options(ALL).unwrap();
        assert_eq!(edns(&two).cookie(read), Cookie::read(b"12345678").ok());
        assert_eq!(edns(&two).cookie(Options::default()), None);
        let short = [0, 10, 0, 7, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(edns(&short).read_options(ALL), Err(WireError::Cookie));
        assert_eq!(edns(&short).read_options(Understood::default()), Ok(Options::default()));
    }

    #[test]
    fn what_else_is_asked_for_is_seen_whatever_its_data() {
        let read = |options| Edns { fixed: &[0; OPT_FIXED_OCTETS], options }.read_options(ALL).unwrap();
        let both = Options { asked: ASKS_NSID | ASKS_KEEPALIVE, ..Options::default() };
        assert_eq!(read(&[0, 3, 0, 0, 0, 11, 0, 0]), both);
        assert_eq!(read(&[0, 11, 0, 2, 0, 9, 0, 3, 0, 1, 7]), both);
        assert!(read(&[0, 12, 0, 1, 9]).padding() && !read(&[0, 11, 0, 0]).padding());
        assert_eq!(read(&[0, 15, 0, 2, 0, 20]), Options::default());
    }

    #[test]
    fn option_is_written_whole_or_not_at_all() {
        let mut into = [9; 8];
        assert_eq!(write_option(OPTION_NSID, b"abc", &mut into), Some(7));
        assert_eq!(into, [0, 3, 0, 3, b'a', b'b', b'c', 9]);
        assert_eq!(write_option(OPTION_NSID, b"abcde", &mut into), None);
        assert_eq!(write_option(OPTION_NSID, b"", &mut into[..3]), None);
    }

    proptest! {
        #[test]
        fn record_alone_is_read_as_the_walk_reads_it(fixed in any::<[u8; 8]>(), options in prop::collection::vec(any::<u8>(), 0..30), cut in 0usize..3) {
            let mut octets = vec![0, 0, 41];
            octets.extend(&fixed[..6]);
            octets.extend((options.len() as u16).to_be_bytes());
            octets.extend(&options);
            octets.truncate(octets.len() - cut.min(options.len()));
            let walked = Record::read(&octets, 0).and_then(|record| Edns::from_record(&octets, &record)).ok();
            prop_assert_eq!(Edns::alone(&octets), walked);
        }

        #[test]
        fn accepted_subnet_is_echoed_octet_for_octet_but_for_its_scope(
            data in prop::collection::vec(any::<u8>(), 0..24), family in 0u8..3, source in 0u8..130,
        ) {
            let mut data = data;
            if data.len() >= 4 { data[0] = 0; data[1] = family; data[2] = source; data[3] = 0; }
            if let Ok(subnet) = ClientSubnet::read(&data) {
                let mut out = [0; CLIENT_SUBNET_MAX_OCTETS];
                let len = subnet.write(0, &mut out).unwrap();
                prop_assert_eq!(&out[4..len], &data[..]);
            }
        }
    }
}
