//! The same files to `keepalived -t` and to this reader.
//!
//! keepalived ends with 0 when it has nothing to say, and with another number after any complaint, however small. So the
//! two agree when keepalived is silent exactly where this reader finds nothing. Where they differ on purpose, the case
//! says why.
//!
//! Needs root, `unshare` and `ip` for a network namespace of its own, and Debian's keepalived.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use super::instance;
use crate::tests::read_keepalived;

/// Why the two differ on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// Both have something to say, or neither.
    None,
    /// keepalived says nothing, this reader does.
    OnlyHere(&'static str),
    /// keepalived complains, this reader does not.
    OnlyKeepalived(&'static str),
}
use Difference::{None as Agree, OnlyHere, OnlyKeepalived};

/// What this reader makes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Clean,
    Warned,
    Refused,
}
use Verdict::{Clean, Refused, Warned};

/// Lines in an otherwise right instance.
const IN_AN_INSTANCE: &[(&str, Verdict, Difference)] = &[
    ("", Clean, Agree),
    ("state MASTER\nadvert_int 1\ndebug 2", Clean, Agree),
    ("authentication {\nauth_type PASS\nauth_pass 1111\n}", Clean, Agree),
    ("authentication\n{\nauth_type PASS\nauth_pass 1111\n}", Clean, Agree),
    ("authentication {\nauth_type PASS\nauth_pass \"a!b#c\" }", Clean, Agree),
    ("# 虚拟IP { \" '\n! }", Clean, Agree),
    ("virtual_ipaddress {\n192.168.178.4/24 dev ens33 label ens33:4\n}", Clean, Agree),
    (
        "virtual_ipaddress {\n192.168.178.4 brd 192.168.178.255 scope link\n10.0.0.1/8 brd + dev eth1\n}",
        Clean,
        Agree,
    ),
    ("virtual_ipaddress { 192.168.178.4/24 dev ens33 }", Clean, Agree),
    ("virtual_ipaddress_excluded {\n192.168.178.5/24\n}", Clean, Agree),
    ("nopreempt", Clean, Agree),
    ("preempt_delay 1.5", Clean, Agree),
    ("version 3\nadvert_int 0.5", Clean, Agree),
    ("mcast_src_ip 192.168.178.130", Clean, Agree),
    ("garp_master_delay 10\ngarp_master_repeat 1\ngarp_master_refresh 0", Clean, Agree),
    ("accept", Clean, Agree),
    ("down_timer_adverts 3", Clean, Agree),
    ("strict_mode off", Clean, Agree),
    // What keepalived complains about too.
    ("prioritty 100", Refused, Agree),
    ("priority", Refused, Agree),
    ("priority 0", Refused, Agree),
    ("priority 256", Refused, Agree),
    ("priority high", Refused, Agree),
    ("priority 10;", Warned, Agree),
    ("priority 0x64", Refused, Agree),
    ("virtual_router_id 0", Refused, Agree),
    ("virtual_router_id 256", Refused, Agree),
    ("state master", Warned, Agree),
    ("state SLAVE", Refused, Agree),
    ("version 4", Refused, Agree),
    ("advert_int 0", Refused, Agree),
    ("advert_int 0.001", Refused, Agree),
    ("advert_int 256", Refused, Agree),
    ("advert_int 1e0", Refused, Agree),
    ("advert_int 0.5", Warned, Agree),
    ("advert_int 1.5", Warned, Agree),
    ("version 3\nadvert_int 41", Refused, Agree),
    ("version 3\nadvert_int 1.234", Warned, Agree),
    ("preempt_delay 1001", Refused, Agree),
    ("nopreempt\npreempt_delay 5", Warned, Agree),
    ("state MASTER\nnopreempt", Warned, Agree),
    ("state MASTER\npreempt_delay 5", Warned, Agree),
    ("priority 255\nnopreempt", Warned, Agree),
    ("priority 100", Clean, Agree),
    ("authentication { auth_type PASS auth_pass 1111 }", Warned, Agree),
    ("authentication {\nauth_type pass\nauth_pass 1111\n}", Warned, Agree),
    ("authentication {\nauth_type MD5\nauth_pass 1111\n}", Refused, Agree),
    ("authentication {\nauth_type PASS\nauth_pass 123456789\n}", Warned, Agree),
    ("authentication {\nauth_type PASS\n}", Refused, Agree),
    ("authentication {\nauth_type PASS\nauth_pass \"x\n}", Refused, Agree),
    ("version 3\nauthentication {\nauth_type PASS\nauth_pass 1111\n}", Warned, Agree),
    ("virtual_ipaddress {\n192.168.178.4/33\n}", Refused, Agree),
    ("virtual_ipaddress {\n192.168.178.400\n}", Refused, Agree),
    ("virtual_ipaddress {\n192.168.178.004\n}", Refused, Agree),
    ("virtual_ipaddress {\n192.168.178.4\n  dev ens33\n}", Refused, Agree),
    ("virtual_ipaddress {\n192.168.178.4 scope world\n}", Refused, Agree),
    ("virtual_ipaddress {\n192.168.178.4 lable ens33:4\n}", Refused, Agree),
    ("virtual_ipaddress {\n192.168.178.4 label ens33:123456789012\n}", Refused, Agree),
    ("virtual_ipaddress {\n192.168.178.4 192.168.178.5\n}", Warned, Agree),
    ("mcast_src_ip 192.168.178", Refused, Agree),
    ("garp_master_repeat 0", Refused, Agree),
    ("garp_master_delay 2.5", Refused, Agree),
    ("frob {\na b\n}", Refused, Agree),
    ("}", Refused, Agree),
    ("authentication {\nauth_type PASS\nauth_pass 1111", Refused, Agree),
    // Where this reader sees more.
    ("priority 100 foo", Warned, OnlyHere("keepalived does not read the second word and does not say so")),
    ("priority 100 advert_int 3", Warned, OnlyHere("keepalived does not read the second keyword")),
    ("garp_master_delay 5\ngarp_master_delay 6", Warned, OnlyHere("it is written twice")),
    ("virtual_ipaddress {\n192.168.178.3/24\n}", Refused, OnlyHere("one address twice")),
    ("virtual_ipaddress {\n192.168.178.4 label foo\n}", Warned, OnlyHere("`ifconfig` does not show it")),
    ("authentication {\nauth_pass 1111\n}", Warned, OnlyHere("keepalived uses no password")),
    (
        "authentication {\nauth_type PASS\nauth_pass ab!cd\n}",
        Warned,
        OnlyHere("the comment cuts the password"),
    ),
    // What this version does not do yet.
    ("authentication {\nauth_type AH\nauth_pass 1111\n}", Refused, OnlyHere("AH is not supported")),
    ("down_timer_adverts 4", Refused, OnlyHere("not supported")),
    ("smtp_alert off", Warned, OnlyHere("the coordinator sends mail")),
    ("virtual_ipaddress {\n192.168.178.4 use_vmac\n}", Refused, OnlyHere("not supported")),
    // Announcing, answers, virtual MAC.
    ("garp_master_refresh 60\ngarp_master_refresh_repeat 2", Clean, Agree),
    ("garp_lower_prio_delay 0\ngarp_lower_prio_repeat 0", Clean, Agree),
    ("garp_master_refresh_repeat 0", Refused, Agree),
    ("garp_lower_prio_delay 2.5", Refused, Agree),
    ("lower_prio_no_advert\nhigher_prio_send_advert off", Clean, Agree),
    ("lower_prio_no_advert maybe", Refused, Agree),
    ("dont_track_primary\nno_accept", Clean, Agree),
    ("use_vmac", Clean, Agree),
    ("use_vmac vrrp.51\nvmac_xmit_base", Clean, Agree),
    ("use_vmac this.name.is.too.long", Refused, Agree),
    ("use_vmac ens33", Refused, Agree),
    ("use_vmac vrrp.51 00:00:5e:00:01:33", Refused, Agree),
    ("vmac_xmit_base", Warned, Agree),
    ("use_vmac\nunicast_peer {\n10.0.0.2\n}", Warned, Agree),
    ("accept\nno_accept", Warned, OnlyHere("they contradict each other")),
    ("priority 255\nno_accept", Warned, OnlyHere("it has no effect")),
    ("use_vmac 02:00:00:00:00:01", Refused, OnlyHere("not supported")),
    ("use_vmac_addr", Refused, OnlyHere("not supported")),
    ("garp_extra_if 100", Warned, OnlyHere("not active")),
    // Tracking.
    ("track_interface {\neth1\nlo weight -10 reverse\n}", Clean, Agree),
    ("track_interface {\neth1\n}\ntrack_interface {\nlo\n}", Clean, Agree),
    ("track_interface {\neth1 weight 254\n}", Refused, Agree),
    ("track_interface {\neth1 weight\n}", Refused, Agree),
    ("track_interface {\neth1\neth1\n}", Warned, Agree),
    ("track_interface {\neth1 lo\n}", Refused, Agree),
    ("track_interface {\neth1 reverse\n}", Warned, Agree),
    ("track_interface {\nens33\n}", Warned, Agree),
    ("priority 255\ntrack_interface {\neth1 weight 5\n}", Warned, Agree),
    ("track_interface {\neth9\n}", Clean, OnlyKeepalived("the interface may appear later")),
    (
        "track_interface {\neth1 weight 5 noreverse\n}",
        Clean,
        OnlyKeepalived("keepalived knows the word for scripts, processes and files only"),
    ),
    ("track_script {\nchk\n}", Refused, Agree),
    ("track_process {\np\n}", Refused, Agree),
    ("vrrp_track_file {\nf\n}", Refused, Agree),
    // Unicast.
    ("unicast_peer {\n192.168.178.131\n10.0.0.3 min_ttl 3 max_ttl 9\n}", Clean, Agree),
    ("unicast_src_ip 10.0.0.1\nunicast_ttl 64\ncheck_unicast_src\nunicast_peer {\n10.0.0.2\n}", Clean, Agree),
    ("unicast_fault_no_peer\nold_unicast_checksum never\nunicast_peer {\n10.0.0.2\n}", Clean, Agree),
    ("unicast_peer {\n10.0.0.2\n}\nunicast_peer {\n10.0.0.3\n}", Clean, Agree),
    ("unicast_peer {\n10.0.0.2 min_ttl 9 max_ttl 3\n}", Refused, Agree),
    ("unicast_peer {\n10.0.0.2 min_ttl 256\n}", Refused, Agree),
    ("unicast_peer {\n10.0.0.2 min_ttl\n}", Refused, Agree),
    ("unicast_peer {\n10.0.0.2 ttl 3\n}", Refused, Agree),
    ("unicast_peer {\n10.0.0.2 10.0.0.3\n}", Warned, Agree),
    ("unicast_peer {\nlb02\n}", Refused, Agree),
    ("unicast_peer {\nfe80::1\n}", Refused, Agree),
    ("unicast_peer {\n}", Warned, Agree),
    ("unicast_peer 10.0.0.2", Refused, Agree),
    ("unicast_src_ip 10.0.0.1", Warned, Agree),
    ("unicast_ttl 64", Warned, Agree),
    ("unicast_ttl 256\nunicast_peer {\n10.0.0.2\n}", Refused, Agree),
    ("old_unicast_checksum always\nunicast_peer {\n10.0.0.2\n}", Refused, Agree),
    ("mcast_dst_ip 224.0.0.18\nunicast_peer {\n10.0.0.2\n}", Warned, Agree),
    ("check_unicast_src", Clean, OnlyKeepalived("it has nothing to act on, and does no harm")),
    ("unicast_ttl 0\nunicast_peer {\n10.0.0.2\n}", Refused, OnlyHere("the kernel sends nothing with TTL 0")),
    ("unicast_peer {\n10.0.0.2\n10.0.0.2\n}", Warned, OnlyHere("one peer twice")),
    (
        "unicast_peer {\n10.0.0.2/24\n}",
        Warned,
        OnlyHere("keepalived does not read the length and does not say so"),
    ),
    ("unicast_peer {\n192.168.178.3\n}", Refused, OnlyHere("the peer would be wherever the address is")),
    ("unicast_peer {\n224.0.0.18\n}", Refused, OnlyHere("no router has it")),
    (
        "unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.1\n10.0.0.2\n}",
        Warned,
        OnlyHere("it is its own peer"),
    ),
    (
        "unicast_src_ip 10.0.0.1\nmcast_src_ip 10.0.0.2\nunicast_peer {\n10.0.0.3\n}",
        Warned,
        OnlyHere("two words for one thing"),
    ),
    ("unicast_fault_no_peer", Refused, OnlyHere("the instance would never hold its addresses")),
    ("version 3\nold_unicast_checksum\nunicast_peer {\n10.0.0.2\n}", Refused, OnlyHere("not supported")),
    // Addresses of both families.
    ("virtual_ipaddress {\n192.168.178.4 no_track noprefixroute autojoin\n}", Clean, Agree),
    ("virtual_ipaddress {\n192.168.178.4 peer 192.168.178.5 preferred_lft forever\n}", Clean, Agree),
    ("virtual_ipaddress {\n192.168.178.4 peer 192.168.178.5/24\n}", Warned, Agree),
    ("virtual_ipaddress {\n192.168.178.4/24 peer 192.168.178.5\n}", Warned, Agree),
    ("virtual_ipaddress {\n192.168.178.4 peer fe80::1\n}", Refused, Agree),
    ("virtual_ipaddress {\n192.168.178.4 peer\n}", Refused, Agree),
    ("virtual_ipaddress {\n192.168.178.4 preferred_lft -1\n}", Refused, Agree),
    ("virtual_ipaddress {\n192.168.178.4 preferred_lft 4294967295\n}", Clean, Agree),
    ("virtual_ipaddress {\nfe80::1\n}", Refused, Agree),
    ("virtual_ipaddress_excluded {\nfe80::1/64 home -nodad mngtmpaddr preferred_lft 0\n}", Clean, Agree),
    ("virtual_ipaddress_excluded {\nfe80::1/129\n}", Refused, Agree),
    ("virtual_ipaddress_excluded {\nfe80::1/64 brd +\n}", Refused, Agree),
    ("virtual_ipaddress_excluded {\nfe80::1/64 scope link\n}", Warned, Agree),
    ("virtual_ipaddress_excluded {\nfe80::1/64 label ens33:1\n}", Warned, Agree),
    ("virtual_ipaddress_excluded {\nff02::12\n}", Refused, OnlyHere("no host can hold it")),
    ("virtual_ipaddress {\n192.168.178.4 -nodad\n}", Warned, OnlyHere("it has no effect")),
    ("mcast_src_ip fe80::2", Refused, Agree),
    // Where keepalived wants more than it needs.
    (
        "virtual_ipaddress {\n192.168.178.4 dev eth9\n}",
        Clean,
        OnlyKeepalived("the interface may appear later"),
    ),
];

