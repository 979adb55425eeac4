//! Fencing in worlds whose truth is known: each rule, the whole table, and a simulation of everything that can go wrong.
#![allow(clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "../fleet/chance.rs"]
mod chance;
mod evidence;
mod inhibition;
mod lab;
mod ladder;
mod late;
mod limits;
#[allow(dead_code, reason = "shared with the tests of detection")]
#[path = "../fleet/network.rs"]
mod network;
mod orders;
mod people;
mod promise;
mod reach;
mod restart;
mod simulation;
mod survivor;
mod table;
mod witness;
#[allow(dead_code, reason = "shared with the tests of detection")]
#[path = "../fleet/world.rs"]
mod world;
