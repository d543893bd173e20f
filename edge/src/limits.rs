//! The numbers the edge keeps to, and how they relate.

use trunkline_shards::store::ACCOUNT_BYTES_MAX;
use trunkline_wire::limits::{SEND_BYTES_MAX, SENDER_NAME_BYTES_MAX, TITLE_BYTES_MAX};

/// Connections of the admin socket at the same time.
pub const ADMIN_CONNECTIONS_MAX: usize = 16;
/// Longest line of the admin socket, in bytes, its end included: lines of an import, however much JSON makes of them.
pub const ADMIN_LINE_BYTES_MAX: usize = 512 * 1024;
/// Milliseconds after which a silent connection of the admin socket is closed.
pub const ADMIN_IDLE_MS: u64 = 60_000;
/// Milliseconds a client of the admin socket waits for an answer.
pub const ADMIN_ANSWER_MS: u64 = 60_000;
/// Users or conversations of a page of the admin socket.
pub const ADMIN_PAGE_MAX: u32 = 100;
/// Milliseconds before accepting again when the system had no room for a connection.
pub const ADMIN_ACCEPT_AGAIN_MS: u64 = 100;
/// Longest path of a Unix socket: `sun_path` of `sockaddr_un` without its final zero (unix(7)).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Connections of the admin port at the same time; others wait until one ends.
pub const HTTP_CONNECTIONS_MAX: usize = 64;
/// Milliseconds for the head of a request, and between two of a connection.
pub const HTTP_HEAD_MS: u64 = 2_000;
/// Longest life of a connection of the admin port, in milliseconds.
pub const HTTP_CONNECTION_MS: u64 = 60_000;
/// Longest head of a request, in bytes.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * 1024;
/// Headers of a request.
pub const HTTP_HEADERS_MAX: usize = 64;
/// Questions to shards at the same time; more are refused.
pub const HTTP_QUESTIONS_MAX: usize = 4;
/// Milliseconds that a shard gets to say that it is ready, or what it counts.
pub const READY_ANSWER_MS: u64 = 1_000;
/// Milliseconds for all shards together.
pub const HTTP_ANSWER_MS: u64 = 5_000;

/// Connections of the public port that are no WebSockets, at the same time.
pub const PUBLIC_CONNECTIONS_MAX: usize = 1_024;
/// Such connections from one address; loopback is exempt.
pub const PUBLIC_CONNECTIONS_PER_ADDRESS_MAX: usize = 64;
/// Connections that shards have handed over and that are not looked at yet; more are closed.
pub const GUESTS_WAITING_MAX: usize = 256;
/// Milliseconds for the head of a request, and between two of a connection.
pub const PUBLIC_HEAD_MS: u64 = 10_000;
/// Longest life of such a connection, in milliseconds.
pub const PUBLIC_CONNECTION_MS: u64 = 60_000;
/// Longest body of a request, in bytes.
pub const PUBLIC_BODY_BYTES_MAX: usize = 16 * 1024;
/// Threads that compare passwords and ask shards for it.
pub const SIGN_IN_THREADS_MAX: usize = 2;
/// Requests that may wait for one of them; more are refused as busy.
pub const SIGN_IN_WAITING_MAX: usize = 62;

/// Bytes of a peer's TLS handshake. A first message is below 2 KiB, with keys against quantum computers and a ticket.
pub const TLS_HANDSHAKE_BYTES_MAX: usize = 16 * 1024;
/// Bytes that a connection of the public port reads, and seals, at a time.
pub const STREAM_READ_BYTES: usize = 8 * 1024;
/// Sealed bytes that wait for a socket, beyond which nothing more is sealed.
pub const STREAM_UNSENT_BYTES_MAX: usize = 64 * 1024;
/// Largest file of a certificate or its key, in bytes.
pub const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// Milliseconds that a shard gets for one answer; it reads and writes the store for it.
pub const ASK_ANSWER_MS: u64 = 10_000;
/// Milliseconds during which a busy shard is asked again.
pub const ASK_BUSY_MS: u64 = 5_000;
/// Milliseconds before the first repetition; they double.
pub const ASK_AGAIN_FIRST_MS: u64 = 5;
/// Most milliseconds between two repetitions.
pub const ASK_AGAIN_MAX_MS: u64 = 200;