/// Whole files.
const WHOLE: &[(&str, Verdict, Difference)] = &[
    ("global_defs {\nvrrp_rt_priority 0\n}\n", Refused, Agree),
    ("global_defs {\nvrrp_rt_priority 100\n}\n", Refused, Agree),
    ("garp_group {\ngarp_interval x\ninterface ens33\n}\n", Refused, Agree),
    ("garp_group {\ninterface ens33\n}\n", Warned, Agree),
    (
        "garp_group {\ngarp_interval 0.2\ninterface ens33\n}\ngarp_group {\ngarp_interval 0.3\ninterface ens33\n}\n",
        Warned,
        Agree,
    ),
    (
        "global_defs {\nvrrp_rt_priority 50\nvrrp_no_swap\nvrrp_garp_interval 0.001\nvrrp_gna_interval 0.000001\n\
         vrrp_garp_lower_prio_delay 7\nvrrp_garp_lower_prio_repeat 3\nvrrp_garp_master_refresh 9\n\
         vrrp_garp_master_refresh_repeat 4\nvrrp_lower_prio_no_advert\nvrrp_higher_prio_send_advert\nvrrp_min_garp\n\
         vrrp_mcast_group6 ff02::12\nvrrp_check_unicast_src\n}\n\
         garp_group {\ngarp_interval 0.2\ngna_interval 0.3\ninterface ens33\n}\n\
         vrrp_instance A {\ninterface ens33\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\n}\n",
        Clean,
        Agree,
    ),
    (
        "global_defs {\nrouter_id x\nscript_user root\nenable_script_security\nvrrp_version 3\n}\n",
        Warned,
        OnlyHere("no instance"),
    ),
    ("vrrp_instance A {\n}\n", Refused, Agree),
    (
        "vrrp_instance A {\ninterface ens33\nvirtual_router_id 1\nadvert_int 0.5\nmcast_src_ip fe80::9\n\
         virtual_ipaddress {\nfe80::1\n2001:db8::1/64\n}\n}\n",
        Clean,
        Agree,
    ),
    (
        "vrrp_instance A {\ninterface ens33\nvirtual_router_id 1\nvirtual_ipaddress {\n2001:db8::1/64\n}\n}\n",
        Warned,
        OnlyHere("the first address is not link-local"),
    ),
    (
        "vrrp_instance A {\ninterface ens33\nvirtual_router_id 1\nversion 2\nvirtual_ipaddress {\nfe80::1\n}\n}\n",
        Warned,
        OnlyHere("keepalived uses version 3 as well and does not say so"),
    ),
    (
        "vrrp_instance A {\ninterface ens33\nvirtual_router_id 1\nadvert_int 50\nvirtual_ipaddress {\nfe80::1\n}\n}\n",
        Refused,
        Agree,
    ),
    (
        "vrrp_instance A {\ninterface ens33\nvirtual_router_id 1\nvirtual_ipaddress_excluded {\nfe80::1\n}\n}\n",
        Refused,
        Agree,
    ),
    (
        "vrrp_instance A {\ninterface ens33\nvirtual_router_id 1\nvirtual_ipaddress {\nfe80::1\n}\n}\n\
         vrrp_instance B {\ninterface ens33\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n",
        Clean,
        Agree,
    ),
    ("vrrp_instance A {\ninterface ens33\nvirtual_router_id 1\n}\n", Refused, Agree),
    ("vrrp_instance A {\ninterface ens33\nvirtual_ipaddress { 10.0.0.1 }\n}\n", Refused, Agree),
    ("vrrp_instance A {\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\n}\n", Refused, Agree),
    ("vrrp_instance {\ninterface ens33\n}\n", Refused, Agree),
    ("frob\n", Refused, Agree),
    ("global_defs {\nfrob\n}\n", Refused, Agree),
    ("global_defs {\n", Refused, Agree),
    ("include /nonexistent/a.conf\n", Refused, OnlyHere("keepalived goes on without the file")),
    ("include /nonexistent/*.conf\n", Warned, OnlyHere("keepalived goes on without the files")),
    (
        "vrrp_instance \"A\" { interface ens33\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }}\n\
         vrrp_instance A {\ninterface eth1\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.2 }\n}\n",
        Refused,
        Agree,
    ),
    (
        "vrrp_instance A {\ninterface ens33\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.1 }\n}\n\
         vrrp_instance B {\ninterface ens33\nvirtual_router_id 1\nvirtual_ipaddress { 10.0.0.2 }\n}\n",
        Refused,
        Agree,
    ),
];

