//! A real systemd on a lab host: process 1 of namespaces of its own, with the unit of this repository as it is.
//!
//! It has the host's network namespace, and process, mount, UTS, IPC and cgroup namespaces of its own: a `/run`, a `/var/lib` and a
//! `/usr/local/bin` in memory, and a cgroup2 hierarchy whose root is a group that is removed afterwards. Of units it knows only
//! those that are given to it, so that it starts nothing of the machine it runs on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{Host, Process, program, run, wait_for};

/// How long a whole systemd may take to be there on a busy machine.
const READY: Duration = Duration::from_secs(30);
/// The unit under test.
const UNIT: &str = "ha-agent.service";

/// What the first process does: a cgroup, then the namespaces. `$1` a folder of ours, `$2` the cgroup's name.
const OUTSIDE: &str = "\
set -e
mkdir -p \"$1/cgroups\"
mount -t cgroup2 cgroup2 \"$1/cgroups\"
mkdir \"$1/cgroups/$2\"
echo $$ >\"$1/cgroups/$2/cgroup.procs\"
exec unshare --pid --fork --kill-child=KILL --mount --uts --ipc --cgroup --propagation private \
    sh -c \"$3\" systemd \"$1\" \"$4\"
";

/// What process 1 does before it becomes systemd. `$1` a folder of ours, `$2` the agent.
const INSIDE: &str = "\
set -e
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
mount -t tmpfs tmpfs /var/lib
cp -R \"$1/files\" /var/lib/lab
cp -R \"$1/units\" /var/lib/units
mount -t tmpfs tmpfs /usr/local/bin
touch /usr/local/bin/ha-agent
mount --bind \"$2\" /usr/local/bin/ha-agent
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=hafleet-lab \
    SYSTEMD_UNIT_PATH=/var/lib/units \
    /lib/systemd/systemd --system --unit=lab.target --log-target=console --show-status=no \
    --machine-id=0123456789abcdef0123456789abcdef
";

/// What the unit wants to be there already, and where its log goes: there is no journal.
const UNITS: [(&str, &str); 5] = [
    ("lab.target", "[Unit]\nDefaultDependencies=no\nWants=ha-agent.service\n"),
    ("sysinit.target", "[Unit]\nDefaultDependencies=no\n"),
    ("basic.target", "[Unit]\nDefaultDependencies=no\n"),
    ("shutdown.target", "[Unit]\nDefaultDependencies=no\n"),
    (
        "ha-agent.service.d/lab.conf",
        "[Service]\nEnvironment=\"HA_AGENT_CONFIGURATION=--config /var/lib/lab/agent.toml\"\n\
         StandardOutput=append:/run/ha-agent.log\nStandardError=append:/run/ha-agent.log\n",
    ),
];

/// A running systemd. Dropping it kills all of it.
#[derive(Debug)]
pub struct Systemd {
    host: Host,
    /// `unshare`, whose end is everybody's.
    process: Process,
    folder: PathBuf,
    cgroup: String,
}

impl Systemd {
    /// Boots it with `toml` as agent.toml, and waits until the unit is active: until the agent said that it is ready.
    pub fn start(host: &Host, toml: &str) -> Result<Self> {
        Self::start_program(host, toml, &program("ha-agent")?)
    }

