//! From an agent's journal into the store: checked, committed, then acknowledged, then told to the core.
//!
//! The store decides what is new by (node, journal, sequence); what it has is left alone. A database that does not
//! answer is tried again and again, and makes only this stream wait. What the database will never take is refused.

use hafleet_fleet::{Input, NodeName};
use hafleet_proto::v1;

use crate::{
    backoff::Backoff,
    effects::FleetGone,
    sessions::border::{self, Malformed},
    shared::{Change, Shared},
    store::{AppendOutcome, EventBatch, EventRow, Happening, StoreError},
};

/// Events of one batch.
pub const BATCH_MAX: usize = 256;

/// One node's journal, as its present stream tells it.
#[derive(Clone, Debug)]
pub struct JournalReader {
    node: NodeName,
    journal_id: String,
    first_seq: u64,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A field cannot be right.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A hole where there can be none, or a value that the database does not take, however often it is asked.
    #[error("{0}")]
    Unfit(#[source] StoreError),
    /// The coordinator ends.
    #[error(transparent)]
    Gone(#[from] FleetGone),
}

impl JournalReader {
    /// `first_seq` is the oldest event that the journal still holds.
    pub fn new(node: NodeName, journal_id: String, first_seq: u64) -> Self {
        Self { node, journal_id, first_seq }
    }

    /// Notes where the journal begins now and says how far it is committed.
    pub async fn begin(&self, shared: &Shared) -> Result<AppendOutcome, IngestError> {
        self.append(shared, &[], shared.clock.now_us()).await
    }

    /// Commits a batch. `acknowledge` is called after the commit, before the core is told.
    pub async fn take(
        &self,
        shared: &Shared,
        batch: &v1::JournalBatch,
        acknowledge: impl AsyncFnOnce(u64),
    ) -> Result<AppendOutcome, IngestError> {
        let rows = self.rows(batch)?;
        let received_us = shared.clock.now_us();
        let outcome = self.append(shared, &rows, received_us).await?;
        acknowledge(outcome.acked_seq).await;
        let known = usize::try_from(outcome.duplicates).unwrap_or(usize::MAX);
        for event in batch.events.iter().skip(known) {
            self.tell(shared, event, received_us).await?;
        }
        Ok(outcome)
    }

    fn rows(&self, batch: &v1::JournalBatch) -> Result<Vec<EventRow>, Malformed> {
        if batch.events.len() > BATCH_MAX {
            let what = format!("{} events; a batch has at most {BATCH_MAX}", batch.events.len());
            return Err(Malformed { field: "journal.events".into(), what });
        }
        let row = |(index, event)| {
            self.row(event).map_err(|error| Malformed {
                field: format!("journal.events[{index}].{}", error.field),
                ..error
            })
        };
        batch.events.iter().enumerate().map(row).collect()
    }

    fn row(&self, event: &v1::Event) -> Result<EventRow, Malformed> {
        let malformed = |field: &str, what: String| Malformed { field: field.to_owned(), what };
        let stamp = event.stamp.as_ref().ok_or_else(|| malformed("stamp", "is missing".into()))?;
        if stamp.journal_id != self.journal_id {
            let what =
                format!("`{}` is not the journal `{}` that Hello named", stamp.journal_id, self.journal_id);
            return Err(malformed("stamp.journal_id", what));
        }
        if stamp.seq == 0 {
            return Err(malformed("stamp.seq", "0; the first event is 1".into()));
        }
        use v1::event::Event;
        let event = event.event.as_ref().ok_or_else(|| malformed("event", "is missing or unknown".into()))?;
        let (what, reason, detail) = match event {
            Event::Transition(transition) => {
                let change = border::state_change(stamp, transition)
                    .map_err(|error| malformed(&format!("transition.{}", error.field), error.what))?;
                let happening = Happening::Transition {
                    instance: change.instance,
                    vrid: change.vrid,
                    from: change.from,
                    to: change.to,
                };
                (happening, change.reason, border::text("transition.detail", &transition.detail)?)
            }
            Event::Started(started) => {
                (Happening::Started, "started".into(), border::text("started.version", &started.version)?)
            }
            Event::Stopped(stopped) => {
                (Happening::Stopped, border::text("stopped.reason", &stopped.reason)?, String::new())
            }
            Event::Lost(lost) => (
                Happening::Lost,
                border::text("lost.at", &lost.at)?,
                format!("{} events were lost", lost.count),
            ),
            Event::Configuration(configuration) => (
                Happening::Configuration,
                border::text("configuration.what", &configuration.what)?,
                border::text("configuration.detail", &configuration.detail)?,
            ),
            Event::Address(address) => {
                let detail = format!("{}: {}", address.address, address.detail);
                let happening = Happening::Address {
                    instance: border::optional_name("address.instance", &address.instance)?,
                };
                (
                    happening,
                    border::text("address.what", &address.what)?,
                    border::text("address.detail", &detail)?,
                )
            }
        };
        Ok(EventRow { seq: stamp.seq, what, reason, detail, at_us: stamp.at_us, mono_us: stamp.mono_us })
    }

    async fn append(
        &self,
        shared: &Shared,
        events: &[EventRow],
        received_us: i64,
    ) -> Result<AppendOutcome, IngestError> {
        let mut backoff = Backoff::STORE;
        let mut trouble = None;
        loop {
            let batch = EventBatch {
                node: &self.node.0,
                journal_id: &self.journal_id,
                first_seq: self.first_seq,
                events,
                received_us,
            };
            let error = match shared.store.append_events(batch).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) if error.is_for_good() => return Err(IngestError::Unfit(error)),
                Err(error) => error,
            };
            trouble.get_or_insert_with(|| shared.health.trouble());
            let wait = backoff.next();
            let error = anyhow::Error::new(error);
            tracing::error!(node = %self.node, "{error:#}; trying again in {} ms", wait.as_millis());
            tokio::time::sleep(wait).await;
        }
    }

    /// What was committed becomes history for the core and news for watchers.
    async fn tell(&self, shared: &Shared, event: &v1::Event, received_us: i64) -> Result<(), IngestError> {
        let (Some(stamp), Some(v1::event::Event::Transition(transition))) = (&event.stamp, &event.event)
        else {
            return Ok(());
        };
        let change = border::state_change(stamp, transition)?;
        let record = v1::TransitionRecord {
            node: self.node.0.clone(),
            instance: transition.instance.clone(),
            vrid: transition.vrid,
            from: transition.from,
            to: transition.to,
            reason: transition.reason.clone(),
            detail: transition.detail.clone(),
            at_us: stamp.at_us,
            received_at_us: received_us,
            seq: stamp.seq,
            journal_id: stamp.journal_id.clone(),
        };
        // An error means that nobody watches.
        let _ = shared.changes.send(Change::Transition(record));
        shared.fleet.tell(Input::Transition { node: self.node.clone(), change }, shared.clock.now()).await?;
        Ok(())
    }
}
