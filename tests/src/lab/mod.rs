//! A rack in network namespaces: hosts with a service and a management segment, faults, and a probing client.
//!
//! ```text
//!   service segment (bridge `service`)             management segment (bridge `mgmt`)
//!   ───┬────────────┬───────────────┬──            ───┬────────┬────────────┬──────
//!      │ ens33      │ ens33         │ eth0            │ mgmt0  │ mgmt0      │ mgmt0
//!    lb01         lb02           client             lb01     lb02      coordinator
//! ```
//!
//! Both bridges live in a namespace of their own, so nothing can leave the machine. Names carry the process id and a
//! counter: two runs never meet, and [`Lab::new`] sweeps what a killed run left behind. Everything is torn down on drop,
//! processes by the id they were started with, also after a panic.

mod capture;
mod daemon;
mod faults;
mod fleet;
mod forge;
mod frame;
mod host;
mod instance;
mod power;
mod probe;
mod process;
mod systemd;
pub mod vrrp;
mod watch;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};

pub use capture::Capture;
pub use daemon::{Daemon, Kind, macvlan, macvlan_mac};
pub use faults::Direction;
pub use fleet::{AgentConfiguration, Coordinator, agent_state_dir, start_agent};
pub use frame::{Advert, Arp, Content, Frame, Neighbor};
pub use host::Host;
pub use instance::Instance;
pub use power::Outlet;
pub use probe::{Outage, Probe};
pub use process::Process;
pub use systemd::Systemd;
pub use watch::{Held, Watch, overlap};

/// Every namespace of a lab begins with this.
const PREFIX: &str = "hafleet";

/// A rack of hosts on two segments. Dropping it takes everything down.
#[derive(Debug)]
pub struct Lab {
    name: String,
    directory: PathBuf,
    keep: bool,
    hosts: u32,
}

impl Lab {
    /// An empty rack: the two segments and a directory for state and logs.
    ///
    /// Needs root and `ip` (iproute2); fails, never skips, without them.
    pub fn new() -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        ensure!(rustix_is_root(), "the lab makes network namespaces and must run as root");
        sweep();
        let name = format!("{PREFIX}{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let lab = Self { name, directory, keep: false, hosts: 0 };
        let switch = lab.switch();
        ip(&["netns", "add", &switch])?;
        for segment in Segment::ALL {
            let bridge = segment.bridge();
            ip(&["-n", &switch, "link", "add", bridge, "type", "bridge", "mcast_snooping", "0"])?;
            ip(&["-n", &switch, "link", "set", bridge, "up"])?;
        }
        Ok(lab)
    }

    /// Leaves everything running on drop; the caller says so to the user.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Adds a host with `ens33` on the service segment (`address`, such as `192.168.178.130/24`) and `mgmt0` on
    /// management (10.99.0.N/24, N counting from 1).
    pub fn host(&mut self, name: &str, address: &str) -> Result<Host> {
        let host = self.bare(name)?;
        self.attach(&host, Segment::Service, "ens33", address)?;
        self.attach(&host, Segment::Management, "mgmt0", &format!("{}/24", host.management_address()))?;
        Ok(host)
    }

    /// Adds a client: `eth0` on the service segment only.
    pub fn client(&mut self, name: &str, address: &str) -> Result<Host> {
        let host = self.bare(name)?;
        self.attach(&host, Segment::Service, "eth0", address)?;
        Ok(host)
    }

    /// Adds a host on management only.
    pub fn management(&mut self, name: &str) -> Result<Host> {
        let host = self.bare(name)?;
        self.attach(&host, Segment::Management, "mgmt0", &format!("{}/24", host.management_address()))?;
        Ok(host)
    }

