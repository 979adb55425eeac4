//! One run of a program: fed, bounded, and ended with everything that it started.

use std::{path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::{Instant, timeout},
};

use super::Exit;

/// How much of each stream is kept: the last of it. A metadata document is smaller.
const STREAM_MAX: usize = 512 * 1024;
/// How long it may take to go when it is asked to.
const GRACE: Duration = Duration::from_secs(2);
/// Daemons are in sbin, and the programs call some (`ipmitool`, `ssh`).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) struct Run {
    pub(super) exit: Exit,
    pub(super) stdout: String,
    /// Both streams, one after the other.
    pub(super) output: String,
    pub(super) took: Duration,
}

/// Runs `path` with `input` on its standard input and nothing of this process's environment.
pub(super) async fn run(path: &Path, input: &str, within: Duration) -> Run {
    let began = Instant::now();
    let failed = |what: &str, error: std::io::Error| Run {
        exit: Exit::Failed(format!("cannot {what} {}: {error}", path.display())),
        stdout: String::new(),
        output: String::new(),
        took: began.elapsed(),
    };
    let spawned = Command::new(path)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own group, so that what it started can be ended with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return failed("start", error),
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let ends_it = EndsGroup(group);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let talk = async {
        let feed = async {
            if let Some(mut stdin) = stdin {
                // One that does not read its input says why in its output.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let ((), stdout, stderr) = tokio::join!(feed, read(stdout), read(stderr));
        (stdout, stderr)
    };
    let whole = async {
        // What it started may keep the streams open; they are read until it has ended itself.
        tokio::pin!(talk);
        let mut said = None;
        let status = tokio::select! {
            both = &mut talk => { said = Some(both); child.wait().await }
            status = child.wait() => status,
        };
        let said = match said {
            Some(said) => said,
            None => timeout(GRACE, &mut talk).await.unwrap_or_default(),
        };
        (status, said)
    };
    let (exit, (stdout, stderr)) = match timeout(within, whole).await {
        Ok((Ok(status), said)) => (exit_of(status), said),
        Ok((Err(error), _)) => return failed("wait for", error),
        Err(_) => {
            end(&mut child, group).await;
            (Exit::TimedOut, Default::default())
        }
    };
    drop(ends_it);
    let output = format!("{stdout}{stderr}");
    Run { exit, stdout, output, took: began.elapsed() }
}

/// Kills the whole group when it goes, also with a caller that stops waiting.
struct EndsGroup(Option<Pid>);

impl Drop for EndsGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // No such process: everything has ended, as it should.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn end(child: &mut Child, group: Option<Pid>) {
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::TERM);
    }
    if timeout(GRACE, child.wait()).await.is_err() {
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = timeout(GRACE, child.wait()).await;
    }
}

fn exit_of(status: std::process::ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Failed("it ended neither by itself nor by a signal".to_owned()),
    }
}

/// The last [`STREAM_MAX`] bytes.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let (mut kept, mut chunk) = (Vec::new(), vec![0; 8192]);
    loop {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(count) => kept.extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
        if kept.len() > STREAM_MAX {
            kept.drain(..kept.len() - STREAM_MAX);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}
