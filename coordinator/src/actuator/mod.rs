//! What the coordinator has done elsewhere.

pub mod agent;
pub mod program;
