//! What became of the queries: right, wrong (by what was wrong) or lost (by why), and how long the answers took.

use std::time::Duration;

use crate::histogram::Histogram;
use crate::queries::{HEADER_OCTETS, Queries};

/// What is wrong with a reply.
#[derive(Clone, Copy)]
pub(crate) enum Wrong {
    /// Shorter than a header and the question.
    Short,
    /// No query with this id is outstanding.
    Id,
    /// The QR bit is clear.
    NotResponse,
    /// Not the question that was asked.
    Question,
    /// Truncated (TC), where all answers fit.
    Truncated,
    /// Another rcode than expected.
    Rcode,
    /// Fewer or more answers than expected.
    Answers,
}

/// Names of [`Wrong`], in its order.
const WRONG: [&str; 7] = ["short", "id", "not-response", "question", "truncated", "rcode", "answers"];

/// Why a query has no answer.
#[derive(Clone, Copy)]
pub(crate) enum Lost {
    /// None came in time.
    Timeout,
    /// It could not be sent.
    Unsent,
    /// The connection was closed or reset before the answer.
    Closed,
    /// It was due while every id was outstanding.
    NoSlot,
}

/// Names of [`Lost`], in its order.
const LOST: [&str; 4] = ["timeout", "unsent", "closed", "no-slot"];

/// How strictly replies are checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// Everything.
    All,
    /// Id, QR and question: for servers that answer everything alike.
    Header,
}

/// Counts of one run.
pub(crate) struct Tally {
    /// Queries handed to the kernel.
    pub(crate) sent: u64,
    /// Replies that were right.
    pub(crate) right: u64,
    /// Replies whose query had been given up; the query is among the lost ones.
    pub(crate) late: u64,
    wrong: [u64; WRONG.len()],
    lost: [u64; LOST.len()],
    /// From the send, or from when it was due, to the reply. A lost query has waited for as long as any is waited for: left
    /// out, the more a server loses, the faster it would look.
    pub(crate) latency: Histogram,
    /// From when a query was due to its send: what of its latency is the load's own.
    pub(crate) behind: Histogram,
    strictness: Strictness,
    timeout_ns: u64,
}

impl Tally {
    /// Nothing counted yet; after `timeout` a query is lost.
    pub(crate) fn new(strictness: Strictness, timeout: Duration) -> Tally {
        Tally {
            sent: 0,
            right: 0,
            late: 0,
            wrong: [0; WRONG.len()],
            lost: [0; LOST.len()],
            latency: Histogram::new(),
            behind: Histogram::new(),
            strictness,
            timeout_ns: timeout.as_nanos() as u64,
        }
    }

    /// Forgets everything counted so far: the end of the warm-up.
    pub(crate) fn clear(&mut self) {
        (self.sent, self.right, self.late) = (0, 0, 0);
        self.wrong.fill(0);
        self.lost.fill(0);
        self.latency.clear();
        self.behind.clear();
    }

    /// Right and wrong replies together: each has cost the server its work.
    pub(crate) fn replies(&self) -> u64 {
        self.right + self.all_wrong() + self.late
    }

    /// All wrong replies.
    pub(crate) fn all_wrong(&self) -> u64 {
        self.wrong.iter().sum()
    }

    /// All lost queries.
    pub(crate) fn all_lost(&self) -> u64 {
        self.lost.iter().sum()
    }

    /// Counts a wrong reply.
    pub(crate) fn wrong(&mut self, why: Wrong) {
        self.wrong[why as usize] += 1;
    }

    /// Counts lost queries.
    pub(crate) fn lost(&mut self, why: Lost, count: u64) {
        self.lost[why as usize] += count;
        self.latency.record(self.timeout_ns, count);
    }

    /// Every reason with its count.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        let wrong = WRONG.iter().zip(self.wrong).map(|(name, count)| ("wrong", *name, count));
        wrong.chain(LOST.iter().zip(self.lost).map(|(name, count)| ("lost", *name, count)))
    }

    /// Counts the reply to query `number`, whose id has been found outstanding.
    pub(crate) fn judge(&mut self, queries: &Queries, number: u32, reply: &[u8], latency_ns: u64) {
        self.latency.record(latency_ns, 1);
        match self.fault(queries, number, reply) {
            Some(why) => self.wrong(why),
            None => self.right += 1,
        }
    }

    fn fault(&self, queries: &Queries, number: u32, reply: &[u8]) -> Option<Wrong> {
        let question = queries.question(number);
        let Some(body) = reply.get(HEADER_OCTETS..HEADER_OCTETS + question.len()) else {
            return Some(Wrong::Short);
        };
        if reply[2] & 0x80 == 0 {
            return Some(Wrong::NotResponse);
        }
        if reply[4..6] != [0, 1] || body != question {
            return Some(Wrong::Question);
        }
        if self.strictness == Strictness::Header {
            return None;
        }
        let query = queries.get(number);
        if reply[2] & 0x02 != 0 {
            return Some(Wrong::Truncated);
        }
        if reply[3] & 0x0F != query.rcode {
            return Some(Wrong::Rcode);
        }
        if !query.answers.contains(&u16::from_be_bytes([reply[6], reply[7]])) {
            return Some(Wrong::Answers);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queries::{Edns, MAX_QUERY_OCTETS};
    use crate::random::Random;

    /// Bends a right answer to `www` and returns which kind of wrong is counted.
    fn judged(bend: impl Fn(&mut Vec<u8>)) -> Option<&'static str> {
        let queries = Queries::load("www", Edns::Off).unwrap();
        let mut reply = vec![0; MAX_QUERY_OCTETS];
        let len = queries.write(0, 1, &mut Random::new(1), &mut reply);
        reply.truncate(len);
        (reply[2], reply[7]) = (0x84, 1);
        bend(&mut reply);
        let mut tally = Tally::new(Strictness::All, Duration::from_secs(1));
        tally.judge(&queries, 0, &reply, 1);
        assert_eq!(tally.right + tally.all_wrong(), 1);
        tally.reasons().find(|(_, _, count)| *count == 1).map(|(_, why, _)| why)
    }

    #[test]
    fn a_lost_query_waits_longest() {
        let mut tally = Tally::new(Strictness::All, Duration::from_secs(1));
        tally.latency.record(1000, 98);
        tally.lost(Lost::Timeout, 2);
        assert!(tally.latency.quantile(0.98) < 2000);
        assert_eq!(tally.latency.quantile(0.99), 1_000_000_000);
    }

    #[test]
    fn every_fault_of_a_reply_is_counted_by_its_kind() {
        assert_eq!(judged(|_| ()), None);
        assert_eq!(judged(|reply| reply.truncate(20)), Some("short"));
        assert_eq!(judged(|reply| reply[2] = 4), Some("not-response"));
        assert_eq!(judged(|reply| reply[13] = b'W'), Some("question"));
        assert_eq!(judged(|reply| reply[2] |= 2), Some("truncated"));
        assert_eq!(judged(|reply| reply[3] = 2), Some("rcode"));
        assert_eq!(judged(|reply| reply[7] = 0), Some("answers"));
    }
}
