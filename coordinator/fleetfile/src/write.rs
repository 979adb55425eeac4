//! The file in its one form: comments and order of keys are not kept.

use std::fmt;

use crate::{
    compile::{check_table, put, put_settings, quoted, span, table, tracks},
    keys,
    model::{Address, FleetFile, Group, Member},
};

impl fmt::Display for FleetFile {
    /// A text that [`parse`](crate::parse) reads back as the same groups and checks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks = self.checks.iter().map(check_table);
        let tables: Vec<String> = checks.chain(self.groups.iter().map(group)).collect();
        f.write_str(&tables.join("\n"))
    }
}

fn group(group: &Group) -> String {
    let mut text = "[[group]]\n".to_owned();
    put(&mut text, "name", &quoted(&group.key.name));
    put(&mut text, "site", &quoted(&group.key.site));
    put(&mut text, "vrid", &group.vrid.to_string());
    put(&mut text, "version", &group.version.to_string());
    put(&mut text, "advert_interval", &quoted(&span(group.advert_interval)));
    if let Some(secret) = &group.auth {
        put(&mut text, "auth", &format!("{{ type = \"pass\", secret = {} }}", quoted(&secret.0)));
    }
    let addresses: Vec<String> = group.addresses.iter().map(address).collect();
    put(&mut text, "addresses", &format!("[{}]", addresses.join(", ")));
    if !group.track.is_empty() {
        put(&mut text, "track", &tracks(&group.track.iter().collect::<Vec<_>>()));
    }
    put_settings(&mut text, &group.settings, keys::GROUP_SETTINGS.iter().map(|(key, _)| *key));
    let members: String = group.members.iter().map(member).collect();
    text + &members
}

fn address(address: &Address) -> String {
    if address.settings.is_empty() { quoted(&address.to_string()) } else { table(address) }
}

fn member(member: &Member) -> String {
    let mut lines = String::new();
    put(&mut lines, "node", &quoted(&member.node));
    put(&mut lines, "interface", &quoted(&member.interface));
    put(&mut lines, "priority", &member.priority.to_string());
    if let Some(source) = member.source {
        put(&mut lines, "source", &quoted(&source.to_string()));
    }
    if let Some(paths) = &member.paths {
        put(&mut lines, "paths", paths);
    }
    if !member.track.is_empty() {
        put(&mut lines, "track", &tracks(&member.track.iter().collect::<Vec<_>>()));
    }
    let indented: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!("  [[group.member]]\n{indented}")
}
