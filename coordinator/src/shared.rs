//! What every task of the coordinator works with.

use std::{sync::Arc, time::Duration};

use hafleet_proto::v1;
use tokio::sync::{broadcast, watch};

use crate::{
    actuator::agent::AgentActuator,
    audit::AuditLog,
    clock::Clock,
    effects::FleetHandle,
    fencing::{references::Reached, steps::Steps},
    health::Health,
    identity::{ca::Ca, revoked::RevokedNodes},
    orders::Orders,
    push::Pushes,
    sessions::roster::Roster,
    store::Store,
    tls::RefusedHandshakes,
};

/// Changes that a watcher may lag behind by before it misses some.
pub const CHANGES_MAX: usize = 1024;

/// Everything that is shared. There is one, in an [`Arc`].
pub struct Shared {
    /// Dates things.
    pub clock: Clock,
    /// The memory.
    pub store: Store,
    /// Who signs.
    pub ca: Ca,
    /// How long a node's certificate is valid.
    pub node_certificate_lifetime: Duration,
    /// What was asked and refused.
    pub audit: AuditLog,
    /// Handshakes that came to nothing.
    pub refused: Arc<RefusedHandshakes>,
    /// Whose access was taken away.
    pub revoked: RevokedNodes,
    /// Streams and last words.
    pub roster: Arc<Roster>,
    /// What nodes are told to do over their configuration.
    pub orders: Orders,
    /// What is asked of agents.
    pub agents: Arc<AgentActuator>,
    /// What is done to nodes and their fence devices.
    pub steps: Arc<Steps>,
    /// What the coordinator itself reaches.
    pub references: Reached,
    /// The fleet's configuration on its way to them.
    pub pushes: Pushes,
    /// The task that owns the fleet core.
    pub fleet: FleetHandle,
    /// What watchers are told.
    pub changes: broadcast::Sender<Change>,
    /// Whether everything works.
    pub health: Health,
    /// Becomes true when the coordinator ends.
    pub closing: watch::Receiver<bool>,
}

/// Something that a watcher wants to know.
#[derive(Clone, Debug)]
pub enum Change {
    /// A transition was committed.
    Transition(v1::TransitionRecord),
    /// A finding was committed.
    Finding(v1::Finding),
    /// A node came, went or fell silent, or a group changed its holder or state.
    Fleet,
}

impl Shared {
    /// Returns when the coordinator ends.
    pub async fn closing(&self) {
        let mut closing = self.closing.clone();
        // An error means that nobody can end it any more, which is an end too.
        let _ = closing.wait_for(|closing| *closing).await;
    }
}
