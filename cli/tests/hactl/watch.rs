//! `hactl watch` in a pipe.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use hafleet_proto::v1::{VrrpState, watch_event::Event};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    fake::{Coordinator, Script},
    run::{Desk, reserve},
    sample::{split, split_brain, transition, well},
};

/// Far longer than any line takes, so that only a hang runs into it.
const BOUND: Duration = Duration::from_secs(20);

struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(desk: &Desk, arguments: &[&str]) -> Self {
        let mut child = desk
            .command(&[&["watch"], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = read_lines(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line that has this in it; the ones before are let go.
    #[expect(clippy::disallowed_methods, reason = "the bound of a wait for an event")]
    fn until(&self, words: &str) -> String {
        let end = Instant::now() + BOUND;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(words) => return line,
                Ok(_) => {}
                Err(error) => panic!("{words:?} did not come: {error}"),
            }
        }
    }

    fn interrupt(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[test]
fn changes_come_as_lines() {
    let desk = Desk::new(well());
    let watch = Watch::start(&desk, &[]);
    assert_eq!(
        watch.until("fleet is well"),
        "12:03:11 +01:00  fleet is well: 3 nodes, 2 groups, no findings",
    );
    assert_eq!(
        watch.until("group dc1/web"),
        "12:03:11 +01:00  group dc1/web (192.168.178.3/24): ok, held by lb01 since 10:58:11 +01:00 (1h 5m ago)",
    );
    desk.coordinator.say(Event::Transition(transition("lb02", 3, VrrpState::Backup, VrrpState::Master, 1)));
    assert_eq!(
        watch.until("transition"),
        "12:03:10 +01:00  transition lb02/VI_1: BACKUP -> MASTER (master_down: no advertisement from 192.168.178.131 \
         for 3.41 s)",
    );
    desk.coordinator.say(Event::Finding(split_brain()));
    let line = watch.until("finding critical firing split_brain.confirmed@dc1/192.168.178.3#1");
    assert!(line.contains("Cause: Something filters VRRP") && line.contains("Do: nft add rule"), "{line}");
    desk.coordinator.say(Event::Missed(3));
    watch.until("3 events were left out");
    assert_eq!(watch.interrupt(), Some(0));
}

#[test]
fn what_is_no_longer_heard_is_said_to_be_stale() {
    let desk = Desk::new(well());
    let watch = Watch::start(&desk, &[]);
    watch.until("fleet is well");
    // No event tells of silence: hactl has to ask by itself.
    desk.coordinator.script.lock().unwrap().fleet = split().fleet;
    watch.until("1 critical finding");
    watch.until("group dc1/web (192.168.178.3/24): split_brain, no holder");
    assert_eq!(watch.until("node lb03"), "12:03:11 +01:00  node lb03: stale since 12:01:36 +01:00 (1m ago)");
}

#[test]
fn a_lost_coordinator_is_told_and_found_again() {
    let desk = Desk::new(well());
    let user = desk.ca.user("admin");
    let (_reserved, address) = reserve();
    let first = Coordinator::start_at(address, &desk.ca, &desk.server, well());
    let path = desk.write_context("moving.toml", &desk.ca.pem(), &user, &[&address.to_string()]);
    let watch = Watch::start(&desk, &["--context", path.to_str().unwrap(), "-o", "jsonl"]);
    watch.until("\"event\":\"fleet\"");
    drop(first);
    let line: serde_json::Value = serde_json::from_str(&watch.until("\"event\":\"disconnected\"")).unwrap();
    assert_eq!(line["stale_since"], "2026-11-23T11:03:11Z", "{line}");
    assert_eq!(line["next_try_ms"], 500, "{line}");
    let line: serde_json::Value = serde_json::from_str(&watch.until("connection refused")).unwrap();
    assert!(line["next_try_ms"].as_u64().unwrap() > 500, "the wait grows: {line}");
    let second = Coordinator::start_at(address, &desk.ca, &desk.server, split());
    watch.until("\"event\":\"connected\"");
    watch.until("\"event\":\"node\",\"node\":\"lb03\"");
    second.say(Event::Finding(split_brain()));
    watch.until("\"event\":\"finding\",\"id\":\"split_brain.confirmed@dc1/192.168.178.3#1\"");
    assert_eq!(watch.interrupt(), Some(0));
}

#[test]
fn silence_is_a_lost_coordinator() {
    let desk = Desk::new(Script { ticks: false, ..well() });
    let watch = Watch::start(&desk, &[]);
    watch.until("fleet is well");
    // Not even ticks come: after five seconds that is taken for a loss.
    let line = watch.until("not connected");
    assert!(
        line.contains("nothing was heard for 5 s; everything shown is stale since 12:03:11 +01:00"),
        "{line}"
    );
}

#[test]
fn a_first_try_that_fails_ends_it() {
    let desk = Desk::new(Script { refusal: Some((tonic::Code::PermissionDenied, "no")), ..well() });
    assert_eq!(desk.run(&["watch"]).code, Some(4));
    let (_reserved, nobody) = reserve();
    assert_eq!(desk.run(&["watch", "--coordinator", &nobody.to_string()]).code, Some(7));
}
