//! `ha-agent run`: the engine, and everything around it that the engine never waits for.
//!
//! | where | what |
//! | --- | --- |
//! | thread `engine` | virtual routers, sockets, addresses ([`crate::driver`]) |
//! | thread `journal` | files of the journal ([`crate::journal`]) |
//! | thread `log` | standard error ([`crate::log`]) |
//! | threads `control` (2) | reports to the journal, uplink, status socket, metrics, signals, watchdog |
//!
//! The tasks on the control runtime hold only channels and timers across their awaits, so dropping one loses nothing.

mod act;
mod door;
mod engine;
mod firewall;
mod lock;
mod pulse;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

pub use act::{ActClient, ActStatus, Asked};
pub use door::{ConfigurationStatus, Door, NotApplied};
pub use engine::{EngineClient, EngineSilent};
pub use lock::{LockError, StateLock};

use self::{act::Acts, firewall::Firewall};
use crate::{
    clock,
    config::{AgentConfig, Inputs, LoadError, Loaded, PushedText, Style, load, load_with, render},
    driver::{self, Report},
    join::Name,
    journal::{Happening, Journal, Limits},
    local::{self, Document},
    log::{self, LogThread},
    metrics,
    orders::Book,
    present::{Process, Sources},
    push::{Clocks, Push},
    reference,
    track::{CheckReport, Reports, THIS_PROGRAM, Tracker},
    uplink::{self, Uplink},
};

/// How long the engine may take to say priority 0 everywhere and release its addresses.
const ENGINE_STOP_WITHIN: Duration = Duration::from_secs(5);
/// How long the last events may take to the disk, and then to the coordinator.
const LAST_EVENTS_WITHIN: Duration = Duration::from_secs(1);
/// The uplink's own bound is a second; this one is for when it is stuck.
const UPLINK_STOP_WITHIN: Duration = Duration::from_millis(1500);
const LOG_FLUSH_WITHIN: Duration = Duration::from_millis(500);

/// What `ha-agent run` is told.
#[derive(Debug)]
pub struct Options {
    /// The configuration files.
    pub inputs: Inputs,
    /// Where the state is.
    pub state_dir: PathBuf,
    /// How the log looks.
    pub log_format: log::Format,
}

/// Runs the agent until a signal ends it.
///
/// # Errors
/// When it cannot start; then nothing was changed.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let loaded = match load(&options.inputs) {
        Ok(loaded) => loaded,
        Err(error) => return Ok(refuse(&error)),
    };
    let log_thread = log::start(options.log_format)?;
    let ended = serve(options, loaded, &log_thread);
    if let Err(error) = &ended {
        tracing::error!("{error:#}");
    }
    log_thread.flush(LOG_FLUSH_WITHIN);
    Ok(ended.unwrap_or(ExitCode::FAILURE))
}

/// Says where a configuration is wrong. Nothing was started, and there is no log yet.
fn refuse(error: &LoadError) -> ExitCode {
    use std::io::{IsTerminal, Write};
    let color = std::io::stderr().is_terminal();
    let text = render(&error.findings, &error.sources, Style::Lines { color });
    let _ = writeln!(
        std::io::stderr(),
        "{text}ha-agent: the configuration has errors; nothing was started or changed"
    );
    ExitCode::FAILURE
}

fn serve(options: &Options, loaded: Loaded, log_thread: &LogThread) -> anyhow::Result<ExitCode> {
    // Also of a configuration without what was pushed: that has no say in them.
    let names = Names::of(&loaded.config)?;
    let _lock = StateLock::take(&options.state_dir)?;
    let book = Book::open(&options.state_dir);
    let mut push = Push::open(&options.state_dir, &Clocks::now());
    let local = loaded.config.clone();
    let (loaded, mut pushed) = with_what_was_pushed(options, loaded, &mut push);
    for finding in &loaded.findings {
        tracing::warn!("{finding}");
    }
    let mut config = loaded.config;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the control runtime")?;
    // Before the engine holds anything that a signal without a handler would leave behind.
    let signals = {
        let _context = runtime.enter();
        Signals::new().context("cannot listen to signals")?
    };
    let metrics_listener = config.metrics.map(metrics::bind).transpose()?;
    let (journal, journal_thread) = Journal::start(&options.state_dir.join("journal"), Limits::default())
        .context("cannot start the journal's thread")?;
    journal.append(Happening::started());
    let mut firewall = Firewall::default();
    match (runtime.block_on(firewall.apply(&config)), pushed.take()) {
        (Ok(()), applied) => pushed = applied,
        (Err(error), None) => return Err(error.into()),
        (Err(error), Some(_)) => {
            push.note(Some(log::chain(&error)));
            config = local;
            runtime.block_on(firewall.apply(&config))?;
        }
    }
    let (tracker, results) = Tracker::start(config.checks.clone(), Path::new(THIS_PROGRAM))
        .context("cannot start what runs the checks")?;
    let mut plan = driver::Plan::of(&config);
    // Before any instance is started: who is held back does not serve for a moment.
    plan.standing = book.standing(clock::wall_us());
    let engine = driver::start(plan).context("the engine cannot start")?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        instances = config.instances.len(),
        state_dir = %options.state_dir.display(),
        "ha-agent runs"
    );
    let started = Started {
        options,
        config,
        names,
        log_thread,
        metrics_listener,
        checks: (tracker, results),
        firewall,
        book,
        push,
        pushed,
    };
    let code = runtime.block_on(control(started, engine, journal.clone(), signals));
    journal.close();
    // What the disk does not take within this time is lost with the process, and the journal says so by its gap.
    runtime.shutdown_timeout(Duration::from_millis(200));
    join_within(journal_thread, LAST_EVENTS_WITHIN);
    Ok(code)
}

