//! hactl: the operator's command line. It speaks only the operator API of `hafleet.v1`.
//!
//! ```text
//! cli ─► invocation ─► verb/<verb> ─► connect (TLS 1.3, several coordinators) ─► coordinator
//!                         │
//!                         └► shape (JSON, a contract) or look + grid (text for people)
//! ```
//! One task on one thread; nothing runs beside a verb, so that dropping it is always safe.

mod address;
mod cli;
mod confirm;
mod connect;
mod context;
mod duration;
mod exit;
mod failure;
mod grid;
mod group_name;
mod invocation;
mod look;
mod paragraphs;
mod shape;
mod verb;
mod verdict;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{cli::Cli, exit::Exit, failure::Failure, invocation::Invocation};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let invocation = Invocation::new(cli.globals);
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)
        .and_then(|runtime| runtime.block_on(verb::run(cli.verb, &invocation)));
    match outcome {
        Ok(exit) => exit.into(),
        // The reader of a pipe (`hactl … | head`) has seen enough.
        Err(failure) if failure.is_closed_pipe() => Exit::Fine.into(),
        Err(failure) => {
            failure.print();
            failure.exit().into()
        }
    }
}
