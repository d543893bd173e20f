//! The Trunkline SDK: a client of the chat server that sends each message exactly once, however often connections and
//! processes die, and tells each message once and in order.
//!
//! [`core`] decides and does no I/O; [`transport`] runs it over a WebSocket on tokio; [`outbox`] keeps what has no
//! answer yet.
//!
//! # A program
//!
//! It goes on where it left off, makes a group, sends, receives, and reports what it has:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use trunkline_client::core::{Change, ClientEvent, Follow, Options, State};
//! use trunkline_client::outbox::{FileOutbox, identity_folder};
//! use trunkline_client::transport::{connect, seed_from_os, session_url};
//!
//! # async fn example(token: String, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
//! let stored = std::fs::read(folder.join("state")).unwrap_or_default();
//! let mut state = State::decode(&stored).unwrap_or_default();
//!
//! // Connects, and comes back after each loss, by itself.
//! let url = session_url("ws://127.0.0.1:7400")?;
//! let outbox = FileOutbox::open(&identity_folder(folder, &url, &token))?;
//! let options = Options {
//!     token,
//!     client_name: "example/1".into(),
//!     follow: Follow::Behind(state.clone()),
//!     echo_own: true,
//!     seed: seed_from_os()?,
//! };
//! let (handle, mut events) = connect(&url, options, outbox)?;
//!
//! // A 1:1, and a message that is durable when this returns.
//! let bob = handle.resolve("bob").await?;
//! let chat = handle.open_peer(bob).await?.conversation;
//! let sent = handle.send_text_and_wait(chat, "hello").await?;
//! println!("said as number {}", sent.seq);
//!
//! // A group, and a message that waits in the outbox until it can be sent; its fate is an event.
//! let team = handle.create_group("Team", &[bob]).await?.conversation;
//! let carol = handle.resolve("carol").await?;
//! handle.change_members(team, Change::Added, &[carol]).await?;
//! handle.typing(team).await;
//! handle.send_text(team, "welcome").await?;
//!
//! while let Some(event) = events.next().await {
//!     match &event {
//!         ClientEvent::Message(message) => {
//!             match message.membership() {
//!                 Some(change) => println!("{} changed the members: {:?}", message.sender, change.users),
//!                 None => println!("{}: {}", message.sender, message.text().unwrap_or("?")),
//!             }
//!             // Two ticks for its sender.
//!             handle.mark_read(message.conversation, message.seq).await;
//!         }
//!         ClientEvent::Receipts { users, .. } => println!("somebody is farther: {users:?}"),
//!         ClientEvent::Typing { user, .. } => println!("{user} types"),
//!         ClientEvent::ConversationChanged(summary) => println!("{} unread", summary.unread()),
//!         _ => {}
//!     }
//!     // What a program stores of the messages, it stores in the same write.
//!     if state.apply(&event) {
//!         std::fs::write(folder.join("state"), state.encode())?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - **Sending.** A message is in the outbox before it is sent, and stays there until the server has answered. It is
//!   stored once, or fails visibly; messages of one client to one conversation keep their order.
//! - **Receiving.** Each message that the user may see is told once, in order of its number in the conversation, from
//!   where [`Follow`](core::Follow) says. What was missed while there was no connection is fetched.
//! - **Going on.** A [`State`](core::State) that is stored with the messages it speaks of loses none and doubles none. A
//!   program that stores nothing uses [`Follow::Stored`](core::Follow::Stored): the server keeps how far the device is,
//!   and a message may be told again that was not yet reported as delivered.
//! - **Bounds.** Everything that waits is bounded: see [`limits`]. A program that leaves events unread is told the rest
//!   later, from history.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod core;
pub mod limits;
pub mod outbox;
pub mod transport;
