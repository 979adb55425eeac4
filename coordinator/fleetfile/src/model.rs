//! What a file says once it is read.

use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

use crate::problem::At;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetFile {
    /// What groups may track beside interfaces, in the order of the file; names are unique for each kind.
    pub checks: Vec<Check>,
    /// Every group, in the order of the file; names are unique at each site.
    pub groups: Vec<Group>,
}

/// Values that only the agent understands, by their keys, each as TOML writes it in one line.
pub type Settings = BTreeMap<&'static str, String>;

/// `[[script]]`, `[[process]]` or `[[file]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Where it is.
    pub at: At,
    /// Which of the three.
    pub kind: CheckKind,
    /// Its name.
    pub name: String,
    /// The rest of it.
    pub settings: Settings,
}

/// What a check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckKind {
    /// `[[script]]`
    Script,
    /// `[[process]]`
    Process,
    /// `[[file]]`
    File,
}

impl CheckKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Script, Self::Process, Self::File];

    /// The name of its table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Process => "process",
            Self::File => "file",
        }
    }
}

/// Names a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// Its site.
    pub site: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for GroupKey {
    /// `dc1/web`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.site, self.name)
    }
}

/// `[[group]]`: what all members agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Where it is.
    pub at: At,
    /// Site and name; the instance has this name on every member.
    pub key: GroupKey,
    /// 1 to 255.
    pub vrid: u8,
    /// 2 or 3.
    pub version: u8,
    /// Whole seconds from 1 to 255 for version 2; 10 ms to 40.95 s in steps of 10 ms for version 3.
    pub advert_interval: Duration,
    /// The password of version 2.
    pub auth: Option<Secret>,
    /// At least one. Those that are advertised are of one family.
    pub addresses: Vec<Address>,
    /// What every member tracks.
    pub track: Vec<Track>,
    /// The rest that members agree on.
    pub settings: Settings,
    /// Who may hold the addresses, in the order of the file; each node once.
    pub members: Vec<Member>,
}

impl Group {
    /// Whether it runs over IPv6.
    pub fn is_ipv6(&self) -> bool {
        let advertised = self.addresses.iter().find(|address| address.is_advertised());
        advertised.is_some_and(|address| address.address.is_ipv6())
    }
}

/// What stands where a password is not shown: longer than any password may be.
pub const STRUCK_OUT: &str = "(shown to an admin only)";

/// A password; not shown by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// One address that moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where it is.
    pub at: At,
    /// The address.
    pub address: IpAddr,
    /// Its prefix length as written; `None`: the whole address, or the peer's.
    pub prefix_len: Option<u8>,
    /// The rest of it.
    pub settings: Settings,
}

impl Address {
    /// Whether adverts carry it.
    pub fn is_advertised(&self) -> bool {
        self.settings.get("advertised").is_none_or(|text| text == "true")
    }
}

impl fmt::Display for Address {
    /// `192.168.178.3/24`, as written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_len {
            Some(length) => write!(f, "{}/{length}", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

/// One thing that is tracked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Track {
    /// Where it is.
    pub at: At,
    /// `None`: an interface.
    pub kind: Option<CheckKind>,
    /// The interface's or the check's name.
    pub name: String,
    /// -254 to 254; `None`: as the check says, else 0.
    pub weight: Option<i64>,
    /// `None`: as the check says, else false.
    pub reverse: Option<bool>,
}

/// `[[group.member]]`: what is a node's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it is.
    pub at: At,
    /// The node.
    pub node: String,
    /// Its service interface.
    pub interface: String,
    /// 1 to 255.
    pub priority: u8,
    /// The source of its adverts; `None`: the interface's primary address.
    pub source: Option<IpAddr>,
    /// Its heartbeat lines, as TOML writes them in one line; `None`: multicast on the interface.
    pub paths: Option<String>,
    /// What it tracks beside what the group says.
    pub track: Vec<Track>,
}

impl FleetFile {
    /// The same without its passwords. As a text it cannot be read back: nobody applies it by mistake.
    pub fn struck_out(mut self) -> Self {
        for group in &mut self.groups {
            group.auth = group.auth.take().map(|_| Secret(STRUCK_OUT.to_owned()));
        }
        self
    }

    /// Every node that is a member of something, in the order of names.
    pub fn nodes(&self) -> Vec<&str> {
        let members = self.groups.iter().flat_map(|group| &group.members);
        let nodes: std::collections::BTreeSet<&str> = members.map(|member| member.node.as_str()).collect();
        nodes.into_iter().collect()
    }
}
