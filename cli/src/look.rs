//! How facts look to people: times, ages, states.

use comfy_table::{Cell, Color};
use hafleet_proto::v1::VrrpState;
use jiff::{SignedDuration, Span, SpanRound, Timestamp, Unit, tz::TimeZone};

use crate::shape::state_word;

/// What is not known.
pub const NOTHING: &str = "-";

/// A view of facts at one instant, on one terminal.
#[derive(Clone, Debug)]
pub struct Look {
    /// Columns of the terminal.
    pub width: u16,
    /// `-o wide`: every column, never wrapped.
    pub wide: bool,
    /// Colour may be used, never alone.
    pub colour: bool,
    /// Column titles are wanted.
    pub titles: bool,
    /// People's zone.
    pub zone: TimeZone,
    /// The coordinator's clock, against which ages are told.
    pub now: Timestamp,
}

/// What a word means, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Look at it.
    Doubtful,
    /// Wrong.
    Bad,
    /// Nothing special.
    Plain,
}

impl Look {
    /// `12:03:11 +01:00 (4m ago)`; with the date when it is not today.
    pub fn time(&self, at_us: i64) -> String {
        match (self.clock(at_us), self.relative(at_us)) {
            (Some(clock), Some(relative)) => format!("{clock} ({relative})"),
            (Some(_) | None, _) => NOTHING.to_owned(),
        }
    }

    /// The same in a table: on two lines where the terminal is narrow.
    pub fn time_in_table(&self, at_us: i64) -> String {
        let time = self.time(at_us);
        if self.wide || self.width >= 100 { time } else { time.replacen(" (", "\n(", 1) }
    }

    /// `12:03:11 +01:00`; with the date when it is not today.
    pub fn clock(&self, at_us: i64) -> Option<String> {
        let at = instant(at_us)?.to_zoned_datetime(self.zone.clone());
        let today = self.now.to_zoned_datetime(self.zone.clone()).date();
        let form = if at.date() == today { "%H:%M:%S %:z" } else { "%Y-%m-%d %H:%M:%S %:z" };
        Some(at.strftime(form).to_string())
    }

    /// `4m ago`, or `in 55m` for what is to come.
    pub fn relative(&self, at_us: i64) -> Option<String> {
        let age = instant(at_us)?.duration_until(self.now);
        Some(if age.is_negative() {
            format!("in {}", human(age.abs()))
        } else {
            format!("{} ago", human(age))
        })
    }

    /// `3s ago`.
    pub fn age(&self, age_us: u64) -> String {
        format!("{} ago", human_us(age_us))
    }

    /// The instant that lies `age_us` before now.
    pub fn before_now_us(&self, age_us: u64) -> i64 {
        self.now.as_microsecond().saturating_sub(i64::try_from(age_us).unwrap_or(i64::MAX))
    }

    /// A state; what is not fresh says so first and is never shown as holding anything.
    pub fn state(&self, state: VrrpState, fresh: bool) -> Cell {
        let tone = match (state, fresh) {
            (_, false) | (VrrpState::Init | VrrpState::Unspecified, true) => Tone::Doubtful,
            (VrrpState::Master, true) => Tone::Good,
            (VrrpState::Backup, true) => Tone::Plain,
            (VrrpState::Fault, true) => Tone::Bad,
        };
        self.cell(tone, &state_text(state, fresh))
    }

    /// A group's state.
    pub fn group_state(&self, state: &str) -> Cell {
        self.cell(group_tone(state), state)
    }

    /// A severity.
    pub fn severity_tone(severity: &str, status: &str) -> Tone {
        match (severity, status) {
            (_, "resolved") => Tone::Plain,
            ("critical", _) => Tone::Bad,
            ("warning", _) => Tone::Doubtful,
            (_, _) => Tone::Plain,
        }
    }

    /// Plain text in a table; line feeds are kept.
    pub fn text(&self, text: &str) -> Cell {
        self.cell(Tone::Plain, text)
    }

    /// Text with a tone in a table; line feeds are kept.
    pub fn cell(&self, tone: Tone, text: &str) -> Cell {
        let lines: Vec<String> = text.split('\n').map(|line| clean(or_nothing(line))).collect();
        let cell = Cell::new(lines.join("\n"));
        match tone {
            Tone::Good => cell.fg(Color::Green),
            Tone::Doubtful => cell.fg(Color::Yellow),
            Tone::Bad => cell.fg(Color::Red),
            Tone::Plain => cell,
        }
    }

    /// One line of text with a tone, outside a table.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        use clap::builder::styling::{AnsiColor, Style};
        let text = clean(text);
        let colour = match tone {
            Tone::Good => AnsiColor::Green,
            Tone::Doubtful => AnsiColor::Yellow,
            Tone::Bad => AnsiColor::Red,
            Tone::Plain => return text,
        };
        if !self.colour {
            return text;
        }
        let style = Style::new().fg_color(Some(colour.into())).bold();
        format!("{style}{text}{style:#}")
    }
}

/// `MASTER`, or `stale (was MASTER)`.
pub fn state_text(state: VrrpState, fresh: bool) -> String {
    if fresh { state_word(state).to_owned() } else { format!("stale (was {})", state_word(state)) }
}

/// The tone of a group's state.
pub fn group_tone(state: &str) -> Tone {
    match state {
        "ok" => Tone::Good,
        "no_master" | "split_brain" => Tone::Bad,
        _ => Tone::Doubtful,
    }
}

/// An instant of the wire; `None` for 0 ("never") and for what no calendar has.
pub fn instant(at_us: i64) -> Option<Timestamp> {
    if at_us == 0 { None } else { Timestamp::from_microsecond(at_us).ok() }
}

/// Two units at most: `45s`, `4m`, `3h 12m`, `2d 4h`.
pub fn human_us(duration_us: u64) -> String {
    human(SignedDuration::from_micros(i64::try_from(duration_us).unwrap_or(i64::MAX)))
}

/// What another program said, without the power to move a cursor or ring a bell.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// `-` instead of nothing.
pub fn or_nothing(text: &str) -> &str {
    if text.is_empty() { NOTHING } else { text }
}

fn human(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let smallest = match seconds {
        0 => return "<1s".to_owned(),
        1..60 => Unit::Second,
        60..86_400 => Unit::Minute,
        _ => Unit::Hour,
    };
    let rounding = SpanRound::new()
        .largest(Unit::Day)
        .smallest(smallest)
        .mode(jiff::RoundMode::Trunc)
        .days_are_24_hours();
    match Span::new().try_seconds(seconds).and_then(|span| span.round(rounding)) {
        Ok(span) => format!("{span:#}"),
        Err(_) => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units_at_most() {
        for (seconds, expected) in [
            (0, "<1s"),
            (59, "59s"),
            (60, "1m"),
            (299, "4m"),
            (3_600, "1h"),
            (11_520, "3h 12m"),
            (86_400, "1d"),
            (187_300, "2d 4h"),
        ] {
            assert_eq!(human_us(seconds * 1_000_000), expected);
        }
        assert_eq!(human_us(u64::MAX), human_us(i64::MAX.unsigned_abs()), "no age is too great to be told");
    }

    #[test]
    fn what_is_stale_never_looks_like_a_master() {
        assert_eq!(state_text(VrrpState::Master, true), "MASTER");
        assert_eq!(state_text(VrrpState::Master, false), "stale (was MASTER)");
    }

    #[test]
    fn a_peer_cannot_write_escape_sequences() {
        assert_eq!(clean("a\u{1b}[2Jb\r\u{9b}"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
    }
}
