//! Wrong files: each with the place and the text of everything that is said about it.

use super::instance;
use crate::tests::{expect, lines, read_native};

/// Lines in an otherwise right instance, and all that is found.
const WRONG: &[(&str, &[&str])] = &[
    ("priorty = 150", &["6:1: error: `priorty` is not a key of [[instance]]"]),
    ("priority = 0", &["6:12: error: `priority` is a whole number from 1 to 255, here is 0"]),
    ("priority = 256", &["6:12: error: `priority` is a whole number from 1 to 255, here is 256"]),
    ("priority = \"150\"", &["6:12: error: `priority` is a whole number from 1 to 255, here is \"150\""]),
    ("priority = 1.5", &["6:12: error: `priority` is a whole number from 1 to 255, here is 1.5"]),
    ("version = 4", &["6:11: error: `version` is a whole number from 2 to 3, here is 4"]),
    (
        "advert_interval = 1",
        &[
            "6:19: error: `advert_interval` is a duration from 10ms to 40.95s, such as \"1s\" or \"100ms\", here is 1",
        ],
    ),
    (
        "advert_interval = \"1 fortnight\"",
        &[
            "6:19: error: `advert_interval` is a duration from 10ms to 40.95s, such as \"1s\" or \"100ms\", here is \"1 fortnight\"",
        ],
    ),
    (
        "advert_interval = \"41s\"",
        &[
            "6:19: error: `advert_interval` is a duration from 10ms to 40.95s, such as \"1s\" or \"100ms\", here is \"41s\"",
        ],
    ),
    ("advert_interval = \"15ms\"", &["6:19: error: `advert_interval` is a multiple of 10ms, here is 15ms"]),
    (
        "version = 2\nadvert_interval = \"1500ms\"",
        &["7:19: error: `advert_interval` is a multiple of 1s, here is 1.5s"],
    ),
    ("preempt = \"yes\"", &["6:11: error: `preempt` is true or false, here is \"yes\""]),
    (
        "preempt = false\npreempt_delay = \"5s\"",
        &["7:1: warning: `preempt_delay` has no effect with `preempt = false`"],
    ),
    (
        "auth = { type = \"pass\", secret = \"1111\" }",
        &["6:1: error: `auth` needs version 2: version 3 has no authentication"],
    ),
    ("version = 2\nauth = { secret = \"1111\" }", &["7:1: error: `auth` lacks its `type` or `secret`"]),
    (
        "version = 2\nauth = { type = \"ah\", secret = \"1111\" }",
        &["7:17: error: `type` is \"pass\", here is \"ah\""],
    ),
    (
        "version = 2\nauth = { type = \"pass\", secret = \"123456789\" }",
        &["7:34: error: `secret` is a string of 1 to 8 bytes, here are 9"],
    ),
    (
        "version = 2\nauth = \"1111\"",
        &["7:8: error: `auth` is a table { type = \"pass\", secret = \"…\" }, here is \"1111\""],
    ),
    (
        "lease = \"500ms\"",
        &["6:9: error: `lease` is a duration from 1s to 1h such as \"3s\", or \"off\", here is \"500ms\""],
    ),
    (
        "lease = false",
        &["6:9: error: `lease` is a duration from 1s to 1h such as \"3s\", or \"off\", here is false"],
    ),
    (
        "checksum = \"rfc\"",
        &["6:12: error: `checksum` is \"with-pseudo-header\" or \"without-pseudo-header\", here is \"rfc\""],
    ),
    (
        "source = \"fe80::1\"",
        &["6:10: error: the source fe80::1 is IPv6, but the instance's addresses are IPv4"],
    ),
    (
        "source = \"lb01\"",
        &["6:10: error: `source` is an address such as \"192.0.2.1\" or \"fe80::1\", here is \"lb01\""],
    ),
    ("announcing = { repeat = 0 }", &["6:25: error: `repeat` is a whole number from 1 to 255, here is 0"]),
    ("announcing = { repaet = 5 }", &["6:16: error: `repaet` is not a key of announcing"]),
    (
        "track = [{ weight = 5 }, { interface = \"eth1\", script = \"x\" }, { script = \"x\" }, { interface = \"a/b\" }, { interface = \"e\", weight = 255 }]",
        &[
            "6:10: error: this element of `track` names nothing",
            "6:48: error: an element of `track` names one thing",
            "6:75: error: there is no script named `x`",
            "6:96: error: `interface` names an interface, and \"a/b\" contains '/', which no interface's name can",
            "6:133: error: `weight` is a whole number from -254 to 254, here is 255",
        ],
    ),
    (
        "track = [{ interface = \"ens33\", weight = 5 }, { interface = \"eth1\" }, { interface = \"eth1\", weight = 5 }]",
        &[
            "6:10: warning: `ens33` is the instance's own interface, which has its own rule",
            "6:71: warning: `eth1` is tracked twice; this one is not used",
        ],
    ),
    (
        "priority = 255\ntrack = [{ interface = \"eth1\", weight = 5 }]",
        &["7:10: warning: `eth1` has no effect: the priority 255 of an owner never changes"],
    ),
    (
        "paths = [{ interface = \"hb0\", peers = [\"fe80::1\", \"192.168.178.3\"] }, { interface = \"hb0\" }, { interface = \"a/b\" }]",
        &[
            "6:71: error: a second path over `hb0`",
            "6:108: error: `interface` names an interface, and \"a/b\" contains '/', which no interface's name can",
        ],
    ),
    (
        "paths = [{ interface = \"hb0\", peers = [\"fe80::1\", \"192.168.178.3\"] }, { interface = \"hb1\", peers = [\"fe80::2\"] }]",
        &[
            "6:40: error: the peer fe80::1 is IPv6, but the instance's addresses are IPv4",
            "6:51: error: the peer 192.168.178.3 is one of the addresses that move",
            "6:101: error: the peer fe80::2 is IPv6, but the instance's addresses are IPv4",
        ],
    ),
    (
        "paths = [{ interface = \"h0\" }, { interface = \"h1\" }, { interface = \"h2\" }, { interface = \"h3\" }, { interface = \"h4\" }, { interface = \"h5\" }, { interface = \"h6\" }, { interface = \"h7\" }, { interface = \"ens33\" }]",
        &["6:164: error: more than 8 heartbeat lines, the service interface counted"],
    ),
    (
        "paths = [{ interface = \"ens33\" }, { interface = \"ens33\" }, {}]",
        &[
            "6:35: error: a second path over `ens33`",
            "6:60: error: this element of `paths` has no `interface`",
        ],
    ),
    (
        "paths = [{ interface = \"ens33\", peers = [\"lb02\", 3, { min_ttl = 1 }, { address = \"10.0.0.2\", min_ttl = 9, max_ttl = 3 }, { address = \"10.0.0.2\", ttl = 9 }] }]",
        &[
            "6:42: error: `peers` is an address such as \"192.0.2.1\" or \"fe80::1\", here is \"lb02\"",
            "6:50: error: `peers` is a list of addresses such as \"192.0.2.2\" or tables { address = \"192.0.2.2\", min_ttl = 254 }, here is 3",
            "6:53: error: this element of `peers` has no `address`",
            "6:70: error: no advert has a TTL of at least 9 and at most 3",
            "6:146: error: `ttl` is not a key of peers",
        ],
    ),
    (
        "paths = [{ interface = \"ens33\", peers = [\"fe80::1\", \"192.168.178.3\"] }]",
        &[
            "6:42: error: the peer fe80::1 is IPv6, but the instance's addresses are IPv4",
            "6:53: error: the peer 192.168.178.3 is one of the addresses that move",
        ],
    ),
    ("unicast_ttl = 0", &["6:15: error: `unicast_ttl` is a whole number from 1 to 255, here is 0"]),
    (
        "unicast_ttl = 9",
        &["6:1: warning: `unicast_ttl` has no effect without `peers`: multicast has TTL 255"],
    ),
    (
        "announcing = { lower_repeat = 256, refresh = \"2d\" }\nvmac = 3\naccept = \"no\"",
        &[
            "6:31: error: `lower_repeat` is a whole number from 0 to 255, here is 256",
            "7:8: error: `vmac` is true, false or a table { interface = \"vrrp.51\", adverts_from_parent = true }, here is 3",
            "8:10: error: `accept` is true or false, here is \"no\"",
        ],
    ),
    (
        "vmac = { interface = \"a/b\" }",
        &[
            "6:22: error: `interface` names an interface, and \"a/b\" contains '/', which no interface's name can",
        ],
    ),
    (
        "priority = 255\naccept = false",
        &["7:1: warning: `accept = false` has no effect with priority 255: the owner always accepts"],
    ),
    (
        "on_isolation = \"drop\"",
        &["6:16: error: `on_isolation` is \"keep\" or \"release\", here is \"drop\""],
    ),
    ("priority = 1\npriority = 2", &["7:1: error: duplicate key"]),
    ("priority = ", &["6:12: error: string values must be quoted, expected literal string"]),
];

