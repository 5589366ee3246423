//! What can be wrong with octets, and the one place where that becomes a response code.
//!
//! Never allocates, never holds text: a malformed packet costs its receiver a variant and a counter.

use super::message::Rcode;

/// Why octets are not the DNS data they claim to be. One variant a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WireError {
    /// The message ends inside a field.
    #[error("message ends inside a field")]
    Truncated,
    /// A label's length octet has one of the reserved top-bit patterns 01 or 10 (RFC 1035 §4.1.4, RFC 6891 §5).
    #[error("reserved label type")]
    LabelType,
    /// A compression pointer where none can stand (in a question's name there is nothing to point back to).
    #[error("compression pointer where none is allowed")]
    Pointer,
    /// A name longer than 255 octets (RFC 1035 §3.1).
    #[error("name longer than 255 octets")]
    NameTooLong,
    /// QDCOUNT other than 1 (RFC 9619).
    #[error("question count is not 1")]
    QuestionCount,
    /// A second OPT record, or one whose owner is not the root (RFC 6891 §6.1.1).
    #[error("misplaced or repeated OPT record")]
    Opt,
    /// An EDNS option that runs past the OPT record's data (RFC 6891 §6.1.2).
    #[error("EDNS option runs past its record")]
    OptionLength,
    /// A client-subnet option that breaks RFC 7871 §6 (family, prefix length, address octets or stray bits).
    #[error("malformed client-subnet option")]
    ClientSubnet,
    /// A COOKIE option of a length that no cookie has (RFC 7873 §5.2.2).
    #[error("malformed cookie option")]
    Cookie,
    /// A query type that may not be asked for (OPT).
    #[error("query type is not a data type")]
    QueryType,
    /// EDNS version above 0 (RFC 6891 §6.1.3).
    #[error("EDNS version not supported")]
    EdnsVersion,
    /// An opcode other than QUERY.
    #[error("operation not implemented")]
    Opcode,
}

impl From<WireError> for Rcode {
    fn from(error: WireError) -> Rcode {
        match error {
            WireError::Truncated
            | WireError::LabelType
            | WireError::Pointer
            | WireError::NameTooLong
            | WireError::QuestionCount
            | WireError::Opt
            | WireError::OptionLength
            | WireError::ClientSubnet
            | WireError::Cookie
            | WireError::QueryType => Rcode::FORMERR,
            WireError::EdnsVersion => Rcode::BADVERS,
            WireError::Opcode => Rcode::NOTIMP,
        }
    }
}
