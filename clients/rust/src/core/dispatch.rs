//! Hands what a server says to whom it concerns.

use trunkline_wire::ids::UserId;
use trunkline_wire::message::{Answer, schema};

use super::Client;
use super::commands::{Command, Question, answered};
use super::conversation::{MembersPage, Opened};
use super::event::{ClientEvent, UserReceipt};
use super::outlet::Purpose;
use super::views::{Misbehaved, id_of, number_of};
use crate::outbox::Outbox;

impl<O: Outbox> Client<O> {
    pub(super) fn pushed(&mut self, pushed: &Answer<'_>) -> Result<(), Misbehaved> {
        match pushed {
            Answer::Error(error) => self.connection_failed(error),
            Answer::GoAway(go_away) => {
                self.connection.hold_back(self.out.now_ms, go_away.retry_after_ms());
                let is_first = self.connection.takes_requests();
                self.connection.leave(self.out.now_ms);
                if is_first {
                    let retry_at_ms = self.out.now_ms.saturating_add(u64::from(go_away.retry_after_ms()));
                    self.out.event(ClientEvent::Draining { retry_at_ms });
                }
                Ok(())
            }
            _ if !self.connection.is_live() => Ok(()),
            Answer::Message(message) => {
                let conversation = id_of(message.conversation())?;
                self.typing.said(&mut self.out, conversation, UserId(message.sender()));
                let own = self.sending.meet(message, conversation);
                self.receiving.pushed(&mut self.out, conversation, message, own)
            }
            // Who only sends and asks is told nothing.
            _ if !self.receiving.follows() => Ok(()),
            Answer::Advanced(advanced) => self.receiving.syncing.advanced(self.out.now_ms, advanced),
            Answer::Receipts(receipts) => self.receipts_came(receipts),
            Answer::TypingNow(typing) => {
                let conversation = id_of(typing.conversation())?;
                self.typing.typed(&mut self.out, conversation, UserId(typing.user()), typing.expires_ms());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn receipts_came(&mut self, view: &schema::Receipts<'_>) -> Result<(), Misbehaved> {
        let conversation = id_of(view.conversation())?;
        let receipt = |receipt: &schema::UserReceipt| {
            let (delivered_seq, read_seq) = (number_of(receipt.delivered_seq())?, number_of(receipt.read_seq())?);
            Ok(UserReceipt { user: UserId(receipt.user()), delivered_seq, read_seq })
        };
        let receipts = view.users().into_iter().flatten().map(receipt).collect::<Result<Vec<_>, _>>()?;
        let mine = receipts.iter().filter(|receipt| Some(receipt.user) == self.receiving.me);
        mine.for_each(|receipt| self.receiving.list.read(conversation, receipt.read_seq));
        self.watermarks.merge(conversation, receipts.into_iter());
        Ok(())
    }

    pub(super) fn answered(&mut self, purpose: Purpose, answer: &Answer<'_>) -> Result<(), Misbehaved> {
        match (purpose, answer) {
            (Purpose::Hello, Answer::Welcome(welcome)) => self.welcomed(welcome),
            (Purpose::Hello, Answer::Error(error)) => self.connection_failed(error),
            (Purpose::Command(command), answer) => self.command_answered(&command, answer),
            (Purpose::Typing, Answer::Done(_) | Answer::Error(_)) => Ok(()),
            (Purpose::Report(report), Answer::Done(_)) => {
                self.reporting.taken(&report);
                Ok(())
            }
            (Purpose::Report(report), Answer::Error(error)) => self.reporting.failed(&mut self.out, &report, error),
            (purpose, Answer::Error(error)) => self.request_failed(&purpose, error),
            (purpose, answer) => self.request_answered(&purpose, answer),
        }
    }

    /// A request of the client's own has its answer.
    fn request_answered(&mut self, purpose: &Purpose, answer: &Answer<'_>) -> Result<(), Misbehaved> {
        let Client { sending, receiving, out, .. } = self;
        match (purpose, answer) {
            (Purpose::Sync, Answer::Synced(page)) => receiving.synced(out, page),
            (&Purpose::CatchUp(conversation, from_seq), Answer::HistoryPage(page)) => {
                let own = |message: &schema::Message<'_>| sending.meet(message, conversation);
                receiving.caught_up(out, (conversation, from_seq), page, own)
            }
            (&Purpose::Compare(conversation), Answer::HistoryPage(page)) => receiving.compared(out, conversation, page),
            (&Purpose::Describe(conversation), Answer::Opened(opened)) => {
                receiving.described(out, conversation, &Opened::of_view(opened)?)
            }
            (&Purpose::OpenToSend(conversation), Answer::Opened(opened)) => {
                receiving.opened(out, &Opened::of_view(opened)?)?;
                sending.opened_to_send(conversation, opened)
            }
            (Purpose::Send(conversation, messages), Answer::Ack(ack)) => {
                sending.acked(out, (*conversation, messages), ack)
            }
            (&Purpose::LookUp(conversation), Answer::HistoryPage(page)) => sending.looked_up(out, conversation, page),
            _ => Err(Misbehaved),
        }
    }

    /// A request of the client's own failed.
    fn request_failed(&mut self, purpose: &Purpose, error: &schema::Error<'_>) -> Result<(), Misbehaved> {
        let Client { sending, receiving, out, .. } = self;
        match *purpose {
            Purpose::Sync => receiving.sync_failed(out, error),
            Purpose::CatchUp(conversation, _) => receiving.catch_up_failed(out, conversation, error),
            Purpose::Compare(conversation) => receiving.compare_failed(out, conversation, error),
            Purpose::Describe(conversation) => receiving.describe_failed(out, conversation, error),
            Purpose::OpenToSend(conversation) => sending.open_failed(out, conversation, error),
            Purpose::Send(conversation, _) => sending.send_failed(out, conversation, error),
            Purpose::LookUp(conversation) => sending.look_up_failed(out, conversation, error),
            Purpose::Hello | Purpose::Report(_) | Purpose::Typing | Purpose::Command(_) => Err(Misbehaved),
        }
    }

    fn command_answered(&mut self, command: &Command, answer: &Answer<'_>) -> Result<(), Misbehaved> {
        match answer {
            Answer::Opened(view) => {
                self.sending.opened(view)?;
                let opened = Opened::of_view(view)?;
                if matches!(command.question, Question::CreateGroup { .. }) {
                    self.receiving.beginning.made(opened.conversation);
                }
                self.receiving.opened(&mut self.out, &opened)?;
            }
            Answer::MembersChanged(view) => {
                self.receiving.heard_of(&self.out, id_of(view.conversation())?, number_of(view.seq())?);
            }
            Answer::MembersPage(view) => {
                let page = MembersPage::of_view(view)?;
                let receipts = page.members.iter().map(|member| UserReceipt {
                    user: member.user,
                    delivered_seq: member.delivered_seq,
                    read_seq: member.read_seq,
                });
                self.watermarks.merge(page.conversation, receipts);
            }
            Answer::Renewed(_) => {
                if let Question::Renew(token) = &command.question {
                    token.clone_into(&mut self.token);
                    self.newer_token = None;
                }
            }
            Answer::Error(_) if matches!(command.question, Question::Renew(_)) => self.newer_token = None,
            _ => {}
        }
        answered(&mut self.out, command, answer)
    }
}
