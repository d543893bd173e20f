//! Scenes for the model and its view: what happens and which keys are pressed, and the frames and wishes that follow.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use trunkline_client::core::{Change, ClientEvent, ContentKind, Message, MessageId, Summary, UserReceipt};
use trunkline_wire::message::{Encoder, ErrorCode};

use super::stage::{ALICE, BOB, CAROL, START_MS, Scene, TEAM, WITH_BOB, member, members, message, page, summary};
use super::timeline::Unsent;
use super::view;
use super::wish::{Answer, Wish};
use crate::failure::Failure;

fn talk() -> Vec<Message> {
    let added = Encoder::new().membership_change(Change::Created, &[BOB, CAROL], "Our team");
    vec![
        Message { kind: ContentKind::Membership as u8, body: added, ..message(TEAM, 1, ALICE, "") },
        message(TEAM, 2, ALICE, "who is hungry?"),
        message(TEAM, 3, BOB, "me 🍕, and I have been hungry since this morning already"),
        message(TEAM, 4, ALICE, "at one then"),
        Message { ts_ms: START_MS + 86_400_000, ..message(TEAM, 5, CAROL, "שלום\nwhere?") },
    ]
}

#[test]
fn a_frame_has_the_list_the_messages_and_how_far_they_are() {
    let list = vec![summary(TEAM, 5, 5), summary(WITH_BOB, 7, 3)];
    let mut scene = Scene::with_page((80, 24), list, talk(), false);
    scene.answered(members(TEAM, vec![member(ALICE, 5, 5), member(BOB, 5, 2), member(CAROL, 5, 4)]));
    scene.hear(ClientEvent::Typing { conversation: TEAM, user: BOB, until_ms: 1 });
    scene.write("on my way");
    let screen = scene.screen();
    let wanted = "\
▸Our team           │Our team
 bob               4│
                    │
                    │
                    │
                    │
                    │
                    │
                    │
                    │— beginning of the conversation —
                    │— 2023-11-14 —
                    │22:14 * alice made the group, with bob, 00000000
                    │22:15 alice: who is hungry? ✓✓ read
                    │22:16 bob: me 🍕, and I have been hungry since this morning
                    │      already
                    │22:17 alice: at one then ✓✓
                    │— 2023-11-15 —
                    │22:13 00000000: שלום
                    │      where?
                    │bob is typing…
                    │> on my way
connected as alice · /help";
    let lines: Vec<&str> = wanted.lines().collect();
    assert_eq!(screen.len(), 24);
    assert_eq!(screen[..9], lines[..9], "\n{}", screen.join("\n"));
    assert_eq!(screen[11..], lines[9..], "\n{}", screen.join("\n"));
}

#[test]
fn the_smallest_screen_has_all_of_it_too() {
    let list = vec![summary(TEAM, 5, 5), summary(WITH_BOB, 7, 3)];
    let mut scene = Scene::with_page((40, 10), list, talk(), false);
    scene.write("on my way");
    let screen = scene.screen();
    let wanted = "\
▸Our team  │Our team
 bob      4│  been hungry since this
           │  morning already
           │22:17 alice: at one then ✓
           │— 2023-11-15 —
           │22:13 00000000: שלום
           │  where?
";
    assert!(screen.join("\n").starts_with(wanted.trim_end()), "\n{}", screen.join("\n"));
    assert_eq!(screen[8], "           │> on my way");
    assert_eq!(screen[9], "connected as alice · /help");
    for size in [(1, 1), (2, 2), (12, 3), (29, 4), (200, 3)] {
        scene.size = size;
        assert_eq!(scene.screen().len(), usize::from(size.1));
    }
}

#[test]
fn hostile_texts_stay_in_their_lines() {
    let hostile = [
        "\u{1b}[2J\u{1b}[H\u{1b}]0;gone\u{7}",
        "\u{202e}evil\u{2066}",
        &format!("z{}", "\u{301}".repeat(3_000)),
        &"\u{200b}".repeat(4_000),
        &"w".repeat(4_000),
        "one\r\n\u{9b}2Jtwo",
    ];
    let messages = hostile.iter().enumerate().map(|(seq, text)| message(WITH_BOB, seq as u64 + 1, BOB, text)).collect();
    let mut scene = Scene::with_page((80, 160), vec![summary(WITH_BOB, 6, 6)], messages, false);
    let screen = scene.screen();
    let text = screen.join("\n");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{200b}']));
    assert!(text.contains("\u{fffd}[2J\u{fffd}[H") && text.contains("\u{fffd}evil\u{fffd}"));
    assert_eq!(text.matches('w').count(), 4_001);
    assert_eq!(screen.iter().filter(|line| line.contains('│')).count(), 159, "the list is where it was");
    let title = Summary { title: Some("a\u{1b}c\nb".into()), ..summary(TEAM, 1, 0) };
    scene.model.set_list(vec![title]);
    scene.shows("a\u{fffd}c b");
}

