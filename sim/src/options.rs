//! What a seed decides about its world: sizes, limits, and which faults there are.
//!
//! Swarm testing (Groce et al., 2012): each kind of fault is there with probability one half, so that every combination
//! comes up; half of the worlds have tiny limits, so that bounds are reached.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use trunkline_shards::LaneRoom;
use trunkline_shards::limits::Limits;

/// Random choices of a world, all from its seed.
#[derive(Clone)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// A stream of its own for each label of a seed.
    pub fn new(seed: u64, label: u8) -> Dice {
        let mut bytes = [label; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Dice(ChaCha8Rng::from_seed(bytes))
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound as u64) as usize
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True with a probability of `percent`.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// 32 random bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.below(of.len())) }
    }
}

/// What the store promises beside durability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// A group commits wholly or not at all, answers are certain: the embedded store.
    Embedded,
    /// Atomic per conversation only, and answers may be ambiguous: ScyllaDB, Cassandra.
    Partition,
}

/// Faults, each as how often it comes up among the steps (per 10,000; 0: never).
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A connection is cut; what it had sent may still arrive.
    pub cut: usize,
    /// The server process dies.
    pub crash: usize,
    /// A client process dies; its outbox stays.
    pub client_crash: usize,
    /// A client process dies, its outbox with it.
    pub lost_state: usize,
    /// A connection stops moving bytes for a while.
    pub stall: usize,
    /// The disk fills up, or has room again.
    pub disk_full: usize,
    /// Percent of the store's answers that say nothing.
    pub unknown_percent: usize,
    /// The wall clock jumps.
    pub clock_jump: usize,
    /// The server drains and is started anew.
    pub drain: usize,
    /// The server is started from a backup of what it has: another incarnation.
    pub restore: usize,
}

/// One world.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shards at the first start; another number after each crash.
    pub shards: u16,
    /// Users.
    pub users: usize,
    /// Client processes per user: devices and tabs of devices.
    pub persons_per_user: usize,
    /// Most client processes of one user that share a device.
    pub tabs: usize,
    /// Steps with faults.
    pub steps: usize,
    /// Texts that all clients together send.
    pub texts: usize,
    /// Groups that are made.
    pub groups: usize,
    /// Changes of members that are asked for.
    pub changes: usize,
    /// Most bytes of a text.
    pub text_bytes_max: usize,
    /// What the store promises.
    pub profile: Profile,
    /// The server's limits.
    pub limits: Limits,
    /// Room of lanes.
    pub room: LaneRoom,
    /// Faults.
    pub faults: Faults,
    /// Most bytes that arrive together.
    pub segment_bytes_max: usize,
}

impl Options {
    /// The options of a seed.
    pub fn from_seed(seed: u64) -> Options {
        let mut dice = Dice::new(seed, 1);
        let tiny = dice.percent(50);
        let mut on = |percent: usize, rate: usize| if dice.percent(percent) { rate } else { 0 };
        let faults = Faults {
            cut: on(50, 60),
            crash: on(50, 8),
            client_crash: on(50, 15),
            lost_state: on(50, 6),
            stall: on(50, 40),
            disk_full: on(50, 10),
            unknown_percent: on(50, 10),
            clock_jump: on(50, 10),
            drain: on(25, 3),
            restore: on(20, 2),
        };
        let profile = if dice.percent(50) { Profile::Embedded } else { Profile::Partition };
        let unknown_percent = if profile == Profile::Partition { faults.unknown_percent } else { 0 };
        let text_bytes_max = *dice.pick(&[40, 40, 400, 12_000]).unwrap_or(&40);
        // Megabytes in single bytes would take all the steps there are.
        let segments: &[usize] = if text_bytes_max > 400 { &[1_500, 70_000] } else { &[1, 7, 64, 1_500, 70_000] };
        let options = Options {
            shards: dice.between(1, 4) as u16,
            users: dice.between(2, 6),
            persons_per_user: dice.between(1, 4),
            tabs: dice.between(1, 2),
            steps: dice.between(16_000, 44_000),
            texts: dice.between(100, 800),
            groups: *dice.pick(&[0, 1, 2, 4]).unwrap_or(&1),
            changes: dice.between(0, 150),
            text_bytes_max,
            profile,
            limits: limits(&mut dice, tiny),
            room: if tiny { LaneRoom { pushes: 2, answers: 1 } } else { LaneRoom { pushes: 64, answers: 64 } },
            faults: Faults { unknown_percent, ..faults },
            segment_bytes_max: *dice.pick(segments).unwrap_or(&1_500),
        };
        if dice.percent(8) { options.into_marathon() } else { options }
    }

