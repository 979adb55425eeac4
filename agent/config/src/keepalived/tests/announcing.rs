//! How a master makes itself known. The values are those that keepalived 2.2.7 shows of the same files (`keepalived -d`).

use std::time::Duration;

use hafleet_vrrp::Announcing;

use super::{clean, instance, warned};
use crate::{Pacing, tests::read_keepalived};

/// repeat, delay, after a lower advert likewise, refresh, its repeat; times in seconds.
type Values = (u8, u64, u8, u64, u64, u8);

fn announcing((repeat, delay, lower_repeat, lower_delay, refresh, refresh_repeat): Values) -> Announcing {
    Announcing {
        repeat,
        delay: Duration::from_secs(delay),
        delayed_repeat: if delay == 0 { 0 } else { repeat },
        lower_repeat,
        lower_delay: Duration::from_secs(lower_delay),
        refresh: Duration::from_secs(refresh),
        refresh_repeat,
    }
}

#[test]
fn an_instance_speaks_over_the_global_settings() {
    let table: &[(&str, &str, Values)] = &[
        ("", "", (5, 5, 5, 5, 0, 1)),
        ("", "garp_master_refresh 60\ngarp_master_refresh_repeat 2", (5, 5, 5, 5, 60, 2)),
        ("", "garp_lower_prio_delay 3\ngarp_lower_prio_repeat 1", (5, 5, 1, 3, 0, 1)),
        ("", "garp_master_delay 3\ngarp_master_repeat 2", (2, 3, 5, 5, 0, 1)),
        ("", "garp_master_repeat 2\ngarp_lower_prio_repeat 0\ngarp_lower_prio_delay 0", (2, 5, 0, 0, 0, 1)),
        (
            "vrrp_garp_master_delay 8\nvrrp_garp_master_repeat 3\nvrrp_garp_lower_prio_repeat 1",
            "",
            (3, 8, 1, 8, 0, 1),
        ),
        (
            "vrrp_garp_lower_prio_delay 7\nvrrp_garp_lower_prio_repeat 3\nvrrp_garp_master_refresh 9\n\
             vrrp_garp_master_refresh_repeat 4",
            "",
            (5, 5, 3, 7, 9, 4),
        ),
        ("vrrp_min_garp", "", (1, 0, 1, 0, 0, 1)),
        ("vrrp_min_garp", "garp_master_repeat 2", (2, 0, 1, 0, 0, 1)),
        ("vrrp_min_garp\nvrrp_garp_master_repeat 2", "", (2, 0, 2, 0, 0, 1)),
        ("vrrp_garp_master_repeat 2\nvrrp_min_garp", "", (2, 0, 2, 0, 0, 1)),
        ("vrrp_min_garp off", "", (5, 5, 5, 5, 0, 1)),
    ];
    for (global, lines, expected) in table {
        let found = clean(&format!("{}global_defs {{\n{global}\n}}\n", instance(lines)));
        assert_eq!(found[0].announcing, announcing(*expected), "{global:?} {lines:?}");
    }
}

#[test]
fn pauses_are_those_of_the_interface_s_group_or_of_all() {
    let ms = Duration::from_millis;
    let text = |groups: &str| {
        format!(
            "global_defs {{\nvrrp_garp_interval 0.001\nvrrp_gna_interval 0.000002\n}}\n{groups}{}",
            instance("")
        )
    };
    let global = Pacing { garp: ms(1), gna: Duration::from_micros(2) };
    assert_eq!(clean(&text(""))[0].pacing, global);
    let of = |interface: &str| format!("garp_group {{\ngarp_interval 0.2\ninterface {interface}\n}}\n");
    assert_eq!(clean(&text(&of("ens33")))[0].pacing, Pacing { garp: ms(200), gna: Duration::ZERO });
    assert_eq!(clean(&text(&of("eth1")))[0].pacing, global);
    let found = warned(
        &text("garp_group {\ngna_interval 0.3\ninterfaces {\neth1\nens33\n}\n}\n"),
        &["9:1: warning: the pauses are kept on each interface of the group, not over all of them"],
    );
    assert_eq!(found[0].pacing, Pacing { garp: Duration::ZERO, gna: ms(300) });
}

#[test]
fn answers_to_other_masters() {
    for (global, lines, expected) in [
        ("", "", (true, true)),
        ("", "lower_prio_no_advert\nhigher_prio_send_advert off", (false, false)),
        ("vrrp_lower_prio_no_advert\nvrrp_higher_prio_send_advert no", "", (false, false)),
        (
            "vrrp_lower_prio_no_advert\nvrrp_higher_prio_send_advert false",
            "lower_prio_no_advert off\nhigher_prio_send_advert",
            (true, true),
        ),
    ] {
        let found = clean(&format!("{}global_defs {{\n{global}\n}}\n", instance(lines)));
        assert_eq!((found[0].answers_lower, found[0].answers_higher), expected, "{global:?} {lines:?}");
    }
}

#[test]
fn the_service_interface_may_be_untracked_and_the_addresses_silent() {
    let found = clean(&instance("dont_track_primary\nno_accept"));
    assert_eq!((found[0].track_service, found[0].accept), (false, false));
    let found = clean(&instance("accept"));
    assert_eq!((found[0].track_service, found[0].accept), (true, true));
}

#[test]
fn virtual_mac_addresses_have_interfaces_of_their_own() {
    let vmacs = |text: &str| -> Vec<(String, bool)> {
        let loaded = read_keepalived(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        let vmacs = loaded.config.instances.into_iter().filter_map(|instance| instance.vmac);
        vmacs
            .map(|vmac| (vmac.interface.expect("named when it was read"), vmac.adverts_from_parent))
            .collect()
    };
    assert!(vmacs(&instance("")).is_empty());
    assert_eq!(vmacs(&instance("use_vmac")), [("vrrp.51".to_owned(), false)]);
    assert_eq!(vmacs(&instance("use_vmac lan\nvmac_xmit_base")), [("lan".to_owned(), true)]);
    assert_eq!(vmacs(&instance("use_vmac\nunicast_peer {\n10.0.0.2\n}")), [("vrrp.51".to_owned(), true)]);

    // The names that keepalived 2.2.7 gives in this case.
    let other =
        instance("use_vmac").replace("ens33", "eth1").replace("178.3", "178.4").replace("VI_1", "VI_2");
    let third = other.replace("192.168.178.4", "fe80::1").replace("VI_2", "VI_3");
    let names = vmacs(&format!("{}{other}{third}", instance("use_vmac")));
    assert_eq!(
        names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["vrrp.51", "vrrp1.51", "vrrp6.51"]
    );

    for (second, message) in [
        ("use_vmac a", "`a` is the virtual MAC's interface of `VI_1` and of `VI_2`"),
        ("use_vmac ens33", "`ens33`, the virtual MAC's interface of `VI_2`, is a service interface"),
    ] {
        let text = format!("{}{}", instance("use_vmac a"), other.replace("use_vmac", second));
        let error = read_keepalived(text).expect_err("two interfaces of one name");
        assert_eq!(error.findings[0].message, message);
    }
}

#[test]
fn the_engine_may_run_in_real_time() {
    let read = |text: &str| read_keepalived(text).expect("right").config.scheduling;
    let of = |global: &str| read(&format!("global_defs {{\n{global}\n}}\n{}", instance("")));
    assert_eq!(of(""), Default::default());
    let both = of("vrrp_rt_priority 50\nvrrp_no_swap");
    assert_eq!((both.realtime_priority, both.lock_memory), (Some(50), true));
}
