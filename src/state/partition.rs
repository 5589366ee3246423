//! All addresses cut into ranges, each with a value: what prefixes or a database say, ready to be laid over each other.
//!
//! Control side only: made, merged and frozen by `state/topology` before a query sees it. Ranges of equal value that adjoin are
//! one.

use std::net::IpAddr;

use ipnet::IpNet;

/// The value of addresses of which nothing is said.
pub const NONE: u32 = u32::MAX;

/// An address as a number.
pub trait Address: Copy + Ord {
    /// Its width.
    const BITS: u32;
    /// The first one.
    const ZERO: Self;
    /// The next address; `None` behind the last.
    fn next(self) -> Option<Self>;
    /// The address before; only asked of addresses above zero.
    fn previous(self) -> Self;
    /// Number of leading bits in which two addresses agree.
    fn common_bits(self, other: Self) -> u32;
    /// The leading `bits` (at most 16) as a number.
    fn lead(self, bits: u32) -> usize;
    /// Number of bits at its end that are clear.
    fn zeros(self) -> u32;
    /// The first address whose leading `bits` are `lead`.
    fn from_lead(lead: usize, bits: u32) -> Self;
}

macro_rules! impl_address {
    ($int:ty) => {
        impl Address for $int {
            const BITS: u32 = <$int>::BITS;
            const ZERO: Self = 0;
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Self {
                self.wrapping_sub(1)
            }
            #[inline]
            fn common_bits(self, other: Self) -> u32 {
                (self ^ other).leading_zeros()
            }
            #[inline]
            fn lead(self, bits: u32) -> usize {
                (self >> (<$int>::BITS - bits)) as usize
            }
            fn zeros(self) -> u32 {
                self.trailing_zeros()
            }
            fn from_lead(lead: usize, bits: u32) -> Self {
                (lead as $int) << (<$int>::BITS - bits)
            }
        }
    };
}
impl_address!(u32);
impl_address!(u128);

/// The addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<A> {
    /// First address of each range, ascending; the first is 0, so that every address has a range.
    pub(super) starts: Vec<A>,
    /// The value of each.
    pub(super) values: Vec<u32>,
}

impl<A: Address> Default for Line<A> {
    fn default() -> Line<A> {
        Line { starts: vec![A::ZERO], values: vec![NONE] }
    }
}

/// Addresses from the first to the last.
struct Span<A> {
    first: A,
    last: A,
    value: u32,
}

impl<A: Address> Line<A> {
    /// Gives a value to all addresses from `start` on; not before the start of the range that is the last so far.
    fn push(&mut self, start: A, value: u32) {
        let at = self.starts.len() - 1;
        if self.starts[at] == start {
            self.values[at] = value;
            // The change may have made it equal to its left neighbour.
            if at > 0 && self.values[at - 1] == value {
                self.starts.pop();
                self.values.pop();
            }
        } else if self.values[at] != value {
            self.starts.push(start);
            self.values.push(value);
        }
    }

    /// Of spans that nest or lie apart, as prefixes do: the innermost counts, of equal ones the last.
    fn of_spans(mut spans: Vec<Span<A>>) -> Line<A> {
        let mut line = Line::default();
        let is_before = |a: &Span<A>, b: &Span<A>| (a.first, b.last) <= (b.first, a.last);
        // Outer ones before inner ones: a stack of open spans then gives the innermost at any point.
        if !spans.is_sorted_by(is_before) {
            spans.sort_by(|a, b| a.first.cmp(&b.first).then(b.last.cmp(&a.last)));
        }
        line.starts.reserve(spans.len());
        line.values.reserve(spans.len());
        let mut open: Vec<Span<A>> = Vec::new();
        for span in spans {
            while let Some(inner) = open.pop_if(|top| top.last < span.first) {
                line.close(&inner, &open);
            }
            line.push(span.first, span.value);
            open.push(span);
        }
        while let Some(inner) = open.pop() {
            line.close(&inner, &open);
        }
        line
    }

