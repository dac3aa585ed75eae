//! Samples and what is made of them.

/// What the rounds of one case came to, in their order. A round that failed keeps its place, so that
/// the others are still compared with their like, and counts for nothing.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// A round without a result.
    pub(super) fn fail(&mut self) {
        self.0.push(f64::NAN);
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// Not a number if there is none.
    pub(super) fn last(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Not a number if there is none.
    pub(super) fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// The nearest-rank percentile; not a number if there is none.
    pub(super) fn percentile(&self, rank: u32) -> f64 {
        quantile(&sorted(self.0.clone()), f64::from(rank) / 100.0)
    }

    /// The lowest and the highest.
    pub(super) fn range(&self) -> [f64; 2] {
        let sorted = sorted(self.0.clone());
        [sorted.first(), sorted.last()].map(|value| value.copied().unwrap_or(f64::NAN))
    }

    /// The median of what each round is to the same round of `other`.
    pub(super) fn ratio(&self, other: &Self) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(ours, theirs)| ours / theirs).collect())
    }

    /// Round by round.
    pub(super) fn map(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(ours, theirs)| f(*ours, *theirs)).collect())
    }
}

/// The lowest of `sorted` that this share of them does not exceed; not a number if there is none.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    // What a product of fractions is too large by must not become a rank.
    let rank = (sorted.len() as f64 * share - 1e-9).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

fn median(values: Vec<f64>) -> f64 {
    let sorted = sorted(values);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.saturating_sub(1)), at(half)) }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.retain(|value| value.is_finite());
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// To four significant digits, which is more than any of these measurements is worth.
pub(super) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    if digits <= 0 {
        return value.round();
    }
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        Samples(values.to_vec())
    }

    #[test]
    fn the_median_is_the_middle_of_the_sorted_rounds() {
        assert_eq!(samples(&[9.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(samples(&[4.0, 1.0, 2.0, 9.0]).median(), 3.0);
        assert!(samples(&[]).median().is_nan());
    }

    #[test]
    fn a_percentile_is_a_value_that_occurred() {
        let all = samples(&(1..=200).map(f64::from).collect::<Vec<_>>());
        assert_eq!(all.percentile(99), 198.0);
        assert_eq!(samples(&[7.0]).percentile(99), 7.0);
        let thousand: Vec<f64> = (1..=1_000).map(f64::from).collect();
        for (share, value) in [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1_000.0)] {
            assert_eq!(quantile(&thousand, share), value, "{share}");
        }
        assert_eq!(all.range(), [1.0, 200.0]);
    }

    #[test]
    fn a_ratio_compares_round_with_round() {
        // The machine was three times as fast in the second round; neither is better for it.
        assert_eq!(samples(&[10.0, 30.0, 10.0]).ratio(&samples(&[10.0, 30.0, 10.0])), 1.0);
        assert_eq!(samples(&[10.0, 30.0, 20.0]).ratio(&samples(&[20.0, 60.0, 20.0])), 0.5);
    }

    #[test]
    fn a_round_that_failed_counts_for_nothing() {
        let mut ours = samples(&[10.0]);
        ours.fail();
        ours.push(30.0);
        assert_eq!(ours.median(), 20.0);
        assert_eq!(ours.ratio(&samples(&[20.0, 1.0, 60.0])), 0.5);
    }

    #[test]
    fn four_digits_are_kept() {
        for (value, kept) in
            [(0.0, 0.0), (1.234_56, 1.235), (123_456.7, 123_457.0), (0.001_234_56, 0.001_235)]
        {
            assert_eq!(rounded(value), kept);
        }
    }
}
