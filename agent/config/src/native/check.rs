//! `[[script]]`, `[[process]]` and `[[file]]`.

use std::{path::PathBuf, time::Duration};

use super::{
    instance::visible,
    keys::Keys,
    value::{self, Field},
};
use crate::{
    checks::{Definition, Definitions, Kind},
    command::{Command, approve},
    security::{Policy, UserName},
    source::{Report, Span},
    track::{CheckKind, FileCheck, FileInit, ParameterMatch, ProcessCheck, ScriptCheck},
};

const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);
const COMMAND: &str = "a list of a program and its arguments, such as [\"killall\", \"-0\", \"nginx\"]";

/// Reads all tables of one kind.
pub(super) fn read(
    field: Field<'_>,
    kind: Kind,
    scripts: &Scripts,
    definitions: &mut Definitions,
    report: &mut Report,
) {
    let (keys, expected) = match kind {
        Kind::Script => (Keys::Script, "a list of tables, each headed by [[script]]"),
        Kind::Process => (Keys::Process, "a list of tables, each headed by [[process]]"),
        Kind::File => (Keys::File, "a list of tables, each headed by [[file]]"),
    };
    for table in value::list(field, expected, report) {
        let at = table.span;
        let Some(fields) = value::table(table, keys, expected, report) else { continue };
        let mut common =
            Common { name: None, weight: i16::from(kind == Kind::File), reverse: false, good: true };
        let (own, others) = fields.into_iter().partition(|field| Common::is_own(field));
        common.read(own, report);
        let what = match kind {
            Kind::Script => script(others, at, scripts, &mut common, report),
            Kind::Process => process(others, at, &mut common, report),
            Kind::File => file(others, at, &mut common, report),
        };
        let Common { name, weight, reverse, good } = common;
        let Some((name, span)) = name else {
            if good {
                let message = format!("this {} has no `name`", kind.as_str());
                report.error_with(at, message, "write a name that instances track it by: name = \"nginx\"");
            }
            continue;
        };
        definitions
            .add(Definition { kind, name, span, what: what.filter(|_| good), weight, reverse }, report);
    }
}

/// What every kind has.
struct Common {
    name: Option<(String, Span)>,
    weight: i16,
    reverse: bool,
    /// False after an error.
    good: bool,
}

impl Common {
    fn is_own(field: &Field<'_>) -> bool {
        matches!(field.key.as_str(), "name" | "weight" | "reverse")
    }

    fn read(&mut self, fields: Vec<Field<'_>>, report: &mut Report) {
        for field in fields {
            let span = field.span;
            match field.key.as_str() {
                "name" => {
                    let name = visible(field, report);
                    self.good &= name.is_some();
                    self.name = name.map(|name| (name, span));
                }
                "weight" => {
                    let weight = weight(field, report);
                    self.set(weight, |common, weight| common.weight = weight);
                }
                _ => {
                    let reverse = value::scalar(field, "true or false", report);
                    self.set(reverse, |common, reverse| common.reverse = reverse);
                }
            }
        }
    }

    fn set<T>(&mut self, value: Option<T>, keep: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => keep(self, value),
            None => self.good = false,
        }
    }

    /// Keeps a value; without one an error was reported.
    fn keep<T>(&mut self, to: &mut T, value: Option<T>) {
        self.set(value, |_, value| *to = value);
    }

    fn require(&mut self, there: bool, key: &str, help: &str, at: Span, report: &mut Report) {
        if self.good && !there {
            report.error_with(at, format!("this table has no `{key}`"), help);
            self.good = false;
        }
    }
}

/// A weight, as keepalived allows it.
pub(super) fn weight(field: Field<'_>, report: &mut Report) -> Option<i16> {
    value::integer(field, -254..=254, report)
}

