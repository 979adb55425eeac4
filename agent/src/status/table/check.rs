//! Checks: what instances track beside interfaces.

use super::{duration, plain, trimmed};
use crate::local::CheckPart;

/// Checks shown to people. `ha-agent status -o json` has them all.
const CHECKS_SHOWN: usize = 32;

/// Every check, those that are not up first when there are many; `None` when there is none.
pub(super) fn table(checks: &[CheckPart], width: u16) -> Option<String> {
    if checks.is_empty() {
        return None;
    }
    let header =
        ["CHECK", "KIND", "RESULT", "SINCE", "LAST LOOK", "LAST RUN", "LOOKS", "FAILED", "TIMED OUT"];
    let mut table = plain(width, &header);
    let mut ranked: Vec<&CheckPart> = checks.iter().collect();
    if ranked.len() > CHECKS_SHOWN {
        ranked.sort_by_key(|check| check.result == "up");
    }
    let ago = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{} ago", duration(ms)));
    for check in ranked.iter().take(CHECKS_SHOWN) {
        let result = super::instance::result(&check.result, check.value, &check.detail);
        let last_run = match (check.pid, &check.last_run) {
            (Some(pid), _) => format!("runs now, process {pid}"),
            (None, Some(last_run)) => last_run.clone(),
            (None, None) => "-".to_owned(),
        };
        table.add_row([
            check.name.clone(),
            check.kind.clone(),
            result,
            ago(check.changed_age_ms),
            ago(check.looked_age_ms),
            last_run,
            check.looks.to_string(),
            check.failures.to_string(),
            check.timeouts.to_string(),
        ]);
    }
    let mut text = trimmed(&table);
    if checks.len() > CHECKS_SHOWN {
        let more = checks.len() - CHECKS_SHOWN;
        text.push_str(&format!("\n… and {more} more checks: ha-agent status -o json"));
    }
    Some(text)
}
