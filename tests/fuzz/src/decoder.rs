//! The decoder, behind the router's door: a datagram, and what the router is configured to be.
//!
//! Whether it must be accepted is decided a second time in `oracle`, from the RFCs and `docs`, without the decoder's code.
//! What another implementation sent is among the datagrams, so that accepting nothing is found out as well.

pub(crate) mod case;
mod oracle;

use hafleet_vrrp::{
    Input, Instant, LinkFault, Output, PathHealth, PathId, State, VirtualRouter,
    packet::{Datagram, Header, Received, Verdict, checksum_form},
};

use self::case::Case;
use crate::{Reached, Target, draw::Draw};

/// See [`Target`].
pub const TARGET: Target = Target {
    name: "decoder",
    run,
    must_reach: &[
        "accepted",
        "address_mismatch",
        "auth_mismatch",
        "captured",
        "checksum",
        "family_mismatch",
        "interval_mismatch",
        "length",
        "mode_mismatch",
        "no_addresses",
        "trailing_bytes",
        "ttl",
        "type",
        "unknown_path",
        "unknown_peer",
        "version_mismatch",
        "vrid_mismatch",
        "zero_interval",
    ],
};

/// The bytes say a configuration, a state, and a datagram.
pub fn run(bytes: &[u8]) -> Reached {
    let mut reached = Reached::new();
    let mut draw = Draw::new(bytes);
    let state = draw.pick(&[State::Init, State::Backup, State::Master, State::Fault]);
    let case = Case::read(&mut draw);
    let now = Instant::from_micros(10_000_000);
    let mut router = router_in(state, &case, now);
    let before = Face::of(&router);
    let datagram = case.datagram();

    router.handle(Input::Packet { path: case.path, datagram }, now);
    let verdict = router.last_verdict().expect("a packet was the last input").clone();
    match &verdict {
        Verdict::Rejected(rejection) => {
            assert_eq!(Face::of(&router), before.and_one_rejected(), "{rejection} moved something");
            assert_eq!(router.next_output(), None, "{rejection} has an answer");
            assert!(!rejection.to_string().is_empty());
            reached.insert(rejection.code().to_owned());
        }
        Verdict::Accepted(received) => {
            check_reading(&case, received);
            check_encoding(&case, received, now);
            reached.insert("accepted".to_owned());
            reached.extend(received.remarks.iter().map(|remark| remark.code().to_owned()));
        }
    }
    let code = match &verdict {
        Verdict::Accepted(_) => None,
        Verdict::Rejected(rejection) => Some(rejection.code()),
    };
    assert_eq!(code, oracle::rejection(&case), "{case:?}");
    if case.is_as_captured {
        assert_eq!(code, None, "what another implementation sent is rejected: {case:?}");
        reached.insert("captured".to_owned());
    }
    check_lenient_view(&datagram);
    reached
}

/// A router of this configuration, brought into a state, its outputs taken out.
fn router_in(state: State, case: &Case, now: Instant) -> VirtualRouter {
    let mut router = VirtualRouter::new(case.config.clone());
    let long_ago = Instant::from_micros(0);
    match state {
        State::Init => {}
        State::Backup => router.handle(Input::Start { adopt: false }, long_ago),
        State::Master => {
            router.handle(Input::Start { adopt: false }, long_ago);
            if let Some(deadline) = router.deadline().filter(|_| router.state() == State::Backup) {
                router.handle(Input::Deadline, deadline);
            }
        }
        State::Fault => {
            router.handle(Input::Start { adopt: false }, long_ago);
            router.handle(Input::LinkDown { path: PathId::SERVICE, fault: LinkFault::NoCarrier }, now);
        }
    }
    while router.next_output().is_some() {}
    // 255 is MASTER from its start.
    assert!(
        router.state() == state || case.config.priority.get() == 255,
        "{} is not {state}",
        router.state()
    );
    router
}

/// What a packet that is rejected may not change, and the count that it must.
#[derive(Clone, Debug, PartialEq)]
struct Face {
    state: State,
    deadline: Option<Instant>,
    paths: Vec<PathHealth>,
    master: Option<std::net::IpAddr>,
    master_down: std::time::Duration,
    counts: [u64; 6],
    rejected: u64,
}

impl Face {
    fn of(router: &VirtualRouter) -> Self {
        Self {
            state: router.state(),
            deadline: router.deadline(),
            paths: router.paths().to_vec(),
            master: router.master_source(),
            master_down: router.master_down(),
            counts: [
                router.adverts_sent(),
                router.adverts_accepted(),
                router.duplicates(),
                router.refusals(),
                router.repairs(),
                router.foreign_released(),
            ],
            rejected: router.packets_rejected(),
        }
    }

    fn and_one_rejected(self) -> Self {
        Self { rejected: self.rejected + 1, ..self }
    }
}

/// Every field as it stands in the bytes.
fn check_reading(case: &Case, received: &Received) {
    let (bytes, advert) = (case.payload.as_slice(), &received.advertisement);
    let read = (advert.vrid.get(), advert.priority, advert.addresses.len());
    assert_eq!(read, (bytes[1], bytes[2], usize::from(bytes[3])));
    assert_eq!(advert.interval_cs, oracle::interval_cs(bytes));
    assert_eq!(advert.addresses, oracle::addresses(bytes, case.source.is_ipv6()));
}

/// What was accepted is written by us as the sender wrote it, and accepted again.
fn check_encoding(case: &Case, received: &Received, now: Instant) {
    let form = received.checksum_form.unwrap_or(case.config.checksum);
    let advert = &received.advertisement;
    let again = advert.encode(&case.config.authentication, form, case.source, case.destination);
    if oracle::is_canonical(case) {
        assert_eq!(again.as_slice(), &case.payload[..again.len()], "{case:?}");
    }
    let mut router = VirtualRouter::new(case.config.clone());
    let datagram = Datagram { payload: &again, ..case.datagram() };
    router.handle(Input::Packet { path: case.path, datagram }, now);
    match router.last_verdict() {
        Some(Verdict::Accepted(second)) => {
            assert_eq!((&second.advertisement, second.checksum_form), (advert, received.checksum_form));
        }
        other => panic!("our own encoding of what was accepted is {other:?}: {case:?}"),
    }
    let is_silent = router.next_output().is_none_or(|output| !matches!(output, Output::Transition(_)));
    assert!(is_silent, "a router in INIT moved");
}

/// What is shown of any packet, right or wrong.
fn check_lenient_view(datagram: &Datagram<'_>) {
    let _ = checksum_form(datagram);
    if let Some(header) = Header::peek(datagram.payload) {
        let addresses = header.addresses(datagram.payload, datagram.source);
        assert!(addresses.len() <= usize::from(header.count));
    }
}
