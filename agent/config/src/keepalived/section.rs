//! The statements of one block against the keywords that it knows.

use super::{
    keywords::{Place, Takes, Treatment},
    tree::{Block, Statement, Word},
};
use crate::source::{Report, Span};

/// A keyword that is read, with what follows it in the number that it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'s> {
    pub name: &'static str,
    pub span: Span,
    pub args: &'s [Word],
    pub block: Option<&'s Block>,
}

/// What a block says.
#[derive(Debug, Default)]
pub(super) struct Section<'s> {
    /// In the order of the block.
    pub entries: Vec<Entry<'s>>,
    /// Keywords that were meant but misspelt or incomplete, and so reported: nobody needs to miss them as well.
    pub meant: Vec<&'static str>,
}

/// Every keyword of a block that means something here; the rest becomes findings.
pub(super) fn read<'s>(place: Place, statements: &'s [Statement], report: &mut Report) -> Section<'s> {
    let mut section = Section::default();
    for statement in statements {
        let mut rest = Some((&statement.keyword, statement.args.as_slice()));
        while let Some((word, args)) = rest.take() {
            let Some(keyword) = place.keyword(&word.text) else {
                section.meant.extend(unknown(place, word, report));
                break;
            };
            let (takes, about) = match keyword.treatment {
                Treatment::Read { takes, about } => (takes, about),
                Treatment::Satisfied(_) => break,
                Treatment::Inactive(why) => {
                    let message = format!("`{}` is not active: {why}", keyword.name);
                    report.warn(word.span, message, "remove it here, or leave it for keepalived");
                    break;
                }
                Treatment::Unsupported(why) => {
                    let message = format!("`{}` is not supported by this version", keyword.name);
                    report.error_with(word.span, message, why);
                    break;
                }
            };
            let most = match takes {
                // A keyword among the words that need not be is the next one.
                Takes::Words(least, most) => args
                    .iter()
                    .take(most)
                    .enumerate()
                    .find(|(at, word)| *at >= least && !word.quoted && place.keyword(&word.text).is_some())
                    .map_or(most, |(at, _)| at),
                Takes::Line => usize::MAX,
                Takes::NameAndBlock => 1,
                Takes::Block => 0,
            };
            let (own, surplus) = args.split_at_checked(most).unwrap_or((args, &[]));
            rest = surplus_words(place, word, surplus, report);
            let block = if rest.is_none() { statement.block.as_ref() } else { None };
            let entry = Entry { name: keyword.name, span: word.span, args: own, block };
            if complete(entry, takes, about, report) {
                keep(place, entry, &mut section.entries, report);
            } else {
                section.meant.push(keyword.name);
            }
        }
    }
    section
}

/// Reports a keyword that is none here; what it probably was.
fn unknown(place: Place, word: &Word, report: &mut Report) -> Option<&'static str> {
    let message = format!("`{}` is not a keyword {}", word.text, place.name());
    if let Some(elsewhere) = place.elsewhere(&word.text) {
        let help =
            format!("`{}` belongs {}: look for a `}}` too many or missing", word.text, elsewhere.name());
        report.error_with(word.span, message, help);
        return None;
    }
    let nearest = place.nearest(&word.text);
    let help = match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "docs/configuration.md lists every keyword".to_owned(),
    };
    report.error_with(word.span, message, help);
    nearest
}

/// What stands after the words that a keyword takes: another keyword on the same line is read, anything else is not.
fn surplus_words<'s>(
    place: Place,
    keyword: &Word,
    surplus: &'s [Word],
    report: &mut Report,
) -> Option<(&'s Word, &'s [Word])> {
    let (first, others) = surplus.split_first()?;
    if place.keyword(&first.text).is_some() && !first.quoted {
        report.warn(
            first.span,
            format!(
                "`{}` stands on the line of `{}`; keepalived would not read it",
                first.text, keyword.text
            ),
            "write every keyword on a line of its own",
        );
        return Some((first, others));
    }
    let last = others.last().unwrap_or(first);
    report.warn(
        first.span.to(last.span),
        format!("more words than `{}` takes; they are not read", keyword.text),
        "remove them, or put them on a line of their own",
    );
    None
}

fn complete(entry: Entry<'_>, takes: Takes, about: &str, report: &mut Report) -> bool {
    let Entry { name, span, args, block } = entry;
    let (least, wants_block) = match takes {
        Takes::Words(least, _) => (least, false),
        Takes::Line => (1, false),
        Takes::Block => (0, true),
        Takes::NameAndBlock => (1, true),
    };
    if args.len() < least {
        let missing = if wants_block { "its name" } else { "its value" };
        report.error_with(span, format!("`{name}` lacks {missing}"), about);
        return false;
    }
    match (wants_block, block) {
        (true, None) => {
            report.error_with(
                span,
                format!("`{name}` lacks its block"),
                "write `{` after it and `}` at its end",
            );
            false
        }
        (false, Some(block)) => {
            report.error_with(block.open, format!("`{name}` has no block"), about);
            false
        }
        (true, Some(_)) | (false, None) => true,
    }
}

/// The last of several counts, except where several add up.
fn keep<'s>(place: Place, entry: Entry<'s>, entries: &mut Vec<Entry<'s>>, report: &mut Report) {
    let adds_up = place == Place::Top
        || entry.name.starts_with("virtual_ipaddress")
        || entry.name == "unicast_peer"
        || place == Place::Instance && entry.name.starts_with("track_");
    if !adds_up && let Some(at) = entries.iter().position(|earlier| earlier.name == entry.name) {
        let earlier = entries.remove(at);
        let line = report.place(entry.span).line;
        report.warn(
            earlier.span,
            format!("`{}` is written twice; this one is not read", entry.name),
            format!("the last one counts, in line {line}; remove one of them"),
        );
    }
    entries.push(entry);
}