#[test]
fn every_wrong_value_is_explained() {
    for (written, expected) in WRONG {
        let text = instance(written);
        expect(&read_native(&text), &text, expected);
    }
}

/// An element of `vips`, and what is found in it.
const WRONG_VIPS: &[(&str, &str)] = &[
    ("", "5:8: error: `vips` is empty: the instance has no address to hold"),
    (
        "\"10.0.0.1/8\"",
        "5:9: error: `vips` is a list of tables { address = \"192.0.2.10/24\" }, here is \"10.0.0.1/8\"",
    ),
    ("{ label = \"ens33:1\" }", "5:9: error: this element of `vips` has no `address`"),
    ("{ address = \"10.0.0.1/33\" }", "5:30: error: `/33` is not a prefix length: expected /0 to /32"),
    ("{ address = \"2001:db8::1/129\" }", "5:33: error: `/129` is not a prefix length: expected /0 to /128"),
    (
        "{ address = \"10.0.0.1\" }, { address = \"fe80::1\" }",
        "5:35: error: fe80::1 is not of the family of 10.0.0.1, the instance's first address",
    ),
    (
        "{ address = \"10.0.0.1\", advertised = false }",
        "5:9: error: no address of the instance is advertised; an advert carries at least one",
    ),
    (
        "{ address = \"fe80::1\", label = \"ens33:1\" }",
        "5:32: error: `label` is for IPv4 addresses, here is fe80::1",
    ),
    ("{ dad = true, address = \"10.0.0.1\" }", "5:11: error: `dad` is for IPv6 addresses, here is 10.0.0.1"),
    (
        "{ address = \"10.0.0.1\", peer = \"fe80::2\" }",
        "5:40: error: the peer fe80::2 is not of the family of 10.0.0.1",
    ),
    (
        "{ address = \"10.0.0.1/8\", peer = \"10.0.0.2\" }",
        "5:42: error: next to `peer` the address has no prefix length of its own",
    ),
    (
        "{ address = \"10.0.0.1\", preferred_lft = \"1.5s\" }",
        "5:49: error: `preferred_lft` is a duration in whole seconds such as \"0s\" or \"10m\", or \"forever\", here is \"1.5s\"",
    ),
    (
        "{ address = \"2001:db8::1/64\" }",
        "5:9: warning: the first IPv6 address is link-local in RFC 9568 section 5.2.9, here is 2001:db8::1",
    ),
    ("{ address = \"0.0.0.0\" }", "5:21: error: 0.0.0.0 is not an address that a host can hold"),
    (
        "{ address = \"10.0.0.1\", label = \"ens33:12345678901\" }",
        "5:41: error: the label `ens33:12345678901` has 17 bytes, the kernel allows 1 to 15",
    ),
    (
        "{ address = \"10.0.0.1\", label = \"x\" }",
        "5:41: warning: the label `x` does not begin with `ens33:`; `ifconfig` will not show the address",
    ),
    (
        "{ address = \"10.0.0.1\", dev = \"a b\" }",
        "5:39: error: `dev` names an interface, and \"a b\" contains ' ', which no interface's name can",
    ),
    ("{ addres = \"10.0.0.1\", address = \"10.0.0.1\" }", "5:11: error: `addres` is not a key of vips"),
    ("{ address = \"10.0.0.1\" }, { address = \"10.0.0.1/8\" }", "5:35: error: 10.0.0.1 is listed twice"),
];

