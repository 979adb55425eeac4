//! The nouns of a fleet.

use alloc::string::String;
use core::{fmt, net::IpAddr};

/// A node's name as its certificate says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeName(pub String);

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One layer-2 world.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site(pub String);

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A virtual IP group: the unit that everything is said about.
///
/// The VRID is an attribute, not the key: one address under two VRIDs is a way to a split brain, and one VRID in two
/// sites is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The layer-2 world.
    pub site: Site,
    /// The address, without prefix length.
    pub address: IpAddr,
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.site, self.address)
    }
}

/// The state an agent reports for one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VrrpState {
    /// Not started, or stopped.
    Init,
    /// Listens for a master.
    Backup,
    /// Holds the addresses.
    Master,
    /// Cannot serve.
    Fault,
}
