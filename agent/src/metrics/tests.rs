mod served;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use super::*;
use crate::{present::tests::sample, run::EngineSilent, uplink::SOURCES_MAX};

/// What Prometheus' own Python library reads: every family with its type, and every sample with its labels.
#[derive(Debug)]
struct Read {
    families: BTreeMap<String, String>,
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

/// Prints families and samples as JSON. A counter's family loses its `_total` there; its samples keep it.
const PARSER: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families as parse
families = list(parse(sys.stdin.read()))
json.dump({
    'families': [[f.name + ('_total' if f.type == 'counter' else ''), f.type, f.documentation] for f in families],
    'samples': [[s.name, s.labels, s.value] for f in families for s in f.samples],
}, sys.stdout)
";

fn parsed(text: &str) -> serde_json::Value {
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", PARSER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    // One that cannot start says why by its exit code.
    let _ = python.stdin.take().unwrap().write_all(text.as_bytes());
    let output = python.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "python3-prometheus-client is missing (tests/setup), or refuses:\n{text}"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn read(text: &str) -> Read {
    let json = parsed(text);
    let list = |key: &str| json[key].as_array().unwrap().clone();
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let families: Vec<_> =
        list("families").iter().map(|family| (word(&family[0]), word(&family[1]))).collect();
    let samples = list("samples")
        .iter()
        .map(|sample| {
            let labels = sample[1].as_object().unwrap().iter().map(|(key, value)| (key.clone(), word(value)));
            (word(&sample[0]), labels.collect(), sample[2].as_f64().unwrap())
        })
        .collect();
    let count = families.len();
    let families: BTreeMap<_, _> = families.into_iter().collect();
    assert_eq!(families.len(), count, "a family stands on the page once");
    Read { families, samples }
}

impl Read {
    /// The one sample with these labels among its own.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |own: &BTreeMap<String, String>| {
            labels.iter().all(|(key, value)| own.get(*key).is_some_and(|own| own == value))
        };
        let mut found = self.samples.iter().filter(|(own, labels, _)| own == name && fits(labels));
        let (_, _, value) = found.next().unwrap_or_else(|| panic!("{name} {labels:?} is missing"));
        assert!(found.next().is_none(), "{name} {labels:?} is there twice");
        *value
    }
}

#[test]
fn the_page() {
    insta::assert_snapshot!(page(sample()).unwrap());
}

#[test]
fn another_implementation_reads_every_metric_with_its_labels() {
    let read = read(&page(sample()).unwrap());
    let expected: BTreeMap<String, String> =
        all().map(|metric| (metric.name.to_owned(), metric.kind.to_string())).collect();
    assert_eq!(read.families, expected);
    let labels: BTreeMap<&str, BTreeSet<&str>> =
        all().map(|metric| (metric.name, metric.labels.iter().copied().collect())).collect();
    let mut series = BTreeSet::new();
    for (name, own, _) in &read.samples {
        let keys: BTreeSet<&str> = own.keys().map(String::as_str).collect();
        assert_eq!(keys, labels[name.as_str()], "{name}");
        assert!(series.insert((name, own)), "{name} {own:?} is there twice");
    }
    assert_eq!(read.value("hafleet_vrrp_state", &[("vrrp_instance", "VI_1"), ("state", "master")]), 1.0);
    assert_eq!(read.value("hafleet_vrrp_state", &[("vrrp_instance", "VI_2"), ("state", "master")]), 0.0);
    assert_eq!(read.value("hafleet_vrrp_effective_priority", &[("vrrp_instance", "VI_2")]), 40.0);
    assert_eq!(
        read.value("hafleet_vrrp_state_since_timestamp_seconds", &[("vrrp_instance", "VI_1")]),
        1_795_446_000.0
    );
    let rejected = [("source", "192.168.178.131"), ("reason", "auth_mismatch"), ("vrid", "51")];
    assert_eq!(read.value("hafleet_vrrp_heard_rejected_total", &rejected), 3.0);
    assert_eq!(read.value("hafleet_vrrp_track_weight", &[("track", "nginx")]), -60.0);
    assert_eq!(read.value("hafleet_vrrp_track_value", &[("track", "load")]), 0.0);
    assert!(
        !read
            .samples
            .iter()
            .any(|(name, labels, _)| name == "hafleet_vrrp_track_up" && labels["track"] == "haproxy")
    );
}

