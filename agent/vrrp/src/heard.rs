//! The heard-adverts table: who was heard for which VRID, accepted or not. Bounded.

use alloc::{string::String, vec::Vec};
use core::net::IpAddr;

use crate::Instant;

/// One source heard for one VRID on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardAdvert {
    /// The VRID as heard; 0 never is.
    pub vrid: u8,
    /// Who sent.
    pub source: IpAddr,
    /// Version field of the last packet.
    pub version: u8,
    /// Priority of the last readable packet.
    pub priority: u8,
    /// Its interval.
    pub interval_cs: u16,
    /// Its address list, in the order sent.
    pub addresses: Vec<IpAddr>,
    /// `none`, `pass`, `ah` or a number.
    pub auth: String,
    /// `with_pseudo_header`, `without_pseudo_header`, or empty for version 2.
    pub checksum_form: &'static str,
    /// When the last packet came, accepted or not.
    pub last_heard: Instant,
    /// How many were accepted.
    pub accepted: u64,
    /// The rejected ones by reason.
    pub rejected: Vec<Rejected>,
    /// Whether a router with this VRID runs here.
    pub vrid_configured: bool,
}

/// Packets rejected for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Stable code.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
    /// When the last came.
    pub last: Instant,
    /// Both values of the last.
    pub detail: String,
}
