//! `signup`, `login`, `logout` and `devices`: a password becomes what a device is signed in with, kept for `--as`.

use std::io::{self, BufRead, IsTerminal};

use serde::Serialize;

use crate::account::{Accounts, Device, Tokens};
use crate::args::{DevicesArgs, DevicesCommand, LogoutArgs, SignInArgs};
use crate::failure::Failure;
use crate::folders;
use crate::identity::{Identity, keep_token, kept_of, server_url, token_path};
use crate::kept::{Kept, SignedIn, renewed};
use crate::limits::PASSWORD_BYTES_MAX;
use crate::output::Output;

/// What `signup` and `login` print.
#[derive(Serialize)]
struct SignedInLine<'a> {
    handle: &'a str,
    user: &'a str,
    device: u32,
}

/// `signup`
pub(crate) fn sign_up(args: &SignInArgs, out: &mut Output) -> Result<(), Failure> {
    let password = password(true)?;
    enter(args, out, |accounts, device| accounts.sign_up(args.handle.as_str(), &password, device))
}

/// `login`
pub(crate) fn log_in(args: &SignInArgs, out: &mut Output) -> Result<(), Failure> {
    let password = password(false)?;
    enter(args, out, |accounts, device| accounts.log_in(args.handle.as_str(), &password, device))
}

fn enter(
    args: &SignInArgs,
    out: &mut Output,
    ask: impl FnOnce(&Accounts, &str) -> Result<Tokens, Failure>,
) -> Result<(), Failure> {
    let http = match &args.http {
        Some(http) => http.trim_end_matches('/').to_owned(),
        None => Accounts::base_of(&server_url(args.url.as_deref())?),
    };
    let device = args.device.clone().unwrap_or_else(host_name);
    let trust = args.trust.resolve()?;
    let tokens = ask(&Accounts::at(&http, &trust), &device)?;
    let signed_in = SignedIn::new(&http, tokens);
    let handle = &signed_in.handle;
    let path = keep_token(handle, &signed_in.to_text())?;
    eprintln!("trunkline: signed in; kept in {}: use it with --as {handle}", path.display());
    out.json(&SignedInLine { handle, user: &signed_in.user, device: signed_in.device })
}

/// `logout`
pub(crate) fn log_out(args: &LogoutArgs) -> Result<(), Failure> {
    let config = folders::config()?;
    let path = token_path(&config, args.name.as_str())?;
    let Kept::SignedIn(signed_in) = kept_of(&config, args.name.as_str())? else {
        let text = format!("{} is a token by an operator; it ends by itself, or remove the file", path.display());
        return Err(Failure::new("not_signed_in", text));
    };
    let trust = args.trust.resolve()?;
    match Accounts::at(&signed_in.http, &trust).log_out(&signed_in.refresh_token) {
        Ok(()) => {}
        // It was signed out already; what is left is to forget it here.
        Err(failure) if failure.code() == "token_invalid" => {}
        Err(failure) => return Err(failure),
    }
    std::fs::remove_file(&path).map_err(|error| Failure::new("token_file", format!("{}: {error}", path.display())))?;
    eprintln!("trunkline: {} is signed out here", signed_in.handle);
    Ok(())
}

/// `devices`
pub(crate) fn devices(args: &DevicesArgs, out: &mut Output) -> Result<(), Failure> {
    let identity: Identity = args.identity().resolve()?;
    let http = match &identity.renewal {
        Some(path) => renewed(path, &identity.trust)?.http,
        None => Accounts::base_of(&identity.url),
    };
    let accounts = Accounts::at(&http, &identity.trust);
    match &args.command {
        None => {
            let found: Vec<Device> = accounts.devices(&identity.token)?;
            found.iter().try_for_each(|device| out.json(device))
        }
        Some(DevicesCommand::Rename { device, new_name, .. }) => {
            accounts.rename_device(&identity.token, *device, new_name)
        }
        Some(DevicesCommand::Revoke { device, .. }) => accounts.revoke_device(&identity.token, *device),
    }
}

/// From the terminal, unseen, and twice where it is a new one; else the first line of stdin.
fn password(is_new: bool) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::new("no_password", format!("no password was read: {error}"));
    if !io::stdin().is_terminal() {
        let line = first_line(io::stdin().lock()).map_err(failed)?;
        return if line.is_empty() {
            Err(Failure::new("no_password", "a password is read from the terminal, or as the first line of stdin"))
        } else {
            Ok(line)
        };
    }
    let password = rpassword::prompt_password("Password: ").map_err(failed)?;
    if is_new && rpassword::prompt_password("Again: ").map_err(failed)? != password {
        return Err(Failure::new("no_password", "the two passwords differ"));
    }
    Ok(password)
}

/// A line without its end, of bounded length.
fn first_line(reader: impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.take(PASSWORD_BYTES_MAX as u64 + 2).read_line(&mut line)?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

/// What a device is called where its user says nothing.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line() {
        let read = |text: &str| first_line(text.as_bytes()).unwrap();
        assert_eq!(read("pass word \r\nmore"), "pass word ");
        assert_eq!(read("no end"), "no end");
        assert_eq!(read(""), "");
    }
}
