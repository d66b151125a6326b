//! An axis from 0 to a round number, with round steps.

/// See the module.
pub(super) struct Axis {
    pub(super) end: f64,
    step: f64,
}

impl Axis {
    /// One that `most` fits on.
    pub(super) fn to(most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let rough = most / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
        let step = step
            .into_iter()
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(rough);
        Self {
            end: (most / step * 0.999).ceil() * step,
            step,
        }
    }

    /// Where numbers stand on it.
    pub(super) fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = (self.end / self.step).round() as u32;
        (0..=count).map(|n| f64::from(n) * self.step)
    }
}

/// A number as short as an axis has room for.
pub(super) fn short(value: f64) -> String {
    let (value, unit) = match value {
        millions if millions >= 1e6 => (millions / 1e6, "M"),
        thousands if thousands >= 1e4 => (thousands / 1e3, "k"),
        few => (few, ""),
    };
    let text = format!("{value:.3}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_round_and_hold_the_most() {
        for (most, end) in [(41.0, 50.0), (1_000_000.0, 1_000_000.0), (0.07, 0.08), (0.0, 1.0)] {
            let axis = Axis::to(most);
            assert!((axis.end - end).abs() < end * 1e-9, "{most}: {}", axis.end);
            assert!(axis.ticks().count() <= 7);
        }
        assert_eq!(
            [short(0.0), short(250.0), short(1_500_000.0)],
            ["0", "250", "1.5M"]
        );
    }
}
