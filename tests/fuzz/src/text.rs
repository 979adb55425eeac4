//! What both readers of configurations are held to, whatever the text.

use std::{collections::BTreeSet, net::IpAddr, path::Path};

use ha_agent::config::{
    AgentConfig, Finding, Language, LoadError, Loaded, Severity, Sources, Style, load_text, render,
    track::Subject,
};

use crate::Reached;

/// Longer texts are only slower: the bounds of the readers are tests of their own.
const LONGEST: usize = 8 << 10;

/// Reads the text and checks what came out.
pub(crate) fn read(language: Language, path: &Path, text: &[u8]) -> Reached {
    let mut reached = Reached::new();
    if text.len() > LONGEST {
        return reached;
    }
    let findings = match load_text(language, path, text) {
        Ok(Loaded { config, findings, sources }) => {
            assert!(findings.iter().all(|finding| finding.severity == Severity::Warning), "{findings:?}");
            check_config(&config);
            check_places(&findings, &sources);
            reached.insert("taken".to_owned());
            if config.instances.len() > 1 {
                reached.insert("several instances".to_owned());
            }
            if config.instances.iter().any(|instance| !instance.tracks.is_empty()) {
                reached.insert("something tracked".to_owned());
            }
            findings
        }
        Err(LoadError { findings, sources }) => {
            assert!(findings.iter().any(|finding| finding.severity == Severity::Error), "{findings:?}");
            check_places(&findings, &sources);
            reached.insert("refused".to_owned());
            findings
        }
    };
    if findings.iter().any(|finding| finding.severity == Severity::Warning) {
        reached.insert("warned".to_owned());
    }
    reached
}

/// Each finding lies inside the text of its file, says something, and can be shown.
fn check_places(findings: &[Finding], sources: &Sources) {
    for finding in findings {
        let place = &finding.place;
        assert!(!finding.message.is_empty(), "{finding:?}");
        if place.line == 0 {
            continue;
        }
        let text =
            sources.text(&place.file).unwrap_or_else(|| panic!("{finding} is in no file that was read"));
        let line = text.split('\n').nth(place.line - 1);
        let characters = line.unwrap_or_else(|| panic!("{finding} is behind the end")).chars().count();
        let is_inside = place.column >= 1 && place.column - 1 + place.width <= characters;
        assert!(is_inside, "{finding} ({} wide) is outside of its line", place.width);
    }
    for style in [Style::Log, Style::Lines { color: false }] {
        let shown = render(findings, sources, style);
        assert!(findings.is_empty() || !shown.is_empty(), "{findings:?}");
    }
}

/// What is taken is right: no two instances collide, and every one is within what the engine can run.
fn check_config(config: &AgentConfig) {
    let (mut names, mut vrids, mut addresses) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let checks: BTreeSet<&String> = config.checks.iter().map(|check| &check.name).collect();
    assert_eq!(checks.len(), config.checks.len(), "two checks have one name: {checks:?}");
    for instance in &config.instances {
        assert!(names.insert(&instance.name), "two instances are named {}", instance.name);
        let is_v6 = instance.is_ipv6();
        let vrid = (&instance.interface, instance.vrid, is_v6);
        assert!(vrids.insert(vrid), "two instances have {vrid:?}");
        assert!((1..=15).contains(&instance.interface.len()), "{}", instance.interface);
        let advertised = instance.vips.iter().filter(|vip| vip.vip.advertised);
        assert!(
            (1..=255).contains(&advertised.clone().count()),
            "{} advertises too much or nothing",
            instance.name
        );
        assert!(
            advertised.clone().all(|vip| vip.vip.address.is_ipv6() == is_v6),
            "{} mixes families",
            instance.name
        );
        for vip in &instance.vips {
            let (address, dev) = (vip.vip.address, vip.dev.as_ref().unwrap_or(&instance.interface));
            let is_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
            assert!(addresses.insert((address, is_local.then_some(dev))), "{address} is held twice");
            let longest = if address.is_ipv6() { 128 } else { 32 };
            assert!(vip.vip.prefix_len <= longest, "{address}/{}", vip.vip.prefix_len);
            assert!(vip.label.as_ref().is_none_or(|label| (1..=15).contains(&label.len())), "{vip:?}");
        }
        for track in &instance.tracks {
            assert!((-253..=253).contains(&track.weight), "{track:?}");
            match &track.subject {
                Subject::Check(name) => assert!(checks.contains(name), "{name} is tracked and no check"),
                Subject::Interface(name) => assert!((1..=15).contains(&name.len()), "{track:?}"),
            }
        }
    }
}
