//! `hactl describe node`

use hafleet_proto::v1::{Finding, Fleet, HeardAdvert, Node};

use super::seen::{references, witnesses};
use crate::{
    connect::Coordinators,
    failure::Failure,
    grid::{Column, fields, grid},
    invocation::Invocation,
    look::{Look, NOTHING, Tone, instant},
    paragraphs::{findings, orders, reason, section},
    shape::{self, Clock, Reference, Witnessed, since_us},
    verb::{
        fleet,
        get::{clock_offset, heard, instance_table, journal, unknown_node},
    },
};

pub async fn run(
    name: &str,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let fleet = fleet(coordinators).await?;
    let node = fleet.nodes.iter().find(|node| node.name == name).ok_or_else(|| unknown_node(name))?;
    let subject = format!("node/{name}");
    let concerns = |finding: &&Finding| {
        finding.subject == subject || finding.evidence.iter().any(|evidence| evidence.node == name)
    };
    let about: Vec<Finding> = fleet.findings.iter().filter(concerns).cloned().collect();
    invocation.object(&shape::NodeDetail::new(&fleet, node, &about), || {
        text(&invocation.look(fleet.at_us), &fleet, node, &about)
    })
}

fn text(look: &Look, fleet: &Fleet, node: &Node, about: &[Finding]) -> String {
    let (tone, heard) = heard(look, node);
    let mut text = fields(
        look,
        vec![
            ("Node", look.text(&node.name)),
            ("Site", look.text(&node.site)),
            ("Heard", look.cell(tone, &heard)),
            ("Connected", look.text(&connected(node))),
            ("Agent", look.text(&node.agent_version)),
            ("Clock offset", look.text(&clock(look, node))),
            ("Certificate until", certificate(look, node)),
            ("Journal", look.text(&format!("{} ({})", journal(node), node.journal_id))),
        ],
    );
    let instances: Vec<_> = node.instances.iter().map(|instance| (node, instance)).collect();
    text.push_str(&section("ORDERS", &orders(look, &[node])));
    text.push_str(&section("INSTANCES", &instance_table(look, &instances)));
    text.push_str(&section("WHY THEY ARE IN THEIR STATES", &reasons(look, node)));
    text.push_str(&section("ADDRESSES", &addresses(look, node)));
    text.push_str(&section("ADVERTS HEARD", &adverts(look, node)));
    text.push_str(&section("ADVERTS REJECTED", &rejections(look, node)));
    let answers: Vec<Witnessed> = Witnessed::by(fleet, node).collect();
    text.push_str(&section("WHO ANSWERED IT", &witnesses(look, &answers)));
    let reached: Vec<Reference> = Reference::of(node).collect();
    text.push_str(&section("REFERENCES", &references(look, &reached)));
    text.push_str(&section("FINDINGS", &findings(look, about)));
    text
}

/// With its uncertainty, and since when.
fn clock(look: &Look, node: &Node) -> String {
    let age = Clock::of(node).age_ms.map(|age_ms| look.age(age_ms.saturating_mul(1000)));
    let measured = age.map(|age| format!(", measured {age}")).unwrap_or_default();
    format!("{}{measured}", clock_offset(node))
}

fn connected(node: &Node) -> String {
    match (node.connected, node.peer.as_str()) {
        (true, "") => "yes".to_owned(),
        (true, peer) => format!("yes, from {peer}"),
        (false, "") => "no".to_owned(),
        (false, peer) => format!("no, last from {peer}"),
    }
}

fn certificate(look: &Look, node: &Node) -> comfy_table::Cell {
    let over = instant(node.certificate_not_after_us).is_some_and(|end| end <= look.now);
    let time = look.time(node.certificate_not_after_us);
    if over { look.cell(Tone::Bad, &format!("EXPIRED {time}")) } else { look.text(&time) }
}

