//! `chat` without a screen: a conversation line by line, for people, and for scripts that play people.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};
use std::thread;

use tokio::sync::mpsc;
use tokio::time::Instant;
use trunkline_client::core::{Change, ClientEvent, Follow, HistoryPage, Message, MessageId, Opened};
use trunkline_client::transport::Handle;
use trunkline_wire::ids::UserId;
use trunkline_wire::limits::BODY_BYTES_MAX;

use crate::args::{ChatArgs, Target};
use crate::failure::Failure;
use crate::identity::Identity;
use crate::limits::{CHAT_BACKLOG, CHAT_LINES_MAX, GOODBYE_PATIENCE, PAGE_MEMBERS};
use crate::output::Output;
use crate::screen;
use crate::session::{Session, Stop, unknown};
use crate::ticks::{Tick, Ticks};
use crate::time::time_of_day;

/// Runs the command.
pub(crate) async fn run(args: ChatArgs, out: &mut Output) -> Result<(), Failure> {
    if !args.plain && screen::is_possible() {
        return screen::run(&args).await;
    }
    let target = args.conversation.as_ref().ok_or_else(|| {
        Failure::new("usage", "which conversation? without a screen `trunkline chat` needs a handle or 32 hex digits")
    })?;
    let identity = args.identity.resolve()?;
    let mut session = Session::start(&identity, Follow::FromNow)?;
    let result = match Chat::enter(&mut session, target, &identity, out).await {
        Ok(mut chat) => chat.talk(&mut session, out).await,
        Err(failure) => Err(failure),
    };
    session.report().await;
    session.close().await;
    result
}

struct Chat {
    opened: Opened,
    me: UserId,
    my_name: String,
    peer_name: Option<String>,
    /// The newest message that is on the screen, or was said before.
    shown_seq: u64,
    /// Messages of ours that are not on the screen yet.
    awaited: BTreeSet<MessageId>,
    ticks: Ticks,
    /// Others who type.
    typists: BTreeSet<UserId>,
}

impl Chat {
    /// Opens the conversation, and shows what was said last.
    async fn enter(
        session: &mut Session,
        target: &Target,
        identity: &Identity,
        out: &mut Output,
    ) -> Result<Chat, Failure> {
        let (me, opened, page) = match begin(session, target).await {
            Ok(begun) => begun,
            Err(stop) => return Err(session.failure(stop, "the conversation was not opened")),
        };
        let peer_name = match target {
            Target::Peer(peer) => Some(peer.as_str().to_owned()),
            Target::Conversation(_) => None,
        };
        let my_name = identity.name.clone().unwrap_or_else(|| "me".to_owned());
        let mut chat = Chat {
            opened,
            me,
            my_name,
            peer_name,
            shown_seq: 0,
            awaited: BTreeSet::new(),
            ticks: Ticks::new(me),
            typists: BTreeSet::new(),
        };
        let with = match (&chat.peer_name, &chat.opened.title) {
            (Some(peer), _) => peer.clone(),
            (None, Some(title)) => format!("{}, {} members", harmless(title), chat.opened.members),
            (None, None) => "this conversation".to_owned(),
        };
        eprintln!("trunkline: talking in {} ({with}); Ctrl-D leaves", chat.opened.conversation);
        for message in &page.messages {
            chat.show(message, out)?;
        }
        chat.shown_seq = chat.shown_seq.max(page.last_seq);
        chat.read(session).await;
        chat.learn_members(session).await?;
        chat.tell_ticks();
        Ok(chat)
    }

    /// Who else is here, and how far they are. In a conversation that is too large to be told of them, nobody counts.
    async fn learn_members(&mut self, session: &mut Session) -> Result<(), Failure> {
        if let Some(peer) = self.opened.peer {
            self.ticks.heard(peer, 0, 0);
        }
        let conversation = self.opened.conversation;
        let ask = async |handle: &Handle| handle.members(conversation, None, PAGE_MEMBERS).await;
        match session.ask(None, ask).await {
            Ok(page) if !page.more => {
                page.members.iter().for_each(|m| self.ticks.heard(m.user, m.delivered_seq, m.read_seq));
                Ok(())
            }
            // A 1:1 without messages has none yet, and who left is not told.
            Ok(_) | Err(Stop::Refused(_)) => Ok(()),
            Err(stop) => Err(session.failure(stop, "the members were not read")),
        }
    }

