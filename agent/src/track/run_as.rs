//! Runs a program as another user, without a fork of the agent.
//!
//! A fork copies the page tables of the whole process and makes its next writes fault. Measured on a process of 8 MiB that
//! forks again and again, writing to 200 pages took another thread 4 ms at the 99th percentile and up to 80 ms, instead of
//! 5 µs: the engine would stand still. `posix_spawn`, which copies nothing, cannot change the user. So the agent spawns
//! itself, and that child steps down and becomes the program.
//!
//! The child's standard input is a pipe on which it says why it could not; the kernel closes it when it could.

use std::{
    ffi::{OsStr, OsString},
    io::{self, PipeWriter, Read, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
};

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

/// The first argument of an agent that shall only step down and become a program.
const ARGUMENT: &str = "run-as";

/// Makes `command`, to which nothing was said but program, arguments and process group, one that runs as this user.
/// `this_program` is the agent's own file. Returns when the program runs.
///
/// # Errors
/// What the kernel said to any step.
pub(super) fn spawn(
    this_program: &Path,
    uid: u32,
    gid: u32,
    words: &[String],
    prepare: impl FnOnce(&mut Command),
) -> io::Result<Child> {
    let (mut why_not, say) = io::pipe()?;
    let mut command = Command::new(this_program);
    command.arg(ARGUMENT).arg(uid.to_string()).arg(gid.to_string()).args(words);
    prepare(&mut command);
    let spawned = command.stdin(Stdio::from(say)).spawn();
    // It holds the pipe's other end.
    drop(command);
    let mut child = spawned?;
    let mut number = [0; 4];
    match why_not.read_exact(&mut number) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(child),
        said => {
            let _ = child.kill();
            let _ = child.wait();
            said?;
            Err(io::Error::from_raw_os_error(i32::from_ne_bytes(number)))
        }
    }
}

/// What the agent asked for, if this process was started by one as a child that steps down.
#[derive(Debug)]
pub struct RunAsRequest {
    uid: Uid,
    gid: Gid,
    program: OsString,
    arguments: Vec<OsString>,
}

impl RunAsRequest {
    /// Reads the arguments of this process; `None`: it was started for something else.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut arguments = arguments.into_iter().skip(1);
        if arguments.next()? != ARGUMENT {
            return None;
        }
        let mut number = || arguments.next()?.to_str()?.parse().ok();
        let (uid, gid) = (Uid::from_raw(number()?), Gid::from_raw(number()?));
        Some(Self { uid, gid, program: arguments.next()?, arguments: arguments.collect() })
    }

    /// Steps down and becomes the program; returns only when that failed.
    pub fn carry_out(self) -> ExitCode {
        match io::stdin().as_fd().try_clone_to_owned() {
            Ok(pipe) => {
                let number = self.become_it().raw_os_error().unwrap_or(libc::EIO);
                let _ = PipeWriter::from(pipe).write_all(&number.to_ne_bytes());
                ExitCode::from(126)
            }
            Err(_) => ExitCode::from(126),
        }
    }

    fn become_it(&self) -> io::Error {
        let Self { uid, gid, program, arguments } = self;
        let stepped_down = setgroups(&[*gid])
            .and_then(|()| setresgid(*gid, *gid, *gid))
            .and_then(|()| setresuid(*uid, *uid, *uid));
        match stepped_down {
            Ok(()) => Command::new::<&OsStr>(program).args(arguments).stdin(Stdio::null()).exec(),
            Err(errno) => errno.into(),
        }
    }
}
