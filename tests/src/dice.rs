//! Numbers that look random and come again with the same seed (splitmix64).

use std::hash::{BuildHasher, Hasher, RandomState};

/// Where it stands.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Another seed each time.
    pub fn cast() -> u64 {
        RandomState::new().build_hasher().finish()
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number, below an end.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }
}
