//! The election told in words.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::cmp::Reverse;

use crate::{
    fleet::Fleet,
    model::{GroupKey, VrrpState},
    scene::{Member, Scene},
    time::Instant,
    words::{in_brackets, list, span},
};

/// Sentences about the group that this address belongs to.
pub(crate) fn group(fleet: &Fleet, group: &GroupKey, now: Instant) -> Option<Vec<String>> {
    let key = fleet.index.unit_of(group)?;
    let scene = fleet.scene(&key, now)?;
    let mut sentences = Vec::from([who(&scene)]);
    sentences.extend(holders(&scene));
    let mut others: Vec<&Member<'_>> = scene.members.iter().filter(|member| !member.is_master()).collect();
    others.sort_by_key(|member| (Reverse(member.report().effective_priority), member.key));
    sentences.extend(others.iter().map(|member| other(&scene, member)));
    sentences.extend(successor(&scene));
    sentences.extend(patience(&scene));
    for finding in fleet.ledger.about(scene.subject) {
        sentences.push(format!(
            "{} ({}, {}) since {}: {}.",
            finding.kind,
            finding.severity,
            finding.status,
            span(now.since(finding.since)),
            finding.summary
        ));
        if !finding.cause.is_empty() {
            sentences.push(format!("Probable cause [{}]: {}.", finding.cause_code, finding.cause));
        }
        if !finding.action.is_empty() {
            sentences.push(format!("What to do: {}.", finding.action));
        }
    }
    Some(sentences)
}

fn who(scene: &Scene<'_>) -> String {
    let addresses = list(scene.shape.addresses.iter());
    let members = list(scene.members.iter().map(Member::name));
    let alone =
        if scene.members.len() == 1 { "; it has no second member, so nobody can take over" } else { "" };
    format!(
        "{} in {} is the group of {addresses}; its members are {members}{alone}.",
        scene.name(),
        scene.key.site
    )
}

fn holders(scene: &Scene<'_>) -> Vec<String> {
    let claims = scene.claims();
    let sentences = claims.iter().map(|claim| {
        let report = claim.report();
        let present =
            if claim.has(scene.key.address) { "" } else { "; its kernel does not have the address" };
        format!(
            "{} is MASTER since {}, with priority {}: {}{}{present}.",
            claim.name(),
            span(scene.now.since(claim.instance.entered)),
            priority(claim),
            reason(report.reason.as_str()),
            in_brackets(&report.reason_detail)
        )
    });
    let mut sentences: Vec<String> = sentences.collect();
    match claims.len() {
        0 if scene.all_fresh() => sentences.push("Nobody is MASTER, and every member says so.".to_string()),
        0 => {
            sentences.push("Nobody that is heard is MASTER; who holds the address is not known.".to_string())
        }
        1 => {}
        _ => sentences
            .push(format!("{} assert MASTER at the same time.", list(claims.iter().map(Member::name)))),
    }
    sentences
}

fn other(scene: &Scene<'_>, member: &Member<'_>) -> String {
    let (name, report) = (member.name(), member.report());
    if !member.fresh {
        let state = member.last_known().state;
        let age = match scene.age(member) {
            Some(age) => format!("its last word is {} old", span(age)),
            None => "it has not been heard since the coordinator's start".to_string(),
        };
        let stopped = if member.node.was_stopped() { ", and it was being stopped" } else { "" };
        return format!(
            "{name} is stale: {age}. It was {} then{stopped}; that is not counted.",
            state.shown()
        );
    }
    let since = span(scene.now.since(member.instance.entered));
    let why = format!("{}{}", reason(report.reason.as_str()), in_brackets(&report.reason_detail));
    match report.state {
        VrrpState::Backup => {
            format!("{name} follows as BACKUP since {since}, with priority {}: {why}.", priority(member))
        }
        VrrpState::Fault => format!("{name} cannot serve: FAULT since {since}: {why}."),
        VrrpState::Init => format!("{name} does not take part: INIT since {since}: {why}."),
        VrrpState::Master => format!("{name} is MASTER on another instance of the same host."),
    }
}

/// Who takes over if the holder fails.
fn successor(scene: &Scene<'_>) -> Option<String> {
    let claims = scene.claims();
    let [holder] = claims.as_slice() else { return None };
    let ready = scene.members.iter().filter(|member| {
        member.fresh && member.report().state == VrrpState::Backup && member.key.node != holder.key.node
    });
    let next = ready.max_by_key(|member| (member.report().effective_priority, member.report().source));
    Some(match next {
        Some(next) => format!(
            "If {} failed, {} would take over after about {} (its Master_Down time), with priority {}; if {} were stopped \
             in order, within its skew time.",
            holder.name(),
            next.name(),
            span(next.report().master_down),
            priority(next),
            holder.name()
        ),
        None => format!("If {} failed, nobody could take over now.", holder.name()),
    })
}

/// Why a better member lets the holder be.
fn patience(scene: &Scene<'_>) -> Vec<String> {
    let claims = scene.claims();
    let [holder] = claims.as_slice() else { return Vec::new() };
    let better = scene.members.iter().filter(|member| {
        let report = member.report();
        let waits = member.fresh && report.state == VrrpState::Backup;
        waits && report.effective_priority > holder.report().effective_priority
    });
    better
        .map(|member| {
            let (name, holder) = (member.name(), holder.name());
            if member.report().preempt {
                format!("{name} has the higher priority and takes over as soon as its timer or its preempt delay ends.")
            } else {
                format!("{name} has the higher priority, but lets {holder} be: nopreempt.")
            }
        })
        .collect()
}

fn priority(member: &Member<'_>) -> String {
    let report = member.report();
    if report.priority == report.effective_priority {
        report.priority.to_string()
    } else {
        format!("{} ({} configured)", report.effective_priority, report.priority)
    }
}

/// The reason codes of docs/operations.md in words; an unknown one as it is.
fn reason(code: &str) -> &str {
    match code {
        "" => "no reason was given",
        "started" => "it was started",
        "address_owner" => "it is the address owner (priority 255)",
        "stopped" => "it was stopped",
        "master_down" => "no master was heard for Master_Down",
        "master_resigned" => "the master before it resigned",
        "preempted" => "it has a better priority than the master before it",
        "higher_priority_heard" => "a master with a higher priority was heard",
        "higher_address_heard" => "a master with the same priority and a higher address was heard",
        "link_no_carrier" => "its service interface has no carrier",
        "link_admin_down" => "its service interface is administratively down",
        "link_missing" => "its service interface does not exist",
        "link_no_address" => "its service interface has no address to send from",
        "link_only_virtual" => {
            "its service interface has only an address that is configured as a virtual one"
        }
        "link_virtual_mac" => "the interface of its virtual MAC cannot be had",
        "link_restored" => "its service interface works again",
        "address_refused" => "its kernel refused the address",
        "address_contested" => "somebody removes its address as often as it is put back",
        "retry" => "it tried again after a refusal",
        "held" => "it is held back by instruction",
        "unheld" => "it is no longer held back",
        "isolated" => "its host has no network",
        "reconnected" => "its host has a network again",
        "took_over" => "it was ordered to take over",
        "adopted" => "its agent started and found the addresses on the host, and nobody else was heard",
        "track_failed" => "something that it tracks fails",
        "tracks_restored" => "nothing that it tracks fails any more",
        "reconfigured" => "a new configuration made it possible",
        other => other,
    }
}
