//! `hactl explain`

use hafleet_proto::v1::{ExplainGroupRequest, ExplainGroupResponse};

use crate::{
    exit::Exit,
    failure::Failure,
    grid::{Column, grid},
    group_name::GroupName,
    invocation::Invocation,
    look::Look,
    paragraphs::{findings, groups, section},
    shape,
    verb::fleet,
};

/// Why a group is where it is: the election told in words, and the probable cause of what is wrong.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  hactl explain web
  hactl explain 192.168.178.3
  hactl explain dc1/web            when two sites have a group of this name")]
pub struct Args {
    /// The group: its name or address, with SITE/ in front if need be
    group: GroupName,
}

pub async fn run(args: Args, invocation: &Invocation) -> Result<Exit, Failure> {
    let mut coordinators = invocation.coordinators()?;
    let request = ExplainGroupRequest { group: args.group.name.clone(), site: args.group.site.clone() };
    let attempted = format!("explain group {}", args.group);
    let answer = coordinators
        .call(&attempted, request, async |client, request| client.explain_group(request).await)
        .await?;
    if invocation.is_for_people() {
        let look = invocation.look(fleet(&mut coordinators).await?.at_us);
        invocation.write(&text(&look, &answer))?;
    } else {
        invocation.object(&shape::Explanation::from(&answer), String::new)?;
    }
    Ok(Exit::Fine)
}

fn text(look: &Look, answer: &ExplainGroupResponse) -> String {
    let narrow = Look { titles: false, ..look.clone() };
    let sentences = answer.sentences.iter().map(|sentence| vec![look.text(sentence)]).collect();
    let group: Vec<_> = answer.group.iter().collect();
    let mut text = groups(look, &group);
    text.push('\n');
    text.push_str(&grid(&narrow, &[Column::Free("")], sentences));
    text.push_str(&section("FINDINGS", &findings(look, &answer.findings)));
    text
}
