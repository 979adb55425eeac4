//! Standing orders: what a coordinator says over the configuration of this node, until it is withdrawn or over.
//!
//! ```text
//! Request ─► wire (parse, bounds) ─► Book: file replaced, synchronized ─► Standing ─► engine ─► Answer
//!                                      └── read again at the start, before any instance is started
//! ```
//!
//! An order is on the disk before it is acted upon, so that it outlives the agent, the host's power and the coordinator. A file
//! that cannot be read may hold a fence: every instance is held back until somebody has looked at it.

mod book;
mod wire;

use hafleet_vrrp::Override;
use serde::{Deserialize, Serialize};

pub use book::{Book, BookError};
pub use wire::{Invalid, name, to_wire};

use crate::driver::{Stand, Standing};

/// So many orders may stand at once.
pub const ORDERS_MAX: usize = 64;
/// Places that only a fence takes: one that finds none would end with the power of this host.
const FOR_FENCES: usize = 8;
/// Places that only a fence or maintenance takes, besides.
const FOR_MAINTENANCE: usize = 8;
/// An order names no more instances.
pub const INSTANCES_MAX: usize = 255;

/// One order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The coordinator's name for it: `fence/17`.
    pub id: String,
    /// The instances it is about; empty: all of the node.
    pub instances: Vec<String>,
    /// When it is over, wall clock; `None`: when it is withdrawn.
    pub until_us: Option<i64>,
    /// Who gave it.
    pub by: String,
    /// Why.
    pub why: String,
    /// What.
    pub what: What,
}

/// What an order says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A fence: release, and stay in FAULT.
    Demote,
    /// The same for a person who works on the host.
    Maintenance,
    /// Take the addresses, and go on with this base priority.
    TakeOver {
        /// 1 to 254.
        #[serde(with = "priority")]
        priority: Override,
    },
}

impl What {
    /// `demote`, `maintenance` or `take_over`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Demote => "demote",
            Self::Maintenance => "maintenance",
            Self::TakeOver { .. } => "take_over",
        }
    }

    /// One more may stand while fewer than these do, of whatever kind.
    pub const fn places(self) -> usize {
        match self {
            Self::Demote => ORDERS_MAX,
            Self::Maintenance => ORDERS_MAX - FOR_FENCES,
            Self::TakeOver { .. } => ORDERS_MAX - FOR_FENCES - FOR_MAINTENANCE,
        }
    }
}

impl Order {
    /// Whether its time is over.
    pub fn is_over(&self, wall_us: i64) -> bool {
        self.until_us.is_some_and(|until_us| until_us <= wall_us)
    }

    /// `fence/17 (demote) by hafleet: lb02 loses`, as far as it says so much.
    pub fn words(&self) -> String {
        let Self { id, by, why, what, .. } = self;
        let said_by = if by.is_empty() { String::new() } else { format!(" by {by}") };
        let for_this = if why.is_empty() { String::new() } else { format!(": {why}") };
        format!("{id} ({}){said_by}{for_this}", what.as_str())
    }

    fn stand(&self) -> Stand {
        let by = self.words();
        match self.what {
            What::Demote => Stand::fence(by),
            What::Maintenance => Stand { in_maintenance: true, held_by: by, ..Stand::default() },
            What::TakeOver { priority } => {
                Stand { priority: Some(priority), priority_by: by, ..Stand::default() }
            }
        }
    }
}

/// Every order, in the order in which they were given. A later priority goes before an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders(Vec<Order>);

impl Orders {
    /// All of them.
    pub fn all(&self) -> &[Order] {
        &self.0
    }

    /// The one of this id.
    pub fn find(&self, id: &str) -> Option<&Order> {
        self.0.iter().find(|order| order.id == id)
    }

    /// With this one, which replaces one of its id. `None` when too many stand for one of its kind.
    #[must_use]
    pub fn with(&self, order: Order) -> Option<Self> {
        let mut orders = self.without(&order.id);
        let replaces = orders.0.len() < self.0.len();
        (replaces || orders.0.len() < order.what.places()).then(|| {
            orders.0.push(order);
            orders
        })
    }

    /// Without the one of this id.
    #[must_use]
    pub fn without(&self, id: &str) -> Self {
        Self(self.0.iter().filter(|order| order.id != id).cloned().collect())
    }

    /// Without those whose time is over.
    #[must_use]
    pub fn at(&self, wall_us: i64) -> Self {
        Self(self.0.iter().filter(|order| !order.is_over(wall_us)).cloned().collect())
    }

    /// What they come to.
    pub fn standing(&self) -> Standing {
        let mut standing = Standing::default();
        for order in &self.0 {
            let stand = order.stand();
            if order.instances.is_empty() {
                standing.all.add(&stand);
            }
            for instance in &order.instances {
                standing.named.entry(instance.clone()).or_default().add(&stand);
            }
        }
        standing
    }
}

/// A priority as a number, and never one that cannot be.
mod priority {
    use hafleet_vrrp::Override;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(priority: &Override, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(priority.priority().get())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Override, D::Error> {
        let number = u8::deserialize(deserializer)?;
        Override::new(number).ok_or_else(|| D::Error::custom(format!("priority {number} is not 1 to 254")))
    }
}

#[cfg(test)]
mod tests;
