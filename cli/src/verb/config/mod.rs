//! `hactl config`

mod apply;
mod draft;
mod import;

use std::io::Read as _;

use hafleet_proto::v1::{
    CheckConfigRequest, ConfigProblem, DiffConfigRequest, DiffConfigResponse, Generation, GetConfigRequest,
    GetConfigResponse, GetDriftRequest, ListConfigsRequest, NodeDrift, ValidateConfigRequest,
};

use crate::{
    connect::Coordinators,
    duration::{Since, parse_since},
    exit::Exit,
    failure::Failure,
    grid::{Column, grid},
    invocation::Invocation,
    look::{Look, Tone, clean},
    shape,
    verb::fleet,
};

/// What the whole fleet runs: judge, compare, apply and roll back its configuration.
#[derive(clap::Args, Debug)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Make the fleet's file from what hosts run now by keepalived
    Import(import::Args),
    /// Judge a file for the whole fleet
    Validate(ValidateArgs),
    /// What a file would change
    Diff(DiffArgs),
    /// Apply a file: judged by every node, then run in waves, holders last
    Apply(apply::Args),
    /// What was applied, by whom and why
    History(HistoryArgs),
    /// The text of a generation
    Show(ShowArgs),
    /// Apply the text of an earlier generation again
    Rollback(apply::RollbackArgs),
    /// Which nodes do not run what was applied last
    Drift(DriftArgs),
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
The coordinator judges the file as a whole. Then every member that is connected judges its part against its own interfaces \
and files, as it does when the file is applied; nothing is kept and nothing runs differently. A member that is not connected, \
or does not answer, is a warning.

Exit code 2 when the coordinator or a member finds an error: the file could not be applied. Else 0.

Examples:
  hactl config validate fleet.toml
  hactl config validate fleet.toml --offline
  hactl config import lb01=lb01.conf lb02=lb02.conf | hactl config validate -")]
struct ValidateArgs {
    /// The fleet's file; - for standard input
    #[arg(value_name = "FILE")]
    file: String,

    /// Do not ask the members
    #[arg(long)]
    offline: bool,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit code 0 when nothing differs, 1 when something does, 2 when the file has errors.

Examples:
  hactl config diff fleet.toml
  hactl config diff fleet.toml --generation 6")]
struct DiffArgs {
    /// The fleet's file; - for standard input
    #[arg(value_name = "FILE")]
    file: String,

    /// Compare with this generation instead of what was applied last
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "GEN")]
    generation: u64,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hactl config history
  hactl config history --since 7d
  hactl get configs 6
  hactl config history -o json | jq '.[] | select(.state == \"rolled_back\")'")]
pub struct HistoryArgs {
    /// Only this one
    #[arg(value_name = "GEN")]
    generation: Option<u64>,

    /// Not older than this: 30m, 24h, 7d, or an instant such as 2026-11-23T12:00:00+01:00
    #[arg(long, value_parser = parse_since, value_name = "AGO|INSTANT")]
    since: Option<Since>,

