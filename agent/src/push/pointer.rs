//! Which generation runs, which waits, and until when: pure, so that every step can be tested by itself.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::PushError;
use crate::clock;

/// Nobody can confirm faster.
const CONFIRM_WITHIN_MIN_US: u64 = 1_000_000;
/// A configuration that nobody has confirmed for a day is not being tried out.
const CONFIRM_WITHIN_MAX_US: u64 = 24 * 3600 * 1_000_000;

/// One configuration of the fleet, as it concerns this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Its number, from 1; later ones have greater numbers.
    pub number: u64,
    /// SHA-256 of its text, lower-case hex.
    pub hash: String,
}

/// Until when what runs has to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// From the commit.
    pub within_us: u64,
    /// When it was committed, wall clock.
    pub committed_wall_us: i64,
    /// The same on `CLOCK_BOOTTIME` of `boot_id`.
    pub committed_boot_us: u64,
    /// Which boot of the host that was.
    pub boot_id: String,
}

/// What was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolledBack {
    /// Which generation.
    pub generation: u64,
    /// Why.
    pub why: String,
}

/// What ran before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// `None`: nothing that was pushed.
    pub generation: Option<Generation>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    /// What is to run; `None`: nothing that was pushed.
    pub running: Option<Generation>,
    /// What ran before it; `None` when that is not kept.
    pub previous: Option<Previous>,
    /// Until when it has to be confirmed; `None`: it is.
    pub confirm: Option<Confirm>,
    /// What waits to be committed.
    pub staged: Option<Generation>,
    /// What was given up last.
    pub rolled_back: Option<RolledBack>,
}

/// The clocks of a host at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// Wall clock.
    pub wall_us: i64,
    /// `CLOCK_BOOTTIME`.
    pub boot_us: u64,
    /// Which boot that counts from; empty when it is not known.
    pub boot_id: String,
}

impl Clocks {
    /// The host's, now.
    pub fn now() -> Self {
        // It does not change while a process lives.
        static BOOT_ID: LazyLock<String> = LazyLock::new(|| {
            let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            text.trim().to_owned()
        });
        let (wall_us, boot_us) = (clock::wall_us(), clock::now().as_micros());
        Self { wall_us, boot_us, boot_id: BOOT_ID.clone() }
    }
}

impl Confirm {
    /// How long is left, 0 when the time is over. Within one boot nobody's stepping of the wall clock matters; after another boot
    /// the wall clock counts, and one that has gone back behind the commit is not waited for.
    pub fn left_us(&self, clocks: &Clocks) -> u64 {
        let is_same_boot = !self.boot_id.is_empty() && self.boot_id == clocks.boot_id;
        let passed_us = if is_same_boot {
            clocks.boot_us.saturating_sub(self.committed_boot_us)
        } else {
            u64::try_from(clocks.wall_us.saturating_sub(self.committed_wall_us)).unwrap_or(u64::MAX)
        };
        self.within_us.saturating_sub(passed_us)
    }
}

/// The next pointer; `None` when what is asked for is so already.
type Next = Result<Option<Pointer>, PushError>;

impl Pointer {
    /// `StageConfig`.
    pub(super) fn stage(&self, new: Generation) -> Next {
        let Generation { number, .. } = new;
        if number == 0 {
            return Err(PushError::Invalid("generations count from 1".to_owned()));
        }
        for (what, one) in [("runs", &self.running), ("is staged", &self.staged)] {
            match one {
                Some(one) if *one == new => return Ok(None),
                Some(one) if one.number == number => {
                    return Err(PushError::Conflict(format!(
                        "generation {number} {what} with another content"
                    )));
                }
                Some(one) if one.number > number => {
                    return Err(PushError::Stale(format!(
                        "generation {} {what}, which is later than {number}",
                        one.number
                    )));
                }
                Some(_) | None => {}
            }
        }
        Ok(Some(Self { staged: Some(new), ..self.clone() }))
    }

