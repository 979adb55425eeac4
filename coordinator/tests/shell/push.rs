//! The fleet's configuration, from an operator's file to the agents, and back when something goes wrong.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ha_coordinator::{
    push,
    store::{self, Role},
};
use hafleet_proto::v1::{
    self, VrrpState, agent_message::Message as FromAgent, coordinator_message::Message as ToAgent,
    fence_service_client::FenceServiceClient, request::Request as What,
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tonic::{Code, transport::Channel};

use crate::rig::{FakeAgent, Rig, SOON, eventually};

pub const FILE: &str = r#"
[[group]]
name = "VI_1"
site = "dc1"
vrid = 51
advert_interval = "100ms"
addresses = ["192.168.178.3/24"]
  [[group.member]]
  node = "lb01"
  interface = "ens33"
  priority = 101
  [[group.member]]
  node = "lb02"
  interface = "ens33"
  priority = 102
"#;

/// What an agent does about what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Obeys,
    /// Its interfaces do not fit.
    Refuses,
    /// It runs what it is told and then cannot serve.
    Faults,
    /// It runs what it is told and goes back at once.
    GivesUp,
    /// It runs what it is told, and takes the address though another one has it.
    Seizes,
    /// It does not answer to a commit.
    Silent,
    /// It runs something else once it was confirmed.
    Drifts,
}

/// What agents were asked, in order: node and request.
pub type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// A fake agent that takes configurations.
pub struct Pushable {
    pub mood: watch::Sender<Mood>,
    pub task: JoinHandle<FakeAgent>,
}

impl Pushable {
    async fn start(rig: &Rig, agent: FakeAgent, asked: &Asked) -> Self {
        let (mood, moods) = watch::channel(Mood::Obeys);
        let asked = Arc::clone(asked);
        let mut stream = agent.connect(rig).await;
        agent.send_after(&stream, stream.welcome.acked_seq, 256).await;
        stream.send(FromAgent::Snapshot(agent.snapshot())).await;
        let task = tokio::spawn(async move {
            let mut agent = agent;
            let mut staged = String::new();
            let mut before = agent.pushed.clone();
            let mut beat = tokio::time::interval(Duration::from_millis(100));
            loop {
                tokio::select! {
                    _ = beat.tick() => agent.beat(&stream).await,
                    message = stream.next() => {
                        let request = match message {
                            Some(ToAgent::Request(request)) => request,
                            Some(ToAgent::Probe(probe)) => {
                                stream.send(FromAgent::ProbeReport(agent.answer(&probe))).await;
                                continue;
                            }
                            Some(_) => continue,
                            None => return agent,
                        };
                        let mood = *moods.borrow();
                        asked.lock().unwrap().push((agent.node.clone(), request.id.clone()));
                        let answer = obey(&mut agent, &mut staged, &mut before, mood, &request);
                        let Some(answer) = answer else { continue };
                        stream.send(FromAgent::Answer(answer)).await;
                        let is_commit = matches!(request.request, Some(What::Commit(_)));
                        let becomes = match mood {
                            Mood::Faults if is_commit => Some(VrrpState::Fault),
                            Mood::Seizes if is_commit => Some(VrrpState::Master),
                            _ => None,
                        };
                        if let Some(state) = becomes {
                            let sent = agent.events.len() as u64;
                            agent.becomes(state);
                            agent.send_after(&stream, sent, 256).await;
                        }
                        stream.send(FromAgent::Snapshot(agent.snapshot())).await;
                    }
                }
            }
        });
        Self { mood, task }
    }
}

