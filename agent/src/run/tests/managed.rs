//! An agent with a coordinator, as a process that is killed: what stands and what was pushed comes back.
//!
//! The process is agent and coordinator at once, so that both are in one network namespace; it is told what the coordinator is to
//! ask for on standard input, and says what the agent answers on standard output.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
};

use hafleet_proto::v1::{
    self, agent_message::Message as FromAgent, coordinator_message::Message as ToAgent, event::Event,
    request::Request as What,
};
use hafleet_vrrp::State;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{PATIENCE, events};
use crate::{
    config::Inputs,
    journal::wire_state,
    local::{Document, InstancePart},
    log,
    run::{Options, run},
    status,
    uplink::tests::fake::{Authority, FakeCoordinator, GOOD},
};

const STATE_DIR: &str = "HA_AGENT_TEST_MANAGED_STATE_DIR";

const LOCAL: &str = r#"
node = "lb01"
references = ["192.168.178.1", "192.168.178.2"]

[[instance]]
name = "VI_1"
interface = "ens33"
vrid = 51
advert_interval = "100ms"
vips = [{ address = "192.168.178.3/24" }]
"#;

const PUSHED: &str = r#"
[[instance]]
name = "VI_2"
interface = "ens33"
vrid = 52
advert_interval = "100ms"
vips = [{ address = "192.168.178.4/24" }]
"#;

/// What the child process does; nothing when it is run as an ordinary test.
#[test]
#[allow(clippy::disallowed_methods, reason = "the coordinator's thread waits for a line that never comes")]
fn child_runs_a_managed_agent() {
    let Some(state_dir) = std::env::var_os(STATE_DIR) else { return };
    let state_dir = std::path::PathBuf::from(state_dir);
    for arguments in [
        "link set lo up",
        "link add ens33 type veth peer name cable",
        "addr add 192.168.178.130/24 dev ens33",
        "link set ens33 up",
        "link set cable up",
        // The other end answers as a gateway would.
        "addr add 192.168.178.1/24 dev cable",
    ] {
        let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
        assert!(status.success(), "ip {arguments}");
    }
    let authority = Authority::new();
    let coordinator = FakeCoordinator::start(&authority);
    authority.identity("lb01", GOOD, &coordinator.address).store(&state_dir).unwrap();
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(coordinate(coordinator));
    });
    let inputs = Inputs { native: Some(state_dir.join("agent.toml")), ..Inputs::default() };
    let code = run(&Options { inputs, state_dir, log_format: log::Format::Text }).unwrap();
    eprintln!("ended with {code:?}");
    std::process::exit(0);
}

async fn coordinate(mut coordinator: FakeCoordinator) {
    let (sender, mut lines) = tokio::sync::mpsc::channel(8);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = sender.blocking_send(line);
        }
    });
    loop {
        let mut session = coordinator.session().await;
        session.welcome(0).await;
        println!("\nconnected");
        loop {
            tokio::select! {
                Some(line) = lines.recv() => session.say(ToAgent::Request(request(&line))).await,
                heard = session.hear_if_any() => match heard {
                    Some(FromAgent::Answer(v1::Answer { id, done, reason, detail })) => {
                        println!("\nanswer {id} {done} {reason} {}", detail.replace('\n', "|"));
                    }
                    Some(_) => {}
                    None => break,
                },
            }
        }
    }
}

/// `ID WHAT [NUMBER [NUMBER]]`.
fn request(line: &str) -> v1::Request {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or_default();
    let generation = number(2);
    let request = match words[1] {
        "demote" => What::Give(v1::Order {
            id: "fence/1".to_owned(),
            order: Some(v1::order::Order::Demote(v1::Demote {})),
            ..v1::Order::default()
        }),
        "withdraw" => What::Withdraw(v1::Withdraw { order_id: "fence/1".to_owned() }),
        "stage" => {
            let hash = Sha256::digest(PUSHED).iter().map(|byte| format!("{byte:02x}")).collect();
            What::Stage(v1::StageConfig { generation, toml: PUSHED.to_owned(), hash })
        }
        "commit" => What::Commit(v1::CommitConfig { generation, confirm_within_us: number(3) * 1_000_000 }),
        "confirm" => What::Confirm(v1::ConfirmConfig { generation }),
        other => panic!("unknown {other}"),
    };
    v1::Request { id: words[0].to_owned(), request: Some(request) }
}

struct Agent {
    child: Child,
    stdin: ChildStdin,
    said: Receiver<String>,
    state_dir: std::path::PathBuf,
    _systemd: TempDir,
}

impl Agent {
    fn start(state_dir: &Path) -> Self {
        let systemd = tempfile::tempdir().unwrap();
        let socket = systemd.path().join("notify");
        let notifications = UnixDatagram::bind(&socket).unwrap();
        notifications.set_read_timeout(Some(PATIENCE)).unwrap();
        std::fs::write(state_dir.join("agent.toml"), LOCAL).unwrap();
        let mut child = Command::new("unshare")
            .args(["--net", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "run::tests::managed::child_runs_a_managed_agent"])
            .env(STATE_DIR, state_dir)
            .env("NOTIFY_SOCKET", &socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, said) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut buffer = [0; 4096];
        loop {
            let len = notifications.recv(&mut buffer).expect("the agent is ready");
            if String::from_utf8_lossy(&buffer[..len]).lines().any(|line| line == "READY=1") {
                break;
            }
        }
        let stdin = child.stdin.take().unwrap();
        let agent = Self { child, stdin, said, state_dir: state_dir.to_owned(), _systemd: systemd };
        agent.hear("connected");
        agent
    }

