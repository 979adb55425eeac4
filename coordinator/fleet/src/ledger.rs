//! The life of findings: pending, firing, resolved; one number for each; told of once per change.
//!
//! A pending finding is shown, not written: most never fire. When it fires, gets worse or ends, it is written and people
//! are told. While it fires its facts are refreshed in the store, at most once a second when they change and every
//! [`REFRESH`] otherwise, and nobody is told.

use alloc::{
    borrow::ToOwned,
    collections::{BTreeMap, VecDeque},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt, time::Duration};

use crate::{
    bounds,
    effect::{CauseCode, Effect, Evidence, Finding, FindingId, FindingKind, FindingStatus, Severity},
    model::{GroupKey, NodeName, Site},
    time::Instant,
};

/// How often the facts of a firing finding are written anew although nothing about it changed.
const REFRESH: Duration = Duration::from_secs(10);
/// How often they are written at most.
const REWRITE: Duration = Duration::from_secs(1);

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Group(GroupKey),
    Node(NodeName),
}

/// What a detector says about one kind and subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is not so.
    Absent,
    /// Nobody can say: what is firing goes on, what is pending is dropped.
    Unknown,
    /// It is so.
    Present {
        since: Instant,
        /// When it has been so for long enough; `None`: something else is awaited.
        ready: Option<Instant>,
        severity: Severity,
    },
}

/// What there is to say about a finding.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) summary: String,
    pub(crate) cause_code: CauseCode,
    pub(crate) cause: String,
    pub(crate) action: String,
    pub(crate) evidence: Vec<Evidence>,
}

/// The open findings and what is to be done about them.
#[derive(Debug)]
pub(crate) struct Ledger {
    resolve: Duration,
    open: BTreeMap<Subject, BTreeMap<FindingKind, Entry>>,
    /// The last number given. As many as subjects that ever had a finding.
    numbers: BTreeMap<(FindingKind, String), u64>,
    out: VecDeque<Effect>,
    /// Effects handed out so far, and where in that count the last waiting effect of a finding stands.
    handed_out: usize,
    waiting: BTreeMap<FindingId, usize>,
}

#[derive(Debug)]
struct Entry {
    finding: Finding,
    gone_since: Option<Instant>,
    built_at: Instant,
    written_at: Instant,
}

impl Ledger {
    pub(crate) fn new(resolve: Duration) -> Self {
        Self {
            resolve,
            open: BTreeMap::new(),
            numbers: BTreeMap::new(),
            out: VecDeque::new(),
            handed_out: 0,
            waiting: BTreeMap::new(),
        }
    }

    /// Takes a detector's word and says when to ask it again, if time alone can change the finding.
    ///
    /// `may_resolve` is false while the nodes concerned have not been heard since the coordinator's start.
    pub(crate) fn judge(
        &mut self,
        subject: &Subject,
        kind: FindingKind,
        judgement: Judgement,
        may_resolve: bool,
        now: Instant,
        report: impl FnOnce() -> (Site, Report),
    ) -> Option<Instant> {
        let status = self.entry(subject, kind).map(|entry| entry.finding.status);
        match (status, judgement) {
            (None | Some(FindingStatus::Resolved), Judgement::Absent | Judgement::Unknown) => None,
            (None | Some(FindingStatus::Resolved), Judgement::Present { since, ready, severity }) => {
                self.begin(subject, kind, since, severity, now, report());
                self.fire_if(subject, kind, ready, now)
            }
            (Some(FindingStatus::Pending), Judgement::Absent | Judgement::Unknown) => {
                self.forget(subject, kind);
                None
            }
            (Some(FindingStatus::Pending), Judgement::Present { since, ready, severity }) => {
                let due = ready.is_some_and(|ready| ready <= now);
                if let Some(entry) = self.entry_mut(subject, kind) {
                    entry.finding.since = since;
                    entry.finding.severity = severity;
                    if due || now >= entry.built_at + REWRITE {
                        entry.rebuild(report().1, now);
                    }
                }
                self.fire_if(subject, kind, ready, now)
            }
            (Some(FindingStatus::Firing), Judgement::Unknown) => {
                if let Some(entry) = self.entry_mut(subject, kind) {
                    entry.gone_since = None;
                }
                None
            }
            (Some(FindingStatus::Firing), Judgement::Absent) => self.fade(subject, kind, may_resolve, now),
            (Some(FindingStatus::Firing), Judgement::Present { since: _, ready: _, severity }) => {
                self.refresh(subject, kind, severity, now, report);
                None
            }
        }
    }

    /// Writes down something that was over before it was long enough to fire.
    pub(crate) fn note(
        &mut self,
        subject: &Subject,
        kind: FindingKind,
        since: Instant,
        until: Instant,
        report: (Site, Report),
    ) {
        self.begin(subject, kind, since, Severity::Info, until, report);
        self.number(subject, kind);
        self.end(subject, kind, until, None);
    }

