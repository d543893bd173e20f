//! Bytes of every file that holds lists, their order, marks, watermarks, ceilings, positions, members or accounts are
//! flipped: each read comes back right, without what is damaged, or is unknown; nothing is made up. What says how far somebody
//! was is as good as none when it is damaged; nothing else that is there is said not to be.

use std::path::Path;

use crate::folder;
use crate::rows;
use crate::rows::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use trunkline_shards::store::{ConversationKey, DeviceReceipt, ListRow, Load, Loaded, Member, Put, StoreFault};
use trunkline_storage::{Index, Options, embedded};
use trunkline_wire::ids::{DeviceId, UserId};
use trunkline_wire::message::Role;

const USERS: u64 = 300;
const CONVERSATIONS: u8 = 200;
const FLIPS_PER_FILE: u64 = 16;

fn title(number: u8) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(u64::from(number));
    (0..rng.next_u32() % 120).map(|_| char::from(b'!' + (rng.next_u32() % 90) as u8)).collect()
}

fn listed(number: u8) -> ListRow {
    let mut row = list_row(number, 1000 + u64::from(number) * 7, 3);
    row.about.title = title(number);
    row
}

fn received(number: u8) -> Vec<DeviceReceipt> {
    (1..=3).map(|user| receipt(UserId(user), 1, u64::from(number) + user, 1)).collect()
}

fn joined(number: u8) -> Vec<Member> {
    (1..=3).map(|user| member(UserId(user), Role::Member, 1, u64::from(number) + 2)).collect()
}

fn store_in_tables(path: &Path) {
    let (log, index) = embedded::open(path, Options::default()).expect("a new store");
    let mut store = Store { log: Box::new(log), index, folder: None };
    let changes = |early: u64| {
        let change = |number| {
            let row = listed(number);
            let changed = news(user(ALICE), number, row.user_seq - early, row.last_seq);
            trunkline_shards::store::ListChange { about: row.about, ..changed }
        };
        lists((0..CONVERSATIONS).map(change).collect())
    };
    // Changed twice, so that the order also has what is deleted.
    store.commit(&[changes(3)]);
    store.commit(&[changes(0)]);
    for number in 0..CONVERSATIONS {
        let members = joined(number);
        let devices = vec![device_high(ALICE, 1, 2)];
        let counted = put(Put::Checkpoint { key: key(number), as_of_seq: 2, devices, members });
        let seen = receipts(key(number), &received(number));
        store.commit(&[marked(key(number), 0, rows(1..=2)), counted, seen]);
    }
    for number in 1..=USERS {
        let key = user(UserId(number));
        store.commit(&[ceiling(key, 1024 + number), position(key, 1, number), account(key, &format!("name {number}"))]);
    }
    drop(store);
    folder::write_out(path);
}

/// What came of reading everything once.
#[derive(Default)]
struct Reads {
    right: usize,
    unknown: usize,
    left_out: usize,
}

impl Reads {
    /// `expected`, or what stands for a damaged value, or unknown.
    fn check(&mut self, index: &dyn Index, load: &Load, expected: &Loaded, of_damaged: Option<Loaded>) {
        match index.load(load) {
            Ok(loaded) if Some(&loaded) == of_damaged.as_ref() => self.left_out += 1,
            Ok(loaded) => {
                assert_eq!(&loaded, expected);
                self.right += 1;
            }
            Err(StoreFault::Unknown) => self.unknown += 1,
            Err(StoreFault::Full) => panic!("a read needs no room"),
        }
    }

    fn check_users(&mut self, index: &dyn Index) {
        for number in 1..=USERS {
            let key = user(UserId(number));
            self.check(index, &Load::Ceiling { key }, &Loaded::Ceiling(1024 + number), None);
            let stored = Loaded::Position(Some(number));
            self.check(index, &Load::Position { key, device: DeviceId(1) }, &stored, Some(Loaded::Position(Some(0))));
            let missing = Load::MissingUsers { tenant: TENANT, users: vec![UserId(number)] };
            self.check(index, &missing, &Loaded::MissingUsers(vec![]), None);
        }
    }

