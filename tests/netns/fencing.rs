//! Power: who is provably active and cannot be told is switched off, by a fence program that really does it, and nobody else is.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use hafleet_tests::lab::{
    AgentConfiguration, Direction, Host, Lab, Process, Segment, program, start_agent, wait_for,
};
use serde_json::Value;

use crate::fleet::{self, Fleet, SOON, VIP};

const PRIORITIES: [u8; 3] = [150, 100, 50];
/// Long enough for evidence to last, a program to run and a status to be believed, on a busy machine.
const FENCED: Duration = Duration::from_secs(90);

/// Three hosts on outlets of the lab's switch, and somebody who may approve.
struct Rack {
    fleet: Fleet,
    approver: PathBuf,
    lease: &'static str,
}

impl Rack {
    /// `more` is coordinator.toml beside devices and references; `delay_s` is how long the switch takes to act.
    fn start(more: &str, lease: &'static str, delay_s: u32) -> Self {
        let lab = Lab::new().unwrap();
        let devices: Vec<String> =
            ["lb01", "lb02", "lb03"].map(|name| lab.power_device(name, delay_s).unwrap()).into();
        let toml = format!("{more}\n{}", devices.concat());
        let configuration = |host: &Host, priority: u8| configured(host, priority, lease);
        let fleet = Fleet::start_in(lab, &PRIORITIES, Some(&toml), configuration, |host| host);
        let approver = fleet.coordinator.add_user("eve", "fence-approver").unwrap();
        let rack = Self { fleet, approver, lease };
        wait_for("verified fence paths", SOON, || {
            let asked = |host: &Host| rack.fleet.lab.times_asked("status", host.name()).is_ok_and(|n| n > 0);
            Ok(rack.fleet.hosts.iter().all(asked).then_some(()))
        })
        .unwrap();
        rack
    }

    fn host(&self, number: usize) -> &Host {
        &self.fleet.hosts[number]
    }

    fn restart(&mut self, number: usize) {
        let host = &self.fleet.hosts[number];
        let toml = configured(host, PRIORITIES[number], self.lease);
        self.fleet.agents[number] = start_agent(host, AgentConfiguration::Native(&toml), &[]).unwrap();
    }

    /// What the second person does; it must succeed.
    fn approver(&self, arguments: &[&str]) -> String {
        let output = self.fleet.coordinator.hactl_as(&self.approver, arguments).unwrap();
        assert!(output.status.success(), "hactl {arguments:?}: {}", self.told(&said(&output)));
        said(&output)
    }

    /// Everything that helps to understand a failure.
    fn told(&self, what: &str) -> String {
        let shown = |arguments: &[&str]| self.fleet.coordinator.shown(arguments).unwrap_or_default();
        format!(
            "{what}\n{}\n{}\n{}\ncoordinator:\n{}",
            shown(&["get", "fences", "-o", "wide"]),
            shown(&["get", "audit", "--action", "fence", "--limit", "60", "-o", "wide"]),
            shown(&["get", "findings", "--all"]),
            self.fleet.coordinator.log()
        )
    }

    fn fences(&self) -> Vec<Value> {
        self.fleet.coordinator.json(&["get", "fences"]).unwrap().as_array().cloned().unwrap_or_default()
    }

    /// Waits until the newest fence is in one of these states.
    fn wait_for_state(&self, states: &[&str]) -> Value {
        let wanted = || {
            let fences = self.fences();
            let newest = fences.first().filter(|fence| states.iter().any(|state| fence["state"] == **state));
            Ok(newest.cloned())
        };
        wait_for(&format!("a fence that is {states:?}"), FENCED, wanted)
            .unwrap_or_else(|error| panic!("{}", self.told(&format!("{error:#}"))))
    }

    fn wait_for_finding(&self, kind: &str) -> Value {
        wait_for(kind, FENCED, || self.fleet.coordinator.finding(kind))
            .unwrap_or_else(|error| panic!("{}", self.told(&format!("{error:#}"))))
    }

    fn wait_for_end(&self, kind: &str) {
        let gone = || Ok(self.fleet.coordinator.finding(kind)?.is_none().then_some(()));
        wait_for(&format!("the end of {kind}"), FENCED, gone)
            .unwrap_or_else(|error| panic!("{}", self.told(&format!("{error:#}"))));
    }

