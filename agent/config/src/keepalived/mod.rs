//! Reads keepalived.conf, unchanged.
//!
//! ```text
//! bytes ─► lex: words ─► tree: blocks, with `include` ─► section: keywords of a block ─► global, instance, address
//! ```
//!
//! Everything in the file is honoured or reported: an *error* where a host would behave differently in a way that matters,
//! a *warning* where it is harmless. The table in `keywords` says which, keyword by keyword.

mod address;
mod announcing;
mod check;
mod global;
mod include;
mod instance;
mod keywords;
mod lex;
mod section;
mod tree;
mod value;

#[cfg(test)]
mod tests;

use self::{include::Includes, keywords::Place, section::Entry};
use super::{
    AgentConfig, Instance,
    checks::{Definitions, Kind},
    source::{FileId, Report, Span},
};

/// What a file says. Instances with an error are left out.
pub(super) fn read(file: FileId, report: &mut Report) -> AgentConfig {
    let mut includes = Includes::new(report.sources.path(file));
    let statements = tree::statements(file, &mut includes, report);
    let entries = section::read(Place::Top, &statements, report).entries;

    // Wherever they stand in the file, the global settings come first.
    let mut defaults = global::Defaults::default();
    for block in entries.iter().filter(|entry| entry.name == "global_defs").filter_map(|entry| entry.block) {
        defaults.read(block, report);
    }
    for entry in entries.iter().filter(|entry| entry.name == "garp_group") {
        let Some(block) = entry.block else { continue };
        defaults.garp_groups.take(entry, block, report);
    }
    let mut definitions = Definitions::default();
    for entry in &entries {
        let kind = match entry.name {
            "vrrp_script" => Kind::Script,
            "vrrp_track_process" => Kind::Process,
            "track_file" | "vrrp_track_file" => Kind::File,
            _ => continue,
        };
        check::read(entry, kind, &defaults, &mut definitions, report);
    }
    let blocks: Vec<&Entry<'_>> = entries.iter().filter(|entry| entry.name == "vrrp_instance").collect();
    if blocks.is_empty() && !report.failed() {
        let start = Span::new(file, 0..0);
        report.warn(
            start,
            "there is no `vrrp_instance` in this file",
            "without one the agent holds no address",
        );
    }
    let instances: Vec<Instance> =
        blocks.iter().filter_map(|entry| instance::read(entry, &defaults, &definitions, report)).collect();
    debug_assert!(
        report.failed() || instances.len() == blocks.len(),
        "an instance is missing without an error"
    );
    let checks = definitions.tracked_by(instances.iter(), report);
    AgentConfig { checks, instances, scheduling: defaults.scheduling, ..AgentConfig::default() }
}
