//! What the fleet core finds, end to end: from two agents' words to a row, a watcher and an explanation.

use hafleet_proto::v1::{self, VrrpState};

use crate::{
    living::Living,
    rig::{Rig, eventually},
};

const GROUP: &str = "dc1/192.168.178.3";

async fn findings(rig: &Rig, kind: &str, status: &str) -> Vec<v1::Finding> {
    let request = v1::ListFindingsRequest { include_resolved: true, limit: 1000, ..Default::default() };
    let listed = rig.operator().await.list_findings(request).await.unwrap().into_inner().findings;
    listed.into_iter().filter(|finding| finding.kind == kind && finding.status == status).collect()
}

async fn finding(rig: &Rig, kind: &str, status: &str) -> v1::Finding {
    eventually(&format!("{kind} to be {status}"), async || findings(rig, kind, status).await.pop()).await
}

async fn holder(rig: &Rig, node: &str) -> v1::Group {
    eventually(&format!("{node} of two to hold the address"), async || {
        rig.fleet().await.groups.into_iter().find(|group| group.holder == node && group.members.len() == 2)
    })
    .await
}

/// lb01 is MASTER, lb02 hears it.
async fn pair(rig: &Rig) -> (Living, Living) {
    let (mut first, mut second) = (rig.enrol("lb01").await, rig.enrol("lb02").await);
    first.becomes(VrrpState::Backup);
    first.becomes(VrrpState::Master);
    second.becomes(VrrpState::Backup);
    second.heard = vec![first.as_heard()];
    (Living::start(rig, first).await, Living::start(rig, second).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_brain_is_found_survives_a_restart_and_ends() {
    let mut rig = Rig::start().await;
    let (first, second) = pair(&rig).await;
    let group = holder(&rig, "lb01").await;
    assert_eq!((group.state.as_str(), group.members.len(), group.group.as_str()), ("ok", 2, "VI_1"));

    // Somebody filters protocol 112: lb02 hears nobody any more and takes over.
    let mut watch = rig.operator().await.watch(v1::WatchRequest {}).await.unwrap().into_inner();
    second.hears(Vec::new()).await;
    second.becomes(VrrpState::Master).await;
    let found = finding(&rig, "split_brain.confirmed", "firing").await;
    assert_eq!((found.severity.as_str(), found.subject.as_str()), ("critical", GROUP));
    assert_eq!(found.cause_code, "vrrp_filtered", "{found:#?}");
    let nodes: Vec<&str> = found.evidence.iter().map(|evidence| evidence.node.as_str()).collect();
    assert!(nodes.contains(&"lb01") && nodes.contains(&"lb02"), "{nodes:?}");
    let watched = loop {
        let event = watch.message().await.unwrap().unwrap().event.unwrap();
        if let v1::watch_event::Event::Finding(watched) = event
            && watched.kind == "split_brain.confirmed"
            && watched.status == "firing"
        {
            break watched;
        }
    };
    assert_eq!(watched.id, found.id);
    let request = v1::ExplainGroupRequest { group: "VI_1".into(), site: String::new() };
    let explained = rig.operator().await.explain_group(request).await.unwrap().into_inner();
    assert!(!explained.sentences.is_empty());
    assert_eq!(explained.findings[0].id, found.id);

    // The coordinator restarts in the middle: the same finding goes on.
    rig.stop().await;
    let (first, second) = (first.leave().await, second.leave().await);
    rig.serve().await;
    let restarted = rig.fleet().await;
    assert!(restarted.groups.iter().flat_map(|group| &group.members).all(|member| !member.ever_heard));
    let still = restarted.findings;
    assert_eq!((still[0].id.as_str(), still[0].since_us), (found.id.as_str(), found.since_us));
    let (first, second) = (Living::start(&rig, first).await, Living::start(&rig, second).await);
    eventually("both to be heard again", async || {
        rig.fleet().await.nodes.iter().all(|node| node.fresh).then_some(())
    })
    .await;
    assert_eq!(findings(&rig, "split_brain.confirmed", "firing").await.len(), 1);

    second.becomes(VrrpState::Backup).await;
    let resolved = finding(&rig, "split_brain.confirmed", "resolved").await;
    assert_eq!(resolved.id, found.id);
    assert!(resolved.resolved_at_us > resolved.since_us);
    holder(&rig, "lb01").await;

    // The next one has the next number, also after a restart.
    rig.stop().await;
    let (first, second) = (first.leave().await, second.leave().await);
    rig.serve().await;
    let (_first, second) = (Living::start(&rig, first).await, Living::start(&rig, second).await);
    holder(&rig, "lb01").await;
    second.becomes(VrrpState::Master).await;
    let next = finding(&rig, "split_brain.confirmed", "firing").await;
    assert_eq!(next.id, format!("split_brain.confirmed@{GROUP}#2"));
    assert_eq!(findings(&rig, "split_brain.confirmed", "resolved").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn transitions_are_listed_by_group_node_and_instance() {
    let rig = Rig::start().await;
    let (_first, second) = pair(&rig).await;
    holder(&rig, "lb01").await;
    second.becomes(VrrpState::Fault).await;
    let list = async |request: v1::ListTransitionsRequest| {
        rig.operator().await.list_transitions(request).await.unwrap().into_inner()
    };
    eventually("four transitions", async || (rig.transitions().await.len() == 4).then_some(())).await;
    for group in ["VI_1", "192.168.178.3", GROUP] {
        let listed = list(v1::ListTransitionsRequest { group: group.into(), ..Default::default() }).await;
        assert_eq!(listed.transitions.len(), 4, "{group}");
    }
    let listed = list(v1::ListTransitionsRequest { node: "lb02".into(), ..Default::default() }).await;
    assert_eq!(
        listed.transitions.iter().map(|row| row.to()).collect::<Vec<_>>(),
        [VrrpState::Backup, VrrpState::Fault]
    );
    let listed = list(v1::ListTransitionsRequest { limit: 1, ..Default::default() }).await;
    assert!(listed.truncated);
    assert_eq!(listed.transitions[0].to(), VrrpState::Fault);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_falls_silent_is_lost_and_found_again() {
    let rig = Rig::start_with("[windows]\ngrace = \"2s\"\nagent_lost = \"2s\"\nfresh = \"2s\"\n").await;
    let agent = rig.enrol("lb01").await;
    let living = Living::start(&rig, agent).await;
    eventually("lb01 to be fresh", async || rig.fleet().await.nodes[0].fresh.then_some(())).await;
    let agent = living.leave().await;
    let lost = finding(&rig, "agent_lost", "firing").await;
    assert_eq!(lost.subject, "node/lb01");
    let node = rig.fleet().await.nodes.remove(0);
    assert!(!node.connected && !node.fresh && node.ever_heard);
    let _living = Living::start(&rig, agent).await;
    assert_eq!(finding(&rig, "agent_lost", "resolved").await.id, lost.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_an_agent_refused_is_a_finding_until_it_takes_one() {
    let rig = Rig::start().await;
    let mut agent = rig.enrol("lb01").await;
    agent.refused = "agent.toml:1:1: error: `nod` is not a key of agent.toml".into();
    let living = Living::start(&rig, agent).await;
    let refused = finding(&rig, "config_refused", "firing").await;
    assert_eq!((refused.subject.as_str(), refused.cause_code.as_str()), ("node/lb01", "config_invalid"));
    assert!(refused.cause.contains("`nod` is not a key"), "{refused:#?}");
    let mut agent = living.leave().await;
    agent.refused.clear();
    let _living = Living::start(&rig, agent).await;
    assert_eq!(finding(&rig, "config_refused", "resolved").await.id, refused.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_read_its_orders_is_a_finding_until_it_can() {
    let rig = Rig::start().await;
    let mut agent = rig.enrol("lb01").await;
    agent.orders_unreadable = "the standing orders cannot be read: EOF".into();
    let living = Living::start(&rig, agent).await;
    let unreadable = finding(&rig, "orders_unreadable", "firing").await;
    assert_eq!((unreadable.subject.as_str(), unreadable.cause_code.as_str()), ("node/lb01", "file_damaged"));
    assert!(unreadable.cause.ends_with("cannot be read: EOF"), "{unreadable:#?}");
    let mut agent = living.leave().await;
    agent.orders_unreadable.clear();
    let _living = Living::start(&rig, agent).await;
    assert_eq!(finding(&rig, "orders_unreadable", "resolved").await.id, unreadable.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_with_many_groups_is_cut_and_every_one_is_confirmed() {
    const GROUPS: usize = 101;
    let rig = Rig::start().await;
    let (mut first, mut second) = (rig.enrol("lb01").await, rig.enrol("lb02").await);
    (first.twins, second.twins) = (100, 100);
    first.becomes(VrrpState::Master);
    second.becomes(VrrpState::Backup);
    let (_first, second) = (Living::start(&rig, first).await, Living::start(&rig, second).await);
    eventually("lb01 to hold everything", async || {
        let groups = rig.fleet().await.groups;
        let all = |group: &v1::Group| group.holder == "lb01" && group.members.len() == 2;
        (groups.len() == GROUPS && groups.iter().all(all)).then_some(())
    })
    .await;
    second.becomes(VrrpState::Master).await;
    eventually("every group to be confirmed", async || {
        let confirmed = findings(&rig, "split_brain.confirmed", "firing").await;
        (confirmed.len() == GROUPS).then_some(())
    })
    .await;
}
