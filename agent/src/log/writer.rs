//! The queue of log lines and the thread that writes them.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait for a slow reader.
const QUEUE_LEN: usize = 4096;

enum Entry {
    Line(Vec<u8>),
    /// Answered when every line before it is written.
    Flush(SyncSender<()>),
}

/// Where lines are put in. Never waits.
#[derive(Clone)]
pub struct Lines {
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

/// The end that the process keeps.
pub struct LogThread {
    queue: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

/// A queue of lines and the thread that writes them to `to`. `loss` is the line that tells how many were dropped.
///
/// # Errors
/// When there can be no thread.
pub fn lines_to(to: impl Write + Send + 'static, loss: fn(u64) -> String) -> io::Result<(Lines, LogThread)> {
    let (queue, entries) = sync_channel(QUEUE_LEN);
    let dropped = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&dropped);
    thread::Builder::new().name("log".to_owned()).spawn(move || write(&entries, to, loss, &counter))?;
    Ok((Lines { queue: queue.clone(), dropped: Arc::clone(&dropped) }, LogThread { queue, dropped }))
}

impl LogThread {
    /// Waits until everything logged so far is written, but not longer than `at_most`.
    pub fn flush(&self, at_most: Duration) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Entry::Flush(done)).is_ok() {
            // Not written in time: nobody reads, and the process must end all the same.
            let _ = written.recv_timeout(at_most);
        }
    }

    /// Reads the number of lines dropped so far.
    pub fn dropped(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let dropped = Arc::clone(&self.dropped);
        move || dropped.load(Ordering::Relaxed)
    }
}

fn write(entries: &Receiver<Entry>, mut to: impl Write, loss: fn(u64) -> String, dropped: &AtomicU64) {
    let mut told = 0;
    while let Ok(entry) = entries.recv() {
        // A reader that went away is nobody's concern: there is no other place to complain to.
        match entry {
            Entry::Line(line) => {
                let _ = to.write_all(&line);
            }
            Entry::Flush(done) => {
                let _ = to.flush();
                let _ = done.try_send(());
            }
        }
        let count = dropped.load(Ordering::Relaxed);
        if count > told {
            let _ = to.write_all(loss(count - told).as_bytes());
            told = count;
        }
    }
}

/// The writer of one line.
pub struct Line<'a>(&'a Lines);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.queue.try_send(Entry::Line(line.to_vec())).is_err() {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}
