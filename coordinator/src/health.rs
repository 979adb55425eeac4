//! Whether the coordinator can do its work, for gRPC health.

use tokio::sync::watch;

/// Counts troubles that last. Clones count together.
#[derive(Clone, Debug)]
pub struct Health {
    troubles: watch::Sender<usize>,
}

/// One trouble; it is over when this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Trouble {
    troubles: watch::Sender<usize>,
}

impl Default for Health {
    fn default() -> Self {
        Self { troubles: watch::Sender::new(0) }
    }
}

impl Health {
    /// Something does not work from now on.
    pub fn trouble(&self) -> Trouble {
        self.troubles.send_modify(|count| *count += 1);
        Trouble { troubles: self.troubles.clone() }
    }

    /// Everything works.
    pub fn is_well(&self) -> bool {
        *self.troubles.borrow() == 0
    }

    /// To wait for changes.
    pub fn watch(&self) -> watch::Receiver<usize> {
        self.troubles.subscribe()
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        self.troubles.send_modify(|count| *count = count.saturating_sub(1));
    }
}
