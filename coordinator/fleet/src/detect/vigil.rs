//! Members that are not heard from. What they do meanwhile nobody knows: one that was BACKUP when it fell silent may have become
//! MASTER behind a firewall that drops its adverts too, and then ARP is the only witness. So while there is one holder and a silent
//! member, the others are asked now and then whether the silent host answers for the address.

use alloc::vec::Vec;
use core::time::Duration;

use super::rivals::{self, Sighting};
use crate::{
    model::NodeName,
    scene::{ArpRound, Contest, Member, Scene, Story, Vigil},
    time::Instant,
};

/// The longest pause between two questions.
const PAUSE: Duration = Duration::from_secs(10);
/// The pause after the first; then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// Silent members whose hosts answer for the address, each since it was first seen to. Only what was asked since the holder is
/// the holder counts: before, somebody else may have been.
pub(crate) fn sighted(scene: &Scene<'_>, claims: &[Member<'_>], story: &mut Story) -> Vec<Sighting> {
    let arp = match (&story.contest, &story.vigil) {
        (Some(Contest { arp, .. }), _) => Some(arp),
        (None, Some(vigil)) => Some(&vigil.arp),
        (None, None) => None,
    };
    let (Some(arp), Some(holder)) = (arp, claims.first()) else {
        story.sighted.clear();
        return Vec::new();
    };
    let is_silent = |sighting: &Sighting| {
        let owner = scene.members.iter().find(|member| Some(member.key) == sighting.owner.as_ref());
        owner.is_some_and(|owner| !owner.fresh)
    };
    let mut sighted = rivals::answering(scene, claims, arp, holder.steady());
    sighted.retain(is_silent);
    story.sighted.retain(|key, _| sighted.iter().any(|sighting| sighting.owner.as_ref() == Some(key)));
    for sighting in &mut sighted {
        if let Some(owner) = &sighting.owner {
            let first = *story.sighted.entry(owner.clone()).or_insert(sighting.since);
            // A holder that was interrupted begins anew.
            sighting.since = first.max(holder.steady());
        }
    }
    sighted
}

/// When the members are to be asked next; `None` when there is nothing to ask.
pub(crate) fn next(scene: &Scene<'_>, claims: &[Member<'_>], story: &mut Story) -> Option<Instant> {
    // One that was never heard since the coordinator's start may be on its way.
    let is_silent =
        |member: &Member<'_>| !member.fresh && (member.node.heard_at.is_some() || !scene.in_grace);
    if claims.is_empty() || !scene.members.iter().any(is_silent) {
        story.vigil = None;
        return None;
    }
    let vigil = story.vigil.get_or_insert_default();
    let pause = PAUSE.min(FIRST_PAUSE * (1 << vigil.rounds.saturating_sub(1).min(4)));
    Some(vigil.last_sent.map_or(scene.now, |sent| sent + pause))
}

impl Vigil {
    /// A probe goes out now.
    pub(crate) fn asked(&mut self, now: Instant) {
        self.last_sent = Some(now);
        self.rounds = self.rounds.saturating_add(1);
    }

    /// What a node's ARP requests gave; the newest question counts.
    pub(crate) fn answered(&mut self, name: &NodeName, round: ArpRound) {
        if self.arp.get(name).is_none_or(|known| known.asked_at <= round.asked_at) {
            self.arp.insert(name.clone(), round);
        }
    }
}
