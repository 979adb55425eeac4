//! From what one host runs to what the fleet's file says of it.

use std::{collections::BTreeMap, time::Duration};

use hafleet_config::{
    Announcing, Authentication, ChecksumForm, Instance, Lease, Pacing, Peer, Version, VipConfig,
    track::{
        Check, CheckKind as Kind, FileCheck, ParameterMatch, ProcessCheck, ScriptCheck, Subject, Tracked,
    },
};
use hafleet_fleetfile::{
    Address, At, CheckKind, Group, GroupKey, Member, Secret, Settings, Track, quoted, span,
};

/// A group with one member, and what could not be said.
pub fn group(node: &str, site: &str, instance: &Instance, checks: &[Check]) -> (Group, Vec<String>) {
    let mut remarks = Vec::new();
    let addresses = instance.vips.iter().map(|vip| address(vip, &instance.interface, &mut remarks)).collect();
    let member = Member {
        at: At::default(),
        node: node.to_owned(),
        interface: instance.interface.clone(),
        priority: instance.priority.get(),
        source: instance.source,
        paths: paths(instance),
        track: instance.tracks.iter().map(|tracked| track(tracked, checks)).collect(),
    };
    let group = Group {
        at: At::default(),
        key: GroupKey { site: site.to_owned(), name: instance.name.replace('/', "-") },
        vrid: instance.vrid.get(),
        version: match instance.version {
            Version::V2 => 2,
            Version::V3 => 3,
        },
        advert_interval: instance.interval.as_duration(),
        auth: match &instance.authentication {
            Authentication::None => None,
            Authentication::Pass(bytes) => {
                let text: Vec<u8> = bytes.iter().copied().take_while(|byte| *byte != 0).collect();
                Some(Secret(String::from_utf8_lossy(&text).into_owned()))
            }
        },
        addresses,
        track: Vec::new(),
        settings: settings(instance),
        members: vec![member],
    };
    (group, remarks)
}

/// What members agree on and the coordinator does not look into; defaults are not said.
fn settings(instance: &Instance) -> Settings {
    let flag = |value: bool, default: bool| (value != default).then(|| value.to_string());
    let time = |value: Duration| (!value.is_zero()).then(|| quoted(&span(value)));
    let is_unicast = instance.paths.iter().any(|path| !path.peers.is_empty());
    let all = [
        ("preempt", flag(instance.preempt, true)),
        ("preempt_delay", time(instance.preempt_delay)),
        ("lease", lease(instance.lease)),
        (
            "checksum",
            match instance.checksum {
                ChecksumForm::WithPseudoHeader => None,
                ChecksumForm::WithoutPseudoHeader => Some(quoted("without-pseudo-header")),
            },
        ),
        ("announcing", announcing(&instance.announcing, instance.pacing)),
        (
            "unicast_ttl",
            (is_unicast && instance.unicast_ttl != u8::MAX).then(|| instance.unicast_ttl.to_string()),
        ),
        ("track_service", flag(instance.track_service, true)),
        ("answers_lower", flag(instance.answers_lower, true)),
        ("answers_higher", flag(instance.answers_higher, true)),
        ("accept", flag(instance.accept, true)),
        (
            "vmac",
            instance.vmac.as_ref().map(|vmac| {
                let name = vmac.interface.as_ref().map(|name| format!("interface = {}", quoted(name)));
                let parent = vmac.adverts_from_parent.then(|| "adverts_from_parent = true".to_owned());
                format!("{{ {} }}", name.into_iter().chain(parent).collect::<Vec<_>>().join(", "))
            }),
        ),
    ];
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn lease(lease: Lease) -> Option<String> {
    match lease {
        lease if lease == Lease::default() => None,
        Lease::Off => Some(quoted("off")),
        Lease::For(lease) => Some(quoted(&span(lease))),
    }
}

fn announcing(announcing: &Announcing, pacing: Pacing) -> Option<String> {
    let default = Announcing::default();
    let number = |key: &str, value: u8, default: u8| (value != default).then(|| format!("{key} = {value}"));
    let time = |key: &str, value: Duration, default: Duration| {
        (value != default).then(|| format!("{key} = {}", quoted(&span(value))))
    };
    let all = [
        number("repeat", announcing.repeat, default.repeat),
        time("delay", announcing.delay, default.delay),
        number("delayed_repeat", announcing.delayed_repeat, default.delayed_repeat),
        // As `repeat` and `delay` when they are not said.
        number("lower_repeat", announcing.lower_repeat, announcing.repeat),
        time("lower_delay", announcing.lower_delay, announcing.delay),
        time("refresh", announcing.refresh, default.refresh),
        number("refresh_repeat", announcing.refresh_repeat, default.refresh_repeat),
        time("garp_interval", pacing.garp, Duration::ZERO),
        time("gna_interval", pacing.gna, Duration::ZERO),
    ];
    let all: Vec<String> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| format!("{{ {} }}", all.join(", ")))
}

fn paths(instance: &Instance) -> Option<String> {
    let peer = |peer: &Peer| {
        let address = quoted(&peer.address.to_string());
        match (*peer.ttl.start(), *peer.ttl.end()) {
            (0, u8::MAX) => address,
            (least, most) => format!("{{ address = {address}, min_ttl = {least}, max_ttl = {most} }}"),
        }
    };
    let path = |path: &hafleet_config::PathConfig| {
        let peers: Vec<String> = path.peers.iter().map(peer).collect();
        let peers =
            if peers.is_empty() { String::new() } else { format!(", peers = [{}]", peers.join(", ")) };
        format!("{{ interface = {}{peers} }}", quoted(&path.interface))
    };
    let paths: Vec<String> = instance.paths.iter().map(path).collect();
    (!paths.is_empty()).then(|| format!("[{}]", paths.join(", ")))
}

