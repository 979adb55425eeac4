//! What the fleet core says about worlds whose truth is known.

mod chance;
mod config;
mod lost;
mod network;
mod no_master;
mod orphan;
mod quiet;
mod split_brain;
mod transient;
mod witnesses;
mod world;
