//! Set-up: every file of a corpus in 28 languages is a 1:1 between two users, who say its lines in turn; all files at the
//! same time. Claim: for both users the history is the file, exactly, and it stays so after the server was stopped, was
//! killed, and came back with any number of shards.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinSet;
use trunkline_tests::server::{Account, Server};

use crate::corpus::{Dialogue, FILES, LANGUAGES, dialogues};
use crate::sdk::{caller, history, open, run_within};

/// People type more slowly than a test does; what else is limited stays as it is.
const RAISED: [&str; 8] = [
    "--set",
    "limits.send_burst=1000000",
    "--set",
    "limits.send_per_s=1000000",
    "--set",
    "limits.conversation_send_burst=1000000",
    "--set",
    "limits.conversation_send_per_s=1000000",
];
/// Saying all of it, or reading all of it once.
const LIMIT: Duration = Duration::from_secs(120);

type Chat = (Dialogue, [Account; 2]);

fn arguments(shards: &str) -> Vec<&str> {
    [&["--shards", shards], &RAISED[..]].concat()
}

/// Every line is said when the one before it was acknowledged.
fn say(url: &str, chats: &[Chat]) {
    run_within(LIMIT, async {
        let mut speaking = JoinSet::new();
        for (dialogue, pair) in chats {
            let sides = [caller(url, &pair[0]), caller(url, &pair[1])];
            let (lines, file, peer) = (dialogue.lines.clone(), dialogue.file.clone(), pair[1].user);
            speaking.spawn_local(async move {
                let conversation = open(&sides[0], peer).await;
                for (index, line) in lines.iter().enumerate() {
                    let sent = sides[index % 2].send_text_and_wait(conversation, line).await;
                    let sent = sent.unwrap_or_else(|error| panic!("{file}, line {index}: {error}"));
                    assert_eq!(sent.seq, index as u64 + 1, "{file}");
                }
            });
        }
        while let Some(said) = speaking.join_next().await {
            said.expect("a file is said");
        }
    });
}

/// Both sides read all of it.
fn check(url: &str, chats: &[Chat]) {
    run_within(LIMIT, async {
        let mut reading = JoinSet::new();
        for (dialogue, pair) in chats {
            let turns = dialogue.lines.iter().enumerate();
            let wanted: Vec<_> = turns.map(|(index, line)| (pair[index % 2].user, line.clone())).collect();
            for (reader, peer) in [(&pair[0], pair[1].user), (&pair[1], pair[0].user)] {
                let (side, wanted, file) = (caller(url, reader), wanted.clone(), dialogue.file.clone());
                reading.spawn_local(async move {
                    let conversation = open(&side, peer).await;
                    let told = history(&side, conversation).await;
                    let differs = told.iter().zip(&wanted).position(|(told, wanted)| told != wanted);
                    let at = differs.unwrap_or(told.len().min(wanted.len()));
                    assert!(told == wanted, "{file}, line {at}: {:?} is not {:?}", told.get(at), wanted.get(at));
                    side.close().await;
                });
            }
        }
        while let Some(read) = reading.join_next().await {
            read.expect("a file is read");
        }
    });
}

#[test]
fn before_and_after_restarts_with_any_number_of_shards() {
    let dialogues = dialogues();
    let languages: BTreeSet<_> = dialogues.iter().map(|dialogue| dialogue.language.as_str()).collect();
    assert_eq!((dialogues.len(), languages.len()), (FILES, LANGUAGES));
    let lines: usize = dialogues.iter().map(|dialogue| dialogue.lines.len()).sum();

    let mut server = Server::start(&arguments("2"));
    let mut users = server.add_users(2 * FILES).into_iter();
    let mut pair = || [users.next().expect("two users a file"), users.next().expect("two users a file")];
    let chats: Vec<Chat> = dialogues.into_iter().map(|dialogue| (dialogue, pair())).collect();
    say(&server.url(), &chats);
    assert_eq!(server.counter("messages_stored"), lines as u64);
    check(&server.url(), &chats);

    server.kill();
    for shards in ["2", "1", "7"] {
        server.restart(&arguments(shards));
        check(&server.url(), &chats);
        server.stop();
    }
}
