//! The URL of a session.

use tokio_tungstenite::tungstenite::http::Uri;

use super::ConnectError;

/// The whole URL of a session: `/v1/ws` is added where no path is given. Also what `identity_folder` takes, so that one
/// server has one name.
///
/// # Errors
/// [`ConnectError::Url`] says what is wrong.
pub fn session_url(url: &str) -> Result<String, ConnectError> {
    let wrong = |why: &str| ConnectError::Url(format!("{url:?} is no server's URL: {why} (as ws://127.0.0.1:7400)"));
    let uri: Uri = url.parse().map_err(|_| wrong("it cannot be read"))?;
    let scheme = uri.scheme_str().map(str::to_ascii_lowercase).filter(|scheme| scheme == "ws" || scheme == "wss");
    let scheme = scheme.ok_or_else(|| wrong("it does not start with ws:// or wss://"))?;
    let host = uri.authority().ok_or_else(|| wrong("it names no host"))?.as_str().to_ascii_lowercase();
    match uri.path_and_query().map_or("/", |path| path.as_str()) {
        "/" => Ok(format!("{scheme}://{host}/v1/ws")),
        path => Ok(format!("{scheme}://{host}{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_added_where_there_is_none() {
        assert_eq!(session_url("ws://127.0.0.1:7400").unwrap(), "ws://127.0.0.1:7400/v1/ws");
        assert_eq!(session_url("ws://Chat.Example/").unwrap(), "ws://chat.example/v1/ws");
        assert_eq!(session_url("WSS://Chat.Example").unwrap(), "wss://chat.example/v1/ws");
        assert_eq!(session_url("ws://[::1]:7400/x").unwrap(), "ws://[::1]:7400/x");
    }

    #[test]
    fn what_is_no_server_is_refused_with_the_reason() {
        for url in ["127.0.0.1:7400", "http://h", "wss://", "ws://", "", "ws:// h"] {
            assert!(matches!(session_url(url), Err(ConnectError::Url(_))), "{url}");
        }
    }
}
