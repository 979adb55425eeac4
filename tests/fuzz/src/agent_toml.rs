//! The reader of agent.toml: any bytes.

use std::path::Path;

use ha_agent::config::Language;

use crate::{Reached, Target, text};

/// See [`Target`].
pub const TARGET: Target = Target {
    name: "agent_toml",
    run,
    must_reach: &["taken", "several instances", "something tracked", "warned", "refused"],
};

/// The bytes are the file.
pub fn run(bytes: &[u8]) -> Reached {
    text::read(Language::AgentToml, Path::new("/nonexistent/agent.toml"), bytes)
}