    /// How many at most, newest first: 1 to 10000
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    limit: u32,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
To an admin the text comes as it was applied, with its comments and its passwords; to everybody else without comments, and \
with its passwords struck out: such a text cannot be applied. What became of it on each node is in -o json.

Examples:
  hactl config show >fleet.toml
  hactl config show 6")]
struct ShowArgs {
    /// Its number; without, what was applied last
    #[arg(default_value_t = 0, hide_default_value = true, value_name = "GEN")]
    generation: u64,
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Exit code 0 when every node runs what was applied last, 1 when one does not or is not heard from. LOCAL are the instances of \
a node's own files: no difference by themselves, but an address that is pushed and in a node's own files too is one.

Examples:
  hactl config drift
  hactl config apply fleet.toml --again     bring it back to every node")]
struct DriftArgs {}

pub async fn run(args: Args, invocation: &Invocation) -> Result<Exit, Failure> {
    match args.verb {
        // The one that asks no coordinator.
        Verb::Import(args) => import::run(&args, invocation),
        Verb::Validate(args) => validate(&args, invocation).await,
        Verb::Diff(args) => diff(&args, invocation).await,
        Verb::Apply(args) => apply::run(args, invocation).await,
        Verb::History(args) => {
            history(&args, &mut invocation.coordinators()?, invocation).await?;
            Ok(Exit::Fine)
        }
        Verb::Show(args) => show(&args, invocation).await,
        Verb::Rollback(args) => apply::roll_back(args, invocation).await,
        Verb::Drift(DriftArgs {}) => drift(invocation).await,
    }
}

async fn validate(args: &ValidateArgs, invocation: &Invocation) -> Result<Exit, Failure> {
    let text = read(&args.file)?;
    let mut coordinators = invocation.coordinators()?;
    let (problems, nodes) = if args.offline {
        let answer = coordinators
            .call("judge the file", ValidateConfigRequest { text }, async |client, request| {
                client.configs().validate_config(request).await
            })
            .await?;
        (answer.problems, Vec::new())
    } else {
        let answer = coordinators
            .call("judge the file", CheckConfigRequest { text }, async |client, request| {
                client.configs().check_config(request).await
            })
            .await?;
        (answer.problems, answer.nodes)
    };
    let mut shapes: Vec<_> =
        problems.iter().map(|problem| shape::Problem::new(problem, &args.file)).collect();
    let fine = format!("{}: nothing is wrong with it\n", clean(&args.file));
    let fine = if shapes.is_empty() { fine } else { String::new() };
    shapes.extend(nodes.iter().flat_map(shape::Problem::of_node));
    invocation.list(&shapes, || {
        let lines = shapes.iter().map(|problem| format!("{}\n", clean(&problem.text())));
        fine + &lines.collect::<String>()
    })?;
    let is_wrong = shapes.iter().any(shape::Problem::is_error);
    Ok(if is_wrong { Exit::Usage } else { Exit::Fine })
}

async fn diff(args: &DiffArgs, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators()?;
    let answer = compare(&read(&args.file)?, args.generation, &mut coordinators).await?;
    if invocation.is_for_people() {
        remark(&answer.problems, &args.file, invocation);
    }
    invocation.object(&shape::Changes::new(&answer, &args.file), || changes(&answer))?;
    Ok(match judged(&answer.problems) {
        Exit::Fine if answer.changes.is_empty() => Exit::Fine,
        Exit::Fine => Exit::Unhealthy,
        wrong => wrong,
    })
}

/// The most that a coordinator lists.
const MOST_GENERATIONS: u32 = 10_000;

/// Every generation, the newest first.
pub async fn history(
    args: &HistoryArgs,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let now_us = fleet(coordinators).await?.at_us;
    // One that is asked for is found however old it is.
    let limit = if args.generation.is_some() { MOST_GENERATIONS } else { args.limit };
    let answer = coordinators
        .call("list the generations", ListConfigsRequest { limit }, async |client, request| {
            client.configs().list_configs(request).await
        })
        .await?;
    let since_us = args.since.map_or(0, |since| since.at_us(now_us));
    let (all, mut shown) = (answer.generations.len(), answer.generations);
    shown.retain(|one| {
        one.created_at_us >= since_us && args.generation.is_none_or(|wanted| wanted == one.number)
    });
    if let (Some(wanted), true) = (args.generation, shown.is_empty()) {
        return Err(Failure::not_found(
            format!("there is no generation {wanted}"),
            "`hactl config history` lists the generations.",
        ));
    }
    invocation.note_truncated(answer.truncated && shown.len() == all, limit);
    if shown.is_empty() {
        let since = if args.since.is_some() { " since then" } else { " yet" };
        invocation.note(&format!("Nothing was applied{since}."));
    }
    let shapes: Vec<_> = shown.iter().map(shape::Generation::from).collect();
    invocation.list(&shapes, || generations(&invocation.look(now_us), &shown))
}

async fn show(args: &ShowArgs, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators()?;
    let answer = get(args.generation, &mut coordinators).await?;
    let generation = answer.generation.clone().unwrap_or_default();
    invocation.object(&shape::GenerationDetail::new(&generation, &answer), || {
        // A file, not a line for a terminal: line feeds and tabs are its own.
        answer.text.split_inclusive(['\n', '\t']).map(cleaned).collect()
    })?;
    Ok(Exit::Fine)
}

async fn drift(invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators()?;
    let now_us = fleet(&mut coordinators).await?.at_us;
    let answer = coordinators
        .call("compare the nodes", GetDriftRequest {}, async |client, request| {
            client.configs().get_drift(request).await
        })
        .await?;
    let shapes: Vec<_> = answer.nodes.iter().map(shape::Drift::from).collect();
    invocation.list(&shapes, || drifted(&invocation.look(now_us), &answer.nodes))?;
    let is_well = answer.nodes.iter().all(|node| node.state == "in_step");
    Ok(if is_well { Exit::Fine } else { Exit::Unhealthy })
}

/// What a text would change.
async fn compare(
    text: &str,
    generation: u64,
    coordinators: &mut Coordinators,
) -> Result<DiffConfigResponse, Failure> {
    let request = DiffConfigRequest { text: text.to_owned(), generation };
    let answer = coordinators
        .call("compare the file", request, async |client, request| {
            client.configs().diff_config(request).await
        })
        .await?;
    Ok(answer)
}

/// One generation.
async fn get(generation: u64, coordinators: &mut Coordinators) -> Result<GetConfigResponse, Failure> {
    let answer = coordinators
        .call("read the generation", GetConfigRequest { generation }, async |client, request| {
            client.configs().get_config(request).await
        })
        .await?;
    Ok(answer)
}

/// The text of a file.
fn read(file: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let most = u64::try_from(hafleet_fleetfile::MOST_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let done = match file {
        "-" => std::io::stdin().lock().take(most).read_to_end(&mut bytes),
        path => std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)),
    };
    let unusable = |why: String| {
        Failure::usage(
            format!("cannot read {}: {why}", clean(file)),
            "Name the fleet's file, or - for standard input.",
        )
    };
    done.map_err(|error| unusable(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| unusable("it is not UTF-8".to_owned()))
}

/// A file with errors cannot be used.
fn judged(problems: &[ConfigProblem]) -> Exit {
    if problems.iter().any(|problem| problem.severity == "error") { Exit::Usage } else { Exit::Fine }
}

/// Problems as compilers write them.
fn lines(problems: &[ConfigProblem], file: &str) -> String {
    let line = |problem: &ConfigProblem| format!("{}\n", clean(&shape::Problem::new(problem, file).text()));
    problems.iter().map(line).collect()
}

/// Problems on standard error, beside an answer.
fn remark(problems: &[ConfigProblem], file: &str, invocation: &Invocation) {
    if !problems.is_empty() {
        invocation.note(lines(problems, file).trim_end());
    }
}

fn changes(answer: &DiffConfigResponse) -> String {
    if answer.changes.is_empty() && judged(&answer.problems) == Exit::Fine {
        return match answer.generation {
            0 => "nothing differs: nothing was applied yet, and the file is empty\n".to_owned(),
            number => format!("nothing differs from generation {number}\n"),
        };
    }
    answer.changes.iter().map(|change| format!("{}\n", clean(&change.text))).collect()
}

fn generations(look: &Look, generations: &[Generation]) -> String {
    let columns = [
        Column::Fixed("GEN"),
        Column::Fixed("STATE"),
        Column::Fixed("AT"),
        Column::Free("BY"),
        Column::Free("MESSAGE"),
        Column::Free("WHY"),
        Column::Wide("PARENT"),
        Column::Wide("SHA-256"),
    ];
    let rows = generations.iter().map(|row| {
        vec![
            look.text(&row.number.to_string()),
            look.cell(tone(&row.state), &row.state),
            look.text(&look.time_in_table(row.created_at_us)),
            look.text(&row.author),
            look.text(&row.message),
            look.text(&row.why),
            look.text(&if row.parent == 0 { String::new() } else { row.parent.to_string() }),
            look.text(&row.hash),
        ]
    });
    grid(look, &columns, rows.collect())
}

fn drifted(look: &Look, nodes: &[NodeDrift]) -> String {
    let columns = [
        Column::Free("NODE"),
        Column::Fixed("STATE"),
        Column::Fixed("RUNS"),
        Column::Free("LOCAL"),
        Column::Free("DETAIL"),
    ];
    let rows = nodes.iter().map(|node| {
        let runs = match node.runs_generation {
            0 => String::new(),
            number => number.to_string(),
        };
        let local = node.instances.iter().filter(|instance| instance.origin == "local");
        let local: Vec<&str> = local.map(|instance| instance.instance.as_str()).collect();
        vec![
            look.text(&node.node),
            look.cell(tone(&node.state), &node.state),
            look.text(&runs),
            look.text(&local.join(",")),
            look.text(&node.detail),
        ]
    });
    grid(look, &columns, rows.collect())
}

/// Of a generation, a step or a node.
fn tone(state: &str) -> Tone {
    match state {
        "applied" | "in_step" | "confirmed" => Tone::Good,
        "rolled_back" | "refused" | "failed" | "differs" => Tone::Bad,
        "rolling_back" | "unknown" | "unconfirmed" => Tone::Doubtful,
        _ => Tone::Plain,
    }
}

/// A piece of a file that ends with a line feed or a tab, or is its last.
fn cleaned(piece: &str) -> String {
    match piece.strip_suffix(['\n', '\t']) {
        Some(body) => format!("{}{}", clean(body), piece.get(body.len()..).unwrap_or_default()),
        None => clean(piece),
    }
}