    /// Where state directories and logs of this run are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn bare(&mut self, name: &str) -> Result<Host> {
        self.hosts += 1;
        ensure!(self.hosts < 250, "a lab has at most 249 hosts");
        let host = Host::new(name, &self.name, self.hosts, &self.directory)?;
        ip(&["netns", "add", host.namespace()])?;
        ip(&["-n", host.namespace(), "link", "set", "lo", "up"])?;
        Ok(host)
    }

    /// Gives a host an interface on a segment, with its cable; again after it was deleted.
    pub fn attach(&self, host: &Host, segment: Segment, interface: &str, address: &str) -> Result<()> {
        let (namespace, switch, port) = (host.namespace(), self.switch(), host.port(segment));
        ip(&[
            "-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", interface, "netns",
            namespace,
        ])?;
        ip(&["-n", &switch, "link", "set", &port, "master", segment.bridge(), "up"])?;
        ip(&["-n", namespace, "addr", "add", address, "brd", "+", "dev", interface, "noprefixroute"])?;
        ip(&["-n", namespace, "link", "set", interface, "up"])?;
        // `noprefixroute` is how NetworkManager adds it (and the tutorial shows it): the route comes apart.
        let network = network_of(address)?;
        ip(&["-n", namespace, "route", "add", &network, "dev", interface, "src", bare_address(address)])?;
        power::wire(host, &port, interface, address)
    }

    fn switch(&self) -> String {
        format!("{}-sw", self.name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        remove_namespaces(&format!("{}-", self.name));
        if !std::thread::panicking() && std::env::var_os("HAFLEET_LAB_KEEP_LOGS").is_none() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// One of the two networks that every host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Where VIPs, VRRP and clients are.
    Service,
    /// Where gRPC is.
    Management,
}

impl Segment {
    const ALL: [Self; 2] = [Self::Service, Self::Management];

    const fn bridge(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Management => "mgmt",
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Service => 's',
            Self::Management => 'm',
        }
    }
}

/// Asks again every 10 ms until `question` has an answer; an error after `within`, with `what` in it.
pub fn wait_for<T>(
    what: &str,
    within: Duration,
    mut question: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut last = None;
    loop {
        match question() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        if start.elapsed() > within {
            let last = last.map(|error| format!("; last error: {error:#}")).unwrap_or_default();
            bail!("waited {within:?} in vain for {what}{last}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Now since 1970-01-01 UTC: the clock by which captures tell the time.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A program of this workspace, beside the running test or program in the target folder.
pub fn program(name: &str) -> Result<PathBuf> {
    let exe = std::env::current_exe().context("finding the target folder")?;
    let folder = exe.parent().context("the running program has no folder")?;
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let path = folder.join(name);
    ensure!(path.exists(), "{} is not built: run `cargo build --workspace`", path.display());
    Ok(path)
}

pub(crate) fn ip(arguments: &[&str]) -> Result<String> {
    run(Command::new("ip").args(arguments))
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Removes the namespaces of labs whose process is gone.
fn sweep() {
    let Ok(entries) = fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let Some((pid, _)) = rest.split_once('-') else { continue };
        if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() && !kept(&name) {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}

/// `make demo KEEP=1` marks what it leaves running.
fn kept(namespace: &str) -> bool {
    let lab = namespace.rsplit_once('-').map_or(namespace, |(lab, _)| lab);
    std::env::temp_dir().join(lab).join("kept").exists()
}

/// Takes a lab down that was kept, by its name.
pub fn remove_kept(lab: &str) {
    remove_namespaces(&format!("{lab}-"));
    let _ = fs::remove_dir_all(std::env::temp_dir().join(lab));
}

fn remove_namespaces(prefix: &str) {
    let Ok(entries) = fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        if name.starts_with(prefix) {
            // What still runs inside was started by this lab; its processes are in no other namespace.
            if let Ok(pids) = run(Command::new("ip").args(["netns", "pids", &name])) {
                for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                    process::signal(pid, rustix::process::Signal::KILL);
                }
            }
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}

fn rustix_is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn bare_address(address: &str) -> &str {
    address.split('/').next().unwrap_or(address)
}

/// `192.168.178.0/24` for `192.168.178.130/24`; /24 only, which is what racks here have.
fn network_of(address: &str) -> Result<String> {
    let (host, prefix) = address.split_once('/').context("an address needs its prefix length")?;
    ensure!(prefix == "24", "the lab's segments are /24, not {address}");
    let (network, _) = host.rsplit_once('.').with_context(|| format!("{address} is no IPv4 address"))?;
    Ok(format!("{network}.0/24"))
}
