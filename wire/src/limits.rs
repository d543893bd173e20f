//! The numbers every peer may rely on, and how they relate.

/// Bytes of an envelope's header: op u16, flags u16, request u32.
pub const ENVELOPE_HEADER_BYTES: usize = 8;
/// Largest body of one message, in bytes. Bigger things are references to blobs.
pub const BODY_BYTES_MAX: usize = 60 * 1024;
/// Largest WebSocket frame, and largest message assembled from fragments, in bytes of payload.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Most messages in one Send.
pub const SEND_MESSAGES_MAX: usize = 16;
/// Most bytes of bodies in one Send: together they fit one frame.
pub const SEND_BYTES_MAX: usize = BODY_BYTES_MAX;
/// Most messages in one history page.
pub const HISTORY_MESSAGES_MAX: usize = 50;
/// Most bytes of a history page, [`message_cost_bytes`] added up; a single message may cost more.
pub const HISTORY_BYTES_MAX: usize = BODY_BYTES_MAX;
/// Most conversations in one page of a sync.
pub const SYNC_CONVERSATIONS_MAX: usize = 200;
/// Most conversations that one Advanced names; with more it names none, and the client syncs.
pub const ADVANCED_CONVERSATIONS_MAX: usize = 200;
/// Most watermarks in one Report.
pub const REPORT_RECEIPTS_MAX: usize = 256;
/// Most users in one change of members, and in one page of members.
pub const MEMBERS_PAGE_MAX: usize = 1024;
/// Longest title of a group, in bytes of UTF-8; it has no control characters and is not empty.
pub const TITLE_BYTES_MAX: usize = 128;
/// Longest name of a sender of imported messages, in bytes of UTF-8; it has no control characters and is not empty.
pub const SENDER_NAME_BYTES_MAX: usize = 256;
/// What one name of a page takes beside its bytes, at most.
pub const SENDER_NAME_OVERHEAD_BYTES: usize = 40;
/// Largest part of a history page that is left for messages where their senders' names are in it, in bytes.
pub const NAMED_HISTORY_BYTES_MAX: usize =
    HISTORY_BYTES_MAX - HISTORY_MESSAGES_MAX * (SENDER_NAME_BYTES_MAX + SENDER_NAME_OVERHEAD_BYTES);
/// What one conversation of a sync takes beside its title, at most.
const SUMMARY_OVERHEAD_BYTES: usize = 128;
/// Most requests of one connection without an answer.
pub const REQUESTS_OUTSTANDING_MAX: usize = 16;
/// Largest first envelope of a connection (Hello), in bytes.
pub const HELLO_BYTES_MAX: usize = 4 * 1024;
/// Longest token, in characters.
pub const TOKEN_CHARS_MAX: usize = 256;
/// Longest name a client gives itself, in bytes.
pub const CLIENT_NAME_BYTES_MAX: usize = 128;
/// Longest handle, in bytes of UTF-8 after normalization.
pub const HANDLE_BYTES_MAX: usize = 64;
/// Depth of tables the server's verifier follows.
pub const SERVER_VERIFIER_DEPTH_MAX: usize = 8;
/// Tables the server's verifier accepts in one envelope.
pub const SERVER_VERIFIER_TABLES_MAX: usize = 64;
/// Tables a client's verifier accepts in one envelope.
pub const CLIENT_VERIFIER_TABLES_MAX: usize = 1024;
/// Version of the protocol, exchanged in Hello and Welcome.
pub const PROTOCOL_VERSION: u16 = 1;

/// FlatBuffers spends at most this on one message of a page or of a Send beside its body.
pub const MESSAGE_OVERHEAD_BYTES: usize = 112;
/// What an envelope needs beside its messages: header, root table, vector.
const ENVELOPE_OVERHEAD_BYTES: usize = 256;

/// What a message of `body_bytes` takes of a page.
pub const fn message_cost_bytes(body_bytes: usize) -> usize {
    body_bytes + MESSAGE_OVERHEAD_BYTES
}

const _: () = {
    assert!(SEND_BYTES_MAX + SEND_MESSAGES_MAX * MESSAGE_OVERHEAD_BYTES + ENVELOPE_OVERHEAD_BYTES <= FRAME_BYTES_MAX);
    assert!(message_cost_bytes(BODY_BYTES_MAX) + ENVELOPE_OVERHEAD_BYTES <= FRAME_BYTES_MAX);
    assert!(HISTORY_BYTES_MAX + ENVELOPE_OVERHEAD_BYTES <= FRAME_BYTES_MAX);
    // A page of one message may be larger than others: it has one name.
    assert!(
        message_cost_bytes(BODY_BYTES_MAX)
            + SENDER_NAME_BYTES_MAX
            + SENDER_NAME_OVERHEAD_BYTES
            + ENVELOPE_OVERHEAD_BYTES
            <= FRAME_BYTES_MAX
    );
    assert!(SEND_MESSAGES_MAX < SERVER_VERIFIER_TABLES_MAX);
    assert!(HISTORY_MESSAGES_MAX < CLIENT_VERIFIER_TABLES_MAX);
    assert!(SYNC_CONVERSATIONS_MAX < CLIENT_VERIFIER_TABLES_MAX);
    assert!(
        SYNC_CONVERSATIONS_MAX * (TITLE_BYTES_MAX + SUMMARY_OVERHEAD_BYTES) + ENVELOPE_OVERHEAD_BYTES
            <= FRAME_BYTES_MAX
    );
    assert!(MEMBERS_PAGE_MAX * 40 + ENVELOPE_OVERHEAD_BYTES <= FRAME_BYTES_MAX);
    assert!(HELLO_BYTES_MAX <= FRAME_BYTES_MAX);
};
