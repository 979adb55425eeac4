//! How people name a group.

use std::{fmt, net::IpAddr, str::FromStr};

use hafleet_proto::v1::{Fleet, Group};

use crate::failure::Failure;

/// `web`, `192.168.178.3`, `192.168.178.3/24`, and each of them with its site in front: `dc1/web`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupName {
    /// Empty when not said.
    pub site: String,
    /// A group's name or address without prefix length.
    pub name: String,
}

impl GroupName {
    /// Is it this group?
    pub fn matches(&self, group: &Group) -> bool {
        (self.site.is_empty() || self.site == group.site)
            && (self.name == group.group
                || self.name == group.address
                || group.addresses.iter().any(|address| without_prefix(address) == self.name))
    }

    /// The one group of this name.
    pub fn find<'a>(&self, fleet: &'a Fleet) -> Result<&'a Group, Failure> {
        let found: Vec<&Group> = fleet.groups.iter().filter(|group| self.matches(group)).collect();
        match found.as_slice() {
            [] => Err(self.unknown()),
            [group] => Ok(group),
            several => {
                let names: Vec<String> =
                    several.iter().map(|group| format!("{}/{}", group.site, group.address)).collect();
                Err(Failure::usage(
                    format!("{} groups are called {self}: {}", several.len(), names.join(", ")),
                    "Name one of them by site and address.",
                ))
            }
        }
    }

    /// Nothing is called so.
    pub fn unknown(&self) -> Failure {
        Failure::not_found(format!("no group is called {self}"), "`hactl get groups` lists the groups.")
    }
}

impl FromStr for GroupName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (site, name) = match text.split_once('/') {
            Some((address, _)) if address.parse::<IpAddr>().is_ok() => ("", address),
            Some((site, name)) => (site, without_prefix(name)),
            None => ("", text),
        };
        if name.is_empty() {
            return Err("write a group's name or address, as in web, dc1/web or 192.168.178.3".to_owned());
        }
        Ok(Self { site: site.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.site.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.site, self.name) }
    }
}

fn without_prefix(address: &str) -> &str {
    match address.split_once('/') {
        Some((ip, _)) if ip.parse::<IpAddr>().is_ok() => ip,
        Some(_) | None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_is_a_site_or_a_prefix_length() {
        for (text, site, name) in [
            ("web", "", "web"),
            ("dc1/web", "dc1", "web"),
            ("192.168.178.3", "", "192.168.178.3"),
            ("192.168.178.3/24", "", "192.168.178.3"),
            ("dc1/192.168.178.3/24", "dc1", "192.168.178.3"),
            ("dc1/fd00::3", "dc1", "fd00::3"),
        ] {
            assert_eq!(
                text.parse(),
                Ok(GroupName { site: site.to_owned(), name: name.to_owned() }),
                "{text}"
            );
        }
        assert!("".parse::<GroupName>().is_err());
        assert!("dc1/".parse::<GroupName>().is_err());
    }
}
