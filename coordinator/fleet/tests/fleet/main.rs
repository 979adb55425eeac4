//! What the fleet core says about worlds whose truth is known.

mod chance;
mod network;
mod split_brain;
mod world;
