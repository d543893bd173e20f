//! Why a run ends without figures, by whose fault it is.

use std::fmt;

use trunkline_wire::message::ErrorCode;

/// What ends a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The server said or did something that it must not, or lost something: the run found a fault.
    Server(String),
    /// The one who started the run has to change something; the text says what.
    Operator(String),
    /// The machine refused something.
    System(String),
}

impl Failure {
    /// A system call or a file failed while `doing` something.
    pub fn system(doing: &str, error: impl fmt::Display) -> Failure {
        Failure::System(format!("cannot {doing}: {error}"))
    }

    /// What the process ends with: 1 for a fault that was found, 2 for the operator, 3 for the machine.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Server(_) => 1,
            Failure::Operator(_) => 2,
            Failure::System(_) => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Server(text) => write!(formatter, "the server is at fault: {text}"),
            Failure::Operator(text) | Failure::System(text) => formatter.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}

/// A typed error as an end of the run: who has to do what.
#[must_use]
pub fn refused(place: &str, code: u16, message: &str) -> Failure {
    let text = |why: &str| format!("{place}: {}: {message}{why}", error_name(code));
    match ErrorCode::from_number(code) {
        Some(ErrorCode::TokenInvalid | ErrorCode::TokenExpired) => {
            Failure::Operator(text("; the file of tokens is of another data folder or too old: delete it"))
        }
        Some(ErrorCode::Draining) => Failure::Operator(text("; the server was told to stop")),
        Some(ErrorCode::StorageFull) => Failure::Operator(text("; make room on the server's disk")),
        Some(ErrorCode::ProtocolVersion) => Failure::Operator(text("; build server and generator from one commit")),
        Some(ErrorCode::Busy) => Failure::Operator(text("; try a smaller --connecting")),
        _ => Failure::Server(text("")),
    }
}

/// The name of an error code, or its number where this generator does not know it.
#[must_use]
pub fn error_name(code: u16) -> String {
    ErrorCode::from_number(code).map_or_else(|| format!("error {code}"), |code| code.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_errors_say_who_has_to_do_what() {
        let judge = |code: ErrorCode| refused("connection 3, request 1", code.number(), "no");
        assert!(matches!(judge(ErrorCode::TokenInvalid), Failure::Operator(text) if text.contains("delete it")));
        assert!(matches!(judge(ErrorCode::OutOfOrder), Failure::Server(text) if text.contains("out_of_order")));
        assert_eq!(error_name(999), "error 999");
    }
}
