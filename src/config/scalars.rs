//! Single values: text to numbers, durations, switches, words, names and addresses, range-checked.
//!
//! Pure functions from a scalar to a value or a `Cause`; nothing here reads a stream or reports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::cause::{Cause, Found};
use super::events::Scalar;
use super::suggest;
use crate::wire::name::Name;

/// DNS's own port (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;
/// Digits behind a decimal point that are read; a nanosecond.
const MAX_FRACTION_DIGITS: usize = 9;

/// Text as it is shown in a message.
fn found(scalar: &Scalar<'_>) -> Found {
    Found::new(&scalar.text)
}

fn plain<'s>(scalar: &'s Scalar<'_>, expected: &'static str) -> Result<&'s str, Cause> {
    if scalar.plain { Ok(&scalar.text) } else { Err(Cause::Quoted { text: found(scalar), expected }) }
}

/// A plain integer without sign, leading zeros, or any base but ten, inside `range`.
pub(super) fn integer<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&Scalar<'_>) -> Result<T, Cause> {
    move |scalar| {
        let text = plain(scalar, "a whole number")?;
        let (min, max) = (*range.start(), *range.end());
        let digits = text.strip_prefix('-').unwrap_or(text);
        let leading_zero = digits.len() > 1 && digits.starts_with('0');
        if digits.is_empty() || leading_zero || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Cause::NotInteger { text: found(scalar), min, max });
        }
        // Fails for a sign and for what does not even fit 64 bits.
        text.parse::<u64>()
            .ok()
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| Cause::OutOfRange { text: found(scalar), min, max })
    }
}

/// A whole number of hundredths with its `%`, inside `range`.
pub(super) fn percent(range: RangeInclusive<u8>) -> impl Fn(&Scalar<'_>) -> Result<u8, Cause> {
    move |scalar| {
        let digits =
            scalar.text.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let share = digits.and_then(|digits| digits.parse().ok()).filter(|share| range.contains(share));
        let (min, max) = (*range.start(), *range.end());
        share.ok_or_else(|| Cause::NotShare { text: found(scalar), min, max })
    }
}

/// Seconds, whole or decimal, or a number with the unit `ms`, `s`, `m` or `h`, inside `min..=max`.
pub(super) fn duration(min: Duration, max: Duration) -> impl Fn(&Scalar<'_>) -> Result<Duration, Cause> {
    move |scalar| {
        let text = plain(scalar, "a duration")?;
        let (digits, negative) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
        let nanos = nanos_of(digits).ok_or_else(|| Cause::NotDuration { text: found(scalar) })?;
        u64::try_from(nanos)
            .ok()
            .map(Duration::from_nanos)
            .filter(|duration| !negative && (min..=max).contains(duration))
            .ok_or_else(|| Cause::DurationRange { text: found(scalar), min, max })
    }
}

/// Nanoseconds, saturating; `None` when the text is no duration.
fn nanos_of(text: &str) -> Option<u128> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic() || c == ' ').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_nanos: u128 = match unit.trim_start() {
        "" if unit.is_empty() => 1_000_000_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || fraction.len() > MAX_FRACTION_DIGITS {
        return None;
    }
    let scale = 10u128.pow(fraction.len() as u32);
    let fraction: u128 = fraction.parse().ok()?;
    let whole = whole.parse::<u128>().unwrap_or(u128::MAX);
    Some(whole.saturating_mul(unit_nanos).saturating_add(fraction * unit_nanos / scale))
}

/// True or false, in any of YAML 1.1's words.
pub(super) fn boolean(scalar: &Scalar<'_>) -> Result<bool, Cause> {
    let text = plain(scalar, "true or false")?;
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => Err(Cause::NotBoolean { text: found(scalar) }),
    }
}

