//! Who commits at the same time: as many as can, and never so many that a group could lose all of its members to one mistake.
//!
//! ```text
//! group of one holder and backups:   one backup ─► the other backups ─► the holder
//! ```
//!
//! Groups that share no member do not wait for each other. Each wave settles before the next: a mistake is met by one
//! backup of a group, while its holder and the others run what they ran before.

use std::collections::{BTreeMap, BTreeSet};

use hafleet_fleetfile::GroupKey;

/// Nodes of one wave. Many: every wave takes its time to settle, and all of them together have no more than a node waits to be
/// confirmed.
pub const WAVE_MAX: usize = 512;

/// A node that is ready to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Which.
    pub node: String,
    /// The groups that it is a member of, with whether it holds their addresses.
    pub groups: BTreeMap<GroupKey, bool>,
    /// It holds something that the change touches.
    pub waits: bool,
}

/// The next to commit, in the order given; never none of some. `proven`: groups of which a member runs the change and came
/// well out of it.
pub fn next(ready: &[Ready], proven: &BTreeSet<GroupKey>) -> Vec<String> {
    // While one of them holds nothing, the holders wait.
    let all_wait = ready.iter().all(|one| one.waits);
    // Groups with members in the wave, and whether one of these is the holder.
    let mut taken: BTreeMap<&GroupKey, bool> = BTreeMap::new();
    let mut wave = Vec::new();
    for one in ready.iter().filter(|one| one.waits == all_wait) {
        let is_safe = |(group, holds): (&GroupKey, &bool)| match taken.get(group) {
            None => true,
            Some(with_holder) => proven.contains(group) && !with_holder && !holds,
        };
        if wave.len() < WAVE_MAX && one.groups.iter().all(is_safe) {
            for (group, holds) in &one.groups {
                *taken.entry(group).or_default() |= holds;
            }
            wave.push(one.node.clone());
        }
    }
    wave
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> GroupKey {
        GroupKey { site: "dc1".into(), name: name.into() }
    }

    /// Holds all of the groups that are touched, or none.
    fn ready(node: &str, groups: &[&str], holds: bool) -> Ready {
        let groups = groups.iter().map(|name| (group(name), holds)).collect();
        Ready { node: node.into(), groups, waits: holds }
    }

    fn proven(groups: &[&str]) -> BTreeSet<GroupKey> {
        groups.iter().map(|name| group(name)).collect()
    }

    #[test]
    fn one_backup_then_the_others_then_the_holder() {
        let (holder, others) = (ready("a", &["web"], true), ["b", "c", "d"]);
        let mut all = vec![holder.clone()];
        all.extend(others.map(|name| ready(name, &["web"], false)));
        assert_eq!(next(&all, &proven(&[])), ["b"]);
        all.remove(1);
        assert_eq!(next(&all, &proven(&["web"])), ["c", "d"]);
        assert_eq!(next(&[holder], &proven(&["web"])), ["a"]);
    }

    #[test]
    fn groups_do_not_wait_for_each_other() {
        let all: Vec<Ready> = (0..50)
            .map(|number| ready(&format!("lb{number:02}"), &[&format!("g{}", number / 2)], number % 2 == 0))
            .collect();
        let backups = next(&all, &proven(&[]));
        assert_eq!(backups.len(), 25);
        assert!(backups.iter().all(|name| name.ends_with(['1', '3', '5', '7', '9'])), "{backups:?}");
        let rest: Vec<Ready> = all.into_iter().filter(|one| !backups.contains(&one.node)).collect();
        assert_eq!(next(&rest, &proven(&[])).len(), 25, "the holders, one of each group");
    }

    #[test]
    fn holders_of_one_group_never_commit_together() {
        // Each holds one of the two and backs the other up.
        let all = [ready("a", &["web", "db"], true), ready("b", &["web", "db"], true)];
        assert_eq!(next(&all, &proven(&["web", "db"])), ["a"]);
        // b has another group in common with c, which a knows nothing of.
        let chain =
            [ready("a", &["x"], false), ready("b", &["x", "y"], false), ready("c", &["y", "z"], false)];
        assert_eq!(next(&chain, &proven(&[])), ["a", "c"]);
        assert_eq!(next(&chain, &proven(&["x"])), ["a", "b"]);
    }

    #[test]
    fn holders_of_other_groups_wait_for_no_more_than_their_own() {
        // Each holds a group of its own; all are members of "ten", which the last one holds.
        let mut all: Vec<Ready> =
            ["a", "b", "c", "d"].map(|name| ready(name, &[name, "ten"], true)).into_iter().collect();
        for one in &mut all {
            one.groups.insert(group("ten"), one.node == "d");
        }
        assert_eq!(next(&all, &proven(&[])), ["a"], "nobody has tried it");
        assert_eq!(next(&all[1..], &proven(&["ten"])), ["b", "c"], "its holder commits with no other member");
        assert_eq!(next(&all[3..], &proven(&["ten"])), ["d"]);
    }

    #[test]
    fn a_wave_has_a_bound_and_is_never_empty() {
        let all: Vec<Ready> = (0..=WAVE_MAX).map(|number| ready(&number.to_string(), &[], false)).collect();
        assert_eq!(next(&all, &proven(&[])).len(), WAVE_MAX);
        for holds in [false, true] {
            let one = ready("a", &["web"], holds);
            assert_eq!(next(&[one.clone(), one], &proven(&[])), ["a"]);
        }
        assert!(next(&[], &proven(&[])).is_empty());
    }
}
