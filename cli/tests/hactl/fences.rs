//! Fencing: what is shown, what is asked for, and what is not done without a name.

use hafleet_proto::v1::{
    ApproveFenceRequest, ConfirmFenceRequest, DenyFenceRequest, Fence, FenceAnswer, FenceLevel, FencePath,
    FenceRefused, FenceTested, FencingState, GetFenceRequest, ListFencesRequest, ListFencesResponse,
    PauseFencingRequest, ProposeFenceRequest, ReleaseFenceRequest, ResumeFencingRequest, RunFenceRequest,
    TestFenceRequest, TestFenceResponse, fence_service_server::FenceService,
};
use tonic::{Request, Response, Status};

use crate::{
    fake::{Script, Service},
    run::Desk,
    sample::well,
};

#[tonic::async_trait]
impl FenceService for Service {
    async fn list(
        &self,
        request: Request<ListFencesRequest>,
    ) -> Result<Response<ListFencesResponse>, Status> {
        let pick = |script: &mut Script, asked: ListFencesRequest| {
            let mut fences = script.fences.clone();
            fences.retain(|fence| asked.node.is_empty() || fence.target == asked.node);
            let fencing = Some(script.fencing.clone());
            Ok(ListFencesResponse { fences, truncated: false, fencing })
        };
        self.answer(request, pick).await
    }

    async fn get(&self, request: Request<GetFenceRequest>) -> Result<Response<Fence>, Status> {
        self.answer(request, |script, asked: GetFenceRequest| find(script, &asked.name)).await
    }

    async fn propose(&self, request: Request<ProposeFenceRequest>) -> Result<Response<FenceAnswer>, Status> {
        self.answer(request, |script, asked: ProposeFenceRequest| about(script, &asked.node)).await
    }

    async fn approve(&self, request: Request<ApproveFenceRequest>) -> Result<Response<FenceAnswer>, Status> {
        let say_yes = |script: &mut Script, asked: ApproveFenceRequest| {
            let mut fence = find(script, &asked.id)?;
            fence.state = "approved".into();
            fence.detail = "user/eve approves up to demote".into();
            Ok(FenceAnswer { fence: Some(fence) })
        };
        self.answer(request, say_yes).await
    }

    async fn deny(&self, request: Request<DenyFenceRequest>) -> Result<Response<FenceAnswer>, Status> {
        self.answer(request, |script, asked: DenyFenceRequest| about(script, &asked.id)).await
    }

    async fn run(&self, request: Request<RunFenceRequest>) -> Result<Response<FenceAnswer>, Status> {
        self.answer(request, |script, asked: RunFenceRequest| about(script, &asked.node)).await
    }

    async fn confirm(&self, request: Request<ConfirmFenceRequest>) -> Result<Response<FenceAnswer>, Status> {
        self.answer(request, |script, asked: ConfirmFenceRequest| about(script, &asked.node)).await
    }

    async fn release(&self, request: Request<ReleaseFenceRequest>) -> Result<Response<FenceAnswer>, Status> {
        self.answer(request, |script, asked: ReleaseFenceRequest| about(script, &asked.node)).await
    }

    async fn pause(&self, request: Request<PauseFencingRequest>) -> Result<Response<FenceAnswer>, Status> {
        self.answer(request, |_, _| Ok(FenceAnswer { fence: None })).await
    }

    async fn resume(&self, request: Request<ResumeFencingRequest>) -> Result<Response<FenceAnswer>, Status> {
        self.answer(request, |_, _| Ok(FenceAnswer { fence: None })).await
    }

    async fn test(&self, request: Request<TestFenceRequest>) -> Result<Response<TestFenceResponse>, Status> {
        self.answer(request, |script, _| Ok(TestFenceResponse { tested: script.tested.clone() })).await
    }
}

fn find(script: &Script, name: &str) -> Result<Fence, Status> {
    let found = script.fences.iter().find(|fence| fence.id == name || fence.target == name);
    found.cloned().ok_or_else(|| Status::not_found(format!("there is no fence `{name}`")))
}

fn about(script: &Script, name: &str) -> Result<FenceAnswer, Status> {
    find(script, name).map(|fence| FenceAnswer { fence: Some(fence) })
}

/// lb02 waits for somebody to say yes.
pub fn waiting(script: &mut Script) {
    script.fences = vec![Fence {
        id: "fence/17".into(),
        target: "lb02".into(),
        site: "dc1".into(),
        groups: vec!["dc1/192.168.178.3".into()],
        instances: vec!["VI_1".into()],
        survivors: [("dc1/192.168.178.3".to_owned(), "lb01".to_owned())].into(),
        origin: "detection".into(),
        state: "awaiting_approval".into(),
        since_us: script.fleet.at_us - 5_000_000,
        reason: "split_brain".into(),
        detail: "lb02 loses: its priority 100 is lower than 150".into(),
        explanation: "lb02 loses: its priority 100 is lower than 150".into(),
        proposed_at_us: script.fleet.at_us - 5_000_000,
        aftercare: "pending".into(),
        epoch: 3,
        revision: 40,
        ..Default::default()
    }];
    script.fencing = FencingState {
        mode: "approve".into(),
        epoch: 3,
        paused_by: "user/ann".into(),
        refused: vec![FenceRefused {
            group: "dc1/192.168.178.4".into(),
            reason: "paused".into(),
            detail: "all fencing is paused by user/ann".into(),
        }],
        paths: vec![FencePath { node: "lb02".into(), level: FenceLevel::Power.into(), works_since_us: 0 }],
        ..Default::default()
    };
    script.tested = vec![FenceTested {
        level: FenceLevel::Power.into(),
        reading: "unknown".into(),
        command: "/usr/sbin/fence_ipmilan action=status ip=10.0.0.9 password=***".into(),
        exit: "timed out".into(),
        ..Default::default()
    }];
}

