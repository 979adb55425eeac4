//! S19: keepalived and ours with one file each alone on a switch of its own: the same results of scripts, interfaces and
//! files make the same priorities on the wire.

use std::{fs, path::Path, time::Duration};

use hafleet_tests::lab::{Capture, Daemon, Instance, Kind, Lab, wait_for};

use crate::{
    pair::{Cast, Node, SOON, WAKE, moment},
    report::Report,
};

/// How long everything may take to be noticed: three runs of a script, a second apart.
const SETTLED: Duration = Duration::from_millis(4_500);
/// Who says nothing for so long is not MASTER: five adverts.
const SILENT: Duration = Duration::from_millis(500);

/// What one virtual router tracks, and what is done to that. `@` stands for the case's own files and interfaces.
struct Case {
    what: &'static str,
    /// Blocks before it.
    before: &'static str,
    /// Lines in it.
    inside: &'static str,
    /// What is done in each step.
    steps: [Act; STEPS],
    /// The priority after each step, `None` for silence.
    expected: [Option<u8>; STEPS],
}

const STEPS: usize = 4;

#[derive(Clone, Copy)]
enum Act {
    /// A script's flag is there: it succeeds.
    Pass,
    /// It is not.
    Fail,
    /// The number in the file.
    Number(i32),
    /// The interface has carrier.
    Up,
    /// It has none.
    Down,
}

const PASS_FAIL: [Act; STEPS] = [Act::Pass, Act::Fail, Act::Pass, Act::Fail];
const UP_DOWN: [Act; STEPS] = [Act::Up, Act::Down, Act::Up, Act::Down];

/// In turn.
const fn two(one: Option<u8>, other: Option<u8>) -> [Option<u8>; STEPS] {
    [one, other, one, other]
}

const CASES: [Case; 14] = [
    Case {
        what: "script, weight 10",
        before: "vrrp_script @ {\n script \"/usr/bin/test -e @\"\n interval 1\n weight 10\n}\n",
        inside: "track_script {\n @\n}\n",
        steps: PASS_FAIL,
        expected: two(Some(110), Some(100)),
    },
    Case {
        what: "script, weight -20",
        before: "vrrp_script @ {\n script \"/usr/bin/test -e @\"\n interval 1\n weight -20\n}\n",
        inside: "track_script {\n @\n}\n",
        steps: PASS_FAIL,
        expected: two(Some(100), Some(80)),
    },
    Case {
        what: "script, weight 30 reverse",
        before: "vrrp_script @ {\n script \"/usr/bin/test -e @\"\n interval 1\n weight 30 reverse\n}\n",
        inside: "track_script {\n @\n}\n",
        steps: PASS_FAIL,
        expected: two(Some(70), Some(100)),
    },
    Case {
        what: "script, weight -30 reverse where it is tracked",
        before: "vrrp_script @ {\n script \"/usr/bin/test -e @\"\n interval 1\n}\n",
        inside: "track_script {\n @ weight -30 reverse\n}\n",
        steps: PASS_FAIL,
        expected: two(Some(100), Some(130)),
    },
    Case {
        what: "script, weight 0",
        before: "vrrp_script @ {\n script \"/usr/bin/test -e @\"\n interval 1\n}\n",
        inside: "track_script {\n @\n}\n",
        steps: PASS_FAIL,
        expected: two(Some(100), None),
    },
    Case {
        what: "script, weight 7, rise 3, fall 2",
        before: "vrrp_script @ {\n script \"/usr/bin/test -e @\"\n interval 1\n weight 7\n rise 3\n fall 2\n}\n",
        inside: "track_script {\n @\n}\n",
        steps: PASS_FAIL,
        expected: two(Some(107), Some(100)),
    },
    Case {
        what: "script, weight 40, rise 4, init_fail: its first success counts at once",
        before: "vrrp_script @ {\n script \"/usr/bin/test -e @\"\n interval 2\n weight 40\n rise 4\n init_fail\n}\n",
        inside: "track_script {\n @\n}\n",
        steps: [Act::Pass, Act::Pass, Act::Pass, Act::Fail],
        expected: [Some(140), Some(140), Some(140), Some(100)],
    },
    Case {
        what: "script, weight -40, init_fail, fails from the start",
        before: "vrrp_script @ {\n script \"/usr/bin/test -e @\"\n interval 1\n weight -40\n init_fail\n}\n",
        inside: "track_script {\n @\n}\n",
        steps: [Act::Fail, Act::Pass, Act::Fail, Act::Pass],
        expected: two(Some(60), Some(100)),
    },
    Case {
        what: "interface, weight 15",
        before: "",
        inside: "track_interface {\n @ weight 15\n}\n",
        steps: UP_DOWN,
        expected: two(Some(115), Some(100)),
    },
    Case {
        what: "interface, weight -15",
        before: "",
        inside: "track_interface {\n @ weight -15\n}\n",
        steps: UP_DOWN,
        expected: two(Some(100), Some(85)),
    },
    Case {
        what: "interface without weight",
        before: "",
        inside: "track_interface {\n @\n}\n",
        steps: UP_DOWN,
        expected: two(Some(100), None),
    },
    Case {
        what: "file, weight 2: 5, -10, 100, -100",
        before: "track_file @ {\n file @\n weight 2\n}\n",
        inside: "track_file {\n @\n}\n",
        steps: [Act::Number(5), Act::Number(-10), Act::Number(100), Act::Number(-100)],
        expected: [Some(110), Some(80), Some(254), Some(1)],
    },
    Case {
        what: "file, weight 1 reverse: 5, -10, 0, 20",
        before: "track_file @ {\n file @\n weight 1 reverse\n}\n",
        inside: "track_file {\n @\n}\n",
        steps: [Act::Number(5), Act::Number(-10), Act::Number(0), Act::Number(20)],
        expected: [Some(95), Some(110), Some(100), Some(80)],
    },
    Case {
        what: "file, weight 0: 0, 1, 0, -1",
        before: "track_file @ {\n file @\n weight 0\n}\n",
        inside: "track_file {\n @\n}\n",
        steps: [Act::Number(0), Act::Number(1), Act::Number(0), Act::Number(-1)],
        expected: two(Some(100), None),
    },
];

