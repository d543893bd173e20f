//! What the answers to requests that serve sending do to the messages that wait.

use trunkline_wire::ids::{ConversationId, MessageId};
use trunkline_wire::message::{ErrorCode, messages_of_page, schema};

use super::event::ClientEvent;
use super::outlet::Outlet;
use super::queue::{LookUp, Place, Queue};
use super::sending::{Outcome, Sending};
use super::views::{Judgement, Misbehaved, code_of, id_of, judge, number_of};
use crate::outbox::Outbox;

impl<O: Outbox> Sending<O> {
    /// Opening for sending is done.
    pub(super) fn opened_to_send(
        &mut self,
        conversation: ConversationId,
        view: &schema::Opened<'_>,
    ) -> Result<(), Misbehaved> {
        let opened = self.opened(view)?;
        self.landed(conversation)?;
        if opened == conversation { Ok(()) } else { Err(Misbehaved) }
    }

    /// A request of this conversation has its answer.
    fn landed(&mut self, conversation: ConversationId) -> Result<&mut Queue, Misbehaved> {
        let queue = self.queues.get_mut(&conversation).ok_or(Misbehaved)?;
        queue.in_flight = false;
        Ok(queue)
    }

    /// A Send was judged: a prefix of it is durable, and the first of the others may have been refused.
    pub(super) fn acked(
        &mut self,
        out: &mut Outlet,
        (conversation, messages): (ConversationId, &[(u64, MessageId)]),
        ack: &schema::Ack<'_>,
    ) -> Result<(), Misbehaved> {
        if id_of(ack.conversation())? != conversation {
            return Err(Misbehaved);
        }
        let queue = self.landed(conversation)?;
        let mut sent = Vec::new();
        let mut rest = messages;
        for accepted in ack.accepted().into_iter().flatten() {
            let ((number, message_id), behind) = rest.split_first().ok_or(Misbehaved)?;
            if accepted.client_seq() != *number {
                return Err(Misbehaved);
            }
            rest = behind;
            let place = Place { epoch: ack.epoch(), seq: number_of(accepted.seq())?, ts_ms: accepted.ts_ms() };
            queue.hi = queue.hi.max(*number);
            if let Some(pending) = queue.position(*message_id).and_then(|index| queue.pending.remove(index)) {
                sent.push((pending, Outcome::Sent(place)));
            }
        }
        if !sent.is_empty() {
            queue.failures = 0;
        }
        let progress = !sent.is_empty();
        self.settle(out, sent);
        match (rest.first(), ack.refusal()) {
            (None, 0) => Ok(()),
            (None, _) => Err(Misbehaved),
            (Some(&refused), 0) if !progress => self.delay(out, conversation, refused.1, (ErrorCode::Busy, 0)),
            (Some(_), 0) => Ok(()),
            (Some(&refused), code) => {
                let high = number_of(ack.high())?;
                self.refused(out, conversation, refused, (code_of(code), high, ack.retry_after_ms()))
            }
        }
    }

    fn refused(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        (number, message_id): (u64, MessageId),
        (code, high, retry_after_ms): (ErrorCode, u64, u32),
    ) -> Result<(), Misbehaved> {
        let queue = self.queues.get_mut(&conversation).ok_or(Misbehaved)?;
        let index = queue.position(message_id).ok_or(Misbehaved)?;
        match judge(code) {
            Judgement::Later => self.delay(out, conversation, message_id, (code, retry_after_ms)),
            // A high that does not explain the refusal would have it asked for ever.
            Judgement::Conflict | Judgement::Expired if high < number => Err(Misbehaved),
            Judgement::OutOfOrder if high + 1 >= number => Err(Misbehaved),
            Judgement::Conflict => {
                queue.renumber(index, high);
                Ok(())
            }
            Judgement::OutOfOrder => {
                queue.renumber_down(index, high);
                Ok(())
            }
            Judgement::Expired => {
                let floor_seq = queue.pending[index].record.floor_seq;
                let from_floor = floor_seq > 0;
                queue.look_up = Some(LookUp { message_id, high, from_seq: floor_seq + 1, from_floor, cut: false });
                Ok(())
            }
            Judgement::Final => {
                self.fail(out, conversation, index, code);
                Ok(())
            }
        }
    }

    /// Fails, visibly, a message and everything behind it that ever had a number.
    fn fail(&mut self, out: &mut Outlet, conversation: ConversationId, index: usize, code: ErrorCode) {
        let Some(queue) = self.queues.get_mut(&conversation) else { return };
        queue.failures = 0;
        let failed = queue.take_tried(index).into_iter().map(|pending| (pending, Outcome::Failed(code))).collect();
        self.settle(out, failed);
    }

