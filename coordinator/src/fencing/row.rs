//! Operations and the standing as they lie in the store, and their way back into the core's types.
//!
//! What is read back is checked like anything from outside. One row that cannot be read is enough: fencing by halves of what
//! was known could fence twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use hafleet_fleet::{
    GroupKey, NodeName, Site,
    fence::{Acted, Aftercare, Level, Operation, OperationId, Origin, Rung, Standing},
};
use serde::{Deserialize, Serialize};

use crate::{
    clock::{instant, micros},
    finding::{EvidenceRecord, restore_evidence},
    store::{FenceRow, FenceStandingRow},
};

/// The rest of an operation, beside the columns.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OperationBody {
    site: String,
    groups: BTreeSet<String>,
    instances: BTreeSet<String>,
    survivors: BTreeMap<String, String>,
    origin: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    reason: String,
    detail: String,
    explanation: String,
    approved_by: Option<String>,
    approved_up_to: Option<String>,
    taken: Option<String>,
    ordered: bool,
    withdrawn: bool,
    aftercare: String,
    evidence: Vec<EvidenceRecord>,
}

/// The standing, beside the columns.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StandingBody {
    /// The last write's; the column has the newest that was taken.
    epoch: u64,
    last_operation: u64,
    paused: Option<String>,
    forgiven: u64,
    latched: bool,
    latched_groups: BTreeSet<String>,
    denied: BTreeMap<String, String>,
    attempts: BTreeMap<String, u32>,
    acted: Vec<ActedBody>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActedBody {
    operation: u64,
    target: String,
    groups: BTreeSet<String>,
    /// Rows of an older program have none: the mildest.
    #[serde(default)]
    level: Option<String>,
    at_us: i64,
    last_at_us: i64,
    worked: bool,
}

/// A row that this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableFence {
    /// The body is not our JSON.
    #[error("{what} is not readable; was it written by a newer ha-coordinator?")]
    Json {
        /// `fence/17`, or the standing.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A word in it means nothing.
    #[error("{what}: `{word}` is no {field}")]
    Word {
        /// `fence/17`, or the standing.
        what: String,
        /// Which field.
        field: &'static str,
        /// What stands there.
        word: String,
    },
    /// There are more than any coordinator writes.
    #[error("there are more than {0} open fences")]
    TooMany(u32),
}

/// The row of an operation.
///
/// # Errors
/// It cannot be put into JSON, which should not happen.
pub fn operation_row(operation: &Operation, updated_us: i64) -> Result<FenceRow, serde_json::Error> {
    let (origin, by) = match &operation.origin {
        Origin::Detection => ("detection", None),
        Origin::Proposal(by) => ("proposal", Some(by.clone())),
        Origin::Order(by) => ("order", Some(by.clone())),
        Origin::Vouched(by) => ("vouched", Some(by.clone())),
    };
    let body = OperationBody {
        site: operation.site.0.clone(),
        groups: keys(&operation.groups),
        instances: operation.instances.clone(),
        survivors: operation.survivors.iter().map(|(key, node)| (key.to_string(), node.0.clone())).collect(),
        origin: origin.into(),
        by,
        reason: operation.reason.clone(),
        detail: operation.detail.clone(),
        explanation: operation.explanation.clone(),
        approved_by: operation.approved_by.clone(),
        approved_up_to: operation.approved_up_to.map(|level| level.to_string()),
        taken: operation.taken.map(|level| level.to_string()),
        ordered: operation.ordered,
        withdrawn: operation.withdrawn,
        aftercare: aftercare_word(operation.aftercare).into(),
        evidence: operation.evidence.iter().map(EvidenceRecord::from).collect(),
    };
    Ok(FenceRow {
        number: operation.id.0,
        revision: operation.revision,
        epoch: operation.epoch,
        target: operation.target.0.clone(),
        state: operation.state,
        holds_order: operation.ordered && !operation.withdrawn,
        proposed_at_us: micros(operation.proposed_at),
        entered_at_us: micros(operation.entered_at),
        body: serde_json::to_string(&body)?,
        updated_us,
    })
}

