//! May this node take this group? Decided from what is known now, without asking anybody.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use hafleet_fleet::{
    Finding, FindingKind, FindingStatus, NodeName, VrrpState,
    view::{GroupView, MemberView},
};

/// The highest priority that is not an owner's.
const HIGHEST: u8 = 254;
/// The priority of an address owner, who always wins.
const OWNER: u8 = 255;

/// What is asked, and what is known.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The group.
    pub group: &'a GroupView,
    /// Who is to take it.
    pub target: &'a NodeName,
    /// Everything that is open, about whatever.
    pub findings: &'a [Finding],
    /// Nodes that take nothing, each with the order that says so.
    pub held: &'a BTreeMap<NodeName, String>,
}

/// How it can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The target's instances of the group.
    pub instances: Vec<String>,
    /// Higher than what every other member has or could have by itself.
    pub priority: u8,
    /// Who holds the group now.
    pub from: Option<NodeName>,
}

/// Why it cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It holds it. There is nothing to do.
    #[error("{0} holds it already")]
    Holds(NodeName),
    /// It has no instance with these addresses.
    #[error("{node} is no member of {group}; its members are {members}")]
    NotMember {
        /// Who was to take it.
        node: NodeName,
        /// Which group.
        group: String,
        /// Who could.
        members: String,
    },
    /// What is known of it is old.
    #[error("{node} is not heard{}; whether it can serve is not known", for_so_long(*age))]
    NotHeard {
        /// Who.
        node: NodeName,
        /// For how long.
        age: Option<Duration>,
    },
    /// Somebody may hold it who cannot be seen to release it.
    #[error("{other} held it when it was last heard; that it releases it could not be seen")]
    HolderNotHeard {
        /// Who.
        other: NodeName,
    },
    /// The group is in no state to be moved.
    #[error("{id} fires; resolve it first: hactl describe finding {id}")]
    Finding {
        /// Which finding.
        id: String,
    },
    /// It was told to take nothing.
    #[error("{node} is held back by {order}")]
    Held {
        /// Who.
        node: NodeName,
        /// The order's name.
        order: String,
    },
    /// It is not waiting for the address.
    #[error("{node} is {} and not BACKUP ({instance}): {reason}", state.shown())]
    NotBackup {
        /// Who.
        node: NodeName,
        /// Which of its instances.
        instance: String,
        /// What it is.
        state: VrrpState,
        /// Why, with operands.
        reason: String,
    },
    /// Its service interface has no carrier.
    #[error("{interface} of {node} has no carrier")]
    NoCarrier {
        /// Who.
        node: NodeName,
        /// Its service interface.
        interface: String,
    },
    /// Something that it tracks is down.
    #[error("something that {node} tracks is down: its priority is {effective} of {priority} ({instance})")]
    Tracking {
        /// Who.
        node: NodeName,
        /// Which of its instances.
        instance: String,
        /// Now.
        effective: u8,
        /// Configured.
        priority: u8,
    },
    /// It cannot advertise.
    #[error("{interface} of {node} has no address to advertise from")]
    NoAddress {
        /// Who.
        node: NodeName,
        /// Its service interface.
        interface: String,
    },
    /// It has no leg in the network of the address.
    #[error(
        "{node} has {source_address} on {interface}, which is not in the network of {address}/{length}, while {other} has an address there"
    )]
    OtherSubnet {
        /// Who.
        node: NodeName,
        /// Its service interface.
        interface: String,
        /// Where its adverts come from.
        source_address: IpAddr,
        /// The virtual address.
        address: IpAddr,
        /// Its prefix length.
        length: u8,
        /// A member that has one.
        other: NodeName,
    },
    /// Another one owns the address.
    #[error("{other} owns the address (priority 255) and takes it back whenever it is up")]
    Owner {
        /// Who.
        other: NodeName,
    },
    /// There is no priority that is higher.
    #[error("{other} has priority {priority}; nothing below 255 is higher than what it can have")]
    TooHigh {
        /// Who.
        other: NodeName,
        /// Its priority.
        priority: u8,
    },
}

