//! `hactl doctor`

use std::time::Instant;

use hafleet_proto::v1::{Fleet, GetDriftRequest, GetFleetRequest, ListFencesRequest};

use crate::{
    connect::{CallError, Coordinators},
    context::{Context, Credential, Identity},
    exit::Exit,
    failure::{Failure, chain},
    grid::{Column, grid},
    invocation::Invocation,
    look::{Look, Tone, human_us, instant, or_nothing},
    shape::{Check, Health, level_word},
    verdict::{Verdict, unheard},
};

/// What stands between you and a fleet that is well: your context, the way to each coordinator, clocks, the fleet.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Every coordinator of the context is asked, not only the first that answers. Nothing is changed.

Exit code 0 when all is well, 1 when something is not, 4 or 7 when no coordinator answers.

Examples:
  hactl doctor
  hactl doctor -o json | jq '.[] | select(.state != \"ok\")'")]
pub struct Args {}

/// A credential that ends sooner is told of.
const SOON_US: i64 = 14 * 86_400 * 1_000_000;
/// Clocks that differ by more make every time that is shown doubtful.
const SKEW_US: u64 = 2_000_000;

pub async fn run(Args {}: Args, invocation: &Invocation) -> Result<Exit, Failure> {
    let context = invocation.context()?;
    let mut coordinators = invocation.coordinators()?;
    let mut checks = own(&context, &invocation.look(0));
    let (mut fleet, mut failed) = (None, None);
    for mut one in coordinators.one_by_one() {
        match ask(&mut one).await {
            Ok((found, took_us)) => {
                checks.extend(coordinator(&one, &found, took_us, &invocation.look(0)));
                fleet.get_or_insert(found);
            }
            Err(error) => {
                checks.push(unreached(&one, &error));
                failed.get_or_insert(error);
            }
        }
    }
    if let Some(fleet) = &fleet {
        checks.extend(of_fleet(fleet));
        checks.extend(of_fencing(&mut coordinators).await.unwrap_or_else(|error| untold("fencing", &error)));
        checks.extend(
            of_config(&mut coordinators).await.unwrap_or_else(|error| untold("configuration", &error)),
        );
    }
    let look = invocation.look(fleet.as_ref().map_or(0, |fleet| fleet.at_us));
    invocation.list(&checks, || table(&look, &checks))?;
    Ok(match (fleet, failed) {
        (None, Some(error)) => error.exit(),
        (None, None) | (Some(_), _) => {
            let well = checks.iter().all(|check| check.state == Health::Ok);
            if well { Exit::Fine } else { Exit::Unhealthy }
        }
    })
}

async fn ask(one: &mut Coordinators) -> Result<(Fleet, u64), CallError> {
    let asked = began();
    let fleet = one
        .call("read the fleet", GetFleetRequest {}, async |client, request| client.get_fleet(request).await)
        .await?;
    Ok((fleet, u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX)))
}

/// How long an answer takes is measured on this host.
#[expect(clippy::disallowed_methods, reason = "hactl measures how long it waits itself")]
fn began() -> Instant {
    Instant::now()
}

/// The context and who it says we are.
fn own(context: &Context, look: &Look) -> Vec<Check> {
    let path = context.path.display().to_string();
    let mut checks = vec![match context.warning() {
        Some(warning) => Check::warning("context", &path, warning, "run the chmod that it names"),
        None => Check::ok("context", &path, format!("it is for the fleet {}", context.name)),
    }];
    match &context.credential {
        Credential::Token(_) => {
            checks.push(Check::ok("credential", "token", "its end is the coordinator's to know"))
        }
        Credential::Certificate { chain, .. } => {
            let identity = chain.first().and_then(Identity::of);
            let Some(Identity { uri, not_after_us }) = identity else {
                let next = "ask an admin for a new context: hactl user add";
                checks.push(Check::bad("credential", "certificate", "it cannot be read", next));
                return checks;
            };
            let who = uri.unwrap_or_else(|| "certificate".to_owned());
            let until = format!("it is good until {}", look.time(not_after_us));
            let left =
                instant(not_after_us).map_or(0, |end| end.as_microsecond() - look.now.as_microsecond());
            checks.push(match left {
                ..=0 => {
                    Check::bad("credential", &who, format!("it ended at {}", look.time(not_after_us)), RENEW)
                }
                1..SOON_US => Check::warning("credential", &who, until, RENEW),
                SOON_US.. => Check::ok("credential", &who, until),
            });
        }
    }
    checks
}

