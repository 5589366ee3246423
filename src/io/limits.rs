//! How many connections there may be, in all and per client. Shared by all workers; atomic counters, no lock.
//!
//! A client is an IPv4 address or an IPv6 /64 (one subscriber may use any address of it). Clients are counted in
//! `BUCKETS` counters, chosen by a hash with a secret key: two clients in one bucket share its limit, so a collision
//! only makes the limit stricter, and nobody outside can choose whom to collide with.
//!
//! # Invariants
//! A counter is raised by a claim and lowered by the drop of its `Permit`, never otherwise; none ever exceeds its
//! limit.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// Counters of clients: 128 KiB in all.
const BUCKETS: usize = 1 << 16;

/// The limits and what is in use of them.
#[derive(Debug)]
pub struct ConnectionLimits {
    max_total: u32,
    max_per_client: u16,
    total: AtomicU32,
    clients: Box<[AtomicU16]>,
    hasher: RandomState,
}

/// Which limit stands against a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All connections together.
    Total,
    /// Those of this client.
    Client,
}

/// The right to one connection; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    limits: Arc<ConnectionLimits>,
    bucket: u16,
}

impl ConnectionLimits {
    /// At most `max_total` connections, of which `max_per_client` from one client.
    pub fn new(max_total: u32, max_per_client: u16) -> Arc<ConnectionLimits> {
        let clients = std::iter::repeat_with(|| AtomicU16::new(0)).take(BUCKETS).collect();
        let hasher = RandomState::new();
        Arc::new(ConnectionLimits { max_total, max_per_client, total: AtomicU32::new(0), clients, hasher })
    }

    /// Whether more than nine tenths of the connections that there may be are open.
    pub fn is_scarce(&self) -> bool {
        u64::from(self.open()) * 10 > u64::from(self.max_total) * 9
    }

    /// Connections open now, over all workers.
    pub fn open(&self) -> u32 {
        self.total.load(Ordering::Relaxed)
    }

    /// Claims one connection for `client`. Its own limit is looked at first, so a client at that limit never costs
    /// another one its place.
    ///
    /// # Errors
    /// The limit that is exhausted.
    pub fn claim(self: &Arc<Self>, client: IpAddr) -> Result<Permit, Refusal> {
        let bucket = self.bucket(client);
        // Relaxed throughout: the counters guard no other memory, and each is exact by itself.
        let raised = |used: u16| (used < self.max_per_client).then(|| used + 1);
        let counter = &self.clients[usize::from(bucket)];
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised).map_err(|_| Refusal::Client)?;
        let raised = |used: u32| (used < self.max_total).then(|| used + 1);
        if self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised).is_err() {
            counter.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Total);
        }
        Ok(Permit { limits: Arc::clone(self), bucket })
    }

    fn bucket(&self, client: IpAddr) -> u16 {
        let key = match client {
            IpAddr::V4(address) => (4u8, u64::from(address.to_bits())),
            IpAddr::V6(address) => (6u8, (address.to_bits() >> 64) as u64),
        };
        self.hasher.hash_one(key) as u16
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limits.clients[usize::from(self.bucket)].fetch_sub(1, Ordering::Relaxed);
        self.limits.total.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A client that shares no bucket with `other`.
    fn stranger_to(limits: &ConnectionLimits, other: IpAddr) -> IpAddr {
        let mut candidates = (1..=254u8).map(|last| IpAddr::from([127, 1, 1, last]));
        candidates.find(|ip| limits.bucket(*ip) != limits.bucket(other)).unwrap()
    }

    #[test]
    fn a_client_at_its_limit_is_refused_until_it_closes_one() {
        let limits = ConnectionLimits::new(10, 2);
        let client = ip("127.0.0.1");
        let first = limits.claim(client).unwrap();
        let _second = limits.claim(client).unwrap();
        assert_eq!(limits.claim(client).unwrap_err(), Refusal::Client);
        let _other = limits.claim(stranger_to(&limits, client)).unwrap();
        drop(first);
        assert!(limits.claim(client).is_ok());
        assert_eq!(limits.open(), 2);
    }

    #[test]
    fn a_refusal_for_the_total_takes_nothing_from_the_client() {
        let limits = ConnectionLimits::new(1, 1);
        let client = ip("127.0.0.1");
        let other = stranger_to(&limits, client);
        let only = limits.claim(other).unwrap();
        for _ in 0..5 {
            assert_eq!(limits.claim(client).unwrap_err(), Refusal::Total);
        }
        drop(only);
        assert!(limits.claim(client).is_ok());
        assert_eq!(limits.open(), 0);
    }

    #[test]
    fn addresses_of_one_ipv6_64_are_one_client() {
        let limits = ConnectionLimits::new(10, 1);
        let _first = limits.claim(ip("2001:db8::1")).unwrap();
        assert_eq!(limits.claim(ip("2001:db8::ffff:1")).unwrap_err(), Refusal::Client);
        assert_ne!(
            limits.bucket(ip("::1")),
            limits.bucket(ip("0:0:0:1::1")),
            "one chance in 65,536 to be equal"
        );
    }

    #[test]
    fn claims_of_many_threads_never_pass_the_limit_and_all_come_back() {
        let limits = ConnectionLimits::new(50, 1000);
        let threads: Vec<_> = (0..4u8)
            .map(|number| {
                let limits = Arc::clone(&limits);
                std::thread::spawn(move || {
                    for _ in 0..200 {
                        let held: Vec<_> = (0..30)
                            .filter_map(|_| limits.claim(IpAddr::from([127, 0, 0, number])).ok())
                            .collect();
                        assert!(limits.open() <= 50);
                        drop(held);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(limits.open(), 0);
        assert!(limits.clients.iter().all(|counter| counter.load(Ordering::Relaxed) == 0));
    }
}
