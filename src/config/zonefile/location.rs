//! The text form of LOC records (RFC 1876 §3): degrees, minutes, seconds, metres.

/// The 16 octets of a location.
pub(super) fn read(words: &[&[u8]]) -> Result<[u8; 16], &'static str> {
    let mut words = words.iter().copied().peekable();
    let latitude = angle(&mut words, b"NS", 90)?;
    let longitude = angle(&mut words, b"EW", 180)?;
    let altitude_cm = words.next().and_then(|word| match word.strip_prefix(b"-") {
        Some(depth) => metres(depth).map(|cm| -cm),
        None => metres(word),
    });
    // "The range is from -100000.00 to 42849672.95 m".
    let altitude = altitude_cm.and_then(|cm| u32::try_from(cm + 10_000_000).ok());
    let altitude = altitude.ok_or("expected an altitude from -100000.00m to 42849672.95m")?;
    // "If omitted, size defaults to 1m, horizontal precision to 10000m, and vertical precision to 10m".
    let mut sizes = [0x12, 0x16, 0x13];
    for size in &mut sizes {
        if let Some(word) = words.next() {
            *size = metres(word).and_then(power_of_ten).ok_or("expected a size from 0m to 90000000m")?;
        }
    }
    if words.next().is_some() {
        return Err("nothing may follow the vertical precision");
    }
    let mut octets = [0; 16];
    octets[1..4].copy_from_slice(&sizes);
    octets[4..8].copy_from_slice(&latitude.to_be_bytes());
    octets[8..12].copy_from_slice(&longitude.to_be_bytes());
    octets[12..].copy_from_slice(&altitude.to_be_bytes());
    Ok(octets)
}

/// Thousandths of a second of arc, 2³¹ being the equator or the prime meridian; `ends` are the letters of the two sides,
/// the positive one first or last as the alphabet of RFC 1876 has it.
fn angle<'w>(
    words: &mut std::iter::Peekable<impl Iterator<Item = &'w [u8]>>,
    ends: &[u8; 2],
    most_degrees: i64,
) -> Result<u32, &'static str> {
    const EXPECTED: &str =
        "expected degrees, minutes and seconds as in `52 22 23.000 N 4 53 32.000 E -2.00m`";
    let mut total = 0;
    for (unit, (most, decimals)) in [(3_600_000, (most_degrees, 0)), (60_000, (59, 0)), (1, (59_999, 3))] {
        if let Some(next) = words.peek()
            && next.first().is_some_and(u8::is_ascii_digit)
        {
            let value = fixed(next, decimals).filter(|value| *value <= most).ok_or(EXPECTED)?;
            total += unit * value;
            words.next();
        } else if unit == 3_600_000 {
            return Err(EXPECTED);
        }
    }
    let &[end] = words.next().ok_or(EXPECTED)? else { return Err(EXPECTED) };
    let sign = match end.to_ascii_uppercase() {
        b'N' | b'E' if ends.contains(&end.to_ascii_uppercase()) => 1,
        b'S' | b'W' if ends.contains(&end.to_ascii_uppercase()) => -1,
        _ => return Err(EXPECTED),
    };
    if total > 3_600_000 * most_degrees {
        return Err("an angle goes to 90 degrees north and south, and to 180 east and west");
    }
    u32::try_from((1_i64 << 31) + sign * total).map_err(|_| EXPECTED)
}

/// Centimetres; a final `m` may be left out.
fn metres(word: &[u8]) -> Option<i64> {
    fixed(word.strip_suffix(b"m").unwrap_or(word), 2)
}

/// A number with at most so many decimals, times ten to their power.
fn fixed(word: &[u8], decimals: usize) -> Option<i64> {
    let mut parts = word.splitn(2, |octet| *octet == b'.');
    let whole = parts.next().filter(|digits| !digits.is_empty())?;
    let fraction = parts.next().unwrap_or_default();
    // Ten digits are more than any field holds, and their sum fits.
    if fraction.len() > decimals || whole.len() > 10 {
        return None;
    }
    let padding = std::iter::repeat_n(&b'0', decimals - fraction.len());
    let mut digits = whole.iter().chain(fraction).chain(padding);
    digits.try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// A number of centimetres as a digit and a power of ten, rounded down.
fn power_of_ten(mut cm: i64) -> Option<u8> {
    let mut power = 0;
    while cm > 9 {
        (cm, power) = (cm / 10, power + 1);
    }
    (power <= 9).then_some((cm as u8) << 4 | power)
}
