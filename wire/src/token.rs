//! Tokens: who a connection is, checked by every shard without asking the store.
//!
//! A token is `tl1_` and, in URL-safe base64 without padding, 37 bytes of big-endian claims followed by their
//! HMAC-SHA-256 (RFC 2104). One format, one algorithm; the key is found by its id.

use alloc::string::String;
use alloc::vec::Vec;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ids::{DeviceId, TenantId, UserId};
use crate::limits::TOKEN_CHARS_MAX;

const PREFIX: &str = "tl1_";
const CLAIMS_BYTES: usize = 37;
const MAC_BYTES: usize = 32;

/// What a token lets its bearer do; a set of bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scopes(pub u8);

impl Scopes {
    /// Everything a person does.
    pub const USER: Scopes = Scopes(1);
    /// Administration of the tenant.
    pub const ADMIN: Scopes = Scopes(2);
    /// Sending with original senders and times.
    pub const IMPORT: Scopes = Scopes(4);
    /// Everything a bot does.
    pub const BOT: Scopes = Scopes(8);

    /// Whether all bits of `other` are in this set.
    pub fn contains(self, other: Scopes) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a token says. Times are in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claims {
    /// The user's tenant.
    pub tenant: TenantId,
    /// The user.
    pub user: UserId,
    /// The user's device.
    pub device: DeviceId,
    /// What it allows.
    pub scopes: Scopes,
    /// When it was made.
    pub issued_s: u64,
    /// When it ends: it is refused from this second on.
    pub expires_s: u64,
}

impl Claims {
    /// Whether they let somebody go on who is this device already.
    pub fn is_of(&self, tenant: TenantId, user: UserId, device: DeviceId) -> bool {
        (self.tenant, self.user, self.device) == (tenant, user, device) && self.scopes.contains(Scopes::USER)
    }
}

/// Why a token is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenError {
    /// Not a token at all.
    Malformed,
    /// Signed with a key this server does not have, or not rightly signed.
    Foreign,
    /// It was good once.
    Expired,
}

/// A key that signs tokens.
#[derive(Clone)]
pub struct TokenKey {
    /// Named in each token, so that keys can be rotated by adding.
    pub id: u32,
    /// 32 random bytes.
    pub secret: [u8; 32],
}

/// The keys of a deployment. The last one signs, all of them verify.
#[derive(Clone)]
pub struct TokenKeys(Vec<TokenKey>);

impl TokenKeys {
    /// At least one key; the last signs.
    pub fn new(keys: Vec<TokenKey>) -> Option<TokenKeys> {
        (!keys.is_empty()).then_some(TokenKeys(keys))
    }

    /// Makes a token.
    pub fn sign(&self, claims: &Claims) -> String {
        let mut bytes = Vec::with_capacity(CLAIMS_BYTES + MAC_BYTES);
        let mut text = String::from(PREFIX);
        if let Some(key) = self.0.last() {
            bytes.extend_from_slice(&key.id.to_be_bytes());
            bytes.extend_from_slice(&claims.tenant.0.to_be_bytes());
            bytes.extend_from_slice(&claims.user.0.to_be_bytes());
            bytes.extend_from_slice(&claims.device.0.to_be_bytes());
            bytes.push(claims.scopes.0);
            bytes.extend_from_slice(&claims.issued_s.to_be_bytes());
            bytes.extend_from_slice(&claims.expires_s.to_be_bytes());
            debug_assert_eq!(bytes.len(), CLAIMS_BYTES);
            let mac = mac_of(key, &bytes).finalize().into_bytes();
            bytes.extend_from_slice(&mac);
        }
        text.push_str(&BASE64URL_NOPAD.encode(&bytes));
        text
    }