impl Case {
    fn is_interface(&self) -> bool {
        self.inside.contains("track_interface")
    }

    /// The case's own name: an interface's, or a path for everything else.
    fn name(&self, number: usize) -> String {
        if self.is_interface() { format!("eth{number}") } else { format!("case{number}") }
    }

    fn instance(&self, number: usize, directory: &Path) -> Instance {
        let name = self.name(number);
        let path = directory.join(&name);
        let before = self
            .before
            .replace(" -e @", &format!(" -e {}", path.display()))
            .replace("file @\n", &format!("file {}\n", path.display()))
            // The block's own name; `track_file @` has no new line after it.
            .replace('@', &name);
        Instance {
            vrid: 51 + u8::try_from(number).unwrap(),
            vips: vec![format!("10.77.1.{number}/32")],
            keepalived_before: before,
            keepalived: self.inside.replace('@', &name),
            ..Instance::default()
        }
    }
}

/// One of the two, alone with its file.
struct Alone {
    node: Node,
    capture: Capture,
    instances: Vec<Instance>,
    _lab: Lab,
}

impl Alone {
    fn new(kind: Kind) -> Self {
        let mut lab = Lab::new().unwrap();
        let node = Node::new(&mut lab, 1, kind, Instance::default());
        let capture = lab.capture_only("ip proto 112").unwrap();
        let directory = node.host.directory().to_owned();
        let mut instances: Vec<Instance> =
            CASES.iter().enumerate().map(|(number, case)| case.instance(number, &directory)).collect();
        if let Some(first) = instances.first_mut() {
            first.keepalived_before.insert_str(0, "global_defs {\n script_user root\n}\n");
        }
        for (number, case) in CASES.iter().enumerate() {
            let (name, peer) = (case.name(number), format!("peer{number}"));
            if case.is_interface() {
                node.host.ip(&["link", "add", &name, "type", "veth", "peer", "name", &peer]).unwrap();
                node.host.ip(&["link", "set", &name, "up"]).unwrap();
            }
        }
        let mut it = Self { node, capture, instances, _lab: lab };
        it.act(0);
        it.node.daemon = Some(Daemon::start(kind, &it.node.host, &it.instances).unwrap());
        it
    }

    fn act(&self, step: usize) {
        let host = &self.node.host;
        for (number, case) in CASES.iter().enumerate() {
            let (name, peer) = (case.name(number), format!("peer{number}"));
            match case.steps[step] {
                Act::Pass => drop(host.write(&name, "").unwrap()),
                Act::Fail => drop(fs::remove_file(host.directory().join(&name))),
                Act::Number(value) => drop(host.write(&name, &format!("{value}\n")).unwrap()),
                Act::Up => drop(host.ip(&["link", "set", &peer, "up"]).unwrap()),
                Act::Down => drop(host.ip(&["link", "set", &peer, "down"]).unwrap()),
            }
        }
    }

    /// The priorities that were seen since then, each once in its turn, and the one that is sent now.
    fn priorities(&self, number: usize, since: Duration) -> (Vec<u8>, Option<u8>) {
        let vrid = self.instances[number].vrid;
        let frames = self.capture.since(since);
        let of_case = frames.iter().filter_map(|frame| Some((frame.at, frame.advert()?)));
        let said: Vec<(Duration, u8)> = of_case
            .filter(|(_, advert)| advert.vrid() == vrid)
            .map(|(at, advert)| (at, advert.priority()))
            .collect();
        let mut seen: Vec<u8> = said.iter().map(|(_, priority)| *priority).collect();
        seen.dedup();
        let last = said.last().filter(|(at, priority)| moment() < *at + SILENT && *priority > 0);
        (seen, last.map(|(_, priority)| *priority))
    }
}

