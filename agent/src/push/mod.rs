//! Configurations that a coordinator pushed: staged, committed, confirmed or given up.
//!
//! ```text
//! StageConfig ─► parsed, held against local files and interfaces ─► <state dir>/pushed/7/agent.toml ─┐
//! CommitConfig ─► pointer: 7 runs, 6 before, until … ─► the engine                                   ├─ state.json, replaced
//! ConfirmConfig ─► pointer: 7 runs                                                                   │  whole each time
//! not in time, RollBackConfig ─► pointer: 6 runs, 7 given up ─► the engine                           ┘
//! ```
//!
//! The pointer is what counts, and is on the disk before anything runs differently: an agent that is killed anywhere goes on with the
//! old generation or the new one, whole. The time to confirm is the agent's own matter; it needs no coordinator, and goes on
//! over restarts of agent and host.

mod check;
mod pointer;
mod store;

use std::path::{Path, PathBuf};

use hafleet_proto::v1;

pub use check::{Usable, check, judge};
pub use pointer::{Clocks, Confirm, Generation, Pointer, RolledBack};

use self::store::Store;
use crate::{config::PushedText, disk::DiskError};

/// No pushed configuration is longer, in bytes.
pub const TEXT_LEN_MAX: usize = 200 * 1024;

/// A coordinator is told no more of what is wrong, in characters.
const ERROR_LEN_MAX: usize = 1000;

/// Why a configuration is not staged, committed, confirmed or given up.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// It cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A later one is here, or this one is none of those that are.
    #[error("{0}")]
    Stale(String),
    /// There is nothing to commit.
    #[error("{0}")]
    NothingStaged(String),
    /// It does not go together with what is here.
    #[error("{0}")]
    Conflict(String),
    /// The disk refuses.
    #[error("the configuration cannot be kept")]
    Disk(#[source] DiskError),
    /// What is on the disk is not what it should be.
    #[error("{0}")]
    Unreadable(String),
}

impl PushError {
    /// A stable code for the coordinator.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::Stale(_) => "stale_generation",
            Self::NothingStaged(_) => "nothing_staged",
            Self::Conflict(_) => "conflict",
            Self::Disk(_) | Self::Unreadable(_) => "disk",
        }
    }
}

/// What was pushed to this node, on the disk and in memory.
#[derive(Clone, Debug)]
pub struct Push {
    store: Store,
    pointer: Pointer,
    /// Why the pointer cannot be read.
    unreadable: Option<String>,
    /// Why the generation that should run does not.
    broken: Option<String>,
}

/// How it stands, for people and coordinators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushStatus {
    /// The pointer.
    pub pointer: Pointer,
    /// What is wrong.
    pub error: Option<String>,
    /// Below which what was pushed lies.
    pub directory: PathBuf,
}

impl Push {
    /// Reads what is there. A generation whose time was over while the agent did not run is given up.
    pub fn open(state_dir: &Path, clocks: &Clocks) -> Self {
        let store = Store::new(state_dir);
        let (pointer, unreadable) = match store.read() {
            Ok(pointer) => (pointer, None),
            Err(why) => (Pointer::default(), Some(why)),
        };
        let mut push = Self { store, pointer, unreadable, broken: None };
        if let Err(why) = push.text() {
            // Of a generation that is not confirmed the one before it is the better choice.
            push.broken = Some(why.clone());
            push.give_up_unconfirmed(&why);
        }
        push.give_up_late(clocks);
        if let Some(error) = push.error() {
            tracing::error!("{error}");
        }
        push
    }

    /// The generation that an agent before this process ran, as far as it can be known. Changes nothing.
    pub fn left_behind(state_dir: &Path) -> Option<PushedText> {
        let store = Store::new(state_dir);
        let generation = store.read().ok()?.running?;
        store.text(&generation).ok()
    }

    /// How it stands.
    pub fn status(&self) -> PushStatus {
        PushStatus {
            pointer: self.pointer.clone(),
            error: self.error(),
            directory: self.store.directory().to_owned(),
        }
    }

    /// The pointer.
    pub const fn pointer(&self) -> &Pointer {
        &self.pointer
    }

    /// The generation that is to run, as a text; `None` when there is none.
    ///
    /// # Errors
    /// What is wrong with its file.
    pub fn text(&self) -> Result<Option<PushedText>, String> {
        self.pointer.running.as_ref().map(|generation| self.store.text(generation)).transpose()
    }

    /// The place of a generation's text, whether it is there or not.
    pub fn place(&self, generation: u64, text: String) -> PushedText {
        PushedText { path: self.store.path(generation), text }
    }

    /// Notes why the generation that should run does not, or that it does.
    pub fn note(&mut self, broken: Option<String>) {
        self.broken = broken;
    }

    /// Keeps a text that was checked.
    ///
    /// # Errors
    /// When it is not to be staged, or the disk refuses. Nothing is different then.
    pub fn stage(&mut self, generation: Generation, text: &str) -> Result<(), PushError> {
        let Some(pointer) = self.may(|pointer| pointer.stage(generation.clone()))? else { return Ok(()) };
        self.store.put(&generation, text).map_err(PushError::Disk)?;
        self.point(pointer)
    }

    /// Whether a text may be staged at all, before it is looked at; false when it is there already.
    ///
    /// # Errors
    /// When it may not.
    pub fn may_stage(&self, generation: &Generation) -> Result<bool, PushError> {
        Ok(self.may(|pointer| pointer.stage(generation.clone()))?.is_some())
    }

    /// What is staged under this number, with its text.
    ///
    /// # Errors
    /// When its file is not what was staged.
    pub fn staged(&self, number: u64) -> Result<Option<(Generation, PushedText)>, PushError> {
        let staged = self.pointer.staged.as_ref().filter(|staged| staged.number == number);
        let text = |generation: &Generation| Ok((generation.clone(), self.store.text(generation)?));
        staged.map(text).transpose().map_err(PushError::Unreadable)
    }

