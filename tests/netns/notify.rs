//! People are told: by a real SMTP server and a real HTTP server, once each, also when the receiver was down at first.

use std::{fs, path::Path, time::Duration};

use hafleet_tests::lab::{Direction, Process, wait_for};
use serde_json::Value;

use crate::fleet::{Fleet, SOON, VIP};

/// Management addresses count from 1, and the coordinator is the first host of the lab.
const COORDINATOR: &str = "10.99.0.1";

fn configuration() -> String {
    format!(
        "[[receiver]]\nname = \"bridge\"\ntype = \"webhook\"\nurl = \"http://{COORDINATOR}:9099/hook\"\n\n\
         [[receiver]]\nname = \"ops\"\ntype = \"email\"\nsmtp = \"{COORDINATOR}\"\nport = 2525\nsecurity = \"none\"\n\
         from = \"hafleet <hafleet@example.org>\"\nto = [\"ops@example.org\"]\n"
    )
}

fn webhooks(sink: &Process) -> Vec<Value> {
    let log = sink.log();
    log.lines()
        .filter_map(|line| line.strip_prefix("webhook: "))
        .map(|body| serde_json::from_str(body).unwrap())
        .collect()
}

fn about(messages: &[Value], status: &str) -> usize {
    let of_kind = |message: &&Value| {
        message["status"] == status
            && message["alerts"][0]["labels"].to_string().contains("split_brain.confirmed")
    };
    messages.iter().filter(of_kind).count()
}

#[test]
fn a_split_brain_is_told_once_by_mail_and_webhook_and_so_is_its_end() {
    let fleet = Fleet::start_with(&[150, 100], Some(&configuration()));
    let host = fleet.coordinator.host();
    // Nobody listens yet: the first deliveries fail and wait in the outbox.
    fleet.hosts[0].drop_vrrp(Direction::Both).unwrap();
    wait_for("the finding", SOON, || fleet.coordinator.finding("split_brain.confirmed")).unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("netns/webhook_sink.py");
    let mut command = host.command("/usr/bin/python3");
    command.arg(script).args([COORDINATOR, "9099", "2"]);
    let sink = host.spawn("webhook-sink", &mut command).unwrap();
    let mut command = host.command("/usr/bin/aiosmtpd");
    command.args(["-n", "-l", &format!("{COORDINATOR}:2525"), "-c", "aiosmtpd.handlers.Debugging", "stdout"]);
    command.env("PYTHONUNBUFFERED", "1");
    let mail = host.spawn("smtp-sink", &mut command).unwrap();

    let told = Duration::from_secs(60);
    wait_for("the webhook of the split brain", told, || {
        Ok((about(&webhooks(&sink), "firing") == 1).then_some(()))
    })
    .unwrap();
    wait_for("the mail of the split brain", told, || {
        Ok(mail.log().contains("split_brain.confirmed").then_some(()))
    })
    .unwrap();
    let text = mail.log();
    for words in [VIP, "lb01", "lb02", "something filters VRRP", "hactl"] {
        assert!(text.contains(words), "the mail does not say {words:?}:\n{text}");
    }
    let message = webhooks(&sink)
        .into_iter()
        .find(|message| message.to_string().contains("split_brain.confirmed"))
        .unwrap();
    // The shape of Alertmanager's webhook, version 4: what bridges read.
    assert_eq!(message["version"], "4");
    for field in
        ["groupKey", "receiver", "groupLabels", "commonLabels", "commonAnnotations", "externalURL", "alerts"]
    {
        assert!(!message[field].is_null(), "no {field} in {message:#}");
    }
    assert!(
        message["alerts"][0]["annotations"].to_string().contains("something filters VRRP"),
        "{message:#}"
    );

    fleet.hosts[0].pass_vrrp().unwrap();
    wait_for("the webhook of its end", told, || Ok((about(&webhooks(&sink), "resolved") == 1).then_some(())))
        .unwrap();
    let mails = host.directory().join("smtp-sink.log");
    wait_for("the mail of its end", told, || {
        Ok(fs::read_to_string(&mails)?.to_lowercase().contains("resolved").then_some(()))
    })
    .unwrap();
    assert_eq!(about(&webhooks(&sink), "firing"), 1, "told twice");
}