    fn approve(&self, fence: &Value) {
        let (id, node) = (fence["id"].as_str().unwrap(), fence["target"].as_str().unwrap());
        self.approver(&["fence", "approve", id, "--up-to", "power", "--yes", "--node", node]);
    }

    /// How often anybody's power was touched.
    fn times_off(&self) -> usize {
        let asked = |action, host: &Host| self.fleet.lab.times_asked(action, host.name()).unwrap();
        self.fleet.hosts.iter().map(|host| asked("off", host) + asked("reboot", host)).sum()
    }

    /// Switched off, once, by the switch; nobody else was.
    fn assert_off(&mut self, number: usize) {
        let name = self.host(number).name().to_owned();
        assert!(!self.host(number).outlet().unwrap().is_on().unwrap(), "{}", self.told("it is on"));
        assert_eq!((self.fleet.lab.times_asked("off", &name).unwrap(), self.times_off()), (1, 1));
        for (other, agent) in self.fleet.agents.iter_mut().enumerate() {
            assert_eq!(agent.running(), other != number, "the agent of lb0{}", other + 1);
        }
        let audit = self.fleet.coordinator.shown(&["get", "audit", "--action", "fence", "--limit", "100"]);
        assert!(audit.unwrap().contains("result status off"), "{}", self.told("it was not verified"));
    }

    /// lb02's VRRP hears nobody, and the coordinator does not hear lb02. lb01 and lb03 hear lb02.
    fn split(&self) {
        self.host(1).drop_vrrp(Direction::In).unwrap();
        self.host(1).isolate(Segment::Management).unwrap();
    }

    fn heal(&self) {
        self.host(1).pass_vrrp().unwrap();
        self.host(1).rejoin(Segment::Management).unwrap();
    }

    /// Until its own agent says that an order holds it down.
    fn wait_until_held(&self, node: &str) {
        wait_for(&format!("{node} to be held"), SOON, || {
            let instances = self.fleet.coordinator.json(&["get", "instances"])?;
            let own = instances.as_array().into_iter().flatten().find(|one| one["node"] == node);
            Ok(own.filter(|one| one["state"] == "FAULT" && one["fresh"] == true).map(drop))
        })
        .unwrap_or_else(|error| panic!("{}", self.told(&format!("{error:#}"))));
    }
}

/// agent.toml as in the other fleet tests, with the client as the neighbour by which a host knows that it has a network.
fn configured(host: &Host, priority: u8, lease: &str) -> String {
    let instance = fleet::configuration(host, priority);
    let (node, instance) = instance.split_once("\n\n").unwrap();
    format!("{node}\nreferences = [\"192.168.178.10\"]\n\n{instance}lease = \"{lease}\"\n")
}