#[test]
fn names_are_as_prometheus_asks_for() {
    let mut names = BTreeSet::new();
    for Metric { name, kind, labels, about, .. } in all() {
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.starts_with("hafleet_agent_") || name.starts_with("hafleet_vrrp_"), "{name}");
        assert!(name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert!(
            !name.contains("milli") && !name.contains("_ms") && !name.contains("_us"),
            "base units: {name}"
        );
        // Prometheus gives these to every target.
        assert!(!labels.contains(&"instance") && !labels.contains(&"job"), "{name}");
        assert!(!about.is_empty() && !about.ends_with('.') && !about.contains('\n'), "{name}: {about}");
    }
}

#[test]
fn names_from_outside_cannot_break_the_page() {
    let mut present = sample();
    let engine = present.engine.as_mut().unwrap();
    let odd = "a\"b\\c\nd{e=\"f\"} 1";
    engine.instances[0].config.name = odd.to_owned();
    let read = read(&page(present).unwrap());
    assert_eq!(read.value("hafleet_vrrp_priority", &[("vrrp_instance", odd)]), 150.0);
}

#[test]
fn an_engine_that_does_not_answer_is_told_and_the_rest_is_there() {
    let mut present = sample();
    present.engine = Err(EngineSilent::Stuck);
    let read = read(&page(present).unwrap());
    assert_eq!(read.value("hafleet_agent_engine_up", &[]), 0.0);
    assert_eq!(read.value("hafleet_agent_journal_pending_events", &[]), 2.0);
    assert!(!read.families.keys().any(|name| name.starts_with("hafleet_vrrp_")));
}

#[test]
fn a_flood_of_sources_does_not_grow_the_page_without_bound() {
    let mut present = sample();
    let engine = present.engine.as_mut().unwrap();
    let (interface, forged) = engine.heard[1].clone();
    for index in 0..1000_u32 {
        let source = std::net::Ipv4Addr::from_bits(0x0a00_0000 + index).into();
        engine.heard.push((interface.clone(), hafleet_vrrp::heard::HeardAdvert { source, ..forged.clone() }));
    }
    let read = read(&page(present).unwrap());
    let named = read.samples.iter().filter(|(name, _, _)| name == "hafleet_vrrp_heard_priority").count();
    assert_eq!(named, SOURCES_MAX);
    assert_eq!(read.value("hafleet_agent_sources_left_out", &[]), (1002 - SOURCES_MAX) as f64);
    // The one that a router here believes is named whoever else there is.
    read.value("hafleet_vrrp_heard_accepted_total", &[("source", "192.168.178.131")]);
}

#[test]
fn what_is_tracked_twice_is_told_once() {
    let mut present = sample();
    let tracks = &mut present.engine.as_mut().unwrap().instances[1].tracks;
    tracks.push(tracks[0].clone());
    read(&page(present).unwrap()).value("hafleet_vrrp_track_up", &[("track", "nginx")]);
}

const BEGIN: &str = "<!-- metrics: written by a test -->\n";
const END: &str = "<!-- end of metrics -->\n";

#[test]
fn the_documentation_has_every_metric() {
    let mut table = String::from("\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for Metric { name, kind, labels, about, .. } in all() {
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        table.push_str(&format!("| `{name}` | {kind} | {labels} | {about} |\n"));
    }
    table.push('\n');
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/agent.md");
    let document = fs::read_to_string(&path).expect("docs/agent.md");
    let (before, rest) = document.split_once(BEGIN).expect("the mark where the metrics begin");
    let (written, after) = rest.split_once(END).expect("the mark where the metrics end");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("docs/agent.md is written");
    } else {
        assert_eq!(written, table, "run this test once with UPDATE_DOCS=1");
    }
}
