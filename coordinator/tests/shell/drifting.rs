//! Nodes that run something else than what was applied last.

use hafleet_proto::v1;

use crate::{
    push::{FILE, Mood, apply, pair, pair_with, states},
    rig::Rig,
};

/// It was away when an earlier file left it out.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_no_file_knows_any_more_gives_up_what_was_pushed_to_it() {
    let rig = Rig::start().await;
    let old = v1::Pushed { generation: 1, hash: "0".repeat(64), ..Default::default() };
    let (_one, _two, _asked) = pair_with(&rig, old).await;
    let alone = FILE.split_once("  [[group.member]]\n  node = \"lb02\"").unwrap().0;
    let mut configs = rig.configs_as(&rig.admin()).await;
    let of_two = async |configs: &mut v1::config_service_client::ConfigServiceClient<_>| {
        let drift = configs.get_drift(v1::GetDriftRequest {}).await.unwrap().into_inner();
        drift.nodes.into_iter().find(|node| node.node == "lb02").unwrap()
    };
    let drift = of_two(&mut configs).await;
    assert_eq!(drift.state, "differs");
    assert!(drift.detail.contains("the file has nothing for it; apply it again"), "{drift:?}");
    let end = apply(&rig, alone, 0).await;
    assert_eq!(end.state, "applied", "{end:?}");
    assert_eq!(states(&rig, end.generation).await, ["lb01 confirmed", "lb02 confirmed"]);
    assert_eq!(of_two(&mut configs).await.state, "in_step");
    // Once is enough.
    let again = apply(&rig, alone, end.generation).await;
    assert_eq!(states(&rig, again.generation).await, ["lb01 unchanged"]);
}

/// The files do not differ, so that nothing is touched but by the drift.
#[tokio::test(flavor = "multi_thread")]
async fn what_drifted_is_watched_while_it_is_applied_again() {
    let rig = Rig::start().await;
    let (_one, two, _asked) = pair(&rig).await;
    two.mood.send_replace(Mood::Drifts);
    let end = apply(&rig, FILE, 0).await;
    assert_eq!(end.state, "applied", "{end:?}");
    two.mood.send_replace(Mood::Faults);
    let again = apply(&rig, FILE, end.generation).await;
    assert_eq!(again.state, "rolled_back", "{again:?}");
    assert!(again.why.contains("VI_1 on lb02 went from BACKUP to FAULT"), "{again:?}");
}

/// A database that was restored knows nothing of what nodes were given after its copy.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_generation_is_above_all_that_nodes_have() {
    let rig = Rig::start().await;
    let (hash, rolled_back_generation) = ("0".repeat(64), 41);
    let later = v1::Pushed { generation: 40, hash, rolled_back_generation, ..Default::default() };
    let (_one, _two, _asked) = pair_with(&rig, later).await;
    let end = apply(&rig, FILE, 0).await;
    assert_eq!((end.state.as_str(), end.generation), ("applied", 42), "{end:?}");
}
