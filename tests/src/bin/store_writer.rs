//! Writes to a store without end, for the test that kills it: batches of events and, after each, a finding with two
//! messages. Prints the sequence up to which everything is committed, one line after each commit.
//!
//! `store_writer DATABASE_URL EVENTS_PER_BATCH`

use std::io::Write as _;

use anyhow::{Context, Result};
use ha_coordinator::store::{EventBatch, EventRow, FindingRow, Happening, NewOutbox, Store};
use hafleet_fleet::{FindingStatus, Severity, VrrpState};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, size] = &arguments[..] else {
        anyhow::bail!("usage: store_writer DATABASE_URL EVENTS_PER_BATCH")
    };
    let size: u64 = size.parse().context("EVENTS_PER_BATCH")?;
    let store = Store::open(&url.parse()?).await?;
    let mut acked = store.acked_seq("lb01", "j1").await?;
    loop {
        let events: Vec<_> = (acked + 1..=acked + size).map(event).collect();
        let batch =
            EventBatch { node: "lb01", journal_id: "j1", first_seq: 1, events: &events, received_us: 1 };
        acked = store.append_events(batch).await?.acked_seq;
        writeln!(std::io::stdout(), "{acked}")?;

        let number = store.finding_numbers().await?.first().map_or(1, |row| row.last + 1);
        let message =
            NewOutbox { receiver: "ops".into(), body: "{}".into(), created_us: 1, next_attempt_us: 1 };
        store.save_finding(&finding(number), &[message.clone(), message]).await?;
    }
}

fn event(seq: u64) -> EventRow {
    let what = Happening::Transition {
        instance: "vi1".into(),
        vrid: 51,
        from: VrrpState::Backup,
        to: VrrpState::Master,
    };
    EventRow { seq, what, reason: "master_down".into(), detail: "x".repeat(80), at_us: 1, mono_us: 1 }
}

fn finding(number: u64) -> FindingRow {
    FindingRow {
        id: format!("no_master@dc1/192.0.2.1#{number}"),
        kind: "no_master".into(),
        severity: Severity::Critical,
        subject: "dc1/192.0.2.1".into(),
        site: "dc1".into(),
        status: FindingStatus::Firing,
        since_us: 1,
        resolved_at_us: None,
        summary: "nobody holds 192.0.2.1".into(),
        cause_code: "unknown".into(),
        cause: String::new(),
        action: String::new(),
        evidence: "[]".into(),
        updated_us: 1,
    }
}
