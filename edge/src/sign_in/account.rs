//! What the edge keeps of a user, in the opaque part of the account's row: JSON, so that a field more breaks nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::refresh::Family;

/// One user's.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    /// In PHC string format; none: no password opens this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<String>,
    /// Devices that have signed in, by number. Those with a token by an operator are not among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) devices: BTreeMap<u32, Device>,
    /// Its operator keeps it out.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub suspended: bool,
    /// What others see of the user.
    #[serde(default, skip_serializing_if = "Profile::is_empty")]
    pub profile: Profile,
}

/// What a user shows of itself beside its handle.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// What it is called; empty: by its handle.
    #[serde(default)]
    pub display_name: String,
    /// What its picture goes by; empty: there is none.
    #[serde(default)]
    pub avatar: String,
}

impl Profile {
    /// Whether it says nothing.
    fn is_empty(&self) -> bool {
        *self == Profile::default()
    }
}

/// A device that has signed in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Device {
    /// As its user calls it.
    pub name: String,
    /// When it signed in, in seconds since 1970.
    pub since_s: u64,
    /// When the last of its access tokens ends, in seconds since 1970.
    #[serde(default)]
    pub access_to_s: u64,
    /// What it gets its next tokens with.
    pub family: Family,
}

impl Account {
    /// What is stored. An account that was never written is empty.
    pub fn decode(bytes: &[u8]) -> Result<Account, serde_json::Error> {
        if bytes.is_empty() { Ok(Account::default()) } else { serde_json::from_slice(bytes) }
    }

    /// What to store.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an account is text and numbers")
    }

    /// Forgets the devices that have been silent for too long to come back.
    pub fn forget_silent(&mut self, now_s: u64, ttl_s: u64) {
        self.devices.retain(|_, device| !device.family.is_over(now_s, ttl_s));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_what_is_unknown_is_passed_over() {
        let (_, family) = Family::begin(10, [1; 32]);
        let device = Device { name: "télé 📱".to_owned(), since_s: 5, access_to_s: 9, family };
        let account =
            Account { password: Some("$argon2id$x".to_owned()), devices: [(3, device)].into(), ..Account::default() };
        assert_eq!(Account::decode(&account.encode()).unwrap(), account);
        assert_eq!(Account::decode(b"").unwrap(), Account::default());
        assert_eq!(Account::decode(br#"{"shoe_size":43}"#).unwrap(), Account::default());
        assert!(Account::decode(b"{").is_err());
    }

    #[test]
    fn silent_devices_go() {
        let device = |at_s| {
            let family = Family::begin(at_s, [1; 32]).1;
            Device { name: String::new(), since_s: 0, access_to_s: 0, family }
        };
        let mut account = Account { devices: [(1, device(10)), (2, device(50))].into(), ..Account::default() };
        account.forget_silent(100, 60);
        assert_eq!(account.devices.keys().collect::<Vec<_>>(), [&2]);
    }
}
