//! Who a command speaks as and to which server: tokens in files and variables, and what counts before what.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process;

use trunkline_client::transport::session_url;
use trunkline_wire::handle::Handle;

use crate::failure::Failure;
use crate::folders;
use crate::kept::{Kept, renewed};
use crate::trust::Trust;

const URL_DEFAULT: &str = "ws://127.0.0.1:7400";
/// Names in a message about tokens, at most.
const NAMES_SHOWN_MAX: usize = 10;

/// A token and a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub token: String,
    pub url: String,
    /// Whose it is, where `--as` named it.
    pub name: Option<String>,
    /// The file of a device that is signed in, whose token is renewed there.
    pub renewal: Option<PathBuf>,
    /// Who may vouch for the server.
    pub trust: Trust,
}

/// What was given about an identity, on the command line and around it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given<'a> {
    pub token: Option<&'a str>,
    pub token_variable: Option<String>,
    pub name: Option<&'a str>,
    pub url: Option<&'a str>,
    pub url_variable: Option<String>,
    pub trust: Trust,
}

impl<'a> Given<'a> {
    /// Adds the environment's word.
    pub fn with_environment(token: Option<&'a str>, name: Option<&'a str>, url: Option<&'a str>) -> Given<'a> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let (token_variable, url_variable) = (variable("TRUNKLINE_TOKEN"), variable("TRUNKLINE_URL"));
        Given { token, token_variable, name, url, url_variable, trust: Trust::default() }
    }

    /// `--token` before `TRUNKLINE_TOKEN` before `--as`; `--url` before `TRUNKLINE_URL`. Nothing is guessed.
    pub fn resolve(self, config: impl FnOnce() -> Result<PathBuf, Failure>) -> Result<Identity, Failure> {
        let url = self.url.or(self.url_variable.as_deref()).unwrap_or(URL_DEFAULT);
        let url = session_url(url).map_err(|error| Failure::new("invalid_url", error.to_string()))?;
        match (self.token.or(self.token_variable.as_deref()), self.name) {
            (Some(token), _) => {
                let token = token.trim().to_owned();
                Ok(Identity { token, url, name: None, renewal: None, trust: self.trust })
            }
            (None, Some(name)) => {
                let config = config()?;
                let (token, renewal) = match kept_of(&config, name)? {
                    Kept::Token(token) => (token, None),
                    Kept::SignedIn(_) => {
                        let path = token_path(&config, name)?;
                        (renewed(&path, &self.trust)?.access_token, Some(path))
                    }
                };
                Ok(Identity { token, url, name: Some(name.to_owned()), renewal, trust: self.trust })
            }
            (None, None) => Err(no_token(config().ok().as_deref())),
        }
    }
}

/// The URL of a server's sessions, where no identity is needed.
pub(crate) fn server_url(url: Option<&str>) -> Result<String, Failure> {
    let given = Given::with_environment(None, None, url);
    let url = given.url.or(given.url_variable.as_deref()).unwrap_or(URL_DEFAULT);
    session_url(url).map_err(|error| Failure::new("invalid_url", error.to_string()))
}

fn no_token(config: Option<&Path>) -> Failure {
    let mut message = "no token was given: use --as NAME, --token TOKEN or the variable TRUNKLINE_TOKEN".to_owned();
    let mut names: Vec<String> = config
        .and_then(|config| fs::read_dir(config.join("tokens")).ok())
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    if names.is_empty() {
        message.push_str("; `trunkline signup NAME` makes an account, and an operator `trunkline user add NAME`");
    } else {
        names.truncate(NAMES_SHOWN_MAX);
        let _ = write!(message, "; there are tokens of: {}", names.join(", "));
    }
    Failure::new("no_token", message)
}

pub(crate) fn token_path(config: &Path, name: &str) -> Result<PathBuf, Failure> {
    let handle = Handle::parse(name).map_err(|error| Failure::new("invalid_handle", error.describe()))?;
    Ok(config.join("tokens").join(file_name(&handle)))
}

/// Name of a file about a handle: its folded form, so that it is found in whatever case it is asked for. What a path or a
/// shell could stumble over is written as `%XX`.
pub(crate) fn file_name(handle: &Handle) -> String {
    let mut file = String::new();
    for c in handle.fold().chars() {
        match c {
            c if c.is_alphanumeric() || "-_@+".contains(c) || (c == '.' && !file.is_empty()) => file.push(c),
            c => {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|byte| {
                    let _ = write!(file, "%{byte:02X}");
                });
            }
        }
    }
    file
}

/// The handle of such a file, folded; none where the name is of no handle.
pub(crate) fn handle_of_file(file: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(file.len());
    let mut rest = file.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(byte);
        }
    }
    let handle = Handle::parse(&String::from_utf8(bytes).ok()?).ok()?;
    Some(handle.as_str().to_owned())
}