    /// Makes what is staged what is to run; false when it is already.
    ///
    /// # Errors
    /// When it is not to be committed, or the disk refuses. Nothing is different then.
    pub fn commit(&mut self, number: u64, within_us: u64, clocks: &Clocks) -> Result<bool, PushError> {
        let Some(pointer) = self.may(|pointer| pointer.commit(number, within_us, clocks))? else {
            return Ok(false);
        };
        if let Some(generation) = &pointer.running {
            self.store.text(generation).map_err(PushError::Unreadable)?;
        }
        self.point(pointer)?;
        Ok(true)
    }

    /// Makes what runs stay.
    ///
    /// # Errors
    /// When it does not run any more, or the disk refuses.
    pub fn confirm(&mut self, number: u64, clocks: &Clocks) -> Result<(), PushError> {
        match self.may(|pointer| pointer.confirm(number, clocks))? {
            Some(pointer) => self.point(pointer),
            None => Ok(()),
        }
    }

    /// Gives a generation up; true when another one is to run now.
    ///
    /// # Errors
    /// When there is no such generation, or the disk refuses.
    pub fn roll_back(&mut self, number: u64, why: &str) -> Result<bool, PushError> {
        let Some(pointer) = self.may(|pointer| pointer.roll_back(number, why))? else { return Ok(false) };
        let runs_otherwise = pointer.running != self.pointer.running;
        self.point(pointer)?;
        if runs_otherwise {
            self.broken = None;
        }
        Ok(runs_otherwise)
    }

    /// Gives up what was not confirmed in time; true when another one is to run now. A disk that refuses changes nothing about
    /// it: whoever reads the old pointer finds the time over too.
    pub fn give_up_late(&mut self, clocks: &Clocks) -> bool {
        let late = self.pointer.confirm.as_ref().is_some_and(|confirm| confirm.left_us(clocks) == 0);
        late && self.give_up_unconfirmed("it was not confirmed in time")
    }

    /// Looks again at a pointer that could not be read; true when it can be now, or is gone.
    pub fn look_again(&mut self) -> bool {
        let was_unreadable = self.unreadable.is_some();
        if was_unreadable {
            match self.store.read() {
                Ok(pointer) => (self.pointer, self.unreadable) = (pointer, None),
                Err(why) => self.unreadable = Some(why),
            }
        }
        was_unreadable && self.unreadable.is_none()
    }

    fn give_up_unconfirmed(&mut self, why: &str) -> bool {
        let unconfirmed = self.pointer.running.as_ref().filter(|_| self.pointer.confirm.is_some());
        let Some(number) = unconfirmed.map(|generation| generation.number) else { return false };
        let Ok(Some(pointer)) = self.pointer.roll_back(number, why) else { return false };
        tracing::warn!(generation = number, "the pushed configuration is given up: {why}");
        self.broken = None;
        if let Err(error) = self.store.write(&pointer) {
            tracing::error!("{}", crate::log::chain(&error));
        }
        self.pointer = pointer;
        true
    }

    fn may<T>(
        &self,
        transition: impl FnOnce(&Pointer) -> Result<Option<T>, PushError>,
    ) -> Result<Option<T>, PushError> {
        match self.pointer_error() {
            Some(error) => Err(PushError::Unreadable(error)),
            None => transition(&self.pointer),
        }
    }

    fn point(&mut self, pointer: Pointer) -> Result<(), PushError> {
        self.store.write(&pointer).map_err(PushError::Disk)?;
        self.pointer = pointer;
        self.store.prune(&self.pointer);
        Ok(())
    }

    fn pointer_error(&self) -> Option<String> {
        let why = self.unreadable.as_ref()?;
        Some(format!(
            "what was pushed to this node cannot be read: {}: {why}. Nothing that was pushed runs. Move the file away and reload \
             the agent (systemctl reload ha-agent, or SIGHUP), then push again",
            self.store.pointer_path().display()
        ))
    }

    fn error(&self) -> Option<String> {
        self.pointer_error().or_else(|| {
            let (why, generation) = (self.broken.as_ref()?, self.pointer.running.as_ref()?);
            Some(format!("the pushed generation {} does not run: {why}", generation.number))
        })
    }
}

impl PushStatus {
    /// The generation that a file is the text of; `None` for a file of the node's own.
    pub fn generation_of(&self, file: &Path) -> Option<u64> {
        let number = file.strip_prefix(&self.directory).ok()?.parent()?.to_str()?;
        // Without a directory every relative path would be below it.
        number.parse().ok().filter(|_| !self.directory.as_os_str().is_empty())
    }

    /// As a coordinator reads it.
    pub fn to_wire(&self, clocks: &Clocks) -> v1::Pushed {
        let Pointer { running, staged, confirm, rolled_back, previous: _ } = &self.pointer;
        v1::Pushed {
            generation: running.as_ref().map_or(0, |generation| generation.number),
            hash: running.as_ref().map(|generation| generation.hash.clone()).unwrap_or_default(),
            staged_generation: staged.as_ref().map_or(0, |generation| generation.number),
            // 0 says that it is confirmed.
            confirm_left_us: confirm.as_ref().map_or(0, |confirm| confirm.left_us(clocks).max(1)),
            rolled_back_generation: rolled_back.as_ref().map_or(0, |rolled_back| rolled_back.generation),
            rolled_back_why: rolled_back
                .as_ref()
                .map(|rolled_back| rolled_back.why.clone())
                .unwrap_or_default(),
            error: self.error.iter().flat_map(|error| error.chars()).take(ERROR_LEN_MAX).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
