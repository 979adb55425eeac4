//! What a message says: everything a person needs to arbitrate.

use std::fmt::Write as _;

use crate::{
    clock::rfc3339,
    finding::{EvidenceRecord, Record},
};

/// The one line that is read on a telephone.
pub fn headline(record: &Record) -> String {
    let word =
        if record.status == "resolved" { "RESOLVED".to_owned() } else { record.severity.to_uppercase() };
    format!("[{word}] {} {}: {}", record.kind, record.subject, record.summary)
}

/// The whole, as plain text.
pub fn text(record: &Record, now_us: i64) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = whole(&mut text, record, now_us);
    text
}

fn whole(text: &mut String, record: &Record, now_us: i64) -> std::fmt::Result {
    writeln!(text, "{}\n", record.summary)?;
    writeln!(text, "What:     {} ({}), {}", record.kind, record.severity, record.status)?;
    writeln!(text, "Where:    {}", record.subject)?;
    match record.resolved_at_us {
        Some(resolved_us) => {
            let lasted = ago(resolved_us, record.since_us);
            writeln!(
                text,
                "Since:    {}, over at {} (it lasted {lasted})",
                rfc3339(record.since_us),
                rfc3339(resolved_us)
            )?;
        }
        None => {
            writeln!(text, "Since:    {} ({} ago)", rfc3339(record.since_us), ago(now_us, record.since_us))?
        }
    }
    if !record.cause.is_empty() {
        writeln!(text, "Probably: {}", record.cause)?;
    }
    if !record.action.is_empty() {
        writeln!(text, "Do:       {}", record.action)?;
    }
    if !record.evidence.is_empty() {
        writeln!(text, "\nWhat was seen:")?;
    }
    for evidence in &record.evidence {
        fact(text, evidence, now_us)?;
    }
    writeln!(text, "\nMore:     hactl describe finding '{}'", record.id)
}

fn fact(text: &mut String, evidence: &EvidenceRecord, now_us: i64) -> std::fmt::Result {
    let who = if evidence.node.is_empty() { "the coordinator" } else { &evidence.node };
    let age = ago(now_us, evidence.observed_at_us);
    writeln!(text, "  - {who}, {age} ago: {}", evidence.summary)?;
    if !evidence.facts.is_empty() {
        let facts: Vec<String> = evidence.facts.iter().map(|(key, value)| format!("{key}={value}")).collect();
        writeln!(text, "      {}", facts.join("  "))?;
    }
    Ok(())
}

/// A span in words with one unit below the largest.
fn ago(now_us: i64, then_us: i64) -> String {
    let ms = now_us.saturating_sub(then_us).max(0) / 1000;
    match ms {
        0..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        10_000..120_000 => format!("{} s", ms / 1000),
        120_000..7_200_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
        7_200_000..172_800_000 => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{} d {} h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A split brain as the core tells it.
    pub(crate) fn split_brain(status: &str) -> Record {
        let claims = |node: &str, at_us| EvidenceRecord {
            kind: "asserts_master".into(),
            node: node.into(),
            summary: format!("{node} is MASTER of VI_1"),
            observed_at_us: at_us,
            facts: BTreeMap::from([("priority".to_owned(), "150".to_owned())]),
        };
        Record {
            id: "split_brain.confirmed@dc1/192.168.178.3#1".into(),
            kind: "split_brain.confirmed".into(),
            severity: "critical".into(),
            subject: "dc1/192.168.178.3".into(),
            site: "dc1".into(),
            status: status.into(),
            since_us: 1_700_000_000_000_000,
            resolved_at_us: (status == "resolved").then_some(1_700_000_060_000_000),
            summary: "lb01 and lb02 both hold 192.168.178.3".into(),
            cause_code: "vrrp_filtered".into(),
            cause: "something filters VRRP (IP protocol 112)".into(),
            action: "nft insert rule inet filter input ip protocol 112 accept".into(),
            evidence: vec![claims("lb01", 1_700_000_001_000_000), claims("lb02", 1_700_000_001_500_000)],
        }
    }

    #[test]
    fn a_message_has_what_a_person_needs() {
        let record = split_brain("firing");
        let text = text(&record, 1_700_000_002_000_000);
        for expected in [
            "192.168.178.3",
            "lb01, 1.0 s ago: lb01 is MASTER",
            "lb02, 0.5 s ago: lb02 is MASTER",
            "(2.0 s ago)",
            "something filters VRRP",
            "nft insert rule",
            "hactl describe finding 'split_brain.confirmed@dc1/192.168.178.3#1'",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        assert_eq!(
            headline(&record),
            "[CRITICAL] split_brain.confirmed dc1/192.168.178.3: lb01 and lb02 both hold 192.168.178.3"
        );
        assert!(headline(&split_brain("resolved")).starts_with("[RESOLVED]"));
        assert!(super::text(&split_brain("resolved"), 0).contains("it lasted 60 s"));
    }
}
