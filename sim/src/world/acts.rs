//! What the programs behind the SDKs do of their own accord.

use trunkline_shards::contract::{AdminRequest, Ticket};
use trunkline_shards::{Event, ShardId};
use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::{Change, Encoder, Receipt};

use super::World;
use crate::oracle::TENANT;
use crate::oracle::watermarks::Mark;
use crate::person::{Habit, Sdk};

/// Commands of a client process without an answer.
const COMMANDS_MAX: usize = 4;
/// A user there is not.
const NOBODY: UserId = UserId(0xdead);

impl World {
    /// A client process does something of its own.
    pub(super) fn act(&mut self) -> bool {
        let number = self.dice.below(self.persons.len());
        let conversation = self.pick_conversation(number);
        let acted = match (self.dice.below(100), conversation) {
            (0..45, Some(id)) if self.texts_left > 0 => self.send_texts(number, id),
            (45..60, Some(id)) => self.report_marks(number, id),
            (60..62, Some(id)) => self.send_raw(number, id),
            (62..66, Some(id)) => self.ask(number, |client, now_ms| client.typing(now_ms, id)),
            (66..100, _) if self.persons[number].asked >= COMMANDS_MAX => false,
            (66..76, Some(id)) => self.look_back(number, id),
            (76..79, Some(id)) => self.command(number, |client, now_ms| client.open(now_ms, id)),
            (79..82, Some(id)) => self.ask_members(number, id),
            (82..92, Some(id)) if self.changes_left > 0 => self.change_members(number, id),
            (92..94, _) if self.groups_left > 0 => self.create_group(number),
            (94..96, _) => self.create_device(number),
            (98..100, _) if self.has_blocks() => self.act_on_blocks(self.persons[number].user),
            (96..100, _) => self.open_peer(number),
            _ => false,
        };
        if acted {
            self.poll_person(number);
        }
        acted
    }

    /// One that the program has heard of; sometimes any there is.
    fn pick_conversation(&mut self, number: usize) -> Option<ConversationId> {
        if self.dice.percent(3) {
            let all: Vec<ConversationId> = self.oracle.logs.ids().collect();
            return self.dice.pick(&all).copied();
        }
        self.dice.pick(&self.persons[number].known).copied()
    }

    fn ask<T>(&mut self, number: usize, ask: impl FnOnce(&mut Sdk, u64) -> T) -> bool {
        let now_ms = self.now_ms();
        self.persons[number].ask(|client| ask(client, now_ms));
        true
    }

    /// Something that is answered.
    fn command<T>(&mut self, number: usize, ask: impl FnOnce(&mut Sdk, u64) -> T) -> bool {
        self.persons[number].asked += 1;
        self.ask(number, ask)
    }

    fn open_peer(&mut self, number: usize) -> bool {
        let users = self.users();
        let Some(&peer) = self.dice.pick(&users) else { return false };
        self.command(number, |client, now_ms| client.open_peer(now_ms, peer))
    }

    fn look_back(&mut self, number: usize, conversation: ConversationId) -> bool {
        let (from_seq, backward) = (self.dice.below(60) as u64, self.dice.percent(50));
        let limit = self.dice.between(1, 60) as u16;
        self.command(number, |client, now_ms| client.history(now_ms, conversation, from_seq, backward, limit))
    }

    pub(super) fn ask_members(&mut self, number: usize, conversation: ConversationId) -> bool {
        let limit = *self.dice.pick(&[1, 2, 1_024]).unwrap_or(&2);
        self.command(number, |client, now_ms| client.members(now_ms, conversation, None, limit))
    }

    fn create_device(&mut self, number: usize) -> bool {
        let user = self.persons[number].user;
        let shards = self.process.as_ref().map_or(1, |process| process.shards.len());
        let shard = self.dice.below(shards) as ShardId;
        let request = AdminRequest::CreateDevice { tenant: TENANT, user };
        self.apply(shard, Event::Admin { ticket: Ticket(0), request });
        true
    }

    fn create_group(&mut self, number: usize) -> bool {
        self.groups_left -= 1;
        let members = self.some_users(self.options.users);
        let title = format!("group {}", self.groups_left);
        self.command(number, |client, now_ms| client.create_group(now_ms, &title, &members))
    }

    /// So many users at most, each once; now and then one that does not exist.
    fn some_users(&mut self, most: usize) -> Vec<UserId> {
        let mut users = self.users();
        let count = self.dice.between(1, most.max(1));
        while users.len() > count {
            users.swap_remove(self.dice.below(users.len()));
        }
        if self.dice.percent(2) {
            users.push(NOBODY);
        }
        users
    }

