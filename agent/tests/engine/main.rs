//! The engine against a real kernel and real peers, in network namespaces. Needs root, iproute2, tcpdump and keepalived.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod addresses;
mod election;
mod faults;
mod ipv6;
mod keepalived;
mod lab;
mod lines;
mod orders;
mod release;
mod reload;
mod stall;
mod unicast;
mod vmac;
mod wire;

/// Two hosts of one virtual router, 192.168.178.130 and .131, with the tutorial's address.
fn config(priority: u8) -> String {
    format!(
        r#"
[[instance]]
name = "VI_1"
interface = "ens33"
vrid = 51
version = 2
priority = {priority}
auth = {{ type = "pass", secret = "1111" }}
vips = [{{ address = "192.168.178.3/24", label = "ens33:3" }}]
"#
    )
}
