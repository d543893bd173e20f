//! DATA/admin.sock: lines of JSON from the owner of the data folder, and from nobody else.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::Shutdown;
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use trunkline_wire::message::ErrorCode;

use super::{Admin, Refusal, to_value};
use crate::ask::Shards;
use crate::limits::{
    ADMIN_ACCEPT_AGAIN_MS, ADMIN_CONNECTIONS_MAX, ADMIN_IDLE_MS, ADMIN_LINE_BYTES_MAX, SOCKET_PATH_BYTES_MAX,
};

/// Name of the socket in the data folder.
pub const ADMIN_SOCKET: &str = "admin.sock";

/// Why there is no admin socket.
#[derive(Debug)]
pub enum SocketError {
    /// The path does not fit into a socket's address.
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// Another server answers there.
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something else has the name.
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused something.
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which path.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketError::PathTooLong { path } => write!(
                f,
                "the path of the admin socket {} has {} bytes, the system allows {SOCKET_PATH_BYTES_MAX}: give a shorter \
                 --data, for example a symbolic link to that folder (ln -s FOLDER /tmp/trunkline)",
                path.display(),
                path.as_os_str().len()
            ),
            SocketError::InUse { path } => {
                write!(f, "a server runs with this data folder already: it answers on {}", path.display())
            }
            SocketError::NoSocket { path } => {
                let path = path.display();
                write!(f, "{path} is in the way of the admin socket; if nobody needs it, run: rm {path}")
            }
            SocketError::Io { doing, path, error } => {
                write!(f, "cannot {doing} the admin socket {}: {error}", path.display())?;
                let denied = error.kind() == io::ErrorKind::PermissionDenied;
                if denied { f.write_str("; it is its owner's alone: run this as the server's user") } else { Ok(()) }
            }
        }
    }
}

impl std::error::Error for SocketError {}

pub(super) fn path_fits(path: &Path) -> bool {
    path.as_os_str().as_bytes().len() <= SOCKET_PATH_BYTES_MAX
}

/// Whether a failed connect says that there is no server.
pub(super) fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory)
}

/// An open admin socket: a thread that accepts, and one for each connection. Dropping it closes the socket and removes it.
#[derive(Debug)]
pub struct AdminSocket {
    path: PathBuf,
    listener: Arc<UnixListener>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl AdminSocket {
    /// Opens the socket of a data folder. What a dead process left there is replaced.
    ///
    /// # Errors
    /// See [`SocketError`]; its text says what to do.
    pub fn open<S: Shards + Send + Sync + 'static>(data: &Path, admin: Admin<S>) -> Result<AdminSocket, SocketError> {
        let path = data.join(ADMIN_SOCKET);
        let listener = Arc::new(bind(&path)?);
        let ended = Arc::new(AtomicBool::new(false));
        let accepting = (Arc::clone(&listener), Arc::clone(&ended));
        let admin = Arc::new(admin);
        let run = move || accept_all(&accepting.0, &accepting.1, &admin);
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(run);
        let thread =
            thread.map_err(|error| SocketError::Io { doing: "start a thread for", path: path.clone(), error })?;
        Ok(AdminSocket { path, listener, ended, thread: Some(thread) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Ends a blocked accept (Linux).
        let woken = rustix::net::shutdown(&*self.listener, Shutdown::Both).is_ok();
        if let (true, Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    if !path_fits(path) {
        return Err(SocketError::PathTooLong { path: path.to_owned() });
    }
    let failed = |doing| move |error| SocketError::Io { doing, path: path.to_owned(), error };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("look at")(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NoSocket { path: path.to_owned() }),
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => return Err(SocketError::InUse { path: path.to_owned() }),
            Err(error) if is_nobody(&error) => fs::remove_file(path).map_err(failed("remove the old file of"))?,
            Err(error) => return Err(failed("try")(error)),
        },
    }
    let listener = UnixListener::bind(path).map_err(failed("make"))?;
    // Whoever comes before this is refused by its user id.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed("protect"))?;
    Ok(listener)
}

/// One of the few places for connections; dropping it frees it.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(taken: &Arc<AtomicUsize>) -> Option<Seat> {
        let before = taken.fetch_add(1, Ordering::SeqCst);
        let seat = Seat(Arc::clone(taken));
        (before < ADMIN_CONNECTIONS_MAX).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn accept_all<S: Shards + Send + Sync + 'static>(listener: &UnixListener, ended: &AtomicBool, admin: &Arc<Admin<S>>) {
    let taken = Arc::new(AtomicUsize::new(0));
    while !ended.load(Ordering::SeqCst) {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(ADMIN_ACCEPT_AGAIN_MS));
            continue;
        };
        let idle = Some(Duration::from_millis(ADMIN_IDLE_MS));
        if stream.set_read_timeout(idle).and_then(|()| stream.set_write_timeout(idle)).is_err() {
            continue;
        }
        let Some(seat) = Seat::take(&taken) else {
            refuse(&stream, ErrorCode::Busy, "too many connections to the admin socket");
            continue;
        };
        if !is_owner(&stream) {
            refuse(&stream, ErrorCode::Forbidden, "the admin socket is its owner's alone");
            continue;
        }
        let admin = Arc::clone(admin);
        let serve = move || {
            // An error here is the client's leaving, or its silence.
            let _ = serve(&stream, &admin);
            drop(seat);
        };
        // Without a thread the stream is dropped, and the client sees it.
        let _ = thread::Builder::new().name("admin client".to_owned()).spawn(serve);
    }
}