/// Seconds a token lasts where nothing else is asked for.
pub const TOKEN_TTL_DEFAULT_S: u64 = 30 * 86_400;
/// Longest life of a token, in seconds.
pub const TOKEN_TTL_MAX_S: u64 = 3_652 * 86_400;

/// Fewest characters of a password (NIST SP 800-63B, 5.1.1.1).
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Most bytes of a password.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Most bytes of a device's name.
pub const DEVICE_NAME_BYTES_MAX: usize = 64;
/// Devices of a user that are signed in at the same time.
pub const DEVICES_MAX: usize = 64;
/// Most bytes of what a user is called.
pub const DISPLAY_NAME_BYTES_MAX: usize = 128;
/// Most bytes of what a user's picture goes by.
pub const AVATAR_BYTES_MAX: usize = 256;
/// Requests about people that a user may make at once, and how many a second after that.
pub const PEOPLE_BURST: u32 = 300;
/// See [`PEOPLE_BURST`].
pub const PEOPLE_PER_S: u32 = 5;
/// Requests to become somebody's contact that a user may make at once.
pub const CONTACT_REQUESTS_BURST: u32 = 50;
/// Seconds after which one more is allowed.
pub const CONTACT_REQUEST_EVERY_S: u64 = 60;
/// Contacts of a page where nothing else is asked for, and at most.
pub const CONTACTS_PAGE_MAX: u32 = 200;
/// How often a change of an account is tried where others change it too.
pub const CHANGE_ATTEMPTS_MAX: u32 = 8;

/// Lines of an import that come in one request.
pub const IMPORT_LINES_MAX: usize = 50;
/// The last millisecond of the year 9999.
pub const SENT_AT_MS_MAX: u64 = 253_402_300_799_999;
/// Senders of imports that are known to be users; more are asked for again.
pub const SENDERS_KNOWN_MAX: usize = 65_536;
/// Rows of one page of an export,
pub const EXPORT_ROWS_MAX: u32 = 512;
/// and their bytes, each counted as in a page of history.
pub const EXPORT_BYTES_MAX: u32 = 256 * 1024;
/// Conversations of one page of them.
pub const EXPORT_CONVERSATIONS_MAX: u32 = 256;

/// Largest file of keys, in bytes.
pub const KEYS_BYTES_MAX: u64 = 64 * 1024;

const _: () = {
    // An administrator who waits learns that the shard was busy, and not that nobody answered.
    assert!(ASK_BUSY_MS + ASK_ANSWER_MS < ADMIN_ANSWER_MS);
    // JSON writes a byte as six at most.
    assert!(
        6 * (SEND_BYTES_MAX + TITLE_BYTES_MAX + IMPORT_LINES_MAX * SENDER_NAME_BYTES_MAX) + 64 * (IMPORT_LINES_MAX + 1)
            <= ADMIN_LINE_BYTES_MAX
    );
    // A probe that waits for its answer is not cut meanwhile.
    assert!(READY_ANSWER_MS < HTTP_ANSWER_MS && HTTP_ANSWER_MS < HTTP_CONNECTION_MS);
    // The least that the HTTP library takes.
    assert!(HTTP_HEAD_BYTES_MAX >= 8 * 1024);
    assert!(ASK_AGAIN_FIRST_MS <= ASK_AGAIN_MAX_MS && ASK_AGAIN_MAX_MS < ASK_BUSY_MS);
    assert!(TOKEN_TTL_DEFAULT_S <= TOKEN_TTL_MAX_S);
    // A device is a name, two hashes and some numbers, as JSON; the rest is the profile and the password's hash.
    let profile_bytes = 6 * (DISPLAY_NAME_BYTES_MAX + AVATAR_BYTES_MAX) + 100;
    assert!(DEVICES_MAX * (6 * DEVICE_NAME_BYTES_MAX + 300) + profile_bytes + 1_024 < ACCOUNT_BYTES_MAX);
};
