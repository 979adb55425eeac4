//! The agent as a process: what it tells systemd, what signals do, what is left behind. With no virtual router, so that
//! nothing is sent; an engine runs all the same, and needs CAP_NET_RAW for it as in earnest.

mod managed;

use std::{
    io::{BufRead, BufReader, Lines},
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use hafleet_proto::v1::event::Event;
use rustix::process::{Pid, Signal as Number, kill_process};
use tempfile::TempDir;

use super::*;
use crate::status;

const STATE_DIR: &str = "HA_AGENT_TEST_STATE_DIR";
/// No step takes longer on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the child process does; nothing when it is run as an ordinary test.
#[test]
fn child_runs_an_agent() {
    let Some(state_dir) = std::env::var_os(STATE_DIR) else { return };
    let state_dir = PathBuf::from(state_dir);
    let inputs = Inputs { native: Some(state_dir.join("agent.toml")), ..Inputs::default() };
    let code = run(&Options { inputs, state_dir, log_format: log::Format::Json }).unwrap();
    eprintln!("ended with {code:?}");
}

struct Agent {
    child: Child,
    notifications: UnixDatagram,
    _systemd: TempDir,
    state_dir: PathBuf,
    lines: Lines<BufReader<ChildStderr>>,
    log: String,
}

impl Agent {
    /// Starts an agent and waits for nothing.
    fn spawn(state_dir: &Path, watchdog: &str) -> Self {
        Self::spawn_with(state_dir, watchdog, "node = \"lb01\"\nsite = \"dc1\"\n")
    }

    fn spawn_with(state_dir: &Path, watchdog: &str, configuration: &str) -> Self {
        let systemd = tempfile::tempdir().unwrap();
        let socket = systemd.path().join("notify");
        let notifications = UnixDatagram::bind(&socket).unwrap();
        notifications.set_read_timeout(Some(PATIENCE)).unwrap();
        std::fs::write(state_dir.join("agent.toml"), configuration).unwrap();
        // One agent per network namespace: a namespace of its own, whoever else runs one on this machine.
        let mut child = Command::new("unshare")
            .args(["--net", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "run::tests::child_runs_an_agent"])
            .env(STATE_DIR, state_dir)
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", watchdog)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            child,
            notifications,
            _systemd: systemd,
            state_dir: state_dir.to_owned(),
            lines,
            log: String::new(),
        }
    }

    fn start(state_dir: &Path) -> Self {
        let agent = Self::spawn(state_dir, "300000");
        agent.until_told("READY=1");
        agent
    }

    fn until_told(&self, word: &str) {
        let mut buffer = [0; 4096];
        loop {
            let len = self.notifications.recv(&mut buffer).expect(word);
            if String::from_utf8_lossy(&buffer[..len]).lines().any(|line| line == word) {
                return;
            }
        }
    }

    fn until_journalled(&self, last_seq: u64) {
        let began = clock::now();
        while status::parse(&status::ask(&self.state_dir).unwrap()).unwrap().journal.last_seq < last_seq {
            assert!(clock::now().since(began) < PATIENCE, "nothing is journalled");
        }
    }

    fn signal(&self, signal: Number) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Reads the log until this stands in it.
    fn until_logged(&mut self, words: &str) {
        while !self.log.contains(words) {
            let line =
                self.lines.next().unwrap_or_else(|| panic!("{words:?} is not in the log:\n{}", self.log));
            self.log.push_str(&line.unwrap());
            self.log.push('\n');
        }
    }

    /// Its log, to the end.
    fn end(mut self) -> String {
        for line in self.lines.by_ref() {
            self.log.push_str(&line.unwrap());
            self.log.push('\n');
        }
        self.child.wait().unwrap();
        self.log
    }
}

/// Every event in the journal.
fn events(state_dir: &Path) -> Vec<Event> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (journal, _thread) = Journal::start(&state_dir.join("journal"), Limits::default()).unwrap();
        let mut status = journal.status();
        let opened = timeout(PATIENCE, status.wait_for(|status| status.journal_id.is_some())).await;
        assert!(opened.is_ok());
        let events = journal.read(1, 256).await.unwrap();
        journal.close();
        events.into_iter().map(|event| event.event.unwrap()).collect()
    })
}