fn obey(
    agent: &mut FakeAgent,
    staged: &mut String,
    before: &mut Option<v1::Pushed>,
    mood: Mood,
    request: &v1::Request,
) -> Option<v1::Answer> {
    let mut answer = v1::Answer { id: request.id.clone(), done: true, ..Default::default() };
    match request.request.as_ref().unwrap() {
        What::Stage(_) if mood == Mood::Refuses => {
            answer.done = false;
            answer.reason = "invalid".into();
            answer.detail =
                "agent.toml:3:13: error: `VI_1` needs the interface `ens33`, which this host does not have"
                    .into();
        }
        What::Stage(stage) => {
            assert!(
                stage.toml.is_empty()
                    || stage.toml.starts_with("[[instance]]\nname = \"VI_1\"\ninterface = \"ens33\""),
                "{}",
                stage.toml
            );
            staged.clone_from(&stage.hash);
        }
        What::Commit(_) if mood == Mood::Silent => return None,
        What::Commit(commit) => {
            before.clone_from(&agent.pushed);
            agent.pushed = Some(v1::Pushed {
                generation: commit.generation,
                hash: staged.clone(),
                confirm_left_us: commit.confirm_within_us,
                ..Default::default()
            });
            if mood == Mood::GivesUp {
                let why = "the engine refuses it".to_owned();
                let old = before.clone().unwrap_or_default();
                agent.pushed = Some(v1::Pushed {
                    rolled_back_generation: commit.generation,
                    rolled_back_why: why,
                    ..old
                });
            }
        }
        What::Confirm(_) => {
            let pushed = agent.pushed.as_mut().unwrap();
            pushed.confirm_left_us = 0;
            if mood == Mood::Drifts {
                pushed.hash = "0".repeat(64);
            }
        }
        What::RollBack(back) => {
            if agent.pushed.as_ref().is_some_and(|pushed| pushed.generation == back.generation) {
                agent.pushed.clone_from(before);
            }
        }
        What::Check(_) if mood == Mood::Refuses => {
            answer.done = false;
            answer.reason = "invalid".into();
            answer.detail = "/var/lib/hafleet/agent/pushed/0/agent.toml:3:13: error: no `ens33`".into();
        }
        What::Check(check) => answer.detail = format!("warning: {} bytes", check.toml.len().min(1)),
        What::Give(_) | What::Withdraw(_) | What::Announce(_) => panic!("nobody asks for that"),
    }
    Some(answer)
}

/// Two agents, lb01 the holder.
pub async fn pair(rig: &Rig) -> (Pushable, Pushable, Asked) {
    pair_with(rig, v1::Pushed::default()).await
}

/// The same, with what was pushed to lb02 before.
pub async fn pair_with(rig: &Rig, pushed: v1::Pushed) -> (Pushable, Pushable, Asked) {
    let asked = Asked::default();
    let (mut one, mut two) = (rig.enrol("lb01").await, rig.enrol("lb02").await);
    one.pushed = Some(v1::Pushed::default());
    two.pushed = Some(pushed);
    one.becomes(VrrpState::Master);
    two.becomes(VrrpState::Backup);
    two.heard = vec![one.as_heard()];
    let one = Pushable::start(rig, one, &asked).await;
    let two = Pushable::start(rig, two, &asked).await;
    eventually("both are heard", async || {
        let fleet = rig.fleet().await;
        (fleet.nodes.iter().filter(|node| node.fresh).count() == 2).then_some(())
    })
    .await;
    (one, two, asked)
}

pub fn wish(text: &str, parent: u64) -> v1::ApplyConfigRequest {
    v1::ApplyConfigRequest {
        text: text.into(),
        parent,
        message: "because".into(),
        confirm_within_us: 20_000_000,
    }
}

/// Everything that the stream tells, to its end.
pub async fn told(mut stream: tonic::Streaming<v1::ConfigProgress>) -> Vec<v1::ConfigProgress> {
    let mut all = Vec::new();
    while let Some(progress) = timeout(SOON * 2, stream.message()).await.unwrap().unwrap() {
        all.push(progress);
    }
    all
}

pub async fn apply(rig: &Rig, text: &str, parent: u64) -> v1::ConfigProgress {
    let mut configs = rig.configs_as(&rig.admin()).await;
    let stream = configs.apply_config(wish(text, parent)).await.unwrap().into_inner();
    told(stream).await.pop().unwrap()
}

pub fn requests(asked: &Asked) -> Vec<(String, String)> {
    asked.lock().unwrap().clone()
}

fn of(asked: &Asked, step: &str) -> Vec<String> {
    let all = requests(asked).into_iter();
    all.filter(|(_, id)| id.ends_with(step)).map(|(node, _)| node).collect()
}

