//! What runs inside the lab's hosts: `echo ADDRESS NAME` answers probes, `probe ADDRESS` sends one a millisecond.

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
use socket2::{Domain, Protocol, Socket, Type};

/// RFC 862's echo port.
const PORT: u16 = 7;
const INTERVAL: Duration = Duration::from_millis(1);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["echo", address, name] => echo(address.parse()?, name),
        ["probe", address] => probe(address.parse()?),
        _ => bail!("usage: lab echo ADDRESS NAME | lab probe ADDRESS"),
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

#[derive(Default)]
struct Seen {
    answered: u64,
    last_answer: Option<Instant>,
    longest_gap: Duration,
    served_by: Vec<String>,
}

fn probe(address: Ipv4Addr) -> Result<()> {
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
        let due = start + INTERVAL.saturating_mul(u32::try_from(sent).context("probed for too long")?);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    // Answers on their way are not lost; a silent VIP at the end is.
    thread::sleep(Duration::from_millis(20));
    let end = Instant::now();
    receiver.join().ok();
    let seen = seen.lock().map_err(|_| anyhow::anyhow!("the receiver panicked"))?;
    let tail = seen.last_answer.map_or(end - start, |last| end - last).saturating_sub(Duration::from_millis(20));
    let outage = Outage {
        sent,
        lost: sent.saturating_sub(seen.answered),
        longest_gap_ms: seen.longest_gap.max(tail).as_secs_f64() * 1000.0,
        served_by: seen.served_by.clone(),
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
