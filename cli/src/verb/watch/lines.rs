//! One line per change: for pipes, logs and programs.

use std::time::Duration;

use hafleet_proto::v1::{Finding, Group, Node, TransitionRecord, watch_event::Event};
use jiff::Timestamp;
use serde::Serialize;

use super::{News, picture::Picture};
use crate::{
    failure::Failure,
    invocation::Invocation,
    look::{Look, Tone, group_tone, instant, or_nothing},
    paragraphs::reason,
    shape,
    verb::get::{change, heard},
    verdict::Verdict,
};

/// Writes one line per change.
pub struct Lines<'a> {
    invocation: &'a Invocation,
    picture: Picture,
    verdict: Option<String>,
}

/// A line of `-o jsonl`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Connected { coordinator: &'a str },
    Disconnected { why: &'a str, stale_since: Option<Timestamp>, next_try_ms: u64 },
    Fleet(Box<shape::Status>),
    Group(shape::Group),
    Node(Box<shape::Node>),
    Transition(shape::Transition),
    Finding(shape::Finding),
    Missed { count: u64 },
}

impl<'a> Lines<'a> {
    /// On this standard output.
    pub fn new(invocation: &'a Invocation) -> Self {
        Self { invocation, picture: Picture::default(), verdict: None }
    }

    /// Write what is new.
    pub fn show(&mut self, news: News) -> Result<(), Failure> {
        if self.invocation.is_for_people() { self.in_words(news) } else { self.as_json(news) }
    }

    fn in_words(&mut self, news: News) -> Result<(), Failure> {
        match news {
            News::Connected(coordinator) => {
                self.line(self.picture.now_us(), Tone::Plain, &format!("connected to {coordinator}"))
            }
            News::Fleet(fleet) => {
                let (at_us, verdict) = (fleet.at_us, Verdict::of(&fleet));
                let findings = if self.picture.is_empty() { fleet.findings.clone() } else { Vec::new() };
                let changes = self.picture.take(*fleet);
                if self.verdict.as_ref() != Some(&verdict.verdict) {
                    self.line(at_us, verdict.tone(), &verdict.verdict)?;
                    self.verdict = Some(verdict.verdict);
                }
                for finding in &findings {
                    self.line(at_us, finding_tone(finding), &finding_words(finding))?;
                }
                for group in &changes.groups {
                    let look = self.invocation.look(at_us);
                    self.line(at_us, group_tone(&group.state), &group_words(&look, group))?;
                }
                for node in &changes.nodes {
                    let look = self.invocation.look(at_us);
                    let (tone, words) = node_words(&look, node);
                    self.line(at_us, tone, &words)?;
                }
                Ok(())
            }
            News::Event(event) => match *event {
                Event::Transition(record) => {
                    self.line(record.received_at_us, Tone::Plain, &transition_words(&record))
                }
                Event::Finding(finding) => {
                    self.line(self.picture.now_us(), finding_tone(&finding), &finding_words(&finding))
                }
                Event::Missed(count) => {
                    self.line(self.picture.now_us(), Tone::Doubtful, &missed_words(count))
                }
                Event::Fleet(_) | Event::Tick(_) => Ok(()),
            },
            News::Lost(why, wait) => {
                let look = self.invocation.look(self.picture.now_us());
                let words = lost_words(&look, &self.picture, &why, wait);
                self.line(self.picture.now_us(), Tone::Bad, &words)
            }
        }
    }

    fn as_json(&mut self, news: News) -> Result<(), Failure> {
        match news {
            News::Connected(coordinator) => {
                self.invocation.json_line(&Line::Connected { coordinator: &coordinator })
            }
            News::Fleet(fleet) => {
                let first = self.picture.is_empty();
                let status = shape::Status::new(&Verdict::of(&fleet), &fleet);
                let changes = self.picture.take(*fleet);
                if first {
                    return self.invocation.json_line(&Line::Fleet(Box::new(status)));
                }
                for group in &changes.groups {
                    self.invocation.json_line(&Line::Group(shape::Group::from(group)))?;
                }
                for node in &changes.nodes {
                    self.invocation.json_line(&Line::Node(Box::new(shape::Node::from(node))))?;
                }
                Ok(())
            }
            News::Event(event) => match *event {
                Event::Transition(record) => {
                    self.invocation.json_line(&Line::Transition(shape::Transition::from(&record)))
                }
                Event::Finding(finding) => {
                    self.invocation.json_line(&Line::Finding(shape::Finding::from(&finding)))
                }
                Event::Missed(count) => self.invocation.json_line(&Line::Missed { count }),
                Event::Fleet(_) | Event::Tick(_) => Ok(()),
            },
            News::Lost(why, wait) => self.invocation.json_line(&Line::Disconnected {
                why: &why,
                stale_since: instant(self.picture.read_at_us()),
                next_try_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            }),
        }
    }

    fn line(&self, at_us: i64, tone: Tone, words: &str) -> Result<(), Failure> {
        let look = self.invocation.look(at_us);
        let clock = look.clock(look.now.as_microsecond()).unwrap_or_default();
        self.invocation.write(&format!("{clock}  {}\n", look.paint(tone, words)))
    }
}

/// `lb02/VI_1 BACKUP -> MASTER (master_down: …)`
pub fn transition_words(record: &TransitionRecord) -> String {
    let why = reason(&record.reason, &record.detail);
    format!("transition {}/{}: {} ({why})", record.node, record.instance, change(record))
}

/// Severity, status, id, then the sentence, the cause and what to do.
pub fn finding_words(finding: &Finding) -> String {
    let mut words =
        format!("finding {} {} {}: {}", finding.severity, finding.status, finding.id, finding.summary);
    if !finding.cause.is_empty() && finding.status != "resolved" {
        words.push_str(&format!(" Cause: {}", finding.cause));
    }
    if !finding.action.is_empty() && finding.status != "resolved" {
        words.push_str(&format!(" Do: {}", finding.action));
    }
    words
}

/// How much was left out.
pub fn missed_words(count: u64) -> String {
    format!("{count} events were left out: this watcher was too slow; the whole fleet was read again")
}

/// What is lost, since when what is shown is stale, and what happens next.
pub fn lost_words(look: &Look, picture: &Picture, why: &str, wait: Duration) -> String {
    let since = look.clock(picture.read_at_us());
    let stale = since.map_or_else(String::new, |since| format!("everything shown is stale since {since}; "));
    format!("not connected: {why}; {stale}trying again in {:.1} s", wait.as_secs_f64())
}

/// The colour of a finding.
pub fn finding_tone(finding: &Finding) -> Tone {
    Look::severity_tone(&finding.severity, &finding.status)
}

fn group_words(look: &Look, group: &Group) -> String {
    let name = format!("group {}/{} ({})", group.site, group.group, group.addresses.join(", "));
    if group.holder.is_empty() {
        format!("{name}: {}, no holder", or_nothing(&group.state))
    } else {
        format!(
            "{name}: {}, held by {} since {}",
            or_nothing(&group.state),
            group.holder,
            look.time(group.since_us)
        )
    }
}

fn node_words(look: &Look, node: &Node) -> (Tone, String) {
    let (tone, heard) = heard(look, node);
    let words = match (node.revoked, node.ever_heard, node.fresh) {
        (true, ..) => format!("node {}: {heard}", node.name),
        (false, true, true) => format!("node {}: heard", node.name),
        (false, true, false) => {
            format!("node {}: stale since {}", node.name, look.time(look.before_now_us(node.age_us)))
        }
        (false, false, _) => format!("node {}: never heard", node.name),
    };
    (tone, words)
}
