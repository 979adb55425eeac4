//! Requests on the wire: the border.

use std::collections::BTreeSet;

use hafleet_proto::v1::{self, request::Request as Wire};

use crate::{
    orders::{self, INSTANCES_MAX, Order},
    push::{Generation, TEXT_LEN_MAX},
};

/// No id is longer, in bytes.
pub(super) const ID_LEN_MAX: usize = 255;

/// Something that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// One after the other.
    Act(Act),
    /// Beside each other.
    Announce { instances: BTreeSet<String> },
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Give(Order),
    Withdraw { order_id: String },
    Stage { generation: Generation, text: String },
    Commit { number: u64, within_us: u64 },
    Confirm { number: u64 },
    RollBack { number: u64 },
    Check { text: String },
}

/// A request that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("{0}")]
    Order(#[from] orders::Invalid),
    #[error("the request says nothing that this agent knows")]
    Unknown,
    #[error("`hash` is the SHA-256 of `toml` as 64 hexadecimal digits")]
    Hash,
    #[error("a pushed configuration has at most {TEXT_LEN_MAX} bytes, here are {len}")]
    TooLong { len: usize },
    #[error("`generation` counts from 1")]
    Generation,
    #[error("1 to {INSTANCES_MAX} instances announce at once, here are {count}")]
    Announced { count: usize },
}

impl TryFrom<v1::Request> for Request {
    type Error = Invalid;

    fn try_from(wire: v1::Request) -> Result<Self, Invalid> {
        orders::name("request id", wire.id)?;
        Ok(Self::Act(match wire.request.ok_or(Invalid::Unknown)? {
            Wire::Announce(v1::Announce { instances }) => {
                if instances.is_empty() || instances.len() > INSTANCES_MAX {
                    return Err(Invalid::Announced { count: instances.len() });
                }
                let instances = instances.into_iter().map(|one| orders::name("instances", one));
                return Ok(Self::Announce { instances: instances.collect::<Result<_, _>>()? });
            }
            Wire::Give(order) => Act::Give(Order::try_from(order)?),
            Wire::Withdraw(v1::Withdraw { order_id }) => {
                Act::Withdraw { order_id: orders::name("order_id", order_id)? }
            }
            Wire::Stage(v1::StageConfig { generation, toml, hash }) => {
                if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(Invalid::Hash);
                }
                let toml = text(toml)?;
                let generation = Generation { number: number(generation)?, hash: hash.to_ascii_lowercase() };
                Act::Stage { generation, text: toml }
            }
            Wire::Commit(v1::CommitConfig { generation, confirm_within_us }) => {
                Act::Commit { number: number(generation)?, within_us: confirm_within_us }
            }
            Wire::Confirm(v1::ConfirmConfig { generation }) => Act::Confirm { number: number(generation)? },
            Wire::RollBack(v1::RollBackConfig { generation }) => {
                Act::RollBack { number: number(generation)? }
            }
            Wire::Check(v1::CheckConfig { toml }) => Act::Check { text: text(toml)? },
        }))
    }
}

fn text(toml: String) -> Result<String, Invalid> {
    if toml.len() > TEXT_LEN_MAX { Err(Invalid::TooLong { len: toml.len() }) } else { Ok(toml) }
}

fn number(generation: u64) -> Result<u64, Invalid> {
    if generation == 0 { Err(Invalid::Generation) } else { Ok(generation) }
}
