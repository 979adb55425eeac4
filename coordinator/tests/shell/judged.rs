//! The fleet's configuration before it is applied, and at rest: judged by members, shown to whom, sealed.

use ha_coordinator::store::Role;
use hafleet_proto::v1;

use crate::{
    push::{FILE, Mood, pair, requests, told, wish},
    rig::{Rig, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_member_is_asked_and_nothing_is_kept() {
    let rig = Rig::start().await;
    let (one, two, asked) = pair(&rig).await;
    let mut configs = rig.configs_as(&rig.admin()).await;
    let mut check = async |text: &str| {
        let request = v1::CheckConfigRequest { text: text.into() };
        configs.check_config(request).await.unwrap().into_inner()
    };
    let told = |answer: &v1::CheckConfigResponse| -> Vec<(String, String)> {
        answer.nodes.iter().map(|node| (node.node.clone(), node.state.clone())).collect()
    };
    let pair =
        |one: &str, two: &str| [("lb01".to_owned(), one.to_owned()), ("lb02".to_owned(), two.to_owned())];
    let answer = check(FILE).await;
    assert_eq!(told(&answer), pair("valid", "valid"));
    assert_eq!(answer.nodes[0].detail, "warning: 1 bytes", "what they remark on is told");
    two.mood.send_replace(Mood::Refuses);
    let answer = check(FILE).await;
    assert_eq!(told(&answer), pair("valid", "invalid"));
    assert!(answer.nodes[1].detail.contains("agent.toml:3:13: error: "), "{answer:?}");
    // A file with errors is nothing to ask about.
    let before = requests(&asked).len();
    let answer = check(&FILE.replace("vrid = 51", "vrid = 510")).await;
    assert!(answer.nodes.is_empty() && answer.problems[0].severity == "error", "{answer:?}");
    assert_eq!(requests(&asked).len(), before);
    let ids: std::collections::BTreeSet<_> = requests(&asked).into_iter().collect();
    assert_eq!(ids.len(), before, "every question has an id of its own: {ids:?}");
    one.task.abort();
    eventually("lb01 is gone", async || {
        rig.fleet().await.nodes.iter().any(|node| !node.connected).then_some(())
    })
    .await;
    assert_eq!(told(&check(FILE).await), pair("not_connected", "invalid"));
    assert!(rig.store().config_history(1).await.unwrap().rows.is_empty());
}

/// Version 2 has a password, and this is the only place where it lies in clear text: in front of an admin.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_shown_to_an_admin_only_and_sealed_in_the_database() {
    let mut rig = Rig::start().await;
    let (_one, _two, _asked) = pair(&rig).await;
    let secret = format!(
        "# once it was hunter2\n{}",
        FILE.replace(
            "advert_interval = \"100ms\"",
            "version = 2\nauth = { type = \"pass\", secret = \"hunter2\" }"
        )
    );
    let generation = {
        let mut configs = rig.configs_as(&rig.admin()).await;
        let progress = told(configs.apply_config(wish(&secret, 0)).await.unwrap().into_inner()).await;
        progress[0].generation
    };
    assert_eq!(generation, 1);
    let show = async |rig: &Rig, role: Role| {
        let credential = rig.user(&format!("s-{role}").replace('_', "-"), role).await;
        let mut configs = rig.configs_as(&credential).await;
        let shown = configs.get_config(v1::GetConfigRequest { generation }).await.unwrap().into_inner();
        let listed = configs.list_configs(v1::ListConfigsRequest::default()).await.unwrap().into_inner();
        assert_eq!(shown.generation.as_ref().unwrap().hash, listed.generations[0].hash);
        (shown.text, listed.generations[0].hash.clone())
    };
    let (whole, whole_hash) = show(&rig, Role::Admin).await;
    assert_eq!((whole.as_str(), whole_hash), (secret.as_str(), ha_coordinator::store::hash(&secret)));
    for role in [Role::Viewer, Role::Operator, Role::FenceApprover] {
        let (text, hash) = show(&rig, role).await;
        assert!(!text.contains("hunter2") && text.contains("shown to an admin only"), "{role}: {text}");
        assert!(text.contains("vrid = 51") && hash == ha_coordinator::store::hash(&text), "{role}: {text}");
        let problems = hafleet_fleetfile::parse(&text).unwrap_err();
        assert!(problems[0].message.contains("1 to 8 bytes"), "nobody applies it by mistake: {problems:?}");
    }
    let audit = rig.audit().await;
    assert!(audit.iter().any(|row| row.action == "config.apply"));
    let told = format!("{audit:?}");
    assert!(!told.contains("hunter2") && !told.contains(&ha_coordinator::store::hash(&secret)), "{told}");

    rig.stop().await;
    for entry in std::fs::read_dir(&rig.config.data_dir).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{}", path.display());
    }
    // Without the key the coordinator goes on, says what is missing, and takes nothing new.
    let (key, away) = (rig.config.data_dir.join("secrets.key"), rig.config.data_dir.join("away"));
    std::fs::rename(&key, &away).unwrap();
    rig.serve().await;
    let mut configs = rig.configs_as(&rig.admin()).await;
    let status = configs.get_config(v1::GetConfigRequest { generation }).await.unwrap_err();
    assert!(status.message().contains("secrets.key is missing: put it back"), "{status:?}");
    let status = configs.apply_config(wish(FILE, 1)).await.unwrap_err();
    assert!(status.message().contains("secrets.key is missing"), "{status:?}");
    assert_eq!(
        configs.list_configs(v1::ListConfigsRequest::default()).await.unwrap().into_inner().generations.len(),
        1
    );
    assert!(!key.exists(), "no new one takes its place");
    rig.stop().await;
    std::fs::rename(&away, &key).unwrap();
    rig.serve().await;
    assert_eq!(show(&rig, Role::Admin).await.0, secret);
}

