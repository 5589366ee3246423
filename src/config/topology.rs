//! The `topology` section, or a file of its own with the same mapping: regions, by their prefixes or by what databases know.
//!
//! A prefix's host bits must be clear. Opens no file, looks nothing up; that is `place`'s and `state/topology`'s.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::cause::{Cause, Found};
use super::decode::{Decoder, Field, Placed, Read, Section, key};
use super::events::{Node, Scalar};
use super::place::selectors::{Level, read_coordinates};
use super::place::{self, MAX_REGIONS, RESERVED_REGION, ReadTopology};
use super::report::Span;
use super::scalars::{text_chars, text_octets};
use super::server::join;
use super::zones::MAX_PATH_OCTETS;

/// Longest name of a region.
pub(super) const MAX_REGION_CHARS: usize = 256;
/// Room for the keys of a region: there may be very many.
const REGION_KEYS: usize = 8;
/// Host bits set: the longer prefix suggested ends at a multiple of this many bits.
const V4_STEP: u32 = 8;
const V6_STEP: u32 = 16;

/// A region that is more than prefixes.
pub(super) static REGION: Section = Section {
    title: "a region",
    keys: &[
        key("prefixes"),
        key("prefix_file"),
        key("city"),
        key("subdivision"),
        key("asn"),
        key("country"),
        key("continent"),
        key("coordinates"),
    ],
    may_be_empty: true,
};

/// Reads regions; `directory` is what their files are relative to.
pub(super) fn read_topology<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    directory: Option<&Path>,
) -> Read<ReadTopology> {
    let mut read = ReadTopology { file: Some(d.file()), ..ReadTopology::default() };
    let mut first_places: HashMap<String, Span> = HashMap::new();
    let mut too_many = None;
    d.entries(field, |d, field| {
        let at = field.at;
        let region = read.topology.regions.len();
        if region == MAX_REGIONS {
            too_many.get_or_insert(at);
            return d.skip(&field.node);
        }
        check_region(d, &field, &mut first_places);
        read.topology.regions.push(field.name.to_string());
        match field.node {
            Node::Mapping(_) => read_region(d, field, region as u16, directory, &mut read),
            Node::List(_) | Node::Scalar(_) => read_prefixes(d, field, region as u16, &mut read),
        }
    })?;
    if let Some(at) = too_many {
        d.error(at, Cause::TooMany { what: "regions", limit: MAX_REGIONS });
    }
    Ok(read)
}

/// Reads a region that is more than prefixes.
fn read_region<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    region: u16,
    directory: Option<&Path>,
    read: &mut ReadTopology,
) -> Read<()> {
    let (at, name) = (field.at, field.name.clone());
    let mut is_empty = true;
    d.small_section::<REGION_KEYS>(field, &REGION, |d, key, field| {
        if let Some(level) = Level::of_key(key) {
            is_empty = false;
            return read.selectors.read(d, level, field, region, &read.topology.regions);
        }
        match key {
            "prefixes" => {
                is_empty = false;
                return read_prefixes(d, field, region, read);
            }
            "prefix_file" => {
                is_empty = false;
                let path = d.value(field, |scalar| text_octets(&scalar.text, MAX_PATH_OCTETS))?;
                let path = path.map(|path| Placed { value: join(directory, &path.value), span: path.span });
                read.prefix_files.extend(path.map(|path| (region, path)));
            }
            "coordinates" => {
                let coordinates = read_coordinates(d, field)?;
                read.topology.coordinates.extend(coordinates.map(|coordinates| (region, coordinates)));
            }
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    if is_empty {
        d.warning(at, Cause::EmptyRegion { region: Found::new(&name) });
    }
    Ok(())
}

/// Reports what is wrong with a region's name.
fn check_region(d: &mut Decoder<'_, '_>, field: &Field<'_>, first_places: &mut HashMap<String, Span>) {
    let cause = match text_chars(&field.name, MAX_REGION_CHARS) {
        Err(cause) => cause,
        Ok(name) if name == RESERVED_REGION => Cause::ReservedRegion { name: Found::new(&name) },
        Ok(name) => match first_places.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(field.at);
                return;
            }
            Entry::Occupied(first) => Cause::Duplicate {
                what: "region",
                item: Found::new(first.key()),
                first_line: first.get().line,
            },
        },
    };
    d.error(field.at, cause);
}

/// Reads the prefixes of one region.
fn read_prefixes<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    region: u16,
    read: &mut ReadTopology,
) -> Read<()> {
    let (at, name) = (field.at, field.name.clone());
    if let Node::List(_) = field.node {
        let count = d.items(field.name.clone(), |d, item| read_prefix(d, item, region, read))?;
        if count == 0 {
            d.warning(at, Cause::EmptyRegion { region: Found::new(&name) });
        }
        return Ok(());
    }
    d.list(field, "topology", |d, item| read_prefix(d, item, region, read)).map(|_| ())
}

fn read_prefix<'t>(
    d: &mut Decoder<'t, '_>,
    item: Field<'t>,
    region: u16,
    read: &mut ReadTopology,
) -> Read<()> {
    if let Some(found) = d.value(item, prefix)? {
        let place = (d.file(), found.span);
        place::add(read, found.value, region, place);
    }
    Ok(())
}

/// A prefix without host bits; an address alone is one of full length, an IPv4-mapped one is IPv4.
pub(super) fn prefix(scalar: &Scalar<'_>) -> Result<IpNet, Cause> {
    prefix_of(&scalar.text)
}

