//! Points in time, as contracts carry them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Key, MalformedKey, Schema, Shape};

/// Milliseconds since the Unix epoch, UTC.
///
/// Taken from the context (`Tx::now`, `Context::now`), never from the machine's clock directly.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The calendar year and month (1..=12) in UTC.
    ///
    /// Days to civil date by Howard Hinnant's algorithm
    /// (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
    pub fn year_and_month(self) -> (i64, u8) {
        let (year, month, _) = self.date();
        (year, month)
    }

    fn date(self) -> (i64, u8, u8) {
        let days = i64::try_from(self.0 / 86_400_000).expect("milliseconds hold 213 million days");
        let z = days + 719_468;
        let era = z / 146_097;
        let day_of_era = z % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        (
            year,
            u8::try_from(month).expect("a month is 1 to 12"),
            u8::try_from(day).expect("a day is 1 to 31"),
        )
    }
}

/// As RFC 3339 has it, in UTC: `2026-11-23T12:00:00.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let (seconds, millis) = (self.0 / 1000 % 86_400, self.0 % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

impl Key for Timestamp {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, MalformedKey> {
        u64::read(bytes).map(Self)
    }
}

impl Schema for Timestamp {
    fn shape() -> Shape {
        Shape::U64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_as_rfc_3339_has_them() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        let leap_day = Timestamp(951_782_399_999 + 1000);
        assert_eq!(leap_day.to_string(), "2000-02-29T00:00:00.999Z");
        let noon = Timestamp(1_795_435_200_000);
        assert_eq!(noon.to_string(), "2026-11-23T12:00:00.000Z");
    }

    #[test]
    fn months_follow_the_calendar() {
        let day = |d: u64| Timestamp(d * 86_400_000);
        assert_eq!(day(0).year_and_month(), (1970, 1));
        assert_eq!(day(58).year_and_month(), (1970, 2));
        assert_eq!(day(59).year_and_month(), (1970, 3));
        assert_eq!(day(11_016).year_and_month(), (2000, 2)); // 29 February 2000
        assert_eq!(Timestamp(1_798_761_599_999).year_and_month(), (2026, 12));
        assert_eq!(Timestamp(1_798_761_600_000).year_and_month(), (2027, 1));
    }
}
