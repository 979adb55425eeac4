//! From the file to what one node runs: `[[script]]`, `[[process]]`, `[[file]]` and `[[instance]]` tables of agent.toml.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use crate::{
    keys,
    model::{Address, Check, CheckKind, FleetFile, Group, Member, Settings, Track},
};

impl FleetFile {
    /// The tables of agent.toml for one node; empty when it is a member of nothing. The same file gives the same bytes.
    pub fn compile(&self, node: &str) -> String {
        let memberships: Vec<(&Group, &Member)> = self
            .groups
            .iter()
            .filter_map(|group| {
                group.members.iter().find(|member| member.node == node).map(|member| (group, member))
            })
            .collect();
        let tracks = memberships.iter().flat_map(|(group, member)| group.track.iter().chain(&member.track));
        let tracked: BTreeSet<(CheckKind, &str)> =
            tracks.filter_map(|track| Some((track.kind?, track.name.as_str()))).collect();
        let checks = self
            .checks
            .iter()
            .filter(|check| tracked.contains(&(check.kind, check.name.as_str())))
            .map(check_table);
        let instances = memberships.iter().map(|(group, member)| instance(group, member));
        checks.chain(instances).collect::<Vec<_>>().join("\n")
    }
}

/// One check.
pub(crate) fn check_table(check: &Check) -> String {
    let mut text = format!("[[{}]]\n", check.kind.as_str());
    put(&mut text, "name", &quoted(&check.name));
    let forms = match check.kind {
        CheckKind::Script => keys::SCRIPT,
        CheckKind::Process => keys::PROCESS,
        CheckKind::File => keys::FILE,
    };
    put_settings(&mut text, &check.settings, forms.iter().map(|(key, _)| *key));
    text
}

fn instance(group: &Group, member: &Member) -> String {
    let mut text = "[[instance]]\n".to_owned();
    put(&mut text, "name", &quoted(&group.key.name));
    put(&mut text, "interface", &quoted(&member.interface));
    put(&mut text, "vrid", &group.vrid.to_string());
    put(&mut text, "version", &group.version.to_string());
    put(&mut text, "priority", &member.priority.to_string());
    put(&mut text, "advert_interval", &quoted(&span(group.advert_interval)));
    if let Some(secret) = &group.auth {
        put(&mut text, "auth", &format!("{{ type = \"pass\", secret = {} }}", quoted(&secret.0)));
    }
    let vips: Vec<String> = group.addresses.iter().map(table).collect();
    put(&mut text, "vips", &format!("[{}]", vips.join(", ")));
    if let Some(source) = member.source {
        put(&mut text, "source", &quoted(&source.to_string()));
    }
    if let Some(paths) = &member.paths {
        put(&mut text, "paths", paths);
    }
    let tracked: Vec<&Track> = group.track.iter().chain(&member.track).collect();
    if !tracked.is_empty() {
        put(&mut text, "track", &tracks(&tracked));
    }
    put_settings(&mut text, &group.settings, keys::GROUP_SETTINGS.iter().map(|(key, _)| *key));
    text
}

/// A list of what is tracked.
pub(crate) fn tracks(tracks: &[&Track]) -> String {
    let one = |track: &&Track| {
        let what = track.kind.map_or("interface", CheckKind::as_str);
        let mut text = format!("{{ {what} = {}", quoted(&track.name));
        // What is written into a String does not fail.
        let _ = track.weight.map(|weight| write!(text, ", weight = {weight}"));
        let _ = track.reverse.map(|reverse| write!(text, ", reverse = {reverse}"));
        text.push_str(" }");
        text
    };
    format!("[{}]", tracks.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// An address as a table.
pub(crate) fn table(address: &Address) -> String {
    let mut text = format!("{{ address = {}", quoted(&address.to_string()));
    for (key, _) in keys::ADDRESS {
        let _ = address.settings.get(key).map(|value| write!(text, ", {key} = {value}"));
    }
    text.push_str(" }");
    text
}

/// `key = value`
pub(crate) fn put(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "{key} = {value}");
}

/// Those that are set, in the order of their keys in agent.toml.
pub(crate) fn put_settings(text: &mut String, settings: &Settings, keys: impl Iterator<Item = &'static str>) {
    for key in keys {
        if let Some(value) = settings.get(key) {
            put(text, key, value);
        }
    }
}

/// A string as TOML writes it, in one line.
pub fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A value as TOML writes it, in one line.
pub(crate) fn one_line(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => quoted(text),
        toml::Value::Array(all) => format!("[{}]", all.iter().map(one_line).collect::<Vec<_>>().join(", ")),
        toml::Value::Table(table) => {
            let fields = table.iter().map(|(key, value)| format!("{} = {}", self::key(key), one_line(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => value.to_string(),
    }
}

fn key(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { quoted(key) }
}

/// A duration as `1s` or `100ms`.
pub fn span(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}