/// The same of text.
pub(super) fn prefix_of(text: &str) -> Result<IpNet, Cause> {
    let not_prefix = || Cause::NotPrefix { text: Found::new(text) };
    let (address, len) = match text.split_once('/') {
        None => (text, None),
        Some((address, len)) => (address, Some(len)),
    };
    let address: IpAddr = address.parse().map_err(|_| not_prefix())?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    let len = match len {
        None => max,
        Some(digits)
            if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            return Err(not_prefix());
        }
        Some(digits) => {
            let len: u32 = digits.parse().map_err(|_| not_prefix())?;
            u8::try_from(len)
                .ok()
                .filter(|len| *len <= max)
                .ok_or_else(|| Cause::PrefixLength { text: Found::new(text), max })?
        }
    };
    let net = IpNet::new(address, len).map_err(|_| not_prefix())?;
    if net.trunc() != net {
        return Err(Cause::HostBits {
            text: Found::new(text),
            network: net.trunc(),
            longer: without_host_bits(net),
        });
    }
    Ok(unmapped(net))
}

/// The shortest prefix of a round length that holds all the bits that are set.
fn without_host_bits(net: IpNet) -> IpNet {
    let (zeros, width, step) = match net.addr() {
        IpAddr::V4(v4) => (v4.to_bits().trailing_zeros(), 32, V4_STEP),
        IpAddr::V6(v6) => (v6.to_bits().trailing_zeros(), 128, V6_STEP),
    };
    let len = (width - zeros).next_multiple_of(step).min(width);
    IpNet::new_assert(net.addr(), len as u8)
}

/// `::ffff:192.0.2.0/120` is `192.0.2.0/24`: that is how such a client's address is looked up.
fn unmapped(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(v4), Some(len)) => IpNet::new_assert(IpAddr::V4(v4), len),
        _ => net,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{errors, loaded, warnings};
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const REST: &str = "zones: {example.com: {ns: ns1.example.net}}\n";

    fn read(text: &str) -> Result<IpNet, Cause> {
        prefix(&Scalar { text: text.into(), plain: true, span: Span::default() })
    }

    #[test]
    fn regions_and_prefixes_are_read_in_order() {
        let text = format!(
            "{REST}topology:\n  dc1: [192.0.2.0/24, 2001:db8::/32]\n  dc2: 198.51.100.7\n  dc3:\n  - ::ffff:10.0.0.0/104\n"
        );
        let topology = loaded(&text).topology;
        assert_eq!(topology.regions, ["dc1", "dc2", "dc3"]);
        let shown: Vec<String> = topology.prefixes.iter().map(|(p, r)| format!("{p} {r}")).collect();
        assert_eq!(shown, ["192.0.2.0/24 0", "2001:db8::/32 0", "198.51.100.7/32 1", "10.0.0.0/8 2"]);
    }

    #[test]
    fn host_bits_are_refused_with_both_suggestions() {
        let words = |text| read(text).unwrap_err().to_string();
        assert_eq!(
            words("10.1.1.0/16"),
            "`10.1.1.0/16` has host bits set: did you mean `10.1.0.0/16` or `10.1.1.0/24`?"
        );
        assert_eq!(
            words("2001:db8:1::/32"),
            "`2001:db8:1::/32` has host bits set: did you mean `2001:db8::/32` or `2001:db8:1::/48`?"
        );
        assert_eq!(
            words("10.0.0.1/0"),
            "`10.0.0.1/0` has host bits set: did you mean `0.0.0.0/0` or `10.0.0.1/32`?"
        );
    }

    #[test]
    fn each_bad_region_is_an_error_at_its_place() {
        let text = format!(
            "{REST}topology:\n  _default: 10.0.0.0/8\n  a:\n  - 10.0.0.0/8\n  - 10.0.0.0/33\n  - 10.0.0/8\n  - {{}}\n  a: 10.1.0.0/16\n  b: {{}}\n"
        );
        assert_eq!(
            errors(&text),
            [
                "3:3: the region name `_default` is reserved",
                "5:5: the prefix `10.0.0.0/8` is given twice (first given for the region `_default` on line 3)",
                "6:5: `10.0.0.0/33` has a length beyond 32",
                "7:5: `10.0.0/8` is not a prefix (accepted are `192.0.2.0/24`, `2001:db8::/32` and single addresses)",
                "8:5: expected a single value, found a mapping",
                "9:3: the region `a` is given twice (first given on line 4)",
            ]
        );
        assert_eq!(
            warnings(&format!("{REST}topology: {{a: []}}\n")),
            ["2:12: the region `a` has no prefixes"]
        );
    }

    proptest! {
        #[test]
        fn suggestions_have_no_host_bits_and_are_no_shorter(bits in any::<u128>(), len in 0u8..=128, v4 in any::<bool>()) {
            let net = match v4 {
                true => IpNet::new_assert(IpAddr::V4(Ipv4Addr::from_bits(bits as u32)), len.min(32)),
                false => IpNet::new_assert(IpAddr::V6(Ipv6Addr::from_bits(bits)), len),
            };
            let longer = without_host_bits(net);
            prop_assert_eq!(longer.trunc(), longer);
            prop_assert!(net.trunc() == net || longer.prefix_len() >= net.prefix_len());
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}|[0-9a-f.:/]{0,30}") {
            let _ = read(&text);
        }
    }
}
