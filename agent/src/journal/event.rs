//! From what happened to what is written down.

use hafleet_proto::v1::{self, event::Event};
use hafleet_vrrp::State;

use crate::{clock, driver::Report};

/// No text that is told is longer, in bytes.
const TEXT_LEN_MAX: usize = 1024;

/// An event before it has its place in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// What.
    pub event: Event,
    /// When, wall clock.
    pub at_us: i64,
    /// When, `CLOCK_BOOTTIME`.
    pub mono_us: u64,
}

impl Happening {
    /// The agent begins.
    pub fn started() -> Self {
        Self::now(Event::Started(v1::AgentStarted { version: env!("CARGO_PKG_VERSION").to_owned() }))
    }

    /// The agent ends in an orderly way; `reason` is a stable code.
    pub fn stopped(reason: &str) -> Self {
        Self::now(Event::Stopped(v1::AgentStopped { reason: reason.to_owned() }))
    }

    /// So many events are gone; `at` names the bound that was hit.
    pub fn lost(count: u64, at: &str) -> Self {
        Self::now(Event::Lost(v1::EventsLost { count, at: at.to_owned() }))
    }

    /// What is configured has changed while the agent runs; `what` is `applied` or `refused`, of an order `ordered`, `withdrawn` or
    /// `ended`.
    pub fn configured(what: &str, detail: String) -> Self {
        let event = v1::ConfigurationEvent { what: what.to_owned(), detail: bounded(detail) };
        Self::now(Event::Configuration(event))
    }

    fn now(event: Event) -> Self {
        Self { event, at_us: clock::wall_us(), mono_us: clock::now().as_micros() }
    }
}

impl From<Report> for Happening {
    fn from(report: Report) -> Self {
        match report {
            Report::Transition { instance, vrid, from, to, reason, detail, at_us, mono_us } => {
                let transition = v1::Transition {
                    instance: bounded(instance),
                    vrid: vrid.into(),
                    from: wire_state(from).into(),
                    to: wire_state(to).into(),
                    reason: reason.to_owned(),
                    detail: bounded(detail),
                };
                Self { event: Event::Transition(transition), at_us, mono_us }
            }
            Report::Address { instance, address, what, detail, at_us, mono_us } => {
                let address = v1::AddressEvent {
                    instance: bounded(instance),
                    address: bounded(address),
                    what: what.to_owned(),
                    detail: bounded(detail),
                };
                Self { event: Event::Address(address), at_us, mono_us }
            }
        }
    }
}

/// The state's name on the wire.
pub const fn wire_state(state: State) -> v1::VrrpState {
    match state {
        State::Init => v1::VrrpState::Init,
        State::Backup => v1::VrrpState::Backup,
        State::Master => v1::VrrpState::Master,
        State::Fault => v1::VrrpState::Fault,
    }
}

/// Cut at 1,024 bytes.
pub fn bounded(mut text: String) -> String {
    if text.len() > TEXT_LEN_MAX {
        let mut end = TEXT_LEN_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
