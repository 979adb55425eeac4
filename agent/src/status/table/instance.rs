//! Virtual routers and what they track.

use std::fmt::Write;

use super::{duration, plain, trimmed};
use crate::local::{InstancePart, PathPart, PeerPart, TrackPart};

/// Every virtual router.
pub(super) fn table(instances: &[InstancePart], width: u16) -> String {
    if instances.is_empty() {
        return "No virtual router is configured.".to_owned();
    }
    let mut table =
        plain(width, &["INSTANCE", "INTERFACE", "VRID", "VRRP", "STATE", "SINCE", "WHY", "PRIORITY", "VIPS"]);
    for one in instances {
        let why = if one.reason_detail.is_empty() {
            one.reason.clone()
        } else {
            format!("{}: {}", one.reason, one.reason_detail)
        };
        let priority = one.priority_detail.clone().unwrap_or_else(|| one.effective_priority.to_string());
        let vips: Vec<String> = one
            .vips
            .iter()
            .map(|vip| format!("{} {}", vip.address, if vip.present { "present" } else { "absent" }))
            .collect();
        table.add_row([
            one.name.clone(),
            interfaces(one),
            one.vrid.to_string(),
            format!("{}, v{}", family(&one.family), one.version),
            one.state.clone(),
            format!("{} ago ({})", duration(one.in_state_ms), one.since),
            why,
            priority,
            vips.join("\n"),
        ]);
    }
    trimmed(&table)
}

/// What should not be, or is worth a look.
pub(super) fn warnings(one: &InstancePart, text: &mut String) {
    let name = &one.name;
    for PathPart { interface, failing, send_failures, last_send_error, .. } in
        one.paths.iter().filter(|path| path.send_failures > 0)
    {
        let what = if *failing { "ADVERTS CANNOT BE SENT" } else { "adverts could not be sent" };
        let error = last_send_error.as_deref().unwrap_or("unknown");
        let _ = writeln!(
            text,
            "Warning  {name}: {what} on {interface} ({send_failures} since the start), the last: {error}"
        );
    }
    lines(one, text);
    for (count, what) in [
        (
            one.duplicates,
            "another host has our address: adverts with our own priority and address were heard",
        ),
        (one.refusals, "the kernel refused an address"),
        (one.repairs, "an address that somebody removed was put back"),
        (one.foreign_released, "an address that was here while not MASTER was taken off"),
    ] {
        if count > 0 {
            let _ = writeln!(text, "Note     {name}: {what} ({count} since the start)");
        }
    }
}

/// Of several heartbeat lines those that do not carry what they should: the last one that does is all that keeps this host from
/// taking over. A master hears nobody, and cannot tell.
fn lines(one: &InstancePart, text: &mut String) {
    let name = &one.name;
    let silent_for = |path: &PathPart| {
        let age = path.last_accepted_age_ms;
        if age.is_none_or(|age| age > one.master_down_ms) { Some(age) } else { None }
    };
    for path in one.paths.iter().skip(1) {
        if let Some(fault) = &path.fault {
            let _ =
                writeln!(text, "Warning  {name}: the heartbeat line {} is down ({fault})", path.interface);
        }
    }
    let heard: Vec<&str> = one
        .paths
        .iter()
        .filter(|path| silent_for(path).is_none())
        .map(|path| path.interface.as_str())
        .collect();
    if heard.is_empty() || one.state == "MASTER" {
        return;
    }
    for path in one.paths.iter().filter(|path| path.fault.is_none()) {
        let Some(age) = silent_for(path) else { continue };
        let since = age.map_or_else(|| "since the start".to_owned(), |age| format!("for {}", duration(age)));
        let _ = writeln!(
            text,
            "Warning  {name}: no advert is heard on {} {since}, only on {}",
            path.interface,
            heard.join(", ")
        );
    }
}

/// `ens33 (no carrier)`, its unicast peers, and the other heartbeat lines below it.
fn interfaces(one: &InstancePart) -> String {
    let mut text = one.interface.clone();
    if !one.carrier {
        text.push_str(" (no carrier)");
    }
    for (index, path) in one.paths.iter().enumerate() {
        if index > 0 {
            let fault = path.fault.as_ref().map(|fault| format!(" ({fault})")).unwrap_or_default();
            let _ = write!(text, "\n{}{fault}", path.interface);
        }
        for peer in &path.peers {
            let _ = write!(text, "\n  to {}{}", peer.address, ttl(peer));
        }
    }
    text
}

fn ttl(peer: &PeerPart) -> String {
    match (peer.ttl_min, peer.ttl_max) {
        (0, u8::MAX) => String::new(),
        (least, most) if least == most => format!(", TTL {least}"),
        (least, most) => format!(", TTL {least} to {most}"),
    }
}

fn family(word: &str) -> &str {
    match word {
        "ipv4" => "IPv4",
        "ipv6" => "IPv6",
        other => other,
    }
}

/// Everything that is tracked; `None` when nothing is.
pub(super) fn tracks(instances: &[InstancePart], width: u16) -> Option<String> {
    let mut table = plain(width, &["INSTANCE", "TRACKS", "WEIGHT", "RESULT", "EFFECT"]);
    for one in instances {
        for track in &one.tracks {
            let reverse = if track.reverse { ", reverse" } else { "" };
            table.add_row([
                one.name.clone(),
                format!("{} {}", track.kind, track.name),
                format!("{}{reverse}", track.weight),
                result(&track.result, track.value, &track.detail),
                effect(track, one.awaits_tracks),
            ]);
        }
    }
    (!table.is_empty()).then(|| trimmed(&table))
}

/// How something that is tracked is, in words.
pub(super) fn result(word: &str, value: Option<i16>, detail: &str) -> String {
    let word = match (word, value) {
        ("awaited", _) => return "awaited: there is no result yet".to_owned(),
        (_, Some(value)) => value.to_string(),
        (word, None) => word.to_owned(),
    };
    if detail.is_empty() { word } else { format!("{word}: {detail}") }
}

fn effect(track: &TrackPart, awaits: bool) -> String {
    match (track.result.as_str(), track.fault, track.adds) {
        ("awaited", ..) if awaits => "the election waits for it".to_owned(),
        (_, true, _) => "FAULT".to_owned(),
        (_, false, 0) => "none".to_owned(),
        (_, false, adds) => format!("priority {adds:+}"),
    }
}
