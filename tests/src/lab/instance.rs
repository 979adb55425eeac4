//! One virtual router as each daemon's configuration says it.

use std::{fmt::Write as _, time::Duration};

/// A virtual router on one host, on `ens33`.
#[derive(Clone, Debug)]
pub struct Instance {
    /// VRID.
    pub vrid: u8,
    /// 2 or 3.
    pub version: u8,
    /// 1 to 255.
    pub priority: u8,
    /// The advert interval; whole seconds in version 2.
    pub interval: Duration,
    /// The addresses, each with its prefix length.
    pub vips: Vec<String>,
    /// PASS, version 2 only.
    pub pass: Option<String>,
    /// Whether it takes over from a master of lower priority.
    pub preempt: bool,
    /// For how long it leaves a master of lower priority alone.
    pub preempt_delay: Duration,
    /// When the second round of announcements follows the first.
    pub announce_delay: Duration,
    /// Whether clients see the virtual MAC (FRR knows nothing else).
    pub vmac: bool,
    /// Lines that only ours understands, in `[[instance]]` of agent.toml.
    pub ours: String,
    /// Lines that only keepalived understands, in its `vrrp_instance`.
    pub keepalived: String,
    /// Blocks of keepalived.conf before it: what it tracks.
    pub keepalived_before: String,
}

impl Default for Instance {
    /// VRID 51, version 3 at 100 ms, priority 100, 10.77.0.100/24, second announcements after 1 s.
    fn default() -> Self {
        Self {
            vrid: 51,
            version: 3,
            priority: 100,
            interval: Duration::from_millis(100),
            vips: vec!["10.77.0.100/24".into()],
            pass: None,
            preempt: true,
            preempt_delay: Duration::ZERO,
            announce_delay: Duration::from_secs(1),
            vmac: false,
            ours: String::new(),
            keepalived: String::new(),
            keepalived_before: String::new(),
        }
    }
}

impl Instance {
    /// The addresses without their prefix lengths.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.vips.iter().map(|vip| super::bare_address(vip))
    }

    /// Whether its addresses are IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.vips.iter().any(|vip| vip.contains(':'))
    }

    /// Skew_Time: `(256 - priority) / 256` of a second in version 2, of the master's interval in version 3.
    pub fn skew(&self, master_interval: Duration) -> Duration {
        let whole = if self.version == 2 { Duration::from_secs(1) } else { master_interval };
        whole * (256 - u32::from(self.priority)) / 256
    }

    /// Master_Down_Interval after a master with this interval.
    pub fn master_down(&self, master_interval: Duration) -> Duration {
        master_interval * 3 + self.skew(master_interval)
    }

    /// How long ours listens when it starts, before it is the master: the skew of an interval of a second at least.
    pub fn first_election(&self) -> Duration {
        self.interval * 3 + self.skew(self.interval.max(Duration::from_secs(1)))
    }

    /// agent.toml's `[[instance]]`.
    pub fn to_agent_toml(&self) -> String {
        let vips: Vec<_> = self.vips.iter().map(|vip| format!("{{ address = \"{vip}\" }}")).collect();
        let mut text = format!(
            "[[instance]]\nname = \"VI_{vrid}\"\ninterface = \"ens33\"\nvrid = {vrid}\nversion = {}\npriority = {}\n\
             advert_interval = \"{}ms\"\nvips = [{}]\npreempt = {}\n",
            self.version,
            self.priority,
            self.interval.as_millis(),
            vips.join(", "),
            self.preempt,
            vrid = self.vrid,
        );
        if !self.preempt_delay.is_zero() {
            let _ = writeln!(text, "preempt_delay = \"{}ms\"", self.preempt_delay.as_millis());
        }
        if let Some(pass) = &self.pass {
            let _ = writeln!(text, "auth = {{ type = \"pass\", secret = \"{pass}\" }}");
        }
        if self.vmac {
            let _ = writeln!(text, "vmac = {{ interface = \"vrrp.{}\" }}", self.vrid);
        }
        let _ = writeln!(text, "{}", self.ours);
        if !self.ours.contains("announcing") {
            let _ = writeln!(text, "announcing = {{ delay = \"{}ms\" }}", self.announce_delay.as_millis());
        }
        text
    }

    /// keepalived.conf's `vrrp_instance`, for keepalived and for ours.
    pub fn to_keepalived_conf(&self) -> String {
        let mut text = format!(
            "{}vrrp_instance VI_{vrid} {{\n    state {}\n    interface ens33\n    virtual_router_id {vrid}\n    \
             version {}\n    priority {}\n    advert_int {}\n    garp_master_delay {}\n",
            self.keepalived_before,
            // keepalived's owner is MASTER at once only if told so.
            if self.priority == 255 { "MASTER" } else { "BACKUP" },
            self.version,
            self.priority,
            self.interval.as_secs_f64(),
            self.announce_delay.as_secs(),
            vrid = self.vrid,
        );
        if !self.preempt {
            text += "    nopreempt\n";
        }
        if self.vmac {
            text += "    use_vmac\n";
        }
        if !self.preempt_delay.is_zero() {
            let _ = writeln!(text, "    preempt_delay {}", self.preempt_delay.as_secs_f64());
        }
        if let Some(pass) = &self.pass {
            let _ = writeln!(
                text,
                "    authentication {{\n        auth_type PASS\n        auth_pass {pass}\n    }}"
            );
        }
        let _ = writeln!(text, "{}", self.keepalived);
        let _ =
            writeln!(text, "    virtual_ipaddress {{\n        {}\n    }}\n}}", self.vips.join("\n        "));
        text
    }

    /// FRR's lines under `interface ens33`; it knows neither passwords nor preempt_delay.
    pub fn to_frr_conf(&self) -> String {
        let vrid = self.vrid;
        let mut text = format!(
            " vrrp {vrid} version {}\n vrrp {vrid} priority {}\n vrrp {vrid} advertisement-interval {}\n",
            self.version,
            self.priority,
            self.interval.as_millis(),
        );
        if !self.preempt {
            let _ = writeln!(text, " no vrrp {vrid} preempt");
        }
        for address in self.addresses() {
            // The link-local address that comes first is its interface's own.
            if address.starts_with("fe80:") {
                continue;
            }
            let family = if address.contains(':') { "ipv6" } else { "ip" };
            let _ = writeln!(text, " vrrp {vrid} {family} {address}");
        }
        text
    }
}
