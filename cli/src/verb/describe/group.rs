//! `hactl describe group`

use hafleet_proto::v1::{
    Finding, Group, ListTransitionsRequest, Member, ProbeGroupRequest, TransitionRecord,
};

use super::seen::seen;
use crate::{
    connect::Coordinators,
    failure::Failure,
    grid::{Column, fields, grid},
    group_name::GroupName,
    invocation::Invocation,
    look::{Look, or_nothing},
    paragraphs::{findings, held_since, holder, priority, reason, section, yes_no},
    shape::{self, Probed, Seen},
    verb::{
        fleet,
        get::{about, transition_table},
    },
};

/// How many of the last transitions are shown.
const TRANSITIONS: u32 = 10;

pub async fn run(
    name: &GroupName,
    probe: bool,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let probed = if probe { Some(look_again(name, coordinators, invocation).await?) } else { None };
    let fleet = fleet(coordinators).await?;
    let group = name.find(&fleet)?;
    let request = ListTransitionsRequest {
        // The same address may be a group at another site, too.
        group: format!("{}/{}", group.site, group.address),
        limit: TRANSITIONS,
        ..ListTransitionsRequest::default()
    };
    let transitions = coordinators
        .call("list the transitions", request, async |client, request| client.list_transitions(request).await)
        .await?
        .transitions;
    let findings: Vec<Finding> =
        fleet.findings.iter().filter(|finding| about(finding, group)).cloned().collect();
    let look = invocation.look(fleet.at_us);
    let now = Seen::of(&fleet, &[group]);
    invocation.object(&shape::GroupDetail::new(group, &findings, &transitions, &now, probed), || {
        text(&look, group, &findings, &transitions, &now)
    })
}

/// Has the nodes of the group's site ask who answers for it.
async fn look_again(
    name: &GroupName,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<Probed, Failure> {
    let request = ProbeGroupRequest { group: name.name.clone(), site: name.site.clone() };
    let ask = format!("have {name} probed");
    let answer =
        coordinators.call(&ask, request, async |client, request| client.probe_group(request).await).await?;
    let silent: Vec<&str> =
        answer.asked.iter().filter(|node| !answer.answered.contains(node)).map(String::as_str).collect();
    if answer.asked.is_empty() {
        invocation.note("Nobody could be asked: no node of its site is connected.");
    } else if !silent.is_empty() {
        invocation.note(&format!("Asked to look again, and not answered in time: {}.", silent.join(", ")));
    }
    Ok(answer.into())
}

fn text(
    look: &Look,
    group: &Group,
    about: &[Finding],
    transitions: &[TransitionRecord],
    now: &Seen,
) -> String {
    let mut text = fields(
        look,
        vec![
            ("Group", look.text(&group.group)),
            ("Site", look.text(&group.site)),
            ("State", look.group_state(&group.state)),
            ("Holder", holder(look, group)),
            ("Since", look.text(&held_since(look, group))),
            ("Addresses", look.text(&group.addresses.join("\n"))),
        ],
    );
    text.push_str(&section("MEMBERS", &members(look, group)));
    text.push_str(&section("FINDINGS", &findings(look, about)));
    text.push_str(&seen(look, now));
    text.push_str(&section("LAST TRANSITIONS", &transition_table(look, transitions)));
    text
}

/// When it was last heard.
fn heard(look: &Look, member: &Member) -> String {
    if member.ever_heard { look.age(member.age_us) } else { "never".to_owned() }
}

fn members(look: &Look, group: &Group) -> String {
    let columns = [
        Column::Free("NODE"),
        Column::Free("STATE"),
        Column::Free("PRIORITY"),
        Column::Free("IN KERNEL"),
        Column::Fixed("HEARD"),
        Column::Fixed("SINCE"),
        Column::Free("WHY"),
        Column::Wide("INSTANCE"),
        Column::Wide("VRID"),
        Column::Wide("INTERFACE"),
        Column::Wide("SOURCE"),
    ];
    let rows = group.members.iter().map(|member| {
        vec![
            look.text(&member.node),
            look.state(member.state(), member.fresh),
            look.text(&priority(member.priority, member.effective_priority)),
            look.text(yes_no(member.address_present)),
            look.text(&heard(look, member)),
            look.text(&look.time_in_table(member.since_us)),
            look.text(&reason(&member.reason, &member.reason_detail)),
            look.text(&member.instance),
            look.text(&member.vrid.to_string()),
            look.text(&member.interface),
            look.text(or_nothing(&member.source_address)),
        ]
    });
    grid(look, &columns, rows.collect())
}
