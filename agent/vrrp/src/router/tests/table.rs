//! Every (state, input) pair with what must follow. A new state or input does not compile or fails here until its pairs
//! are written.

use super::*;

const STATES: [State; 4] = [State::Init, State::Backup, State::Master, State::Fault];
const INPUTS: [&str; 16] = [
    "start",
    "stop",
    "deadline",
    "packet",
    "link_up",
    "link_down",
    "address_held",
    "address_fault",
    "send_failed",
    "hold",
    "unhold",
    "override",
    "take_over",
    "announce",
    "track",
    "reconfigure",
];

/// The name of an input's kind; exhaustive on purpose.
fn kind(input: &Input<'_>) -> &'static str {
    match input {
        Input::Start { .. } => "start",
        Input::Stop { .. } => "stop",
        Input::Deadline => "deadline",
        Input::Packet { .. } => "packet",
        Input::LinkUp { .. } => "link_up",
        Input::LinkDown { .. } => "link_down",
        Input::AddressHeld(_) => "address_held",
        Input::AddressFault { .. } => "address_fault",
        Input::SendFailed { .. } => "send_failed",
        Input::Hold(_) => "hold",
        Input::Unhold(_) => "unhold",
        Input::Override(_) => "override",
        Input::TakeOver => "take_over",
        Input::Announce => "announce",
        Input::Track { .. } => "track",
        Input::Reconfigure(_) => "reconfigure",
    }
}

/// Exhaustive on purpose, so that a new state must be added to [`STATES`].
fn index(state: State) -> usize {
    match state {
        State::Init => 0,
        State::Backup => 1,
        State::Master => 2,
        State::Fault => 3,
    }
}

/// Two seconds after it entered the state. FAULT here is no carrier on the service path.
fn in_state(state: State) -> Rig {
    let mut rig = match state {
        State::Init => Rig::new(watching()),
        State::Backup => Rig::started(watching()),
        State::Master => Rig::master(watching()),
        State::Fault => {
            let mut rig = Rig::started(watching());
            rig.give(Input::LinkDown { path: PathId::SERVICE, fault: LinkFault::NoCarrier });
            rig
        }
    };
    assert_eq!(rig.router.state(), state);
    rig.wait(2 * SECOND);
    rig
}

/// Two lines, and something watched that stops the router and something that costs 20, both up.
fn watching() -> Config {
    let track = |name: &str, weight| Track {
        name: name.to_string(),
        weight,
        reverse: false,
        initially: Some(TrackResult::Up),
    };
    Config { tracks: vec![track("gateway", 0), track("nginx", -20)], ..two_paths() }
}

/// What must follow: the row's name, the input, then for each state the outputs in order.
type Row = (&'static str, Input<'static>, [&'static [&'static str]; 4]);

const NOTHING: &[&str] = &[];
const ADVERT: &[&str] = &["advert 100", "advert 100 on 1"];
const MASTER_AT_ONCE: &[&str] =
    &["advert 100", "advert 100 on 1", "hold 2", "announce 2x5", "INIT>MASTER adopted"];
const REASSERT: &[&str] = &["advert 100", "advert 100 on 1", "announce 2x5"];

