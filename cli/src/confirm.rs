//! Consent to what cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::failure::Failure;

/// Proof that a person (or `--yes`) agreed. Only [`ask`] makes one, so that no destructive verb can forget to.
pub struct Consent(());

/// Ask `question` on the terminal unless `yes`.
///
/// Without a terminal nothing is read: a script that forgot `--yes` must not have its input taken for an answer.
pub fn ask(question: &str, yes: bool) -> Result<Consent, Failure> {
    if yes {
        return Ok(Consent(()));
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            format!("not done: \"{question}\" needs an answer, and standard input is not a terminal"),
            "Say --yes if that is what you want.",
        ));
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush()).map_err(Failure::Output)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(Failure::Input)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(Consent(())),
        _ => Err(Failure::usage("not done: the answer was not yes".to_owned(), "Nothing was changed.")),
    }
}
