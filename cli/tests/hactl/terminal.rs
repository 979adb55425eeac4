//! What happens on a real (pseudo-)terminal: the live screen, questions, width.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Child, Command},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, open},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use tokio::sync::Semaphore;

use crate::{
    fences::waiting,
    run::Desk,
    sample::{split, well},
};

/// Far longer than any text takes, so that only a hang runs into it.
const BOUND: Duration = Duration::from_secs(20);

struct Terminal {
    child: Child,
    keyboard: File,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let theirs: OwnedFd =
            open(ptsname(&ours, Vec::new()).unwrap(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        tcsetwinsize(&theirs, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let child = command
            .env("TERM", "xterm")
            .stdin(theirs.try_clone().unwrap())
            .stdout(theirs.try_clone().unwrap())
            .stderr(theirs)
            .spawn()
            .unwrap();
        // The command holds the other end too; with it gone, a read of ours ends with the child.
        drop(command);
        let mut screen = File::from(ours.try_clone().unwrap());
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A pseudo-terminal ends with EIO.
            while let Ok(length) = screen.read(&mut buffer) {
                if length == 0 || sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keyboard: File::from(ours), output, seen: String::new() }
    }

    #[expect(clippy::disallowed_methods, reason = "the bound of a wait for an event")]
    fn until(&mut self, words: &str) {
        let end = Instant::now() + BOUND;
        while !self.seen.contains(words) {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("{words:?} did not come ({error}): {:?}", self.seen),
            }
        }
    }

    fn finish(&mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        while let Ok(bytes) = self.output.recv_timeout(BOUND) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        code
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_question_is_asked_and_its_answer_counts() {
    for (answer, code, revoked) in [("y\n", Some(0), true), ("n\n", Some(2), false), ("\n", Some(2), false)] {
        let desk = Desk::new(well());
        let mut terminal = Terminal::start(desk.command(&["node", "revoke", "lb02"]), 100, 30);
        terminal.until("Revoke lb02? The coordinator will refuse to hear it. [y/N] ");
        terminal.keyboard.write_all(answer.as_bytes()).unwrap();
        assert_eq!(terminal.finish(), code, "{answer:?}: {}", terminal.seen);
        assert_eq!(desk.coordinator.script.lock().unwrap().fleet.nodes[1].revoked, revoked, "{answer:?}");
    }
}

/// Rule 21: what switches a node off is not a letter that is typed by habit.
#[test]
fn power_is_cut_only_when_the_node_s_name_was_typed() {
    for (typed, code) in [("y\n", Some(2)), ("\n", Some(2)), ("lb01\n", Some(2)), ("lb02\n", Some(0))] {
        let mut script = well();
        waiting(&mut script);
        let desk = Desk::new(script);
        let mut terminal =
            Terminal::start(desk.command(&["fence", "run", "lb02", "--level", "power"]), 100, 30);
        terminal.until("This switches lb02 off. Type its name: ");
        terminal.keyboard.write_all(typed.as_bytes()).unwrap();
        assert_eq!(terminal.finish(), code, "{typed:?}: {}", terminal.seen);
        let asked = desk.coordinator.asked();
        assert_eq!(asked.contains("node_typed: \"lb02\""), code == Some(0), "{typed:?}: {asked}");
    }
}

#[test]
fn the_live_screen_is_drawn_and_given_back() {
    let desk = Desk::new(split());
    let mut terminal = Terminal::start(desk.command(&["watch"]), 100, 60);
    terminal.until("\u{1b}[?1049h");
    terminal.until("1 critical finding");
    terminal.until("stale since 12:01:36 +01:00");
    desk.coordinator.script.lock().unwrap().fleet = well().fleet;
    desk.coordinator.say(hafleet_proto::v1::watch_event::Event::Missed(7));
    terminal.until("7 events were left out");
    kill_process(Pid::from_child(&terminal.child), Signal::INT).unwrap();
    assert_eq!(terminal.finish(), Some(0));
    assert!(terminal.seen.ends_with("\u{1b}[?25h\u{1b}[?1049l"), "{:?}", terminal.seen);
}

#[test]
fn a_lost_coordinator_makes_everything_on_the_screen_stale() {
    let mut desk = Desk::new(well());
    let mut terminal = Terminal::start(desk.command(&["watch"]), 100, 60);
    terminal.until("fleet is well");
    let other = crate::fake::Coordinator::start(&desk.ca, &desk.server, well());
    drop(std::mem::replace(&mut desk.coordinator, other));
    terminal.until("everything shown is stale since 12:03:11 +01:00");
    terminal.until("not known to be well: 3 of 3 nodes not heard");
}

#[test]
fn tables_take_the_terminal_s_width_and_colour() {
    let desk = Desk::new(split());
    for columns in [80, 120] {
        let mut terminal = Terminal::start(desk.command(&["get", "groups"]), columns, 30);
        assert_eq!(terminal.finish(), Some(0));
        let piped = desk.run_at(columns, &["get", "groups", "--color", "always"]).stdout;
        assert_eq!(terminal.seen.replace("\r\n", "\n"), piped);
    }
    let mut command = desk.command(&["get", "groups"]);
    command.env("NO_COLOR", "1");
    let mut terminal = Terminal::start(command, 80, 30);
    terminal.finish();
    assert_eq!(terminal.seen.replace("\r\n", "\n"), desk.run_at(80, &["get", "groups"]).stdout);
}

#[test]
fn an_apply_is_told_live() {
    let mut script = crate::configs::applied();
    let pace = Arc::new(Semaphore::new(0));
    script.configs.pace = Some(Arc::clone(&pace));
    let desk = Desk::new(script);
    let path = desk.directory.path().join("fleet.toml");
    std::fs::write(&path, "[[group]]\n").unwrap();
    let command = desk.command(&["config", "apply", &path.display().to_string()]);
    let mut terminal = Terminal::start(command, 100, 24);
    terminal.until("Apply 1 changes to the fleet?");
    terminal.keyboard.write_all(b"y\n").unwrap();
    pace.add_permits(2);
    for (words, permits) in
        [("staged", 1), ("committed", 1), ("confirmed", 1), ("generation 8 is applied", 0)]
    {
        terminal.until(words);
        pace.add_permits(permits);
    }
    assert_eq!(terminal.finish(), Some(0), "{}", terminal.seen);
}
