//! A capture of the service segment: what everybody's VRRP, ARP and neighbour advertisements were, and when.

use std::{
    fs::{self, File},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError, traits::PcapReaderIterator};
use pnet::util::MacAddr;

use super::{Advert, Frame, Lab, Segment, now, wait_for};

/// What is of interest, in tcpdump's language.
const FILTER: &str = "ip proto 112 or ip6 proto 112 or arp or icmp6";

/// A running tcpdump on the switch, which sees each frame once, whoever it is for. Ended on drop.
#[derive(Debug)]
pub struct Capture {
    child: Child,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    frames: Mutex<Vec<Frame>>,
    more: Condvar,
}

impl Lab {
    /// Captures the service segment from now on.
    pub fn capture(&self) -> Result<Capture> {
        self.capture_only(FILTER)
    }

    /// The same with a filter of one's own, in tcpdump's language.
    pub fn capture_only(&self, filter: &str) -> Result<Capture> {
        Capture::start(&self.switch(), Segment::Service.bridge(), filter, self.directory())
    }
}

impl Capture {
    fn start(namespace: &str, interface: &str, filter: &str, directory: &Path) -> Result<Self> {
        let log: PathBuf = directory.join("tcpdump.log");
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace, "tcpdump", "-i", interface, "-n", "-U", "-w", "-"])
            // A ring large enough for a flood, handed over frame by frame. Its places are as large as the longest frame that is
            // wanted: those of the default are 256 in all.
            .args(["--immediate-mode", "-B", "16384", "-s", "1600", filter])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .context("starting tcpdump")?;
        let output = child.stdout.take().context("tcpdump has no standard output")?;
        let seen = Arc::new(Seen::default());
        std::thread::spawn({
            let seen = Arc::clone(&seen);
            move || read(output, &seen)
        });
        let capture = Self { child, seen };
        wait_for("tcpdump to listen", Duration::from_secs(10), || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            Ok(said.contains("listening on").then_some(()))
        })?;
        Ok(capture)
    }

    /// Every frame so far.
    pub fn frames(&self) -> Vec<Frame> {
        self.seen.frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The frames since this moment.
    pub fn since(&self, from: Duration) -> Vec<Frame> {
        self.frames().into_iter().filter(|frame| frame.at >= from).collect()
    }

    /// The first frame since `from` of which `find` makes something, waiting for it until `within` after now.
    pub fn wait_for<T>(
        &self,
        what: &str,
        from: Duration,
        within: Duration,
        mut find: impl FnMut(&Frame) -> Option<T>,
    ) -> Result<T> {
        let until = now() + within;
        let mut frames = self.seen.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let mut checked = 0;
        loop {
            let new = frames.get(checked..).unwrap_or_default();
            if let Some(found) = new.iter().filter(|frame| frame.at >= from).find_map(&mut find) {
                return Ok(found);
            }
            checked = frames.len();
            let left = until.saturating_sub(now());
            if left.is_zero() {
                bail!("waited {within:?} in vain for {what} on the wire");
            }
            (frames, _) = self.seen.more.wait_timeout(frames, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for an advert of `vrid` from `source` with a priority of which `priority` holds; when it came.
    pub fn advert(
        &self,
        from: Duration,
        within: Duration,
        vrid: u8,
        source: IpAddr,
        priority: impl Fn(u8) -> bool,
    ) -> Result<(Duration, Advert)> {
        self.wait_for(&format!("an advert of VRID {vrid} from {source}"), from, within, |frame| {
            let advert = frame.advert()?;
            let is_it = advert.vrid() == vrid && advert.source == source && priority(advert.priority());
            is_it.then(|| (frame.at, advert.clone()))
        })
    }

    /// When `source` sent its adverts of `vrid` since `from`, goodbyes left out.
    pub fn cadence(&self, from: Duration, vrid: u8, source: IpAddr) -> Vec<Duration> {
        let is_it =
            |advert: &Advert| advert.vrid() == vrid && advert.source == source && advert.priority() > 0;
        self.since(from)
            .iter()
            .filter(|frame| frame.advert().is_some_and(is_it))
            .map(|frame| frame.at)
            .collect()
    }

    /// When `address` was announced with this MAC since `from`.
    pub fn announcements(&self, from: Duration, address: IpAddr, mac: MacAddr) -> Vec<Duration> {
        let is_it = |frame: &&Frame| frame.announced() == Some(address) && frame.source_mac == mac;
        self.since(from).iter().filter(is_it).map(|frame| frame.at).collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends with the pipe.
fn read(output: ChildStdout, seen: &Seen) {
    let Ok(mut reader) = LegacyPcapReader::new(1 << 20, output) else { return };
    loop {
        let offset = match reader.next() {
            Ok((offset, PcapBlockOwned::Legacy(block))) => {
                let at = Duration::new(block.ts_sec.into(), block.ts_usec.saturating_mul(1000));
                if let Some(frame) = Frame::read(at, block.data) {
                    seen.frames.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
                    seen.more.notify_all();
                }
                offset
            }
            Ok((offset, PcapBlockOwned::LegacyHeader(_) | PcapBlockOwned::NG(_))) => offset,
            Err(PcapError::Incomplete(_)) => match reader.refill() {
                Ok(()) => continue,
                Err(_) => return,
            },
            Err(_) => return,
        };
        reader.consume(offset);
    }
}
