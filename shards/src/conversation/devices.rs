//! How far each device has sent, in the log as judged and durably.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use trunkline_wire::ids::{DeviceId, MessageId, UserId};

use crate::store::{DeviceHigh, Row};

/// How far one device is, and how far it is durably.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Device {
    high: u64,
    durable_high: u64,
    durable_message_id: u64,
}

/// Every device that ever sent here. Rows of number 0 come from the server and count for none.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    by_device: BTreeMap<(UserId, DeviceId), Device>,
}

impl Devices {
    /// As an image has them.
    pub fn from_list(list: &[DeviceHigh]) -> Devices {
        let device = |h: &DeviceHigh| Device { high: h.high, durable_high: h.high, durable_message_id: h.message_id.0 };
        Devices { by_device: list.iter().map(|high| ((high.user, high.device), device(high))).collect() }
    }

    /// The highest number that was taken.
    pub fn high(&self, sender: (UserId, DeviceId)) -> u64 {
        self.by_device.get(&sender).map_or(0, |device| device.high)
    }

    /// The highest durable number, and the message that has it.
    pub fn durable_high(&self, sender: (UserId, DeviceId)) -> (u64, u64) {
        let device = self.by_device.get(&sender).copied().unwrap_or_default();
        (device.durable_high, device.durable_message_id)
    }

    /// A row was judged.
    pub fn take(&mut self, row: &Row) {
        if row.client_seq != 0 {
            self.by_device.entry(row.numbered_by()).or_default().high = row.client_seq;
        }
    }

    /// A row is durable.
    pub fn settle(&mut self, row: &Row) {
        if row.client_seq != 0 {
            let device = self.by_device.entry(row.numbered_by()).or_default();
            device.durable_high = row.client_seq;
            device.durable_message_id = row.message_id.0;
        }
    }

    /// What is not durable never will be.
    pub fn undo_pending(&mut self) {
        self.by_device.retain(|_, device| {
            device.high = device.durable_high;
            device.high > 0
        });
    }

    /// For checkpoints, in order of (user, device).
    pub fn to_durable_list(&self) -> Vec<DeviceHigh> {
        let devices = self.by_device.iter().filter(|(_, device)| device.durable_high > 0);
        let highs = devices.map(|(&(user, id), device)| DeviceHigh {
            user,
            device: id,
            high: device.durable_high,
            message_id: MessageId(device.durable_message_id),
        });
        highs.collect()
    }

    /// What they take, estimated.
    pub fn memory_bytes(&self) -> usize {
        self.by_device.len() * 64
    }
}
