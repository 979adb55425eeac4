//! Reads agent.toml, hafleet's own configuration.
//!
//! The text becomes a tree of spanned values; every table is walked against the keys it may have, so that a file with
//! five mistakes gets five findings, each at its key or value.

mod address;
mod adverts;
mod announcing;
mod check;
mod instance;
mod keys;
mod path;
mod track;
mod value;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use toml::de::{DeTable, DeValue};

pub(super) use self::value::duration;
use self::{check::Scripts, keys::Keys, value::Field};
use super::{
    AgentConfig, Instance, References, Scheduling,
    checks::{Definitions, Kind},
    source::{FileId, Report, Span},
    validate,
};
use crate::names::{CoordinatorAddress, Name};

/// What the file says, without its checks, and what instances of it may track. What is wrong is left out and reported.
pub(super) fn read(file: FileId, report: &mut Report) -> (AgentConfig, Definitions) {
    let bytes = report.sources.bytes(file).to_vec();
    let Some(document) = parsed(file, &bytes, report) else { return Default::default() };
    agent(file, document, report)
}

/// The instances of a text that a coordinator pushed. They may track what `definitions` has. Nothing but instances can be pushed:
/// a coordinator runs no programs and writes no files here.
pub(super) fn read_pushed(file: FileId, definitions: &Definitions, report: &mut Report) -> Vec<Instance> {
    let bytes = report.sources.bytes(file).to_vec();
    let Some(document) = parsed(file, &bytes, report) else { return Vec::new() };
    let mut read = Vec::new();
    for field in value::fields(file, document, Keys::Agent, report) {
        if field.key == "instance" {
            read.extend(instances(field, definitions, report));
        } else {
            let message = format!("`{}` cannot be pushed, only [[instance]] can", field.key);
            let help = "write it in the node's own agent.toml; a pushed instance can track by name what is defined there";
            report.error_with(field.key_span, message, help);
        }
    }
    read
}

fn parsed<'t>(file: FileId, bytes: &'t [u8], report: &mut Report) -> Option<DeTable<'t>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let help = "save the file as UTF-8";
            report.error_with(Span::new(file, at..at + 1), "this byte is not UTF-8", help);
            return None;
        }
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        report.error_with(
            Span::new(file, span),
            error.message(),
            "see https://toml.io for how TOML is written",
        );
    }
    errors.is_empty().then(|| document.into_inner())
}

fn agent(file: FileId, document: DeTable<'_>, report: &mut Report) -> (AgentConfig, Definitions) {
    let mut config = AgentConfig::default();
    let mut definitions = Definitions::default();
    let mut fields = value::fields(file, document, Keys::Agent, report);
    // In the order of the file; but who runs scripts comes before them, and checks before the instances that track them.
    let rank = |key: &str| match key {
        "script_user" | "script_group" | "script_security" => 0,
        "instance" => 2,
        _ => 1,
    };
    fields.sort_by_key(|field| (rank(&field.key), field.span.range().start));
    let others = fields.split_off(fields.partition_point(|field| rank(&field.key) < 1));
    let mut scripts = Scripts::default();
    fields.into_iter().for_each(|field| scripts.take(field, report));
    scripts.finish(report);
    for field in others {
        match field.key.as_str() {
            "node" => config.node = name(field, report),
            "site" => config.site = name(field, report),
            "coordinators" => {
                let all = value::list(field, "a list of \"HOST:PORT\"", report);
                config.coordinators = all.into_iter().filter_map(|one| coordinator(one, report)).collect();
            }
            "metrics" => config.metrics = address_and_port(field, report),
            "references" => config.references = references(field, report),
            "engine" => config.scheduling = engine(field, report),
            "script" => check::read(field, Kind::Script, &scripts, &mut definitions, report),
            "process" => check::read(field, Kind::Process, &scripts, &mut definitions, report),
            "file" => check::read(field, Kind::File, &scripts, &mut definitions, report),
            _ => config.instances = instances(field, &definitions, report),
        }
    }
    (config, definitions)
}

fn instances(field: Field<'_>, definitions: &Definitions, report: &mut Report) -> Vec<Instance> {
    let tables = value::list(field, "a list of tables, each headed by [[instance]]", report);
    tables.into_iter().filter_map(|table| instance::read(table, definitions, report)).collect()
}

