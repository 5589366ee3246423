//! BIND's key files as text: `K<zone>+<algorithm>+<tag>.key`, a DNSKEY record, and `.private`, format v1.2 and v1.3.
//!
//! Reads and writes text alone; folders and file modes are `keystore`'s. Unknown fields are ignored, as BIND does; a private
//! key in hardware, or of another algorithm, is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::key::{Algorithm, KeyError, KeyId, PublicKey, SigningKey};
use super::timestamp;
use crate::wire::name::Name;

/// Fields of a key's life (BIND's `dnssec-settime`), seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The key was made.
    pub created: Option<u64>,
    /// Into the DNSKEY RRset.
    pub publish: Option<u64>,
    /// It signs.
    pub activate: Option<u64>,
    /// It signs no longer.
    pub inactive: Option<u64>,
    /// Out of the DNSKEY RRset.
    pub delete: Option<u64>,
    /// Its CDS and CDNSKEY are published.
    pub sync_publish: Option<u64>,
    /// Its CDS and CDNSKEY are not any more.
    pub sync_delete: Option<u64>,
}

/// The names of the fields, in the order BIND writes them.
const TIME_FIELDS: [&str; 7] =
    ["Created", "Publish", "Activate", "Inactive", "Delete", "SyncPublish", "SyncDelete"];

impl Times {
    /// Of a first key: used from now on.
    pub fn used_from(now: u64) -> Times {
        Times { created: Some(now), publish: Some(now), activate: Some(now), ..Times::default() }
    }

    fn field(&mut self, name: &str) -> Option<&mut Option<u64>> {
        match name {
            "Created" => Some(&mut self.created),
            "Publish" => Some(&mut self.publish),
            "Activate" => Some(&mut self.activate),
            "Inactive" => Some(&mut self.inactive),
            "Delete" => Some(&mut self.delete),
            "SyncPublish" => Some(&mut self.sync_publish),
            "SyncDelete" => Some(&mut self.sync_delete),
            _ => None,
        }
    }

    /// The fields that are set, with their names.
    fn set(mut self) -> Vec<(&'static str, u64)> {
        let value = |name: &'static str| self.field(name).and_then(|time| *time).map(|time| (name, time));
        TIME_FIELDS.into_iter().filter_map(value).collect()
    }
}