    /// The same again later.
    fn delay(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        message_id: MessageId,
        (reason, asked_ms): (ErrorCode, u32),
    ) -> Result<(), Misbehaved> {
        let queue = self.queues.get_mut(&conversation).ok_or(Misbehaved)?;
        let retry_after_ms = out.retry_after(asked_ms, queue.failures);
        queue.failures = queue.failures.saturating_add(1);
        queue.retry_at_ms = Some(out.now_ms + retry_after_ms);
        out.event(ClientEvent::Delayed { message_id, conversation, reason, retry_after_ms });
        Ok(())
    }

    /// A request that serves the first message of a conversation failed as a whole; gives the code if that is for good.
    fn failed_for_good(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        error: &schema::Error<'_>,
    ) -> Result<Option<ErrorCode>, Misbehaved> {
        let queue = self.landed(conversation)?;
        let Some(first) = queue.pending.front().map(|pending| pending.record.message_id) else { return Ok(None) };
        let code = code_of(error.code());
        match judge(code) {
            Judgement::Later => {
                self.delay(out, conversation, first, (code, error.retry_after_ms()))?;
                Ok(None)
            }
            Judgement::Final => Ok(Some(code)),
            Judgement::Conflict | Judgement::OutOfOrder | Judgement::Expired => Err(Misbehaved),
        }
    }

    /// A Send failed as a whole: that speaks of its first message.
    pub(super) fn send_failed(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        error: &schema::Error<'_>,
    ) -> Result<(), Misbehaved> {
        if let Some(code) = self.failed_for_good(out, conversation, error)? {
            self.fail(out, conversation, 0, code);
        }
        Ok(())
    }

    /// A conversation could not be opened: if that is final, nothing that waits can be sent there.
    pub(super) fn open_failed(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        error: &schema::Error<'_>,
    ) -> Result<(), Misbehaved> {
        if let Some(code) = self.failed_for_good(out, conversation, error)? {
            let queue = self.queues.get_mut(&conversation).ok_or(Misbehaved)?;
            let failed = queue.pending.drain(..).map(|pending| (pending, Outcome::Failed(code))).collect();
            self.settle(out, failed);
        }
        Ok(())
    }

    /// A page of the history in which an expired message is looked up.
    pub(super) fn looked_up(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        page: &schema::HistoryPage<'_>,
    ) -> Result<(), Misbehaved> {
        let me = self.me;
        let queue = self.landed(conversation)?;
        let Some(mut look_up) = queue.look_up.take() else { return Err(Misbehaved) };
        let index = queue.position(look_up.message_id).ok_or(Misbehaved)?;
        if look_up.from_floor && page.epoch() != queue.pending[index].record.floor_epoch {
            let all = LookUp { from_seq: 1, from_floor: false, ..look_up };
            queue.look_up = Some(all);
            return Ok(());
        }
        let mut found = None;
        for message in messages_of_page(page) {
            let seq = number_of(message.seq())?;
            if seq < look_up.from_seq {
                return Err(Misbehaved);
            }
            look_up.cut |= seq > look_up.from_seq;
            look_up.from_seq = seq + 1;
            let sender = me.is_some_and(|(user, device)| (user.0, device.0) == (message.sender(), message.device()));
            if sender && message.message_id() == look_up.message_id.0 {
                found = Some(Place { epoch: message.epoch(), seq, ts_ms: message.ts_ms() });
            }
        }
        let empty = messages_of_page(page).next().is_none();
        look_up.cut |= empty && page.last_seq() >= look_up.from_seq;
        if found.is_none() && page.more() && !empty {
            queue.look_up = Some(look_up);
            return Ok(());
        }
        let outcome = match found {
            Some(place) => {
                queue.hi = queue.hi.max(look_up.high);
                Outcome::Sent(place)
            }
            None if look_up.cut => Outcome::Unknown,
            None => {
                queue.renumber(index, look_up.high);
                return Ok(());
            }
        };
        let settled = queue.pending.remove(index).map(|pending| (pending, outcome));
        self.settle(out, settled.into_iter().collect());
        Ok(())
    }

    /// History cannot be read: if that is final, the message's fate stays unknown.
    pub(super) fn look_up_failed(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        error: &schema::Error<'_>,
    ) -> Result<(), Misbehaved> {
        if self.failed_for_good(out, conversation, error)?.is_some() {
            let queue = self.queues.get_mut(&conversation).ok_or(Misbehaved)?;
            queue.look_up = None;
            let pending = queue.pending.pop_front();
            self.settle(out, pending.map(|pending| (pending, Outcome::Unknown)).into_iter().collect());
        }
        Ok(())
    }
}
