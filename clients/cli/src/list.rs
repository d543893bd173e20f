//! `list`: the user's conversations, page by page, the latest change first.

use tokio::time::Instant;
use trunkline_client::core::Follow;
use trunkline_client::transport::Handle;

use crate::args::ListArgs;
use crate::failure::Failure;
use crate::limits::PAGE_CONVERSATIONS;
use crate::output::Output;
use crate::session::Session;

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
    let mut below = 0;
    while left > 0 {
        let limit = left.min(PAGE_CONVERSATIONS.into()) as u16;
        let ask = async |handle: &Handle| handle.list(below, limit).await;
        let page = match session.ask(Some(Instant::now() + args.timeout), ask).await {
            Ok(page) => page,
            Err(stop) => return Err(session.failure(stop, "the list was not read")),
        };
        for summary in page.conversations.iter().take(left as usize) {
            out.conversation(summary)?;
            left -= 1;
        }
        match page.conversations.last() {
            Some(last) if page.more && last.user_seq > 0 => below = last.user_seq,
            _ => return Ok(()),
        }
    }
    Ok(())
}