fn script(
    fields: Vec<Field<'_>>,
    at: Span,
    scripts: &Scripts,
    common: &mut Common,
    report: &mut Report,
) -> Option<CheckKind> {
    let mut script = ScriptCheck::default();
    let (mut named, mut timeout, mut command, mut account) = (false, None, None, Account::default());
    for field in fields {
        match field.key.as_str() {
            "command" => {
                named = true;
                common.keep(&mut command, self::command(field, report).map(Some));
            }
            "interval" => common.keep(&mut script.interval, interval(field, report)),
            "timeout" => common.keep(&mut timeout, interval(field, report).map(Some)),
            "rise" => common.keep(&mut script.rise, value::integer(field, 1..=1_000_000, report)),
            "fall" => common.keep(&mut script.fall, value::integer(field, 1..=1_000_000, report)),
            "init_fail" => common.keep(&mut script.init_fail, value::scalar(field, "true or false", report)),
            "user" => common.keep(&mut account.user, name(field, report).map(Some)),
            "group" => common.keep(&mut account.group, name(field, report).map(Some)),
            _ => {}
        }
    }
    script.timeout = timeout.unwrap_or(script.interval);
    let help = "write the program: command = [\"killall\", \"-0\", \"nginx\"]";
    common.require(named, "command", help, at, report);
    let own = account.user_name("user", report)?;
    let user = own.as_ref().or(scripts.user.as_ref());
    (script.command, script.run_as) = approve(&command?, user, &scripts.policy, report)?;
    Some(CheckKind::Script(script))
}

/// Who runs scripts that do not say it, and how strictly they are looked at.
#[derive(Default)]
pub(super) struct Scripts {
    account: Account,
    user: Option<(UserName, Span)>,
    policy: Policy,
}

impl Scripts {
    /// Takes `script_user`, `script_group` or `script_security`.
    pub(super) fn take(&mut self, field: Field<'_>, report: &mut Report) {
        match field.key.as_str() {
            "script_user" => self.account.user = name(field, report),
            "script_group" => self.account.group = name(field, report),
            _ => self.policy.is_strict = value::scalar(field, "true or false", report).unwrap_or_default(),
        }
    }

    /// When all of them are taken.
    pub(super) fn finish(&mut self, report: &mut Report) {
        self.user = self.account.user_name("script_user", report).flatten();
    }
}

/// A user and a group as they are written, each with its place.
#[derive(Default)]
struct Account {
    user: Option<(String, Span)>,
    group: Option<(String, Span)>,
}

impl Account {
    /// Both together; the outer `None` with an error.
    fn user_name(&mut self, key: &str, report: &mut Report) -> Option<Option<(UserName, Span)>> {
        match (self.user.take(), self.group.take()) {
            (Some((user, span)), group) => {
                Some(Some((UserName { user, group: group.map(|(group, _)| group) }, span)))
            }
            (None, Some((_, span))) => {
                report.error_with(span, format!("a group without a user: there is no `{key}`"), "write both");
                None
            }
            (None, None) => Some(None),
        }
    }
}

fn name(field: Field<'_>, report: &mut Report) -> Option<(String, Span)> {
    let span = field.span;
    visible(field, report).map(|name| (name, span))
}

fn interval(field: Field<'_>, report: &mut Report) -> Option<Duration> {
    value::time(field, SHORTEST_INTERVAL..=LONGEST_INTERVAL, report)
}

/// A list of texts.
fn texts(field: Field<'_>, expected: &str, report: &mut Report) -> Option<Vec<String>> {
    let elements = value::list(field.clone(), expected, report);
    if elements.is_empty() && !matches!(field.value, toml::de::DeValue::Array(_)) {
        return None;
    }
    elements.into_iter().map(|element| value::scalar(element, expected, report)).collect()
}

fn command(field: Field<'_>, report: &mut Report) -> Option<Command> {
    let span = field.span;
    let words = texts(field, COMMAND, report)?;
    Some(Command { words: words.into_iter().map(|word| (word, true)).collect(), span })
}