fn desk() -> Desk {
    let mut script = well();
    waiting(&mut script);
    Desk::new(script)
}

#[test]
fn fences_are_listed_with_what_stands_over_them() {
    let desk = desk();
    let ran = desk.run(&["get", "fences"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    for words in [
        "fence/17",
        "awaiting_approval",
        "split_brain",
        "paused by",
        "user/ann",
        "left alone",
        "not known to work",
    ] {
        assert!(ran.stdout.contains(words), "{words} is not in\n{}", ran.stdout);
    }
    let ran = desk.run(&["get", "fences", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let fence = &listed[0];
    assert_eq!(fence["state"], "awaiting_approval");
    assert_eq!(fence["survivors"]["dc1/192.168.178.3"], "lb01");
    assert!(fence["by"].is_null() && fence["taken"].is_null() && fence["approved_by"].is_null());
    let ran = desk.run(&["describe", "fence", "lb02"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for words in ["fence/17", "lb01 for dc1/192.168.178.3", "hafleet (detection)", "lower than 150"] {
        assert!(ran.stdout.contains(words), "{words} is not in\n{}", ran.stdout);
    }
    assert_eq!(desk.run(&["describe", "fence", "lb09"]).code, Some(3));
}

#[test]
fn power_needs_the_node_s_name_once_more() {
    let desk = desk();
    let power = ["fence", "run", "lb02", "--level", "power"];
    for more in [&[][..], &["--yes"], &["--node", "lb02"], &["--yes", "--node", "lb03"]] {
        let ran = desk.run(&[&power[..], more].concat());
        assert_eq!(ran.code, Some(2), "{more:?}: {}", ran.stdout);
        assert!(ran.stderr.contains("not done"), "{more:?}: {}", ran.stderr);
    }
    assert_eq!(desk.coordinator.asked(), "", "nobody was asked for anything");
    let ran = desk.run(&[&power[..], &["--yes", "--node", "lb02"]].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let asked = desk.coordinator.asked();
    assert!(asked.contains("level: Power") && asked.contains("node_typed: \"lb02\""), "{asked}");

    // An approval knows the node from the fence.
    let approve = ["fence", "approve", "fence/17", "--up-to", "power", "--yes"];
    assert_eq!(desk.run(&approve).code, Some(2));
    assert_eq!(desk.run(&[&approve[..], &["--node", "lb01"]].concat()).code, Some(2));
    assert!(!desk.coordinator.asked().contains("ApproveFenceRequest"));
    assert_eq!(desk.run(&[&approve[..], &["--node", "lb02"]].concat()).code, Some(0));
    let asked = desk.coordinator.asked();
    assert!(
        asked.contains("ApproveFenceRequest { id: \"fence/17\", up_to: Power, node_typed: \"lb02\" }"),
        "{asked}"
    );
}

#[test]
fn milder_steps_need_an_answer_and_each_verb_asks_for_its_own() {
    let desk = desk();
    for verb in [
        &["fence", "run", "lb02"][..],
        &["fence", "approve", "fence/17"],
        &["fence", "confirm", "lb02"],
        &["fence", "release", "lb02"],
        &["fence", "resume"],
    ] {
        let ran = desk.run(verb);
        assert_eq!(ran.code, Some(2), "{verb:?}");
        assert!(ran.stderr.contains("--yes"), "{verb:?}: {}", ran.stderr);
    }
    for (verb, expected) in [
        (
            &["fence", "run", "lb02", "--yes"][..],
            "RunFenceRequest { node: \"lb02\", level: Demote, node_typed: \"\" }",
        ),
        (&["fence", "approve", "fence/17", "--yes"], "up_to: Demote, node_typed: \"\" }"),
        (&["fence", "confirm", "lb02", "--yes"], "ConfirmFenceRequest { node: \"lb02\" }"),
        (&["fence", "release", "lb02", "--yes"], "ReleaseFenceRequest { node: \"lb02\" }"),
        (&["fence", "resume", "--yes"], "ResumeFencingRequest"),
        (&["fence", "pause"], "PauseFencingRequest"),
        (&["fence", "propose", "lb02"], "ProposeFenceRequest { node: \"lb02\" }"),
        (
            &["fence", "deny", "fence/17", "--reason", "no"],
            "DenyFenceRequest { id: \"fence/17\", why: \"no\" }",
        ),
    ] {
        let ran = desk.run(verb);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{verb:?}");
        let asked = desk.coordinator.asked();
        assert!(asked.contains(expected), "{verb:?}: {asked}");
    }
    assert_eq!(
        desk.run(&["fence", "test", "lb02", "--level", "demote"]).code,
        Some(2),
        "a demote has no device"
    );
    assert_eq!(desk.run(&["get", "fences", "lb01"]).code, Some(0), "there is none against it");
    assert_eq!(desk.run(&["get", "fences", "lb09"]).code, Some(3), "there is no such node");
    let ran = desk.run(&["fence", "test", "lb02"]);
    assert_eq!(ran.code, Some(1), "a device that does not answer is not fine: {}", ran.stdout);
    assert!(ran.stdout.contains("timed out"), "{}", ran.stdout);
}

#[test]
fn a_test_of_the_devices_in_every_format() {
    let desk = desk();
    for format in ["table", "wide", "json", "jsonl"] {
        let ran = desk.run_at(100, &["fence", "test", "lb02", "-o", format]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
        insta::with_settings!({ omit_expression => true }, {
            insta::assert_snapshot!(format!("test_{format}"), desk.stable(&ran.stdout));
        });
    }
}
