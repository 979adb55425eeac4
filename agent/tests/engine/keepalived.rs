//! In one group with keepalived 2.2.7, both ways round.

use std::time::Duration;

use super::{
    config,
    lab::{Lab, pause, until},
};

const VIP: &str = "192.168.178.3";

fn keepalived_conf(priority: u8) -> String {
    format!(
        "vrrp_instance VI_1 {{
    state BACKUP
    interface ens33
    virtual_router_id 51
    priority {priority}
    advert_int 1
    authentication {{
        auth_type PASS
        auth_pass 1111
    }}
    virtual_ipaddress {{
        192.168.178.3/24 dev ens33 label ens33:3
    }}
}}
"
    )
}

#[test]
fn keepalived_follows_us_and_takes_over_when_we_stop() {
    let mut lab = Lab::new();
    let (lb01, lb02) = (lab.host("lb01", "192.168.178.130/24"), lab.host("lb02", "192.168.178.131/24"));
    let keepalived = lb02.keepalived(&keepalived_conf(100));
    keepalived.line("MASTER", |line| line.contains("Entering MASTER STATE").then_some(()));
    let engine = lb01.engine(&config(150));
    let taken = engine.state("MASTER");
    assert_eq!(taken.reason, "preempted", "{}", taken.line);
    keepalived.line("BACKUP", |line| line.contains("Entering BACKUP STATE").then_some(()));
    until("only lb01 has the VIP", Duration::from_secs(1), || lb01.has(VIP) && !lb02.has(VIP));
    engine.stop();
    let master = |line: &str| line.contains("Entering MASTER STATE").then_some(());
    keepalived.line_within("MASTER", Duration::from_millis(900), master);
    until("only lb02 has the VIP", Duration::from_secs(1), || lb02.has(VIP) && !lb01.has(VIP));
}

#[test]
fn we_follow_keepalived_and_take_over_when_it_stops_or_is_cut_off() {
    let mut lab = Lab::new();
    let (lb01, lb02) = (lab.host("lb01", "192.168.178.130/24"), lab.host("lb02", "192.168.178.131/24"));
    let keepalived = lb01.keepalived(&keepalived_conf(150));
    keepalived.line("MASTER", |line| line.contains("Entering MASTER STATE").then_some(()));
    let mut engine = lb02.engine(&config(100));
    engine.state("BACKUP");
    // Longer than Master_Down: whoever did not hear it would be MASTER now.
    pause(Duration::from_secs(4));
    engine.say("snapshot");
    let state = engine.line("snapshot", |line| Some(line.strip_prefix("snapshot VI_1 ")?.to_owned()));
    assert!(state.starts_with("BACKUP") && state.contains("master=Some(192.168.178.130)"), "{state}");
    engine.line("heard", |line| line.starts_with("heard ens33 51 192.168.178.130 ").then_some(()));
    keepalived.stop();
    let taken = engine.line("MASTER", |line| line.contains(" MASTER ").then(|| line.to_owned()));
    assert!(taken.contains("master_resigned"), "{taken}");
    until("only lb02 has the VIP", Duration::from_secs(1), || lb02.has(VIP) && !lb01.has(VIP));

    let _keepalived = lb01.keepalived(&keepalived_conf(150));
    let followed = engine.state("BACKUP");
    assert_eq!(followed.reason, "higher_priority_heard", "{}", followed.line);
    until("only lb01 has the VIP", Duration::from_secs(1), || lb01.has(VIP) && !lb02.has(VIP));
    lb01.carrier(false);
    assert_eq!(engine.state("MASTER").reason, "master_down");
}
