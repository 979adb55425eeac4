//! Switchovers and maintenance, from the operator's question to the agents' answers.

use hafleet_proto::v1::{
    self,
    VrrpState::{Backup, Master},
    order::Order,
    request::Request as What,
};
use tonic::{Code, Status};

use crate::{
    living::{Living, Manner},
    rig::{FakeAgent, Rig, eventually},
};

const GROUP: &str = "dc1/192.168.178.3";

/// lb01 holds with priority 150, lb02 waits with 100.
async fn pair(rig: &Rig) -> (Living, Living) {
    pair_with(rig, |_| {}).await
}

async fn pair_with(rig: &Rig, change: impl Fn(&mut FakeAgent)) -> (Living, Living) {
    let mut agents = Vec::new();
    for (name, priority, state) in [("lb01", 150, Master), ("lb02", 100, Backup)] {
        let mut agent = rig.enrol(name).await;
        agent.priority = priority;
        change(&mut agent);
        agent.becomes(state);
        agents.push(Living::start(rig, agent).await);
    }
    held_by(rig, "lb01").await;
    let lb02 = agents.pop().unwrap();
    (agents.pop().unwrap(), lb02)
}

async fn held_by(rig: &Rig, node: &str) {
    eventually(&format!("{node} holds"), async || {
        let fleet = rig.fleet().await;
        let group = fleet.groups.first()?;
        let heard = group.members.len() == 2 && group.members.iter().all(|member| member.fresh);
        (group.holder == node && heard).then_some(())
    })
    .await;
}

fn to(node: &str) -> v1::SwitchOverRequest {
    v1::SwitchOverRequest {
        group: "VI_1".into(),
        node: node.into(),
        why: "kernel".into(),
        ..Default::default()
    }
}

async fn switch(rig: &Rig, request: v1::SwitchOverRequest) -> Result<v1::SwitchOverResponse, Status> {
    rig.operator().await.switch_over(request).await.map(tonic::Response::into_inner)
}

async fn maintain(
    rig: &Rig,
    request: v1::SetMaintenanceRequest,
) -> Result<v1::SetMaintenanceResponse, Status> {
    rig.operator().await.set_maintenance(request).await.map(tonic::Response::into_inner)
}

fn on(node: &str) -> v1::SetMaintenanceRequest {
    v1::SetMaintenanceRequest { node: node.into(), on: true, why: "kernel".into(), ..Default::default() }
}

/// The orders that the coordinator itself has, with the node and the state of each.
async fn orders(rig: &Rig) -> Vec<(String, String, String)> {
    let nodes = rig.fleet().await.nodes.into_iter();
    let of_node = |node: v1::Node| {
        let name = node.name.clone();
        node.orders.into_iter().map(move |order| (name.clone(), order.id, order.state))
    };
    nodes.flat_map(of_node).filter(|(_, _, state)| state != "reported").collect()
}

async fn without_orders(rig: &Rig) {
    eventually("no order is left", async || orders(rig).await.is_empty().then_some(())).await;
}

async fn findings(rig: &Rig) -> Vec<String> {
    let request = v1::ListFindingsRequest { include_resolved: true, ..Default::default() };
    let listed = rig.operator().await.list_findings(request).await.unwrap().into_inner().findings;
    listed.into_iter().map(|finding| finding.id).collect()
}

fn take_over(request: What) -> (String, u32, i64) {
    match request {
        What::Give(v1::Order { id, instances, until_us, order: Some(Order::TakeOver(take)), .. }) => {
            assert_eq!(instances, ["VI_1"]);
            (id, take.priority, until_us)
        }
        other => panic!("{other:?}"),
    }
}

