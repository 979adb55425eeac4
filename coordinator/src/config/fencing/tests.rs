#![allow(clippy::unwrap_used, clippy::panic)]
use std::path::Path;

use super::*;
use crate::config::Config;

fn problems(text: &str) -> String {
    match Config::parse(text, Path::new("c.toml")) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

fn fencing(text: &str, dir: &Path) -> Fencing {
    Config::parse(text, &dir.join("c.toml")).unwrap().fencing
}

#[test]
fn without_a_word_the_defaults_are_the_design_s() {
    let fencing = fencing("", Path::new("."));
    assert_eq!(fencing.policy, FencePolicy::default());
    assert_eq!(fencing.policy.mode, Mode::DryRun);
    assert!(fencing.devices.is_empty() && fencing.references.is_empty());
}

#[test]
fn everything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("lb01.secret");
    fs::write(&secret, "hunter2\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let text = r#"
        [fencing]
        mode = "approve"
        coordinator_hosts = ["coord1"]
        database_hosts = ["db1"]
        protected_nodes = ["lb09"]
        protected_labels = ["core"]
        references = ["192.168.178.1", "192.168.178.2:53", "[2001:db8::1]:22"]
        [fencing.groups]
        "dc1/192.168.178.3" = "auto"
        [fencing.pins]
        "dc1/2001:db8::3" = "lb01"
        [fencing.labels]
        lb02 = ["core", "old"]
        [fencing.limits]
        active = 1
        [fencing.windows]
        grace = "1m"
        [[fencing.device]]
        node = "lb01"
        rung = "power"
        program = "/usr/sbin/fence_ipmilan"
        parameters = { ip = "10.0.0.9", password = { file = "lb01.secret" } }
        [[fencing.device]]
        node = "lb02"
        rung = "network"
        name = "switch1"
        program = "/usr/sbin/fence_ifmib"
    "#;
    let fencing = fencing(text, dir.path());
    let policy = &fencing.policy;
    assert_eq!(policy.mode, Mode::Approve);
    assert_eq!(policy.group_modes, [(group_key("dc1/192.168.178.3").unwrap(), Mode::Auto)].into());
    assert_eq!(policy.pins, [(group_key("dc1/2001:db8::3").unwrap(), NodeName("lb01".into()))].into());
    assert_eq!(policy.coordinator_hosts, [NodeName("coord1".into())].into());
    assert_eq!(policy.database_hosts, [NodeName("db1".into())].into());
    assert_eq!(policy.protected_nodes, [NodeName("lb09".into())].into());
    assert_eq!(policy.labels[&NodeName("lb02".into())].len(), 2);
    assert_eq!((policy.limits.active, policy.limits.observers), (1, 2));
    assert_eq!(policy.windows.grace, Duration::from_secs(60));
    let devices = &policy.devices;
    assert_eq!(devices[&NodeName("lb01".into())][&Rung::Power], Device("lb01/power".into()));
    assert_eq!(devices[&NodeName("lb02".into())][&Rung::Network], Device("switch1".into()));
    let references: Vec<String> = fencing.references.iter().map(ToString::to_string).collect();
    assert_eq!(references, ["192.168.178.1:443", "192.168.178.2:53", "[2001:db8::1]:22"]);
    assert_eq!(fencing.devices[0].parameters["password"], Value::Secret("hunter2".into()));
    assert!(!format!("{fencing:?}").contains("hunter2"), "a secret is never shown");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, expected) in [
        ("[fencing]\nmod = \"auto\"", "c.toml:2:1: unknown key `fencing.mod`; did you mean `mode`?"),
        (
            "[fencing]\nmode = \"automatic\"",
            "c.toml:2:8: `fencing.mode`: `automatic` is none of disabled, dry_run, approve, auto",
        ),
        ("[fencing.groups]\nweb = \"auto\"", "c.toml:2:7: `fencing.groups`: `web` is not SITE/ADDRESS"),
        ("[fencing]\nprotected_nodes = [\"a b\"]", "c.toml:2:20: `fencing.protected_nodes`: "),
        (
            "[fencing]\nreferences = [\"gateway\"]",
            "c.toml:2:15: `fencing.references`: `gateway` is not ADDRESS",
        ),
        ("[fencing.limits]\nobservers = 1", "c.toml:2:13: `fencing.limits.observers`: expected 2 to 16"),
        (
            "[fencing.limits]\nreferences = 4",
            "c.toml:2:14: `fencing.limits.references`: must not be more than",
        ),
        (
            "[fencing.limits]\nobserver = 2",
            "unknown key `fencing.limits.observer`; did you mean `observers`?",
        ),
        ("[fencing.windows]\ngrace = \"2h\"", "c.toml:2:9: `fencing.windows.grace`: expected 1s to 3600s"),
        (
            "[fencing.windows]\nconfirm = \"3m\"",
            "c.toml:2:11: `fencing.windows.escalate` (120s): must be longer than `fencing.windows.confirm` (180s)",
        ),
        (
            "[fencing.windows]\nconfirm = \"20s\"\nescalate = \"20s\"",
            "c.toml:3:12: `fencing.windows.escalate` (20s): must be longer than `fencing.windows.confirm` (20s)",
        ),
        ("[fencing.windows]\ngrase = \"2m\"", "unknown key `fencing.windows.grase`; did you mean `grace`?"),
    ] {
        let found = problems(text);
        assert!(found.contains(expected), "{expected} is not in\n{found}");
    }
    let device = "[[fencing.device]]\nnode = \"lb01\"\nrung = \"power\"\nprogram = \"/x\"\n";
    for (more, expected) in [
        (device, "`fencing.device.rung`: lb01 has a device for power already"),
        (
            "[[fencing.device]]\nnode = \"lb02\"\nrung = \"gun\"\nprogram = \"/x\"",
            "`gun` is none of network, power",
        ),
        (
            "[[fencing.device]]\nnode = \"lb02\"\nrung = \"power\"\nprogram = \"x\"",
            "`x` is not an absolute path",
        ),
        ("parameters = { pw = { fil = \"x\" } }", "unknown key `fencing.device.parameters.pw.fil`"),
        ("parameter = 1", "unknown key `fencing.device.parameter`; did you mean `parameters`?"),
    ] {
        let found = problems(&format!("{device}{more}"));
        assert!(found.contains(expected), "{expected} is not in\n{found}");
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    let text = "[[fencing.device]]\nnode = \"lb01\"\nrung = \"power\"\nprogram = \"/x\"\n\
                parameters = { password = { file = \"secret\" } }";
    let says = |content: &str, mode: u32| {
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        match Config::parse(text, &dir.path().join("c.toml")) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(says("hunter2\n", 0o600), "");
    assert_eq!(says("hunter2", 0o400), "");
    for (content, mode, expected) in [
        ("hunter2\n", 0o640, "has mode 0640: only its owner may read it (chmod 0600 "),
        ("hunter2\n", 0o604, "has mode 0604"),
        ("\n", 0o600, "must hold the secret in one line"),
        ("hunter2\naction=on\n", 0o600, "must hold the secret in one line"),
        (&"x".repeat(5000), 0o600, "has 5000 bytes"),
    ] {
        let found = says(content, mode);
        assert!(found.contains("c.toml:5:27: `fencing.device.parameters.password`: "), "{found}");
        assert!(found.contains(expected) && !found.contains("hunter2"), "{found}");
    }
    fs::remove_file(&file).unwrap();
    assert!(problems(text).contains("`fencing.device.parameters.password`: cannot read "));
}

#[test]
fn a_sealed_parameter_is_opened_with_the_key_of_the_data_directory_and_for_its_own_device_only() {
    let dir = tempfile::tempdir().unwrap();
    let data = crate::data_dir::DataDir::at(dir.path());
    let sealing = Sealing::make(&data).unwrap();
    let name = parse_sealed_name("lb02/power/password").unwrap();
    let sealed = sealing.seal(FENCE_PARAMETER, &name, "hunter2").unwrap();
    let text = |node: &str| {
        format!(
            "[[fencing.device]]\nnode = \"{node}\"\nrung = \"power\"\nprogram = \"/x\"\n\
             parameters = {{ ip = \"10.0.0.9\", password = {{ sealed = \"{sealed}\" }} }}"
        )
    };
    let read = fencing(&text("lb02"), dir.path());
    assert!(read.is_sealed() && !read.devices[0].parameters.contains_key("password"));
    let opened = read.opened(&sealing).unwrap();
    assert_eq!(opened.devices[0].parameters["password"], Value::Secret("hunter2".into()));
    assert_eq!(opened.devices[0].parameters["ip"], Value::Plain("10.0.0.9".into()));
    assert!(!opened.is_sealed() && !format!("{opened:?}").contains("hunter2"));
    let error = fencing(&text("lb01"), dir.path()).opened(&sealing).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot open the sealed parameter `password` of the fence device for power of lb01"
    );
    fs::remove_file(data.join("secrets.key")).unwrap();
    let error = read.opened(&Sealing::load(&data).unwrap()).unwrap_err();
    let said = crate::api::status::said(&error);
    assert!(said.contains("secrets.key is missing: put it back"), "{said}");

    for (parameter, expected) in [
        ("{ sealed = \"hunter2\" }", "`sealed` is what `ha-coordinator secret seal` prints (sealed:v1:"),
        (
            "{ seled = \"x\" }",
            "unknown key `fencing.device.parameters.password.seled`; did you mean `sealed`?",
        ),
    ] {
        let device = "[[fencing.device]]\nnode = \"lb02\"\nrung = \"power\"\nprogram = \"/x\"\n";
        let found = problems(&format!("{device}parameters = {{ password = {parameter} }}"));
        assert!(found.contains(expected) && !found.contains("hunter2"), "{found}");
    }
    for wrong in ["", "lb02/power", "lb02/gun/password", "lb02/power/", "a b/power/password", "a/power/b/c"] {
        assert!(parse_sealed_name(wrong).is_err(), "{wrong}");
    }
}