#[test]
fn without_colours_there_are_none() {
    let list = vec![summary(TEAM, 5, 5), summary(WITH_BOB, 7, 3)];
    let scene = Scene::with_page((80, 24), list, talk(), false);
    let coloured = |colours: bool| {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| view::draw(frame, &scene.model, 0, colours)).unwrap();
        terminal.backend().buffer().content().iter().any(|cell| cell.fg != ratatui::style::Color::Reset)
    };
    assert_eq!((coloured(true), coloured(false)), (true, false));
}

#[test]
fn going_back_loads_page_by_page_to_the_beginning() {
    let all: Vec<Message> = (1..=120).map(|seq| message(WITH_BOB, seq, BOB, &format!("number {seq}."))).collect();
    let mut scene = Scene::with_page((80, 24), vec![summary(WITH_BOB, 120, 0)], all[70..].to_vec(), true);
    assert_eq!(scene.wished(), [Wish::Read(WITH_BOB, 120)]);
    scene.shows("number 120.");
    let mut asked = Vec::new();
    for _ in 0..10 {
        scene.key(KeyCode::PageUp);
        for wish in scene.wished() {
            let Wish::Page(_, below) = wish else { panic!("{wish:?}") };
            asked.push(below);
            let below = below as usize - 1;
            let first = below.saturating_sub(50);
            scene.answered(page(WITH_BOB, all[first..below].to_vec(), first > 0));
        }
    }
    assert_eq!(asked, [71, 21]);
    scene.shows("beginning of the conversation");
    scene.shows("number 1.");
    // What comes now moves nothing, and is not read.
    let before = scene.screen();
    scene.hear(ClientEvent::Message(message(WITH_BOB, 121, BOB, "number 121.")));
    assert_eq!(scene.wished(), [Wish::Delivered(WITH_BOB, 121)]);
    assert_eq!(scene.screen()[..21], before[..21]);
    scene.shows("newer");
    for _ in 0..10 {
        scene.key(KeyCode::PageDown);
    }
    scene.shows("number 121.");
    assert!(scene.wished().contains(&Wish::Read(WITH_BOB, 121)));
    // One line at a time there and back leads to the same place.
    let before = scene.screen();
    (0..7).for_each(|_| scene.key(KeyCode::Up));
    scene.size = (60, 12);
    scene.screen();
    scene.size = (80, 24);
    (0..7).for_each(|_| scene.key(KeyCode::Down));
    assert_eq!(scene.screen(), before);
}

#[test]
fn what_is_said_waits_visibly_until_it_is_stored() {
    let mut scene =
        Scene::with_page((80, 24), vec![summary(WITH_BOB, 1, 1)], vec![message(WITH_BOB, 1, BOB, "hi")], false);
    scene.wished();
    scene.write("hello");
    assert!(scene.wished().iter().all(|wish| *wish == Wish::Typing(WITH_BOB)));
    scene.press(KeyCode::Enter, KeyModifiers::ALT);
    scene.write("you");
    scene.key(KeyCode::Enter);
    let sent = Wish::Send(WITH_BOB, "hello\nyou".to_owned());
    assert!(scene.wished().contains(&sent) && scene.model.input.is_empty());
    let unsent = |id| Unsent { message_id: MessageId(id), text: "hello\nyou".to_owned(), failed: None };
    scene.model.add_unsent(vec![(WITH_BOB, unsent(77)), (WITH_BOB, unsent(78))]);
    scene.shows("…   alice: hello");
    scene.shows("you waiting");
    let stored = Message { message_id: MessageId(77), ..message(WITH_BOB, 2, ALICE, "hello\nyou") };
    scene.hear(ClientEvent::Message(stored));
    scene.hear(ClientEvent::Sent { message_id: MessageId(77), conversation: WITH_BOB, seq: 2, ts_ms: 0 });
    scene.model.add_unsent(vec![(WITH_BOB, unsent(77))]);
    scene.shows("you ✓");
    let code = ErrorCode::Forbidden;
    scene.hear(ClientEvent::Failed { message_id: MessageId(78), conversation: WITH_BOB, code });
    scene.shows("not sent: forbidden");
    assert_eq!(scene.screen().iter().filter(|line| line.contains("alice: hello")).count(), 2);
    scene.key(KeyCode::Esc);
    assert_eq!(scene.screen().iter().filter(|line| line.contains("alice: hello")).count(), 1);
}