    /// `CommitConfig`.
    pub(super) fn commit(&self, number: u64, within_us: u64, clocks: &Clocks) -> Next {
        if !(CONFIRM_WITHIN_MIN_US..=CONFIRM_WITHIN_MAX_US).contains(&within_us) {
            return Err(PushError::Invalid(format!(
                "the time to confirm is 1 s to 24 h, here are {within_us} us"
            )));
        }
        match &self.running {
            Some(running) if running.number == number => return Ok(None),
            Some(running) if running.number > number => {
                let why = format!("generation {} runs, which is later than {number}", running.number);
                return Err(PushError::Stale(why));
            }
            Some(running) if self.confirm.is_some() => {
                let why = format!("generation {} runs and is not confirmed yet", running.number);
                return Err(PushError::Conflict(why));
            }
            Some(_) | None => {}
        }
        let Some(staged) = self.staged.clone().filter(|staged| staged.number == number) else {
            let given_up = self.rolled_back.as_ref().filter(|rolled_back| rolled_back.generation == number);
            return Err(PushError::NothingStaged(match given_up {
                Some(given_up) => format!("generation {number} was given up: {}", given_up.why),
                None => format!("generation {number} is not staged"),
            }));
        };
        let confirm = Confirm {
            within_us,
            committed_wall_us: clocks.wall_us,
            committed_boot_us: clocks.boot_us,
            boot_id: clocks.boot_id.clone(),
        };
        Ok(Some(Self {
            running: Some(staged),
            previous: Some(Previous { generation: self.running.clone() }),
            confirm: Some(confirm),
            staged: None,
            rolled_back: self.rolled_back.clone(),
        }))
    }

    /// `ConfirmConfig`.
    pub(super) fn confirm(&self, number: u64, clocks: &Clocks) -> Next {
        match (&self.running, &self.confirm) {
            (Some(running), None) if running.number == number => Ok(None),
            (Some(running), Some(confirm)) if running.number == number => {
                if confirm.left_us(clocks) == 0 {
                    return Err(PushError::Stale(format!(
                        "generation {number} was not confirmed in time and is given up"
                    )));
                }
                Ok(Some(Self { confirm: None, ..self.clone() }))
            }
            (Some(_) | None, Some(_) | None) => Err(self.is_none_of_these(number)),
        }
    }

    /// `RollBackConfig`, and what was not confirmed in time.
    pub(super) fn roll_back(&self, number: u64, why: &str) -> Next {
        let rolled_back = Some(RolledBack { generation: number, why: why.to_owned() });
        if self.staged.as_ref().is_some_and(|staged| staged.number == number) {
            return Ok(Some(Self { staged: None, rolled_back, ..self.clone() }));
        }
        if self.running.as_ref().is_some_and(|running| running.number == number) {
            let Some(previous) = &self.previous else {
                return Err(PushError::Stale(format!("what ran before generation {number} is not kept")));
            };
            let running = previous.generation.clone();
            let staged = self.staged.clone();
            return Ok(Some(Self { running, previous: None, confirm: None, staged, rolled_back }));
        }
        match &self.rolled_back {
            Some(given_up) if given_up.generation == number => Ok(None),
            Some(_) | None => Err(self.is_none_of_these(number)),
        }
    }

    /// Every generation that must stay on the disk.
    pub(super) fn kept(&self) -> impl Iterator<Item = u64> + '_ {
        let previous = self.previous.as_ref().and_then(|previous| previous.generation.as_ref());
        self.running.iter().chain(previous).chain(&self.staged).map(|generation| generation.number)
    }

    fn is_none_of_these(&self, number: u64) -> PushError {
        let running = match &self.running {
            Some(running) => format!("generation {} runs", running.number),
            None => "no generation runs".to_owned(),
        };
        let given_up = match &self.rolled_back {
            Some(given_up) if given_up.generation == number => {
                format!(", and {number} was given up: {}", given_up.why)
            }
            Some(_) | None => String::new(),
        };
        PushError::Stale(format!("generation {number} neither runs nor is staged: {running}{given_up}"))
    }
}