    fn check_conversations(&mut self, index: &dyn Index) {
        for number in 0..CONVERSATIONS {
            let row = listed(number);
            let one = Load::ListRow { key: user(ALICE), conversation: row.conversation };
            self.check(index, &one, &Loaded::ListRow(Some(Box::new(row))), Some(Loaded::ListRow(None)));
            match index.load(&Load::Conversation { key: key(number) }) {
                Ok(Loaded::Conversation(Some(image))) => {
                    assert_eq!((image.meta, image.mark, image.last_seq), (meta(), Some(0), 2));
                    let received = received(number);
                    assert!(image.members == joined(number) && received.starts_with(&image.receipts));
                    self.left_out += received.len() - image.receipts.len();
                    assert_eq!((image.checkpoint_seq, &image.devices[..]), (2, &[device_high(ALICE, 1, 2)][..]));
                    self.right += 1;
                }
                Err(StoreFault::Unknown) => self.unknown += 1,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Every row of a page is right, and in its place.
    fn check_list(&mut self, index: &dyn Index) {
        match index.load(&Load::List { key: user(ALICE), above: 0, below: u64::MAX, rows_max: 999 }) {
            Ok(Loaded::List(rows, false)) => {
                assert!(rows.is_sorted_by(|one, next| one.user_seq > next.user_seq));
                rows.iter().for_each(|row| assert_eq!(row, &listed(row.conversation.0[0])));
                self.left_out += usize::from(CONVERSATIONS) - rows.len();
            }
            Err(StoreFault::Unknown) => self.unknown += 1,
            other => panic!("{other:?}"),
        }
    }

    fn check_marks(&mut self, index: &dyn Index) {
        match index.load(&Load::Marks { from_slot: 0, to_slot: u16::MAX, after: None, marks_max: 999 }) {
            Ok(Loaded::Marks(marks, false)) => {
                let are_known = |key: &ConversationKey| *key == rows::key(key.conversation.0[0]);
                assert!(marks.iter().all(are_known), "{marks:?}");
                self.left_out += usize::from(CONVERSATIONS) - marks.len();
            }
            Err(StoreFault::Unknown) => self.unknown += 1,
            other => panic!("{other:?}"),
        }
    }
}

fn read_all(index: &dyn Index) -> Reads {
    let mut reads = Reads::default();
    reads.check_users(index);
    reads.check_conversations(index);
    reads.check_list(index);
    reads.check_marks(index);
    reads
}

#[test]
fn damaged_index_tables_are_never_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    store_in_tables(&path);
    let mut files = Vec::new();
    folder::table_files(&path.join("fjall"), &mut files);
    files.sort();
    let (log, index) = embedded::open(&path, Options::default()).expect("undamaged");
    let undamaged = read_all(&*index);
    assert_eq!((undamaged.unknown, undamaged.left_out), (0, 0), "{files:?}");
    drop((log, index));

    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let (mut whole, mut noticed, mut shut) = (0, 0, 0);
    for (bytes, file) in files.iter().filter(|(bytes, _)| *bytes > 2_000) {
        for trial in 0..FLIPS_PER_FILE {
            let byte = rng.next_u64() % bytes;
            folder::flip(file, byte, trial as u32 % 8);
            match embedded::open(&path, Options::default()) {
                Err(_) => shut += 1,
                Ok((log, index)) => {
                    let reads = read_all(&*index);
                    assert!(reads.right > 0, "{}, byte {byte}: one bad place is not all of them", file.display());
                    if reads.unknown + reads.left_out == 0 {
                        whole += 1
                    } else {
                        noticed += 1
                    }
                    drop(log);
                }
            }
            folder::flip(file, byte, trial as u32 % 8);
        }
    }
    println!("{whole} flips read right, {noticed} unknown or left out, {shut} kept the store shut");
    assert!(noticed >= 40, "most damage is met when it is read: {noticed}");
}
