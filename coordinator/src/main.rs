//! The `ha-coordinator` program.

mod secret;

use std::{io::IsTerminal as _, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use ha_coordinator::{
    cli::{Backup, Cli, Init, Inputs, LogFormat, SecretSeal, SecretVerb, Serve, Verb},
    config::{Config, DEFAULT_PATH},
    data_dir::DataDir,
    fencing, init, notify,
    sealing::{self, FENCE_PARAMETER, Sealing},
    serve,
    store::Store,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.log_format);
    let done = match cli.verb {
        Verb::Init(init) => run_init(init).await,
        Verb::Serve(serve) => run_serve(serve).await,
        Verb::Check(inputs) => run_check(&inputs).await,
        Verb::Migrate(inputs) => run_migrate(&inputs).await,
        Verb::Backup(backup) => run_backup(&backup).await,
        Verb::Secret(secret) => match secret.verb {
            SecretVerb::Seal(seal) => run_seal(&seal).await,
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ha-coordinator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_env("HAFLEET_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}

async fn run_init(init: Init) -> Result<()> {
    let names: Vec<String> = init.name.iter().map(ToString::to_string).collect();
    let request = init::Request {
        data_dir: init.data_dir.clone(),
        names: init.name,
        port: init.port,
        database: init.database,
        force: init.force,
    };
    let made = init::init(&request).await?;
    let (data_dir, context) = (init.data_dir.display(), made.admin_context.display());
    if let Some(aside) = &made.set_aside {
        println!("The old files are in {}; every node must join again.\n", aside.display());
    }
    println!(
        "Made a CA, a certificate for {}, a database and the user `admin` in {data_dir}.",
        names.join(", ")
    );
    println!("CA fingerprint (SHA-256): {}\n", made.ca_fingerprint);
    println!("Next:");
    println!("  ha-coordinator serve --data-dir {data_dir}");
    println!("  hactl --context {context} status");
    println!("  hactl --context {context} node token --node lb01      prints how lb01 joins\n");
    println!("{context} is the administrator's credential: keep it as you keep a root password.");
    println!(
        "Without {data_dir}/ca.key every node must join again, and without {data_dir}/secrets.key nobody can read"
    );
    println!("the secrets in the database and in coordinator.toml: back them up, apart from the database.");
    Ok(())
}

async fn run_serve(arguments: Serve) -> Result<()> {
    let mut config = configuration(&arguments.inputs)?;
    config.listen = arguments.listen.unwrap_or(config.listen);
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut running = serve::start(&config).await?;
    tracing::info!(listen = %running.address(), data_dir = %config.data_dir.display(), "serving");
    tell_systemd(&[sd_notify::NotifyState::Ready]);
    let failed = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = running.failed() => true,
    };
    tell_systemd(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("stopping");
    running.stop().await;
    anyhow::ensure!(!failed, "the gRPC server ended; the log says why");
    tracing::info!("stopped");
    Ok(())
}

/// Does nothing where there is no systemd.
fn tell_systemd(state: &[sd_notify::NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}

async fn run_check(inputs: &Inputs) -> Result<()> {
    let config = configuration(inputs)?;
    notify::check(&config.receivers)?;
    let fencing = config.fencing.opened(&Sealing::load(&DataDir::at(&config.data_dir))?)?;
    for device in &fencing.devices {
        // It says what it takes; nothing is asked of the device.
        let checked = fencing::steps::check(device).await;
        let exposed =
            checked.with_context(|| format!("the fence device for {} of {}", device.rung, device.node))?;
        for name in exposed {
            let (node, rung) = (&device.node, device.rung);
            eprintln!(
                "warning: the fence device for {rung} of {node}: `{name}` is a secret and stands in the file: give it as \
                 {{ file = \"NAME\" }}, or as `ha-coordinator secret seal {node}/{rung}/{name}` prints it"
            );
        }
    }
    let file = inputs.config.as_ref().map_or(DEFAULT_PATH.into(), |file| file.display().to_string());
    println!(
        "{file}: fine ({} receivers, {} fence devices, data in {})",
        config.receivers.len(),
        config.fencing.devices.len(),
        config.data_dir.display()
    );
    Ok(())
}

async fn run_migrate(inputs: &Inputs) -> Result<()> {
    let store = open(&configuration(inputs)?).await?;
    println!("{} has the schema of this version.", store.url());
    store.close().await;
    Ok(())
}

async fn run_backup(arguments: &Backup) -> Result<()> {
    let store = open(&configuration(&arguments.inputs)?).await?;
    let copied = store.backup(&arguments.file).await;
    store.close().await;
    copied?;
    println!("Copied {} to {}.", store.url(), arguments.file.display());
    println!(
        "ca.pem, ca.key and secrets.key are not in it: keep them, in another place. Without secrets.key nobody can read"
    );
    println!("the fleet's configuration in the copy.");
    Ok(())
}

async fn run_seal(arguments: &SecretSeal) -> Result<()> {
    let config = configuration(&arguments.inputs)?;
    let dir = DataDir::at(&config.data_dir);
    anyhow::ensure!(
        dir.path().is_dir(),
        "{} is no directory; was `ha-coordinator init` run for it?",
        dir.path().display()
    );
    let mut sealing = Sealing::load(&dir)?;
    if !sealing.has_key() {
        let store = open(&config).await?;
        let made = sealing::of_store(&dir, &store, config.fencing.is_sealed()).await;
        store.close().await;
        sealing = made?;
    }
    let secret = secret::read(&arguments.name)?;
    println!("{}", sealing.seal(FENCE_PARAMETER, &arguments.name, &secret)?);
    Ok(())
}

fn configuration(inputs: &Inputs) -> Result<Config> {
    let mut config = Config::load(inputs.config.as_deref())?;
    if let Some(data_dir) = &inputs.data_dir {
        config.data_dir.clone_from(data_dir);
    }
    if let Some(database) = &inputs.database {
        config.database = Some(database.clone());
    }
    Ok(config)
}

async fn open(config: &Config) -> Result<Store> {
    let default = DataDir::at(&config.data_dir).default_database();
    Ok(Store::open(config.database.as_ref().unwrap_or(&default)).await?)
}
