//! A token bucket: a burst, then a rate.

const NS_PER_S: u64 = 1_000_000_000;

/// How much of a burst is used up, in nanoseconds of refill at the rate; 0 is a full bucket. 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Bucket {
    used_until_ns: u64,
}

impl Bucket {
    /// Takes `count` tokens of a bucket with room for `burst` that gains one every `every_ns`; false and nothing taken when
    /// there are fewer.
    pub fn take(&mut self, now_ns: u64, burst: u64, every_ns: u64, count: u64) -> bool {
        let start = self.used_until_ns.max(now_ns);
        let end = start.saturating_add(count.saturating_mul(every_ns));
        let admitted = end - now_ns <= burst.saturating_mul(every_ns);
        if admitted {
            self.used_until_ns = end;
        }
        admitted
    }

    /// The same with a rate per second.
    pub fn take_per_s(&mut self, now_ns: u64, burst: u64, per_s: u64, count: u64) -> bool {
        self.take(now_ns, burst, (NS_PER_S / per_s.max(1)).max(1), count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_burst_and_then_the_rate() {
        let mut bucket = Bucket::default();
        let now = 1_000 * NS_PER_S;
        assert!((0..60).all(|_| bucket.take_per_s(now, 60, 5, 1)));
        assert!(!bucket.take_per_s(now, 60, 5, 1));
        assert!(!bucket.take_per_s(now + NS_PER_S / 10, 60, 5, 1));
        assert!(bucket.take_per_s(now + NS_PER_S / 5, 60, 5, 1));
        assert!(!bucket.take_per_s(now + NS_PER_S / 5, 60, 5, 1));
        let later = now + 3_600 * NS_PER_S;
        assert!(bucket.take_per_s(later, 60, 5, 60), "never more than the burst");
        assert!(!bucket.take_per_s(later, 60, 5, 1));
    }
}
