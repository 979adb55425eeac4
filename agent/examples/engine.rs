//! The engine alone, without the agent around it: what `tests/engine` runs in network namespaces, and the shortest way
//! to see it work. Reports go to standard output, one a line; `snapshot`, `probe ADDRESS`, `reload`, `track NAME up|down`,
//! `announce NAME…`, `stand [hold] [maintenance] [by WORD] [priority NUMBER] [takeover]` (for VI_1, whole each time), `isolate [NAME…]`, `stall` and `resume` are read from standard input. A stall is a kernel that does not answer: netlink is cut off as by a lock that another program
//! holds. SIGTERM and the end of standard input stop the engine.
//!
//! ```text
//! engine FILE            agent.toml, or keepalived.conf if it ends in .conf
//! engine release FILE    removes what a dead engine left behind
//! engine flood INTERFACE PACKETS_PER_SECOND    junk for VRID 51, until a line or the end of standard input
//! ```

use std::{
    collections::BTreeSet,
    io::BufRead,
    net::IpAddr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::Context;
use ha_agent::{
    config::{AgentConfig, Inputs, load},
    driver::{self, ArpObservation, Command, EngineSnapshot, Plan, Report, Stand, Standing},
    net::{
        Family,
        advert::AdvertSocket,
        announce::AnnounceSocket,
        netlink::{self, Netlink},
    },
};
use hafleet_vrrp::{
    Override, TrackResult,
    packet::{GROUP_V4, TTL},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
};

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::DEBUG).init();
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next().context("usage: engine [release] FILE")?;
    if first == "release" {
        let file = arguments.next().context("usage: engine release FILE")?;
        for released in driver::release(&configuration(file.into())?.instances)? {
            println!("released {} {:?} {:?}", released.instance, released.removed, released.errors);
        }
        return Ok(());
    }
    if first == "flood" {
        let interface = arguments.next().context("usage: engine flood INTERFACE RATE")?;
        let rate: u32 = arguments.next().context("usage: engine flood INTERFACE RATE")?.parse()?;
        return tokio::runtime::Runtime::new()?.block_on(flood(&interface, rate.max(1)));
    }
    tokio::runtime::Runtime::new()?.block_on(run(first.into()))
}

fn configuration(file: PathBuf) -> anyhow::Result<AgentConfig> {
    let is_keepalived = file.extension().is_some_and(|extension| extension == "conf");
    let file = Some(file);
    let inputs = if is_keepalived {
        Inputs { keepalived: file, ..Inputs::default() }
    } else {
        Inputs { native: file, ..Inputs::default() }
    };
    Ok(load(&inputs)?.config)
}

async fn run(file: PathBuf) -> anyhow::Result<()> {
    let plan = Plan::of(&configuration(file.clone())?);
    let (stall, is_stalled) = watch::channel(false);
    let netlink = stallable(netlink::start(plan.interfaces())?, is_stalled);
    let driver::Engine { commands, mut reports, thread } =
        driver::start_with(plan, netlink, AnnounceSocket::open()?)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut lines = standard_input();
    loop {
        tokio::select! {
            Some(report) = reports.recv() => tell(&report),
            line = lines.recv() => match line {
                Some(line) if line == "stall" => drop(stall.send_replace(true)),
                Some(line) if line == "resume" => drop(stall.send_replace(false)),
                Some(line) => obey(&line, &file, &commands).await?,
                None => break,
            },
            _ = terminate.recv() => break,
        }
    }
    let (reply, stopped) = oneshot::channel();
    commands.send(Command::Stop(reply)).await.ok().context("the engine is gone")?;
    let left = stopped.await.context("the engine is gone")?;
    while let Some(report) = reports.recv().await {
        tell(&report);
    }
    thread.join().ok().context("the engine thread panicked")?;
    for address in &left {
        println!("left {address}");
    }
    anyhow::ensure!(left.is_empty(), "{} addresses are left on this host", left.len());
    Ok(())
}

/// Passes everything on, in order, while nothing is stalled. What is under way when a stall begins waits for its end.
fn stallable(mut kernel: Netlink, stalled: watch::Receiver<bool>) -> Netlink {
    let (operations, asked) = mpsc::channel(netlink::OPERATION_QUEUE_LEN);
    let (answers, events) = mpsc::channel(netlink::EVENT_QUEUE_LEN);
    // What every interface is like is queued already, and the engine counts on it.
    while let Ok(event) = kernel.events.try_recv() {
        let _ = answers.try_send(event);
    }
    tokio::spawn(relay(asked, kernel.operations, stalled.clone()));
    tokio::spawn(relay(kernel.events, answers, stalled));
    Netlink { operations, events, interfaces: kernel.interfaces }
}

async fn relay<T>(mut from: mpsc::Receiver<T>, to: mpsc::Sender<T>, mut stalled: watch::Receiver<bool>) {
    while let Some(item) = from.recv().await {
        // Both end with the engine.
        if stalled.wait_for(|stalled| !stalled).await.is_err() || to.send(item).await.is_err() {
            return;
        }
    }
}

