//! VRRP daemons as processes on lab hosts: ours, keepalived's and FRR's, behind one face.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use pnet::util::MacAddr;
use serde_json::Value;

use super::{
    AgentConfiguration, Host, Instance, Process, agent_state_dir, ip, process, program, run, start_agent,
    wait_for,
};

/// How long a daemon may take to be ready, or to end, on a busy machine.
const READY: Duration = Duration::from_secs(15);

/// Who made the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ha-agent, configured by agent.toml.
    Ours,
    /// ha-agent, configured by the keepalived.conf that keepalived would get.
    OursByKeepalivedConf,
    /// keepalived.
    Keepalived,
    /// FRR's vrrpd, with its zebra and a macvlan interface for each VRID.
    Frr,
}

impl Kind {
    /// Its name in the table of what was tried.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours | Self::OursByKeepalivedConf => "ours",
            Self::Keepalived => "keepalived",
            Self::Frr => "FRR",
        }
    }

    /// Whether it is ha-agent.
    pub const fn is_ours(self) -> bool {
        match self {
            Self::Ours | Self::OursByKeepalivedConf => true,
            Self::Keepalived | Self::Frr => false,
        }
    }
}

/// A running daemon. Killed on drop.
#[derive(Debug)]
pub struct Daemon {
    kind: Kind,
    host: Host,
    process: Process,
    _zebra: Option<Process>,
}

impl Daemon {
    /// Starts it and waits until it has read its configuration. All kinds run in real time, so that what else the machine
    /// does is not measured.
    pub fn start(kind: Kind, host: &Host, instances: &[Instance]) -> Result<Self> {
        let host = &host.in_real_time();
        let text = Self::configuration(kind, host, instances);
        let (process, zebra) = match kind {
            Kind::Ours => (start_agent(host, AgentConfiguration::Native(&text), &[])?, None),
            Kind::OursByKeepalivedConf => {
                (start_agent(host, AgentConfiguration::Keepalived(&text), &[])?, None)
            }
            Kind::Keepalived => {
                // Every announcement is a line of the detailed log: with many it would do little else.
                let is_detailed = instances.len() < 50;
                (start_keepalived(host, &text, is_detailed)?, None)
            }
            Kind::Frr => {
                for instance in instances {
                    add_macvlan(host, instance)?;
                }
                let (vrrpd, zebra) = start_frr(host, &text)?;
                (vrrpd, Some(zebra))
            }
        };
        let mut daemon = Self { kind, host: host.clone(), process, _zebra: zebra };
        daemon.wait_until_ready()?;
        Ok(daemon)
    }

