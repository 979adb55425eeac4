//! Hosts in network namespaces on one bridge, and what runs in them. Names carry the process id; everything is taken
//! down on drop, also after a panic.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

pub struct Lab {
    name: String,
    directory: tempfile::TempDir,
    namespaces: Vec<String>,
}

impl Lab {
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let name = format!("hae{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let mut lab = Self { name, directory: tempfile::tempdir().unwrap(), namespaces: Vec::new() };
        let switch = lab.add("sw");
        for bridge in ["br0", "br1"] {
            ip(&["-n", &switch, "link", "add", bridge, "type", "bridge", "mcast_snooping", "0"]);
            ip(&["-n", &switch, "link", "set", bridge, "up"]);
        }
        lab
    }

    /// A host with `ens33` on the bridge.
    pub fn host(&mut self, name: &str, address: &str) -> Host {
        let host = self.bare_host(name);
        host.plug_in();
        host.ip(&["addr", "add", address, "brd", "+", "dev", "ens33"]);
        host
    }

    /// The same with an IPv6 address beside it, and its link-local one at once: nothing is detected as a duplicate.
    pub fn host6(&mut self, name: &str, address: &str, address6: &str) -> Host {
        let host = self.bare_host(name);
        host.sysctl("net.ipv6.conf.default.accept_dad", "0");
        host.plug_in();
        host.ip(&["addr", "add", address, "brd", "+", "dev", "ens33"]);
        host.ip(&["addr", "add", address6, "dev", "ens33"]);
        host
    }

    /// A host with nothing but `lo`.
    pub fn bare_host(&mut self, name: &str) -> Host {
        let namespace = self.add(name);
        let host = Host {
            name: name.to_owned(),
            namespace,
            switch: format!("{}-sw", self.name),
            directory: self.directory.path().to_owned(),
        };
        host.ip(&["link", "set", "lo", "up"]);
        host
    }

    fn add(&mut self, name: &str) -> String {
        let namespace = format!("{}-{name}", self.name);
        ip(&["netns", "add", &namespace]);
        self.namespaces.push(namespace.clone());
        namespace
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            // Only this lab's processes are in its namespaces.
            let pids = Command::new("ip").args(["netns", "pids", namespace]).output();
            let pids =
                pids.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            for pid in pids.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
                let _ = kill_process(pid, Signal::KILL);
            }
            let _ = Command::new("ip").args(["netns", "del", namespace]).output();
        }
    }
}

pub struct Host {
    name: String,
    pub namespace: String,
    switch: String,
    directory: PathBuf,
}

impl Host {
    pub fn plug_in(&self) {
        self.plug(&format!("v{}", self.name), "ens33", "br0");
    }

    /// `hb0` on `br1`, a segment of its own, or beside `ens33` on `br0`.
    pub fn add_line(&self, bridge: &str, address: &str) {
        self.plug(&format!("h{}", self.name), "hb0", bridge);
        self.ip(&["addr", "add", address, "brd", "+", "dev", "hb0"]);
    }

    /// `ens33` is on a segment of nobody: carrier stays.
    pub fn isolate(&self) {
        ip(&["-n", &self.switch, "link", "set", &format!("v{}", self.name), "nomaster"]);
    }

    fn plug(&self, port: &str, interface: &str, bridge: &str) {
        ip(&[
            "-n",
            &self.switch,
            "link",
            "add",
            port,
            "type",
            "veth",
            "peer",
            "name",
            interface,
            "netns",
            &self.namespace,
        ]);
        ip(&["-n", &self.switch, "link", "set", port, "master", bridge, "up"]);
        self.ip(&["link", "set", interface, "up"]);
    }

    /// Carrier of `ens33`, by the other end of the cable.
    pub fn carrier(&self, on: bool) {
        let state = if on { "up" } else { "down" };
        ip(&["-n", &self.switch, "link", "set", &format!("v{}", self.name), state]);
    }

    pub fn ip(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-n", &self.namespace];
        all.extend(arguments);
        ip(&all)
    }

    /// The `inet` lines of `ip addr show dev ens33`, trimmed.
    pub fn inet(&self) -> Vec<String> {
        self.address_lines("ens33", "inet ")
    }

    /// The `inet6` lines of `ip addr show dev ens33`, trimmed.
    pub fn inet6(&self) -> Vec<String> {
        self.address_lines("ens33", "inet6 ")
    }

