//! What a server's operator asks over its admin socket, and the users that this makes.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;
use trunkline_wire::ids::{DeviceId, UserId};

use crate::server::PATIENCE;

/// A user with a token.
#[derive(Clone, Debug)]
pub struct Account {
    /// The handle.
    pub name: String,
    /// Who it is.
    pub user: UserId,
    /// The device that the token is of.
    pub device: DeviceId,
    /// The token.
    pub token: String,
}

/// A connection to an admin socket.
#[derive(Debug)]
pub struct Admin(BufReader<UnixStream>);

impl Admin {
    /// To the server that runs with a folder.
    ///
    /// # Panics
    /// Nobody answers there.
    pub fn connect(data: &Path) -> Admin {
        let stream = UnixStream::connect(data.join("admin.sock")).expect("the server has an admin socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
        Admin(BufReader::new(stream))
    }

    /// Asks, and waits for the answer, which may be a refusal.
    ///
    /// # Panics
    /// There is none.
    pub fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.0.get_mut(), "{request}").expect("the server reads its admin socket");
        let mut answer = String::new();
        self.0.read_line(&mut answer).expect("the server answers on its admin socket");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("no JSON ({error}): {answer}"))
    }
}

/// The user that an answer tells of.
#[track_caller]
pub(crate) fn account_of(answer: &Value) -> Account {
    let account = || {
        Some(Account {
            name: answer["handle"].as_str()?.to_owned(),
            user: UserId::parse(answer["user"].as_str()?)?,
            device: DeviceId(u32::try_from(answer["device"].as_u64()?).ok()?),
            token: answer["token"].as_str()?.to_owned(),
        })
    };
    account().unwrap_or_else(|| panic!("no account: {answer}"))
}
