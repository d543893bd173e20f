//! Bytes of a peer are refused or read, and nothing else happens.
//!
//! Set-up: every request and answer with a list, and the body of a membership row, damaged in 20,000 ways each from a
//! seed (bytes changed, words that are lengths and offsets made large, ends cut off), and noise. Claim: decoding gives an
//! error or a view all of whose fields can be read.

use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{
    Answer, Change, Encoded, Encoder, EnvelopeError, Member, Receipt, Request, Summary, UserReceipt, decode_answer,
    decode_membership, decode_request,
};

const ROUNDS: u32 = 20_000;
const CONVERSATION: ConversationId = ConversationId([0xab; 16]);

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    /// A copy with one to four changes, behind the first `kept` bytes.
    fn damage(&mut self, bytes: &[u8], kept: usize) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = kept + self.below(bytes.len() - kept);
            match self.below(4) {
                0 => bytes[at] = self.roll() as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 if at + 4 <= bytes.len() => {
                    let word = [u32::MAX, i32::MAX as u32, i32::MIN as u32, 0][self.below(4)];
                    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
                }
                _ => bytes.truncate(at.max(kept + 1)),
            }
        }
        bytes
    }
}

/// Reads every field there is: the sum keeps the reads.
fn read_request(view: &Request<'_>) -> u64 {
    match view {
        Request::Report(report) => {
            let receipts = report.receipts().into_iter().flatten();
            receipts.map(|r| u64::from(r.conversation().0[15]) ^ r.delivered_seq() ^ r.read_seq()).fold(0, |a, b| a ^ b)
        }
        Request::CreateGroup(group) => {
            group.title().map_or(0, |title| title.chars().count() as u64) ^ sum(group.members())
        }
        Request::ChangeMembers(change) => u64::from(change.change()) ^ sum(change.users()),
        Request::Members(members) => members.after() ^ u64::from(members.limit()),
        Request::Sync(sync) => sync.position() ^ sync.below() ^ u64::from(sync.limit()) ^ u64::from(sync.stored()),
        Request::Typing(typing) => typing.conversation().map_or(0, |id| u64::from(id.0[15])),
        _ => 0,
    }
}

fn read_answer(view: &Answer<'_>) -> u64 {
    match view {
        Answer::Synced(synced) => {
            let summaries = synced.conversations().into_iter().flatten();
            summaries
                .map(|s| s.user_seq() ^ s.title().map_or(0, |title| title.chars().count() as u64))
                .fold(0, |a, b| a ^ b)
        }
        Answer::MembersPage(page) => {
            let members = page.members().into_iter().flatten().map(|m| m.user() ^ m.read_seq() ^ u64::from(m.role()));
            members.fold(page.title().map_or(0, |title| title.len() as u64), |a, b| a ^ b)
        }
        Answer::Advanced(advanced) => {
            let places = advanced.conversations().into_iter().flatten();
            places.map(|place| u64::from(place.conversation().0[15]) ^ place.last_seq()).fold(0, |a, b| a ^ b)
        }
        Answer::Receipts(receipts) => {
            let users = receipts.users().into_iter().flatten();
            users.map(|r| r.user() ^ r.delivered_seq() ^ r.read_seq()).fold(0, |a, b| a ^ b)
        }
        _ => 0,
    }
}

fn sum(users: Option<flatbuffers::Vector<'_, u64>>) -> u64 {
    users.into_iter().flatten().fold(0, |a, b| a ^ b)
}

fn envelope(encoded: Encoded<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoded.write_envelope(&mut bytes);
    bytes
}

fn requests() -> Vec<Vec<u8>> {
    let users = [UserId(1), UserId(2), UserId(3)];
    let receipt = Receipt { conversation: CONVERSATION, delivered_seq: 9, read_seq: 8 };
    let encoder = &mut Encoder::new();
    vec![
        envelope(encoder.report(1, 2, &[receipt; 40])),
        envelope(encoder.create_group(1, 2, "a title", &users)),
        envelope(encoder.change_members(1, CONVERSATION, Change::Removed, &users)),
        envelope(encoder.members(1, CONVERSATION, UserId(1), 9)),
        envelope(encoder.sync(1, Some(2), 3, 4)),
        envelope(encoder.typing(1, CONVERSATION)),
    ]
}

