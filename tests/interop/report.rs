//! What a test tells the table: written when the test ends, however it ends.

use std::time::Duration;

use hafleet_tests::interop::{Row, keep};

use crate::pair::Cast;

/// The rows of one test function.
pub struct Report {
    test: String,
    scenario: &'static str,
    peer: &'static str,
    part: &'static str,
    rows: Vec<Row>,
}

impl Report {
    /// The report of the running test, with its first row.
    pub fn new(scenario: &'static str, cast: Cast, tried: impl Into<String>) -> Self {
        Self::with_part(scenario, cast, cast.part(), tried)
    }

    /// The same where ours is told apart by something else than its priority.
    pub fn with_part(
        scenario: &'static str,
        cast: Cast,
        part: &'static str,
        tried: impl Into<String>,
    ) -> Self {
        let thread = std::thread::current();
        let path = thread.name().expect("a test's thread has the test's name");
        let test = path.rsplit("::").next().unwrap().to_owned();
        let mut report = Self { test, scenario, peer: cast.peer().name(), part, rows: Vec::new() };
        report.row(tried);
        report
    }

    /// Begins another row: the one before was as it must be.
    pub fn row(&mut self, tried: impl Into<String>) {
        if let Some(row) = self.rows.last_mut() {
            row.passed = true;
        }
        let tried = tried.into();
        eprintln!("-- {tried}");
        self.rows.push(Row {
            test: self.test.clone(),
            scenario: self.scenario.into(),
            peer: self.peer.into(),
            ours: self.part.into(),
            tried,
            happened: Vec::new(),
            passed: false,
        });
    }

    /// Something that happened.
    pub fn saw(&mut self, what: impl Into<String>) {
        let what = what.into();
        eprintln!("   {what}");
        self.rows.last_mut().unwrap().happened.push(what);
    }

    /// A time that must be within these bounds.
    pub fn time(&mut self, what: &str, time: Duration, least: Duration, most: Duration) {
        self.saw(format!("{what} {} ({} to {})", ms(time), ms(least), ms(most)));
        assert!(least <= time && time <= most, "{what}: {time:?} is not within {least:?} to {most:?}");
    }

    /// A time that must not be more than this.
    pub fn at_most(&mut self, what: &str, time: Duration, most: Duration) {
        self.saw(format!("{what} {} (at most {})", ms(time), ms(most)));
        assert!(time <= most, "{what}: {time:?} is more than {most:?}");
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.passed = !std::thread::panicking();
        }
        if let Err(error) = keep(&self.test, &self.rows) {
            eprintln!("the result was not kept: {error:#}");
        }
    }
}

/// Milliseconds with one decimal.
pub fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
