//! The power of a lab's hosts: what switches one off as pulling its plug would, for the fence program `fence_lab` and for tests.
//!
//! Off is what the world shows: both cables dead at the switch and not a process left. Nothing is remembered about it.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::{Host, Lab, bare_address, ip, now, program, wait_for};

/// How a host is connected, in its directory.
const WIRING: &str = "wiring.json";
/// What fence programs were asked, in the lab's directory, a line each: `UNIX_MS off lb02`.
const LOG: &str = "power.log";
/// What is sent SIGKILL is gone within this, on a busy machine too.
const DIES: Duration = Duration::from_secs(10);

/// The outlet that one host hangs on.
#[derive(Debug)]
pub struct Outlet {
    host: String,
    namespace: String,
    switch: String,
    log: PathBuf,
    wiring: Wiring,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Wiring {
    wires: Vec<Wire>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Wire {
    /// The switch's end.
    port: String,
    /// The host's end.
    interface: String,
    /// What the host calls its own there, with its prefix length.
    address: String,
}

impl Outlet {
    /// The outlet of a host, by the lab's directory and the host's name.
    ///
    /// # Errors
    /// There is no such host.
    pub fn find(lab: &Path, host: &str) -> Result<Self> {
        let name = lab.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{} is no lab's directory", lab.display()))?;
        let file = lab.join(host).join(WIRING);
        let text = fs::read(&file).with_context(|| format!("{name} has no host {host}"))?;
        let wiring = serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))?;
        Ok(Self {
            host: host.into(),
            namespace: format!("{name}-{host}"),
            switch: format!("{name}-sw"),
            log: lab.join(LOG),
            wiring,
        })
    }

    /// The names of a lab's hosts.
    ///
    /// # Errors
    /// There is no such lab.
    pub fn names(lab: &Path) -> Result<Vec<String>> {
        let entries = fs::read_dir(lab).with_context(|| format!("reading {}", lab.display()))?;
        let hosts = entries.flatten().filter(|entry| entry.path().join(WIRING).exists());
        let mut names: Vec<String> = hosts.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// Whether a cable of it is alive or anything runs on it.
    ///
    /// # Errors
    /// The switch or the host cannot be asked.
    pub fn is_on(&self) -> Result<bool> {
        for wire in &self.wiring.wires {
            let shown = ip(&["-n", &self.switch, "-j", "link", "show", "dev", &wire.port])?;
            let links: serde_json::Value = serde_json::from_str(&shown).context("reading ip -j link")?;
            let flags = links[0]["flags"].as_array().context("ip -j link shows no flags")?;
            if flags.iter().any(|flag| flag == "UP") {
                return Ok(true);
            }
        }
        Ok(!self.processes()?.is_empty())
    }

    /// Pulls the plug: the cables go dead, whatever runs there dies, and what only its memory had is gone: every address
    /// that is not its own. Off already is no error.
    ///
    /// # Errors
    /// It is not off afterwards.
    pub fn off(&self) -> Result<()> {
        for wire in &self.wiring.wires {
            ip(&["-n", &self.switch, "link", "set", &wire.port, "down"])?;
        }
        wait_for(&format!("the end of every process of {}", self.host), DIES, || {
            let processes = self.processes()?;
            for pid in &processes {
                self.end(*pid);
            }
            Ok(processes.is_empty().then_some(()))
        })?;
        for wire in &self.wiring.wires {
            self.forget(wire)?;
        }
        ensure!(!self.is_on()?, "{} is still on", self.host);
        Ok(())
    }

    /// Gives it power: the cables are alive. Nothing starts by itself.
    ///
    /// # Errors
    /// The switch refuses.
    pub fn on(&self) -> Result<()> {
        for wire in &self.wiring.wires {
            ip(&["-n", &self.switch, "link", "set", &wire.port, "up"])?;
        }
        Ok(())
    }

    /// Writes down what a fence program was asked, before it does it: to count that, and for nothing else.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn asked(&self, action: &str) -> Result<()> {
        let mut log = File::options().create(true).append(true).open(&self.log).context("opening the log")?;
        writeln!(log, "{} {action} {}", now().as_millis(), self.host).context("writing the log")
    }

    /// What runs in the host's namespace.
    fn processes(&self) -> Result<Vec<Pid>> {
        let pids = ip(&["netns", "pids", &self.namespace])?;
        Ok(pids.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect())
    }

    /// Kills it if it is on this host still: an id may have got another owner since it was read.
    fn end(&self, pid: Pid) {
        let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        let namespace = fs::metadata(format!("/proc/{}/ns/net", pid.as_raw_pid()));
        let ours = fs::metadata(Path::new("/run/netns").join(&self.namespace));
        if let (Ok(namespace), Ok(ours)) = (namespace, ours) {
            use std::os::unix::fs::MetadataExt as _;
            if namespace.ino() == ours.ino() && namespace.dev() == ours.dev() {
                // It may have ended by itself.
                let _ = pidfd_send_signal(&held, Signal::KILL);
            }
        }
    }

    fn forget(&self, wire: &Wire) -> Result<()> {
        let shown = ip(&["-n", &self.namespace, "-o", "addr", "show", "dev", &wire.interface])?;
        for line in shown.lines() {
            let mut words = line.split_whitespace().skip_while(|word| !word.starts_with("inet"));
            let (Some(_), Some(address)) = (words.next(), words.next()) else { continue };
            if bare_address(address) != bare_address(&wire.address) && !address.starts_with("fe80:") {
                ip(&["-n", &self.namespace, "addr", "del", address, "dev", &wire.interface])?;
            }
        }
        Ok(())
    }
}

impl Host {
    /// The outlet that it hangs on.
    ///
    /// # Errors
    /// It has no cable yet.
    pub fn outlet(&self) -> Result<Outlet> {
        let lab = self.directory().parent().context("the host's directory is in no lab")?;
        Outlet::find(lab, self.name())
    }
}

impl Lab {
    /// `[[fencing.device]]` of coordinator.toml: a host's outlet, switched by `fence_lab`, which waits for `delay_s` seconds first.
    ///
    /// # Errors
    /// `fence_lab` is not built.
    pub fn power_device(&self, host: &str, delay_s: u32) -> Result<String> {
        Ok(format!(
            "[[fencing.device]]\nnode = \"{host}\"\nrung = \"power\"\nprogram = \"{}\"\n\
             parameters = {{ lab = \"{}\", plug = \"{host}\", delay = \"{delay_s}\" }}\n",
            program("fence_lab")?.display(),
            self.directory().display()
        ))
    }

    /// How often a fence program was asked this of a host's outlet.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn times_asked(&self, action: &str, host: &str) -> Result<usize> {
        let log = self.directory().join(LOG);
        if !log.exists() {
            return Ok(0);
        }
        let text = fs::read_to_string(&log).with_context(|| format!("reading {}", log.display()))?;
        let wanted = format!(" {action} {host}");
        Ok(text.lines().filter(|line| line.ends_with(&wanted)).count())
    }
}

/// Writes down that a host has this cable; again after it was replaced.
pub(super) fn wire(host: &Host, port: &str, interface: &str, address: &str) -> Result<()> {
    let file = host.directory().join(WIRING);
    let mut wiring = match fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Wiring::default(),
        Err(error) => bail!("reading {}: {error}", file.display()),
    };
    wiring.wires.retain(|wire| wire.port != port);
    wiring.wires.push(Wire { port: port.into(), interface: interface.into(), address: address.into() });
    fs::write(&file, serde_json::to_vec(&wiring)?).with_context(|| format!("writing {}", file.display()))
}
