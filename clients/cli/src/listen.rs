//! `listen`: every message of all conversations, in order per conversation, each once. What is printed is reported as
//! delivered, so that the next time this device goes on behind it.

use tokio::time::Instant;
use trunkline_client::core::{ClientEvent, Follow};

use crate::args::{ListenArgs, ListenFrom};
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Session, Stop};

/// Runs the command.
pub(crate) async fn run(args: ListenArgs, out: &mut Output) -> Result<(), Failure> {
    let identity = args.identity.resolve()?;
    let follow = match args.from {
        None => Follow::Stored,
        Some(ListenFrom::Now) => Follow::FromNow,
        Some(ListenFrom::Start) => Follow::FromStart,
    };
    let mut session = Session::start(&identity, follow)?;
    let result = print(&mut session, &args, out).await;
    session.report().await;
    session.close().await;
    result
}

async fn print(session: &mut Session, args: &ListenArgs, out: &mut Output) -> Result<(), Failure> {
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    let mut printed = 0;
    let mut told = false;
    loop {
        match session.next(deadline).await {
            Ok(ClientEvent::Message(message)) => {
                out.message(&message)?;
                session.handle.mark_delivered(message.conversation, message.seq).await;
                printed += 1;
                if args.count == Some(printed) {
                    return Ok(());
                }
            }
            Ok(ClientEvent::Synced) if !told => {
                told = true;
                eprintln!("trunkline: listening");
            }
            Ok(ClientEvent::Missed { conversation, from_seq, to_seq }) => {
                let text = format!("messages {from_seq} to {to_seq} of {conversation} exist no more");
                Failure::new("missed", text).warn();
            }
            Ok(ClientEvent::Rewound { conversation, seq, .. }) => {
                let text = format!("the server was restored from a backup: {conversation} goes on from message {seq}");
                Failure::new("rewound", text).warn();
            }
            Ok(event) if args.events => tell(&event, out)?,
            Ok(_) => {}
            Err(Stop::Deadline) => return time_is_up(session, args, printed),
            Err(Stop::Interrupted) => return Err(Failure::interrupted("")),
            Err(stop) => return Err(session.failure(stop, "listening ended")),
        }
    }
}

/// What `--events` adds.
fn tell(event: &ClientEvent, out: &mut Output) -> Result<(), Failure> {
    match event {
        ClientEvent::Receipts { conversation, users } => {
            users.iter().try_for_each(|receipt| out.receipt(*conversation, receipt))
        }
        ClientEvent::Typing { conversation, user, .. } => out.event("typing", *conversation, Some(*user)),
        ClientEvent::TypingEnded { conversation, user } => out.event("typing_ended", *conversation, Some(*user)),
        ClientEvent::ConversationChanged(summary) => out.conversation_changed(summary),
        ClientEvent::ConversationRemoved { conversation } => out.event("conversation_removed", *conversation, None),
        _ => Ok(()),
    }
}

fn time_is_up(session: &Session, args: &ListenArgs, printed: u64) -> Result<(), Failure> {
    match args.count {
        _ if session.user.is_none() => Err(session.failure(Stop::Deadline, "nothing was heard")),
        Some(count) => Err(Failure::new("timeout", format!("only {printed} of {count} messages came in time"))),
        None => Ok(()),
    }
}
