//! What can be wrong with a zone as a whole, or unwise: one variant a cause, each with its fix.
//!
//! What is wrong with a single record's text is `zonefile`'s.

use std::net::IpAddr;

use crate::config::cause::Found;

/// Why a zone whose records could all be read is refused, or what about it is suspicious.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields of a variant are the blanks of the sentence above it")]
pub enum WholeCause {
    // --- errors
    /// RFC 1035 §5.2.
    #[error("the zone has no SOA record: put one at its apex, or give `soa` in the configuration")]
    NoSoa,
    /// RFC 1034 §4.2.1.
    #[error("the zone has no NS records at its apex: put them there, or give `ns` in the configuration")]
    NoNs,
    /// RFC 2181 §10.1.
    #[error(
        "{owner} has a CNAME record and others beside it: remove the CNAME, or all the others (RFC 2181 section 10.1)"
    )]
    AliasBesideData { owner: Found },
    /// RFC 2181 §10.1, RFC 6672 §2.4.
    #[error("{owner} has a second {rtype} record that leads elsewhere: a name has one")]
    SecondAlias { owner: Found, rtype: &'static str },
    /// RFC 4592 §4.2, §4.4.
    #[error("{rtype} records of a wildcard have no meaning (RFC 4592 section 4): give each name its own")]
    AtWildcard { rtype: &'static str },
    /// A CNAME chain without end.
    #[error(
        "the CNAME records from {owner} on lead back to themselves: one of them must lead to a name with data"
    )]
    AliasLoop { owner: Found },
    /// A CNAME chain that no resolver follows.
    #[error(
        "the CNAME records from {owner} on are a chain of more than {limit}: lead to the last name directly"
    )]
    AliasChain { owner: Found, limit: usize },
    /// More than a message holds.
    #[error("the {rtype} records of {owner} have more octets than any message holds: remove some")]
    TooLarge { owner: Found, rtype: String },
    /// More types than an owner can have here.
    #[error("{owner} has records of more than {limit} types")]
    TooManyTypes { owner: Found, limit: usize },
    /// More types than an owner of a signed zone can have here.
    #[error("{owner} has records of more than {limit} types beside those that signing adds: remove some")]
    TooManySignedTypes { owner: Found, limit: usize },

    // --- warnings
    /// RFC 2181 §10.3.
    #[error(
        "the name server {name} is an alias, which resolvers do not follow (RFC 2181 section 10.3): name the host itself"
    )]
    NameServerAlias { name: Found },
    /// The configuration's own is not used.
    #[error("the zone file has its own: `{what}` of the configuration is not used; remove one of the two")]
    GivenTwice { what: &'static str },
    /// Below a cut or a DNAME.
    #[error("this is hidden by the {rtype} records of {by} and never answered: remove it, or those")]
    Hidden { by: Found, rtype: &'static str },
    /// RFC 2181 §5.2.
    #[error(
        "records of one name and type have one TTL, here {first} s and {second} s are given: {smaller} s is used for all"
    )]
    DifferentTtls { first: u32, second: u32, smaller: u32 },
    /// RRSIG and the like.
    #[error(
        "RRSIG, NSEC and NSEC3 records of the file are not served: give the file as it is before signing"
    )]
    SignaturesIgnored,
    /// RFC 2182 §5.
    #[error(
        "the zone has one name server: where that fails, nobody finds it; name two or more (RFC 2182 section 5)"
    )]
    OneNameServer,
    /// An address in place of a name.
    #[error(
        "the name server `{address}` is an address, where a name is wanted: give it a name, and that an address record"
    )]
    NameServerAddress { address: IpAddr },
    /// Nobody can reach it.
    #[error("the name server {name} lies in this zone but has no address here: add A or AAAA records for it")]
    NameServerWithoutAddress { name: Found },
    /// The parent's glue would be wrong now and then.
    #[error(
        "the name server {name} is a globalname: the parent's glue does not follow its pool; give it addresses that stay"
    )]
    NameServerSteered { name: Found },
    /// RFC 1918 and the like.
    #[error(
        "the name server {name} has the address {address}, which cannot be reached from elsewhere: the parent can give no such glue"
    )]
    UnusableGlue { name: Found, address: IpAddr },
    /// RFC 9471.
    #[error(
        "{cut} is delegated to {name}, which lies below a zone cut and has no address here: add A or AAAA records as glue"
    )]
    DelegationWithoutGlue { cut: Found, name: Found },
    /// RFC 2181 §10.3.
    #[error(
        "the mail host {name} is an alias, which some senders refuse (RFC 2181 section 10.3): name the host itself"
    )]
    MailHostAlias { name: Found },
    /// A final dot that is missing.
    #[error("{name} repeats the name of its zone: a final dot is missing, or the zone's name is given twice")]
    RepeatsOrigin { name: Found },
    /// RFC 1035 §8.
    #[error("{name} has an `@`: in an SOA record the mailbox is written with a dot in its place")]
    MailboxAt { name: Found },
    /// A secondary would give up before its next refresh.
    #[error(
        "expire ({expire_secs} s) is not longer than refresh and retry together ({refresh_secs} + {retry_secs} s): secondaries give up too early"
    )]
    ShortExpire { expire_secs: u32, refresh_secs: u32, retry_secs: u32 },
    /// A retry that comes after the next refresh.
    #[error("retry ({retry_secs} s) is longer than refresh ({refresh_secs} s): make it a part of that")]
    LongRetry { retry_secs: u32, refresh_secs: u32 },
    /// RFC 2308 §5.
    #[error(
        "negative answers may be kept for {secs} s, more than a day: a new name stays unseen as long; one to three hours are usual"
    )]
    LongNegativeTtl { secs: u32 },
    /// RFC 2308 §5.
    #[error(
        "negative answers may not be kept at all (minimum or TTL of the SOA record is 0): each such query comes here; 60 s or more are usual"
    )]
    NoNegativeCaching,
}
