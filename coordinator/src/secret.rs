//! A secret from a person or a pipe.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use anyhow::{Context as _, Result, ensure};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Bytes of a secret; more is a mistake.
const SECRET_MAX: u64 = 4096;

/// The one line of standard input; asked for when it is a terminal, which does not show it.
pub fn read(name: &str) -> Result<String> {
    let _silence = if io::stdin().is_terminal() {
        let silence = Silence::begin()?;
        eprint!("The secret for {name}: ");
        Some(silence)
    } else {
        None
    };
    let mut line = String::new();
    let mut input = io::stdin().lock().take(SECRET_MAX + 1);
    input.read_line(&mut line).context("cannot read the secret from standard input")?;
    ensure!(line.len() as u64 <= SECRET_MAX, "the secret has more than {SECRET_MAX} bytes");
    if !io::stdin().is_terminal() {
        let mut rest = Vec::new();
        input.read_to_end(&mut rest).context("cannot read standard input to its end")?;
        ensure!(rest.is_empty(), "the secret must be one line of standard input");
    }
    let line = line.strip_suffix('\n').unwrap_or(&line);
    let secret = line.strip_suffix('\r').unwrap_or(line);
    ensure!(!secret.is_empty(), "standard input has no secret");
    ensure!(!secret.contains(['\r', '\0']), "the secret must be one line of text");
    Ok(secret.to_owned())
}

/// While it lives the terminal shows nothing of what is typed.
struct Silence(Termios);

impl Silence {
    fn begin() -> Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin).context("cannot ask the terminal for its settings")?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent)
            .context("cannot keep the terminal from showing the secret")?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        eprintln!();
        // The terminal is gone: there is nothing to set any more.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