fn withdrawn(request: What) -> String {
    match request {
        What::Withdraw(withdraw) => withdraw.order_id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_handed_over_and_handed_back_and_nobody_is_alarmed() {
    let rig = Rig::start().await;
    let (mut lb01, mut lb02) = pair(&rig).await;
    let (moved, id) = tokio::join!(switch(&rig, to("lb02")), async {
        let (id, priority, until_us) = take_over(lb02.request().await);
        assert_eq!((priority, until_us), (151, 0));
        lb01.becomes(Backup).await;
        id
    });
    let moved = moved.unwrap();
    assert_eq!((moved.from.as_str(), moved.to.as_str(), moved.priority), ("lb01", "lb02", 151));
    assert_eq!((&moved.order_id, moved.group.as_str()), (&id, GROUP));
    assert!(id.starts_with(&format!("switchover/{GROUP}/")), "{id}");
    held_by(&rig, "lb02").await;
    assert_eq!(orders(&rig).await, [("lb02".into(), id.clone(), "standing".into())]);

    let request = v1::ExplainGroupRequest { group: GROUP.into(), site: String::new() };
    let told = rig.operator().await.explain_group(request).await.unwrap().into_inner().sentences;
    let sentence = "lb02 takes it with priority 151, by order of user/admin (kernel); the order is standing.";
    assert!(told.iter().any(|told| told == sentence), "{told:?}");
    let again = switch(&rig, to("lb02")).await.unwrap();
    assert_eq!((again.order_id.as_str(), again.to.as_str()), ("", "lb02"), "nothing to do");

    // On to the first: the earlier order is taken back when the new one stands.
    let (moved, second) = tokio::join!(switch(&rig, to("lb01")), async {
        let (second, priority, _) = take_over(lb01.request().await);
        assert_eq!(priority, 150, "it is the highest by itself");
        lb02.becomes(Backup).await;
        second
    });
    moved.unwrap();
    assert_eq!(withdrawn(lb02.request().await), id);
    eventually("only the second order stands", async || {
        (orders(&rig).await == [("lb01".into(), second.clone(), "standing".into())]).then_some(())
    })
    .await;

    let undo = v1::UndoSwitchOverRequest { group: GROUP.into(), ..Default::default() };
    let undone = rig.operator().await.undo_switch_over(undo.clone()).await.unwrap().into_inner();
    assert_eq!((undone.nodes, undone.pending), (vec!["lb01".to_owned()], Vec::new()));
    assert_eq!(withdrawn(lb01.request().await), second);
    lb01.becomes(Master).await;
    held_by(&rig, "lb01").await;
    without_orders(&rig).await;
    let error = rig.operator().await.undo_switch_over(undo).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert_eq!(findings(&rig).await, [] as [String; 0]);
    let audit = rig.audit().await;
    let rows: Vec<(&str, &str)> = audit
        .iter()
        .rev()
        .filter(|row| row.subject == GROUP)
        .map(|row| (row.action.as_str(), row.outcome.as_str()))
        .collect();
    let (asked, end) = (("switchover", "done"), ("switchover.end", "done"));
    assert_eq!(rows, [asked, end, asked, end, ("switchover.undo", "done")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_addresses_of_a_group_go_together() {
    let rig = Rig::start().await;
    let two = |agent: &mut FakeAgent| agent.also = vec!["192.168.178.4/24".into(), "fd00::4/64".into()];
    let (lb01, mut lb02) = pair_with(&rig, two).await;
    assert_eq!(rig.fleet().await.groups.len(), 1);
    let by_another = v1::SwitchOverRequest { group: "dc1/192.168.178.4".into(), ..to("lb02") };
    let (moved, ()) = tokio::join!(switch(&rig, by_another), async {
        take_over(lb02.request().await);
        lb01.becomes(Backup).await;
    });
    assert_eq!(moved.unwrap().group, GROUP);
    held_by(&rig, "lb02").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_some_of_the_addresses_holds_the_group_not() {
    let rig = Rig::start().await;
    let short = |agent: &mut FakeAgent| {
        agent.also = vec!["192.168.178.4/24".into()];
        agent.refused_addresses = usize::from(agent.node == "lb02");
    };
    let (lb01, mut lb02) = pair_with(&rig, short).await;
    let (moved, id) = tokio::join!(switch(&rig, to("lb02")), async {
        let (id, _, _) = take_over(lb02.request().await);
        lb01.becomes(Backup).await;
        id
    });
    let error = moved.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.message().contains("lb02 did not hold"), "{error}");
    assert_eq!(withdrawn(lb02.request().await), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_take_it_is_refused_with_the_reason() {
    let rig = Rig::start().await;
    let (lb01, lb02) = pair(&rig).await;
    let error =
        switch(&rig, v1::SwitchOverRequest { group: "nothing".into(), ..to("lb02") }).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let error = switch(&rig, v1::SwitchOverRequest { for_s: 40 * 86_400, ..to("lb02") }).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let in_lines = "new\nkernel".to_owned();
    let error =
        switch(&rig, v1::SwitchOverRequest { why: in_lines.clone(), ..to("lb02") }).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("why") && error.message().contains("U+000A"), "{error}");
    let error = maintain(&rig, v1::SetMaintenanceRequest { why: in_lines, ..on("lb02") }).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let error = switch(&rig, to("lb09")).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("lb09 is no member of dc1/192.168.178.3"), "{error}");
    lb02.becomes(v1::VrrpState::Fault).await;
    eventually("FAULT is known", async || {
        let fleet = rig.fleet().await;
        let fault = v1::VrrpState::Fault;
        fleet.groups[0].members.iter().any(|member| member.state() == fault).then_some(())
    })
    .await;
    let error = switch(&rig, to("lb02")).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("lb02 is FAULT and not BACKUP (VI_1): master_down"), "{error}");
    rig.refused("switchover", &["user/admin", GROUP, "lb02 is FAULT"]).await;
    assert_eq!(orders(&rig).await, []);
    drop((lb01, lb02));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_refuses_has_done_nothing() {
    let rig = Rig::start().await;
    let (lb01, mut lb02) = pair(&rig).await;
    lb02.behaves(Manner::Refuses("not_ready")).await;
    let error = switch(&rig, to("lb02")).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.message().contains("lb02 refuses (not_ready): in words"), "{error}");
    take_over(lb02.request().await);
    without_orders(&rig).await;
    rig.refused("switchover.end", &["user/admin", GROUP, "not_ready"]).await;
    drop(lb01);
}

/// Nobody knows what its disk has by now.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_disk_refuses_is_told_to_forget_until_it_says_so() {
    let rig = Rig::start().await;
    let (lb01, mut lb02) = pair(&rig).await;
    lb02.behaves(Manner::Refuses("disk")).await;
    let error = switch(&rig, to("lb02")).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.message().contains("lb02 refuses (disk): in words"), "{error}");
    let (id, _, _) = take_over(lb02.request().await);
    assert_eq!(withdrawn(lb02.request().await), id);
    assert_eq!(orders(&rig).await, [("lb02".into(), id, "withdrawing".into())]);
    lb02.behaves(Manner::Obeys).await;
    without_orders(&rig).await;
    drop(lb01);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_comes_to_nothing_is_taken_back() {
    let rig = Rig::start().await;
    let (lb01, mut lb02) = pair(&rig).await;
    lb02.behaves(Manner::Pretends).await;
    let error = switch(&rig, to("lb02")).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.message().contains("lb02 did not hold dc1/192.168.178.3 within 10 s"), "{error}");
    let (id, _, _) = take_over(lb02.request().await);
    assert_eq!(withdrawn(lb02.request().await), id);
    without_orders(&rig).await;
    held_by(&rig, "lb01").await;
    drop(lb01);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_holders_are_no_handover() {
    let rig = Rig::start().await;
    let (lb01, mut lb02) = pair(&rig).await;
    // lb01 stays what it is.
    let error = switch(&rig, to("lb02")).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.message().contains("but lb01 did not release it within 10 s"), "{error}");
    let (id, _, _) = take_over(lb02.request().await);
    assert_eq!(withdrawn(lb02.request().await), id);
    held_by(&rig, "lb01").await;
    drop(lb01);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_says_nothing_is_told_to_forget_until_it_says_so() {
    let rig = Rig::start().await;
    let (lb01, mut lb02) = pair(&rig).await;
    lb02.behaves(Manner::Mute).await;
    let error = switch(&rig, to("lb02")).await.unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert!(error.message().contains("lb02 did not answer within 5 s"), "{error}");
    let (id, _, _) = take_over(lb02.request().await);
    assert_eq!(withdrawn(lb02.request().await), id);
    assert_eq!(orders(&rig).await, [("lb02".into(), id, "withdrawing".into())]);
    // Also by a coordinator that has been restarted.
    lb02.behaves(Manner::Obeys).await;
    without_orders(&rig).await;
    drop(lb01);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_sees_it_through() {
    let mut rig = Rig::start().await;
    let (lb01, mut lb02) = pair(&rig).await;
    lb02.behaves(Manner::Mute).await;
    let mut operator = rig.operator().await;
    let asked = tokio::spawn(async move { operator.switch_over(to("lb02")).await });
    let (id, _, _) = take_over(lb02.request().await);
    rig.stop().await;
    asked.await.unwrap().unwrap_err();
    let (mut lb01, mut lb02) = (lb01.leave().await, lb02.leave().await);
    rig.serve().await;
    lb01.becomes(Backup);
    lb02.manner = Manner::Obeys;
    let lb01 = Living::start(&rig, lb01).await;
    let mut lb02 = Living::start(&rig, lb02).await;
    assert_eq!(take_over(lb02.request().await).0, id, "the same order");
    eventually("it stands", async || {
        (orders(&rig).await == [("lb02".into(), id.clone(), "standing".into())]).then_some(())
    })
    .await;
    held_by(&rig, "lb02").await;
    drop(lb01);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_the_node_takes_the_order_back_when_it_comes() {
    let mut rig = Rig::start().await;
    let (lb01, mut lb02) = pair(&rig).await;
    lb02.behaves(Manner::Mute).await;
    let mut operator = rig.operator().await;
    let asked = tokio::spawn(async move { operator.switch_over(to("lb02")).await });
    let (id, _, _) = take_over(lb02.request().await);
    rig.stop().await;
    asked.await.unwrap().unwrap_err();
    let mut lb02 = lb02.leave().await;
    rig.serve().await;
    // It has the order, and nobody can ask it: that it was not told now says nothing.
    eventually("the order is to be withdrawn", async || {
        (orders(&rig).await == [("lb02".into(), id.clone(), "withdrawing".into())]).then_some(())
    })
    .await;
    lb02.manner = Manner::Obeys;
    let mut lb02 = Living::start(&rig, lb02).await;
    assert_eq!(withdrawn(lb02.request().await), id);
    without_orders(&rig).await;
    drop(lb01);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_only_the_nodes_know_can_be_ended() {
    let rig = Rig::start().await;
    let (lb01, lb02) = pair(&rig).await;
    let (mut lb01, mut lb02) = (lb01.leave().await, lb02.leave().await);
    let order = |id: &str, instances: &[&str], order| v1::Order {
        id: id.into(),
        instances: instances.iter().map(|name| (*name).into()).collect(),
        by: "user/bob".into(),
        order: Some(order),
        ..Default::default()
    };
    lb01.orders = vec![order("maintenance/lb01/90", &[], Order::Maintenance(v1::Maintenance {}))];
    let take = Order::TakeOver(v1::TakeOver { priority: 200 });
    lb02.orders =
        vec![order("switchover/other/91", &["VI_9"], take), order("switchover/x/92", &["VI_1"], take)];
    let mut lb01 = Living::start(&rig, lb01).await;
    let mut lb02 = Living::start(&rig, lb02).await;
    let reported = async || -> Vec<(String, String)> {
        let orders = rig.fleet().await.nodes.into_iter().flat_map(|node| node.orders);
        orders.map(|order| (order.id, order.state)).collect()
    };
    eventually("all three are shown", async || (reported().await.len() == 3).then_some(())).await;
    assert!(reported().await.iter().all(|(_, state)| state == "reported"));
    let off = v1::SetMaintenanceRequest { node: "lb01".into(), ..Default::default() };
    assert_eq!(maintain(&rig, off).await.unwrap().order_id, "maintenance/lb01/90");
    assert_eq!(withdrawn(lb01.request().await), "maintenance/lb01/90");
    let undo = v1::UndoSwitchOverRequest { group: GROUP.into(), ..Default::default() };
    let undone = rig.operator().await.undo_switch_over(undo).await.unwrap().into_inner();
    assert_eq!(undone.nodes, ["lb02"]);
    assert_eq!(withdrawn(lb02.request().await), "switchover/x/92");
    eventually("the other group's stays", async || {
        (reported().await == [("switchover/other/91".into(), "reported".into())]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_ends_by_itself() {
    let rig = Rig::start().await;
    let (lb01, mut lb02) = pair(&rig).await;
    let before_us = ha_coordinator::clock::Clock::start().wall_us();
    let request = v1::SwitchOverRequest { for_s: 3, ..to("lb02") };
    let (moved, until_us) = tokio::join!(switch(&rig, request), async {
        let (_, _, until_us) = take_over(lb02.request().await);
        lb01.becomes(Backup).await;
        until_us
    });
    moved.unwrap();
    let lasts_us = until_us - before_us;
    assert!((2_000_000..8_000_000).contains(&lasts_us), "by the node's clock it lasts {lasts_us} us");
    without_orders(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_in_maintenance_hands_over_and_may_go_away() {
    let rig = Rig::start_with("[windows]\nfresh = \"2s\"\nagent_lost = \"2s\"\ngrace = \"2s\"\n").await;
    let (mut lb01, lb02) = pair(&rig).await;
    let (answer, id) =
        tokio::join!(maintain(&rig, v1::SetMaintenanceRequest { for_s: 3600, ..on("lb01") }), async {
            let What::Give(order) = lb01.request().await else { panic!("no order") };
            assert!(
                matches!(order.order, Some(Order::Maintenance(_))) && order.instances.is_empty(),
                "{order:?}"
            );
            assert!(order.until_us > 0);
            lb02.becomes(Master).await;
            order.id
        });
    let answer = answer.unwrap();
    assert_eq!(
        (answer.order_id, answer.pending, answer.released),
        (id.clone(), false, vec![GROUP.to_owned()])
    );
    held_by(&rig, "lb02").await;
    assert_eq!(orders(&rig).await, [("lb01".into(), id.clone(), "standing".into())]);
    let error = switch(&rig, to("lb01")).await.unwrap_err();
    assert!(error.message().contains(&format!("lb01 is held back by {id}")), "{error}");
    let again = maintain(&rig, on("lb01")).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);

    // Nobody else is left.
    let last = maintain(&rig, on("lb02")).await.unwrap_err();
    assert_eq!(last.code(), Code::FailedPrecondition);
    assert!(last.message().contains("lb02 is the last member that can hold dc1/192.168.178.3"), "{last}");
    rig.refused("maintenance.on", &["user/admin", "node/lb02", "last member"]).await;

    let gone = lb01.leave().await;
    eventually("lb01 has been silent for twice the window", async || {
        let nodes = rig.fleet().await.nodes;
        nodes.iter().any(|node| node.name == "lb01" && node.age_us > 4_000_000).then_some(())
    })
    .await;
    assert_eq!(findings(&rig).await, [] as [String; 0], "it is expected to be silent");
    let off = v1::SetMaintenanceRequest { node: "lb01".into(), ..Default::default() };
    assert!(maintain(&rig, off.clone()).await.unwrap().pending, "it is not reached");
    eventually("agent_lost", async || {
        findings(&rig).await.iter().any(|id| id.starts_with("agent_lost@node/lb01")).then_some(())
    })
    .await;
    let mut lb01 = Living::start(&rig, gone).await;
    assert_eq!(withdrawn(lb01.request().await), id);
    without_orders(&rig).await;
    let nothing = maintain(&rig, off).await.unwrap();
    assert_eq!((nothing.order_id.as_str(), nothing.pending), ("", false));
}

/// Each would be fine alone; the second finds the first.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_at_once_are_not_both_put_into_maintenance() {
    let rig = Rig::start().await;
    let (lb01, lb02) = pair(&rig).await;
    let both = tokio::join!(maintain(&rig, on("lb01")), maintain(&rig, on("lb02")));
    let (error, refused) = match both {
        (Ok(_), Err(error)) => (error, "lb02"),
        (Err(error), Ok(_)) => (error, "lb01"),
        other => panic!("{other:?}"),
    };
    assert_eq!(error.code(), Code::FailedPrecondition);
    let expected = format!("{refused} is the last member that can hold {GROUP}");
    assert!(error.message().contains(&expected), "{error}");
    assert_eq!(orders(&rig).await.len(), 1);
    drop((lb01, lb02));
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_waits_for_a_node_and_outlives_the_coordinator() {
    let mut rig = Rig::start().await;
    let (lb01, lb02) = pair(&rig).await;
    let away = lb02.leave().await;
    let answer = maintain(&rig, on("lb02")).await.unwrap();
    assert!(answer.pending);
    assert_eq!(orders(&rig).await, [("lb02".into(), answer.order_id.clone(), "asked".into())]);
    rig.stop().await;
    drop(lb01);
    rig.serve().await;
    let mut lb02 = Living::start(&rig, away).await;
    let What::Give(order) = lb02.request().await else { panic!("no order") };
    assert_eq!(order.id, answer.order_id);
    eventually("it stands", async || {
        (orders(&rig).await == [("lb02".into(), order.id.clone(), "standing".into())]).then_some(())
    })
    .await;
    let unknown = maintain(&rig, on("lb09")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

/// Its engine is silent, and is told by the agent until it has heard: the node releases everything then.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_engine_is_silent_is_in_maintenance_until_it_is_ended() {
    let rig = Rig::start().await;
    let (lb01, mut lb02) = pair(&rig).await;
    lb02.behaves(Manner::Refuses("engine")).await;
    let answer = maintain(&rig, on("lb02")).await.unwrap();
    assert!(answer.pending);
    let id = answer.order_id;
    assert_eq!(orders(&rig).await, [("lb02".into(), id.clone(), "asked".into())]);
    let given = async |lb02: &mut Living| match lb02.request().await {
        What::Give(order) => order.id,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (given(&mut lb02).await, given(&mut lb02).await),
        (id.clone(), id.clone()),
        "it is told again"
    );
    lb02.behaves(Manner::Obeys).await;
    eventually("it stands", async || {
        (orders(&rig).await == [("lb02".into(), id.clone(), "standing".into())]).then_some(())
    })
    .await;
    drop(lb01);
}
