//! The status for people.

mod acting;
mod check;
mod heard;
mod instance;

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};

use crate::local::{ConfigurationPart, Document, JournalPart, UplinkPart};

/// The whole document as text, at most `width` columns wide if possible.
pub fn table(document: &Document, width: u16) -> String {
    let mut text = String::new();
    let Document {
        agent,
        configuration,
        orders,
        pushed,
        references,
        engine,
        instances,
        checks,
        heard,
        uplink,
        journal,
        log,
    } = document;
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
    if let Some(error) = &orders.error {
        let _ = writeln!(text, "\nEVERY INSTANCE IS HELD BACK: {error}");
    }
    if let Some(error) = &pushed.error {
        let _ = writeln!(text, "\nWHAT WAS PUSHED DOES NOT RUN: {error}");
    }
    let tables = [
        acting::orders(orders, width),
        Some(instance::table(instances, width)),
        instance::tracks(instances, width),
        check::table(checks, width),
        heard::table(heard, width),
        heard::rejections(heard, width),
    ];
    for table in tables.into_iter().flatten() {
        let _ = writeln!(text, "\n{table}");
    }
    let _ = writeln!(text, "\nConfig   {}", configuration_lines(configuration));
    if let Some(pushed) = acting::pushed_lines(pushed) {
        let _ = writeln!(text, "Pushed   {pushed}");
    }
    if !references.is_empty() {
        let _ = writeln!(text, "Network  {}", acting::reference_lines(references));
    }
    let _ = writeln!(text, "Uplink   {}", uplink_lines(uplink));
    let _ = writeln!(text, "Journal  {}", journal_lines(journal));
    for (count, what) in [
        (engine.reports_dropped, "reports of the engine found no room and are missing from the journal"),
        (engine.announcements_dropped, "announcements of addresses found no room in their queue"),
        (
            engine.sources_evicted,
            "sources of adverts were forgotten to make room for others: somebody forges them",
        ),
        (log.lines_dropped, "log lines were dropped because nobody read them in time"),
    ] {
        if count > 0 {
            let _ = writeln!(text, "Warning  {count} {what}");
        }
    }
    for one in instances {
        instance::warnings(one, &mut text);
    }
    text
}

fn configuration_lines(configuration: &ConfigurationPart) -> String {
    let ConfigurationPart { taken_at, taken, refused, .. } = configuration;
    let mut text = format!("taken at {taken_at}");
    if taken + refused > 0 {
        let _ = write!(text, "; since the start {taken} others were taken and {refused} refused");
    }
    text
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

/// A table without lines.
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
