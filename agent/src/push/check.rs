//! Whether a pushed text can run here: by itself, beside the local files, and with the interfaces that this host has.

use std::collections::BTreeSet;

use nix::net::if_::if_nametoindex;

use super::{Generation, PushError, TEXT_LEN_MAX, store::hash_of};
use crate::config::{Finding, Inputs, Instance, PushedText, Severity, load_with};

/// No answer is longer, in bytes.
const DETAIL_LEN_MAX: usize = 4096;

/// A text that can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usable {
    /// Warnings, one a line, at most 4,096 bytes.
    pub warnings: String,
}

/// Checks a text against its hash, and as [`judge`] does.
///
/// # Errors
/// With everything that was found, one a line, with file, line and column; at most 4,096 bytes.
pub fn check(inputs: &Inputs, generation: &Generation, pushed: &PushedText) -> Result<Usable, PushError> {
    // Before the work of the hash.
    short_enough(&pushed.text)?;
    let hash = hash_of(pushed.text.as_bytes());
    if hash != generation.hash {
        let why = format!("the text's SHA-256 is {hash}, {:?} was announced", generation.hash);
        return Err(PushError::Invalid(why));
    }
    judge(inputs, pushed)
}

/// Checks a text against the local files as they are on the disk, and the interfaces of this network namespace. Nothing is kept.
///
/// # Errors
/// With everything that was found, one a line, with file, line and column; at most 4,096 bytes.
pub fn judge(inputs: &Inputs, pushed: &PushedText) -> Result<Usable, PushError> {
    let PushedText { path, text } = pushed;
    short_enough(text)?;
    let loaded = match load_with(inputs, Some(pushed)) {
        Ok(loaded) => loaded,
        Err(error) => return Err(PushError::Invalid(lines(&error.findings))),
    };
    let ours = || loaded.config.instances.iter().filter(|instance| instance.defined_at.file == *path);
    let missing: Vec<Finding> = ours().flat_map(missing_interfaces).collect();
    if !missing.is_empty() {
        return Err(PushError::Invalid(lines(&missing)));
    }
    let about_it: Vec<Finding> =
        loaded.findings.into_iter().filter(|finding| finding.place.file == *path).collect();
    Ok(Usable { warnings: lines(&about_it) })
}

fn short_enough(text: &str) -> Result<(), PushError> {
    if text.len() <= TEXT_LEN_MAX {
        return Ok(());
    }
    let why = format!("a pushed configuration has at most {TEXT_LEN_MAX} bytes, here are {}", text.len());
    Err(PushError::Invalid(why))
}

/// What an instance cannot do without. What it only tracks may come later: it counts as down.
fn missing_interfaces(instance: &Instance) -> Vec<Finding> {
    let paths = instance.paths.iter().map(|path| path.interface.as_str());
    let devices = instance.vips.iter().filter_map(|vip| vip.dev.as_deref());
    let made = instance.vmac.as_ref().and_then(|vmac| vmac.interface.as_deref());
    let needed: BTreeSet<&str> =
        std::iter::once(instance.interface.as_str()).chain(paths).chain(devices).collect();
    let absent = needed.into_iter().filter(|name| Some(*name) != made && if_nametoindex(*name).is_err());
    absent
        .map(|name| Finding {
            severity: Severity::Error,
            place: instance.defined_at.clone(),
            message: format!(
                "`{}` needs the interface `{name}`, which this host does not have",
                instance.name
            ),
            help: None,
        })
        .collect()
}

/// One a line, as many as fit.
fn lines(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let line = finding.to_string();
        if text.len() + line.len() + 1 > DETAIL_LEN_MAX {
            if text.is_empty() {
                text.push_str(line.get(..line.floor_char_boundary(DETAIL_LEN_MAX)).unwrap_or_default());
            }
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&line);
    }
    text
}