fn reasons(look: &Look, node: &Node) -> String {
    let columns = [Column::Free("INSTANCE"), Column::Fixed("SINCE"), Column::Free("WHY")];
    let rows = node.instances.iter().map(|instance| {
        let since_us = since_us(node, instance, look.now.as_microsecond()).unwrap_or_default();
        vec![
            look.text(&instance.instance),
            look.text(&look.time_in_table(since_us)),
            look.text(&reason(&instance.reason, &instance.reason_detail)),
        ]
    });
    grid(look, &columns, rows.collect())
}

/// What each instance should hold, and what the kernel has: read back, not remembered.
fn addresses(look: &Look, node: &Node) -> String {
    let columns = [
        Column::Free("INSTANCE"),
        Column::Free("ADDRESS"),
        Column::Free("INTERFACE"),
        Column::Free("IN KERNEL"),
    ];
    let rows = node.instances.iter().flat_map(|instance| {
        instance.addresses.iter().map(|address| {
            let present = match (instance.addresses_present.contains(address), node.fresh) {
                (true, true) => "yes",
                (false, true) => "no",
                (true, false) => "stale (was there)",
                (false, false) => "stale (was not there)",
            };
            vec![
                look.text(&instance.instance),
                look.text(address),
                look.text(&instance.interface),
                look.text(present),
            ]
        })
    });
    grid(look, &columns, rows.collect())
}

fn adverts(look: &Look, node: &Node) -> String {
    let columns = [
        Column::Free("SOURCE"),
        Column::Free("INTERFACE"),
        Column::Free("VRID"),
        Column::Free("PRIORITY"),
        Column::Free("INTERVAL"),
        Column::Fixed("HEARD"),
        Column::Free("ACCEPTED / REJECTED"),
        Column::Wide("ADDRESSES"),
        Column::Wide("VERSION"),
        Column::Wide("AUTH"),
        Column::Wide("CHECKSUM"),
    ];
    let rows = node.heard.iter().map(|heard| {
        let rejected: u64 =
            heard.rejections.iter().map(|rejection| rejection.count).fold(0, u64::saturating_add);
        let vrid = heard.vrid.to_string();
        let counts = format!("{} / {rejected}", heard.accepted);
        vec![
            look.text(&heard.source),
            look.text(&heard.interface),
            look.text(&if heard.vrid_configured { vrid } else { format!("{vrid}, foreign") }),
            look.text(&heard.priority.to_string()),
            look.text(&format!("{} ms", u64::from(heard.advert_interval_cs).saturating_mul(10))),
            look.text(&heard_age(look, node, heard.last_heard_age_us)),
            look.cell(if rejected > 0 { Tone::Doubtful } else { Tone::Plain }, &counts),
            look.text(&heard.addresses.join(",")),
            look.text(&heard.version.to_string()),
            look.text(&heard.auth),
            look.text(&heard.checksum_form),
        ]
    });
    grid(look, &columns, rows.collect())
}

fn rejections(look: &Look, node: &Node) -> String {
    let columns = [
        Column::Free("SOURCE"),
        Column::Fixed("VRID"),
        Column::Free("REASON"),
        Column::Free("COUNT"),
        Column::Fixed("LAST"),
        Column::Free("HEARD AND CONFIGURED"),
    ];
    let of = |heard: &HeardAdvert| {
        let (source, vrid) = (heard.source.clone(), heard.vrid.to_string());
        heard
            .rejections
            .iter()
            .map(move |rejection| {
                vec![
                    look.text(&source),
                    look.text(&vrid),
                    look.cell(Tone::Doubtful, &rejection.reason),
                    look.text(&rejection.count.to_string()),
                    look.text(&heard_age(look, node, rejection.last_age_us)),
                    look.text(&rejection.detail),
                ]
            })
            .collect::<Vec<_>>()
    };
    grid(look, &columns, node.heard.iter().flat_map(of).collect())
}

/// From the coordinator's now: the age of the report counts too.
fn heard_age(look: &Look, node: &Node, age_us: u64) -> String {
    if !node.ever_heard {
        return NOTHING.to_owned();
    }
    look.age(age_us.saturating_add(node.age_us))
}