struct Started<'a> {
    options: &'a Options,
    config: AgentConfig,
    names: Names,
    log_thread: &'a LogThread,
    /// Opened before the engine holds anything: an address that cannot be had is found out at the start.
    metrics_listener: Option<TcpListener>,
    /// They run already: their first results are what elections wait for.
    checks: (Tracker, Reports),
    firewall: Firewall,
    book: Book,
    push: Push,
    /// What was pushed and is part of `config`.
    pushed: Option<PushedText>,
}

/// The configuration with what was pushed. What cannot be had with it runs without it: local files come first.
fn with_what_was_pushed(options: &Options, local: Loaded, push: &mut Push) -> (Loaded, Option<PushedText>) {
    // What is wrong with its file is known already.
    let Ok(Some(text)) = push.text() else { return (local, None) };
    match load_with(&options.inputs, Some(&text)) {
        Ok(loaded) => (loaded, Some(text)),
        Err(error) => {
            tracing::error!("what was pushed does not run: {error}");
            push.note(Some(error.to_string()));
            (local, None)
        }
    }
}

/// The configuration's names, checked like those of an identity.
struct Names {
    node: Option<Name>,
    site: Option<Name>,
}

impl Names {
    fn of(config: &AgentConfig) -> anyhow::Result<Self> {
        let name = |key: &str, text: &Option<String>| {
            text.as_deref()
                .map(Name::from_str)
                .transpose()
                .with_context(|| format!("`{key}` of the configuration"))
        };
        Ok(Self { node: name("node", &config.node)?, site: name("site", &config.site)? })
    }
}

/// What a signal asks for.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }
}

async fn control(
    started: Started<'_>,
    engine: driver::Engine,
    journal: Journal,
    mut signals: Signals,
) -> ExitCode {
    let Started {
        options,
        config,
        names,
        log_thread,
        metrics_listener,
        checks: (tracker, results),
        firewall,
        book,
        push,
        pushed,
    } = started;
    let client = EngineClient::new(engine.commands);
    tokio::spawn(tell_results(results, client.clone()));
    let mut reports = tokio::spawn(journal_reports(engine.reports, journal.clone()));
    let (publish, uplink_status) = watch::channel(uplink::Status::default());
    let (stop_uplink, uplink_stop) = watch::channel(false);
    let coordinators = addresses(&config.coordinators);
    let checks = tracker.statuses();
    let applied = push.pointer().running.as_ref().map(|generation| generation.number);
    let applied = applied.filter(|_| pushed.is_some());
    let inputs = options.inputs.clone();
    let door = Door::new(inputs, config, pushed, client.clone(), journal.clone(), tracker, firewall);
    let configuration = door.status();
    let watched = door.watched();
    let (publish_references, references) = watch::channel(Vec::new());
    tokio::spawn(reference::run(client.clone(), watched, uplink_status.clone(), publish_references));
    let (acts_client, asked) = ActClient::new();
    let mut acts = Acts::new(door, book, push, applied, client.clone(), asked);
    let uplink = Uplink {
        state_dir: options.state_dir.clone(),
        node: names.node.clone(),
        site: names.site.clone(),
        coordinators,
        engine: client.clone(),
        journal: journal.clone(),
        configuration: configuration.clone(),
        acts: acts_client,
        acting: acts.status(),
        references: references.clone(),
        status: publish,
        stop: uplink_stop,
    };
    let uplink = tokio::spawn(uplink.run());
    let sources = Sources {
        process: Arc::new(process(options, &names)),
        configuration,
        acting: acts.status(),
        references,
        engine: client.clone(),
        checks,
        uplink: uplink_status,
        journal: journal.clone(),
        log_lines_dropped: Arc::new(log_thread.dropped()),
    };
    serve_status(options, &sources);
    if let Some(listener) = metrics_listener {
        let sources = sources.clone();
        tokio::spawn(metrics::serve(listener, move || {
            let sources = sources.clone();
            async move { sources.present().await }
        }));
    }
    tokio::spawn(pulse::run(client.clone(), journal.clone()));
    // Not under systemd, or without Type=notify, there is nobody to tell.
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status("running")]);
    let reason = loop {
        tokio::select! {
            _ = &mut reports => {
                tracing::error!("the engine has ended by itself; the agent ends too, so that it is started anew");
                return ExitCode::FAILURE;
            }
            _ = signals.terminate.recv() => break "sigterm",
            _ = signals.interrupt.recv() => break "sigint",
            _ = signals.hangup.recv() => tokio::select! {
                () = reload(&mut acts) => {}
                // A disk that does not answer holds no goodbye up.
                _ = signals.terminate.recv() => break "sigterm",
                _ = signals.interrupt.recv() => break "sigint",
            },
            work = acts.next() => tokio::select! {
                () = acts.perform(work) => {}
                _ = signals.terminate.recv() => break "sigterm",
                _ = signals.interrupt.recv() => break "sigint",
            },
            _ = signals.user1.recv() => dump(&sources).await,
        }
    };
    let _ = sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("releasing addresses")]);
    let code = stop(reason, &client, reports, &journal, &stop_uplink, uplink).await;
    acts.close().await;
    code
}

