//! What may depend on what, and what may be depended on at all.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use super::{read, root};

/// Every crate of ours and the crates of ours it may use; docs/architecture.md draws it.
const EDGES: &[(&str, &[&str])] = &[
    ("hafleet-vrrp", &[]),
    ("hafleet-fleet", &[]),
    ("hafleet-fleetfile", &[]),
    ("hafleet-proto", &[]),
    ("hafleet-config", &["hafleet-vrrp"]),
    ("ha-agent", &["hafleet-config", "hafleet-proto", "hafleet-vrrp"]),
    ("ha-coordinator", &["hafleet-fleet", "hafleet-fleetfile", "hafleet-proto"]),
    ("hactl", &["hafleet-config", "hafleet-fleetfile", "hafleet-proto"]),
    ("hafleet-fuzz", &["ha-agent", "hafleet-fleet", "hafleet-vrrp"]),
];

/// What the pure cores may use at all: nothing that can do IO.
const CORE_DEPENDENCIES: &[&str] = &["subtle", "thiserror"];

fn metadata() -> Metadata {
    // The graph of this platform only: what others would need was never downloaded, and needs no network here.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let options = ["--offline".into(), "--filter-platform".into(), platform];
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).other_options(options).exec().unwrap()
}

#[test]
fn the_edges_between_our_crates_are_the_drawn_ones() {
    let metadata = metadata();
    let members: BTreeSet<String> =
        metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    let edges: BTreeMap<&str, BTreeSet<&str>> =
        EDGES.iter().map(|(from, to)| (*from, to.iter().copied().collect())).collect();
    for package in metadata.workspace_packages() {
        if package.name.as_str() == "hafleet-tests" {
            continue;
        }
        let allowed = edges
            .get(package.name.as_str())
            .unwrap_or_else(|| panic!("{} is new: say in EDGES what it may use", package.name));
        for dependency in package.dependencies.iter().filter(|dependency| members.contains(&dependency.name))
        {
            assert!(
                allowed.contains(dependency.name.as_str()),
                "forbidden edge: {} -> {}",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn the_cores_are_pure() {
    for package in metadata().workspace_packages() {
        if !["hafleet-vrrp", "hafleet-fleet"].contains(&package.name.as_str()) {
            continue;
        }
        for dependency in
            package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal)
        {
            let name = dependency.name.as_str();
            assert!(CORE_DEPENDENCIES.contains(&name), "{} must stay pure, but uses {name}", package.name);
        }
        let lib = read(&package.manifest_path.parent().unwrap().join("src/lib.rs").into_std_path_buf());
        assert!(lib.contains("#![no_std]"), "{} is not no_std", package.name);
        let without_tests = lib.replace("#[cfg(test)]\nextern crate std;", "");
        assert!(!without_tests.contains("extern crate std"), "{} brings std back", package.name);
    }
}

#[test]
fn licences_and_bans_are_those_of_deny_toml() {
    let deny: toml::Table = read(&root().join("deny.toml")).parse().unwrap();
    let allowed: BTreeSet<&str> = deny["licenses"]["allow"]
        .as_array()
        .unwrap()
        .iter()
        .map(|licence| licence.as_str().unwrap())
        .collect();
    let banned: BTreeSet<&str> =
        deny["bans"]["deny"].as_array().unwrap().iter().map(|ban| ban["crate"].as_str().unwrap()).collect();
    let metadata = metadata();
    let used: BTreeSet<_> =
        metadata.resolve.as_ref().unwrap().nodes.iter().map(|node| node.id.clone()).collect();
    for package in metadata.packages.iter().filter(|package| used.contains(&package.id)) {
        let licence =
            package.license.as_deref().unwrap_or_else(|| panic!("{} names no licence", package.name));
        assert!(acceptable(licence, &allowed), "{} is under {licence}", package.name);
        assert!(!banned.contains(package.name.as_str()), "{} is banned by deny.toml", package.name);
    }
}

/// Each operand of AND must have one allowed operand of OR. SPDX expressions in use nest no deeper than that.
fn acceptable(licence: &str, allowed: &BTreeSet<&str>) -> bool {
    licence.replace('/', " OR ").split(" AND ").all(|part| {
        part.trim_matches(['(', ')', ' '])
            .split(" OR ")
            .any(|one| allowed.contains(one.trim_matches(['(', ')', ' '])))
    })
}

#[test]
fn the_licence_check_can_fail() {
    let allowed = BTreeSet::from(["MIT"]);
    assert!(acceptable("MIT OR GPL-3.0", &allowed));
    assert!(acceptable("(MIT OR GPL-3.0) AND MIT", &allowed));
    assert!(!acceptable("MIT AND GPL-3.0", &allowed));
    assert!(!acceptable("GPL-3.0", &allowed));
}