    fn address_lines(&self, interface: &str, start: &str) -> Vec<String> {
        let output = self.command("ip").args(["addr", "show", "dev", interface]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().map(str::trim).filter(|line| line.starts_with(start)).map(str::to_owned).collect()
    }

    /// Its link-local address.
    pub fn link_local(&self) -> String {
        let line = self.inet6().into_iter().rfind(|line| line.contains(" fe80:")).unwrap();
        line.split([' ', '/']).nth(1).unwrap().to_owned()
    }

    pub fn sysctl(&self, key: &str, value: &str) {
        let status = self.command("sysctl").args(["-qw", &format!("{key}={value}")]).status().unwrap();
        assert!(status.success(), "sysctl {key}");
    }

    /// The MAC of `ens33`.
    pub fn mac(&self) -> String {
        let text = self.ip(&["-o", "link", "show", "dev", "ens33"]);
        text.split(" link/ether ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    }

    /// So many packets of junk a second for VRID 51, until it is told something.
    pub fn flood(&self, packets_per_second: u32) -> Process {
        let mut command = self.command(engine());
        command.args(["flood", "ens33", &packets_per_second.to_string()]);
        Process::start(command, true)
    }

    pub fn has(&self, address: &str) -> bool {
        self.has_on("ens33", address)
    }

    /// An interface that does not exist has none.
    pub fn has_on(&self, interface: &str, address: &str) -> bool {
        let is_it = |line: &String| line.split([' ', '/']).nth(1) == Some(address);
        self.address_lines(interface, "inet").iter().any(is_it)
    }

    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program.as_ref());
        command
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(format!("{}-{name}", self.name));
        fs::write(&path, text).unwrap();
        path
    }

    /// The engine with this agent.toml.
    pub fn engine(&self, config: &str) -> Process {
        self.engine_with(&self.file("agent.toml", config))
    }

    /// The engine with this file.
    pub fn engine_with(&self, file: &Path) -> Process {
        let mut command = self.command(engine());
        command.arg(file);
        Process::start(command, true)
    }

    pub fn release(&self, config: &str) -> String {
        self.release_with(&self.file("agent.toml", config))
    }

    /// Releases what this file names; what it said.
    pub fn release_with(&self, file: &Path) -> String {
        let output = self.command(engine()).arg("release").arg(file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn keepalived(&self, config: &str) -> Process {
        let file = self.file("keepalived.conf", config);
        let mut command = self.command("keepalived");
        command.args(["--dont-fork", "--log-console", "--vrrp"]).arg("--use-file").arg(file);
        for (option, name) in [("--pid", "pid"), ("--vrrp_pid", "vrrp.pid")] {
            command.arg(option).arg(self.directory.join(format!("{}-{name}", self.name)));
        }
        Process::start(command, false)
    }

    /// `tcpdump` on `ens33`, a packet a line, from now on.
    pub fn tcpdump(&self, arguments: &[&str], filter: &str) -> Process {
        let mut command = self.command("tcpdump");
        command.args(["-i", "ens33", "-n", "-l", "--immediate-mode"]).args(arguments).arg(filter);
        let process = Process::start(command, false);
        process.line("listening", |line| line.contains("listening on").then_some(()));
        process
    }
}

/// Something that runs in a host. Killed on drop.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
}

/// A transition as the engine told it.
#[derive(Debug)]
pub struct Transition {
    pub reason: String,
    pub mono_us: u64,
    pub line: String,
}

impl Process {
    pub fn start(mut command: Command, echo_stderr: bool) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(if echo_stderr { Stdio::inherit() } else { Stdio::piped() });
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        let errors = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let _ = errors.send(line);
                }
            });
        }
        Self { child, lines }
    }

    /// The first line from now on of which `find` makes something; fails after ten seconds.
    pub fn line<T>(&self, what: &str, find: impl FnMut(&str) -> Option<T>) -> T {
        self.line_within(what, Duration::from_secs(10), find)
    }

    pub fn line_within<T>(&self, what: &str, within: Duration, mut find: impl FnMut(&str) -> Option<T>) -> T {
        let until = now() + within;
        let mut seen = Vec::new();
        loop {
            let left = until.saturating_duration_since(now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(found) = find(&line) {
                        return found;
                    }
                    seen.push(line);
                }
                Err(_) => panic!("no {what} within {within:?}; seen: {seen:#?}"),
            }
        }
    }

    /// Waits for the engine's next transition to this state.
    pub fn state(&self, state: &str) -> Transition {
        self.line(state, |line| {
            let mut words = line.strip_prefix("transition ")?.split(' ');
            let (_instance, _from, to) = (words.next()?, words.next()?, words.next()?);
            let (reason, mono_us) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
            (to == state).then(|| Transition { reason, mono_us, line: line.to_owned() })
        })
    }

    /// What has come until now.
    pub fn drain(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// How long it has computed, in user and system mode, in ticks of 10 ms.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGTERM, and everything said until the end. Fails unless it ends well.
    pub fn stop(self) -> Vec<String> {
        let (status, said) = self.end();
        assert!(status.success(), "{status}");
        said
    }

    /// SIGTERM, how it ended, and everything said until then.
    pub fn end(mut self) -> (ExitStatus, Vec<String>) {
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        (status, self.lines.iter().collect())
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks every 5 ms until it is so; how long it took. Fails after `within`.
pub fn until(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) -> Duration {
    let start = now();
    while !is_so() {
        assert!(start.elapsed() < within, "waited {within:?} in vain for: {what}");
        pause(Duration::from_millis(5));
    }
    start.elapsed()
}

/// Lets time pass in which nothing may happen; to wait for something there is [`until`].
#[allow(
    clippy::disallowed_methods,
    reason = "there is no event for nothing happening, nor for a change of `ip addr`"
)]
pub fn pause(time: Duration) {
    thread::sleep(time);
}

#[allow(clippy::disallowed_methods, reason = "tests measure real time")]
fn now() -> Instant {
    Instant::now()
}

/// The example of this package, built with the tests.
pub fn engine() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let target = exe.parent().unwrap().parent().unwrap();
    let path = target.join("examples/engine");
    assert!(path.exists(), "{} is missing: cargo build -p ha-agent --examples", path.display());
    path
}

fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().expect("ip (iproute2) is needed");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "ip {}: {error}(needs root)", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
