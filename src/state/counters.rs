//! What a worker counts: plain additions on lines that no other thread writes.
//!
//! The control side reads the cells whenever it likes; a count may be a query behind, never torn.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $variant:ident => $metric:literal, $labels:literal;)*) => {
        /// Everything that is counted, one cell each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Counter { $($(#[doc = $doc])* $variant,)* }

        impl Counter {
            /// All counters, metrics of the same name together.
            pub const ALL: &[Counter] = &[$(Counter::$variant,)*];

            /// Name of the metric, without the prefix and `_total`.
            pub fn metric(self) -> &'static str {
                match self { $(Counter::$variant => $metric,)* }
            }

            /// Its labels in Prometheus form, or nothing.
            pub fn labels(self) -> &'static str {
                match self { $(Counter::$variant => $labels,)* }
            }
        }
    };
}

counters! {
    /// Messages received over UDP.
    UdpQueries => "queries", r#"transport="udp""#;
    /// Messages received over TCP.
    TcpQueries => "queries", r#"transport="tcp""#;
    /// NOERROR with an answer.
    Answered => "responses", r#"result="answer""#;
    /// NOERROR without an answer.
    NoData => "responses", r#"result="nodata""#;
    /// NXDOMAIN.
    NxDomain => "responses", r#"result="nxdomain""#;
    /// NOERROR with the way to another zone's servers.
    Referral => "responses", r#"result="referral""#;
    /// REFUSED.
    Refused => "responses", r#"result="refused""#;
    /// SERVFAIL: the zone's data could not be read.
    ServFail => "responses", r#"result="servfail""#;
    /// YXDOMAIN: a DNAME record makes too long a name.
    YxDomain => "responses", r#"result="yxdomain""#;
    /// FORMERR.
    FormErr => "responses", r#"result="formerr""#;
    /// NOTIMP.
    NotImp => "responses", r#"result="notimp""#;
    /// BADVERS.
    BadVers => "responses", r#"result="badvers""#;
    /// BADCOOKIE: a client that must have a valid cookie has none yet.
    BadCookie => "responses", r#"result="badcookie""#;
    /// TC set: the answer did not fit into a UDP reply.
    Truncated => "responses", r#"result="truncated""#;
    /// Fewer than 12 octets.
    DropShort => "dropped", r#"reason="short""#;
    /// QR set: a response, not a query.
    DropResponse => "dropped", r#"reason="response""#;
    /// A UDP source port of 0, which cannot be answered.
    DropPort => "dropped", r#"reason="source_port""#;
    /// A datagram longer than the receive buffer.
    DropOversize => "dropped", r#"reason="oversize""#;
    /// Replies the kernel would not take (send buffer full, destination unreachable).
    DropSend => "dropped", r#"reason="send""#;
    /// Queries with an OPT record.
    Edns => "edns_queries", "";
    /// Queries whose client subnet was used.
    ClientSubnet => "client_subnet_queries", "";
    /// Queries with a valid server cookie.
    CookieValid => "cookies", r#"result="valid""#;
    /// Queries with a client cookie alone.
    CookieNew => "cookies", r#"result="new""#;
    /// Queries with a server cookie that is not valid, or not any more.
    CookieBad => "cookies", r#"result="bad""#;
    /// Answers over their client's rate that were not sent; with `log_only` they were.
    RrlDroppedAnswer => "rrl_dropped", r#"class="answer""#;
    /// The same of NOERROR without an answer.
    RrlDroppedNoData => "rrl_dropped", r#"class="nodata""#;
    /// The same of NXDOMAIN.
    RrlDroppedNxDomain => "rrl_dropped", r#"class="nxdomain""#;
    /// The same of delegations.
    RrlDroppedReferral => "rrl_dropped", r#"class="referral""#;
    /// The same of other response codes.
    RrlDroppedError => "rrl_dropped", r#"class="error""#;
    /// The same of replies of more than 512 octets.
    RrlDroppedLarge => "rrl_dropped", r#"class="large""#;
    /// Answers over their client's rate of which the client was told, by TC or BADCOOKIE; with `log_only` they were sent.
    RrlSlippedAnswer => "rrl_slipped", r#"class="answer""#;
    /// The same of NOERROR without an answer.
    RrlSlippedNoData => "rrl_slipped", r#"class="nodata""#;
    /// The same of NXDOMAIN.
    RrlSlippedNxDomain => "rrl_slipped", r#"class="nxdomain""#;
    /// The same of delegations.
    RrlSlippedReferral => "rrl_slipped", r#"class="referral""#;
    /// The same of other response codes.
    RrlSlippedError => "rrl_slipped", r#"class="error""#;
    /// The same of replies of more than 512 octets.
    RrlSlippedLarge => "rrl_slipped", r#"class="large""#;
    /// Answers drawn from members that are UP.
    FromUp => "pool_answers", r#"source="up""#;
    /// Answers drawn from members without a verdict, for want of one that is UP.
    FromUnknown => "pool_answers", r#"source="unknown""#;
    /// Answers drawn from a pool's fallback addresses.
    FromFallback => "pool_answers", r#"source="fallback""#;
    /// Answers that a pool's fallback left empty or refused.
    Exhausted => "pool_answers", r#"source="none""#;
    /// Rotations derived anew because a pool's health had changed.
    Rebuilds => "rotation_rebuilds", "";
    /// Snapshots adopted.
    Adopted => "snapshots_adopted", "";
    /// TCP connections accepted.
    TcpAccepted => "tcp_connections", r#"event="accepted""#;
    /// TCP connections refused because too many were open in all.
    TcpRefusedTotal => "tcp_connections", r#"event="refused_total""#;
    /// TCP connections refused because their client had too many open.
    TcpRefusedClient => "tcp_connections", r#"event="refused_client""#;
    /// Idle TCP connections closed to make room for new ones.
    TcpEvicted => "tcp_connections", r#"event="evicted""#;
    /// TCP connections closed after the idle timeout.
    TcpTimedOut => "tcp_connections", r#"event="timed_out""#;
    /// TCP connections closed because of a message that can be no query.
    TcpMalformed => "tcp_connections", r#"event="malformed""#;
    /// TCP connections that ended.
    TcpClosed => "tcp_connections", r#"event="closed""#;
    /// System calls on sockets that failed for a reason other than the above.
    SocketErrors => "socket_errors", "";
}

