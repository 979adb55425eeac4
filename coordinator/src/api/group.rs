//! Groups by the names that people give them.

use std::net::IpAddr;

use hafleet_fleet::view::{FleetView, GroupView};

use crate::api::status::RequestError;

/// The one group of this name, address, or either with its site in front.
///
/// # Errors
/// There is none, or there are several.
pub fn find<'a>(view: &'a FleetView, name: &str, site: &str) -> Result<&'a GroupView, RequestError> {
    let found: Vec<&GroupView> = view.groups.iter().filter(|group| is_called(group, name, site)).collect();
    match found[..] {
        [] => Err(RequestError::NotFound { what: "group", name: name.to_owned() }),
        // One instance with several addresses is several groups that move together: the first stands for them.
        [first, ..] if found.iter().all(|group| move_together(first, group)) => Ok(first),
        [..] => {
            let candidates: Vec<String> = found.iter().map(|group| group.key.to_string()).collect();
            Err(RequestError::Ambiguous { name: name.to_owned(), candidates: candidates.join(", ") })
        }
    }
}

/// By name or by any of its addresses, each also with the site in front: `web`, `192.168.178.3`, `dc1/web`.
pub fn is_called(group: &GroupView, name: &str, site: &str) -> bool {
    let called = |name: &str| {
        let address = name.parse::<IpAddr>().ok();
        group.name == name || group.addresses.iter().any(|&(own, _)| Some(own) == address)
    };
    let here = site.is_empty() || group.key.site.0 == site;
    here && (called(name)
        || name.split_once('/').is_some_and(|(site, name)| group.key.site.0 == site && called(name)))
}

fn move_together(one: &GroupView, other: &GroupView) -> bool {
    one.key.site == other.key.site && one.name == other.name && one.addresses == other.addresses
}