    /// Ends a finding because another says more, or because its subject is gone.
    pub(crate) fn end(&mut self, subject: &Subject, kind: FindingKind, at: Instant, because: Option<&str>) {
        let Some(mut entry) = self.forget(subject, kind) else { return };
        if entry.finding.status == FindingStatus::Pending {
            return;
        }
        entry.finding.status = FindingStatus::Resolved;
        entry.finding.resolved_at = Some(at);
        if let Some(because) = because {
            entry.finding.summary = format!("{because}; before: {}", entry.finding.summary);
        }
        self.push(entry.finding, true);
    }

    /// Ends everything about a subject that no longer exists.
    pub(crate) fn close(&mut self, subject: &Subject, at: Instant, because: &str) {
        for kind in FindingKind::ALL {
            self.end(subject, *kind, at, Some(because));
        }
    }

    /// Goes on with a finding from the store.
    pub(crate) fn restore(&mut self, finding: Finding, now: Instant) {
        let Some((subject, number)) = subject_of(&finding) else { return };
        self.numbered(finding.kind, finding.subject.clone(), number);
        if finding.status == FindingStatus::Firing {
            let entry = Entry { gone_since: None, built_at: now, written_at: now, finding };
            self.open.entry(subject).or_default().insert(entry.finding.kind, entry);
        }
    }

    /// Numbers up to `last` are taken.
    pub(crate) fn numbered(&mut self, kind: FindingKind, subject: String, last: u64) {
        let known = self.numbers.entry((kind, subject)).or_default();
        *known = last.max(*known);
    }

    /// Pending and firing, worst first, then oldest.
    pub(crate) fn open(&self) -> Vec<Finding> {
        let entries = self.open.values().flat_map(BTreeMap::values);
        let mut findings: Vec<Finding> = entries.map(|entry| entry.finding.clone()).collect();
        findings.sort_by(|a, b| {
            let rank = |finding: &Finding| {
                (finding.status != FindingStatus::Firing, core::cmp::Reverse(finding.severity))
            };
            rank(a).cmp(&rank(b)).then(a.since.cmp(&b.since)).then(a.id.cmp(&b.id))
        });
        findings
    }

    /// The open findings about one subject.
    pub(crate) fn about(&self, subject: &Subject) -> impl Iterator<Item = &Finding> {
        self.open.get(subject).into_iter().flat_map(BTreeMap::values).map(|entry| &entry.finding)
    }

    /// One that fires.
    pub(crate) fn firing(&self, subject: &Subject, kind: FindingKind) -> Option<&Finding> {
        self.entry(subject, kind)
            .map(|entry| &entry.finding)
            .filter(|finding| finding.status == FindingStatus::Firing)
    }

    /// Everything that something is open about.
    pub(crate) fn subjects(&self) -> Vec<Subject> {
        self.open.keys().cloned().collect()
    }

    pub(crate) fn ask(&mut self, effect: Effect) {
        self.out.push_back(effect);
    }

    pub(crate) fn next_output(&mut self) -> Option<Effect> {
        let effect = self.out.pop_front()?;
        if let Effect::Finding { finding, .. } = &effect
            && self.waiting.get(&finding.id) == Some(&self.handed_out)
        {
            self.waiting.remove(&finding.id);
        }
        self.handed_out += 1;
        Some(effect)
    }

    fn begin(
        &mut self,
        subject: &Subject,
        kind: FindingKind,
        since: Instant,
        severity: Severity,
        now: Instant,
        (site, report): (Site, Report),
    ) {
        let name = subject.to_string();
        let last = self.numbers.get(&(kind, name.clone())).copied().unwrap_or_default();
        let number = last.saturating_add(1);
        let finding = Finding {
            id: FindingId(format!("{kind}@{name}#{number}")),
            kind,
            severity,
            subject: name,
            site,
            status: FindingStatus::Pending,
            since,
            resolved_at: None,
            summary: String::new(),
            cause_code: CauseCode::Unknown,
            cause: String::new(),
            action: String::new(),
            evidence: Vec::new(),
        };
        let mut entry = Entry { finding, gone_since: None, built_at: now, written_at: now };
        entry.rebuild(report, now);
        self.open.entry(subject.clone()).or_default().insert(kind, entry);
    }

    fn fire_if(
        &mut self,
        subject: &Subject,
        kind: FindingKind,
        ready: Option<Instant>,
        now: Instant,
    ) -> Option<Instant> {
        if ready? > now {
            return ready;
        }
        self.number(subject, kind);
        let entry = self.entry_mut(subject, kind)?;
        entry.written_at = now;
        let finding = entry.finding.clone();
        self.push(finding, true);
        None
    }

    /// Fires, and its number is taken.
    fn number(&mut self, subject: &Subject, kind: FindingKind) {
        let last = self.numbers.entry((kind, subject.to_string())).or_default();
        *last = last.saturating_add(1);
        if let Some(entry) = self.entry_mut(subject, kind) {
            entry.finding.status = FindingStatus::Firing;
        }
    }