/// Ends with the tracker or the engine.
async fn tell_results(mut results: Reports, engine: EngineClient) {
    while let Some(CheckReport { check, result, detail }) = results.recv().await {
        if engine.track(check, result, detail).await.is_err() {
            return;
        }
    }
}

/// SIGHUP, with systemd told about it (`Type=notify-reload` in sd_notify(3)).
async fn reload(acts: &mut Acts) {
    let monotonic = NotifyState::monotonic_usec_now();
    let reloading = monotonic.into_iter().chain([NotifyState::Reloading]).collect::<Vec<_>>();
    let _ = sd_notify::notify(&reloading);
    acts.reload().await;
    let _ = sd_notify::notify(&[NotifyState::Ready]);
}

/// The orderly end: first the addresses, then the story.
async fn stop(
    reason: &str,
    engine: &EngineClient,
    reports: JoinHandle<()>,
    journal: &Journal,
    stop_uplink: &watch::Sender<bool>,
    uplink: JoinHandle<()>,
) -> ExitCode {
    tracing::info!(reason, "stopping: priority 0, addresses released");
    let is_clean = match engine.stop(ENGINE_STOP_WITHIN).await {
        Ok(left) => {
            for address in &left {
                tracing::error!("{address}: it may be left on this host; run `ha-agent release`");
            }
            left.is_empty()
        }
        Err(error) => {
            tracing::error!("{error}: addresses may be left on this host; run `ha-agent release`");
            false
        }
    };
    // Each bound is hit only by a disk or a coordinator that does not answer, and then nothing more can be done.
    let _ = timeout(LAST_EVENTS_WITHIN, reports).await;
    journal.append(Happening::stopped(reason));
    let _ = timeout(LAST_EVENTS_WITHIN, journal.flush()).await;
    stop_uplink.send_replace(true);
    let _ = timeout(UPLINK_STOP_WITHIN, uplink).await;
    tracing::info!("stopped");
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends when the engine does.
async fn journal_reports(mut reports: mpsc::Receiver<Report>, journal: Journal) {
    while let Some(report) = reports.recv().await {
        journal.append(report.into());
    }
}

/// The configuration's reader has checked them.
fn addresses(coordinators: &[String]) -> Vec<crate::join::CoordinatorAddress> {
    let read = |text: &String| {
        text.parse().inspect_err(|error| tracing::warn!("a coordinator is left out: {error}")).ok()
    };
    coordinators.iter().filter_map(read).collect()
}

fn serve_status(options: &Options, sources: &Sources) {
    match local::bind(&options.state_dir) {
        Ok(listener) => {
            let sources = sources.clone();
            let document = move || {
                let sources = sources.clone();
                async move { Document::new(&sources.present().await) }
            };
            tokio::spawn(local::serve(listener, document));
        }
        Err(error) => tracing::warn!(
            %error,
            "no status socket at {}: `ha-agent status` will not find this agent",
            local::socket_path(&options.state_dir).display()
        ),
    }
}

fn process(options: &Options, names: &Names) -> Process {
    let files = [&options.inputs.native, &options.inputs.keepalived];
    Process {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        started: clock::now(),
        started_wall_us: clock::wall_us(),
        node: names.node.as_ref().map(ToString::to_string),
        site: names.site.as_ref().map(ToString::to_string),
        configuration: files.into_iter().flatten().map(|path| path.display().to_string()).collect(),
    }
}

/// SIGUSR1.
async fn dump(sources: &Sources) {
    match serde_json::to_string(&Document::new(&sources.present().await)) {
        Ok(state) => tracing::info!("state: {state}"),
        Err(error) => tracing::warn!(%error, "the state cannot be written as JSON"),
    }
}

/// Waits for a thread, but not for ever: it may sit in a disk that does not answer.
fn join_within(thread: std::thread::JoinHandle<()>, at_most: Duration) {
    let (done, ended) = std::sync::mpsc::channel();
    let waiter = std::thread::Builder::new().name("join".to_owned()).spawn(move || {
        let _ = thread.join();
        let _ = done.send(());
    });
    if waiter.is_ok() && ended.recv_timeout(at_most).is_err() {
        tracing::warn!("the journal's disk does not answer; the last events may be missing from it");
    }
}

#[cfg(test)]
mod tests;
