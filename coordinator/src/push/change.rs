//! What a new file changes of a fleet that runs.

use std::collections::{BTreeMap, BTreeSet};

use hafleet_fleetfile::{Change, FleetFile, Group, GroupKey, Member, Problem, What, diff};

/// Keys whose change lets nobody move: the present holder goes on.
const STILL: [&str; 10] = [
    "lease",
    "announcing",
    "addresses",
    "advert_interval",
    "accept",
    "answers_lower",
    "answers_higher",
    "checksum",
    "unicast_ttl",
    "preempt_delay",
];

/// What an apply touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Groups that are not what they were, with whether their holder may change by it.
    pub groups: BTreeMap<GroupKey, bool>,
    /// Every member of them, before or after.
    pub nodes: BTreeSet<String>,
    /// The subjects of findings about them: `dc1/192.168.178.3`, `node/lb01`.
    pub subjects: BTreeSet<String>,
}

/// Every group of either file that a node is a member of, by node: touched or not, members of one group depend on each other.
pub fn memberships(from: &FleetFile, to: &FleetFile) -> BTreeMap<String, BTreeSet<GroupKey>> {
    let mut memberships: BTreeMap<String, BTreeSet<GroupKey>> = BTreeMap::new();
    for group in from.groups.iter().chain(&to.groups) {
        for member in &group.members {
            memberships.entry(member.node.clone()).or_default().insert(group.key.clone());
        }
    }
    memberships
}

/// Compares what runs with what is to run.
pub fn touched(from: &FleetFile, to: &FleetFile) -> Touched {
    let mut touched = Touched::default();
    let changes = diff(from, to);
    let both = || from.groups.iter().chain(&to.groups);
    // A check counts for every group: what it decides is who holds.
    let check_changed = changes.iter().any(|change| !change.subject.starts_with("group "));
    for group in both() {
        let subject = format!("group {}", group.key);
        let own: Vec<&Change> = changes.iter().filter(|change| change.subject == subject).collect();
        if own.is_empty() && !check_changed {
            continue;
        }
        let moves = check_changed || own.iter().any(|change| is_moving(change));
        touched.add(group, moves);
    }
    touched
}

impl Touched {
    /// A node that runs something else than either file has for it: what it is a member of may change in any way when it runs
    /// the new one, also where the files do not differ.
    pub fn add_drifted(&mut self, node: &str, from: &FleetFile, to: &FleetFile) {
        self.add_node(node);
        let is_member = |group: &&Group| group.members.iter().any(|member| member.node == node);
        for group in from.groups.iter().chain(&to.groups).filter(is_member) {
            self.add(group, true);
        }
    }

    fn add(&mut self, group: &Group, moves: bool) {
        *self.groups.entry(group.key.clone()).or_default() |= moves;
        for member in &group.members {
            self.add_node(&member.node);
        }
        let addresses =
            group.addresses.iter().map(|address| format!("{}/{}", group.key.site, address.address));
        self.subjects.extend(addresses);
    }

    fn add_node(&mut self, node: &str) {
        self.nodes.insert(node.to_owned());
        self.subjects.insert(format!("node/{node}"));
    }
}

fn is_moving(change: &Change) -> bool {
    match &change.what {
        What::Added | What::Removed => true,
        What::Changed { key, .. } => change.node.is_some() || !STILL.contains(&key.as_str()),
    }
}

/// What cannot be changed on one node after the other: in between members would be deaf to each other, and both hold the
/// addresses.
pub fn together(from: &FleetFile, to: &FleetFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    for group in &to.groups {
        let Some(old) = from.groups.iter().find(|old| old.key == group.key) else { continue };
        let staying = |node: &str| old.members.iter().find(|member| member.node == node);
        let stay: Vec<_> =
            group.members.iter().filter_map(|member| Some((staying(&member.node)?, member))).collect();
        if stay.len() < 2 {
            continue;
        }
        let unicast_changes = stay.iter().any(|(old, new)| is_unicast(old) != is_unicast(new));
        let keys = deafening(old, group).into_iter().chain(unicast_changes.then_some("paths"));
        for key in keys {
            let message = format!(
                "`{key}` of {} cannot be changed on one member after the other: they would not hear each other in \
                 between, and both hold the addresses",
                group.key
            );
            let help = "apply the group with one member, then the new value, then the other members again";
            problems.push(Problem::error(group.at, message, help));
        }
    }
    problems
}

/// Whether adverts on the service interface go to peers only. Further heartbeat lines may come, go and change: on that one they still
/// hear each other.
fn is_unicast(member: &Member) -> bool {
    let Some(paths) = &member.paths else { return false };
    // It was read before; what is no TOML is refused by every agent.
    let table: toml::Table = toml::from_str(&format!("paths = {paths}")).unwrap_or_default();
    let lines = table.get("paths").and_then(toml::Value::as_array).into_iter().flatten();
    let is_service = |line: &&toml::Value| {
        line.get("interface").and_then(toml::Value::as_str) == Some(member.interface.as_str())
    };
    let peers = lines.filter(is_service).filter_map(|line| line.get("peers")?.as_array());
    peers.into_iter().any(|peers| !peers.is_empty())
}