fn name(priority: Option<u8>) -> String {
    priority.map_or_else(|| "silent".into(), |priority| priority.to_string())
}

#[test]
fn s19_same_priorities_keepalived_ours_alone() {
    let both = std::thread::scope(|scope| {
        let start = |kind| scope.spawn(move || Alone::new(kind));
        [start(Kind::Keepalived), start(Kind::OursByKeepalivedConf)].map(|thread| thread.join().unwrap())
    });
    let [theirs, ours] = &both;
    let mut settled: Vec<[Vec<Option<u8>>; 2]> = CASES.iter().map(|_| [Vec::new(), Vec::new()]).collect();
    let mut ways: Vec<[Vec<Vec<u8>>; 2]> = CASES.iter().map(|_| [Vec::new(), Vec::new()]).collect();
    for step in 0..STEPS {
        let since = moment();
        if step > 0 {
            both.iter().for_each(|one| one.act(step));
        }
        std::thread::sleep(SETTLED);
        for number in 0..CASES.len() {
            for (at, one) in [theirs, ours].into_iter().enumerate() {
                let (seen, now) = one.priorities(number, since);
                let before = settled[number][at].last().copied().flatten();
                // The last advert with the old priority may be older than what is done.
                let mut way: Vec<u8> = before.into_iter().chain(seen).collect();
                way.dedup();
                settled[number][at].push(now);
                ways[number][at].push(way);
            }
        }
    }
    let mut report: Option<Report> = None;
    let cast = Cast { higher: Kind::Ours, lower: Kind::Keepalived };
    for (number, case) in CASES.iter().enumerate() {
        let report = match &mut report {
            Some(report) => {
                report.row(case.what);
                report
            }
            None => report.insert(Report::with_part("S19", cast, "alone", case.what)),
        };
        let list = |of: &[Option<u8>]| of.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ");
        let [their, our] = &settled[number];
        report.saw(format!("keepalived {}", list(their)));
        report.saw(format!("ours {}", list(our)));
        eprintln!("   {:?}", ways[number]);
        assert_eq!(our, their, "{}: {:?}\n{}", case.what, ways[number], ours.node.daemon().log());
        assert_eq!(our, &case.expected, "{}", case.what);
        // After the first step nothing else is on the wire on the way.
        let [their, our] = &ways[number];
        assert_eq!(our[1..], their[1..], "{}", case.what);
    }
}

/// The kernel tells of processes outside network namespaces only: keepalived gives up, ours looks for them.
#[test]
fn s19_process_keepalived_ours_alone() {
    let cast = Cast { higher: Kind::Ours, lower: Kind::Keepalived };
    let tried = "process, weight 20, runs at the start and is killed (in a network namespace)";
    let mut report = Report::with_part("S19", cast, "alone", tried);
    let seconds = (1_000_000 + std::process::id()).to_string();
    for kind in [Kind::Keepalived, Kind::OursByKeepalivedConf] {
        let mut lab = Lab::new().unwrap();
        let instance = Instance {
            keepalived_before: format!(
                "vrrp_track_process p {{\n process /usr/bin/sleep {seconds}\n weight 20\n}}\n"
            ),
            keepalived: "track_process {\n p\n}\n".into(),
            ..Instance::default()
        };
        let mut node = Node::new(&mut lab, 1, kind, instance);
        let capture = lab.capture().unwrap();
        let mut sleep = node.host.spawn("sleep", node.host.command("/usr/bin/sleep").arg(&seconds)).unwrap();
        wait_for("sleep to run", SOON, || {
            let line = fs::read_to_string(format!("/proc/{}/cmdline", sleep.pid()))?;
            Ok(line.starts_with("/usr/bin/sleep").then_some(()))
        })
        .unwrap();
        node.start();
        let source = node.source.into();
        let expected = if kind.is_ours() { 120 } else { 100 };
        let up = capture.advert(Duration::ZERO, SOON, 51, source, |priority| priority == expected);
        up.unwrap_or_else(|error| panic!("{error:#}\n{}", node.daemon().log()));
        sleep.kill().unwrap();
        let killed = moment();
        if kind.is_ours() {
            let lower = capture.advert(killed, SOON, 51, source, |priority| priority == 100);
            let noticed = lower.unwrap_or_else(|error| panic!("{error:#}\n{}", node.daemon().log())).0;
            let interval = node.instance.interval;
            report.at_most("ours 120, and 100 after its end after", noticed - killed, interval + WAKE);
        } else {
            report.saw("keepalived 100: it is told nothing of processes here");
        }
    }
}
