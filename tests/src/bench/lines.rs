//! A program whose lines are stamped as they come.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Lines {
    name: String,
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Lines {
    /// Starts it; both of its outputs are read, each line as soon as it is written.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {name}: {command:?}"))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (sender, lines) = channel();
        let errors = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send((Instant::now(), line));
            }
        });
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = errors.send((Instant::now(), line));
            }
        });
        Ok(Self { name: name.to_owned(), child, lines })
    }

    /// The next line of which `find` makes something.
    pub fn wait<T>(
        &self,
        what: &str,
        within: Duration,
        mut find: impl FnMut(Instant, &str) -> Option<T>,
    ) -> Result<T> {
        let until = Instant::now() + within;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((at, line)) => {
                    if let Some(found) = find(at, &line) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("{}: no {what} within {within:?}", self.name),
                Err(RecvTimeoutError::Disconnected) => bail!("{} ended while waiting for {what}", self.name),
            }
        }
    }

    /// What has come until now and was not taken yet.
    pub fn taken(&self) -> Vec<(Instant, String)> {
        self.lines.try_iter().collect()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