    /// The same with another ha-agent.
    pub fn start_program(host: &Host, toml: &str, agent: &Path) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("{}-systemd-{number}", host.namespace());
        let folder = host.directory().join(format!("systemd-{number}"));
        let units = folder.join("units");
        fs::create_dir_all(units.join("ha-agent.service.d"))?;
        for (name, text) in UNITS {
            fs::write(units.join(name), text)?;
        }
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd").join(UNIT);
        fs::copy(&unit, units.join(UNIT)).with_context(|| format!("copying {}", unit.display()))?;
        fs::create_dir_all(folder.join("files"))?;
        fs::write(folder.join("files/agent.toml"), toml)?;
        let mut command = host.command("sh");
        command.args(["-c", OUTSIDE, "sh"]).arg(&folder).args([&cgroup, INSIDE]).arg(agent);
        let process = host.spawn("systemd", &mut command)?;
        let mut systemd = Self { host: host.clone(), process, folder, cgroup };
        systemd.wait_until("active", READY).with_context(|| systemd.log())?;
        Ok(systemd)
    }

    /// `systemctl` in there.
    pub fn systemctl(&self, arguments: &[&str]) -> Result<Output> {
        let first = self.first()?;
        let mut command = Command::new("nsenter");
        command.args(["--target", &first.to_string(), "--mount", "--pid", "--cgroup", "--", "systemctl"]);
        command.args(arguments).output().context("starting nsenter")
    }

    /// One property of the unit.
    pub fn property(&self, name: &str) -> Result<String> {
        let output = self.systemctl(&["show", "--property", name, "--value", UNIT])?;
        ensure!(output.status.success(), "systemctl show: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Waits until the unit is in this state.
    pub fn wait_until(&mut self, state: &str, within: Duration) -> Result<()> {
        wait_for(&format!("{UNIT} to be {state}"), within, || {
            ensure!(self.process.running(), "systemd ended");
            Ok((self.property("ActiveState")? == state).then_some(()))
        })
    }

    /// The agent's process id, as everybody outside knows it; an error while it does not run.
    pub fn agent(&self) -> Result<u32> {
        let group = format!("sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs");
        let listed = fs::read_to_string(self.root()?.join(group)).context("the unit has no process")?;
        let inside = self.property("MainPID")?;
        // The last number of NSpid is the one inside.
        let is_it = |pid: &&str| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            numbers.and_then(|numbers| numbers.split_whitespace().last()) == Some(inside.as_str())
        };
        let found =
            listed.lines().find(is_it).with_context(|| format!("{inside} is not among {listed:?}"))?;
        Ok(found.parse()?)
    }

    /// The names of the unit's processes.
    pub fn processes(&self) -> Result<Vec<String>> {
        let group = format!("sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs");
        let listed = fs::read_to_string(self.root()?.join(group)).context("the unit has no process")?;
        let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
        Ok(listed.lines().filter_map(name).map(|name| name.trim().to_owned()).collect())
    }

    /// Writes its agent.toml anew.
    pub fn write(&self, toml: &str) -> Result<()> {
        fs::write(self.root()?.join("var/lib/lab/agent.toml"), toml).context("writing agent.toml")
    }

    /// What the agent, `ha-agent release` and systemd printed.
    pub fn log(&self) -> String {
        let agent = self.root().and_then(|root| Ok(fs::read_to_string(root.join("run/ha-agent.log"))?));
        format!("{}\n{}", self.process.log(), agent.unwrap_or_default())
    }

    /// Its `ha-agent status -o json`.
    pub fn status(&self) -> Result<serde_json::Value> {
        let state_dir = self.root()?.join("var/lib/hafleet/agent");
        let state_dir = state_dir.to_str().context("the state directory is not UTF-8")?.to_owned();
        let text =
            self.host.run(program("ha-agent")?, &["status", "-o", "json", "--state-dir", &state_dir])?;
        serde_json::from_str(&text).with_context(|| format!("ha-agent status printed {text}"))
    }

    /// Process 1 in there, as everybody outside knows it.
    fn first(&self) -> Result<u32> {
        let unshare = self.process.pid();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"))?;
        let first = children.split_whitespace().next().context("systemd is not there yet")?;
        Ok(first.parse()?)
    }

    fn root(&self) -> Result<PathBuf> {
        Ok(PathBuf::from(format!("/proc/{}/root", self.first()?)))
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // With it the kernel ends process 1, and with that one every process in there.
        let _ = self.process.kill();
        let remove = "mount -t cgroup2 cgroup2 \"$1/cgroups\" && find \"$1/cgroups/$2\" -depth -type d -exec rmdir {} +";
        let _ = wait_for("the end of systemd's cgroup", READY, || {
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "sh", "-c", remove, "sh"]);
            run(command.arg(&self.folder).arg(&self.cgroup)).map(Some)
        });
    }
}
