//! The status for people.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};

use crate::local::{Document, HeardPart, InstancePart, JournalPart, PathPart, UplinkPart};

/// The whole document as text, at most `width` columns wide if possible.
pub fn table(document: &Document, width: u16) -> String {
    let mut text = String::new();
    let Document { agent, configuration, engine, instances, heard, uplink, journal, log } = document;
    let node = agent.node.as_deref().unwrap_or("this node");
    let site = agent.site.as_ref().map(|site| format!(" (site {site})")).unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{node}{site}, ha-agent {}, process {}, up {}",
        agent.version,
        agent.pid,
        duration(agent.up_ms)
    );
    if let Some(error) = &engine.error {
        let _ = writeln!(text, "\nTHE ENGINE DOES NOT ANSWER: {error}");
    }
    if let Some(error) = &configuration.error {
        let at = configuration.error_at.as_deref().unwrap_or_default();
        let _ =
            writeln!(text, "\nTHE CONFIGURATION OF {at} IS NOT APPLIED, the one before it runs on: {error}");
    }
    let _ = writeln!(text, "\n{}", instance_table(instances, width));
    if !heard.is_empty() {
        let _ = writeln!(text, "\n{}", heard_table(heard, width));
    }
    let _ = writeln!(text, "\nUplink   {}", uplink_lines(uplink));
    let _ = writeln!(text, "Journal  {}", journal_lines(journal));
    for (count, what) in [
        (engine.reports_dropped, "reports of the engine found no room and are missing from the journal"),
        (engine.announcements_dropped, "gratuitous ARP packets found no room in their queue"),
        (log.lines_dropped, "log lines were dropped because nobody read them in time"),
    ] {
        if count > 0 {
            let _ = writeln!(text, "Warning  {count} {what}");
        }
    }
    for one in instances {
        instance_warnings(one, &mut text);
    }
    text
}

fn instance_table(instances: &[InstancePart], width: u16) -> String {
    if instances.is_empty() {
        return "No virtual router is configured.".to_owned();
    }
    let mut table =
        plain(width, &["INSTANCE", "INTERFACE", "VRID", "STATE", "SINCE", "WHY", "PRIORITY", "VIPS"]);
    for one in instances {
        let why = if one.reason_detail.is_empty() {
            one.reason.clone()
        } else {
            format!("{}: {}", one.reason, one.reason_detail)
        };
        let priority = if one.priority == one.effective_priority {
            one.priority.to_string()
        } else {
            format!("{} (of {})", one.effective_priority, one.priority)
        };
        let vips: Vec<String> = one
            .vips
            .iter()
            .map(|vip| format!("{} {}", vip.address, if vip.present { "present" } else { "absent" }))
            .collect();
        table.add_row([
            one.name.clone(),
            interfaces(one),
            one.vrid.to_string(),
            one.state.clone(),
            format!("{} ago ({})", duration(one.in_state_ms), one.since),
            why,
            priority,
            vips.join("\n"),
        ]);
    }
    trimmed(&table)
}

fn instance_warnings(one: &InstancePart, text: &mut String) {
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

/// `ens33 (no carrier)`, and the other heartbeat lines below it.
fn interfaces(one: &InstancePart) -> String {
    let mut text = one.interface.clone();
    if !one.carrier {
        text.push_str(" (no carrier)");
    }
    for path in one.paths.iter().skip(1) {
        let fault = path.fault.as_ref().map(|fault| format!(" ({fault})")).unwrap_or_default();
        let _ = write!(text, "\n{}{fault}", path.interface);
    }
    text
}

fn heard_table(heard: &[HeardPart], width: u16) -> String {
    let mut table = plain(width, &["HEARD ON", "VRID", "FROM", "PRIORITY", "LAST", "ACCEPTED", "REJECTED"]);
    for one in heard {
        let rejected: Vec<String> = one
            .rejected
            .iter()
            .map(|rejected| format!("{} {}: {}", rejected.count, rejected.reason, rejected.detail))
            .collect();
        let vrid =
            if one.vrid_configured { one.vrid.to_string() } else { format!("{} (not ours)", one.vrid) };
        table.add_row([
            one.interface.clone(),
            vrid,
            one.source.clone(),
            one.priority.to_string(),
            format!("{} ago", duration(one.age_ms)),
            one.accepted.to_string(),
            if rejected.is_empty() { "0".to_owned() } else { rejected.join("\n") },
        ]);
    }
    trimmed(&table)
}

fn uplink_lines(uplink: &UplinkPart) -> String {
    let mut text = uplink.summary.clone();
    if let (Some(error), Some(at)) = (&uplink.last_error, &uplink.last_error_at) {
        let _ = write!(text, "\n         last error at {at} ({} so far): {error}", uplink.failures);
    }
    if let Some(error) = &uplink.renewal_error {
        let _ = write!(text, "\n         the certificate could not be renewed: {error}");
    }
    if let Some(until) = &uplink.certificate_not_after {
        let _ = write!(text, "\n         certificate good until {until}");
    }
    text
}

fn journal_lines(journal: &JournalPart) -> String {
    if let (None, Some(error)) = (&journal.id, &journal.error) {
        return format!("cannot be opened, {} events wait in memory: {error}", journal.waiting);
    }
    let mut text = format!(
        "{} events so far, {} acknowledged, {} pending; {} KiB in {} segments",
        journal.last_seq,
        journal.acked_seq,
        journal.pending,
        journal.bytes.div_ceil(1024),
        journal.segments
    );
    if let Some(error) = &journal.error {
        let _ =
            write!(text, "\n         the disk refuses, {} events wait in memory: {error}", journal.waiting);
    }
    for (count, what) in [
        (journal.overflowed, "events were lost because the disk refused for too long"),
        (journal.dropped, "events were dropped at the journal's bound or lost to damage"),
        (journal.damaged, "damaged places were found on the disk"),
    ] {
        if count > 0 {
            let _ = write!(text, "\n         {count} {what}");
        }
    }
    text
}

fn plain(width: u16, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(header.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn trimmed(table: &Table) -> String {
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// About how long, in its largest two units.
fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    if days > 0 {
        format!("{days}d{hours}h")
    } else if hours > 0 {
        format!("{hours}h{minutes}m")
    } else if minutes > 0 {
        format!("{minutes}m{}s", seconds % 60)
    } else {
        format!("{}.{}s", seconds, ms / 100 % 10)
    }
}
