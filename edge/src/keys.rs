//! DATA/keys: the keys that sign and verify tokens.
//!
//! One key per line, `ID HEX64`: a decimal number that no other line has, and 32 bytes in hex. The last line signs, every
//! line verifies. Rotate by adding: `echo "2 $(openssl rand -hex 32)" >> DATA/keys`, then restart; once the tokens of an old
//! key have ended, its line can go. Whoever reads this file can be anybody, so it is its owner's alone (mode 0600).

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use trunkline_wire::token::{TokenKey, TokenKeys};

use crate::limits::KEYS_BYTES_MAX;

/// Name of the file in the data folder.
pub const KEYS_FILE: &str = "keys";

const FIRST_KEY_ID: u32 = 1;

/// Why there are no keys.
#[derive(Debug)]
pub enum KeysError {
    /// The system refused something.
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// Others than the owner may read or change the file.
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What is in the file.
    Content {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeysError::Io { doing, path, error } => write!(f, "cannot {doing} {}: {error}", path.display()),
            KeysError::Exposed { path, mode } => {
                let path = path.display();
                write!(f, "{path} has mode {mode:04o}, but whoever reads it can be anybody: run chmod 600 {path}")
            }
            KeysError::Content { path, line, reason } => write!(
                f,
                "{} line {line}: {reason}; each line is a number, a space and 64 hex digits (a new one: \
                 echo \"2 $(openssl rand -hex 32)\")",
                path.display()
            ),
        }
    }
}

impl std::error::Error for KeysError {}

/// Reads the keys of a data folder; on first start makes folder and file, with one random key.
///
/// # Errors
/// See [`KeysError`]; its text says what to do.
pub fn open(folder: &Path) -> Result<TokenKeys, KeysError> {
    let path = folder.join(KEYS_FILE);
    if let Some(keys) = read(&path)? {
        return Ok(keys);
    }
    create(folder, &path)?;
    let gone = || io::Error::new(io::ErrorKind::NotFound, "it was removed just now");
    read(&path)?.ok_or_else(|| KeysError::Io { doing: "read", path, error: gone() })
}

/// The keys of a file; none where there is no file.
fn read(path: &Path) -> Result<Option<TokenKeys>, KeysError> {
    let failed = |error| KeysError::Io { doing: "read", path: path.to_owned(), error };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeysError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(KEYS_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > KEYS_BYTES_MAX {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, format!("it has over {KEYS_BYTES_MAX} bytes"))));
    }
    let content = |(line, reason)| KeysError::Content { path: path.to_owned(), line, reason };
    parse(&text).map(Some).map_err(content)
}

/// The keys of a text, or the line that is wrong and why.
fn parse(text: &str) -> Result<TokenKeys, (usize, String)> {
    let mut keys: Vec<TokenKey> = Vec::new();
    let filled = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    for (line, number) in filled {
        let key = parse_line(line).map_err(|reason| (number, reason.to_owned()))?;
        if keys.iter().any(|other| other.id == key.id) {
            return Err((number, format!("another line has the number {} already", key.id)));
        }
        keys.push(key);
    }
    TokenKeys::new(keys).ok_or_else(|| (1, "there is no key".to_owned()))
}

fn parse_line(line: &str) -> Result<TokenKey, &'static str> {
    let mut words = line.split_ascii_whitespace();
    let (Some(id), Some(secret), None) = (words.next(), words.next(), words.next()) else {
        return Err("there are not two words");
    };
    let id = id.parse().map_err(|_| "the first word is no number below 4294967296")?;
    let secret = HEXLOWER_PERMISSIVE.decode(secret.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    Ok(TokenKey { id, secret: secret.ok_or("the second word is not 64 hex digits")? })
}

/// Makes the file whole or not at all: written under another name, synced, then linked unless somebody was faster.
fn create(folder: &Path, path: &Path) -> Result<(), KeysError> {
    let failed = |doing: &'static str, path: &Path| {
        let path = path.to_owned();
        move |error| KeysError::Io { doing, path, error }
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("create", folder))?;
    let [mut secret, mut name] = [[0; 32]; 2];
    let random = getrandom::fill(&mut secret).and_then(|()| getrandom::fill(&mut name));
    random.map_err(|error| failed("draw random bytes for", path)(io::Error::other(error)))?;
    let draft = folder.join(format!("{KEYS_FILE}.{}", HEXLOWER.encode(&name[..8])));
    let written = write_draft(&draft, &secret).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&draft);
    written.and(removed).map_err(failed("create", path))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}

fn write_draft(draft: &Path, secret: &[u8; 32]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    writeln!(file, "{FIRST_KEY_ID} {}", HEXLOWER.encode(secret))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_wire::ids::{DeviceId, TenantId, UserId};
    use trunkline_wire::token::{Claims, Scopes, TokenError};

    fn claims() -> Claims {
        let (tenant, user, device) = (TenantId(0), UserId(7), DeviceId(1));
        Claims { tenant, user, device, scopes: Scopes::USER, issued_s: 10, expires_s: 20 }
    }

    fn line(id: u32, digit: char) -> String {
        format!("{id} {}\n", digit.to_string().repeat(64))
    }

    #[test]
    fn the_first_start_makes_a_key_and_later_ones_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("deep/data");
        let first = open(&data).unwrap();
        let again = open(&data).unwrap();
        assert_eq!(again.verify(&first.sign(&claims()), 15), Ok(claims()));
        let mode = fs::metadata(data.join(KEYS_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "nothing else is left behind");
        let other = open(&folder.path().join("other")).unwrap();
        assert_eq!(other.verify(&first.sign(&claims()), 15), Err(TokenError::Foreign));
    }

    #[test]
    fn a_key_is_rotated_by_adding_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let old = open(folder.path()).unwrap();
        let mut file = OpenOptions::new().append(true).open(folder.path().join(KEYS_FILE)).unwrap();
        file.write_all(line(2, 'A').as_bytes()).unwrap();
        let both = open(folder.path()).unwrap();
        assert_eq!(both.verify(&old.sign(&claims()), 15), Ok(claims()));
        assert_eq!(old.verify(&both.sign(&claims()), 15), Err(TokenError::Foreign));
        assert_eq!(parse(&line(2, 'a')).ok().unwrap().verify(&both.sign(&claims()), 15), Ok(claims()));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).unwrap();
        let path = folder.path().join(KEYS_FILE);
        for mode in [0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = open(folder.path()).err().unwrap().to_string();
            assert!(error.contains(&format!("{mode:04o}")) && error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn malformed_lines_are_refused_by_number() {
        let good = line(1, 'a');
        let cases = [
            ("", 1, "no key"),
            ("1 abc\n", 1, "64 hex"),
            ("x 00\n", 1, "no number"),
            (&good[..10], 1, "64 hex"),
            (&format!("{good}\n{}", line(1, 'b')), 3, "already"),
            (&format!("{good}2 {} more\n", "c".repeat(64)), 2, "two words"),
            (&format!("{good}-1 {}\n", "c".repeat(64)), 2, "no number"),
            (&format!("{good}2 {}\n", "g".repeat(64)), 2, "64 hex"),
        ];
        for (text, number, reason) in cases {
            let (line, said) = parse(text).err().unwrap();
            assert!(line == number && said.contains(reason), "{text:?}: {line}: {said}");
        }
        assert!(parse(&format!("{good}\n  \n")).is_ok());
    }
}
