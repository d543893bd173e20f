//! What became of a conversation when a backup was restored on the server: from which message on it is another one.
//!
//! Until that is known, nothing of the conversation is told. It is read backwards from what was told last, to the newest
//! message of an epoch that was here before the backup was restored.

use trunkline_wire::ids::ConversationId;
use trunkline_wire::message::{ErrorCode, messages_of_page, schema};

use super::event::ClientEvent;
use super::feed::{Doubt, Feed};
use super::outlet::Outlet;
use super::receiving::Receiving;
use super::views::{Judgement, Misbehaved, code_of, judge, number_of, seq_of};

impl Receiving {
    /// The epochs of what was told, where a backup was ever restored.
    pub(super) fn epochs(&self) -> impl Iterator<Item = (ConversationId, u64)> {
        let epoch = |feed: &Feed| feed.epoch.max(feed.stored_epoch);
        self.feeds.iter().map(move |(&id, feed)| (id, epoch(feed))).filter(|&(_, epoch)| epoch > 1)
    }

    /// The server was restored: what was stored without its epoch may be of messages that it does not have.
    pub(super) fn server_was_restored(&mut self) {
        self.feeds.values_mut().for_each(|feed| feed.is_unsure = feed.epoch == 0);
    }

    /// A restored server names a conversation with this last seq: with less than what was told, something is gone.
    pub(super) fn named_by_restored(&mut self, out: &Outlet, conversation: ConversationId, last_seq: u64) {
        let is_short = |feed: &Feed| feed.start.is_none() && last_seq + 1 < feed.next;
        if self.feeds.get(&conversation).is_some_and(is_short) {
            self.doubt(out, conversation);
        }
    }

    fn doubt(&mut self, out: &Outlet, conversation: ConversationId) {
        let Some(feed) = self.feeds.get_mut(&conversation) else { return };
        if feed.doubt.is_none() && feed.next > 1 {
            feed.doubt = Some(Doubt { from: feed.next - 1, heard: 0, own: Vec::new() });
        }
        self.note(conversation, out.now_ms);
    }

    /// A message with this epoch came. True: whether what is before it was replaced has to be found out first, which brings
    /// the message again. `own`: it is one of ours that is not shown.
    pub(super) fn hears_in_doubt(
        &mut self,
        out: &Outlet,
        conversation: ConversationId,
        (epoch, seq): (u64, u64),
        own: bool,
    ) -> bool {
        let Some(feed) = self.feeds.get(&conversation).filter(|feed| feed.start.is_none()) else { return false };
        if feed.epoch != 0 && epoch > feed.epoch || feed.is_unsure && epoch > 1 {
            self.doubt(out, conversation);
        }
        let doubt = self.feeds.get_mut(&conversation).and_then(|feed| feed.doubt.as_mut());
        let is_in_doubt = doubt.is_some();
        if let Some(doubt) = doubt {
            doubt.heard = doubt.heard.max(seq);
            doubt.own.extend(own.then_some(seq));
            self.list.advance(conversation, seq);
        }
        is_in_doubt
    }

    /// A page backwards from what is in doubt.
    pub(super) fn compared(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        page: &schema::HistoryPage<'_>,
    ) -> Result<(), Misbehaved> {
        let feed = self.feeds.get_mut(&conversation).ok_or(Misbehaved)?;
        feed.fetching = false;
        let (known, epoch, last_seq) = (feed.epoch, page.epoch(), number_of(page.last_seq())?);
        let stored = feed.stored_epoch;
        // What was told before this process began is older than the newest epoch, or of one that was stored.
        let is_ours = |epoch_of: u64| epoch_of <= known.max(stored) || known == 0 && epoch_of < epoch;
        let Some(doubt) = &mut feed.doubt else { return Ok(()) };
        let (mut first, mut newest_of_ours) = (None, None);
        for message in messages_of_page(page) {
            let seq = seq_of(message.seq())?;
            if seq > doubt.from {
                return Err(Misbehaved);
            }
            first.get_or_insert(seq);
            if is_ours(message.epoch()) {
                newest_of_ours = Some(seq);
            }
        }
        let next = match (newest_of_ours, first) {
            // It was never restored.
            _ if epoch <= known.max(stored).max(1) => feed.next,
            (Some(seq), _) => seq + 1,
            (None, Some(first)) if page.more() && first > 1 => {
                (doubt.from, feed.due_ms) = (first - 1, out.now_ms);
                self.note(conversation, out.now_ms);
                return Ok(());
            }
            (None, Some(first)) => first,
            // It goes on behind what was told, which is no longer to be seen: the user has left, or came back since.
            (None, None) if last_seq >= doubt.from => feed.next,
            // Nothing at or below it is left.
            (None, None) => feed.joined.max(1).min(feed.next),
        };
        self.resolve(out, conversation, (epoch, next), last_seq);
        Ok(())
    }

    /// The conversation cannot be read: if that is final, it went with the backup.
    pub(super) fn compare_failed(
        &mut self,
        out: &mut Outlet,
        conversation: ConversationId,
        error: &schema::Error<'_>,
    ) -> Result<(), Misbehaved> {
        let feed = self.feeds.get_mut(&conversation).ok_or(Misbehaved)?;
        feed.fetching = false;
        let (epoch, next) = (feed.epoch, feed.next);
        let code = code_of(error.code());
        if judge(code) == Judgement::Later || code == ErrorCode::StorageFull {
            self.put_off(out, conversation, error.retry_after_ms());
            self.note(conversation, out.now_ms);
        } else if code == ErrorCode::NotFound {
            self.resolve(out, conversation, (epoch, 1), 0);
        } else {
            self.resolve(out, conversation, (epoch, next), next - 1);
        }
        Ok(())
    }

    /// The conversation goes on with `next`, in this epoch; what was told from there on is no more.
    fn resolve(&mut self, out: &mut Outlet, conversation: ConversationId, (epoch, next): (u64, u64), last_seq: u64) {
        let Some(feed) = self.feeds.get_mut(&conversation) else { return };
        let Some(doubt) = feed.doubt.take() else { return };
        (feed.epoch, feed.is_unsure) = (feed.epoch.max(epoch), false);
        if next < feed.next {
            self.early_bytes -= feed.early_bytes;
            feed.rewind(next);
            self.list.rewind(conversation, next - 1);
            out.rewound.push((conversation, next));
            out.event(ClientEvent::Rewound { conversation, epoch, seq: next });
        }
        let Some(feed) = self.feeds.get_mut(&conversation) else { return };
        feed.saw(last_seq.max(doubt.heard));
        (feed.failures, feed.due_ms) = (0, out.now_ms);
        for seq in doubt.own {
            let is_missing = self.feeds.get(&conversation).is_some_and(|feed| seq >= feed.next);
            if is_missing {
                self.accept(out, seq, conversation, None);
            }
        }
        self.list.advance(conversation, last_seq.max(doubt.heard));
        self.note(conversation, out.now_ms);
    }
}
