//! Whether something happened that an apply was not meant to bring.

use std::{collections::BTreeSet, sync::Arc};

use hafleet_fleet::{Finding, FindingId, FindingKind, FindingStatus, NodeName, Severity};
use hafleet_proto::v1::{self, VrrpState};
use tokio::sync::{
    broadcast::{self, error::RecvError, error::TryRecvError},
    mpsc, oneshot,
};

use super::change::Touched;
use crate::{
    clock::micros,
    effects::FleetGone,
    sessions::offset::Estimate,
    shared::{CHANGES_MAX, Change, Shared},
};

/// Where it is told what went wrong first.
type Reply = oneshot::Sender<Option<String>>;

/// Looks at what the apply touches.
pub struct Lookout {
    judge: Arc<Judge>,
    /// To the task that takes every change as it comes, whatever the apply waits for: they are many when many nodes commit.
    /// It ends with this.
    questions: mpsc::Sender<Reply>,
    /// When the apply was begun: what began before is not its doing …
    begun_us: i64,
    /// … unless it was not there yet when this look-out began, before any node committed: a finding counts from when its
    /// condition began, and a node dates that by its own clock. `None` in a later life of the coordinator.
    before: Option<BTreeSet<FindingId>>,
}

/// Tells transitions that were meant from others.
struct Judge {
    touched: Touched,
    /// Instances that could not serve before any node committed, by node: that they still cannot is nobody's doing.
    ailing: BTreeSet<(String, String)>,
    /// When the apply was begun, by the coordinator's wall clock.
    begun_wall_us: i64,
    /// How far the clock of a node is ahead of that; `None`: not known.
    clock_of: ClockOf,
}

type ClockOf = Box<dyn Fn(&str) -> Option<Estimate> + Send + Sync>;

impl Lookout {
    /// From now on. `is_first`: no node has committed yet.
    pub async fn new(
        shared: &Shared,
        touched: Touched,
        begun_us: i64,
        is_first: bool,
    ) -> Result<Self, FleetGone> {
        let changes = shared.changes.subscribe();
        let (clock, roster) = (shared.clock, Arc::clone(&shared.roster));
        let begun_wall_us = begun_us.saturating_add(clock.wall_us().saturating_sub(clock.now_us()));
        let looking = |before, ailing| {
            let clock_of: ClockOf = Box::new(move |node| {
                roster.with(&NodeName(node.to_owned()), |entry| entry.offset.estimate(clock.wall_us()))
            });
            let judge = Arc::new(Judge { touched, ailing, begun_wall_us, clock_of });
            let (questions, asked) = mpsc::channel(1);
            tokio::spawn(watch(changes, Arc::clone(&judge), asked));
            Self { judge, questions, begun_us, before }
        };
        if !is_first {
            return Ok(looking(None, BTreeSet::new()));
        }
        let view = shared.fleet.view().await?;
        let before = Some(view.findings.into_iter().map(|finding| finding.id).collect());
        let ailing = view.nodes.iter().flat_map(|node| {
            let faulty =
                node.instances.iter().filter(|report| report.state == hafleet_fleet::VrrpState::Fault);
            faulty.map(|report| (node.node.0.clone(), report.instance.clone()))
        });
        let ailing = ailing.collect();
        Ok(looking(before, ailing))
    }

    /// What it looks at.
    pub fn touched(&self) -> &Touched {
        &self.judge.touched
    }

    /// What happened, in words; `None` when all is as it should be. While nodes commit, `is_whole` is false: members may then
    /// be configured differently.
    pub async fn trouble(&mut self, shared: &Shared, is_whole: bool) -> Result<Option<String>, FleetGone> {
        let (reply, told) = oneshot::channel();
        // A task that is gone says nothing either.
        let _ = self.questions.send(reply).await;
        match told.await {
            Ok(None) => {}
            Ok(Some(trouble)) => return Ok(Some(trouble)),
            Err(_) => return Ok(Some("what changes is not looked at any more".to_owned())),
        }
        let view = shared.fleet.view().await?;
        let new = view.findings.iter().find(|finding| self.is_new(finding, is_whole));
        Ok(new.map(|finding| format!("{}: {}", finding.kind.as_str(), finding.summary)))
    }