/// Definitions of `t`, and what an instance says about it.
const TRACKING: &[(&str, &str, Verdict, Difference)] = &[
    ("script t script /bin/true", "t", Clean, Agree),
    ("script t script \"sleep 0\"", "t weight -60", Clean, Agree),
    (
        "script t script \"/bin/echo 'a b'\"|interval 2|timeout 3|weight -20 reverse|rise 2|fall 3|user root|init_fail",
        "t weight 10 noreverse",
        Clean,
        Agree,
    ),
    ("script t script /bin/true|interval 0.5", "t", Warned, Agree),
    ("script t script /bin/true|interval 0", "t", Refused, Agree),
    ("script t script /bin/true|interval 4295", "t", Refused, Agree),
    ("script t script /bin/true|timeout 0", "t", Refused, Agree),
    ("script t script /bin/true|weight 254", "t", Refused, Agree),
    ("script t script /bin/true|weight 10 down", "t", Refused, Agree),
    ("script t script /bin/true|rise 0", "t", Refused, Agree),
    ("script t script /bin/true|frob", "t", Refused, Agree),
    ("script t script /nonexistent/check", "t", Refused, Agree),
    ("script t script /bin/true|user nosuchuser", "t", Refused, Agree),
    ("script t script /bin/true|user nobody nosuchgroup", "t", Refused, Agree),
    ("script t script \"[[ -f /x ]] && exit 1\"", "t", Refused, Agree),
    ("script t interval 1", "t", Refused, Agree),
    ("script t script \"/bin/echo 'a\"", "t", Refused, Agree),
    ("script t script /bin/true", "tt", Refused, Agree),
    ("script t script /bin/true", "t\nt", Warned, Agree),
    ("script t script /bin/true", "t down", Refused, Agree),
    ("script t script /bin/true", "t reverse", Warned, Agree),
    ("script t script /bin/true", "t weight 5 no_reverse", Warned, Agree),
    ("script t script /bin/true", "t weight 300", Refused, Agree),
    ("script t script /bin/true", "", Warned, OnlyHere("nobody tracks it")),
    ("script t script /bin/echo a", "t", Warned, OnlyHere("keepalived does not read the second word")),
    ("script t script \"/bin/echo >/dev/null\"", "t", Warned, OnlyHere("there is no shell")),
    ("script t script /etc/passwd", "t", Refused, OnlyHere("it cannot be executed")),
    ("track_process t process nginx", "t", Clean, Agree),
    (
        "track_process t process /usr/sbin/nginx -g \"daemon off;\"|param_match initial|weight 254 reverse|quorum 2|\
         quorum_max 3|fork_delay 1.5|terminate_delay 0.2|delay 2|full_command",
        "t weight -254 noreverse",
        Clean,
        Agree,
    ),
    ("track_process t process nginx|quorum_max 0|param_match", "t", Clean, Agree),
    ("track_process t process nginx|weight 255", "t", Refused, Agree),
    ("track_process t process nginx|quorum 0", "t", Refused, Agree),
    ("track_process t process nginx|quorum 3|quorum_max 2", "t", Refused, Agree),
    ("track_process t process nginx|param_match exact", "t", Refused, Agree),
    ("track_process t process nginx|fork_delay 3601", "t", Refused, Agree),
    ("track_process t quorum 1", "t", Refused, Agree),
    ("track_process t process nginx", "tt", Refused, Agree),
    ("track_process t process nginx", "t weight 255", Refused, Agree),
    ("track_process t process nginx", "t\nt", Warned, Agree),
    ("track_file t file /run/load|weight 2 reverse|init_file overwrite 5", "t weight 254", Clean, Agree),
    ("track_file t file /run/load|init_file", "t", Clean, Agree),
    ("track_file t file /run/load|init_file always", "t", Refused, Agree),
    ("track_file t file /run/load|init_file 300", "t", Refused, Agree),
    ("track_file t file /run/load|weight 255", "t", Refused, Agree),
    ("track_file t weight 1", "t", Refused, Agree),
    ("track_file t file /run/load", "t weight 255", Refused, Agree),
    ("track_file t file load", "t", Refused, OnlyHere("relative to what?")),
];

