//! Set-up: a million texts made of good tokens: bits and characters changed, parts left out, doubled, swapped with another
//! token's, other encodings of the same bytes.
//! Claim: not one of them is accepted (SEC-5), and the tokens they were made of are.

use data_encoding::BASE64URL_NOPAD;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use trunkline_wire::ids::{DeviceId, TenantId, UserId};
use trunkline_wire::token::{Claims, Scopes, TokenKey, TokenKeys};

const MUTANTS: usize = 1_000_000;
const NOW_S: u64 = 1_000_000;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end as u64) as usize
    }
}

fn keys() -> TokenKeys {
    TokenKeys::new((1..=3).map(|id| TokenKey { id, secret: [id as u8; 32] }).collect()).expect("keys")
}

fn good(keys: &TokenKeys, dice: &mut Dice) -> String {
    keys.sign(&Claims {
        tenant: TenantId(dice.below(3) as u32),
        user: UserId(dice.0.next_u64()),
        device: DeviceId(dice.below(9) as u32),
        scopes: Scopes(dice.below(16) as u8),
        issued_s: NOW_S,
        expires_s: NOW_S + 1 + dice.below(1_000) as u64,
    })
}

/// The token with its bytes changed.
fn with_bytes(token: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = BASE64URL_NOPAD.decode(token.strip_prefix("tl1_").expect("a token").as_bytes()).expect("base64");
    change(&mut bytes);
    format!("tl1_{}", BASE64URL_NOPAD.encode(&bytes))
}

fn mutant(token: &str, other: &str, dice: &mut Dice) -> String {
    let at = dice.below(token.len());
    match dice.below(10) {
        0..=3 => with_bytes(token, |bytes| {
            for _ in 0..1 + dice.below(3) {
                let bit = dice.below(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }),
        4 | 5 => {
            let mut text = token.as_bytes().to_vec();
            text[at] = ALPHABET[dice.below(64)];
            String::from_utf8(text).expect("ASCII")
        }
        6 => with_bytes(token, |bytes| bytes.truncate(dice.below(bytes.len()))),
        7 => format!("{}{}", &token[..at], &other[at..]),
        8 => with_bytes(token, |bytes| {
            // The claims of one with the signature of another.
            let signature = BASE64URL_NOPAD.decode(&other.as_bytes()[4..]).expect("base64")[37..].to_vec();
            bytes.splice(37.., signature);
        }),
        _ => format!("{}{}{}", &token[..at], ALPHABET[dice.below(64)] as char, &token[at..]),
    }
}

#[test]
fn mutated_tokens_are_refused() {
    let (keys, mut dice) = (keys(), Dice(ChaCha8Rng::seed_from_u64(5)));
    let tokens: Vec<String> = (0..1_000).map(|_| good(&keys, &mut dice)).collect();
    let (mut mutants, mut accepted) = (0, Vec::new());
    while mutants < MUTANTS {
        let [token, other] = [(); 2].map(|()| &tokens[dice.below(tokens.len())]);
        let text = mutant(token, other, &mut dice);
        // Now and then a change changes nothing, or makes one token of another.
        if text == *token || text == *other {
            continue;
        }
        mutants += 1;
        if keys.verify(&text, NOW_S).is_ok() {
            accepted.push(text);
        }
    }
    assert!(accepted.is_empty(), "{} of {mutants}, such as {}", accepted.len(), accepted[0]);
    assert!(tokens.iter().all(|token| keys.verify(token, NOW_S).is_ok()), "those they were made of are good");
}
