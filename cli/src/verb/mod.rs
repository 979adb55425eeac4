//! The verbs, one file each.

pub mod completion;
pub mod config;
pub mod context;
pub mod describe;
pub mod doctor;
pub mod explain;
pub mod fence;
pub mod get;
pub mod maintenance;
pub mod node;
pub mod status;
pub mod switchover;
pub mod user;
pub mod watch;

use hafleet_proto::v1::{Fleet, GetFleetRequest};

use crate::{cli::Verb, connect::Coordinators, exit::Exit, failure::Failure, invocation::Invocation};

/// Do what was asked.
pub async fn run(verb: Verb, invocation: &Invocation) -> Result<Exit, Failure> {
    match verb {
        Verb::Status(args) => status::run(&args, invocation).await,
        Verb::Get(args) => get::run(args, invocation).await,
        Verb::Describe(args) => describe::run(args, invocation).await,
        Verb::Watch(args) => watch::run(&args, invocation).await,
        Verb::Explain(args) => explain::run(args, invocation).await,
        Verb::Switchover(args) => switchover::run(args, invocation).await,
        Verb::Maintenance(args) => maintenance::run(args, invocation).await,
        Verb::Config(args) => config::run(args, invocation).await,
        Verb::Fence(args) => fence::run(args, invocation).await,
        Verb::Node(args) => node::run(args, invocation).await,
        Verb::User(args) => user::run(args, invocation).await,
        Verb::Context(args) => context::run(args, invocation),
        Verb::Completion(args) => completion::run(&args, invocation),
        Verb::Doctor(args) => doctor::run(args, invocation).await,
    }
}

/// The whole fleet.
pub async fn fleet(coordinators: &mut Coordinators) -> Result<Fleet, Failure> {
    let answer = coordinators
        .call("read the fleet", GetFleetRequest {}, async |client, request| client.get_fleet(request).await)
        .await?;
    Ok(answer)
}
