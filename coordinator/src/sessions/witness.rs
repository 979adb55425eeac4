//! What a node's neighbours last answered, address by address. The core judges by an answer and forgets it; people want to see
//! what it was, and how old it is.

use std::{collections::BTreeMap, net::IpAddr};

use hafleet_fleet::{ArpAnswer, Instant};

/// Answers kept of one node; the one that was asked for longest ago is forgotten first.
pub const KEPT_MAX: usize = 128;

/// The last answers of one node's neighbours.
#[derive(Debug, Default)]
pub struct Witness(BTreeMap<(IpAddr, String), Seen>);

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Who answered.
    pub answer: ArpAnswer,
    /// When the coordinator asked: what is seen is not older.
    pub asked: Instant,
}

impl Witness {
    /// Takes the answers of one probe in. An older one of the same address and interface is forgotten.
    pub fn saw(&mut self, answers: &[ArpAnswer], asked: Instant) {
        for answer in answers {
            let key = (answer.target, answer.interface.clone());
            if self.0.get(&key).is_some_and(|known| known.asked > asked) {
                continue;
            }
            if self.0.len() >= KEPT_MAX && !self.0.contains_key(&key) {
                self.forget_the_oldest();
            }
            self.0.insert(key, Seen { answer: answer.clone(), asked });
        }
    }

    /// By address, then interface.
    pub fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.0.values()
    }

    fn forget_the_oldest(&mut self) {
        let oldest = self.0.iter().min_by_key(|(_, seen)| seen.asked).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            self.0.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(last: u8, macs: &[&str]) -> ArpAnswer {
        ArpAnswer {
            target: IpAddr::from([10, 0, 0, last]),
            interface: "ens33".to_owned(),
            macs: macs.iter().map(|mac| (*mac).to_owned()).collect(),
            error: String::new(),
        }
    }

    fn at(us: u64) -> Instant {
        Instant::from_micros(us)
    }

    #[test]
    fn the_newest_answer_is_kept_whatever_order_they_come_in() {
        let mut witness = Witness::default();
        witness.saw(&[answer(3, &["a"])], at(2));
        witness.saw(&[answer(3, &["b"])], at(1));
        witness.saw(&[answer(4, &[])], at(1));
        let seen: Vec<(Vec<String>, Instant)> =
            witness.seen().map(|seen| (seen.answer.macs.clone(), seen.asked)).collect();
        assert_eq!(seen, [(vec!["a".to_owned()], at(2)), (Vec::new(), at(1))]);
    }

    #[test]
    fn there_is_a_bound_and_the_oldest_goes_first() {
        let mut witness = Witness::default();
        for last in 0..=u8::MAX {
            witness.saw(&[answer(last, &[])], at(1_000 - u64::from(last)));
        }
        assert_eq!(witness.seen().count(), KEPT_MAX);
        // Each newcomer was asked for before all others, and took the place of the one before it.
        assert!(witness.seen().any(|seen| seen.answer.target == IpAddr::from([10, 0, 0, 0])));
        assert!(witness.seen().any(|seen| seen.answer.target == IpAddr::from([10, 0, 0, 255])));
        assert!(!witness.seen().any(|seen| seen.answer.target == IpAddr::from([10, 0, 0, 200])));
    }
}
