//! What scripts read: one JSON object per line, each flushed at once.

use std::io::{self, ErrorKind, Stdout, Write};

use serde::Serialize;
use trunkline_client::core::{
    Change, ContentKind, ConversationKind, Member, MembershipChange, Message, Opened, Role, Summary, UserReceipt,
};
use trunkline_wire::ids::{ConversationId, UserId};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_name: Option<&'a str>,
    ts: u64,
    text: Option<&'a str>,
}

/// A change of members, as `history` and `listen` print it.
#[derive(Serialize)]
struct MembershipLine<'a> {
    conversation: String,
    seq: u64,
    kind: &'static str,
    sender: String,
    ts: u64,
    change: &'static str,
    users: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
}

/// What `group create` prints.
#[derive(Serialize)]
struct CreatedLine<'a> {
    conversation: String,
    kind: &'static str,
    title: Option<&'a str>,
    members: u32,
}

/// What `group add`, `group remove` and `group leave` print; `seq` is null where there was nothing to change.
#[derive(Serialize)]
struct ChangedLine {
    conversation: String,
    seq: Option<u64>,
    change: &'static str,
    users: Vec<String>,
}

/// What `group show` prints of each member.
#[derive(Serialize)]
struct MemberLine {
    conversation: String,
    user: String,
    role: &'static str,
    joined_seq: u64,
    delivered_seq: u64,
    read_seq: u64,
}

/// What `list` prints of each conversation, and `listen --events` where one changes.
#[derive(Serialize)]
struct SummaryLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    conversation: String,
    kind: &'static str,
    title: Option<&'a str>,
    peer: Option<String>,
    last_seq: u64,
    read_seq: u64,
    unread: u64,
    joined_seq: u64,
    left_seq: Option<u64>,
    user_seq: u64,
}

/// What else `listen --events` prints.
#[derive(Serialize)]
struct EventLine {
    event: &'static str,
    conversation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_seq: Option<u64>,
}

fn change_name(change: Change) -> &'static str {
    match change {
        Change::Created => "created",
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Admitted => "admitted",
    }
}

fn kind_name(kind: u8) -> &'static str {
    match ConversationKind::from_number(kind) {
        Some(ConversationKind::Direct) => "direct",
        Some(ConversationKind::Group) => "group",
        Some(ConversationKind::Imported) => "imported",
        None => "unknown",
    }
}

fn texts(users: &[UserId]) -> Vec<String> {
    users.iter().map(UserId::to_string).collect()
}

/// What `send` prints.
#[derive(Serialize)]
struct SentLine {
    conversation: String,
    seq: u64,
    ts: u64,
}

impl MessageLine<'_> {
    fn of<'a>(message: &'a Message, sender_name: Option<&'a str>) -> MessageLine<'a> {
        MessageLine {
            conversation: message.conversation.to_string(),
            seq: message.seq,
            kind: ContentKind::from_number(message.kind).map_or("unknown", ContentKind::name),
            sender: message.sender.to_string(),
            sender_name,
            ts: message.ts_ms,
            text: message.text(),
        }
    }
}

impl MembershipLine<'_> {
    fn of<'a>(message: &Message, change: &'a MembershipChange) -> MembershipLine<'a> {
        MembershipLine {
            conversation: message.conversation.to_string(),
            seq: message.seq,
            kind: ContentKind::Membership.name(),
            sender: message.sender.to_string(),
            ts: message.ts_ms,
            change: change_name(change.change),
            users: texts(&change.users),
            title: change.title.as_deref(),
        }
    }
}

