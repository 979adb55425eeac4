//! Any sequence of inputs keeps the invariants.

use proptest::prelude::*;

use super::*;

/// No input causes more than this: two lines with one group each, hold or release, announce, transition, and a
/// deadline that is both advert and announcement.
const MOST_OUTPUTS: usize = 7;

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    ToDeadline(u64),
    Start { adopt: bool },
    Track { which: u16, result: TrackResult },
    Reconfigure(u8),
    Stop,
    Hear { path: u8, host: u8, priority: u8, interval_cs: u16 },
    Junk(Vec<u8>),
    Up { path: u8, host: u8 },
    Down { path: u8 },
    Held(u8),
    Fault { host: u8, which: u8 },
    SendFailed,
    Hold(HoldCause),
    Unhold(HoldCause),
    Override(u8),
    TakeOver,
    Announce,
}

fn step() -> impl Strategy<Value = Step> {
    let host = prop::sample::select(vec![4_u8, 5, 6]);
    let priority = prop::sample::select(vec![0_u8, 1, 99, 100, 101, 254, 255]);
    let path = prop::sample::select(vec![0_u8, 0, 0, 1, 2]);
    let cause = prop::sample::select(vec![HoldCause::Fence, HoldCause::Maintenance, HoldCause::Isolation]);
    prop_oneof![
        4 => (0..5_000_000_u64).prop_map(Step::Wait),
        8 => prop::sample::select(vec![0_u64, 0, 0, 1, 500_000, 20_000_000]).prop_map(Step::ToDeadline),
        2 => any::<bool>().prop_map(|adopt| Step::Start { adopt }),
        2 => (0..3_u16, prop::sample::select(vec![TrackResult::Up, TrackResult::Down, TrackResult::Value(-9)]))
            .prop_map(|(which, result)| Step::Track { which, result }),
        1 => any::<u8>().prop_map(Step::Reconfigure),
        1 => Just(Step::Stop),
        8 => (path.clone(), host.clone(), priority, prop::sample::select(vec![1_u16, 100, 4_095]))
            .prop_map(|(path, host, priority, interval_cs)| Step::Hear { path, host, priority, interval_cs }),
        2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Junk),
        2 => (path.clone(), prop::sample::select(vec![0_u8, 5, 7])).prop_map(|(path, host)| Step::Up { path, host }),
        1 => path.prop_map(|path| Step::Down { path }),
        2 => prop::sample::select(vec![100_u8, 101, 102]).prop_map(Step::Held),
        2 => (prop::sample::select(vec![100_u8, 101, 102]), 0..3_u8)
            .prop_map(|(host, which)| Step::Fault { host, which }),
        1 => Just(Step::SendFailed),
        1 => cause.clone().prop_map(Step::Hold),
        2 => cause.prop_map(Step::Unhold),
        1 => prop::sample::select(vec![0_u8, 1, 100, 254]).prop_map(Step::Override),
        2 => Just(Step::TakeOver),
        1 => Just(Step::Announce),
    ]
}

fn any_config() -> impl Strategy<Value = Config> {
    (
        prop::sample::select(vec![1_u8, 100, 254, 255]),
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(vec![0_u64, 1_000, 10_000]),
        prop::sample::select(vec![1_u16, 100]),
        any::<bool>(),
    )
        .prop_map(|(priority, is_v2, preempt, delay_ms, interval_cs, has_two_paths)| {
            let version = if is_v2 { Version::V2 } else { Version::V3 };
            Config {
                version,
                priority: Priority::new(priority).unwrap(),
                preempt,
                preempt_delay: Duration::from_millis(delay_ms),
                interval: AdvertInterval::from_centiseconds(interval_cs, version).unwrap(),
                ..if has_two_paths { two_paths() } else { config() }
            }
        })
}

/// What the outputs say, kept apart from the router's own state.
#[derive(Default)]
struct World {
    state: Option<State>,
    held: BTreeSet<IpAddr>,
}

impl World {
    /// Follows one input's outputs; their order is part of it.
    fn follow(&mut self, outputs: &[Output], before: State, ours: u8) -> Result<(), TestCaseError> {
        prop_assert!(outputs.len() <= MOST_OUTPUTS, "a storm: {outputs:?}");
        let mut state = self.state.unwrap_or(State::Init);
        prop_assert_eq!(state, before);
        let mut resigned = false;
        for output in outputs {
            match output {
                Output::SendAdvertisement { payload, source, .. } => {
                    let priority = Header::peek(payload).unwrap().priority;
                    prop_assert!(!source.is_unspecified());
                    prop_assert!(priority == 0 || priority == ours);
                    resigned |= priority == 0;
                }
                Output::HoldAddresses(vips) => {
                    prop_assert!(!resigned && !vips.is_empty());
                    self.held.extend(vips.iter().map(|vip| vip.address));
                }
                Output::ReleaseAddresses(vips) => {
                    for vip in vips {
                        self.held.remove(&vip.address);
                    }
                }
                Output::Announce(announcement) => {
                    prop_assert!(announcement.repeat > 0);
                    let announced = announcement.addresses.iter();
                    prop_assert!(announced.clone().all(|address| self.held.contains(address)));
                }
                Output::Transition(transition) => {
                    prop_assert_eq!(transition.from, state);
                    prop_assert_ne!(transition.to, state);
                    prop_assert!(!transition.reason.to_string().is_empty());
                    state = transition.to;
                }
            }
        }
        // Priority 0 is said by who leaves MASTER, and by nobody else.
        prop_assert!(!resigned || before == State::Master && state != State::Master);
        self.state = Some(state);
        Ok(())
    }
}

