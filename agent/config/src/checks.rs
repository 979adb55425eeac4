//! The checks of one file while it is read, and what instances refer to.

use std::collections::BTreeSet;

use hafleet_vrrp::Priority;

use super::{
    Instance, nearest,
    source::{Report, Span},
    track::{Check, CheckKind, Subject, Tracked},
};

/// More than any instance tracks.
const MOST_TRACKED: usize = 255;

/// What can be defined. Names are apart for each kind, as in keepalived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Script,
    Process,
    File,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Process => "process",
            Self::File => "file",
        }
    }
}

/// One check as it is defined, with what counts where a track says nothing else.
#[derive(Debug)]
pub(super) struct Definition {
    pub kind: Kind,
    pub name: String,
    pub span: Span,
    /// `None` when it is wrong, and reported: who refers to it is not to blame.
    pub what: Option<CheckKind>,
    pub weight: i16,
    pub reverse: bool,
}

/// Every check of a file.
#[derive(Debug, Default)]
pub(super) struct Definitions(Vec<Definition>);

impl Definitions {
    pub fn add(&mut self, definition: Definition, report: &mut Report) {
        let Definition { kind, name, span, .. } = &definition;
        if let Some(first) = self.0.iter().find(|other| other.kind == *kind && other.name == *name) {
            let message =
                format!("a {} named `{name}` is already at {}", kind.as_str(), report.place(first.span));
            report.error_with(*span, message, "give every one a name of its own");
        } else {
            self.0.push(definition);
        }
    }

    /// What a track refers to; `None` when there is none of that name, which is reported.
    pub fn find(&self, kind: Kind, name: &str, span: Span, report: &mut Report) -> Option<&Definition> {
        let of_kind = || self.0.iter().filter(|definition| definition.kind == kind);
        let found = of_kind().find(|definition| definition.name == name);
        if found.is_none() {
            let message = format!("there is no {} named `{name}`", kind.as_str());
            let elsewhere = self.0.iter().find(|definition| definition.name == name);
            let help = match (nearest(name, of_kind().map(|definition| definition.name.as_str())), elsewhere)
            {
                (_, Some(other)) => format!("`{name}` is a {}", other.kind.as_str()),
                (Some(nearest), None) => format!("did you mean `{nearest}`?"),
                (None, None) if of_kind().next().is_none() => format!("no {} is defined", kind.as_str()),
                (None, None) => {
                    let all: Vec<&str> =
                        of_kind().map(|definition| definition.name.as_str()).take(10).collect();
                    format!("defined are {}", all.join(", "))
                }
            };
            report.error_with(span, message, help);
        }
        found
    }

    /// How a track names a definition: by its name, or with its kind where another kind has that name too.
    pub fn subject(&self, definition: &Definition) -> Subject {
        let shared = |other: &Definition| other.kind != definition.kind && other.name == definition.name;
        Subject::Check(if self.0.iter().any(shared) {
            format!("{} ({})", definition.name, definition.kind.as_str())
        } else {
            definition.name.clone()
        })
    }

    /// The checks that an instance tracks; the others are not run.
    pub fn tracked_by<'i>(
        self,
        instances: impl Iterator<Item = &'i Instance>,
        report: &mut Report,
    ) -> Vec<Check> {
        let tracked: BTreeSet<&str> =
            instances.flat_map(|instance| &instance.tracks).map(|tracked| tracked.subject.name()).collect();
        let mut checks = Vec::new();
        for definition in &self.0 {
            let Some(kind) = definition.what.clone() else { continue };
            let subject = self.subject(definition);
            if tracked.contains(subject.name()) {
                let defined_at = report.place(definition.span);
                checks.push(Check { name: subject.name().to_owned(), kind, defined_at });
            } else if !report.failed() {
                let (kind, name) = (definition.kind.as_str(), &definition.name);
                let message = format!("no instance tracks the {kind} `{name}`, so nobody looks at it");
                report.warn(definition.span, message, "track it in an instance, or remove it");
            }
        }
        checks
    }
}

/// What an instance tracks, without what has no effect, which is reported.
pub(super) fn effective(
    tracked: Vec<(Tracked, Span)>,
    interface: &str,
    priority: Priority,
    report: &mut Report,
) -> Vec<Tracked> {
    let mut kept: Vec<Tracked> = Vec::new();
    for (tracked, span) in tracked {
        let name = tracked.subject.name();
        if kept.iter().any(|earlier| earlier.subject == tracked.subject) {
            let message = format!("`{name}` is tracked twice; this one is not used");
            report.warn(span, message, "the first one counts; remove one of them");
        } else if tracked.subject == Subject::Interface(interface.to_owned()) {
            let message = format!("`{interface}` is the instance's own interface, which has its own rule");
            report.warn(
                span,
                message,
                "remove it: without a carrier there the instance holds no addresses anyway",
            );
        } else if priority == Priority::OWNER && tracked.weight != 0 {
            let message = format!("`{name}` has no effect: the priority 255 of an owner never changes");
            report.warn(span, message, "choose a priority below 255, or the weight 0");
        } else if kept.len() >= MOST_TRACKED {
            report.error(span, format!("an instance tracks at most {MOST_TRACKED} things"));
            return kept;
        } else {
            kept.push(tracked);
        }
    }
    kept
}
