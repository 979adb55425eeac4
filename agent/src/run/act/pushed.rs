//! Configurations that are pushed: staged, committed, confirmed, given up.

use tokio::time::Instant;

use super::{Acts, Done, Refusal, TRY_AGAIN_AFTER, TRY_AGAIN_AFTER_MAX, on_the_disk};
use crate::{
    log,
    push::{Clocks, Generation, PushError, Usable, check, judge},
    run::door::NotApplied,
};

impl Acts {
    pub(super) async fn stage(&mut self, generation: Generation, text: String) -> Done {
        let inputs = self.door.inputs().clone();
        let (push, staged) = on_the_disk(&self.push, move |push| {
            let may = push.may_stage(&generation)?;
            let pushed = push.place(generation.number, text);
            let Usable { warnings } = check(&inputs, &generation, &pushed)?;
            if may {
                push.stage(generation, &pushed.text)?;
            }
            Ok(warnings)
        })
        .await?;
        self.push = push;
        staged.map_err(refusal)
    }

    /// As `stage` would judge it; nothing is kept.
    pub(super) async fn check(&mut self, text: String) -> Done {
        let inputs = self.door.inputs().clone();
        // Generations count from 1: no file has this place.
        let pushed = self.push.place(0, text);
        let (_, judged) = on_the_disk(&(), move |()| judge(&inputs, &pushed)).await?;
        judged.map(|Usable { warnings }| warnings).map_err(refusal)
    }

    pub(super) async fn commit(&mut self, number: u64, within_us: u64) -> Done {
        let inputs = self.door.inputs().clone();
        let (push, committed) = on_the_disk(&self.push, move |push| {
            // The files and interfaces may be others than when it was staged.
            if let Some((generation, text)) = push.staged(number)? {
                check(&inputs, &generation, &text).map_err(|error| PushError::Conflict(error.to_string()))?;
            }
            push.commit(number, within_us, &Clocks::now())
        })
        .await?;
        self.push = push;
        if !committed.map_err(refusal)? {
            return Ok(format!("generation {number} runs already"));
        }
        tracing::warn!(
            generation = number,
            within_us,
            "a pushed configuration is tried out until it is confirmed"
        );
        let Err(not_applied) = self.run_what_was_pushed().await else { return Ok(String::new()) };
        let why = not_applied.detail.clone();
        self.give_up(number, format!("it could not be applied: {why}")).await?;
        Err(not_applied)
    }

    pub(super) async fn confirm(&mut self, number: u64) -> Done {
        let (push, confirmed) =
            on_the_disk(&self.push, move |push| push.confirm(number, &Clocks::now())).await?;
        self.push = push;
        confirmed.map_err(refusal)?;
        tracing::info!(generation = number, "the pushed configuration is confirmed");
        Ok(String::new())
    }

    pub(super) async fn roll_back(&mut self, number: u64) -> Done {
        self.give_up(number, "by request".to_owned()).await?;
        Ok(String::new())
    }

    /// Goes back when the time is over, and tries again what should run and does not.
    pub(super) async fn end_what_is_unconfirmed(&mut self) {
        let confirm = self.push.pointer().confirm.as_ref();
        let mut is_late = confirm.is_some_and(|confirm| confirm.left_us(&Clocks::now()) == 0);
        if is_late {
            match on_the_disk(&self.push, |push| push.give_up_late(&Clocks::now())).await {
                Ok((push, given_up)) => (self.push, is_late) = (push, given_up),
                Err(refusal) => tracing::error!("{}", refusal.detail),
            }
        }
        let running = self.push.pointer().running.as_ref().map(|generation| generation.number);
        let is_to_be_tried = running != self.applied && Instant::now() >= self.try_again_at;
        if is_late || is_to_be_tried {
            // What became of it is in the log already.
            let _ = self.run_what_was_pushed().await;
        }
    }

    async fn give_up(&mut self, number: u64, why: String) -> Result<(), Refusal> {
        let (push, given_up) = on_the_disk(&self.push, move |push| push.roll_back(number, &why)).await?;
        self.push = push;
        if given_up.map_err(refusal)? {
            self.run_what_was_pushed().await?;
        }
        Ok(())
    }

    /// Makes what the pointer names what runs.
    async fn run_what_was_pushed(&mut self) -> Result<(), Refusal> {
        let (push, text) = on_the_disk(&self.push, |push| push.text()).await?;
        self.push = push;
        let applied = match text {
            Ok(text) => self.door.apply(text).await.map_err(not_applied),
            Err(why) => Err(Refusal::new("disk", why)),
        };
        if applied.is_ok() {
            self.applied = self.push.pointer().running.as_ref().map(|generation| generation.number);
            self.try_again_after = TRY_AGAIN_AFTER;
        } else {
            // It fails for a reason that lasts, and each time is in the log and the journal.
            self.try_again_at = Instant::now() + self.try_again_after;
            self.try_again_after = (self.try_again_after * 2).min(TRY_AGAIN_AFTER_MAX);
        }
        self.push.note(applied.as_ref().err().map(|refusal| refusal.detail.clone()));
        applied
    }
}

fn refusal(error: PushError) -> Refusal {
    Refusal::new(error.code(), log::chain(&error))
}

fn not_applied(why: NotApplied) -> Refusal {
    let reason = match &why {
        NotApplied::Load(_) | NotApplied::Empty => "invalid",
        NotApplied::Read(_) => "disk",
        NotApplied::Firewall(_) | NotApplied::Engine(_) => "engine",
    };
    Refusal::new(reason, why.to_string())
}
