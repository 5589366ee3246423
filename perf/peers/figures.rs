//! What the rounds add up to: medians of each server, and of the ratios of two servers within the rounds both have.

use serde_json::{Value, json};

use crate::peers::Peer;

/// One round of one server that counts.
pub(crate) struct Run {
    /// CPU time of the server a reply, by its CPU clock.
    pub(crate) cpu_ns: f64,
    /// Of that in user mode, by the kernel's ticks: rough.
    pub(crate) user_ns: f64,
    /// And in system mode.
    pub(crate) system_ns: f64,
    /// Replies a second.
    pub(crate) qps: f64,
    /// CPU time of the server by wall time.
    pub(crate) busy: f64,
    /// Share of queries lost.
    pub(crate) lost: f64,
    /// 99th percentile of the latency in microseconds.
    pub(crate) p99_us: f64,
}

/// What became of one round of one server.
pub(crate) enum Outcome {
    /// It counts.
    Counted(Run),
    /// It does not, and why.
    Discarded(String),
}

/// All rounds of one server.
pub(crate) struct Series {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) what: &'static str,
    /// The package it comes in.
    pub(crate) package: Option<&'static str>,
    /// In the order of rounds.
    pub(crate) rounds: Vec<Outcome>,
    /// Memory after its last round.
    pub(crate) memory_mib: f64,
}

/// The middle of some values, and their ends.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    /// The middle one; of two middle ones the mean.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
    /// Where the true median is with 95 % confidence, by ranks (sign test): of fewer than nine values it is no narrower
    /// than the ends.
    pub(crate) confident: (f64, f64),
}

impl Spread {
    /// `None` when there is no value.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        // The binomial distribution of how many values lie below the median, taken as normal.
        let count = values.len() as f64;
        let rank = (count / 2.0 - 0.98 * count.sqrt()).round().max(1.0) as usize;
        let confident = (values[rank - 1], values[values.len() - rank]);
        Some(Spread { median, min, max, confident })
    }

    /// All of it.
    pub(crate) fn to_json(self) -> Value {
        let (low, high) = self.confident;
        json!({"median": self.median, "min": self.min, "max": self.max, "confident95": [low, high]})
    }
}

impl Series {
    /// No round yet.
    pub(crate) fn new(peer: &Peer) -> Series {
        Series {
            name: peer.name,
            what: peer.what,
            package: peer.package,
            rounds: Vec::new(),
            memory_mib: 0.0,
        }
    }

    /// The rounds that count.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &Run> {
        self.rounds.iter().filter_map(Outcome::run)
    }

    /// How one figure of the rounds that count is spread.
    pub(crate) fn spread(&self, figure: impl Fn(&Run) -> f64) -> Option<Spread> {
        Spread::of(self.counted().map(figure))
    }

    /// CPU time a query in terms of another server's, round by round.
    pub(crate) fn ratio_to(&self, other: &Series) -> Option<Spread> {
        let pairs = self.rounds.iter().zip(&other.rounds);
        Spread::of(pairs.filter_map(|(own, other)| Some(own.run()?.cpu_ns / other.run()?.cpu_ns)))
    }
}

impl Outcome {
    fn run(&self) -> Option<&Run> {
        match self {
            Outcome::Counted(run) => Some(run),
            Outcome::Discarded(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_and_its_confidence_follow_the_ranks() {
        let twenty = Spread::of((1..=20).rev().map(f64::from)).unwrap();
        assert_eq!((twenty.median, twenty.min, twenty.max, twenty.confident), (10.5, 1.0, 20.0, (6.0, 15.0)));
        let three = Spread::of([3.0, 1.0, 2.0].into_iter()).unwrap();
        assert_eq!((three.median, three.confident), (2.0, (1.0, 3.0)));
        assert!(Spread::of(std::iter::empty()).is_none());
    }
}
