//! Requests from the wire to the disk and a stand-in for the engine.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use hafleet_proto::v1::request::Request as What;
use hafleet_vrrp::{Override, State};
use tempfile::TempDir;

use super::*;
use crate::{
    config::{Inputs, load},
    driver::{Changes, Command, NotAnnounced, Stand},
    journal::{Journal, Limits},
    run::firewall::Firewall,
    track::{THIS_PROGRAM, Tracker},
};

const LOCAL: &str = r#"
[[instance]]
name = "VI_1"
interface = "lo"
vrid = 51
vips = [{ address = "192.0.2.51/24" }]

[[instance]]
name = "VI_2"
interface = "lo"
vrid = 52
vips = [{ address = "192.0.2.52/24" }]
"#;

/// What a stand-in for the engine was told, and how it answers.
#[derive(Clone, Debug, Default)]
struct Engine {
    standing: Standing,
    took_over: Vec<BTreeSet<String>>,
    plans: Vec<Vec<String>>,
    announced: Vec<BTreeSet<String>>,
    /// Why nothing is announced.
    not_announced: Option<NotAnnounced>,
    announces_never: bool,
    /// States that are not MASTER.
    states: BTreeMap<String, State>,
    is_silent: bool,
}

struct Node {
    dir: TempDir,
    acts: Acts,
    engine: Arc<Mutex<Engine>>,
    journal: Journal,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.journal.close();
    }
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("agent.toml"), LOCAL).unwrap();
        Self::start(dir)
    }

    fn start(dir: TempDir) -> Self {
        let inputs = Inputs { native: Some(dir.path().join("agent.toml")), ..Inputs::default() };
        let config = load(&inputs).unwrap().config;
        let (journal, _thread) = Journal::start(&dir.path().join("journal"), Limits::default()).unwrap();
        let engine = Arc::new(Mutex::new(Engine::default()));
        let (commands, orders) = mpsc::channel(8);
        tokio::spawn(stand_in(orders, Arc::clone(&engine)));
        let client = EngineClient::new(commands);
        let (tracker, _results) = Tracker::start(Vec::new(), Path::new(THIS_PROGRAM)).unwrap();
        let door =
            Door::new(inputs, config, None, client.clone(), journal.clone(), tracker, Firewall::default());
        let book = Book::open(dir.path());
        let push = Push::open(dir.path(), &Clocks::now());
        let (_client, asked) = ActClient::new();
        let acts = Acts::new(door, book, push, None, client, asked);
        Self { dir, acts, engine, journal }
    }

    /// The agent is killed, and started again.
    fn restart(self) -> Self {
        let kept = tempfile::tempdir().unwrap();
        for name in ["agent.toml", "orders.json"] {
            let _ = fs::copy(self.dir.path().join(name), kept.path().join(name));
        }
        let pushed = self.dir.path().join("pushed");
        if pushed.exists() {
            fs::rename(pushed, kept.path().join("pushed")).unwrap();
        }
        Self::start(kept)
    }

    async fn ask(&mut self, id: &str, request: What) -> v1::Answer {
        let (reply, mut answer) = oneshot::channel();
        let request = v1::Request { id: id.to_owned(), request: Some(request) };
        self.acts.perform(Work::Asked(Asked { request, reply })).await;
        while answer.is_empty() {
            let work = self.acts.next().await;
            self.acts.perform(work).await;
        }
        answer.try_recv().unwrap()
    }

    async fn done(&mut self, id: &str, request: What) -> String {
        let answer = self.ask(id, request).await;
        assert!(answer.done && answer.reason.is_empty() && answer.id == id, "{answer:?}");
        answer.detail
    }

    async fn refused(&mut self, id: &str, request: What) -> (String, String) {
        let answer = self.ask(id, request).await;
        assert!(!answer.done && answer.id == id, "{answer:?}");
        (answer.reason, answer.detail)
    }

    fn told(&self) -> Engine {
        self.engine.lock().unwrap().clone()
    }

    fn over(&self, name: &str) -> Stand {
        self.told().standing.over(name)
    }

    fn on_disk(&self) -> Vec<Order> {
        Book::open(self.dir.path()).orders().all().to_vec()
    }
}

