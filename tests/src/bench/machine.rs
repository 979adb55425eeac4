//! What the figures were measured on.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::report::Table;
use crate::lab::program;

/// Above this load for each processor the figures tell of the machine's other work too.
const BUSY: f64 = 0.5;
const CALM_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Machine, kernel, versions and date, as rows.
pub fn describe() -> Result<Table> {
    let mut table = Table::new(&["", ""]);
    let mut row = |what: &str, value: String| table.row(vec![what.to_owned(), value]);
    row("date", first_line(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?);
    row("processor", processor(&read("/proc/cpuinfo")?));
    row("memory", memory(&read("/proc/meminfo")?).context("/proc/meminfo has no MemTotal")?);
    row("kernel", first_line(Command::new("uname").args(["-srm"]))?);
    row("system", system(&fs::read_to_string("/etc/os-release").unwrap_or_default()));
    row("load before", read("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(" "));
    row("hafleet", hafleet()?);
    row("keepalived", first_line(Command::new("keepalived").arg("--version"))?);
    Ok(table)
}

/// What this run's own build left of load is waited for, three minutes at most.
pub fn wait_until_calm() -> Result<()> {
    let begin = Instant::now();
    while is_busy()? && begin.elapsed() < CALM_WITHIN {
        let left = (CALM_WITHIN - begin.elapsed()).as_secs();
        eprintln!("bench: waiting for the load of the last minute to fall, {left} s at most");
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Whether other work keeps the processors busy, by the load of the last minute.
pub fn is_busy() -> Result<bool> {
    let load = read("/proc/loadavg")?;
    let load: f64 =
        load.split(' ').next().unwrap_or_default().parse().context("/proc/loadavg has no number")?;
    let cores = thread::available_parallelism().context("counting processors")?;
    Ok(load > BUSY * f64::from(u32::try_from(cores.get()).unwrap_or(u32::MAX)))
}

fn hafleet() -> Result<String> {
    let version = first_line(Command::new(program("ha-agent")?).arg("--version"))?;
    let profile = if cfg!(debug_assertions) { "debug build" } else { "release build" };
    // An unpacked archive has no history.
    let commit = first_line(Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]));
    Ok(match commit {
        Ok(commit) => format!("{version}, commit {commit}, {profile}"),
        Err(_) => format!("{version}, {profile}"),
    })
}

/// The first line that a program prints, wherever it prints it.
pub fn first_line(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines()
        .next()
        .map(|line| line.trim().to_owned())
        .with_context(|| format!("{command:?} printed nothing"))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {path}"))
}

fn processor(cpuinfo: &str) -> String {
    let value = |line: &str| line.split_once(':').map(|(_, value)| value.trim().to_owned());
    let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(value);
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    format!("{}, {cores} cores", model.unwrap_or_else(|| "unknown".to_owned()))
}

fn memory(meminfo: &str) -> Option<String> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(format!("{:.1} GiB", kib / 1024.0 / 1024.0))
}

fn system(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "unknown".to_owned(), |name| name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_texts_are_read() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(processor(cpuinfo), "Some CPU @ 2 GHz, 2 cores");
        assert_eq!(memory("MemTotal:        8388608 kB\n").as_deref(), Some("8.0 GiB"));
        assert_eq!(memory(""), None);
        assert_eq!(
            system("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
    }
}
