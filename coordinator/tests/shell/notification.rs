//! People are told: once, also when their receiver was down or the coordinator restarted; and nobody waits for another.

use hafleet_proto::v1::VrrpState;
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use crate::{
    living::Living,
    rig::{Blocker, Rig, SOON, eventually},
    sinks,
};

/// Something to tell comes quickly with these.
const WINDOWS: &str = "[windows]\ngrace = \"2s\"\nagent_lost = \"2s\"\nfresh = \"2s\"\n";

async fn next<T>(received: &mut mpsc::Receiver<T>) -> T {
    timeout(SOON, received.recv()).await.expect("nothing was received").unwrap()
}

fn webhook(name: &str, address: std::net::SocketAddr) -> String {
    format!(
        "[[receiver]]\nname = \"{name}\"\ntype = \"webhook\"\nurl = \"http://{address}/hook\"\ntimeout = \"5s\"\n"
    )
}

/// Makes lb01 lost.
async fn lose(rig: &Rig) -> crate::rig::FakeAgent {
    let mut agent = rig.enrol("lb01").await;
    agent.becomes(VrrpState::Backup);
    let living = Living::start(rig, agent).await;
    eventually("lb01 to be fresh", async || rig.fleet().await.nodes[0].fresh.then_some(())).await;
    living.leave().await
}