/// A data directory of an earlier release has no key: it gets one.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_data_directory_gets_a_key() {
    let mut rig = Rig::start().await;
    let key = rig.config.data_dir.join("secrets.key");
    assert!(key.exists(), "made by init");
    rig.stop().await;
    std::fs::remove_file(&key).unwrap();
    rig.serve().await;
    assert!(key.exists());
}

/// What coordinator.toml says of fence devices is part of the judgement.
#[tokio::test(flavor = "multi_thread")]
async fn a_fence_path_in_the_network_of_its_own_node_s_address_is_remarked_on() {
    let device = |node: &str, parameter: &str, address: &str| {
        format!(
            "[[fencing.device]]\nnode = \"{node}\"\nrung = \"power\"\nprogram = \"/usr/sbin/fence_dummy\"\n\
             parameters = {{ {parameter} = \"{address}\" }}\n"
        )
    };
    let devices = [
        device("lb01", "ip", "192.168.178.201"),
        device("lb02", "ipaddr", "10.0.9.2"),
        // Neither an address nor a member of the group.
        device("lb03", "ip_address", "pdu1.example.org"),
        device("lb04", "ip_address", "192.168.178.204"),
    ];
    let rig = Rig::start_with(&devices.concat()).await;
    for node in ["lb01", "lb02"] {
        rig.enrol(node).await;
    }
    let mut configs = rig.configs_as(&rig.admin()).await;
    let mut warnings = async |text: String| -> Vec<String> {
        let answer = configs.validate_config(v1::ValidateConfigRequest { text }).await.unwrap().into_inner();
        assert!(answer.problems.iter().all(|problem| problem.severity == "warning"), "{answer:?}");
        answer.problems.into_iter().map(|problem| problem.message).collect()
    };
    let found = warnings(FILE.to_owned()).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with(
            "lb01 is fenced by lb01/power at 192.168.178.201, in the network of 192.168.178.3/24"
        ),
        "{found:?}"
    );
    assert!(warnings(FILE.replace("192.168.178.3/24", "192.168.200.3/24")).await.is_empty());
}
