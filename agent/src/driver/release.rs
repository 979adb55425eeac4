//! Cleaning up after an engine that is dead: its addresses go, and the peers are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    time::Duration,
};

use anyhow::Context;
use hafleet_vrrp::packet::{Advertisement, GROUP_V4, GROUP_V6, TTL};
use tokio::{runtime, sync::mpsc};

use super::{
    held::HeldAddress,
    line::Line,
    plan::{Checks, Plan},
    reconfigure::line_of,
    served::{Served, own_addresses},
};
use crate::{
    config::Instance,
    net::{
        Family,
        address::Action,
        advert,
        link::{Address, primary_address},
        macvlan::Macvlan,
        netlink::{self, Event, Interfaces, Netlink, Operation},
    },
};

/// What was done for one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// Its name.
    pub instance: String,
    /// Priority 0 was said on every path: it had addresses here.
    pub resigned: bool,
    /// The addresses that were here and are not any more, with prefix length, and the interface of the virtual MAC.
    pub removed: Vec<String>,
    /// What could not be removed or said, in words.
    pub errors: Vec<String>,
}

/// Says priority 0 for each of these instances that has a VIP on this host, and removes every such VIP. Idempotent;
/// instances of which nothing is here are not in the answer and nothing is sent for them. Only for when no engine runs: a
/// running one puts its addresses back.
///
/// Said first, for all: a peer's skew starts at once, whatever the removal has to wait for in the kernel. The skew lasts for
/// milliseconds at least (RFC 9568 section 6.1: 1/256 of an interval for each step below 256), the removal of fifty addresses
/// for about one. Only where the skew is shorter than that, both hosts have the addresses for the difference, and the peer's
/// announcements are the later word. The other way round, every client would wait for the removal as well, and a kernel that
/// hangs would keep the peers waiting for Master_Down.
///
/// # Errors
/// When a raw socket or netlink cannot be had; then nothing was changed.
pub fn release(instances: &[Instance]) -> anyhow::Result<Vec<Released>> {
    advert::may_open().context("opening a raw socket for VRRP: run as root or with CAP_NET_RAW")?;
    let plan = Plan { instances: instances.to_vec(), ..Plan::default() };
    // Nothing is made, only taken away.
    let Interfaces { watched, macvlans, .. } = plan.interfaces();
    let netlink = netlink::start(Interfaces { watched, ..Interfaces::default() })
        .context("starting the netlink thread")?;
    let runtime = runtime::Builder::new_current_thread().build().context("starting a runtime")?;
    runtime.block_on(release_with(instances, macvlans, netlink))
}

async fn release_with(
    instances: &[Instance],
    macvlans: BTreeMap<String, Macvlan>,
    mut netlink: Netlink,
) -> anyhow::Result<Vec<Released>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut routers: Vec<Served> = Vec::new();
    for instance in instances {
        routers.push(Served::new(instance.clone(), &Checks::default(), line_of(&mut lines)));
    }
    let mut unseen: BTreeSet<String> = lines.iter().map(|line| line.name.clone()).collect();
    while !unseen.is_empty() {
        let event = netlink.events.recv().await.context("the netlink thread ended")?;
        if let Event::Interface { name, state, fault } = event {
            unseen.remove(&name);
            if let Some(line) = lines.iter_mut().find(|line| line.name == name) {
                line.update(state, fault);
            }
        }
    }
    let own: Vec<Vec<Address>> = lines.iter().map(|line| own_addresses(line, &routers)).collect();
    let mut answer = Vec::new();
    let mut leftovers = Vec::new();
    for served in &routers {
        let here = served.addresses.iter().filter(|held| is_leftover(served, held, &lines, &own));
        let here: Vec<&HeldAddress> = here.collect();
        let name = served.instance.name.clone();
        let mut released =
            Released { instance: name, resigned: false, removed: Vec::new(), errors: Vec::new() };
        if here.is_empty() {
            answer.push(released);
            continue;
        }
        leftovers.extend(here.into_iter().map(|held| (answer.len(), held)));
        released.resigned = true;
        for path in 0..served.paths.len() {
            if let Err(error) = resign(served, path, &lines, &own) {
                let interface = served.paths.get(path).and_then(|path| lines.get(path.line));
                let interface = interface.map_or("", |line| line.name.as_str());
                released.errors.push(format!("cannot send priority 0 on {interface}: {error}"));
                released.resigned = false;
            }
        }
        answer.push(released);
    }
    remove(&leftovers, &mut netlink, &mut answer).await?;
    // Last: the kernel takes its time over each, and nothing is on them any more.
    take_away(&routers, &lines, macvlans, &mut netlink, &mut answer).await?;
    answer.retain(|released| !released.removed.is_empty() || !released.errors.is_empty());
    Ok(answer)
}

fn is_leftover(served: &Served, held: &HeldAddress, lines: &[Line], own: &[Vec<Address>]) -> bool {
    let (Some(line), Some(own)) = (lines.get(held.line), own.get(held.line)) else { return false };
    line.find(held.vip.address, held.vip.prefix_len)
        .is_some_and(|present| !served.is_native(present) && !served.is_the_host_s(present, held.line, own))
}

