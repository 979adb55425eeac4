//! What a coordinator ordered and pushed.

use std::fmt::Write;

use super::{duration, plain, trimmed};
use crate::local::{OrdersPart, PushedPart, ReferencePart};

/// The standing orders; `None` when there are none.
pub(super) fn orders(orders: &OrdersPart, width: u16) -> Option<String> {
    if orders.standing.is_empty() {
        return None;
    }
    let mut table = plain(width, &["ORDER", "WHAT", "INSTANCES", "UNTIL", "BY", "WHY"]);
    for order in &orders.standing {
        let what = match order.priority {
            Some(priority) => format!("{} {priority}", order.what),
            None => order.what.clone(),
        };
        let instances = match order.instances.as_slice() {
            [] => "all".to_owned(),
            some => some.join(", "),
        };
        let until = order.until.clone().unwrap_or_else(|| "withdrawn".to_owned());
        table.add_row([&order.id, &what, &instances, &until, &order.by, &order.why]);
    }
    Some(trimmed(&table))
}

/// In a few words; `None` when nothing was ever pushed.
pub(super) fn pushed_lines(pushed: &PushedPart) -> Option<String> {
    if *pushed == PushedPart::default() {
        return None;
    }
    let mut text = match pushed.generation {
        Some(generation) => format!("generation {generation} runs"),
        None => "no generation runs".to_owned(),
    };
    match pushed.confirm_left_ms {
        Some(left_ms) => {
            let _ = write!(text, ", NOT CONFIRMED: it is given up in {}", duration(left_ms));
        }
        None if pushed.generation.is_some() => text.push_str(", confirmed"),
        None => {}
    }
    if let Some(staged) = pushed.staged_generation {
        let _ = write!(text, "; {staged} is staged");
    }
    if let (Some(given_up), Some(why)) = (pushed.rolled_back_generation, &pushed.rolled_back_why) {
        let _ = write!(text, "\n         {given_up} was given up: {why}");
    }
    Some(text)
}

/// Each in a few words.
pub(super) fn reference_lines(references: &[ReferencePart]) -> String {
    let line = |one: &ReferencePart| {
        let on = one.interface.as_ref().map(|interface| format!(" on {interface}")).unwrap_or_default();
        let how = match (one.reachable, &one.error) {
            (true, _) => "answers".to_owned(),
            (false, None) => "DOES NOT ANSWER".to_owned(),
            (false, Some(error)) => format!("CANNOT BE ASKED: {error}"),
        };
        format!("{}{on} {how}", one.address)
    };
    references.iter().map(line).collect::<Vec<_>>().join("\n         ")
}
