use std::{
    io::{self, Write},
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use super::*;

/// A pipe whose reader takes a line only when told to.
struct Reader {
    go: Receiver<()>,
    read: Sender<String>,
}

impl Write for Reader {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.go.recv();
        let _ = self.read.send(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_pipe_that_nobody_reads_delays_nobody_and_is_counted() {
    let (go, wait) = channel();
    let (read, lines_read) = channel();
    let (lines, thread) = lines_to(Reader { go: wait, read }, |count| format!("{count} dropped")).unwrap();
    let subscriber = tracing_subscriber::fmt().with_writer(lines).with_ansi(false).finish();
    // Returns although not one line can be written.
    tracing::subscriber::with_default(subscriber, || {
        for nth in 0..10_000 {
            tracing::info!("line {nth}");
        }
    });
    let dropped = thread.dropped();
    assert!(dropped() >= 10_000 - 4096 - 2, "only {} were dropped", dropped());
    drop(go);
    let told = lines_read.iter().find(|line| line.ends_with("dropped"));
    assert!(told.is_some(), "the loss was never told");
    thread.flush(Duration::from_secs(10));
}

#[test]
fn a_chain_names_every_cause_once() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the door")]
    struct Outer(#[source] io::Error);
    let error = Outer(io::Error::other("the key is gone"));
    assert_eq!(chain(&error), "cannot open the door: the key is gone");
}
