//! TTLs and timers in text: seconds, or numbers with units as BIND, Knot and NSD take them (`1h30m`, `2W`).

/// Largest TTL (RFC 2181 §8).
pub(super) const MAX_TTL_SECS: u32 = i32::MAX as u32;

/// Why a text is no number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadSeconds {
    /// It is none.
    NotSeconds,
    /// It is more than 32 bits hold.
    TooLarge,
}

/// Reads seconds: digits alone, or groups of digits and a unit out of `w d h m s`, in either case.
pub(super) fn read_seconds(text: &[u8]) -> Result<u32, BadSeconds> {
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
        if digits == 0 {
            return Err(BadSeconds::NotSeconds);
        }
        let number = rest[..digits]
            .iter()
            .fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
        let unit_secs = match rest.get(digits).map(u8::to_ascii_lowercase) {
            // Without a unit only alone: `1h30` could mean minutes as well as seconds.
            None if digits == text.len() => 1,
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3_600,
            Some(b'd') => 86_400,
            Some(b'w') => 604_800,
            _ => return Err(BadSeconds::NotSeconds),
        };
        total = total.saturating_add(number.saturating_mul(unit_secs));
        rest = rest.get(digits + 1..).unwrap_or_default();
    }
    if text.is_empty() {
        return Err(BadSeconds::NotSeconds);
    }
    u32::try_from(total).map_err(|_| BadSeconds::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_come_with_and_without_units() {
        for (text, secs) in [
            ("0", 0),
            ("300", 300),
            ("1h", 3_600),
            ("1h30m", 5_400),
            ("1D", 86_400),
            ("1w2d3h4m5s", 788_645),
            ("30m1h", 5_400),
            ("4294967295", u32::MAX),
        ] {
            assert_eq!(read_seconds(text.as_bytes()), Ok(secs), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_seconds_says_why() {
        for text in ["", "h", "1h30", "1x", "-1", "1.5h", "1hh", "0x10"] {
            assert_eq!(read_seconds(text.as_bytes()), Err(BadSeconds::NotSeconds), "{text}");
        }
        for text in ["4294967296", "99999999999999999999999999", "8000w"] {
            assert_eq!(read_seconds(text.as_bytes()), Err(BadSeconds::TooLarge), "{text}");
        }
    }
}
