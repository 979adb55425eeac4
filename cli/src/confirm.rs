//! Consent to what cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::{failure::Failure, look::clean};

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

/// Consent to switch a host off: its name, typed on the terminal, or repeated by `--node` together with `--yes`.
pub fn ask_for_name(node: &str, yes: bool, named: Option<&str>) -> Result<String, Failure> {
    let shown = clean(node);
    if let Some(named) = named
        && named != node
    {
        let what = format!("not done: --node {} is not {shown}", clean(named));
        return Err(Failure::usage(what, "Nothing was changed."));
    }
    match (yes, named) {
        (true, Some(named)) => return Ok(named.to_owned()),
        (true, None) => {
            return Err(Failure::usage(
                format!("not done: --yes alone does not switch {shown} off"),
                format!("Say --yes --node {shown} if that is what you want."),
            ));
        }
        (false, _) => {}
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            format!(
                "not done: to switch {shown} off its name must be typed, and standard input is not a terminal"
            ),
            format!("Say --yes --node {shown} if that is what you want."),
        ));
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "This switches {shown} off. Type its name: ")
        .and_then(|()| stderr.flush())
        .map_err(Failure::Output)?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed).map_err(Failure::Input)?;
    if typed.trim() == node {
        Ok(node.to_owned())
    } else {
        Err(Failure::usage(format!("not done: that is not {shown}"), "Nothing was changed."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_switches_nothing_off_without_the_same_name_again() {
        assert!(ask_for_name("lb02", true, Some("lb02")).is_ok_and(|typed| typed == "lb02"));
        for named in [None, Some("lb03"), Some("")] {
            assert!(ask_for_name("lb02", true, named).is_err(), "{named:?}");
        }
    }
}
