//! Carrying out [`Command::Probe`](super::Command): a thread for each request, so that the engine never waits.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use pnet::util::MacAddr;
use tokio::sync::oneshot;

use super::{ArpObservation, line::Line, schedule, served::Served};
use crate::net::{
    Family,
    link::{SourceKind, primary_address},
    neighbour::{self, Asker},
};

/// Questions under way at once; a question is one address on one interface.
const MOST_QUESTIONS: usize = 256;

const TOO_MANY: &str = "too many probes are under way; ask again later";
const UNDER_WAY: &str = "a probe for this address is under way on this interface";
/// Why a question is not asked although it could be: others are.
pub const BUSY: [&str; 2] = [TOO_MANY, UNDER_WAY];

/// Whether it was not asked because others are. That says nothing about the address.
pub fn is_busy(observation: &ArpObservation) -> bool {
    BUSY.contains(&observation.error.as_str())
}

/// What is being asked at the moment.
#[derive(Debug, Default)]
pub(super) struct Probes {
    asking: Arc<Mutex<BTreeSet<(String, IpAddr)>>>,
}

/// One interface to ask on, for addresses of one family.
struct Asked {
    name: String,
    asker: Asker,
    targets: BTreeSet<IpAddr>,
}

impl Probes {
    /// Asks, and answers `reply` when the time is up. What cannot be asked is answered with the reason.
    pub(super) fn start(
        &self,
        routers: &[Served],
        lines: &[Line],
        targets: &[IpAddr],
        timeout: Duration,
        reply: oneshot::Sender<Vec<ArpObservation>>,
    ) {
        let mut observations = Vec::new();
        let mut asked: BTreeMap<(usize, Family), Asked> = BTreeMap::new();
        for target in targets {
            for line in places(routers, lines, *target) {
                match self.take_in(routers, lines.get(line), *target) {
                    Ok((name, asker)) => {
                        asked
                            .entry((line, Family::of(*target)))
                            .or_insert_with(|| Asked { name, asker, targets: BTreeSet::new() })
                            .targets
                            .insert(*target);
                    }
                    Err(error) => {
                        let interface = lines.get(line).map_or_else(String::new, |line| line.name.clone());
                        observations.push(refusal(interface, *target, error));
                    }
                }
            }
        }
        // A virtual MAC that answers is another host's: ours does not hear what this host asks.
        let real = lines.iter().filter(|line| line.parent.is_none());
        let own = real.filter_map(|line| line.interface.as_ref()?.mac).collect();
        let asking = Arc::clone(&self.asking);
        let body = move || {
            schedule::as_every_thread();
            observations.extend(ask_all(asked.into_values(), &own, timeout, &asking));
            // Whoever asked may have gone.
            let _ = reply.send(observations);
        };
        if let Err(error) = thread::Builder::new().name("probe".into()).spawn(body) {
            // `reply` went with the closure: whoever asked sees the question dropped. Questions stay marked
            // as under way only as long as their thread lives.
            tracing::warn!(%error, "cannot start a thread for a probe");
            lock(&self.asking).clear();
        }
    }

    /// Marks one question as under way, if it can be asked.
    fn take_in(
        &self,
        routers: &[Served],
        line: Option<&Line>,
        target: IpAddr,
    ) -> Result<(String, Asker), &'static str> {
        let line = line.ok_or("no such interface")?;
        let interface = line.interface.as_ref().ok_or("the interface does not exist")?;
        let mac = interface.mac.ok_or("the interface is no Ethernet")?;
        if !line.carrier() {
            return Err("the interface is down or has no carrier");
        }
        let is_vip = |address| {
            routers.iter().flat_map(|served| &served.addresses).any(|held| held.vip.address == address)
        };
        let own = interface.own_addresses(|present| is_vip(present.address));
        let source = match primary_address(&own, SourceKind::LinkLocal, None) {
            Some(IpAddr::V6(source)) => Some(source),
            Some(IpAddr::V4(_)) | None => None,
        };
        if target.is_ipv6() && source.is_none() {
            return Err("the interface has no link-local address to ask from");
        }
        let mut asking = lock(&self.asking);
        if asking.len() >= MOST_QUESTIONS {
            return Err(TOO_MANY);
        }
        if !asking.insert((line.name.clone(), target)) {
            return Err(UNDER_WAY);
        }
        Ok((line.name.clone(), Asker { interface_index: interface.index, mac, source }))
    }
}

/// The lines to ask on: where an instance has the address, else where any instance serves. Never from a virtual MAC: switches
/// would take this host for its owner.
fn places(routers: &[Served], lines: &[Line], target: IpAddr) -> BTreeSet<usize> {
    let real = |line: usize| lines.get(line).and_then(|line| line.parent).unwrap_or(line);
    let having: BTreeSet<usize> = routers
        .iter()
        .flat_map(|served| &served.addresses)
        .filter(|held| held.vip.address == target)
        .map(|held| real(held.line))
        .collect();
    if !having.is_empty() {
        return having;
    }
    routers.iter().filter_map(|served| served.paths.first()).map(|path| path.line).collect()
}

/// One thread for each interface and family: they wait side by side.
fn ask_all(
    asked: impl Iterator<Item = Asked>,
    own: &BTreeSet<MacAddr>,
    timeout: Duration,
    asking: &Mutex<BTreeSet<(String, IpAddr)>>,
) -> Vec<ArpObservation> {
    thread::scope(|scope| {
        let threads: Vec<_> = asked
            .map(|asked| {
                scope.spawn(move || {
                    let answers = neighbour::probe(asked.asker, own, &asked.targets, timeout);
                    let mut under_way = lock(asking);
                    for target in &asked.targets {
                        under_way.remove(&(asked.name.clone(), *target));
                    }
                    drop(under_way);
                    observe(&asked, answers)
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    })
}

fn observe(
    asked: &Asked,
    answers: std::io::Result<BTreeMap<IpAddr, BTreeSet<MacAddr>>>,
) -> Vec<ArpObservation> {
    match answers {
        Ok(answers) => answers
            .into_iter()
            .map(|(target, macs)| ArpObservation {
                interface: asked.name.clone(),
                target,
                macs: macs.iter().map(MacAddr::to_string).collect(),
                error: String::new(),
            })
            .collect(),
        Err(error) => asked
            .targets
            .iter()
            .map(|target| refusal(asked.name.clone(), *target, &error.to_string()))
            .collect(),
    }
}

fn refusal(interface: String, target: IpAddr, error: &str) -> ArpObservation {
    ArpObservation { interface, target, macs: Vec::new(), error: error.to_owned() }
}

/// A thread that panicked while holding it has left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
