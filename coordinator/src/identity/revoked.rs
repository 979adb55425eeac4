//! Which nodes' access was taken away: the store's word, held in memory so that every heartbeat can ask.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

use hafleet_fleet::NodeName;

/// The revoked names. A name stays revoked for good; a host that is to come back gets another name.
#[derive(Clone, Debug, Default)]
pub struct RevokedNodes {
    names: Arc<RwLock<BTreeSet<NodeName>>>,
}

impl RevokedNodes {
    /// Those that the store knows.
    pub fn new(names: impl IntoIterator<Item = NodeName>) -> Self {
        Self { names: Arc::new(RwLock::new(names.into_iter().collect())) }
    }

    /// Whether this node is refused.
    pub fn contains(&self, node: &NodeName) -> bool {
        self.names.read().unwrap_or_else(PoisonError::into_inner).contains(node)
    }

    /// From now on it is. The store must know already.
    pub fn insert(&self, node: NodeName) {
        self.names.write().unwrap_or_else(PoisonError::into_inner).insert(node);
    }
}
