//! `track`: what an instance tracks.

use super::{
    check,
    instance::interface,
    keys::Keys,
    value::{self, Field},
};
use crate::{
    checks::{Definitions, Kind},
    source::{Report, Span},
    track::{Subject, Tracked},
};

const EXPECTED: &str = "a list of tables such as { script = \"nginx\", weight = -60 }";

/// Reads the list; `None` with an error. The instance's own interface may stand in it: it is tracked anyway.
pub(super) fn read(
    field: Field<'_>,
    service: &str,
    definitions: &Definitions,
    report: &mut Report,
) -> Option<Vec<(Tracked, Span)>> {
    let (mut good, mut all) = (true, Vec::new());
    for element in value::list(field, EXPECTED, report) {
        let span = element.span;
        match tracked(element, definitions, report) {
            Some(tracked) if is_own(&tracked, service) => {}
            Some(tracked) => all.push((tracked, span)),
            None => good = false,
        }
    }
    good.then_some(all)
}

fn is_own(tracked: &Tracked, service: &str) -> bool {
    tracked.subject == Subject::Interface(service.to_owned()) && tracked.weight == 0 && !tracked.reverse
}

fn tracked(element: Field<'_>, definitions: &Definitions, report: &mut Report) -> Option<Tracked> {
    let at = element.span;
    let (mut subject, mut weight, mut reverse) = (None, None, None);
    let mut defaults = (0, false);
    for field in value::table(element, Keys::Track, EXPECTED, report)? {
        let kind = match field.key.as_str() {
            "weight" => {
                weight = Some(check::weight(field, report)?);
                continue;
            }
            "reverse" => {
                reverse = Some(value::scalar(field, "true or false", report)?);
                continue;
            }
            "script" => Some(Kind::Script),
            "process" => Some(Kind::Process),
            "file" => Some(Kind::File),
            _ => None,
        };
        if subject.is_some() {
            let message = "an element of `track` names one thing";
            report.error_with(field.key_span, message, "write another element for the second");
            return None;
        }
        let span = field.span;
        subject = Some(match kind {
            None => Subject::Interface(interface(field, report)?),
            Some(kind) => {
                let name: String = value::scalar(field, "a string", report)?;
                let definition = definitions.find(kind, &name, span, report)?;
                defaults = (definition.weight, definition.reverse);
                definitions.subject(definition)
            }
        });
    }
    let Some(subject) = subject else {
        let help = "write `interface`, `script`, `process` or `file` with a name";
        report.error_with(at, "this element of `track` names nothing", help);
        return None;
    };
    Some(Tracked { subject, weight: weight.unwrap_or(defaults.0), reverse: reverse.unwrap_or(defaults.1) })
}