async fn stand_in(mut orders: mpsc::Receiver<Command>, engine: Arc<Mutex<Engine>>) {
    while let Some(order) = orders.recv().await {
        let mut engine = engine.lock().unwrap();
        if engine.is_silent {
            continue;
        }
        match order {
            Command::Stand { standing, take_over, reply } => {
                let state = |name: &str| {
                    let held = standing.over(name).is_held();
                    let own = engine.states.get(name).copied().unwrap_or(State::Master);
                    (name.to_owned(), if held { State::Fault } else { own })
                };
                let _ = reply.send(["VI_1", "VI_2"].map(state).into());
                engine.standing = standing;
                if !take_over.is_empty() {
                    engine.took_over.push(take_over);
                }
            }
            Command::Reconfigure(plan, reply) => {
                engine.plans.push(plan.instances.iter().map(|instance| instance.name.clone()).collect());
                let _ = reply.send(Changes::default());
            }
            Command::Announce { instances, reply } => {
                if engine.announces_never {
                    std::mem::forget(reply);
                    continue;
                }
                engine.announced.push(instances);
                let _ = reply.send(engine.not_announced.clone().map_or(Ok(()), Err));
            }
            Command::Isolate(_, reply) => drop(reply.send(())),
            Command::Snapshot(_) | Command::Probe { .. } | Command::Track { .. } | Command::Stop(_) => {}
        }
    }
}

fn order(id: &str, instances: &[&str], what: v1::order::Order) -> What {
    What::Give(v1::Order {
        id: id.to_owned(),
        instances: instances.iter().map(|name| (*name).to_owned()).collect(),
        until_us: 0,
        by: "anna".to_owned(),
        why: "test".to_owned(),
        order: Some(what),
    })
}

fn demote(id: &str, instances: &[&str]) -> What {
    order(id, instances, v1::order::Order::Demote(v1::Demote {}))
}

fn take_over(id: &str, instances: &[&str], priority: u32) -> What {
    order(id, instances, v1::order::Order::TakeOver(v1::TakeOver { priority }))
}

fn announce(instances: &[&str]) -> What {
    What::Announce(v1::Announce { instances: instances.iter().map(|name| (*name).to_owned()).collect() })
}

fn withdraw(id: &str) -> What {
    What::Withdraw(v1::Withdraw { order_id: id.to_owned() })
}

#[tokio::test]
async fn a_fence_is_on_the_disk_before_it_counts_and_outlives_a_kill() {
    let mut node = Node::new();
    node.done("r1", demote("fence/1", &["VI_1"])).await;
    assert!(node.over("VI_1").is_held() && !node.over("VI_2").is_held());
    assert_eq!(node.on_disk().len(), 1);
    // Once more, by the same request and by another one: nothing is done twice, and both are answered alike.
    node.done("r1", demote("fence/1", &["VI_1"])).await;
    node.done("r2", demote("fence/1", &["VI_1"])).await;
    assert_eq!(node.on_disk().len(), 1);
    let mut node = node.restart();
    assert!(node.acts.book.standing(clock::wall_us()).over("VI_1").is_held(), "before the engine is started");
    node.acts.look().await;
    assert!(node.over("VI_1").is_held());
    assert_eq!(node.acts.status().borrow().orders.len(), 1);
    node.done("r3", withdraw("fence/1")).await;
    node.done("r4", withdraw("fence/1")).await;
    assert_eq!((node.over("VI_1"), node.on_disk()), (Stand::default(), Vec::new()));
}

