//! Medians and ratios.

/// What was measured of one contender.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The middle one, or the mean of the middle two; `None` of none.
    pub fn median(&self) -> Option<f64> {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        let upper = sorted.get(middle)?;
        if sorted.len() % 2 == 1 {
            return Some(*upper);
        }
        let lower = sorted.get(middle.checked_sub(1)?)?;
        Some((lower + upper) / 2.0)
    }

    /// The least.
    pub fn min(&self) -> Option<f64> {
        self.sorted().first().copied()
    }

    /// The greatest.
    pub fn max(&self) -> Option<f64> {
        self.sorted().last().copied()
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// Ours divided by keepalived's, of the medians; `None` when one is missing or keepalived's is 0.
pub fn ratio(ours: &Samples, theirs: &Samples) -> Option<f64> {
    let (ours, theirs) = (ours.median()?, theirs.median()?);
    (theirs > 0.0).then(|| ours / theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        values.iter().copied().collect()
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_middle_two() {
        assert_eq!(samples(&[]).median(), None);
        assert_eq!(samples(&[3.0]).median(), Some(3.0));
        assert_eq!(samples(&[9.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(samples(&[9.0, 1.0, 2.0, 4.0]).median(), Some(3.0));
    }

    #[test]
    fn least_and_greatest_do_not_depend_on_the_order() {
        let values = samples(&[2.0, 9.0, 1.0]);
        assert_eq!((values.min(), values.max()), (Some(1.0), Some(9.0)));
    }

    #[test]
    fn a_ratio_needs_both_and_something_to_divide_by() {
        assert_eq!(ratio(&samples(&[1.0]), &samples(&[2.0])), Some(0.5));
        assert_eq!(ratio(&samples(&[]), &samples(&[2.0])), None);
        assert_eq!(ratio(&samples(&[1.0]), &samples(&[])), None);
        assert_eq!(ratio(&samples(&[1.0]), &samples(&[0.0])), None);
    }
}
