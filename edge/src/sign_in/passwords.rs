//! Passwords: Argon2id (RFC 9106), a bounded number of them at a time, and the same work whether or not there is anything to
//! compare with.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use unicode_normalization::UnicodeNormalization;

use super::SignInError;
use crate::limits::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};

/// What hashes and compares.
pub(super) struct Passwords {
    argon: Argon2<'static>,
    /// Of a password that nobody knows.
    decoy: String,
}

impl Passwords {
    /// With these costs: KiB of memory, and passes over it.
    ///
    /// # Panics
    /// With costs that Argon2 does not have: they are bounded by the settings.
    pub fn new(memory_kib: u32, passes: u32) -> Result<Passwords, SignInError> {
        let params = Params::new(memory_kib, passes, 1, None).expect("costs within the bounds of Argon2");
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut unknown = [0; 32];
        getrandom::fill(&mut unknown).map_err(|error| SignInError::Random(error.to_string()))?;
        let mut passwords = Passwords { argon, decoy: String::new() };
        passwords.decoy = passwords.hash_bytes(&unknown)?;
        Ok(passwords)
    }

    /// Whether somebody may choose it (NIST SP 800-63B, 5.1.1.2: length alone counts).
    pub fn check(password: &str) -> Result<(), SignInError> {
        let chars = password.nfkc().count();
        if chars < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
            return Err(SignInError::PasswordLength);
        }
        Ok(())
    }

    /// What is kept of a password.
    pub fn hash(&self, password: &str) -> Result<String, SignInError> {
        self.hash_bytes(normal(password).as_bytes())
    }

    fn hash_bytes(&self, password: &[u8]) -> Result<String, SignInError> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|error| SignInError::Random(error.to_string()))?;
        let salt = SaltString::encode_b64(&salt).expect("16 bytes are a salt");
        let hash = self.argon.hash_password(password, &salt).expect("the password's length is bounded");
        Ok(hash.to_string())
    }

    /// Whether it is the one that was kept; never where none was, in the same time.
    pub fn is_right(&self, password: &str, kept: Option<&str>) -> bool {
        let password = if password.len() > PASSWORD_BYTES_MAX { "" } else { password };
        let hash = PasswordHash::new(kept.unwrap_or(&self.decoy));
        let same = hash.is_ok_and(|hash| self.argon.verify_password(normal(password).as_bytes(), &hash).is_ok());
        same && kept.is_some()
    }
}

/// So that one password typed on two keyboards is one.
fn normal(password: &str) -> String {
    password.nfkc().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(64, 1).unwrap()
    }

    #[test]
    fn only_the_right_one_is_right() {
        let passwords = passwords();
        let kept = passwords.hash("Ünïcode pass \u{2460}").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{kept}");
        assert!(passwords.is_right("Ünïcode pass \u{2460}", Some(&kept)));
        assert!(passwords.is_right("U\u{308}ni\u{308}code pass 1", Some(&kept)), "as another keyboard writes it");
        for wrong in ["", "ünïcode pass 1", "Ünïcode pass 1 "] {
            assert!(!passwords.is_right(wrong, Some(&kept)), "{wrong}");
        }
        assert_ne!(kept, passwords.hash("Ünïcode pass \u{2460}").unwrap(), "each has a salt of its own");
    }

    #[test]
    fn nothing_opens_what_has_no_password_and_it_takes_as_long() {
        let passwords = Passwords::new(8 * 1024, 2).unwrap();
        let kept = passwords.hash("a password").unwrap();
        let time = |kept: Option<&str>| {
            let times = (0..5).map(|_| {
                let start = Instant::now();
                assert!(!passwords.is_right("another one", kept));
                start.elapsed()
            });
            times.min().unwrap()
        };
        let (known, unknown) = (time(Some(&kept)), time(None));
        assert!(unknown * 3 > known && known * 3 > unknown, "{known:?} with, {unknown:?} without");
        assert!(!passwords.is_right("x", Some("no hash at all")));
    }

    #[test]
    fn length_alone_counts() {
        for (password, good) in [
            ("1234567", false),
            ("12345678", true),
            ("ääääääää", true),
            (&"x".repeat(256), true),
            (&"x".repeat(257), false),
        ] {
            assert_eq!(Passwords::check(password).is_ok(), good, "{password}");
        }
    }
}
