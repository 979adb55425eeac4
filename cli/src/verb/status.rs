//! `hactl status`

use hafleet_proto::v1::Fleet;

use crate::{
    exit::Exit,
    failure::Failure,
    grid::{Column, grid},
    invocation::Invocation,
    look::{Look, Tone, human_us, or_nothing},
    paragraphs::{findings, groups, line, orders, section},
    shape,
    verb::fleet,
    verdict::{Verdict, unheard},
};

/// One screen: is the fleet well, what is wrong, who holds what since when.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The first line is the verdict. Then come the findings with their cause and what to do, the groups \
with their holders, and the nodes that are not being heard.

Exit code 1 means that a warning or critical finding is firing. Findings that are still pending \
and findings for information do not count; a node that is not heard becomes a finding after a \
while.

Examples:
  hactl status
  hactl status -q || page-somebody          the verdict alone
  hactl status -o json | jq .verdict")]
pub struct Args {}

pub async fn run(_: &Args, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators()?;
    let fleet = fleet(&mut coordinators).await?;
    let verdict = Verdict::of(&fleet);
    invocation.object(&shape::Status::new(&verdict, &fleet), || {
        let look = invocation.look(fleet.at_us);
        if invocation.quiet() {
            line(&look, verdict.tone(), &verdict.verdict)
        } else {
            screen(&look, &verdict, &fleet)
        }
    })?;
    Ok(if verdict.healthy { Exit::Fine } else { Exit::Unhealthy })
}

/// The screen, shared with `watch`.
pub fn screen(look: &Look, verdict: &Verdict, fleet: &Fleet) -> String {
    let mut text = line(look, verdict.tone(), &verdict.verdict);
    text.push_str(&section("FINDINGS", &findings(look, &fleet.findings)));
    let all: Vec<_> = fleet.groups.iter().collect();
    text.push_str(&section("GROUPS", &groups(look, &all)));
    let nodes: Vec<_> = fleet.nodes.iter().collect();
    text.push_str(&section("ORDERS", &orders(look, &nodes)));
    text.push_str(&section("NODES NOT HEARD", &nodes_not_heard(look, fleet)));
    if fleet.nodes.is_empty() {
        text.push_str("\n`hactl node token` prints the command that lets a node join.\n");
    }
    // Right after a start the coordinator has not heard everybody, and says nothing about lost nodes yet.
    if fleet.up_us < GRACE_US {
        text.push_str(&format!("\nThe coordinator started {}.\n", look.age(fleet.up_us)));
    }
    text
}

const GRACE_US: u64 = 30_000_000;

fn nodes_not_heard(look: &Look, fleet: &Fleet) -> String {
    let rows = unheard(fleet).into_iter().map(|node| {
        let since = if node.ever_heard {
            format!("stale since {}", look.time(look.before_now_us(node.age_us)))
        } else {
            format!("never heard in the {} since the coordinator started", human_us(fleet.up_us))
        };
        vec![
            look.text(&node.name),
            look.text(&node.site),
            look.cell(Tone::Doubtful, &since),
            look.text(or_nothing(&node.peer)),
        ]
    });
    let columns = [Column::Free("NODE"), Column::Free("SITE"), Column::Free("HEARD"), Column::Wide("PEER")];
    grid(look, &columns, rows.collect())
}
