//! What operators ask.

use hafleet_proto::v1;
use tonic::Code;

use crate::rig::{Rig, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_names_are_checked() {
    let rig = Rig::start().await;
    let mut operator = rig.operator().await;
    let request = v1::ListFindingsRequest { limit: 10_001, ..Default::default() };
    let error = operator.list_findings(request).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("`limit`"), "{error}");

    let request = v1::ListTransitionsRequest { group: "nothing".into(), ..Default::default() };
    assert_eq!(operator.list_transitions(request).await.unwrap_err().code(), Code::NotFound);
    let request = v1::ExplainGroupRequest { group: "nothing".into(), site: String::new() };
    assert_eq!(operator.explain_group(request).await.unwrap_err().code(), Code::NotFound);
    let request = v1::RevokeNodeRequest { node: "nothing".into() };
    assert_eq!(operator.revoke_node(request).await.unwrap_err().code(), Code::NotFound);

    for lifetime_s in [1, 59, 7 * 86_400 + 1, u64::MAX] {
        let request = v1::CreateTokenRequest { node: String::new(), lifetime_s };
        assert_eq!(
            operator.create_token(request).await.unwrap_err().code(),
            Code::InvalidArgument,
            "{lifetime_s}"
        );
    }
    let request = v1::CreateTokenRequest { node: "../etc".into(), lifetime_s: 0 };
    assert_eq!(operator.create_token(request).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_known_by_each_of_its_addresses() {
    let rig = Rig::start().await;
    let mut agent = rig.enrol("lb01").await;
    agent.becomes(v1::VrrpState::Backup);
    let mut stream = agent.connect(&rig).await;
    agent.send_after(&stream, 0, 256).await;
    stream.acked(1).await;
    let mut snapshot = agent.snapshot();
    snapshot.instances[0].addresses.push("192.168.178.4/24".into());
    snapshot.instances[0].addresses.push("fd00::4/64".into());
    stream.send(v1::agent_message::Message::Snapshot(snapshot)).await;
    eventually("the group", async || (!rig.fleet().await.groups.is_empty()).then_some(())).await;
    let mut operator = rig.operator().await;
    let names = ["VI_1", "192.168.178.3", "192.168.178.4", "fd00::4"];
    for name in names.iter().flat_map(|name| [(*name).to_owned(), format!("dc1/{name}")]) {
        let request = v1::ExplainGroupRequest { group: name.clone(), site: String::new() };
        let explained = operator.explain_group(request).await.unwrap().into_inner();
        assert_eq!(explained.group.unwrap().address, "192.168.178.3", "{name}");
        let request = v1::ListTransitionsRequest { group: name.clone(), ..Default::default() };
        let listed = operator.list_transitions(request).await.unwrap().into_inner().transitions;
        assert_eq!(listed.len(), 1, "{name}");
    }
    for name in ["192.168.178.5", "dc2/VI_1", "dc2/192.168.178.4"] {
        let request = v1::ExplainGroupRequest { group: name.into(), site: String::new() };
        assert_eq!(operator.explain_group(request).await.unwrap_err().code(), Code::NotFound, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_watch_ticks_and_ends_with_the_coordinator() {
    let mut rig = Rig::start().await;
    let mut watch = rig.operator().await.watch(v1::WatchRequest {}).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap().event;
    assert!(matches!(first, Some(v1::watch_event::Event::Fleet(_))), "{first:?}");
    let second = watch.message().await.unwrap().unwrap().event;
    assert!(matches!(second, Some(v1::watch_event::Event::Tick(_))), "{second:?}");
    let agent = rig.enrol("lb01").await;
    let mut stream = agent.connect(&rig).await;
    rig.stop().await;
    // In order: no error and no refusal, just the end.
    assert_eq!(stream.next().await, None);
    while watch.message().await.unwrap().is_some() {}
}
