//! The two contenders as processes on a host.

use std::{fmt, fs, os::unix::process::ExitStatusExt, time::Duration};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::usage::family;
use crate::lab::{AgentConfiguration, Host, Process, start_agent};

/// How long a daemon may take to end.
const END_WITHIN: Duration = Duration::from_secs(20);

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    /// `ha-agent` of this workspace.
    Hafleet,
    /// Debian's.
    Keepalived,
}

impl Contender {
    /// Both, ours first.
    pub const ALL: [Self; 2] = [Self::Hafleet, Self::Keepalived];
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hafleet => "hafleet",
            Self::Keepalived => "keepalived",
        })
    }
}

/// A contender on a host. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
}

impl Daemon {
    /// Starts it with this keepalived.conf.
    pub fn start(contender: Contender, host: &Host, conf: &str) -> Result<Self> {
        let process = match contender {
            Contender::Hafleet => start_agent(host, AgentConfiguration::Keepalived(conf), &[])?,
            Contender::Keepalived => {
                let mut command = host.command("keepalived");
                command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]);
                command.arg(host.write("keepalived.conf", conf)?);
                for (option, name) in [("--pid", "keepalived.pid"), ("--vrrp_pid", "keepalived-vrrp.pid")] {
                    let file = host.directory().join(name);
                    // One that was killed left it behind, and its number may be somebody else's by now.
                    let _ = fs::remove_file(&file);
                    command.arg(option).arg(file);
                }
                host.spawn("keepalived", &mut command)?
            }
        };
        Ok(Self { process })
    }

    /// Its processes: keepalived has two.
    pub fn pids(&self) -> Vec<u32> {
        family(self.process.pid())
    }

    /// SIGTERM, without waiting.
    pub fn ask_to_end(&mut self) {
        // The number of one that has ended may be somebody else's.
        if self.process.running() {
            self.process.signal(Signal::TERM);
        }
    }

    /// Waits for the end that was asked for.
    pub fn wait(&mut self) -> Result<()> {
        let status = self.process.wait(END_WITHIN)?;
        if !status.success() && status.signal() != Some(Signal::KILL.as_raw()) {
            bail!("it ended with {status}; its log:\n{}", self.process.log());
        }
        Ok(())
    }

    /// SIGKILL to every process at once. The first is stopped before, so that it cannot start the second anew.
    pub fn kill(&mut self) -> Result<()> {
        if !self.process.running() {
            return Ok(());
        }
        let pids = self.pids();
        self.process.freeze();
        for &pid in pids.iter().rev() {
            signal(pid, Signal::KILL);
        }
        self.process.wait(END_WITHIN).map(drop)
    }

    /// SIGSTOP to every process.
    pub fn freeze(&self) {
        for pid in self.pids() {
            signal(pid, Signal::STOP);
        }
    }

    /// What it printed.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The second process of keepalived would outlive the first for a moment, and could be waited for by nobody.
        let _ = self.kill();
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // Whoever is gone already needs no signal.
        let _ = kill_process(pid, signal);
    }
}
