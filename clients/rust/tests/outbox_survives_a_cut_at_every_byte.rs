//! Set-up: an outbox file after a row of calls, cut at every byte as by a crash in the middle of a write.
//! Claim: what is left is what the calls that had returned by then left, and the outbox goes on from there.

use std::fs;

use trunkline_client::outbox::{FileOutbox, Outbox, Record};
use trunkline_wire::ids::{ConversationId, MessageId, UserId};

fn record(id: u64, client_seq: u64, body: &str) -> Record {
    Record {
        message_id: MessageId(id),
        conversation: ConversationId([3; 16]),
        peer: UserId(0),
        client_seq,
        floor_epoch: 1,
        floor_seq: 2,
        kind: 1,
        body: body.into(),
    }
}

#[test]
fn outbox_survives_a_cut_at_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = FileOutbox::open(folder.path()).unwrap();
    let path = outbox.path().to_owned();
    // After each call: how long the file is, and what it holds.
    let mut states = vec![(fs::metadata(&path).unwrap().len() as usize, vec![])];
    let calls: [&dyn Fn(&mut FileOutbox); 6] = [
        &|outbox| outbox.put(&[record(1, 0, "first")]).unwrap(),
        &|outbox| outbox.put(&[record(2, 0, "second"), record(3, 0, &"x".repeat(300))]).unwrap(),
        &|outbox| outbox.put(&[record(1, 1, "first"), record(2, 2, "second")]).unwrap(),
        &|outbox| outbox.remove(&[MessageId(1), MessageId(2)]).unwrap(),
        &|outbox| outbox.put(&[record(4, 0, "fourth")]).unwrap(),
        &|outbox| outbox.put(&[record(3, 3, &"x".repeat(300))]).unwrap(),
    ];
    for call in calls {
        call(&mut outbox);
        states.push((fs::metadata(&path).unwrap().len() as usize, outbox.records().to_vec()));
    }
    drop(outbox);
    let bytes = fs::read(&path).unwrap();
    assert!(states.is_sorted_by_key(|state| state.0), "calls append");
    for cut in 0..=bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let expected = states.iter().rev().find(|state| state.0 <= cut).map_or(&[][..], |state| &state.1);
        let mut outbox = FileOutbox::open(folder.path()).unwrap();
        assert_eq!(outbox.records(), expected, "cut at {cut}");
        outbox.put(&[record(9, 9, "behind the cut")]).unwrap();
        drop(outbox);
        let outbox = FileOutbox::open(folder.path()).unwrap();
        assert_eq!(outbox.records().len(), expected.len() + 1, "cut at {cut}");
        assert_eq!(outbox.path(), path);
    }
}
