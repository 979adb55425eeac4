//! Frames of one's own making on the service segment.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context, Result, ensure};
use pnet::util::MacAddr;

use super::{Host, Process, ip, program};

impl Host {
    /// The MAC address of one of its interfaces.
    pub fn mac(&self, interface: &str) -> Result<MacAddr> {
        let text = ip(&["-n", self.namespace(), "-o", "link", "show", "dev", interface])?;
        let mac = text.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
        mac.and_then(|mac| mac.parse().ok()).with_context(|| format!("no MAC address in {text}"))
    }

    /// Runs `ip` inside it.
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        ip(&[&["-n", self.namespace()], arguments].concat())
    }

    /// Sends these frames from `interface`, once each, and waits until they are sent.
    pub fn send(&self, interface: &str, frames: &[Vec<u8>]) -> Result<()> {
        let mut sending = self.send_each(interface, frames, Duration::ZERO, frames.len())?;
        let status = sending.wait(Duration::from_secs(10))?;
        ensure!(status.success(), "sending ended with {status}:\n{}", sending.log());
        Ok(())
    }

    /// Sends `count` frames, these in turn, one each `period`.
    pub fn send_each(
        &self,
        interface: &str,
        frames: &[Vec<u8>],
        period: Duration,
        count: usize,
    ) -> Result<Process> {
        let mut text = String::new();
        for frame in frames {
            for byte in frame {
                write!(text, "{byte:02x}")?;
            }
            text.push('\n');
        }
        let file = self.write("frames", &text)?;
        let mut command = self.in_real_time().command(program("lab")?);
        command.args(["send", interface, &period.as_micros().to_string(), &count.to_string()]).arg(file);
        self.spawn("send", &mut command)
    }
}
