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
    /// `vmac`.
    Vmac,
    /// `[engine]`.
    Engine,
    /// An element of `paths`.
    Path,
    /// An element of `peers`.
    Peer,
    /// An element of `track`.
    Track,
    /// `[[script]]`.
    Script,
    /// `[[process]]`.
    Process,
    /// `[[file]]`.
    File,
}

impl Keys {
    /// Every table, as the documentation orders them.
    #[cfg(test)]
    pub const ALL: [Self; 13] = [
        Self::Agent,
        Self::Engine,
        Self::Instance,
        Self::Vip,
        Self::Auth,
        Self::Announcing,
        Self::Vmac,
        Self::Path,
        Self::Peer,
        Self::Track,
        Self::Script,
        Self::Process,
        Self::File,
    ];

    /// Its keys.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Agent => &[
                "node",
                "site",
                "coordinators",
                "metrics",
                "references",
                "engine",
                "script_user",
                "script_group",
                "script_security",
                "script",
                "process",
                "file",
                "instance",
            ],
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
                "track_service",
                "answers_lower",
                "answers_higher",
                "accept",
                "vmac",
                "on_isolation",
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
            Self::Announcing => &[
                "repeat",
                "delay",
                "delayed_repeat",
                "lower_repeat",
                "lower_delay",
                "refresh",
                "refresh_repeat",
                "garp_interval",
                "gna_interval",
            ],
            Self::Vmac => &["interface", "adverts_from_parent"],
            Self::Engine => &["realtime_priority", "lock_memory"],
            Self::Path => &["interface", "peers"],
            Self::Peer => &["address", "min_ttl", "max_ttl"],
            Self::Track => &["interface", "script", "process", "file", "weight", "reverse"],
            Self::Script => &[
                "name",
                "command",
                "interval",
                "timeout",
                "rise",
                "fall",
                "init_fail",
                "user",
                "group",
                "weight",
                "reverse",
            ],
            Self::Process => &[
                "name",
                "command",
                "parameters",
                "param_match",
                "full_command",
                "quorum",
                "quorum_max",
                "fork_delay",
                "terminate_delay",
                "weight",
                "reverse",
            ],
            Self::File => &["name", "path", "init", "overwrite", "weight", "reverse"],
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
            Self::Vmac => "vmac",
            Self::Engine => "[engine]",
            Self::Path => "paths",
            Self::Peer => "peers",
            Self::Track => "track",
            Self::Script => "[[script]]",
            Self::Process => "[[process]]",
            Self::File => "[[file]]",
        }
    }
}