pub async fn states(rig: &Rig, generation: u64) -> Vec<String> {
    let mut configs = rig.configs_as(&rig.admin()).await;
    let found = configs.get_config(v1::GetConfigRequest { generation }).await.unwrap().into_inner();
    found.steps.iter().map(|step| format!("{} {}", step.node, step.state)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_reaches_every_node_the_holder_last() {
    let rig = Rig::start().await;
    let (_one, _two, asked) = pair(&rig).await;
    let end = apply(&rig, FILE, 0).await;
    assert_eq!((end.state.as_str(), end.generation, end.why.as_str()), ("applied", 1, ""), "{end:?}");
    assert_eq!(of(&asked, "/commit"), ["lb02", "lb01"], "the backup first");
    let order: Vec<String> =
        requests(&asked).into_iter().map(|(node, id)| format!("{node} {id}")).skip(2).collect();
    let begun_us = rig.store().config_generation(1).await.unwrap().unwrap().created_at_us;
    let order = [order[..2].to_vec(), {
        let mut rest = order[2..].to_vec();
        rest.sort();
        rest
    }]
    .concat();
    let expected = ["lb02 commit", "lb01 commit", "lb01 confirm", "lb02 confirm"]
        .map(|step| step.replace(' ', &format!(" config/1.{begun_us}/")));
    assert_eq!(order, expected, "nobody keeps it before all were judged");
    assert_eq!(states(&rig, 1).await, ["lb01 confirmed", "lb02 confirmed"]);

    let mut configs = rig.configs_as(&rig.admin()).await;
    let drift = async |configs: &mut v1::config_service_client::ConfigServiceClient<_>| {
        let drift = configs.get_drift(v1::GetDriftRequest {}).await.unwrap().into_inner();
        drift.nodes.into_iter().map(|node| format!("{} {}", node.node, node.state)).collect::<Vec<_>>()
    };
    assert_eq!(drift(&mut configs).await, ["lb01 in_step", "lb02 in_step"]);
    // What runs already is not touched.
    let again = apply(&rig, FILE, 1).await;
    assert_eq!((again.state.as_str(), again.generation), ("applied", 2));
    assert_eq!(of(&asked, "/commit").len(), 2);
    assert_eq!(states(&rig, 2).await, ["lb01 unchanged", "lb02 unchanged"]);

    // Another priority of one member, and back.
    let other = FILE.replace("priority = 102", "priority = 90");
    let diff = v1::DiffConfigRequest { text: other.clone(), generation: 0 };
    let diff = configs.diff_config(diff).await.unwrap().into_inner();
    assert_eq!(diff.changes[0].text, "~ group dc1/VI_1, member lb02: priority 102 -> 90");
    assert_eq!(apply(&rig, &other, 2).await.state, "applied");
    assert_eq!(states(&rig, 3).await, ["lb01 unchanged", "lb02 confirmed"]);
    let back = v1::RollbackConfigRequest { generation: 1, parent: 3, ..Default::default() };
    let back = told(configs.rollback_config(back).await.unwrap().into_inner()).await.pop().unwrap();
    assert_eq!((back.state.as_str(), back.generation), ("applied", 4));
    let history =
        configs.list_configs(v1::ListConfigsRequest::default()).await.unwrap().into_inner().generations;
    let words: Vec<String> = history
        .iter()
        .map(|row| format!("{} {} {} {} {}", row.number, row.parent, row.author, row.message, row.state))
        .collect();
    assert_eq!(
        words,
        [
            "4 3 user/admin back to generation 1 applied",
            "3 2 user/admin because applied",
            "2 1 user/admin because applied",
            "1 0 user/admin because applied"
        ]
    );
    assert_eq!(history[0].hash, history[3].hash);
    let audited = rig.audit().await;
    assert!(
        audited.iter().any(|row| row.action == "config.rollback" && row.outcome == "done"),
        "{audited:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_parent_and_a_second_apply_are_conflicts() {
    let rig = Rig::start().await;
    let (one, _two, _asked) = pair(&rig).await;
    let mut configs = rig.configs_as(&rig.admin()).await;
    let error = configs.apply_config(wish(FILE, 7)).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("made from generation 7, but generation 0"), "{error}");
    one.mood.send_replace(Mood::Silent);
    let running = configs.apply_config(wish(FILE, 0)).await.unwrap().into_inner();
    let error = configs.apply_config(wish(FILE, 0)).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("generation 1 is being applied"), "{error}");
    // The silent one was told, so that nobody knows what it does: everything goes back.
    let end = told(running).await.pop().unwrap();
    assert_eq!(end.state, "rolled_back", "{end:?}");
    assert!(end.why.contains("lb01 did not answer"), "{end:?}");
    rig.refused("config.apply", &["user/admin", "generation 1 is being applied"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_errors_is_refused_with_their_places() {
    let rig = Rig::start().await;
    let (_one, _two, asked) = pair(&rig).await;
    let end = apply(&rig, &FILE.replace("vrid = 51", "vrid = 510"), 0).await;
    assert_eq!((end.state.as_str(), end.generation), ("refused", 0));
    assert_eq!((end.problems[0].line, end.problems[0].column), (5, 8));
    let end = apply(&rig, &FILE.replace("lb02", "lb03"), 0).await;
    assert!(end.problems[0].message.contains("there is no node lb03 in the fleet"), "{end:?}");
    assert_eq!(requests(&asked), []);
    let mut configs = rig.configs_as(&rig.admin()).await;
    let request = v1::ValidateConfigRequest { text: FILE.replace("192.168.178.3", "10.0.0.3") };
    let problems = configs.validate_config(request).await.unwrap().into_inner().problems;
    assert!(
        problems.iter().all(|problem| problem.severity == "warning") && problems.len() == 2,
        "{problems:?}"
    );
    assert!(problems[0].message.contains("not in the network of ens33 on lb01"), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_that_refuses_stops_all_before_anything_runs() {
    let rig = Rig::start().await;
    let (_one, two, asked) = pair(&rig).await;
    two.mood.send_replace(Mood::Refuses);
    let end = apply(&rig, FILE, 0).await;
    assert_eq!(end.state, "refused", "{end:?}");
    assert!(end.why.starts_with("lb02 refuses it: agent.toml:3:13: error"), "{end:?}");
    assert_eq!(of(&asked, "/commit"), Vec::<String>::new());
    assert_eq!(of(&asked, "/roll_back"), ["lb01"], "what was staged is forgotten");
    assert_eq!(states(&rig, 1).await, ["lb01 rolled_back", "lb02 refused"]);
    two.mood.send_replace(Mood::Obeys);
    let end = apply(&rig, FILE, 0).await;
    assert_eq!((end.state.as_str(), end.generation), ("applied", 2), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_serve_after_its_commit_turns_all_back() {
    let rig = Rig::start().await;
    let (one, _two, asked) = pair(&rig).await;
    one.mood.send_replace(Mood::Faults);
    let end = apply(&rig, FILE, 0).await;
    assert_eq!(end.state, "rolled_back", "{end:?}");
    assert!(end.why.contains("VI_1 on lb01 went from MASTER to FAULT"), "{end:?}");
    assert_eq!(of(&asked, "/confirm"), Vec::<String>::new(), "nobody was to keep it");
    let back = of(&asked, "/roll_back");
    assert_eq!(back.len(), 2, "the one that had settled goes back too: {back:?}");
    assert_eq!(states(&rig, 1).await, ["lb01 rolled_back", "lb02 rolled_back"]);
    assert!(rig.store().config_head().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_back_by_itself_turns_all_back() {
    let rig = Rig::start().await;
    let (_one, two, asked) = pair(&rig).await;
    two.mood.send_replace(Mood::GivesUp);
    let end = apply(&rig, FILE, 0).await;
    assert_eq!(end.state, "rolled_back", "{end:?}");
    assert!(end.why.contains("lb02 went back by itself: the engine refuses it"), "{end:?}");
    assert_eq!(of(&asked, "/commit"), ["lb02"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_finding_turns_all_back() {
    let rig = Rig::start().await;
    let (_one, two, asked) = pair(&rig).await;
    two.mood.send_replace(Mood::Seizes);
    let end = apply(&rig, FILE, 0).await;
    assert_eq!(end.state, "rolled_back", "{end:?}");
    assert!(end.why.starts_with("split_brain."), "{end:?}");
    assert_eq!(of(&asked, "/commit"), ["lb02"], "the holder was left alone");
    assert_eq!(of(&asked, "/confirm"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_stops_it_and_one_that_leaves_the_file_does_not() {
    let rig = Rig::start().await;
    let (_one, two, _asked) = pair(&rig).await;
    two.task.abort();
    eventually("lb02 is gone", async || {
        rig.fleet().await.nodes.iter().any(|node| !node.connected).then_some(())
    })
    .await;
    let away = apply(&rig, FILE, 0).await;
    assert_eq!(away.state, "refused", "{away:?}");
    assert!(away.why.contains("lb02 is not connected"), "{away:?}");
    let alone = FILE.split("  [[group.member]]\n  node = \"lb02\"").next().unwrap();
    let end = apply(&rig, alone, 0).await;
    assert_eq!(end.state, "applied", "{end:?}");
    assert_eq!(states(&rig, 2).await, ["lb01 confirmed"]);
}

/// Whether the rule says no to a person, too, who wants this node to be fenced.
async fn spared(approver: &mut FenceServiceClient<Channel>, node: &str) -> bool {
    // Nothing comes of it in any case: there is no device.
    let level = v1::FenceLevel::Network.into();
    let refused =
        approver.run(v1::RunFenceRequest { node: node.into(), level, node_typed: String::new() }).await;
    refused.is_err_and(|refused| refused.message().ends_with("(committing)"))
}

#[tokio::test(flavor = "multi_thread")]
async fn fencing_spares_every_node_of_an_apply_from_its_beginning_and_over_a_restart() {
    let mut rig = Rig::start().await;
    let (one, two, asked) = pair(&rig).await;
    two.mood.send_replace(Mood::Silent);
    let credential = rig.user("eve", Role::FenceApprover).await;
    let mut approver = FenceServiceClient::new(rig.channel(Some(&credential)).await.unwrap());
    assert!(!spared(&mut approver, "lb01").await);
    let mut configs = rig.configs_as(&rig.admin()).await;
    let stream = configs.apply_config(wish(FILE, 0)).await.unwrap().into_inner();
    eventually("the commit is asked for", async || of(&asked, "/commit").first().cloned()).await;
    // lb02 commits now, lb01 only later.
    assert!(spared(&mut approver, "lb02").await && spared(&mut approver, "lb01").await);
    rig.stop().await;
    let (one, two) = (one.task.await.unwrap(), two.task.await.unwrap());
    drop(stream);
    rig.serve().await;
    // No agent is here, so that no step can be taken.
    let mut approver = FenceServiceClient::new(rig.channel(Some(&credential)).await.unwrap());
    assert!(spared(&mut approver, "lb02").await && spared(&mut approver, "lb01").await);
    let _one = Pushable::start(&rig, one, &asked).await;
    let _two = Pushable::start(&rig, two, &asked).await;
    eventually("the apply is over", async || {
        let row = rig.store().config_generation(1).await.unwrap().unwrap();
        (!row.state.is_open()).then_some(())
    })
    .await;
    eventually("fencing hears of its end", async || {
        (!spared(&mut approver.clone(), "lb01").await && !spared(&mut approver.clone(), "lb02").await)
            .then_some(())
    })
    .await;
}

/// What was confirmed does not go back by itself: it is told when it is heard again.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_when_all_go_back_is_told_when_it_is_heard_again() {
    let rig = Rig::start().await;
    let (one, two, asked) = pair(&rig).await;
    one.mood.send_replace(Mood::Silent);
    let mut configs = rig.configs_as(&rig.admin()).await;
    let stream = configs.apply_config(wish(FILE, 0)).await.unwrap().into_inner();
    eventually("lb01 is asked to commit", async || {
        of(&asked, "/commit").iter().any(|node| node == "lb01").then_some(())
    })
    .await;
    // lb02 ran it by then.
    two.task.abort();
    let end = told(stream).await.pop().unwrap();
    assert_eq!(end.state, "rolled_back", "{end:?}");
    assert!(states(&rig, 1).await.contains(&"lb02 failed".to_owned()), "{:?}", states(&rig, 1).await);
    // It is not forgotten over what is tried next.
    one.mood.send_replace(Mood::Refuses);
    assert_eq!(apply(&rig, FILE, 0).await.state, "refused");
    let mut back = rig.enrol("lb02").await;
    back.becomes(VrrpState::Backup);
    let hash = store::hash(&hafleet_fleetfile::parse(FILE).unwrap().compile("lb02"));
    back.pushed = Some(v1::Pushed { generation: 1, hash, ..Default::default() });
    let back = Pushable::start(&rig, back, &asked).await;
    eventually("lb02 is told", async || {
        states(&rig, 1).await.contains(&"lb02 rolled_back".to_owned()).then_some(())
    })
    .await;
    assert!(of(&asked, "/roll_back").iter().any(|node| node == "lb02"), "{:?}", requests(&asked));
    drop((one, back));
}

/// Old generations are deleted, but none of these.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_runs_by_its_last_word_is_in_use_also_while_it_is_away() {
    let mut rig = Rig::start().await;
    let mut agent = rig.enrol("lb01").await;
    agent.pushed = Some(v1::Pushed { generation: 7, staged_generation: 9, ..Default::default() });
    let agent = Pushable::start(&rig, agent, &Asked::default()).await;
    let in_use = |rig: &Rig| Vec::from_iter(push::in_use(rig.running().shared()));
    eventually("lb01 to be heard", async || (in_use(&rig) == [7, 9]).then_some(())).await;
    rig.stop().await;
    drop(agent);
    rig.serve().await;
    assert_eq!(in_use(&rig), [7, 9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_restarts_goes_on_where_it_was() {
    let mut rig = Rig::start().await;
    let (one, two, asked) = pair(&rig).await;
    two.mood.send_replace(Mood::Silent);
    let mut configs = rig.configs_as(&rig.admin()).await;
    let mut stream = configs.apply_config(wish(FILE, 0)).await.unwrap().into_inner();
    loop {
        let progress = timeout(SOON, stream.message()).await.unwrap().unwrap().unwrap();
        if progress.steps.iter().any(|step| step.state == "committing") {
            break;
        }
    }
    eventually("the commit is asked for", async || of(&asked, "/commit").first().cloned()).await;
    rig.stop().await;
    let (one, two) = (one.task.await.unwrap(), two.task.await.unwrap());
    rig.serve().await;
    let _one = Pushable::start(&rig, one, &asked).await;
    let mut two = two;
    // It had been told, and has staged what it was given before.
    two.pushed = Some(v1::Pushed::default());
    let _two = Pushable::start(&rig, two, &asked).await;
    let end = eventually("the apply is over", async || {
        let row = rig.store().config_generation(1).await.unwrap().unwrap();
        (!row.state.is_open()).then_some(row)
    })
    .await;
    let asked = requests(&asked);
    assert_eq!(end.state.as_str(), "applied", "{end:?} {asked:?}");
    let commits: Vec<_> =
        asked.iter().filter(|(node, id)| node == "lb02" && id.ends_with("/commit")).collect();
    let id = format!("config/1.{}/commit", end.created_at_us);
    assert!(
        commits.len() >= 2 && commits.iter().all(|(_, asked)| *asked == id),
        "asked again, under the same id: {asked:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_is_its_own() {
    let rig = Rig::start().await;
    for (role, judge, apply) in [
        (Role::Viewer, false, false),
        (Role::Operator, true, false),
        (Role::FenceApprover, false, false),
        (Role::Admin, true, true),
    ] {
        let credential = rig.user(&format!("u-{role}").replace('_', "-"), role).await;
        let mut configs = rig.configs_as(&credential).await;
        let allowed = |status: Result<(), tonic::Status>| match status {
            Ok(()) => true,
            Err(status) => status.code() != Code::PermissionDenied,
        };
        let validate =
            configs.validate_config(v1::ValidateConfigRequest { text: FILE.into() }).await.map(drop);
        let diff =
            configs.diff_config(v1::DiffConfigRequest { text: FILE.into(), generation: 0 }).await.map(drop);
        let check = configs.check_config(v1::CheckConfigRequest { text: FILE.into() }).await.map(drop);
        assert_eq!([validate, diff, check].map(allowed), [judge; 3], "{role}");
        let show = configs.get_config(v1::GetConfigRequest { generation: 1 }).await.map(drop);
        assert!(allowed(show), "{role}");
        let request = wish("[[group]]", 0);
        let applied = configs.apply_config(request).await.map(drop);
        let back = v1::RollbackConfigRequest { generation: 1, ..Default::default() };
        let back = configs.rollback_config(back).await.map(drop);
        assert_eq!([applied, back].map(allowed), [apply; 2], "{role}");
        assert!(configs.list_configs(v1::ListConfigsRequest::default()).await.is_ok(), "{role}");
        assert!(configs.get_drift(v1::GetDriftRequest {}).await.is_ok(), "{role}");
    }
    rig.refused("config.apply", &["user/u-operator", "role"]).await;
}