/// What is kept for `--as NAME`.
pub(crate) fn kept_of(config: &Path, name: &str) -> Result<Kept, Failure> {
    let path = token_path(config, name)?;
    let failed = |reason: String| {
        let hint = format!(
            "`trunkline signup {name}` makes a new account, `trunkline login {name}` signs in; operators have \
             `trunkline user add {name}` and `trunkline user token {name}`"
        );
        Failure::new("no_token", format!("no token in {}: {reason}; {hint}", path.display()))
    };
    let text = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    Kept::parse(&text).ok_or_else(|| failed("there is no token in it".to_owned()))
}

/// Keeps a token for `--as NAME`, in place of an earlier one; says where.
///
/// # Errors
/// The file system's, with the path.
pub fn keep_token(name: &str, token: &str) -> Result<PathBuf, Failure> {
    keep_token_in(&folders::config()?, name, token)
}

fn keep_token_in(config: &Path, name: &str, token: &str) -> Result<PathBuf, Failure> {
    let path = token_path(config, name)?;
    let folder = config.join("tokens");
    let write = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        replace(&folder, &path, token)
    };
    let failed = |error: io::Error| Failure::new("token_file", format!("cannot write {}: {error}", path.display()));
    write().map_err(failed)?;
    Ok(path)
}

/// Writes a small private file, whole or not at all.
pub(crate) fn replace(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    let draft = folder.join(format!(".{}.draft", process::id()));
    let written = (|| {
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written.and_then(|()| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given<'a>(token: Option<&'a str>, variable: Option<&str>, name: Option<&'a str>) -> Given<'a> {
        Given { token, token_variable: variable.map(str::to_owned), name, ..Given::default() }
    }

    #[test]
    fn tokens_count_in_their_order_and_are_never_guessed() {
        let config = tempfile::tempdir().unwrap();
        keep_token_in(config.path(), "Alice", "of-file").unwrap();
        let token = |token, variable, name| {
            given(token, variable, name).resolve(|| Ok(config.path().to_owned())).map(|identity| identity.token)
        };
        assert_eq!(token(Some("of-flag"), Some("of-variable"), Some("alice")).unwrap(), "of-flag");
        assert_eq!(token(None, Some("of-variable"), Some("alice")).unwrap(), "of-variable");
        assert_eq!(token(None, None, Some("alice")).unwrap(), "of-file");
        assert_eq!(token(None, None, Some("ALICE")).unwrap(), "of-file");
        let nothing = token(None, None, None).unwrap_err();
        assert_eq!(nothing.code(), "no_token");
        for way in ["--as", "--token", "TRUNKLINE_TOKEN", "alice"] {
            assert!(nothing.message().contains(way), "{way}: {nothing}");
        }
        let unknown = token(None, None, Some("bob")).unwrap_err();
        assert!(unknown.code() == "no_token" && unknown.message().contains("user add bob"), "{unknown}");
    }

    #[test]
    fn urls_count_in_their_order_and_get_a_path() {
        let url = |url, variable: Option<&str>| {
            let given = Given { token: Some("t"), url, url_variable: variable.map(str::to_owned), ..Given::default() };
            given.resolve(|| Err(Failure::new("unused", ""))).map(|identity| identity.url)
        };
        assert_eq!(url(Some("ws://a:1"), Some("ws://b:2")).unwrap(), "ws://a:1/v1/ws");
        assert_eq!(url(None, Some("ws://b:2/x")).unwrap(), "ws://b:2/x");
        assert_eq!(url(None, None).unwrap(), "ws://127.0.0.1:7400/v1/ws");
        assert_eq!(url(Some("http://a"), None).unwrap_err().code(), "invalid_url");
    }

    #[test]
    fn token_files_are_private_and_replaced() {
        let config = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        keep_token_in(config.path(), "bob", "one").unwrap();
        let path = keep_token_in(config.path(), "bob", "two").unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(kept_of(config.path(), "bob").unwrap(), Kept::Token("two".to_owned()));
        assert_eq!(fs::read_dir(config.path().join("tokens")).unwrap().count(), 1);
    }

    #[test]
    fn no_name_leaves_the_folder_or_meets_another() {
        let config = Path::new("/c");
        let file = |name| token_path(config, name).unwrap();
        assert_eq!(file("bob"), Path::new("/c/tokens/bob"));
        assert_eq!(file("../../x"), Path::new("/c/tokens/%2E.%2F..%2Fx"));
        assert_eq!(file(".."), Path::new("/c/tokens/%2E."));
        assert_eq!(file("Ä.b"), Path::new("/c/tokens/ä.b"));
        assert_ne!(file("a/b"), file("a%2Fb"));
        assert_eq!(token_path(config, "a b").unwrap_err().code(), "invalid_handle");
        for name in ["bob", "../../x", "..", "ä.b", "a%2fb"] {
            assert_eq!(handle_of_file(&file_name(&Handle::parse(name).unwrap())).as_deref(), Some(name));
        }
        for name in [".12.draft", "%2", "%zz", "%FF", "a b"] {
            let draft = name == ".12.draft";
            assert_eq!(handle_of_file(name).is_some(), draft, "{name}");
        }
    }
}
