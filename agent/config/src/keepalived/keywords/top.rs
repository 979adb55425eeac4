//! Keywords outside every block.

use super::{
    Keyword,
    Takes::{Block, NameAndBlock, Words},
    inactive, read, unsupported,
};

const NO_LVS: &str = "hafleet does not balance load: the block is checked for its braces only";

pub(super) const KEYWORDS: &[Keyword] = &[
    inactive("SSL", NO_LVS),
    inactive("bfd_instance", "it matters only where an instance has `track_bfd`, which is not supported"),
    inactive("child_wait_time", "the agent has no child processes to wait for"),
    read("garp_group", Block, "Pauses between announcements on some interfaces."),
    read("global_defs", Block, "Settings for all instances; more than one block is one block."),
    read(
        "include",
        Words(1, 1),
        "A file, or a pattern (`*`, `?`, `[…]`) of files in the order of their names, relative to the including file. A missing file is an error; a pattern that matches nothing is a warning.",
    ),
    read("includea", Words(1, 1), "As `include`; a pattern that matches nothing is an error."),
    read("includeb", Words(1, 1), "As `include`."),
    read("includem", Words(1, 1), "As `include`."),
    read("includer", Words(1, 1), "As `include`."),
    read("includew", Words(1, 1), "As `includea`."),
    inactive("instance", "one agent runs on a host; its files lie in its state directory"),
    inactive("interface_up_down_delays", "an interface's state counts at once"),
    inactive("linkbeat_interfaces", "carrier is reported by the kernel, never polled"),
    inactive("linkbeat_use_polling", "carrier is reported by the kernel, never polled"),
    inactive("namespace_with_ipsets", "ipsets are not used"),
    unsupported(
        "net_namespace",
        "start `ha-agent` in the namespace instead: `ip netns exec NAME ha-agent run …`",
    ),
    inactive("net_namespace_ipvs", NO_LVS),
    unsupported("static_ipaddress", "let the system's own network configuration set these addresses"),
    unsupported("static_routes", "let the system's own network configuration set these routes"),
    unsupported("static_rules", "let the system's own network configuration set these rules"),
    read("track_file", NameAndBlock, "A file with a number that instances may track."),
    inactive("track_group", "it groups static addresses, routes and rules, which are not supported"),
    inactive("use_pid_dir", "the agent writes no pid files; systemd knows its process"),
    inactive("virtual_server", NO_LVS),
    inactive("virtual_server_group", NO_LVS),
    read("vrrp_instance", NameAndBlock, "A virtual router. The name is unique."),
    read(
        "vrrp_script",
        NameAndBlock,
        "A program whose exit code instances may track; 0 is success. It runs only if one does.",
    ),
    unsupported("vrrp_sync_group", "instances fail over one by one in this version"),
    read("vrrp_track_file", NameAndBlock, "As `track_file`."),
    read("vrrp_track_process", NameAndBlock, "A process that instances may track."),
];
