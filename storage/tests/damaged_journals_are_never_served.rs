//! The journal of a killed store is damaged at many seeded places: flipped bits, zeroed, swapped and cut sectors. Each time the
//! store comes back with every row that the high-water file covers, or is refused with file and place; never with less.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::folder;
use crate::folder::{flip, journals, used_bytes, zero};
use crate::rows::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use trunkline_shards::store::{ConversationKey, Row, StoreResult};
use trunkline_storage::{OpenError, Options, Write, embedded};
use trunkline_wire::ids::UserId;

const CONVERSATIONS: u8 = 6;

fn options() -> Options {
    Options { cache_bytes: 1 << 20, worker_threads: 1, ..Options::default() }
}

fn open(path: &Path) -> Result<Store, OpenError> {
    let (log, index) = embedded::open(path, options())?;
    Ok(Store { log: Box::new(log), index, folder: None })
}

fn body(key: ConversationKey, seq: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(u64::from(key.conversation.0[0]) << 32 | seq);
    let bytes = if rng.next_u32().is_multiple_of(8) { 5000 } else { rng.next_u32() % 400 };
    (0..bytes).map(|at| if at % 3 == 0 { rng.next_u32() as u8 } else { b'.' }).collect()
}

/// Rows, and what is to be true with them: a place in a list, a ceiling, and a mark or, every third time, none.
fn group(number: u8, from: u64, to: u64, sent: Vec<Row>) -> [Write; 5] {
    let settled = from.is_multiple_of(3);
    let last = if settled { unmark(key(number)) } else { position(user(ALICE), u32::from(number), to) };
    let row = lists(vec![news(user(ALICE), number, to * 8 + u64::from(number), to)]);
    let seen = receipts(key(number), &[receipt(ALICE, 1, to, from)]);
    [marked(key(number), from - 1, sent), row, seen, ceiling(user(UserId(u64::from(number) + 1)), to), last]
}

/// A group is there wholly: everything says the same as the rows.
fn check_index(store: &Store, number: u8, last_seq: u64, what: &str) {
    let row = store.list_row(user(ALICE), number);
    assert_eq!(row.map_or(0, |row| row.last_seq), last_seq, "{what}");
    assert_eq!(store.ceiling(user(UserId(u64::from(number) + 1))), last_seq, "{what}");
    let Some(image) = store.conversation(key(number)) else { return };
    assert_eq!(image.receipts.iter().map(|one| one.delivered_seq).collect::<Vec<_>>(), [last_seq], "{what}");
    let marks = store.marks(0..=u16::MAX, None, 99).0;
    assert_eq!(marks.contains(&key(number)), image.mark.is_some(), "{what}");
    assert!(image.mark.is_none_or(|announced| announced < last_seq), "{what}");
    let place = u64::from(number) + last_seq * 8;
    let listed = store.list(user(ALICE), place - 1, place + 1, 9).0;
    assert_eq!(listed, [list_row(number, place, last_seq)], "{what}");
}

/// What a kill left of a store, and how far each conversation was after each group.
struct Image {
    folder: PathBuf,
    last_seqs: BTreeMap<u64, Vec<u64>>,
    /// High-water files of earlier moments, as a power cut may bring them back.
    high_waters: BTreeMap<u64, Vec<u8>>,
}

/// One for all tests; each works on copies.
fn image() -> &'static Image {
    static IMAGE: LazyLock<Image> = LazyLock::new(Image::new);
    &IMAGE
}

impl Image {
    /// A store that was killed after about 150 groups.
    fn new() -> Image {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("damaged-journals");
        let _ = fs::remove_dir_all(&folder);
        let path = folder.join("running");
        let mut store = open(&path).expect("a new store");
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut last = vec![0; usize::from(CONVERSATIONS)];
        let (mut last_seqs, mut high_waters) = (BTreeMap::new(), BTreeMap::new());
        for _ in 0..150 {
            let number = (rng.next_u32() % u32::from(CONVERSATIONS)) as u8;
            let from = last[usize::from(number)] + 1;
            let to = from + u64::from(rng.next_u32() % 4);
            let sent = (from..=to).map(|seq| row(seq, &body(key(number), seq))).collect();
            let writes = group(number, from, to, sent);
            let lsn = match store.commit(&writes)[0] {
                StoreResult::Appended(Ok(lsn)) => lsn,
                ref other => panic!("{other:?}"),
            };
            last[usize::from(number)] = to;
            last_seqs.insert(lsn.group, last.clone());
            high_waters.insert(lsn.group, fs::read(path.join("high-water")).expect("there"));
        }
        folder::copy(&path, &folder.join("killed"));
        let [journal] = &journals(&folder.join("killed"))[..] else { panic!("one journal") };
        let used = used_bytes(&fs::read(journal).expect("there")) as u64;
        // The rest is zeros; a few of them do.
        fs::File::options().write(true).open(journal).and_then(|file| file.set_len(used + 5000)).expect("writable");
        Image { folder, last_seqs, high_waters }
    }

