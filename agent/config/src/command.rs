//! The commands of scripts, whichever file names them: who runs them, and what only a shell could make of their words.

use super::{
    source::{Report, Span},
    track::RunAs,
};
use crate::security::{Policy, Refusal, Remark, UserName, examine};

/// What to do about words that a shell would understand.
const SHELL: &str =
    "scripts are run without a shell: name one, such as /bin/sh -c '…', or put the words into a file";

/// A command as it is written.
pub(super) struct Command {
    /// The program and its arguments, each with whether some of it was quoted.
    pub words: Vec<(String, bool)>,
    /// Where it is written.
    pub span: Span,
}

/// The program with its full path, its arguments, and who runs it; `None` with an error.
pub(super) fn approve(
    command: &Command,
    user: Option<&(UserName, Span)>,
    policy: &Policy,
    report: &mut Report,
) -> Option<(Vec<String>, RunAs)> {
    let Command { words, span } = command;
    let for_a_shell = words.iter().find(|(word, quoted)| !quoted && is_for_a_shell(word));
    let words: Vec<String> = words.iter().map(|(word, _)| word.clone()).collect();
    if report.is_elsewhere {
        let named = user.map(|(name, span)| (name, *span)).or(policy.user.as_ref().map(|name| (name, *span)));
        if let Some((UserName { user, .. }, span)) = named {
            let message = format!("that user {user} runs it is not taken over");
            report.warn(span, message, "say it there, where it is to run");
        }
        return Some((words, RunAs::Agent));
    }
    match examine(&words, user.map(|(name, _)| name), policy) {
        Ok(approved) => {
            if let Some((word, _)) = for_a_shell.filter(|_| !approved.remarks.contains(&Remark::ByShell)) {
                report.warn(
                    *span,
                    format!("`{word}` is given to the program as it is, as in keepalived"),
                    SHELL,
                );
            }
            for remark in &approved.remarks {
                if let Some(help) = help(remark) {
                    report.warn(*span, remark.to_string(), help);
                }
            }
            Some((approved.command, approved.run_as))
        }
        Err(refusal @ Refusal::Account(_)) => {
            let at = user.map_or(*span, |(_, span)| *span);
            report.error_with(at, refusal.to_string(), "make it, or name another user");
            None
        }
        Err(refusal @ (Refusal::NobodyNamed | Refusal::Insecure { .. })) => {
            let help = "script security allows root only what nobody else can change";
            report.error_with(*span, refusal.to_string(), help);
            None
        }
        Err(Refusal::NotInPath { name, path }) => {
            let install = || format!("install it, or write its full path; PATH is {path}");
            let help = for_a_shell.map_or_else(install, |_| SHELL.to_owned());
            report.error_with(*span, format!("there is no program `{name}` in PATH"), help);
            None
        }
        Err(refusal) => {
            let help = if for_a_shell.is_some() {
                SHELL
            } else {
                "install it, or correct its name; keepalived would go on without the check"
            };
            report.error_with(*span, refusal.to_string(), help);
            None
        }
    }
}

/// What to do about a remark; `None` when there is nothing to do, and nobody needs to be told.
fn help(remark: &Remark) -> Option<&'static str> {
    match remark {
        Remark::FoundInPath { .. } => None,
        Remark::RunsAsRoot => Some("keepalived would run it as root too"),
        Remark::Insecure(_) => Some("let nobody but root write there"),
        Remark::ByShell => Some("write /bin/bash -c '…' if bash is meant"),
    }
}

/// Whether an unquoted word means something to a shell only.
fn is_for_a_shell(word: &str) -> bool {
    let operator =
        matches!(word, "&&" | "||" | "|" | ";" | "&" | "!" | "[[" | "((" | "if" | "for" | "while" | "case");
    let redirection =
        word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&').starts_with(['<', '>']);
    let substitution = word.contains("$(") || word.contains('`') || word.starts_with('$');
    operator || redirection || substitution || word.len() > 1 && word.ends_with(';')
}