fn rows() -> Vec<Row> {
    let spare = PathId(1);
    let foreign = Vip { address: ip("10.77.0.200"), ..vip(200) };
    let fault = |vip, fault| Input::AddressFault { vip, fault };
    let track =
        |track, result| Input::Track { track: TrackId(track), result, detail: "exit code 1".to_string() };
    let refused = || AddressFault::Refused("No space left on device".to_string());
    vec![
        ("start", Input::Start { adopt: false }, [&["INIT>BACKUP started"], NOTHING, NOTHING, NOTHING]),
        (
            "stop",
            Input::Stop { hand_over: false },
            [
                NOTHING,
                &["BACKUP>INIT stopped"],
                &["advert 0", "advert 0 on 1", "release 2", "MASTER>INIT stopped"],
                &["FAULT>INIT stopped"],
            ],
        ),
        (
            "stop and hand over",
            Input::Stop { hand_over: true },
            [
                NOTHING,
                &["BACKUP>INIT stopped"],
                &["advert 0", "advert 0 on 1", "MASTER>INIT stopped"],
                &["FAULT>INIT stopped"],
            ],
        ),
        // Early in BACKUP (Master_Down is 3.6 s), late in MASTER.
        ("deadline", Input::Deadline, [NOTHING, NOTHING, ADVERT, NOTHING]),
        (
            "link_up same",
            Input::LinkUp { path: PathId::SERVICE, source: ip(OURS) },
            [NOTHING, NOTHING, NOTHING, &["FAULT>BACKUP link_restored"]],
        ),
        ("link_up spare", Input::LinkUp { path: spare, source: ip("10.9.0.5") }, [NOTHING; 4]),
        ("link_up unknown path", Input::LinkUp { path: PathId(9), source: ip(OURS) }, [NOTHING; 4]),
        (
            "link_up without an address",
            Input::LinkUp { path: PathId::SERVICE, source: ip("0.0.0.0") },
            [
                NOTHING,
                &["BACKUP>FAULT link_no_address"],
                &["advert 0 on 1", "release 2", "MASTER>FAULT link_no_address"],
                NOTHING,
            ],
        ),
        (
            "link_down",
            Input::LinkDown { path: PathId::SERVICE, fault: LinkFault::AdminDown },
            [
                NOTHING,
                &["BACKUP>FAULT link_admin_down"],
                &["advert 0 on 1", "release 2", "MASTER>FAULT link_admin_down"],
                NOTHING,
            ],
        ),
        ("link_down spare", Input::LinkDown { path: spare, fault: LinkFault::NoCarrier }, [NOTHING; 4]),
        (
            "link_down unknown path",
            Input::LinkDown { path: PathId(9), fault: LinkFault::NoCarrier },
            [NOTHING; 4],
        ),
        ("address_held", Input::AddressHeld(vip(100)), [NOTHING; 4]),
        ("address_held not ours", Input::AddressHeld(foreign), [NOTHING; 4]),
        (
            "address_fault refused",
            fault(vip(100), refused()),
            [
                NOTHING,
                NOTHING,
                &["advert 0", "advert 0 on 1", "release 2", "MASTER>FAULT address_refused"],
                NOTHING,
            ],
        ),
        (
            "address_fault removed",
            fault(vip(100), AddressFault::Removed),
            [NOTHING, NOTHING, &["hold 1", "announce 1x5"], NOTHING],
        ),
        (
            "address_fault foreign",
            fault(vip(100), AddressFault::Foreign),
            [NOTHING, &["release 1"], NOTHING, &["release 1"]],
        ),
        ("address_fault not ours", fault(foreign, AddressFault::Foreign), [NOTHING; 4]),
        ("address_fault not ours, removed", fault(foreign, AddressFault::Removed), [NOTHING; 4]),
        ("send_failed", Input::SendFailed { path: PathId::SERVICE, error: "down".to_string() }, [NOTHING; 4]),
        (
            "hold",
            Input::Hold(HoldCause::Fence),
            [
                NOTHING,
                &["BACKUP>FAULT held"],
                &["advert 0", "advert 0 on 1", "release 2", "MASTER>FAULT held"],
                NOTHING,
            ],
        ),
        ("unhold", Input::Unhold(HoldCause::Fence), [NOTHING; 4]),
        (
            "hold for maintenance",
            Input::Hold(HoldCause::Maintenance),
            [NOTHING, &["BACKUP>FAULT held"], &["advert 0", "advert 0 on 1", "MASTER>FAULT held"], NOTHING],
        ),
        ("unhold after maintenance", Input::Unhold(HoldCause::Maintenance), [NOTHING; 4]),
        (
            "hold without a network",
            Input::Hold(HoldCause::Isolation),
            [
                NOTHING,
                &["BACKUP>FAULT isolated"],
                &["advert 0", "advert 0 on 1", "release 2", "MASTER>FAULT isolated"],
                NOTHING,
            ],
        ),
        ("unhold with a network", Input::Unhold(HoldCause::Isolation), [NOTHING; 4]),
        (
            "override",
            Input::Override(Override::new(200)),
            [NOTHING, NOTHING, &["advert 200", "advert 200 on 1"], NOTHING],
        ),
        ("override with the same", Input::Override(Override::new(100)), [NOTHING; 4]),
        ("override no more", Input::Override(None), [NOTHING; 4]),
        (
            "take over",
            Input::TakeOver,
            [
                NOTHING,
                &["advert 100", "advert 100 on 1", "hold 2", "announce 2x5", "BACKUP>MASTER took_over"],
                NOTHING,
                NOTHING,
            ],
        ),
        ("announce", Input::Announce, [NOTHING, NOTHING, &["announce 2x5"], NOTHING]),
        ("start to adopt", Input::Start { adopt: true }, [MASTER_AT_ONCE, NOTHING, NOTHING, NOTHING]),
        (
            "track fails",
            track(0, TrackResult::Down),
            [
                NOTHING,
                &["BACKUP>FAULT track_failed"],
                &["advert 0", "advert 0 on 1", "release 2", "MASTER>FAULT track_failed"],
                NOTHING,
            ],
        ),
        ("track is up as before", track(0, TrackResult::Up), [NOTHING; 4]),
        ("track unknown", track(2, TrackResult::Down), [NOTHING; 4]),
        (
            "track costs priority",
            track(1, TrackResult::Down),
            [NOTHING, NOTHING, &["advert 80", "advert 80 on 1"], NOTHING],
        ),
        ("reconfigure to the same", Input::Reconfigure(watching()), [NOTHING; 4]),
        (
            "reconfigure to another router",
            Input::Reconfigure(Config { vrid: VirtualRouterId::new(52).unwrap(), ..watching() }),
            [NOTHING; 4],
        ),
        (
            "reconfigure the priority",
            Input::Reconfigure(Config { priority: Priority::new(120).unwrap(), ..watching() }),
            [NOTHING, NOTHING, &["advert 120", "advert 120 on 1"], NOTHING],
        ),
        (
            "reconfigure the addresses",
            Input::Reconfigure(Config { vips: vec![vip(100), vip(102)], ..watching() }),
            [
                NOTHING,
                NOTHING,
                &["advert 100", "advert 100 on 1", "hold 1", "announce 1x5", "release 1"],
                NOTHING,
            ],
        ),
        (
            "reconfigure to the owner",
            Input::Reconfigure(Config { priority: Priority::OWNER, ..watching() }),
            [
                NOTHING,
                &["advert 255", "advert 255 on 1", "hold 2", "announce 2x5", "BACKUP>MASTER address_owner"],
                &["advert 255", "advert 255 on 1"],
                NOTHING,
            ],
        ),
        (
            "reconfigure not to mind the carrier",
            Input::Reconfigure(Config { track_service: false, ..watching() }),
            [NOTHING, NOTHING, NOTHING, &["FAULT>BACKUP reconfigured"]],
        ),
    ]
}

