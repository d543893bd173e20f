//! `send`: one message, durable when the command ends well, and never twice.
//!
//! The message waits in an outbox file from before it is sent until it is answered. A command that is killed in between
//! leaves it there, for the next command of the same identity to deliver.

use std::io::{self, Read};

use tokio::time::Instant;
use trunkline_client::core::{ClientEvent, Follow, MessageId};
use trunkline_wire::ids::ConversationId;

use crate::args::SendArgs;
use crate::failure::Failure;
use crate::limits::STDIN_TEXT_BYTES_MAX;
use crate::output::Output;
use crate::session::{Session, Stop, unknown};
use crate::shared_outbox::Stage;

/// A durable message.
struct Place {
    conversation: ConversationId,
    seq: u64,
    ts_ms: u64,
}

/// Runs the command.
pub(crate) async fn run(args: SendArgs, out: &mut Output) -> Result<(), Failure> {
    let identity = args.identity.resolve()?;
    let text = if args.text == "-" { read_text(io::stdin().lock())? } else { args.text.clone() };
    let deadline = Instant::now() + args.timeout;
    let mut session = Session::start(&identity, Follow::Nothing)?;
    let result = deliver(&mut session, &args, &text, deadline).await;
    session.close().await;
    let place = result?;
    out.sent(place.conversation, place.seq, place.ts_ms)
}

/// All of stdin, without the end of its last line.
fn read_text(stdin: impl Read) -> Result<String, Failure> {
    let mut text = String::new();
    let read = stdin.take(STDIN_TEXT_BYTES_MAX as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| Failure::new("message_invalid", format!("stdin holds no text: {error}")))?;
    let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    Ok(line.map(str::to_owned).unwrap_or(text))
}

async fn deliver(session: &mut Session, args: &SendArgs, text: &str, deadline: Instant) -> Result<Place, Failure> {
    let unsent = "the message was not sent";
    if let Err(stop) = session.leftovers_delivered(Some(deadline)).await {
        return Err(session.failure(stop, unsent));
    }
    let conversation = match session.open(&args.to, Some(deadline)).await {
        Ok(opened) => opened.conversation,
        Err(stop) => return Err(session.failure(stop, unsent)),
    };
    let taken = session.handle.send_text(conversation, text).await;
    let message_id = taken.map_err(|error| Failure::not_taken(&error))?;
    session.mine.insert(message_id);
    loop {
        match session.next(Some(deadline)).await {
            Ok(event) => {
                if let Some(fate) = fate(&event, message_id) {
                    return fate;
                }
            }
            Err(stop) => return give_up(session, message_id, stop).await,
        }
    }
}

/// What an event says of a message.
fn fate(event: &ClientEvent, message_id: MessageId) -> Option<Result<Place, Failure>> {
    match *event {
        ClientEvent::Sent { message_id: id, conversation, seq, ts_ms } if id == message_id => {
            Some(Ok(Place { conversation, seq, ts_ms }))
        }
        ClientEvent::Failed { message_id: id, code, .. } if id == message_id => {
            Some(Err(Failure::refused(code, "the message was not stored")))
        }
        ClientEvent::Unknown { message_id: id, conversation } if id == message_id => Some(Err(unknown(conversation))),
        _ => None,
    }
}

/// The command ends before the answer: what never left is withdrawn, what may have left stays for the next command.
async fn give_up(session: &mut Session, message_id: MessageId, stop: Stop) -> Result<Place, Failure> {
    session.close().await;
    while let Some(event) = session.last_event().await {
        if let Some(fate) = fate(&event, message_id) {
            return fate;
        }
    }
    let kept = session.outbox.stage(message_id) == Stage::Kept;
    if kept && session.outbox.withdraw(message_id).is_ok() {
        return Err(session.failure(stop, "the message was not sent"));
    }
    let reason = session.failure(stop, "whether the message is stored is not known yet");
    let text = format!("{}; the next command of this identity finds out, and sends it if it is not", reason.message());
    Err(if reason.is_interruption() { Failure::interrupted(text) } else { Failure::new("unconfirmed", text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stdin_is_a_text_without_its_last_end_of_line() {
        let read = |bytes: &[u8]| read_text(bytes).map_err(|failure| failure.code().to_owned());
        assert_eq!(read(b"one\ntwo\n"), Ok("one\ntwo".to_owned()));
        assert_eq!(read(b"one\r\n"), Ok("one".to_owned()));
        assert_eq!(read(b"one\n\n"), Ok("one\n".to_owned()));
        assert_eq!(read(b"\xff"), Err("message_invalid".to_owned()));
        let endless = read_text(io::repeat(b'x')).unwrap();
        assert!(endless.len() > trunkline_wire::limits::BODY_BYTES_MAX, "refused later as too large");
    }
}
