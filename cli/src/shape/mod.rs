//! The JSON that programs may rely on.
//!
//! Field names are a contract: fields may be added, none is renamed or removed. Instants are RFC 3339 in UTC, `null`
//! when there is none; durations carry their unit in the name.

mod config;
mod doctor;
mod fences;
mod fencing;
mod fleet;
mod orders;
mod records;
mod seen;
mod users;

pub use self::{
    config::{Applied, Changes, Drift, Generation, GenerationDetail, Imported, Problem, Progress, Step},
    doctor::{Check, Health},
    fences::{Fence, FenceDetail, FenceTested, Fencing, level_word},
    fencing::{FenceWill, FencingStatus},
    fleet::{Group, Heard, Instance, Node, NodeDetail, Status, since_us},
    orders::{Maintained, Order, Switchover, SwitchoverUndone},
    records::{
        Audit, Explanation, Finding, FindingDetail, GroupDetail, NewToken, Probed, Revoked, Token,
        Transition, token_state,
    },
    seen::{Clock, Reference, Seen, Witnessed},
    users::{NewUser, User, UserRevoked, role_word},
};

use hafleet_proto::v1::VrrpState;

/// `MASTER`, `BACKUP`, `FAULT`, `INIT`.
pub fn state_word(state: VrrpState) -> &'static str {
    match state {
        VrrpState::Unspecified => "UNKNOWN",
        VrrpState::Init => "INIT",
        VrrpState::Backup => "BACKUP",
        VrrpState::Master => "MASTER",
        VrrpState::Fault => "FAULT",
    }
}

/// `null` instead of an empty text.
fn present(text: &str) -> Option<String> {
    if text.is_empty() { None } else { Some(text.to_owned()) }
}
