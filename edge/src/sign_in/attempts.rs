//! How often somebody may try: guesses at one handle, and work for one address.

use std::collections::hash_map::RandomState;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::SignInError;

/// Guesses at a handle at once, and the seconds after which one more is looked at: 8,640 a day.
const GUESSES_BURST: u32 = 20;
const GUESS_EVERY_S: u64 = 10;
/// Attempts of an address at once, and the seconds after which one more is looked at.
const FROM_ADDRESS_BURST: u32 = 60;
const FROM_ADDRESS_EVERY_S: u64 = 1;
/// Handles and addresses that are remembered, beyond which those that may try as often as ever are forgotten.
const REMEMBERED_MAX: usize = 100_000;

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock>;

/// Counts them.
pub(super) struct Attempts {
    by_handle: Limiter<String>,
    by_address: Limiter<Ipv6Addr>,
}

impl Attempts {
    pub fn new() -> Attempts {
        Attempts {
            by_handle: limiter(GUESSES_BURST, GUESS_EVERY_S),
            by_address: limiter(FROM_ADDRESS_BURST, FROM_ADDRESS_EVERY_S),
        }
    }

    /// Somebody wants to sign in to a handle.
    pub fn sign_in(&self, folded: &str, from: IpAddr) -> Result<(), SignInError> {
        take(&self.by_address, network(from))?;
        take(&self.by_handle, folded.to_owned())
    }

    /// Somebody wants to sign up.
    pub fn sign_up(&self, from: IpAddr) -> Result<(), SignInError> {
        take(&self.by_address, network(from))
    }
}

/// An address, or the network of 64 bits that one customer has.
fn network(from: IpAddr) -> Ipv6Addr {
    match from {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)),
    }
}

fn limiter<K: Hash + Eq + Clone>(burst: u32, every_s: u64) -> Limiter<K> {
    let quota = Quota::with_period(Duration::from_secs(every_s)).expect("longer than nothing");
    let quota = quota.allow_burst(NonZeroU32::new(burst).expect("at least one"));
    RateLimiter::new(
        quota,
        HashMapStateStore::<K>::new(std::collections::HashMap::with_hasher(RandomState::new())),
        DefaultClock::default(),
    )
}

fn take<K: Hash + Eq + Clone>(limiter: &Limiter<K>, key: K) -> Result<(), SignInError> {
    if limiter.len() > REMEMBERED_MAX {
        limiter.retain_recent();
    }
    let until = limiter.check_key(&key).err();
    until.map_or(Ok(()), |until| {
        let wait = until.wait_time_from(DefaultClock::default().now());
        Err(SignInError::Attempts(wait.as_secs() + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_at_a_handle_are_few_from_wherever() {
        let attempts = Attempts::new();
        let from = |number: u8| IpAddr::from([10, 0, 0, number]);
        let tried = (0..40).filter(|number| attempts.sign_in("alice", from(*number)).is_ok()).count();
        assert_eq!(tried, GUESSES_BURST as usize);
        let Err(SignInError::Attempts(wait_s)) = attempts.sign_in("alice", from(200)) else { panic!() };
        assert!((1..=GUESS_EVERY_S + 1).contains(&wait_s), "{wait_s}");
        assert_eq!(attempts.sign_in("bob", from(200)), Ok(()));
    }

    #[test]
    fn an_address_is_a_network() {
        let attempts = Attempts::new();
        let from = |number: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, number]);
        let tried = (0..100).filter(|number| attempts.sign_up(from(*number)).is_ok()).count();
        assert_eq!(tried, FROM_ADDRESS_BURST as usize);
        assert_eq!(attempts.sign_up(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1])), Ok(()));
        assert_ne!(network(IpAddr::from([10, 0, 0, 1])), network(IpAddr::from([10, 0, 0, 2])));
    }
}
