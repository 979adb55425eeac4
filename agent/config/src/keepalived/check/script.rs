//! `vrrp_script`.

use std::time::Duration;

use super::{
    super::{global::Defaults, lex, section::Entry, tree::Word, value},
    Common,
};
use crate::{
    command::{Command, approve},
    security::UserName,
    source::{Report, Span},
    track::{CheckKind, ScriptCheck},
};

/// keepalived's longest, 4294 s.
const LONGEST_INTERVAL_US: u64 = 4_294_000_000;
/// A hundredth of a second, as of an advert interval.
const SHORTEST_INTERVAL_US: u64 = 10_000;

/// Reads what a `vrrp_script` says.
pub(super) fn read(
    name: &Word,
    entries: &[Entry<'_>],
    defaults: &Defaults,
    common: &mut Common,
    report: &mut Report,
) -> Option<CheckKind> {
    let mut script = ScriptCheck::default();
    let (mut timeout, mut command, mut named) = (None, None, None);
    for entry in entries {
        match (entry.name, entry.args) {
            ("script", words) => common.set(&mut command, self::command(words, report).map(Some)),
            ("user", words) => common.set(&mut named, user(words, report).map(Some)),
            ("interval", [word]) => common.set(&mut script.interval, interval("interval", word, report)),
            ("timeout", [word]) => common.set(&mut timeout, interval("timeout", word, report).map(Some)),
            ("rise", [word]) => common.set(&mut script.rise, count("rise", word, report)),
            ("fall", [word]) => common.set(&mut script.fall, count("fall", word, report)),
            ("weight", args) => common.weight(args, 253, report),
            ("init_fail", _) => script.init_fail = true,
            (_, _) => {}
        }
    }
    script.timeout = timeout.unwrap_or(script.interval);
    common.requires(
        "script",
        entries,
        name,
        "write the program to run: script \"/etc/keepalived/check.sh\"",
        report,
    );
    let named = named.as_ref().or(defaults.script_user.as_ref());
    (script.command, script.run_as) = approve(&command?, named, &defaults.script_policy, report)?;
    Some(CheckKind::Script(script))
}

/// Seconds; keepalived knows whole ones.
fn interval(keyword: &str, word: &Word, report: &mut Report) -> Option<Duration> {
    let us = value::seconds_us(keyword, word, SHORTEST_INTERVAL_US..=LONGEST_INTERVAL_US, report)?;
    if us % 1_000_000 != 0 {
        let message = format!("`{keyword} {}` counts here; keepalived knows whole seconds only", word.text);
        report.warn(word.span, message, "write whole seconds if a keepalived reads the file too");
    }
    Some(Duration::from_micros(us))
}

fn count(keyword: &str, word: &Word, report: &mut Report) -> Option<u32> {
    value::integer(keyword, word, 1..=i32::MAX.cast_unsigned(), report)
}

/// The words of the command. keepalived reads the first word of the line only, and splits that again.
fn command(words: &[Word], report: &mut Report) -> Option<Command> {
    let (first, others) = words.split_first()?;
    let span = first.span.to(others.last().unwrap_or(first).span);
    let Some(mut words) = lex::command(&first.text) else {
        let help = "inside the double quotation marks single ones keep words together; close them";
        let message = "a quotation mark inside the command is not closed, or a `\\` ends it";
        report.error_with(first.span, message, help);
        return None;
    };
    if !others.is_empty() {
        let message = format!("keepalived would run `{}` without the words after it", first.text);
        report.warn(span, message, "put the whole command into quotation marks");
        words.extend(others.iter().map(|word| (word.text.clone(), word.quoted)));
    }
    Some(Command { words, span })
}

/// `USER [GROUP]`.
pub(in super::super) fn user(words: &[Word], report: &mut Report) -> Option<(UserName, Span)> {
    let (first, others) = words.split_first()?;
    let group = others.first().map(|group| value::bare(group, report).to_owned());
    let span = first.span.to(others.first().unwrap_or(first).span);
    Some((UserName { user: value::bare(first, report).to_owned(), group }, span))
}
