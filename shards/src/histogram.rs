//! How often values of which size were seen: a bucket per power of two, so that a shard can afford one.

/// Buckets with an upper bound: the bound of bucket i is 2^i.
pub const BOUNDED: usize = 26;

/// Counts of values by size. In microseconds it reaches from 1 us to half a minute.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Histogram {
    /// By bucket; the last one has no bound.
    counts: [u64; BOUNDED + 1],
    sum: u64,
}

impl Histogram {
    /// Sees a value so many times.
    pub fn record(&mut self, value: u64, times: u64) {
        let bucket = (u64::BITS - value.saturating_sub(1).leading_zeros()) as usize;
        self.counts[bucket.min(BOUNDED)] += times;
        self.sum = self.sum.wrapping_add(value.wrapping_mul(times));
    }

    /// Adds what another one has seen.
    pub fn add(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(other.counts).for_each(|(a, b)| *a += b);
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Upper bound of each bucket, itself included, and how many values it holds that the one before does not; without a
    /// bound last.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        self.counts.iter().enumerate().map(|(bucket, count)| ((bucket < BOUNDED).then(|| 1 << bucket), *count))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn values_fall_at_or_below_the_bound_of_their_bucket() {
        let mut histogram = Histogram::default();
        for value in [0, 1, 2, 3, 4, 5, 1 << 25, (1 << 25) + 1, u64::MAX] {
            histogram.record(value, 1);
        }
        let seen: Vec<_> = histogram.buckets().filter(|(_, count)| *count > 0).collect();
        let bounds = vec![(Some(1), 2), (Some(2), 1), (Some(4), 2), (Some(8), 1), (Some(1 << 25), 1), (None, 2)];
        assert_eq!(seen, bounds);
        assert_eq!(histogram.count(), 9);
    }

    #[test]
    fn sums_add_up() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        one.record(10, 3);
        other.record(100, 2);
        one.add(&other);
        assert_eq!((one.count(), one.sum()), (5, 230));
    }
}
