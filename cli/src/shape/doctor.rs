//! `hactl doctor -o json`: an array of checks.

use serde::Serialize;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Check {
    /// A stable word: `context`, `credential`, `coordinator`, `clock`, `findings`, `node`, ….
    pub check: &'static str,
    /// Of what.
    pub subject: String,
    /// What came of it.
    pub state: Health,
    /// In words.
    pub detail: String,
    /// What to do; `null` when there is nothing.
    pub next: Option<String>,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As it should be.
    Ok,
    /// It should be looked at.
    Warning,
    /// It does not work.
    Bad,
}

impl Health {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

impl Check {
    /// As it should be.
    pub fn ok(check: &'static str, subject: &str, detail: impl Into<String>) -> Self {
        Self { check, subject: subject.to_owned(), state: Health::Ok, detail: detail.into(), next: None }
    }

    /// To be looked at.
    pub fn warning(
        check: &'static str,
        subject: &str,
        detail: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { state: Health::Warning, next: Some(next.into()), ..Self::ok(check, subject, detail) }
    }

    /// Not working.
    pub fn bad(
        check: &'static str,
        subject: &str,
        detail: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self { state: Health::Bad, next: Some(next.into()), ..Self::ok(check, subject, detail) }
    }
}
