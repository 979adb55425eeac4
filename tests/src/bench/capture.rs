//! What is on the wire, as a third host hears it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::lines::Lines;
use crate::lab::Host;

/// The adverts of one host.
#[derive(Debug)]
pub struct Adverts(Lines);

impl Adverts {
    /// Listens on the client for adverts that come from this address.
    pub fn of(source: &str, client: &Host) -> Result<Self> {
        tcpdump(client, &format!("ip proto 112 and src host {source}")).map(Self)
    }

    /// Waits for the next one and says when it came.
    pub fn next(&self, within: Duration) -> Result<Instant> {
        self.0.taken();
        self.0.wait("advert", within, |at, line| line.contains(" > ").then_some(at))
    }
}

/// The gratuitous ARPs on the segment.
#[derive(Debug)]
pub struct Announcements(Lines);

impl Announcements {
    /// Listens on the client.
    pub fn start(client: &Host) -> Result<Self> {
        tcpdump(client, "arp").map(Self)
    }

    /// Adds when each address was announced first by the host with this MAC, in microseconds of the wall clock by the kernel's
    /// stamp.
    pub fn first(&self, mac: &str, first: &mut BTreeMap<String, u64>) {
        for (_, line) in self.0.taken() {
            if let Some((at_us, source, address)) = announcement(&line)
                && source == mac
            {
                first.entry(address.to_owned()).or_insert(at_us);
            }
        }
    }

    /// Forgets what was heard.
    pub fn forget(&self) {
        self.0.taken();
    }
}

fn tcpdump(client: &Host, filter: &str) -> Result<Lines> {
    let mut command = client.command("tcpdump");
    // In immediate mode the buffer has room for so many packets of the snapshot's length: short ones, or bursts are lost.
    command.args([
        "-i",
        "eth0",
        "-n",
        "-e",
        "-tt",
        "-l",
        "--immediate-mode",
        "-s",
        "128",
        "-B",
        "8192",
        filter,
    ]);
    let lines = Lines::start("tcpdump", &mut command)?;
    lines.wait("start", Duration::from_secs(10), |_, line| line.contains("listening on").then_some(()))?;
    Ok(lines)
}

/// The time, source MAC and address of a gratuitous ARP.
fn announcement(line: &str) -> Option<(u64, &str, &str)> {
    let (stamp, rest) = line.split_once(' ')?;
    let (seconds, micros) = stamp.split_once('.')?;
    let at_us = seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?;
    let (mac, rest) = rest.split_once(" > ")?;
    let (_, rest) = rest.split_once("who-has ")?;
    let (target, rest) = rest.split_once(' ')?;
    let (_, rest) = rest.split_once("tell ")?;
    let sender = rest.split(',').next()?;
    (sender == target).then_some((at_us, mac, sender))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gratuitous_arp_is_told_from_a_question() {
        let line = |tell: &str| {
            format!(
                "1764076445.123456 de:64:2e:05:d2:ce > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806), length 42: Request who-has \
                 10.77.0.5 (ff:ff:ff:ff:ff:ff) tell {tell}, length 28"
            )
        };
        assert_eq!(
            announcement(&line("10.77.0.5")),
            Some((1_764_076_445_123_456, "de:64:2e:05:d2:ce", "10.77.0.5"))
        );
        assert_eq!(announcement(&line("192.168.178.10")), None);
        assert_eq!(announcement("listening on eth0, link-type EN10MB (Ethernet)"), None);
    }
}
