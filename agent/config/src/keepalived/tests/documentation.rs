//! docs/configuration.md says of every keyword what the tables say.

use std::{fs, path::Path};

use crate::keepalived::keywords::{Place, Treatment};

const BEGIN: &str = "<!-- keepalived keywords: written by a test, see below -->\n";
const END: &str = "<!-- end of keepalived keywords -->\n";

fn table() -> String {
    let mut text = String::new();
    for place in Place::ALL {
        let heading = match place {
            Place::Top => "Outside every block",
            Place::Global => "In `global_defs`",
            Place::Instance => "In `vrrp_instance`",
            Place::Authentication => "In `authentication`",
            Place::Script => "In `vrrp_script`",
            Place::Process => "In `vrrp_track_process`",
            Place::File => "In `track_file`",
            Place::GarpGroup => "In `garp_group`",
        };
        text.push_str(&format!("\n### {heading}\n\n| keyword | here | meaning |\n| --- | --- | --- |\n"));
        for keyword in place.keywords() {
            let (here, about) = match keyword.treatment {
                Treatment::Read { about, .. } => ("read", about.to_owned()),
                Treatment::Satisfied(why) => ("accepted", why.to_owned()),
                Treatment::Inactive(why) => ("warning", format!("Not active: {why}.")),
                Treatment::Unsupported(why) => {
                    ("**error**", format!("Not supported by this version: {why}."))
                }
            };
            text.push_str(&format!("| `{}` | {here} | {} |\n", keyword.name, about.replace('|', "\\|")));
        }
    }
    text.push('\n');
    text
}

#[test]
fn the_documentation_has_every_keyword() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let document = fs::read_to_string(&path).expect("docs/configuration.md");
    let (before, rest) = document.split_once(BEGIN).expect("the mark where the keywords begin");
    let (written, after) = rest.split_once(END).expect("the mark where the keywords end");
    let table = table();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}"))
            .expect("docs/configuration.md is written");
    } else {
        assert_eq!(written, table, "run this test once with UPDATE_DOCS=1");
    }
}

