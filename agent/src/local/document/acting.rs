//! What a coordinator ordered and pushed.

use hafleet_vrrp::Instant;
use serde::{Deserialize, Serialize};

use super::ms;
use crate::{
    orders::{Order, What},
    present::Present,
    reference::ReferenceStatus,
    uplink::rfc3339,
};

/// The standing orders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrdersPart {
    /// Why every instance is held back, and what to do about it; absent when the orders can be read.
    pub error: Option<String>,
    /// Each of them, in the order in which they were given.
    pub standing: Vec<OrderPart>,
}

/// One standing order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPart {
    /// The coordinator's name for it.
    pub id: String,
    /// `demote`, `maintenance` or `take_over`.
    pub what: String,
    /// The instances it is about; none: all.
    pub instances: Vec<String>,
    /// The base priority of a take-over.
    pub priority: Option<u8>,
    /// When it ends, RFC 3339; absent: when it is withdrawn.
    pub until: Option<String>,
    /// Who gave it.
    pub by: String,
    /// Why.
    pub why: String,
}

/// A neighbour outside the group, by which the node knows whether it has a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferencePart {
    /// Its address.
    pub address: String,
    /// Where it answered last, or where it should be; absent when neither is known.
    pub interface: Option<String>,
    /// Whether it answers.
    pub reachable: bool,
    /// How long ago it was asked.
    pub age_ms: u64,
    /// Why it could not be asked; absent when it was.
    pub error: Option<String>,
}

impl ReferencePart {
    pub(super) fn new(one: &ReferenceStatus, now: Instant) -> Self {
        Self {
            address: one.address.to_string(),
            interface: Some(one.interface.clone()).filter(|interface| !interface.is_empty()),
            reachable: one.reachable,
            age_ms: ms(now, one.asked),
            error: Some(one.error.clone()).filter(|error| !error.is_empty()),
        }
    }
}

/// A pushed configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedPart {
    /// Which generation runs; absent: nothing that was pushed.
    pub generation: Option<u64>,
    /// SHA-256 of its text.
    pub hash: Option<String>,
    /// Which waits to be committed.
    pub staged_generation: Option<u64>,
    /// How long is left to confirm the one that runs; absent when it is confirmed.
    pub confirm_left_ms: Option<u64>,
    /// Which was given up last.
    pub rolled_back_generation: Option<u64>,
    /// Why.
    pub rolled_back_why: Option<String>,
    /// What is wrong; absent when nothing is.
    pub error: Option<String>,
}

impl OrdersPart {
    pub(super) fn new(present: &Present) -> Self {
        let acting = &present.acting;
        Self {
            error: acting.orders_error.clone(),
            standing: acting.orders.iter().map(OrderPart::from).collect(),
        }
    }
}

impl From<&Order> for OrderPart {
    fn from(order: &Order) -> Self {
        Self {
            id: order.id.clone(),
            what: order.what.as_str().to_owned(),
            instances: order.instances.clone(),
            priority: match order.what {
                What::TakeOver { priority } => Some(priority.priority().get()),
                What::Demote | What::Maintenance => None,
            },
            until: order.until_us.map(rfc3339),
            by: order.by.clone(),
            why: order.why.clone(),
        }
    }
}

impl PushedPart {
    pub(super) fn new(present: &Present) -> Self {
        let push = &present.acting.push;
        let pointer = &push.pointer;
        let running = pointer.running.as_ref();
        Self {
            generation: running.map(|generation| generation.number),
            hash: running.map(|generation| generation.hash.clone()),
            staged_generation: pointer.staged.as_ref().map(|generation| generation.number),
            confirm_left_ms: present.confirm_left_us.map(|left_us| left_us / 1000),
            rolled_back_generation: pointer.rolled_back.as_ref().map(|rolled_back| rolled_back.generation),
            rolled_back_why: pointer.rolled_back.as_ref().map(|rolled_back| rolled_back.why.clone()),
            error: push.error.clone(),
        }
    }
}
