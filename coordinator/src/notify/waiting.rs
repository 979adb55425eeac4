//! The messages that wait for one receiver: which are given up, and when the next is due.

use std::{collections::BTreeMap, time::Duration};

use super::LONGEST_WAIT;
use crate::store::OutboxRow;

/// Messages that may wait for one receiver.
pub(super) const WAITING_MAX: usize = 1000;
/// How long a message is tried that a newer one about the same finding has made old news. All others are tried until
/// they are taken.
const OLD_NEWS_AFTER_US: i64 = 24 * 3_600_000_000;

/// What to do with the messages of one receiver.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// To be tried, oldest first.
    pub(super) try_now: Vec<OutboxRow>,
    /// To be given up, and why.
    pub(super) give_up: Vec<(OutboxRow, &'static str)>,
}

/// Sorts out what waits for one receiver; `rows` are in the order of their numbers.
pub(super) fn sort_out(rows: Vec<OutboxRow>, now_us: i64) -> Sorted {
    let latest: BTreeMap<String, i64> = rows.iter().map(|row| (row.finding_id.clone(), row.id)).collect();
    let is_old_news = |row: &OutboxRow| latest.get(&row.finding_id).is_some_and(|latest| *latest > row.id);
    let mut sorted = Sorted::default();
    for row in rows {
        if is_old_news(&row) && now_us.saturating_sub(row.created_us) >= OLD_NEWS_AFTER_US {
            sorted
                .give_up
                .push((row, "after 24 hours a newer message about the same finding takes its place"));
        } else {
            sorted.try_now.push(row);
        }
    }
    // Old news first, then the oldest.
    sorted.drop_beyond(is_old_news, "too many messages wait for the receiver, and a newer one says more");
    sorted.drop_beyond(|_| true, "too many messages wait for the receiver, and it is the oldest");
    sorted
}

impl Sorted {
    fn drop_beyond(&mut self, which: impl Fn(&OutboxRow) -> bool, why: &'static str) {
        let mut beyond = self.try_now.len().saturating_sub(WAITING_MAX);
        for row in std::mem::take(&mut self.try_now) {
            if beyond > 0 && which(&row) {
                beyond -= 1;
                self.give_up.push((row, why));
            } else {
                self.try_now.push(row);
            }
        }
    }
}

/// How long a message must wait yet. No wait is longer than [`LONGEST_WAIT`]: a later instant was noted by a clock that
/// has been set back since, and the message is due.
pub(super) fn wait(next_attempt_us: i64, now_us: i64) -> Option<Duration> {
    let left = u64::try_from(next_attempt_us.saturating_sub(now_us)).map(Duration::from_micros);
    left.ok().filter(|left| !left.is_zero() && *left <= LONGEST_WAIT)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::OutboxStatus;

    const HOUR_US: i64 = 3_600_000_000;

    fn row(id: i64, finding: &str) -> OutboxRow {
        OutboxRow {
            id,
            finding_id: finding.into(),
            receiver: "ops".into(),
            body: "{}".into(),
            created_us: 0,
            status: OutboxStatus::Pending,
            attempts: 400,
            next_attempt_us: 0,
            last_error: None,
            finished_us: None,
        }
    }

    fn ids<'a>(rows: impl IntoIterator<Item = &'a OutboxRow>) -> Vec<i64> {
        rows.into_iter().map(|row| row.id).collect()
    }

    #[test]
    fn only_old_news_is_given_up_and_not_before_a_day() {
        let rows = || vec![row(1, "a"), row(2, "b"), row(3, "a")];
        let sorted = sort_out(rows(), 23 * HOUR_US);
        assert_eq!((ids(&sorted.try_now), sorted.give_up.len()), (vec![1, 2, 3], 0));
        let sorted = sort_out(rows(), 1000 * HOUR_US);
        assert_eq!(ids(&sorted.try_now), [2, 3]);
        assert_eq!(ids(sorted.give_up.iter().map(|(row, _)| row)), [1]);
    }

    #[test]
    fn there_is_a_bound_and_old_news_goes_first() {
        let max = i64::try_from(WAITING_MAX).unwrap();
        let mut rows: Vec<_> = (1..=max).map(|id| row(id, &format!("f{id}"))).collect();
        rows.push(row(max + 1, "f500"));
        rows.push(row(max + 2, "new"));
        let sorted = sort_out(rows, 0);
        assert_eq!(sorted.try_now.len(), WAITING_MAX);
        assert_eq!(ids(sorted.give_up.iter().map(|(row, _)| row)), [500, 1]);
    }

    #[test]
    fn a_clock_that_was_set_back_silences_nobody() {
        assert_eq!(wait(10, 10), None);
        assert_eq!(wait(5, 10), None);
        assert_eq!(wait(1_000_010, 10), Some(Duration::from_secs(1)));
        assert_eq!(wait(300_000_010, 10), Some(LONGEST_WAIT));
        assert_eq!(wait(300_000_011, 10), None);
        assert_eq!(wait(i64::MAX, i64::MIN), None);
    }
}
