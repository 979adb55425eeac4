//! What a router may do and must not, written down apart from the router.

use hafleet_vrrp::{Config, LinkFault, Override, State, Track, TrackResult, Transition, VirtualRouter};

use crate::Reached;

/// The transitions there are: after which input, from, to, why. `link_*` is any fault of the link.
const TRANSITIONS: &[(&str, State, State, &str)] = {
    use State::{Backup, Fault, Init, Master};
    &[
        ("start", Init, Backup, "started"),
        ("start", Init, Master, "address_owner"),
        ("start", Init, Master, "adopted"),
        ("start", Init, Fault, "held"),
        ("start", Init, Fault, "link_*"),
        ("start", Init, Fault, "track_failed"),
        ("stop", Backup, Init, "stopped"),
        ("stop", Master, Init, "stopped"),
        ("stop", Fault, Init, "stopped"),
        ("deadline", Backup, Master, "master_down"),
        ("deadline", Backup, Master, "master_resigned"),
        ("deadline", Backup, Master, "preempted"),
        ("deadline", Backup, Master, "adopted"),
        ("deadline", Fault, Backup, "retry"),
        ("deadline", Fault, Master, "retry"),
        ("packet", Master, Backup, "higher_priority_heard"),
        ("packet", Master, Backup, "higher_address_heard"),
        ("link up", Fault, Backup, "link_restored"),
        ("link up", Fault, Master, "link_restored"),
        // An address that nothing can be sent from is none.
        ("link up", Backup, Fault, "link_*"),
        ("link up", Master, Fault, "link_*"),
        ("link down", Backup, Fault, "link_*"),
        ("link down", Master, Fault, "link_*"),
        // Without a carrier one can go on, if so configured; without an interface nobody can.
        ("link down", Fault, Backup, "link_restored"),
        ("link down", Fault, Master, "link_restored"),
        ("address fault", Master, Fault, "address_refused"),
        ("address fault", Master, Fault, "address_contested"),
        ("hold", Backup, Fault, "held"),
        ("hold", Master, Fault, "held"),
        ("unhold", Fault, Backup, "unheld"),
        ("unhold", Fault, Master, "unheld"),
        ("start", Init, Fault, "isolated"),
        ("hold", Backup, Fault, "isolated"),
        ("hold", Master, Fault, "isolated"),
        ("unhold", Fault, Backup, "reconnected"),
        ("unhold", Fault, Master, "reconnected"),
        ("take over", Backup, Master, "took_over"),
        ("track", Backup, Fault, "track_failed"),
        ("track", Master, Fault, "track_failed"),
        ("track", Fault, Backup, "tracks_restored"),
        ("track", Fault, Master, "tracks_restored"),
        ("reconfigure", Backup, Master, "address_owner"),
        ("reconfigure", Backup, Fault, "link_*"),
        ("reconfigure", Master, Fault, "link_*"),
        ("reconfigure", Backup, Fault, "track_failed"),
        ("reconfigure", Master, Fault, "track_failed"),
        ("reconfigure", Fault, Backup, "reconfigured"),
        ("reconfigure", Fault, Master, "reconfigured"),
    ]
};

/// It is one that there is. A start may wait for what is watched, and then follows a result or a new configuration.
pub(super) fn check_transition(input: &str, transition: &Transition, what: &str, reached: &mut Reached) {
    let Transition { from, to, reason } = transition;
    let code = reason.code();
    let is_link = code.starts_with("link_") && code != "link_restored";
    let class = if is_link { "link_*" } else { code };
    let is_late_start = *from == State::Init && ["track", "reconfigure"].contains(&input);
    let input = if is_late_start { "start" } else { input };
    assert!(TRANSITIONS.contains(&(input, *from, *to, class)), "no such transition: {what}");
    assert!(!reason.to_string().is_empty(), "{what}");
    reached.insert(format!("{from}-{to} {code}"));
}

/// Everything known that forbids this router to serve, a back-off apart.
pub(super) fn obstacles(router: &VirtualRouter) -> Vec<String> {
    let held = router.is_held_back().then(|| "it is held back".to_owned());
    let link = match router.paths().first().map(|path| path.link) {
        Some(Ok(_)) => None,
        Some(Err(LinkFault::NoCarrier | LinkFault::AdminDown)) if !router.config().track_service => None,
        Some(Err(fault)) => Some(fault.to_string()),
        None => Some("there is no line".to_owned()),
    };
    let tracks = watched(router).filter(|(track, result)| result.is_some_and(|result| fails(track, result)));
    held.into_iter().chain(link).chain(tracks.map(|(track, _)| format!("{} fails", track.name))).collect()
}

/// Something watched has no result yet, which may be waited for.
pub(super) fn may_await(router: &VirtualRouter) -> bool {
    router.track_results().any(|result| result.is_none())
}

/// keepalived: with a weight of 0 what is down is FAULT, and a number that is not 0; with another weight a number that takes
/// away more than 253.
fn fails(track: &Track, result: TrackResult) -> bool {
    match (track.weight, result) {
        (0, TrackResult::Up) => track.reverse,
        (0, TrackResult::Down) => !track.reverse,
        (0, TrackResult::Value(value)) => (value != 0) ^ track.reverse,
        (_, TrackResult::Up | TrackResult::Down) => false,
        (_, TrackResult::Value(_)) => adds(track, result) < -253,
    }
}

fn adds(track: &Track, result: TrackResult) -> i64 {
    let weight = i64::from(track.weight);
    let adds = match result {
        TrackResult::Up if weight > 0 => weight,
        TrackResult::Down if weight < 0 => weight,
        TrackResult::Value(value) => weight * i64::from(value.clamp(-254, 254)),
        TrackResult::Up | TrackResult::Down => 0,
    };
    if track.reverse { -adds } else { adds }
}

/// The base, which may be overridden, and what every result adds, between 1 and 254; the owner's is 255 whatever happens.
pub(super) fn effective_priority(router: &VirtualRouter, overridden: Option<Override>) -> u8 {
    let Config { priority, .. } = router.config();
    if priority.get() == 255 {
        return 255;
    }
    let priority = overridden.map_or(*priority, Override::priority);
    let adds = watched(router).filter_map(|(track, result)| Some(adds(track, result?)));
    let sum = i64::from(priority.get()) + adds.sum::<i64>();
    u8::try_from(sum.clamp(1, 254)).expect("it was clamped")
}

fn watched(router: &VirtualRouter) -> impl Iterator<Item = (&Track, Option<TrackResult>)> {
    router.config().tracks.iter().zip(router.track_results())
}
