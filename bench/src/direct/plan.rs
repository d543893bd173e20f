//! When which direction speaks in an open loop: at even intervals, in turn.

use super::{Direction, Setting};
use crate::clock::NS_PER_S;

/// Messages of an open loop started in one turn, so that receiving goes on.
const STARTS_PER_TURN: u64 = 512;

/// Who speaks when.
pub(super) struct Plan {
    start_ns: u64,
    interval_ns: Option<f64>,
    next: u64,
    begun_this_turn: u64,
    directions: u32,
    step: u32,
}

impl Plan {
    pub(super) fn new(setting: &Setting) -> Plan {
        let (directions, step) = if setting.is_one_way { (setting.pairs, 2) } else { (2 * setting.pairs, 1) };
        let interval_ns = setting.rate.map(|rate| NS_PER_S as f64 / rate);
        Plan { start_ns: 0, interval_ns, next: 0, begun_this_turn: 0, directions, step }
    }

    pub(super) fn start(&mut self, start_ns: u64) {
        self.start_ns = start_ns;
    }

    pub(super) fn is_open_loop(&self) -> bool {
        self.interval_ns.is_some()
    }

    /// Messages that were due so far.
    pub(super) fn due(&self) -> u64 {
        self.next
    }

    pub(super) fn directions(&self) -> impl Iterator<Item = Direction> + use<> {
        let step = self.step;
        (0..self.directions).map(move |index| index * step)
    }

    /// The next message that is due by now; none after [`STARTS_PER_TURN`], until [`Plan::begin_turn`].
    pub(super) fn next_due(&mut self, now_ns: u64) -> Option<(Direction, u64)> {
        let intended_ns = self.start_ns + (self.next as f64 * self.interval_ns?) as u64;
        if intended_ns > now_ns || self.begun_this_turn >= STARTS_PER_TURN {
            return None;
        }
        let direction = (self.next % u64::from(self.directions)) as u32 * self.step;
        self.next += 1;
        self.begun_this_turn += 1;
        Some((direction, intended_ns))
    }

    pub(super) fn begin_turn(&mut self) {
        self.begun_this_turn = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::direct::setting::tests::setting;

    #[test]
    fn an_open_loop_keeps_its_times_whatever_the_delay() {
        let mut open = setting(2, 1);
        open.rate = Some(1000.0);
        let mut plan = Plan::new(&open);
        plan.start(500);
        assert_eq!(plan.next_due(500), Some((0, 500)));
        assert_eq!(plan.next_due(500), None);
        let late: Vec<_> = std::iter::from_fn(|| plan.next_due(4_000_500)).collect();
        let expected: Vec<_> = (1..=4u32).map(|k| (k % 4, 500 + u64::from(k) * 1_000_000)).collect();
        assert_eq!(late, expected);
        assert_eq!(plan.due(), 5);
        open.is_one_way = true;
        assert_eq!(Plan::new(&open).directions().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn one_turn_does_not_start_everything() {
        let mut open = setting(2, 1);
        open.rate = Some(1e9);
        let mut plan = Plan::new(&open);
        assert_eq!(std::iter::from_fn(|| plan.next_due(NS_PER_S)).count() as u64, STARTS_PER_TURN);
        plan.begin_turn();
        assert!(plan.next_due(NS_PER_S).is_some());
    }
}
