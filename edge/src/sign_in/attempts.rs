//! How often somebody may try: guesses at one handle, and work for one address.

use std::net::{IpAddr, Ipv6Addr};

use super::SignInError;
use crate::pace::Pace;

/// Guesses at a handle at once, and the seconds after which one more is looked at: 8,640 a day.
const GUESSES_BURST: u32 = 20;
const GUESS_EVERY_S: u64 = 10;
/// Attempts of an address at once, and the seconds after which one more is looked at.
const FROM_ADDRESS_BURST: u32 = 60;
const FROM_ADDRESS_EVERY_S: u64 = 1;

/// Counts them.
pub(super) struct Attempts {
    by_handle: Pace<String>,
    by_address: Pace<Ipv6Addr>,
}

impl Attempts {
    pub fn new() -> Attempts {
        Attempts {
            by_handle: Pace::new(GUESSES_BURST, GUESS_EVERY_S),
            by_address: Pace::new(FROM_ADDRESS_BURST, FROM_ADDRESS_EVERY_S),
        }
    }

    /// Somebody wants to sign in to a handle.
    pub fn sign_in(&self, folded: &str, from: IpAddr) -> Result<(), SignInError> {
        self.by_address.take(network(from)).map_err(SignInError::Attempts)?;
        self.by_handle.take(folded.to_owned()).map_err(SignInError::Attempts)
    }

    /// Somebody wants to sign up.
    pub fn sign_up(&self, from: IpAddr) -> Result<(), SignInError> {
        self.by_address.take(network(from)).map_err(SignInError::Attempts)
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
