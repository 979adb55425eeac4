//! What agents and the coordinator see, kept with its age for people, and asked for anew by them.

use std::time::Duration;

use hafleet_proto::v1::{self, agent_message::Message as FromAgent, coordinator_message::Message as ToAgent};
use tokio::net::TcpListener;
use tonic::Code;

use crate::rig::{FakeAgent, Rig, Stream, eventually};

const VIP: &str = "192.168.178.3";

/// Connected, known, and not answering anything by itself.
async fn there(rig: &Rig, name: &str, state: v1::VrrpState) -> (FakeAgent, Stream) {
    let mut agent = rig.enrol(name).await;
    agent.becomes(state);
    let mut stream = agent.connect(rig).await;
    agent.send_after(&stream, 0, 256).await;
    stream.acked(1).await;
    stream.send(FromAgent::Snapshot(agent.snapshot())).await;
    (agent, stream)
}

async fn asked(stream: &mut Stream) -> v1::ProbeRequest {
    loop {
        match stream.next().await {
            Some(ToAgent::Probe(probe)) => return probe,
            Some(_) => {}
            None => panic!("the stream ended before a probe came"),
        }
    }
}

fn saw(address: &str, macs: &[&str]) -> v1::ArpObservation {
    v1::ArpObservation {
        interface: "ens33".into(),
        target: address.into(),
        macs: macs.iter().map(|mac| (*mac).to_owned()).collect(),
        error: String::new(),
    }
}

fn question() -> v1::ProbeGroupRequest {
    v1::ProbeGroupRequest { group: "VI_1".into(), site: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_have_a_group_probed_and_the_answers_are_kept_with_their_age() {
    let rig = Rig::start().await;
    let (agent, mut stream) = there(&rig, "lb01", v1::VrrpState::Backup).await;
    let (_other, mut silent) = there(&rig, "lb02", v1::VrrpState::Backup).await;
    eventually("both members", async || {
        rig.fleet().await.groups.first().filter(|group| group.members.len() == 2).map(drop)
    })
    .await;
    let mut operator = rig.operator().await;
    let answer = tokio::spawn(async move { operator.probe_group(question()).await });
    let probe = asked(&mut stream).await;
    assert_eq!(probe.address, VIP);
    for address in [VIP.to_owned(), agent.address(), "192.168.178.132".to_owned()] {
        assert!(probe.arp_targets.contains(&address), "{address} is not asked for: {probe:?}");
    }
    assert_eq!(asked(&mut silent).await, probe, "everybody is asked the same");
    let report = v1::ProbeReport {
        id: probe.id,
        snapshot: Some(agent.snapshot()),
        arp: vec![saw(VIP, &["02:00:00:00:00:01", "02:00:00:00:00:02"]), saw("192.168.178.132", &[])],
    };
    stream.send(FromAgent::ProbeReport(report)).await;
    let answer = answer.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.group, format!("dc1/{VIP}"));
    assert_eq!(
        (answer.asked, answer.answered),
        (vec!["lb01".into(), "lb02".into()], vec!["lb01".to_owned()])
    );

    let fleet = rig.fleet().await;
    let node = |name: &str| fleet.nodes.iter().find(|node| node.name == name).unwrap();
    let seen = &node("lb01").witnessed;
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(seen[0].address, "192.168.178.3");
    assert_eq!(seen[0].macs, ["02:00:00:00:00:01", "02:00:00:00:00:02"]);
    assert!(seen[1].macs.is_empty());
    // Two seconds were waited for the other one: what is seen is as old as the question.
    assert!(seen[0].age_us >= 1_900_000, "{seen:?}");
    assert!(node("lb02").witnessed.is_empty());
    // An answer also tells how far the clock is off.
    assert!(node("lb01").clock_uncertainty_us < u64::MAX && node("lb01").clock_age_us < 20_000_000);

    // A report that nobody asked for is not kept.
    let forged = v1::ProbeReport {
        id: 77,
        snapshot: Some(agent.snapshot()),
        arp: vec![saw("192.168.178.77", &["02:00:00:00:00:77"])],
    };
    stream.send(FromAgent::ProbeReport(forged)).await;
    agent.beat(&stream).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let fleet = rig.fleet().await;
    assert_eq!(fleet.nodes.iter().find(|node| node.name == "lb01").unwrap().witnessed.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_asked_for_people_once_a_second() {
    let rig = Rig::start().await;
    let (agent, mut stream) = there(&rig, "lb01", v1::VrrpState::Backup).await;
    eventually("the group", async || rig.fleet().await.groups.first().map(drop)).await;
    let mut operator = rig.operator().await;
    let answers = tokio::spawn(async move {
        let mut answered = 0;
        loop {
            match stream.next().await {
                Some(ToAgent::Probe(probe)) => {
                    let report =
                        v1::ProbeReport { id: probe.id, snapshot: Some(agent.snapshot()), arp: vec![] };
                    stream.send(FromAgent::ProbeReport(report)).await;
                    answered += 1;
                }
                Some(_) => {}
                None => return answered,
            }
        }
    });
    let mut refused = 0;
    for _ in 0..10 {
        match operator.probe_group(question()).await {
            Ok(answer) => assert_eq!(answer.into_inner().answered, ["lb01"]),
            Err(status) => {
                assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
                assert!(status.message().contains("try again in 1 s"), "{status}");
                refused += 1;
            }
        }
    }
    assert!(refused >= 5, "{refused} of 10 were refused");
    let unknown = v1::ProbeGroupRequest { group: "nothing".into(), site: String::new() };
    assert_eq!(operator.probe_group(unknown).await.unwrap_err().code(), Code::NotFound);
    drop(rig);
    assert!(answers.await.unwrap() <= 10 - refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn references_of_nodes_and_of_the_coordinator_are_shown_with_their_age() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = listener.local_addr().unwrap();
    // The kernel connects to no broadcast address: nothing is sent.
    let nowhere = "255.255.255.255:443";
    let rig = Rig::start_with(&format!("[fencing]\nreferences = [\"{open}\", \"{nowhere}\"]\n")).await;
    let (agent, stream) = there(&rig, "lb01", v1::VrrpState::Backup).await;
    let gateway = v1::Reference {
        address: "192.168.178.1".into(),
        interface: "ens33".into(),
        reachable: true,
        age_us: 5_000_000,
    };
    let snapshot = v1::Snapshot { references: vec![gateway], ..agent.snapshot() };
    stream.send(FromAgent::Snapshot(snapshot)).await;
    let fleet = eventually("references", async || {
        let fleet = rig.fleet().await;
        let told = fleet.nodes.first().is_some_and(|node| !node.references.is_empty());
        (told && !fleet.references.is_empty()).then_some(fleet)
    })
    .await;
    let ours: Vec<(String, bool)> =
        fleet.references.iter().map(|own| (own.address.clone(), own.reachable)).collect();
    assert_eq!(ours, [(open.to_string(), true), (nowhere.to_owned(), false)]);
    assert!(fleet.references.iter().all(|own| own.age_us < 20_000_000), "{:?}", fleet.references);
    let theirs = &fleet.nodes[0].references[0];
    assert_eq!((theirs.address.as_str(), theirs.reachable), ("192.168.178.1", true));
    assert!((5_000_000..30_000_000).contains(&theirs.age_us), "{theirs:?}: it ages after it was said");
}
