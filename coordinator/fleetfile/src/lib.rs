//! The fleet's file: `[[group]]` and `[[group.member]]`, and the checks that groups track.
//!
//! ```text
//! text ─► parse ─► FleetFile ─► lint, with what is Known of the fleet ─► problems
//!                     ├──────► compile: a node's tables of agent.toml
//!                     ├──────► write: the file again, in one form
//!                     └──────► diff against another
//! ```
//!
//! What the members of a group must agree on stands in the group and nowhere else: VRID, version, interval, authentication
//! and addresses agree by construction. Nothing here reads a clock, a file or a socket; the same text gives the same answers,
//! byte for byte.

mod compile;
mod diff;
mod keys;
mod lint;
mod model;
mod parse;
mod problem;
mod reader;
mod write;

pub use compile::{quoted, span};
pub use diff::{Change, What, diff};
pub use lint::{FenceDevice, Known, KnownNode, lint};
pub use model::{
    Address, Check, CheckKind, FleetFile, Group, GroupKey, Member, STRUCK_OUT, Secret, Settings, Track,
};
pub use parse::{MOST_BYTES, MOST_GROUPS, MOST_MEMBERS, parse};
pub use problem::{At, Problem, Severity};
