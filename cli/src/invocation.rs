//! What every verb is given: the global flags, standard output, the way to the coordinators.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use crate::{
    cli::{Colour, Format, Globals},
    connect::Coordinators,
    context::{self, Context},
    failure::Failure,
    look::{Look, instant},
};

/// One run of hactl.
pub struct Invocation {
    globals: Globals,
}

impl Invocation {
    /// With these flags.
    pub fn new(globals: Globals) -> Self {
        Self { globals }
    }

    /// The context in use, with the coordinators that the command line says.
    pub fn context(&self) -> Result<Context, Failure> {
        let mut context = context::select(self.globals.context.as_deref())?;
        if let Some(warning) = context.warning() {
            self.note(&format!("warning: {warning}"));
        }
        if !self.globals.coordinator.is_empty() {
            context.coordinators.clone_from(&self.globals.coordinator);
        }
        Ok(context)
    }

    /// The way to the coordinators. Nothing is sent yet.
    pub fn coordinators(&self) -> Result<Coordinators, Failure> {
        Ok(Coordinators::new(&self.context()?, self.globals.timeout)?)
    }

    /// The same for a question that may take this long to be answered, whatever `--timeout` says of others.
    pub fn coordinators_for(&self, least: Duration) -> Result<Coordinators, Failure> {
        Ok(Coordinators::new(&self.context()?, self.globals.timeout.max(least))?)
    }

    /// `-o`.
    pub fn format(&self) -> Format {
        self.globals.output
    }

    /// `-o table` or `-o wide`.
    pub fn is_for_people(&self) -> bool {
        match self.globals.output {
            Format::Table | Format::Wide => true,
            Format::Json | Format::Jsonl => false,
        }
    }

    /// `-q`.
    pub fn quiet(&self) -> bool {
        self.globals.quiet
    }

    /// How facts look now by the coordinator's clock (by ours if it sent none).
    pub fn look(&self, now_us: i64) -> Look {
        Look {
            width: width(),
            wide: self.globals.output == Format::Wide,
            colour: self.colour(),
            titles: !self.globals.quiet,
            zone: TimeZone::system(),
            now: instant(now_us).unwrap_or_else(our_clock),
        }
    }

    /// A list: rows for people, an array or a line per item for programs.
    pub fn list<T: Serialize>(&self, items: &[T], text: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.globals.output {
            Format::Table | Format::Wide => self.write(&text()),
            Format::Json => self.json(items),
            Format::Jsonl => items.iter().try_for_each(|item| self.json_line(item)),
        }
    }

    /// One thing: text for people, an object for programs.
    pub fn object<T: Serialize>(&self, item: &T, text: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.globals.output {
            Format::Table | Format::Wide => self.write(&text()),
            Format::Json => self.json(item),
            Format::Jsonl => self.json_line(item),
        }
    }

    /// An object on a line of its own.
    pub fn json_line<T: Serialize + ?Sized>(&self, item: &T) -> Result<(), Failure> {
        let text = serde_json::to_string(item).map_err(Failure::Json)?;
        self.write(&format!("{text}\n"))
    }

    /// To standard output, at once.
    pub fn write(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::Output)
    }

    /// To standard error, unless `-q`: what people like to know and programs need not.
    pub fn note(&self, text: &str) {
        if !self.globals.quiet {
            // Nowhere is left to say that standard error is closed.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Say that the list was cut at its limit.
    pub fn note_truncated(&self, truncated: bool, limit: u32) {
        if truncated {
            self.note(&format!("Only the newest {limit} are shown; more with --limit N (at most 10000)."));
        }
    }

    fn json<T: Serialize + ?Sized>(&self, item: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(item).map_err(Failure::Json)?;
        self.write(&format!("{text}\n"))
    }

    fn colour(&self) -> bool {
        match self.globals.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
            }
        }
    }
}

/// This host's clock: only where no coordinator has said what time it is.
#[expect(clippy::disallowed_methods, reason = "contexts have dates, and no coordinator is asked about them")]
fn our_clock() -> Timestamp {
    Timestamp::now()
}

/// Columns to fill: `$COLUMNS`, else the terminal's, else 100.
fn width() -> u16 {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse::<u16>().ok());
    let found = || rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col);
    said.filter(|columns| *columns > 0).or_else(|| found().filter(|columns| *columns > 0)).unwrap_or(100)
}

/// Rows of the terminal, if standard output is one.
pub fn height() -> Option<u16> {
    rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_row).filter(|rows| *rows > 0)
}
