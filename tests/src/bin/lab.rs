//! What runs inside the lab's hosts: `echo ADDRESS NAME` answers probes, `probe ADDRESS [MS]` sends one a millisecond, or each MS,
//! `junk SOURCE VRID COUNT SEED` sends VRRP packets that nobody should believe, `send INTERFACE PERIOD COUNT FILE` sends
//! the frames of a file, `stalls` says how much later than asked it woke.
#![allow(clippy::disallowed_methods, reason = "the lab measures real time on real hosts")]

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use hafleet_tests::lab::Outage;
use pnet::datalink::{self, Channel};
use socket2::{Domain, Protocol, Socket, Type};

/// RFC 862's echo port.
const PORT: u16 = 7;
const INTERVAL: Duration = Duration::from_millis(1);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["echo", address, name] => echo(address.parse()?, name),
        ["probe", address] => probe(address.parse()?, INTERVAL),
        ["probe", address, interval_ms] => {
            probe(address.parse()?, Duration::from_millis(interval_ms.parse()?))
        }
        ["junk", source, vrid, count, seed] => {
            junk(source.parse()?, vrid.parse()?, count.parse()?, seed.parse()?)
        }
        ["send", interface, period_us, count, file] => {
            send(interface, Duration::from_micros(period_us.parse()?), count.parse()?, file)
        }
        ["stalls"] => stalls(),
        _ => bail!(
            "usage: lab echo ADDRESS NAME | lab probe ADDRESS [MS] | lab junk SOURCE VRID COUNT SEED | \
             lab send INTERFACE PERIOD_US COUNT FILE | lab stalls"
        ),
    }
}

/// Bound to the VIP itself, present or not (IP_FREEBIND): the answer's source is the VIP.
fn echo(address: Ipv4Addr, name: &str) -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_freebind_v4(true)?;
    socket.bind(&SocketAddr::from((address, PORT)).into())?;
    let socket = UdpSocket::from(socket);
    let mut buffer = [0; 64];
    loop {
        let (len, from) = socket.recv_from(&mut buffer)?;
        let mut answer = buffer.get(..len.min(8)).unwrap_or_default().to_vec();
        answer.extend_from_slice(name.as_bytes());
        // Fails when the VIP has just left; the client counts that.
        let _ = socket.send_to(&answer, from);
    }
}

/// Sleeps a millisecond again and again; a line for each time that took five more.
fn stalls() -> Result<()> {
    loop {
        let asleep = Instant::now();
        thread::sleep(INTERVAL);
        let late = asleep.elapsed().saturating_sub(INTERVAL);
        if late >= Duration::from_millis(5) {
            println!("stall {:.1}", late.as_secs_f64() * 1000.0);
        }
    }
}

/// Random, truncated and almost valid packets to 224.0.0.18 with TTL 255 or 64; the same seed sends the same.
fn junk(source: Ipv4Addr, vrid: u8, count: u32, seed: u64) -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112)))?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.set_multicast_if_v4(&source)?;
    socket.set_multicast_loop_v4(false)?;
    let group = SocketAddr::from((Ipv4Addr::new(224, 0, 0, 18), 0)).into();
    // Knuth's MMIX generator: enough to make bytes that differ.
    let mut state = seed;
    let mut byte = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for number in 0..count {
        let mut packet: Vec<u8> = (0..byte() % 64).map(|_| byte()).collect();
        // Every other one begins like a real advert of version 2 or 3 with priority 254.
        if number % 2 == 0 {
            for (place, value) in
                packet.iter_mut().zip([if number % 4 == 0 { 0x21 } else { 0x31 }, vrid, 254, 1])
            {
                *place = value;
            }
        }
        socket.set_multicast_ttl_v4(if number % 3 == 0 { 64 } else { 255 })?;
        socket.send_to(&packet, &group)?;
        thread::sleep(INTERVAL);
    }
    Ok(())
}