#[test]
fn ticks_rise_with_everybody() {
    let mut scene = Scene::with_page((80, 24), vec![summary(TEAM, 5, 5)], talk(), false);
    scene.answered(members(TEAM, vec![member(BOB, 2, 0), member(CAROL, 1, 0)]));
    scene.shows("who is hungry? ✓");
    assert!(!scene.screen().join("\n").contains("✓✓"));
    let user = |user, delivered_seq, read_seq| UserReceipt { user, delivered_seq, read_seq };
    scene.hear(ClientEvent::Receipts { conversation: TEAM, users: vec![user(BOB, 5, 5), user(CAROL, 3, 0)] });
    scene.shows("who is hungry? ✓✓");
    assert!(!scene.screen().join("\n").contains("✓✓ read"));
    scene.hear(ClientEvent::Receipts { conversation: TEAM, users: vec![user(CAROL, 5, 5)] });
    scene.shows("at one then ✓✓ read");
    scene.shows("who is hungry? ✓✓");
}

#[test]
fn keys_lead_from_one_conversation_to_the_next_and_drafts_stay() {
    let list = vec![summary(TEAM, 5, 5), summary(WITH_BOB, 7, 3)];
    let mut scene = Scene::with_page((80, 24), list, talk(), false);
    scene.write("half a");
    scene.wished();
    scene.key(KeyCode::Tab);
    assert_eq!(scene.wished(), [Wish::Page(WITH_BOB, 0), Wish::Members(WITH_BOB)]);
    scene.shows("▸bob");
    scene.press(KeyCode::Char('n'), KeyModifiers::CONTROL);
    scene.shows("▸Our team");
    scene.shows("> half a");
    scene.key(KeyCode::BackTab);
    scene.shows("▸bob");
    // Not focused, nothing is read.
    scene.model.set_focus(false);
    scene.answered(page(WITH_BOB, vec![message(WITH_BOB, 7, BOB, "seven")], true));
    assert!(!scene.wished().iter().any(|wish| matches!(wish, Wish::Read(..))));
    scene.model.set_focus(true);
    scene.settle();
    assert_eq!(scene.wished(), [Wish::Read(WITH_BOB, 7)]);
    assert_eq!(scene.wished(), []);
}

#[test]
fn orders_are_wishes_and_mistakes_are_told() {
    let mut scene = Scene::of((80, 24), Vec::new());
    scene.shows("/open HANDLE begins a conversation");
    scene.write("hello");
    scene.key(KeyCode::Enter);
    scene.shows("open a conversation first");
    scene.press(KeyCode::Char('u'), KeyModifiers::CONTROL);
    scene.write("/opne bob");
    scene.key(KeyCode::Enter);
    scene.shows("/opne is no order");
    scene.press(KeyCode::Char('w'), KeyModifiers::CONTROL);
    scene.press(KeyCode::Char('u'), KeyModifiers::CONTROL);
    scene.write("/open nobody");
    scene.key(KeyCode::Enter);
    assert!(matches!(&scene.wished()[..], [Wish::Open(_)]));
    scene.answered(Answer::Opened(Some("nobody".into()), Err(Failure::refused(ErrorCode::UnknownHandle, "nobody"))));
    scene.shows("nobody: nobody has this handle (unknown_handle)");
    scene.write("/help");
    scene.key(KeyCode::Enter);
    scene.shows("conversation before");
    scene.write("/quit");
    scene.key(KeyCode::Enter);
    assert_eq!(scene.wished(), [Wish::Quit]);
    scene.press(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(scene.wished(), [Wish::Quit]);
}

#[test]
fn the_last_line_tells_of_the_connection() {
    let mut scene = Scene::of((80, 24), Vec::new());
    scene.hear(ClientEvent::Draining { retry_at_ms: 5_000 });
    scene.now_ms = 1_500;
    scene.shows("the server is draining; back in 4 s");
    scene.hear(ClientEvent::Disconnected { retry_at_ms: Some(9_000) });
    scene.shows("reconnecting in 8 s: it broke");
    scene.hear(ClientEvent::Rewound { conversation: TEAM, epoch: 2, seq: 3 });
    scene.shows("the server was restored from a backup; going on from message 3");
}

#[test]
fn a_restored_server_takes_messages_back() {
    let mut scene = Scene::with_page((80, 24), vec![summary(TEAM, 5, 5)], talk(), false);
    scene.shows("at one then");
    scene.hear(ClientEvent::Rewound { conversation: TEAM, epoch: 2, seq: 4 });
    assert!(!scene.screen().join("\n").contains("at one then"));
    scene.hear(ClientEvent::Message(Message { epoch: 2, ..message(TEAM, 4, BOB, "again") }));
    scene.shows("bob: again");
}
