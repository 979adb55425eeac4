//! Every key of agent.toml. docs/configuration.md describes them; a test keeps the two the same.

/// A table whose keys are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// The file itself.
    Agent,
    /// `[[instance]]`.
    Instance,
    /// An element of `vips`.
    Vip,
    /// `auth`.
    Auth,
    /// `announcing`.
    Announcing,
    /// An element of `paths`.
    Path,
    /// An element of `peers`.
    Peer,
}

impl Keys {
    /// Every table, as the documentation orders them.
    #[cfg(test)]
    pub const ALL: [Self; 7] =
        [Self::Agent, Self::Instance, Self::Vip, Self::Auth, Self::Announcing, Self::Path, Self::Peer];

    /// Its keys.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Agent => &["node", "site", "coordinators", "metrics", "instance"],
            Self::Instance => &[
                "name",
                "interface",
                "vrid",
                "version",
                "priority",
                "advert_interval",
                "preempt",
                "preempt_delay",
                "auth",
                "vips",
                "lease",
                "checksum",
                "source",
                "announcing",
                "paths",
                "unicast_ttl",
                "track",
            ],
            Self::Vip => &[
                "address",
                "dev",
                "label",
                "scope",
                "broadcast",
                "advertised",
                "peer",
                "preferred_lft",
                "dad",
                "home",
                "mngtmpaddr",
                "noprefixroute",
                "autojoin",
                "repair",
            ],
            Self::Auth => &["type", "secret"],
            Self::Announcing => &["repeat", "delay", "delayed_repeat"],
            Self::Path => &["interface", "peers"],
            Self::Peer => &["address", "min_ttl", "max_ttl"],
        }
    }

    /// The table in a sentence.
    pub fn table(self) -> &'static str {
        match self {
            Self::Agent => "agent.toml",
            Self::Instance => "[[instance]]",
            Self::Vip => "vips",
            Self::Auth => "auth",
            Self::Announcing => "announcing",
            Self::Path => "paths",
            Self::Peer => "peers",
        }
    }
}
