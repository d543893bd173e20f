//! What scripts read: one JSON object per line, each flushed at once.

use std::io::{self, ErrorKind, Stdout, Write};

use serde::Serialize;
use trunkline_client::core::Message;
use trunkline_wire::message::ContentKind;

use crate::failure::Failure;

/// Stdout.
pub(crate) struct Output {
    stdout: Stdout,
    closed: bool,
}

/// A message as `history` and `listen` print it.
#[derive(Serialize)]
struct MessageLine<'a> {
    conversation: String,
    seq: u64,
    kind: &'static str,
    sender: String,
    ts: u64,
    text: Option<&'a str>,
}

/// What `send` prints.
#[derive(Serialize)]
struct SentLine {
    conversation: String,
    seq: u64,
    ts: u64,
}

impl MessageLine<'_> {
    fn of(message: &Message) -> MessageLine<'_> {
        MessageLine {
            conversation: message.conversation.to_string(),
            seq: message.seq,
            kind: ContentKind::from_number(message.kind).map_or("unknown", ContentKind::name),
            sender: message.sender.to_string(),
            ts: message.ts_ms,
            text: message.text(),
        }
    }
}

impl Output {
    pub fn new() -> Output {
        Output { stdout: io::stdout(), closed: false }
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// A message.
    pub fn message(&mut self, message: &Message) -> Result<(), Failure> {
        self.json(&MessageLine::of(message))
    }

    /// A message of ours became durable.
    pub fn sent(&mut self, conversation: impl ToString, seq: u64, ts: u64) -> Result<(), Failure> {
        self.json(&SentLine { conversation: conversation.to_string(), seq, ts })
    }

    fn json(&mut self, line: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(line).map_err(|error| Failure::new("stdout", error.to_string()))?;
        self.line(&text)
    }

    /// A line of text.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        let mut stdout = self.stdout.lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|error| {
            self.closed = error.kind() == ErrorKind::BrokenPipe;
            Failure::new("stdout", format!("cannot write to stdout: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_wire::ids::{ConversationId, DeviceId, MessageId, UserId};

    #[test]
    fn lines_are_as_written_down() {
        let message = Message {
            conversation: ConversationId([0xab; 16]),
            epoch: 1,
            seq: 7,
            ts_ms: 99,
            sender: UserId(0x1f),
            device: DeviceId(1),
            message_id: MessageId(5),
            kind: 1,
            body: "hi \"you\"".into(),
        };
        assert_eq!(
            serde_json::to_string(&MessageLine::of(&message)).unwrap(),
            "{\"conversation\":\"abababababababababababababababab\",\"seq\":7,\"kind\":\"text\",\
             \"sender\":\"000000000000001f\",\"ts\":99,\"text\":\"hi \\\"you\\\"\"}"
        );
        let sent = SentLine { conversation: message.conversation.to_string(), seq: 1, ts: 2 };
        let text = serde_json::to_string(&sent).unwrap();
        assert!(text.starts_with("{\"conversation\":") && text.ends_with("\"seq\":1,\"ts\":2}"), "{text}");
    }
}