/// Every kind of packet that must not be believed, in turn: empty, short, wrong version, wrong password, random-looking,
/// and a well-formed better advert whose checksum is wrong.
async fn flood(interface: &str, rate: u32) -> anyhow::Result<()> {
    let junk: [&[u8]; 6] = [
        &[],
        &[0x21],
        &[0x31, 51, 255, 1, 0, 100, 0, 0, 192, 168, 178, 3],
        &[0x21, 51, 255, 1, 1, 1, 0, 0, 192, 168, 178, 3, 0x32, 0x32, 0x32, 0x32, 0, 0, 0, 0],
        &[0xa5, 51, 0x5a, 0xff, 0x99, 0x66, 0xc3, 0x3c, 1, 2, 3],
        &[0x21, 51, 255, 1, 1, 1, 0, 1, 192, 168, 178, 3, 0x31, 0x31, 0x31, 0x31, 0, 0, 0, 0],
    ];
    let index = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))?.trim().parse()?;
    let mut socket = AdvertSocket::open(Family::V4, interface, index)?;
    let mut lines = standard_input();
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let source = [192, 168, 178, 9].into();
    loop {
        tokio::select! {
            _ = lines.recv() => return Ok(()),
            _ = tick.tick() => {
                for payload in junk.iter().cycle().take(rate.div_ceil(100).try_into()?) {
                    // A full queue is part of a flood.
                    let _ = socket.send(source, GROUP_V4.into(), TTL, payload);
                }
            }
        }
    }
}

/// The lines of standard input, as they come.
fn standard_input() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

async fn obey(line: &str, file: &Path, commands: &mpsc::Sender<Command>) -> anyhow::Result<()> {
    match line.split_once(' ').unwrap_or((line, "")) {
        ("snapshot", _) => {
            let (reply, answer) = oneshot::channel();
            commands.send(Command::Snapshot(reply)).await.ok().context("the engine is gone")?;
            show(&answer.await.context("the engine is gone")?);
        }
        ("probe", target) => {
            let (reply, answer) = oneshot::channel();
            let targets = vec![target.parse::<IpAddr>()?];
            let timeout = Duration::from_millis(300);
            commands
                .send(Command::Probe { targets, timeout, reply })
                .await
                .ok()
                .context("the engine is gone")?;
            for ArpObservation { interface, target, macs, error } in answer.await? {
                println!("probe {interface} {target} {} {error}", macs.join(","));
            }
        }
        ("reload", _) => {
            let (reply, answer) = oneshot::channel();
            let plan = Plan::of(&configuration(file.to_owned())?);
            commands.send(Command::Reconfigure(plan, reply)).await.ok().context("the engine is gone")?;
            println!("reloaded {}", answer.await?);
        }
        ("stand", words) => {
            let mut stand = Stand::default();
            let mut take_over = BTreeSet::new();
            let mut words = words.split_whitespace();
            while let Some(word) = words.next() {
                match word {
                    "hold" => stand.fenced = true,
                    "maintenance" => stand.in_maintenance = true,
                    "by" => stand.held_by = words.next().context("by WORD")?.to_owned(),
                    "takeover" => drop(take_over.insert("VI_1".to_owned())),
                    _ => stand.priority = Override::new(words.next().context("priority NUMBER")?.parse()?),
                }
            }
            let standing = Standing { named: [("VI_1".to_owned(), stand)].into(), ..Standing::default() };
            let (reply, answer) = oneshot::channel();
            let command = Command::Stand { standing, take_over, reply };
            commands.send(command).await.ok().context("the engine is gone")?;
            println!("stands {:?}", answer.await.context("the engine is gone")?);
        }
        ("announce", names) => {
            let (reply, answer) = oneshot::channel();
            let instances = names.split_whitespace().map(str::to_owned).collect();
            let command = Command::Announce { instances, reply };
            commands.send(command).await.ok().context("the engine is gone")?;
            println!("announced {:?}", answer.await.context("the engine is gone")?);
        }
        ("isolate", names) => {
            let (reply, answer) = oneshot::channel();
            let names = names.split_whitespace().map(str::to_owned).collect();
            commands.send(Command::Isolate(names, reply)).await.ok().context("the engine is gone")?;
            answer.await.context("the engine is gone")?;
        }
        ("track", result) => {
            let (check, result) = result.split_once(' ').context("track NAME up|down")?;
            let result = if result == "up" { TrackResult::Up } else { TrackResult::Down };
            let detail = "as told".to_owned();
            let command = Command::Track { check: check.to_owned(), result, detail };
            commands.send(command).await.ok().context("the engine is gone")?;
        }
        _ => println!("unknown {line}"),
    }
    Ok(())
}

fn tell(report: &Report) {
    match report {
        Report::Transition { instance, from, to, reason, detail, mono_us, .. } => {
            println!("transition {instance} {from} {to} {reason} {mono_us} {detail}");
        }
        Report::Address { instance, address, what, detail, mono_us, .. } => {
            println!("address {instance} {address} {what} {mono_us} {detail}");
        }
    }
}

fn show(snapshot: &EngineSnapshot) {
    for instance in &snapshot.instances {
        println!(
            "snapshot {} {} source={:?} carrier={} present={:?} master={:?} sent={} accepted={} rejected={}",
            instance.config.name,
            instance.state,
            instance.source,
            instance.carrier,
            instance.addresses_present,
            instance.master_source,
            instance.adverts_sent,
            instance.adverts_accepted,
            snapshot.packets_rejected,
        );
        for path in &instance.paths {
            println!(
                "path {} {} failing={} failures={} {}",
                instance.config.name,
                path.interface,
                path.is_failing,
                path.send_failures,
                path.last_send_error
            );
        }
    }
    for (interface, heard) in &snapshot.heard {
        println!("heard {interface} {} {} {} {:?}", heard.vrid, heard.source, heard.accepted, heard.rejected);
    }
    println!("end");
}
