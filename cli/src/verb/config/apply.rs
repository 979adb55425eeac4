//! `hactl config apply` and `hactl config rollback`: told live, to the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hafleet_proto::v1::{ApplyConfigRequest, ConfigProgress, ConfigStep, RollbackConfigRequest};
use jiff::SignedDuration;
use tonic::Streaming;

use super::{compare, get, judged, lines, read, remark};
use crate::{
    cli::Format,
    confirm,
    connect::Coordinators,
    duration,
    exit::Exit,
    failure::Failure,
    invocation::Invocation,
    look::{Look, Tone, clean},
    shape,
    verb::fleet,
};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Every node judges its part first; one that refuses stops it before anything runs differently. Then nodes run it, one of \
a group, the others, and those that hold an address last. A new finding or a transition that the change does not explain \
turns every node back, and a node that is not confirmed in time goes back by itself. None is confirmed before all run it.

Ctrl-C ends hactl, not the apply: `hactl config history` shows how it went on.

Exit code 0 when every node runs it, 2 when the file has errors, 5 when somebody else applied something meanwhile, 6 \
when it was given up.

Examples:
  hactl config apply fleet.toml --message \"db moves to its own VLAN\"
  hactl config apply fleet.toml --yes -o jsonl")]
pub struct Args {
    /// The fleet's file; - for standard input, with --yes
    #[arg(value_name = "FILE")]
    file: String,

    #[command(flatten)]
    how: How,

    /// What the file was made from, if that may have changed since: `hactl config history` shows it
    #[arg(long, value_name = "GEN")]
    parent: Option<u64>,

    /// Also when nothing differs: nodes that drifted get it again
    #[arg(long)]
    again: bool,
}

#[derive(clap::Args, Debug)]
struct How {
    /// Why, for those who read the history
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    message: String,

    /// How long a node waits to be confirmed before it goes back by itself: 10s to 1h
    #[arg(long, default_value = "120s", value_parser = parse_confirm, value_name = "DURATION")]
    confirm: Duration,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
It becomes a new generation, and is applied like any other.

Examples:
  hactl config rollback 6
  hactl config rollback 6 --yes --message \"db was not reachable\"")]
pub struct RollbackArgs {
    /// The generation whose text is applied again
    #[arg(value_name = "GEN", value_parser = clap::value_parser!(u64).range(1..))]
    generation: u64,

    #[command(flatten)]
    how: How,
}

fn parse_confirm(text: &str) -> Result<Duration, String> {
    let duration = duration::parse(text, SignedDuration::from_secs(10), SignedDuration::from_hours(1))?;
    Ok(duration.unsigned_abs())
}

pub async fn run(args: Args, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators()?;
    let text = read(&args.file)?;
    let differs = compare(&text, 0, &mut coordinators).await?;
    remark(&differs.problems, &args.file, invocation);
    if judged(&differs.problems) != Exit::Fine {
        return Err(Failure::usage(
            format!("nothing is applied: {} has errors", clean(&args.file)),
            "Correct them; `hactl config validate` judges it again.",
        ));
    }
    if differs.changes.is_empty() && !args.again {
        let nothing = shape::Applied {
            generation: None,
            state: "unchanged".to_owned(),
            why: None,
            steps: Vec::new(),
            problems: Vec::new(),
        };
        let text = format!("nothing differs from generation {}\n", differs.generation);
        invocation.object(&nothing, || text)?;
        return Ok(Exit::Fine);
    }
    for change in &differs.changes {
        invocation.note(&clean(&change.text));
    }
    let count = differs.changes.len();
    let _consent = confirm::ask(&format!("Apply {count} changes to the fleet?"), args.how.yes)?;
    let request = ApplyConfigRequest {
        text,
        // What the differences were told from: another apply in between is a conflict.
        parent: args.parent.unwrap_or(differs.generation),
        message: args.how.message.clone(),
        confirm_within_us: micros(args.how.confirm),
    };
    let stream = coordinators
        .call("apply the file", request, async |client, request| client.configs().apply_config(request).await)
        .await?;
    follow(stream, &args.file, &mut coordinators, invocation).await
}