    fn is_new(&self, finding: &Finding, is_whole: bool) -> bool {
        let is_true = match finding.status {
            FindingStatus::Firing => true,
            // At the end the whole fleet agrees, and somebody holds what is new, or it never will.
            FindingStatus::Pending => {
                is_whole && matches!(finding.kind, FindingKind::ConfigMismatch | FindingKind::NoMaster)
            }
            FindingStatus::Resolved => false,
        };
        let is_meant = finding.kind == FindingKind::ConfigMismatch && !is_whole;
        is_true
            && !is_meant
            && finding.severity > Severity::Info
            && (micros(finding.since) >= self.begun_us
                || self.before.as_ref().is_some_and(|before| !before.contains(&finding.id)))
            && self.judge.touched.subjects.contains(&finding.subject)
    }
}

/// Takes every change until the look-out is gone, and keeps what went wrong first.
async fn watch(
    mut changes: broadcast::Receiver<Change>,
    judge: Arc<Judge>,
    mut questions: mpsc::Receiver<Reply>,
) {
    let (mut first, mut is_over) = (None, false);
    loop {
        tokio::select! {
            change = changes.recv(), if !is_over => match change {
                Ok(change) => first = first.or_else(|| judge.of(&change)),
                Err(RecvError::Lagged(missed)) => first = first.or_else(|| Some(too_fast(missed))),
                Err(RecvError::Closed) => is_over = true,
            },
            question = questions.recv() => {
                let Some(reply) = question else { return };
                // What came before the question counts for the answer.
                for _ in 0..=CHANGES_MAX {
                    match changes.try_recv() {
                        Ok(change) => first = first.or_else(|| judge.of(&change)),
                        Err(TryRecvError::Lagged(missed)) => first = first.or_else(|| Some(too_fast(missed))),
                        Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                    }
                }
                // Whoever asked may be gone.
                let _ = reply.send(first.clone());
            }
        }
    }
}

fn too_fast(missed: u64) -> String {
    format!("{missed} changes came too fast to be judged")
}

impl Judge {
    fn of(&self, change: &Change) -> Option<String> {
        match change {
            Change::Transition(transition) => self.unplanned(transition),
            Change::Finding(_) | Change::Fleet => None,
        }
    }

    /// It was before the apply began, however wrong the clock of its node is: one that was away brings what it has to tell when
    /// it is back.
    fn is_old(&self, transition: &v1::TransitionRecord) -> bool {
        (self.clock_of)(&transition.node).is_some_and(|clock| {
            let uncertainty_us = i64::try_from(clock.uncertainty_us).unwrap_or(i64::MAX);
            let at_us = transition.at_us.saturating_sub(clock.offset_us);
            at_us.saturating_add(uncertainty_us) < self.begun_wall_us
        })
    }

