//! `hactl config import`: from the keepalived.conf of every host to one file for all.

use std::path::PathBuf;

use hafleet_config::{AgentConfig, Language, Place, load_elsewhere};
use hafleet_fleetfile::{Address, At, FleetFile, Group, Severity, Track, lint, parse};

use super::draft;
use crate::{exit::Exit, failure::Failure, invocation::Invocation, look::clean, shape};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
The file goes to standard output. Where hosts disagree about what members of a group must agree on, the first one's \
word stands in it, and each disagreement is told on standard error. Instances belong together when they share an \
advertised address, else when they have one name. Comments are not taken over, nor who runs scripts.

Exit code 0 when the hosts agree, 1 when they do not, 2 when a file cannot be used. No coordinator is asked.

Examples:
  hactl config import lb01=lb01.conf lb02=lb02.conf --site dc1 >fleet.toml
  hactl config import lb01=lb01.conf lb02=lb02.conf | hactl config validate -")]
pub struct Args {
    /// What each node runs now: its name and a copy of its keepalived.conf
    #[arg(required = true, value_parser = parse_host, value_name = "NODE=FILE")]
    hosts: Vec<Host>,

    /// Their layer-2 world
    #[arg(long, default_value = "default", value_name = "SITE")]
    site: String,
}

/// One host.
#[derive(Clone, Debug)]
struct Host {
    node: String,
    file: PathBuf,
}

fn parse_host(text: &str) -> Result<Host, String> {
    match text.split_once('=') {
        Some((node, file)) if !node.is_empty() && !file.is_empty() => {
            Ok(Host { node: node.to_owned(), file: PathBuf::from(file) })
        }
        Some(_) | None => Err("write NODE=FILE, as in lb01=/etc/keepalived/keepalived.conf".to_owned()),
    }
}

/// What comes together.
#[derive(Default)]
struct Import {
    file: FleetFile,
    /// Where each group's first member is written.
    first: Vec<(String, Place)>,
    disagreements: Vec<String>,
    remarks: Vec<String>,
}

pub fn run(args: &Args, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut import = Import::default();
    for (index, host) in args.hosts.iter().enumerate() {
        if args.hosts.iter().take(index).any(|other| other.node == host.node) {
            return Err(Failure::usage(
                format!("{} is named twice", clean(&host.node)),
                "Name each node with its own file.",
            ));
        }
        let loaded = load_elsewhere(Language::KeepalivedConf, &host.file).map_err(|error| {
            Failure::usage(
                format!("{}: {}", clean(&host.node), error_lines(&error.to_string())),
                "Correct the file: keepalived would not take it either, or say which keyword it needs.",
            )
        })?;
        import.remarks.extend(loaded.findings.iter().map(|finding| finding.to_string()));
        import.host(&host.node, &args.site, &loaded.config);
    }
    import.gather();
    let text = import.file.to_string();
    // What is read back has places, and is what the coordinator will judge.
    let problems = match parse(&text) {
        Ok(file) => lint(&file, None),
        Err(problems) => problems,
    };
    let is_wrong = problems.iter().any(|problem| problem.severity == Severity::Error);
    import.remarks.extend(problems.iter().map(|problem| format!("in the new file: {problem}")));
    let imported = shape::Imported { text, disagreements: import.disagreements, remarks: import.remarks };
    if invocation.is_for_people() {
        for line in imported.remarks.iter().chain(&imported.disagreements) {
            invocation.note(&clean(line));
        }
    }
    invocation.object(&imported, || imported.text.clone())?;
    Ok(if is_wrong || !imported.disagreements.is_empty() { Exit::Unhealthy } else { Exit::Fine })
}

impl Import {
    fn host(&mut self, node: &str, site: &str, config: &AgentConfig) {
        for check in &config.checks {
            let new = draft::check(check);
            let known =
                self.file.checks.iter().find(|known| known.kind == new.kind && known.name == new.name);
            match known {
                None => self.file.checks.push(new),
                Some(known) if known.settings == new.settings => {}
                Some(_) => self.disagreements.push(format!(
                    "{}: the {} `{}` is not what it is on an earlier host, whose word stands",
                    check.defined_at,
                    new.kind.as_str(),
                    new.name
                )),
            }
        }
        for instance in &config.instances {
            let (new, remarks) = draft::group(node, site, instance, &config.checks);
            self.remarks
                .extend(remarks.into_iter().map(|remark| format!("{}: {remark}", instance.defined_at)));
            match self.same(node, &new) {
                Some(index) => self.join(index, new, node, &instance.defined_at),
                None => {
                    self.first.push((node.to_owned(), instance.defined_at.clone()));
                    self.file.groups.push(self.named(new));
                }
            }
        }
    }

