//! What of the engine touches the kernel.
//!
//! | module | kernel interface |
//! | --- | --- |
//! | [`advert`] | one raw socket per interface and family, protocol 112 |
//! | [`announce`] | `AF_PACKET`: gratuitous ARP, unsolicited neighbour advertisements |
//! | `frame` | what is sent through `AF_PACKET` |
//! | [`neighbour`] | `AF_PACKET`: who answers for an address |
//! | [`address`] | rtnetlink: adding, renewing and deleting addresses |
//! | [`link`] | rtnetlink: what an interface is like |
//! | [`netlink`] | the thread that speaks rtnetlink |
//! | [`macvlan`] | rtnetlink, `/proc/sys/net`: the interface of a virtual MAC |
//! | [`link_layer`] | `struct sockaddr_ll` |

pub mod address;
pub mod advert;
pub mod announce;
mod family;
mod frame;
pub mod link;
pub mod link_layer;
pub mod macvlan;
pub mod neighbour;
pub mod netlink;

pub use self::family::Family;