    /// What is on the screen is read.
    async fn read(&self, session: &Session) {
        if self.shown_seq > 0 {
            session.handle.mark_read(self.opened.conversation, self.shown_seq).await;
        }
    }

    /// Until stdin ends and everything said is stored.
    async fn talk(&mut self, session: &mut Session, out: &mut Output) -> Result<(), Failure> {
        let mut lines = read_lines();
        let mut reading = true;
        while reading || !self.awaited.is_empty() {
            tokio::select! {
                line = lines.recv(), if reading && self.awaited.len() < CHAT_LINES_MAX => match line {
                    Some(Ok(line)) => self.say(session, &line).await,
                    Some(Err(error)) => Failure::new("stdin", format!("cannot read stdin: {error}")).warn(),
                    None => reading = false,
                },
                event = session.next(None) => match event {
                    Ok(event) => {
                        let shown_seq = self.shown_seq;
                        self.hear(&event, out)?;
                        if self.shown_seq > shown_seq {
                            self.read(session).await;
                        }
                        self.tell_ticks();
                    }
                    Err(stop) => return Err(self.leave(session, stop).await),
                },
            }
        }
        Ok(())
    }

    async fn say(&mut self, session: &mut Session, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        match session.handle.send_text(self.opened.conversation, line).await {
            Ok(message_id) => {
                session.mine.insert(message_id);
                self.awaited.insert(message_id);
            }
            Err(error) => Failure::not_taken(&error).warn(),
        }
    }

    fn hear(&mut self, event: &ClientEvent, out: &mut Output) -> Result<(), Failure> {
        match event {
            ClientEvent::Message(message) if message.conversation == self.opened.conversation => {
                self.awaited.remove(&message.message_id);
                if message.seq > self.shown_seq {
                    self.show(message, out)?;
                }
            }
            ClientEvent::Sent { message_id, seq, .. } if *seq <= self.shown_seq => {
                self.awaited.remove(message_id);
            }
            ClientEvent::Failed { message_id, code, .. } if self.awaited.remove(message_id) => {
                Failure::refused(*code, "your message was not stored").warn();
            }
            ClientEvent::Unknown { message_id, conversation } if self.awaited.remove(message_id) => {
                unknown(*conversation).warn();
            }
            ClientEvent::Receipts { conversation, users } if *conversation == self.opened.conversation => {
                users.iter().for_each(|r| self.ticks.heard(r.user, r.delivered_seq, r.read_seq));
            }
            ClientEvent::Typing { conversation, user, .. }
                if *conversation == self.opened.conversation && self.typists.insert(*user) =>
            {
                eprintln!("trunkline: {} is typing", self.name(*user));
            }
            ClientEvent::TypingEnded { conversation, user } if *conversation == self.opened.conversation => {
                self.typists.remove(user);
            }
            ClientEvent::Rewound { conversation, seq, .. } if *conversation == self.opened.conversation => {
                self.shown_seq = seq - 1;
                eprintln!("trunkline: the server was restored from a backup; going on from message {seq}");
            }
            _ => {}
        }
        Ok(())
    }

    fn show(&mut self, message: &Message, out: &mut Output) -> Result<(), Failure> {
        self.shown_seq = message.seq;
        self.ticks.shown(message);
        let (time, name) = (time_of_day(message.ts_ms), self.name(message.sender));
        if message.membership().is_some() {
            return out.line(&format!("{time} * {name} {}", self.deed(message)));
        }
        let text = harmless(message.text().unwrap_or("(something that this version cannot show)"));
        let tick = if message.sender == self.me { " ✓" } else { "" };
        out.line(&format!("{time} {name}: {text}{tick}"))
    }

    /// What a user is called here: others of a group by the first half of their id.
    fn name(&self, user: UserId) -> String {
        match &self.peer_name {
            _ if user == self.me => self.my_name.clone(),
            Some(name) if self.opened.peer == Some(user) => name.clone(),
            _ => user.to_string()[..8].to_owned(),
        }
    }

    /// What a change of members did.
    fn deed(&self, message: &Message) -> String {
        let Some(change) = message.membership() else { return String::new() };
        let names: Vec<String> = change.users.iter().map(|user| self.name(*user)).collect();
        let names = names.join(", ");
        match change.change {
            Change::Created if names.is_empty() => "made the group".to_owned(),
            Change::Created => format!("made the group, with {names}"),
            Change::Added | Change::Admitted => format!("added {names}"),
            Change::Removed if change.users == [message.sender] => "left".to_owned(),
            Change::Removed => format!("removed {names}"),
        }
    }

