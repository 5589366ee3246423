//! A pool's `lb_method` with the options that only some methods have: `first`, `next`, `hash_prefix_v4`,
//! `hash_prefix_v6`, `table`, `hysteresis`.
//!
//! Options stand in any order beside the method, so they are read first and put together when the pool is whole; regions are
//! known by name until the topology is there. Chooses nothing.

use std::collections::{BTreeMap, HashMap};

use super::cause::{Cause, Found, Kind};
use super::decode::{Decoder, Field, Placed, Read};
use super::events::Node;
use super::model::{Hysteresis, Method, Order, Orders};
use super::place::cause::PlaceCause;
use super::place::latency::hysteresis;
use super::report::Span;
use super::scalars::{integer, text_chars, text_octets, word};
use super::zones::MAX_PATH_OCTETS;

/// What `lb_method` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MethodKind {
    Wrr,
    Twrr,
    Fogroup,
    Random,
    Hash,
    Nearest,
    Latency,
}

const METHODS: &[(&str, MethodKind)] = &[
    ("wrr", MethodKind::Wrr),
    ("twrr", MethodKind::Twrr),
    ("fogroup", MethodKind::Fogroup),
    ("random", MethodKind::Random),
    ("hash", MethodKind::Hash),
    ("nearest", MethodKind::Nearest),
    ("latency", MethodKind::Latency),
];

/// The methods, for messages.
pub(super) const METHOD_WORDS: &str = "`wrr`, `twrr`, `fogroup`, `random`, `hash`, `nearest` and `latency`";

/// The options, each with the method it is of.
const OPTIONS: [(&str, MethodKind, &str); 6] = [
    ("first", MethodKind::Fogroup, "`fogroup`"),
    ("next", MethodKind::Twrr, "`twrr`"),
    ("hash_prefix_v4", MethodKind::Hash, "`hash`"),
    ("hash_prefix_v6", MethodKind::Hash, "`hash`"),
    ("table", MethodKind::Latency, "`latency`"),
    ("hysteresis", MethodKind::Latency, "`latency`"),
];

/// The word that ends an order of regions with all others.
const ANYWHERE: &str = "anywhere";
/// Regions in one order.
const MAX_NEXT: usize = 64;
const MAX_REGION_CHARS: usize = 256;
/// A client's network, where no option says otherwise: what resolvers tell of their clients (RFC 7871 §11.1).
const DEFAULT_PREFIX_V4: u8 = 24;
const DEFAULT_PREFIX_V6: u8 = 56;

/// An order of regions by name.
#[derive(Debug, Default)]
struct NamedOrder {
    regions: Vec<Placed<String>>,
    then_anywhere: bool,
}

/// `next` as read.
#[derive(Debug)]
enum Next {
    /// For clients of every region.
    All(NamedOrder),
    /// By the clients' region.
    By(Vec<(Placed<String>, NamedOrder)>),
}

/// The method of a pool as far as it could be read.
#[derive(Debug, Default)]
pub(super) struct ReadMethod {
    kind: Option<Placed<MethodKind>>,
    first: Option<Placed<u16>>,
    next: Option<Next>,
    prefix_v4: Option<Placed<u8>>,
    prefix_v6: Option<Placed<u8>>,
    table: Option<Placed<String>>,
    hysteresis: Option<Placed<Hysteresis>>,
    /// Where the options stand.
    places: Vec<(&'static str, Span)>,
}

impl ReadMethod {
    /// Reads `lb_method` or one of its options; false for another key.
    pub(super) fn read<'t>(
        &mut self,
        d: &mut Decoder<'t, '_>,
        key: &'static str,
        field: &mut Option<Field<'t>>,
    ) -> Read<bool> {
        let is_option = OPTIONS.iter().any(|(option, ..)| *option == key);
        if key != "lb_method" && !is_option {
            return Ok(false);
        }
        let Some(field) = field.take() else { return Ok(true) };
        if is_option {
            self.places.push((key, field.at));
        }
        match key {
            "lb_method" => self.kind = d.value(field, word(METHODS, METHOD_WORDS))?,
            "first" => self.first = d.value(field, integer(1..=1024))?,
            "next" => self.next = read_next(d, field)?,
            "hash_prefix_v4" => self.prefix_v4 = d.value(field, integer(1..=32))?,
            "table" => self.table = d.value(field, |scalar| text_octets(&scalar.text, MAX_PATH_OCTETS))?,
            "hysteresis" => self.hysteresis = d.value(field, hysteresis)?,
            _ => self.prefix_v6 = d.value(field, integer(1..=128))?,
        }
        Ok(true)
    }