#[test]
fn every_wrong_address_is_explained() {
    for (written, expected) in WRONG_VIPS {
        let text = instance("").replace("{ address = \"192.168.178.3/24\" }", written);
        expect(&read_native(&text), &text, &[expected]);
    }
}

/// Whole files and what is found in them.
const WHOLE: &[(&str, &[&str])] = &[
    ("nodes = \"a\"", &["1:1: error: `nodes` is not a key of agent.toml"]),
    (
        "node = \"lb 01\"",
        &[
            "1:8: error: `node` is 1 to 63 letters, digits, `-`, `_` and `.`, the first a letter or a digit, here is \"lb 01\"",
        ],
    ),
    (
        "references = [\"192.0.2.1\", \"gateway\", \"224.0.0.1\"]",
        &[
            "1:28: error: `references` is an address such as \"192.0.2.1\" or \"fe80::1\", here is \"gateway\"",
            "1:39: error: 224.0.0.1 is not an address that a host can hold",
        ],
    ),
    ("references = \"on\"", &["1:14: error: `references` is \"off\", here is \"on\""]),
    ("references = []", &["1:14: error: `references` is empty"]),
    (
        "references = 3",
        &["1:14: error: `references` is a list of addresses such as [\"192.0.2.1\"], or \"off\", here is 3"],
    ),
    ("site = 1", &["1:8: error: `site` is a string, here is 1"]),
    ("coordinators = \"a:1\"", &["1:16: error: `coordinators` is a list of \"HOST:PORT\", here is \"a:1\""]),
    (
        "coordinators = [\"coord1\", \"a:0\", \"b:7443\"]",
        &[
            "1:17: error: `coordinators` is a host and a port such as \"coord1:7443\", here is \"coord1\"",
            "1:27: error: `coordinators` is a host and a port such as \"coord1:7443\", here is \"a:0\"",
        ],
    ),
    (
        "[engine]\nrealtime_priority = 100\nlock_memory = 1\nnice = 3\n",
        &[
            "2:21: error: `realtime_priority` is a whole number from 1 to 99, here is 100",
            "3:15: error: `lock_memory` is true or false, here is 1",
            "4:1: error: `nice` is not a key of [engine]",
        ],
    ),
    (
        "instance = 3",
        &["1:12: error: `instance` is a list of tables, each headed by [[instance]], here is 3"],
    ),
    (
        "[instance]\nname = \"x\"\n",
        &["1:1: error: `instance` is a list of tables, each headed by [[instance]], here is a table"],
    ),
    (
        "# 虚拟IP\n[[instance]]\n",
        &[
            "2:1: error: this instance has no `name`",
            "2:1: error: this instance has no `interface`",
            "2:1: error: this instance has no `vrid`",
            "2:1: error: this instance has no `vips`",
        ],
    ),
    (
        "[[script]]\n[[script]]\nname = \"a\"\ncommand = \"true\"\n[[script]]\nname = \"b\"\ncommand = [\"/nonexistent/check\"]\n\
         interval = \"1ms\"\nrise = 0\nusers = 3\n[[script]]\nname = \"c\"\ncommand = []\n",
        &[
            "1:1: error: this table has no `command`",
            "4:11: error: `command` is a list of a program and its arguments, such as [\"killall\", \"-0\", \"nginx\"], here is \"true\"",
            "7:11: error: /nonexistent/check: cannot look at /nonexistent: No such file or directory (os error 2)",
            "8:12: error: `interval` is a duration from 10ms to 3600s, such as \"1s\" or \"100ms\", here is \"1ms\"",
            "9:8: error: `rise` is a whole number from 1 to 1000000, here is 0",
            "10:1: error: `users` is not a key of [[script]]",
            "13:11: error: the command is empty",
        ],
    ),
    (
        "[[process]]\nname = \"a\"\n[[process]]\ncommand = \"x\"\n[[process]]\nname = \"b\"\ncommand = \"x\"\nquorum = 3\n\
         quorum_max = 2\nparam_match = \"all\"\nparameters = \"-g\"\nweight = 300\n",
        &[
            "1:1: error: this table has no `command`",
            "3:1: error: this process has no `name`",
            "9:14: error: `quorum_max` 2 is less than `quorum` 3",
            "10:15: error: `param_match` is \"exact\" or \"partial\" or \"initial\", here is \"all\"",
            "11:14: error: `parameters` is a list of strings, here is \"-g\"",
            "12:10: error: `weight` is a whole number from -254 to 254, here is 300",
        ],
    ),
    (
        "[[file]]\nname = \"a\"\npath = \"load\"\n[[file]]\nname = \"b\"\npath = \"/run/load\"\noverwrite = true\n[[file]]\n\
         name = \"b\"\npath = \"/run/load\"\n",
        &[
            "3:8: error: `path` is an absolute path such as \"/run/load\", here is \"load\"",
            "7:1: error: `overwrite` without `init`",
            "9:8: error: a file named `b` is already at a.toml:5:8",
        ],
    ),
    (
        "[[file]]\nname = \"f\"\npath = \"/run/load\"\n",
        &["2:8: warning: no instance tracks the file `f`, so nobody looks at it"],
    ),
    ("[[instance]\nname = 1", &["1:12: error: unclosed array table, expected `]`"]),
];

#[test]
fn every_wrong_file_is_explained() {
    for (text, expected) in WHOLE {
        expect(&read_native(text), text, expected);
    }
    let found = lines(&read_native(b"node = \"l\xffb\"\n"));
    assert_eq!(found, ["1:10: error: this byte is not UTF-8"]);
}
