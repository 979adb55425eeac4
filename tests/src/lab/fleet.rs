//! A coordinator and agents as real processes in a lab.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Host, Lab, Process, program, wait_for};

/// How long a process may take to be ready on a busy machine.
const READY: Duration = Duration::from_secs(30);

/// A coordinator on a management host, and `hactl` beside it.
#[derive(Debug)]
pub struct Coordinator {
    host: Host,
    data_dir: PathBuf,
    process: Option<Process>,
    configuration: Option<PathBuf>,
}

impl Coordinator {
    /// `ha-coordinator init` and `serve` with the embedded SQLite.
    pub fn start(lab: &mut Lab) -> Result<Self> {
        Self::start_with(lab, None)
    }

    /// The same with a coordinator.toml.
    pub fn start_with(lab: &mut Lab, toml: Option<&str>) -> Result<Self> {
        let host = lab.management("coordinator")?;
        let data_dir = host.directory().join("data");
        let directory = data_dir.to_str().context("the data directory is not UTF-8")?.to_owned();
        host.run(
            program("ha-coordinator")?,
            &["init", "--data-dir", &directory, "--name", &host.management_address()],
        )?;
        let configuration = toml.map(|toml| host.write("coordinator.toml", toml)).transpose()?;
        let mut coordinator = Self { host, data_dir, process: None, configuration };
        coordinator.serve()?;
        Ok(coordinator)
    }

    /// Starts serving, at first or again after [`Coordinator::stop`] or [`Coordinator::kill`].
    pub fn serve(&mut self) -> Result<()> {
        let mut command = self.host.command(program("ha-coordinator")?);
        command.arg("serve").arg("--data-dir").arg(&self.data_dir).arg("--listen").arg(self.address());
        if let Some(configuration) = &self.configuration {
            command.arg("--config").arg(configuration);
        }
        self.process = Some(self.host.spawn("coordinator", &mut command)?);
        wait_for("the coordinator to answer", READY, || {
            Ok((self.hactl(&["get", "nodes"])?.status.code() == Some(0)).then_some(()))
        })
        .with_context(|| format!("its log:\n{}", self.log()))
    }

    /// Restarts it with another coordinator.toml.
    pub fn configure(&mut self, toml: &str) -> Result<()> {
        self.stop()?;
        self.configuration = Some(self.host.write("coordinator.toml", toml)?);
        self.serve()
    }

