//! Keywords of the small blocks.

use super::{
    Keyword,
    Takes::{Block, Line, Words},
    read,
};

pub(super) const AUTHENTICATION: &[Keyword] = &[
    read("auth_pass", Words(1, 1), "The password. Version 2 carries its first 8 bytes, in clear."),
    read("auth_type", Words(1, 1), "`PASS`. `AH` is not supported: an error."),
];

pub(super) const SCRIPT: &[Keyword] = &[
    read("fall", Words(1, 1), "Failures in a row until it counts as down; 1 if absent."),
    read(
        "init_fail",
        Words(0, 0),
        "It counts as down until its first result. Without it the election waits for that.",
    ),
    read(
        "interval",
        Words(1, 1),
        "Seconds from the start of one run to the start of the next, 1 if absent; 0.01 to 4294. keepalived knows whole seconds: a warning for others.",
    ),
    read("rise", Words(1, 1), "Successes in a row until it counts as up; 1 if absent."),
    read(
        "script",
        Words(1, 1000),
        "The program and its arguments, best in quotation marks: `\"killall -0 nginx\"`. Split as in keepalived: `'…'` and `\\` keep words together. Run without a shell; a program without `/` is looked for in `PATH`. It must exist: keepalived goes on without the check, here it is an error. Required.",
    ),
    read(
        "timeout",
        Words(1, 1),
        "Seconds that a run may take; `interval` if absent. Then its process group is stopped, and the run has failed.",
    ),
    read("user", Words(1, 2), "The user, and the group, that it runs as; `script_user` if absent."),
    read(
        "weight",
        Words(1, 2),
        "-253 to 253, 0 if absent: what its result adds to the priority; 0: while it is down the instance is in FAULT. `reverse` turns it round.",
    ),
];

pub(super) const PROCESS: &[Keyword] = &[
    read("delay", Words(1, 1), "`fork_delay` and `terminate_delay`."),
    read(
        "fork_delay",
        Words(1, 1),
        "Seconds, to 3600, that a change by a fork must last to count; none if absent.",
    ),
    read("full_command", Words(0, 0), "The command line is compared, not the process's name."),
    read(
        "param_match",
        Words(0, 1),
        "Alone: the parameters are these and no more; `partial`: and maybe more; `initial`: and the last may be longer.",
    ),
    read("process", Line, "The process's name, or its path, and its parameters. Required."),
    read("quorum", Words(1, 1), "At least so many must run, 1 to 65535; 1 if absent."),
    read("quorum_max", Words(1, 1), "At most so many may run; 0: none. If absent any number."),
    read(
        "terminate_delay",
        Words(1, 1),
        "Seconds, to 3600, that a change by an end must last to count; none if absent.",
    ),
    read(
        "weight",
        Words(1, 2),
        "As in `vrrp_script`, -254 to 254; 0 if absent, as keepalived does (its manual says 1).",
    ),
];

pub(super) const FILE: &[Keyword] = &[
    read("file", Words(1, 1), "The file with the number in it, an absolute path. Required."),
    read(
        "init_file",
        Words(0, 2),
        "`[NUMBER] [overwrite]`: written at the start, 0 if absent, when the file is missing, or always; -254 to 254.",
    ),
    read(
        "weight",
        Words(1, 2),
        "-254 to 254, 1 if absent: the number in the file times this is added to the priority; 0: while the number is not 0 the instance is in FAULT. `reverse` turns it round.",
    ),
];

pub(super) const GARP_GROUP: &[Keyword] = &[
    read("garp_interval", Words(1, 1), "As `vrrp_garp_interval`, for these interfaces."),
    read("gna_interval", Words(1, 1), "As `vrrp_gna_interval`, for these interfaces."),
    read("interface", Words(1, 1), "An interface."),
    read(
        "interfaces",
        Block,
        "Several interfaces. The pauses are kept on each of them, not over all of them as in keepalived: a warning.",
    ),
];
