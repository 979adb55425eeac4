//! Agents that run what is pushed and nothing else, and what can be seen of an apply from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::PathBuf,
    time::Duration,
};

use hafleet_tests::lab::{
    AgentConfiguration, Coordinator, Host, Lab, Process, agent_state_dir, start_agent, wait_for,
};
use serde_json::Value;

/// Long enough for one agent or coordinator to do anything on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);
/// Hosts that are set up at a time: joining is mostly waiting for processes.
const BESIDE: usize = 4;

/// A coordinator and agents named lb01, lb02, …
pub struct Rack {
    pub coordinator: Coordinator,
    pub hosts: Vec<Host>,
    pub agents: Vec<Process>,
    _lab: Lab,
}

/// One `[[group]]`.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    pub vrid: u8,
    pub addresses: Vec<String>,
    pub interval: &'static str,
    /// Numbers of hosts from 0, with their priorities.
    pub members: Vec<(usize, u8)>,
}

/// What an agent has on its disk of what was pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnDisk {
    pub running: u64,
    /// It goes back unless it is confirmed.
    pub is_unconfirmed: bool,
    pub staged: u64,
    pub rolled_back: u64,
}

impl Rack {
    /// Every agent is heard when this returns.
    pub fn start(agents: usize) -> Self {
        Self::start_with(agents, None)
    }