    /// Few users who write much to a server that lives long: their numbers reach their ceilings.
    fn into_marathon(mut self) -> Options {
        let faults = self.faults;
        self.faults = Faults { crash: 0, drain: 0, restore: 0, disk_full: 0, ..faults };
        (self.users, self.persons_per_user) = (self.users.min(2), self.persons_per_user.min(2));
        (self.texts, self.text_bytes_max, self.segment_bytes_max) = (4_000, 40, self.segment_bytes_max.max(1_500));
        self.steps = 50_000;
        let defaults = Limits::default();
        (self.limits.list_every_ms, self.limits.cache_bytes_max) = (1, defaults.cache_bytes_max);
        (self.limits.send_burst, self.limits.conversation_send_burst) = (1_000_000, 1_000_000);
        self
    }
}

fn limits(dice: &mut Dice, tiny: bool) -> Limits {
    let mut limits = Limits::default();
    if dice.percent(70) {
        (limits.send_burst, limits.send_per_s) = (1_000_000, 1_000_000);
        (limits.conversation_send_burst, limits.conversation_send_per_s) = (1_000_000, 1_000_000);
    }
    if tiny {
        limits.appends_max = 2;
        limits.loads_max = 2;
        limits.puts_max = 2;
        limits.load_waiters_max = 2;
        limits.conversation_pending_max = 3;
        limits.checkpoint_rows = 5;
        limits.repeat_rows_max = 12;
        limits.sessions_per_device_max = 2;
        limits.list_rows_max = 2;
    }
    cadence(dice, &mut limits);
    sizes(dice, &mut limits);
    limits
}

/// How often what is coalesced goes out.
fn cadence(dice: &mut Dice, limits: &mut Limits) {
    let every = |dice: &mut Dice| *dice.pick(&[1, 5, 50, 1_000]).unwrap_or(&1_000);
    limits.list_every_ms = every(dice);
    limits.receipts_every_ms = every(dice);
    limits.large_announce_ms = *dice.pick(&[10, 200, 5_000]).unwrap_or(&200);
    limits.large_watch_ms = *dice.pick(&[10, 1_000, 120_000]).unwrap_or(&1_000);
    limits.typing_ms = *dice.pick(&[100, 5_000]).unwrap_or(&5_000);
    limits.heartbeat_ms = *dice.pick(&[5_000, 30_000]).unwrap_or(&30_000);
    limits.outbox_stalled_ms = *dice.pick(&[5_000, 60_000, 60_000]).unwrap_or(&60_000);
}

/// Bounds that are reached often: memory of about four entries, outboxes of a few messages, conversations too large for
/// frames to everyone.
fn sizes(dice: &mut Dice, limits: &mut Limits) {
    if dice.percent(50) {
        limits.cache_bytes_max = dice.between(1_000, 5_000) as u64;
    }
    if dice.percent(50) {
        limits.outbox_bytes_max = *dice.pick(&[1_024, 4_096, 80_000]).unwrap_or(&4_096);
    }
    if dice.percent(30) {
        limits.fan_out_members_max = dice.between(2, 3) as u64;
    }
    if dice.percent(30) {
        limits.notice_members_max = dice.between(2, 3) as u64;
    }
    if dice.percent(30) {
        limits.group_members_max = dice.between(2, 4) as u64;
    }
}
