//! Users with real tokens: asked for over the server's admin socket, kept in a file for the next run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use trunkline_wire::ids::UserId;

use crate::failure::Failure;

/// Name of the admin socket in a data folder.
const ADMIN_SOCKET: &str = "admin.sock";
/// Connections to it; the server takes 16, and does one request of each at a time.
const ADMIN_CONNECTIONS: usize = 14;
/// Requests on their way per connection: few enough that no buffer of a Unix socket fills.
const ADMIN_PIPELINE: usize = 32;
const ADMIN_PATIENCE: Duration = Duration::from_secs(60);
/// How often a busy server is asked again.
const ADMIN_ATTEMPTS: u32 = 20;
const ADMIN_PAUSE: Duration = Duration::from_millis(200);
/// Life of a token that is asked for, and what must be left of one that is used again.
const TOKEN_TTL_S: u64 = 7 * 86_400;
const TOKEN_REST_S: u64 = 3_600;

/// A user with a token for one of its devices.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The handle.
    pub handle: String,
    /// The user.
    pub id: UserId,
    /// The token.
    pub token: String,
    /// When the token ends, in seconds since 1970.
    pub expires_s: u64,
}

impl User {
    /// From an answer of the admin socket, which is also a line of the file.
    #[must_use]
    pub fn from_json(answer: &Value) -> Option<User> {
        let text = |key: &str| answer.get(key)?.as_str();
        Some(User {
            handle: text("handle")?.to_owned(),
            id: UserId::parse(text("user")?)?,
            token: text("token")?.to_owned(),
            expires_s: answer.get("expires_s")?.as_u64()?,
        })
    }

    fn to_json(&self) -> Value {
        json!({"handle": self.handle, "user": self.id.to_string(), "token": self.token, "expires_s": self.expires_s})
    }
}

/// Where tokens are kept when nothing else is said: beside the data folder, named after it.
#[must_use]
pub fn default_file(data: &Path) -> PathBuf {
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(".tokens");
    data.with_file_name(name)
}

/// The first `count` users of a prefix: those of the file whose tokens last, the others from the server, if there is a data
/// folder to find it by. The file has them all afterwards.
///
/// # Errors
/// The server's refusals, and files that cannot be used.
pub fn ensure(file: &Path, data: Option<&Path>, prefix: &str, count: usize) -> Result<Vec<User>, Failure> {
    let mut known = read(file)?;
    let handles: Vec<String> = (0..count).map(|number| format!("{prefix}{number}")).collect();
    let missing: Vec<String> = handles.iter().filter(|handle| !known.contains_key(*handle)).cloned().collect();
    if !missing.is_empty() {
        let Some(data) = data else {
            let (file, missing) = (file.display(), missing.len());
            return Err(Failure::Operator(format!("{missing} users are missing in {file}: give --data to make them")));
        };
        for user in make(data, &missing)? {
            known.insert(user.handle.clone(), user);
        }
        write(file, &known)?;
    }
    Ok(handles.iter().filter_map(|handle| known.get(handle).cloned()).collect())
}

/// What the admin socket says to `status` or `counters`; none where no server answers.
#[must_use]
pub fn ask(data: &Path, op: &str) -> Option<Value> {
    let mut admin = Admin::connect(data).ok()?;
    admin.ask(&[json!({"op": op})]).ok()?.pop().filter(|answer| answer.get("error").is_none())
}

fn read(file: &Path) -> Result<BTreeMap<String, User>, Failure> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Failure::system(&format!("read {}", file.display()), error)),
    };
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut users = BTreeMap::new();
    for line in text.lines() {
        let user = serde_json::from_str(line).ok().and_then(|line| User::from_json(&line)).ok_or_else(|| {
            Failure::Operator(format!("{} is no file of tokens: delete it or name another", file.display()))
        })?;
        if user.expires_s > since_1970 + TOKEN_REST_S {
            users.insert(user.handle.clone(), user);
        }
    }
    Ok(users)
}

fn write(file: &Path, users: &BTreeMap<String, User>) -> Result<(), Failure> {
    let lines: String = users.values().map(|user| user.to_json().to_string() + "\n").collect();
    let half = file.with_extension("new");
    let written = fs::write(&half, lines).and_then(|()| fs::rename(&half, file));
    written.map_err(|error| Failure::system(&format!("write {}", file.display()), error))
}

