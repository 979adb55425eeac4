//! When a check's task shall end.

use tokio::sync::watch;

/// Says that a check is no longer wanted, or that all are over.
#[derive(Clone, Debug)]
pub(super) struct Leave {
    gone: watch::Receiver<()>,
    over: watch::Receiver<bool>,
}

impl Leave {
    /// `gone` by its sender's end, `over` by `true` or its sender's end.
    pub(super) fn new(gone: watch::Receiver<()>, over: watch::Receiver<bool>) -> Self {
        Self { gone, over }
    }

    /// Returns when the check is no longer wanted.
    pub(super) async fn asked(&mut self) {
        let gone = async { while self.gone.changed().await.is_ok() {} };
        tokio::select! {
            () = gone => {}
            _ = self.over.wait_for(|is_over| *is_over) => {}
        }
    }

    /// Returns when everything ends, and there is little time left.
    pub(super) async fn over(&mut self) {
        let _ = self.over.wait_for(|is_over| *is_over).await;
    }
}
