//! Seats of the public port: so many in all, and so many for one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::{PUBLIC_CONNECTIONS_MAX, PUBLIC_CONNECTIONS_PER_ADDRESS_MAX};

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// All seats.
#[derive(Clone, Debug)]
pub(super) struct Seats(Arc<Mutex<Taken>>);

/// A seat, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    address: IpAddr,
}

impl Seats {
    pub fn new() -> Seats {
        Seats(Arc::default())
    }

    /// A seat for a connection from there; loopback may have all of them.
    pub fn take(&self, address: IpAddr) -> Option<Seat> {
        let address = address.to_canonical();
        let mut taken = self.taken();
        let of_address = taken.by_address.get(&address).copied().unwrap_or_default();
        let crowded = of_address >= PUBLIC_CONNECTIONS_PER_ADDRESS_MAX && !address.is_loopback();
        if crowded || taken.all >= PUBLIC_CONNECTIONS_MAX {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(address, of_address + 1);
        Some(Seat { seats: self.clone(), address })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.all -= 1;
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_takes_all_seats() {
        let seats = Seats::new();
        let from = |number: u8| IpAddr::from([10, 0, 0, number]);
        let of_one: Vec<Seat> = (0..2_000).filter_map(|_| seats.take(from(1))).collect();
        assert_eq!(of_one.len(), PUBLIC_CONNECTIONS_PER_ADDRESS_MAX);
        let mapped = IpAddr::from(std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert!(seats.take(mapped).is_none(), "it is the same one");
        let local: Vec<Seat> = (0..2_000).filter_map(|_| seats.take(IpAddr::from([127, 0, 0, 1]))).collect();
        assert_eq!(local.len() + of_one.len(), PUBLIC_CONNECTIONS_MAX);
        assert!(seats.take(from(2)).is_none());
        drop((of_one, local));
        assert!(seats.take(from(1)).is_some() && seats.taken().by_address.is_empty());
    }
}