/// Says how the target can take the group, or why not.
///
/// # Errors
/// The first reason against it, the most fundamental first.
pub fn judge(question: &Question<'_>) -> Result<Plan, NotReady> {
    let Question { group, target, findings, held } = *question;
    let (own, others): (Vec<&MemberView>, Vec<&MemberView>) =
        group.members.iter().partition(|member| member.node == *target);
    let Some(first) = own.first() else {
        let mut members: Vec<&str> = others.iter().map(|member| member.node.0.as_str()).collect();
        members.dedup();
        let members = members.join(", ");
        return Err(NotReady::NotMember { node: target.clone(), group: group.key.to_string(), members });
    };
    if let Some(stale) = own.iter().find(|member| !member.fresh) {
        return Err(NotReady::NotHeard { node: target.clone(), age: stale.age });
    }
    if group.holder.as_ref() == Some(target) && own.iter().all(|member| is(member, VrrpState::Master)) {
        return Err(NotReady::Holds(target.clone()));
    }
    if let Some(silent) = others.iter().find(|member| !member.fresh && is(member, VrrpState::Master)) {
        return Err(NotReady::HolderNotHeard { other: silent.node.clone() });
    }
    let subject = group.key.to_string();
    let against = findings.iter().find(|finding| {
        finding.subject == subject && finding.status == FindingStatus::Firing && forbids(finding.kind)
    });
    if let Some(finding) = against {
        return Err(NotReady::Finding { id: finding.id.to_string() });
    }
    if let Some(order) = held.get(target) {
        return Err(NotReady::Held { node: target.clone(), order: order.clone() });
    }
    for member in &own {
        serves(member)?;
    }
    in_the_network(group, first, &others)?;
    Ok(Plan {
        instances: own.iter().map(|member| member.report.instance.clone()).collect(),
        priority: above(&own, &others)?,
        from: group.holder.clone(),
    })
}

/// A group in this trouble is not moved.
fn forbids(kind: FindingKind) -> bool {
    match kind {
        FindingKind::SplitBrainConfirmed
        | FindingKind::SplitBrainSuspected
        | FindingKind::ConfigMismatch
        | FindingKind::Fence => true,
        FindingKind::SplitBrainTransient
        | FindingKind::NoMaster
        | FindingKind::VridConflict
        | FindingKind::OrphanVip
        | FindingKind::AgentLost
        | FindingKind::ConfigRefused
        | FindingKind::OrdersUnreadable
        | FindingKind::FenceRefused
        | FindingKind::FencePathBroken => false,
    }
}

fn is(member: &MemberView, state: VrrpState) -> bool {
    member.report.state == state
}

/// It waits for the address and could serve it.
fn serves(member: &MemberView) -> Result<(), NotReady> {
    let (node, report) = (member.node.clone(), &member.report);
    let interface = report.interface.clone();
    if !report.carrier {
        return Err(NotReady::NoCarrier { node, interface });
    }
    if report.state != VrrpState::Backup {
        let reason = match report.reason_detail.as_str() {
            "" => report.reason.clone(),
            detail => format!("{}: {detail}", report.reason),
        };
        let instance = report.instance.clone();
        return Err(NotReady::NotBackup { node, instance, state: report.state, reason });
    }
    if report.effective_priority < report.priority {
        return Err(NotReady::Tracking {
            node,
            instance: report.instance.clone(),
            effective: report.effective_priority,
            priority: report.priority,
        });
    }
    if report.source.is_none() {
        return Err(NotReady::NoAddress { node, interface });
    }
    Ok(())
}

/// Adverts come from an address of the network that the virtual address is in. Whether that must be so the addresses alone
/// do not tell (an address may stand for itself, /32); but where another member has one, the target needs one too.
fn in_the_network(group: &GroupView, own: &MemberView, others: &[&MemberView]) -> Result<(), NotReady> {
    let Some(source_address) = own.report.source else { return Ok(()) };
    for &(address, length) in
        group.addresses.iter().filter(|(address, length)| address.is_ipv4() && *length < 32)
    {
        let within = |source: IpAddr| same_network(source, address, length);
        let other = others.iter().find(|other| other.fresh && other.report.source.is_some_and(within));
        if let (Some(other), false) = (other, within(source_address)) {
            return Err(NotReady::OtherSubnet {
                node: own.node.clone(),
                interface: own.report.interface.clone(),
                source_address,
                address,
                length,
                other: other.node.clone(),
            });
        }
    }
    Ok(())
}

fn same_network(one: IpAddr, other: IpAddr, length: u8) -> bool {
    let (IpAddr::V4(one), IpAddr::V4(other)) = (one, other) else { return false };
    let mask = u32::MAX.checked_shl(32u32.saturating_sub(u32::from(length))).unwrap_or(0);
    one.to_bits() & mask == other.to_bits() & mask
}

/// A priority that wins against every other member, heard or not: one that is silent here may advertise all the same. What
/// it has when all that it tracks is up counts too, so that its recovery takes nothing back.
fn above(own: &[&MemberView], others: &[&MemberView]) -> Result<u8, NotReady> {
    let could = |member: &MemberView| member.report.effective_priority.max(member.report.priority);
    let least = own.iter().map(|member| could(member)).max().unwrap_or(1).max(1);
    let Some(highest) = others.iter().max_by_key(|member| could(member)) else {
        return Ok(least.min(HIGHEST));
    };
    let priority = could(highest);
    let other = highest.node.clone();
    match priority {
        OWNER => Err(NotReady::Owner { other }),
        HIGHEST => Err(NotReady::TooHigh { other, priority }),
        below => Ok(below.saturating_add(1).max(least).min(HIGHEST)),
    }
}

fn for_so_long(age: Option<Duration>) -> String {
    age.map_or_else(
        || " since the coordinator started".to_owned(),
        |age| format!(", last {} s ago", age.as_secs()),
    )
}

#[cfg(test)]
mod tests;