fn deafening(old: &Group, new: &Group) -> Vec<&'static str> {
    let interval = old.advert_interval != new.advert_interval && (old.version == 2 || new.version == 2);
    let all = [
        ("vrid", old.vrid != new.vrid),
        ("version", old.version != new.version),
        ("auth", old.auth != new.auth),
        ("advert_interval", interval),
    ];
    all.into_iter().filter_map(|(key, changes)| changes.then_some(key)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hafleet_fleetfile::parse;

    use super::*;

    const FILE: &str = "[[group]]\nname = \"web\"\nsite = \"dc1\"\nvrid = 51\nversion = 2\nadvert_interval = \"1s\"\nlease = \"3s\"\n\
        addresses = [\"192.168.178.3/24\"]\n\
        [[group.member]]\nnode = \"lb01\"\ninterface = \"ens33\"\npriority = 150\n\
        [[group.member]]\nnode = \"lb02\"\ninterface = \"ens33\"\npriority = 100\n";

    fn changed(from: &str, to: &str) -> (FleetFile, FleetFile) {
        let text = FILE.replacen(from, to, 1);
        assert_ne!(text, FILE);
        (parse(FILE).unwrap(), parse(&text).unwrap())
    }

    #[test]
    fn what_makes_members_deaf_to_each_other_is_refused() {
        for (from, to, key) in [
            ("vrid = 51", "vrid = 52", "`vrid`"),
            ("version = 2", "version = 3", "`version`"),
            ("\"1s\"", "\"2s\"", "`advert_interval`"),
            ("vrid = 51", "vrid = 51\nauth = { type = \"pass\", secret = \"1\" }", "`auth`"),
            (
                "priority = 100",
                "priority = 100\npaths = [{ interface = \"ens33\", peers = [\"10.0.0.1\"] }]",
                "`paths`",
            ),
        ] {
            let (old, new) = changed(from, to);
            let found = together(&old, &new);
            assert!(found.first().is_some_and(|problem| problem.message.contains(key)), "{to}: {found:?}");
        }
        let (old, new) = changed("priority = 100", "priority = 90");
        assert!(together(&old, &new).is_empty());
        // On the service interface they hear each other as before, whatever other lines there are.
        let second = "priority = 100\npaths = [{ interface = \"hb0\", peers = [\"10.9.0.1\"] }]";
        let (old, with_second) = changed("priority = 100", second);
        assert!(together(&old, &with_second).is_empty());
        assert!(together(&with_second, &old).is_empty());
        // A second line by unicast does not make up for a service interface that was.
        let unicast = "priority = 100\npaths = [{ interface = \"ens33\", peers = [\"10.0.0.1\"] }]";
        let (_, unicast) = changed("priority = 100", unicast);
        assert_eq!(together(&unicast, &with_second).len(), 1);
        // A member alone hears nobody that could be deaf.
        let (old, new) = changed("node = \"lb02\"", "node = \"lb03\"");
        let mut other_vrid = new.clone();
        other_vrid.groups.iter_mut().for_each(|group| group.vrid = 52);
        assert!(together(&old, &other_vrid).is_empty());
        let mut version_3 = old.clone();
        version_3.groups.iter_mut().for_each(|group| group.version = 3);
        let mut slower = version_3.clone();
        slower.groups.iter_mut().for_each(|group| group.advert_interval *= 2);
        assert!(together(&version_3, &slower).is_empty(), "version 3 learns the interval");
    }

    #[test]
    fn who_may_move_is_told_apart() {
        for (from, to, moves) in [
            ("lease = \"3s\"", "lease = \"5s\"", false),
            ("178.3/24", "178.4/24", false),
            ("priority = 100", "priority = 200", true),
            ("node = \"lb02\"", "node = \"lb03\"", true),
            ("lease = \"3s\"", "preempt = false", true),
        ] {
            let (old, new) = changed(from, to);
            let touched = touched(&old, &new);
            assert_eq!(touched.groups.values().copied().collect::<Vec<_>>(), [moves], "{to}");
            assert!(touched.subjects.contains("dc1/192.168.178.3") && touched.subjects.contains("node/lb01"));
        }
        let same = parse(FILE).unwrap();
        assert_eq!(touched(&same, &same), Touched::default());
    }

    #[test]
    fn what_a_drifted_node_is_a_member_of_is_touched() {
        let same = parse(FILE).unwrap();
        let mut drifted = Touched::default();
        drifted.add_drifted("lb02", &same, &same);
        assert_eq!(drifted.groups.values().copied().collect::<Vec<_>>(), [true]);
        assert_eq!(drifted.nodes, BTreeSet::from(["lb01".to_owned(), "lb02".to_owned()]));
        let subjects = ["dc1/192.168.178.3", "node/lb01", "node/lb02"].map(str::to_owned);
        assert_eq!(drifted.subjects, BTreeSet::from(subjects));
        // It is a member of nothing any more.
        let mut ghost = Touched::default();
        ghost.add_drifted("lb09", &same, &same);
        assert_eq!((ghost.groups.len(), ghost.subjects), (0, BTreeSet::from(["node/lb09".to_owned()])));
    }
}
