use std::process::Command;

use super::*;

const READ_ONLY_DIR: &str = "HA_AGENT_TEST_READ_ONLY_DIR";

/// A name that no agent on this machine and no other test has.
fn name(test: &str) -> Vec<u8> {
    format!("hafleet-agent-test-{test}-{}", std::process::id()).into_bytes()
}

#[test]
fn a_state_directory_that_cannot_be_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = StateLock::take_named(&file.join("state"), &name("directory")).unwrap_err();
    assert!(matches!(error, LockError::Unusable { .. }), "{error:?}");
    assert!(error.to_string().contains("--state-dir"));

    let held = StateLock::take_named(dir.path(), &name("directory")).unwrap();
    let error = StateLock::take_named(dir.path(), &name("other")).unwrap_err().to_string();
    assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
    drop(held);
    assert!(StateLock::take_named(dir.path(), &name("directory")).is_ok());
}

#[test]
fn another_state_directory_in_the_same_network_namespace_is_refused() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let held = StateLock::take_named(one.path(), &name("network")).unwrap();
    let error = StateLock::take_named(two.path(), &name("network")).unwrap_err();
    assert!(matches!(error, LockError::HeldInNetwork), "{error:?}");
    assert!(error.to_string().contains("ss -xlp | grep @hafleet-agent"), "{error}");
    drop(held);
    assert!(StateLock::take_named(two.path(), &name("network")).is_ok());
}

#[test]
fn without_any_lock_nothing_is_begun() {
    // No abstract name has more than 107 bytes.
    let impossible = [b'x'; 200];
    let error = StateLock::take_named(Path::new("/proc/hafleet"), &impossible).unwrap_err();
    assert!(matches!(error, LockError::Unusable { .. } | LockError::None { .. }), "{error:?}");
    let dir = tempfile::tempdir().unwrap();
    assert!(StateLock::take_named(dir.path(), &impossible).is_ok(), "one lock is enough");
}

/// What the next test does on a disk that became read-only; nothing when it is run as an ordinary test.
#[test]
fn child_on_a_read_only_disk() {
    let Some(dir) = std::env::var_os(READ_ONLY_DIR) else { return };
    let dir = Path::new(&dir);
    assert!(std::fs::write(dir.join("probe"), "").is_err(), "the disk is not read-only");
    let known = dir.join("known");
    let held = StateLock::take_named(&known, &name("first")).unwrap();
    assert!(held._file.is_some(), "no lock on a read-only disk");
    let error = StateLock::take_named(&known, &name("second")).unwrap_err();
    assert!(matches!(error, LockError::Held { .. }), "{error:?}");
    // Where no lock was ever made, that of the network namespace is left, and must be had.
    let new = dir.join("new");
    assert!(StateLock::take_named(&new, &name("third")).unwrap()._file.is_none());
    let error = StateLock::take_named(&new, &[b'x'; 200]).unwrap_err();
    assert!(matches!(error, LockError::None { .. }), "{error:?}");
    println!("all of it was checked");
}

/// Needs root for its mount, like the agent for its addresses.
#[test]
fn a_disk_that_became_read_only_still_has_its_lock() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs tmpfs \"$1\" && mkdir \"$1/known\" \"$1/new\" && : >\"$1/known/lock\" && \
                  mount -o remount,ro \"$1\" && exec \"$0\" --exact --nocapture \"$2\"";
    let output = Command::new("unshare")
        .args(["--mount", "--", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(dir.path())
        .arg("run::lock::tests::child_on_a_read_only_disk")
        .env(READ_ONLY_DIR, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("all of it was checked"), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}