/// keepalived's exit code for every file `0.conf`, `1.conf` … of a directory, in a namespace with `ens33` and `eth1`.
fn keepalived(directory: &Path, files: usize) -> BTreeMap<usize, i32> {
    let script = format!(
        "set -e; ip link set lo up; ip link add ens33 type veth peer name eth1; \
         ip address add 192.168.178.130/24 dev ens33; ip link set ens33 up; ip link set eth1 up; set +e; \
         n=0; while [ $n -lt {files} ]; do keepalived -t -f $n.conf >/dev/null 2>&1; echo $n $?; n=$((n+1)); done"
    );
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", &script])
        .current_dir(directory)
        .output()
        .expect("`unshare` of util-linux runs");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "a network namespace needs root and iproute2: {complaint}");
    let codes: BTreeMap<usize, i32> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(number, code)| Some((number.parse().ok()?, code.parse().ok()?)))
        .collect();
    assert_eq!(codes.len(), files, "{complaint}");
    assert!(
        codes.values().all(|code| *code != 127),
        "keepalived is not installed: apt-get install keepalived"
    );
    codes
}

#[test]
fn keepalived_and_this_reader_agree_or_say_why_not() {
    let inside = IN_AN_INSTANCE.iter().map(|(lines, verdict, difference)| {
        // A second `priority` would be a finding of its own.
        let text = instance(lines);
        let text = if lines.starts_with("priority") { text.replacen("priority 150\n", "", 1) } else { text };
        (text, *verdict, *difference)
    });
    let whole = WHOLE.iter().map(|(text, verdict, difference)| ((*text).to_owned(), *verdict, *difference));
    let tracking = TRACKING.iter().map(|(definition, track, verdict, difference)| {
        let (head, lines) = definition.split_once(" t ").expect("a definition of `t`");
        let lines = lines.replace('|', "\n");
        let list = if head == "script" { "track_script" } else { head };
        let global = "global_defs {\nscript_user root\nenable_script_security\n}\n";
        let track = if track.is_empty() { String::new() } else { format!("{list} {{\n{track}\n}}") };
        let text = format!("{global}vrrp_{head} t {{\n{lines}\n}}\n{}", instance(&track));
        (text, *verdict, *difference)
    });
    let mut cases: Vec<(String, Verdict, Difference)> = inside.chain(whole).chain(tracking).collect();
    let tutorial = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tutorial");
    for entry in fs::read_dir(tutorial).expect("the tutorial") {
        let path = entry.expect("an entry").path();
        cases.push((fs::read_to_string(path).expect("a file of the tutorial"), Clean, Agree));
    }

    let directory = tempfile::tempdir().expect("a temporary directory");
    for (number, (text, ..)) in cases.iter().enumerate() {
        fs::write(directory.path().join(format!("{number}.conf")), text).expect("written");
    }
    let codes = keepalived(directory.path(), cases.len());

    let mut wrong = Vec::new();
    for (number, (text, expected, difference)) in cases.iter().enumerate() {
        let read = read_keepalived(text);
        let found = crate::tests::lines(&read);
        let verdict = match (&read, found.is_empty()) {
            (Err(_), _) => Refused,
            (Ok(_), false) => Warned,
            (Ok(_), true) => Clean,
        };
        let silent = codes[&number] == 0;
        let agreed = match difference {
            Agree => silent == (verdict == Clean),
            OnlyHere(_) => silent && verdict != Clean,
            OnlyKeepalived(_) => !silent && verdict == Clean,
        };
        if !agreed || verdict != *expected {
            wrong.push(format!(
                "keepalived {}, here {verdict:?}, expected {expected:?} {difference:?}:\n{text}{found:#?}",
                codes[&number]
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
