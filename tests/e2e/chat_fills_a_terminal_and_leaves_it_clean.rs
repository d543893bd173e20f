//! Set-up: `chat` on a terminal of its own. Claim: it shows what comes, how far own messages are and who waits for an answer;
//! it survives the end of the server and its own with nothing lost or doubled; it follows the size of the terminal; however
//! it ends, the terminal is as it was.

use rustix::process::Signal;
use trunkline_tests::pty::Pty;
use trunkline_tests::server::{PATIENCE, Server};

use crate::output::{history, send};
use crate::people::{enroll, restart, serve};

const SETTINGS: &[&str] = &["limits.receipts_every_ms=50"];

fn chat(server: &Server, words: &[&str], (columns, lines): (u16, u16)) -> Pty {
    let command = server.command([&["chat", "--as", "alice"], words].concat());
    Pty::start(&command, columns, lines)
}

#[test]
fn it_shows_what_is_said_and_how_far_it_is() {
    let server = serve("2", SETTINGS);
    enroll(&server, ["alice", "bob", "carol"]);
    send(&server, "bob", "alice", "said before");
    send(&server, "carol", "alice", "from another");
    let mut alice = chat(&server, &["bob"], (80, 24));
    alice.shows_text("bob: said before");
    alice.shows_text("connected as alice");
    // Nobody looked at the other conversation.
    alice.shows("one unread", |screen| screen.lines().any(|line| line.contains(" 1│")));
    alice.press("hello\x1b\rbob\r");
    alice.shows("one tick", |screen| screen.contains("alice: hello") && screen.contains("bob ✓"));
    assert_eq!(history(&server, "bob", "alice"), ["said before", "hello\nbob"]);
    let bob = server.spawn(["chat", "--as", "bob", "alice"]);
    assert!(bob.stdout().line_with("hello", PATIENCE).is_some(), "{}", bob.stderr().text());
    alice.shows_text("bob ✓✓ read");
    send(&server, "bob", "alice", "\x1b[2Jhostile\u{202e}");
    // The terminal of the test leaves out what stands for a control character.
    alice.shows_text("bob: [2Jhostile");
    alice.shows_text("said before");
    alice.press("\x1b[200~two\nlines\x1b[201~");
    alice.shows("pasted", |screen| screen.contains("> two") && screen.contains("  lines"));
    alice.press("\x15\x7f\x15/open nobody\r");
    alice.shows_text("(unknown_handle)");
    alice.press("/open carol\r");
    alice.shows_text("from another");
    alice.press("/group \"Our team\" bob carol\r");
    alice.shows_text("* alice made the group, with ");
    alice.resize(40, 10);
    alice.shows("the small screen", |screen| {
        screen.lines().count() <= 10 && screen.contains("▸Our team") && screen.contains("connected as alice")
    });
    alice.press("\x03");
    assert!(alice.ended().success());
    alice.shows("a clean terminal", |_| alice.is_clean());
}

#[test]
fn nothing_is_lost_when_the_server_or_the_client_ends() {
    let mut server = serve("2", SETTINGS);
    enroll(&server, ["alice", "bob"]);
    let mut alice = chat(&server, &["bob"], (80, 24));
    alice.shows_text("beginning of the conversation");
    alice.press("one\r");
    alice.shows_text("alice: one ✓");
    server.kill();
    alice.shows_text("reconnecting in");
    alice.press("two\r");
    alice.shows_text("alice: two waiting");
    alice.press("/quit\r");
    assert!(alice.ended().success());
    alice.shows_text("1 messages have no answer");
    assert!(alice.is_clean());

    restart(&mut server, "2", SETTINGS);
    let mut alice = chat(&server, &["bob"], (80, 24));
    alice.shows_text("alice: two ✓");
    server.kill();
    alice.shows_text("reconnecting in");
    alice.press("three\r");
    alice.shows_text("alice: three waiting");
    restart(&mut server, "1", SETTINGS);
    alice.shows_text("alice: three ✓");
    send(&server, "bob", "alice", "I am here");
    alice.shows_text("bob: I am here");
    alice.shows_text("connected as alice");
    assert_eq!(history(&server, "bob", "alice"), ["one", "two", "three", "I am here"]);
    alice.signal(Signal::TERM);
    assert!(alice.ended().success());
    alice.shows("a clean terminal", |_| alice.is_clean());
}

#[test]
fn long_conversations_are_read_back_to_their_beginning() {
    let server = serve("2", &["limits.send_per_s=1000", "limits.send_burst=1000"]);
    enroll(&server, ["alice", "bob"]);
    let lines: Vec<String> = (1..=130).map(|number| format!("number {number}.")).collect();
    let mut bob = server.spawn(["chat", "--as", "bob", "alice"]);
    bob.write(&(lines.join("\n") + "\n"));
    bob.close_stdin();
    bob.ended(PATIENCE).succeeded();
    // Without a name the latest conversation is opened.
    let mut alice = chat(&server, &[], (80, 24));
    alice.shows_text("number 130.");
    for _ in 0..20 {
        if alice.text().contains("beginning of the conversation") {
            break;
        }
        let before = alice.text();
        alice.press("\x1b[5~");
        alice.shows("older messages", |screen| screen != before && !screen.contains("loading…"));
    }
    alice.shows_text("number 1.");
    alice.press("\x1b");
    alice.shows_text("number 130.");
    drop(alice);
    let ended = server.run(["chat", "--as", "alice"]);
    assert!(ended.code == Some(1) && ended.stderr.contains("usage"), "{ended:?}");
}
