//! What of the engine touches the kernel.
//!
//! | module | kernel interface |
//! | --- | --- |
//! | [`advert`] | one raw IPv4 socket per interface, protocol 112 |
//! | [`announce`] | `AF_PACKET`: gratuitous ARP |
//! | [`arp`] | `AF_PACKET`: who answers for an address |
//! | [`address`] | rtnetlink: adding, renewing and deleting addresses |
//! | [`link`] | rtnetlink: what an interface is like |
//! | [`netlink`] | the thread that speaks rtnetlink |
//! | [`link_layer`] | `struct sockaddr_ll` |

pub mod address;
pub mod advert;
pub mod announce;
pub mod arp;
pub mod link;
pub mod link_layer;
pub mod netlink;
