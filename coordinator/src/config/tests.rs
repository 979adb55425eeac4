#![allow(clippy::unwrap_used, clippy::panic)]
use std::os::unix::fs::PermissionsExt as _;

use hafleet_fleet::fence::{FenceLimits, FencePolicy, FenceWindows};

use super::*;

fn problems(text: &str) -> String {
    match Config::parse(text, Path::new("c.toml")) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_empty_file_is_the_defaults() {
    let config = Config::parse("", Path::new("c.toml")).unwrap();
    assert_eq!(config.listen.to_string(), DEFAULT_LISTEN);
    assert_eq!(config.data_dir, Path::new(DEFAULT_DATA_DIR));
    assert_eq!(config.windows, Windows::default());
    assert!(config.receivers.is_empty() && config.database.is_none());
}

#[test]
fn the_example_is_right() {
    let text = include_str!("../../../deploy/examples/coordinator.toml");
    let config = Config::parse(text, Path::new("/etc/hafleet/coordinator.toml")).unwrap();
    assert_eq!(config.receivers.len(), 1);
    // Every key that the example shows commented out must be right too.
    let uncommented: String = text
        .lines()
        .map(|line| line.strip_prefix("#~ ").unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("smtp-password"), "x\n").unwrap();
    let ca = rcgen::generate_simple_self_signed(vec!["alerts.example.org".to_owned()]).unwrap();
    let secret = dir.path().join("lb02-ipmi");
    fs::write(&secret, "x\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(dir.path().join("webhook-ca.pem"), ca.cert.pem()).unwrap();
    let config = Config::parse(&uncommented, &dir.path().join("c.toml")).unwrap();
    assert_eq!(config.receivers.len(), 3);
    assert_eq!(config.windows, Windows::default());
    assert_eq!(config.fencing.devices.len(), 2);
    let policy = config.fencing.policy;
    assert_eq!((policy.limits, policy.windows), (FenceLimits::default(), FenceWindows::default()));
    assert_eq!(policy.mode, FencePolicy::default().mode);
}

#[test]
fn everything_wrong_is_named_with_its_place() {
    assert_eq!(problems("lisen = \"x\""), "c.toml:1:1: unknown key `lisen`; did you mean `listen`?");
    assert_eq!(
        problems("\nlisten = 7"),
        "c.toml:2:10: `listen`: invalid type: integer `7`, expected a string"
    );
    assert_eq!(
        problems("listen = \"here\""),
        "c.toml:1:10: `listen`: `here` is not ADDRESS:PORT, such as \"0.0.0.0:7443\""
    );
    assert_eq!(
        problems("[windows]\nfresh = \"3 parsecs\""),
        "c.toml:2:9: `windows.fresh`: `3 parsecs` is not a duration such as \"500ms\", \"3s\", \"1h\" or \"7d\""
    );
    assert!(problems("listen = ").starts_with("c.toml:1:"));
    assert_eq!(
        problems("[[receiver]]\nname = \"a\"\ntype = \"webhok\""),
        "c.toml:3:8: `receiver.type`: `webhok` is none of log, webhook, email; did you mean `webhook`?"
    );
    assert_eq!(
        problems("[[receiver]]\nname = \"a\"\ntype = \"log\"\nurl = \"http://x/\""),
        "c.toml:4:7: `receiver.url` has no meaning for type `log`"
    );
    let both = problems(
        "[[receiver]]\nname = \"a\"\ntype = \"webhook\"\n[[receiver]]\nname = \"a\"\ntype = \"email\"",
    );
    for expected in [
        "c.toml:3:8: receiver of type `webhook` needs `url`",
        "c.toml:5:8: `receiver.name`: there is already a receiver `a`",
        "c.toml:6:8: receiver of type `email` needs `smtp`",
        "needs `to = ",
    ] {
        assert!(both.contains(expected), "{expected} is not in\n{both}");
    }
}

#[test]
fn windows_that_switch_detection_off_are_refused() {
    assert_eq!(
        problems("[windows]\nfresh = \"1us\"\nprobe = \"1000h\"\nagent_lost = \"1ms\""),
        "c.toml:2:9: `windows.fresh`: expected 2s to 60s: agents speak every second\n\
         c.toml:3:9: `windows.probe`: expected 50ms to 10s\n\
         c.toml:3:9: `windows.probe`: must be shorter than `windows.fresh`, or every answer comes too late\n\
         c.toml:4:14: `windows.agent_lost`: expected 2s to 24h"
    );
    // Against a default: the one that is written is named by its place.
    assert_eq!(
        problems("[windows]\nfresh = \"40s\"\ngrace = \"1m\""),
        "c.toml:2:9: `windows.agent_lost`: must be at least `windows.fresh`"
    );
    assert!(
        problems("[windows]\nsplit_brain = \"60s\"").contains("`windows.suspected_critical`: must be longer")
    );
    assert!(Config::parse("[windows]\nfresh = \"5s\"\nprobe = \"4s\"", Path::new("c.toml")).is_ok());
}

#[test]
fn a_ca_file_is_read_and_not_only_found() {
    let dir = tempfile::tempdir().unwrap();
    let good = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap().cert.pem();
    let text = "[[receiver]]\nname = \"x\"\ntype = \"webhook\"\nurl = \"https://x/\"\nca = \"ca.pem\"";
    let broken = good.replace("MII", "MIX");
    for (content, accepted) in [(good.as_str(), true), ("[windows]\n", false), (broken.as_str(), false)] {
        fs::write(dir.path().join("ca.pem"), content).unwrap();
        match Config::parse(text, &dir.path().join("c.toml")) {
            Ok(_) => assert!(accepted, "{content}"),
            Err(error) => {
                let error = error.to_string();
                assert!(!accepted && error.contains("c.toml:5:6: `receiver.ca`: "), "{error}");
            }
        }
    }
}

#[test]
fn the_password_is_never_shown() {
    let text = "[[receiver]]\nname = \"m\"\ntype = \"email\"\nsmtp = \"h\"\nfrom = \"a@b.c\"\nto = [\"a@b.c\"]\n\
                username = \"u\"\npassword = \"hunter2\"";
    let config = Config::parse(text, Path::new("c.toml")).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}