fn process(fields: Vec<Field<'_>>, at: Span, common: &mut Common, report: &mut Report) -> Option<CheckKind> {
    let mut process = ProcessCheck {
        command: String::new(),
        parameters: None,
        full_command: false,
        quorum_least: 1,
        quorum_most: None,
        terminate_delay: Duration::ZERO,
        fork_delay: Duration::ZERO,
    };
    let (mut parameters, mut matching, mut most) = (None, None, None);
    let delay = |field, report: &mut Report| value::time(field, Duration::ZERO..=LONGEST_INTERVAL, report);
    for field in fields {
        let span = field.span;
        match field.key.as_str() {
            "command" => common.keep(&mut process.command, visible(field, report)),
            "parameters" => {
                common.keep(&mut parameters, texts(field, "a list of strings", report).map(Some));
            }
            "param_match" => {
                let words = [
                    ("exact", Matching::Exact),
                    ("partial", Matching::Partial),
                    ("initial", Matching::Initial),
                ];
                common.keep(&mut matching, value::one_of(field, &words, report).map(Some));
            }
            "full_command" => {
                common.keep(&mut process.full_command, value::scalar(field, "true or false", report))
            }
            "quorum" => common.keep(&mut process.quorum_least, value::integer(field, 0..=65_535, report)),
            "quorum_max" => {
                let quorum = value::integer(field, 0..=65_535, report);
                common.keep(&mut most, quorum.map(|quorum| Some((quorum, span))));
            }
            "fork_delay" => common.keep(&mut process.fork_delay, delay(field, report)),
            "terminate_delay" => common.keep(&mut process.terminate_delay, delay(field, report)),
            _ => {}
        }
    }
    let named = !process.command.is_empty();
    common.require(named, "command", "write the process's name: command = \"nginx\"", at, report);
    process.parameters = match (matching, parameters) {
        (None, None) => None,
        (Some(Matching::Partial), parameters) => {
            Some(ParameterMatch::Partial(parameters.unwrap_or_default()))
        }
        (Some(Matching::Initial), parameters) => {
            Some(ParameterMatch::Initial(parameters.unwrap_or_default()))
        }
        (Some(Matching::Exact) | None, parameters) => {
            Some(ParameterMatch::Exact(parameters.unwrap_or_default()))
        }
    };
    if let Some((most, span)) = most {
        process.quorum_most = Some(most);
        if most == 0 {
            process.quorum_least = 0;
        } else if most < process.quorum_least {
            let message = format!("`quorum_max` {most} is less than `quorum` {}", process.quorum_least);
            report.error_with(span, message, "no number of processes is right then");
            common.good = false;
        }
    }
    Some(CheckKind::Process(process))
}

#[derive(Clone, Copy, PartialEq)]
enum Matching {
    Exact,
    Partial,
    Initial,
}

fn file(fields: Vec<Field<'_>>, at: Span, common: &mut Common, report: &mut Report) -> Option<CheckKind> {
    let mut file = FileCheck { path: PathBuf::new(), init: None };
    let (mut named, mut value, mut overwrite) = (false, None, None);
    for field in fields {
        match field.key.as_str() {
            "path" => {
                named = true;
                common.keep(&mut file.path, path(field, report));
            }
            "init" => common.keep(&mut value, value::integer(field, -254..=254, report).map(Some)),
            "overwrite" => {
                let span = field.key_span;
                let truth = value::scalar(field, "true or false", report);
                common.keep(&mut overwrite, truth.map(|truth: bool| Some((truth, span))));
            }
            _ => {}
        }
    }
    common.require(named, "path", "write the file's path: path = \"/run/load\"", at, report);
    match (value, overwrite) {
        (Some(value), overwrite) => {
            file.init = Some(FileInit { value, overwrite: overwrite.is_some_and(|(truth, _)| truth) });
        }
        (None, Some((true, span))) => {
            report.error_with(span, "`overwrite` without `init`", "write the number: init = 0");
            common.good = false;
        }
        (None, Some((false, _)) | None) => {}
    }
    Some(CheckKind::File(file))
}

fn path(field: Field<'_>, report: &mut Report) -> Option<PathBuf> {
    let expected = "an absolute path such as \"/run/load\"";
    let path: PathBuf = value::scalar(field.clone(), expected, report)?;
    if !path.is_absolute() {
        value::wrong(&field, expected, report);
        return None;
    }
    Some(path)
}