    /// Who made it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(mut self) -> Result<()> {
        let status = self.process.terminate(READY)?;
        ensure!(status.success() || !self.kind.is_ours(), "it ended with {status}:\n{}", self.process.log());
        Ok(())
    }

    /// SIGTERM, without waiting.
    pub fn ask_to_stop(&self) {
        self.process.signal(rustix::process::Signal::TERM);
    }

    /// Its end as a crash would have it: no last word to anybody, whatever its processes watch over each other.
    pub fn crash(mut self) -> Result<()> {
        // keepalived's parent starts a dead child again, and its child says goodbye when the parent dies.
        self.process.freeze();
        for pid in children(self.process.pid())? {
            process::signal(pid, rustix::process::Signal::KILL);
        }
        self.process.kill()
    }

    /// SIGSTOP to all of it.
    pub fn freeze(&self) -> Result<()> {
        self.process.freeze();
        for pid in children(self.process.pid())? {
            process::signal(pid, rustix::process::Signal::STOP);
        }
        Ok(())
    }

    /// Ends [`Daemon::freeze`].
    pub fn thaw(&self) -> Result<()> {
        for pid in children(self.process.pid())? {
            process::signal(pid, rustix::process::Signal::CONT);
        }
        self.process.thaw();
        Ok(())
    }

    /// All that it has printed.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Writes its configuration anew, without asking it to read that.
    pub fn rewrite(&self, text: &str) -> Result<()> {
        let file = match self.kind {
            Kind::Ours => "agent.toml",
            Kind::OursByKeepalivedConf | Kind::Keepalived => "keepalived.conf",
            Kind::Frr => bail!("FRR does not read its configuration again"),
        };
        self.host.write(file, text).map(drop)
    }

    /// What its configuration says of these virtual routers.
    pub fn configuration(kind: Kind, host: &Host, instances: &[Instance]) -> String {
        let each = |says: fn(&Instance) -> String| instances.iter().map(says).collect::<String>();
        match kind {
            Kind::Ours => {
                format!("node = \"{}\"\nsite = \"lab\"\n\n{}", host.name(), each(Instance::to_agent_toml))
            }
            Kind::OursByKeepalivedConf | Kind::Keepalived => each(Instance::to_keepalived_conf),
            Kind::Frr => format!("interface ens33\n{}", each(Instance::to_frr_conf)),
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        self.process.signal(signal);
    }

    /// `ha-agent status -o json`; an error for any other daemon.
    pub fn status(&self) -> Result<Value> {
        ensure!(self.kind.is_ours(), "only ha-agent has a status");
        let state_dir = agent_state_dir(&self.host);
        let state_dir = state_dir.to_str().context("the state directory is not UTF-8")?;
        let text =
            self.host.run(program("ha-agent")?, &["status", "-o", "json", "--state-dir", state_dir])?;
        serde_json::from_str(&text).with_context(|| format!("ha-agent status printed {text}"))
    }

    /// One instance of [`Daemon::status`].
    pub fn instance(&self, vrid: u8) -> Result<Value> {
        let status = self.status()?;
        let found = status["instances"].as_array().into_iter().flatten().find(|one| one["vrid"] == vrid);
        found.cloned().with_context(|| format!("VRID {vrid} is not in {status}"))
    }

    /// What ours heard from `source` for `vrid`, if anything.
    pub fn heard(&self, vrid: u8, source: &str) -> Result<Option<Value>> {
        let status = self.status()?;
        let is_it = |one: &&Value| one["vrid"] == vrid && one["source"] == source;
        Ok(status["heard"].as_array().into_iter().flatten().find(is_it).cloned())
    }

    /// The state of an instance in the daemon's own words: MASTER, BACKUP, FAULT, INIT; `None` when it does not say.
    pub fn state(&self, vrid: u8) -> Result<Option<String>> {
        match self.kind {
            Kind::Ours | Kind::OursByKeepalivedConf => {
                Ok(self.instance(vrid)?["state"].as_str().map(String::from))
            }
            Kind::Keepalived => {
                let said = self.process.log();
                let of_instance = format!("(VI_{vrid}) Entering ");
                let last = said.lines().rev().find_map(|line| line.split_once(&of_instance));
                Ok(last.and_then(|(_, rest)| rest.split(' ').next()).map(String::from))
            }
            Kind::Frr => {
                let directory = self.host.directory().join("frr");
                let directory = directory.to_str().context("the directory is not UTF-8")?;
                let text = self.host.run("vtysh", &["--vty_socket", directory, "-c", "show vrrp json"])?;
                let routers: Value = serde_json::from_str(&text).context("reading vtysh's answer")?;
                let found = routers.as_array().into_iter().flatten().find(|one| one["vrid"] == vrid);
                let router = found.cloned().unwrap_or_default();
                // A virtual router that has no address in a family stays there as it began.
                let statuses = ["v4", "v6"].map(|family| router[family]["status"].as_str());
                let state = statuses.into_iter().flatten().reduce(|one, other| match one {
                    "Initialize" => other,
                    _ => one,
                });
                Ok(state.map(|state| match state {
                    "Initialize" => "INIT".into(),
                    other => other.to_uppercase(),
                }))
            }
        }
    }

    /// How often an instance changed its state, in the daemon's own words.
    pub fn transitions(&self, vrid: u8) -> Result<u64> {
        let count = match self.kind {
            Kind::Ours | Kind::OursByKeepalivedConf => self.instance(vrid)?["transitions"].as_u64(),
            Kind::Keepalived => {
                let said = self.process.log();
                u64::try_from(said.matches(&format!("(VI_{vrid}) Entering ")).count()).ok()
            }
            Kind::Frr => {
                // Its own count goes up without a change, too.
                let said = self.process.log();
                let of_router = format!("[VRID {vrid}]");
                let changes = said.lines().filter(|line| line.contains(&of_router) && line.contains(" -> "));
                u64::try_from(changes.count()).ok()
            }
        };
        count.with_context(|| format!("{} does not say how often it changed", self.kind.name()))
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        match self.kind {
            Kind::Ours | Kind::OursByKeepalivedConf => {
                let socket = agent_state_dir(&self.host).join("agent.sock");
                wait_for("ha-agent to be there", READY, || {
                    if !self.process.running() {
                        bail!("it ended:\n{}", self.process.log());
                    }
                    Ok((socket.exists() && self.status().is_ok()).then_some(()))
                })
            }
            Kind::Keepalived => self.process.wait_for_log("Starting VRRP child process", READY),
            Kind::Frr => {
                // Every line of its configuration has been read when it says that its router has an interface.
                self.process.wait_for_log("Interface: vrrp", READY).and_then(|()| {
                    let refused = self.process.log();
                    let refused = refused.lines().find(|line| line.contains("No such command"));
                    refused.map_or(Ok(()), |line| bail!("FRR refused its configuration: {line}"))
                })
            }
        }
        .with_context(|| format!("{} on {}", self.kind.name(), self.host.name()))
    }
}

