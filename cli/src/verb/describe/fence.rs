//! `hactl describe fence`

use hafleet_proto::v1::{Fence, GetFenceRequest, Group};

use super::{finding::evidence, seen::seen};
use crate::{
    connect::Coordinators,
    failure::Failure,
    grid::fields,
    invocation::Invocation,
    look::{Look, clean, or_nothing},
    paragraphs::{reason, section, yes_no},
    shape::{self, Seen, level_word},
    verb::{fleet, get::fence_tone},
};

pub async fn run(
    name: &str,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let fleet = fleet(coordinators).await?;
    let request = GetFenceRequest { name: name.to_owned() };
    let ask = format!("read the fence of {}", clean(name));
    let fence =
        coordinators.call(&ask, request, async |client, request| client.fence.get(request).await).await?;
    let is_about = |group: &&Group| fence.groups.contains(&format!("{}/{}", group.site, group.address));
    let groups: Vec<&Group> = fleet.groups.iter().filter(is_about).collect();
    let now = Seen::of(&fleet, &groups);
    invocation
        .object(&shape::FenceDetail::new(&fence, &now), || text(&invocation.look(fleet.at_us), &fence, &now))
}

fn text(look: &Look, fence: &Fence, now: &Seen) -> String {
    let survivors: Vec<String> =
        fence.survivors.iter().map(|(group, node)| format!("{node} for {group}")).collect();
    let wanted = if fence.by.is_empty() { "hafleet" } else { &fence.by };
    let mut rows = vec![
        ("  node", look.text(&format!("{} ({})", fence.target, fence.site))),
        ("  state", look.cell(fence_tone(&fence.state), &fence.state)),
        ("  since", look.text(&look.time(fence.since_us))),
        ("  why", look.text(&reason(&fence.reason, &fence.detail))),
        ("  victim because", look.text(or_nothing(&fence.explanation))),
        ("  groups", look.text(or_nothing(&fence.groups.join(", ")))),
        ("  instances", look.text(or_nothing(&fence.instances.join(", ")))),
        ("  goes on", look.text(or_nothing(&survivors.join(", ")))),
        ("  wanted by", look.text(&format!("{wanted} ({})", fence.origin))),
        ("  proposed", look.text(&look.time(fence.proposed_at_us))),
    ];
    if !fence.approved_by.is_empty() {
        let up_to = level_word(fence.approved_up_to()).unwrap_or_default();
        rows.push(("  approved by", look.text(&format!("{} up to {up_to}", fence.approved_by))));
    }
    rows.push(("  hardest step", look.text(or_nothing(level_word(fence.taken()).unwrap_or_default()))));
    rows.push(("  held down", look.text(yes_no(fence.holds_order))));
    rows.push(("  aftercare", look.text(&fence.aftercare)));
    let mut text = format!("{}\n{}", clean(&fence.id), fields(look, rows));
    text.push_str(&section("EVIDENCE", &evidence(look, &fence.evidence)));
    text.push_str(&seen(look, now));
    text
}
