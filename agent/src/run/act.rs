//! What a coordinator may ask of this node, one thing after the other: standing orders, and configurations that it pushes.
//!
//! | what | before it counts |
//! | --- | --- |
//! | an order | it is on the disk |
//! | a configuration staged | it was checked like a local file, and is on the disk |
//! | a configuration committed | the pointer to it is on the disk, with the time by which it must be confirmed |
//!
//! All of it is done by the task that also takes signals: a reload and a commit never meet. Files are written on a thread that may wait
//! for the disk. Whoever asks may go away in between: what was begun is finished, and the same request again finds it done.

mod announce;
mod orders;
mod pushed;
mod request;

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use hafleet_proto::v1;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use self::{
    announce::Announced,
    request::{Act, Request},
};
use super::{Door, EngineClient};
use crate::{
    clock,
    driver::Standing,
    orders::{Book, Order},
    push::{Clocks, Push, PushStatus},
};

/// Requests that may wait; whoever sends one more waits.
const REQUEST_QUEUE_LEN: usize = 64;
/// Answers remembered, for requests that come again.
const ANSWERS_MAX: usize = 64;
/// How often it is looked whether an order or the time to confirm is over, and whether the engine knows everything.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Before what should run and does not is tried again; twice as long after every failure, up to the longest.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);
const TRY_AGAIN_AFTER_MAX: Duration = Duration::from_secs(3600);
/// No answer's words are longer, in bytes.
const DETAIL_LEN_MAX: usize = 4096;

/// How what a coordinator asked for stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActStatus {
    /// The orders that stand.
    pub orders: Vec<Order>,
    /// Why every instance is held back, and what to do about it; `None` when the orders can be read.
    pub orders_error: Option<String>,
    /// What was pushed.
    pub push: PushStatus,
}

/// Why something is not done.
#[derive(Debug)]
pub(super) struct Refusal {
    /// A stable code.
    pub reason: &'static str,
    /// In words.
    pub detail: String,
}

impl Refusal {
    pub(super) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// What is done, in words; or why it is not.
pub(super) type Done = Result<String, Refusal>;

/// Asks for something to be done. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct ActClient(mpsc::Sender<Asked>);

/// A request, and whom to answer.
#[derive(Debug)]
pub struct Asked {
    request: v1::Request,
    reply: oneshot::Sender<v1::Answer>,
}

impl ActClient {
    /// A client, and the end that its requests come out at.
    pub fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (asks, asked) = mpsc::channel(REQUEST_QUEUE_LEN);
        (Self(asks), asked)
    }

    /// Has it done; `None` when the agent ends meanwhile.
    pub async fn ask(&self, request: v1::Request) -> Option<v1::Answer> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Asked { request, reply }).await.ok()?;
        answer.await.ok()
    }
}

impl Asked {
    /// What is asked for, and whom to answer.
    pub fn into_parts(self) -> (v1::Request, oneshot::Sender<v1::Answer>) {
        (self.request, self.reply)
    }
}

/// What there is to do next.
#[derive(Debug)]
pub(super) enum Work {
    Asked(Asked),
    /// Something that was begun earlier.
    Answered(Box<Announced>),
    Look,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Acts {
    door: Door,
    book: Book,
    push: Push,
    engine: EngineClient,
    asked: mpsc::Receiver<Asked>,
    status: watch::Sender<ActStatus>,
    answered: VecDeque<v1::Answer>,
    /// What is being announced again.
    announcing: JoinSet<Announced>,
    /// What the engine was told last and has taken.
    told: Option<Standing>,
    /// The pushed generation that is part of what runs.
    applied: Option<u64>,
    look_at: Instant,
    try_again_at: Instant,
    try_again_after: Duration,
    /// When the file is rid of orders that are over, at the earliest.
    sweep_at: Instant,
}

impl Acts {
    /// Of an agent whose engine was started with what `book` says at the start, and with the generation `applied`.
    pub(super) fn new(
        door: Door,
        book: Book,
        push: Push,
        applied: Option<u64>,
        engine: EngineClient,
        asked: mpsc::Receiver<Asked>,
    ) -> Self {
        let now = Instant::now();
        let acts = Self {
            door,
            book,
            push,
            engine,
            asked,
            status: watch::Sender::default(),
            answered: VecDeque::new(),
            announcing: JoinSet::new(),
            told: None,
            applied,
            look_at: now,
            try_again_at: now + TRY_AGAIN_AFTER,
            try_again_after: TRY_AGAIN_AFTER,
            sweep_at: now,
        };
        acts.publish();
        acts
    }

    /// How it stands.
    pub(super) fn status(&self) -> watch::Receiver<ActStatus> {
        self.status.subscribe()
    }

    /// The next thing to do; nothing is lost when this is dropped.
    pub(super) async fn next(&mut self) -> Work {
        tokio::select! {
            Some(asked) = self.asked.recv() => Work::Asked(asked),
            Some(Ok(announced)) = self.announcing.join_next() => Work::Answered(Box::new(announced)),
            () = sleep_until(self.look_at) => Work::Look,
        }
    }

