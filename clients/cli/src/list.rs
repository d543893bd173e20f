//! `list`: the user's conversations, page by page, the latest change first.

use tokio::time::Instant;
use trunkline_client::core::{Follow, ListPage};
use trunkline_client::transport::Handle;

use crate::args::ListArgs;
use crate::failure::Failure;
use crate::limits::PAGE_CONVERSATIONS;
use crate::output::Output;
use crate::session::{Session, Stop};

/// Runs the command.
pub(crate) async fn run(args: ListArgs, out: &mut Output) -> Result<(), Failure> {
    let identity = args.identity.resolve()?;
    let mut session = Session::start(&identity, Follow::Nothing)?;
    let result = print(&mut session, &args, out).await;
    session.close().await;
    result
}

async fn print(session: &mut Session, args: &ListArgs, out: &mut Output) -> Result<(), Failure> {
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut below = Some(0);
    while left > 0
        && let Some(number) = below
    {
        let limit = left.min(PAGE_CONVERSATIONS.into()) as u16;
        let page = match page(session, (number, limit), Some(Instant::now() + args.timeout)).await {
            Ok(page) => page,
            Err(stop) => return Err(session.failure(stop, "the list was not read")),
        };
        for summary in page.conversations.iter().take(left as usize) {
            out.conversation(summary)?;
            left -= 1;
        }
        below = next(&page);
    }
    Ok(())
}

/// The list below a number (0: from its top), at most so much of it.
pub(crate) async fn page(
    session: &mut Session,
    (below, limit): (u64, u16),
    deadline: Option<Instant>,
) -> Result<ListPage, Stop> {
    session.ask(deadline, async |handle: &Handle| handle.list(below, limit).await).await
}

/// The number below which the next page is, if there is one.
pub(crate) fn next(page: &ListPage) -> Option<u64> {
    page.conversations.last().map(|last| last.user_seq).filter(|&number| page.more && number > 0)
}