/// Why a text is no key file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// The `.key` file holds something else.
    #[error("it does not hold one DNSKEY record")]
    Record,
    /// Its record's owner.
    #[error("its DNSKEY record belongs to {0}")]
    Owner(String),
    /// Not base64.
    #[error("{0} is not base64")]
    Base64(&'static str),
    /// Another format, or another version of it.
    #[error("its format is not v1.2 or v1.3 (Private-key-format: {0})")]
    Version(String),
    /// A field lacks.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// A field says what cannot be.
    #[error("the field {0} is wrong")]
    Field(&'static str),
    /// The private key is not in the file.
    #[error("its private key is in hardware (Engine, Label), which is not supported")]
    Hardware,
    /// The two files are not of one key.
    #[error("the .key and the .private file have different algorithms")]
    Algorithms,
    /// The file's name does not fit.
    #[error("its name says another key than the file holds: {0}")]
    Name(String),
    /// What is wrong with the key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The zone's part of a file name: lower case, with its final dot; what may not stand in a file name as `%XX`, as BIND does.
pub fn zone_file_name(zone: &[u8]) -> String {
    use std::fmt::Write;
    let mut name = String::new();
    let mut rest = zone;
    while let Some((&len, tail)) = rest.split_first()
        && len != 0
        && let Some((label, tail)) = tail.split_at_checked(usize::from(len))
    {
        for &octet in label {
            match octet.to_ascii_lowercase() {
                octet @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') => name.push(char::from(octet)),
                // Writing to a String cannot fail.
                octet => drop(write!(name, "%{octet:02X}")),
            }
        }
        name.push('.');
        rest = tail;
    }
    if name.is_empty() { ".".to_owned() } else { name }
}

/// The name of a key's two files, without `.key` or `.private`.
pub fn file_stem(zone: &[u8], id: KeyId) -> String {
    format!("K{}+{:03}+{:05}", zone_file_name(zone), id.algorithm.number(), id.tag)
}

/// The text of the `.key` file.
pub fn public_text(zone: &Name, public: &PublicKey, times: &Times) -> String {
    let kind = if public.is_ksk() { "key" } else { "zone" };
    let mut text = format!("; This is a {kind}-signing key, keyid {}, for {zone}\n", public.tag());
    for (name, time) in times.set() {
        text += &format!("; {name}: {} ({})\n", timestamp::compact(time), timestamp::readable(time));
    }
    let (flags, algorithm) = (public.flags(), public.algorithm().number());
    text += &format!("{zone} IN DNSKEY {flags} 3 {algorithm} {}\n", STANDARD.encode(public.octets()));
    text
}

/// The text of the `.private` file.
pub fn private_text(key: &SigningKey, times: &Times) -> String {
    let algorithm = key.public().algorithm();
    let mut text = format!(
        "Private-key-format: v1.3\nAlgorithm: {} ({})\nPrivateKey: {}\n",
        algorithm.number(),
        algorithm.mnemonic(),
        STANDARD.encode(key.private())
    );
    for (name, time) in times.set() {
        text += &format!("{name}: {}\n", timestamp::compact(time));
    }
    text
}

/// Reads a `.key` file: the owner and the key.
///
/// # Errors
/// [`KeyFileError`], one variant a cause.
pub fn parse_public(text: &str) -> Result<(Name, PublicKey), KeyFileError> {
    let words: Vec<&str> = text
        .lines()
        .map(|line| line.split(';').next().unwrap_or_default())
        .flat_map(|line| line.split(|c: char| c.is_ascii_whitespace() || c == '(' || c == ')'))
        .filter(|word| !word.is_empty())
        .collect();
    let at = words.iter().position(|word| word.eq_ignore_ascii_case("DNSKEY")).ok_or(KeyFileError::Record)?;
    let (before, after) = words.split_at(at);
    // Owner, then TTL and class in any order, or neither.
    let is_ttl_or_class =
        |word: &&str| word.eq_ignore_ascii_case("IN") || word.bytes().all(|b| b.is_ascii_digit());
    let [owner, rest @ ..] = before else { return Err(KeyFileError::Record) };
    let [_, flags, protocol, algorithm, base64 @ ..] = after else { return Err(KeyFileError::Record) };
    if rest.len() > 2 || !rest.iter().all(is_ttl_or_class) {
        return Err(KeyFileError::Record);
    }
    let owner = Name::from_text(owner).map_err(|_| KeyFileError::Record)?;
    let flags: u16 = flags.parse().map_err(|_| KeyFileError::Record)?;
    let protocol: u8 = protocol.parse().map_err(|_| KeyFileError::Record)?;
    let algorithm = algorithm_number(algorithm).ok_or(KeyFileError::Record)?;
    let octets = STANDARD.decode(base64.concat()).map_err(|_| KeyFileError::Base64("the public key"))?;
    let mut rdata = flags.to_be_bytes().to_vec();
    rdata.extend_from_slice(&[protocol, algorithm]);
    rdata.extend_from_slice(&octets);
    Ok((owner, PublicKey::from_rdata(&rdata)?))
}

/// An algorithm by number, or by one of our mnemonics.
pub fn algorithm_number(text: &str) -> Option<u8> {
    let ours = [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519];
    let named = ours.into_iter().find(|algorithm| text.eq_ignore_ascii_case(algorithm.mnemonic()));
    named.map(Algorithm::number).or_else(|| text.parse().ok())
}

/// Reads a `.private` file and joins it with its public key.
///
/// # Errors
/// [`KeyFileError`], one variant a cause; [`KeyError::Mismatch`] when the two are not of one key.
pub fn parse_private(text: &str, public: &PublicKey) -> Result<(SigningKey, Times), KeyFileError> {
    let (mut version, mut algorithm, mut private) = (None, None, None);
    let mut times = Times::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (name, value) = (name.trim(), value.trim());
        match name {
            "Private-key-format" => version = Some(value),
            "Algorithm" => algorithm = Some(value),
            "PrivateKey" => private = Some(value),
            "Engine" | "Label" => return Err(KeyFileError::Hardware),
            _ => {
                let known = TIME_FIELDS.into_iter().find(|known| *known == name);
                if let (Some(known), Some(field)) = (known, times.field(name)) {
                    *field = Some(timestamp::parse(value).ok_or(KeyFileError::Field(known))?);
                }
            }
        }
    }
    match version {
        Some("v1.2" | "v1.3") => {}
        Some(other) => return Err(KeyFileError::Version(other.to_owned())),
        None => return Err(KeyFileError::Missing("Private-key-format")),
    }
    let algorithm = algorithm.ok_or(KeyFileError::Missing("Algorithm"))?;
    let number = algorithm.split_ascii_whitespace().next().and_then(|word| word.parse::<u8>().ok());
    let number = number.ok_or(KeyFileError::Field("Algorithm"))?;
    if number != public.algorithm().number() {
        return Err(KeyFileError::Algorithms);
    }
    let private = private.ok_or(KeyFileError::Missing("PrivateKey"))?;
    let private = STANDARD.decode(private).map_err(|_| KeyFileError::Base64("PrivateKey"))?;
    Ok((SigningKey::new(public.clone(), &private)?, times))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ring::rand::SystemRandom;

    /// RFC 6605 §6.1.
    const PUBLIC: &str = "example.net. 3600 IN DNSKEY 257 3 13 (
        GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edb
        krSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA== ) ; a comment";
    const PRIVATE: &str = "Private-key-format: v1.2
Algorithm: 13 (ECDSAP256SHA256)
PrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=";

    fn public() -> PublicKey {
        parse_public(PUBLIC).unwrap().1
    }

    #[test]
    fn rfc_6605_section_6_1_files_are_read_and_written_again() {
        let (owner, public) = parse_public(PUBLIC).unwrap();
        assert_eq!((owner.to_string().as_str(), public.tag()), ("example.net.", 55648));
        let (key, times) = parse_private(PRIVATE, &public).unwrap();
        assert_eq!(times, Times::default());
        assert_eq!(file_stem(owner.as_wire(), public.id()), "Kexample.net.+013+55648");
        let written = private_text(&key, &times);
        assert_eq!(written.trim_end(), PRIVATE.replace("v1.2", "v1.3"));
        assert_eq!(parse_public(&public_text(&owner, &public, &times)), Ok((owner, public)));
    }

    #[test]
    fn names_with_odd_octets_stay_one_file_name() {
        let name = |text: &str| zone_file_name(Name::from_text(text).unwrap().as_wire());
        assert_eq!(name("Example.COM"), "example.com.");
        assert_eq!(name("."), ".");
        assert_eq!(name(r"0/25.2.0.192.in-addr.arpa"), "0%2F25.2.0.192.in-addr.arpa.");
        assert_eq!(name(r"\.\./x"), "%2E%2E%2Fx.");
    }

    #[test]
    fn every_fault_of_a_private_file_has_its_variant() {
        let parse = |text: &str| parse_private(text, &public()).unwrap_err();
        let with = |from: &str, to: &str| parse(&PRIVATE.replace(from, to));
        assert_eq!(with("v1.2", "v1.9"), KeyFileError::Version("v1.9".into()));
        assert_eq!(parse(""), KeyFileError::Missing("Private-key-format"));
        assert_eq!(with("Algorithm: 13", "Algorithm: x"), KeyFileError::Field("Algorithm"));
        assert_eq!(with("Algorithm: 13", "Algorithm: 15"), KeyFileError::Algorithms);
        assert_eq!(with("Algorithm: 13 (ECDSAP256SHA256)", ""), KeyFileError::Missing("Algorithm"));
        assert_eq!(with("PrivateKey", "Private"), KeyFileError::Missing("PrivateKey"));
        assert_eq!(with("GU6S", "G*6S"), KeyFileError::Base64("PrivateKey"));
        assert_eq!(with("GU6S", "GU7S"), KeyFileError::Key(KeyError::Mismatch));
        assert_eq!(with("GU6SnQ/O", ""), KeyFileError::Key(KeyError::PrivateKeyLength(26)));
        assert_eq!(parse(&format!("{PRIVATE}\nEngine: pkcs11")), KeyFileError::Hardware);
        assert_eq!(parse(&format!("{PRIVATE}\nDelete: tomorrow")), KeyFileError::Field("Delete"));
        assert!(parse_private(&format!("{PRIVATE}\nNew: x\nno colon"), &public()).is_ok());
    }

    #[test]
    fn every_fault_of_a_public_file_has_its_variant() {
        for (text, error) in [
            ("", KeyFileError::Record),
            ("; DNSKEY\n", KeyFileError::Record),
            ("DNSKEY 257 3 13 AAAA", KeyFileError::Record),
            ("a. CH DNSKEY 257 3 13 AAAA", KeyFileError::Record),
            ("a. IN DNSKEY 257 3", KeyFileError::Record),
            ("a. IN DNSKEY 257 3 8 AAAA", KeyFileError::Key(KeyError::Algorithm(8))),
            ("a. IN DNSKEY 385 3 13 AAAA", KeyFileError::Key(KeyError::Flags(385))),
            ("a. IN DNSKEY 257 3 13 A*", KeyFileError::Base64("the public key")),
            (
                "a. IN DNSKEY 257 3 ECDSAP256SHA256 AAAA",
                KeyFileError::Key(KeyError::PublicKeyLength { found: 3, expected: 64 }),
            ),
        ] {
            assert_eq!(parse_public(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_key_and_times_survive(is_ksk: bool, is_ed25519: bool, times in prop::array::uniform7(prop::option::of(0u64..1 << 33))) {
            let algorithm = if is_ed25519 { Algorithm::Ed25519 } else { Algorithm::EcdsaP256Sha256 };
            let key = SigningKey::generate(algorithm, is_ksk, &SystemRandom::new()).unwrap();
            let mut given = Times::default();
            for (name, time) in TIME_FIELDS.into_iter().zip(times) {
                *given.field(name).unwrap() = time;
            }
            let zone = Name::from_text("a.test").unwrap();
            let (owner, public) = parse_public(&public_text(&zone, key.public(), &given)).unwrap();
            let (again, read) = parse_private(&private_text(&key, &given), &public).unwrap();
            prop_assert_eq!((owner, again.public(), again.private(), read), (zone, key.public(), key.private(), given));
        }

        #[test]
        fn any_text_is_borne(text in "(.|\n){0,200}") {
            let _ = parse_public(&text);
            let _ = parse_private(&text, &public());
        }
    }
}