/// Whether the other end is the same user, or root.
fn is_owner(stream: &UnixStream) -> bool {
    socket_peercred(stream).is_ok_and(|peer| peer.uid.is_root() || peer.uid == geteuid())
}

fn refuse(mut stream: &UnixStream, code: ErrorCode, message: &str) {
    let _ = stream.write_all(format!("{}\n", to_value(&Refusal::new(code.name(), message))).as_bytes());
}

/// Answers lines until the client ends, is silent for too long or sends a line that is too long.
fn serve<S: Shards>(mut stream: &UnixStream, admin: &Admin<S>) -> io::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        lines.by_ref().take(ADMIN_LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        if line.pop() != Some(b'\n') {
            let text = format!("a request is one line of at most {ADMIN_LINE_BYTES_MAX} bytes");
            refuse(stream, ErrorCode::Malformed, &text);
            return Ok(());
        }
        let mut answer = admin.answer_line(&line);
        answer.push('\n');
        stream.write_all(answer.as_bytes())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{AdminClient, Request, Token};
    use crate::test_shards::admin;

    fn open(data: &Path) -> AdminSocket {
        AdminSocket::open(data, admin(2)).unwrap()
    }

    fn ask_raw(path: &Path, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn is_its_owners_alone_and_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let socket = open(folder.path());
        let mode = fs::metadata(socket.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let path = socket.path().to_owned();
        drop(socket);
        assert!(!path.exists());
        assert!(AdminClient::connect(folder.path()).unwrap().is_none());
    }

    #[test]
    fn answers_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let socket = open(folder.path());
        let mut client = AdminClient::connect(folder.path()).unwrap().unwrap();
        let add = Request::UserAdd { name: "alice".to_owned(), ttl_s: None };
        let added: Token = client.ask(&add).unwrap();
        assert_eq!((added.device, added.handle.as_str()), (1, "alice"));
        assert_eq!(client.ask::<Token>(&add).unwrap_err().error, "handle_taken");
        let answers = ask_raw(socket.path(), b"{\"op\":\"status\"}\nnonsense\n");
        let lines: Vec<&str> = answers.lines().collect();
        assert!(lines.len() == 2 && lines[0].contains("memory") && lines[1].contains("malformed"), "{answers}");
    }

    #[test]
    fn lines_and_connections_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let socket = open(folder.path());
        let long = vec![b' '; ADMIN_LINE_BYTES_MAX];
        assert!(ask_raw(socket.path(), &long).contains("malformed"));
        assert!(ask_raw(socket.path(), b"{\"op\":").contains("malformed"));
        let connect = || UnixStream::connect(socket.path()).unwrap();
        let mut clients: Vec<UnixStream> = Vec::new();
        let refused = loop {
            let mut client = connect();
            // One that is refused may be closed before it has spoken; what it was told says so.
            let _ = client.write_all(b"{\"op\":\"status\"}\n");
            let mut line = String::new();
            BufReader::new(&client).read_line(&mut line).unwrap();
            if line.contains("busy") {
                break clients.len();
            }
            clients.push(client);
        };
        // The two connections of above may still be on their way out.
        assert!((ADMIN_CONNECTIONS_MAX - 2..=ADMIN_CONNECTIONS_MAX).contains(&refused), "{refused}");
    }

    #[test]
    fn a_path_that_does_not_fit_is_refused_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().as_os_str().len() + ADMIN_SOCKET.len() + 2;
        let fits = folder.path().join("x".repeat(SOCKET_PATH_BYTES_MAX - taken));
        let too_long = folder.path().join("x".repeat(SOCKET_PATH_BYTES_MAX - taken + 1));
        fs::create_dir(&fits).unwrap();
        fs::create_dir(&too_long).unwrap();
        assert_eq!(open(&fits).path().as_os_str().len(), SOCKET_PATH_BYTES_MAX);
        let error = AdminSocket::open(&too_long, admin(1)).unwrap_err().to_string();
        assert!(error.contains("108 bytes") && error.contains("ln -s"), "{error}");
        assert!(AdminClient::connect(&too_long).unwrap().is_none());
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_respected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ADMIN_SOCKET);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = open(folder.path());
        let error = AdminSocket::open(folder.path(), admin(1)).unwrap_err();
        assert!(matches!(error, SocketError::InUse { .. }), "{error}");
        drop(socket);
        fs::write(&path, "mine").unwrap();
        let error = AdminSocket::open(folder.path(), admin(1)).unwrap_err();
        assert!(matches!(error, SocketError::NoSocket { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