    /// The addresses behind a closed span belong to the span around it, or to none.
    fn close(&mut self, inner: &Span<A>, open: &[Span<A>]) {
        if let Some(next) = inner.last.next() {
            self.push(next, open.last().map_or(NONE, |outer| outer.value));
        }
    }

    fn value_at(&self, address: A) -> u32 {
        self.values[self.starts.partition_point(|start| *start <= address) - 1]
    }

    fn merged(lines: &[&Line<A>], of: &mut impl FnMut(&[u32]) -> u32) -> Line<A> {
        let mut merged = Line::default();
        let mut at = vec![0; lines.len()];
        let mut values: Vec<u32> = lines.iter().map(|line| line.values[0]).collect();
        merged.push(A::ZERO, of(&values));
        loop {
            let next = lines.iter().zip(&at).filter_map(|(line, at)| line.starts.get(at + 1));
            let Some(start) = next.min().copied() else { return merged };
            for ((line, at), value) in lines.iter().zip(&mut at).zip(&mut values) {
                if line.starts.get(*at + 1) == Some(&start) {
                    *at += 1;
                    *value = line.values[*at];
                }
            }
            merged.push(start, of(&values));
        }
    }

    fn relabelled(self, of: &mut impl FnMut(u32) -> u32) -> Line<A> {
        let mut line = Line::default();
        self.starts.into_iter().zip(self.values).for_each(|(start, value)| line.push(start, of(value)));
        line
    }
}

/// All addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    pub(super) v4: Line<u32>,
    pub(super) v6: Line<u128>,
}

impl Partition {
    /// What prefixes say: the longest counts, of equal ones the last.
    pub fn of_prefixes(prefixes: impl IntoIterator<Item = (IpNet, u32)>) -> Partition {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (prefix, value) in prefixes {
            match prefix {
                IpNet::V4(net) => {
                    v4.push(Span { first: net.network().to_bits(), last: net.broadcast().to_bits(), value });
                }
                IpNet::V6(net) => {
                    v6.push(Span { first: net.network().to_bits(), last: net.broadcast().to_bits(), value });
                }
            }
        }
        Partition { v4: Line::of_spans(v4), v6: Line::of_spans(v6) }
    }

    /// Adds a prefix behind all others of its family. `false`: it is not behind them.
    #[must_use]
    pub fn append(&mut self, prefix: IpNet, value: u32) -> bool {
        fn append<A: Address>(line: &mut Line<A>, first: A, last: A, value: u32) -> bool {
            if line.starts.last().is_some_and(|start| *start > first) {
                return false;
            }
            line.push(first, value);
            if let Some(next) = last.next() {
                line.push(next, NONE);
            }
            true
        }
        match prefix {
            IpNet::V4(net) => append(&mut self.v4, net.network().to_bits(), net.broadcast().to_bits(), value),
            IpNet::V6(net) => append(&mut self.v6, net.network().to_bits(), net.broadcast().to_bits(), value),
        }
    }

    /// The value of an address.
    pub fn value_at(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(v4) => self.v4.value_at(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.value_at(v6.to_bits()),
        }
    }

    /// Several laid over each other: each address has what `of` makes of its values in them.
    pub fn merged(layers: &[&Partition], mut of: impl FnMut(&[u32]) -> u32) -> Partition {
        let v4: Vec<_> = layers.iter().map(|layer| &layer.v4).collect();
        let v6: Vec<_> = layers.iter().map(|layer| &layer.v6).collect();
        Partition { v4: Line::merged(&v4, &mut of), v6: Line::merged(&v6, &mut of) }
    }

    /// The same ranges with other values.
    pub fn relabelled(self, mut of: impl FnMut(u32) -> u32) -> Partition {
        Partition { v4: self.v4.relabelled(&mut of), v6: self.v6.relabelled(&mut of) }
    }

