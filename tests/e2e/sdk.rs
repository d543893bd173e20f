//! Sessions of the SDK with a server, and what they read there.

use std::future::Future;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::timeout;
use trunkline_client::core::{Follow, Options, RequestError};
use trunkline_client::outbox::MemoryOutbox;
use trunkline_client::transport::{EventStream, Handle, connect, seed_from_os};
use trunkline_tests::server::Account;
use trunkline_wire::ids::{ConversationId, UserId};

/// Messages of a page of history, at most.
const PAGE_MESSAGES: u16 = 50;
/// How often a question is asked whose connection was lost.
const QUESTIONS_MAX: usize = 10;

/// Runs a test's tasks on this thread, and gives them so long.
pub fn run_within<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let result = LocalSet::new().block_on(&runtime, async { timeout(limit, work).await });
    result.unwrap_or_else(|_| panic!("this took longer than {limit:?}"))
}

/// A session that tells its events.
pub fn session(url: &str, account: &Account, follow: Follow) -> (Handle, EventStream) {
    let seed = seed_from_os().expect("the system has random numbers");
    let client_name = "e2e".to_owned();
    let options = Options { token: account.token.clone(), client_name, follow, echo_own: false, seed };
    connect(url, options, MemoryOutbox::default()).unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// A session that only sends and asks.
pub fn caller(url: &str, account: &Account) -> Handle {
    session(url, account, Follow::Nothing).0
}

/// Opens the 1:1 with a user.
pub async fn open(handle: &Handle, peer: UserId) -> ConversationId {
    asked("open", async || handle.open_peer(peer).await).await.conversation
}

/// All of a conversation: who said what, in order. Its numbers have to be 1, 2, 3 ...
pub async fn history(handle: &Handle, conversation: ConversationId) -> Vec<(UserId, String)> {
    let mut said = Vec::new();
    loop {
        let from_seq = said.len() as u64 + 1;
        let page = asked("history", async || handle.history(conversation, from_seq, false, PAGE_MESSAGES).await).await;
        for message in &page.messages {
            assert_eq!(message.seq, said.len() as u64 + 1, "a gap or a repetition in {conversation}");
            said.push((message.sender, message.text().expect("a text").to_owned()));
        }
        if !page.more {
            assert_eq!(page.last_seq, said.len() as u64, "{conversation} ends before its end");
            return said;
        }
        assert!(!page.messages.is_empty(), "an empty page of {conversation} that is not the last");
    }
}

/// The answer to a question, asked again where the server says so.
async fn asked<T>(what: &str, question: impl AsyncFn() -> Result<T, RequestError>) -> T {
    let mut refusals = Vec::new();
    while refusals.len() < QUESTIONS_MAX {
        match question().await {
            Ok(answer) => return answer,
            Err(error) => {
                let wait_ms = match error {
                    RequestError::Refused { retry_after_ms, .. } if retry_after_ms > 0 => retry_after_ms,
                    RequestError::Disconnected => 100,
                    _ => panic!("{what}: {error}, after {refusals:?}"),
                };
                refusals.push(error);
                tokio::time::sleep(Duration::from_millis(wait_ms.into())).await;
            }
        }
    }
    panic!("{what}: no answer: {refusals:?}");
}
