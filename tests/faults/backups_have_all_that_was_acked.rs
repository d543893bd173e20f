//! Set-up: people talk as fast as they get acks, while backups are taken; the server is killed in the midst of one, and then
//! one of the dead folder is taken. Each backup is restored and served. Claim: every message that was acked before a backup
//! began is in it, at its seq and with its content, and conversations have no gap; a folder with the name that was asked for
//! is a whole backup; one that was tampered with is refused by the name of its file, and nothing is restored over something.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use trunkline_tests::peer::Peer;
use trunkline_tests::process::Process;
use trunkline_tests::server::{Account, Home, PATIENCE, Server, run};

use crate::rig;

const TALKERS: usize = 4;
/// Limits are not what this is about.
const SETTINGS: &[&str] = &[
    "limits.send_per_s=100000",
    "limits.send_burst=100000",
    "limits.conversation_send_per_s=100000",
    "limits.conversation_send_burst=100000",
];
const PADDING_BYTES: usize = 2_000;
/// From the start of a backup to the kill.
const KILL_AFTER: Duration = Duration::from_millis(15);

/// What each talker has acks for, in order of seq.
type Acked = [Mutex<u64>; TALKERS];

fn text(talker: usize, seq: u64) -> String {
    format!("talker {talker} says {seq} {}", "x".repeat(PADDING_BYTES))
}

/// Says one message after the other to the peer, until it is over or the server is dead.
fn talk(address: SocketAddr, talker: usize, [me, peer]: &[Account; 2], acked: &Mutex<u64>, is_over: &AtomicBool) {
    let mut one = Peer::login(address, &me.token);
    let (conversation, _) = one.open_peer(peer.user);
    for number in 1.. {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        // Held, so that nobody counts while an ack is on its way.
        let mut acked = acked.lock().expect("nobody panics");
        let ack = one.send(conversation, number, (talker as u64) << 32 | number, text(talker, number).as_bytes());
        assert_eq!(ack.accepted.first().map(|accepted| (accepted.0, accepted.1)), Some((number, number)), "{ack:?}");
        *acked = number;
    }
}

fn counts(acked: &Acked) -> Vec<u64> {
    acked.iter().map(|acked| *acked.lock().expect("nobody panics")).collect()
}

/// Restores a backup into folders of its own, serves it, and looks for what has to be there.
fn judge(backup: &Path, people: &[[Account; 2]], at_least: &[u64]) {
    let home = Home::new();
    let restored = run(&mut home.trunkline(["restore".as_ref(), backup.as_os_str()])).succeeded();
    let told: Value = serde_json::from_str(&restored.stdout).expect("a line of JSON");
    assert!(told["incarnation"].as_u64() > Some(1), "{told}");
    let again = run(&mut home.trunkline(["restore".as_ref(), backup.as_os_str()]));
    assert!(again.code == Some(1) && again.stderr.contains("not_empty"), "{again:?}");
    let mode = |path: PathBuf| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(home.data()), mode(home.data().join("keys"))), (0o700, 0o600));
    let server = rig::serve_in(home, SETTINGS);
    for (talker, ([me, peer], &at_least)) in people.iter().zip(at_least).enumerate() {
        let mut one = Peer::login(rig::address(&server), &me.token);
        let (conversation, _) = one.open_peer(peer.user);
        let rows = one.history(conversation);
        assert!(rows.len() as u64 >= at_least, "{} messages of {at_least} that were acked", rows.len());
        for (row, seq) in rows.iter().zip(1..) {
            assert_eq!((row.seq, row.body == text(talker, seq).into_bytes()), (seq, true));
        }
    }
}

fn backup(server: &Server, to: &Path) -> Process {
    server.spawn(["backup".as_ref(), to.as_os_str()])
}

#[test]
fn backups_have_all_that_was_acked() {
    let _among = rig::among_others();
    let mut server = rig::serve(SETTINGS);
    let users = server.add_users(2 * TALKERS);
    let people: Vec<[Account; 2]> = users.chunks(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect();
    let (acked, is_over) = (Acked::default(), AtomicBool::new(false));
    let place = tempfile::tempdir().expect("a folder");
    let of = |name: &str| place.path().join(name);
    let mut due: Vec<(PathBuf, Vec<u64>)> = Vec::new();
    std::thread::scope(|scope| {
        let address = rig::address(&server);
        for (talker, pair) in people.iter().enumerate() {
            let (acked, is_over) = (&acked[talker], &is_over);
            scope.spawn(move || talk(address, talker, pair, acked, is_over));
        }
        for name in ["first", "second"] {
            while counts(&acked).iter().any(|&count| count < 150 * (due.len() as u64 + 1)) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let before = counts(&acked);
            let made = backup(&server, &of(name)).ended(PATIENCE).succeeded();
            let told: Value = serde_json::from_str(&made.stdout).expect("a line of JSON");
            assert!(told["bytes"].as_u64() > Some(0) && told["files"].as_u64() > Some(3), "{told}");
            due.push((of(name), before));
        }
        let taken = backup(&server, &of("first")).ended(PATIENCE);
        assert!(taken.code == Some(1) && taken.stderr.contains("not_empty"), "{taken:?}");
        let inside = backup(&server, &server.data().join("inside")).ended(PATIENCE);
        assert!(inside.code == Some(1) && inside.stderr.contains("is inside of"), "{inside:?}");
        is_over.store(true, Ordering::SeqCst);
    });
    let all = counts(&acked);
    let mut cut_off = backup(&server, &of("cut-off"));
    std::thread::sleep(KILL_AFTER);
    server.kill();
    cut_off.ended(PATIENCE);
    if of("cut-off").exists() {
        due.push((of("cut-off"), all.clone()));
    } else if of("cut-off.unfinished").exists() {
        let again = backup(&server, &of("cut-off")).ended(PATIENCE);
        assert!(again.code == Some(1) && again.stderr.contains("rm -r"), "{again:?}");
    }
    backup(&server, &of("of-the-dead")).ended(PATIENCE).succeeded();
    due.push((of("of-the-dead"), all));
    due.iter().for_each(|(path, at_least)| judge(path, &people, at_least));
    tampering_is_noticed(&due[0].0);
}

/// A byte that is another, a file that is gone, a manifest that is gone: nothing is restored.
fn tampering_is_noticed(backup: &Path) {
    let home = Home::new();
    let restore = || run(&mut home.trunkline(["restore".as_ref(), backup.as_os_str()]));
    let tables = walk(&backup.join("data"));
    let largest = tables.iter().max_by_key(|path| fs::metadata(path).map_or(0, |file| file.len())).expect("files");
    let whole = fs::read(largest).expect("a file");
    let mut tampered = whole.clone();
    tampered[whole.len() / 2] ^= 1;
    for bytes in [&tampered[..], &whole[..whole.len() - 1]] {
        fs::write(largest, bytes).expect("a file");
        let refused = restore();
        let name = largest.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(refused.code == Some(1) && refused.stderr.contains("backup_damaged"), "{refused:?}");
        assert!(refused.stderr.contains(name) && !home.data().exists(), "{refused:?}");
    }
    fs::write(largest, whole).expect("a file");
    fs::rename(backup.join("manifest.json"), backup.join("manifest")).expect("a file");
    let refused = restore();
    assert!(refused.code == Some(1) && refused.stderr.contains("no_backup"), "{refused:?}");
    fs::rename(backup.join("manifest"), backup.join("manifest.json")).expect("a file");
    restore().succeeded();
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() { files.extend(walk(&entry.path())) } else { files.push(entry.path()) }
    }
    files
}