#[test]
fn an_agent_from_its_start_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(dir.path());
    agent.until_told("WATCHDOG=1");
    let document = status::parse(&status::ask(dir.path()).unwrap()).unwrap();
    assert_eq!(document.agent.node.as_deref(), Some("lb01"));
    assert_eq!(document.agent.pid, agent.child.id());
    assert_eq!((document.engine.error, document.uplink.state.as_str()), (None, "off"));

    // A second agent with the same state directory is refused, and the first one does not notice.
    let second = Agent::spawn(dir.path(), "0").end();
    assert!(
        second.contains("another ha-agent (process") && second.contains("unix_exit_status(1)"),
        "{second}"
    );
    assert!(status::ask(dir.path()).is_ok());

    agent.signal(Number::HUP);
    agent.until_told("RELOADING=1");
    agent.until_logged("the configuration is applied: 0 unchanged");
    agent.until_told("READY=1");
    let file = dir.path().join("agent.toml");
    std::fs::write(&file, "node = \"lb02\"\nsite = \"dc1\"\n").unwrap();
    agent.signal(Number::HUP);
    agent.until_logged("`node` is different in the configuration; it takes effect with a restart");
    std::fs::write(&file, "nod = \"lb02\"\n").unwrap();
    agent.signal(Number::HUP);
    agent.until_logged("nothing was changed");
    agent.until_logged("agent.toml:1:1: error: `nod` is not a key of agent.toml");
    let document = status::parse(&status::ask(dir.path()).unwrap()).unwrap();
    assert_eq!((document.configuration.taken, document.configuration.refused), (2, 1));
    assert!(document.configuration.error.unwrap().contains("`nod` is not a key"));
    agent.signal(Number::USR1);
    agent.until_logged("state: {");
    agent.signal(Number::TERM);
    agent.until_told("STOPPING=1");
    agent.until_logged("stopping: priority 0");
    let log = agent.end();
    assert!(log.contains("unix_exit_status(0)"), "{log}");
    assert_eq!(log.matches("ERROR").count(), 1, "the configuration that is refused:\n{log}");
    assert_eq!(
        log.matches("runs on its own").count(),
        2,
        "once in the log, once in the dumped state:\n{log}"
    );
    let events = events(dir.path());
    assert!(
        matches!(
            &events[..],
            [
                Event::Started(_),
                Event::Configuration(_),
                Event::Configuration(_),
                Event::Configuration(refused),
                Event::Stopped(stopped),
            ] if stopped.reason == "sigterm" && refused.what == "refused"
        ),
        "{events:?}"
    );
}

#[test]
fn a_killed_agent_leaves_nothing_in_the_way_of_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(dir.path());
    agent.until_journalled(1);
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    let agent = Agent::start(dir.path());
    agent.signal(Number::INT);
    assert!(agent.end().contains("unix_exit_status(0)"));
    let events = events(dir.path());
    let [Event::Started(_), Event::Started(_), Event::Stopped(stopped)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(stopped.reason, "sigint");
}

#[test]
fn an_agent_whose_metrics_cannot_be_served_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::spawn_with(dir.path(), "0", "metrics = \"[2001:db8::1]:9101\"\n");
    let log = agent.end();
    let expected = "cannot serve metrics at [2001:db8::1]:9101 (`metrics` of agent.toml): Cannot assign requested address";
    assert!(log.contains(expected) && log.contains("unix_exit_status(1)"), "{log}");
    assert!(!log.contains("ha-agent runs"), "{log}");
}

#[test]
fn a_broken_configuration_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.toml");
    std::fs::write(&path, "nodes = 1\n").unwrap();
    let inputs = Inputs { native: Some(path), ..Inputs::default() };
    let options = Options { inputs, state_dir: dir.path().join("state"), log_format: log::Format::Text };
    assert_eq!(format!("{:?}", run(&options).unwrap()), format!("{:?}", ExitCode::FAILURE));
    assert!(!options.state_dir.exists());
}
