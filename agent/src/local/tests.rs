use std::{os::unix::fs::PermissionsExt, time::Duration};

use tokio::{io::AsyncReadExt, net::UnixStream, time::timeout};

use super::*;
use crate::{local::document::ConfigurationPart, status};

pub(crate) fn document() -> Document {
    Document {
        agent: AgentPart {
            version: "0.1.0".to_owned(),
            node: Some("lb01".to_owned()),
            site: Some("dc1".to_owned()),
            pid: 4711,
            started_at: "2026-11-23T15:00:00Z".to_owned(),
            up_ms: 3_723_000,
            configuration: vec!["/etc/keepalived/keepalived.conf".to_owned()],
        },
        configuration: ConfigurationPart {
            taken_at: "2026-11-23T15:00:00Z".to_owned(),
            ..ConfigurationPart::default()
        },
        engine: EnginePart { packets_rejected: 3, ..EnginePart::default() },
        instances: vec![InstancePart {
            name: "VI_1".to_owned(),
            interface: "ens33".to_owned(),
            vrid: 51,
            version: 2,
            state: "MASTER".to_owned(),
            since: "2026-11-23T15:00:03Z".to_owned(),
            in_state_ms: 3_720_000,
            reason: "master_down".to_owned(),
            reason_detail: "no master heard for 3.414 s".to_owned(),
            priority: 150,
            effective_priority: 150,
            advert_interval_ms: 1000,
            master_down_ms: 3414,
            preempt: true,
            auth: "pass".to_owned(),
            lease: "3s".to_owned(),
            carrier: true,
            source: Some("192.168.178.130".to_owned()),
            master_source: None,
            paths: vec![PathPart {
                interface: "ens33".to_owned(),
                source: Some("192.168.178.130".to_owned()),
                fault: None,
                last_accepted_age_ms: Some(3_721_000),
                failing: false,
                send_failures: 0,
                last_send_error: None,
            }],
            adverts_sent: 3720,
            adverts_accepted: 0,
            packets_rejected: 3,
            duplicates: 0,
            refusals: 0,
            repairs: 1,
            foreign_released: 0,
            vips: vec![
                VipPart {
                    address: "192.168.178.3/24".to_owned(),
                    dev: "ens33".to_owned(),
                    label: Some("ens33:3".to_owned()),
                    present: true,
                },
                VipPart {
                    address: "192.168.178.4/32".to_owned(),
                    dev: "ens33".to_owned(),
                    label: None,
                    present: false,
                },
            ],
            defined_at: "/etc/keepalived/keepalived.conf:1:15".to_owned(),
        }],
        heard: vec![HeardPart {
            interface: "ens33".to_owned(),
            vrid: 51,
            source: "192.168.178.131".to_owned(),
            version: 2,
            priority: 100,
            age_ms: 640,
            accepted: 2,
            rejected: vec![RejectedPart {
                reason: "auth_mismatch".to_owned(),
                count: 3,
                age_ms: 640,
                detail: "another password".to_owned(),
            }],
            remarked: Vec::new(),
            vrid_configured: true,
        }],
        uplink: UplinkPart {
            state: "connected".to_owned(),
            summary: "connected to coord1:7443 since 2026-11-23T15:20:00Z".to_owned(),
            coordinator: Some("coord1:7443".to_owned()),
            since: Some("2026-11-23T15:20:00Z".to_owned()),
            last_error: Some("cannot connect to coord1:7443: Connection refused (os error 111)".to_owned()),
            last_error_at: Some("2026-11-23T15:19:58Z".to_owned()),
            failures: 12,
            sessions: 2,
            acked_seq: 40,
            probes_dropped: 0,
            heard_left_out: 0,
            certificate_not_after: Some("2026-12-23T15:00:00Z".to_owned()),
            renewal_error: None,
        },
        journal: JournalPart {
            id: Some("00112233445566778899aabbccddeeff".to_owned()),
            first_seq: 1,
            last_seq: 42,
            acked_seq: 40,
            pending: 2,
            bytes: 9000,
            segments: 1,
            ..JournalPart::default()
        },
        log: LogPart::default(),
    }
}

#[tokio::test]
async fn whoever_connects_gets_one_document() {
    let dir = tempfile::tempdir().unwrap();
    // A dead agent's socket is in the way.
    drop(bind(dir.path()).unwrap());
    let listener = bind(dir.path()).unwrap();
    let mode = fs::metadata(socket_path(dir.path())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    tokio::spawn(serve(listener, || async { document() }));
    let state_dir = dir.path().to_owned();
    let text = tokio::task::spawn_blocking(move || status::ask(&state_dir)).await.unwrap().unwrap();
    assert_eq!(status::parse(&text).unwrap(), document());
}

#[tokio::test]
async fn clients_that_do_not_read_keep_nobody_out_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let listener = bind(dir.path()).unwrap();
    // Larger than any socket buffer.
    let large = || async {
        let one = document().instances.remove(0);
        Document { instances: vec![one; 5000], ..document() }
    };
    tokio::spawn(serve(listener, large));
    let mut idle = Vec::new();
    for _ in 0..CLIENTS_MAX {
        idle.push(UnixStream::connect(socket_path(dir.path())).await.unwrap());
    }
    let mut client = UnixStream::connect(socket_path(dir.path())).await.unwrap();
    let mut text = String::new();
    // They are left after two write time-outs of 2 s each; the rest is for a busy machine.
    timeout(Duration::from_secs(20), client.read_to_string(&mut text)).await.expect("kept out").unwrap();
    assert_eq!(status::parse(&text).unwrap().instances.len(), 5000);
}
