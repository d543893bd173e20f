//! Stands between a client and its connection and makes it break the rules of sending, of positions and of watermarks, as
//! a client that follows a weaker rule would.

use std::cell::RefCell;
use std::collections::BTreeMap;

use trunkline_wire::ids::{ConversationId, MessageId};
use trunkline_wire::message::{Ack, Answer, Encoder, ErrorCode, Outgoing, Request, decode_answer, decode_request};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tamper {
    None,
    /// Each retry gets a number no message had before.
    NewNumberForRetry,
    /// Retries get numbers from behind what Opened said, though no answer asked for it.
    RenumbersWithoutAnswer,
    /// A position is taken over whatever is missing below it.
    AdvancesBlindly,
    /// Watermarks are not reported.
    ReportsNothing,
}

thread_local! {
    /// Per conversation and message: it was sent before, on any connection.
    static SENT: RefCell<BTreeMap<(ConversationId, u64), u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets what earlier runs of this thread sent.
pub fn forget() {
    SENT.with_borrow_mut(BTreeMap::clear);
}

/// The client's numbers and those on the wire, by request.
pub struct Tampering {
    tamper: Tamper,
    high: BTreeMap<ConversationId, u64>,
    numbers: BTreeMap<u32, Vec<(u64, u64)>>,
}

impl Tampering {
    pub fn new(tamper: Tamper) -> Tampering {
        Tampering { tamper, high: BTreeMap::new(), numbers: BTreeMap::new() }
    }

    pub fn request(&mut self, envelope: Vec<u8>) -> Vec<u8> {
        if self.tamper == Tamper::None {
            return envelope;
        }
        let request_view = decode_request(&envelope);
        if let (Tamper::ReportsNothing, Ok((request, Request::Report(_)))) = (self.tamper, &request_view) {
            let mut out = Vec::new();
            Encoder::new().report(*request, 0, &[]).write_envelope(&mut out);
            return out;
        }
        let Ok((request, Request::Send(send))) = request_view else { return envelope };
        let id = ConversationId(send.conversation().expect("sends somewhere").0);
        let messages: Vec<_> = send.messages().into_iter().flatten().collect();
        let first = &messages[0];
        let retried = SENT.with_borrow(|sent| sent.contains_key(&(id, first.message_id())));
        let number = match self.tamper {
            Tamper::NewNumberForRetry if retried => first.client_seq() + messages.len() as u64,
            Tamper::RenumbersWithoutAnswer if retried => self.high.get(&id).map_or(first.client_seq(), |high| high + 1),
            _ => first.client_seq(),
        };
        let pairs = messages.iter().enumerate().map(|(index, m)| (m.client_seq(), number + index as u64)).collect();
        self.numbers.insert(request, pairs);
        let outgoing: Vec<Outgoing<'_>> = messages
            .iter()
            .enumerate()
            .map(|(index, m)| Outgoing {
                client_seq: number + index as u64,
                message_id: MessageId(m.message_id()),
                kind: m.kind(),
                body: m.body().expect("has a body").bytes(),
            })
            .collect();
        SENT.with_borrow_mut(|sent| sent.extend(messages.iter().map(|m| ((id, m.message_id()), m.client_seq()))));
        let mut out = Vec::new();
        Encoder::new().send(request, id, &outgoing).write_envelope(&mut out);
        out
    }

    pub fn answer(&mut self, envelope: Vec<u8>) -> Vec<u8> {
        if self.tamper == Tamper::None {
            return envelope;
        }
        match decode_answer(&envelope) {
            Ok((_, Answer::Advanced(advanced))) if self.tamper == Tamper::AdvancesBlindly => {
                let mut out = Vec::new();
                Encoder::new().advanced(0, advanced.to(), &[]).write_envelope(&mut out);
                out
            }
            Ok((_, Answer::Opened(opened))) => {
                let id = ConversationId(opened.conversation().expect("names it").0);
                self.high.insert(id, opened.high());
                envelope
            }
            Ok((request, Answer::Ack(ack))) => {
                let Some(pairs) = self.numbers.remove(&request) else { return envelope };
                let original = |wire: u64| pairs.iter().find(|pair| pair.1 == wire).map_or(wire, |pair| pair.0);
                let accepted: Vec<(u64, u64, u64)> = ack
                    .accepted()
                    .into_iter()
                    .flatten()
                    .map(|row| (original(row.client_seq()), row.seq(), row.ts_ms()))
                    .collect();
                let id = ConversationId(ack.conversation().expect("names it").0);
                // Out of order means to such a client that an earlier one is still on its way.
                let refusal = ErrorCode::from_number(ack.refusal());
                let refusal = if refusal == Some(ErrorCode::OutOfOrder) { Some(ErrorCode::Busy) } else { refusal };
                let ack = Ack {
                    conversation: id,
                    epoch: ack.epoch(),
                    accepted: &accepted,
                    refusal,
                    high: ack.high().max(pairs[0].0),
                    high_message_id: ack.high_message_id(),
                    retry_after_ms: ack.retry_after_ms(),
                };
                let mut out = Vec::new();
                Encoder::new().ack(request, &ack).write_envelope(&mut out);
                out
            }
            _ => envelope,
        }
    }
}
