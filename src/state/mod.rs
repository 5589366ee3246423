//! Memory that both planes see: written by the control side or the health keeper, read by the packet path.

/// How many replies each client network has had lately.
pub mod buckets;
/// The time, coarse.
pub mod clock;
/// The order of a signed zone's names.
pub mod chain;
/// What clients are told apart by.
pub mod clients;
/// Places on the globe.
pub mod coordinates;
/// What a worker counts.
pub mod counters;
/// What a worker knows of the time and its load.
pub mod guard;
/// Which member a client's network belongs to.
pub mod hash_slots;
/// The NSEC3 records of a signed zone in order.
pub mod hashes;
/// Verdicts of the probes, under a sequence lock.
pub mod health_table;
/// Maps by name, hashed as the index does.
pub mod name_map;
/// The qname index.
pub mod names;
/// Addresses cut into ranges, before they are frozen.
pub mod partition;
/// Who is answered, and how often.
pub mod policy;
/// Pools as the packet path needs them.
pub mod pool;
/// In which regions members are sought for a client.
pub mod preference;
/// Handing a snapshot to a worker without a lock.
pub mod publish;
/// Members with a capacity.
pub mod room;
/// Where a worker stands in each pool's rotation.
pub mod rotation;
/// RRsets put into wire form once, as they are read.
pub mod rrset;
/// The same, as they are made.
pub mod rrset_builder;
/// Signatures over the sets of addresses that a rotation answers with.
pub mod set_signatures;
/// One generation of everything a worker needs.
pub mod snapshot;
/// What names are steered to beside addresses.
pub mod steered;
/// Which region an address lies in.
pub mod topology;
/// Pools of pools.
pub mod tree;
/// The TTL of a pool's answers.
pub mod ttl;
