//! `history`: what was said in a conversation, page by page.

use tokio::time::Instant;
use trunkline_client::core::{Follow, HistoryFrom, HistoryPage, Message};
use trunkline_client::transport::Handle;

use crate::args::HistoryArgs;
use crate::failure::Failure;
use crate::limits::{LEFTOVERS_PATIENCE, PAGE_MESSAGES};
use crate::output::Output;
use crate::session::{Session, Stop};

/// Runs the command.
pub(crate) async fn run(args: HistoryArgs, out: &mut Output) -> Result<(), Failure> {
    let identity = args.identity.resolve()?;
    let mut session = Session::start(&identity, Follow::Nothing)?;
    let result = print(&mut session, &args, out).await;
    session.close().await;
    result
}

async fn print(session: &mut Session, args: &HistoryArgs, out: &mut Output) -> Result<(), Failure> {
    const WHAT: &str = "the history was not read";
    let deadline = || Some(Instant::now() + args.timeout);
    let began = async {
        session.connected(deadline()).await?;
        match session.leftovers_delivered(Some(Instant::now() + LEFTOVERS_PATIENCE)).await {
            Err(Stop::Deadline) => {
                let text = format!("{} messages of earlier commands still wait for an answer", session.outbox.len());
                Failure::new("unconfirmed", text).warn();
            }
            delivered => delivered?,
        }
        session.open(&args.conversation, deadline()).await
    };
    let conversation = match began.await {
        Ok(opened) => opened.conversation,
        Err(stop) => return Err(session.failure(stop, WHAT)),
    };
    let mut from = match (args.from, args.at) {
        (Some(seq), _) => HistoryFrom::Seq(seq),
        (None, Some(at_ms)) => HistoryFrom::Time(at_ms),
        (None, None) => HistoryFrom::Seq(if args.reverse { 0 } else { 1 }),
    };
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let limit = left.min(PAGE_MESSAGES.into()) as u16;
        let ask = async |handle: &Handle| handle.history(conversation, from, args.reverse, limit).await;
        let page = match session.ask(deadline(), ask).await {
            Ok(page) => page,
            Err(stop) => return Err(session.failure(stop, WHAT)),
        };
        let next = next_from(&page, args.reverse);
        let names = page.names;
        for message in in_order(page.messages, args.reverse).take(left as usize) {
            let name = names.iter().find(|(user, _)| *user == message.sender).map(|(_, name)| name.as_str());
            out.named_message(&message, name)?;
            left -= 1;
        }
        match next {
            Some(next) => from = HistoryFrom::Seq(next),
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Where the next page begins, if there is one.
fn next_from(page: &HistoryPage, reverse: bool) -> Option<u64> {
    let next = match reverse {
        true => page.messages.first()?.seq.checked_sub(1).filter(|&seq| seq > 0),
        false => page.messages.last()?.seq.checked_add(1),
    };
    next.filter(|_| page.more)
}

/// A page is in ascending order whichever way it was asked for.
fn in_order(mut messages: Vec<Message>, reverse: bool) -> impl Iterator<Item = Message> {
    if reverse {
        messages.reverse();
    }
    messages.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};

    fn page(seqs: std::ops::RangeInclusive<u64>, more: bool) -> HistoryPage {
        let conversation = ConversationId([0; 16]);
        let message = |seq| Message {
            conversation,
            epoch: 1,
            seq,
            ts_ms: 0,
            sender: UserId(1),
            device: DeviceId(1),
            message_id: MessageId(seq),
            kind: 1,
            body: Vec::new(),
        };
        HistoryPage { conversation, messages: seqs.map(message).collect(), more, last_seq: 100, names: Vec::new() }
    }

    #[test]
    fn pages_follow_in_both_directions_and_end() {
        assert_eq!(next_from(&page(1..=50, true), false), Some(51));
        assert_eq!(next_from(&page(51..=100, false), false), None);
        assert_eq!(next_from(&page(51..=100, true), true), Some(50));
        assert_eq!(next_from(&page(1..=50, true), true), None, "0 would be the newest again");
        assert_eq!(next_from(&HistoryPage { messages: Vec::new(), ..page(1..=1, true) }, false), None);
        let seqs: Vec<u64> = in_order(page(3..=5, true).messages, true).map(|message| message.seq).collect();
        assert_eq!(seqs, [5, 4, 3]);
    }
}
