//! Questions that the screen does not wait for: each is asked until it has an answer.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;
use trunkline_client::core::{ConversationId, Opened, RequestError, UserId};
use trunkline_client::transport::Handle;
use trunkline_wire::handle::Handle as Named;

use super::wish::Answer;
use crate::args::{Target, Who};
use crate::failure::Failure;
use crate::limits::{ASK_AGAIN, PAGE_MEMBERS, PAGE_MESSAGES};

/// Asks a session, and brings what it answers.
#[derive(Clone, Debug)]
pub(super) struct Errands {
    pub handle: Handle,
    pub answers: UnboundedSender<Answer>,
}

impl Errands {
    /// A page of messages below a seq; 0: the newest.
    pub fn page(&self, conversation: ConversationId, below: u64) {
        let Errands { handle, answers } = self.clone();
        tokio::spawn(async move {
            let from_seq = below.saturating_sub(1);
            let ask_page =
                |handle: Handle| async move { handle.history(conversation, from_seq, true, PAGE_MESSAGES).await };
            let page = ask(&handle, ask_page).await;
            let _ = answers.send(Answer::Page(conversation, page.map_err(|why| why.about("history"))));
        });
    }

    /// Who is in a conversation.
    pub fn members(&self, conversation: ConversationId) {
        let Errands { handle, answers } = self.clone();
        tokio::spawn(async move {
            let ask_page = |handle: Handle| async move { handle.members(conversation, None, PAGE_MEMBERS).await };
            let page = ask(&handle, ask_page).await;
            let _ = answers.send(Answer::Members(conversation, page.map_err(|why| why.about("the members"))));
        });
    }

    /// What a person named.
    pub fn open(&self, target: Target) {
        let Errands { handle, answers } = self.clone();
        tokio::spawn(async move {
            let (name, opened) = match target {
                Target::Conversation(id) => {
                    (None, ask(&handle, |handle: Handle| async move { handle.open(id).await }).await)
                }
                Target::Peer(peer) => (Some(peer.as_str().to_owned()), open_peer(&handle, &peer).await),
            };
            let what = name.clone().unwrap_or_else(|| "the conversation".to_owned());
            let _ = answers.send(Answer::Opened(name, opened.map_err(|why| why.about(&what))));
        });
    }

    /// A group of these.
    pub fn group(&self, title: String, members: Vec<Who>) {
        let Errands { handle, answers } = self.clone();
        tokio::spawn(async move {
            let made = make_group(&handle, title, &members).await;
            let _ = answers.send(Answer::Opened(None, made));
        });
    }
}

async fn resolve(handle: &Handle, named: &Named) -> Result<UserId, Refused> {
    let name = named.as_str().to_owned();
    let asked = |handle: Handle| {
        let name = name.clone();
        async move { handle.resolve(&name).await }
    };
    ask(handle, asked).await
}

async fn open_peer(handle: &Handle, peer: &Named) -> Result<Opened, Refused> {
    let user = resolve(handle, peer).await?;
    ask(handle, |handle: Handle| async move { handle.open_peer(user).await }).await
}

async fn make_group(handle: &Handle, title: String, members: &[Who]) -> Result<Opened, Failure> {
    let mut users: Vec<UserId> = Vec::new();
    for member in members {
        users.push(match member {
            Who::User(user) => *user,
            Who::Named(name) => resolve(handle, name).await.map_err(|why| why.about(name.as_str()))?,
        });
    }
    let asked = |handle: Handle| {
        let (title, users) = (title.clone(), users.clone());
        async move { handle.create_group(&title, &users).await }
    };
    ask(handle, asked).await.map_err(|why| why.about("the group was not made"))
}

/// Why there will be no answer.
struct Refused(RequestError);

impl Refused {
    fn about(self, what: &str) -> Failure {
        match self.0 {
            RequestError::Refused { code, .. } => Failure::refused(code, what),
            error => Failure::new("unreachable", format!("{what}: {error}")),
        }
    }
}

/// Asks, again where the server is only busy or the connection was lost.
async fn ask<T, F>(handle: &Handle, question: impl Fn(Handle) -> F) -> Result<T, Refused>
where
    F: Future<Output = Result<T, RequestError>>,
{
    loop {
        let wait = match question(handle.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(RequestError::Refused { retry_after_ms, .. }) if retry_after_ms > 0 => {
                Duration::from_millis(retry_after_ms.into())
            }
            Err(error @ RequestError::Refused { .. }) => return Err(Refused(error)),
            Err(RequestError::Disconnected | RequestError::Full) => ASK_AGAIN,
        };
        sleep(wait).await;
    }
}