    /// The file of its table of latencies, as it stands there.
    pub(super) fn table(&self) -> Option<&Placed<String>> {
        self.table.as_ref()
    }

    /// Where `lb_method` asks for places.
    pub(super) fn nearest_at(&self) -> Option<Span> {
        self.kind.filter(|kind| kind.value == MethodKind::Nearest).map(|kind| kind.span)
    }

    /// Where `lb_method` asks for regions.
    pub(super) fn by_region_at(&self) -> Option<Span> {
        self.kind.filter(|kind| kind.value == MethodKind::Twrr).map(|kind| kind.span)
    }

    /// The method, its regions left out; says which options are of another one. `None` where there is none.
    pub(super) fn build(&self, d: &mut Decoder<'_, '_>) -> Option<Method> {
        let Placed { value: kind, span: kind_at } = self.kind?;
        for (place, span) in &self.places {
            let of = OPTIONS.iter().find(|(option, of, _)| option == place && *of != kind);
            if let Some((option, _, method)) = of {
                d.error(*span, Cause::OptionOfOtherMethod { option, method });
            }
        }
        let or = |prefix: Option<Placed<u8>>, default| prefix.map_or(default, |prefix| prefix.value);
        Some(match kind {
            MethodKind::Wrr => Method::Wrr,
            MethodKind::Twrr => Method::Twrr { next: None },
            MethodKind::Fogroup => Method::Fogroup { first: self.first.map_or(1, |first| first.value) },
            MethodKind::Random => Method::Random,
            MethodKind::Hash => Method::Hash {
                prefix_v4: or(self.prefix_v4, DEFAULT_PREFIX_V4),
                prefix_v6: or(self.prefix_v6, DEFAULT_PREFIX_V6),
            },
            MethodKind::Nearest => Method::Nearest,
            MethodKind::Latency => {
                if self.table.is_none() && !self.places.iter().any(|(option, _)| *option == "table") {
                    d.error(kind_at, PlaceCause::NoTable.into());
                }
                let hysteresis = self.hysteresis.map_or(Hysteresis::Micros(0), |placed| placed.value);
                Method::Latency { table: 0, hysteresis }
            }
        })
    }

    /// The orders of regions, by the numbers that a topology gives them; `unknown` is told of names it does not have.
    pub(super) fn orders(
        &self,
        regions: &HashMap<&str, u16>,
        mut unknown: impl FnMut(Span, Cause),
    ) -> Option<Orders> {
        let mut number = |region: &Placed<String>| {
            let found = regions.get(region.value.as_str()).copied();
            if found.is_none() {
                let closest = super::suggest::closest(&region.value, regions.keys().copied()).map(Found::new);
                unknown(region.span, Cause::UnknownRegion { name: Found::new(&region.value), closest });
            }
            found
        };
        let mut order = |named: &NamedOrder| Order {
            regions: named.regions.iter().filter_map(&mut number).collect(),
            then_anywhere: named.then_anywhere,
        };
        Some(match self.next.as_ref()? {
            Next::All(named) => Orders { by_region: BTreeMap::new(), others: Some(order(named)) },
            Next::By(named) => {
                let orders: Vec<Order> = named.iter().map(|(_, named)| order(named)).collect();
                let clients = named.iter().map(|(client, _)| number(client));
                let by_region = clients.zip(orders).filter_map(|(client, order)| Some((client?, order)));
                Orders { by_region: by_region.collect(), others: None }
            }
        })
    }
}

fn read_next<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Option<Next>> {
    match &field.node {
        Node::Mapping(_) => {
            let mut orders: Vec<(Placed<String>, NamedOrder)> = Vec::new();
            d.open_entries(&mut |d, field| {
                let client = Placed { value: field.name.to_string(), span: field.at };
                let order = read_order(d, field)?;
                match orders.iter().find(|(other, _)| other.value == client.value) {
                    Some((first, _)) => {
                        let (item, first_line) = (Found::new(&client.value), first.span.line);
                        d.error(client.span, Cause::Duplicate { what: "region", item, first_line });
                    }
                    None => orders.push((client, order)),
                }
                Ok(())
            })?;
            Ok(Some(Next::By(orders)))
        }
        Node::List(_) => Ok(Some(Next::All(read_order(d, field)?))),
        Node::Scalar(_) => {
            d.refuse(&field, Kind::MappingOrList)?;
            Ok(None)
        }
    }
}

