use super::*;
use crate::present::tests::sample;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn observation(target: &str, interface: &str, macs: &[&str], error: &str) -> ArpObservation {
    ArpObservation {
        interface: interface.to_owned(),
        target: ip(target),
        macs: macs.iter().map(|mac| (*mac).to_owned()).collect(),
        error: error.to_owned(),
    }
}

fn board() -> Board {
    let mut board = Board::default();
    board.replace([(ip("192.0.2.1"), "ens33".to_owned()), (ip("192.0.2.2"), String::new())].into());
    board
}

#[test]
fn three_questions_without_an_answer_and_it_is_gone_one_answer_and_it_is_back() {
    let mut board = board();
    let at = Instant::from_micros;
    assert_eq!(board.statuses(), []);
    let silence = [observation("192.0.2.1", "ens33", &[], "")];
    board.note(&silence, at(1));
    board.note(&silence, at(2));
    assert_eq!(board.reachable(), [None, None], "twice is chance");
    board.note(&silence, at(3));
    assert_eq!(board.reachable(), [Some(false), None]);
    // On two interfaces: one answer is enough, and names the place.
    board.note(
        &[
            observation("192.0.2.1", "ens33", &[], "the interface is down or has no carrier"),
            observation("192.0.2.1", "ens34", &["02:00:00:00:00:01"], ""),
        ],
        at(4),
    );
    let [status] = &board.statuses()[..] else { panic!("{board:?}") };
    assert_eq!((status.interface.as_str(), status.reachable, status.asked), ("ens34", true, at(4)));
    assert_eq!(status.error, "");
    // What cannot be asked is not reachable, and says why.
    for us in 5..8 {
        board.note(&[observation("192.0.2.1", "ens34", &[], "the interface does not exist")], at(us));
    }
    let status = &board.statuses()[0];
    assert_eq!((status.reachable, status.error.as_str()), (false, "the interface does not exist"));
}

const CHILD: &str = "HA_AGENT_TEST_GATEWAYS";

/// What the child process does; nothing when it is run as an ordinary test.
#[tokio::test]
async fn child_reads_gateways() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    for arguments in [
        "link add ens33 type veth peer name cable",
        "link add ens34 type veth peer name other",
        "addr add 192.0.2.10/24 dev ens33",
        "addr add 198.51.100.10/24 dev ens34",
        "link set ens33 up",
        "link set ens34 up",
        "link set cable up",
        "link set other up",
        "route add default via 192.0.2.1 dev ens33",
        "route add default via 198.51.100.1 dev ens34 metric 50",
        "route add 203.0.113.0/24 via 192.0.2.7 dev ens33",
        "-6 addr add 2001:db8::10/64 dev ens33 nodad",
        "-6 route add default via fe80::1 dev ens33",
    ] {
        let status = std::process::Command::new("ip").args(arguments.split(' ')).status().unwrap();
        assert!(status.success(), "ip {arguments}");
    }
    let interfaces = ["ens33".to_owned(), "not there".to_owned()].into();
    let found = gateway::gateways(&interfaces).await.unwrap();
    let expected = [(ip("192.0.2.1"), "ens33".to_owned()), (ip("fe80::1"), "ens33".to_owned())].into();
    assert_eq!(found, expected);
    println!("\ngateways were read");
}

#[test]
fn gateways_are_those_of_the_service_interfaces() {
    let output = std::process::Command::new("unshare")
        .args(["--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "reference::tests::child_reads_gateways"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("gateways were read"), "{said}");
}

/// A coordinator that asks for the same address does not make it unreachable.
#[test]
fn a_question_that_somebody_else_asks_says_nothing() {
    let mut board = board();
    for busy in crate::driver::BUSY {
        for us in 0..10 {
            board.note(&[observation("192.0.2.1", "ens33", &[], busy)], Instant::from_micros(us));
        }
    }
    assert_eq!(board.reachable(), [None, None]);
}

#[test]
fn other_references_are_asked_from_now_on_and_known_ones_are_kept() {
    let mut board = board();
    board.note(&[observation("192.0.2.1", "ens33", &["02:00:00:00:00:01"], "")], Instant::from_micros(1));
    board.replace([(ip("192.0.2.1"), "ens33".to_owned()), (ip("fe80::1"), "ens33".to_owned())].into());
    assert_eq!(board.addresses(), [ip("192.0.2.1"), ip("fe80::1")]);
    assert_eq!(board.reachable(), [Some(true), None]);
    let many = (0..100).map(|host| (IpAddr::from([10, 0, 0, host]), String::new()));
    board.replace(many.collect());
    assert_eq!(board.addresses().len(), REFERENCES_MAX);
}

#[test]
fn a_host_is_isolated_when_everything_says_so_and_not_before() {
    let present = sample();
    let now = present.now;
    let instance = &present.engine.unwrap().instances[0];
    let gone = |references: &[Option<bool>], gone_for: Option<u64>| Surroundings {
        references: references.to_vec(),
        coordinator_gone_for: gone_for.map(Duration::from_secs),
    };
    let is = |surroundings: &Surroundings| is_isolated(instance, surroundings, now);
    let (no, yes) = (Some(false), Some(true));
    assert!(is(&gone(&[no, no], Some(30))));
    for surroundings in [
        gone(&[no, no], Some(29)),
        gone(&[no, no], None),
        gone(&[no, yes], Some(30)),
        gone(&[no, None], Some(30)),
        gone(&[], Some(3600)),
    ] {
        assert!(!is(&surroundings), "{surroundings:?}");
    }
    // One path that hears somebody is a network.
    let mut hears = instance.clone();
    hears.paths[0].last_accepted = Some(now - hears.master_down);
    assert!(!is_isolated(&hears, &gone(&[no], Some(30)), now));
    // But not one that is down.
    hears.paths[0].link = Err(hafleet_vrrp::LinkFault::NoCarrier);
    assert!(is_isolated(&hears, &gone(&[no], Some(30)), now));
}