/// Another configuration of the same router.
fn changed(config: &Config, bits: u8) -> Config {
    let has = |bit: u8| bits & 1 << bit != 0;
    let mut new = config.clone();
    if has(0) {
        new.priority = Priority::new(if has(1) { 50 } else { 254 }).unwrap();
    }
    if has(2) {
        new.vips = vec![vip(if has(3) { 100 } else { 102 }), vip(101)];
    }
    if has(4) {
        let track =
            |name: &str, weight| Track { name: name.to_string(), weight, reverse: has(5), initially: None };
        new.tracks = vec![track("a", if has(6) { 0 } else { -30 }), track("b", 20)];
    }
    new.preempt = has(7);
    new
}

fn run(config: &Config, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut router = VirtualRouter::new(config.clone());
    let mut config = config.clone();
    let mut world = World::default();
    let mut now = at_ms(1_000);
    let mut adopts = false;
    for step in steps {
        let before = router.state();
        let deadline_before = router.deadline();
        let payload;
        let input = match step {
            Step::Wait(us) => {
                now = now + Duration::from_micros(*us);
                Input::Deadline
            }
            Step::ToDeadline(late_us) => {
                now = router.deadline().unwrap_or(now).max(now) + Duration::from_micros(*late_us);
                Input::Deadline
            }
            Step::Start { adopt } => {
                // What the shell would have found.
                if *adopt && before == State::Init {
                    adopts = true;
                    world.held.extend(config.vips.iter().map(|vip| vip.address));
                }
                Input::Start { adopt: *adopt && before == State::Init }
            }
            Step::Track { which, result } => {
                Input::Track { track: TrackId(*which), result: *result, detail: String::new() }
            }
            Step::Reconfigure(bits) => Input::Reconfigure(changed(&config, *bits)),
            Step::Stop => Input::Stop { hand_over: false },
            Step::Hear { path, host, priority, interval_cs } => {
                let source = if *path == 1 { [10, 9, 0, *host] } else { [10, 77, 0, *host] };
                let source = IpAddr::from(source).to_string();
                let config = &config;
                let cs = if config.version == Version::V2 {
                    config.interval.as_centiseconds()
                } else {
                    *interval_cs
                };
                payload = (advert(config, &source, *priority, cs), source);
                Input::Packet { path: PathId(*path), datagram: datagram(&payload.1, &payload.0) }
            }
            Step::Junk(bytes) => Input::Packet { path: PathId::SERVICE, datagram: datagram(ABOVE, bytes) },
            Step::Up { path, host } => {
                let source = if *host == 0 { [0; 4] } else { [10, 77, 0, *host] };
                Input::LinkUp { path: PathId(*path), source: source.into() }
            }
            Step::Down { path } => Input::LinkDown { path: PathId(*path), fault: LinkFault::NoCarrier },
            Step::Held(host) => Input::AddressHeld(vip(*host)),
            Step::Fault { host, which } => {
                let fault = match which {
                    0 => AddressFault::Refused("no".to_string()),
                    1 => AddressFault::Removed,
                    _ => AddressFault::Foreign,
                };
                Input::AddressFault { vip: vip(*host), fault }
            }
            Step::SendFailed => Input::SendFailed { path: PathId::SERVICE, error: "no".to_string() },
            Step::Hold(cause) => Input::Hold(*cause),
            Step::Unhold(cause) => Input::Unhold(*cause),
            Step::Override(priority) => Input::Override(Override::new(*priority)),
            Step::TakeOver => Input::TakeOver,
            Step::Announce => Input::Announce,
        };
        if let Input::Reconfigure(new) = &input {
            config = new.clone();
        }
        let was_deadline = matches!(input, Input::Deadline);
        let was_packet = matches!(input, Input::Packet { .. });
        router.handle(input, now);
        let outputs: Vec<Output> = core::iter::from_fn(|| router.next_output()).collect();
        world.follow(&outputs, before, router.effective_priority())?;

        let state = router.state();
        prop_assert_eq!(world.state, Some(state));
        let all: BTreeSet<IpAddr> = config.vips.iter().map(|vip| vip.address).collect();
        match state {
            State::Master => {
                prop_assert_eq!(&world.held, &all, "MASTER and the addresses go together");
                prop_assert!(router.source().is_some() && !router.is_held_back());
            }
            // What was found is kept while it listens or waits for first results, whole.
            State::Backup | State::Init => prop_assert!(world.held.is_empty() || adopts),
            // The shell finds it, and is told to take it off.
            State::Fault if adopts && before == State::Init => world.held.clear(),
            // Only for as long as a successor is waited for.
            State::Fault if router.is_handing_over() => prop_assert!(router.deadline().is_some()),
            State::Fault => prop_assert!(world.held.is_empty(), "{:?} in FAULT", world.held),
        }
        adopts &= !world.held.is_empty() && state != State::Master;
        prop_assert_eq!(router.last_verdict().is_some(), was_packet);
        if let Some(Verdict::Rejected(_)) = router.last_verdict() {
            prop_assert!(outputs.is_empty());
            prop_assert_eq!(router.deadline(), deadline_before);
        }
        match (state, router.deadline()) {
            (State::Init, deadline) => prop_assert_eq!(deadline, None),
            (State::Backup | State::Master, None) => prop_assert!(false, "{} waits for nothing", state),
            (State::Fault, None) => {}
            (State::Backup | State::Master | State::Fault, Some(deadline)) => {
                prop_assert!(!was_deadline || deadline > now, "{state}: {deadline:?} is not after {now:?}");
                prop_assert!(deadline.since(now) <= Duration::from_secs(164), "{}: too far", state);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_keeps_the_invariants(
        config in any_config(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        run(&config, &steps)?;
    }
}
