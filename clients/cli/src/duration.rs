//! Durations on the command line: `500ms`, `30s`, `5m`, `12h`, `30d`.

use std::time::Duration;

/// Reads a whole number and its unit (ms, s, m, h, d); a bare number is seconds.
///
/// # Errors
/// What is wrong, for people.
pub fn parse(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: u64 =
        number.parse().map_err(|_| "write a number and a unit, as 500ms, 30s, 5m, 12h or 30d".to_owned())?;
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(format!("{unit} is no unit: ms, s, m, h and d are")),
    };
    // A thousand years are for ever, and no sum with a time of today overflows.
    let ms = number.checked_mul(unit_ms).filter(|&ms| ms <= 1_000 * 366 * 86_400_000);
    ms.map(Duration::from_millis).ok_or_else(|| "that is more than a thousand years".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        for (text, ms) in [("500ms", 500), ("30s", 30_000), ("30", 30_000), ("5m", 300_000), ("12h", 43_200_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(parse("30d"), Ok(Duration::from_secs(30 * 86_400)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "-1s", "1.5s", "1w", "1 s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
