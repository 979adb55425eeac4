//! One process group of a script, from its start to its end.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{
    Pid, PidfdFlags, Resource, Signal, WaitId, WaitIdOptions, getegid, geteuid, getrlimit,
    kill_process_group, pidfd_open, waitid,
};
use tokio::{
    io::unix::AsyncFd,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use super::{run_as, waiting::readable};
use crate::config::track::{RunAs, ScriptCheck};

/// How often it is asked whether a process ended when there was no descriptor left to be told by.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// What would let a script speak for the agent to systemd.
const NOT_INHERITED: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// A script that runs, first in a process group of its own. Until it was reaped its process id, and so the group's, cannot
/// become somebody else's: signals go nowhere else. Dropping it kills the group.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    group: Pid,
    /// `None` when there was no descriptor left.
    pidfd: Option<(AsyncFd<OwnedFd>, OwnedSemaphorePermit)>,
    is_reaped: bool,
}

/// What programs are started with.
#[derive(Clone, Debug)]
pub(super) struct Means {
    /// The agent's own file.
    this_program: Arc<Path>,
    /// Descriptors for processes; the rest are for everything else that the agent does.
    descriptors: Arc<Semaphore>,
}

impl Means {
    /// `this_program` is the agent's own file.
    pub(super) fn new(this_program: &Path) -> Self {
        let most = getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok());
        let half = most.unwrap_or(Semaphore::MAX_PERMITS) / 2;
        let descriptors = Arc::new(Semaphore::new(half.min(Semaphore::MAX_PERMITS)));
        Self { this_program: this_program.into(), descriptors }
    }
}

impl Program {
    /// Starts it: no shell, nothing on its standard input, its output thrown away (as keepalived does), no descriptor of
    /// the agent. Blocks until the kernel has read the program's file, and wants a tokio runtime around it.
    ///
    /// # Errors
    /// What the kernel said to it.
    pub(super) fn start(script: &ScriptCheck, means: &Means) -> io::Result<Self> {
        let mut child = match spawn(&script.command, &script.run_as, &means.this_program) {
            // As a shell and execvp(3) do with a file that does not say what it is written for.
            Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
                let words = [&["/bin/sh".to_owned()], &script.command[..]].concat();
                spawn(&words, &script.run_as, &means.this_program)?
            }
            started => started?,
        };
        let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
            let _ = child.kill();
            return Err(io::Error::other("the kernel gave it no process id"));
        };
        let pidfd = Arc::clone(&means.descriptors).try_acquire_owned().ok().and_then(|permit| {
            let pidfd = pidfd_open(group, PidfdFlags::NONBLOCK).map_err(io::Error::from).and_then(readable);
            Some((pidfd.ok()?, permit))
        });
        Ok(Self { child, group, pidfd, is_reaped: false })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns when its first process has ended; the group may have others.
    pub(super) async fn ended(&self) {
        if let Some((pidfd, _)) = &self.pidfd
            && pidfd.readable().await.is_ok()
        {
            return;
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while let Ok(None) = waitid(WaitId::Pid(self.group), options) {
            sleep(ASK_EVERY).await;
        }
    }

    /// Sends a signal to the whole group.
    pub(super) fn signal(&self, signal: Signal) {
        if self.is_reaped {
            return;
        }
        if let Err(error) = kill_process_group(self.group, signal) {
            tracing::debug!(%error, group = self.group.as_raw_nonzero(), ?signal, "cannot signal a script's processes");
        }
    }

    /// Takes what is left of it, once [`Self::ended`] said so.
    ///
    /// # Errors
    /// When somebody else took it.
    pub(super) fn reap(&mut self) -> io::Result<ExitStatus> {
        self.is_reaped = true;
        self.child.wait()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.signal(Signal::KILL);
            let _ = self.child.try_wait();
        }
    }
}

fn spawn(words: &[String], run_as: &RunAs, this_program: &Path) -> io::Result<Child> {
    let [program, arguments @ ..] = words else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"));
    };
    let prepare = |command: &mut Command| {
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
    };
    match run_as {
        RunAs::User { uid, gid } if *uid != geteuid().as_raw() || *gid != getegid().as_raw() => {
            run_as::spawn(this_program, *uid, *gid, words, prepare)
        }
        RunAs::User { .. } | RunAs::Agent => {
            let mut command = Command::new(program);
            command.args(arguments);
            prepare(&mut command);
            command.spawn()
        }
    }
}
