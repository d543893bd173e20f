//! Each concept has the one noun that the glossary gives it, in names and in prose.

use crate::files::{TextFile, complains, files, none};
use crate::source::{Source, has_word, parts_of_name, words};

/// Parts of a name that stand for one of our nouns, one behind the other, and the noun. Words with an honest second
/// meaning (room in a queue, a token bucket, a WebSocket client) are listed only where they name our concept.
const NAMES: &[(&[&str], &str)] = &[
    (&["room", "id"], "conversation"),
    (&["rooms"], "conversations"),
    (&["chat", "room"], "conversation"),
    (&["chatroom"], "conversation"),
    (&["chat", "id"], "conversation"),
    (&["thread", "id"], "conversation, or the thread's number"),
    (&["convo"], "conversation"),
    (&["client", "id"], "user, device or connection"),
    (&["socket", "id"], "connection"),
    (&["conn", "id"], "connection"),
    (&["username"], "handle"),
    (&["user", "name"], "handle"),
    (&["nickname"], "handle"),
    (&["msg"], "message"),
    (&["msgs"], "messages"),
    (&["msg", "id"], "message_id"),
    (&["seqno"], "seq"),
    (&["seq", "no"], "seq"),
    (&["seq", "num"], "seq"),
    (&["sequence", "number"], "seq"),
    (&["packet"], "frame or envelope"),
    (&["packets"], "frames or envelopes"),
    (&["event", "loop"], "reactor"),
    (&["broadcast"], "fan out"),
    (&["write", "buffer"], "outbox"),
    (&["send", "queue"], "outbox"),
    (&["graceful", "shutdown"], "drain"),
];

/// The same in comments and documents.
const PROSE: &[(&str, &str)] = &[
    ("chat room", "conversation"),
    ("chat rooms", "conversations"),
    ("chatroom", "conversation"),
    ("room id", "conversation id"),
    ("rooms", "conversations"),
    ("client id", "user, device or connection"),
    ("socket id", "connection"),
    ("username", "handle"),
    ("user name", "handle"),
    ("nickname", "handle"),
    ("sequence number", "seq"),
    ("graceful shutdown", "drain"),
    ("event loop", "reactor"),
];

/// Documents that speak about words.
const ABOUT_WORDS: &[&str] = &["docs/GLOSSARY.md", "docs/STYLE.md", "tests/tidy/one_noun_per_concept.rs"];

/// Where a library's own word is spoken: (folder, first part of the noun, whose it is).
const FOREIGN: &[(&str, &str, &str)] = &[
    ("engine/", "msg", "io_uring: MsgRing, MSG_WAITALL"),
    ("bench/", "msg", "io_uring and sockets"),
    ("storage/src/embedded/", "seqno", "fjall: the number of a write"),
    ("storage/src/embedded/", "sequence", "fjall: the number of a write"),
    ("edge/src/transport/", "packets", "rustls: records of TLS"),
    ("tests/src/tls.rs", "packets", "rustls: records of TLS"),
];

fn foreign_nouns(file: &TextFile) -> Vec<String> {
    let is_rust = file.path.ends_with(".rs");
    let Source { code, comments } =
        if is_rust { Source::parse(&file.text) } else { Source { code: String::new(), comments: file.text.clone() } };
    let is_ours =
        |first: &str| !FOREIGN.iter().any(|(folder, word, _)| file.path.starts_with(folder) && *word == first);
    let mut complaints = Vec::new();
    for (line, word) in words(&code) {
        let parts = parts_of_name(word);
        let is_said = |noun: &[&str]| parts.windows(noun.len()).any(|window| window == noun);
        let named = NAMES.iter().find(|(noun, _)| is_said(noun) && is_ours(noun[0]));
        complaints.extend(named.map(|(_, ours)| format!("{}:{line}: {word}: our word is {ours}", file.path)));
    }
    for (index, line) in comments.lines().enumerate() {
        let line = line.to_lowercase();
        let is_foreign = |noun: &str| noun.split(' ').next().is_some_and(|first| !is_ours(first));
        let said = PROSE.iter().filter(|(noun, _)| has_word(&line, noun) && !is_foreign(noun));
        complaints.extend(said.map(|(noun, ours)| format!("{}:{}: {noun}: our word is {ours}", file.path, index + 1)));
    }
    complaints
}

#[test]
fn our_nouns_are_used() {
    let speaks =
        |file: &&TextFile| file.is_written_rust() || [".md", ".fbs"].iter().any(|end| file.path.ends_with(end));
    let checked = files().iter().filter(speaks).filter(|file| !ABOUT_WORDS.contains(&file.path.as_str()));
    none(checked.flat_map(foreign_nouns).collect());
}

#[test]
fn foreign_nouns_are_noticed() {
    let judge = |text: &str| foreign_nouns(&TextFile::example("x.rs", text));
    complains(&judge("struct RoomId(u64);"), "our word is conversation");
    complains(&judge("let last_client_id = 1;"), "our word is user, device or connection");
    complains(&judge("/// Joins a chat room.\nfn join() {}"), "x.rs:1: chat room");
    complains(&foreign_nouns(&TextFile::example("docs/X.md", "one\nThe username is\n")), "docs/X.md:2");
    none(judge(
        "// There is no room for client identities.\nlet room = \"rooms\"; let lane_room = room; let client = id;",
    ));
}
