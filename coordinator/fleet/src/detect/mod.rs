//! The judges: one file for each kind of finding. Each looks at one group (or node) as it is now and says whether its
//! kind is so; [`crate::ledger`] makes findings of it.

pub(crate) mod config;
pub(crate) mod conflict;
pub(crate) mod lost;
pub(crate) mod no_master;
pub(crate) mod orders;
pub(crate) mod orphan;
pub(crate) mod refused;
pub(crate) mod rejection;
pub(crate) mod rivals;
pub(crate) mod split_brain;
pub(crate) mod vigil;

use alloc::{borrow::ToOwned, collections::BTreeMap, string::String};

use crate::{effect::Evidence, model::NodeName, scene::Scene, time::Instant};

/// The earlier of two wake-ups.
pub(crate) fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (Some(only), None) | (None, Some(only)) => Some(only),
        (None, None) => None,
    }
}

/// Since when there have been such lines without a pause: from the first packet, when there were none before.
pub(crate) fn first(
    since: Option<Instant>,
    scene: &Scene<'_>,
    lines: &[&rejection::Line<'_>],
) -> Option<Instant> {
    let first = lines.iter().map(|line| line.last(scene)).min()?;
    Some(since.unwrap_or(first))
}

/// One fact.
pub(crate) fn fact<const N: usize>(
    kind: &'static str,
    node: Option<&NodeName>,
    at: Instant,
    summary: String,
    facts: [(&'static str, String); N],
) -> Evidence {
    Evidence { kind, node: node.map(ToOwned::to_owned), at, summary, facts: BTreeMap::from(facts) }
}