    /// The group of other hosts that this is a member of: one address is enough, else the name.
    fn same(&self, node: &str, new: &Group) -> Option<usize> {
        let is_free = |group: &&Group| group.members.iter().all(|member| member.node != node);
        let shares = |group: &Group| {
            let advertised = |group: &Group| -> Vec<_> {
                group
                    .addresses
                    .iter()
                    .filter(|address| address.is_advertised())
                    .map(|address| address.address)
                    .collect()
            };
            let own = advertised(new);
            advertised(group).iter().any(|address| own.contains(address))
        };
        let find = |is: &dyn Fn(&Group) -> bool| {
            self.file.groups.iter().position(|group| is_free(&group) && is(group))
        };
        find(&shares).or_else(|| find(&|group| group.key == new.key && group.is_ipv6() == new.is_ipv6()))
    }

    /// Two groups cannot have one name.
    fn named(&self, mut new: Group) -> Group {
        let name = new.key.name.clone();
        let mut number = 1_u32;
        while self.file.groups.iter().any(|group| group.key == new.key) {
            number = number.saturating_add(1);
            new.key.name = format!("{name}-{number}");
        }
        new
    }

    fn join(&mut self, index: usize, mut new: Group, node: &str, place: &Place) {
        let Some(((first, first_place), group)) = self.first.get(index).zip(self.file.groups.get_mut(index))
        else {
            return;
        };
        let addresses = |group: &Group| -> Vec<String> {
            let mut all: Vec<String> = group.addresses.iter().map(whole).collect();
            all.sort();
            all
        };
        let (own, theirs) = (addresses(group), addresses(&new));
        let only = |one: &[String], other: &[String]| -> String {
            let all = one.iter().filter(|address| !other.contains(address));
            let all: Vec<&str> = all.map(String::as_str).collect();
            if all.is_empty() { "nothing else".to_owned() } else { all.join(", ") }
        };
        let mut differs = vec![
            ("name", group.key.name.clone(), new.key.name.clone()),
            ("vrid", group.vrid.to_string(), new.vrid.to_string()),
            ("version", group.version.to_string(), new.version.to_string()),
            ("advert_interval", format!("{:?}", group.advert_interval), format!("{:?}", new.advert_interval)),
            ("addresses", only(&own, &theirs), only(&theirs, &own)),
        ];
        if group.auth != new.auth {
            let said = |is_set: bool| if is_set { "a password" } else { "none" }.to_owned();
            let (one, other) = (said(group.auth.is_some()), said(new.auth.is_some()));
            let other = if one == other { "another password".to_owned() } else { other };
            differs.push(("auth", one, other));
        }
        let keys: std::collections::BTreeSet<&str> =
            group.settings.keys().chain(new.settings.keys()).copied().collect();
        let said = |group: &Group, key: &str| {
            group.settings.get(key).cloned().unwrap_or_else(|| "the default".to_owned())
        };
        differs.extend(keys.into_iter().map(|key| (key, said(group, key), said(&new, key))));
        for (key, one, other) in differs.into_iter().filter(|(_, one, other)| one != other) {
            self.disagreements.push(format!(
                "{place}: `{key}` of {} is {one} on {first} ({first_place}), but {other} on {node}",
                group.key.name
            ));
        }
        group.members.append(&mut new.members);
    }

    /// What every member of a group tracks is the group's.
    fn gather(&mut self) {
        for group in &mut self.file.groups {
            let Some((first, others)) = group.members.split_first() else { continue };
            let shared: Vec<Track> = first
                .track
                .iter()
                .filter(|track| others.iter().all(|member| member.track.contains(track)))
                .cloned()
                .collect();
            for member in &mut group.members {
                member.track.retain(|track| !shared.contains(track));
            }
            group.track = shared;
            group.at = At::default();
        }
    }
}

/// An address with all that is said of it.
fn whole(address: &Address) -> String {
    let others = address.settings.iter().map(|(key, value)| format!(" {key} {value}"));
    format!("{address}{}", others.collect::<String>())
}

/// Findings of a file on lines of their own; each is cleaned where it is printed.
fn error_lines(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("; ")
}
