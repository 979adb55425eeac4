//! The tutorial's six files, to the letter, give exactly what the tutorial says.

use std::{fs, path::Path, time::Duration};

use hafleet_vrrp::{AdvertInterval, Announcing, ChecksumForm, Priority, Version, VirtualRouterId};

use super::{password, vip};
use crate::{Inputs, Instance, Lease, OnIsolation, Pacing, Place, VipConfig, load};

/// One instance as the tutorial's tables describe it.
struct Expected {
    name: &'static str,
    vrid: u8,
    priority: u8,
    address: &'static str,
    prefix_len: u8,
    label: &'static str,
    line: usize,
}

const VI_1: Expected = Expected {
    name: "VI_1",
    vrid: 51,
    priority: 150,
    address: "192.168.178.3",
    prefix_len: 24,
    label: "ens33:3",
    line: 5,
};
const VI_2: Expected =
    Expected { name: "VI_2", vrid: 52, address: "192.168.178.4", label: "ens33:4", line: 20, ..VI_1 };

fn check(file: &str, expected: &[Expected]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tutorial").join(file);
    let inputs = Inputs { keepalived: Some(path.clone()), ..Inputs::default() };
    let loaded = load(&inputs).unwrap_or_else(|error| panic!("{error}"));
    assert!(loaded.findings.is_empty(), "{file}: {:?}", loaded.findings);
    let instances = &loaded.config.instances;
    assert_eq!(instances.len(), expected.len(), "{file}");
    for (found, expected) in instances.iter().zip(expected) {
        let wanted = Instance {
            name: expected.name.into(),
            interface: "ens33".into(),
            vrid: VirtualRouterId::new(expected.vrid).expect("not 0"),
            version: Version::V2,
            priority: Priority::new(expected.priority).expect("not 0"),
            interval: AdvertInterval::DEFAULT,
            preempt: true,
            preempt_delay: Duration::ZERO,
            authentication: password("1111"),
            checksum: ChecksumForm::WithPseudoHeader,
            vips: vec![VipConfig {
                dev: Some("ens33".into()),
                label: Some(expected.label.into()),
                ..vip(expected.address, expected.prefix_len)
            }],
            paths: Vec::new(),
            unicast_ttl: u8::MAX,
            pacing: Pacing::default(),
            answers_lower: true,
            answers_higher: true,
            track_service: true,
            tracks: Vec::new(),
            accept: true,
            vmac: None,
            on_isolation: OnIsolation::Keep,
            source: None,
            announcing: Announcing::default(),
            lease: Lease::For(Duration::from_secs(3)),
            defined_at: Place { file: path.clone(), line: expected.line, column: 15, width: 4 },
        };
        // The password does not show in the debug form.
        assert_eq!(found.authentication, wanted.authentication, "{file}");
        assert_eq!(format!("{found:#?}"), format!("{wanted:#?}"), "{file}");
    }
}

#[test]
fn single_lb01() {
    check("single-lb01.conf", &[VI_1]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tutorial/single-lb01.conf");
    let text = fs::read_to_string(path).expect("the tutorial's file");
    assert!(text.contains("# 定义虚拟IP，也就是VIP"), "the comment in Chinese belongs to the file");
}

#[test]
fn single_lb02() {
    check("single-lb02.conf", &[Expected { priority: 100, line: 6, ..VI_1 }]);
}

#[test]
fn dual_lb01() {
    check("dual-lb01.conf", &[VI_1, Expected { priority: 100, prefix_len: 32, ..VI_2 }]);
}

#[test]
fn dual_lb02() {
    check("dual-lb02.conf", &[Expected { priority: 100, line: 6, ..VI_1 }, Expected { line: 22, ..VI_2 }]);
}

#[test]
fn nginx_lb01() {
    check("nginx-lb01.conf", &[VI_1]);
}

#[test]
fn nginx_lb02() {
    check("nginx-lb02.conf", &[Expected { priority: 100, line: 6, ..VI_1 }]);
}