/// One of a few words. `accepted` names them in a message; `choices` may hold aliases besides.
pub(super) fn word<T: Copy>(
    choices: &'static [(&'static str, T)],
    accepted: &'static str,
) -> impl Fn(&Scalar<'_>) -> Result<T, Cause> {
    move |scalar| {
        let choice = choices.iter().find(|(word, _)| *word == scalar.text);
        choice.map(|(_, value)| *value).ok_or_else(|| {
            let closest = suggest::closest(&scalar.text, choices.iter().map(|(word, _)| *word));
            Cause::NotOneOf { text: found(scalar), closest, accepted }
        })
    }
}

/// Text of 1 to `max` characters.
pub(super) fn text_chars(text: &str, max: usize) -> Result<String, Cause> {
    match text.chars().count() {
        len if (1..=max).contains(&len) => Ok(text.to_owned()),
        len => Err(Cause::TextLength { len, max, unit: "characters" }),
    }
}

/// Text of 1 to `max` octets.
pub(super) fn text_octets(text: &str, max: usize) -> Result<String, Cause> {
    match text.len() {
        len if (1..=max).contains(&len) => Ok(text.to_owned()),
        len => Err(Cause::TextLength { len, max, unit: "octets" }),
    }
}

/// A domain name.
pub(super) fn name(scalar: &Scalar<'_>) -> Result<Name, Cause> {
    parse_name(&scalar.text)
}

/// A domain name.
#[inline]
pub(super) fn parse_any_name(text: &str) -> Result<Name, Cause> {
    Name::from_text(text).map_err(|error| Cause::NotName { text: Found::new(text), error })
}

/// A domain name that is no wildcard.
#[inline]
pub(super) fn parse_name(text: &str) -> Result<Name, Cause> {
    let name = parse_any_name(text)?;
    if name.as_wire().starts_with(b"\x01*") {
        return Err(Cause::Wildcard { text: Found::new(text) });
    }
    Ok(name)
}

/// An address, never an IPv4 one in IPv6 form: it would be answered as AAAA and reached over IPv4.
pub(super) fn address(text: &str) -> Result<IpAddr, Cause> {
    let address: IpAddr = text.parse().map_err(|_| Cause::NotAddress { text: Found::new(text) })?;
    match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(plain) => Err(Cause::MappedAddress { text: Found::new(text), plain }),
            None => Ok(address),
        },
        IpAddr::V4(_) => Ok(address),
    }
}

/// An address to serve DNS on; 53 where no port is given.
pub(super) fn listen_address(scalar: &Scalar<'_>) -> Result<SocketAddr, Cause> {
    let text = &*scalar.text;
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let alone = match bracketed {
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse::<IpAddr>().ok(),
    };
    let address = alone
        .map(|ip| SocketAddr::new(ip, DNS_PORT))
        .or_else(|| text.parse().ok())
        .ok_or_else(|| Cause::NotSocketAddress { text: found(scalar), port_needed: false })?;
    servable(scalar, address)
}

/// An address with its port.
pub(super) fn socket_address(scalar: &Scalar<'_>) -> Result<SocketAddr, Cause> {
    let text = &*scalar.text;
    let address =
        text.parse().map_err(|_| Cause::NotSocketAddress { text: found(scalar), port_needed: true })?;
    servable(scalar, address)
}