/// The row of the standing.
///
/// # Errors
/// It cannot be put into JSON, which should not happen.
pub fn standing_row(standing: &Standing, updated_us: i64) -> Result<FenceStandingRow, serde_json::Error> {
    let acted = standing.acted.iter().map(|acted| ActedBody {
        operation: acted.operation.0,
        target: acted.target.0.clone(),
        groups: keys(&acted.groups),
        level: Some(acted.level.to_string()),
        at_us: micros(acted.at),
        last_at_us: micros(acted.last_at),
        worked: acted.worked,
    });
    let body = StandingBody {
        epoch: standing.epoch,
        last_operation: standing.last_operation,
        paused: standing.paused.clone(),
        forgiven: standing.forgiven.0,
        latched: standing.latched,
        latched_groups: keys(&standing.latched_groups),
        denied: standing.denied.iter().map(|(key, node)| (key.to_string(), node.0.clone())).collect(),
        attempts: standing.attempts.iter().map(|(node, count)| (node.0.clone(), *count)).collect(),
        acted: acted.collect(),
    };
    Ok(FenceStandingRow {
        revision: standing.revision,
        epoch: standing.epoch,
        body: serde_json::to_string(&body)?,
        updated_us,
    })
}

/// The operation of a row.
///
/// # Errors
/// It cannot be read.
pub fn operation(row: &FenceRow) -> Result<Operation, UnreadableFence> {
    let what = || format!("fence/{}", row.number);
    let body: OperationBody =
        serde_json::from_str(&row.body).map_err(|source| UnreadableFence::Json { what: what(), source })?;
    let word = |field, word: &str| UnreadableFence::Word { what: what(), field, word: word.to_owned() };
    let group = |text: &String| group_key(text).ok_or_else(|| word("group", text));
    let level = |text: Option<String>| match text {
        None => Ok(None),
        Some(text) => level(&text).map(Some).ok_or_else(|| word("level", &text)),
    };
    let survivors = body.survivors.into_iter().map(|(key, node)| Ok((group(&key)?, NodeName(node))));
    let origin = match (body.origin.as_str(), body.by) {
        ("detection", None) => Origin::Detection,
        ("proposal", Some(by)) => Origin::Proposal(by),
        ("order", Some(by)) => Origin::Order(by),
        ("vouched", Some(by)) => Origin::Vouched(by),
        (origin, _) => return Err(word("origin", origin)),
    };
    if row.holds_order != (body.ordered && !body.withdrawn) {
        return Err(word("holds_order", &row.holds_order.to_string()));
    }
    Ok(Operation {
        id: OperationId(row.number),
        revision: row.revision,
        epoch: row.epoch,
        target: NodeName(row.target.clone()),
        site: Site(body.site),
        groups: body.groups.iter().map(group).collect::<Result<_, _>>()?,
        instances: body.instances,
        survivors: survivors.collect::<Result<_, _>>()?,
        origin,
        state: row.state,
        entered_at: instant(row.entered_at_us),
        reason: body.reason,
        detail: body.detail,
        explanation: body.explanation,
        proposed_at: instant(row.proposed_at_us),
        approved_by: body.approved_by,
        approved_up_to: level(body.approved_up_to)?,
        taken: level(body.taken)?,
        ordered: body.ordered,
        withdrawn: body.withdrawn,
        aftercare: aftercare(&body.aftercare).ok_or_else(|| word("aftercare", &body.aftercare))?,
        evidence: body.evidence.into_iter().map(restore_evidence).collect(),
    })
}

