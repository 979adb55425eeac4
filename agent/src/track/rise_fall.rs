//! How many results in a row it takes.

/// Turns single results into a verdict. The first one counts at once; after that it takes `rise` successes in a row to
/// come up and `fall` failures in a row to go down.
#[derive(Clone, Debug)]
pub(super) struct RiseFall {
    rise: u32,
    fall: u32,
    is_up: Option<bool>,
    against: u32,
}

impl RiseFall {
    /// Without a verdict yet. 0 is taken for 1.
    pub(super) fn new(rise: u32, fall: u32) -> Self {
        Self { rise: rise.max(1), fall: fall.max(1), is_up: None, against: 0 }
    }

    /// The verdict after one more result.
    pub(super) fn judge(&mut self, is_success: bool) -> bool {
        let is_up = match self.is_up {
            None => is_success,
            Some(is_up) if is_up == is_success => {
                self.against = 0;
                is_up
            }
            Some(is_up) => {
                self.against = self.against.saturating_add(1);
                let needed = if is_up { self.fall } else { self.rise };
                if self.against >= needed { is_success } else { is_up }
            }
        };
        if self.is_up != Some(is_up) {
            self.against = 0;
        }
        self.is_up = Some(is_up);
        is_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first three are what keepalived 2.2.7 said to the same results (a script that follows the pattern): S success, F
    /// failure, u up, d down.
    #[test]
    fn as_keepalived() {
        let table = [
            // rise, fall, results, verdicts
            (1, 3, "SFFSFFSFFF", "uuuuuuuuud"),
            (3, 1, "FSSFSSFSSSSF", "dddddddddu"),
            (3, 3, "SFFSFFSFFF", "uuuuuuuuud"),
            (3, 3, "FSSSFFFSSS", "ddduuudddu"),
            (1, 1, "SFSF", "udud"),
            (3, 3, "F", "d"),
            (0, 0, "FSF", "dud"),
        ];
        for (rise, fall, results, verdicts) in table {
            let mut rise_fall = RiseFall::new(rise, fall);
            let mut said = String::new();
            for result in results.chars() {
                said.push(if rise_fall.judge(result == 'S') { 'u' } else { 'd' });
            }
            assert!(
                said.starts_with(verdicts),
                "rise {rise} fall {fall}: {results} gave {said}, not {verdicts}"
            );
        }
    }
}