/// Given, given again, withdrawn, over, and not to be had: history has each once, with who and why.
#[tokio::test]
async fn orders_are_journalled() {
    let mut node = Node::new();
    node.done("r1", demote("fence/1", &["VI_1"])).await;
    node.done("r2", demote("fence/1", &["VI_1"])).await;
    node.done("r3", withdraw("fence/1")).await;
    node.done("r4", withdraw("fence/1")).await;
    let mut maintenance = order("m", &[], v1::order::Order::Maintenance(v1::Maintenance {}));
    if let What::Give(order) = &mut maintenance {
        order.until_us = clock::wall_us() + 100_000;
    }
    node.done("r5", maintenance).await;
    tokio::time::sleep(Duration::from_millis(110)).await;
    node.acts.look().await;
    node.engine.lock().unwrap().states.insert("VI_1".to_owned(), State::Backup);
    node.refused("r6", take_over("s", &["VI_1"], 200)).await;
    node.journal.flush().await.unwrap();
    let events = node.journal.read(1, 256).await.unwrap();
    let told: Vec<String> = events
        .into_iter()
        .map(|event| match event.event.unwrap() {
            v1::event::Event::Configuration(event) => format!("{} {}", event.what, event.detail),
            other => format!("{other:?}"),
        })
        .collect();
    let expected = [
        "ordered fence/1 (demote) by anna: test",
        "withdrawn fence/1 (demote) by anna: test",
        "ordered m (maintenance) by anna: test",
        "ended m (maintenance) by anna: test",
        "ordered s (take_over) by anna: test",
        "withdrawn s (take_over) by anna: test",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_disk_that_refuses_is_told_and_nothing_is_done() {
    let mut node = Node::new();
    // Nothing can be renamed onto a directory that is not empty.
    fs::create_dir_all(node.dir.path().join("orders.json/x")).unwrap();
    let (reason, detail) = node.refused("r1", demote("fence/1", &[])).await;
    assert_eq!(reason, "disk");
    assert!(detail.contains("orders.json"), "{detail}");
    assert_eq!(node.told().standing, Standing::default());
    // It is not remembered as an answer: the disk may be well again.
    fs::remove_dir_all(node.dir.path().join("orders.json")).unwrap();
    node.done("r1", demote("fence/1", &[])).await;
    assert!(node.over("VI_2").is_held());
}

#[tokio::test]
async fn orders_that_cannot_be_are_refused() {
    let mut node = Node::new();
    let refused = |answer: (String, String)| answer.0;
    assert_eq!(refused(node.refused("r", demote("f", &["VI_9"])).await), "unknown_instance");
    assert_eq!(refused(node.refused("r", take_over("t", &[], 255)).await), "invalid");
    let mut over = take_over("t", &[], 200);
    if let What::Give(order) = &mut over {
        order.until_us = 1;
    }
    assert_eq!(refused(node.refused("r", over).await), "invalid");
    let request = v1::Request { id: "x".repeat(300), request: None };
    let (answer, _) = node.acts.answer(request, oneshot::channel().0).await.unwrap();
    assert_eq!((answer.id.len(), answer.done, answer.reason.as_str()), (255, false, "invalid"));
    assert_eq!(node.on_disk(), []);
}

#[tokio::test]
async fn what_is_taken_over_is_and_what_is_not_is_taken_back() {
    let mut node = Node::new();
    node.done("r1", take_over("switchover/1", &["VI_1"], 200)).await;
    assert_eq!(node.told().took_over, [BTreeSet::from(["VI_1".to_owned()])]);
    assert_eq!(node.over("VI_1").priority, Override::new(200));
    // It goes on with its priority after a restart, and does not take over anew.
    let mut node = node.restart();
    node.acts.look().await;
    assert_eq!((node.over("VI_1").priority, node.told().took_over.len()), (Override::new(200), 0));
    for (state, reason) in
        [(State::Backup, "conflict"), (State::Fault, "not_ready"), (State::Init, "not_ready")]
    {
        node.engine.lock().unwrap().states.insert("VI_2".to_owned(), state);
        let refused = node.refused("r2", take_over("switchover/2", &["VI_2"], 150)).await;
        assert_eq!(refused.0, reason, "{refused:?}");
        assert_eq!((node.over("VI_2").priority, node.on_disk().len()), (None, 1));
    }
}

#[tokio::test]
async fn a_silent_engine_is_told_until_it_has_heard() {
    let mut node = Node::new();
    node.engine.lock().unwrap().is_silent = true;
    assert_eq!(node.refused("r1", demote("fence/1", &[])).await.0, "engine");
    assert_eq!(node.on_disk().len(), 1, "it stands");
    node.acts.look().await;
    assert!(!node.over("VI_1").is_held());
    node.engine.lock().unwrap().is_silent = false;
    node.acts.look().await;
    assert!(node.over("VI_1").is_held());
    // A take-over that nobody heard is taken back: it is not done later, when nobody expects it.
    node.done("r2", withdraw("fence/1")).await;
    node.engine.lock().unwrap().is_silent = true;
    assert_eq!(node.refused("r3", take_over("switchover/1", &[], 200)).await.0, "engine");
    assert_eq!(node.on_disk(), []);
    node.engine.lock().unwrap().is_silent = false;
    node.acts.look().await;
    assert_eq!(node.told().standing, Standing::default());
}

#[tokio::test]
async fn an_order_ends_by_the_clock_and_the_engine_is_told() {
    let mut node = Node::new();
    let mut maintenance = order("maintenance/1", &[], v1::order::Order::Maintenance(v1::Maintenance {}));
    if let What::Give(order) = &mut maintenance {
        order.until_us = clock::wall_us() + 300_000;
    }
    node.done("r1", maintenance).await;
    assert!(node.over("VI_1").is_held());
    tokio::time::sleep(Duration::from_millis(310)).await;
    node.acts.look().await;
    assert!(!node.over("VI_1").is_held());
    assert_eq!(node.on_disk(), []);
}

#[tokio::test]
async fn orders_that_cannot_be_read_hold_everything_back_until_somebody_has_looked() {
    let node = Node::new();
    fs::write(node.dir.path().join("orders.json"), "{").unwrap();
    let mut node = node.restart();
    node.acts.look().await;
    assert!(node.over("VI_1").is_held());
    assert!(node.acts.status().borrow().orders_error.is_some());
    for request in [demote("fence/1", &[]), withdraw("fence/1")] {
        assert_eq!(node.refused("r1", request).await.0, "disk");
    }
    assert!(node.over("VI_1").is_held());
    fs::remove_file(node.dir.path().join("orders.json")).unwrap();
    node.acts.reload().await;
    assert!(!node.over("VI_1").is_held());
    assert_eq!(node.acts.status().borrow().orders_error, None);
}

#[tokio::test]
async fn an_announcement_leaves_nothing_behind_and_says_why_it_is_not_done() {
    let mut node = Node::new();
    node.done("r1", announce(&["VI_1", "VI_2", "VI_1"])).await;
    // The same request once more has its answer already.
    node.done("r1", announce(&["VI_1", "VI_2", "VI_1"])).await;
    assert_eq!(node.told().announced, [["VI_1", "VI_2"].map(str::to_owned).into()]);
    assert_eq!((node.on_disk(), node.told().standing), (Vec::new(), Standing::default()));
    let invalid = [announce(&[]), announce(&[""]), announce(&vec!["VI_1"; 256])];
    for request in invalid {
        assert_eq!(node.refused("r2", request).await.0, "invalid");
    }
    let instance = || "VI_1".to_owned();
    let (state, address) = (State::Backup, [192, 0, 2, 51].into());
    for (error, code) in [
        (NotAnnounced::Unknown { instance: instance() }, "unknown_instance"),
        (NotAnnounced::NotMaster { instance: instance(), state }, "not_master"),
        (NotAnnounced::NotHeld { instance: instance(), address }, "engine"),
        (NotAnnounced::Refused { address, error: "Network is down".to_owned() }, "engine"),
        (NotAnnounced::Late { left: 1 }, "engine"),
        (NotAnnounced::Busy, "engine"),
    ] {
        node.engine.lock().unwrap().not_announced = Some(error.clone());
        assert_eq!(node.refused("r3", announce(&["VI_1"])).await, (code.to_owned(), error.to_string()));
    }
    node.engine.lock().unwrap().not_announced = None;
    node.done("r3", announce(&["VI_1"])).await;
}

/// A kernel that takes its time with packets delays no fence.
#[tokio::test]
async fn a_fence_does_not_wait_for_an_announcement() {
    let mut node = Node::new();
    node.engine.lock().unwrap().announces_never = true;
    let (reply, mut answer) = oneshot::channel();
    let request = v1::Request { id: "r1".to_owned(), request: Some(announce(&["VI_1"])) };
    node.acts.perform(Work::Asked(Asked { request, reply })).await;
    node.done("r2", demote("fence/1", &["VI_1"])).await;
    assert!(node.over("VI_1").is_held() && answer.try_recv().is_err());
}

fn text(vrid: u8) -> String {
    format!(
        "[[instance]]\nname = \"VI_{vrid}\"\ninterface = \"lo\"\nvrid = {vrid}\n\
         vips = [{{ address = \"192.0.2.{vrid}/24\" }}]\n"
    )
}

fn stage(generation: u64, toml: &str) -> What {
    use sha2::{Digest, Sha256};
    let hash = Sha256::digest(toml.as_bytes()).iter().map(|byte| format!("{byte:02X}")).collect();
    What::Stage(v1::StageConfig { generation, toml: toml.to_owned(), hash })
}

fn commit(generation: u64, within_s: u64) -> What {
    What::Commit(v1::CommitConfig { generation, confirm_within_us: within_s * 1_000_000 })
}

fn confirm(generation: u64) -> What {
    What::Confirm(v1::ConfirmConfig { generation })
}

fn roll_back(generation: u64) -> What {
    What::RollBack(v1::RollBackConfig { generation })
}

#[tokio::test]
async fn a_configuration_is_staged_committed_and_confirmed() {
    let mut node = Node::new();
    node.done("r1", stage(1, &text(61))).await;
    assert_eq!(node.told().plans.len(), 0, "nothing runs differently");
    node.done("r2", commit(1, 60)).await;
    node.done("r3", commit(1, 60)).await;
    assert_eq!(node.told().plans, [["VI_1", "VI_2", "VI_61"]]);
    assert_eq!(node.refused("r4", commit(2, 60)).await.0, "conflict");
    // A reload of the local files keeps it.
    node.acts.reload().await;
    assert_eq!(node.told().plans.last().unwrap(), &["VI_1", "VI_2", "VI_61"]);
    node.done("r5", confirm(1)).await;
    let status = node.acts.push.status();
    assert_eq!((status.pointer.running.unwrap().number, status.pointer.confirm), (1, None));
    node.done("r6", stage(2, &text(62))).await;
    node.done("r7", commit(2, 60)).await;
    node.done("r8", roll_back(2)).await;
    assert_eq!(node.told().plans.last().unwrap(), &["VI_1", "VI_2", "VI_61"]);
    assert_eq!(node.refused("r9", confirm(2)).await.0, "stale_generation");
}

#[tokio::test]
async fn what_is_not_confirmed_in_time_is_undone_without_a_coordinator() {
    let mut node = Node::new();
    node.done("r1", stage(1, &text(61))).await;
    node.done("r2", commit(1, 1)).await;
    node.acts.look().await;
    assert_eq!(node.told().plans.len(), 1);
    let due = node.acts.look_at;
    assert!(due <= Instant::now() + Duration::from_secs(1), "it wakes by itself in time");
    tokio::time::sleep(Duration::from_millis(1_010)).await;
    node.acts.look().await;
    assert_eq!(node.told().plans.last().unwrap(), &["VI_1", "VI_2"]);
    assert_eq!(node.acts.push.status().to_wire(&Clocks::now()).rolled_back_generation, 1);
    let (reason, detail) = node.refused("r3", commit(1, 60)).await;
    assert_eq!(
        (reason.as_str(), detail.contains("not confirmed in time")),
        ("nothing_staged", true),
        "{detail}"
    );
}

#[tokio::test]
async fn what_the_engine_does_not_take_is_undone() {
    let mut node = Node::new();
    node.done("r1", stage(1, &text(61))).await;
    node.engine.lock().unwrap().is_silent = true;
    let (reason, _) = node.refused("r2", commit(1, 60)).await;
    assert_eq!(reason, "engine");
    assert_eq!(node.acts.push.pointer().running, None);
    assert_eq!(node.acts.push.pointer().rolled_back.as_ref().unwrap().generation, 1);
}

/// What was right when it was staged may not be when it is committed.
#[tokio::test]
async fn a_commit_looks_at_the_local_files_once_more() {
    let mut node = Node::new();
    node.done("r1", stage(1, &text(61))).await;
    fs::write(node.dir.path().join("agent.toml"), format!("{LOCAL}{}", text(61))).unwrap();
    let (reason, detail) = node.refused("r2", commit(1, 60)).await;
    assert_eq!(reason, "conflict");
    assert!(detail.contains("an instance named `VI_61` is already at"), "{detail}");
    assert_eq!((node.acts.push.pointer().running.clone(), node.told().plans.len()), (None, 0));
    assert!(node.acts.push.pointer().staged.is_some(), "it may fit again");
}

/// The local files go on as they are when a reload does not fit what was pushed.
#[tokio::test]
async fn a_local_file_that_does_not_fit_what_was_pushed_changes_nothing() {
    let mut node = Node::new();
    node.done("r1", stage(1, &text(61))).await;
    node.done("r2", commit(1, 60)).await;
    node.done("r3", confirm(1)).await;
    fs::write(node.dir.path().join("agent.toml"), format!("{LOCAL}{}", text(61))).unwrap();
    node.acts.reload().await;
    assert_eq!(node.told().plans.len(), 1);
}

#[tokio::test]
async fn a_wrong_configuration_is_answered_with_its_places() {
    let mut node = Node::new();
    let (reason, detail) = node.refused("r1", stage(1, &text(61).replace("vrid", "vird"))).await;
    assert_eq!(reason, "invalid");
    assert!(
        detail.contains("pushed/1/agent.toml:4:1: error: `vird` is not a key of [[instance]]"),
        "{detail}"
    );
    assert!(!node.dir.path().join("pushed/1").exists());
    let mut wrong = stage(1, &text(61));
    if let What::Stage(stage) = &mut wrong {
        stage.hash = "00".to_owned();
    }
    assert_eq!(node.refused("r2", wrong).await.0, "invalid");
}

/// The same judgement as a stage, and no trace of it; asked again it is judged again.
#[tokio::test]
async fn a_check_says_what_a_stage_would_say_and_keeps_nothing() {
    let check = |toml: &str| What::Check(v1::CheckConfig { toml: toml.to_owned() });
    let mut node = Node::new();
    let before = node.acts.push.status();
    assert_eq!(node.done("check/1", check(&text(61))).await, "");
    let (reason, detail) = node.refused("check/2", check(&text(61).replace("vrid", "vird"))).await;
    assert_eq!(reason, "invalid");
    assert!(
        detail.contains("pushed/0/agent.toml:4:1: error: `vird` is not a key of [[instance]]"),
        "{detail}"
    );
    let (_, detail) = node.refused("check/3", check(&text(61).replace("\"lo\"", "\"ens9\""))).await;
    assert!(detail.contains("needs the interface `ens9`, which this host does not have"), "{detail}");
    // The local file has changed in between: an answer from before would be wrong.
    fs::write(node.dir.path().join("agent.toml"), format!("{LOCAL}{}", text(61))).unwrap();
    let (_, detail) = node.refused("check/1", check(&text(61))).await;
    assert!(detail.contains("an instance named `VI_61` is already at"), "{detail}");
    let long = "#".repeat(crate::push::TEXT_LEN_MAX + 1);
    assert_eq!(node.refused("check/4", check(&long)).await.0, "invalid");
    assert_eq!((node.acts.push.status(), node.told().plans.len()), (before, 0));
    assert!(!node.dir.path().join("pushed").exists());
}

/// Where an instance is from is told by the place of its file.
#[tokio::test]
async fn a_pushed_file_names_its_generation() {
    let mut node = Node::new();
    node.done("r1", stage(7, &text(61))).await;
    let status = node.acts.push.status();
    let pushed = node.dir.path().join("pushed");
    assert_eq!(status.generation_of(&pushed.join("7/agent.toml")), Some(7));
    for local in [node.dir.path().join("agent.toml"), pushed.join("agent.toml"), "7/agent.toml".into()] {
        assert_eq!(status.generation_of(&local), None, "{}", local.display());
    }
    assert_eq!(PushStatus::default().generation_of(Path::new("7/agent.toml")), None);
}
