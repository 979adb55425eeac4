//! Two hosts with one contender, and a client beside them.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Contender, addresses::AddressWatch, config::Group, daemon::Daemon, progress};
use crate::lab::{Host, Lab, Process, wait_for};

/// The first host's priority is the higher.
const PRIORITIES: [u8; 2] = [150, 100];
const NAMES: [&str; 2] = ["lb01", "lb02"];

/// Addresses of the two hosts on the service segment.
pub const HOST_ADDRESSES: [&str; 2] = ["192.168.178.130", "192.168.178.131"];

/// How long anything may take that is not measured.
pub const SOON: Duration = Duration::from_secs(30);
/// How often two contenders are started in all before it counts as not to be measured.
const STARTS: u32 = 3;

/// One rack. Dropping it ends everything in it.
#[derive(Debug)]
pub struct Rack {
    /// Dropped first.
    daemons: [Option<Daemon>; 2],
    echoes: Vec<Process>,
    /// `lb01`, which is to be the master, and `lb02`.
    pub hosts: [Host; 2],
    /// Where probes and captures run.
    pub client: Host,
    /// Who runs here.
    pub contender: Contender,
    /// What it is configured to be.
    pub group: Group,
    _lab: Lab,
}

impl Rack {
    /// Hosts without daemons.
    pub fn new(contender: Contender, group: Group) -> Result<Self> {
        let mut lab = Lab::new()?;
        let hosts = [
            lab.host(NAMES[0], &format!("{}/24", HOST_ADDRESSES[0]))?,
            lab.host(NAMES[1], &format!("{}/24", HOST_ADDRESSES[1]))?,
        ];
        let client = lab.client("client", "192.168.178.200/24")?;
        Ok(Self { daemons: [None, None], echoes: Vec::new(), hosts, client, contender, group, _lab: lab })
    }

    /// Starts the daemon of a host.
    pub fn start(&mut self, index: usize) -> Result<()> {
        let (host, priority) = (self.host(index)?, PRIORITIES.get(index).copied().unwrap_or(1));
        let daemon = Daemon::start(self.contender, host, &self.group.keepalived_conf(host.name(), priority))?;
        *self.daemons.get_mut(index).context("no such host")? = Some(daemon);
        Ok(())
    }

    /// Starts the first, waits until it serves every address, and starts the second: the calmest way there is.
    pub fn start_both(&mut self) -> Result<()> {
        self.start(0)?;
        self.settled()?;
        self.start(1)?;
        self.settled()
    }

    /// Ends both, whatever state they are in, and starts them again. Two of keepalived with hundreds of instances at 100 ms may
    /// take the addresses from each other for longer than anybody waits: then once more from the beginning.
    pub fn restart_both(&mut self) -> Result<()> {
        for _ in 1..STARTS {
            match self.restart_both_once() {
                Ok(()) => return Ok(()),
                Err(error) => progress(&format!("{} did not settle, again: {error:#}", self.contender)),
            }
        }
        self.restart_both_once()
    }

    fn restart_both_once(&mut self) -> Result<()> {
        for daemon in self.daemons.iter_mut().flatten() {
            daemon.ask_to_end();
        }
        for daemon in &mut self.daemons {
            if let Some(mut daemon) = daemon.take() {
                daemon.wait()?;
            }
        }
        self.start_both()
    }

    /// The responders that answer probes of `address` on whichever host has it.
    pub fn serve(&mut self, address: &str) -> Result<()> {
        for host in &self.hosts {
            self.echoes.push(host.serve(address)?);
        }
        Ok(())
    }

    /// The running daemon of a host.
    pub fn daemon(&mut self, index: usize) -> Result<&mut Daemon> {
        self.daemons
            .get_mut(index)
            .and_then(Option::as_mut)
            .with_context(|| format!("no daemon on host {index}"))
    }

    /// Waits until the first host holds every address and the second none.
    pub fn settled(&self) -> Result<()> {
        let all = self.group.vips().len();
        let what = format!("{} on {} to hold {all} addresses alone", self.contender, NAMES[0]);
        wait_for(&what, SOON, || Ok(((self.held(0)?, self.held(1)?) == (all, 0)).then_some(()))).with_context(
            || {
                let held = [self.held(0), self.held(1)].map(Result::unwrap_or_default);
                format!("they hold {held:?}; {}", self.logs())
            },
        )
    }

    /// How many of the group's addresses a host has.
    pub fn held(&self, index: usize) -> Result<usize> {
        let text = self.host(index)?.run("ip", &["-4", "-o", "addr", "show", "dev", "ens33"])?;
        let vips: std::collections::BTreeSet<String> = self.group.vips().into_iter().collect();
        Ok(text.lines().filter_map(address_in).filter(|&address| vips.contains(address)).count())
    }

    /// Listens to the addresses of both hosts.
    pub fn watch(&self) -> Result<[AddressWatch; 2]> {
        Ok([AddressWatch::start(self.host(0)?)?, AddressWatch::start(self.host(1)?)?])
    }

    /// The MAC of a host on the service segment.
    pub fn mac(&self, index: usize) -> Result<String> {
        let text = self.host(index)?.run("ip", &["-o", "link", "show", "dev", "ens33"])?;
        let mac = text.split(" link/ether ").nth(1).and_then(|rest| rest.split(' ').next());
        mac.map(str::to_owned).with_context(|| format!("no MAC in {text}"))
    }

    fn host(&self, index: usize) -> Result<&Host> {
        self.hosts.get(index).with_context(|| format!("a rack has no host {index}"))
    }

    fn logs(&self) -> String {
        let tail = |daemon: &Option<Daemon>| {
            let log = daemon.as_ref().map(Daemon::log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(10).collect();
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        let [first, second] = &self.daemons;
        format!("the last of the logs:\n{}: {}\n{}: {}", NAMES[0], tail(first), NAMES[1], tail(second))
    }
}

/// The address in a line of `ip -o addr`.
fn address_in(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(" inet ")?;
    rest.split(['/', ' ']).next()
}
