//! Keywords of `vrrp_instance`.

use super::{
    Keyword,
    Takes::{Block, Words},
    inactive, read, satisfied, unsupported,
};

const NO_SCRIPT: &str = "this version runs no notify scripts; the addresses move all the same";
const SOURCE_CHECKED: &str = "Unicast adverts are accepted from peers only.";
const EXTRA: &str = "`garp_master_refresh` announces again and again on every interface that has an address";

pub(super) const KEYWORDS: &[Keyword] = &[
    read("accept", Words(0, 0), "The default: a holder accepts packets to its addresses."),
    read(
        "advert_int",
        Words(1, 1),
        "Seconds between adverts, 1 if absent. Version 2: whole seconds, 1 to 255; version 3: 0.01 to 40.95 in steps of 0.01. Anything between steps is rounded as keepalived does, with a warning.",
    ),
    read("authentication", Block, "Version 2 only. In version 3 there is none: a warning."),
    satisfied("check_unicast_src", SOURCE_CHECKED),
    satisfied("debug", "Does nothing in keepalived either."),
    read(
        "dont_track_primary",
        Words(0, 0),
        "The instance goes on while its interface has no carrier or is administratively down.",
    ),
    read(
        "down_timer_adverts",
        Words(1, 1),
        "3, the RFC's. Anything else is an error: all routers of a group must agree on it.",
    ),
    inactive("garp_extra_if", EXTRA),
    read(
        "garp_lower_prio_delay",
        Words(1, 1),
        "As `garp_master_delay`, after an advert of lower priority was heard; that of `global_defs` if absent, whatever `garp_master_delay` says here.",
    ),
    read(
        "garp_lower_prio_repeat",
        Words(1, 1),
        "As `garp_master_repeat`, after an advert of lower priority was heard, 0 to 255; that of `global_defs` if absent.",
    ),
    read(
        "garp_master_delay",
        Words(1, 1),
        "Seconds until the second round of gratuitous ARPs, 0 for none; `vrrp_garp_master_delay` or 5 if absent. At most 3600.",
    ),
    read(
        "garp_master_refresh",
        Words(1, 1),
        "Seconds between announcements again and again while it is master, 0 for none; `vrrp_garp_master_refresh` or 0 if absent.",
    ),
    read(
        "garp_master_refresh_repeat",
        Words(1, 1),
        "How many per address then, 1 to 255; `vrrp_garp_master_refresh_repeat` or 1 if absent.",
    ),
    read(
        "garp_master_repeat",
        Words(1, 1),
        "Gratuitous ARPs per address and round, 1 to 255; `vrrp_garp_master_repeat` or 5 if absent.",
    ),
    read(
        "higher_prio_send_advert",
        Words(0, 1),
        "`on`, the default here: a master that hears a higher advert answers it before it yields, so that the winner announces last. `off`, keepalived's default: it yields without a word.",
    ),
    read(
        "interface",
        Words(1, 1),
        "The service interface. Required, with unicast too. It need not exist yet.",
    ),
    inactive("kernel_rx_buf_size", "sockets keep the kernel's buffer size"),
    inactive("linkbeat_use_polling", "carrier is reported by the kernel, never polled"),
    read(
        "lower_prio_no_advert",
        Words(0, 1),
        "`on`: a master that hears a lower advert says nothing before its time. `off`, the default: it answers at once.",
    ),
    inactive("lvs_sync_daemon_interface", "hafleet does not balance load"),
    read(
        "mcast_dst_ip",
        Words(1, 1),
        "`224.0.0.18`, or `ff02::12` with IPv6 addresses. Another group is an error: it is not supported by this version.",
    ),
    read(
        "mcast_src_ip",
        Words(1, 1),
        "The adverts' source address, of the instance's family; the interface's primary address, or its link-local one, if absent.",
    ),
    read("native_ipv6", Words(0, 0), "The addresses must be IPv6; without it their family decides."),
    read(
        "no_accept",
        Words(0, 0),
        "While it holds an address, packets to it are dropped on this host, except what ARP and neighbour discovery need. The owner, priority 255, always accepts.",
    ),
    read(
        "nopreempt",
        Words(0, 0),
        "A BACKUP leaves a master of lower priority alone. keepalived drops it next to `state MASTER`; here it counts, with a warning.",
    ),
    inactive("notify", NO_SCRIPT),
    inactive("notify_backup", NO_SCRIPT),
    inactive("notify_deleted", NO_SCRIPT),
    inactive("notify_fault", NO_SCRIPT),
    inactive("notify_master", NO_SCRIPT),
    inactive("notify_master_rx_lower_pri", NO_SCRIPT),
    inactive("notify_priority_changes", NO_SCRIPT),
    inactive("notify_stop", NO_SCRIPT),
    read(
        "old_unicast_checksum",
        Words(0, 1),
        "`never`, or without effect. The form of keepalived 1.3.6 and older, in version 3 over IPv4, is not supported: an error.",
    ),
    read("preempt", Words(0, 0), "The default: a higher priority takes over."),
    read(
        "preempt_delay",
        Words(1, 1),
        "Seconds a BACKUP leaves a master of lower priority alone, 0 to 1000, fractions allowed; 0 if absent. Not together with `nopreempt`.",
    ),
    read(
        "priority",
        Words(1, 1),
        "1 to 255, the higher wins; 255 is the address owner. If absent 100, but 255 with `state MASTER`.",
    ),
    inactive(
        "promote_secondaries",
        "an address that the kernel drops with another of its subnet is put back",
    ),
    satisfied("skip_check_adv_addr", "An advert with other addresses is never dropped for it."),
    inactive("smtp_alert", "hafleet's coordinator sends mail"),
    read(
        "state",
        Words(1, 1),
        "`MASTER` or `BACKUP`. Every instance starts as BACKUP; `MASTER` only decides the priority when there is no `priority`.",
    ),
    read("strict_mode", Words(0, 1), "`off`, the default. `on` is not supported by this version: an error."),
    unsupported("track_bfd", "sessions of BFD are not watched"),
    read(
        "track_file",
        Block,
        "Files that are tracked, one on a line: `NAME [weight NUMBER [reverse|noreverse]]`; without a weight that of the file.",
    ),
    read(
        "track_interface",
        Block,
        "Interfaces that are tracked beside the own one, as in `track_file`; they need not exist yet. Up is with carrier. Weight -253 to 253; without one, or 0: FAULT while it is down.",
    ),
    read("track_process", Block, "Processes that are tracked, as in `track_file`."),
    read("track_script", Block, "Scripts that are tracked, as in `track_file`."),
    inactive("track_src_ip", "a source address that is missing shows as a failure to send"),
    read(
        "unicast_fault_no_peer",
        Words(0, 0),
        "Without a peer the instance would never hold its addresses: an error then.",
    ),
    read(
        "unicast_peer",
        Block,
        "The other routers, one on a line: `ADDRESS [min_ttl NUMBER] [max_ttl NUMBER]`, 0 and 255 if absent. The adverts go to these instead of the multicast group. Adverts from anybody else, or with a TTL (hop limit) outside the range, are rejected and counted; keepalived accepts anybody unless `check_unicast_src` or a TTL is set. Without any peer: multicast, and a warning.",
    ),
    read("unicast_src_ip", Words(1, 1), "As `mcast_src_ip`."),
    read("unicast_ttl", Words(1, 1), "The TTL (hop limit) of unicast adverts, 1 to 255; 255 if absent."),
    unsupported("use_ipvlan", "use `use_vmac`, or the interface itself"),
    read(
        "use_vmac",
        Words(0, 2),
        "The addresses live on a macvlan interface with the virtual router's MAC, `vrrp.VRID` (IPv6: `vrrp6.VRID`) or of the name that follows; a MAC address of one's own is an error.",
    ),
    unsupported("use_vmac_addr", "make one instance with `use_vmac` for each interface"),
    read("version", Words(1, 1), "2 or 3; `vrrp_version` or 2 if absent. With IPv6 addresses always 3."),
    read(
        "virtual_ipaddress",
        Block,
        "The addresses that move, one on a line, see above. Required; all IPv4 or all IPv6.",
    ),
    read(
        "virtual_ipaddress_excluded",
        Block,
        "As `virtual_ipaddress`, but not listed in the adverts, and of either family.",
    ),
    read(
        "virtual_router_id",
        Words(1, 1),
        "The VRID, 1 to 255, once on an interface for IPv4 and once for IPv6. Required.",
    ),
    unsupported("virtual_routes", "this version moves addresses only"),
    unsupported("virtual_rules", "this version moves addresses only"),
    inactive("vmac_garp_intvl", EXTRA),
    read("vmac_xmit_base", Words(0, 0), "Adverts go out from the interface itself; always so with unicast."),
    unsupported("vrf", "name the service interface: it decides the VRF"),
    read("vrrp_track_file", Block, "As `track_file`; keepalived does not know it here: a warning."),
];
