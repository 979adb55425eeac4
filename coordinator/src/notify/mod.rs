//! Telling people: a persisted outbox, one worker per receiver.
//!
//! A message is a row that was committed together with the finding it tells of; it is gone from the queue only when its
//! receiver took it (at least once) or when its attempts are used up, which is logged and stays in the table. Each
//! receiver has its own task and its own order (oldest first, so that "resolved" never overtakes "firing"); one that
//! fails makes nobody else wait.

mod email;
mod log;
pub mod message;
mod webhook;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use crate::{
    backoff::{self, Backoff},
    clock::Clock,
    config::{Receiver, ReceiverKind},
    finding::Record,
    health::Health,
    store::{OutboxRow, Store, StoreError},
};

/// The receiver that is there when none is configured.
pub const DEFAULT_RECEIVER: &str = "log";

/// Attempts for a message that may yet be taken: with the waits below, half an hour.
const ATTEMPTS_MAX: u32 = 12;
/// Attempts for a message that the receiver will not have.
const ATTEMPTS_REJECTED_MAX: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Messages that may wait for one receiver; the oldest beyond it are given up.
const WAITING_MAX: usize = 1000;
/// Looked at in one go, over all receivers.
const LOOK_MAX: u32 = crate::store::MAX_ROWS;

/// A message was not taken.
#[derive(Debug)]
pub struct NotTaken {
    /// Why, in words.
    pub why: String,
    /// Trying again will hardly help.
    pub rejected: bool,
}

/// Why a receiver cannot be served at all.
#[derive(Debug, thiserror::Error)]
#[error("receiver `{receiver}` cannot be used: {why}")]
pub struct ReceiverError {
    receiver: String,
    why: String,
}

/// A message on its way.
pub struct Letter<'a> {
    /// Its number, the same at every attempt.
    pub id: i64,
    /// What it tells.
    pub record: &'a Record,
    /// Where people find the coordinator; may be empty.
    pub external_url: &'a str,
    /// When it is sent, microseconds since the Unix epoch.
    pub now_us: i64,
}

enum Channel {
    Log,
    Webhook(webhook::Webhook),
    Email(Box<email::Email>),
}

impl Channel {
    fn open(receiver: &Receiver) -> Result<Self, ReceiverError> {
        let error = |why| ReceiverError { receiver: receiver.name.clone(), why };
        Ok(match &receiver.kind {
            ReceiverKind::Log => Self::Log,
            ReceiverKind::Webhook(config) => {
                Self::Webhook(webhook::Webhook::new(&receiver.name, config).map_err(error)?)
            }
            ReceiverKind::Email(config) => Self::Email(Box::new(email::Email::new(config).map_err(error)?)),
        })
    }

    async fn deliver(&self, letter: &Letter<'_>) -> Result<(), NotTaken> {
        match self {
            Self::Log => {
                log::deliver(letter);
                Ok(())
            }
            Self::Webhook(webhook) => webhook.deliver(letter).await,
            Self::Email(email) => email.deliver(letter).await,
        }
    }
}

/// What the workers work with.
#[derive(Clone)]
pub struct Parts {
    /// The outbox.
    pub store: Store,
    /// Dates things.
    pub clock: Clock,
    /// Told while the database does not answer.
    pub health: Health,
    /// Woken when there is a new message.
    pub outbox: Arc<Notify>,
    /// Where people find the coordinator; may be empty.
    pub external_url: String,
    /// Becomes true when the coordinator ends.
    pub closing: watch::Receiver<bool>,
}

/// The configured receivers, or the log.
pub fn receivers(configured: &[Receiver]) -> Vec<Receiver> {
    if configured.is_empty() {
        vec![Receiver { name: DEFAULT_RECEIVER.into(), kind: ReceiverKind::Log }]
    } else {
        configured.to_vec()
    }
}

/// Says whether every receiver's settings can be used; nothing is sent.
pub fn check(receivers: &[Receiver]) -> Result<(), ReceiverError> {
    receivers.iter().try_for_each(|receiver| Channel::open(receiver).map(drop))
}

/// Starts a worker per receiver. Messages for receivers that are configured no more are given up first.
pub async fn start(parts: Parts, receivers: &[Receiver]) -> Result<JoinSet<()>, NotifyError> {
    let channels: Vec<(String, Channel)> = receivers
        .iter()
        .map(|receiver| Ok((receiver.name.clone(), Channel::open(receiver)?)))
        .collect::<Result<_, ReceiverError>>()?;
    for row in parts.store.due_outbox(i64::MAX, LOOK_MAX).await? {
        if !channels.iter().any(|(name, _)| *name == row.receiver) {
            let why = format!("the receiver `{}` is not configured any more", row.receiver);
            tracing::warn!(message = row.id, finding = row.finding_id, "gave up a message: {why}");
            parts.store.give_up(row.id, &why, parts.clock.now_us()).await?;
        }
    }
    let mut workers = JoinSet::new();
    let mut wakes = Vec::new();
    for (name, channel) in channels {
        let wake = Arc::new(Notify::new());
        wakes.push(Arc::clone(&wake));
        workers.spawn(Worker { parts: parts.clone(), name, channel, wake }.run());
    }
    workers.spawn(wake_all(parts, wakes));
    Ok(workers)
}

