//! What the SDKs tell their programs.

use trunkline_client::core::{ClientEvent, Message, UserReceipt};
use trunkline_wire::ids::{ConversationId, MessageId};
use trunkline_wire::message::ErrorCode;

use super::World;
use crate::oracle::Verdict;
use crate::oracle::logs::Seen;
use crate::oracle::streams::Step;
use crate::oracle::watermarks::Mark;
use crate::person::{Habit, Receipts};
use crate::process::brief;

impl World {
    pub(super) fn told(&mut self, number: usize, event: ClientEvent) {
        self.say(|| format!("person {number}: {}", brief(&event)));
        let verdict = self.judge(number, &event);
        self.break_off(verdict);
        let person = &mut self.persons[number];
        person.kept.take_in(&event);
        if person.habit == Habit::Keeps && self.dice.percent(15) {
            self.persons[number].kept.store();
        }
    }

    fn judge(&mut self, number: usize, event: &ClientEvent) -> Verdict {
        let person = &mut self.persons[number];
        if answers(event) {
            person.asked -= 1;
        }
        match event {
            ClientEvent::Connected { .. } => {
                person.connected = true;
                Ok(())
            }
            ClientEvent::Synced => self.caught_up(number),
            ClientEvent::Message(message) => self.handed(number, message),
            ClientEvent::Sent { message_id, conversation, seq, .. } => {
                self.oracle.texts.sent(*message_id, *conversation, *seq)
            }
            ClientEvent::Failed { message_id, code, .. } => {
                self.oracle.texts.given_up(*message_id);
                self.mark(match code {
                    ErrorCode::StorageFull => "texts_failed_storage_full",
                    ErrorCode::Forbidden => "texts_failed_forbidden",
                    _ => "texts_failed_otherwise",
                });
                self.mark("texts_failed");
                Ok(())
            }
            ClientEvent::Unknown { message_id, conversation } => self.unknown(number, *message_id, *conversation),
            ClientEvent::Opened { opened, .. } => {
                person.knows(opened.conversation);
                Ok(())
            }
            ClientEvent::ConversationChanged(summary) => {
                person.knows(summary.conversation);
                Ok(())
            }
            ClientEvent::Position { position, .. } => {
                let before = person.kept.state().position;
                if *position >= before {
                    Ok(())
                } else {
                    Err(format!("positions: {before} was followed by {position}"))
                }
            }
            ClientEvent::Receipts { conversation, users } => rise(&mut person.receipts, *conversation, users),
            ClientEvent::Missed { conversation, from_seq, to_seq } => {
                self.missed(number, *conversation, (*from_seq, *to_seq))
            }
            ClientEvent::Rewound { conversation, .. } => Err(format!("REL-4: {conversation} was rewound")),
            ClientEvent::AuthFailed { code } => Err(format!("a good token was refused: {}", code.name())),
            _ => Ok(()),
        }
    }

    /// The next message of a stream.
    fn handed(&mut self, number: usize, message: &Message) -> Verdict {
        let (user, conversation) = (self.persons[number].user, message.conversation);
        let seen = Seen {
            seq: message.seq,
            epoch: message.epoch,
            ts_ms: message.ts_ms,
            sender: message.sender,
            device: message.device,
            message_id: message.message_id,
            kind: message.kind,
            body: &message.body,
        };
        self.oracle.shown(&self.store, user, conversation, &seen)?;
        let known = self.known_before(number, conversation);
        let Some(log) = self.oracle.logs.log(conversation) else { return Ok(()) };
        let shown = self.persons[number].kept.shown_mut();
        match shown.hand(log, user, (conversation, message.seq), known)? {
            Step::Window => self.mark("windows_followed"),
            Step::First | Step::Next => {}
        }
        Ok(())
    }

    /// What a process need not be handed.
    fn known_before(&self, number: usize, conversation: ConversationId) -> u64 {
        let person = &self.persons[number];
        match person.habit {
            Habit::Listens if person.began_now || person.begins_anywhere(conversation) => u64::MAX - 1,
            Habit::Listens => self.known_of_old(person, conversation),
            Habit::StartsAnew | Habit::Keeps => 0,
        }
    }

    /// A process has all there is for the first time. If its device began with it, that need not be told again.
    fn caught_up(&mut self, number: usize) -> Verdict {
        let person = &mut self.persons[number];
        let first = !std::mem::replace(&mut person.synced, true);
        if !first || person.habit != Habit::Listens {
            return Ok(());
        }
        self.remember_the_beginning(number);
        let person = &self.persons[number];
        if !person.began_now {
            return Ok(());
        }
        let (user, device) = (person.user, person.device);
        self.oracle.logs.read_all(&self.store, &self.oracle.texts)?;
        for id in self.oracle.logs.ids() {
            let visible = self.oracle.logs.log(id).map_or(0, |log| log.visible(user));
            let known = self.confirmed.entry((user, device, id)).or_default();
            *known = (*known).max(visible);
        }
        Ok(())
    }

    /// A listener keeps the places of its list at that time, but for what it is told of.
    fn remember_the_beginning(&mut self, number: usize) {
        let rows = self.rows_of(self.persons[number].user);
        let person = &mut self.persons[number];
        let (position, shown) = (person.client().position(), person.kept.shown());
        let old = rows.iter().filter(|row| row.user_seq <= position && shown.last(row.conversation) == 0);
        let places = old.map(|row| (row.conversation, row.last_seq)).collect();
        person.began.get_or_insert(places);
    }

    /// Messages were passed over: they are of a window that is no longer the user's latest.
    fn missed(&mut self, number: usize, conversation: ConversationId, (from_seq, to_seq): (u64, u64)) -> Verdict {
        let user = self.persons[number].user;
        let log = self.oracle.log_now(&self.store, conversation)?;
        match log.window(user) {
            Some(window) if to_seq < window.joined || from_seq > window.left => {
                self.mark("older_windows_missed");
                Ok(())
            }
            window => Err(format!("REL-4: {user} missed seq {from_seq}-{to_seq} of {conversation}, seen: {window:?}")),
        }
    }

    /// The fate of a message can't be known once history behind it is out of sight.
    fn unknown(&mut self, number: usize, message_id: MessageId, conversation: ConversationId) -> Verdict {
        let user = self.persons[number].user;
        self.oracle.texts.given_up(message_id);
        let log = self.oracle.log_now(&self.store, conversation)?;
        if log.windows(user).len() < 2 && log.is_member(user) {
            return Err(format!("REL-5: all of {conversation} is in sight, yet {message_id} is unknown"));
        }
        self.mark("texts_unknown");
        Ok(())
    }
}

/// Nobody goes back, as the program is told.
fn rise(known: &mut Receipts, conversation: ConversationId, users: &[UserReceipt]) -> Verdict {
    for receipt in users {
        let told = Mark { delivered: receipt.delivered_seq, read: receipt.read_seq };
        let before = known.insert((conversation, receipt.user), told).unwrap_or_default();
        if before.max(told) != told {
            return Err(format!("REL-6: {} went from {before:?} to {told:?} in {conversation}", receipt.user));
        }
    }
    Ok(())
}

/// Whether it ends a command.
fn answers(event: &ClientEvent) -> bool {
    matches!(
        event,
        ClientEvent::Opened { .. }
            | ClientEvent::HistoryPage { .. }
            | ClientEvent::MembersChanged { .. }
            | ClientEvent::MembersPage { .. }
            | ClientEvent::RequestFailed { .. }
    )
}
