//! Durations and instants as people type them.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// `90s`, `1h30m`, `7d`, …: a duration of at least `least` and at most `most`.
pub fn parse(text: &str, least: SignedDuration, most: SignedDuration) -> Result<SignedDuration, String> {
    let duration = parse_any(text)?;
    if duration < least || duration > most {
        return Err(format!("must be from {least:#} to {most:#}"));
    }
    Ok(duration)
}

/// For `--timeout`.
pub fn parse_timeout(text: &str) -> Result<Duration, String> {
    let duration = parse(text, SignedDuration::from_millis(100), SignedDuration::from_hours(1))?;
    Ok(duration.unsigned_abs())
}

/// For `--lifetime`: 1 minute to 7 days, in whole seconds.
pub fn parse_lifetime(text: &str) -> Result<u64, String> {
    let duration = parse(text, SignedDuration::from_mins(1), SignedDuration::from_hours(7 * 24))?;
    Ok(duration.unsigned_abs().as_secs())
}

/// For `--lifetime` of a person's credential: 1 minute to 400 days, in whole seconds.
pub fn parse_credential_lifetime(text: &str) -> Result<u64, String> {
    let duration = parse(text, SignedDuration::from_mins(1), SignedDuration::from_hours(400 * 24))?;
    Ok(duration.unsigned_abs().as_secs())
}

/// For `--for` of an order: 1 minute to 30 days, in whole seconds.
pub fn parse_order(text: &str) -> Result<u64, String> {
    let duration = parse(text, SignedDuration::from_mins(1), SignedDuration::from_hours(30 * 24))?;
    Ok(duration.unsigned_abs().as_secs())
}

/// `--since`: how far back, or from when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// This long before the coordinator's now.
    Ago(SignedDuration),
    /// From this instant on.
    At(Timestamp),
}

impl Since {
    /// As microseconds since the Unix epoch, at least 1: 0 means "all" on the wire.
    pub fn at_us(self, now_us: i64) -> i64 {
        let at_us = match self {
            Self::Ago(ago) => now_us.saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX)),
            Self::At(at) => at.as_microsecond(),
        };
        at_us.max(1)
    }
}

/// For `--since`.
pub fn parse_since(text: &str) -> Result<Since, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Since::At(at));
    }
    match parse_any(text) {
        Ok(ago) => Ok(Since::Ago(ago)),
        Err(_) => Err("write how long ago, as in 30m, 24h or 7d, or an instant with its offset, as in \
                       2026-11-23T12:00:00+01:00"
            .to_owned()),
    }
}

fn parse_any(text: &str) -> Result<SignedDuration, String> {
    let wrong = |_| "write a number with its unit, as in 90s, 5m, 1h30m or 2d".to_owned();
    let span: Span = text.parse().map_err(wrong)?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(wrong)?;
    if duration.is_negative() { Err("must not be negative".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_bounds() {
        assert_eq!(parse_lifetime("1h"), Ok(3600));
        assert_eq!(parse_lifetime("1m"), Ok(60));
        assert_eq!(parse_lifetime("7d"), Ok(604_800));
        for text in ["59s", "8d", "-1h", "1", "", "x", "1 month"] {
            assert!(parse_lifetime(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn since_is_relative_or_absolute() {
        assert_eq!(parse_since("24h").map(|since| since.at_us(86_400_000_005)), Ok(5));
        assert_eq!(parse_since("1970-01-01T01:00:01+01:00").map(|since| since.at_us(9)), Ok(1_000_000));
        assert_eq!(parse_since("3d").map(|since| since.at_us(0)), Ok(1), "0 would mean all");
        assert!(parse_since("yesterday").is_err());
    }
}