fn start_keepalived(host: &Host, text: &str, is_detailed: bool) -> Result<Process> {
    let file = host.write("keepalived.conf", text)?;
    let mut command = host.command("keepalived");
    command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]).arg(file);
    if is_detailed {
        command.arg("--log-detail");
    }
    for (option, name) in [("--pid", "keepalived.pid"), ("--vrrp_pid", "vrrp.pid")] {
        let file = host.directory().join(name);
        // One that was killed left it behind, and its number may be somebody else's by now.
        let _ = fs::remove_file(&file);
        command.arg(option).arg(file);
    }
    host.spawn("keepalived", &mut command)
}

/// zebra and vrrpd, with sockets of their own.
fn start_frr(host: &Host, text: &str) -> Result<(Process, Process)> {
    let directory = host.directory().join("frr");
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    // They become the user frr, who is the only one allowed in the group of their sockets.
    run(Command::new("chown").arg("frr:frr").arg(&directory))?;
    let start = |name: &str, conf: &str| {
        let file = host.write(&format!("{name}.conf"), conf)?;
        let mut command = host.command(format!("/usr/lib/frr/{name}"));
        command.args(["-P", "0", "-A", "127.0.0.1", "--log", "stdout", "--log-level", "debug"]);
        command.arg("--vty_socket").arg(&directory).arg("-z").arg(directory.join("zserv.api"));
        command.arg("-i").arg(directory.join(format!("{name}.pid"))).arg("-f").arg(file);
        host.spawn(name, &mut command)
    };
    // What an earlier zebra left would be taken for this one's.
    let socket = directory.join("zserv.api");
    let _ = fs::remove_file(&socket);
    let zebra = start("zebra", "")?;
    wait_for("zebra's socket", READY, || Ok(socket.exists().then_some(())))
        .with_context(|| format!("zebra said:\n{}", zebra.log()))?;
    Ok((start("vrrpd", text)?, zebra))
}

/// The macvlan interface that FRR asks for.
fn add_macvlan(host: &Host, instance: &Instance) -> Result<()> {
    let namespace = host.namespace();
    let name = macvlan(instance);
    let mac = macvlan_mac(instance).to_string();
    if ip(&["-n", namespace, "link", "show", &name]).is_ok() {
        return Ok(());
    }
    ip(&["-n", namespace, "link", "add", &name, "link", "ens33", "type", "macvlan", "mode", "bridge"])?;
    ip(&["-n", namespace, "link", "set", "dev", &name, "address", &mac, "addrgenmode", "random"])?;
    // The virtual address is there all the time; nobody but its own interface may answer for it.
    host.run("sysctl", &["-q", "-w", "net.ipv4.conf.all.arp_ignore=1"])?;
    if instance.is_ipv6() {
        // Its link-local address is the adverts' source, and would be tentative for a second after each takeover.
        host.run("sysctl", &["-q", "-w", &format!("net.ipv6.conf.{name}.accept_dad=0")])?;
    }
    for vip in instance.vips.iter().filter(|vip| !vip.starts_with("fe80:")) {
        let nodad: &[&str] = if instance.is_ipv6() { &["nodad"] } else { &[] };
        ip(&[&["-n", namespace, "addr", "add", vip, "dev", &name], nodad].concat())?;
    }
    // vrrpd lets it up while it is master.
    ip(&["-n", namespace, "link", "set", "dev", &name, "protodown", "on"])?;
    ip(&["-n", namespace, "link", "set", &name, "up"])?;
    Ok(())
}

/// The name of FRR's interface for a virtual router.
pub fn macvlan(instance: &Instance) -> String {
    format!("vrrp{}-{}", if instance.is_ipv6() { 6 } else { 4 }, instance.vrid)
}

/// The MAC address of that interface (RFC 9568 section 7.3).
pub fn macvlan_mac(instance: &Instance) -> MacAddr {
    MacAddr::new(0x00, 0x00, 0x5E, 0x00, if instance.is_ipv6() { 2 } else { 1 }, instance.vrid)
}

/// The processes that this one started.
fn children(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    Ok(text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}