    /// A member that cannot serve is never meant; another change of state only where the holder may change.
    fn unplanned(&self, transition: &v1::TransitionRecord) -> Option<String> {
        if !self.touched.nodes.contains(&transition.node) {
            return None;
        }
        if self.is_old(transition) {
            return None;
        }
        let mut named = self.touched.groups.iter().filter(|(key, _)| key.name == transition.instance);
        let (_, may_move) = named.next()?;
        let v1::TransitionRecord { node, instance, reason, detail, .. } = transition;
        let words = |state: i32| {
            VrrpState::try_from(state).map_or("?", |state| match state {
                VrrpState::Unspecified => "?",
                VrrpState::Init => "INIT",
                VrrpState::Backup => "BACKUP",
                VrrpState::Master => "MASTER",
                VrrpState::Fault => "FAULT",
            })
        };
        let is_fault = transition.to == i32::from(VrrpState::Fault);
        if is_fault && self.ailing.contains(&(node.clone(), instance.clone())) {
            return None;
        }
        (is_fault || !may_move).then(|| {
            let (from, to) = (words(transition.from), words(transition.to));
            format!("{instance} on {node} went from {from} to {to} ({reason}: {detail})")
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hafleet_fleetfile::GroupKey;

    use super::*;

    fn judge(may_move: bool) -> Judge {
        let key = |name: &str| GroupKey { site: "dc1".into(), name: name.into() };
        let touched = Touched {
            groups: [(key("web"), may_move)].into(),
            nodes: ["lb01".to_owned(), "lb02".to_owned()].into(),
            subjects: BTreeSet::new(),
        };
        let ailing = BTreeSet::from([("lb02".to_owned(), "web".to_owned())]);
        Judge { touched, ailing, begun_wall_us: 1000, clock_of: Box::new(|_| None) }
    }

    fn transition(node: &str, instance: &str, from: VrrpState, to: VrrpState) -> v1::TransitionRecord {
        let (from, to) = (from.into(), to.into());
        v1::TransitionRecord { node: node.into(), instance: instance.into(), from, to, ..Default::default() }
    }

    #[test]
    fn what_was_before_the_apply_is_no_trouble() {
        let clock = |offset_us, uncertainty_us| Some(Estimate { offset_us, uncertainty_us, age_us: 0 });
        for (at_us, clock, is_trouble) in [
            (999, clock(0, 0), false),
            (1000, clock(0, 0), true),
            // It may have been then.
            (950, clock(0, 50), true),
            (949, clock(0, 50), false),
            // Its clock is ahead, or behind.
            (1499, clock(500, 0), false),
            (500, clock(-500, 0), true),
            // Nothing is known of its clock.
            (1, None, true),
        ] {
            let judge = Judge { clock_of: Box::new(move |_| clock), ..judge(true) };
            let old = transition("lb01", "web", VrrpState::Master, VrrpState::Fault);
            let found = judge.unplanned(&v1::TransitionRecord { at_us, ..old });
            assert_eq!(found.is_some(), is_trouble, "{at_us} {clock:?}: {found:?}");
        }
    }

    #[test]
    fn what_a_change_explains_is_no_trouble() {
        use VrrpState::{Backup, Fault, Init, Master};
        for (node, instance, from, to, is_trouble_still, is_trouble_moving) in [
            ("lb01", "web", Backup, Master, true, false),
            ("lb01", "web", Master, Backup, true, false),
            ("lb01", "web", Master, Fault, true, true),
            ("lb01", "web", Init, Fault, true, true),
            // It could not serve before.
            ("lb02", "web", Init, Fault, false, false),
            ("lb02", "web", Backup, Master, true, false),
            // Neither node nor instance is touched.
            ("lb03", "web", Master, Fault, false, false),
            ("lb01", "db", Master, Fault, false, false),
        ] {
            let transition = transition(node, instance, from, to);
            for (may_move, expected) in [(false, is_trouble_still), (true, is_trouble_moving)] {
                let found = judge(may_move).unplanned(&transition);
                assert_eq!(
                    found.is_some(),
                    expected,
                    "{node} {instance} {from:?} {to:?} {may_move}: {found:?}"
                );
            }
        }
    }

    /// A first apply of 512 nodes has more transitions than a watcher may lag behind by, and waits for answers meanwhile.
    #[tokio::test]
    async fn no_change_is_missed_while_nobody_asks() {
        use VrrpState::{Backup, Fault, Init, Master};
        let (told, changes) = broadcast::channel(CHANGES_MAX);
        let (questions, asked) = mpsc::channel(1);
        tokio::spawn(watch(changes, Arc::new(judge(true)), asked));
        let ask = async || {
            let (reply, answer) = oneshot::channel();
            questions.send(reply).await.unwrap();
            answer.await.unwrap()
        };
        let tell = |from, to| told.send(Change::Transition(transition("lb01", "web", from, to))).unwrap();
        for _ in 0..4 {
            for _ in 0..CHANGES_MAX / 2 {
                tell(Init, Backup);
            }
            while !told.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(ask().await, None, "every one was judged");
        tell(Master, Fault);
        for _ in 0..4 {
            for _ in 0..CHANGES_MAX / 2 {
                tell(Init, Backup);
            }
            while !told.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        let trouble = ask().await.unwrap();
        assert!(trouble.starts_with("web on lb01 went from MASTER to FAULT"), "{trouble}");
        for _ in 0..=CHANGES_MAX {
            tell(Init, Backup);
        }
        assert_eq!(ask().await, Some(trouble), "what was first");
    }
}