    /// The same with a coordinator.toml.
    pub fn start_with(agents: usize, toml: Option<&str>) -> Self {
        let mut lab = Lab::new().unwrap();
        let coordinator = Coordinator::start_with(&mut lab, toml).unwrap();
        let hosts: Vec<Host> = (0..agents)
            .map(|number| lab.host(&name(number), &format!("192.168.178.{}/24", 101 + number)).unwrap())
            .collect();
        let join = |host: &Host| {
            coordinator.join(host).unwrap();
            run(host)
        };
        let parts: Vec<&[Host]> = hosts.chunks(agents.div_ceil(BESIDE)).collect();
        let agents = std::thread::scope(|scope| {
            let threads: Vec<_> = parts
                .into_iter()
                .map(|part| scope.spawn(move || part.iter().map(join).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let rack = Self { coordinator, hosts, agents, _lab: lab };
        rack.wait_for_all();
        rack
    }

    /// Until the coordinator hears every agent.
    pub fn wait_for_all(&self) {
        wait_for("every node to be fresh", SOON, || {
            let listed = self.coordinator.json(&["get", "nodes"])?;
            let fresh = listed.as_array().into_iter().flatten().filter(|node| node["fresh"] == true).count();
            Ok((fresh == self.hosts.len()).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}\n{}", self.logs()));
    }

    /// The agent begins again, as after the end of its process.
    pub fn restart(&mut self, number: usize) {
        self.agents[number] = run(&self.hosts[number]);
    }

    /// Writes the fleet's file.
    pub fn write(&self, groups: &[Group]) -> String {
        self.coordinator.host().write("fleet.toml", &file(groups)).unwrap().display().to_string()
    }

    /// `hactl config apply`, to its end: exit code, and what it said.
    pub fn apply(&self, groups: &[Group], confirm: &str) -> (Option<i32>, String) {
        let file = self.write(groups);
        let output =
            self.coordinator.hactl(&["config", "apply", &file, "--yes", "--confirm", confirm]).unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// The same, but nobody waits for it; it ends with the value.
    pub fn begin(&self, groups: &[Group], confirm: &str) -> Process {
        let file = self.write(groups);
        let context = self.coordinator.data_dir().join("admin.toml");
        let mut command = self.coordinator.host().command(hafleet_tests::lab::program("hactl").unwrap());
        command.arg("--context").arg(context).args(["config", "apply", &file, "--yes", "--confirm", confirm]);
        self.coordinator.host().spawn("apply", &mut command).unwrap()
    }

    /// The newest generation: number, state and why it was given up.
    pub fn newest(&self) -> Option<(u64, String, String)> {
        let history = self.coordinator.json(&["config", "history", "--limit", "1"]).ok()?;
        let row = history.get(0)?;
        let why = row["why"].as_str().unwrap_or_default().to_owned();
        Some((row["generation"].as_u64()?, row["state"].as_str()?.to_owned(), why))
    }

    /// The state of each node's step of a generation.
    pub fn steps(&self, generation: u64) -> BTreeMap<String, String> {
        let shown = self.coordinator.json(&["config", "show", &generation.to_string()]).unwrap();
        let words = |step: &Value| Some((step["node"].as_str()?.into(), step["state"].as_str()?.into()));
        shown["steps"].as_array().into_iter().flatten().filter_map(words).collect()
    }

    /// Whether a step was written down, by the coordinator's log: the quickest way to see it.
    pub fn has_stepped(&self, generation: u64, number: usize, step: &str) -> bool {
        let (node, generation) = (format!("node=\"{}\"", name(number)), format!("generation={generation} "));
        let step = format!("step={step} ");
        self.coordinator
            .log()
            .lines()
            .any(|line| line.contains(&generation) && line.contains(&node) && line.contains(&step))
    }

    /// Waits for that.
    pub fn wait_for_step(&self, generation: u64, number: usize, step: &str) {
        let what = format!("{} of generation {generation} to be {step}", name(number));
        wait_for(&what, SOON, || Ok(self.has_stepped(generation, number, step).then_some(())))
            .unwrap_or_else(|error| panic!("{error}\n{}", self.logs()));
    }

    /// What the agents have on their disks.
    pub fn on_disks(&self) -> Vec<OnDisk> {
        self.hosts.iter().map(on_disk).collect()
    }

    /// Which hosts' kernels have this address.
    pub fn holders(&self, address: &str) -> Vec<String> {
        let holds = |host: &&Host| host.holds(address).unwrap();
        self.hosts.iter().filter(holds).map(|host| host.name().to_owned()).collect()
    }

    /// Every address of every kernel on the service line beside the host's own.
    pub fn held(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut held: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (number, host) in self.hosts.iter().enumerate() {
            for line in host.inet_lines("ens33").unwrap() {
                let address = line.split_whitespace().nth(1).unwrap_or_default();
                let bare = address.split('/').next().unwrap_or_default();
                if bare != format!("192.168.178.{}", 101 + number) {
                    held.entry(bare.to_owned()).or_default().insert(host.name().to_owned());
                }
            }
        }
        held
    }

    /// What everybody printed.
    pub fn logs(&self) -> String {
        let mut text = format!("coordinator:\n{}", self.coordinator.log());
        for (number, agent) in self.agents.iter().enumerate().take(4) {
            let _ = write!(text, "\n---- {}:\n{}", name(number), agent.log());
        }
        text
    }
}

/// lb01, lb02, …
pub fn name(number: usize) -> String {
    format!("lb{:02}", number + 1)
}

/// The fleet's file.
pub fn file(groups: &[Group]) -> String {
    let mut text = String::new();
    for Group { name: group, vrid, addresses, interval, members } in groups {
        let addresses: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
        let _ = writeln!(
            text,
            "[[group]]\nname = \"{group}\"\nsite = \"dc1\"\nvrid = {vrid}\nversion = 3\n\
             advert_interval = \"{interval}\"\naddresses = [{}]",
            addresses.join(", ")
        );
        for (number, priority) in members {
            let _ = writeln!(
                text,
                "[[group.member]]\nnode = \"{}\"\ninterface = \"ens33\"\npriority = {priority}",
                name(*number)
            );
        }
    }
    text
}

/// What the agent of a host has on its disk.
pub fn on_disk(host: &Host) -> OnDisk {
    let path: PathBuf = agent_state_dir(host).join("pushed/state.json");
    let Ok(text) = fs::read_to_string(path) else { return OnDisk::default() };
    let state: Value = serde_json::from_str(&text).unwrap();
    let pointer = &state["pointer"];
    let number = |value: &Value| value["number"].as_u64().unwrap_or(0);
    OnDisk {
        running: number(&pointer["running"]),
        is_unconfirmed: !pointer["confirm"].is_null(),
        staged: number(&pointer["staged"]),
        rolled_back: pointer["rolled_back"]["generation"].as_u64().unwrap_or(0),
    }
}

fn run(host: &Host) -> Process {
    let toml = format!("node = \"{}\"\nsite = \"dc1\"\n", host.name());
    start_agent(host, AgentConfiguration::Native(&toml), &[]).unwrap()
}