    /// SIGTERM.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the coordinator does not run")?;
        let status = process.terminate(READY)?;
        if !status.success() {
            bail!("the coordinator ended with {status}; its log:\n{}", process.log());
        }
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("the coordinator does not run")?.kill()
    }

    /// SIGSTOP: it is there, but does nothing. It ends with [`Coordinator::kill`].
    pub fn freeze(&self) -> Result<()> {
        self.process.as_ref().context("the coordinator does not run")?.freeze();
        Ok(())
    }

    /// `host:port` for agents and hactl.
    pub fn address(&self) -> String {
        format!("{}:7443", self.host.management_address())
    }

    /// The host it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.host.directory().join("coordinator.log")).unwrap_or_default()
    }

    /// Lets it run on after this value is gone.
    pub fn leave_running(self) {
        if let Some(process) = self.process {
            process.leave_running();
        }
    }

    /// Runs `hactl` with the admin's credential.
    pub fn hactl(&self, arguments: &[&str]) -> Result<Output> {
        self.hactl_command(arguments)?.output().context("starting hactl")
    }

    /// The same, to be started by the caller.
    pub fn hactl_command(&self, arguments: &[&str]) -> Result<Command> {
        self.command_as(&self.data_dir.join("admin.toml"), arguments)
    }

    /// Runs `hactl` with somebody's context file.
    pub fn hactl_as(&self, context: &Path, arguments: &[&str]) -> Result<Output> {
        self.command_as(context, arguments)?.output().context("starting hactl")
    }

    fn command_as(&self, context: &Path, arguments: &[&str]) -> Result<Command> {
        let mut command = self.host.command(program("hactl")?);
        command.arg("--context").arg(context).args(arguments);
        Ok(command)
    }

    /// `hactl user add`: one more person; the context file.
    pub fn add_user(&self, name: &str, role: &str) -> Result<PathBuf> {
        let context = self.host.directory().join(format!("{name}.toml"));
        let file = context.to_str().context("the directory is not UTF-8")?;
        self.shown(&["user", "add", name, "--role", role, "--out", file])?;
        Ok(context)
    }

    /// The standard output of `hactl`, whatever its exit code says about the fleet's health.
    pub fn shown(&self, arguments: &[&str]) -> Result<String> {
        let output = self.hactl(arguments)?;
        match output.status.code() {
            Some(0 | 1) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            _ => bail!(
                "hactl {arguments:?} ended with {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }

    /// `hactl … -o json`, read.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.shown(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("hactl {arguments:?} printed {text}"))
    }

    /// The group with this address, if the coordinator knows it.
    pub fn group(&self, address: &str) -> Result<Option<Value>> {
        let groups = self.json(&["get", "groups"])?;
        Ok(groups.as_array().into_iter().flatten().find(|group| names_address(group, address)).cloned())
    }

    /// The open finding of this kind, if there is one.
    pub fn finding(&self, kind: &str) -> Result<Option<Value>> {
        let findings = self.json(&["get", "findings"])?;
        Ok(findings.as_array().into_iter().flatten().find(|finding| finding["kind"] == kind).cloned())
    }

    /// All findings, resolved ones included.
    pub fn findings(&self) -> Result<Vec<Value>> {
        Ok(self
            .json(&["get", "findings", "--all", "--limit", "1000"])?
            .as_array()
            .cloned()
            .unwrap_or_default())
    }

    /// The stored transitions.
    pub fn transitions(&self) -> Result<Vec<Value>> {
        Ok(self.json(&["get", "transitions", "--limit", "10000"])?.as_array().cloned().unwrap_or_default())
    }

    /// Waits until the group's holder is `node` (`None`: nobody).
    pub fn wait_for_holder(&self, address: &str, node: Option<&str>, within: Duration) -> Result<()> {
        wait_for(&format!("{node:?} to hold {address} in the coordinator's eyes"), within, || {
            Ok(self.group(address)?.filter(|group| group["holder"].as_str() == node).map(drop))
        })
    }

    /// A one-use token and `ha-agent join` on the host: it has an identity after this.
    pub fn join(&self, host: &Host) -> Result<()> {
        let token = self.json(&["node", "token", "--node", host.name()])?;
        let token = token["token"].as_str().with_context(|| format!("no token in {token}"))?.to_owned();
        let state_dir = agent_state_dir(host);
        let state_dir = state_dir.to_str().context("the state directory is not UTF-8")?;
        let coordinator = self.address();
        let arguments = ["join", "--coordinator", &coordinator, "--token", &token, "--name", host.name()];
        host.run(
            program("ha-agent")?,
            &[&arguments[..], &["--site", "dc1", "--state-dir", state_dir]].concat(),
        )?;
        Ok(())
    }
}

/// Where the agent of a lab host keeps its state.
pub fn agent_state_dir(host: &Host) -> PathBuf {
    host.directory().join("agent")
}

/// `ha-agent run` on a host with an agent.toml or a keepalived.conf; further arguments follow.
pub fn start_agent(host: &Host, configuration: AgentConfiguration<'_>, more: &[&str]) -> Result<Process> {
    let mut command = host.command(program("ha-agent")?);
    command.arg("run");
    match configuration {
        AgentConfiguration::Native(toml) => command.arg("--config").arg(host.write("agent.toml", toml)?),
        AgentConfiguration::Keepalived(conf) => {
            command.arg("--keepalived-conf").arg(host.write("keepalived.conf", conf)?)
        }
    };
    command.arg("--state-dir").arg(agent_state_dir(host)).args(more);
    host.spawn("agent", &mut command)
}

/// The text an agent is configured by.
#[derive(Clone, Copy, Debug)]
pub enum AgentConfiguration<'a> {
    /// agent.toml
    Native(&'a str),
    /// keepalived.conf
    Keepalived(&'a str),
}

fn names_address(group: &Value, address: &str) -> bool {
    let bare = |value: &Value| value.as_str().is_some_and(|text| text.split('/').next() == Some(address));
    group["addresses"].as_array().is_some_and(|addresses| addresses.iter().any(bare))
}
