//! A PostgreSQL of one's own: a new cluster in a temporary directory, reachable by a Unix socket in it and by nothing
//! else, gone when it is dropped or when the test process dies, however it dies.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io::{BufRead, BufReader},
    os::{fd::OwnedFd, unix::fs::chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, postgres::PgConnectOptions};
use tempfile::TempDir;

/// The cluster's superuser, who needs no password on the socket.
const USER: &str = "hafleet";
/// Lines of the server's log that an error shows.
const LOG_LINES: usize = 40;

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    pidfd: OwnedFd,
    // One thread starts the server, reads its log and reaps it: the kernel ends the server when its *thread* ends.
    thread: Option<thread::JoinHandle<()>>,
    directory: TempDir,
}

impl Postgres {
    /// Starts a server that does not wait for the disk: its data lives as long as the test.
    pub fn start() -> Result<Self> {
        Self::start_with(&["fsync=off", "synchronous_commit=off", "full_page_writes=off"])
    }

    /// Starts a server with settings of one's own, `name=value` each.
    pub fn start_with(settings: &[&str]) -> Result<Self> {
        let programs = programs()?;
        let directory = tempfile::Builder::new().prefix("hafleet-pg-").tempdir()?;
        let account = Account::pick()?;
        if let Account::Postgres { uid, gid } = account {
            chown(directory.path(), Some(uid), Some(gid))
                .context("giving the cluster's directory to postgres")?;
        }
        init(&programs, &account, directory.path())?;

        let mut command = account.command(&programs.join("postgres"));
        command.arg("-D").arg(directory.path().join("data")).arg("-k").arg(directory.path());
        for setting in ["listen_addresses=", "max_connections=100"].iter().chain(settings) {
            command.arg("-c").arg(setting);
        }
        command
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let (ready, started) = mpsc::channel();
        let thread = thread::Builder::new().name("postgres".into()).spawn(move || attend(command, &ready))?;
        match started.recv() {
            Ok(Ok(pidfd)) => Ok(Self { pidfd, thread: Some(thread), directory }),
            Ok(Err(error)) => Err(error),
            Err(_) => bail!("the thread that starts PostgreSQL ended without a word"),
        }
    }

    /// Makes an empty database; returns its URL.
    pub async fn database(&self, name: &str) -> Result<String> {
        let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        ensure!(plain, "{name:?} is not a plain name for a database");
        let options = PgConnectOptions::new_without_pgpass()
            .socket(self.directory.path())
            .port(5432)
            .username(USER)
            .database("postgres");
        let mut connection = options.connect().await.context("connecting to the test's PostgreSQL")?;
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
        connection.close().await?;
        Ok(format!("postgres:///{name}?host={}&port=5432&user={USER}", self.directory.path().display()))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT: at once; nothing of it is needed any more. A server that has ended already is as good.
        let _ = pidfd_send_signal(&self.pidfd, Signal::QUIT);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Who runs the server: PostgreSQL refuses to be root.
enum Account {
    Postgres { uid: u32, gid: u32 },
    Myself,
}

impl Account {
    fn pick() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Myself);
        }
        Ok(Self::Postgres { uid: id("-u")?, gid: id("-g")? })
    }

    /// `setpriv` becomes the program: its process id is the program's, and the kernel ends it with our thread.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        if let Self::Postgres { uid, gid } = self {
            command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
        }
        command.arg("--pdeathsig=QUIT").arg("--").arg(program);
        command
    }
}

fn id(flag: &str) -> Result<u32> {
    let output = Command::new("id").args([flag, "postgres"]).output().context("running id")?;
    ensure!(output.status.success(), "no account `postgres`; run tests/setup");
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Debian's directory of the newest server programs.
fn programs() -> Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in
        std::fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed; run tests/setup")?
    {
        let path = entry?.path();
        let version = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        if let Some(version) = version
            && path.join("bin/initdb").exists()
        {
            found.push((version, path.join("bin")));
        }
    }
    found.sort();
    let newest =
        found.pop().ok_or_else(|| anyhow!("no server programs in /usr/lib/postgresql; run tests/setup"))?;
    Ok(newest.1)
}

/// A cluster whose words sort as people write them, not by bytes: where the store relies on an order, it shows.
fn init(programs: &Path, account: &Account, directory: &Path) -> Result<()> {
    let output = account
        .command(&programs.join("initdb"))
        .arg("-D")
        .arg(directory.join("data"))
        .args(["-U", USER, "--auth=trust", "--no-sync", "--no-instructions", "--encoding=UTF8"])
        .args(["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"])
        .current_dir(directory)
        .output()
        .context("running initdb")?;
    ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Starts the server, says when it is ready or why it is not, and stays until it has ended.
fn attend(mut command: Command, ready: &mpsc::Sender<Result<OwnedFd>>) {
    match command.spawn().with_context(|| format!("starting {command:?}")) {
        Err(error) => {
            let _ = ready.send(Err(error));
        }
        Ok(mut child) => {
            if let Err(error) = read_log(&mut child, ready) {
                let _ = ready.send(Err(error));
                // Without an owner it must not go on.
                let _ = child.kill();
            }
            let _ = child.wait();
        }
    }
}

fn read_log(child: &mut Child, ready: &mpsc::Sender<Result<OwnedFd>>) -> Result<()> {
    let log = child.stderr.take().context("PostgreSQL has no log")?;
    let pidfd =
        pidfd_open(Pid::from_child(child), PidfdFlags::empty()).context("opening PostgreSQL's pidfd")?;
    let mut unsent = Some(pidfd);
    let mut last = VecDeque::new();
    for line in BufReader::new(log).lines() {
        let line = line.context("reading PostgreSQL's log")?;
        if line.contains("database system is ready to accept connections")
            && let Some(pidfd) = unsent.take()
        {
            // Nobody waits any more: drop the descriptor, and let the caller end the server.
            ready.send(Ok(pidfd)).map_err(|_| anyhow!("nobody waits for PostgreSQL"))?;
        }
        if last.len() == LOG_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    if unsent.is_some() {
        let mut text = String::new();
        for line in last {
            writeln!(text, "{line}")?;
        }
        bail!("PostgreSQL ended before it was ready; its log:\n{text}");
    }
    Ok(())
}