fn is_about(body: &Value, status: &str) -> bool {
    body["status"] == status && body["commonLabels"]["alertname"] == "agent_lost"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_was_down_is_told_once_when_it_is_back() {
    let (socket, address) = sinks::closed_port();
    let mut rig = Rig::start_with(&(WINDOWS.to_owned() + &webhook("bridge", address))).await;
    let agent = lose(&rig).await;
    let failed = async || {
        let rows = rig.store().due_outbox(i64::MAX, 10).await.unwrap();
        rows.into_iter().find(|row| row.attempts >= 1)
    };
    let row = eventually("a failed attempt in the outbox", failed).await;
    assert!(row.last_error.unwrap().contains("onnection refused"));
    // The message outlives the coordinator.
    rig.stop().await;
    rig.serve().await;
    // Still not well: the first answer is 503.
    let mut bodies = sinks::webhook(socket.listen(16).unwrap(), &[503, 200]);
    let body = next(&mut bodies).await;
    assert!(is_about(&body, "firing"), "{body:#}");
    assert_eq!(body["version"], "4");
    assert_eq!(body["alerts"][0]["labels"]["subject"], "node/lb01");
    let fingerprint = body["alerts"][0]["fingerprint"].clone();

    let _living = Living::start(&rig, agent).await;
    let body = next(&mut bodies).await;
    assert!(is_about(&body, "resolved"), "told twice: {body:#}");
    assert_eq!(body["alerts"][0]["fingerprint"], fingerprint);
    eventually("an empty outbox", async || {
        let summary = rig.store().outbox_summary().await.unwrap();
        (summary.pending == 0 && summary.delivered == 2 && summary.given_up == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_long_outage_nor_a_clock_set_back_loses_a_message() {
    let (socket, address) = sinks::closed_port();
    let mut rig = Rig::start_with(&(WINDOWS.to_owned() + &webhook("bridge", address))).await;
    lose(&rig).await;
    let id = eventually("a failed attempt in the outbox", async || {
        let rows = rig.store().waiting_outbox("bridge", 10).await.unwrap();
        rows.into_iter().find(|row| row.attempts >= 1)
    })
    .await
    .id;
    // Days later, noted by a clock that ran a year ahead.
    let year_us = 365 * 86_400_000_000;
    let ahead = async |rig: &Rig, attempts| {
        let url = ha_coordinator::data_dir::DataDir::at(&rig.config.data_dir).default_database();
        let store = ha_coordinator::store::Store::open(&url).await.unwrap();
        let at_us = ha_coordinator::clock::Clock::start().wall_us() + year_us;
        store.delivery_failed(id, "no route to host", attempts, at_us).await.unwrap();
        store.close().await;
    };
    rig.stop().await;
    ahead(&rig, 5000).await;
    rig.serve().await;
    eventually("one more attempt", async || {
        let rows = rig.store().waiting_outbox("bridge", 10).await.unwrap();
        assert_eq!(rig.store().outbox_summary().await.unwrap().given_up, 0);
        rows.into_iter().find(|row| row.id == id && row.attempts == 5001)
    })
    .await;
    rig.stop().await;
    ahead(&rig, 5001).await;
    let mut bodies = sinks::webhook(socket.listen(16).unwrap(), &[200]);
    rig.serve().await;
    assert!(is_about(&next(&mut bodies).await, "firing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_holds_up_nobody() {
    // It accepts by its backlog and never answers.
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let toml = [
        WINDOWS,
        &webhook("hanging", hanging.local_addr().unwrap()).replace("\"5s\"", "\"1h\""),
        &webhook("good", good.local_addr().unwrap()),
    ];
    let rig = Rig::start_with(&toml.concat()).await;
    let mut bodies = sinks::webhook(good, &[200]);
    lose(&rig).await;
    assert!(is_about(&next(&mut bodies).await, "firing"));
    eventually("only the hanging receiver's message to wait", async || {
        let waiting = rig.store().due_outbox(i64::MAX, 10).await.unwrap();
        let names: Vec<_> = waiting.iter().map(|row| row.receiver.as_str()).collect();
        (names == ["hanging"]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_with_everything_in_one_thread() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let toml = format!(
        "{WINDOWS}[[receiver]]\nname = \"ops\"\ntype = \"email\"\nsmtp = \"127.0.0.1\"\nport = {port}\n\
         security = \"none\"\nfrom = \"hafleet <hafleet@example.org>\"\nto = [\"ops@example.org\"]\n"
    );
    let rig = Rig::start_with(&toml).await;
    let mut mails = sinks::mail(listener);
    let agent = lose(&rig).await;
    let first = next(&mut mails).await;
    for words in
        ["Subject: [WARNING] agent_lost node/lb01", "To: ops@example.org", "What was seen:", "hactl describe"]
    {
        assert!(first.contains(words), "{words:?} is not in\n{first}");
    }
    let _living = Living::start(&rig, agent).await;
    let second = next(&mut mails).await;
    assert!(second.contains("[RESOLVED]"), "{second}");
    let thread = |mail: &str| mail.lines().find(|line| line.starts_with("References: ")).unwrap().to_owned();
    assert_eq!(thread(&first), thread(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_never_taken_is_given_up_and_stays_to_be_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig =
        Rig::start_with(&(WINDOWS.to_owned() + &webhook("strict", listener.local_addr().unwrap()))).await;
    let _bodies = sinks::webhook(listener, &[400]);
    lose(&rig).await;
    eventually("the message to be given up", async || {
        (rig.store().outbox_summary().await.unwrap().given_up == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_for_a_receiver_that_is_gone_are_given_up_at_start() {
    let (_socket, address) = sinks::closed_port();
    let mut rig = Rig::start_with(&(WINDOWS.to_owned() + &webhook("old", address))).await;
    lose(&rig).await;
    let pending = async || (rig.store().outbox_summary().await.unwrap().pending == 1).then_some(());
    eventually("a message that waits", pending).await;
    rig.stop().await;
    rig.config.receivers.clear();
    rig.serve().await;
    let summary = rig.store().outbox_summary().await.unwrap();
    assert_eq!((summary.pending, summary.given_up), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_what_is_not_written_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig =
        Rig::start_with(&(WINDOWS.to_owned() + &webhook("bridge", listener.local_addr().unwrap()))).await;
    let mut bodies = sinks::webhook(listener, &[200]);
    let living = Living::start(&rig, rig.enrol("lb01").await).await;
    eventually("lb01 to be fresh", async || rig.fleet().await.nodes[0].fresh.then_some(())).await;
    let blocker = Blocker::start(&rig).await;
    living.leave().await;
    // The core knows, operators can still ask, and health says that something is wrong.
    eventually("the finding in the picture", async || rig.fleet().await.findings.pop()).await;
    let unwell = async || (!rig.running().shared().health.is_well()).then_some(());
    eventually("a coordinator that knows it is not well", unwell).await;
    assert!(bodies.try_recv().is_err());
    assert!(rig.store().open_findings().await.unwrap().is_empty());
    blocker.stop().await;
    assert!(is_about(&next(&mut bodies).await, "firing"));
    assert_eq!(rig.store().open_findings().await.unwrap().len(), 1);
    eventually("a coordinator that is well again", async || {
        rig.running().shared().health.is_well().then_some(())
    })
    .await;
}
