//! What differs between two files, by group and member. Passwords are compared and never shown.

use std::{collections::BTreeMap, fmt};

use crate::{
    compile::{check_table, span, tracks},
    model::{CheckKind, FleetFile, Group, GroupKey, Member, Settings, Track},
};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `group dc1/web` or `script nginx`.
    pub subject: String,
    /// The node, when it is about one member only.
    pub node: Option<String>,
    /// What is different.
    pub what: What,
}

/// What is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// One key says something else; empty: it was, or is, not said.
    Changed {
        /// Which.
        key: String,
        /// What it said.
        from: String,
        /// What it says now.
        to: String,
    },
}

impl fmt::Display for Change {
    /// `~ group dc1/web: vrid 51 -> 52`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.what {
            What::Added => '+',
            What::Removed => '-',
            What::Changed { .. } => '~',
        };
        write!(f, "{sign} {}", self.subject)?;
        if let Some(node) = &self.node {
            write!(f, ", member {node}")?;
        }
        let said = |text: &'_ str| if text.is_empty() { "(default)".to_owned() } else { text.to_owned() };
        match &self.what {
            What::Added | What::Removed => Ok(()),
            What::Changed { key, from, to } => write!(f, ": {key} {} -> {}", said(from), said(to)),
        }
    }
}

/// From one file to another: checks, then groups, each in the order of their names.
pub fn diff(from: &FleetFile, to: &FleetFile) -> Vec<Change> {
    let mut changes = Vec::new();
    let checks = |file: &FleetFile| -> BTreeMap<(CheckKind, String), Described> {
        let described = file.checks.iter().map(|check| {
            let settings = check.settings.iter().map(|(key, value)| said(key, value)).collect();
            ((check.kind, check.name.clone()), Described { settings, exact: check_table(check) })
        });
        described.collect()
    };
    let name = |(kind, name): &(CheckKind, String)| format!("{} {name}", kind.as_str());
    compare(&checks(from), &checks(to), name, |_| None, &mut changes);

    let groups = |file: &FleetFile| -> BTreeMap<GroupKey, Described> {
        file.groups.iter().map(|group| (group.key.clone(), described(group))).collect()
    };
    let (old, new) = (groups(from), groups(to));
    compare(&old, &new, |key| format!("group {key}"), |_| None, &mut changes);
    let members = |file: &FleetFile| -> BTreeMap<(GroupKey, String), Described> {
        let all =
            file.groups.iter().flat_map(|group| group.members.iter().map(move |member| (group, member)));
        // A group that is new or gone says so once.
        all.filter(|(group, _)| old.contains_key(&group.key) && new.contains_key(&group.key))
            .map(|(group, member)| ((group.key.clone(), member.node.clone()), own(member)))
            .collect()
    };
    let subject = |(key, _): &(GroupKey, String)| format!("group {key}");
    compare(&members(from), &members(to), subject, |(_, node)| Some(node.clone()), &mut changes);
    // Group by group: what it says, then its members.
    changes.sort_by(|one, other| {
        one.subject
            .starts_with("group ")
            .cmp(&other.subject.starts_with("group "))
            .then_with(|| one.subject.cmp(&other.subject))
    });
    changes
}

/// What can be shown of something, and all of it.
struct Described {
    settings: BTreeMap<String, String>,
    exact: String,
}

fn said(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn described(group: &Group) -> Described {
    let mut settings = plain(&group.settings);
    let addresses: Vec<String> = group.addresses.iter().map(crate::compile::table).collect();
    settings.extend([
        said("vrid", &group.vrid.to_string()),
        said("version", &group.version.to_string()),
        said("advert_interval", &span(group.advert_interval)),
        said("addresses", &addresses_said(group, &addresses)),
        said("track", &tracked(&group.track)),
        said("auth", if group.auth.is_some() { "a password" } else { "" }),
    ]);
    let exact = group.auth.as_ref().map(|secret| secret.0.clone()).unwrap_or_default();
    Described { settings, exact }
}

/// The short form where it says all.
fn addresses_said(group: &Group, tables: &[String]) -> String {
    let one = |(address, table): (&crate::model::Address, &String)| {
        if address.settings.is_empty() { address.to_string() } else { table.clone() }
    };
    group.addresses.iter().zip(tables).map(one).collect::<Vec<_>>().join(", ")
}

fn own(member: &Member) -> Described {
    let settings = BTreeMap::from([
        said("interface", &member.interface),
        said("priority", &member.priority.to_string()),
        said("source", &member.source.map(|source| source.to_string()).unwrap_or_default()),
        said("paths", member.paths.as_deref().unwrap_or_default()),
        said("track", &tracked(&member.track)),
    ]);
    Described { settings, exact: String::new() }
}

fn tracked(all: &[Track]) -> String {
    if all.is_empty() { String::new() } else { tracks(&all.iter().collect::<Vec<_>>()) }
}

fn plain(settings: &Settings) -> BTreeMap<String, String> {
    settings.iter().map(|(key, value)| said(key, value)).collect()
}

fn compare<K: Ord>(
    from: &BTreeMap<K, Described>,
    to: &BTreeMap<K, Described>,
    subject: impl Fn(&K) -> String,
    node: impl Fn(&K) -> Option<String>,
    changes: &mut Vec<Change>,
) {
    let keys: std::collections::BTreeSet<&K> = from.keys().chain(to.keys()).collect();
    for key in keys {
        let mut change = |what| changes.push(Change { subject: subject(key), node: node(key), what });
        match (from.get(key), to.get(key)) {
            (Some(_), None) => change(What::Removed),
            (None, _) => change(What::Added),
            (Some(from), Some(to)) => {
                let keys: std::collections::BTreeSet<&String> =
                    from.settings.keys().chain(to.settings.keys()).collect();
                let mut shown = false;
                for key in keys {
                    let value =
                        |described: &Described| described.settings.get(key).cloned().unwrap_or_default();
                    let (from, to) = (value(from), value(to));
                    if from != to {
                        shown = true;
                        change(What::Changed { key: key.clone(), from, to });
                    }
                }
                if !shown && from.exact != to.exact {
                    let secret = "a password".to_owned();
                    change(What::Changed { key: "auth".into(), from: secret, to: "another password".into() });
                }
            }
        }
    }
}
