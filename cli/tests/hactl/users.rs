//! People, and contexts with a token.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::{run::Desk, sample::well};

/// A coordinator that gives certificates of its CA.
fn desk() -> Desk {
    let desk = Desk::new(well());
    {
        let mut script = desk.coordinator.script.lock().unwrap();
        script.ca_pem = desk.ca.pem();
        script.certificate_pem = desk.ca.user("ann").cert;
    }
    desk
}

#[test]
fn a_token_makes_a_context_that_works() {
    let desk = desk();
    let ran = desk.run(&["user", "add", "zabbix", "--role", "viewer", "--token", "--lifetime", "365d"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let context: toml::Table = ran.stdout.parse().unwrap();
    assert_eq!(context["name"].as_str(), Some("zabbix"));
    assert_eq!(context["token"].as_str(), Some("hut1.5e2c5f4f4b0f1c11.secret"));
    assert!(!context.contains_key("key") && !context.contains_key("cert"));
    let asked = desk.coordinator.asked();
    assert!(asked.contains("lifetime_s: 31536000") && asked.contains("csr_der: []"), "{asked}");
    assert_eq!(desk.coordinator.script.lock().unwrap().shown, None, "the admin shows a certificate alone");

    let file = desk.directory.path().join("zabbix.toml");
    let path = file.to_str().unwrap();
    let ran = desk.run(&["user", "add", "zabbix", "--role", "viewer", "--token", "--out", path]);
    assert_eq!(
        desk.stable(&ran.stdout),
        "zabbix is viewer; give them /home/op/zabbix.toml, and: hactl context add /home/op/zabbix.toml\n"
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let ran = desk.run(&["user", "list", "--context", path]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let shown = desk.coordinator.script.lock().unwrap().shown.clone();
    assert_eq!(shown.as_deref(), Some("Bearer hut1.5e2c5f4f4b0f1c11.secret"));
    let ran = desk.run(&["context", "show", "--context", path, "-o", "json"]);
    assert!(
        ran.stdout.contains("token 5e2c5f4f4b0f1c11") && !ran.stdout.contains("secret"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_certificate_comes_with_a_key_that_was_made_here() {
    let desk = desk();
    let ran = desk.run(&["user", "add", "ann", "--role", "operator", "-o", "json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let made: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((made["kind"].as_str(), made["role"].as_str()), (Some("certificate"), Some("operator")));
    let context: toml::Table = made["context"].as_str().unwrap().parse().unwrap();
    assert!(context["key"].as_str().unwrap().contains("BEGIN PRIVATE KEY"));
    assert!(context["cert"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
    assert_eq!(context["ca"].as_str(), Some(desk.ca.pem().as_str()));
    let asked = desk.coordinator.asked();
    assert!(!asked.contains("csr_der: []") && !asked.contains("PRIVATE KEY"), "{asked}");
    let refused = desk.run(&["user", "add", "ann", "--role", "admin"]);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    assert_eq!(desk.run(&["user", "add", "ann", "--role", "admin", "--change-role"]).code, Some(0));
}

#[test]
fn revocation_needs_an_answer() {
    let desk = desk();
    let ran = desk.run(&["user", "revoke", "ann"]);
    assert_eq!(ran.code, Some(2));
    assert_eq!(desk.coordinator.asked(), "");
    let ran = desk.run(&["user", "revoke", "ann", "--yes", "-o", "json"]);
    assert_eq!(ran.code, Some(0));
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json, serde_json::json!({"user": "ann", "revoked": true}));
    assert_eq!(desk.run(&["user", "revoke", "nobody", "--yes"]).code, Some(3));
}

#[test]
fn a_context_proves_in_one_way() {
    let desk = desk();
    let good = fs::read_to_string(desk.directory.path().join("admin.toml")).unwrap();
    let bare: String = good.split("cert = ").next().unwrap().to_owned();
    for (name, text, words) in [
        ("both", format!("token = \"hut1.a.b\"\n{good}"), "`token`: stands beside"),
        ("none", bare.clone(), "missing fields `cert` and `key`, or `token`"),
        ("other", format!("{bare}token = \"hat1.a.b\"\n"), "`token`: it is not a user's token"),
        ("header", format!("{bare}token = \"hut1.a.\\n\"\n"), "`token`: it is not a user's token"),
    ] {
        let path = desk.directory.path().join(format!("{name}.toml"));
        fs::write(&path, text).unwrap();
        let ran = desk.run(&["status", "--context", path.to_str().unwrap()]);
        assert_eq!(ran.code, Some(2), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{name}: {}", ran.stderr);
        assert!(!ran.stderr.contains("hut1.a") && !ran.stderr.contains("hat1.a"), "{name}: {}", ran.stderr);
    }
}
