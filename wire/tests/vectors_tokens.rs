//! Tokens are the same in every version: people keep them for weeks.
//!
//! Set-up: `vectors/tokens.txt`, and one token computed with Python's hmac. Claim: this code signs exactly these and
//! reads them back until they expire.

use std::fmt::Write;

use crate::golden;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use trunkline_wire::ids::{DeviceId, TenantId, UserId};
use trunkline_wire::token::{Claims, Scopes, TokenError, TokenKey, TokenKeys};

fn counting_key() -> TokenKey {
    TokenKey { id: 7, secret: std::array::from_fn(|index| index as u8) }
}

fn claims(tenant: u32, user: u64, device: u32, scopes: u8, expires_s: u64) -> Claims {
    Claims {
        tenant: TenantId(tenant),
        user: UserId(user),
        device: DeviceId(device),
        scopes: Scopes(scopes),
        issued_s: 1_700_000_000,
        expires_s,
    }
}

fn cases() -> Vec<(TokenKey, Claims)> {
    let user = 0x0123_4567_89ab_cdef;
    let month = 1_702_592_000;
    vec![
        (counting_key(), claims(0, user, 2, Scopes::USER.0, month)),
        (counting_key(), claims(1, user, 2, Scopes::USER.0, month)),
        (counting_key(), claims(0, 1, 1, Scopes::ADMIN.0, month)),
        (counting_key(), claims(0, 1, 1, Scopes::IMPORT.0, month)),
        (counting_key(), claims(0, 1, 1, Scopes::BOT.0, month)),
        (TokenKey { id: 0, secret: [0; 32] }, claims(0, 0, 0, 0, 1)),
        (TokenKey { id: u32::MAX, secret: [0xff; 32] }, claims(u32::MAX, u64::MAX, u32::MAX, u8::MAX, u64::MAX)),
    ]
}

fn keys(key: &TokenKey) -> TokenKeys {
    TokenKeys::new(vec![key.clone()]).expect("one key")
}

fn describe(key: &TokenKey, claims: &Claims) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "key {} {}", key.id, HEXLOWER.encode(&key.secret))?;
    write!(out, "tenant {} user {} device {}", claims.tenant.0, claims.user, claims.device.0)?;
    writeln!(out, " scopes {} issued {} expires {}", claims.scopes.0, claims.issued_s, claims.expires_s)?;
    Ok(out)
}

fn made() -> Result<String, std::fmt::Error> {
    let mut out = String::from(
        "# Tokens, three lines each: the key (id, secret), the claims (times in seconds since 1970), the token.\n\
         # Checked and written by wire/tests/vectors_tokens.rs. The keys are examples and secret to nobody.\n",
    );
    for (key, claims) in cases() {
        write!(out, "\n{}{}\n", describe(&key, &claims)?, keys(&key).sign(&claims))?;
    }
    Ok(out)
}

#[test]
fn tokens_are_those_of_the_vectors() {
    let kept = golden::check("tokens.txt", &made().expect("writing to a string"));
    let lines: Vec<&str> = golden::lines(&kept).collect();
    let (vectors, rest) = lines.as_chunks::<3>();
    assert!(rest.is_empty() && vectors.len() == cases().len());
    for (vector, (key, claims)) in vectors.iter().zip(cases()) {
        let [key_line, claims_line, token] = vector;
        let read = keys(&key).verify(token, claims.expires_s - 1).expect("good until its last second");
        let described = describe(&key, &read).expect("writing to a string");
        assert_eq!(described, format!("{key_line}\n{claims_line}\n"));
        assert_eq!(keys(&key).verify(token, claims.expires_s), Err(TokenError::Expired));
    }
}

/// Python: `c = struct.pack(">IIQIBQQ", 7, 0, 0x0123456789abcdef, 2, 1, 1700000000, 1702592000)`, then
/// `hmac.new(bytes(range(32)), c, hashlib.sha256).hexdigest()`.
#[test]
fn the_first_token_is_that_of_python() {
    let (key, claims) = cases().remove(0);
    let token = keys(&key).sign(&claims);
    let bytes = BASE64URL_NOPAD.decode(token.strip_prefix("tl1_").expect("the prefix").as_bytes()).expect("base64");
    let (claims, mac) = bytes.split_at(37);
    assert_eq!(HEXLOWER.encode(claims), "00000007000000000123456789abcdef0000000201000000006553f10000000000657b7e00");
    assert_eq!(HEXLOWER.encode(mac), "acbd86b2050823dcb5d16ba01a6cc952b7ebcad9f294411063447f3c9cbeb8df");
}
