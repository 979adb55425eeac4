//! What the fleet core says about worlds whose truth is known.
#![allow(clippy::panic, reason = "helpers of tests fail as tests do")]

mod chance;
mod config;
mod documentation;
mod lost;
mod many;
mod network;
mod no_master;
mod orders;
mod orphan;
mod planned;
mod properties;
mod quiet;
mod rejected;
mod restart;
mod scale;
mod simulation;
mod split_brain;
mod transient;
mod unheard;
mod views;
mod witnesses;
mod world;
