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

/// Removes every VIP of these instances that is on this host and says priority 0 for each instance that had one, so
/// that a peer takes over at once. Idempotent; instances of which nothing is here are not in the answer and nothing is
/// sent for them. Only for when no engine runs: a running one puts its addresses back.
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
    let mut answer = Vec::new();
    let virtual_addresses: BTreeSet<IpAddr> =
        routers.iter().flat_map(|served| &served.addresses).map(|held| held.vip.address).collect();
    for served in &routers {
        let here: Vec<&HeldAddress> = served
            .addresses
            .iter()
            .filter(|held| is_leftover(served, held, &lines, &virtual_addresses))
            .collect();
        if here.is_empty() {
            continue;
        }
        let mut released =
            Released { instance: served.instance.name.clone(), removed: Vec::new(), errors: Vec::new() };
        remove(&here, &mut netlink, &mut released).await?;
        // Said last: a peer that takes over finds the addresses free.
        if let Err(error) = resign(served, &lines) {
            released.errors.push(format!("cannot send priority 0 on {}: {error}", served.instance.interface));
        }
        answer.push(released);
    }
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

async fn remove(here: &[&HeldAddress], netlink: &mut Netlink, released: &mut Released) -> anyhow::Result<()> {
    let batch = here
        .iter()
        .zip(0..)
        .map(|(held, ticket)| (ticket, held.spec.clone()))
        .map(|(ticket, spec)| Operation { ticket, action: Action::Delete, spec, age: Duration::ZERO })
        .collect();
    let operations: &mpsc::Sender<_> = &netlink.operations;
    operations.send(batch).await.ok().context("the netlink thread ended")?;
    let mut answered = 0;
    while answered < here.len() {
        let event = netlink.events.recv().await.context("the netlink thread ended")?;
        let Event::Done { ticket, result, .. } = event else { continue };
        answered += 1;
        let text = usize::try_from(ticket)
            .ok()
            .and_then(|at| here.get(at))
            .map_or_else(String::new, |held| held.text());
        match result {
            Ok(()) => released.removed.push(text),
            Err(error) => released.errors.push(format!("cannot remove {text}: {error}")),
        }
    }
    Ok(())
}

/// One advert of priority 0 on the service interface.
fn resign(served: &Served, lines: &[Line]) -> io::Result<()> {
    let path = served.paths.first().ok_or(io::ErrorKind::NotFound)?;
    let line = lines.get(path.line).ok_or(io::ErrorKind::NotFound)?;
    let interface = line.interface.as_ref().ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
    let source = served
        .instance
        .source
        .or_else(|| {
            let is_virtual = |present: &Address| served.addresses.iter().any(|held| held.names(present));
            primary_address(&interface.own_addresses(is_virtual), served.source_kind(0), None)
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
        .first()
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
