//! What a router watches beside its own interface, and what that does to its priority (keepalived: `track_script`,
//! `track_interface`, `track_process`, `track_file`).
//!
//! | weight | while up | while down |
//! | --- | --- | --- |
//! | 0 | nothing | FAULT |
//! | positive | raises the priority by it | nothing |
//! | negative | nothing | lowers the priority by it |
//!
//! A file says a number instead: the number times the weight is added; with weight 0 any number but 0 is FAULT, with another a sum
//! below -253. `reverse` swaps what a weight of 0 asks for, and the direction of any other.

use alloc::string::String;

/// One watched thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its name, for the reader of transitions; unique in a router.
    pub name: String,
    /// -253 to 253.
    pub weight: i16,
    /// keepalived: `reverse`.
    pub reverse: bool,
    /// What counts until the first result comes; `None`: the election waits for it (keepalived: without `init_fail`).
    pub initially: Option<TrackResult>,
}

/// Names one watched thing of a router: its index in [`crate::Config::tracks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrackId(pub u16);

/// How a watched thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackResult {
    /// The script succeeds, the process runs, the interface works.
    Up,
    /// It does not.
    Down,
    /// What the file says, -254 to 254; others are cut.
    Value(i16),
}

/// What a router knows of a watched thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing yet, and the election waits for it.
    Awaited,
    /// Nothing yet: it came by a new configuration while the router runs, and counts for nothing until it is known.
    Assumed,
    /// This.
    Is(TrackResult),
}

impl Track {
    pub(crate) fn at_start(&self) -> Known {
        self.initially.map_or(Known::Awaited, Known::Is)
    }

    /// What is added to the priority.
    pub(crate) fn adds(&self, known: Known) -> i32 {
        match known {
            Known::Awaited | Known::Assumed => 0,
            Known::Is(result) => result.adds(self.weight, self.reverse),
        }
    }

    /// Whether it forbids to serve.
    pub(crate) fn is_fault(&self, known: Known) -> bool {
        match known {
            Known::Awaited | Known::Assumed => false,
            Known::Is(result) => result.is_fault(self.weight, self.reverse),
        }
    }
}

impl TrackResult {
    /// What it adds to the priority of a router that tracks it like this.
    pub fn adds(self, weight: i16, reverse: bool) -> i32 {
        let weight = i32::from(weight);
        let adds = match self {
            Self::Up => weight.max(0),
            Self::Down => weight.min(0),
            Self::Value(value) => weight * i32::from(value.clamp(-254, 254)),
        };
        if reverse { -adds } else { adds }
    }

    /// Whether it forbids a router that tracks it like this to serve.
    pub fn is_fault(self, weight: i16, reverse: bool) -> bool {
        let is_down = match self {
            Self::Up => false,
            Self::Down => true,
            Self::Value(value) => value != 0,
        };
        match (weight, self) {
            (0, _) => is_down != reverse,
            // keepalived's rule: a number that takes all priority away means that it cannot serve.
            (_, Self::Value(_)) => self.adds(weight, reverse) < -253,
            (_, Self::Up | Self::Down) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        let track = |weight, reverse| Track { name: String::from("chk"), weight, reverse, initially: None };
        let (up, down) = (Known::Is(TrackResult::Up), Known::Is(TrackResult::Down));
        // weight, reverse; added while up, while down; FAULT while up, while down.
        let table = [
            (0, false, 0, 0, false, true),
            (0, true, 0, 0, true, false),
            (20, false, 20, 0, false, false),
            (20, true, -20, 0, false, false),
            (-20, false, 0, -20, false, false),
            (-20, true, 0, 20, false, false),
        ];
        for (weight, reverse, adds_up, adds_down, fault_up, fault_down) in table {
            let track = track(weight, reverse);
            assert_eq!((track.adds(up), track.adds(down)), (adds_up, adds_down), "{track:?}");
            assert_eq!((track.is_fault(up), track.is_fault(down)), (fault_up, fault_down), "{track:?}");
            for unknown in [Known::Awaited, Known::Assumed] {
                assert_eq!((track.adds(unknown), track.is_fault(unknown)), (0, false), "{track:?}");
            }
        }
    }

    #[test]
    fn a_file_s_number_is_multiplied() {
        let track = |weight, reverse| Track { name: String::from("f"), weight, reverse, initially: None };
        let value = |value| Known::Is(TrackResult::Value(value));
        assert_eq!(track(1, false).adds(value(-30)), -30);
        assert_eq!(track(2, true).adds(value(10)), -20);
        assert_eq!(track(1, false).adds(value(i16::MAX)), 254);
        assert_eq!(track(253, false).adds(value(i16::MIN)), -254 * 253);
        assert!(track(-1, false).is_fault(value(254)) && !track(-1, false).is_fault(value(253)));
        assert!(track(0, false).is_fault(value(1)) && !track(0, false).is_fault(value(0)));
        assert!(!track(0, true).is_fault(value(-1)) && track(0, true).is_fault(value(0)));
    }
}