impl SummaryLine<'_> {
    fn of<'a>(summary: &'a Summary, event: Option<&'static str>) -> SummaryLine<'a> {
        SummaryLine {
            event,
            conversation: summary.conversation.to_string(),
            kind: kind_name(summary.kind),
            title: summary.title.as_deref(),
            peer: summary.peer.map(|peer| peer.to_string()),
            last_seq: summary.last_seq,
            read_seq: summary.read_seq,
            unread: summary.unread(),
            joined_seq: summary.joined_seq,
            left_seq: summary.left_seq,
            user_seq: summary.user_seq,
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
        self.named_message(message, None)
    }

    /// A message, with what its sender was called where it was imported from.
    pub fn named_message(&mut self, message: &Message, sender_name: Option<&str>) -> Result<(), Failure> {
        match message.membership() {
            Some(change) => self.json(&MembershipLine::of(message, &change)),
            None => self.json(&MessageLine::of(message, sender_name)),
        }
    }

    /// A group that was made.
    pub fn created(&mut self, opened: &Opened) -> Result<(), Failure> {
        self.json(&CreatedLine {
            conversation: opened.conversation.to_string(),
            kind: kind_name(opened.kind),
            title: opened.title.as_deref(),
            members: opened.members,
        })
    }

    /// A change of members that was asked for.
    pub fn changed(
        &mut self,
        conversation: ConversationId,
        seq: Option<u64>,
        change: Change,
        users: &[UserId],
    ) -> Result<(), Failure> {
        let (conversation, change, users) = (conversation.to_string(), change_name(change), texts(users));
        self.json(&ChangedLine { conversation, seq, change, users })
    }

    /// A member of a group.
    pub fn member(&mut self, conversation: ConversationId, member: &Member) -> Result<(), Failure> {
        let role = match member.role {
            Role::Member => "member",
            Role::Admin => "admin",
        };
        self.json(&MemberLine {
            conversation: conversation.to_string(),
            user: member.user.to_string(),
            role,
            joined_seq: member.joined_seq,
            delivered_seq: member.delivered_seq,
            read_seq: member.read_seq,
        })
    }

    /// A conversation of the list.
    pub fn conversation(&mut self, summary: &Summary) -> Result<(), Failure> {
        self.json(&SummaryLine::of(summary, None))
    }

    /// A conversation of the list changed.
    pub fn conversation_changed(&mut self, summary: &Summary) -> Result<(), Failure> {
        self.json(&SummaryLine::of(summary, Some("conversation")))
    }

    /// A user is farther than before.
    pub fn receipt(&mut self, conversation: ConversationId, receipt: &UserReceipt) -> Result<(), Failure> {
        self.json(&EventLine {
            event: "receipt",
            conversation: conversation.to_string(),
            user: Some(receipt.user.to_string()),
            delivered_seq: Some(receipt.delivered_seq),
            read_seq: Some(receipt.read_seq),
        })
    }

    /// Something happened in a conversation that has nothing to say but by whom.
    pub fn event(
        &mut self,
        event: &'static str,
        conversation: ConversationId,
        user: Option<UserId>,
    ) -> Result<(), Failure> {
        let (conversation, user) = (conversation.to_string(), user.map(|user| user.to_string()));
        self.json(&EventLine { event, conversation, user, delivered_seq: None, read_seq: None })
    }

    /// A message of ours became durable.
    pub fn sent(&mut self, conversation: impl ToString, seq: u64, ts: u64) -> Result<(), Failure> {
        self.json(&SentLine { conversation: conversation.to_string(), seq, ts })
    }

    /// A line of JSON.
    pub fn json(&mut self, line: &impl Serialize) -> Result<(), Failure> {
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
    use trunkline_client::core::{DeviceId, MessageId};

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
            serde_json::to_string(&MessageLine::of(&message, None)).unwrap(),
            "{\"conversation\":\"abababababababababababababababab\",\"seq\":7,\"kind\":\"text\",\
             \"sender\":\"000000000000001f\",\"ts\":99,\"text\":\"hi \\\"you\\\"\"}"
        );
        let change = MembershipChange { change: Change::Added, users: vec![UserId(1)], title: None };
        assert_eq!(
            serde_json::to_string(&MembershipLine::of(&message, &change)).unwrap(),
            "{\"conversation\":\"abababababababababababababababab\",\"seq\":7,\"kind\":\"membership\",\
             \"sender\":\"000000000000001f\",\"ts\":99,\"change\":\"added\",\"users\":[\"0000000000000001\"]}"
        );
        let summary = Summary {
            conversation: message.conversation,
            kind: 2,
            peer: None,
            title: Some("Team".to_owned()),
            last_seq: 7,
            read_seq: 4,
            joined_seq: 1,
            left_seq: None,
            user_seq: 9,
        };
        assert_eq!(
            serde_json::to_string(&SummaryLine::of(&summary, None)).unwrap(),
            "{\"conversation\":\"abababababababababababababababab\",\"kind\":\"group\",\"title\":\"Team\",\
             \"peer\":null,\"last_seq\":7,\"read_seq\":4,\"unread\":3,\"joined_seq\":1,\"left_seq\":null,\"user_seq\":9}"
        );
        let sent = SentLine { conversation: message.conversation.to_string(), seq: 1, ts: 2 };
        let text = serde_json::to_string(&sent).unwrap();
        assert!(text.starts_with("{\"conversation\":") && text.ends_with("\"seq\":1,\"ts\":2}"), "{text}");
    }
}
