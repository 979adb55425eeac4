//! What is wrong with a file, and where.

use std::fmt;

/// A place in the file; both count from 1, columns in characters. Line 0: the file as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It can be applied, but the author should know.
    Warning,
    /// Nothing of the file is applied.
    Error,
}

impl Severity {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong or remarkable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// Where.
    pub at: At,
    /// What is there and what was expected.
    pub message: String,
    /// What to do, if there is something; else empty.
    pub help: String,
}

impl Problem {
    /// An error.
    pub fn error(at: At, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Error, at, message: message.into(), help: help.into() }
    }

    /// A warning.
    pub fn warning(at: At, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, at, message: message.into(), help: help.into() }
    }
}

impl fmt::Display for Problem {
    /// `line:column: error: message (help)`; the caller writes the file's name and a colon before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.line > 0 {
            write!(f, "{}:{}: ", self.at.line, self.at.column)?;
        }
        write!(f, "{}: {}", self.severity, self.message)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, " ({})", self.help) }
    }
}