fn read_order<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<NamedOrder> {
    let at = field.at;
    let mut order = NamedOrder::default();
    let mut behind = None;
    d.list(field, "next", |d, item| {
        let Some(region) = d.value(item, |scalar| text_chars(&scalar.text, MAX_REGION_CHARS))? else {
            return Ok(());
        };
        if order.then_anywhere {
            behind.get_or_insert(region.span);
        } else if region.value == ANYWHERE {
            order.then_anywhere = true;
        } else if let Some(first) = order.regions.iter().find(|other| other.value == region.value) {
            let (item, first_line) = (Found::new(&region.value), first.span.line);
            d.error(region.span, Cause::Duplicate { what: "region", item, first_line });
        } else {
            order.regions.push(region);
        }
        Ok(())
    })?;
    if let Some(span) = behind {
        d.error(span, Cause::BehindAnywhere);
    }
    if order.regions.len() > MAX_NEXT {
        d.error(at, Cause::TooMany { what: "regions in `next`", limit: MAX_NEXT });
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{errors, loaded};
    use super::*;

    fn with(lines: &str) -> String {
        let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
        format!(
            "globalnames: {{a.example: p}}\npools:\n  p:\n    monitor: forced\n    monitor_params: {{status: up}}\n    \
             members: [192.0.2.1]\n{lines}topology: {{east: [192.0.2.0/24], west: [198.51.100.0/24], north: [203.0.113.0/24]}}\n"
        )
    }

    fn method(lines: &str) -> Method {
        loaded(&with(lines)).pools.remove(0).method
    }

    #[test]
    fn options_stand_in_any_order_and_have_defaults() {
        assert_eq!(method("lb_method: random"), Method::Random);
        assert_eq!(method("lb_method: fogroup"), Method::Fogroup { first: 1 });
        assert_eq!(method("first: 3\nlb_method: fogroup"), Method::Fogroup { first: 3 });
        assert_eq!(method("lb_method: hash"), Method::Hash { prefix_v4: 24, prefix_v6: 56 });
        assert_eq!(
            method("hash_prefix_v6: 48\nlb_method: hash\nhash_prefix_v4: 32"),
            Method::Hash { prefix_v4: 32, prefix_v6: 48 }
        );
        assert_eq!(method("lb_method: twrr"), Method::Twrr { next: None });
    }

    #[test]
    fn next_regions_are_one_list_or_one_by_region() {
        let order = |regions: &[u16], then_anywhere| Order { regions: regions.to_vec(), then_anywhere };
        let Method::Twrr { next: Some(all) } = method("lb_method: twrr\nnext: [north, east]") else {
            panic!("no orders")
        };
        assert_eq!(all, Orders { by_region: BTreeMap::new(), others: Some(order(&[2, 0], false)) });
        let Method::Twrr { next: Some(by) } =
            method("lb_method: twrr\nnext: {east: [west, anywhere], north: [anywhere]}")
        else {
            panic!("no orders")
        };
        let by_region = BTreeMap::from([(0, order(&[1], true)), (2, order(&[], true))]);
        assert_eq!(by, Orders { by_region, others: None });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        assert_eq!(
            errors(&with("lb_method: wrr\nfirst: 2\nhash_prefix_v4: 33\nnext: [west]")),
            [
                "8:5: `first` is an option of the method `fogroup` alone (leave it out, or use `fogroup`)",
                "9:5: `hash_prefix_v4` is an option of the method `hash` alone (leave it out, or use `hash`)",
                "9:21: `33` is out of range (accepted are 1 to 32)",
                "10:5: `next` is an option of the method `twrr` alone (leave it out, or use `twrr`)",
            ]
        );
        let found = errors(&with("lb_method: twrr\nnext: [wst, west, west, anywhere, east]"));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("8:23: ") && found[0].contains("`west`"), "{found:?}");
        assert!(found[1].contains("nothing can follow `anywhere`"), "{found:?}");
        let found = errors(&with("lb_method: twrr\nnext: {esat: [west], east: [wset]}"));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("no region `esat`") && found[0].contains("did you mean `east`?"),
            "{found:?}"
        );
        assert!(
            found[1].contains("no region `wset`") && found[1].contains("did you mean `west`?"),
            "{found:?}"
        );
    }
}
