#![allow(clippy::unwrap_used, clippy::panic)]
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use hafleet_fleet::fence::{Device, FencePolicy, FenceState};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::{
    actuator::program::Value,
    store::{FenceCommit, FenceEntry, FenceRow, FenceStandingRow, NodeRow},
};

const DUMMY: &str = "/usr/sbin/fence_dummy";
/// Far longer than a program of ours takes.
const SOON: Duration = Duration::from_secs(60);

/// A store under an epoch, a roster, and lb02 on Debian's fence_dummy.
struct Bench {
    dir: TempDir,
    store: Store,
    roster: Arc<Roster>,
    agents: Arc<AgentActuator>,
    steps: Steps,
}

impl Bench {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("outlet"), "on").unwrap();
        let parameters = BTreeMap::from([
            ("type".to_owned(), Value::Plain("file".to_owned())),
            ("status_file".to_owned(), Value::Plain(dir.path().join("outlet").display().to_string())),
        ]);
        let device = |node: &str, program: &str| FenceDevice {
            node: NodeName(node.into()),
            rung: Rung::Power,
            name: Device(node.into()),
            program: program.into(),
            parameters: parameters.clone(),
            sealed: BTreeMap::new(),
        };
        let mut fencing = Fencing {
            policy: FencePolicy::default(),
            devices: vec![device("lb02", DUMMY), device("lb03", "/nonexistent/fence_x")],
            references: Vec::new(),
        };
        fencing.policy.windows.demote = Duration::from_millis(500);
        let url = format!("sqlite://{}", dir.path().join("fleet.db").display());
        let store = Store::open(&url.parse().unwrap()).await.unwrap();
        assert_eq!(store.take_fence_epoch(1).await.unwrap(), 1);
        written_down(&store).await;
        let roster = Arc::new(Roster::default());
        let agents = Arc::new(AgentActuator::new(Arc::clone(&roster)));
        let steps = Steps::new(store.clone(), Arc::clone(&roster), Arc::clone(&agents), &fencing);
        Self { dir, store, roster, agents, steps }
    }

    fn outlet(&self) -> String {
        fs::read_to_string(self.dir.path().join("outlet")).unwrap()
    }

    /// A program of our own, which takes no parameter; `first` is run when it is asked what it takes.
    fn script(&self, name: &str, first: &str, body: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        let metadata = "<resource-agent name=\"fence_test\"><actions><action name=\"off\"/>\
                        <action name=\"status\"/></actions></resource-agent>";
        let text = format!(
            "#!/bin/sh\ncd {}\nread -r asked\nif [ \"$asked\" = action=metadata ]; then\n{first}\n\
             echo '{metadata}'\nexit 0\nfi\n{body}\n",
            self.dir.path().display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// `node` is fenced by this program from now on, under this name.
    fn uses(&mut self, node: &str, program: &Path, name: &str) {
        let device = FenceDevice {
            node: NodeName(node.into()),
            rung: Rung::Power,
            name: Device(name.into()),
            program: program.to_owned(),
            parameters: BTreeMap::new(),
            sealed: BTreeMap::new(),
        };
        let same = self.steps.devices.values().find(|slot| slot.device.name == device.name);
        let turn = same.map(|slot| Arc::clone(&slot.turn)).unwrap_or_default();
        let slot = Slot { device, program: OnceCell::new(), turn };
        self.steps.devices.insert((NodeName(node.into()), Rung::Power), slot);
    }

    /// The same with a program of our own for lb04; `first` is run when it is asked what it takes.
    fn with_program(&self, first: &str, body: &str, within: Duration) -> Steps {
        let program = self.script("fence_test", first, body);
        let mut fencing = Fencing {
            devices: vec![FenceDevice {
                node: NodeName("lb04".into()),
                rung: Rung::Power,
                name: Device("lb04".into()),
                program,
                parameters: BTreeMap::new(),
                sealed: BTreeMap::new(),
            }],
            ..Fencing::default()
        };
        fencing.policy.windows.step = within;
        fencing.policy.windows.poll = within;
        Steps::new(self.store.clone(), Arc::clone(&self.roster), Arc::clone(&self.agents), &fencing)
    }

    async fn run(&self, epoch: u64, node: &str, action: StepAction) -> FenceInput {
        run(&self.steps, epoch, node, action).await
    }

    async fn demote(&self, epoch: u64) -> Outcome {
        let effect = FenceEffect::Demote {
            epoch,
            operation: OperationId(17),
            node: NodeName("lb02".into()),
            instances: vec!["VI_1".into()],
            why: "lb02 loses".into(),
        };
        match self.steps.take(effect).await {
            Some(FenceInput::Demoted { operation: OperationId(17), outcome }) => outcome,
            other => panic!("{other:?}"),
        }
    }
}

async fn run(steps: &Steps, epoch: u64, node: &str, action: StepAction) -> FenceInput {
    let effect = FenceEffect::RunStep {
        epoch,
        operation: OperationId(17),
        revision: 5,
        node: NodeName(node.into()),
        rung: Rung::Power,
        device: Device(node.into()),
        action,
    };
    steps.take(effect).await.unwrap()
}

async fn comes(path: &Path) {
    while !path.exists() {
        sleep(Duration::from_millis(5)).await;
    }
}

/// fence/17 against lb02, as whoever hands out its steps has written it.
async fn written_down(store: &Store) {
    let node = NodeRow {
        name: "lb02".into(),
        site: "dc1".into(),
        first_seen_us: 1,
        last_seen_us: None,
        agent_version: String::new(),
        certificate_serial: None,
        certificate_not_after_us: None,
        revoked_at_us: None,
    };
    store.save_node(&node).await.unwrap();
    let standing = FenceStandingRow { revision: 1, epoch: 1, body: "{}".into(), updated_us: 1 };
    let operation = FenceRow {
        number: 17,
        revision: 1,
        epoch: 1,
        target: "lb02".into(),
        state: FenceState::Demoting,
        holds_order: true,
        proposed_at_us: 1,
        entered_at_us: 1,
        body: "{}".into(),
        updated_us: 1,
    };
    let entries = [FenceEntry::Write(standing, Some(operation))];
    assert_eq!(store.commit_fence(&entries).await.unwrap(), FenceCommit::Written);
}

#[tokio::test]
async fn debian_s_fence_dummy_is_switched_off_and_its_status_read() {
    let bench = Bench::start().await;
    let status = bench.run(1, "lb02", StepAction::Status).await;
    assert!(matches!(status, FenceInput::Status { reading: Reading::On, revision: 5, .. }), "{status:?}");
    let ran = bench.run(1, "lb02", StepAction::Off).await;
    let FenceInput::Ran { operation: OperationId(17), revision: 5, outcome: Outcome::Done, trace } = ran
    else {
        panic!("{ran:?}")
    };
    assert!(trace.command.starts_with("/usr/sbin/fence_dummy action=off "), "{trace:?}");
    assert_eq!(trace.exit_code, Some(0));
    assert_eq!(bench.outlet().trim(), "off");
    let status = bench.run(1, "lb02", StepAction::Status).await;
    assert!(matches!(status, FenceInput::Status { reading: Reading::Off, .. }), "{status:?}");
}

#[tokio::test]
async fn under_an_older_epoch_nothing_is_done() {
    let bench = Bench::start().await;
    let node = NodeName("lb02".into());
    let (outbound, mut told) = mpsc::channel(4);
    let registration = bench.roster.register(&node, "a:1", outbound, || ());
    bench.roster.welcomed(&node, registration.id);
    // Another coordinator leads by now.
    bench.store.take_fence_epoch(2).await.unwrap();
    let ran = bench.run(1, "lb02", StepAction::Off).await;
    let FenceInput::Ran { outcome: Outcome::Failed, trace, .. } = ran else { panic!("{ran:?}") };
    assert_eq!(trace.tail, "the step is of epoch 1, and 2 is taken: another coordinator leads");
    assert_eq!(bench.outlet(), "on");
    assert_eq!(bench.demote(1).await, Outcome::Failed);
    assert!(told.try_recv().is_err(), "nobody was told");
    // Nor under one that the database has not given: it was restored from a backup, or is another one.
    let ran = bench.run(3, "lb02", StepAction::Off).await;
    assert!(matches!(ran, FenceInput::Ran { outcome: Outcome::Failed, .. }), "{ran:?}");
    assert_eq!(bench.demote(3).await, Outcome::Failed);
    // Nor while the database does not say.
    bench.store.close().await;
    assert_eq!(bench.demote(2).await, Outcome::Failed);
    let ran = bench.run(2, "lb02", StepAction::Off).await;
    assert!(matches!(ran, FenceInput::Ran { outcome: Outcome::Failed, .. }), "{ran:?}");
    assert_eq!(bench.outlet(), "on");
    assert!(told.try_recv().is_err());
}

/// A program is asked what it takes before its first step, which may take long; another coordinator leads afterwards.
#[tokio::test]
async fn the_epoch_is_looked_up_when_the_program_is_known() {
    let bench = Bench::start().await;
    let steps = bench.with_program("echo >asked; while [ ! -e go ]; do sleep 0.05; done", "echo >off", SOON);
    let other = async {
        comes(&bench.dir.path().join("asked")).await;
        bench.store.take_fence_epoch(2).await.unwrap();
        fs::write(bench.dir.path().join("go"), "").unwrap();
    };
    let (ran, ()) = tokio::join!(run(&steps, 1, "lb04", StepAction::Off), other);
    let FenceInput::Ran { outcome: Outcome::Failed, trace, .. } = ran else { panic!("{ran:?}") };
    assert!(trace.tail.contains("another coordinator leads"), "{trace:?}");
    assert!(!bench.dir.path().join("off").exists(), "the program was run");
    let ran = run(&steps, 2, "lb04", StepAction::Off).await;
    assert!(matches!(ran, FenceInput::Ran { outcome: Outcome::Done, .. }), "{ran:?}");
    assert!(bench.dir.path().join("off").exists());
}

#[tokio::test]
async fn each_end_of_a_program_has_its_word_and_is_written_down() {
    let bench = Bench::start().await;
    let verify = async |steps: &Steps| {
        let (node, rung, device) = (NodeName("lb04".into()), Rung::Power, Device("lb04".into()));
        match steps.take(FenceEffect::VerifyPath { node, rung, device }).await {
            Some(FenceInput::PathVerified { outcome, .. }) => outcome,
            other => panic!("{other:?}"),
        }
    };
    for (body, off, status, verified, exit_code, tail) in [
        ("echo it is done", Outcome::Done, Reading::On, Outcome::Done, Some(0), "it is done\n"),
        ("echo no >&2; exit 1", Outcome::Failed, Reading::Unknown, Outcome::Failed, Some(1), "no\n"),
        ("echo Status: OFF; exit 2", Outcome::Failed, Reading::Off, Outcome::Done, Some(2), "Status: OFF\n"),
        ("echo Status: OFF", Outcome::Done, Reading::Unknown, Outcome::Unknown, Some(0), "Status: OFF\n"),
        ("sleep 60", Outcome::TimedOut, Reading::Unknown, Outcome::TimedOut, None, "timed out\n"),
        ("kill -9 $$", Outcome::Unknown, Reading::Unknown, Outcome::Failed, None, "killed by signal 9\n"),
    ] {
        let within = if off == Outcome::TimedOut { Duration::from_secs(1) } else { SOON };
        let steps = bench.with_program("", body, within);
        let ran = run(&steps, 1, "lb04", StepAction::Off).await;
        let FenceInput::Ran { outcome, trace, .. } = ran else { panic!("{body}: {ran:?}") };
        assert_eq!((outcome, trace.exit_code, trace.tail.as_str()), (off, exit_code, tail), "{body}");
        assert!(trace.command.ends_with("/fence_test action=off") && trace.took_us > 0, "{body}: {trace:?}");
        let told = run(&steps, 1, "lb04", StepAction::Status).await;
        let FenceInput::Status { reading, trace, .. } = told else { panic!("{body}: {told:?}") };
        assert_eq!((reading, trace.exit_code, trace.tail.as_str()), (status, exit_code, tail), "{body}");
        assert!(
            trace.command.ends_with("/fence_test action=status") && trace.took_us > 0,
            "{body}: {trace:?}"
        );
        assert_eq!(verify(&steps).await, verified, "{body}");
    }
}

/// The core takes a step for timed out by itself; it is told before, by what means and with which output.
#[test]
fn a_program_is_ended_before_its_step_is_over() {
    for (window_ms, expected_ms) in [(120_000, 117_000), (10_000, 7_000), (5_000, 2_500), (2_000, 1_000)] {
        let window = Duration::from_millis(window_ms);
        assert_eq!(before(window), Duration::from_millis(expected_ms), "{window:?}");
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_used_says_why_and_a_path_is_verified_by_its_status() {
    let bench = Bench::start().await;
    for (node, expected) in [
        ("lb03", "the fence device for power of lb03 cannot be used: /nonexistent/fence_x: "),
        ("lb09", "lb09 has no fence device for power in coordinator.toml"),
    ] {
        let ran = bench.run(1, node, StepAction::Off).await;
        let FenceInput::Ran { outcome: Outcome::Failed, trace, .. } = ran else { panic!("{ran:?}") };
        assert!(trace.tail.contains(expected), "{}", trace.tail);
        let status = bench.run(1, node, StepAction::Status).await;
        assert!(matches!(status, FenceInput::Status { reading: Reading::Unknown, .. }), "{status:?}");
    }
    for (node, expected) in [("lb02", Outcome::Done), ("lb03", Outcome::Failed)] {
        let (node, rung, device) = (NodeName(node.into()), Rung::Power, Device(node.into()));
        let verify = FenceEffect::VerifyPath { node: node.clone(), rung, device };
        let told = bench.steps.take(verify).await;
        assert_eq!(told, Some(FenceInput::PathVerified { node, rung, outcome: expected }));
    }
}

#[tokio::test]
async fn a_device_too_slow_to_verify_a_fence_is_broken_before_one_is_needed() {
    let mut bench = Bench::start().await;
    // It answers well, but in more than the half of `poll` that a status would have after a fence.
    let slow = bench.script("fence_slow", "", "sleep 2; echo Status: ON");
    for (poll, expected) in [(1, Outcome::TimedOut), (60, Outcome::Done)] {
        bench.steps.windows.poll = Duration::from_secs(poll);
        bench.uses("lb02", &slow, "lb02");
        let (node, rung) = (NodeName("lb02".into()), Rung::Power);
        let verify = FenceEffect::VerifyPath { node: node.clone(), rung, device: Device("lb02".into()) };
        let told = bench.steps.take(verify).await;
        assert_eq!(told, Some(FenceInput::PathVerified { node, rung, outcome: expected }));
    }
    bench.steps.windows.poll = Duration::from_secs(10);
    let words = bench.steps.ending(&Exit::TimedOut);
    assert!(
        words.starts_with("timed out after 7 s, which is what `fencing.windows.poll` (10 s) "),
        "{words}"
    );
}

#[tokio::test]
async fn two_devices_of_one_name_are_never_used_at_once_and_an_off_waits_for_one_status_at_most() {
    let mut bench = Bench::start().await;
    let dir = bench.dir.path().display().to_string();
    // It says so when it is not alone.
    let body = format!(
        "mkdir {dir}/used || {{ touch {dir}/twice; exit 1; }}\nsleep 1; rmdir {dir}/used; echo Status: ON"
    );
    let program = bench.script("fence_one", "", &body);
    for node in ["lb02", "lb03", "lb04"] {
        bench.uses(node, &program, "pdu1");
    }
    let verify = |node: &str| FenceEffect::VerifyPath {
        node: NodeName(node.into()),
        rung: Rung::Power,
        device: Device("pdu1".into()),
    };
    let off = async {
        // By then both paths want it, and one has it.
        sleep(Duration::from_millis(500)).await;
        let began = Instant::now();
        let ran = bench.run(1, "lb02", StepAction::Off).await;
        (ran, began.elapsed())
    };
    let test = async {
        sleep(Duration::from_millis(500)).await;
        bench.steps.status(&NodeName("lb04".into()), Rung::Power).await
    };
    let (first, second, (ran, took), tested) =
        tokio::join!(bench.steps.take(verify("lb03")), bench.steps.take(verify("lb04")), off, test);
    for told in [first, second] {
        assert!(
            matches!(told, Some(FenceInput::PathVerified { outcome: Outcome::Done, .. })),
            "it waits: {told:?}"
        );
    }
    assert!(matches!(ran, FenceInput::Ran { outcome: Outcome::Done, .. }), "{ran:?}");
    // The rest of one status, and its own second; the other path and the person come after.
    assert!(took < Duration::from_millis(2_800), "{took:?}");
    assert_eq!(tested.unwrap().report.power(), Power::On);
    assert!(!bench.dir.path().join("twice").exists());
}

#[tokio::test]
async fn an_agent_is_told_the_operation_s_order_and_each_end_has_its_word() {
    let bench = Bench::start().await;
    let node = NodeName("lb02".into());
    assert_eq!(bench.demote(1).await, Outcome::Failed, "it has no stream");
    let (outbound, mut told) = mpsc::channel(4);
    let registration = bench.roster.register(&node, "a:1", outbound, || ());
    bench.roster.welcomed(&node, registration.id);
    let mut ids = Vec::new();
    let order_id = bench.store.fence_order_id(17).await.unwrap().unwrap();
    assert!(order_id.starts_with("fence/17."), "{order_id}");
    for (done, reason, expected) in [
        (Some(true), "", Outcome::Done),
        (Some(false), "unknown_instance", Outcome::Failed),
        // It stands and is obeyed later, or may.
        (Some(false), "engine", Outcome::TimedOut),
        (Some(false), "disk", Outcome::TimedOut),
        (None, "", Outcome::TimedOut),
    ] {
        let agent = async {
            let message = told.recv().await.unwrap().unwrap().message;
            let Some(v1::coordinator_message::Message::Request(request)) = message else {
                panic!("{message:?}")
            };
            let Some(What::Give(order)) = request.request else { panic!("{request:?}") };
            assert_eq!((order.id.as_str(), order.until_us), (order_id.as_str(), 0));
            assert!(
                request.id.starts_with(&order_id),
                "an answer from another life is not taken for this one's"
            );
            assert_eq!(order.instances, ["VI_1"]);
            assert_eq!(order.order, Some(v1::order::Order::Demote(v1::Demote {})));
            if let Some(done) = done {
                let (id, reason) = (request.id.clone(), reason.to_owned());
                bench.agents.answered(&node, v1::Answer { id, done, reason, ..Default::default() });
            }
            ids.push(request.id);
        };
        let (outcome, ()) = tokio::join!(bench.demote(1), agent);
        assert_eq!(outcome, expected);
    }
    ids.dedup();
    assert_eq!(ids.len(), 5, "an order that is given again is a question of its own: {ids:?}");
    let withdraw = FenceEffect::Withdraw { epoch: 1, operation: OperationId(17), node: node.clone() };
    let agent = async {
        let message = told.recv().await.unwrap().unwrap().message;
        let Some(v1::coordinator_message::Message::Request(request)) = message else { panic!("{message:?}") };
        assert_eq!(request.request, Some(What::Withdraw(v1::Withdraw { order_id: order_id.clone() })));
        bench.agents.answered(&node, v1::Answer { id: request.id, done: true, ..Default::default() });
    };
    let (withdrawn, ()) = tokio::join!(bench.steps.take(withdraw), agent);
    assert_eq!(withdrawn, Some(FenceInput::Withdrawn { operation: OperationId(17), outcome: Outcome::Done }));
    // What is not written down has no order.
    let unwritten = OperationId(18);
    let withdraw = FenceEffect::Withdraw { epoch: 1, operation: unwritten, node };
    let withdrawn = bench.steps.take(withdraw).await;
    assert_eq!(withdrawn, Some(FenceInput::Withdrawn { operation: unwritten, outcome: Outcome::Failed }));
    assert!(told.try_recv().is_err());
}

/// That others ask it just now is no refusal: it is told when it has answered one of them.
#[tokio::test]
async fn an_agent_with_many_questions_is_told_when_it_has_room() {
    let bench = Bench::start().await;
    let node = NodeName("lb02".into());
    let (outbound, mut told) = mpsc::channel(64);
    let registration = bench.roster.register(&node, "a:1", outbound, || ());
    bench.roster.welcomed(&node, registration.id);
    let mut others = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (agents, node) = (Arc::clone(&bench.agents), node.clone());
        others.spawn(async move {
            let what = What::Announce(v1::Announce { instances: vec!["VI_1".into()] });
            agents.ask(&node, &format!("other/{number}"), what, Duration::from_secs(60)).await
        });
    }
    for _ in 0..16 {
        told.recv().await.unwrap().unwrap();
    }
    assert_eq!(bench.demote(1).await, Outcome::TimedOut, "it may not be told in time");
    let agent = async {
        sleep(Duration::from_millis(50)).await;
        bench.agents.answered(&node, v1::Answer { id: "other/7".into(), done: true, ..Default::default() });
        let message = told.recv().await.unwrap().unwrap().message;
        let Some(v1::coordinator_message::Message::Request(request)) = message else { panic!("{message:?}") };
        assert!(matches!(request.request, Some(What::Give(_))), "{request:?}");
        bench.agents.answered(&node, v1::Answer { id: request.id, done: true, ..Default::default() });
    };
    let (outcome, ()) = tokio::join!(bench.demote(1), agent);
    assert_eq!(outcome, Outcome::Done);
}

/// The instances are named, and an agent's no is no success.
#[tokio::test]
async fn a_survivor_is_asked_to_announce_its_instances() {
    let bench = Bench::start().await;
    let node = NodeName("lb01".into());
    let (outbound, mut told) = mpsc::channel(4);
    let registration = bench.roster.register(&node, "a:1", outbound, || ());
    bench.roster.welcomed(&node, registration.id);
    for (epoch, done, expected) in [
        (1, Some(true), Outcome::Done),
        (1, Some(false), Outcome::Failed),
        (1, None, Outcome::TimedOut),
        // Another coordinator leads.
        (0, Some(true), Outcome::Failed),
    ] {
        let effect = FenceEffect::Announce {
            epoch,
            operation: OperationId(17),
            node: node.clone(),
            groups: Vec::new(),
            instances: vec!["VI_1".into(), "VI_2".into()],
        };
        let agent = async {
            if epoch == 0 {
                return;
            }
            let message = told.recv().await.unwrap().unwrap().message;
            let Some(v1::coordinator_message::Message::Request(request)) = message else {
                panic!("{message:?}")
            };
            let instances = vec!["VI_1".into(), "VI_2".into()];
            assert_eq!(request.request, Some(What::Announce(v1::Announce { instances })));
            if let Some(done) = done {
                let reason = if done { String::new() } else { "not_master".into() };
                let answer = v1::Answer { id: request.id, done, reason, ..Default::default() };
                bench.agents.answered(&node, answer);
            }
        };
        let (outcome, ()) = tokio::join!(bench.steps.take(effect), agent);
        let announced =
            FenceInput::Announced { operation: OperationId(17), node: node.clone(), outcome: expected };
        assert_eq!(outcome, Some(announced));
    }
    assert!(told.try_recv().is_err());
}

#[test]
fn what_is_not_begun_is_told_and_only_what_changes_a_node_cannot_wait() {
    let (operation, node, device) = (OperationId(17), NodeName("lb02".into()), Device("lb02".into()));
    let run = |action| FenceEffect::RunStep {
        epoch: 1,
        operation,
        revision: 5,
        node: node.clone(),
        rung: Rung::Power,
        device: device.clone(),
        action,
    };
    let demote = FenceEffect::Demote {
        epoch: 1,
        operation,
        node: node.clone(),
        instances: Vec::new(),
        why: String::new(),
    };
    assert!(cannot_wait(&demote) && cannot_wait(&run(StepAction::Off)));
    assert_eq!(not_begun(&demote, "late"), Some(FenceInput::Demoted { operation, outcome: Outcome::Failed }));
    let off = not_begun(&run(StepAction::Off), "late");
    assert!(matches!(off, Some(FenceInput::Ran { outcome: Outcome::Failed, revision: 5, .. })), "{off:?}");
    assert!(!cannot_wait(&run(StepAction::Status)));
    let status = not_begun(&run(StepAction::Status), "late");
    assert!(matches!(status, Some(FenceInput::Status { reading: Reading::Unknown, .. })), "{status:?}");
    let withdraw = FenceEffect::Withdraw { epoch: 1, operation, node: node.clone() };
    assert!(!cannot_wait(&withdraw));
    assert_eq!(
        not_begun(&withdraw, "full"),
        Some(FenceInput::Withdrawn { operation, outcome: Outcome::Failed })
    );
    let announce = FenceEffect::Announce {
        epoch: 1,
        operation,
        node: node.clone(),
        groups: Vec::new(),
        instances: Vec::new(),
    };
    let outcome = Outcome::Failed;
    let expected = FenceInput::Announced { operation, node: node.clone(), outcome };
    assert_eq!(not_begun(&announce, "full"), Some(expected));
    let verify = FenceEffect::VerifyPath { node: node.clone(), rung: Rung::Power, device };
    let expected = FenceInput::PathVerified { node, rung: Rung::Power, outcome };
    assert_eq!(not_begun(&verify, "full"), Some(expected));
    let (Some(FenceInput::Ran { trace: off, .. }), Some(FenceInput::Status { trace: status, .. })) =
        (off, status)
    else {
        panic!("neither is a trace")
    };
    assert_eq!((off.command.as_str(), off.tail.as_str()), ("off", "not begun: late"));
    assert_eq!((status.command.as_str(), status.tail.as_str()), ("status", "not begun: late"));
    assert_eq!(not_begun(&FenceEffect::Answer { request: 1, answer: Ok(None) }, "x"), None);
}
