//! `vrrp_script`, `vrrp_track_process` and `track_file`.

mod script;

pub(super) use self::script::user;

use std::{path::PathBuf, time::Duration};

use super::{
    global::Defaults,
    keywords::Place,
    section::{self, Entry, Section},
    tree::Word,
    value,
};
use crate::{
    checks::{Definition, Definitions, Kind},
    source::{Report, Span},
    track::{CheckKind, FileCheck, FileInit, ParameterMatch, ProcessCheck},
};

/// keepalived's longest delay of a process.
const LONGEST_DELAY_US: u64 = 3_600_000_000;

/// Reads one definition.
pub(super) fn read(
    entry: &Entry<'_>,
    kind: Kind,
    defaults: &Defaults,
    definitions: &mut Definitions,
    report: &mut Report,
) {
    let (Some(name), Some(block)) = (entry.args.first(), entry.block) else { return };
    let place = match kind {
        Kind::Script => Place::Script,
        Kind::Process => Place::Process,
        Kind::File => Place::File,
    };
    let Section { entries, meant } = section::read(place, &block.statements, report);
    let mut common =
        Common { weight: if kind == Kind::File { 1 } else { 0 }, reverse: false, good: meant.is_empty() };
    let what = match kind {
        Kind::Script => script::read(name, &entries, defaults, &mut common, report),
        Kind::Process => process(name, &entries, &mut common, report),
        Kind::File => file(name, &entries, &mut common, report),
    };
    let Common { weight, reverse, good } = common;
    let definition = Definition {
        kind,
        name: name.text.clone(),
        span: name.span,
        what: what.filter(|_| good),
        weight,
        reverse,
    };
    definitions.add(definition, report);
}

/// What every kind has.
struct Common {
    weight: i16,
    reverse: bool,
    /// False after an error.
    good: bool,
}

impl Common {
    /// Keeps a value; without one an error was reported.
    fn set<T>(&mut self, to: &mut T, value: Option<T>) {
        match value {
            Some(value) => *to = value,
            None => self.good = false,
        }
    }

    fn weight(&mut self, args: &[Word], most: i16, report: &mut Report) {
        match weight(args, most, report) {
            Some((weight, reverse)) => (self.weight, self.reverse) = (weight, reverse.unwrap_or(false)),
            None => self.good = false,
        }
    }