#[test]
fn keywords_are_in_order_and_named_once() {
    for place in Place::ALL {
        let names: Vec<&str> = place.keywords().iter().map(|keyword| keyword.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{}: {names:?}", place.name());
    }
}

/// Every keyword that keepalived 2.2.7 as Debian builds it answers to. Found by asking: each word in its binary was put
/// before `keepalived -t`, and these were not called unknown.
const TOP: &str = "\
    bfd_instance child_wait_time garp_group global_defs include instance interface_up_down_delays \
    linkbeat_interfaces linkbeat_use_polling namespace_with_ipsets net_namespace net_namespace_ipvs \
    static_ipaddress static_routes static_rules track_file track_group use_pid_dir virtual_server \
    virtual_server_group vrrp_instance vrrp_script vrrp_sync_group vrrp_track_file vrrp_track_process";
const GLOBAL: &str = "\
    bfd_cpu_affinity bfd_no_swap bfd_priority bfd_process_name bfd_rlimit_rtime bfd_rlimit_rttime \
    bfd_rt_priority checker_cpu_affinity checker_log_all_failures checker_no_swap checker_priority \
    checker_process_name checker_rlimit_rtime checker_rlimit_rttime checker_rt_priority config_save_dir \
    data_use_instance dbus_service_name default_interface disable_local_igmp dynamic_interfaces \
    enable_dbus enable_script_security enable_snmp_checker enable_snmp_keepalived enable_snmp_rfc \
    enable_snmp_rfcv2 enable_snmp_rfcv3 enable_snmp_vrrp enable_traps fifo_write_vrrp_states_on_reload \
    include include_check lvs_flush lvs_flush_on_stop lvs_flush_onstop lvs_netlink_cmd_rcv_bufs \
    lvs_netlink_cmd_rcv_bufs_force lvs_netlink_monitor_rcv_bufs lvs_netlink_monitor_rcv_bufs_force \
    lvs_notify_fifo lvs_notify_fifo_script lvs_process_name lvs_sync_daemon lvs_timeouts \
    max_auto_priority min_auto_priority_delay nftables nftables_counters nftables_ifindex nftables_ipvs \
    nftables_ipvs_priority nftables_ipvs_start_fwmark nftables_priority no_checker_emails \
    no_email_faults notification_email notification_email_from notify_fifo notify_fifo_script \
    process_monitor_rcv_bufs process_monitor_rcv_bufs_force process_name process_names random_seed \
    reload_check_config reload_file reload_repeat reload_time_file router_id rs_init_notifies \
    script_user shutdown_script shutdown_script_timeout smtp_alert smtp_alert_checker smtp_alert_vrrp \
    smtp_connect_timeout smtp_helo_name smtp_server snmp_socket startup_script startup_script_timeout \
    tmp_config_directory umask vmac_addr_prefix vmac_prefix vrrp_check_unicast_src vrrp_cpu_affinity \
    vrrp_down_timer_adverts vrrp_garp_extra_if vrrp_garp_interval vrrp_garp_lower_prio_delay \
    vrrp_garp_lower_prio_repeat vrrp_garp_master_delay vrrp_garp_master_refresh \
    vrrp_garp_master_refresh_repeat vrrp_garp_master_repeat vrrp_gna_interval \
    vrrp_higher_prio_send_advert vrrp_iptables vrrp_lower_prio_no_advert vrrp_mcast_group4 \
    vrrp_mcast_group6 vrrp_min_garp vrrp_netlink_cmd_rcv_bufs vrrp_netlink_cmd_rcv_bufs_force \
    vrrp_netlink_monitor_rcv_bufs vrrp_netlink_monitor_rcv_bufs_force vrrp_no_swap vrrp_notify_fifo \
    vrrp_notify_fifo_script vrrp_notify_priority_changes vrrp_priority vrrp_process_name \
    vrrp_rlimit_rtime vrrp_rlimit_rttime vrrp_rt_priority vrrp_rx_bufs_multiplier vrrp_rx_bufs_policy \
    vrrp_skip_check_adv_addr vrrp_startup_delay vrrp_strict vrrp_version vrrp_vmac_garp_intvl";
const INSTANCE: &str = "\
    accept advert_int authentication check_unicast_src debug dont_track_primary down_timer_adverts \
    garp_extra_if garp_lower_prio_delay garp_lower_prio_repeat garp_master_delay garp_master_refresh \
    garp_master_refresh_repeat garp_master_repeat higher_prio_send_advert include interface \
    kernel_rx_buf_size linkbeat_use_polling lower_prio_no_advert lvs_sync_daemon_interface mcast_dst_ip \
    mcast_src_ip native_ipv6 no_accept nopreempt notify notify_backup notify_deleted notify_fault \
    notify_master notify_master_rx_lower_pri notify_priority_changes notify_stop old_unicast_checksum \
    preempt_delay priority promote_secondaries skip_check_adv_addr smtp_alert state strict_mode \
    track_bfd track_file track_interface track_process track_script track_src_ip unicast_fault_no_peer \
    unicast_peer unicast_src_ip unicast_ttl use_ipvlan use_vmac_addr version virtual_ipaddress \
    virtual_ipaddress_excluded virtual_router_id virtual_routes virtual_rules vmac_garp_intvl \
    vmac_xmit_base vrf";

#[test]
fn keepalived_knows_no_keyword_that_is_unknown_here() {
    for (place, words) in [(Place::Top, TOP), (Place::Global, GLOBAL), (Place::Instance, INSTANCE)] {
        let missing: Vec<&str> = words
            .split_whitespace()
            // Read wherever it stands, before keywords are looked at.
            .filter(|word| *word != "include")
            .filter(|word| place.keyword(word).is_none())
            .collect();
        assert!(missing.is_empty(), "{}: {missing:?}", place.name());
    }
}
