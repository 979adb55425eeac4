//! What the acts share: the fleet, who looks at it, and how the story is told.

use std::{path::Path, time::Duration};

use anyhow::{Result, bail, ensure};
use hafleet_tests::lab::{AgentConfiguration, Coordinator, Host, Lab, Process, start_agent, wait_for};
use serde_json::Value;

/// The address everything is about.
pub(super) const VIP: &str = "192.168.178.3";
/// A neighbour that is no member: the client.
const NEIGHBOUR: &str = "192.168.178.10";
/// Long enough for anything at 1 s adverts on a busy machine.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// The fleet.
pub(super) struct Stage {
    pub(super) coordinator: Coordinator,
    pub(super) fleet: Vec<Node>,
    pub(super) client: Host,
    pub(super) lab: Lab,
    /// What was seen, for the end.
    pub(super) summary: Vec<String>,
}

/// A host with its agent, and who answers the client there.
pub(super) struct Node {
    pub(super) host: Host,
    pub(super) agent: Process,
    pub(super) echo: Process,
    pub(super) priority: u8,
}

impl Node {
    /// Starts agent and responder on a host.
    pub(super) fn start(host: Host, priority: u8) -> Result<Self> {
        let toml = configuration(host.name(), priority, "3s");
        let agent = start_agent(&host, AgentConfiguration::Native(&toml), &[])?;
        let echo = host.serve(VIP)?;
        Ok(Self { host, agent, echo, priority })
    }

    /// Starts its agent again, and the responder if that is gone too.
    pub(super) fn restart(&mut self) -> Result<()> {
        let toml = configuration(self.host.name(), self.priority, "3s");
        self.agent = start_agent(&self.host, AgentConfiguration::Native(&toml), &[])?;
        if !self.echo.running() {
            self.echo = self.host.serve(VIP)?;
        }
        Ok(())
    }
}

impl Stage {
    /// What is worth telling again at the end.
    pub(super) fn seen(&mut self, line: String) {
        println!("   => {line}");
        self.summary.push(line);
    }

    /// Shows a question to the coordinator and its answer.
    pub(super) fn show(&self, arguments: &[&str]) -> Result<()> {
        told("$ hactl", arguments, &self.coordinator.shown(arguments)?);
        Ok(())
    }

    /// The same as somebody else, who does something.
    pub(super) fn show_as(&self, name: &str, context: &Path, arguments: &[&str]) -> Result<()> {
        let output = self.coordinator.hactl_as(context, arguments)?;
        ensure!(
            output.status.success(),
            "hactl {arguments:?} as {name} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        told(&format!("{name}$ hactl"), arguments, &String::from_utf8_lossy(&output.stdout));
        Ok(())
    }

    /// Waits until the coordinator says so of the group.
    pub(super) fn wait_for_holder(&self, name: &str) -> Result<()> {
        self.coordinator.wait_for_holder(VIP, Some(name), SOON)
    }

    /// Waits until every node is heard.
    pub(super) fn wait_for_fresh(&self) -> Result<()> {
        wait_for("three nodes", SOON, || {
            let nodes = self.coordinator.json(&["get", "nodes"])?;
            let fresh = |node: &&Value| node["fresh"] == true;
            Ok((nodes.as_array().into_iter().flatten().filter(fresh).count() == 3).then_some(()))
        })
    }

    /// Waits for an open finding.
    pub(super) fn wait_for_finding(&self, kind: &str) -> Result<Value> {
        wait_for(kind, SOON, || self.coordinator.finding(kind))
    }

    /// Waits until a finding is open no more.
    pub(super) fn wait_for_end(&self, kind: &str) -> Result<()> {
        wait_for(&format!("the end of {kind}"), SOON, || {
            Ok(self.coordinator.finding(kind)?.is_none().then_some(()))
        })
    }

    /// Waits until the last fence, against `node`, is in this state.
    pub(super) fn wait_for_fence(&self, node: &str, state: &str, within: Duration) -> Result<Value> {
        wait_for(&format!("a fence against {node} that is {state}"), within, || {
            let fences = self.coordinator.json(&["get", "fences", node])?;
            let last = fences.as_array().and_then(|fences| fences.first());
            Ok(last.filter(|fence| fence["state"] == state).cloned())
        })
    }

    /// Whose kernels have the address.
    pub(super) fn holders(&self) -> Result<Vec<&str>> {
        let mut holders = Vec::new();
        for node in &self.fleet {
            if node.host.holds(VIP)? {
                holders.push(node.host.name());
            }
        }
        Ok(holders)
    }

    /// Exactly one host's kernel has the address, and it is this one.
    pub(super) fn check_holder(&self, name: &str) -> Result<()> {
        let holders = self.holders()?;
        if holders != [name] {
            bail!("{holders:?} hold the address, and not {name} alone");
        }
        Ok(())
    }
}

/// The head of an act.
pub(super) fn act(number: u32, title: &str) {
    println!("\n== {number}. {title}");
}

/// One sentence of the story.
pub(super) fn say(line: &str) {
    println!("   {line}");
}

/// What `ip addr` shows on a host.
pub(super) fn kernel(host: &Host) -> Result<()> {
    let lines = host.inet_lines("ens33")?;
    println!("\n   $ ip addr show dev ens33     # on {}", host.name());
    for line in lines {
        println!("   {line}");
    }
    Ok(())
}

fn told(prompt: &str, arguments: &[&str], answer: &str) {
    println!("\n   {prompt} {}", arguments.join(" "));
    for line in answer.lines() {
        println!("   {line}");
    }
}

/// agent.toml. `lease` is for how long the kernel keeps the address without the agent; `off`: for ever.
pub(super) fn configuration(node: &str, priority: u8, lease: &str) -> String {
    format!(
        "node = \"{node}\"\nsite = \"dc1\"\nreferences = [\"{NEIGHBOUR}\"]\n\n\
         [[instance]]\nname = \"web\"\ninterface = \"ens33\"\nvrid = 51\npriority = {priority}\n\
         advert_interval = \"1s\"\nlease = \"{lease}\"\n\
         vips = [{{ address = \"{VIP}/24\", label = \"ens33:3\" }}]\n"
    )
}