    fn last_group(&self) -> u64 {
        *self.last_seqs.keys().next_back().expect("some")
    }

    /// A fresh copy, as of the group to which its high-water file reaches.
    fn restore(&self, high_water: u64) -> PathBuf {
        let thread = std::thread::current();
        let path = self.folder.join(thread.name().expect("a test"));
        let _ = fs::remove_dir_all(&path);
        folder::copy(&self.folder.join("killed"), &path);
        fs::write(path.join("high-water"), &self.high_waters[&high_water]).expect("writable");
        path
    }

    /// Opens a damaged copy. True: it came back, with everything up to `high_water`. False: it was refused.
    fn comes_back(&self, path: &Path, high_water: u64, what: &str) -> bool {
        let before: Vec<Vec<u8>> = journals(path).iter().map(|journal| fs::read(journal).expect("there")).collect();
        let store = match open(path) {
            Ok(store) => store,
            Err(OpenError::Damaged(damaged)) => {
                assert!(damaged.high_water <= high_water, "{what}");
                assert!(damaged.file.starts_with(path.join("fjall")) && damaged.offset.is_some(), "{what}: {damaged}");
                let after: Vec<Vec<u8>> =
                    journals(path).iter().map(|journal| fs::read(journal).expect("there")).collect();
                assert!(before == after, "{what}: a refused store was changed");
                return false;
            }
            Err(error) => panic!("{what}: {error}"),
        };
        let covered = &self.last_seqs[&high_water];
        for number in 0..CONVERSATIONS {
            let all = store.all(key(number));
            assert!(all.len() as u64 >= covered[usize::from(number)], "{what}: {} rows served", all.len());
            for (at, row) in all.iter().enumerate() {
                assert_eq!(row.seq, at as u64 + 1, "{what}");
                assert_eq!(row.body[..], body(key(number), row.seq)[..], "{what}");
            }
            check_index(&store, number, all.len() as u64, what);
        }
        let listed = store.list(user(ALICE), 0, u64::MAX, 99).0.len();
        assert!(listed <= usize::from(CONVERSATIONS), "{what}: {listed} rows listed");
        assert!(!path.join("journals-before-open").exists(), "{what}: the copies are left");
        true
    }

    /// As many seeded places in the journal as asked for; the first ones in the first batch's head.
    fn places(&self, seed: u64, count: u64) -> Vec<(u64, u32)> {
        let journal = &journals(&self.folder.join("killed"))[0];
        let used = used_bytes(&fs::read(journal).expect("there")) as u64;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let somewhere = (0..count).map(|_| rng.next_u64() % used).collect::<Vec<_>>();
        somewhere
            .into_iter()
            .enumerate()
            .map(|(at, place)| (if at < 40 { at as u64 } else { place }, at as u32 % 8))
            .collect()
    }
}

#[test]
fn flips_below_the_high_water_are_refused_or_harmless() {
    let image = image();
    let high_water = image.last_group();
    assert!(image.comes_back(&image.restore(high_water), high_water, "undamaged"));
    let places = image.places(2, 250);
    let back = places.iter().filter(|(byte, bit)| {
        let path = image.restore(high_water);
        flip(&journals(&path)[0], *byte, *bit);
        image.comes_back(&path, high_water, &format!("byte {byte}, bit {bit}"))
    });
    let back = back.count();
    println!("{} flips: {back} harmless, the others refused", places.len());
    assert!(back < places.len() / 10, "almost every byte matters: {back} of {} came back", places.len());
}

#[test]
fn behind_an_older_high_water_only_the_last_group_is_ever_cut() {
    let image = image();
    let high_water = image.last_group() - 40;
    let used = used_bytes(&fs::read(&journals(&image.restore(high_water))[0]).expect("there")) as u64;
    let near_the_end = (0..60).map(|at| (used - 1 - at * at / 2, at as u32 % 8));
    let places: Vec<_> = image.places(3, 100).into_iter().skip(40).chain(near_the_end).collect();
    let mut back = Vec::new();
    for (byte, bit) in &places {
        let path = image.restore(high_water);
        flip(&journals(&path)[0], *byte, *bit);
        if image.comes_back(&path, image.last_group() - 1, &format!("byte {byte}, bit {bit}")) {
            back.push(*byte);
        }
    }
    println!("{} of {} came back without the last group", back.len(), places.len());
    assert!((1..places.len()).contains(&back.len()), "both kinds are met: {back:?}");
}