pub async fn roll_back(args: RollbackArgs, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators()?;
    let old = get(args.generation, &mut coordinators).await?;
    let differs = compare(&old.text, 0, &mut coordinators).await?;
    for change in &differs.changes {
        invocation.note(&clean(&change.text));
    }
    let (number, count) = (args.generation, differs.changes.len());
    let _consent = confirm::ask(
        &format!("Apply generation {number} again, {count} changes to the fleet?"),
        args.how.yes,
    )?;
    let request = RollbackConfigRequest {
        generation: number,
        parent: differs.generation,
        message: args.how.message.clone(),
        confirm_within_us: micros(args.how.confirm),
    };
    let stream = coordinators
        .call("roll back", request, async |client, request| client.configs().rollback_config(request).await)
        .await?;
    follow(stream, &format!("generation {number}"), &mut coordinators, invocation).await
}

/// Tells each step, to the end.
async fn follow(
    mut stream: Streaming<ConfigProgress>,
    file: &str,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<Exit, Failure> {
    let look = invocation.look(fleet(coordinators).await?.at_us);
    let mut steps: BTreeMap<String, shape::Step> = BTreeMap::new();
    // Of which it is not known that they went back.
    let mut unaccounted: BTreeSet<String> = BTreeSet::new();
    let mut generation = 0;
    loop {
        let progress = match stream.message().await {
            Ok(Some(progress)) => progress,
            Ok(None) => return Err(lost(generation, "the coordinator ended the stream")),
            Err(status) => return Err(lost(generation, &coordinators.stream_fault(&status))),
        };
        generation = progress.generation;
        for step in &progress.steps {
            steps.insert(step.node.clone(), step.into());
            match step.state.as_str() {
                "failed" => drop(unaccounted.insert(step.node.clone())),
                _ => drop(unaccounted.remove(&step.node)),
            }
        }
        let is_over = matches!(progress.state.as_str(), "applied" | "rolled_back" | "refused");
        match invocation.format() {
            Format::Table | Format::Wide => {
                invocation.write(&told(&look, &progress, file, is_over, &unaccounted))?;
            }
            Format::Jsonl => invocation.json_line(&shape::Progress::from(&progress))?,
            Format::Json if is_over => {
                let end = shape::Applied {
                    generation: (generation > 0).then_some(generation),
                    state: progress.state.clone(),
                    why: (!progress.why.is_empty()).then(|| progress.why.clone()),
                    steps: steps.values().cloned().collect(),
                    problems: progress
                        .problems
                        .iter()
                        .map(|problem| shape::Problem::new(problem, file))
                        .collect(),
                };
                invocation.object(&end, String::new)?;
            }
            Format::Json => {}
        }
        if is_over {
            return match (progress.state.as_str(), generation) {
                ("applied", _) => Ok(Exit::Fine),
                (_, 0) => Ok(Exit::Usage),
                (_, _) => Ok(Exit::PartlyFailed),
            };
        }
    }
}

/// The lines of one message. `unaccounted`: nodes of which it is not known that they went back.
fn told(
    look: &Look,
    progress: &ConfigProgress,
    file: &str,
    is_over: bool,
    unaccounted: &BTreeSet<String>,
) -> String {
    let step = |step: &ConfigStep| {
        let at = look.clock(step.at_us).unwrap_or_default();
        let detail =
            if step.detail.is_empty() { String::new() } else { format!(": {}", clean(&step.detail)) };
        let state = look.paint(super::tone(&step.state), &step.state);
        format!("{at}  {}  {state}{detail}\n", clean(&step.node))
    };
    // That a node waits is not worth a line.
    let steps = progress.steps.iter().filter(|step| step.state != "waiting").map(step);
    let mut text: String = steps.collect();
    let ConfigProgress { generation, why, .. } = progress;
    if is_over {
        text.push_str(&match progress.state.as_str() {
            "applied" => {
                format!("{}\n", look.paint(Tone::Good, &format!("generation {generation} is applied")))
            }
            "refused" if *generation == 0 => lines(&progress.problems, file),
            "refused" => {
                format!("generation {generation} is refused, and nothing runs differently: {}\n", clean(why))
            }
            _ if unaccounted.is_empty() => {
                format!("generation {generation} is given up, and every node went back: {}\n", clean(why))
            }
            _ => format!(
                "generation {generation} is given up, but it is not known whether {} went back: {}\n",
                clean(&unaccounted.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
                clean(why)
            ),
        });
    }
    text
}

fn lost(generation: u64, why: &str) -> Failure {
    Failure::LostSight {
        what: format!("it is not known how the apply of generation {generation} ended: {}", clean(why)),
        next: format!(
            "It goes on without hactl: `hactl config history`, `hactl config show {generation} -o json`."
        ),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
