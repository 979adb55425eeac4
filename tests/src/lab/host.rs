//! One host of the lab.

use std::{
    fs,
    net::Ipv6Addr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use super::{Process, Segment, ip, program, run, wait_for};

/// A host: one network namespace and a directory for its files.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    namespace: String,
    lab: String,
    number: u32,
    directory: PathBuf,
    real_time: bool,
    environment: Vec<(String, String)>,
}

impl Host {
    pub(super) fn new(name: &str, lab: &str, number: u32, directory: &Path) -> Result<Self> {
        let directory = directory.join(name);
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        Ok(Self {
            name: name.into(),
            namespace: format!("{lab}-{name}"),
            lab: lab.into(),
            number,
            directory,
            real_time: false,
            environment: Vec::new(),
        })
    }

    /// The name given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace, for `ip netns exec`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its files: state, configuration, logs.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its address on the management segment.
    pub fn management_address(&self) -> String {
        format!("10.99.0.{}", self.number)
    }

    /// Writes a file of the host and returns its path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// The same host, whose commands from now on run before everything else on the machine (`SCHED_FIFO`): what has to
    /// measure, or to be measured, while other things run.
    #[must_use]
    pub fn in_real_time(&self) -> Self {
        Self { real_time: true, ..self.clone() }
    }

    /// The same host, whose commands from now on have this in their environment too.
    #[must_use]
    pub fn in_environment(&self, name: &str, value: &str) -> Self {
        let mut host = self.clone();
        host.environment.push((name.into(), value.into()));
        host
    }

    /// A command that will run on this host.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.real_time {
            command.args(["chrt", "--fifo", "10"]);
        }
        command.arg(program.as_ref());
        command
    }

    /// Runs a command to its end; its standard output, or an error with its standard error.
    pub fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Result<String> {
        run(self.command(program).args(arguments))
    }

    /// Starts a process on this host; what it prints goes to `<name>.log` in the host's directory.
    ///
    /// `ip netns exec` becomes the program itself, so that the process id is the program's.
    pub fn spawn(&self, name: &str, command: &mut Command) -> Result<Process> {
        Process::spawn(&format!("{}:{name}", self.name), command, &self.directory.join(format!("{name}.log")))
    }

    /// Starts the responder that answers every probe to `address` with this host's name, whenever it holds it.
    pub fn serve(&self, address: &str) -> Result<Process> {
        let mut command = self.command(program("lab")?);
        command.args(["echo", address, &self.name]);
        self.spawn(&format!("echo-{address}"), &mut command)
    }

    /// The `inet` lines of `ip addr` for one interface, as a person sees them.
    pub fn inet_lines(&self, interface: &str) -> Result<Vec<String>> {
        let text = ip(&["-n", &self.namespace, "-4", "addr", "show", "dev", interface])?;
        Ok(text.lines().map(str::trim).filter(|line| line.starts_with("inet ")).map(String::from).collect())
    }

    /// Its link-local IPv6 address on an interface, once it is usable.
    pub fn link_local(&self, interface: &str) -> Result<Ipv6Addr> {
        wait_for(&format!("a link-local address on {interface}"), Duration::from_secs(10), || {
            let text = ip(&["-n", &self.namespace, "-6", "-o", "addr", "show", "dev", interface])?;
            let usable = text.lines().filter(|line| !line.contains("tentative"));
            let mut own = usable.filter_map(|line| line.split_once(" inet6 fe80:")?.1.split('/').next());
            Ok(own.find_map(|rest| format!("fe80:{rest}").parse().ok()))
        })
    }

    /// Whether the kernel has this address (without prefix length) on any interface.
    pub fn holds(&self, address: &str) -> Result<bool> {
        let text = ip(&["-n", &self.namespace, "-4", "-o", "addr", "show"])?;
        let wanted = format!("{address}/");
        Ok(text.split_whitespace().any(|word| word.starts_with(&wanted)))
    }

    /// The switch's end of this host's cable on a segment.
    pub(super) fn port(&self, segment: Segment) -> String {
        format!("{}{}", segment.letter(), self.number)
    }

    pub(super) fn switch(&self) -> String {
        format!("{}-sw", self.lab)
    }
}
