//! What each command does.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;

use super::{CONFIG, Join, Output, Release, Run, Sources, Status};
use crate::{
    config::{self, Inputs, Style},
    driver,
    join::{self, JoinToken, Name},
    log,
    push::Push,
    run, status,
};

/// Columns when standard output is no terminal.
const WIDTH_WITHOUT_TERMINAL: u16 = 160;

pub(super) fn run(command: Run) -> anyhow::Result<ExitCode> {
    let inputs = Inputs { lease: command.lease, ..inputs(command.sources)? };
    run::run(&run::Options { inputs, state_dir: command.state.state_dir, log_format: command.log_format })
}

pub(super) fn check(sources: Sources) -> anyhow::Result<ExitCode> {
    let style = Style::Lines { color: io::stdout().is_terminal() };
    let usable =
        config::check(&inputs(sources)?, style, &mut io::stdout()).context("cannot write the findings")?;
    Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn join(command: Join) -> anyhow::Result<ExitCode> {
    let token: JoinToken = command.token.parse()?;
    let node = command
        .name
        .or_else(Name::of_host)
        .context("this host's name cannot be a node's name; say one with --name NODE")?;
    let join = join::Join { coordinators: command.coordinator, token, node, site: command.site };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let state_dir = command.state.state_dir;
    let identity =
        runtime.block_on(join.run(&state_dir)).with_context(|| format!("{} has not joined", join.node))?;
    let until = identity.validity().map(|validity| crate::uplink::rfc3339(validity.not_after_us))?;
    say(&format!(
        "{} has joined (site {}). Its certificate is good until {until}; a running agent renews it by itself.\n\
         The identity is in {}. A running agent takes it up within seconds; otherwise start one: ha-agent run\n",
        identity.node,
        identity.site,
        join::Identity::dir(&state_dir).display()
    ))
}

pub(super) fn status(command: &Status) -> anyhow::Result<ExitCode> {
    let text = status::ask(&command.state.state_dir)?;
    match command.output {
        Output::Json => say(&text),
        Output::Table => say(&status::table(&status::parse(&text)?, width())),
    }
}

pub(super) fn release(command: Release) -> anyhow::Result<ExitCode> {
    let inputs = Inputs { lease: command.lease, ..inputs(command.sources)? };
    let loaded = config::load(&inputs).map_err(|error| anyhow::anyhow!("{error}"))?;
    let _lock = run::StateLock::take(&command.state.state_dir)
        .context("nothing was released: an agent that runs holds its addresses rightly")?;
    // What was pushed and does not fit the local files did not run.
    let pushed = Push::left_behind(&command.state.state_dir);
    let loaded = config::load_with(&inputs, pushed.as_ref()).unwrap_or(loaded);
    let released = driver::release(&loaded.config.instances).context("nothing was released")?;
    let mut failed = false;
    let mut text = String::new();
    for one in &released {
        for address in &one.removed {
            text.push_str(&format!("{}: {address} removed\n", one.instance));
        }
        if one.resigned {
            text.push_str(&format!("{}: priority 0 said\n", one.instance));
        }
        for error in &one.errors {
            failed = true;
            text.push_str(&format!("{}: {error}\n", one.instance));
        }
    }
    if released.is_empty() {
        text.push_str("nothing was left behind\n");
    }
    say(&text)?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// An error with its causes, on standard error.
pub(super) fn complain(error: &anyhow::Error) {
    // When standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "ha-agent: {}", log::chain(error.as_ref()));
}

fn inputs(sources: Sources) -> anyhow::Result<Inputs> {
    let native = match (sources.config, &sources.keepalived_conf) {
        (None, None) => Some(default_config()?),
        (config, _) => config,
    };
    Ok(Inputs { native, keepalived: sources.keepalived_conf, lease: None })
}

fn default_config() -> anyhow::Result<PathBuf> {
    let path = Path::new(CONFIG);
    anyhow::ensure!(
        path.exists(),
        "no configuration: there is no {CONFIG}. Write one, or name a file: --keepalived-conf \
         /etc/keepalived/keepalived.conf or --config FILE"
    );
    Ok(path.to_owned())
}

fn say(text: &str) -> anyhow::Result<ExitCode> {
    match io::stdout().write_all(text.as_bytes()) {
        // `ha-agent status | head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        written => written.map(|()| ExitCode::SUCCESS).context("cannot write to standard output"),
    }
}

fn width() -> u16 {
    let columns = io::stdout().is_terminal().then(|| comfy_table::Table::new().width()).flatten();
    columns.unwrap_or(WIDTH_WITHOUT_TERMINAL)
}