#[test]
fn zeroed_swapped_and_cut_sectors_are_refused() {
    let image = image();
    let high_water = image.last_group();
    for (number, (byte, _)) in image.places(4, 60).into_iter().skip(40).enumerate() {
        let path = image.restore(high_water);
        let journal = &journals(&path)[0];
        let mut bytes = fs::read(journal).expect("there");
        let sector = byte / 512 * 512;
        let what = format!("sector at {sector}, way {}", number % 3);
        match number % 3 {
            0 => zero(journal, sector, 512),
            1 => fs::File::options().write(true).open(journal).and_then(|file| file.set_len(sector)).expect("writable"),
            _ => {
                let (one, other) = bytes.split_at_mut(512);
                let at = (sector as usize).saturating_sub(512).min(other.len() - 512);
                one.swap_with_slice(&mut other[at..at + 512]);
                fs::write(journal, bytes).expect("writable");
            }
        }
        assert!(!image.comes_back(&path, high_water, &what), "{what}: came back");
    }
}

#[test]
fn an_end_that_was_never_acked_is_cut_off() {
    let image = image();
    let high_water = image.last_group();
    let path = image.restore(high_water);
    let journal = &journals(&path)[0];
    let bytes = fs::read(journal).expect("there");
    let used = used_bytes(&bytes);
    // A part of a batch; two parts with a hole between, as pages may be written; noise.
    let noise = fs::read(path.join("high-water")).expect("there");
    let hole = [&bytes[..130], &[0; 700], &bytes[used - 20..used]].concat();
    for end in [&bytes[..60], &bytes[..130], &hole, &bytes[used - 13..used], &noise[..16]] {
        let path = image.restore(high_water);
        let torn = [&bytes[..used], end, &[0; 3000]].concat();
        fs::write(&journals(&path)[0], &torn).expect("writable");
        assert!(image.comes_back(&path, high_water, "torn end"));
        // Closed cleanly, the same end is damage.
        let path = image.restore(high_water);
        fs::write(&journals(&path)[0], &torn).expect("writable");
        fs::write(path.join("clean"), "").expect("writable");
        assert!(!image.comes_back(&path, high_water, "torn end of a closed store"));
    }
}

#[test]
fn an_emptied_journal_is_refused_again_and_again_and_its_copy_kept() {
    let image = image();
    let path = image.restore(image.last_group());
    let journal = &journals(&path)[0];
    let len = fs::metadata(journal).expect("there").len();
    zero(journal, 0, len as usize);
    for _ in 0..2 {
        let Err(OpenError::Damaged(damaged)) = open(&path) else { panic!("came back empty") };
        let copies = damaged.copies.as_ref().expect("made before opening");
        assert!(copies.is_dir() && damaged.to_string().contains("journals-before-open"), "{damaged}");
    }
}

#[test]
fn an_unreadable_high_water_is_refused() {
    let image = image();
    let path = image.restore(image.last_group());
    fs::write(path.join("high-water"), [1; 8192]).expect("writable");
    let refused = open(&path).err().expect("refused").to_string();
    assert!(refused.contains("high-water") && refused.contains("neither of its two slots"), "{refused}");
    fs::remove_file(path.join("high-water")).expect("removable");
    assert!(open(&path).is_ok(), "an operator may do without it");
}

/// What all of this guards against: the database alone opens many of the same journals with rows missing, and says nothing.
#[test]
fn without_the_counter_measure_rows_are_lost_silently() {
    let image = image();
    let whole: u64 = image.last_seqs[&image.last_group()].iter().sum();
    let (mut silent, mut refused, mut whole_opens) = (0, 0, 0);
    for (byte, bit) in image.places(2, 120) {
        let path = image.restore(image.last_group());
        flip(&journals(&path)[0], byte, bit);
        let rows = std::panic::catch_unwind(|| {
            let db = fjall::Database::builder(path.join("fjall")).worker_threads(1).open().ok()?;
            let messages = db.keyspace("messages", fjall::KeyspaceCreateOptions::default).ok()?;
            messages.len().ok().map(|rows| rows as u64)
        });
        match rows {
            Ok(Some(rows)) if rows == whole => whole_opens += 1,
            Ok(Some(_)) => silent += 1,
            Ok(None) | Err(_) => refused += 1,
        }
    }
    println!(
        "of 120 flips the bare database lost rows silently in {silent}, refused {refused}, opened whole {whole_opens}"
    );
    assert!(silent >= 3, "the control shows nothing: {silent} silent losses");
}