/// What an advert must cause: source, priority, then for each state the outputs.
fn adverts() -> Vec<(&'static str, u8, [&'static [&'static str]; 4])> {
    vec![
        (BELOW, 0, [NOTHING, NOTHING, ADVERT, NOTHING]),
        (BELOW, 99, [NOTHING, NOTHING, REASSERT, NOTHING]),
        (ABOVE, 99, [NOTHING, NOTHING, REASSERT, NOTHING]),
        (BELOW, 100, [NOTHING, NOTHING, REASSERT, NOTHING]),
        (OURS, 100, [NOTHING; 4]),
        (ABOVE, 100, [NOTHING, NOTHING, &["release 2", "MASTER>BACKUP higher_address_heard"], NOTHING]),
        (BELOW, 101, [NOTHING, NOTHING, &["release 2", "MASTER>BACKUP higher_priority_heard"], NOTHING]),
        (BELOW, 255, [NOTHING, NOTHING, &["release 2", "MASTER>BACKUP higher_priority_heard"], NOTHING]),
    ]
}

#[test]
fn every_state_meets_every_input() {
    let mut met = BTreeSet::new();
    for (name, input, expected) in rows() {
        for state in STATES {
            met.insert((state, kind(&input)));
            let outputs = in_state(state).give(input.clone());
            assert_eq!(outputs, expected[index(state)], "{state} meets {name}");
        }
    }
    for (source, priority, expected) in adverts() {
        for state in STATES {
            met.insert((state, "packet"));
            let outputs = in_state(state).hear(source, priority);
            assert_eq!(outputs, expected[index(state)], "{state} hears {priority} from {source}");
        }
    }
    for state in STATES {
        assert_eq!(in_state(state).hear_junk(), NOTHING, "{state} hears junk");
    }
    for state in STATES {
        for input in INPUTS {
            assert!(met.contains(&(state, input)), "no row for {state} and {input}");
        }
    }
}

/// Outputs and transitions agree with the state that follows.
#[test]
fn the_last_transition_names_the_state() {
    for (name, input, _) in rows() {
        for state in STATES {
            let mut rig = in_state(state);
            rig.router.handle(input.clone(), rig.now);
            let named = rig.drain().into_iter().filter_map(|output| match output {
                Output::Transition(transition) => Some(transition),
                Output::SendAdvertisement { .. }
                | Output::HoldAddresses(_)
                | Output::ReleaseAddresses(_)
                | Output::Announce(_) => None,
            });
            let mut last = state;
            for transition in named {
                assert_eq!(transition.from, last, "{state} meets {name}");
                assert_ne!(transition.from, transition.to, "{state} meets {name}");
                last = transition.to;
            }
            assert_eq!(rig.router.state(), last, "{state} meets {name}");
        }
    }
}