    fn hear(&self, start: &str) -> String {
        loop {
            let line = self.said.recv_timeout(PATIENCE).expect(start);
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// Has something done.
    fn done(&mut self, request: &str) {
        writeln!(self.stdin, "{request}").unwrap();
        let id = request.split(' ').next().unwrap();
        let answer = self.hear(&format!("answer {id} "));
        assert_eq!(answer, format!("answer {id} true  "));
    }

    fn status(&self) -> Document {
        status::parse(&status::ask(&self.state_dir).unwrap()).unwrap()
    }

    fn instance(&self, name: &str) -> Option<InstancePart> {
        self.status().instances.into_iter().find(|instance| instance.name == name)
    }

    #[allow(clippy::disallowed_methods, reason = "tests measure real time")]
    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = std::time::Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < PATIENCE, "waited in vain for: {what}: {:#?}", self.status());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn until_master(&self, name: &str) {
        self.until(name, |agent| agent.instance(name).is_some_and(|instance| instance.state == "MASTER"));
    }

    /// kill -9.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// How often an instance became MASTER since the last start.
fn masters_since_start(state_dir: &Path, name: &str) -> usize {
    let events = events(state_dir);
    let start = events.iter().rposition(|event| matches!(event, Event::Started(_))).unwrap();
    let became = |event: &&Event| match event {
        Event::Transition(transition) => {
            transition.instance == name && transition.to == i32::from(wire_state(State::Master))
        }
        _ => false,
    };
    events[start..].iter().filter(became).count()
}

#[allow(clippy::disallowed_methods, reason = "there is no event for nothing happening")]
fn pause(ms: u64) {
    std::thread::sleep(std::time::Duration::from_millis(ms));
}

#[test]
fn a_fence_outlives_a_kill_and_is_never_forgotten_for_a_moment() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(dir.path());
    agent.until_master("VI_1");
    agent.done("1 demote");
    let fenced = agent.instance("VI_1").unwrap();
    assert_eq!((fenced.state.as_str(), fenced.reason.as_str()), ("FAULT", "held"));
    agent.until("released", |agent| agent.instance("VI_1").is_some_and(|one| !one.vips[0].present));
    agent.kill();

    let agent = Agent::start(dir.path());
    // Several Master_Downs long nobody else is heard, and it stays.
    pause(2_500);
    let fenced = agent.instance("VI_1").unwrap();
    assert_eq!((fenced.state.as_str(), fenced.transitions), ("FAULT", 1));
    assert_eq!(agent.status().orders.standing[0].what, "demote");
    agent.kill();
    assert_eq!(masters_since_start(dir.path(), "VI_1"), 0);

    let mut agent = Agent::start(dir.path());
    agent.done("2 withdraw");
    agent.until_master("VI_1");
    assert!(agent.status().orders.standing.is_empty());
    agent.kill();
}

#[test]
fn reference_addresses_are_asked() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Agent::start(dir.path());
    agent.until("both are known", |agent| agent.status().references.len() == 2);
    let [there, away] = &agent.status().references[..] else { panic!("{:?}", agent.status().references) };
    assert_eq!((there.address.as_str(), there.reachable), ("192.168.178.1", true));
    assert_eq!(there.interface.as_deref(), Some("ens33"));
    assert_eq!((away.address.as_str(), away.reachable), ("192.168.178.2", false));
    agent.kill();
}

#[test]
fn a_configuration_that_is_not_confirmed_goes_after_a_kill_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(dir.path());
    agent.until_master("VI_1");
    agent.done("1 stage 1");
    assert_eq!(agent.status().pushed.staged_generation, Some(1));
    agent.done("2 commit 1 4");
    agent.until_master("VI_2");
    assert_eq!(agent.instance("VI_1").unwrap().transitions, 2, "what did not change does not notice");
    agent.kill();

    // The time goes on, and nobody has to ask for anything.
    let agent = Agent::start(dir.path());
    let pushed = agent.status().pushed;
    assert_eq!(pushed.generation, Some(1));
    assert!(pushed.confirm_left_ms.is_some_and(|left_ms| left_ms < 4_000), "{pushed:?}");
    agent.until("given up", |agent| agent.status().pushed.generation.is_none());
    assert!(agent.instance("VI_2").is_none());
    assert_eq!(agent.status().pushed.rolled_back_why.as_deref(), Some("it was not confirmed in time"));
    agent.kill();
}

#[test]
fn a_time_that_is_over_while_no_agent_runs_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(dir.path());
    agent.done("1 stage 1");
    agent.done("2 commit 1 1");
    agent.kill();
    pause(1_100);
    let agent = Agent::start(dir.path());
    assert!(agent.instance("VI_2").is_none());
    assert_eq!(agent.status().pushed.rolled_back_generation, Some(1));
    agent.kill();
    assert_eq!(masters_since_start(dir.path(), "VI_2"), 0);
}

#[test]
fn a_confirmed_configuration_stays_whatever_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(dir.path());
    agent.done("1 stage 1");
    agent.done("2 commit 1 2");
    agent.done("3 confirm 1");
    agent.kill();
    pause(2_100);
    let agent = Agent::start(dir.path());
    agent.until_master("VI_2");
    assert_eq!((agent.status().pushed.generation, agent.status().pushed.confirm_left_ms), (Some(1), None));
    agent.kill();
}
