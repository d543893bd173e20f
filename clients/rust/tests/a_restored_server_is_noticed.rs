//! A server that was restored from an older backup has other messages from some seq on: the client finds that seq, takes
//! back what was told from there, and tells nothing of the conversation before that is done.

use trunkline_client::core::{ClientEvent, Follow, State};
use trunkline_wire::message::{Message, Page, Summary};

use crate::line::{Asked, CHAT, Line, message, row, seqs};

/// The epoch since the backup was restored.
const LATER: u64 = 9;
/// Where lists of a restored server count from.
const LATER_POSITION: u64 = 1 << 42;

fn later(seq: u64) -> Message<'static> {
    Message { epoch: LATER, ..message(seq) }
}

/// The first page that is asked for now: its request, and from where.
#[track_caller]
fn history(line: &mut Line) -> (u32, u64) {
    let asked = line.asked();
    let page = asked.iter().find_map(|(request, asked)| match asked {
        Asked::History(from_seq) => Some((*request, *from_seq)),
        _ => None,
    });
    page.unwrap_or_else(|| panic!("no page among {asked:?}"))
}

fn answer(line: &mut Line, request: u32, messages: Vec<Message<'static>>, (last_seq, more): (u64, bool)) {
    let page = Page { conversation: CHAT, epoch: LATER, more, last_seq };
    line.tell(|encoder| encoder.history_page(request, &page, messages.into_iter(), &[]));
}

/// A client that was told five messages.
fn at_five() -> Line {
    let mut line = Line::new(Follow::FromStart, 3);
    line.welcome();
    let (sync, _) = line.one();
    line.listed(sync, Some(5));
    let (request, from_seq) = history(&mut line);
    assert_eq!(from_seq, 1);
    line.page(request, 1..=5, 5);
    assert_eq!(seqs(&line.events()), [1, 2, 3, 4, 5]);
    line
}

/// The client comes back, and the list that it gets is that of a restored server.
fn restored(line: &mut Line, last_seq: u64) {
    line.welcome();
    let sync =
        line.asked().into_iter().find_map(|(request, asked)| matches!(asked, Asked::Sync(..)).then_some(request));
    let summary = Summary { last_seq, ..row(LATER_POSITION) };
    let sync = sync.expect("a client syncs first");
    line.tell(|encoder| encoder.synced(sync, (0, LATER_POSITION), &[summary], false, true));
}

fn rewound(events: &[ClientEvent]) -> Vec<(u64, u64)> {
    let rewound = |event: &ClientEvent| match event {
        ClientEvent::Rewound { epoch, seq, .. } => Some((*epoch, *seq)),
        _ => None,
    };
    events.iter().filter_map(rewound).collect()
}

#[test]
fn what_is_gone_is_taken_back_before_anything_follows() {
    let mut line = at_five();
    line.cut();
    restored(&mut line, 3);
    let (request, from_seq) = history(&mut line);
    assert_eq!((from_seq, seqs(&line.events())), (5, vec![]));
    answer(&mut line, request, vec![message(1), message(2), later(3)], (3, false));
    assert_eq!(rewound(&line.events()), [(LATER, 3)]);
    let (request, from_seq) = history(&mut line);
    assert_eq!(from_seq, 3);
    answer(&mut line, request, vec![later(3)], (3, false));
    assert_eq!(seqs(&line.events()), [3]);
}

#[test]
fn a_later_epoch_is_looked_into_though_nothing_is_gone() {
    let mut line = at_five();
    line.tell(|encoder| encoder.message(CHAT, &later(6)));
    assert_eq!(seqs(&line.events()), [0; 0], "what is before it is not known yet");
    let (request, from_seq) = history(&mut line);
    assert_eq!(from_seq, 5);
    answer(&mut line, request, vec![message(4), message(5)], (6, true));
    let (request, from_seq) = history(&mut line);
    assert_eq!((from_seq, rewound(&line.events())), (6, vec![]));
    answer(&mut line, request, vec![later(6)], (6, false));
    assert_eq!(seqs(&line.events()), [6]);
    line.tell(|encoder| encoder.message(CHAT, &later(7)));
    assert_eq!(seqs(&line.events()), [7], "once is enough");
}

#[test]
fn what_is_not_to_be_seen_any_more_is_not_taken_back() {
    let mut line = at_five();
    line.tell(|encoder| encoder.message(CHAT, &later(9)));
    let (request, from_seq) = history(&mut line);
    assert_eq!(from_seq, 5);
    // The user has left, and came back behind it.
    answer(&mut line, request, vec![], (9, false));
    assert_eq!(rewound(&line.events()), []);
    let (_, from_seq) = history(&mut line);
    assert_eq!(from_seq, 6);
}

#[test]
fn pages_are_read_back_as_far_as_it_takes() {
    let mut line = at_five();
    line.tell(|encoder| encoder.message(CHAT, &later(9)));
    let (request, _) = history(&mut line);
    answer(&mut line, request, vec![later(4), later(5)], (9, true));
    let (request, from_seq) = history(&mut line);
    assert_eq!(from_seq, 3);
    answer(&mut line, request, vec![later(2), later(3)], (9, true));
    let (request, from_seq) = history(&mut line);
    assert_eq!((from_seq, rewound(&line.events())), (1, vec![]));
    answer(&mut line, request, vec![message(1)], (9, false));
    assert_eq!(rewound(&line.events()), [(LATER, 2)]);
    let (request, from_seq) = history(&mut line);
    assert_eq!(from_seq, 2);
    answer(&mut line, request, (2..=9).map(later).collect(), (9, false));
    assert_eq!(seqs(&line.events()), [2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn who_stored_no_epochs_finds_it_too() {
    let state = State { position: 7, places: [(CHAT, 5)].into(), ..State::default() };
    let mut line = Line::new(Follow::Behind(state), 3);
    restored(&mut line, 8);
    let (request, from_seq) = history(&mut line);
    assert_eq!(from_seq, 6);
    answer(&mut line, request, vec![later(6), later(7), later(8)], (8, false));
    assert_eq!(seqs(&line.events()), [0; 0]);
    let (request, from_seq) = history(&mut line);
    assert_eq!(from_seq, 5);
    answer(&mut line, request, vec![message(3), message(4), later(5)], (8, true));
    assert_eq!(rewound(&line.events()), [(LATER, 5)]);
    let (request, from_seq) = history(&mut line);
    assert_eq!(from_seq, 5);
    answer(&mut line, request, (5..=8).map(later).collect(), (8, false));
    assert_eq!(seqs(&line.events()), [5, 6, 7, 8]);
}

#[test]
fn what_was_told_of_the_latest_epoch_is_not_taken_back() {
    // The program ended after it was told, and before the position of the restored server was.
    let state = State { position: 7, places: [(CHAT, 5)].into(), epochs: [(CHAT, LATER)].into(), ..State::default() };
    let state = State::decode(&state.encode()).expect("what was encoded");
    let mut line = Line::new(Follow::Behind(state), 3);
    restored(&mut line, 6);
    let (request, from_seq) = history(&mut line);
    assert_eq!(from_seq, 6);
    answer(&mut line, request, vec![later(6)], (6, false));
    let (request, from_seq) = history(&mut line);
    assert_eq!(from_seq, 5);
    answer(&mut line, request, vec![message(3), later(4), later(5)], (6, true));
    let (request, from_seq) = history(&mut line);
    assert_eq!((from_seq, rewound(&line.events())), (6, vec![]));
    answer(&mut line, request, vec![later(6)], (6, false));
    assert_eq!(seqs(&line.events()), [6]);
}
