//! Refresh tokens: opaque to clients, kept as hashes only, and replaced at each use. A token that comes back after it was
//! replaced has been copied, so its whole family ends (RFC 9700, 4.14.2).

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use trunkline_wire::ids::{DeviceId, UserId};

/// For how many seconds a token that was replaced still works: its answer may have been lost on the way.
pub(super) const LEEWAY_S: u64 = 10;

const SECRET_BYTES: usize = 32;
/// User, device and secret.
const TOKEN_BYTES: usize = 8 + 4 + SECRET_BYTES;
/// So that a token is recognised where it does not belong, by people and by scanners of secrets.
const PREFIX: &str = "tlr_";

/// A refresh token as its client has it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RefreshToken {
    pub user: UserId,
    pub device: DeviceId,
    pub secret: [u8; SECRET_BYTES],
}

impl RefreshToken {
    pub fn parse(text: &str) -> Option<RefreshToken> {
        let bytes = BASE64URL_NOPAD.decode(text.strip_prefix(PREFIX)?.as_bytes()).ok()?;
        let bytes: [u8; TOKEN_BYTES] = bytes.try_into().ok()?;
        let (user, rest) = bytes.split_first_chunk::<8>()?;
        let (device, secret) = rest.split_first_chunk::<4>()?;
        Some(RefreshToken {
            user: UserId(u64::from_be_bytes(*user)),
            device: DeviceId(u32::from_be_bytes(*device)),
            secret: secret.try_into().ok()?,
        })
    }

    pub fn to_text(&self) -> String {
        let bytes = [&self.user.0.to_be_bytes()[..], &self.device.0.to_be_bytes(), &self.secret].concat();
        format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }
}

/// The tokens of a device: each is made of the one before it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Family {
    /// SHA-256 of the newest secret, in hex. The secret is 256 random bits, so a plain hash does.
    newest: String,
    /// Of the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// When the newest was made, in seconds since 1970.
    pub renewed_s: u64,
}

/// What a token is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It gets the next one.
    Good,
    /// It was replaced longer ago than an answer travels: somebody has a copy.
    Copied,
    /// It is none of this family, or too old.
    Unknown,
}

impl Family {
    /// A new family whose first token has this secret.
    pub fn begin(now_s: u64, secret: [u8; SECRET_BYTES]) -> ([u8; SECRET_BYTES], Family) {
        (secret, Family { newest: hash(&secret), before: None, renewed_s: now_s })
    }

    pub(super) fn standing_of(&self, secret: &[u8; SECRET_BYTES], now_s: u64, ttl_s: u64) -> Standing {
        let hash = hash(secret);
        match &self.before {
            _ if self.is_over(now_s, ttl_s) => Standing::Unknown,
            _ if is_same(&hash, &self.newest) => Standing::Good,
            Some(before) if is_same(&hash, before) && now_s < self.renewed_s + LEEWAY_S => Standing::Good,
            Some(before) if is_same(&hash, before) => Standing::Copied,
            _ => Standing::Unknown,
        }
    }

    /// The family with a token more, of this secret. Where the one before the newest was used again within its leeway, it
    /// stays the one before: of two answers that crossed, the later one holds.
    pub fn renew(&mut self, used: &[u8; SECRET_BYTES], now_s: u64, secret: &[u8; SECRET_BYTES]) {
        self.before = Some(hash(used));
        self.newest = hash(secret);
        self.renewed_s = now_s;
    }

    /// Whether it has not been used for so long that nobody may come back.
    pub fn is_over(&self, now_s: u64, ttl_s: u64) -> bool {
        now_s >= self.renewed_s.saturating_add(ttl_s)
    }
}

fn hash(secret: &[u8; SECRET_BYTES]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(secret))
}

/// In a time that does not depend on where they differ.
fn is_same(one: &str, other: &str) -> bool {
    let differences = one.bytes().zip(other.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL_S: u64 = 1_000;

    #[test]
    fn a_token_is_its_text() {
        let token = RefreshToken { user: UserId(u64::MAX - 1), device: DeviceId(7), secret: [9; SECRET_BYTES] };
        let text = token.to_text();
        assert!(RefreshToken::parse(&text).is_some_and(|parsed| parsed == token));
        let without = text.strip_prefix(PREFIX).unwrap();
        for wrong in
            [without, &text[..text.len() - 1], &format!("{text}A"), "tlr_", "", "tlr_ä", &text.replace('_', "-")]
        {
            assert!(RefreshToken::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_token_works_once_and_within_its_leeway() {
        let (first, mut family) = Family::begin(100, [1; 32]);
        assert_eq!(family.standing_of(&first, 100, TTL_S), Standing::Good);
        family.renew(&first, 200, &[2; 32]);
        assert_eq!(family.standing_of(&[2; 32], 200, TTL_S), Standing::Good);
        assert_eq!(family.standing_of(&first, 200 + LEEWAY_S - 1, TTL_S), Standing::Good);
        assert_eq!(family.standing_of(&first, 200 + LEEWAY_S, TTL_S), Standing::Copied);
        assert_eq!(family.standing_of(&[3; 32], 200, TTL_S), Standing::Unknown);
        // Its answer was lost: it is used again, and what had been lost is worth nothing.
        family.renew(&first, 205, &[4; 32]);
        assert_eq!(family.standing_of(&[2; 32], 206, TTL_S), Standing::Unknown);
        assert_eq!(family.standing_of(&[4; 32], 206, TTL_S), Standing::Good);
    }

    #[test]
    fn a_silent_family_ends() {
        let (secret, family) = Family::begin(100, [1; 32]);
        assert_eq!(family.standing_of(&secret, 100 + TTL_S - 1, TTL_S), Standing::Good);
        assert_eq!(family.standing_of(&secret, 100 + TTL_S, TTL_S), Standing::Unknown);
    }
}
