//! How an operator's command reaches the shards: those of the server that runs with a data folder, or where none runs, the
//! folder itself.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use trunkline_cli::Failure;
use trunkline_edge::admin::{Admin, AdminClient, Facts, Refusal, Request};
use trunkline_edge::keys;
use trunkline_storage::embedded::{EmbeddedIndex, EmbeddedLog, OpenError};

use crate::offline::Offline;

/// How long a folder may be held by a server that starts or stops, or by another command.
const FOLDER_HELD_MAX: Duration = Duration::from_secs(5);
const FOLDER_AGAIN: Duration = Duration::from_millis(50);

/// Who answers an operator.
pub enum Reach {
    /// The server that runs.
    Server(AdminClient),
    /// The folder; it is held until this is dropped.
    Folder(Box<Admin<Offline<EmbeddedLog, EmbeddedIndex>>>),
}

impl Reach {
    /// The server that runs with a folder, or the folder where none runs.
    ///
    /// # Errors
    /// Neither can be had.
    pub fn open(data: &Path) -> Result<Reach, Failure> {
        let give_up_at = Instant::now() + FOLDER_HELD_MAX;
        loop {
            if let Some(client) = connect(data)? {
                return Ok(Reach::Server(client));
            }
            let keys = keys::open(data).map_err(|error| Failure::new("keys", error.to_string()))?;
            match Offline::open(data, keys.clone()) {
                Ok(offline) => {
                    eprintln!("trunkline: no server runs with {}, opening the folder", data.display());
                    return Ok(Reach::Folder(Box::new(Admin::new(offline, keys, facts()))));
                }
                Err(OpenError::Locked { .. }) if Instant::now() < give_up_at => thread::sleep(FOLDER_AGAIN),
                Err(OpenError::Locked { path }) => {
                    let path = path.display();
                    let text = format!(
                        "another process holds {path}, but no server answers on {path}/admin.sock: if it is starting, try \
                         again; else stop it (who it is: fuser {path}/lock)"
                    );
                    return Err(Failure::new("data_locked", text));
                }
                Err(error) => return Err(Failure::new("store", error.to_string())),
            }
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// What the server or the store refused.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, Failure> {
        let refused = |Refusal { error, message }| Failure::new(error, message);
        match self {
            Reach::Server(client) => client.ask(request).map_err(refused),
            Reach::Folder(admin) => {
                let answer = admin.answer(request).map_err(refused)?;
                Ok(serde_json::from_value(answer).expect("what is answered here is understood here"))
            }
        }
    }
}

/// The server that runs with a folder, if one does.
///
/// # Errors
/// There is something, and it is no server of ours.
pub fn connect(data: &Path) -> Result<Option<AdminClient>, Failure> {
    AdminClient::connect(data).map_err(|error| Failure::new("admin_socket", error.to_string()))
}

/// Nobody is there to connect to.
fn facts() -> Facts {
    Facts {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        shards: 1,
        store: "embedded".to_owned(),
        listen: String::new(),
        admin_listen: None,
        http_listen: None,
    }
}
