//! Every key of the fleet's file. docs/operations.md describes them; a test keeps the two the same.

/// What a value that only the agent understands must look like. The agent judges the rest when it is staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Flag,
    /// A whole number in this range.
    Number(i64, i64),
    Text,
    Duration,
    /// A duration, or `off`.
    Lease,
    Table,
    /// `true`, `false` or a table.
    FlagOrTable,
    Texts,
}

/// Settings of a group that are given to every member as they are, in the order of agent.toml.
pub(crate) const GROUP_SETTINGS: &[(&str, Form)] = &[
    ("preempt", Form::Flag),
    ("preempt_delay", Form::Duration),
    ("lease", Form::Lease),
    ("checksum", Form::Text),
    ("announcing", Form::Table),
    ("unicast_ttl", Form::Number(1, 255)),
    ("track_service", Form::Flag),
    ("answers_lower", Form::Flag),
    ("answers_higher", Form::Flag),
    ("accept", Form::Flag),
    ("vmac", Form::FlagOrTable),
    ("on_isolation", Form::Text),
];

/// Keys of a group beside its settings.
pub(crate) const GROUP: &[&str] =
    &["name", "site", "vrid", "version", "advert_interval", "auth", "addresses", "track", "member"];

/// Keys of a member.
pub(crate) const MEMBER: &[&str] = &["node", "interface", "priority", "source", "paths", "track"];

/// Keys of an element of `addresses` beside `address`, in the order of agent.toml.
pub(crate) const ADDRESS: &[(&str, Form)] = &[
    ("dev", Form::Text),
    ("label", Form::Text),
    ("scope", Form::Text),
    ("broadcast", Form::Text),
    ("advertised", Form::Flag),
    ("peer", Form::Text),
    ("preferred_lft", Form::Text),
    ("dad", Form::Flag),
    ("home", Form::Flag),
    ("mngtmpaddr", Form::Flag),
    ("noprefixroute", Form::Flag),
    ("autojoin", Form::Flag),
    ("repair", Form::Flag),
];

/// Keys of an element of `track`.
pub(crate) const TRACK: &[&str] = &["interface", "script", "process", "file", "weight", "reverse"];

/// Keys of `[[script]]`.
pub(crate) const SCRIPT: &[(&str, Form)] = &[
    ("command", Form::Texts),
    ("interval", Form::Duration),
    ("timeout", Form::Duration),
    ("rise", Form::Number(1, u32::MAX as i64)),
    ("fall", Form::Number(1, u32::MAX as i64)),
    ("init_fail", Form::Flag),
    ("user", Form::Text),
    ("group", Form::Text),
    ("weight", Form::Number(-254, 254)),
    ("reverse", Form::Flag),
];

/// Keys of `[[process]]`.
pub(crate) const PROCESS: &[(&str, Form)] = &[
    ("command", Form::Text),
    ("parameters", Form::Texts),
    ("param_match", Form::Text),
    ("full_command", Form::Flag),
    ("quorum", Form::Number(0, u32::MAX as i64)),
    ("quorum_max", Form::Number(0, u32::MAX as i64)),
    ("fork_delay", Form::Duration),
    ("terminate_delay", Form::Duration),
    ("weight", Form::Number(-254, 254)),
    ("reverse", Form::Flag),
];

/// Keys of `[[file]]`.
pub(crate) const FILE: &[(&str, Form)] = &[
    ("path", Form::Text),
    ("init", Form::Number(-254, 254)),
    ("overwrite", Form::Flag),
    ("weight", Form::Number(-254, 254)),
    ("reverse", Form::Flag),
];
