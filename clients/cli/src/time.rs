//! Times as people read them, on this machine's clock, and as they write them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

fn shown(ms: u64, format: &str) -> String {
    Clock::of_this_machine().shown(ms, format)
}

/// Times of day and days where somebody is.
#[derive(Clone, Debug)]
pub(crate) struct Clock(TimeZone);

impl Clock {
    pub fn of_this_machine() -> Clock {
        Clock::of(TimeZone::system())
    }

    pub fn of(zone: TimeZone) -> Clock {
        Clock(zone)
    }

    /// Hour and minute of a moment in milliseconds since 1970.
    pub fn hour_and_minute(&self, ms: u64) -> String {
        self.shown(ms, "%H:%M")
    }

    /// The day of a moment.
    pub fn day(&self, ms: u64) -> String {
        self.shown(ms, "%Y-%m-%d")
    }

    fn shown(&self, ms: u64, format: &str) -> String {
        let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        time.map_or_else(|| "?".to_owned(), |time| time.to_zoned(self.0.clone()).strftime(format).to_string())
    }
}

/// Day and time of a moment in seconds since 1970.
pub fn day_and_time(seconds: u64) -> String {
    shown(seconds.saturating_mul(1_000), "%Y-%m-%d %H:%M %Z")
}

/// Numbers below this are seconds, up to the year 5138; those from it on are milliseconds, from March 1973 on.
const SECONDS_END: u64 = 100_000_000_000;

/// A time that is a whole number of seconds or milliseconds since 1970: the same in milliseconds.
pub fn of_number(number: u64) -> u64 {
    if number < SECONDS_END { number * 1_000 } else { number }
}

/// A time as RFC 3339 has it, in milliseconds since 1970; what is finer is cut.
///
/// # Errors
/// A sentence about what is wrong.
pub fn of_rfc3339(text: &str) -> Result<u64, String> {
    let time: Timestamp = text.parse().map_err(|_| format!("{text:?} is no time as 2019-05-04T12:30:00Z"))?;
    after_1970(text, time)
}

fn after_1970(text: &str, time: Timestamp) -> Result<u64, String> {
    let ms = u64::try_from(time.as_millisecond()).ok().filter(|&ms| ms > 0);
    ms.ok_or_else(|| format!("{text:?} is not after the beginning of 1970"))
}

/// A time as somebody types one: RFC 3339, a day (its beginning in UTC), or a number of seconds or milliseconds.
///
/// # Errors
/// A sentence about what is wrong.
pub fn parse(text: &str) -> Result<u64, String> {
    if let Ok(number) = text.parse() {
        return Some(of_number(number)).filter(|&ms| ms > 0).ok_or_else(|| "a time is after 1970".to_owned());
    }
    if let Some(day) = text.parse::<Date>().ok().filter(|_| text.len() == "2019-05-04".len()) {
        let time = day.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
        return after_1970(text, time.timestamp());
    }
    of_rfc3339(text)
}

/// A moment in milliseconds since 1970 as RFC 3339 has it, in UTC.
pub fn rfc3339(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| "?".to_owned(), |time| time.to_string())
}

/// Time of day of a moment in milliseconds since 1970.
pub(crate) fn time_of_day(ms: u64) -> String {
    shown(ms, "%H:%M:%S")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read_and_what_is_written_is_read_again() {
        for (text, ms) in [
            ("2019-05-04", 1_556_928_000_000),
            ("2019-05-04T12:30:00Z", 1_556_973_000_000),
            ("2019-05-04T14:30:00.1239+02:00", 1_556_973_000_123),
            ("1556973000", 1_556_973_000_000),
            ("1556973000123", 1_556_973_000_123),
        ] {
            assert_eq!(parse(text), Ok(ms), "{text}");
            assert_eq!(of_rfc3339(&rfc3339(ms)), Ok(ms), "{text}");
        }
        for text in ["", "0", "-1", "1970-01-01", "1969-12-31T23:59:59Z", "2019-13-01", "2019-05-04T12:30", "noon"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(rfc3339(1_556_973_000_123), "2019-05-04T12:30:00.123Z");
    }

    #[test]
    fn times_have_their_form_and_nonsense_has_none() {
        assert_eq!(time_of_day(1_700_000_000_123).len(), "22:13:20".len());
        assert!(day_and_time(1_700_000_000).starts_with("2023-11-1"));
        assert_eq!(day_and_time(u64::MAX), "?");
    }
}
