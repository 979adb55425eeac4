//! Who was heard, and what was wrong with it.

use std::cmp::Reverse;

use super::{duration, plain, trimmed};
use crate::local::{HeardPart, RejectedPart};

/// Sources shown to people. `ha-agent status -o json` has them all.
const SOURCES_SHOWN: usize = 32;

/// Every source, the most important first; `None` when nobody was heard.
pub(super) fn table(heard: &[HeardPart], width: u16) -> Option<String> {
    if heard.is_empty() {
        return None;
    }
    let header = ["HEARD FROM", "ON", "VRID", "VRRP", "AUTH", "PRIORITY", "LAST", "ACCEPTED", "REJECTED"];
    let mut table = plain(width, &header);
    for one in ranked(heard) {
        let vrid =
            if one.vrid_configured { one.vrid.to_string() } else { format!("{} (not ours)", one.vrid) };
        let rejected: u64 = one.rejected.iter().map(|rejected| rejected.count).sum();
        table.add_row([
            one.source.clone(),
            one.interface.clone(),
            vrid,
            format!("v{}", one.version),
            one.auth.clone(),
            one.priority.to_string(),
            format!("{} ago", duration(one.age_ms)),
            one.accepted.to_string(),
            rejected.to_string(),
        ]);
    }
    let mut text = trimmed(&table);
    if heard.len() > SOURCES_SHOWN {
        let more = heard.len() - SOURCES_SHOWN;
        text.push_str(&format!("\n… and {more} more sources: ha-agent status -o json"));
    }
    Some(text)
}

/// What was rejected, or accepted although it is odd, with the value heard and ours; `None` when nothing was.
pub(super) fn rejections(heard: &[HeardPart], width: u16) -> Option<String> {
    let mut table =
        plain(width, &["NOT AS EXPECTED", "FROM", "ON", "VRID", "COUNT", "LAST", "WHAT WAS HEARD, AND OURS"]);
    for one in ranked(heard) {
        let mut add = |what: &str, counted: &RejectedPart| {
            table.add_row([
                format!("{what} {}", counted.reason),
                one.source.clone(),
                one.interface.clone(),
                one.vrid.to_string(),
                counted.count.to_string(),
                format!("{} ago", duration(counted.age_ms)),
                counted.detail.clone(),
            ]);
        };
        one.rejected.iter().for_each(|counted| add("rejected:", counted));
        one.remarked.iter().for_each(|counted| add("accepted:", counted));
    }
    (!table.is_empty()).then(|| trimmed(&table))
}

/// Those of our VRIDs first, then those that were believed, then the last heard.
fn ranked(heard: &[HeardPart]) -> impl Iterator<Item = &HeardPart> {
    let mut ranked: Vec<&HeardPart> = heard.iter().collect();
    if ranked.len() > SOURCES_SHOWN {
        ranked.sort_by_key(|one| (Reverse((one.vrid_configured, one.accepted > 0)), one.age_ms));
    }
    ranked.into_iter().take(SOURCES_SHOWN)
}
