//! Times as people read them, on this machine's clock.

use jiff::Timestamp;
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

/// Time of day of a moment in milliseconds since 1970.
pub(crate) fn time_of_day(ms: u64) -> String {
    shown(ms, "%H:%M:%S")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_form_and_nonsense_has_none() {
        assert_eq!(time_of_day(1_700_000_000_123).len(), "22:13:20".len());
        assert!(day_and_time(1_700_000_000).starts_with("2023-11-1"));
        assert_eq!(day_and_time(u64::MAX), "?");
    }
}
