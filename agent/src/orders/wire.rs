//! Orders on the wire: the border. What comes in is right, or says what is wrong.

use hafleet_proto::v1;
use hafleet_vrrp::Override;

use super::{INSTANCES_MAX, Order, What};

/// No id, name of an instance or of a person is longer, in bytes.
const NAME_LEN_MAX: usize = 255;
/// No reason is longer, in bytes.
const WHY_LEN_MAX: usize = 1024;

/// An order that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A text is empty, too long or not visible.
    #[error("`{field}` is 1 to {NAME_LEN_MAX} bytes of visible text")]
    Name {
        /// Which.
        field: &'static str,
    },
    /// A text for people is too long or not visible.
    #[error("`{field}` is at most {WHY_LEN_MAX} bytes of visible text")]
    Text {
        /// Which.
        field: &'static str,
    },
    /// It names too many instances.
    #[error("an order names at most {INSTANCES_MAX} instances, here are {count}")]
    Instances {
        /// How many.
        count: usize,
    },
    /// It says nothing, or something that a newer agent would know.
    #[error("the order says nothing that this agent knows")]
    Unknown,
    /// A priority that nobody can be given.
    #[error("a take-over's priority is 1 to 254, here is {priority}")]
    Priority {
        /// Which.
        priority: u32,
    },
    /// A fence that would end by itself.
    #[error("a demotion ends by withdrawal only: `until_us` must be 0")]
    DemoteUntil,
    /// A time before the epoch.
    #[error("`until_us` is {until_us}")]
    Until {
        /// Which.
        until_us: i64,
    },
}

impl TryFrom<v1::Order> for Order {
    type Error = Invalid;

    fn try_from(wire: v1::Order) -> Result<Self, Invalid> {
        let v1::Order { id, instances, until_us, by, why, order } = wire;
        if instances.len() > INSTANCES_MAX {
            return Err(Invalid::Instances { count: instances.len() });
        }
        let what = match order.ok_or(Invalid::Unknown)? {
            v1::order::Order::Demote(_) if until_us != 0 => return Err(Invalid::DemoteUntil),
            v1::order::Order::Demote(_) => What::Demote,
            v1::order::Order::Maintenance(_) => What::Maintenance,
            v1::order::Order::TakeOver(take_over) => {
                let priority = take_over.priority;
                let read = u8::try_from(priority).ok().and_then(Override::new);
                What::TakeOver { priority: read.ok_or(Invalid::Priority { priority })? }
            }
        };
        let until_us = match until_us {
            0 => None,
            1.. => Some(until_us),
            ..=-1 => return Err(Invalid::Until { until_us }),
        };
        Ok(Self {
            id: name("id", id)?,
            instances: instances.into_iter().map(|one| name("instances", one)).collect::<Result<_, _>>()?,
            until_us,
            by: text("by", by)?,
            why: text("why", why)?,
            what,
        })
    }
}

/// A name from the wire.
///
/// # Errors
/// When it is empty, too long, or has control characters.
pub fn name(field: &'static str, text: String) -> Result<String, Invalid> {
    let fits = (1..=NAME_LEN_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(Invalid::Name { field }) }
}

fn text(field: &'static str, text: String) -> Result<String, Invalid> {
    let fits = text.len() <= WHY_LEN_MAX && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(Invalid::Text { field }) }
}

/// What stands, as a coordinator reads it.
pub fn to_wire(order: &Order) -> v1::Order {
    let what = match order.what {
        What::Demote => v1::order::Order::Demote(v1::Demote {}),
        What::Maintenance => v1::order::Order::Maintenance(v1::Maintenance {}),
        What::TakeOver { priority } => {
            v1::order::Order::TakeOver(v1::TakeOver { priority: priority.priority().get().into() })
        }
    };
    v1::Order {
        id: order.id.clone(),
        instances: order.instances.clone(),
        until_us: order.until_us.unwrap_or(0),
        by: order.by.clone(),
        why: order.why.clone(),
        order: Some(what),
    }
}
