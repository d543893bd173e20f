//! How a command fails: a name for scripts, a sentence for people, an exit code.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;
use trunkline_client::core::SendError;
use trunkline_wire::message::ErrorCode;

use crate::aside;

/// Exit code of a command that failed.
pub const EXIT_FAILED: u8 = 1;
/// Exit code of a command that was ended by Ctrl-C: 128 + SIGINT, as shells have it.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Why a command failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    code: String,
    message: String,
    exit: u8,
}

#[derive(Serialize)]
struct Line<'a> {
    error: &'a str,
    message: &'a str,
}

impl Failure {
    /// With a name for scripts and a sentence for people that says what to do.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure { code: code.into(), message: message.into(), exit: EXIT_FAILED }
    }

    /// By Ctrl-C; without a message where that is how the command is meant to end.
    pub fn interrupted(message: impl Into<String>) -> Failure {
        Failure { exit: EXIT_INTERRUPTED, ..Failure::new("interrupted", message) }
    }

    /// Its name for scripts.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Its sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether Ctrl-C was the reason.
    pub fn is_interruption(&self) -> bool {
        self.exit == EXIT_INTERRUPTED
    }

    /// Writes it to stderr, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            self.warn();
        }
        ExitCode::from(self.exit)
    }

    /// Writes it to stderr: something failed that the command did not depend on.
    pub fn warn(&self) {
        let line = Line { error: &self.code, message: &self.message };
        let line = serde_json::to_string(&line).unwrap_or_else(|_| self.code.clone());
        aside::say(&line);
    }

    /// What the server refused, in the words of its code.
    pub(crate) fn refused(code: ErrorCode, what: &str) -> Failure {
        Failure::new(code.name(), format!("{what}: {}", explain(code)))
    }

    /// What was not even taken to be sent.
    pub(crate) fn not_taken(error: &SendError) -> Failure {
        let code = match error {
            SendError::Invalid => ErrorCode::MessageInvalid.name(),
            SendError::TooLarge => ErrorCode::MessageTooLarge.name(),
            SendError::Full => "outbox_full",
            SendError::Closed => "closed",
            SendError::Outbox(_) => "outbox_failed",
        };
        Failure::new(code, error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

fn explain(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::TokenInvalid => {
            "the server does not know this token; is it of another server? or was its device signed out? \
             `trunkline login NAME`, or `trunkline user token NAME` of the operator, gets a new one"
        }
        ErrorCode::TokenExpired => "the token has ended; `trunkline user token NAME` makes a new one",
        ErrorCode::Forbidden => "your token, or your place in the conversation, does not allow it",
        ErrorCode::GroupFull => "the group has as many members as a group can have",
        ErrorCode::ProtocolVersion => "client and server are of versions that do not understand each other",
        ErrorCode::NotFound => "there is no such conversation, or it is none of yours",
        ErrorCode::UnknownPeer => "there is no such user",
        ErrorCode::UnknownHandle => "nobody has this handle",
        ErrorCode::RateLimited => "too many requests, wait a little",
        ErrorCode::Busy | ErrorCode::TooManyRequests => "the server is too busy, try again",
        ErrorCode::Draining => "the server is stopping",
        ErrorCode::StorageFull => "the server's disk is full; nothing was stored",
        ErrorCode::StorageUnavailable => "the server cannot read or write its store",
        ErrorCode::MessageTooLarge => "the message is too large",
        ErrorCode::MessageInvalid => "the message is empty or no text",
        _ => "the server refused it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_with_both_names() {
        let line = Line { error: "not_found", message: "no \"such\"\nthing" };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(text, "{\"error\":\"not_found\",\"message\":\"no \\\"such\\\"\\nthing\"}");
    }
}