fn address(vip: &VipConfig, interface: &str, remarks: &mut Vec<String>) -> Address {
    let (address, prefix_len) = (vip.vip.address, vip.vip.prefix_len);
    let is_lone_v6 = address.is_ipv6() && prefix_len == 128;
    let default_s = is_lone_v6.then_some(0);
    let scope = match vip.scope {
        0 => None,
        200 => Some("site"),
        253 => Some("link"),
        254 => Some("host"),
        other => {
            remarks.push(format!("{address}: scope {other} has no name, and is left out"));
            None
        }
    };
    let text = |text: &str| Some(quoted(text));
    let flag = |value: bool| value.then(|| "true".to_owned());
    let all = [
        // What members agree on must not name an interface where it need not.
        ("dev", vip.dev.as_deref().filter(|dev| *dev != interface).and_then(text)),
        ("label", vip.label.as_deref().and_then(text)),
        ("scope", scope.and_then(text)),
        ("broadcast", vip.broadcast.and_then(|broadcast| text(&broadcast.to_string()))),
        ("advertised", (!vip.vip.advertised).then(|| "false".to_owned())),
        ("peer", vip.peer.and_then(|(peer, length)| text(&format!("{peer}/{length}")))),
        (
            "preferred_lft",
            (vip.preferred_s != default_s).then(|| match vip.preferred_s {
                None => quoted("forever"),
                Some(seconds) => quoted(&format!("{seconds}s")),
            }),
        ),
        ("dad", flag(vip.flags.dad)),
        ("home", flag(vip.flags.home)),
        ("mngtmpaddr", flag(vip.flags.mngtmpaddr)),
        ("noprefixroute", flag(vip.flags.noprefixroute)),
        ("autojoin", flag(vip.flags.autojoin)),
        ("repair", (!vip.repair).then(|| "false".to_owned())),
    ];
    let settings = all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    // Beside a peer the prefix length is the peer's.
    let prefix_len = vip.peer.is_none().then_some(prefix_len);
    Address { at: At::default(), address, prefix_len, settings }
}

fn track(tracked: &Tracked, checks: &[Check]) -> Track {
    let (kind, name) = match &tracked.subject {
        Subject::Interface(name) => (None, name),
        Subject::Check(name) => {
            (checks.iter().find(|check| check.name == *name).map(|check| kind(&check.kind)), name)
        }
    };
    Track {
        at: At::default(),
        kind,
        name: name.clone(),
        weight: (tracked.weight != 0).then_some(i64::from(tracked.weight)),
        reverse: tracked.reverse.then_some(true),
    }
}

fn kind(kind: &Kind) -> CheckKind {
    match kind {
        Kind::Script(_) => CheckKind::Script,
        Kind::Process(_) => CheckKind::Process,
        Kind::File(_) => CheckKind::File,
    }
}

/// A check; its weight stands where it is tracked.
pub fn check(check: &Check) -> hafleet_fleetfile::Check {
    let settings = match &check.kind {
        Kind::Script(script) => script_settings(script),
        Kind::Process(process) => process_settings(process),
        Kind::File(file) => file_settings(file),
    };
    let kind = kind(&check.kind);
    hafleet_fleetfile::Check { at: At::default(), kind, name: check.name.clone(), settings }
}

fn script_settings(script: &ScriptCheck) -> Settings {
    let mut settings = BTreeMap::from([
        ("command", list(&script.command)),
        ("interval", quoted(&span(script.interval))),
        ("timeout", quoted(&span(script.timeout))),
    ]);
    let counts = [("rise", script.rise), ("fall", script.fall)];
    settings.extend(
        counts.into_iter().filter(|(_, count)| *count != 1).map(|(key, count)| (key, count.to_string())),
    );
    if script.init_fail {
        settings.insert("init_fail", "true".to_owned());
    }
    settings
}

fn process_settings(process: &ProcessCheck) -> Settings {
    let mut settings = BTreeMap::from([("command", quoted(&process.command))]);
    let parameters = process.parameters.as_ref().map(|parameters| match parameters {
        ParameterMatch::Exact(words) => (words, None),
        ParameterMatch::Partial(words) => (words, Some("partial")),
        ParameterMatch::Initial(words) => (words, Some("initial")),
    });
    if let Some((words, how)) = parameters {
        settings.insert("parameters", list(words));
        settings.extend(how.map(|how| ("param_match", quoted(how))));
    }
    if process.full_command {
        settings.insert("full_command", "true".to_owned());
    }
    if process.quorum_least != 1 {
        settings.insert("quorum", process.quorum_least.to_string());
    }
    settings.extend(process.quorum_most.map(|most| ("quorum_max", most.to_string())));
    let delays = [("terminate_delay", process.terminate_delay), ("fork_delay", process.fork_delay)];
    settings.extend(
        delays
            .into_iter()
            .filter(|(_, delay)| !delay.is_zero())
            .map(|(key, delay)| (key, quoted(&span(delay)))),
    );
    settings
}

fn file_settings(file: &FileCheck) -> Settings {
    let mut settings = BTreeMap::from([("path", quoted(&file.path.display().to_string()))]);
    if let Some(init) = file.init {
        settings.insert("init", init.value.to_string());
        if init.overwrite {
            settings.insert("overwrite", "true".to_owned());
        }
    }
    settings
}

fn list(words: &[String]) -> String {
    format!("[{}]", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", "))
}