    /// Beside the conversation, so that what is said stays as it is.
    fn tell_ticks(&mut self) {
        for (tick, seq) in self.ticks.news() {
            match tick {
                Tick::Delivered => eprintln!("trunkline: ✓✓ delivered up to message {seq}"),
                Tick::Read => eprintln!("trunkline: ✓✓ read up to message {seq}"),
            }
        }
    }

    /// The session cannot go on: what is under way gets a moment.
    async fn leave(&mut self, session: &mut Session, stop: Stop) -> Failure {
        let until = Some(Instant::now() + GOODBYE_PATIENCE);
        while stop == Stop::Interrupted && !session.outbox.is_empty() {
            if session.receive(until).await.is_err() {
                break;
            }
        }
        let waiting = session.outbox.len();
        if waiting > 0 {
            eprintln!("trunkline: {waiting} messages have no answer; the next command of this identity delivers them");
        }
        match stop {
            Stop::Interrupted => Failure::interrupted(""),
            stop => session.failure(stop, "the chat ended"),
        }
    }
}

/// Opens the conversation, and reads what was said last.
async fn begin(session: &mut Session, target: &Target) -> Result<(UserId, Opened, HistoryPage), Stop> {
    let me = session.connected(None).await?;
    let opened = session.open(target, None).await?;
    // Messages from now on are followed: a page that is read after that point leaves no gap.
    while !matches!(session.next(None).await?, ClientEvent::Synced) {}
    let conversation = opened.conversation;
    let ask = async |handle: &Handle| handle.history(conversation, 0, true, CHAT_BACKLOG).await;
    let page = session.ask(None, ask).await?;
    Ok((me, opened, page))
}

/// Reads stdin on a thread that nobody waits for: a read of a terminal cannot be given up.
fn read_lines() -> mpsc::Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            match read_line(&mut stdin) {
                Ok(None) => return,
                line => {
                    let fatal = line.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::InvalidData);
                    if sender.blocking_send(line.map(Option::unwrap_or_default)).is_err() || fatal {
                        return;
                    }
                }
            }
        }
    });
    receiver
}

/// A line without its end. One that is longer than a message may be is passed over.
fn read_line(stdin: &mut impl BufRead) -> io::Result<Option<String>> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text);
    let mut line = Vec::new();
    let line_bytes_max = BODY_BYTES_MAX + 2;
    if stdin.take(line_bytes_max as u64).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() == line_bytes_max && !line.ends_with(b"\n") {
        stdin.skip_until(b'\n')?;
        return Err(invalid("the line is longer than a message may be"));
    }
    if line.ends_with(b"\n") {
        line.pop();
    }
    if line.ends_with(b"\r") {
        line.pop();
    }
    String::from_utf8(line).map(Some).map_err(|_| invalid("the line is no UTF-8"))
}

/// A text that does nothing to a terminal but be seen.
fn harmless(text: &str) -> String {
    let mut seen = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => seen.push_str("\n    "),
            '\t' => seen.push(c),
            // Other controls, and what changes the direction of the text around it.
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                seen.push(char::REPLACEMENT_CHARACTER);
            }
            c => seen.push(c),
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_do_nothing_to_a_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\u{9b}1mc\u{202e}d"), "a\u{fffd}[2Jb\u{fffd}1mc\u{fffd}d");
        assert_eq!(harmless("one\ntwo\t👋"), "one\n    two\t👋");
    }

    #[test]
    fn lines_are_read_to_the_end() {
        let mut stdin = &b"one\r\n\n\xff\nlast"[..];
        assert_eq!(read_line(&mut stdin).unwrap().as_deref(), Some("one"));
        assert_eq!(read_line(&mut stdin).unwrap().as_deref(), Some(""));
        assert_eq!(read_line(&mut stdin).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read_line(&mut stdin).unwrap().as_deref(), Some("last"));
        assert_eq!(read_line(&mut stdin).unwrap(), None);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_as_a_whole() {
        let text = [&b"x".repeat(3 * BODY_BYTES_MAX)[..], b"\nnext\n"].concat();
        let mut stdin = &text[..];
        assert_eq!(read_line(&mut stdin).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read_line(&mut stdin).unwrap().as_deref(), Some("next"));
        let longest = "x".repeat(BODY_BYTES_MAX);
        let ended = format!("{longest}\r\n");
        assert_eq!(read_line(&mut ended.as_bytes()).unwrap(), Some(longest));
    }
}
