//! From the files that the command line names to one configuration.

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    AgentConfig, Finding, Lease, Place, Severity, Sources, Style, checks::Definitions, keepalived, native,
    render::render, source::FileId, source::Report, validate, vmac,
};

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// An `agent.toml`.
    pub native: Option<PathBuf>,
    /// A keepalived.conf; its instances come after those of `agent.toml`.
    pub keepalived: Option<PathBuf>,
    /// `--lease`: replaces the lease of every instance.
    pub lease: Option<Lease>,
}

/// Instances that a coordinator pushed, as a text and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedText {
    /// Findings and instances name it.
    pub path: PathBuf,
    /// `[[instance]]` tables of agent.toml.
    pub text: String,
}

/// A configuration that may be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What to do.
    pub config: AgentConfig,
    /// Warnings; the configuration is used all the same.
    pub findings: Vec<Finding>,
    /// The texts, for [`render`].
    pub sources: Sources,
}

/// A configuration of which nothing is taken. Its text is every finding on a line of its own.
#[derive(Clone, Debug)]
pub struct LoadError {
    /// Everything that was found, at least one error among it.
    pub findings: Vec<Finding>,
    /// The texts, for [`render`].
    pub sources: Sources,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration has errors, so nothing of it is taken")?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

impl std::error::Error for LoadError {}

/// Reads all inputs to the end, so that every finding of every file is reported at once.
///
/// # Errors
/// With everything found, when one finding or more is an error.
pub fn load(inputs: &Inputs) -> Result<Loaded, LoadError> {
    load_with(inputs, None)
}

/// The same with instances that were pushed, which come last: where they and the files' cannot both be, theirs is the error.
///
/// # Errors
/// As [`load`].
pub fn load_with(inputs: &Inputs, pushed: Option<&PushedText>) -> Result<Loaded, LoadError> {
    let mut report = Report::default();
    let mut config = AgentConfig::default();
    let mut definitions = Definitions::default();
    if let Some(path) = &inputs.native
        && let Some(file) = open(path, &mut report)
    {
        (config, definitions) = native::read(file, &mut report);
    }
    let pushed = pushed.map(|pushed| {
        let file = report.sources.add(pushed.path.clone(), pushed.text.clone().into_bytes());
        native::read_pushed(file, &definitions, &mut report)
    });
    let pushed = pushed.unwrap_or_default();
    config.checks = definitions.tracked_by(config.instances.iter().chain(&pushed), &mut report);
    if let Some(path) = &inputs.keepalived
        && let Some(file) = open(path, &mut report)
    {
        let keepalived = keepalived::read(file, &mut report);
        let scheduling = &mut config.scheduling;
        scheduling.realtime_priority =
            scheduling.realtime_priority.or(keepalived.scheduling.realtime_priority);
        scheduling.lock_memory |= keepalived.scheduling.lock_memory;
        config.checks.extend(keepalived.checks);
        config.instances.extend(keepalived.instances);
    }
    config.instances.extend(pushed);
    conclude(config, inputs.lease, report)
}

/// The language of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// hafleet's own, `agent.toml`.
    AgentToml,
    /// keepalived's, `keepalived.conf`.
    KeepalivedConf,
}

/// Reads a text as if it were the file `path`: findings name it, and what it includes is looked for beside it.
///
/// # Errors
/// As [`load`].
pub fn load_text(language: Language, path: &Path, text: &[u8]) -> Result<Loaded, LoadError> {
    let mut report = Report::default();
    let file = report.sources.add(path.to_owned(), text.to_vec());
    let config = match language {
        Language::AgentToml => native_alone(file, &mut report),
        Language::KeepalivedConf => keepalived::read(file, &mut report),
    };
    conclude(config, None, report)
}

/// Reads the file of another host: whether its programs and users are here decides nothing, and who runs its scripts is not
/// taken over.
///
/// # Errors
/// As [`load`].
pub fn load_elsewhere(language: Language, path: &Path) -> Result<Loaded, LoadError> {
    let mut report = Report::default();
    report.is_elsewhere = true;
    let config = match (open(path, &mut report), language) {
        (None, _) => AgentConfig::default(),
        (Some(file), Language::AgentToml) => native_alone(file, &mut report),
        (Some(file), Language::KeepalivedConf) => keepalived::read(file, &mut report),
    };
    conclude(config, None, report)
}

/// agent.toml with the checks that its own instances track.
fn native_alone(file: FileId, report: &mut Report) -> AgentConfig {
    let (mut config, definitions) = native::read(file, report);
    config.checks = definitions.tracked_by(config.instances.iter(), report);
    config
}

/// What remains when every file is read.
fn conclude(mut config: AgentConfig, lease: Option<Lease>, mut report: Report) -> Result<Loaded, LoadError> {
    if let Some(lease) = lease {
        config.instances.iter_mut().for_each(|instance| instance.lease = lease);
    }
    validate::across_instances(&config, &mut report);
    vmac::name(&mut config.instances, &mut report);
    let failed = report.failed();
    let (sources, findings) = report.finish();
    if failed { Err(LoadError { findings, sources }) } else { Ok(Loaded { config, findings, sources }) }
}

fn open(path: &Path, report: &mut Report) -> Option<FileId> {
    report
        .sources
        .read(path)
        .map_err(|error| {
            let place = Place { file: path.to_owned(), ..Place::default() };
            report.push(Severity::Error, place, format!("cannot be read: {error}"), None);
        })
        .ok()
}

/// `ha-agent check`: reads all inputs and writes what was found, for people. True when the agent would start with them.
///
/// # Errors
/// When `out` cannot be written.
pub fn check(inputs: &Inputs, style: Style, out: &mut impl Write) -> io::Result<bool> {
    match load(inputs) {
        Ok(loaded) => {
            out.write_all(render(&loaded.findings, &loaded.sources, style).as_bytes())?;
            writeln!(out, "{}", summary(&loaded.config, &loaded.findings))?;
            Ok(true)
        }
        Err(error) => {
            out.write_all(render(&error.findings, &error.sources, style).as_bytes())?;
            writeln!(out, "{}: nothing of this configuration would be taken", counts(&error.findings))?;
            Ok(false)
        }
    }
}

fn summary(config: &AgentConfig, findings: &[Finding]) -> String {
    let mut text = format!("{}: the configuration is usable", counts(findings));
    for instance in &config.instances {
        let vips = instance.vips.iter().map(|vip| format!("{}/{}", vip.vip.address, vip.vip.prefix_len));
        text.push_str(&format!(
            "\n  {} on {}: VRID {}, priority {}, every {:?}, holds {}",
            instance.name,
            instance.interface,
            instance.vrid,
            instance.priority,
            instance.interval.as_duration(),
            listed(vips)
        ));
        for path in &instance.paths {
            let peers = listed(path.peers.iter().map(|peer| peer.address.to_string()));
            if path.interface != instance.interface {
                text.push_str(&format!(", heartbeats on {} too", path.interface));
            }
            if !peers.is_empty() {
                text.push_str(&format!(", by unicast to {peers}"));
            }
        }
        let tracks = instance.tracks.iter().map(|tracked| {
            let reverse = if tracked.reverse { " reverse" } else { "" };
            format!("{} (weight {}{reverse})", tracked.subject.name(), tracked.weight)
        });
        let tracks = listed(tracks);
        if !tracks.is_empty() {
            text.push_str(&format!(", tracks {tracks}"));
        }
    }
    text
}

fn listed(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn counts(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let plural =
        |number: usize, noun| if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") };
    format!("{}, {}", plural(count(Severity::Error), "error"), plural(count(Severity::Warning), "warning"))
}