/// Sends `count` whole Ethernet frames, those of the file (one a line, in hexadecimal) in turn, one each `period`.
fn send(interface: &str, period: Duration, count: u32, file: &str) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
    let frames: Vec<Vec<u8>> = text.lines().map(from_hex).collect::<Result<_>>()?;
    let interface = datalink::interfaces()
        .into_iter()
        .find(|one| one.name == interface)
        .with_context(|| format!("no interface {interface}"))?;
    let Channel::Ethernet(mut sender, _receiver) =
        datalink::channel(&interface, datalink::Config::default())?
    else {
        bail!("{} is no Ethernet interface", interface.name);
    };
    let start = Instant::now();
    for (number, frame) in (0..count).zip(frames.iter().cycle()) {
        sender.send_to(frame, None).context("no room for a frame")??;
        let due = start + period.saturating_mul(number + 1);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

fn from_hex(line: &str) -> Result<Vec<u8>> {
    let digits = line.as_bytes();
    digits.chunks(2).map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}

#[derive(Default)]
struct Seen {
    answered: u64,
    last_answer: Option<Instant>,
    longest_gap: Duration,
    served_by: Vec<String>,
    /// The number of the last answer, and the probes before it that were passed over: first and last of each run.
    last_number: Option<u64>,
    first_number: Option<u64>,
    passed_over: Vec<(u64, u64)>,
}

/// Runs of lost probes that are told one by one.
const RUNS_MAX: usize = 16;

fn probe(address: Ipv4Addr, interval: Duration) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let target = SocketAddr::from((address, PORT));
    let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
    let receiver = thread::spawn({
        let (socket, seen, stop) = (socket.try_clone()?, Arc::clone(&seen), Arc::clone(&stop));
        move || receive(&socket, target, &seen, &stop)
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.spawn({
        let stop = Arc::clone(&stop);
        async move {
            if let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                term.recv().await;
            }
            stop.store(true, Ordering::Relaxed);
        }
    });
    let (start, mut sent) = (Instant::now(), 0u64);
    while !stop.load(Ordering::Relaxed) {
        // No ARP entry, no route: a lost probe, not an error of the probe.
        let _ = socket.send_to(&sent.to_be_bytes(), target);
        sent += 1;
        let due = start + interval.saturating_mul(u32::try_from(sent).context("probed for too long")?);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    // Answers on their way are not lost; a silent VIP at the end is.
    thread::sleep(Duration::from_millis(20));
    let end = Instant::now();
    receiver.join().ok();
    let seen = seen.lock().map_err(|_| anyhow::anyhow!("the receiver panicked"))?;
    let tail =
        seen.last_answer.map_or(end - start, |last| end - last).saturating_sub(Duration::from_millis(20));
    let outage = Outage {
        sent,
        lost: sent.saturating_sub(seen.first_number.unwrap_or(0)).saturating_sub(seen.answered),
        longest_gap_ms: seen.longest_gap.max(tail).as_secs_f64() * 1000.0,
        served_by: seen.served_by.clone(),
        passed_over: seen.passed_over.clone(),
    };
    println!("{}", serde_json::to_string(&outage)?);
    Ok(())
}

fn receive(socket: &UdpSocket, target: SocketAddr, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut buffer = [0; 64];
    loop {
        let (len, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                continue;
            }
            Err(_) => continue,
        };
        let (now, Some(name)) = (Instant::now(), buffer.get(8..len)) else { continue };
        if from != target {
            continue;
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let Ok(mut seen) = seen.lock() else { return };
        seen.answered += 1;
        let number = buffer.first_chunk().map_or(0, |number| u64::from_be_bytes(*number));
        // Probing begins with the first answer: before it nobody may have been there to answer.
        let first = *seen.first_number.get_or_insert(number);
        let expected = seen.last_number.map_or(first, |last| last + 1);
        if number > expected && seen.passed_over.len() < RUNS_MAX {
            seen.passed_over.push((expected, number - 1));
        }
        seen.last_number = seen.last_number.max(Some(number));
        match seen.last_answer {
            Some(last) => seen.longest_gap = seen.longest_gap.max(now - last),
            None => println!("first answer from {name}"),
        }
        seen.last_answer = Some(now);
        if seen.served_by.last() != Some(&name) {
            if !seen.served_by.is_empty() {
                println!("now answered by {name}");
            }
            seen.served_by.push(name);
        }
    }
}
