//! Figures out of many measurements: latencies in a histogram, medians of repetitions.

use hdrhistogram::Histogram;

/// Longest latency that is told apart from longer ones, in nanoseconds.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// Decimal digits kept of a latency.
const LATENCY_DIGITS: u8 = 3;
const NS_PER_US: f64 = 1e3;

/// Latencies of one kind.
pub struct Latencies {
    histogram: Histogram<u64>,
}

/// What is told about latencies, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
#[allow(missing_docs)]
pub struct LatencyFigures {
    pub count: u64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

impl Default for Latencies {
    fn default() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS);
        Latencies { histogram: histogram.expect("the bounds are those of a histogram") }
    }
}

impl Latencies {
    /// Adds one; what is beyond the longest counts as the longest.
    pub fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns.max(1));
    }

    /// The figures so far; zeros without a measurement.
    #[must_use]
    pub fn figures(&self) -> LatencyFigures {
        let us = |quantile| self.histogram.value_at_quantile(quantile) as f64 / NS_PER_US;
        if self.histogram.is_empty() {
            return LatencyFigures::default();
        }
        LatencyFigures {
            count: self.histogram.len(),
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: self.histogram.max() as f64 / NS_PER_US,
        }
    }
}

/// The median of values, the mean of the two in the middle of an even number; none of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// A figure per unit; 0 where there is no unit.
#[must_use]
pub fn per(figure: f64, units: f64) -> f64 {
    if units > 0.0 { figure / units } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.figures(), LatencyFigures::default());
        (1..=1000).for_each(|us| latencies.record(us * 1000));
        let figures = latencies.figures();
        let near = |figure: f64, expected: f64| (figure - expected).abs() <= expected / 500.0;
        assert_eq!(figures.count, 1000);
        assert!(near(figures.p50_us, 500.0) && near(figures.p90_us, 900.0), "{figures:?}");
        assert!(near(figures.p99_us, 990.0) && near(figures.p999_us, 999.0), "{figures:?}");
        assert!(near(figures.max_us, 1000.0), "{figures:?}");
    }

    #[test]
    fn extremes_do_not_get_lost() {
        let mut latencies = Latencies::default();
        latencies.record(0);
        latencies.record(u64::MAX);
        let figures = latencies.figures();
        assert!(figures.count == 2 && figures.max_us >= LATENCY_NS_MAX as f64 / NS_PER_US);
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert!(per(1.0, 0.0).abs() < f64::EPSILON);
    }
}
