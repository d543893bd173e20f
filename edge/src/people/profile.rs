//! A user's own profile: what it is called, and what its picture goes by.

use unicode_normalization::UnicodeNormalization;

use super::{People, PeopleError, Person};
use crate::ask::Shards;
use crate::limits::{AVATAR_BYTES_MAX, DISPLAY_NAME_BYTES_MAX};

/// What is to become of a profile; what is none stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProfileChange {
    /// What the user is called; empty: by its handle.
    pub display_name: Option<String>,
    /// What its picture goes by; empty: there is none.
    pub avatar: Option<String>,
}

impl<S: Shards> People<'_, S> {
    /// The caller itself.
    ///
    /// # Errors
    /// See [`PeopleError`].
    pub fn profile(&self) -> Result<Person, PeopleError> {
        self.user(self.caller)
    }

    /// Changes the caller's profile, and shows it.
    ///
    /// # Errors
    /// See [`PeopleError`].
    pub fn change_profile(&self, change: ProfileChange) -> Result<Person, PeopleError> {
        let display_name = change.display_name.as_deref().map(display_name).transpose()?;
        let avatar = change.avatar.as_deref().map(avatar).transpose()?;
        self.accounts().change(self.caller, false, |account, _| {
            if let Some(name) = &display_name {
                account.profile.display_name.clone_from(name);
            }
            if let Some(avatar) = &avatar {
                account.profile.avatar.clone_from(avatar);
            }
            Ok(())
        })?;
        self.profile()
    }
}

/// One line in NFC. What would turn the text around it (UAX #9) or end its line is no part of a name.
fn display_name(text: &str) -> Result<String, PeopleError> {
    // Normalizing makes a text longer, but never beyond this (UAX #15).
    if text.len() > 4 * DISPLAY_NAME_BYTES_MAX {
        return Err(PeopleError::DisplayName);
    }
    let name: String = text.trim().nfc().collect();
    let is_bad = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if name.len() > DISPLAY_NAME_BYTES_MAX || name.chars().any(is_bad) {
        return Err(PeopleError::DisplayName);
    }
    Ok(name)
}

/// What it means is the clients' affair.
fn avatar(text: &str) -> Result<String, PeopleError> {
    if text.len() > AVATAR_BYTES_MAX || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(PeopleError::Avatar);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_in_nfc() {
        assert_eq!(display_name("  Zoe\u{308} 📱 ").unwrap(), "Zoë 📱");
        assert_eq!(display_name("").unwrap(), "");
        assert!(display_name(&"é".repeat(64)).is_ok());
        for bad in ["two\nlines", "tab\tbed", "\u{202e}evil", "a\u{2028}b", &"é".repeat(65), &"x".repeat(5_000)] {
            assert_eq!(display_name(bad), Err(PeopleError::DisplayName), "{bad:?}");
        }
    }

    #[test]
    fn an_avatar_is_a_word() {
        for good in ["", "blob:3f2a", &"x".repeat(AVATAR_BYTES_MAX)] {
            assert_eq!(avatar(good).unwrap(), good);
        }
        for bad in ["a b", "a\n", &"x".repeat(AVATAR_BYTES_MAX + 1)] {
            assert_eq!(avatar(bad), Err(PeopleError::Avatar), "{bad:?}");
        }
    }
}
