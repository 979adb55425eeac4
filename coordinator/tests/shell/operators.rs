//! What operators ask.

use hafleet_proto::v1;
use tonic::Code;

use crate::rig::Rig;

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
