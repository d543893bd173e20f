//! `group`: makes groups, changes who is in them, and shows it.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use trunkline_client::core::{Change, Follow, RequestError};
use trunkline_client::transport::Handle;
use trunkline_wire::ids::{ConversationId, UserId};
use trunkline_wire::message::ErrorCode;

use crate::args::{ChangeArgs, CreateArgs, GroupArgs, GroupCommand, IdentityArgs, Who};
use crate::failure::Failure;
use crate::limits::PAGE_MEMBERS;
use crate::output::Output;
use crate::session::{Session, Stop};

/// Runs the command.
pub(crate) async fn run(command: GroupCommand, out: &mut Output) -> Result<(), Failure> {
    match command {
        GroupCommand::Create(args) => create(&args, out).await,
        GroupCommand::Add(args) => change(&args, Change::Added, "nobody was added", out).await,
        GroupCommand::Remove(args) => change(&args, Change::Removed, "nobody was removed", out).await,
        GroupCommand::Leave(args) => leave(&args, out).await,
        GroupCommand::Show(args) => show(&args, out).await,
    }
}

/// Runs what needs a session, and says of a failure `what` was not done.
async fn within<T>(
    identity: &IdentityArgs,
    what: &str,
    work: impl AsyncFnOnce(&mut Session) -> Result<T, Stop>,
) -> Result<T, Failure> {
    let mut session = Session::start(&identity.resolve()?, Follow::Nothing)?;
    let result = work(&mut session).await.map_err(|stop| session.failure(stop, what));
    session.close().await;
    result
}

/// Asks about users. Those whose handles were remembered are looked up again where one of them does not exist.
async fn ask_about<T, F: Future<Output = Result<T, RequestError>>>(
    session: &mut Session,
    who: &[Who],
    timeout: Duration,
    question: impl Fn(Handle, Vec<UserId>) -> F,
) -> Result<(T, Vec<UserId>), Stop> {
    let deadline = || Some(Instant::now() + timeout);
    session.connected(deadline()).await?;
    let mut again = false;
    loop {
        let users = session.users(who, deadline(), again).await?;
        let ask = async |handle: &Handle| question(handle.clone(), users.clone()).await;
        match session.ask(deadline(), ask).await {
            Err(Stop::Refused(ErrorCode::UnknownPeer)) if !again => again = true,
            answer => return answer.map(|answer| (answer, users)),
        }
    }
}

async fn create(args: &CreateArgs, out: &mut Output) -> Result<(), Failure> {
    let created = within(&args.identity, "the group was not made", async |session| {
        let question = async |handle: Handle, users: Vec<UserId>| handle.create_group(&args.title, &users).await;
        let made = ask_about(session, &args.members, args.timeout, question).await;
        made.map_err(|stop| match stop {
            // The request may have arrived all the same.
            Stop::Deadline if session.user.is_some() => {
                let text = "whether the group was made is not known; look at `trunkline list`";
                Failure::new("unconfirmed", text).into()
            }
            stop => stop,
        })
    });
    out.created(&created.await?.0)
}

async fn change(args: &ChangeArgs, change: Change, what: &str, out: &mut Output) -> Result<(), Failure> {
    let conversation = args.conversation;
    let changed = within(&args.identity, what, async |session| {
        let question =
            async |handle: Handle, users: Vec<UserId>| handle.change_members(conversation, change, &users).await;
        ask_about(session, &args.users, args.timeout, question).await
    });
    let (seq, users) = changed.await?;
    out.changed(conversation, seq, change, &users)
}

async fn leave(args: &GroupArgs, out: &mut Output) -> Result<(), Failure> {
    let (conversation, timeout) = (args.conversation, args.timeout);
    let left = within(&args.identity, "the group was not left", async |session| {
        let me = session.connected(Some(Instant::now() + timeout)).await?;
        let ask = async |handle: &Handle| handle.change_members(conversation, Change::Removed, &[me]).await;
        Ok((session.ask(Some(Instant::now() + timeout), ask).await?, me))
    });
    let (seq, me) = left.await?;
    out.changed(conversation, seq, Change::Removed, &[me])
}

async fn show(args: &GroupArgs, out: &mut Output) -> Result<(), Failure> {
    within(&args.identity, "the members were not read", async |session| {
        print_members(session, args.conversation, args.timeout, out).await
    })
    .await
}

async fn print_members(
    session: &mut Session,
    conversation: ConversationId,
    timeout: Duration,
    out: &mut Output,
) -> Result<(), Stop> {
    let mut after = None;
    loop {
        let ask = async |handle: &Handle| handle.members(conversation, after, PAGE_MEMBERS).await;
        let page = session.ask(Some(Instant::now() + timeout), ask).await?;
        for member in &page.members {
            out.member(conversation, member)?;
        }
        after = page.members.last().map(|member| member.user);
        if !page.more || after.is_none() {
            return Ok(());
        }
    }
}
