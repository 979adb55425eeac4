//! `track_script`, `track_process`, `track_file` and `track_interface`.

use super::{
    super::{address, check, tree::Block, tree::Statement, value},
    Draft,
};
use crate::{
    checks::Kind,
    source::Report,
    track::{Subject, Tracked},
};

impl Draft<'_> {
    /// Takes the lines of one block; `None` for interfaces.
    pub(super) fn track(&mut self, kind: Option<Kind>, block: &Block, report: &mut Report) {
        for line in &block.statements {
            if let Some(block) = &line.block {
                report.error_with(block.open, "what is tracked has no block", "write one name on a line");
            }
            if let Some(tracked) = self.tracked(kind, line, report) {
                self.tracks.push((tracked, line.keyword.span));
            }
        }
    }

    /// `NAME [weight NUMBER [reverse|noreverse]]`.
    fn tracked(&self, kind: Option<Kind>, line: &Statement, report: &mut Report) -> Option<Tracked> {
        let name = &line.keyword;
        let most = if matches!(kind, Some(Kind::Process | Kind::File)) { 254 } else { 253 };
        let (weight, reverse) = options(line, most, report)?;
        let Some(kind) = kind else {
            let subject = Subject::Interface(address::interface("track_interface", name, report)?);
            return Some(Tracked { subject, weight: weight.unwrap_or(0), reverse: reverse.unwrap_or(false) });
        };
        let definition = self.definitions.find(kind, value::bare(name, report), name.span, report)?;
        Some(Tracked {
            subject: self.definitions.subject(definition),
            weight: weight.unwrap_or(definition.weight),
            reverse: reverse.unwrap_or(definition.reverse),
        })
    }
}

fn options(line: &Statement, most: i16, report: &mut Report) -> Option<(Option<i16>, Option<bool>)> {
    let Some((option, args)) = line.args.split_first() else { return Some((None, None)) };
    match value::bare(option, report) {
        "weight" if args.is_empty() => {
            report.error_with(
                option.span,
                "`weight` lacks its value",
                "write a number, such as `weight -20`",
            );
            None
        }
        "weight" => {
            if let Some(surplus) = args.get(2) {
                report.error(surplus.span, format!("`{}` is not known after a weight", surplus.text));
                return None;
            }
            check::weight(args, most, report).map(|(weight, reverse)| (Some(weight), reverse))
        }
        "reverse" if args.is_empty() => {
            let message = "`reverse` without `weight`; keepalived would not read it";
            report.warn(option.span, message, "write the weight before it");
            Some((None, Some(true)))
        }
        other => {
            let message = format!("`{other}` is not known after what is tracked");
            report.error_with(
                option.span,
                message,
                "expected `weight`; every name stands on a line of its own",
            );
            None
        }
    }
}
