//! The agent's log: text or JSON on standard error, through a bounded queue and a thread of its own.
//!
//! Whoever logs never waits: when nobody reads the pipe, lines are dropped and counted, and the count is logged when
//! somebody reads again. The engine logs through the same door, so a full log pipe cannot delay an advertisement.

mod writer;

use std::{error::Error, fmt::Write, io::IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

pub use writer::{Lines, LogThread, lines_to};

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Starts the log of the process. `HA_AGENT_LOG` chooses what is logged, in `tracing`'s filter language (default `info`).
///
/// # Errors
/// When there can be no thread.
pub fn start(format: Format) -> anyhow::Result<LogThread> {
    let (lines, thread) = lines_to(
        std::io::stderr(),
        match format {
            Format::Text => {
                |count| format!("{count} log lines were dropped because nobody read them in time\n")
            }
            Format::Json => |count| {
                let line = serde_json::json!({
                    "level": "WARN",
                    "message": "log lines were dropped because nobody read them in time",
                    "count": count,
                });
                format!("{line}\n")
            },
        },
    )?;
    let filter = EnvFilter::try_from_env("HA_AGENT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    let set = match format {
        Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        Format::Json => builder.json().flatten_event(true).with_target(false).try_init(),
    };
    set.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))?;
    // A panic of any thread must not wait for the pipe either.
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), "{panic}");
    }));
    Ok(thread)
}

/// An error with all its causes in one line: `what was attempted: why: why that`.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Some libraries repeat their source in their own words.
        if !text.ends_with(&words) {
            // Writing to a string cannot fail.
            let _ = write!(text, ": {words}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
