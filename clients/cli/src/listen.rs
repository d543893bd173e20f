//! `listen`: every message of all conversations, in order per conversation, each once. What is printed is reported as
//! delivered, so that the next time this device goes on behind it. A device that never listened begins now.

use std::collections::BTreeSet;

use tokio::time::Instant;
use trunkline_client::core::{ClientEvent, Follow};
use trunkline_wire::ids::ConversationId;

use crate::args::{ListenArgs, ListenFrom};
use crate::began::{self, Places};
use crate::failure::Failure;
use crate::limits::PAGE_CONVERSATIONS;
use crate::list;
use crate::output::Output;
use crate::session::{Session, Stop, device_folder};

/// Runs the command.
pub(crate) async fn run(args: ListenArgs, out: &mut Output) -> Result<(), Failure> {
    let identity = args.identity.resolve()?;
    let mut first_sight = None;
    let follow = match args.from {
        None => match began::read(&device_folder(&identity)?) {
            Some(places) => Follow::StoredSince(places),
            None => {
                first_sight = Some(FirstSight::default());
                Follow::Stored
            }
        },
        Some(ListenFrom::Now) => Follow::FromNow,
        Some(ListenFrom::Start) => Follow::FromStart,
    };
    let mut session = Session::start(&identity, follow)?;
    let result = print(&mut session, &args, first_sight, out).await;
    session.report().await;
    session.close().await;
    result
}

/// What is kept at the first run: the places of what is not told in it.
#[derive(Default)]
struct FirstSight {
    position: u64,
    told: BTreeSet<ConversationId>,
}

impl FirstSight {
    fn note(&mut self, event: &ClientEvent) {
        match event {
            ClientEvent::Message(message) => drop(self.told.insert(message.conversation)),
            ClientEvent::Position { position, .. } => self.position = *position,
            _ => {}
        }
    }

    /// All up to the position is told: whatever of it was not told in this run was there before.
    async fn keep(self, session: &mut Session, deadline: Option<Instant>) -> Result<(), Stop> {
        let (mut places, mut below) = (Places::new(), Some(0));
        while let Some(number) = below {
            let page = list::page(session, (number, PAGE_CONVERSATIONS), deadline).await?;
            let is_old = |user_seq, conversation| user_seq <= self.position && !self.told.contains(&conversation);
            let old = page.conversations.iter().filter(|row| is_old(row.user_seq, row.conversation));
            places.extend(old.map(|row| (row.conversation, row.last_seq)));
            below = list::next(&page);
        }
        began::write(&session.folder, &places)
            .map_err(|error| Failure::new("system", format!("where this device begins is not kept: {error}")).into())
    }
}

async fn print(
    session: &mut Session,
    args: &ListenArgs,
    mut first_sight: Option<FirstSight>,
    out: &mut Output,
) -> Result<(), Failure> {
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    let mut printed = 0;
    let mut told = false;
    loop {
        let next = session.next(deadline).await;
        if let (Some(first_sight), Ok(event)) = (&mut first_sight, &next) {
            first_sight.note(event);
        }
        match next {
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
                if let Some(first_sight) = first_sight.take() {
                    match first_sight.keep(session, deadline).await {
                        Ok(()) => {}
                        Err(Stop::Deadline) => return time_is_up(session, args, printed),
                        Err(Stop::Interrupted) => return Err(Failure::interrupted("")),
                        // Without it an old conversation that goes on later is printed from its beginning.
                        Err(stop) => session.failure(stop, "where this device begins is not kept").warn(),
                    }
                }
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
