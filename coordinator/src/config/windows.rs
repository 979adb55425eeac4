//! Windows with which detection works.
//!
//! Agents speak every second. A window that is shorter than that, or longer than what depends on it, does not make
//! detection faster or calmer: it switches it off.

use std::{ops::RangeInclusive, time::Duration};

use hafleet_fleet::Windows;

/// What is wrong with one window: its key and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrongWindow {
    /// Its key, without `windows.`.
    pub(super) key: &'static str,
    /// Another key that it does not go with; the mistake may be there.
    pub(super) other: Option<&'static str>,
    /// Why, in words.
    pub(super) why: String,
}

/// Everything that is wrong with these windows.
pub(super) fn wrong(windows: &Windows) -> Vec<WrongWindow> {
    let mut wrong = Vec::new();
    for (key, value, range, shown) in ranges(windows) {
        if !range.contains(&value) {
            wrong.push(WrongWindow { key, other: None, why: format!("expected {shown}") });
        }
    }
    let Windows { fresh, grace, agent_lost, split_brain, suspected_critical, probe, .. } = *windows;
    for (fits, key, other, why) in [
        (
            probe < fresh,
            "probe",
            "fresh",
            "must be shorter than `windows.fresh`, or every answer comes too late",
        ),
        (agent_lost >= fresh, "agent_lost", "fresh", "must be at least `windows.fresh`"),
        (grace >= fresh, "grace", "fresh", "must be at least `windows.fresh`"),
        (
            suspected_critical > split_brain,
            "suspected_critical",
            "split_brain",
            "must be longer than `windows.split_brain`",
        ),
    ] {
        if !fits {
            wrong.push(WrongWindow { key, other: Some(other), why: why.to_owned() });
        }
    }
    wrong
}

fn ranges(windows: &Windows) -> [(&'static str, Duration, RangeInclusive<Duration>, &'static str); 8] {
    let (ms, s) = (Duration::from_millis, Duration::from_secs);
    [
        ("fresh", windows.fresh, s(2)..=s(60), "2s to 60s: agents speak every second"),
        ("grace", windows.grace, s(1)..=s(3600), "1s to 1h"),
        ("agent_lost", windows.agent_lost, s(2)..=s(86_400), "2s to 24h"),
        ("split_brain", windows.split_brain, ms(100)..=s(60), "100ms to 60s"),
        ("suspected_critical", windows.suspected_critical, s(1)..=s(86_400), "1s to 24h"),
        ("no_master", windows.no_master, ms(500)..=s(600), "500ms to 10m"),
        ("resolve", windows.resolve, ms(100)..=s(600), "100ms to 10m"),
        ("probe", windows.probe, ms(50)..=s(10), "50ms to 10s"),
    ]
}
