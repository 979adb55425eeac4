//! Cleaning up after an engine that is dead: its addresses go, and the peers are told.

use std::{collections::BTreeSet, io, net::IpAddr, time::Duration};

use anyhow::Context;
use hafleet_vrrp::packet::{Advertisement, GROUP_V4, GROUP_V6, TTL};
use tokio::{runtime, sync::mpsc};

use super::{
    held::HeldAddress,
    line::Line,
    plan::{Checks, Plan},
    reconfigure::line_of,
    served::Served,
};
use crate::{
    config::Instance,
    net::{
        Family,
        address::Action,
        advert,
        link::{Address, primary_address},
        netlink::{self, Event, Netlink, Operation},
    },
};

/// What was done for one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// Its name.
    pub instance: String,
    /// The addresses that were here and are not any more, with prefix length.
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
    let netlink = netlink::start(plan.interfaces()).context("starting the netlink thread")?;
    let runtime = runtime::Builder::new_current_thread().build().context("starting a runtime")?;
    runtime.block_on(release_with(instances, netlink))
}

async fn release_with(instances: &[Instance], mut netlink: Netlink) -> anyhow::Result<Vec<Released>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut routers: Vec<Served> = Vec::new();
    for instance in instances {
        routers.push(Served::new(instance.clone(), &Checks::default(), line_of(&mut lines)));
    }
    let mut unseen: BTreeSet<String> = lines.iter().map(|line| line.name.clone()).collect();
    while !unseen.is_empty() {
        let event = netlink.events.recv().await.context("the netlink thread ended")?;
        if let Event::Interface { name, state } = event {
            unseen.remove(&name);
            if let Some(line) = lines.iter_mut().find(|line| line.name == name) {
                line.update(state);
            }
        }
    }
    let virtual_addresses: BTreeSet<IpAddr> =
        routers.iter().flat_map(|served| &served.addresses).map(|held| held.vip.address).collect();
    let mut answer = Vec::new();
    let mut leftovers = Vec::new();
    for served in &routers {
        let here =
            served.addresses.iter().filter(|held| is_leftover(served, held, &lines, &virtual_addresses));
        let here: Vec<&HeldAddress> = here.collect();
        if here.is_empty() {
            continue;
        }
        leftovers.extend(here.into_iter().map(|held| (answer.len(), held)));
        let mut released =
            Released { instance: served.instance.name.clone(), removed: Vec::new(), errors: Vec::new() };
        for path in 0..served.paths.len() {
            if let Err(error) = resign(served, path, &lines) {
                let interface = served.paths.get(path).and_then(|path| lines.get(path.line));
                let interface = interface.map_or("", |line| line.name.as_str());
                released.errors.push(format!("cannot send priority 0 on {interface}: {error}"));
            }
        }
        answer.push(released);
    }
    remove(&leftovers, &mut netlink, &mut answer).await?;
    Ok(answer)
}

fn is_leftover(
    served: &Served,
    held: &HeldAddress,
    lines: &[Line],
    virtual_addresses: &BTreeSet<IpAddr>,
) -> bool {
    let Some(line) = lines.get(held.line) else { return false };
    let is_virtual = |present: &Address| virtual_addresses.contains(&present.address);
    let own =
        line.interface.as_ref().map(|interface| interface.own_addresses(is_virtual)).unwrap_or_default();
    line.find(held.vip.address, held.vip.prefix_len)
        .is_some_and(|present| !served.is_native(present) && !served.is_the_host_s(present, held.line, &own))
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

/// One advert of priority 0 to everybody on one path.
fn resign(served: &Served, at: usize, lines: &[Line]) -> io::Result<()> {
    let path = served.paths.get(at).ok_or(io::ErrorKind::NotFound)?;
    let line = lines.get(path.line).ok_or(io::ErrorKind::NotFound)?;
    let interface = line.interface.as_ref().ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
    let source = served
        .instance
        .source
        .or_else(|| {
            let is_virtual = |present: &Address| served.addresses.iter().any(|held| held.names(present));
            primary_address(&interface.own_addresses(is_virtual), served.source_kind(at), None)
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
    let mut socket = advert::AdvertSocket::open(family, &line.name, interface.index)?;
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