/// Makes users over several connections at the same time.
fn make(data: &Path, handles: &[String]) -> Result<Vec<User>, Failure> {
    let share = handles.len().div_ceil(ADMIN_CONNECTIONS).max(1);
    let parts = thread::scope(|scope| {
        let threads: Vec<_> =
            handles.chunks(share).map(|handles| scope.spawn(move || make_part(data, handles))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a part does not panic")).collect::<Vec<_>>()
    });
    let mut users = Vec::with_capacity(handles.len());
    for part in parts {
        users.extend(part?);
    }
    Ok(users)
}

fn make_part(data: &Path, handles: &[String]) -> Result<Vec<User>, Failure> {
    let mut admin = Admin::connect(data)?;
    let mut users = Vec::with_capacity(handles.len());
    for batch in handles.chunks(ADMIN_PIPELINE) {
        let mut wanted: Vec<(&str, &String)> = batch.iter().map(|handle| ("user_add", handle)).collect();
        for attempt in 0.. {
            let lines: Vec<Value> =
                wanted.iter().map(|(op, name)| json!({"op": op, "name": name, "ttl_s": TOKEN_TTL_S})).collect();
            let answers = admin.ask(&lines)?;
            let mut again = Vec::new();
            for ((op, handle), answer) in wanted.into_iter().zip(answers) {
                match (User::from_json(&answer), answer.get("error").and_then(Value::as_str)) {
                    (Some(user), _) => users.push(user),
                    // Made by an earlier run, whose file of tokens is gone: this run gets a device of its own.
                    (None, Some("handle_taken")) => again.push(("user_token", handle)),
                    (None, Some("busy")) if attempt < ADMIN_ATTEMPTS => again.push((op, handle)),
                    _ => return Err(Failure::Operator(format!("no token for {handle}: the server says {answer}"))),
                }
            }
            if again.is_empty() {
                break;
            }
            if again.iter().any(|(op, _)| *op == "user_add") {
                thread::sleep(ADMIN_PAUSE);
            }
            wanted = again;
        }
    }
    Ok(users)
}

/// A connection to the admin socket: lines of JSON, answered in order.
struct Admin {
    stream: BufReader<UnixStream>,
}

impl Admin {
    fn connect(data: &Path) -> Result<Admin, Failure> {
        let path = data.join(ADMIN_SOCKET);
        let stream = UnixStream::connect(&path).map_err(|error| {
            Failure::Operator(format!("no server answers on {} ({error}): start it with --data", path.display()))
        })?;
        let ready = stream.set_read_timeout(Some(ADMIN_PATIENCE));
        ready.map_err(|error| Failure::system("use the admin socket", error))?;
        Ok(Admin { stream: BufReader::new(stream) })
    }

    fn ask(&mut self, requests: &[Value]) -> Result<Vec<Value>, Failure> {
        let lost = |error: std::io::Error| Failure::system("talk to the server's admin socket", error);
        let lines: String = requests.iter().map(|request| request.to_string() + "\n").collect();
        self.stream.get_mut().write_all(lines.as_bytes()).map_err(lost)?;
        let mut answers = Vec::with_capacity(requests.len());
        for _ in requests {
            let mut line = String::new();
            self.stream.read_line(&mut line).map_err(lost)?;
            let answer = serde_json::from_str(&line);
            answers.push(answer.map_err(|error| Failure::Server(format!("its admin socket says {line:?}: {error}")))?);
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: u64, expires_s: u64) -> User {
        User { handle: format!("u{number}"), id: UserId(number + 1), token: format!("t{number}"), expires_s }
    }

    #[test]
    fn kept_tokens_are_used_until_they_end() {
        let file = std::env::temp_dir().join(format!("trunkline-bench-{}.tokens", std::process::id()));
        let users = [user(0, u64::MAX), user(1, u64::MAX), user(2, 1)];
        write(&file, &users.iter().map(|user| (user.handle.clone(), user.clone())).collect()).unwrap();
        assert_eq!(ensure(&file, None, "u", 2).unwrap(), users[..2]);
        assert!(matches!(ensure(&file, None, "u", 3), Err(Failure::Operator(text)) if text.starts_with("1 users")));
        fs::write(&file, "not JSON\n").unwrap();
        assert!(matches!(ensure(&file, None, "u", 1), Err(Failure::Operator(text)) if text.contains("delete")));
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn tokens_lie_beside_the_data() {
        assert_eq!(default_file(Path::new("/x/data")), Path::new("/x/data.tokens"));
    }
}
