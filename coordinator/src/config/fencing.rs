//! `[fencing]`: what may be fenced, by what, and how carefully.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    time::Duration,
};

use hafleet_fleet::{
    GroupKey, NodeName,
    fence::{Device, FenceLimits, FencePolicy, FenceWindows, Mode, Rung},
};
use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::raw::{Reader, nearest};
use crate::{
    actuator::program::Value,
    fencing::row::group_key,
    identity,
    sealing::{FENCE_PARAMETER, PREFIX, SealError, Sealing, is_sealed},
};

/// Where a reference is tried when no port is named.
pub const REFERENCE_PORT: u16 = 443;
/// More tell no more.
const REFERENCES_MAX: usize = 16;
/// Bytes of a secret; a longer file is a mistake.
const SECRET_MAX: u64 = 4096;

const KEYS: &[&str] = &[
    "mode",
    "groups",
    "pins",
    "coordinator_hosts",
    "database_hosts",
    "protected_nodes",
    "protected_labels",
    "labels",
    "references",
    "limits",
    "windows",
    "device",
];
const LIMIT_KEYS: &[&str] = &[
    "observers",
    "unreachable_percent",
    "references",
    "references_of",
    "active",
    "group_rate",
    "fleet_rate",
    "attempts",
    "polls",
];
const WINDOW_KEYS: &[&str] = &[
    "demote_confirm",
    "confirm",
    "reprobe",
    "observed",
    "grace",
    "cool_down",
    "recent",
    "rate",
    "demote",
    "step",
    "poll",
    "act",
    "escalate",
    "path",
    "aftercare",
    "references",
];
const DEVICE_KEYS: &[&str] = &["node", "rung", "name", "program", "parameters"];
const SECRET_KEYS: &[&str] = &["file", "sealed"];
const MODES: &[(&str, Mode)] = &[
    ("disabled", Mode::Disabled),
    ("dry_run", Mode::DryRun),
    ("approve", Mode::Approve),
    ("auto", Mode::Auto),
];

/// Everything about fencing.
#[derive(Clone, Debug, Default)]
pub struct Fencing {
    /// What the core goes by.
    pub policy: FencePolicy,
    /// What the policy's devices are.
    pub devices: Vec<FenceDevice>,
    /// Whom the coordinator must reach to be believed that others are unreachable.
    pub references: Vec<SocketAddr>,
}

/// What can fence a node beside its own agent.
#[derive(Clone, Debug)]
pub struct FenceDevice {
    /// Whom.
    pub node: NodeName,
    /// How hard.
    pub rung: Rung,
    /// Two of one name are never used at once.
    pub name: Device,
    /// The fence program.
    pub program: PathBuf,
    /// What it is told, secrets read; those of `sealed` once they are opened.
    pub parameters: BTreeMap<String, Value>,
    /// What it is told, as `ha-coordinator secret seal` printed it.
    pub sealed: BTreeMap<String, String>,
}

/// A parameter that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the sealed parameter `{parameter}` of the fence device for {rung} of {node}")]
pub struct SealedParameterError {
    node: NodeName,
    rung: Rung,
    parameter: String,
    #[source]
    source: SealError,
}

impl Fencing {
    /// Whether something in it can be read with the key only.
    pub fn is_sealed(&self) -> bool {
        self.devices.iter().any(|device| !device.sealed.is_empty())
    }

    /// The same, every sealed parameter opened.
    ///
    /// # Errors
    /// There is no key, or it does not open one.
    pub fn opened(&self, sealing: &Sealing) -> Result<Self, SealedParameterError> {
        let mut opened = self.clone();
        for device in &mut opened.devices {
            for (parameter, sealed) in std::mem::take(&mut device.sealed) {
                let (node, rung) = (&device.node, device.rung);
                let name = sealed_name(node, rung, &parameter);
                let secret = sealing.open(FENCE_PARAMETER, &name, &sealed).map_err(|source| {
                    let (node, parameter) = (node.clone(), parameter.clone());
                    SealedParameterError { node, rung, parameter, source }
                })?;
                device.parameters.insert(parameter, Value::Secret(secret));
            }
        }
        Ok(opened)
    }
}

/// What a parameter is sealed for: `lb02/power/password`.
fn sealed_name(node: &NodeName, rung: Rung, parameter: &str) -> String {
    format!("{node}/{rung}/{parameter}")
}

