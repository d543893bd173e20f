//! What is kept of an identity in its file: a token, or what a device has that is signed in, which is renewed in time.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::account::{Accounts, Tokens};
use crate::failure::Failure;
use crate::identity::replace;
use crate::trust::Trust;

/// A token is renewed when so many seconds are left of it, or a third of its life if that is less.
const MARGIN_MAX_S: u64 = 60;

/// What a device has that is signed in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignedIn {
    /// Where its accounts are.
    pub http: String,
    pub handle: String,
    pub user: String,
    pub device: u32,
    pub access_token: String,
    pub access_expires_s: u64,
    /// When that one came.
    pub renewed_s: u64,
    pub refresh_token: String,
}

impl SignedIn {
    pub fn new(http: &str, tokens: Tokens) -> SignedIn {
        let Tokens { handle, user, device, access_token, access_expires_s, refresh_token } = tokens;
        let (http, renewed_s) = (http.to_owned(), now_s());
        SignedIn { http, handle, user, device, access_token, access_expires_s, renewed_s, refresh_token }
    }

    /// When it should be renewed, in seconds since 1970.
    pub fn renew_at_s(&self) -> u64 {
        let life_s = self.access_expires_s.saturating_sub(self.renewed_s);
        self.access_expires_s.saturating_sub(life_s.div_ceil(3).min(MARGIN_MAX_S))
    }

    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("text and numbers are JSON")
    }
}

/// The content of an identity's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    /// A token by an operator.
    Token(String),
    /// Signed in with a password.
    SignedIn(Box<SignedIn>),
}

impl Kept {
    /// None: there is nothing in it, or what no version of this program has written.
    pub fn parse(text: &str) -> Option<Kept> {
        match text.trim() {
            "" => None,
            text if text.starts_with('{') => {
                serde_json::from_str(text).ok().map(|found| Kept::SignedIn(Box::new(found)))
            }
            token => Some(Kept::Token(token.to_owned())),
        }
    }
}

/// The identity of a file, with an access token that is good for a while. Of several programs that want to renew it one does;
/// the others wait, and find it done.
pub(crate) fn renewed(path: &Path, trust: &Trust) -> Result<SignedIn, Failure> {
    let failed = |error: std::io::Error| Failure::new("token_file", format!("{}: {error}", path.display()));
    let _turn = lock(path).map_err(failed)?;
    let text = fs::read_to_string(path).map_err(failed)?;
    let Some(Kept::SignedIn(signed_in)) = Kept::parse(&text) else {
        return Err(Failure::new("no_token", format!("{} is not of a device that is signed in", path.display())));
    };
    if now_s() < signed_in.renew_at_s() {
        return Ok(*signed_in);
    }
    let again = |failure: Failure| match failure.code() {
        "token_invalid" => {
            let text = format!("{}; `trunkline login {}` does that", failure.message(), signed_in.handle);
            Failure::new("token_invalid", text)
        }
        _ => failure,
    };
    let tokens = Accounts::at(&signed_in.http, trust).refresh(&signed_in.refresh_token).map_err(again)?;
    let renewed = SignedIn::new(&signed_in.http, tokens);
    let folder = path.parent().unwrap_or(Path::new("."));
    replace(folder, path, &renewed.to_text()).map_err(failed)?;
    Ok(renewed)
}

/// A turn at a file, until it is dropped.
fn lock(path: &Path) -> std::io::Result<File> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".lock");
    let lock: PathBuf = path.with_file_name(name);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(lock)?;
    file.lock()?;
    Ok(file)
}

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed_in(renewed_s: u64, access_expires_s: u64) -> SignedIn {
        SignedIn {
            http: "http://127.0.0.1:1".to_owned(),
            handle: "alice".to_owned(),
            user: "00000000000000ff".to_owned(),
            device: 1,
            access_token: "tl1_x".to_owned(),
            access_expires_s,
            renewed_s,
            refresh_token: "tlr_x".to_owned(),
        }
    }

    #[test]
    fn a_file_has_a_token_or_a_sign_in() {
        let whole = signed_in(1, 2);
        assert_eq!(Kept::parse(&format!("{}\n", whole.to_text())), Some(Kept::SignedIn(Box::new(whole))));
        assert_eq!(Kept::parse(" tl1_abc\n"), Some(Kept::Token("tl1_abc".to_owned())));
        for nothing in ["", " \n", "{", "{\"http\":1}"] {
            assert_eq!(Kept::parse(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_token_is_renewed_in_time() {
        assert_eq!(signed_in(1_000, 1_900).renew_at_s(), 1_840);
        assert_eq!(signed_in(1_000, 1_004).renew_at_s(), 1_002);
        assert_eq!(signed_in(1_000, 1_000).renew_at_s(), 1_000);
    }

    #[test]
    fn what_is_good_is_not_renewed_and_what_is_over_asks_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice");
        let good = signed_in(now_s(), now_s() + 900);
        fs::write(&path, good.to_text()).unwrap();
        assert_eq!(renewed(&path, &Trust::default()).unwrap(), good, "nobody listens on port 1");
        fs::write(&path, signed_in(1, 2).to_text()).unwrap();
        assert_eq!(renewed(&path, &Trust::default()).unwrap_err().code(), "unreachable");
        assert_eq!(Kept::parse(&fs::read_to_string(&path).unwrap()), Some(Kept::SignedIn(Box::new(signed_in(1, 2)))));
        fs::write(&path, "tl1_abc").unwrap();
        assert_eq!(renewed(&path, &Trust::default()).unwrap_err().code(), "no_token");
    }
}
