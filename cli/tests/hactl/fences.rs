//! Fencing: what is shown, what is asked for, and what is not done without a name.

use hafleet_proto::v1::{
    ApproveFenceRequest, ConfirmFenceRequest, DenyFenceRequest, Fence, FenceAnswer, FenceGroupMode,
    FenceGroupRate, FenceLevel, FencePath, FenceRate, FenceRefused, FenceTested, FencingState,
    GetFenceRequest, ListFencesRequest, ListFencesResponse, PauseFencingRequest, ProposeFenceRequest,
    ReleaseFenceRequest, ResumeFencingRequest, RunFenceRequest, TestFenceRequest, TestFenceResponse,
    fence_service_server::FenceService,
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
        let order = |script: &mut Script, asked: RunFenceRequest| {
            let mut fence = find(script, &asked.node)?;
            if fence.state == "awaiting_approval" {
                fence.state = "approved".into();
            }
            Ok(FenceAnswer { fence: Some(fence) })
        };
        self.answer(request, order).await
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
        paths: vec![FencePath {
            node: "lb02".into(),
            level: FenceLevel::Power.into(),
            device: "pdu1/7".into(),
            ..Default::default()
        }],
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

/// Everything that decides whether the next victim is fenced, on one screen.
#[test]
fn whether_fencing_would_act_is_one_screen() {
    let mut script = well();
    waiting(&mut script);
    let now_us = script.fleet.at_us;
    let path = |node: &str, level: FenceLevel, device: &str, ago_s: i64| {
        let at_us = now_us - ago_s * 1_000_000;
        FencePath {
            node: node.into(),
            level: level.into(),
            works_since_us: at_us,
            device: device.into(),
            counts_until_us: at_us + 1_200_000_000,
        }
    };
    let rate = |acted: u32, limit: u32| Some(FenceRate { acted, limit, window_us: 3_600_000_000 });
    let mode = |group: &str, mode: &str| FenceGroupMode { group: group.into(), mode: mode.into() };
    script.fencing.paused_since_us = now_us - 120_000_000;
    script.fencing.fleet_rate = rate(1, 5);
    script.fencing.group_modes =
        vec![mode("dc1/192.168.178.4", "auto"), mode("dc1/192.168.178.5", "disabled")];
    script.fencing.group_rates = vec![FenceGroupRate { group: "dc1/192.168.178.4".into(), rate: rate(2, 2) }];
    script.fencing.latched_groups = vec!["dc1/192.168.178.4".into()];
    script.fencing.paths.extend([
        path("lb01", FenceLevel::Network, "sw1/3", 60),
        // Nobody has asked it for too long.
        path("lb01", FenceLevel::Power, "pdu1/6", 1_300),
    ]);
    let desk = Desk::new(script);
    let shot = |name: &str, more: &[&str]| {
        let ran = desk.run(&[&["fence", "status"], more].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        insta::assert_snapshot!(name, desk.stable(&ran.stdout));
    };
    shot("fence_status_paused", &[]);
    shot("fence_status_json", &["-o", "json"]);
    assert!(desk.coordinator.asked().contains("open: true"));

    let told = |change: &dyn Fn(&mut FencingState)| {
        change(&mut desk.coordinator.script.lock().unwrap().fencing);
        let ran = desk.run(&["fence", "status", "-o", "json"]);
        let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let group = |index: usize| json["groups"][index]["will"].as_str().unwrap().to_owned();
        let line = desk.run(&["fence", "status", "-q"]).stdout;
        (json["will"].as_str().unwrap().to_owned(), group(0), group(1), line)
    };
    let words = |(fleet, one, two, line): (String, String, String, String)| {
        assert_eq!(line.lines().count(), 1, "{line}");
        format!("{fleet} {one} {two}")
    };
    assert_eq!(words(told(&|state| state.paused_by.clear())), "approve approve disabled");
    shot("fence_status", &[]);
    assert_eq!(words(told(&|state| state.latched_groups.clear())), "approve auto disabled");
    assert_eq!(words(told(&|state| state.mode = "auto".into())), "auto auto disabled");
    assert_eq!(words(told(&|state| state.latched = true)), "approve approve disabled");
    assert_eq!(words(told(&|state| state.grace_until_us = i64::MAX / 2)), "grace grace disabled");
    assert_eq!(words(told(&|state| state.mode = "dry_run".into())), "dry_run grace disabled");
    assert_eq!(words(told(&|state| state.mode = "disabled".into())), "disabled disabled disabled");
    assert_eq!(words(told(&|state| state.epoch = 0)), "inert inert inert");
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
fn an_order_on_which_nothing_acts_is_no_success() {
    for (state, code, words) in [
        ("running_power", 0, ""),
        ("resolved", 0, ""),
        ("quarantined", 0, ""),
        ("released", 5, "not repeated"),
        ("failed", 5, "hactl fence release lb02"),
        ("denied", 5, "hactl describe fence lb02"),
    ] {
        let mut script = well();
        waiting(&mut script);
        script.fences[0].state = state.into();
        let ran = Desk::new(script).run(&["fence", "run", "lb02", "--yes"]);
        assert_eq!(ran.code, Some(code), "{state}: {}", ran.stderr);
        assert!(ran.stdout.contains(&format!("fence/17 against lb02 is {state}")), "{}", ran.stdout);
        assert!(ran.stderr.contains(words), "{state}: {}", ran.stderr);
        assert_eq!(ran.stderr.is_empty(), code == 0, "{state}: {}", ran.stderr);
    }
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