/// [fencing] in this mode with short windows; the hosts' management addresses are the coordinator's references.
fn fencing(mode: &str, windows: &str) -> String {
    format!(
        "[fencing]\nmode = \"{mode}\"\nreferences = [\"10.99.0.2:1\", \"10.99.0.3:1\", \"10.99.0.4:1\"]\n\
         [fencing.windows]\ngrace = \"1s\"\nconfirm = \"5s\"\npoll = \"4s\"\npath = \"5s\"\n{windows}"
    )
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A fence program, as anybody runs it: exit code and standard output.
fn ask(path: &Path, input: &str) -> (Option<i32>, String) {
    let mut child = Command::new(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn sleeper(host: &Host) -> Process {
    host.spawn("sleep", host.command("sleep").arg("600")).unwrap()
}

/// The switch is what it claims to be: it speaks as Debian's programs do, and takes power from one host and from no other.
#[test]
fn the_switch_of_the_lab_is_a_fence_program_that_takes_one_host_away() {
    let mut lab = Lab::new().unwrap();
    let (one, other) = (lab.host("lb01", "10.77.0.1/24").unwrap(), lab.host("lb02", "10.77.0.2/24").unwrap());
    let (mut on_one, mut on_other) = (sleeper(&one), sleeper(&other));
    one.ip(&["addr", "add", "10.77.0.100/24", "dev", "ens33"]).unwrap();
    other.run("ping", &["-c1", "-W5", "10.77.0.100"]).unwrap();

    let (ours, theirs) = (program("fence_lab").unwrap(), PathBuf::from("/usr/sbin/fence_dummy"));
    let file = lab.directory().join("dummy");
    std::fs::write(&file, "on").unwrap();
    let (lab_given, dummy_given) = (
        format!("lab={}\nplug=lb01\n", lab.directory().display()),
        format!("type=file\nstatus_file={}\n", file.display()),
    );
    for (action, is_on_then) in [
        ("status", true),
        ("monitor", true),
        ("off", false),
        ("status", false),
        ("off", false),
        ("monitor", false),
        ("on", true),
        ("status", true),
        ("on", true),
        ("reboot", true),
        ("nonsense", true),
    ] {
        let input = format!("# as Pacemaker says it\naction={action}\nnodename=lb01\n");
        let answer = ask(&ours, &format!("{input}{lab_given}"));
        let expected = ask(&theirs, &format!("{input}{dummy_given}"));
        assert_eq!((answer.0, answer.1.trim()), (expected.0, expected.1.trim()), "{action}");
        assert_eq!(one.outlet().unwrap().is_on().unwrap(), is_on_then, "after {action}");
        if !is_on_then {
            assert!(!on_one.running() && on_other.running(), "only lb01's processes die");
            assert!(other.run("ping", &["-c1", "-W1", "10.77.0.1"]).is_err(), "its cable is dead");
        }
    }
    // It has come up again with its own address, and without what was only in its memory.
    other.run("ping", &["-c1", "-W5", "10.77.0.1"]).unwrap();
    assert!(!one.holds("10.77.0.100").unwrap());
    let (code, listed) = ask(&ours, &format!("action=list\n{lab_given}"));
    assert_eq!((code, listed.as_str()), (Some(0), "lb01,\nlb02,\n"));
    let nobody = format!("action=status\nlab={}\nplug=lb09\n", lab.directory().display());
    assert_eq!(ask(&ours, &nobody), (Some(1), String::new()));
}

#[test]
fn who_cannot_be_told_is_switched_off_after_a_second_person_s_approval_and_kept_out() {
    let mut rack = Rack::start(&fencing("approve", ""), "3s", 0);
    rack.split();
    rack.wait_for_finding("split_brain.confirmed");
    let fence = rack.wait_for_state(&["awaiting_approval"]);
    assert_eq!(fence["target"], "lb02", "{fence:#}");
    let explained = fence["explanation"].as_str().unwrap();
    assert!(explained.contains("only lb01 is heard from"), "{explained}");

    // However long it takes: without a person nothing happens, and not every person may say yes.
    let id = fence["id"].as_str().unwrap();
    let power = ["fence", "approve", id, "--up-to", "power", "--yes", "--node", "lb02"];
    assert_eq!(rack.fleet.coordinator.hactl(&power).unwrap().status.code(), Some(4), "an admin is refused");
    let (milder, unnamed) = (&power[..3], &power[..6]);
    let refused = |arguments: &[&str]| rack.fleet.coordinator.hactl_as(&rack.approver, arguments).unwrap();
    let milder = refused(&[milder, &["--yes"]].concat());
    assert!(!milder.status.success() && said(&milder).contains("the next step"), "{}", said(&milder));
    assert_eq!(refused(unnamed).status.code(), Some(2), "the name was not typed back");
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!((rack.times_off(), rack.fleet.holders()), (0, vec!["lb01", "lb02"]));
    assert_eq!(rack.wait_for_state(&["awaiting_approval"])["id"], fence["id"]);

    rack.approve(&fence);
    let fenced = rack.wait_for_state(&["quarantined"]);
    assert_eq!((&fenced["id"], &fenced["taken"]), (&fence["id"], &Value::from("power")));
    assert_eq!(fenced["approved_by"], "user/eve", "{fenced:#}");
    rack.assert_off(1);
    rack.wait_for_end("split_brain.confirmed");
    assert_eq!(rack.fleet.holders(), ["lb01"]);

    // The cause is mended and the power given back: it stays out, also when it is the next in line.
    rack.heal();
    rack.host(1).outlet().unwrap().on().unwrap();
    rack.restart(1);
    rack.wait_until_held("lb02");
    rack.fleet.agents[0].terminate(SOON).unwrap();
    rack.fleet.wait_for_holder(Some("lb03"));
    assert_eq!(rack.fleet.holders(), ["lb03"]);
    assert_eq!(rack.wait_for_state(&["quarantined"])["id"], fence["id"]);

    rack.approver(&["fence", "release", "lb02", "--yes"]);
    rack.fleet.wait_for_holder(Some("lb02"));
    assert_eq!((rack.times_off(), rack.fleet.holders()), (1, vec!["lb02"]));
}

/// A firewall drops VRRP both ways and the management line goes with it: nobody hears that it becomes MASTER, and only ARP tells.
#[test]
fn who_becomes_master_unheard_is_found_by_arp_and_switched_off() {
    let mut rack = Rack::start(&fencing("auto", ""), "3s", 0);
    rack.host(1).drop_vrrp(Direction::Both).unwrap();
    rack.host(1).isolate(Segment::Management).unwrap();
    wait_for("two holders", SOON, || Ok((rack.fleet.holders() == ["lb01", "lb02"]).then_some(()))).unwrap();
    let finding = rack.wait_for_finding("split_brain.confirmed");
    let cause = finding["cause"].as_str().unwrap();
    assert!(cause.contains("lb02") && cause.contains("has become MASTER since"), "{finding:#}");
    rack.wait_for_state(&["quarantined"]);
    rack.assert_off(1);
    rack.wait_for_end("split_brain.confirmed");
    assert_eq!(rack.fleet.holders(), ["lb01"]);
}

#[test]
fn in_auto_who_does_not_obey_the_demote_is_switched_off_without_a_person() {
    // It still counts as heard from when it is told to let go, and does not hear that.
    let windows = "demote_confirm = \"8s\"\nreprobe = \"20s\"\nobserved = \"10s\"\ndemote = \"4s\"\n\
                   [windows]\nfresh = \"10s\"\n";
    let mut rack = Rack::start(&fencing("auto", windows), "3s", 0);
    // Nobody hears it: its answers to ARP are what two others see of it.
    rack.host(1).drop_vrrp(Direction::Both).unwrap();
    rack.wait_for_finding("split_brain.confirmed");
    rack.host(1).isolate(Segment::Management).unwrap();
    let fenced = rack.wait_for_state(&["quarantined"]);
    assert_eq!((&fenced["target"], &fenced["taken"]), (&"lb02".into(), &"power".into()), "{fenced:#}");
    assert!(fenced["approved_by"].is_null(), "{fenced:#}");
    rack.assert_off(1);
    let audit =
        rack.fleet.coordinator.shown(&["get", "audit", "--action", "fence", "--limit", "100"]).unwrap();
    for step in ["demoting -> escalating", "escalating -> running_power"] {
        assert!(audit.contains(step), "{step}: {}", rack.told("the ladder has its rungs"));
    }
    rack.wait_for_end("split_brain.confirmed");
    assert_eq!(rack.fleet.holders(), ["lb01"]);
}

/// The agent hangs, and without a lease the kernel keeps the address: VRRP has gone on, ARP has not.
#[test]
fn a_frozen_host_that_still_answers_is_switched_off() {
    let mut rack = Rack::start(&fencing("approve", ""), "off", 0);
    rack.fleet.agents[0].freeze();
    wait_for("lb02 to take over", SOON, || Ok(rack.host(1).holds(VIP)?.then_some(()))).unwrap();
    assert_eq!(rack.fleet.holders(), ["lb01", "lb02"]);
    let finding = rack.wait_for_finding("split_brain.confirmed");
    assert_eq!(finding["cause_code"], "agent_stalled", "{finding:#}");
    assert!(finding["cause"].as_str().unwrap().contains("the kernel of lb01"), "{finding:#}");
    let fence = rack.wait_for_state(&["awaiting_approval"]);
    assert_eq!(fence["target"], "lb01", "{fence:#}");
    rack.approve(&fence);
    rack.wait_for_state(&["quarantined"]);
    rack.assert_off(0);
    rack.wait_for_end("split_brain.confirmed");
    assert_eq!(rack.fleet.holders(), ["lb02"]);

    rack.host(0).outlet().unwrap().on().unwrap();
    rack.restart(0);
    rack.wait_until_held("lb01");
    assert_eq!(rack.fleet.holders(), ["lb02"]);
    rack.approver(&["fence", "release", "lb01", "--yes"]);
    rack.fleet.wait_for_holder(Some("lb01"));
    assert_eq!((rack.times_off(), rack.fleet.holders()), (1, vec!["lb01"]));
}

/// What was so when it was proposed is looked at again: the approval comes when the host is well.
#[test]
fn a_frozen_host_that_thaws_before_the_step_is_left_alone() {
    let mut rack = Rack::start(&fencing("approve", "act = \"5s\"\n"), "off", 0);
    rack.fleet.agents[0].freeze();
    let fence = rack.wait_for_state(&["awaiting_approval"]);
    assert_eq!(fence["target"], "lb01", "{fence:#}");
    rack.fleet.agents[0].thaw();
    rack.fleet.wait_for_fresh(3);
    rack.fleet.wait_for_holder(Some("lb01"));
    // Whoever is quick enough approves it still; it may be over already.
    let id = fence["id"].as_str().unwrap();
    let approve = ["fence", "approve", id, "--up-to", "power", "--yes", "--node", "lb01"];
    rack.fleet.coordinator.hactl_as(&rack.approver, &approve).unwrap();
    let denied = rack.wait_for_state(&["denied"]);
    assert_eq!((&denied["id"], &denied["reason"]), (&fence["id"], &"evidence_gone".into()), "{denied:#}");
    assert_eq!((rack.times_off(), rack.fleet.holders()), (0, vec!["lb01"]), "{}", rack.told("left alone"));
    assert!(rack.fleet.agents[0].running());
}

#[test]
fn who_is_only_silent_is_never_switched_off() {
    let windows = "demote_confirm = \"1s\"\n";
    let mut rack = Rack::start(&fencing("auto", windows).replace("\"5s\"\npoll", "\"2s\"\npoll"), "3s", 0);
    let silent = |rack: &Rack, what: &str| {
        let until = Instant::now() + Duration::from_secs(12);
        while Instant::now() < until {
            assert_eq!(rack.times_off(), 0, "{}", rack.told(what));
            std::thread::sleep(Duration::from_millis(200));
        }
        let acting = rack.fences().into_iter().find(|fence| fence["state"] != "denied");
        assert_eq!(acting, None, "{}", rack.told(what));
    };
    // It goes on as MASTER, and the others hear it do so.
    rack.host(0).isolate(Segment::Management).unwrap();
    silent(&rack, "a holder that the coordinator does not hear");
    assert_eq!(rack.fleet.holders(), ["lb01"]);
    // It is MASTER by itself, and nobody can see that.
    rack.host(0).isolate(Segment::Service).unwrap();
    wait_for("lb02 to take over", SOON, || Ok(rack.host(1).holds(VIP)?.then_some(()))).unwrap();
    silent(&rack, "a holder that nobody sees");
    assert_eq!(rack.fleet.holders(), ["lb01", "lb02"]);
    rack.fleet.agents[0].kill().unwrap();
    silent(&rack, "a host whose agent is dead");
    assert_eq!(rack.fleet.holders(), ["lb02"]);
    assert!(rack.fleet.hosts.iter().all(|host| host.outlet().unwrap().is_on().unwrap()));
}

#[test]
fn a_fence_path_that_breaks_is_a_finding_until_it_answers_again() {
    let lab = Lab::new().unwrap();
    let file = lab.directory().join("outlet");
    let program = lab.directory().join("fence_one");
    std::fs::write(&file, "on").unwrap();
    std::os::unix::fs::symlink("/usr/sbin/fence_dummy", &program).unwrap();
    let toml = format!(
        "{}[[fencing.device]]\nnode = \"lb01\"\nrung = \"power\"\nprogram = \"{}\"\n\
         parameters = {{ type = \"file\", status_file = \"{}\" }}\n",
        fencing("approve", ""),
        program.display(),
        file.display()
    );
    let fleet = Fleet::start_in(lab, &[150, 100], Some(&toml), fleet::configuration, |host| host);
    let tested = || fleet.coordinator.json(&["fence", "test", "lb01"]).unwrap()[0]["reading"].clone();
    assert_eq!(tested(), "on");
    std::fs::write(&file, "off").unwrap();
    assert_eq!(tested(), "off");
    std::fs::write(&file, "on").unwrap();
    assert_eq!(fleet.coordinator.finding("fence_path_broken").unwrap(), None);

    // The device does not answer, or what speaks to it was removed.
    std::fs::rename(&program, fleet.lab.directory().join("away")).unwrap();
    assert_eq!(fleet.coordinator.hactl(&["fence", "test", "lb01"]).unwrap().status.code(), Some(1));
    let broken = wait_for("fence_path_broken", SOON, || fleet.coordinator.finding("fence_path_broken"));
    let broken = broken.unwrap();
    assert!(broken["subject"].to_string().contains("lb01") && broken["severity"] == "warning", "{broken:#}");
    std::fs::rename(fleet.lab.directory().join("away"), &program).unwrap();
    wait_for("its end", SOON, || Ok(fleet.coordinator.finding("fence_path_broken")?.is_none().then_some(())))
        .unwrap();
    assert_eq!(tested(), "on");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "on", "a test changes nothing");
}

/// Debian's own double says that it has switched lb02 off, and its status says so too; lb01 and lb03 go on seeing lb02.
#[test]
fn a_device_that_says_off_while_others_see_the_host_is_not_believed() {
    let lab = Lab::new().unwrap();
    let file = lab.directory().join("outlet");
    std::fs::write(&file, "on").unwrap();
    let toml = format!(
        "{}[fencing.limits]\npolls = 3\n\
         [[fencing.device]]\nnode = \"lb02\"\nrung = \"power\"\nprogram = \"/usr/sbin/fence_dummy\"\n\
         parameters = {{ type = \"file\", status_file = \"{}\" }}\n",
        fencing("approve", ""),
        file.display()
    );
    let fleet = Fleet::start_in(
        lab,
        &PRIORITIES,
        Some(&toml),
        |host, priority| configured(host, priority, "3s"),
        |host| host,
    );
    let approver = fleet.coordinator.add_user("eve", "fence-approver").unwrap();
    let rack = Rack { fleet, approver, lease: "3s" };
    rack.split();
    let fence = rack.wait_for_state(&["awaiting_approval"]);
    rack.approve(&fence);
    let ended = rack.wait_for_state(&["unknown", "quarantined", "failed"]);
    assert_eq!(ended["state"], "unknown", "{}", rack.told("never taken for a success"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "off", "the program did what it does");
    assert_eq!(rack.fleet.holders(), ["lb01", "lb02"]);
    assert_eq!(rack.wait_for_finding("fence")["severity"], "critical", "a person is called");
    assert!(rack.fleet.coordinator.finding("split_brain.confirmed").unwrap().is_some());
}

/// The coordinator dies after the approval; `when` says when. What it had begun is not begun again: the device is asked what came of
/// it, and what was only about to begin is a person's affair.
fn killed_coordinator(when: impl Fn(&Rack)) {
    let polls = "[fencing.limits]\npolls = 3\n";
    let mut rack = Rack::start(&fencing("approve", polls), "3s", 3);
    rack.split();
    let fence = rack.wait_for_state(&["awaiting_approval"]);
    rack.approve(&fence);
    when(&rack);
    rack.fleet.coordinator.kill().unwrap();
    let begun = rack.times_off();
    rack.fleet.coordinator.serve().unwrap();
    let ended = rack.wait_for_state(&["quarantined", "unknown", "failed"]);
    assert_eq!(ended["id"], fence["id"], "{ended:#}");
    assert!(rack.times_off() <= 1, "{}", rack.told("the switch is used once"));
    if ended["state"] != "quarantined" {
        assert_eq!(
            (&ended["state"], begun),
            (&"failed".into(), 0),
            "{}",
            rack.told("a lie about the device")
        );
        assert_eq!(rack.wait_for_finding("fence")["severity"], "critical", "a person is called");
        rack.approver(&["fence", "run", "lb02", "--level", "power", "--yes", "--node", "lb02"]);
        assert_eq!(rack.wait_for_state(&["quarantined"])["id"], fence["id"]);
    }
    rack.assert_off(1);
    rack.wait_for_end("split_brain.confirmed");
    assert_eq!(rack.fleet.holders(), ["lb01"]);
}

#[test]
fn a_coordinator_killed_right_after_the_approval_uses_the_switch_once() {
    killed_coordinator(|_| {});
}

#[test]
fn a_coordinator_killed_while_the_program_runs_uses_the_switch_once() {
    killed_coordinator(|rack| {
        wait_for("the program to run", SOON, || {
            Ok((rack.fleet.lab.times_asked("off", "lb02")? > 0).then_some(()))
        })
        .unwrap();
    });
}
