//! Secrets at rest, with the program itself: sealed, opened, missed.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    path::Path,
    process::{Command, Output, Stdio},
};

use ha_coordinator::config::Config;
use hafleet_proto::v1::{self, fence_service_client::FenceServiceClient};
use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::rig::Rig;

fn program(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ha-coordinator"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn seal(data: &str, name: &str, input: &str) -> Output {
    program(&["secret", "seal", "--data-dir", data, name], input)
}

/// Debian's fence_dummy, whose file is given as if it were a secret.
fn configuration(sealed: &str) -> String {
    format!(
        "[[fencing.device]]\nnode = \"lb02\"\nrung = \"power\"\nprogram = \"/usr/sbin/fence_dummy\"\n\
         parameters = {{ type = \"file\", status_file = {{ sealed = \"{sealed}\" }} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_parameter_reaches_its_fence_program_and_nobody_else() {
    let mut rig = Rig::start().await;
    let data = rig.config.data_dir.display().to_string();
    let outlet = rig.config.data_dir.join("outlet-hunter2");
    fs::write(&outlet, "on").unwrap();
    let output = seal(&data, "lb02/power/status_file", &format!("{}\n", outlet.display()));
    assert!(output.status.success(), "{}", said(&output));
    let sealed = String::from_utf8(output.stdout).unwrap().trim_end().to_owned();
    assert!(sealed.starts_with("sealed:v1:") && !sealed.contains("hunter2"), "{sealed}");
    let file = rig.config.data_dir.join("coordinator.toml");
    fs::write(&file, configuration(&sealed)).unwrap();
    let check = ["check", "--data-dir", &data, "--config", file.to_str().unwrap()];
    let output = program(&check, "");
    assert!(output.status.success(), "{}", said(&output));

    rig.stop().await;
    rig.config.fencing = Config::parse(&configuration(&sealed), Path::new("c.toml")).unwrap().fencing;
    rig.serve().await;
    let mut desk = FenceServiceClient::new(rig.channel(Some(&rig.admin())).await.unwrap());
    let request = v1::TestFenceRequest { node: "lb02".into(), level: 0 };
    let tested = desk.test(request).await.unwrap().into_inner().tested.remove(0);
    assert_eq!(tested.reading, "on", "{tested:?}");
    assert!(!format!("{tested:?}").contains("hunter2"), "{tested:?}");
    rig.stop().await;

    // Without the key nothing is started, and what is missing is said.
    fs::rename(rig.config.data_dir.join("secrets.key"), rig.config.data_dir.join("away")).unwrap();
    for verb in ["check", "serve"] {
        let output = program(&[&[verb], &check[1..]].concat(), "");
        assert_eq!(output.status.code(), Some(1), "{verb}: {}", said(&output));
        let said = said(&output);
        assert!(
            said.contains("`status_file` of the fence device for power of lb02")
                && said.contains("secrets.key is missing: put it back"),
            "{verb}: {said}"
        );
    }
    // Nor with another one, and none is made in its place.
    assert!(!rig.config.data_dir.join("secrets.key").exists());
    fs::write(
        rig.config.data_dir.join("secrets.key"),
        format!("hafleet-secrets-key:v1:{}\n", "A".repeat(43) + "="),
    )
    .unwrap();
    fs::set_permissions(rig.config.data_dir.join("secrets.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let output = program(&check, "");
    assert!(said(&output).contains("it is sealed with the key "), "{}", said(&output));
}

/// On a terminal the secret is asked for, and never shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_nothing_of_a_secret() {
    let rig = Rig::start().await;
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let theirs: OwnedFd =
        open(ptsname(&ours, Vec::new()).unwrap(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut terminal = fs::File::from(ours);
    let mut child = Command::new(env!("CARGO_BIN_EXE_ha-coordinator"))
        .args(["secret", "seal", "lb02/power/password", "--data-dir"])
        .arg(&rig.config.data_dir)
        .stdin(theirs.try_clone().unwrap())
        .stdout(theirs.try_clone().unwrap())
        .stderr(theirs)
        .spawn()
        .unwrap();
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    let mut typed = false;
    // A pseudo-terminal ends with EIO.
    while let Ok(length @ 1..) = terminal.read(&mut buffer) {
        seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        if !typed && seen.contains("The secret for lb02/power/password: ") {
            terminal.write_all(b"hunter2\n").unwrap();
            typed = true;
        }
    }
    assert!(child.wait().unwrap().success(), "{seen}");
    assert!(seen.contains("sealed:v1:") && !seen.contains("hunter2"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sealed_is_refused_and_a_backup_has_no_key() {
    let mut rig = Rig::start().await;
    let data = rig.config.data_dir.display().to_string();
    for (name, input, words) in [
        ("lb02/power/password", "", "has no secret"),
        ("lb02/power/password", "\n", "has no secret"),
        ("lb02/power/password", "one\ntwo\n", "must be one line"),
        ("lb02/gun/password", "hunter2\n", "is none of network, power"),
        ("password", "hunter2\n", "write NODE/RUNG/PARAMETER"),
    ] {
        let output = seal(&data, name, input);
        assert!(!output.status.success() && output.stdout.is_empty(), "{name} {input:?}");
        assert!(said(&output).contains(words), "{words}: {}", said(&output));
    }
    let long = "x".repeat(5000);
    assert!(said(&seal(&data, "lb02/power/password", &long)).contains("more than 4096 bytes"));
    let output = seal("/nonexistent/data", "lb02/power/password", "hunter2\n");
    assert!(said(&output).contains("was `ha-coordinator init` run for it?"), "{}", said(&output));

    let copy = rig.config.data_dir.join("copy.db").display().to_string();
    let output = program(&["backup", "--data-dir", &data, &copy], "");
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("secrets.key are not in it"), "{}", said(&output));
    let key = fs::read_to_string(rig.config.data_dir.join("secrets.key")).unwrap();
    let key = key.trim_end().rsplit(':').next().unwrap().as_bytes().to_vec();
    let bytes = fs::read(&copy).unwrap();
    assert!(!bytes.windows(key.len()).any(|window| window == key));

    // A data directory of an earlier release gets its key from whoever needs it first.
    rig.stop().await;
    fs::remove_file(rig.config.data_dir.join("secrets.key")).unwrap();
    let output = seal(&data, "lb02/power/password", "hunter2\n");
    assert!(output.status.success(), "{}", said(&output));
    assert!(rig.config.data_dir.join("secrets.key").exists());
}