/// Why there are no workers.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// A receiver's settings cannot be used.
    #[error(transparent)]
    Receiver(#[from] ReceiverError),
    /// The outbox cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

async fn wake_all(parts: Parts, wakes: Vec<Arc<Notify>>) {
    let mut closing = parts.closing.clone();
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = parts.outbox.notified() => wakes.iter().for_each(|wake| wake.notify_one()),
        }
    }
}

struct Worker {
    parts: Parts,
    name: String,
    channel: Channel,
    wake: Arc<Notify>,
}

impl Worker {
    async fn run(self) {
        let mut closing = self.parts.closing.clone();
        // An attempt that the end interrupts is made again after the next start: at least once.
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => {}
            () = self.work() => {}
        }
    }

    async fn work(&self) {
        let mut backoff = Backoff::STORE;
        let mut trouble = None;
        loop {
            match self.pass().await {
                Ok(None) => {
                    (backoff, trouble) = (Backoff::STORE, None);
                    self.wake.notified().await;
                }
                Ok(Some(wait)) => {
                    (backoff, trouble) = (Backoff::STORE, None);
                    tokio::time::sleep(wait).await;
                }
                Err(error) => {
                    trouble.get_or_insert_with(|| self.parts.health.trouble());
                    let wait = backoff.next();
                    let error = anyhow::Error::new(error);
                    tracing::error!(
                        receiver = self.name,
                        "{error:#}; trying again in {} ms",
                        wait.as_millis()
                    );
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Delivers what it can. `Some(wait)` when the oldest message must wait, `None` when there is none.
    async fn pass(&self) -> Result<Option<Duration>, StoreError> {
        let mut waiting = self.parts.store.due_outbox(i64::MAX, LOOK_MAX).await?;
        waiting.retain(|row| row.receiver == self.name);
        waiting.sort_unstable_by_key(|row| row.id);
        let beyond = waiting.len().saturating_sub(WAITING_MAX);
        for row in waiting.drain(..beyond) {
            self.give_up(&row, &format!("more than {WAITING_MAX} messages wait for the receiver")).await?;
        }
        for row in &waiting {
            let wait_us = row.next_attempt_us.saturating_sub(self.parts.clock.now_us());
            if let Ok(wait_us @ 1..) = u64::try_from(wait_us) {
                return Ok(Some(Duration::from_micros(wait_us)));
            }
            if let Some(wait) = self.attempt(row).await? {
                return Ok(Some(wait));
            }
        }
        // Something may have come in the meantime.
        Ok(if waiting.is_empty() { None } else { Some(Duration::ZERO) })
    }

    /// One attempt. `Some(wait)` when the message is to be tried again.
    async fn attempt(&self, row: &OutboxRow) -> Result<Option<Duration>, StoreError> {
        let record: Record = match serde_json::from_str(&row.body) {
            Ok(record) => record,
            Err(error) => {
                self.give_up(row, &format!("the message cannot be read: {error}")).await?;
                return Ok(None);
            }
        };
        let now_us = self.parts.clock.now_us();
        let letter = Letter { id: row.id, record: &record, external_url: &self.parts.external_url, now_us };
        let Err(not_taken) = self.channel.deliver(&letter).await else {
            self.parts.store.delivered(row.id, self.parts.clock.now_us()).await?;
            tracing::debug!(receiver = self.name, message = row.id, finding = row.finding_id, "delivered");
            return Ok(None);
        };
        let attempts = row.attempts.saturating_add(1);
        let most = if not_taken.rejected { ATTEMPTS_REJECTED_MAX } else { ATTEMPTS_MAX };
        if attempts >= most {
            self.give_up(row, &format!("{} (attempt {attempts}, the last)", not_taken.why)).await?;
            return Ok(None);
        }
        let wait = backoff::after_attempts(attempts, FIRST_WAIT, LONGEST_WAIT);
        let wait_us = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        let next_us = self.parts.clock.now_us().saturating_add(wait_us);
        tracing::warn!(
            receiver = self.name,
            message = row.id,
            finding = row.finding_id,
            attempts,
            "not delivered: {}; trying again in {} s",
            not_taken.why,
            wait.as_secs()
        );
        self.parts.store.delivery_failed(row.id, &not_taken.why, attempts, next_us).await?;
        Ok(Some(wait))
    }

    async fn give_up(&self, row: &OutboxRow, why: &str) -> Result<(), StoreError> {
        tracing::error!(
            receiver = self.name,
            message = row.id,
            finding = row.finding_id,
            "gave up a message: {why}"
        );
        self.parts.store.give_up(row.id, why, self.parts.clock.now_us()).await
    }
}
