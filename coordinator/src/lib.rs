//! The hafleet coordinator as a library: the shell around the fleet core.
//!
//! ```text
//! tls ─► api/agent ─► sessions ─► ingest ─► store ─► effects (owns hafleet_fleet::Fleet) ─► store ─► notify
//!                                                                                      └─► probes, by sessions
//!                                                       effects ─► fencing ─► agents and fence programs
//! tls ─► api/operator ─► effects (views) and store
//!                    └─► orders ─► store ─► actuator/agent ─► sessions ─► the agents' answers
//! ```

pub mod actuator;
pub mod api;
pub mod audit;
mod backoff;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod effects;
pub mod fencing;
pub mod finding;
pub mod health;
pub mod identity;
pub mod ingest;
pub mod init;
pub mod notify;
pub mod orders;
pub mod push;
pub mod sealing;
pub mod serve;
pub mod sessions;
pub mod shared;
pub mod store;
pub mod tls;
