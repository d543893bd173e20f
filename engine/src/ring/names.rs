//! Memory into which the kernel writes peers' addresses.

use trunkline_shards::contract::PeerAddress;

/// A socket address as the kernel writes it: IPv4 (16 bytes) or IPv6 (28 bytes), and its length.
#[repr(C, align(8))]
#[derive(Default)]
pub(super) struct SocketName {
    pub(super) bytes: [u8; SocketName::BYTES],
    pub(super) length: libc::socklen_t,
}

impl SocketName {
    pub(super) const BYTES: usize = size_of::<libc::sockaddr_in6>();

    /// The address, IPv4 mapped into IPv6.
    pub(super) fn peer(&self) -> PeerAddress {
        let family = u16::from_ne_bytes([self.bytes[0], self.bytes[1]]);
        let mut ip = [0; 16];
        if i32::from(family) == libc::AF_INET {
            ip[10..12].fill(0xff);
            ip[12..].copy_from_slice(&self.bytes[4..8]);
        } else {
            ip.copy_from_slice(&self.bytes[8..24]);
        }
        PeerAddress { ip }
    }
}

/// Names on loan to the kernel, each at an address that does not move.
#[derive(Default)]
pub(super) struct Names {
    // Boxed because the kernel writes into a name while the vector may grow.
    #[expect(clippy::vec_box)]
    names: Vec<Box<SocketName>>,
    free: Vec<u32>,
}

impl Names {
    /// Lends one.
    pub(super) fn lend(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.names.push(Box::default());
            self.names.len() as u32 - 1
        })
    }

    /// One that is on loan.
    pub(super) fn name_mut(&mut self, index: u32) -> &mut SocketName {
        &mut self.names[index as usize]
    }

    /// Takes one back, with what was written.
    pub(super) fn take_back(&mut self, index: u32) -> PeerAddress {
        self.free.push(index);
        self.names[index as usize].peer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_is_mapped_into_six() {
        let mut name = SocketName::default();
        name.bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        name.bytes[4..8].copy_from_slice(&[127, 0, 0, 1]);
        let mapped = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
        assert_eq!(name.peer().ip, mapped);
        name.bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
        name.bytes[8..24].copy_from_slice(&[7; 16]);
        assert_eq!(name.peer().ip, [7; 16]);
    }
}
