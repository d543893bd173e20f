//! What is kept of devices: how far they are, and whether their tokens are worth something.

use trunkline_wire::ids::{DeviceId, MessageId, UserId};

use super::UserKey;

/// How far one device has come in a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceHigh {
    /// The user.
    pub user: UserId,
    /// The user's device.
    pub device: DeviceId,
    /// Highest `client_seq` in the log.
    pub high: u64,
    /// The message that has it.
    pub message_id: MessageId,
}

/// How far a device is in a conversation; never goes down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceReceipt {
    /// Whose.
    pub user: UserId,
    /// The user's device.
    pub device: DeviceId,
    /// The device has everything up to here.
    pub delivered_seq: u64,
    /// The user has read everything up to here, on this device.
    pub read_seq: u64,
}

/// Tokens that are worth nothing any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Revocation {
    /// The last of these tokens has ended by then, in seconds since 1970.
    pub until_s: u64,
    /// Whose.
    pub key: UserKey,
    /// Of which device; none: of all.
    pub device: Option<DeviceId>,
    /// Those that were issued up to then, in seconds since 1970.
    pub issued_to_s: u64,
}