/// The most references that are asked; more are no better evidence.
pub const REFERENCES_MAX: usize = 16;

/// By whom the node knows whether it has a network. What is wrong is left out and reported.
fn references(field: Field<'_>, report: &mut Report) -> References {
    const EXPECTED: &str = "a list of addresses such as [\"192.0.2.1\"], or \"off\"";
    if matches!(field.value, DeValue::String(_)) {
        return value::one_of(field, &[("off", ())], report)
            .map_or_else(References::default, |()| References::Off);
    }
    let span = field.span;
    let elements = value::list(field, EXPECTED, report);
    if elements.len() > REFERENCES_MAX {
        report.error(span, format!("`references` has at most {REFERENCES_MAX} addresses"));
    }
    let mut addresses = Vec::new();
    for element in elements {
        let at = element.span;
        let Some(address) = value::ip(element, report) else { continue };
        match validate::address_fault(address) {
            Some(fault) => report.error(at, fault),
            None => addresses.push(address),
        }
    }
    if addresses.is_empty() && !report.failed() {
        report.error_with(span, "`references` is empty", "write \"off\" for none, or leave it out");
    }
    References::These(addresses)
}

/// How the engine's threads run. What is wrong is left out and reported.
fn engine(field: Field<'_>, report: &mut Report) -> Scheduling {
    let mut scheduling = Scheduling::default();
    let expected = "a table { realtime_priority = 50, lock_memory = true }";
    for field in value::table(field, Keys::Engine, expected, report).unwrap_or_default() {
        if field.key == "lock_memory" {
            scheduling.lock_memory = value::scalar(field, "true or false", report).unwrap_or_default();
        } else {
            scheduling.realtime_priority = value::integer(field, 1..=99, report);
        }
    }
    scheduling
}

/// A name for people and for certificates.
fn name(field: Field<'_>, report: &mut Report) -> Option<String> {
    let (key, span) = (field.key.clone(), field.span);
    let name: String = value::scalar(field, "a string", report)?;
    let fits = name.parse::<Name>().is_ok();
    if !fits {
        let message = format!(
            "`{key}` is 1 to 63 letters, digits, `-`, `_` and `.`, the first a letter or a digit, here is {name:?}"
        );
        report.error(span, message);
    }
    fits.then_some(name)
}

/// What the uplink can connect to.
fn coordinator(field: Field<'_>, report: &mut Report) -> Option<String> {
    let span = field.span;
    let text = host_and_port(field, report)?;
    match text.parse::<CoordinatorAddress>() {
        Ok(_) => Some(text),
        Err(error) => {
            report.error(span, error.to_string());
            None
        }
    }
}

/// What the agent itself listens at: an address of this host, never a name that must be looked up first.
fn address_and_port(field: Field<'_>, report: &mut Report) -> Option<SocketAddr> {
    let (key, span) = (field.key.clone(), field.span);
    let text: String = value::scalar(field, "a string \"ADDRESS:PORT\"", report)?;
    let address = text.parse().ok().filter(|address: &SocketAddr| address.port() > 0);
    if address.is_none() {
        let message =
            format!("`{key}` is an IP address and a port such as \"127.0.0.1:9101\", here is {text:?}");
        report.error_with(span, message, "a port is 1 to 65535; IPv6 stands in brackets: \"[::1]:9101\"");
    }
    address
}

fn host_and_port(field: Field<'_>, report: &mut Report) -> Option<String> {
    let (key, span) = (field.key.clone(), field.span);
    let text: String = value::scalar(field, "a string \"HOST:PORT\"", report)?;
    let fits = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare_v6 = host.contains(':') && !host.starts_with('[');
        let named = !host.is_empty() && !bare_v6 && !host.contains(char::is_whitespace);
        named && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !fits {
        let message = format!("`{key}` is a host and a port such as \"coord1:7443\", here is {text:?}");
        report.error_with(
            span,
            message,
            "a port is 1 to 65535; IPv6 stands in brackets: \"[2001:db8::1]:7443\"",
        );
    }
    fits.then_some(text)
}