fn answers() -> Vec<Vec<u8>> {
    let summary = Summary {
        conversation: CONVERSATION,
        kind: 2,
        peer: UserId(0),
        last_seq: 1,
        user_seq: 2,
        read_seq: 3,
        joined_seq: 4,
        left_seq: 5,
        title: "a title",
    };
    let member = Member { user: UserId(1), role: 2, joined_seq: 3, delivered_seq: 4, read_seq: 5 };
    let receipt = UserReceipt { user: UserId(1), delivered_seq: 2, read_seq: 3 };
    let encoder = &mut Encoder::new();
    vec![
        envelope(encoder.synced(1, (2, 3), &[summary; 5], true, false)),
        envelope(encoder.members_page(1, CONVERSATION, "a title", &[member; 5], (true, 9))),
        envelope(encoder.advanced(1, 2, &[(CONVERSATION, 3); 5])),
        envelope(encoder.receipts(CONVERSATION, &[receipt; 5])),
    ]
}

#[test]
fn damaged_requests_are_refused_or_read() {
    let mut dice = Dice(1);
    let (mut read, mut refused) = (0u32, 0u32);
    for bytes in requests() {
        assert!(decode_request(&bytes).is_ok(), "whole, it is an envelope");
        for _ in 0..ROUNDS {
            match decode_request(&dice.damage(&bytes, 8)) {
                Ok((_, view)) => {
                    std::hint::black_box(read_request(&view));
                    read += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(read > ROUNDS / 10 && refused > ROUNDS / 10, "{read} read, {refused} refused: the damage is of both kinds");
}

#[test]
fn damaged_answers_are_refused_or_read() {
    let mut dice = Dice(2);
    let (mut read, mut refused) = (0u32, 0u32);
    for bytes in answers() {
        assert!(decode_answer(&bytes).is_ok(), "whole, it is an envelope");
        for _ in 0..ROUNDS {
            match decode_answer(&dice.damage(&bytes, 8)) {
                Ok((_, view)) => {
                    std::hint::black_box(read_answer(&view));
                    read += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(read > ROUNDS / 10 && refused > ROUNDS / 10, "{read} read, {refused} refused: the damage is of both kinds");
}

#[test]
fn damaged_bodies_of_membership_rows_are_refused_or_read() {
    let mut dice = Dice(3);
    let body = Encoder::new().membership_change(Change::Created, &[UserId(1), UserId(2)], "a title");
    let (mut read, mut refused) = (0u32, 0u32);
    for _ in 0..ROUNDS {
        match decode_membership(&dice.damage(&body, 0)) {
            Ok(view) => {
                std::hint::black_box((view.change(), view.title().map(str::len), sum(view.users())));
                read += 1;
            }
            Err(error) => {
                assert_eq!(error, EnvelopeError::Malformed);
                refused += 1;
            }
        }
    }
    assert!(read > ROUNDS / 100 && refused > ROUNDS / 10, "{read} read, {refused} refused");
}

/// Text that a client sends as a body of kind 1 looks like this to whoever takes it for a membership row.
#[test]
fn noise_is_no_membership_change_that_panics() {
    let mut dice = Dice(4);
    for _ in 0..ROUNDS {
        let noise: Vec<u8> = (0..dice.below(64)).map(|_| dice.roll() as u8).collect();
        if let Ok(view) = decode_membership(&noise) {
            std::hint::black_box((view.change(), view.title().map(str::len), sum(view.users())));
        }
    }
    for nothing in [&b""[..], b"\0", b"hello, this is text", &[0xff; 64]] {
        assert!(decode_membership(nothing).is_err());
    }
    let empty = decode_membership(&[0; 4]).expect("a table that is its own vtable, and empty");
    assert_eq!((empty.change(), empty.users().is_none()), (0, true), "it changes nothing");
}

/// A vector that says it is longer than the buffer, as the hostile write it by hand.
#[test]
fn a_report_that_lies_about_its_length_is_refused() {
    let receipt = Receipt { conversation: CONVERSATION, delivered_seq: 9, read_seq: 8 };
    let mut bytes = envelope(Encoder::new().report(1, 2, &[receipt; 3]));
    let length = bytes.windows(4).rposition(|word| word == 3u32.to_le_bytes()).expect("the length of the vector");
    for lie in [4u32, 256, 65_536, 1 << 27, i32::MAX as u32, u32::MAX] {
        bytes[length..length + 4].copy_from_slice(&lie.to_le_bytes());
        assert!(matches!(decode_request(&bytes), Err(EnvelopeError::Malformed)), "{lie} receipts in three");
    }
}