/// All at once; each belongs to the answer of this place.
async fn remove(
    leftovers: &[(usize, &HeldAddress)],
    netlink: &mut Netlink,
    answer: &mut [Released],
) -> anyhow::Result<()> {
    let batch = leftovers
        .iter()
        .zip(0..)
        .map(|((_, held), ticket)| (ticket, held.spec.clone()))
        .map(|(ticket, spec)| Operation { ticket, action: Action::Delete, spec, age: Duration::ZERO })
        .collect();
    let operations: &mpsc::Sender<_> = &netlink.operations;
    operations.send(batch).await.ok().context("the netlink thread ended")?;
    let mut answered = 0;
    while answered < leftovers.len() {
        let event = netlink.events.recv().await.context("the netlink thread ended")?;
        let Event::Done { ticket, result, .. } = event else { continue };
        answered += 1;
        let leftover = usize::try_from(ticket).ok().and_then(|at| leftovers.get(at));
        let Some((owner, held)) = leftover else { continue };
        let Some(released) = answer.get_mut(*owner) else { continue };
        let text = held.text();
        match result {
            Ok(()) => released.removed.push(text),
            Err(error) => released.errors.push(format!("cannot remove {text}: {error}")),
        }
    }
    Ok(())
}

/// The interfaces of virtual MACs that are here as an engine would have made them; `routers` are those of `answer`.
async fn take_away(
    routers: &[Served],
    lines: &[Line],
    macvlans: BTreeMap<String, Macvlan>,
    netlink: &mut Netlink,
    answer: &mut [Released],
) -> anyhow::Result<()> {
    let mut here: BTreeMap<&str, usize> = BTreeMap::new();
    for (owner, served) in routers.iter().enumerate() {
        let parent = served.paths.first().and_then(|path| lines.get(path.line)?.interface.as_ref());
        let line = served.vmac.and_then(|vmac| lines.get(vmac.line));
        if let (Some(parent), Some(line)) = (parent, line)
            && let (Some(macvlan), Some(interface)) = (macvlans.get(&line.name), &line.interface)
            && macvlan.is(interface, parent.index)
        {
            here.insert(&line.name, owner);
        }
    }
    if here.is_empty() {
        return Ok(());
    }
    netlink.interfaces.send_modify(|interfaces| interfaces.unwanted = macvlans);
    while !here.is_empty() {
        let event = netlink.events.recv().await.context("the netlink thread ended")?;
        let Event::Interface { name, state, fault } = event else { continue };
        // Seen while it was still there.
        if state.is_some() && fault.is_none() {
            continue;
        }
        let released = here.remove(name.as_str()).and_then(|owner| answer.get_mut(owner));
        match (released, fault) {
            (Some(released), Some(fault)) => released.errors.push(fault),
            (Some(released), None) => released.removed.push(name),
            (None, Some(_) | None) => {}
        }
    }
    Ok(())
}

/// One advert of priority 0 to everybody on one path.
fn resign(served: &Served, at: usize, lines: &[Line], own: &[Vec<Address>]) -> io::Result<()> {
    let path = served.paths.get(at).ok_or(io::ErrorKind::NotFound)?;
    let line = lines.get(path.line).ok_or(io::ErrorKind::NotFound)?;
    let interface = line.interface.as_ref().ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
    let source = served
        .configured_source(at)
        .or_else(|| {
            let own = own.get(path.line).map_or(&[][..], Vec::as_slice);
            primary_address(own, served.source_kind(at), None)
        })
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))?;
    let config = served.router.config();
    let advertisement = Advertisement {
        version: config.version,
        vrid: config.vrid,
        priority: 0,
        interval_cs: config.interval.as_centiseconds(),
        addresses: config.advertised().collect(),
    };
    let family = served.family();
    // An agent that died early has left no interface of its virtual MAC.
    let sender = lines.get(path.sends_on).filter(|_| path.sends_on != path.line);
    let sender = sender.and_then(|line| Some((line, line.interface.as_ref()?)));
    let mut socket = match sender {
        Some((line, interface)) => advert::AdvertSocket::open_outgoing(family, &line.name, interface.index)?,
        None => advert::AdvertSocket::open(family, &line.name, interface.index)?,
    };
    let mut destinations: Vec<(IpAddr, u8)> = config
        .paths
        .get(at)
        .map(|path| path.peers.iter().map(|peer| (peer.address, served.instance.unicast_ttl)).collect())
        .unwrap_or_default();
    if destinations.is_empty() {
        destinations.push(match family {
            Family::V4 => (GROUP_V4.into(), TTL),
            Family::V6 => (GROUP_V6.into(), TTL),
        });
    }
    for (destination, ttl) in destinations {
        let payload = advertisement.encode(&config.authentication, config.checksum, source, destination);
        socket.send(source, destination, ttl, &payload)?;
    }
    Ok(())
}
