//! Owns which web pages may open a WebSocket: those of the server's own host, and those of listed origins (RFC 6454).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Where a page comes from (RFC 6454 section 4). Scheme and host are in lower case; a port that is not written is the
/// scheme's, or 0 where the scheme has none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

/// The origins whose pages may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    every: bool,
    listed: Vec<Origin>,
}

impl Origins {
    /// A list separated by commas, as `https://chat.example,http://localhost:3000`; `*` is every origin. `None` where one
    /// of them is no origin.
    #[must_use]
    pub fn parse(list: &str) -> Option<Self> {
        let mut origins = Self::default();
        for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            match text {
                "*" => origins.every = true,
                text => origins.listed.push(Origin::parse(text)?),
            }
        }
        Some(origins)
    }

    /// Each as a text that [`Origins::parse`] takes.
    pub fn each(&self) -> impl Iterator<Item = String> {
        let every = self.every.then(|| "*".into());
        every.into_iter().chain(self.listed.iter().map(|origin| alloc::format!("{origin}")))
    }

    /// Whether a page of `origin` may connect to the server that it calls `host`, each the value of its header. With
    /// `secure` the connection is encrypted, and a page of the same host that was not is another origin.
    #[must_use]
    pub fn allow(&self, origin: &str, host: &str, secure: bool) -> bool {
        if self.every {
            return true;
        }
        let Some(origin) = Origin::parse(origin) else { return false };
        self.listed.contains(&origin) || origin.is_of_host(host, secure)
    }
}

impl Origin {
    /// `scheme://host[:port]` and nothing else; `null`, as of files and sandboxes, is no origin.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let mut letters = scheme.bytes();
        let begins = letters.next().is_some_and(|byte| byte.is_ascii_alphabetic());
        if !begins || !letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = split_authority(authority)?;
        let port = port.unwrap_or(default_port(&scheme));
        Some(Self { scheme, host, port })
    }

    /// Whether `Host: host` names the same server. What that header leaves out is the port of the page's scheme.
    fn is_of_host(&self, host: &str, secure: bool) -> bool {
        let served = self.scheme == "https" || (self.scheme == "http" && !secure);
        let same = |(host, port): (String, Option<u16>)| {
            host == self.host && port.unwrap_or(default_port(&self.scheme)) == self.port
        };
        served && split_authority(host).is_some_and(same)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        write!(formatter, "{scheme}://{host}")?;
        if *port == default_port(scheme) { Ok(()) } else { write!(formatter, ":{port}") }
    }
}

fn default_port(scheme: &str) -> u16 {
    match scheme {
        "http" => 80,
        "https" => 443,
        _ => 0,
    }
}

/// Host and port (RFC 3986 section 3.2), without user information. The host is in lower case.
fn split_authority(authority: &str) -> Option<(String, Option<u16>)> {
    let end = match authority.strip_prefix('[') {
        Some(literal) => literal.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(end)?;
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let allowed = |byte: u8| match name {
        Some(_) => byte.is_ascii_hexdigit() || b":.".contains(&byte),
        None => byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&byte),
    };
    let body = name.unwrap_or(host);
    if body.is_empty() || !body.bytes().all(allowed) {
        return None;
    }
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        _ => return None,
    };
    Some((host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(list: &str, origin: &str, host: &str) -> bool {
        Origins::parse(list).unwrap().allow(origin, host, false)
    }

    #[test]
    fn pages_of_the_same_host_may_connect() {
        for (origin, host) in [
            ("http://chat.example", "chat.example"),
            ("https://chat.example", "chat.example"),
            ("HTTPS://Chat.Example", "chat.EXAMPLE:443"),
            ("https://chat.example:443", "chat.example"),
            ("http://127.0.0.1:7400", "127.0.0.1:7400"),
            ("http://[::1]:7400", "[::1]:7400"),
        ] {
            assert!(allow("", origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://evil.example", "chat.example"),
            ("https://chat.example.evil", "chat.example"),
            ("https://evilchat.example", "chat.example"),
            ("https://chat.example:8443", "chat.example"),
            ("http://chat.example", "chat.example:443"),
            ("https://chat.example", "chat.example:80"),
            ("http://localhost:7400", "127.0.0.1:7400"),
            ("app://chat.example", "chat.example"),
        ] {
            assert!(!allow("", origin, host), "{origin} {host}");
        }
    }

    #[test]
    fn an_encrypted_server_takes_no_page_that_was_not() {
        let origins = Origins::default();
        assert!(origins.allow("https://chat.example", "chat.example", true));
        assert!(!origins.allow("http://chat.example", "chat.example", true));
        assert!(!origins.allow("http://chat.example:7400", "chat.example:7400", true));
        let listed = Origins::parse("http://chat.example").unwrap();
        assert!(listed.allow("http://chat.example", "chat.example", true), "unless the operator says so");
    }

    #[test]
    fn listed_origins_match_in_scheme_host_and_port() {
        let list = "https://Web.Example, http://localhost:3000,capacitor://localhost";
        for origin in
            ["https://web.example", "https://web.example:443", "http://LOCALHOST:3000", "capacitor://localhost"]
        {
            assert!(allow(list, origin, "chat.example"), "{origin}");
        }
        for origin in
            ["http://web.example", "https://web.example:444", "http://localhost", "https://localhost:3000", "*"]
        {
            assert!(!allow(list, origin, "chat.example"), "{origin}");
        }
        assert!(Origins::parse(list).unwrap().each().eq([
            "https://web.example",
            "http://localhost:3000",
            "capacitor://localhost"
        ]));
    }

    #[test]
    fn what_is_no_origin_matches_every_one_only() {
        for origin in [
            "null",
            "",
            "https://",
            "https://a/",
            "https://a?b",
            "https://user@a",
            "https://a b",
            "https://a:",
            "https://a:65536",
            "https://a:+1",
            "https://[::1",
            "https://[]",
            "https://a https://b",
            "://a",
            "a.example",
        ] {
            assert!(!allow("https://a", origin, "a"), "{origin}");
            assert!(allow("https://a,*", origin, "a"), "{origin}");
            if !origin.is_empty() {
                assert_eq!(Origins::parse(origin), None, "{origin}");
            }
        }
        assert!(Origins::parse("*").unwrap().each().eq(["*"]));
    }
}
