//! Set-up: two processes on one folder; one dies with a message that has no answer.
//! Claim: they never share a file, and what the dead one left is taken over once.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use trunkline_client::outbox::{FileOutbox, Outbox, Record};
use trunkline_wire::ids::{ConversationId, MessageId, UserId};

const FOLDER: &str = "TRUNKLINE_TEST_FOLDER";
const TEXT: &str = "TRUNKLINE_TEST_TEXT";

fn record(body: &str) -> Record {
    Record {
        message_id: MessageId(body.bytes().map(u64::from).sum()),
        conversation: ConversationId([3; 16]),
        peer: UserId(0),
        client_seq: 5,
        floor_epoch: 0,
        floor_seq: 0,
        kind: 1,
        body: body.into(),
    }
}

/// The other process: owns an outbox, says which, and lives until it is killed.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let mut outbox = FileOutbox::open(Path::new(&folder)).unwrap();
    let held: Vec<String> =
        outbox.load().unwrap().into_iter().map(|record| String::from_utf8(record.body).unwrap()).collect();
    outbox.put(&[record(&std::env::var(TEXT).unwrap())]).unwrap();
    println!("\nowns {} {}", outbox.path().display(), held.join(","));
    std::thread::sleep(std::time::Duration::from_secs(60));
}

/// A process, the file it owns, and what that held.
fn start(folder: &Path, text: &str) -> (Child, String, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["an_outbox_has_one_owner::child", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(TEXT, text)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let owns = lines.map(Result::unwrap).find(|line| line.starts_with("owns ")).expect("the child says what it owns");
    let mut words = owns.split(' ').skip(1).map(str::to_owned);
    (child, words.next().unwrap(), words.next().unwrap_or_default())
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_outbox_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let (first, first_path, held) = start(folder.path(), "one");
    assert_eq!(held, "");
    let (second, second_path, held) = start(folder.path(), "two");
    assert_eq!(held, "");
    assert_ne!(first_path, second_path);
    let mut own = FileOutbox::open(folder.path()).unwrap();
    assert_eq!(own.records(), []);
    assert_eq!(own.adopt().unwrap(), [], "nothing of the living");
    kill(second);
    let (third, third_path, held) = start(folder.path(), "three");
    assert_eq!((third_path, held.as_str()), (second_path, "two"), "a leftover goes before a free name");
    kill(first);
    assert_eq!(own.adopt().unwrap(), [record("one")]);
    assert_eq!(own.path(), Path::new(&first_path));
    assert_eq!(own.adopt().unwrap(), [], "it is not empty now");
    own.remove(&[record("one").message_id]).unwrap();
    assert_eq!(own.adopt().unwrap(), []);
    kill(third);
    assert_eq!(own.adopt().unwrap(), [record("two"), record("three")]);
}
