//! Telling people: a persisted outbox, one worker per receiver.
//!
//! A message is a row that was committed together with the finding it tells of; it is gone from the queue only when its
//! receiver took it (at least once) or when it was given up, which is logged and stays in the table: the receiver rejected it for
//! good, a newer one says more, or too many wait. A receiver that is away is tried for as long as it takes. Each
//! receiver has its own task and its own order (oldest first, so that "resolved" never overtakes "firing"); one that
//! fails makes nobody else wait.

mod email;
mod log;
pub mod message;
mod waiting;
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
    notify::waiting::Sorted,
    store::{OutboxRow, Store, StoreError},
};

/// The receiver that is there when none is configured.
pub const DEFAULT_RECEIVER: &str = "log";

/// How often a receiver may reject a message before it is given up.
const REJECTIONS_MAX: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Looked at in one go, of one receiver.
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
    for receiver in parts.store.waiting_receivers().await? {
        if !channels.iter().any(|(name, _)| *name == receiver) {
            let why = format!("the receiver `{receiver}` is not configured any more");
            let messages = parts.store.give_up_all(&receiver, &why, parts.clock.now_us()).await?;
            tracing::warn!(messages, "gave up messages: {why}");
        }
    }
    let mut workers = JoinSet::new();
    let mut wakes = Vec::new();
    for (name, channel) in channels {
        let wake = Arc::new(Notify::new());
        wakes.push(Arc::clone(&wake));
        workers.spawn(Worker { parts: parts.clone(), name, channel, wake, rejections: (0, 0) }.run());
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
    /// Which message was rejected last, and how often in this life of the coordinator.
    rejections: (i64, u32),
}

impl Worker {
    async fn run(mut self) {
        let mut closing = self.parts.closing.clone();
        // An attempt that the end interrupts is made again after the next start: at least once.
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
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
    async fn pass(&mut self) -> Result<Option<Duration>, StoreError> {
        let waiting = self.parts.store.waiting_outbox(&self.name, LOOK_MAX).await?;
        let Sorted { try_now: waiting, give_up } = waiting::sort_out(waiting, self.parts.clock.now_us());
        for (row, why) in &give_up {
            self.give_up(row, why).await?;
        }
        for row in &waiting {
            if let Some(wait) = waiting::wait(row.next_attempt_us, self.parts.clock.now_us()) {
                return Ok(Some(wait));
            }
            if let Some(wait) = self.attempt(row).await? {
                return Ok(Some(wait));
            }
        }
        // Something may have come in the meantime.
        Ok(if waiting.is_empty() { None } else { Some(Duration::ZERO) })
    }

    /// One attempt. `Some(wait)` when the message is to be tried again.
    async fn attempt(&mut self, row: &OutboxRow) -> Result<Option<Duration>, StoreError> {
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
        if not_taken.rejected {
            let before = if self.rejections.0 == row.id { self.rejections.1 } else { 0 };
            self.rejections = (row.id, before.saturating_add(1));
            if self.rejections.1 >= REJECTIONS_MAX {
                let why = format!("{} (rejected {REJECTIONS_MAX} times; attempt {attempts})", not_taken.why);
                self.give_up(row, &why).await?;
                return Ok(None);
            }
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
