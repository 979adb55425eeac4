//! Who was heard.

use hafleet_vrrp::{
    Instant,
    heard::{HeardAdvert, Rejected},
};
use serde::{Deserialize, Serialize};

/// One source heard for one VRID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardPart {
    /// Where.
    pub interface: String,
    /// VRID.
    pub vrid: u8,
    /// Who.
    pub source: String,
    /// Version of its last packet.
    pub version: u8,
    /// Priority of its last packet.
    pub priority: u8,
    /// Its advertisement interval, as in its last packet.
    pub advert_interval_ms: u64,
    /// Its authentication: `none`, `pass`, `ah` or a number.
    pub auth: String,
    /// Version 3 over IPv4: `with_pseudo_header` or `without_pseudo_header`, the checksum that it uses; absent otherwise.
    pub checksum_form: Option<String>,
    /// The addresses that it advertises, the first of them.
    pub addresses: Vec<String>,
    /// How many more there were.
    pub addresses_left_out: u8,
    /// How long ago its last packet came.
    pub age_ms: u64,
    /// Packets accepted.
    pub accepted: u64,
    /// Packets rejected, by reason.
    pub rejected: Vec<RejectedPart>,
    /// Packets accepted although something about them is odd, by remark.
    pub remarked: Vec<RejectedPart>,
    /// An instance here has this VRID.
    pub vrid_configured: bool,
}

/// Packets rejected for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedPart {
    /// Stable code.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// How long ago the last came.
    pub age_ms: u64,
    /// Both values of the last.
    pub detail: String,
}

impl HeardPart {
    pub(super) fn new(interface: &str, one: &HeardAdvert, now: Instant) -> Self {
        let age_ms = |then: Instant| super::ms(now, then);
        let counted = |rejected: &Rejected| RejectedPart {
            reason: rejected.reason.to_owned(),
            count: rejected.count,
            age_ms: age_ms(rejected.last),
            detail: rejected.detail.clone(),
        };
        Self {
            interface: interface.to_owned(),
            vrid: one.vrid,
            source: one.source.to_string(),
            version: one.version,
            priority: one.priority,
            advert_interval_ms: u64::from(one.interval_cs) * 10,
            auth: one.auth.clone(),
            checksum_form: Some(one.checksum_form.to_owned()).filter(|form| !form.is_empty()),
            addresses: one.addresses.iter().map(ToString::to_string).collect(),
            addresses_left_out: one.addresses_left_out,
            age_ms: age_ms(one.last_heard),
            accepted: one.accepted,
            rejected: one.rejected.iter().map(counted).collect(),
            remarked: one.remarked.iter().map(counted).collect(),
            vrid_configured: one.vrid_configured,
        }
    }
}