    fn change_members(&mut self, number: usize, conversation: ConversationId) -> bool {
        self.changes_left -= 1;
        let user = self.persons[number].user;
        let (change, users) = match self.dice.below(10) {
            0..2 => (Change::Removed, vec![user]),
            2..6 => (Change::Removed, self.some_users(2)),
            _ => (Change::Added, self.some_users(3)),
        };
        self.command(number, |client, now_ms| client.change_members(now_ms, conversation, change, &users))
    }

    /// The program says how far it is, of what it was handed.
    fn report_marks(&mut self, number: usize, conversation: ConversationId) -> bool {
        let last = self.persons[number].shown().last(conversation);
        if last == 0 || !self.persons[number].reports {
            return false;
        }
        let listens = self.persons[number].habit == Habit::Listens;
        let delivered =
            if listens || self.dice.percent(70) { last } else { self.dice.between(1, last as usize) as u64 };
        let read = if self.dice.percent(50) { self.dice.between(1, delivered as usize) as u64 } else { 0 };
        self.mark_as(number, conversation, Mark { delivered, read });
        true
    }

    fn mark_as(&mut self, number: usize, conversation: ConversationId, mark: Mark) {
        let now_ms = self.now_ms();
        let person = &mut self.persons[number];
        person.kept.mark(conversation, mark);
        let confirmed = person.kept.marked[&conversation].delivered;
        person.ask(|client| {
            client.mark_delivered(now_ms, conversation, mark.delivered);
            if mark.read > 0 {
                client.mark_read(now_ms, conversation, mark.read);
            }
        });
        let device = (person.user, person.device);
        let known = self.confirmed.entry((device.0, device.1, conversation)).or_default();
        *known = (*known).max(confirmed);
    }

    /// Says what no SDK says: wild positions, watermarks of what nobody has.
    fn send_raw(&mut self, number: usize, conversation: ConversationId) -> bool {
        let sync = self.dice.percent(50);
        let (part, choice) = (self.dice.below(1 << 20) as u64, self.dice.below(4));
        let wild = move |heard: u64| match choice {
            0 => 0,
            1 => part % (heard + 1),
            2 => heard,
            _ => 1 << 60,
        };
        let limit = *self.dice.pick(&[1, 2, 200]).unwrap_or(&2);
        let below = if self.dice.percent(30) { part } else { 0 };
        let (delivered_seq, read_seq) = (self.dice.below(60) as u64, self.dice.below(60) as u64);
        let receipt = Receipt { conversation, delivered_seq, read_seq };
        let (mut encoder, mut envelope) = (Encoder::new(), Vec::new());
        let wish = self.with_person(number, |person, ears| {
            person.send_raw(ears, |request, heard| {
                let encoded = if sync {
                    encoder.sync(request, Some(wild(heard)), below, limit)
                } else {
                    encoder.report(request, wild(heard).min(heard), &[receipt])
                };
                encoded.write_envelope(&mut envelope);
                envelope
            })
        });
        let Some(wish) = wish else { return false };
        self.grant(number, wish);
        self.mark("raw_requests");
        if !sync {
            self.forget_what_was_not_told(number, (conversation, delivered_seq.max(read_seq)));
        }
        true
    }

    /// A device that says it has something need not be told of it.
    fn forget_what_was_not_told(&mut self, number: usize, (conversation, seq): (ConversationId, u64)) {
        let (user, device) = (self.persons[number].user, self.persons[number].device);
        let verdict = self.oracle.logs.read_all(&self.store, &self.oracle.texts);
        self.break_off(verdict);
        for id in self.oracle.logs.ids() {
            let visible = self.oracle.logs.log(id).map_or(0, |log| log.visible(user));
            let seq = if id == conversation { seq.max(visible) } else { visible };
            let known = self.confirmed.entry((user, device, id)).or_default();
            *known = (*known).max(seq);
        }
    }

    fn send_texts(&mut self, number: usize, conversation: ConversationId) -> bool {
        let now_ms = self.now_ms();
        for _ in 0..self.dice.between(1, 4).min(self.texts_left) {
            self.texts_left -= 1;
            let bytes = self.dice.between(1, self.options.text_bytes_max);
            let text: String = (0..bytes).map(|_| char::from(b'a' + self.dice.below(26) as u8)).collect();
            let life = self.persons[number].life;
            match self.persons[number].ask(|client| client.send_text(now_ms, conversation, &text)) {
                Ok(message_id) => self.oracle.texts.submitted(life, conversation, message_id, text.into_bytes()),
                Err(error) => self.break_off(Err(format!("the SDK takes no text: {error:?}"))),
            }
        }
        self.persons[number].ask(|client| client.handle_timeout(now_ms));
        true
    }
}
