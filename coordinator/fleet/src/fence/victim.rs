//! Who loses (rule 16): always the same one for the same facts, with the reason in words.

use alloc::{format, string::String};
use core::{cmp::Ordering, net::IpAddr};

use super::{
    effect::{Refusal, RefusalCode as Code},
    evidence::{Claimant, Health},
};
use crate::model::NodeName;

/// Who loses and who goes on.
pub(crate) struct Choice<'c, 'a> {
    pub(crate) victim: &'c Claimant<'a>,
    pub(crate) survivor: &'c Claimant<'a>,
    pub(crate) explanation: String,
}

/// What decides, the first difference first; the larger survives.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    pinned: bool,
    /// Only who is heard from can be known to serve (rule 5).
    heard: bool,
    network: bool,
    service: bool,
    witnesses: usize,
    priority: u8,
    address: Option<IpAddr>,
}

/// The victim and the survivor among those who hold the address.
pub(crate) fn choose<'c, 'a>(
    claimants: &'c [Claimant<'a>],
    pin: Option<&NodeName>,
) -> Result<Choice<'c, 'a>, Refusal> {
    let rank = |claimant: &Claimant<'a>| rank(claimant, claimants, pin);
    let by_rank = |a: &&Claimant<'a>, b: &&Claimant<'a>| {
        rank(a).cmp(&rank(b)).then_with(|| a.member.key.cmp(b.member.key))
    };
    let (Some(victim), Some(survivor)) = (claimants.iter().min_by(by_rank), claimants.iter().max_by(by_rank))
    else {
        return Err(Refusal::new(Code::NoVictim, "nobody is seen to hold the address"));
    };
    if victim.member.key.node == survivor.member.key.node {
        return Err(Refusal::new(
            Code::NoVictim,
            format!("no second member of the group is seen to hold the address beside {}", survivor.name()),
        ));
    }
    for other in claimants.iter().filter(|other| other.member.key.node != survivor.member.key.node) {
        agree(&rank(survivor), &rank(other), survivor.name(), other.name())?;
    }
    let explanation = explain(&rank(survivor), &rank(victim), survivor.name(), victim.name());
    Ok(Choice { victim, survivor, explanation })
}

fn rank(claimant: &Claimant<'_>, claimants: &[Claimant<'_>], pin: Option<&NodeName>) -> Rank {
    let is_claimant = |name: &&NodeName| claimants.iter().any(|other| other.name() == *name);
    Rank {
        pinned: pin == Some(claimant.name()),
        heard: claimant.asserts,
        network: claimant.references != Health::Bad,
        // Of one that is not heard from only history is known.
        service: !claimant.asserts || claimant.serves(),
        witnesses: claimant.seen_by.keys().filter(|name| !is_claimant(name)).count(),
        priority: claimant.member.report().effective_priority,
        address: claimant.member.report().source,
    }
}

/// A host that says it is well and that fewer see, against one that says it is not and that more see: somebody is wrong.
fn agree(survivor: &Rank, other: &Rank, winner: &NodeName, loser: &NodeName) -> Result<(), Refusal> {
    let health = |rank: &Rank| (rank.heard, rank.network, rank.service);
    let by_health = health(survivor).cmp(&health(other));
    let by_witnesses = survivor.witnesses.cmp(&other.witnesses);
    let opposed = match (by_health, by_witnesses) {
        (Ordering::Less, Ordering::Greater) | (Ordering::Greater, Ordering::Less) => true,
        (Ordering::Equal, _) | (_, Ordering::Equal) => false,
        (Ordering::Less, Ordering::Less) | (Ordering::Greater, Ordering::Greater) => false,
    };
    if opposed {
        return Err(Refusal::new(
            Code::HealthDisagrees,
            format!(
                "by its health {} should survive, but {winner} is seen by {} witnesses and {loser} by {}",
                if by_health == Ordering::Greater { winner } else { loser },
                survivor.witnesses,
                other.witnesses
            ),
        ));
    }
    Ok(())
}

fn explain(survivor: &Rank, victim: &Rank, winner: &NodeName, loser: &NodeName) -> String {
    if survivor.pinned != victim.pinned {
        format!("{loser} loses: the operator's pin lets {winner} survive")
    } else if survivor.heard != victim.heard {
        format!("{loser} loses: only {winner} is heard from and can be known to serve")
    } else if survivor.network != victim.network {
        format!("{loser} loses: it does not reach its references")
    } else if survivor.service != victim.service {
        format!("{loser} loses: a service that it tracks fails")
    } else if survivor.witnesses != victim.witnesses {
        format!(
            "{loser} loses: it is seen by {} witnesses, {winner} by {}",
            victim.witnesses, survivor.witnesses
        )
    } else if survivor.priority != victim.priority {
        format!("{loser} loses: its priority {} is lower than {}", victim.priority, survivor.priority)
    } else {
        format!("{loser} loses: all else is equal, and its address is the lower one")
    }
}
