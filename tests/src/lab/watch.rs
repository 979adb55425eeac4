//! When a host's kernel had an address and when not, from the kernel's own notifications.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{Host, wait_for};

/// A running `ip monitor` on a host. Ended on drop.
#[derive(Debug)]
pub struct Watch {
    child: Child,
    lines: Arc<Mutex<Vec<(Duration, String)>>>,
}

/// A time during which a host had an address; without an end it still has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// When it came.
    pub from: Duration,
    /// When it went.
    pub until: Option<Duration>,
}

impl Host {
    /// Watches addresses and links of this host from now on.
    pub fn watch(&self) -> Result<Watch> {
        let mut command = self.in_real_time().command("ip");
        // It tells its own time, in the time zone of the environment.
        command.args(["-o", "-ts", "monitor", "address", "link"]).env("TZ", "UTC");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("starting ip monitor")?;
        let output = child.stdout.take().context("ip monitor has no standard output")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        std::thread::spawn({
            let lines = Arc::clone(&lines);
            move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let Some(stamped) = stamped(&line) else { continue };
                    lines.lock().unwrap_or_else(PoisonError::into_inner).push(stamped);
                }
            }
        });
        let watch = Watch { child, lines };
        // It has begun when it sees an address that comes and goes.
        wait_for("ip monitor to listen", Duration::from_secs(10), || {
            for verb in ["add", "del"] {
                self.ip(&["addr", verb, "127.99.0.1/32", "dev", "lo"])?;
            }
            Ok((!watch.lines.lock().unwrap_or_else(PoisonError::into_inner).is_empty()).then_some(()))
        })?;
        Ok(watch)
    }
}

impl Watch {
    /// When the host had `address`, which it had not when the watch began. Renewals of a lease change nothing.
    pub fn held(&self, address: &str) -> Vec<Held> {
        let wanted = format!(" {address}/");
        let mut held: Vec<Held> = Vec::new();
        for (at, line) in self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if !line.contains(" inet") || !line.contains(&wanted) {
                continue;
            }
            note(&mut held, *at, !line.starts_with("Deleted "));
        }
        held
    }

    /// When an interface was usable, by its `LOWER_UP` flag.
    pub fn up(&self, interface: &str) -> Vec<Held> {
        let wanted = format!(": {interface}@");
        let mut held: Vec<Held> = Vec::new();
        for (at, line) in self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if line.contains(&wanted) && line.contains(" link/") {
                note(&mut held, *at, line.contains("LOWER_UP") && !line.starts_with("Deleted "));
            }
        }
        held
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `[2026-11-23T15:00:00.123456] 3: ens33 …`, in UTC.
fn stamped(line: &str) -> Option<(Duration, String)> {
    let (stamp, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let at = jiff::tz::TimeZone::UTC.to_timestamp(stamp.parse().ok()?).ok()?;
    let since_epoch = Duration::try_from(at.as_duration()).ok()?;
    Some((since_epoch, rest.to_owned()))
}

fn note(held: &mut Vec<Held>, at: Duration, is_there: bool) {
    match (held.last_mut(), is_there) {
        (Some(Held { until: None, .. }), true) => {}
        (Some(Held { until: until @ None, .. }), false) => *until = Some(at),
        (_, true) => held.push(Held { from: at, until: None }),
        (None | Some(Held { until: Some(_), .. }), false) => {}
    }
}

/// The longest time since `since` during which both had it; `at` ends what has no end yet.
pub fn overlap(one: &[Held], other: &[Held], since: Duration, at: Duration) -> Duration {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
    pairs
        .map(|(a, b)| {
            let from = a.from.max(b.from).max(since);
            a.until.unwrap_or(at).min(b.until.unwrap_or(at)).saturating_sub(from)
        })
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overlap_is_what_both_had() {
        let seconds = Duration::from_secs;
        let held = |from, until: Option<u64>| Held { from: seconds(from), until: until.map(seconds) };
        let since = seconds(0);
        assert_eq!(overlap(&[held(1, Some(4))], &[held(3, None)], since, seconds(9)), seconds(1));
        assert_eq!(overlap(&[held(1, Some(2))], &[held(3, None)], since, seconds(9)), seconds(0));
        assert_eq!(overlap(&[held(1, None)], &[held(3, None)], since, seconds(9)), seconds(6));
        assert_eq!(overlap(&[held(1, None)], &[held(3, None)], seconds(8), seconds(9)), seconds(1));
        assert_eq!(overlap(&[], &[held(3, None)], since, seconds(9)), seconds(0));
    }

    #[test]
    fn the_time_that_ip_tells_is_read() {
        let line = "[1970-01-02T00:00:01.500000] Deleted 3: ens33    inet 10.77.0.100/24 scope global ens33";
        let (at, rest) = stamped(line).unwrap();
        assert_eq!(at, Duration::from_millis(86_401_500));
        assert!(rest.starts_with("Deleted 3: ens33"), "{rest}");
    }

    #[test]
    fn a_renewal_changes_nothing_and_a_removal_ends_it() {
        let mut held = Vec::new();
        for (at, is_there) in [(1, false), (2, true), (3, true), (4, false), (5, false), (6, true)] {
            note(&mut held, Duration::from_secs(at), is_there);
        }
        let seconds = Duration::from_secs;
        assert_eq!(
            held,
            [Held { from: seconds(2), until: Some(seconds(4)) }, Held { from: seconds(6), until: None }]
        );
    }
}
