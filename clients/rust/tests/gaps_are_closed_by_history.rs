//! Set-up: pushed messages come in any order, doubled and with holes, more than the buffers hold, and the program may
//! leave events unread; history has them all.
//! Claim: each is told once and in order, and what waits stays within its bounds.

use crate::dice::Dice;
use crate::line::{Asked, CHAT, Line, seqs};
use trunkline_client::core::{ClientEvent, Follow, State};
use trunkline_client::limits::{EVENTS_WAITING_MAX, REORDER_MESSAGES_MAX};

/// A client that has caught up with a conversation of `last_seq` messages.
fn following(follow: Follow, last_seq: u64) -> Line {
    let mut line = Line::new(follow, 1);
    line.welcome();
    let (request, asked) = line.one();
    assert_eq!(asked, Asked::Sync(Some(0), 0));
    line.listed(request, Some(last_seq));
    line
}

/// Answers every request for history, from messages up to `last_seq`, until there is none; gives what was told.
fn answer_all(line: &mut Line, last_seq: u64, told: &mut Vec<u64>) {
    loop {
        let asked = line.asked();
        for (request, asked) in &asked {
            let Asked::History(from) = asked else { panic!("{asked:?}") };
            line.page(*request, *from..=last_seq.min(from + 49), last_seq);
        }
        told.extend(seqs(&line.events()));
        let due = line.client.poll_timeout().is_some_and(|at_ms| at_ms <= line.now_ms + 1_000);
        if due {
            line.wait();
        } else if asked.is_empty() {
            return;
        }
    }
}

#[test]
fn any_order_with_any_holes_is_told_once_and_in_order() {
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let mut line = following(Follow::FromNow, 10);
        assert!(line.events().contains(&ClientEvent::Synced));
        let last = 10 + dice.range(1, 600);
        let (mut told, mut next) = (Vec::new(), 11);
        while next <= last {
            let seq = (next + dice.below(20)).saturating_sub(dice.below(20)).clamp(11, last);
            if dice.chance(80) {
                line.push(seq);
            }
            next += dice.below(3);
            told.extend(seqs(&line.events()));
            line.now_ms += dice.below(50);
        }
        line.push(last);
        answer_all(&mut line, last, &mut told);
        // The first message pushed on the first connection may be ahead of the list, never behind it.
        assert_eq!(told, (11..=last).collect::<Vec<u64>>(), "seed {seed}");
    }
}

#[test]
fn a_hole_that_closes_by_itself_asks_for_nothing() {
    let mut line = following(Follow::FromNow, 3);
    line.events();
    line.push(5);
    line.now_ms += 200;
    line.client.handle_timeout(line.now_ms);
    line.push(4);
    assert_eq!(seqs(&line.events()), [4, 5]);
    line.now_ms += 1_000;
    line.client.handle_timeout(line.now_ms);
    assert_eq!(line.asked(), []);
}

#[test]
fn more_than_the_buffer_holds_is_fetched_again() {
    let mut line = following(Follow::FromNow, 0);
    line.events();
    let last = 3 * REORDER_MESSAGES_MAX as u64;
    line.push(1);
    for seq in 3..=last {
        line.push(seq);
    }
    let mut told = seqs(&line.events());
    answer_all(&mut line, last, &mut told);
    assert_eq!(told, (1..=last).collect::<Vec<u64>>());
}

#[test]
fn unread_events_stay_bounded_and_nothing_is_lost() {
    let mut line = following(Follow::FromStart, 0);
    let last = 5 * EVENTS_WAITING_MAX as u64;
    for seq in 1..=last {
        line.push(seq);
    }
    line.now_ms += 1_000;
    line.client.handle_timeout(line.now_ms);
    assert_eq!(line.asked(), [], "without room nothing is fetched");
    let mut told = seqs(&line.events());
    assert!(told.len() <= EVENTS_WAITING_MAX, "{}", told.len());
    answer_all(&mut line, last, &mut told);
    assert_eq!(told, (1..=last).collect::<Vec<u64>>());
}

#[test]
fn what_was_missed_while_away_comes_first() {
    let mut line = following(Follow::FromNow, 10);
    line.push(11);
    line.cut();
    line.welcome();
    let (list, _) = line.one();
    // A pushed message overtakes the list.
    line.push(15);
    line.listed(list, Some(15));
    let mut told = vec![];
    answer_all(&mut line, 15, &mut told);
    assert_eq!(told, [12, 13, 14, 15]);
}

#[test]
fn history_that_is_cut_is_passed_over_visibly() {
    let mut line = following(Follow::FromStart, 10);
    let (request, asked) = line.one();
    assert_eq!(asked, Asked::History(1));
    line.page(request, 6..=10, 10);
    let events = line.events();
    assert_eq!(events[1], ClientEvent::Missed { conversation: CHAT, from_seq: 1, to_seq: 5 });
    assert_eq!(seqs(&events), [6, 7, 8, 9, 10]);
}

#[test]
fn where_the_program_left_off_it_goes_on() {
    let mut line = following(Follow::Behind(State { places: [(CHAT, 7)].into(), ..State::default() }), 9);
    let mut told = vec![];
    answer_all(&mut line, 9, &mut told);
    assert_eq!(told, [8, 9]);
    assert_eq!(line.client.positions().collect::<Vec<_>>(), [(CHAT, 9)]);
}

#[test]
fn a_conversation_that_appears_while_away_is_told_from_its_start() {
    let mut line = Line::new(Follow::FromNow, 1);
    line.welcome();
    let (list, _) = line.one();
    line.listed(list, None);
    line.cut();
    line.welcome();
    let (list, _) = line.one();
    line.listed(list, Some(3));
    let mut told = vec![];
    answer_all(&mut line, 3, &mut told);
    assert_eq!(told, [1, 2, 3]);
}

#[test]
fn a_message_pushed_before_the_first_list_is_answered_is_told() {
    let mut line = Line::new(Follow::FromNow, 1);
    line.welcome();
    let (list, _) = line.one();
    // The list saw 5, which is on its way.
    line.listed(list, Some(5));
    line.push(5);
    assert_eq!(seqs(&line.events()), [5]);
}