const RENEW: &str = "ask an admin for a new one: hactl user add NAME, then hactl context add FILE --yes";

fn name(one: &Coordinators) -> String {
    one.addresses().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn unreached(one: &Coordinators, error: &CallError) -> Check {
    let words = error.attempts().first().cloned().unwrap_or_else(|| chain(error));
    let words = words.split_once(": ").map_or(words.clone(), |(_, words)| words.to_owned());
    Check::bad("coordinator", &name(one), words, error.next().unwrap_or_default())
}

/// The coordinator answers, but not this: what it does tell is still worth telling.
fn untold(check: &'static str, error: &CallError) -> Vec<Check> {
    vec![Check::bad(check, "fleet", chain(error), error.next().unwrap_or_default())]
}

/// It answered: is it of our version, and does its clock agree with ours?
fn coordinator(one: &Coordinators, fleet: &Fleet, took_us: u64, look: &Look) -> Vec<Check> {
    let (name, theirs, ours) = (name(one), &fleet.coordinator_version, env!("CARGO_PKG_VERSION"));
    let answered = if theirs == ours {
        Check::ok("coordinator", &name, format!("version {theirs} answers"))
    } else {
        let words = format!("it is of version {theirs}, this hactl of {ours}");
        Check::warning("coordinator", &name, words, "install the same version")
    };
    let apart_us = fleet.at_us.abs_diff(look.now.as_microsecond());
    let clock = if apart_us <= SKEW_US.saturating_add(took_us) {
        Check::ok("clock", &name, "it agrees with this host's")
    } else {
        let words = format!("it is {} from this host's", human_us(apart_us));
        Check::warning(
            "clock",
            &name,
            words,
            "synchronize both (chrony, ntpd): certificates and --for go by them",
        )
    };
    vec![answered, clock]
}

fn of_fleet(fleet: &Fleet) -> Vec<Check> {
    let verdict = Verdict::of(fleet);
    let findings = match (verdict.critical, verdict.warning) {
        (0, 0) => Check::ok("findings", "fleet", verdict.verdict),
        (0, _) => Check::warning("findings", "fleet", verdict.verdict, "hactl status"),
        (_, _) => Check::bad("findings", "fleet", verdict.verdict, "hactl status"),
    };
    let mut checks = vec![findings];
    for node in unheard(fleet) {
        let next = "on the host: systemctl status ha-agent; ha-agent status";
        checks.push(Check::warning("node", &node.name, "it is not heard", next));
    }
    for node in fleet.nodes.iter().filter(|node| !node.revoked) {
        let name = node.name.as_str();
        if node.certificate_not_after_us != 0 && node.certificate_not_after_us <= fleet.at_us {
            let next = format!("hactl node token --node {name}, then ha-agent join on it");
            checks.push(Check::bad("certificate", name, "the node's certificate has ended", next));
        }
        if node.fresh && node.agent_version != fleet.coordinator_version {
            let words = format!("its agent is of version {}", or_nothing(&node.agent_version));
            checks.push(Check::warning("version", name, words, "install the coordinator's version"));
        }
        let known = node.fresh && node.clock_uncertainty_us != u64::MAX;
        let sure_us = node.clock_offset_us.unsigned_abs().saturating_sub(node.clock_uncertainty_us);
        if known && sure_us > SKEW_US {
            let words = format!("it is at least {} from the coordinator's", human_us(sure_us));
            checks.push(Check::warning("clock", name, words, "synchronize it (chrony, ntpd)"));
        }
        for order in node.orders.iter().filter(|order| order.state == "withdrawing" || order.state == "asked")
        {
            let words = format!("{} is {}: the node has not said that it did it", order.id, order.state);
            checks.push(Check::warning("order", name, words, "it is told as soon as it is reached"));
        }
    }
    for reference in fleet.references.iter().filter(|reference| !reference.reachable) {
        let words = "the coordinator does not reach it, and fences nobody when too few are";
        checks.push(Check::warning(
            "reference",
            &reference.address,
            words,
            "look at the coordinator's network",
        ));
    }
    checks
}

async fn of_fencing(coordinators: &mut Coordinators) -> Result<Vec<Check>, CallError> {
    let request = ListFencesRequest { open: true, limit: 1, ..Default::default() };
    let answer = coordinators
        .call("read the fences", request, async |client, request| client.fence.list(request).await)
        .await?;
    let state = answer.fencing.unwrap_or_default();
    let mode = format!("the mode is {}", or_nothing(&state.mode));
    let mut checks = vec![match (state.paused_by.as_str(), state.latched) {
        ("", false) => Check::ok("fencing", "fleet", mode),
        ("", true) => Check::warning(
            "fencing",
            "fleet",
            "its rate was reached: a person must approve",
            "hactl fence resume",
        ),
        (by, _) => {
            Check::warning("fencing", "fleet", format!("all of it is paused by {by}"), "hactl fence resume")
        }
    }];
    for path in state.paths.iter().filter(|path| path.works_since_us == 0) {
        let level = level_word(path.level()).unwrap_or_default();
        let next = format!("hactl fence test {} --level {level}", path.node);
        let words = format!("its {level} device is not known to work");
        checks.push(Check::warning("fence path", &path.node, words, next));
    }
    Ok(checks)
}

async fn of_config(coordinators: &mut Coordinators) -> Result<Vec<Check>, CallError> {
    let answer = coordinators
        .call("compare the nodes", GetDriftRequest {}, async |client, request| {
            client.configs().get_drift(request).await
        })
        .await?;
    let drifted = answer.nodes.iter().filter(|node| node.state != "in_step" && node.state != "unknown");
    let mut checks: Vec<Check> = drifted
        .map(|node| {
            Check::warning(
                "configuration",
                &node.node,
                format!("{}: {}", node.state, node.detail),
                "hactl config drift",
            )
        })
        .collect();
    if checks.is_empty() && answer.generation != 0 {
        let unknown = answer.nodes.iter().filter(|node| node.state == "unknown").count();
        let words = match unknown {
            0 => format!("generation {} was applied last, and nobody runs another", answer.generation),
            _ => format!(
                "generation {} was applied last; what {unknown} of {} nodes run is not known",
                answer.generation,
                answer.nodes.len()
            ),
        };
        checks.push(Check::ok("configuration", "fleet", words));
    }
    Ok(checks)
}

fn table(look: &Look, checks: &[Check]) -> String {
    let columns = [
        Column::Fixed("STATE"),
        Column::Free("CHECK"),
        Column::Free("OF"),
        Column::Free("IN WORDS"),
        Column::Free("DO"),
    ];
    let rows = checks.iter().map(|check| {
        let tone = match check.state {
            Health::Ok => Tone::Good,
            Health::Warning => Tone::Doubtful,
            Health::Bad => Tone::Bad,
        };
        vec![
            look.cell(tone, check.state.as_str()),
            look.text(check.check),
            look.text(&check.subject),
            look.text(&check.detail),
            look.text(or_nothing(check.next.as_deref().unwrap_or_default())),
        ]
    });
    grid(look, &columns, rows.collect())
}
