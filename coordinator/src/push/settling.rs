//! Whether a node came well out of its commit.

use std::time::Duration;

use hafleet_proto::v1;

use super::known::Told;

/// A node that said nothing for so long is not heard: it beats every second.
const SILENT_MAX: Duration = Duration::from_secs(5);

/// A node that has committed.
pub struct Settling {
    /// Which.
    pub node: String,
    /// When that was written down.
    pub committed_us: i64,
    /// Since when it is heard, and runs the generation.
    heard_us: Option<i64>,
}

impl Settling {
    /// Not heard yet.
    pub fn new(node: &str, committed_us: i64) -> Self {
        Self { node: node.to_owned(), committed_us, heard_us: None }
    }

    /// Since when it is heard to run the generation. An error when it has given it up, in words.
    pub fn look(&mut self, told: &Told, generation: u64, now_us: i64) -> Result<Option<i64>, String> {
        let is_news = told.is_connected && told.received_us.is_some_and(|at_us| at_us > self.committed_us);
        let pushed = told.pushed.as_ref().filter(|_| is_news);
        if let Some(pushed) = pushed.filter(|pushed| pushed.rolled_back_generation == generation) {
            return Err(format!("{} went back by itself: {}", self.node, pushed.rolled_back_why));
        }
        let silent = told.received_us.map_or(Duration::MAX, |at_us| passed(at_us, now_us));
        let runs_it = |pushed: &v1::Pushed| pushed.generation == generation && pushed.error.is_empty();
        if pushed.is_some_and(runs_it) && silent < SILENT_MAX {
            self.heard_us.get_or_insert(now_us);
        } else {
            // An answer may overtake what was under way before it; but what runs, runs on.
            self.heard_us = None;
        }
        Ok(self.heard_us)
    }
}

/// How long ago that was.
pub fn passed(since_us: i64, now_us: i64) -> Duration {
    Duration::from_micros(u64::try_from(now_us.saturating_sub(since_us)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heard at this second, running this generation.
    fn told(at_s: i64, generation: u64) -> Told {
        Told {
            is_connected: true,
            received_us: Some(at_s * 1_000_000),
            pushed: Some(v1::Pushed { generation, ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn only_fresh_news_of_the_generation_count() {
        let s = |seconds: i64| seconds * 1_000_000;
        let mut node = Settling::new("lb01", s(10));
        assert_eq!(node.look(&told(9, 7), 7, s(11)), Ok(None), "said before its commit");
        assert_eq!(node.look(&told(11, 7), 7, s(12)), Ok(Some(s(12))));
        assert_eq!(node.look(&told(15, 7), 7, s(16)), Ok(Some(s(12))), "since when it is heard");
        // A node that its new configuration cut off is connected until its stream is given up.
        assert_eq!(node.look(&told(15, 7), 7, s(20)), Ok(None), "silent for five seconds");
        assert_eq!(node.look(&told(21, 7), 7, s(21)), Ok(Some(s(21))), "it begins anew");
        let away = Told { is_connected: false, ..told(22, 7) };
        assert_eq!(node.look(&away, 7, s(22)), Ok(None));
        assert_eq!(node.look(&told(23, 6), 7, s(23)), Ok(None), "it runs another one");
        let mut broken = told(23, 7);
        broken.pushed.iter_mut().for_each(|pushed| pushed.error = "it does not run".into());
        assert_eq!(node.look(&broken, 7, s(23)), Ok(None), "it should run it, and does not");
        let pushed = v1::Pushed {
            generation: 6,
            rolled_back_generation: 7,
            rolled_back_why: "late".into(),
            ..Default::default()
        };
        let back = Told { pushed: Some(pushed), ..told(24, 6) };
        assert_eq!(node.look(&back, 7, s(24)), Err("lb01 went back by itself: late".into()));
    }
}
