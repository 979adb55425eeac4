//! Which sources a snapshot, or a page of metrics, names: all of them, unless somebody floods the segment.

use hafleet_vrrp::heard::HeardAdvert;

/// Sources named at once. With the bounds of [`hafleet_vrrp::heard`] the longest message stays well under the 4 MiB that
/// gRPC takes.
pub const SOURCES_MAX: usize = 256;

/// At most [`SOURCES_MAX`] of them in their order: those that matter most here, and of these the last heard.
pub fn worth_telling(heard: &[(String, HeardAdvert)]) -> Vec<&(String, HeardAdvert)> {
    let mut ranked: Vec<_> = heard.iter().enumerate().collect();
    if ranked.len() > SOURCES_MAX {
        ranked.sort_by_key(|(_, (_, one))| std::cmp::Reverse((one.worth(), one.last_heard)));
        ranked.truncate(SOURCES_MAX);
        ranked.sort_by_key(|(at, _)| *at);
    }
    ranked.into_iter().map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests;
