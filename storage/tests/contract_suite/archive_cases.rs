//! Promises about reads of conversations at large.

use trunkline_shards::store::{
    ArchiveLoad, ArchiveLoaded, ConversationKey, IMPORTER, Load, Loaded, Put, PutOutcome, Row, SenderName, UserRow,
};
use trunkline_wire::ids::{TenantId, UserId};

use crate::rows::*;

/// Rows that were said at these times, by a sender of an import.
fn said(times: &[u64]) -> Vec<Row> {
    let rows = times.iter().zip(1..);
    rows.map(|(&ts_ms, seq)| Row { ts_ms, sent_at_ms: ts_ms, ..sent_row(seq, UserId(77 + seq), 1, seq, b"") }).collect()
}

fn at(store: &Store, at_ms: u64, within: (u64, u64), backward: bool, rows_max: u32) -> Vec<u64> {
    let load = ArchiveLoad::HistoryAt { key: key(1), at_ms, within, backward, rows_max, cost_bytes_max: u32::MAX };
    match store.load(Load::Archive(load)) {
        Loaded::History(rows) => seqs(&rows),
        other => panic!("{other:?}"),
    }
}

pub fn times_are_found_by_halving(store: &mut Store) {
    let times: Vec<u64> = (1..=500).map(|seq| 1_000 + seq / 7 * 10).collect();
    store.append(key(1), said(&times));
    for at_ms in (980..1_730).chain([0, u64::MAX]) {
        let first = times.iter().position(|&ts_ms| ts_ms >= at_ms).map_or(501, |index| index as u64 + 1);
        let upwards: Vec<u64> = (first..=500).take(3).collect();
        let mut downwards: Vec<u64> = (1..first).rev().take(3).collect();
        downwards.reverse();
        assert_eq!(at(store, at_ms, (1, 500), false, 3), upwards, "from {at_ms} on");
        assert_eq!(at(store, at_ms, (1, 500), true, 3), downwards, "before {at_ms}");
    }
}

pub fn a_time_is_looked_for_within_the_window(store: &mut Store) {
    store.append(key(1), said(&[10, 10, 20, 20, 30, 30]));
    assert_eq!(at(store, 10, (2, 5), false, 2), [2, 3]);
    assert_eq!(at(store, 30, (2, 5), true, 9), [1, 2, 3, 4], "whoever asks cuts at the other end");
    assert_eq!(at(store, 10, (2, 5), true, 9), []);
    assert_eq!(at(store, 31, (2, 5), false, 9), []);
    assert_eq!(at(store, 5, (3, 2), false, 9), [], "an empty window");
}

pub fn an_import_is_numbered_by_its_importer(store: &mut Store) {
    let rows = said(&[10, 20, 30]);
    let high = rows[2].message_id;
    store.append(key(1), rows);
    let image = store.conversation(key(1)).expect("there");
    let [device] = image.devices[..] else { panic!("one device: {:?}", image.devices) };
    assert_eq!(((device.user, device.device), device.high, device.message_id), (IMPORTER, 3, high));
    assert_eq!(store.find_send(key(1), IMPORTER.0, 2, 1, 3), Some(2));
    assert_eq!(store.find_send(key(1), UserId(79), 2, 1, 3), None, "its sender has no numbers");
}

fn names(store: &Store, users: &[UserId]) -> Vec<SenderName> {
    match store.load(Load::Archive(ArchiveLoad::Names { tenant: TENANT, users: users.to_vec() })) {
        Loaded::Archive(ArchiveLoaded::Names(names)) => names,
        other => panic!("{other:?}"),
    }
}

pub fn names_say_who_came_with_an_import(store: &mut Store) {
    let named = |id, name: &str, is_imported| SenderName { user: UserId(id), name: name.to_owned(), is_imported };
    store.put(account(user(ALICE), "alice"));
    let rows = ["Bób", "bób"]
        .into_iter()
        .zip([5, 6])
        .map(|(name, id)| (user(UserId(id)), UserRow { handle: name.to_owned(), created_ms: 9, ..UserRow::default() }));
    assert_eq!(store.put(put(Put::Users(rows.collect()))), PutOutcome::Done);
    let all = [UserId(6), UserId(7), ALICE, UserId(5)];
    assert_eq!(names(store, &all), [named(6, "bób", true), named(ALICE.0, "alice", false), named(5, "Bób", true)]);
    assert_eq!(names(store, &[]), []);
    assert_eq!(store.handle(TENANT, "bób"), None, "it is nobody's handle");
}

fn conversations(store: &Store, after: Option<ConversationKey>, conversations_max: u32) -> (Vec<u8>, bool) {
    match store.load(Load::Archive(ArchiveLoad::Conversations { after, conversations_max })) {
        Loaded::Archive(ArchiveLoaded::Conversations(found, more)) => {
            assert!(found.iter().all(|(_, found)| *found == meta()));
            (found.iter().map(|(key, _)| key.conversation.0[0]).collect(), more)
        }
        other => panic!("{other:?}"),
    }
}

pub fn conversations_are_paged(store: &mut Store) {
    assert_eq!(conversations(store, None, 9), (vec![], false));
    for number in [3, 255, 1, 2] {
        store.append(key(number), rows(1..=1));
    }
    let other = ConversationKey { tenant: TenantId(7), ..key(0) };
    store.append(other, rows(1..=1));
    assert_eq!(conversations(store, None, 9), (vec![1, 2, 3, 255, 0], false));
    assert_eq!(conversations(store, None, 2), (vec![1, 2], true));
    assert_eq!(conversations(store, Some(key(2)), 3), (vec![3, 255, 0], false));
    assert_eq!(conversations(store, Some(other), 3), (vec![], false));
}
