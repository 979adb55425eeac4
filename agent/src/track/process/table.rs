//! Which processes each check counts. Pure: events and identities come in, verdicts come out.

use std::collections::{BTreeMap, BTreeSet};

use hafleet_vrrp::Instant;

use super::{
    CheckId, ProcessEntry,
    identity::{Identity, NAME_LEN},
    quorum::{Cause, Quorum},
};
use crate::config::track::{ParameterMatch, ProcessCheck};

/// What happened to a process; threads are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// `child` is a copy of `parent`.
    Forked {
        /// Who forked.
        parent: u32,
        /// The new one.
        child: u32,
    },
    /// It became another program, or took another name; this is what it is now, `None`: it is gone already.
    Became(u32, Option<Identity>),
    /// It ended.
    Ended(u32),
}

/// Every process check and the processes that match it.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<CheckId, Row>,
}

#[derive(Debug)]
struct Row {
    check: ProcessCheck,
    pids: BTreeSet<u32>,
    quorum: Quorum,
}

impl Table {
    /// Makes these the checks; one that was there before stays as it is. True when there are new ones, and
    /// [`Self::scanned`] is due.
    pub(super) fn set(&mut self, entries: &[ProcessEntry]) -> bool {
        self.rows.retain(|id, _| entries.iter().any(|entry| entry.id == *id));
        let known = self.rows.len();
        for ProcessEntry { id, check } in entries {
            self.rows.entry(*id).or_insert_with(|| Row {
                quorum: Quorum::new(check),
                check: check.clone(),
                pids: BTreeSet::new(),
            });
        }
        self.rows.len() > known
    }

    /// Whether any check looks at command lines.
    pub(super) fn wants_command_lines(&self) -> bool {
        self.rows.values().any(|row| by_command_line(&row.check))
    }

    /// Every process was looked at.
    pub(super) fn scanned(&mut self, everybody: &[(u32, Identity)], now: Instant) {
        for row in self.rows.values_mut() {
            let matching = everybody.iter().filter(|(_, identity)| is_match(&row.check, identity));
            row.pids = matching.map(|(pid, _)| *pid).collect();
            row.recount(Cause::Scan, now);
        }
    }

    /// One event; whether it was of a process that some check counts.
    pub(super) fn happened(&mut self, happening: &Happening, now: Instant) -> bool {
        let mut is_counted = false;
        for row in self.rows.values_mut() {
            let (has_changed, cause) = match happening {
                Happening::Forked { parent, child } => {
                    (row.pids.contains(parent) && row.pids.insert(*child), Cause::Fork)
                }
                Happening::Became(pid, Some(identity)) if is_match(&row.check, identity) => {
                    (row.pids.insert(*pid), Cause::Change)
                }
                Happening::Became(pid, Some(_)) => (row.pids.remove(pid), Cause::Change),
                Happening::Became(pid, None) | Happening::Ended(pid) => (row.pids.remove(pid), Cause::Exit),
            };
            if has_changed {
                row.recount(cause, now);
                is_counted = true;
            }
        }
        is_counted
    }

    /// What time brings.
    pub(super) fn pass(&mut self, now: Instant) {
        for row in self.rows.values_mut() {
            row.quorum.pass(now);
        }
    }

    /// When [`Self::pass`] is to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.rows.values().filter_map(|row| row.quorum.deadline()).min()
    }

    /// How each check is; those of which nothing is known yet are left out.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = (CheckId, bool, String)> {
        self.rows.iter().filter_map(|(id, row)| Some((*id, row.quorum.is_up()?, row.quorum.detail())))
    }

    /// Every process that some check counts.
    pub(super) fn pids(&self) -> BTreeSet<u32> {
        self.rows.values().flat_map(|row| row.pids.iter().copied()).collect()
    }
}

impl Row {
    fn recount(&mut self, cause: Cause, now: Instant) {
        self.quorum.count(u32::try_from(self.pids.len()).unwrap_or(u32::MAX), cause, now);
    }
}

fn by_command_line(check: &ProcessCheck) -> bool {
    check.full_command || check.parameters.is_some()
}

fn is_match(check: &ProcessCheck, identity: &Identity) -> bool {
    if !by_command_line(check) {
        let name = check.command.rsplit('/').next().unwrap_or_default().as_bytes();
        return identity.name == name.get(..NAME_LEN).unwrap_or(name);
    }
    let Some((program, arguments)) = identity.command_line.split_first() else { return false };
    program == check.command.as_bytes()
        && check.parameters.as_ref().is_none_or(|parameters| match parameters {
            ParameterMatch::Exact(wanted) => equal(arguments, wanted),
            ParameterMatch::Partial(wanted) => {
                arguments.get(..wanted.len()).is_some_and(|first| equal(first, wanted))
            }
            ParameterMatch::Initial(wanted) => match wanted.split_last() {
                None => true,
                Some((last, wanted)) => {
                    arguments.get(..wanted.len()).is_some_and(|first| equal(first, wanted))
                        && arguments
                            .get(wanted.len())
                            .is_some_and(|argument| argument.starts_with(last.as_bytes()))
                }
            },
        })
}

fn equal(arguments: &[Vec<u8>], wanted: &[String]) -> bool {
    arguments.iter().map(Vec::as_slice).eq(wanted.iter().map(String::as_bytes))
}

#[cfg(test)]
mod tests;