/// The standing of its row. Before the first write there is none, which is the beginning.
///
/// # Errors
/// It cannot be read.
pub fn standing(row: &FenceStandingRow) -> Result<Standing, UnreadableFence> {
    if row.revision == 0 {
        return Ok(Standing::default());
    }
    let what = || "the standing of fencing".to_owned();
    let body: StandingBody =
        serde_json::from_str(&row.body).map_err(|source| UnreadableFence::Json { what: what(), source })?;
    let word = |field, word: &str| UnreadableFence::Word { what: what(), field, word: word.to_owned() };
    let group = |text: &String| group_key(text).ok_or_else(|| word("group", text));
    if body.epoch > row.epoch {
        return Err(word("epoch", &body.epoch.to_string()));
    }
    let acted = body.acted.into_iter().map(|acted| {
        Ok(Acted {
            operation: OperationId(acted.operation),
            target: NodeName(acted.target),
            groups: acted.groups.iter().map(group).collect::<Result<_, _>>()?,
            level: match acted.level {
                None => Level::Demote,
                Some(text) => level(&text).ok_or_else(|| word("level", &text))?,
            },
            at: instant(acted.at_us),
            last_at: instant(acted.last_at_us),
            worked: acted.worked,
        })
    });
    let denied = body.denied.into_iter().map(|(key, node)| Ok((group(&key)?, NodeName(node))));
    Ok(Standing {
        revision: row.revision,
        epoch: body.epoch,
        last_operation: body.last_operation,
        paused: body.paused,
        forgiven: OperationId(body.forgiven),
        latched: body.latched,
        latched_groups: body.latched_groups.iter().map(group).collect::<Result<_, _>>()?,
        denied: denied.collect::<Result<_, _>>()?,
        attempts: body.attempts.into_iter().map(|(node, count)| (NodeName(node), count)).collect(),
        acted: acted.collect::<Result<_, _>>()?,
    })
}

/// The group of `dc1/192.168.178.3`.
pub fn group_key(text: &str) -> Option<GroupKey> {
    let (site, address) = text.rsplit_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    (!site.is_empty()).then(|| GroupKey { site: Site(site.to_owned()), address })
}

/// The level of a word.
pub fn level(word: &str) -> Option<Level> {
    match word {
        "demote" => Some(Level::Demote),
        "network" => Some(Level::Device(Rung::Network)),
        "power" => Some(Level::Device(Rung::Power)),
        _ => None,
    }
}

/// The stable word.
pub const fn aftercare_word(aftercare: Aftercare) -> &'static str {
    match aftercare {
        Aftercare::Pending => "pending",
        Aftercare::Done => "done",
        Aftercare::Escalated => "escalated",
    }
}

fn aftercare(word: &str) -> Option<Aftercare> {
    [Aftercare::Pending, Aftercare::Done, Aftercare::Escalated]
        .into_iter()
        .find(|aftercare| aftercare_word(*aftercare) == word)
}