    /// Number of ranges.
    pub fn range_count(&self) -> usize {
        self.v4.starts.len() + self.v6.starts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefixes(most: usize) -> impl Strategy<Value = Vec<(IpNet, u32)>> {
        // Few distinct bits, so that prefixes nest and adjoin.
        let v4 = (any::<u32>(), 0u8..=32).prop_map(|(bits, len)| {
            let address = std::net::Ipv4Addr::from_bits(bits & 0xC300_00C3);
            IpNet::new(IpAddr::V4(address), len).unwrap().trunc()
        });
        let v6 = (any::<u128>(), 0u8..=128).prop_map(|(bits, len)| {
            let address = std::net::Ipv6Addr::from_bits(bits & 0xC000_0000_0003_0000_0000_0000_0000_0003);
            IpNet::new(IpAddr::V6(address), len).unwrap().trunc()
        });
        prop::collection::vec((prop_oneof![v4, v6], 0u32..3), 0..most)
    }

    /// First, last and their neighbours.
    fn edges(prefixes: &[(IpNet, u32)]) -> Vec<IpAddr> {
        let of = |(net, _): &(IpNet, u32)| match (net.network(), net.broadcast()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let (a, b) = (a.to_bits(), b.to_bits());
                [a, b, a.wrapping_sub(1), b.wrapping_add(1)].map(|x| IpAddr::from(x.to_be_bytes())).to_vec()
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let (a, b) = (a.to_bits(), b.to_bits());
                [a, b, a.wrapping_sub(1), b.wrapping_add(1)].map(|x| IpAddr::from(x.to_be_bytes())).to_vec()
            }
            _ => Vec::new(),
        };
        prefixes.iter().flat_map(of).collect()
    }

    proptest! {
        #[test]
        fn merged_layers_have_what_is_made_of_the_values_of_each(a in prefixes(12), b in prefixes(12)) {
            let layers = [Partition::of_prefixes(a.clone()), Partition::of_prefixes(b.clone())];
            let of = |values: &[u32]| if values[0] == NONE { values[1] } else { values[0] };
            let merged = Partition::merged(&[&layers[0], &layers[1]], of);
            for address in edges(&a).into_iter().chain(edges(&b)) {
                let values = [layers[0].value_at(address), layers[1].value_at(address)];
                prop_assert_eq!(merged.value_at(address), of(&values), "{}", address);
            }
            for line in [&merged.v4.values, &merged.v6.values.clone()] {
                prop_assert!(line.windows(2).all(|pair| pair[0] != pair[1]), "adjoining ranges of one value");
            }
        }

        #[test]
        fn appended_prefixes_are_those_given_at_once(mut given in prefixes(12)) {
            // Apart from each other and ascending.
            given.sort_by_key(|(net, _)| (net.network(), net.prefix_len()));
            let mut apart: Vec<(IpNet, u32)> = Vec::new();
            for one in given {
                if apart.iter().all(|(other, _)| !other.contains(&one.0)) {
                    apart.push(one);
                }
            }
            let mut partition = Partition::default();
            for (net, value) in &apart {
                prop_assert!(partition.append(*net, *value));
            }
            prop_assert_eq!(partition, Partition::of_prefixes(apart));
        }
    }

    #[test]
    fn what_is_not_behind_the_others_is_not_appended() {
        let mut partition = Partition::default();
        assert!(partition.append("10.0.0.0/8".parse().unwrap(), 1));
        assert!(!partition.append("9.0.0.0/8".parse().unwrap(), 1));
        assert!(
            partition.append("::/1".parse().unwrap(), 2) && partition.append("8000::/1".parse().unwrap(), 2)
        );
        assert_eq!(partition.v6, Line { starts: vec![0], values: vec![2] });
    }

    #[test]
    fn relabelling_joins_what_has_become_equal() {
        let prefixes =
            [("10.0.0.0/9", 1), ("10.128.0.0/9", 2)].map(|(net, value)| (net.parse().unwrap(), value));
        let relabelled =
            Partition::of_prefixes(prefixes).relabelled(|value| if value == NONE { NONE } else { 7 });
        assert_eq!(relabelled.range_count(), 3 + 1);
    }
}
