//! The VRRP engine of hafleet as a pure state machine: RFC 3768 (version 2), RFC 5798 and RFC 9568 (version 3).
//!
//! Nothing here can read a clock, open a socket or hash at random: the crate is `no_std`, time is an argument
//! ([`Instant`]) and every effect is an [`Output`] that the caller carries out. A failed effect comes back as an
//! [`Input`].
//!
//! ```text
//! router.handle(input, now);                          one door in
//! while let Some(output) = router.next_output() { … } one door out
//! router.deadline()                                   one thing to wait for
//! ```
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod config;
pub mod heard;
pub mod packet;
mod router;
mod time;
mod tracking;

pub use config::{
    AdvertInterval, Announcing, Authentication, ChecksumForm, Config, ConfigError, MAX_ADVERTISED, MAX_PATHS,
    Override, Path, PathId, Peer, Priority, Version, Vip, VirtualRouterId, is_same_place,
};
pub use router::{
    AddressFault, Announcement, HoldCause, Input, LinkFault, Output, PathHealth, Reason, State, Transition,
    VirtualRouter,
};
pub use time::Instant;
pub use tracking::{Track, TrackId, TrackResult};