fn keys(groups: &BTreeSet<GroupKey>) -> BTreeSet<String> {
    groups.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hafleet_fleet::{Evidence, fence::FenceState};

    use super::*;

    fn key(text: &str) -> GroupKey {
        group_key(text).unwrap()
    }

    fn whole() -> Operation {
        let (group, other) = (key("dc1/192.168.178.3"), key("dc1/2001:db8::3"));
        Operation {
            id: OperationId(17),
            revision: 99,
            epoch: 3,
            target: NodeName("lb02".into()),
            site: Site("dc1".into()),
            groups: [group.clone(), other.clone()].into(),
            instances: ["VI_1".to_owned()].into(),
            survivors: [(group, NodeName("lb01".into())), (other, NodeName("lb03".into()))].into(),
            origin: Origin::Proposal("user/ann".into()),
            state: FenceState::Verifying(Rung::Power),
            entered_at: instant(1_795_000_000_000_002),
            reason: "allowed".into(),
            detail: "every gate is open".into(),
            explanation: "lb02 loses".into(),
            proposed_at: instant(1_795_000_000_000_001),
            approved_by: Some("user/eve".into()),
            approved_up_to: Some(Level::Device(Rung::Power)),
            taken: Some(Level::Demote),
            ordered: true,
            withdrawn: false,
            aftercare: Aftercare::Escalated,
            evidence: vec![Evidence {
                kind: "fence_claimant",
                node: Some(NodeName("lb02".into())),
                at: instant(1_795_000_000_000_000),
                summary: "lb02 asserts MASTER".into(),
                facts: BTreeMap::from([("address", "192.168.178.3".to_owned())]),
            }],
        }
    }

    #[test]
    fn an_operation_is_read_back_whole() {
        let origins = [
            Origin::Detection,
            Origin::Proposal("user/ann".into()),
            Origin::Order("user/ann".into()),
            Origin::Vouched("user/ann".into()),
        ];
        for (state, origin) in FenceState::ALL.into_iter().zip(origins.into_iter().cycle()) {
            let one = Operation { state, origin, ..whole() };
            assert_eq!(operation(&operation_row(&one, 5).unwrap()).unwrap(), one);
        }
        let bare = Operation {
            groups: BTreeSet::new(),
            survivors: BTreeMap::new(),
            approved_by: None,
            approved_up_to: None,
            taken: None,
            withdrawn: true,
            aftercare: Aftercare::Done,
            evidence: Vec::new(),
            ..whole()
        };
        assert_eq!(operation(&operation_row(&bare, 5).unwrap()).unwrap(), bare);
    }

    #[test]
    fn the_standing_is_read_back_whole_and_begins_with_nothing() {
        let group = key("dc1/10.0.0.1");
        let one = Standing {
            revision: 7,
            epoch: 2,
            last_operation: 17,
            paused: Some("user/ann".into()),
            forgiven: OperationId(4),
            latched: true,
            latched_groups: [group.clone()].into(),
            denied: [(group.clone(), NodeName("lb01".into()))].into(),
            attempts: [(NodeName("lb02".into()), 3)].into(),
            acted: vec![Acted {
                operation: OperationId(5),
                target: NodeName("lb02".into()),
                groups: [group].into(),
                level: Level::Device(Rung::Power),
                at: instant(1),
                last_at: instant(2),
                worked: true,
            }],
        };
        let row = standing_row(&one, 5).unwrap();
        assert_eq!(standing(&row).unwrap(), one);
        // Another coordinator has taken an epoch since: what was written keeps its own.
        assert_eq!(standing(&FenceStandingRow { epoch: 9, ..row }).unwrap(), one);
        let none = FenceStandingRow { revision: 0, epoch: 4, body: String::new(), updated_us: 0 };
        assert_eq!(standing(&none).unwrap(), Standing::default());
    }

    #[test]
    fn what_no_program_of_ours_writes_is_refused() {
        let row = operation_row(&whole(), 5).unwrap();
        for (old, new, expected) in [
            ("\"taken\":\"demote\"", "\"taken\":\"shoot\"", "fence/17: `shoot` is no level"),
            ("\"origin\":\"proposal\"", "\"origin\":\"detection\"", "fence/17: `detection` is no origin"),
            ("dc1/2001:db8::3\":\"lb03", "2001:db8::3\":\"lb03", "fence/17: `2001:db8::3` is no group"),
            ("\"withdrawn\":false", "\"withdrawn\":true", "fence/17: `true` is no holds_order"),
            ("escalated", "later", "fence/17: `later` is no aftercare"),
            (
                "\"site\":",
                "\"sight\":",
                "fence/17 is not readable; was it written by a newer ha-coordinator?",
            ),
        ] {
            let body = row.body.replace(old, new);
            assert_ne!(body, row.body, "{old}");
            let error = operation(&FenceRow { body, ..row.clone() }).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        let empty = FenceStandingRow { revision: 1, epoch: 1, body: "{}".into(), updated_us: 0 };
        assert!(standing(&empty).is_err(), "an empty standing would forget every attempt");
    }
}
