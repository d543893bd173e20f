//! The stage for scenes: a model with a screen of a size, and what a server could say to it.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;
use trunkline_client::core::{
    ClientEvent, ContentKind, ConversationId, DeviceId, HistoryPage, Member, MembersPage, Message, MessageId, Role,
    Summary, UserId,
};

use super::model::Model;
use super::names::Names;
use super::view;
use super::wish::{Answer, Wish};
use crate::time::Clock;

pub(super) const ALICE: UserId = UserId(1);
pub(super) const BOB: UserId = UserId(2);
pub(super) const CAROL: UserId = UserId(3);
pub(super) const WITH_BOB: ConversationId = ConversationId([0xb0; 16]);
pub(super) const TEAM: ConversationId = ConversationId([0x7e; 16]);
/// 2023-11-14, 22:13 UTC.
pub(super) const START_MS: u64 = 1_700_000_000_000;

pub(super) fn message(conversation: ConversationId, seq: u64, sender: UserId, text: &str) -> Message {
    Message {
        conversation,
        epoch: 1,
        seq,
        ts_ms: START_MS + seq * 60_000,
        sender,
        device: DeviceId(1),
        message_id: MessageId(seq),
        kind: ContentKind::Text as u8,
        body: text.as_bytes().to_vec(),
    }
}

pub(super) fn summary(conversation: ConversationId, last_seq: u64, read_seq: u64) -> Summary {
    let is_group = conversation == TEAM;
    Summary {
        conversation,
        kind: if is_group { 2 } else { 1 },
        peer: (!is_group).then_some(BOB),
        title: is_group.then(|| "Our team".to_owned()),
        last_seq,
        read_seq,
        joined_seq: 1,
        left_seq: None,
        user_seq: 1,
    }
}

pub(super) fn page(conversation: ConversationId, messages: Vec<Message>, more: bool) -> Answer {
    let last_seq = messages.last().map_or(0, |message| message.seq);
    Answer::Page(conversation, Ok(HistoryPage { conversation, messages, more, last_seq, names: Vec::new() }))
}

pub(super) fn member(user: UserId, delivered_seq: u64, read_seq: u64) -> Member {
    Member { user, role: Role::Member, joined_seq: 1, delivered_seq, read_seq }
}

pub(super) fn members(conversation: ConversationId, members: Vec<Member>) -> Answer {
    Answer::Members(conversation, Ok(MembersPage { conversation, title: None, members, more: false, last_seq: 9 }))
}

/// A model with a screen of a size.
pub(super) struct Scene {
    pub model: Model,
    pub size: (u16, u16),
    pub wishes: Vec<Wish>,
    pub now_ms: u64,
}

impl Scene {
    /// Alice, connected, with these conversations; the first one is open.
    pub fn of(size: (u16, u16), list: Vec<Summary>) -> Scene {
        let names = Names::new("alice".to_owned(), BTreeMap::from([(BOB, "bob".to_owned())]));
        let mut scene =
            Scene { model: Model::new(names, Clock::of(TimeZone::UTC)), size, wishes: Vec::new(), now_ms: 0 };
        scene.hear(ClientEvent::Connected {
            user: ALICE,
            device: DeviceId(1),
            session: 1,
            server_time_ms: 0,
            token_expires_ms: 0,
        });
        scene.hear(ClientEvent::Synced);
        assert_eq!(std::mem::take(&mut scene.wishes), [Wish::List]);
        scene.model.set_list(list);
        scene.settle();
        scene
    }

    /// As [`Scene::of`], with one page of the first conversation.
    pub fn with_page(size: (u16, u16), list: Vec<Summary>, messages: Vec<Message>, more: bool) -> Scene {
        let conversation = list[0].conversation;
        let mut scene = Scene::of(size, list);
        assert_eq!(scene.wished(), [Wish::Page(conversation, 0), Wish::Members(conversation)]);
        scene.answered(page(conversation, messages, more));
        scene
    }

    pub fn hear(&mut self, event: ClientEvent) {
        self.model.hear(&event, || "it broke".to_owned());
        self.settle();
    }

    pub fn answered(&mut self, answer: Answer) {
        self.model.answered(answer);
        self.settle();
    }

    pub fn press(&mut self, code: KeyCode, modifiers: KeyModifiers) {
        self.model.press(KeyEvent::new(code, modifiers));
        self.settle();
    }

    pub fn key(&mut self, code: KeyCode) {
        self.press(code, KeyModifiers::NONE);
    }

    pub fn write(&mut self, text: &str) {
        text.chars().for_each(|c| self.key(KeyCode::Char(c)));
    }

    /// As the loop does around each frame.
    pub fn settle(&mut self) {
        let area = Rect::new(0, 0, self.size.0, self.size.1);
        let messages = view::areas(area, &self.model).messages;
        self.model.set_pane(messages.width, messages.height);
        self.wishes.extend(self.model.take_wishes());
    }

    pub fn wished(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    pub fn screen(&mut self) -> Vec<String> {
        self.settle();
        let mut terminal = Terminal::new(TestBackend::new(self.size.0, self.size.1)).unwrap();
        terminal.draw(|frame| view::draw(frame, &self.model, self.now_ms, true)).unwrap();
        let screen = terminal.backend().to_string();
        // Behind the frame it is said which cells are below wide characters.
        let shown = |line: &str| line.split("\" Hidden by").next().unwrap_or_default().trim_matches('"').to_owned();
        screen.lines().map(|line| shown(line).trim_end().to_owned()).collect()
    }

    #[track_caller]
    pub fn shows(&mut self, part: &str) {
        let screen = self.screen();
        assert!(screen.iter().any(|line| line.contains(part)), "no {part:?} in\n{}", screen.join("\n"));
    }
}