    /// Does it.
    pub(super) async fn perform(&mut self, work: Work) {
        match work {
            Work::Asked(Asked { request, reply }) => {
                if let Some((answer, reply)) = self.answer(request, reply).await {
                    // Whoever has the answer finds the present to be so.
                    self.publish();
                    // Whoever asked may have gone, and asks again.
                    let _ = reply.send(answer);
                }
            }
            Work::Answered(announced) => {
                let (answer, reply) = *announced;
                self.remember(&answer);
                // Likewise.
                let _ = reply.send(answer);
            }
            Work::Look => {
                self.look().await;
                self.publish();
            }
        }
    }

    /// SIGHUP. What could not be read is looked at again, too.
    pub(super) async fn reload(&mut self) {
        if self.book.look_again() {
            tracing::info!("the standing orders can be read again");
        }
        if self.push.look_again() {
            tracing::info!("what was pushed can be read again");
        }
        self.door.reload().await;
        self.try_again_at = Instant::now();
        self.look().await;
        self.publish();
    }

    /// Nothing is done any more.
    pub(super) async fn close(self) {
        self.door.close().await;
    }

    /// The answer and whom to give it to; `None` when it takes its time.
    async fn answer(
        &mut self,
        request: v1::Request,
        reply: oneshot::Sender<v1::Answer>,
    ) -> Option<(v1::Answer, oneshot::Sender<v1::Answer>)> {
        if let Some(answer) = self.answered.iter().find(|answer| answer.id == request.id) {
            return Some((answer.clone(), reply));
        }
        let mut id = request.id.clone();
        id.truncate(id.floor_char_boundary(request::ID_LEN_MAX));
        // It asks how things are now, and changes nothing: an answer from before says nothing.
        let is_question = matches!(request.request, Some(v1::request::Request::Check(_)));
        let done = match Request::try_from(request) {
            Ok(Request::Announce { instances }) => {
                self.announce(id, instances, reply);
                return None;
            }
            Ok(Request::Act(act)) => self.act(act).await,
            Err(invalid) => Err(Refusal::new("invalid", invalid.to_string())),
        };
        let answer = answer_of(id, done);
        if !is_question {
            self.remember(&answer);
        }
        Some((answer, reply))
    }

    /// What was not done can be tried again: it has changed nothing.
    fn remember(&mut self, answer: &v1::Answer) {
        if !answer.done {
            return;
        }
        if self.answered.len() >= ANSWERS_MAX {
            self.answered.pop_front();
        }
        self.answered.push_back(answer.clone());
    }

    async fn act(&mut self, act: Act) -> Done {
        match act {
            Act::Give(order) => self.give(order).await,
            Act::Withdraw { order_id } => self.withdraw(&order_id).await,
            Act::Stage { generation, text } => self.stage(generation, text).await,
            Act::Commit { number, within_us } => self.commit(number, within_us).await,
            Act::Confirm { number } => self.confirm(number).await,
            Act::RollBack { number } => self.roll_back(number).await,
            Act::Check { text } => self.check(text).await,
        }
    }

    /// What time has brought, and what the engine does not know yet.
    async fn look(&mut self) {
        self.end_orders().await;
        let standing = self.book.standing(clock::wall_us());
        if self.told.as_ref() != Some(&standing) {
            self.tell(standing, BTreeSet::new()).await.map_or_else(
                |error| tracing::error!("the engine does not know the standing orders yet: {error}"),
                drop,
            );
        }
        self.end_what_is_unconfirmed().await;
        let left = self.push.pointer().confirm.as_ref().map(|confirm| confirm.left_us(&Clocks::now()));
        let left = left.map_or(LOOK_EVERY, Duration::from_micros);
        self.look_at = Instant::now() + left.min(LOOK_EVERY).max(Duration::from_millis(10));
    }

    fn publish(&self) {
        let status = ActStatus {
            orders: self.book.orders().at(clock::wall_us()).all().to_vec(),
            orders_error: self.book.error(),
            push: self.push.status(),
        };
        self.status.send_if_modified(|before| {
            let is_new = *before != status;
            if is_new {
                *before = status;
            }
            is_new
        });
    }
}

fn answer_of(id: String, done: Done) -> v1::Answer {
    let (done, reason, mut detail) = match done {
        Ok(detail) => (true, String::new(), detail),
        Err(Refusal { reason, detail }) => {
            tracing::warn!(request = id, reason, "a coordinator's request is not done: {detail}");
            (false, reason.to_owned(), detail)
        }
    };
    detail.truncate(detail.floor_char_boundary(DETAIL_LEN_MAX));
    v1::Answer { id, done, reason, detail }
}

/// Does something with a value on a thread that may wait for the disk.
pub(super) async fn on_the_disk<T, R>(
    value: &T,
    act: impl FnOnce(&mut T) -> R + Send + 'static,
) -> Result<(T, R), Refusal>
where
    T: Clone + Send + 'static,
    R: Send + 'static,
{
    let mut value = value.clone();
    let done = tokio::task::spawn_blocking(move || {
        let result = act(&mut value);
        (value, result)
    });
    done.await.map_err(|error| Refusal::new("disk", format!("the thread for the disk ended: {error}")))
}

#[cfg(test)]
mod tests;
