//! In one virtual router with keepalived 2.2.7 and FRR vrrpd 8.4, and with ourselves: the scenarios of the specification,
//! each a function named after it. What they find becomes docs/interop.md (`make interop`).
//!
//! Needs root, iproute2, nftables, tcpdump, keepalived and FRR.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "the lab measures real time on real hosts")]

mod adoption;
mod checksum;
mod clock;
mod death;
mod election;
mod failover;
mod interval;
mod ipv6;
mod junk;
mod links;
mod master;
mod mismatch;
mod pair;
mod preemption;
mod reload;
mod report;
mod scale;
mod split;
mod tracking;
mod unicast;
mod vmac;
