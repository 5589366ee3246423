//! Times as key files and RRSIG records write them: `YYYYMMDDHHMMSS` in UTC (RFC 4034 §3.2), here seconds since 1970.
//!
//! Reads no clock. Years 1970 to 9999.

const SECS_A_DAY: u64 = 86_400;

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar.
fn civil(day: u64) -> (u64, u64, u64) {
    // Years begin in March here, so that the leap day is the last of its year; eras have 400 years.
    let day = day + 719_468;
    let era = day / 146_097;
    let of_era = day % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, of_month)
}

/// The day since 1970-01-01 of a date; `civil` the other way round.
fn day(year: u64, month: u64, of_month: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + of_month - 1;
    let of_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + of_year;
    year / 400 * 146_097 + of_era - 719_468
}

/// The fourteen digits of a time.
pub fn compact(secs: u64) -> String {
    let (year, month, of_month) = civil(secs / SECS_A_DAY);
    let rest = secs % SECS_A_DAY;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{of_month:02}{hour:02}{minute:02}{second:02}")
}

/// A time for people: `2026-11-21 08:26:17 UTC`.
pub fn readable(secs: u64) -> String {
    let (year, month, of_month) = civil(secs / SECS_A_DAY);
    let rest = secs % SECS_A_DAY;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{of_month:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Reads fourteen digits; `None` for anything else, impossible dates included.
pub fn parse(text: &str) -> Option<u64> {
    if text.len() != 14 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u64>().ok();
    let (year, month, of_month) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    if year < 1970 || !(1..=12).contains(&month) || of_month == 0 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let secs = day(year, month, of_month) * SECS_A_DAY + hour * 3600 + minute * 60 + second;
    // The 31st of February would come out as a day of March.
    (compact(secs) == text).then_some(secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        for (text, secs) in [
            ("19700101000000", 0),
            ("20000229235959", 951_868_799),
            ("20261121082617", 1_795_249_577),
            ("21060207062816", 1 << 32),
        ] {
            assert_eq!((compact(secs), parse(text)), (text.to_owned(), Some(secs)));
        }
        assert_eq!(readable(1_795_249_577), "2026-11-21 08:26:17 UTC");
        for text in ["20260231000000", "2026112108261", "20261121082660", "19691231235959", "2026112108261x"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_time_survives(secs in 0u64..253_402_300_800) {
            prop_assert_eq!(parse(&compact(secs)), Some(secs));
        }
    }
}