/// The name of a parameter as people give it, `NODE/RUNG/PARAMETER`.
///
/// # Errors
/// It is none, in words.
pub fn parse_sealed_name(text: &str) -> Result<String, String> {
    let example = "write NODE/RUNG/PARAMETER, as in lb02/power/password";
    let parts: Vec<&str> = text.split('/').collect();
    let [node, rung, parameter] = parts[..] else { return Err(example.to_owned()) };
    let node = identity::node_name(node).map_err(|error| error.to_string())?;
    let rung = match rung {
        "network" => Rung::Network,
        "power" => Rung::Power,
        other => return Err(format!("`{other}` is none of network, power: {example}")),
    };
    if parameter.is_empty() {
        return Err(example.to_owned());
    }
    Ok(sealed_name(&node, rung, parameter))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFencing {
    mode: Option<Spanned<String>>,
    #[serde(default)]
    groups: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pins: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    coordinator_hosts: Vec<Spanned<String>>,
    #[serde(default)]
    database_hosts: Vec<Spanned<String>>,
    #[serde(default)]
    protected_nodes: Vec<Spanned<String>>,
    #[serde(default)]
    protected_labels: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, Spanned<Vec<String>>>,
    #[serde(default)]
    references: Vec<Spanned<String>>,
    #[serde(default)]
    limits: BTreeMap<String, Spanned<u32>>,
    #[serde(default)]
    windows: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    device: Vec<RawDevice>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDevice {
    node: Spanned<String>,
    rung: Spanned<String>,
    name: Option<String>,
    program: Spanned<PathBuf>,
    #[serde(default)]
    parameters: BTreeMap<String, Spanned<RawParameter>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawParameter {
    Plain(String),
    Secret(RawSecret),
    Sealed(RawSealed),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSecret {
    file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSealed {
    sealed: String,
}

/// Names every key of `[fencing]` that there is not.
pub(super) fn check_keys(reader: &mut Reader<'_>, table: &DeTable<'_>) {
    reader.known(table, KEYS, "fencing.");
    for (key, value) in table {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("limits", DeValue::Table(limits)) => reader.known(limits, LIMIT_KEYS, "fencing.limits."),
            ("windows", DeValue::Table(windows)) => reader.known(windows, WINDOW_KEYS, "fencing.windows."),
            ("device", DeValue::Array(devices)) => {
                for device in devices.iter() {
                    if let DeValue::Table(device) = device.get_ref() {
                        check_device(reader, device);
                    }
                }
            }
            (_, _) => {}
        }
    }
}

fn check_device(reader: &mut Reader<'_>, device: &DeTable<'_>) {
    reader.known(device, DEVICE_KEYS, "fencing.device.");
    let parameters = device.iter().find(|(key, _)| key.get_ref() == "parameters");
    if let Some(DeValue::Table(parameters)) = parameters.map(|(_, value)| value.get_ref()) {
        for (key, value) in parameters {
            if let DeValue::Table(secret) = value.get_ref() {
                reader.known(secret, SECRET_KEYS, &format!("fencing.device.parameters.{}.", key.get_ref()));
            }
        }
    }
}

impl Reader<'_> {
    pub(super) fn fencing(&mut self, raw: RawFencing) -> Fencing {
        let devices = self.devices(raw.device);
        let mut by_node: BTreeMap<NodeName, BTreeMap<Rung, Device>> = BTreeMap::new();
        for device in &devices {
            by_node.entry(device.node.clone()).or_default().insert(device.rung, device.name.clone());
        }
        let mut labels: BTreeMap<NodeName, BTreeSet<String>> = BTreeMap::new();
        for (name, words) in raw.labels {
            match identity::node_name(&name) {
                Ok(node) => drop(labels.insert(node, words.into_inner().into_iter().collect())),
                Err(error) => self.problem(&words.span(), format!("`fencing.labels`: {error}")),
            }
        }
        let policy = FencePolicy {
            mode: raw.mode.as_ref().and_then(|mode| self.mode("fencing.mode", mode)).unwrap_or_default(),
            group_modes: self.by_group("fencing.groups", &raw.groups, Self::mode),
            pins: self.by_group("fencing.pins", &raw.pins, Self::node),
            coordinator_hosts: self.nodes("fencing.coordinator_hosts", &raw.coordinator_hosts),
            database_hosts: self.nodes("fencing.database_hosts", &raw.database_hosts),
            protected_nodes: self.nodes("fencing.protected_nodes", &raw.protected_nodes),
            protected_labels: raw.protected_labels.into_iter().collect(),
            labels,
            devices: by_node,
            limits: self.fence_limits(&raw.limits),
            windows: self.fence_windows(&raw.windows),
        };
        Fencing { policy, devices, references: self.references(&raw.references) }
    }

    fn mode(&mut self, key: &str, word: &Spanned<String>) -> Option<Mode> {
        let found = MODES.iter().find(|(known, _)| known == word.get_ref()).map(|(_, mode)| *mode);
        if found.is_none() {
            let words: Vec<&str> = MODES.iter().map(|(word, _)| *word).collect();
            let message = format!(
                "`{key}`: `{}` is none of {}{}",
                word.get_ref(),
                words.join(", "),
                nearest(word.get_ref(), &words)
            );
            self.problem(&word.span(), message);
        }
        found
    }

    fn node(&mut self, key: &str, name: &Spanned<String>) -> Option<NodeName> {
        match identity::node_name(name.get_ref()) {
            Ok(node) => Some(node),
            Err(error) => {
                self.problem(&name.span(), format!("`{key}`: {error}"));
                None
            }
        }
    }

    fn nodes(&mut self, key: &str, names: &[Spanned<String>]) -> BTreeSet<NodeName> {
        names.iter().filter_map(|name| self.node(key, name)).collect()
    }

    fn by_group<T>(
        &mut self,
        key: &str,
        table: &BTreeMap<String, Spanned<String>>,
        read: fn(&mut Self, &str, &Spanned<String>) -> Option<T>,
    ) -> BTreeMap<GroupKey, T> {
        let mut found = BTreeMap::new();
        for (text, value) in table {
            let Some(group) = group_key(text) else {
                let message = format!("`{key}`: `{text}` is not SITE/ADDRESS, such as \"dc1/192.168.178.3\"");
                self.problem(&value.span(), message);
                continue;
            };
            if let Some(value) = read(self, key, value) {
                found.insert(group, value);
            }
        }
        found
    }

    fn references(&mut self, raw: &[Spanned<String>]) -> Vec<SocketAddr> {
        if let Some(one_more) = raw.get(REFERENCES_MAX) {
            self.problem(&one_more.span(), format!("`fencing.references`: more than {REFERENCES_MAX}"));
        }
        let mut found = Vec::new();
        for reference in raw {
            let text = reference.get_ref();
            let address = text.parse::<SocketAddr>().ok();
            let bare = || Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, REFERENCE_PORT));
            match address.or_else(bare) {
                Some(address) if found.contains(&address) => {
                    self.problem(&reference.span(), format!("`fencing.references`: `{text}` is named twice"));
                }
                Some(address) => found.push(address),
                None => {
                    let message = format!(
                        "`fencing.references`: `{text}` is not ADDRESS or ADDRESS:PORT, such as \"192.168.178.1\""
                    );
                    self.problem(&reference.span(), message);
                }
            }
        }
        found
    }

    fn fence_limits(&mut self, raw: &BTreeMap<String, Spanned<u32>>) -> FenceLimits {
        let default = FenceLimits::default();
        let mut read = |key: &str, range: RangeInclusive<u32>, default: usize| match raw.get(key) {
            None => default,
            Some(value) => {
                if !range.contains(value.get_ref()) {
                    let message =
                        format!("`fencing.limits.{key}`: expected {} to {}", range.start(), range.end());
                    self.problem(&value.span(), message);
                }
                usize::try_from(*value.get_ref()).unwrap_or(default)
            }
        };
        let limits = FenceLimits {
            observers: read("observers", 2..=16, default.observers),
            unreachable_percent: read("unreachable_percent", 1..=100, default.unreachable_percent),
            references: read("references", 1..=16, default.references),
            references_of: read("references_of", 1..=16, default.references_of),
            active: read("active", 1..=16, default.active),
            group_rate: read("group_rate", 1..=100, default.group_rate),
            fleet_rate: read("fleet_rate", 1..=100, default.fleet_rate),
            attempts: narrow(read("attempts", 1..=10, wide(default.attempts))),
            polls: narrow(read("polls", 1..=100, wide(default.polls))),
        };
        if limits.references > limits.references_of {
            let place = raw.get("references").or_else(|| raw.get("references_of")).map(Spanned::span);
            let message = "`fencing.limits.references`: must not be more than `fencing.limits.references_of`";
            self.problem(&place.unwrap_or_default(), message.to_owned());
        }
        limits
    }

    fn fence_windows(&mut self, raw: &BTreeMap<String, Spanned<String>>) -> FenceWindows {
        let default = FenceWindows::default();
        let mut read = |key: &str, [least, most]: [u64; 2], default: Duration| {
            let name = format!("fencing.windows.{key}");
            let value = raw.get(key);
            let read = self.duration(&name, value, default);
            let range = Duration::from_secs(least)..=Duration::from_secs(most);
            if let Some(value) = value
                && !range.contains(&read)
            {
                self.problem(&value.span(), format!("`{name}`: expected {least}s to {most}s"));
            }
            read
        };
        let windows = FenceWindows {
            demote_confirm: read("demote_confirm", [1, 60], default.demote_confirm),
            confirm: read("confirm", [1, 600], default.confirm),
            reprobe: read("reprobe", [1, 60], default.reprobe),
            observed: read("observed", [1, 60], default.observed),
            grace: read("grace", [1, 3600], default.grace),
            cool_down: read("cool_down", [1, 86_400], default.cool_down),
            recent: read("recent", [1, 86_400], default.recent),
            rate: read("rate", [1, 86_400], default.rate),
            demote: read("demote", [2, 300], default.demote),
            step: read("step", [5, 600], default.step),
            poll: read("poll", [2, 300], default.poll),
            act: read("act", [1, 600], default.act),
            escalate: read("escalate", [1, 3600], default.escalate),
            path: read("path", [5, 86_400], default.path),
            aftercare: read("aftercare", [1, 600], default.aftercare),
            references: read("references", [15, 600], default.references),
        };
        if windows.escalate <= windows.confirm {
            let place = raw.get("escalate").or_else(|| raw.get("confirm")).map(Spanned::span);
            let message = format!(
                "`fencing.windows.escalate` ({}s): must be longer than `fencing.windows.confirm` ({}s), or every next step \
                 is given up before its evidence has lasted",
                windows.escalate.as_secs(),
                windows.confirm.as_secs()
            );
            self.problem(&place.unwrap_or_default(), message);
        }
        windows
    }

    fn devices(&mut self, raw: Vec<RawDevice>) -> Vec<FenceDevice> {
        let mut taken = BTreeSet::new();
        let mut devices = Vec::new();
        for raw in raw {
            let node = self.node("fencing.device.node", &raw.node);
            let rung = match raw.rung.get_ref().as_str() {
                "network" => Some(Rung::Network),
                "power" => Some(Rung::Power),
                other => {
                    let message = format!("`fencing.device.rung`: `{other}` is none of network, power");
                    self.problem(&raw.rung.span(), message);
                    None
                }
            };
            if !raw.program.get_ref().is_absolute() {
                let message = format!(
                    "`fencing.device.program`: `{}` is not an absolute path, such as /usr/sbin/fence_ipmilan",
                    raw.program.get_ref().display()
                );
                self.problem(&raw.program.span(), message);
            }
            let (parameters, sealed) = self.parameters(raw.parameters);
            let (Some(node), Some(rung)) = (node, rung) else { continue };
            if !taken.insert((node.clone(), rung)) {
                let message = format!("`fencing.device.rung`: {node} has a device for {rung} already");
                self.problem(&raw.rung.span(), message);
            }
            let name = Device(raw.name.unwrap_or_else(|| format!("{node}/{rung}")));
            let program = raw.program.into_inner();
            devices.push(FenceDevice { node, rung, name, program, parameters, sealed });
        }
        devices
    }

    /// Those that can be read now, and those that wait for the key.
    fn parameters(
        &mut self,
        raw: BTreeMap<String, Spanned<RawParameter>>,
    ) -> (BTreeMap<String, Value>, BTreeMap<String, String>) {
        let (mut parameters, mut sealed) = (BTreeMap::new(), BTreeMap::new());
        for (name, parameter) in raw {
            let span = parameter.span();
            match parameter.into_inner() {
                RawParameter::Plain(value) => drop(parameters.insert(name, Value::Plain(value))),
                RawParameter::Secret(secret) => match self.secret(&secret.file) {
                    Ok(value) => drop(parameters.insert(name, Value::Secret(value))),
                    Err(why) => self.problem(&span, format!("`fencing.device.parameters.{name}`: {why}")),
                },
                RawParameter::Sealed(secret) if is_sealed(&secret.sealed) => {
                    drop(sealed.insert(name, secret.sealed));
                }
                // Somebody may have written the password itself: it is not repeated.
                RawParameter::Sealed(_) => self.problem(
                    &span,
                    format!(
                        "`fencing.device.parameters.{name}`: `sealed` is what `ha-coordinator secret seal` prints \
                         ({PREFIX}…)"
                    ),
                ),
            }
        }
        (parameters, sealed)
    }

    /// The first line of a file that nobody else can read; an error never has a word of it.
    fn secret(&self, file: &std::path::Path) -> Result<String, String> {
        let path = self.dir.join(file);
        let shown = path.display();
        let metadata = fs::metadata(&path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(format!(
                "{shown} has mode {mode:04o}: only its owner may read it (chmod 0600 {shown})"
            ));
        }
        if metadata.len() > SECRET_MAX {
            return Err(format!("{shown} has {} bytes; a secret has at most {SECRET_MAX}", metadata.len()));
        }
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let secret = text.strip_suffix('\r').unwrap_or(text);
        if secret.is_empty() || secret.contains(['\n', '\r', '\0']) {
            return Err(format!("{shown} must hold the secret in one line"));
        }
        Ok(secret.to_owned())
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn wide(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
