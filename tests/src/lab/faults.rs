//! What can go wrong on a host's lines.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{Host, Segment, ip};

/// A direction as seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Packets that come to the host.
    In,
    /// Packets that the host sends.
    Out,
    /// Either.
    Both,
}

impl Host {
    /// Pulls the cable: both ends lose carrier.
    pub fn unplug(&self, segment: Segment) -> Result<()> {
        ip(&["-n", &self.switch(), "link", "set", &self.port(segment), "down"]).map(drop)
    }

    /// Puts the cable back.
    pub fn plug(&self, segment: Segment) -> Result<()> {
        ip(&["-n", &self.switch(), "link", "set", &self.port(segment), "up"]).map(drop)
    }

    /// Takes the port out of the segment: carrier stays, nothing arrives (a wrong VLAN, a dead switch path).
    pub fn isolate(&self, segment: Segment) -> Result<()> {
        ip(&["-n", &self.switch(), "link", "set", &self.port(segment), "nomaster"]).map(drop)
    }

    /// Ends [`Host::isolate`].
    pub fn rejoin(&self, segment: Segment) -> Result<()> {
        ip(&["-n", &self.switch(), "link", "set", &self.port(segment), "master", segment.bridge()]).map(drop)
    }

    /// A host firewall that drops VRRP (IP protocol 112) and nothing else.
    pub fn drop_vrrp(&self, direction: Direction) -> Result<()> {
        let (input, output) = match direction {
            Direction::In => ("ip protocol 112 drop", ""),
            Direction::Out => ("", "ip protocol 112 drop"),
            Direction::Both => ("ip protocol 112 drop", "ip protocol 112 drop"),
        };
        self.nft(&format!(
            "table inet lab {{}}\ndelete table inet lab\ntable inet lab {{\n\
             chain input {{ type filter hook input priority 0; {input}\n }}\n\
             chain output {{ type filter hook output priority 0; {output}\n }}\n}}\n"
        ))
    }

    /// The same for what comes and goes over one interface.
    pub fn drop_vrrp_on(&self, interface: &str) -> Result<()> {
        self.nft(&format!(
            "table inet lab {{}}\ndelete table inet lab\ntable inet lab {{\n\
             chain input {{ type filter hook input priority 0; iifname \"{interface}\" ip protocol 112 drop\n }}\n\
             chain output {{ type filter hook output priority 0; oifname \"{interface}\" ip protocol 112 drop\n }}\n}}\n"
        ))
    }

    /// Ends [`Host::drop_vrrp`] and [`Host::drop_vrrp_on`].
    pub fn pass_vrrp(&self) -> Result<()> {
        self.nft("table inet lab {}\ndelete table inet lab\n")
    }

    fn nft(&self, rules: &str) -> Result<()> {
        let mut child = Command::new("ip")
            .args(["netns", "exec", self.namespace(), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting nft")?;
        child.stdin.take().context("nft has no standard input")?.write_all(rules.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "nft refused {rules}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}