    fn requires(
        &mut self,
        keyword: &str,
        entries: &[Entry<'_>],
        name: &Word,
        help: &str,
        report: &mut Report,
    ) {
        if self.good && !entries.iter().any(|entry| entry.name == keyword) {
            report.error_with(name.span, format!("`{}` has no `{keyword}`", name.text), help);
            self.good = false;
        }
    }
}

/// `NUMBER [reverse|noreverse]`; `None` for the second where it says neither.
pub(super) fn weight(args: &[Word], most: i16, report: &mut Report) -> Option<(i16, Option<bool>)> {
    let (number, rest) = args.split_first()?;
    let weight = value::integer("weight", number, -most..=most, report)?;
    let Some(word) = rest.first() else { return Some((weight, None)) };
    let reverse = match value::bare(word, report) {
        "reverse" => true,
        "noreverse" => false,
        "no_reverse" => {
            let message = "`no_reverse` is read as `noreverse`; keepalived would not read it";
            report.warn(word.span, message, "write `noreverse`");
            false
        }
        other => {
            let message =
                format!("after a weight stands `reverse`, `noreverse` or nothing, here is `{other}`");
            report.error(word.span, message);
            return None;
        }
    };
    Some((weight, Some(reverse)))
}

fn process(
    name: &Word,
    entries: &[Entry<'_>],
    common: &mut Common,
    report: &mut Report,
) -> Option<CheckKind> {
    let mut process = ProcessCheck {
        command: String::new(),
        parameters: None,
        full_command: false,
        quorum_least: 1,
        quorum_most: None,
        terminate_delay: Duration::ZERO,
        fork_delay: Duration::ZERO,
    };
    let (mut parameters, mut matching, mut most) = (Vec::new(), None, None);
    for entry in entries {
        match (entry.name, entry.args) {
            ("process", [command, rest @ ..]) => {
                process.command.clone_from(&command.text);
                parameters = rest.iter().map(|word| word.text.clone()).collect();
            }
            ("param_match", args) => common.set(&mut matching, param_match(args, report).map(Some)),
            ("weight", args) => common.weight(args, 254, report),
            ("quorum", [word]) => {
                let quorum = value::integer("quorum", word, 1..=u32::from(u16::MAX), report);
                common.set(&mut process.quorum_least, quorum);
            }
            ("quorum_max", [word]) => {
                let quorum = value::integer("quorum_max", word, 0..=u32::from(u16::MAX), report);
                common.set(&mut most, quorum.map(|quorum| Some((quorum, word.span))));
            }
            ("fork_delay", [word]) => common.set(&mut process.fork_delay, delay("fork_delay", word, report)),
            ("terminate_delay", [word]) => {
                common.set(&mut process.terminate_delay, delay("terminate_delay", word, report));
            }
            ("delay", [word]) => {
                let delay = delay("delay", word, report);
                common.set(&mut process.fork_delay, delay);
                common.set(&mut process.terminate_delay, delay);
            }
            ("full_command", _) => process.full_command = true,
            (_, _) => {}
        }
    }
    let with_parameters = !parameters.is_empty() || matching.is_some();
    process.parameters = with_parameters.then_some(match matching {
        Some(Matching::Partial) => ParameterMatch::Partial(parameters),
        Some(Matching::Initial) => ParameterMatch::Initial(parameters),
        Some(Matching::Exact) | None => ParameterMatch::Exact(parameters),
    });
    common.requires("process", entries, name, "write the process's name: process nginx", report);
    quorum_max(&mut process, most, common, report);
    Some(CheckKind::Process(process))
}

fn quorum_max(
    process: &mut ProcessCheck,
    most: Option<(u32, Span)>,
    common: &mut Common,
    report: &mut Report,
) {
    let Some((most, span)) = most else { return };
    process.quorum_most = Some(most);
    if most == 0 {
        process.quorum_least = 0;
    } else if most < process.quorum_least {
        let message = format!("`quorum_max` {most} is less than `quorum` {}", process.quorum_least);
        report.error_with(
            span,
            message,
            "no number of processes is right then; keepalived would not use `quorum_max`",
        );
        common.good = false;
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Matching {
    Exact,
    Partial,
    Initial,
}

fn param_match(args: &[Word], report: &mut Report) -> Option<Matching> {
    let Some(word) = args.first() else { return Some(Matching::Exact) };
    match value::bare(word, report) {
        "partial" => Some(Matching::Partial),
        "initial" => Some(Matching::Initial),
        other => {
            let message =
                format!("`param_match` is alone or followed by `partial` or `initial`, here is `{other}`");
            report.error_with(word.span, message, "alone it means that all parameters are the same");
            None
        }
    }
}

fn delay(keyword: &str, word: &Word, report: &mut Report) -> Option<Duration> {
    value::seconds_us(keyword, word, 1..=LONGEST_DELAY_US, report).map(Duration::from_micros)
}

fn file(name: &Word, entries: &[Entry<'_>], common: &mut Common, report: &mut Report) -> Option<CheckKind> {
    let mut file = FileCheck { path: PathBuf::new(), init: None };
    for entry in entries {
        match (entry.name, entry.args) {
            ("file", [word]) => common.set(&mut file.path, path(word, report)),
            ("weight", args) => common.weight(args, 254, report),
            ("init_file", args) => common.set(&mut file.init, init(args, report).map(Some)),
            (_, _) => {}
        }
    }
    common.requires("file", entries, name, "write the file's path: file \"/run/load\"", report);
    Some(CheckKind::File(file))
}

fn path(word: &Word, report: &mut Report) -> Option<PathBuf> {
    let path = PathBuf::from(&word.text);
    if !path.is_absolute() {
        let message = format!("`file` is an absolute path, here is `{}`", word.text);
        report.error_with(word.span, message, "write it from the root, beginning with `/`");
        return None;
    }
    Some(path)
}

/// `[NUMBER] [overwrite]`, in either order.
fn init(args: &[Word], report: &mut Report) -> Option<FileInit> {
    let mut init = FileInit { value: 0, overwrite: false };
    for word in args {
        if value::bare(word, report) == "overwrite" {
            init.overwrite = true;
        } else {
            init.value = value::integer("init_file", word, -254..=254, report)?;
        }
    }
    Some(init)
}