    /// Checks a token at the time `now_s`; the comparison of signatures takes the same time whatever they hold.
    pub fn verify(&self, token: &str, now_s: u64) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_CHARS_MAX {
            return Err(TokenError::Malformed);
        }
        let encoded = token.strip_prefix(PREFIX).ok_or(TokenError::Malformed)?;
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| TokenError::Malformed)?;
        let (claims, mac) = bytes.split_at_checked(CLAIMS_BYTES).ok_or(TokenError::Malformed)?;
        if mac.len() != MAC_BYTES {
            return Err(TokenError::Malformed);
        }
        let mut rest = claims;
        let key_id = take(&mut rest).map(u32::from_be_bytes).ok_or(TokenError::Malformed)?;
        let key = self.0.iter().find(|key| key.id == key_id).ok_or(TokenError::Foreign)?;
        mac_of(key, claims).verify_slice(mac).map_err(|_| TokenError::Foreign)?;
        let claims = read_claims(&mut rest).ok_or(TokenError::Malformed)?;
        if now_s >= claims.expires_s { Err(TokenError::Expired) } else { Ok(claims) }
    }
}

fn mac_of(key: &TokenKey, claims: &[u8]) -> Hmac<Sha256> {
    // A key shorter than SHA-256's block of 64 bytes counts as padded with zeros (RFC 2104, section 2).
    let mut block = [0; 64];
    block[..key.secret.len()].copy_from_slice(&key.secret);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(claims);
    mac
}

fn read_claims(rest: &mut &[u8]) -> Option<Claims> {
    Some(Claims {
        tenant: TenantId(u32::from_be_bytes(take(rest)?)),
        user: UserId(u64::from_be_bytes(take(rest)?)),
        device: DeviceId(u32::from_be_bytes(take(rest)?)),
        scopes: Scopes(u8::from_be_bytes(take(rest)?)),
        issued_s: u64::from_be_bytes(take(rest)?),
        expires_s: u64::from_be_bytes(take(rest)?),
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn keys(id: u32, byte: u8) -> TokenKeys {
        TokenKeys::new(vec![TokenKey { id, secret: [byte; 32] }]).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            tenant: TenantId(3),
            user: UserId(0xfeed),
            device: DeviceId(2),
            scopes: Scopes::USER,
            issued_s: 1000,
            expires_s: 2000,
        }
    }

    #[test]
    fn says_what_was_signed_until_it_expires() {
        let keys = keys(1, 7);
        let token = keys.sign(&claims());
        assert_eq!(keys.verify(&token, 1999), Ok(claims()));
        assert_eq!(keys.verify(&token, 2000), Err(TokenError::Expired));
    }

    #[test]
    fn foreign_keys_are_refused_and_old_keys_still_verify() {
        let token = keys(1, 7).sign(&claims());
        assert_eq!(keys(1, 8).verify(&token, 1500), Err(TokenError::Foreign));
        assert_eq!(keys(2, 7).verify(&token, 1500), Err(TokenError::Foreign));
        let both =
            TokenKeys::new(vec![TokenKey { id: 1, secret: [7; 32] }, TokenKey { id: 2, secret: [9; 32] }]).unwrap();
        assert_eq!(both.verify(&token, 1500), Ok(claims()));
        assert_eq!(keys(2, 9).verify(&both.sign(&claims()), 1500), Ok(claims()));
    }

    #[test]
    fn no_changed_token_is_accepted() {
        let keys = keys(1, 7);
        let token = keys.sign(&claims());
        let bytes = BASE64URL_NOPAD.decode(&token.as_bytes()[PREFIX.len()..]).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let mut text = String::from(PREFIX);
            text.push_str(&BASE64URL_NOPAD.encode(&changed));
            assert_eq!(keys.verify(&text, 1500), Err(TokenError::Foreign), "bit {bit}");
        }
        for cut in 0..token.len() {
            assert!(keys.verify(&token[..cut], 1500).is_err(), "cut at {cut}");
        }
        assert_eq!(keys.verify(&"x".repeat(10_000), 1500), Err(TokenError::Malformed));
    }
}
