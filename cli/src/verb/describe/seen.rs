//! What is seen of a group now, and how old that is: below `hactl describe group|finding|fence`.

use crate::{
    grid::{Column, grid},
    look::{Look, Tone, or_nothing},
    paragraphs::section,
    shape::{Clock, Reference, Seen, Witnessed},
    verb::get::offset,
};

const NOBODY_WAS_ASKED: &str =
    "nobody was asked since the coordinator started; `hactl describe group NAME --probe` asks\n";

/// Every table, each under its heading.
pub fn seen(look: &Look, seen: &Seen) -> String {
    let nobody_was_asked = seen.witnesses.is_empty() && !seen.clocks.is_empty();
    let witnesses =
        if nobody_was_asked { NOBODY_WAS_ASKED.to_owned() } else { witnesses(look, &seen.witnesses) };
    let mut text = section("WHO ANSWERS FOR IT", &witnesses);
    text.push_str(&section("WHO HEARS WHOM", &heard(look, seen)));
    text.push_str(&section("REFERENCES", &references(look, &seen.references)));
    text.push_str(&section("CLOCKS", &clocks(look, &seen.clocks)));
    text
}

/// Who answered, asked by whom.
pub fn witnesses(look: &Look, witnesses: &[Witnessed]) -> String {
    let columns = [
        Column::Free("ASKED BY"),
        Column::Free("ADDRESS"),
        Column::Wide("INTERFACE"),
        Column::Free("ANSWERED BY"),
        Column::Fixed("ASKED"),
    ];
    let rows = witnesses.iter().map(|seen| {
        let macs = seen.macs.iter().map(|mac| match &mac.node {
            Some(node) => format!("{} ({node})", mac.mac),
            None => format!("{} (not a known member)", mac.mac),
        });
        let macs: Vec<String> = macs.collect();
        let (tone, answered) = match (&seen.error, macs.as_slice()) {
            (Some(error), _) => (Tone::Doubtful, format!("not asked: {error}")),
            (None, []) => (Tone::Plain, "nobody".to_owned()),
            (None, [_]) => (Tone::Plain, macs.join("\n")),
            (None, [_, _, ..]) => (Tone::Bad, macs.join("\n")),
        };
        vec![
            look.text(&seen.node),
            look.text(&seen.address),
            look.text(&seen.interface),
            look.cell(tone, &answered),
            look.text(&look.age(us(seen.age_ms))),
        ]
    });
    grid(look, &columns, rows.collect())
}

fn heard(look: &Look, seen: &Seen) -> String {
    let columns = [
        Column::Free("BY"),
        Column::Free("SOURCE"),
        Column::Fixed("VRID"),
        Column::Free("PRIORITY"),
        Column::Fixed("LAST"),
        Column::Free("ACCEPTED"),
        Column::Free("REJECTED FOR"),
    ];
    let rows = seen.heard.iter().map(|heard| {
        let (node, heard) = (&heard.node, &heard.heard);
        let rejected: Vec<String> = heard
            .rejections
            .iter()
            .map(|rejection| {
                let age =
                    rejection.age_ms.map_or_else(|| "before the restart".to_owned(), |age| look.age(us(age)));
                format!("{} x{}, {age}", rejection.reason, rejection.count)
            })
            .collect();
        let tone = if rejected.is_empty() { Tone::Plain } else { Tone::Doubtful };
        let age = heard.age_ms.map(|age| look.age(us(age))).unwrap_or_default();
        vec![
            look.text(node),
            look.text(&heard.source),
            look.text(&heard.vrid.to_string()),
            look.text(&heard.priority.to_string()),
            look.text(&age),
            look.text(&heard.accepted.to_string()),
            look.cell(tone, or_nothing(&rejected.join("\n"))),
        ]
    });
    grid(look, &columns, rows.collect())
}

/// What is reached, from where.
pub fn references(look: &Look, references: &[Reference]) -> String {
    let columns = [
        Column::Free("FROM"),
        Column::Free("ADDRESS"),
        Column::Wide("INTERFACE"),
        Column::Fixed("ANSWERS"),
        Column::Fixed("ASKED"),
    ];
    let rows = references.iter().map(|reference| {
        let (tone, answers) = if reference.reachable { (Tone::Plain, "yes") } else { (Tone::Bad, "no") };
        let age = reference.age_ms.map(|age| look.age(us(age))).unwrap_or_default();
        vec![
            look.text(reference.node.as_deref().unwrap_or("coordinator")),
            look.text(&reference.address),
            look.text(reference.interface.as_deref().unwrap_or_default()),
            look.cell(tone, answers),
            look.text(&age),
        ]
    });
    grid(look, &columns, rows.collect())
}

fn clocks(look: &Look, clocks: &[Clock]) -> String {
    let columns = [Column::Free("NODE"), Column::Free("OFFSET"), Column::Fixed("MEASURED")];
    let rows = clocks.iter().map(|clock| {
        let age = clock.age_ms.map(|age| look.age(us(age))).unwrap_or_default();
        vec![look.text(&clock.node), look.text(&offset(clock)), look.text(&age)]
    });
    grid(look, &columns, rows.collect())
}

fn us(ms: u64) -> u64 {
    ms.saturating_mul(1000)
}
