//! How the core says durations and lists.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt::Display, time::Duration};

/// `340 ms`, `3.2 s`, `5 min 3 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn span(duration: Duration) -> String {
    let ms = duration.as_millis();
    let s = ms / 1000;
    match s {
        0 => format!("{ms} ms"),
        1..60 if ms % 1000 < 100 => format!("{s} s"),
        1..60 => format!("{s}.{} s", ms % 1000 / 100),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// `a`, `a and b`, `a, b and c`; `nobody` when empty.
pub(crate) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.split_last() {
        None => "nobody".to_string(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// ` (detail)` unless empty.
pub(crate) fn in_brackets(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_in_the_two_units_that_matter() {
        let said = |ms| span(Duration::from_millis(ms));
        assert_eq!(said(340), "340 ms");
        assert_eq!(said(3_000), "3 s");
        assert_eq!(said(3_260), "3.2 s");
        assert_eq!(said(303_000), "5 min 3 s");
        assert_eq!(said(7_500_000), "2 h 5 min");
        assert_eq!(said(273_600_000), "3 d 4 h");
    }

    #[test]
    fn lists_are_said_as_people_do() {
        assert_eq!(list(Vec::<&str>::new()), "nobody");
        assert_eq!(list(["a"]), "a");
        assert_eq!(list(["a", "b"]), "a and b");
        assert_eq!(list(["a", "b", "c"]), "a, b and c");
    }
}
