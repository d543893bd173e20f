//! What users and conversations are called on the screen.

use std::collections::BTreeMap;

use trunkline_client::core::{Summary, UserId};

use super::text::harmless_line;

/// Digits of an id that stand for a user without a known handle.
const ID_DIGITS: usize = 8;

/// Handles that are known, and this user's own.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    me: Option<UserId>,
    my_name: String,
    known: BTreeMap<UserId, String>,
}

impl Names {
    /// Who sits here, and whose handles this machine remembers.
    pub fn new(my_name: String, known: BTreeMap<UserId, String>) -> Names {
        Names { me: None, my_name, known }
    }

    pub fn is_me(&self, user: UserId) -> bool {
        self.me == Some(user)
    }

    pub fn me(&self) -> Option<UserId> {
        self.me
    }

    /// The server said who this is.
    pub fn i_am(&mut self, user: UserId) {
        self.me = Some(user);
    }

    pub fn mine(&self) -> &str {
        &self.my_name
    }

    pub fn learn(&mut self, user: UserId, handle: &str) {
        self.known.insert(user, handle.to_owned());
    }

    pub fn of(&self, user: UserId) -> String {
        match self.known.get(&user) {
            _ if self.is_me(user) => self.my_name.clone(),
            Some(handle) => harmless_line(handle),
            None => user.to_string()[..ID_DIGITS].to_owned(),
        }
    }

    /// A group by its title, a 1:1 by the other.
    pub fn of_conversation(&self, summary: &Summary) -> String {
        match (&summary.title, summary.peer) {
            (Some(title), _) if !title.trim().is_empty() => harmless_line(title),
            (_, Some(peer)) => self.of(peer),
            _ => format!("#{}", &summary.conversation.to_string()[..ID_DIGITS]),
        }
    }
}
