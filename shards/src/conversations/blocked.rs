//! Who is blocked by the other peer of a 1:1 writes nothing new there, however the 1:1 comes into memory.

use alloc::vec;

use trunkline_wire::ids::UserId;
use trunkline_wire::message::ErrorCode;

use super::rig::{Rig, caller, direct_key};
use crate::contract::Ticket;
use crate::entry::{HomeAnswer, HomeRequest};
use crate::store::{Block, StoreFault};

impl Rig {
    /// A user's row of the other one says this now; the home of their 1:1 may still be told.
    fn write_block(&mut self, blocker: u64, blocked: bool, changed_ms: u64) -> Block {
        let block = Block { blocker: UserId(blocker), blocked, changed_ms };
        self.blocks.retain(|known| known.blocker != block.blocker);
        self.blocks.push(block);
        block
    }

    fn tell(&mut self, block: Block) {
        self.act(|conversations, turn| conversations.tell_block(turn, Ticket(1), direct_key(), block));
    }

    fn block(&mut self, blocker: u64, blocked: bool, changed_ms: u64) {
        let block = self.write_block(blocker, blocked, changed_ms);
        self.tell(block);
    }

    fn try_send(&mut self, by: u64, client_seq: u64) -> Option<ErrorCode> {
        let sent = self.send(direct_key(), by, client_seq);
        self.settle();
        self.ack(sent).1
    }
}

#[test]
fn who_is_blocked_writes_nothing_new_until_the_block_ends() {
    let mut rig = Rig::new(1, 1, &[]);
    rig.open_direct(1, 2);
    assert_eq!((rig.try_send(2, 1), rig.try_send(1, 1)), (None, None));
    rig.block(1, true, 10);
    assert_eq!(rig.try_send(2, 2), Some(ErrorCode::Forbidden));
    let again = rig.send(direct_key(), 2, 1);
    assert_eq!(rig.ack(again), (vec![1], None), "what was accepted stays so");
    assert_eq!(rig.try_send(1, 2), None, "who blocks may write");
    let opened = rig.open(direct_key(), 2);
    assert_eq!(rig.opened(opened).3, 3, "who is blocked may read");
    rig.block(1, false, 11);
    assert_eq!(rig.try_send(2, 2), None, "the number was free");
}

#[test]
fn each_blocks_for_itself() {
    let mut rig = Rig::new(1, 1, &[]);
    rig.open_direct(1, 2);
    rig.block(1, true, 10);
    rig.block(2, true, 20);
    assert_eq!((rig.try_send(1, 1), rig.try_send(2, 1)), (Some(ErrorCode::Forbidden), Some(ErrorCode::Forbidden)));
    rig.block(1, false, 12);
    assert_eq!((rig.try_send(1, 1), rig.try_send(2, 1)), (Some(ErrorCode::Forbidden), None));
}

#[test]
fn what_is_older_says_nothing() {
    let mut rig = Rig::new(1, 1, &[]);
    rig.open_direct(1, 2);
    let late = rig.write_block(1, true, 10);
    rig.block(1, false, 11);
    rig.tell(late);
    assert_eq!(rig.try_send(2, 1), None, "told in the wrong order");
    rig.block(1, true, 12);
    rig.block(1, true, 12);
    assert_eq!(rig.try_send(2, 2), Some(ErrorCode::Forbidden), "told twice");
}

#[test]
fn a_block_is_found_when_the_conversation_is_taken_up() {
    let mut rig = Rig::new(1, 1, &[]);
    // Before anybody ever wrote there.
    rig.write_block(1, true, 10);
    rig.open_direct(1, 2);
    assert_eq!(rig.try_send(2, 1), Some(ErrorCode::Forbidden));
    assert_eq!(rig.try_send(1, 1), None);
    // And after it went from memory.
    rig.write_block(2, true, 20);
    rig.act(|conversations, turn| conversations.remove(turn, direct_key()));
    assert_eq!((rig.try_send(2, 1), rig.try_send(1, 2)), (Some(ErrorCode::Forbidden), Some(ErrorCode::Forbidden)));
}

#[test]
fn what_is_told_during_a_read_counts_behind_it() {
    for lifted in [false, true] {
        let mut rig = Rig::new(1, 1, &[]);
        rig.write_block(1, lifted, 10);
        rig.open_direct(1, 2);
        let sent = rig.send(direct_key(), 2, 1);
        rig.store_next();
        assert!(!rig.is_answered(sent), "blocks are still being read");
        // The read has seen the older row.
        let newer = Block { blocker: UserId(1), blocked: !lifted, changed_ms: 11 };
        rig.tell(newer);
        rig.settle();
        assert_eq!(rig.ack(sent).1, if lifted { None } else { Some(ErrorCode::Forbidden) });
    }
}

#[test]
fn a_failed_read_of_blocks_lets_nobody_write() {
    let mut rig = Rig::new(1, 1, &[]);
    rig.write_block(1, true, 10);
    rig.open_direct(1, 2);
    let sent = rig.send(direct_key(), 2, 1);
    rig.store_next();
    rig.fail_next(StoreFault::Unknown);
    assert_eq!(rig.refusal(sent), ErrorCode::StorageUnavailable);
    rig.open_direct(1, 2);
    assert_eq!(rig.try_send(2, 1), Some(ErrorCode::Forbidden));
}

#[test]
fn typing_of_who_is_blocked_is_told_to_nobody() {
    let mut rig = Rig::new(1, 1, &[]);
    rig.open_direct(1, 2);
    rig.try_send(1, 1);
    rig.block(1, true, 10);
    let conversation = direct_key().conversation;
    for (by, notices) in [(2, 0), (1, 1)] {
        let typed = rig.ask(HomeRequest::Typing { caller: caller(by), request: 9, conversation });
        assert!(matches!(rig.answer(typed), HomeAnswer::Frame(_)), "and nobody is told of that");
        assert_eq!(rig.notices.len(), notices);
    }
}
