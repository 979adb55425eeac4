//! The receiver that is always there: the coordinator's own log.

use super::{Letter, message};

/// Cannot fail.
pub fn deliver(letter: &Letter<'_>) {
    let record = letter.record;
    let headline = message::headline(record);
    let (cause, action) = (&record.cause, &record.action);
    match record.severity.as_str() {
        _ if record.status == "resolved" => tracing::info!(finding = record.id, "{headline}"),
        "critical" => tracing::error!(finding = record.id, cause, action, "{headline}"),
        "warning" => tracing::warn!(finding = record.id, cause, action, "{headline}"),
        _ => tracing::info!(finding = record.id, cause, action, "{headline}"),
    }
}