    fn fade(
        &mut self,
        subject: &Subject,
        kind: FindingKind,
        may_resolve: bool,
        now: Instant,
    ) -> Option<Instant> {
        let resolve = self.resolve;
        let entry = self.entry_mut(subject, kind)?;
        if !may_resolve {
            entry.gone_since = None;
            return None;
        }
        let gone = *entry.gone_since.get_or_insert(now);
        if now < gone + resolve {
            return Some(gone + resolve);
        }
        self.end(subject, kind, gone, None);
        None
    }

    fn refresh(
        &mut self,
        subject: &Subject,
        kind: FindingKind,
        severity: Severity,
        now: Instant,
        report: impl FnOnce() -> (Site, Report),
    ) {
        let Some(entry) = self.entry_mut(subject, kind) else { return };
        entry.gone_since = None;
        let worse = severity > entry.finding.severity;
        if !worse && now < entry.built_at + REWRITE {
            return;
        }
        let before = entry.finding.clone();
        entry.finding.severity = severity.max(before.severity);
        entry.rebuild(report().1, now);
        if worse || !alike(&before, &entry.finding) || now >= entry.written_at + REFRESH {
            entry.written_at = now;
            let finding = entry.finding.clone();
            self.push(finding, worse);
        }
    }

    fn entry(&self, subject: &Subject, kind: FindingKind) -> Option<&Entry> {
        self.open.get(subject)?.get(&kind)
    }

    fn entry_mut(&mut self, subject: &Subject, kind: FindingKind) -> Option<&mut Entry> {
        self.open.get_mut(subject)?.get_mut(&kind)
    }

    fn forget(&mut self, subject: &Subject, kind: FindingKind) -> Option<Entry> {
        let of_subject = self.open.get_mut(subject)?;
        let entry = of_subject.remove(&kind);
        if of_subject.is_empty() {
            self.open.remove(subject);
        }
        entry
    }

    /// Effects that wait hold at most one entry per finding and status: the queue is bounded by the open findings.
    fn push(&mut self, finding: Finding, notify: bool) {
        let place = self.waiting.get(&finding.id).and_then(|place| place.checked_sub(self.handed_out));
        match place.and_then(|place| self.out.get_mut(place)) {
            Some(Effect::Finding { finding: waiting, notify: told }) if waiting.status == finding.status => {
                *waiting = finding;
                *told |= notify;
            }
            Some(Effect::Finding { .. } | Effect::Probe(_) | Effect::Fence(_)) | None => {
                self.waiting.insert(finding.id.clone(), self.handed_out + self.out.len());
                self.out.push_back(Effect::Finding { finding, notify });
            }
        }
    }
}

impl Entry {
    fn rebuild(&mut self, report: Report, now: Instant) {
        let Report { summary, cause_code, cause, action, mut evidence } = report;
        if let Some(first) = evidence.first().filter(|_| evidence.len() > bounds::EVIDENCE) {
            let left_out = evidence.len() - bounds::EVIDENCE + 1;
            let at = first.at;
            evidence.truncate(bounds::EVIDENCE - 1);
            let facts = BTreeMap::from([("count", left_out.to_string())]);
            let summary = format!("{left_out} more facts are left out");
            evidence.push(Evidence { kind: "left_out", node: None, at, summary, facts });
        }
        self.built_at = now;
        let finding = &mut self.finding;
        (finding.summary, finding.cause_code, finding.cause, finding.action) =
            (summary, cause_code, cause, action);
        finding.evidence = evidence;
    }
}

/// Whether two versions of a finding say the same, ages aside.
fn alike(a: &Finding, b: &Finding) -> bool {
    let facts = |finding: &Finding| -> Vec<(&'static str, Option<NodeName>)> {
        finding.evidence.iter().map(|evidence| (evidence.kind, evidence.node.clone())).collect()
    };
    (a.severity, a.cause_code, &a.summary, &a.action) == (b.severity, b.cause_code, &b.summary, &b.action)
        && facts(a) == facts(b)
}

/// Reads back what [`Subject`] writes, and the number of the id.
fn subject_of(finding: &Finding) -> Option<(Subject, u64)> {
    let number = finding.id.0.rsplit_once('#')?.1.parse().ok()?;
    let subject = if finding.kind.is_about_a_node() {
        Subject::Node(NodeName(finding.subject.split_once('/')?.1.to_owned()))
    } else {
        let (site, address) = finding.subject.rsplit_once('/')?;
        Subject::Group(GroupKey { site: Site(site.to_owned()), address: address.parse().ok()? })
    };
    Some((subject, number))
}

impl FindingKind {
    const fn is_about_a_node(self) -> bool {
        match self {
            Self::AgentLost | Self::ConfigRefused | Self::OrdersUnreadable => true,
            Self::Fence | Self::FencePathBroken => true,
            Self::SplitBrainConfirmed | Self::SplitBrainSuspected | Self::SplitBrainTransient => false,
            Self::NoMaster | Self::ConfigMismatch | Self::VridConflict => false,
            Self::OrphanVip | Self::FenceRefused => false,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(key) => key.fmt(f),
            Self::Node(node) => write!(f, "node/{node}"),
        }
    }
}
