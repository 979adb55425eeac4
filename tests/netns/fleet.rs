//! What the fleet tests share: three agents that run one instance, and a coordinator that hears them.

use std::time::Duration;

use hafleet_tests::lab::{
    AgentConfiguration, Coordinator, Host, Lab, Process, agent_state_dir, program, start_agent, wait_for,
};

/// The address everything is about.
pub const VIP: &str = "192.168.178.3";
/// Long enough for any election at 1 s adverts on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// A coordinator, agents by falling priority, and a client.
pub struct Fleet {
    pub coordinator: Coordinator,
    pub hosts: Vec<Host>,
    pub agents: Vec<Process>,
    pub client: Host,
    pub lab: Lab,
}

impl Fleet {
    /// As many agents as priorities, named lb01, lb02, …; waits until the first holds the address and all are heard.
    pub fn start(priorities: &[u8]) -> Self {
        Self::start_with(priorities, None)
    }

    /// The same with a coordinator.toml.
    pub fn start_with(priorities: &[u8], coordinator: Option<&str>) -> Self {
        Self::start_of(priorities, coordinator, configuration)
    }

    /// The same with another agent.toml.
    pub fn start_of(
        priorities: &[u8],
        coordinator: Option<&str>,
        configuration: impl Fn(&Host, u8) -> String,
    ) -> Self {
        Self::start_in(Lab::new().unwrap(), priorities, coordinator, configuration, |host| host)
    }

    /// The same in a lab that is there, for a coordinator.toml that has to name it, and with hosts and a client that run otherwise,
    /// such as in real time.
    pub fn start_in(
        mut lab: Lab,
        priorities: &[u8],
        coordinator: Option<&str>,
        configuration: impl Fn(&Host, u8) -> String,
        prepare: impl Fn(Host) -> Host,
    ) -> Self {
        let coordinator = Coordinator::start_with(&mut lab, coordinator).unwrap();
        let (mut hosts, mut agents) = (Vec::new(), Vec::new());
        for (number, priority) in priorities.iter().enumerate() {
            let host = lab
                .host(&format!("lb{:02}", number + 1), &format!("192.168.178.{}/24", 130 + number))
                .unwrap();
            let host = prepare(host);
            coordinator.join(&host).unwrap();
            agents.push(start(&host, &configuration(&host, *priority)));
            hosts.push(host);
        }
        let client = prepare(lab.client("client", "192.168.178.10/24").unwrap());
        let fleet = Self { coordinator, hosts, agents, client, lab };
        fleet.wait_for_holder(Some("lb01"));
        fleet.wait_for_fresh(priorities.len());
        fleet
    }

    /// Starts an agent again with its first configuration.
    pub fn restart(&mut self, number: usize, priority: u8) {
        let host = &self.hosts[number];
        self.agents[number] = start(host, &configuration(host, priority));
    }

    pub fn wait_for_holder(&self, node: Option<&str>) {
        if let Err(error) = self.coordinator.wait_for_holder(VIP, node, SOON) {
            let logs: Vec<_> = self.agents.iter().map(Process::log).collect();
            panic!("{error:#}\ncoordinator:\n{}\nagents:\n{}", self.coordinator.log(), logs.join("\n----\n"));
        }
    }

    pub fn wait_for_fresh(&self, nodes: usize) {
        wait_for("every node to be fresh", SOON, || {
            let listed = self.coordinator.json(&["get", "nodes"])?;
            let fresh = listed.as_array().into_iter().flatten().filter(|node| node["fresh"] == true).count();
            Ok((fresh == nodes).then_some(()))
        })
        .unwrap();
    }

    /// One more host, without an identity or an agent.
    pub fn add_host(&mut self, name: &str, number: u8) -> Host {
        self.lab.host(name, &format!("192.168.178.{number}/24")).unwrap()
    }

    /// Which hosts' kernels have the address.
    pub fn holders(&self) -> Vec<&str> {
        self.hosts.iter().filter(|host| host.holds(VIP).unwrap()).map(Host::name).collect()
    }
}

/// agent.toml of one instance at 1 s adverts.
pub fn configuration(host: &Host, priority: u8) -> String {
    format!(
        "node = \"{}\"\nsite = \"dc1\"\n\n[[instance]]\nname = \"web\"\ninterface = \"ens33\"\nvrid = 51\n\
         priority = {priority}\nadvert_interval = \"1s\"\nvips = [{{ address = \"{VIP}/24\", label = \"ens33:3\" }}]\n",
        host.name()
    )
}

pub fn start(host: &Host, configuration: &str) -> Process {
    start_agent(host, AgentConfiguration::Native(configuration), &[]).unwrap()
}

/// `ha-agent status -o json` of a host.
pub fn status(host: &Host) -> serde_json::Value {
    let state_dir = agent_state_dir(host);
    let arguments = ["status", "-o", "json", "--state-dir", state_dir.to_str().unwrap()];
    let text = host.run(program("ha-agent").unwrap(), &arguments).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
