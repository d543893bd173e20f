//! Which shard runs on which core.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores this process may run on, in order; never none.
pub fn cores() -> Vec<usize> {
    let mask = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| mask.is_set(*core)).collect();
    if cores.is_empty() { vec![0] } else { cores }
}

/// The core of a shard: round-robin, since there may be more shards than cores.
pub fn core_of(cores: &[usize], shard: u16) -> usize {
    cores[usize::from(shard) % cores.len()]
}

/// Keeps the calling thread on a core.
///
/// # Errors
/// The system's; the thread then stays where it may be.
pub fn pin(core: usize) -> std::io::Result<()> {
    let mut mask = CpuSet::new();
    mask.set(core);
    Ok(sched_setaffinity(None, &mask)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_go_round() {
        let cores = [2, 5];
        assert_eq!([0, 1, 2, 3].map(|shard| core_of(&cores, shard)), [2, 5, 2, 5]);
    }

    #[test]
    fn a_pinned_thread_has_one_core() {
        let first = super::cores()[0];
        let seen = std::thread::spawn(move || {
            pin(first).unwrap();
            cores()
        });
        assert_eq!(seen.join().unwrap(), [first]);
    }
}