/// An address that a socket can be bound to, if the machine has it. An IPv4 one in IPv6 form cannot: our sockets carry
/// one family each.
fn servable(scalar: &Scalar<'_>, address: SocketAddr) -> Result<SocketAddr, Cause> {
    let text = found(scalar);
    if let SocketAddr::V6(v6) = address {
        if let Some(plain) = v6.ip().to_ipv4_mapped() {
            return Err(Cause::MappedSocketAddress { text, plain: SocketAddr::from((plain, v6.port())) });
        }
        // The kernel does not guess the interface (RFC 4007 §11.2 writes it behind a `%`).
        if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 {
            return Err(Cause::LinkLocalWithoutScope { text, ip: *v6.ip(), port: v6.port() });
        }
    }
    match address.ip() {
        ip if ip.is_multicast() => Err(Cause::NotUnicast { text, what: "multicast" }),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Err(Cause::NotUnicast { text, what: "broadcast" }),
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::report::Span;
    use proptest::prelude::*;

    fn scalar(text: &str) -> Scalar<'_> {
        Scalar { text: text.into(), plain: true, span: Span::default() }
    }

    #[test]
    fn integers_are_plain_and_in_range() {
        let read = |text| integer::<u16>(1..=1024)(&scalar(text));
        assert_eq!(read("1024"), Ok(1024));
        for text in ["0", "1025", "-1", "99999999999999999999999999"] {
            assert!(matches!(read(text), Err(Cause::OutOfRange { min: 1, max: 1024, .. })), "{text}");
        }
        for text in ["0x10", "1_0", "1.0", "1e3", "010", "+1", "many", "-"] {
            assert!(matches!(read(text), Err(Cause::NotInteger { .. })), "{text}");
        }
        let quoted = Scalar { plain: false, ..scalar("5") };
        assert!(matches!(integer::<u16>(1..=9)(&quoted), Err(Cause::Quoted { .. })));
    }

    #[test]
    fn durations_have_units_or_are_seconds() {
        let read = |text| duration(Duration::from_millis(10), Duration::from_secs(3600))(&scalar(text));
        for (text, millis) in [
            ("10", 10_000),
            ("0.5", 500),
            ("250ms", 250),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("10 s", 10_000),
        ] {
            assert_eq!(read(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["0", "-1", "2h", "9ms", "999999999999999999999999999999999999999999h"] {
            assert!(matches!(read(text), Err(Cause::DurationRange { .. })), "{text}");
        }
        for text in ["s", ".5", "5.", "1d", "1 ", "ten", "1.2.3", "1e3", "--1"] {
            assert!(matches!(read(text), Err(Cause::NotDuration { .. })), "{text}");
        }
    }

    #[test]
    fn switches_have_the_words_operators_write() {
        for (text, value) in [("true", true), ("off", false), ("No", false), ("ON", true)] {
            assert_eq!(boolean(&scalar(text)), Ok(value));
        }
        assert!(boolean(&scalar("1")).is_err());
    }

    #[test]
    fn listen_addresses_need_no_port() {
        let read = |text| listen_address(&scalar(text)).map(|address| address.to_string());
        for (text, address) in [
            ("127.0.0.1", "127.0.0.1:53"),
            ("127.0.0.1:5300", "127.0.0.1:5300"),
            ("::1", "[::1]:53"),
            ("[::1]", "[::1]:53"),
            ("[::1]:0", "[::1]:0"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(address), "{text}");
        }
        for text in ["53", ":53", "localhost:53", "*:53", "[127.0.0.1]", "127.0.0.1:99999"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_absolute_and_no_wildcards() {
        assert_eq!(parse_name("WWW.example.com."), Ok(Name::from_text("www.example.com").unwrap()));
        assert!(matches!(parse_name("*.example.com"), Err(Cause::Wildcard { .. })));
        assert!(matches!(parse_name("a..b"), Err(Cause::NotName { .. })));
    }

    #[test]
    fn an_ipv4_address_in_ipv6_form_is_refused() {
        assert!(matches!(address("::ffff:192.0.2.1"), Err(Cause::MappedAddress { .. })));
        assert!(address("2001:db8::1").is_ok());
        assert!(address("fe80::1%eth0").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}|[0-9.:smh\\[\\]-]{0,40}") {
            let scalar = scalar(&text);
            let _ = integer::<u32>(0..=u64::from(u32::MAX))(&scalar);
            let _ = duration(Duration::ZERO, Duration::MAX)(&scalar);
            let _ = (boolean(&scalar), name(&scalar), address(&text), listen_address(&scalar), socket_address(&scalar));
        }
    }
}
