//! `no_accept`: packets to the addresses of such instances are dropped on this host (RFC 9568 section 6.1, Accept_Mode false).
//!
//! The rules stand for as long as the agent runs, whatever the state: an address that is not on this host is in no packet that the
//! input hook sees. They are one nftables table of our own, `inet hafleet`, replaced as a whole in one transaction by nft(8). ARP does
//! not pass there; neighbour discovery does, and is let through. A kernel or an `nft` that refuses them is a configuration
//! that cannot be had: the agent does not start with it, and a running one keeps what it has.

use std::{fmt::Write, io, net::IpAddr, process::Stdio, time::Duration};

use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use crate::config::AgentConfig;

/// nft answers within milliseconds; the kernel's lock may be held by another program.
const WITHIN: Duration = Duration::from_secs(5);
const REMOVAL: &str = "table inet hafleet\ndelete table inet hafleet\n";

/// Why the rules cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FirewallError {
    /// No such program, or it cannot be talked to.
    #[error("`no_accept` needs nft(8), of the package nftables, which cannot be run")]
    Run(#[source] io::Error),
    /// It said no.
    #[error("nft refused the rules of `no_accept`: {0}")]
    Refused(String),
    /// It said nothing.
    #[error("nft did not apply the rules of `no_accept` within {} s", WITHIN.as_secs())]
    Silent,
}

/// What stands in the kernel because of us.
#[derive(Debug, Default)]
pub(super) struct Firewall {
    applied: Option<String>,
}

impl Firewall {
    /// Makes the rules those of this configuration; does nothing when they are already.
    ///
    /// # Errors
    /// When they cannot be had; then those of before stand.
    pub(super) async fn apply(&mut self, config: &AgentConfig) -> Result<(), FirewallError> {
        let rules = rules(config);
        if rules == self.applied {
            return Ok(());
        }
        let table = rules.as_deref().unwrap_or_default();
        // Whoever stops waiting for nft in the middle (an agent that is stopped) does not know whether they stand.
        let before = self.applied.replace(table.to_owned());
        if let Err(error) = nft(&format!("{REMOVAL}{table}")).await {
            self.applied = before;
            return Err(error);
        }
        self.applied = rules;
        Ok(())
    }

    /// Takes them away, if there are any.
    pub(super) async fn remove(&mut self) {
        if self.applied.take().is_some()
            && let Err(error) = nft(REMOVAL).await
        {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(
                error,
                "the table `inet hafleet` is left in the kernel; it drops packets to addresses that are not here"
            );
        }
    }
}

/// The table; `None` when every instance accepts.
fn rules(config: &AgentConfig) -> Option<String> {
    let silent = config.instances.iter().filter(|instance| !instance.accept);
    let addresses: Vec<IpAddr> =
        silent.flat_map(|instance| &instance.vips).map(|vip| vip.vip.address).collect();
    let list = |is_wanted: fn(&IpAddr) -> bool| {
        let texts: Vec<String> =
            addresses.iter().filter(|address| is_wanted(address)).map(IpAddr::to_string).collect();
        (!texts.is_empty()).then(|| texts.join(", "))
    };
    let (v4, v6) = (list(IpAddr::is_ipv4), list(IpAddr::is_ipv6));
    if v4.is_none() && v6.is_none() {
        return None;
    }
    let mut table = String::from(
        "table inet hafleet {\n chain no_accept {\n  type filter hook input priority filter; policy accept;\n",
    );
    // Writing to a string cannot fail.
    if let Some(v6) = v6 {
        let discovery = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }";
        let _ = writeln!(table, "  ip6 daddr {{ {v6} }} {discovery} accept\n  ip6 daddr {{ {v6} }} drop");
    }
    if let Some(v4) = v4 {
        let _ = writeln!(table, "  ip daddr {{ {v4} }} drop");
    }
    table.push_str(" }\n}\n");
    Some(table)
}

async fn nft(script: &str) -> Result<(), FirewallError> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(FirewallError::Run)?;
    let said = async {
        if let Some(mut input) = child.stdin.take() {
            input.write_all(script.as_bytes()).await.map_err(FirewallError::Run)?;
        }
        child.wait_with_output().await.map_err(FirewallError::Run)
    };
    let output = timeout(WITHIN, said).await.map_err(|_| FirewallError::Silent)??;
    if output.status.success() {
        Ok(())
    } else {
        let words = String::from_utf8_lossy(&output.stderr);
        Err(FirewallError::Refused(words.lines().next().unwrap_or_default().to_owned()))
    }
}