/// The counters of one worker.
#[derive(Default)]
pub struct Counters {
    cells: CachePadded<Cells>,
}

struct Cells([AtomicU64; Counter::ALL.len()]);

impl Default for Cells {
    fn default() -> Cells {
        Cells([const { AtomicU64::new(0) }; Counter::ALL.len()])
    }
}

impl Counters {
    /// Adds one. Only the worker that owns these counters may call this.
    #[inline]
    pub fn bump(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Adds `count`. Only the worker that owns these counters may call this.
    #[inline]
    pub fn add(&self, counter: Counter, count: u64) {
        let cell = &self.cells.0[counter as usize];
        // Relaxed load and store instead of fetch_add: one writer, so nothing can come between, and no locked bus cycle.
        cell.store(cell.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// The count so far; any thread may ask.
    pub fn get(&self, counter: Counter) -> u64 {
        // Relaxed: counts stand alone.
        self.cells.0[counter as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_stay_apart() {
        let counters = Counters::default();
        counters.bump(Counter::NoData);
        counters.add(Counter::NoData, 4);
        counters.bump(Counter::SocketErrors);
        assert_eq!((counters.get(Counter::NoData), counters.get(Counter::SocketErrors)), (5, 1));
        assert_eq!(counters.get(Counter::NxDomain), 0);
    }

    #[test]
    fn metrics_of_one_name_stand_together_with_distinct_labels() {
        let mut seen: Vec<&str> = Vec::new();
        let mut labels = std::collections::HashSet::new();
        for counter in Counter::ALL {
            if seen.last() != Some(&counter.metric()) {
                assert!(!seen.contains(&counter.metric()), "{} is scattered", counter.metric());
                seen.push(counter.metric());
            }
            assert!(labels.insert((counter.metric(), counter.labels())));
        }
    }
}
